//! Whole runs: resumed, shared, with candidates; allocation and recipes; what is refused.

use std::path::{Path, PathBuf};

use cruxscope_checkpoint::Checkpoint;
use cruxscope_compress::recipe::Recipe;
use cruxscope_needs::{fixtures, root};
use cruxscope_run::compress::{Basis, CompressSettings, compress};
use cruxscope_run::instances::TraceSettings;
use cruxscope_run::placement::WeightsChoice;
use cruxscope_run::sensitivity::{PlannedSensitivity, SensitivitySettings, SketchText};
use cruxscope_run::windows::{Calibration, WindowSource};
use cruxscope_run::{Event, Observer, RunError, Silent};
use cruxscope_sensitivity::allocate::Constraints;
use cruxscope_sensitivity::curve::{Curve, Target};
use cruxscope_sensitivity::menu::{read_format, read_menu};
use cruxscope_statistics::Bootstrap;
use cruxscope_study::{Behaviour, Definition, SENSITIVITY_FILE, Scope, Sensitivity, folder};
use safetensors::SafeTensors;

use crate::fixtures::{GATE, cases, numbers};

/// Settings over the tiny model in this repository.
fn settings(out: PathBuf, menu: &str) -> SensitivitySettings {
    let tiny = root().join("tests/fixtures/tiny");
    SensitivitySettings {
        model: tiny.join("model"),
        text: SketchText::Windows(Calibration {
            source: WindowSource::Traces {
                path: tiny.join("traces.jsonl"),
                length: 24,
            },
            windows: Some(6),
            seed: None,
        }),
        calibration: None,
        menu: if menu.is_empty() { Vec::new() } else { read_menu(menu).unwrap() },
        candidates: Vec::new(),
        out,
        draws: 3,
        seed: 5,
        device: "cpu".into(),
        weights: WeightsChoice::Resident,
        device_memory: None,
        measure: false,
        gradient_score: false,
        changes: None,
    }
}

fn annotated(out: PathBuf, menu: &str) -> SensitivitySettings {
    let tiny = root().join("tests/fixtures/tiny");
    SensitivitySettings {
        text: SketchText::Traces(TraceSettings {
            traces: tiny.join("traces.jsonl"),
            annotations: tiny.join("annotations.jsonl"),
            definition: Definition::Paper,
            reading: None,
            alignment: None,
            only: Vec::new(),
            first: None,
            max_tokens: None,
        }),
        ..settings(out, menu)
    }
}

fn run(settings: SensitivitySettings) -> Result<Sensitivity, RunError> {
    Ok(PlannedSensitivity::new(settings, &mut Silent)?.run(&mut Silent)?.sensitivity)
}

/// Says stop after some windows.
struct Stop {
    finished: usize,
    after: usize,
}

impl Observer for Stop {
    fn event(&mut self, event: Event) {
        if let Event::Finished { done, .. } = event {
            self.finished = done;
        }
    }

    fn stop(&self) -> bool {
        self.finished >= self.after
    }
}

#[test]
fn sensitivity_has_the_same_bytes_however_it_was_shared_or_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = |out: &Path| std::fs::read(out.join(SENSITIVITY_FILE)).unwrap();
    let menu = "rtn-3-g16,gptq-3-g16,magnitude-30";
    let whole = settings(folder.path().join("whole"), menu);
    let found = run(whole.clone()).unwrap();
    assert!(!whole.out.join(".sensitivity").exists(), "nothing is left behind");
    assert_eq!(Sensitivity::from_bytes(&bytes(&whole.out)).unwrap(), found);
    folder::load(&whole.out).unwrap();

    let shared = settings(folder.path().join("shared"), menu);
    for shard in ["2/3", "3/3", "1/3"] {
        let planned = PlannedSensitivity::new(shared.clone(), &mut Silent).unwrap();
        planned.compute(Some(shard.parse().unwrap()), &mut Silent).unwrap();
        assert!(!shared.out.join(SENSITIVITY_FILE).exists());
    }
    run(shared.clone()).unwrap();
    assert!(bytes(&shared.out) == bytes(&whole.out), "shards gave other bytes");

    let stopped = settings(folder.path().join("stopped"), menu);
    let planned = PlannedSensitivity::new(stopped.clone(), &mut Silent).unwrap();
    planned.compute(Some("1/3".parse().unwrap()), &mut Silent).unwrap();
    let planned = PlannedSensitivity::new(stopped.clone(), &mut Silent).unwrap();
    let error = planned.run(&mut Stop { finished: 0, after: 0 }).unwrap_err();
    assert!(error.to_string().contains("stopped on request"), "{error}");
    // A part of another menu is computed again, and one that was cut off is told of.
    let other = settings(stopped.out.clone(), "rtn-2-g16,gptq-3-g16,magnitude-30");
    PlannedSensitivity::new(other, &mut Silent)
        .unwrap()
        .compute(Some("1/3".parse().unwrap()), &mut Silent)
        .unwrap();
    run(stopped.clone()).unwrap();
    assert!(bytes(&stopped.out) == bytes(&whole.out), "an interrupted run gave other bytes");

    let again = PlannedSensitivity::new(whole.clone(), &mut Silent).unwrap().run(&mut Silent).unwrap();
    assert!(again.was_complete);
    let reseeded = run(SensitivitySettings { seed: 6, ..whole }).unwrap();
    assert_ne!(reseeded.scopes, found.scopes);
    assert_eq!(reseeded.bits, found.bits);
}

#[test]
fn sensitivity_of_a_candidate_is_that_of_the_method_that_made_it_and_its_parts_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let tiny = root().join("tests/fixtures/tiny/model");
    let candidate = folder.path().join("made");
    let made = CompressSettings {
        model: tiny,
        out: candidate.clone(),
        recipe: Recipe::of(read_format("rtn-4-g16").unwrap().treatment, None, None),
        calibration: None,
        stored_as: cruxscope_checkpoint::writer::StoredAs::Float32,
        packed: None,
        basis: Basis::Original,
    };
    compress(&made, &mut Silent).unwrap();
    let both = SensitivitySettings {
        candidates: vec![candidate],
        ..annotated(folder.path().join("study"), "rtn-4-g16")
    };
    let found = run(both).unwrap();
    assert_eq!(found.facts.formats[1].name, "made");
    assert!(found.facts.scopes.len() > 1, "the tiny traces hold behaviours");
    for (scope, sketch) in found.facts.scopes.iter().zip(&found.scopes) {
        assert!(sketch.positions.iter().any(|count| *count > 0), "{scope}");
        for pair in sketch.sketch.as_chunks::<2>().0 {
            assert_eq!(pair[0].to_bits(), pair[1].to_bits(), "{scope}");
        }
        let recipe = vec![Some(1); found.facts.components()];
        let cost = found.cost(*scope, &recipe, Bootstrap::default()).unwrap();
        let shares = found.shares(*scope, &recipe).unwrap();
        assert!((shares.iter().sum::<f64>() / cost.kl - 1.0).abs() < 1e-9);
        let measured = found.facts.formats[1].measured.iter().find(|measured| measured.scope == *scope).unwrap();
        println!(
            "{scope}: predicted {:.6}, measured {:.6} over {} positions",
            cost.kl, measured.kl, measured.positions
        );
        assert!(measured.kl > 0.0 && measured.positions == sketch.positions.iter().map(|count| *count as usize).sum::<usize>());
        // Few draws, so only the order of magnitude is certain.
        assert!((cost.kl / measured.kl).ln().abs() < 1.0, "{scope}: {} and {}", cost.kl, measured.kl);
    }
    assert!(found.facts.formats[0].measured.is_empty(), "methods are measured on request only");
}

#[test]
fn sensitivity_predicts_small_changes_of_the_fixtures_as_they_are_measured() {
    for case in cases() {
        let folder = tempfile::tempdir().unwrap();
        let run = |menu: &str, candidates: Vec<PathBuf>| {
            run(SensitivitySettings {
                model: case.model.clone(),
                text: SketchText::Windows(Calibration {
                    source: WindowSource::Tokens {
                        path: case.folder.join("windows.safetensors"),
                        array: Some("windows".into()),
                    },
                    windows: None,
                    seed: None,
                }),
                candidates,
                measure: true,
                draws: 48,
                ..settings(folder.path().join("study"), menu)
            })
            .unwrap()
        };
        let found = run("rtn-8-g16,rtn-6-g16", vec![case.folder.join("candidate")]);
        let exact = numbers(&case.expected["exact_kl"]);
        let expected = exact.iter().sum::<f64>() / exact.len() as f64;
        let measured = found.facts.formats[2].measured[0].kl;
        println!("{}: measured {measured:.8}, expected {expected:.8}", case.name);
        assert!((measured / expected - 1.0).abs() < GATE, "{}: {measured} instead of {expected}", case.name);
        for format in 0..2 {
            let cost = found
                .cost(Scope::All, &[Some(format)].repeat(found.facts.components()), Bootstrap::default())
                .unwrap();
            let measured = found.facts.formats[format].measured[0].kl;
            println!(
                "{}: {} predicted {:.3e}, measured {measured:.3e}",
                case.name, found.facts.formats[format].name, cost.kl
            );
            // 144 draws: a relative error of sqrt(2 / 144), 0.12; windows are few and differ.
            assert!((cost.kl / measured).ln().abs() < 0.5, "{}: {} and {measured}", case.name, cost.kl);
        }
    }
}

#[test]
fn sensitivity_allocates_within_a_budget_and_keeps_its_constraints() {
    let folder = tempfile::tempdir().unwrap();
    let sensitivity = run(annotated(folder.path().join("study"), "rtn-3-g16,rtn-4-g16,rtn-5-g16,rtn-8-g16")).unwrap();
    for scope in sensitivity.facts.scopes.clone() {
        let held = sensitivity.of(scope).unwrap().positions.iter().filter(|count| **count > 0).count();
        for keep_fused in [false, true] {
            let constraints = Constraints {
                keep_fused,
                min_bits: Some(6.0),
                unchanged: false,
            };
            let curve = Curve::new(&sensitivity, scope, constraints, Bootstrap::default());
            if held < 2 {
                assert!(curve.err().unwrap().to_string().contains("two or more"));
                continue;
            }
            let curve = curve.unwrap();
            let allocation = curve.allocate(Target::BitsPerWeight(7.0)).unwrap();
            assert!(allocation.cost.bits_per_weight <= 7.0 + 1e-9 && allocation.cost.bits_per_weight > 6.5);
            // 3 bits and 32 for each group of 16 are 5 bits a weight.
            assert!(allocation.choice.iter().all(|format| *format != Some(0)), "below the least bits");
            if keep_fused {
                for layer in allocation.choice.as_chunks::<7>().0 {
                    assert!(layer[0] == layer[1] && layer[1] == layer[2] && layer[4] == layer[5], "{layer:?}");
                }
            }
            let points = curve.points(6);
            assert!(points.len() >= 3 && points.windows(2).all(|pair| pair[0].bits < pair[1].bits));
            let smaller = curve.allocate(Target::Divergence(points[1].kl)).unwrap();
            assert!(smaller.cost.kl <= points[1].kl);
            let looser = curve.allocate(Target::Divergence(2.0 * points[1].kl)).unwrap();
            assert!(looser.cost.kl <= 2.0 * points[1].kl && looser.cost.bits <= smaller.cost.bits);
            for (target, said) in [
                (Target::BitsPerWeight(2.0), "less than the smallest"),
                (Target::BitsPerWeight(30.0), "more than the largest"),
                (Target::Divergence(1e-12), "no recipe over this menu"),
            ] {
                let error = curve.allocate(target).unwrap_err();
                assert!(error.to_string().contains(said), "{error}");
            }
        }
    }
    let missing = Behaviour::ALL.into_iter().map(Scope::Behaviour).find(|scope| sensitivity.of(*scope).is_none());
    if let Some(missing) = missing {
        let error = Curve::new(&sensitivity, missing, Constraints::default(), Bootstrap::default()).err().unwrap();
        assert!(error.to_string().contains(missing.name()), "{error}");
    }
}

#[test]
fn sensitivity_recipes_mix_awq_with_other_methods_in_a_layer() {
    let folder = tempfile::tempdir().unwrap();
    let tiny = root().join("tests/fixtures/tiny");
    let made = |name: &str, recipe: Recipe, basis: Basis| {
        let settings = CompressSettings {
            model: tiny.join("model"),
            out: folder.path().join(name),
            recipe,
            calibration: Some(Calibration {
                source: WindowSource::Traces {
                    path: tiny.join("traces.jsonl"),
                    length: 24,
                },
                windows: None,
                seed: None,
            }),
            stored_as: cruxscope_checkpoint::writer::StoredAs::Float32,
            packed: None,
            basis,
        };
        compress(&settings, &mut Silent).map(|report| (Checkpoint::open(&settings.out).unwrap(), report))
    };
    let of = |menu: &str| read_format(menu).unwrap().treatment;
    let (awq, _) = made("awq", Recipe::of(of("awq-3-g16"), None, None), Basis::Original).unwrap();
    let (rtn, _) = made("rtn", Recipe::of(of("rtn-4-g16"), None, None), Basis::Original).unwrap();
    let mut recipe = Recipe::of(of("awq-3-g16"), None, None);
    recipe.rules.push(cruxscope_compress::recipe::Rule {
        components: "v,up".into(),
        treatment: Some(of("rtn-4-g16")),
    });
    let (mixed, report) = made("mixed", recipe.clone(), Basis::Original).unwrap();
    for layer in 0..mixed.config().layers {
        let (found, awq, rtn) = (mixed.layer(layer).unwrap(), awq.layer(layer).unwrap(), rtn.layer(layer).unwrap());
        for module in 0..7 {
            let by_rtn = matches!(module, 2 | 5);
            let expected = if by_rtn { &rtn } else { &awq };
            assert!(
                found.projections[module] == expected.projections[module],
                "layer {layer}, module {module} is not what its method alone makes of it"
            );
            let said = report.components[layer * 7 + module].method.as_deref();
            assert_eq!(said, Some(if by_rtn { "round to nearest" } else { "AWQ" }));
        }
        assert_eq!(found.attention_norm, rtn.attention_norm, "norms stay in the original basis");
    }
    let folded = made("folded", recipe, Basis::Folded).err().unwrap();
    assert!(folded.to_string().contains("original basis"), "{folded}");
}

#[test]
fn sensitivity_refuses_what_cannot_be_compared() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("study");
    let refused = |settings: SensitivitySettings, said: &str| {
        let error = run(settings).unwrap_err();
        assert!(error.is_user_error(), "{error}");
        assert!(error.to_string().contains(said), "\"{said}\" is not in: {error}");
        assert!(!out.exists(), "something was written");
    };
    let plain = || settings(out.clone(), "rtn-4-g16");
    let SketchText::Windows(windows) = plain().text else { panic!("windows") };
    let one = SketchText::Windows(Calibration { windows: Some(1), ..windows });
    refused(SensitivitySettings { text: one, ..plain() }, "two or more");
    refused(SensitivitySettings { draws: 0, ..plain() }, "--draws");
    refused(settings(out.clone(), ""), "nothing to compare");
    let missing = vec![folder.path().join("nowhere")];
    refused(
        SensitivitySettings {
            candidates: missing,
            ..plain()
        },
        "does not exist",
    );

    // Candidates: the model itself, also from another file; another model, a folded basis, a missing tensor.
    let candidates = vec![root().join("tests/fixtures/tiny/model")];
    refused(SensitivitySettings { candidates, ..plain() }, "the model's own");
    let Some(models) = fixtures() else { return };
    let other = models.join("interpret/tiny_llama_gqa_untied");
    if other.is_dir() {
        let candidates = vec![other];
        refused(SensitivitySettings { candidates, ..plain() }, "another model");
    }
    let tiny = root().join("tests/fixtures/tiny/model");
    let spoilt = |name: &str, spoil: &dyn Fn(&str, &mut Vec<f32>)| {
        let target = folder.path().join(name);
        std::fs::create_dir(&target).unwrap();
        std::fs::copy(tiny.join("config.json"), target.join("config.json")).unwrap();
        let bytes = std::fs::read(tiny.join("model.safetensors")).unwrap();
        let arrays = SafeTensors::deserialize(&bytes).unwrap();
        let mut kept = Vec::new();
        for (name, view) in arrays.tensors() {
            let mut values: Vec<f32> = view.data().as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect();
            assert_eq!(view.dtype(), safetensors::Dtype::F32);
            spoil(&name, &mut values);
            if !values.is_empty() {
                kept.push((name, view.shape().to_vec(), values.into_iter().flat_map(f32::to_le_bytes).collect::<Vec<u8>>()));
            }
        }
        let views = kept.iter().map(|(name, shape, bytes)| {
            (
                name.clone(),
                safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).unwrap(),
            )
        });
        std::fs::write(target.join("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
        vec![target]
    };
    let copied = spoilt("copied", &|_, _| {});
    refused(SensitivitySettings { candidates: copied, ..plain() }, "the model's own");
    let folded = spoilt("folded", &|name, values| {
        if name.ends_with("layers.0.input_layernorm.weight") {
            values
                .iter_mut()
                .enumerate()
                .for_each(|(place, value)| *value *= 1.0 + 0.1 * (place % 7) as f32);
        }
    });
    refused(SensitivitySettings { candidates: folded, ..plain() }, "folded");
    let lacking = spoilt("lacking", &|name, values| {
        if name.ends_with("layers.1.mlp.up_proj.weight") {
            values.clear();
        }
    });
    refused(
        SensitivitySettings {
            candidates: lacking,
            ..plain()
        },
        "layers.1.mlp.up_proj.weight is missing",
    );
    let unrelated = spoilt("unrelated", &|name, values| {
        if name.contains("proj") {
            values.reverse();
        }
    });
    refused(
        SensitivitySettings {
            candidates: unrelated,
            ..plain()
        },
        "another model",
    );
}

#[test]
fn sensitivity_menus_share_what_calibrated_methods_change() {
    let folder = tempfile::tempdir().unwrap();
    let changes = folder.path().join("changes");
    let shared = |out: &str, menu: &str| {
        let settings = settings(folder.path().join(out), menu);
        run(SensitivitySettings {
            changes: Some(changes.clone()),
            ..settings
        })
        .unwrap()
    };
    let listed = || {
        let entries = std::fs::read_dir(&changes).unwrap().map(|entry| entry.unwrap());
        let mut found: Vec<(String, std::time::SystemTime)> = entries
            .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().modified().unwrap()))
            .collect();
        found.sort();
        found
    };
    let own = run(settings(folder.path().join("own"), "rtn-3-g16,gptq-3-g16")).unwrap();
    assert_eq!(shared("same", "rtn-3-g16,gptq-3-g16"), own, "where changes are kept is no matter of numbers");
    let before = listed();
    assert!(!before.is_empty(), "they are kept");
    let wider = shared("wider", "gptq-4-g16,gptq-3-g16");
    let after = listed();
    assert!(before.iter().all(|file| after.contains(file)), "what was there was computed again");
    assert!(after.len() > before.len());
    let of = |sensitivity: &Sensitivity| {
        sensitivity.scopes[0]
            .sketch
            .iter()
            .skip(1)
            .step_by(2)
            .map(|value| value.to_bits())
            .collect::<Vec<_>>()
    };
    assert_eq!(of(&wider), of(&own), "the shared format gives the same numbers in both menus");
    // Other calibration text, other changes.
    let mut other = settings(folder.path().join("other"), "gptq-3-g16");
    let SketchText::Windows(windows) = other.text.clone() else {
        panic!("windows")
    };
    other.calibration = Some(Calibration { windows: Some(3), ..windows });
    other.changes = Some(changes.clone());
    run(other).unwrap();
    assert!(listed().iter().any(|file| !after.contains(file)), "changes by other text were taken");
}
