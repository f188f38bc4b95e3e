//! Sensitivity, validation and trials of every family under `architectures/` of the fixtures: components of several linear maps, such as
//! experts, and of one, by gradients against differences, alone against together, predicted against measured.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests, outside their functions

mod architectures_support;
mod interpretation_support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use architectures_support::{Case, cases, root_of, windows};
use cruxscope_checkpoint::writer::StoredAs;
use cruxscope_checkpoint::{Checkpoint, Matrix};
use cruxscope_compress::recipe::Recipe;
use cruxscope_interpret::activations::ActivationStorage;
use cruxscope_model::block;
use cruxscope_model::decoder::{Decoder, Residence};
use cruxscope_model::head;
use cruxscope_model::kernels::Kernels as _;
use cruxscope_model::kernels::cpu::CpuKernels;
use cruxscope_model::kernels::reference::ReferenceKernels;
use cruxscope_run::Silent;
use cruxscope_run::compress::{Basis, CompressSettings, compress};
use cruxscope_run::instances::TraceSettings;
use cruxscope_run::interpret::{InterpretSettings, PlannedRun};
use cruxscope_run::placement::WeightsChoice;
use cruxscope_run::sensitivity::{PlannedSensitivity, SensitivitySettings, SketchText};
use cruxscope_run::trial::{Entry, OpenTrial, Subject, TrialSettings};
use cruxscope_run::validate::{ValidateSettings, validate};
use cruxscope_run::windows::{Calibration, WindowSource};
use cruxscope_sensitivity::SensitivityError;
use cruxscope_sensitivity::labels::Labels;
use cruxscope_sensitivity::menu::read_menu;
use cruxscope_sensitivity::outputs::{LayerChanges, modules_of};
use cruxscope_sensitivity::recipe::recipe_of;
use cruxscope_sensitivity::reference::{mean_divergence, sketch_by_differences};
use cruxscope_sensitivity::sketch::{SketchOptions, SketchWindow, sketch};
use cruxscope_statistics::{Bootstrap, SplitMix};
use cruxscope_study::{Component, Definition, Module, Scope, Sensitivity, SensitivityFacts, folder};
use interpretation_support::Differences;

/// Families whose layers differ in what the seven modules are: mixtures, latent attention, no gate, delta rules; capped logits; fused.
const KINDS: [&str; 7] = ["qwen3_moe", "deepseek_v3", "nemotron", "qwen3_next", "gemma2", "phi3", "gpt_oss"];

/// A small change of every linear map that is a component or a part of one, `[map]`.
fn change(checkpoint: &Checkpoint, layer: usize) -> Vec<Option<Matrix>> {
    let modules = modules_of(checkpoint.config(), layer);
    let weights = checkpoint.layer(layer).unwrap();
    let of_map = |(map, module): (usize, &Option<Module>)| {
        let weight = &weights.projections[map].weight;
        module.filter(|_| weight.rows > 0)?;
        let mut random = SplitMix::new((layer * 1000 + map) as u64);
        let size = weight.values.iter().map(|value| value.abs()).fold(0.0, f32::max);
        Some(Matrix {
            rows: weight.rows,
            columns: weight.columns,
            values: (0..weight.values.len()).map(|_| 0.02 * size * (random.share() as f32 - 0.5)).collect(),
        })
    };
    modules.iter().enumerate().map(of_map).collect()
}

fn sketched<K: cruxscope_model::kernels::Kernels>(
    decoder: &Decoder<K>,
    ids: &[u32],
    labels: &[u32],
    formats: usize,
    changes: impl Fn(usize) -> LayerChanges,
) -> cruxscope_sensitivity::part::WindowPart {
    let parts = sketch::<_, SensitivityError>(
        decoder,
        &[SketchWindow::whole("0", ids.to_vec())],
        &|_| Labels::Given(vec![labels.to_vec()]),
        SketchOptions { formats, gradient_score: true },
        (ActivationStorage::Device, Path::new("")),
        &mut |layer| Ok(changes(layer)),
        &mut |_| true,
    );
    parts.unwrap().remove(0)
}

/// Tokens of a text, and labels that are other tokens.
fn text(case: &Case) -> (Vec<u32>, Vec<u32>) {
    let mut windows = windows(case);
    let length = 24;
    let labels = windows.remove(1)[..length].to_vec();
    (windows.remove(0)[..length].to_vec(), labels)
}

#[test]
fn families_are_sketched_as_differences_of_the_loss_say() {
    for (case, checkpoint) in cases() {
        let decoder = Decoder::new(checkpoint.clone(), ReferenceKernels, Residence::Resident).unwrap();
        let (ids, labels) = text(&case);
        let found = sketched(&decoder, &ids, &labels, 1, |layer| vec![change(&checkpoint, layer)]);
        let counts = vec![1.0; ids.len()];
        let largest = found.scopes[0].sketch.iter().map(|value| f64::from(value.abs())).fold(0.0, f64::max);
        let mut differences = Differences::default();
        for layer in 0..checkpoint.config().layers {
            let changes = vec![change(&checkpoint, layer)];
            let mut sums = [0.0; 7];
            for (map, module) in modules_of(checkpoint.config(), layer).into_iter().enumerate() {
                let Some(module) = module else { continue };
                let place = (layer, map);
                sums[module.index()] += sketch_by_differences(&decoder, &checkpoint, &ids, &labels, &counts, place, &changes, 0).unwrap();
            }
            for (module, sum) in Module::ALL.into_iter().zip(sums) {
                let component = Component::new(layer, module);
                let sketch = f64::from(found.scopes[0].sketch[component.index()]);
                differences.note("sketch", 5e-5, (sketch - sum).abs() / largest, || component.to_string());
            }
        }
        differences.finish(&case.name);
    }
}

/// With the maps of a component changed one at a time, each in a format of its own, what is said of them adds up to what is said of all
/// changed together; single positions do where no two maps share one.
#[test]
fn components_are_the_sums_of_their_maps() {
    for (case, checkpoint) in cases() {
        let decoder = Decoder::new(checkpoint.clone(), CpuKernels, Residence::Resident).unwrap();
        let (ids, labels) = text(&case);
        let most = (0..checkpoint.config().layers)
            .map(|layer| checkpoint.config().modules(layer).len())
            .max()
            .unwrap();
        let formats = most + 1;
        let menu = |layer: usize| -> LayerChanges {
            let all = change(&checkpoint, layer);
            let alone = |map: usize| (0..all.len()).map(|other| all[other].clone().filter(|_| other == map)).collect();
            std::iter::once(all.clone()).chain((0..most).map(alone)).collect()
        };
        let found = sketched(&decoder, &ids, &labels, formats, menu);
        let mut differences = Differences::default();
        let mut reached = 0;
        for component in Component::all(checkpoint.config().layers) {
            let own = component.index() * formats..(component.index() + 1) * formats;
            let mut check = |what: &'static str, values: Vec<f64>| {
                let (together, alone) = (values[0], values[1..].iter().sum::<f64>());
                let size: f64 = values[1..].iter().map(|value| value.abs()).sum();
                differences.note(what, 1e-4, (together - alone).abs() / size.max(1e-6), || component.to_string());
            };
            let wide = |values: &[f32]| values[own.clone()].iter().map(|value| f64::from(*value)).collect::<Vec<f64>>();
            check("sketch", wide(&found.scopes[0].sketch));
            check("squares of outputs", wide(&found.scopes[0].outputs));
            check("errors by inputs", found.input_error[own.clone()].to_vec());
            check("first order", found.first_order[own.clone()].to_vec());
            reached += usize::from(found.input_error[own.clone()].iter().filter(|error| **error > 0.0).count() > 2);
        }
        let config = checkpoint.config();
        let is_plain = (0..config.layers).all(|layer| config.modules(layer).iter().all(|map| map.part.is_none()));
        assert_eq!(reached == 0, is_plain, "{}: {reached} components of several maps", case.name);
        differences.finish(&case.name);
    }
}

fn of_kinds() -> Vec<(Case, Arc<Checkpoint>)> {
    cases().into_iter().filter(|(case, _)| KINDS.contains(&case.name.as_str())).collect()
}

fn text_of(case: &Case, windows: usize) -> Calibration {
    Calibration {
        source: WindowSource::Tokens {
            path: root_of(case).join("tokens.safetensors"),
            array: Some("w".into()),
        },
        windows: Some(windows),
        seed: None,
    }
}

fn sensitivity_settings(case: &Case, out: PathBuf, menu: &str, draws: usize) -> SensitivitySettings {
    SensitivitySettings {
        model: case.folder.clone(),
        text: SketchText::Windows(text_of(case, 3)),
        calibration: None,
        menu: read_menu(menu).unwrap(),
        candidates: Vec::new(),
        out,
        draws,
        seed: 5,
        device: "cpu".into(),
        weights: WeightsChoice::Resident,
        device_memory: None,
        measure: true,
        gradient_score: false,
        changes: None,
    }
}

/// A model with small changes in every linear map diverges as far as the sketch of drawn labels says: in every family, in float64, of all
/// components together and of those of the first layer alone. The changes are so small that no token is sent to another expert.
#[test]
fn small_changes_cost_what_is_predicted_in_every_family() {
    const SMALL: f32 = 1.0 / 64.0;
    for (case, checkpoint) in cases() {
        let decoder = Decoder::new(checkpoint.clone(), ReferenceKernels, Residence::Resident).unwrap();
        let small = |layer: usize| -> Vec<Option<Matrix>> {
            let mut changes = change(&checkpoint, layer);
            changes
                .iter_mut()
                .flatten()
                .for_each(|change| change.values.iter_mut().for_each(|value| *value *= SMALL));
            changes
        };
        let (ids, _) = text(&case);
        let draws = 256;
        let parts = sketch::<_, SensitivityError>(
            &decoder,
            &[SketchWindow::whole("0", ids.clone())],
            &|_| Labels::Drawn { seed: 3, draws },
            SketchOptions {
                formats: 1,
                gradient_score: false,
            },
            (ActivationStorage::Device, Path::new("")),
            &mut |layer| Ok(vec![small(layer)]),
            &mut |_| true,
        );
        let found = parts.unwrap().remove(0);
        let own = head::logits(&decoder, &block::run(&decoder, &ids).unwrap()).unwrap();
        let layers = checkpoint.config().layers;
        for changed in [layers, 1] {
            let rotation = decoder.rotation(&(0..ids.len()).collect::<Vec<_>>());
            let mut hidden = decoder.embed(&ids).unwrap();
            for layer in 0..layers {
                let mut own = decoder.bring(checkpoint.layer(layer).unwrap());
                for (weight, change) in own.weights.iter_mut().zip(small(layer)).filter(|_| layer < changed) {
                    if let Some(change) = change {
                        *weight = ReferenceKernels.add(weight.clone(), &ReferenceKernels.upload(change.rows, change.columns, change.values));
                    }
                }
                hidden = block::forward(decoder.kernels(), &decoder.shape(), &own, &hidden, &rotation, |_, _, _| Ok(()))
                    .unwrap()
                    .0;
            }
            let exact = mean_divergence(&own, &head::logits(&decoder, &hidden).unwrap(), ids.len());
            let of_draws = found.scopes[0].sketch.chunks_exact(layers * 7);
            let squares: f64 = of_draws
                .map(|draw| draw[..changed * 7].iter().map(|s| f64::from(*s)).sum::<f64>().powi(2))
                .sum();
            let predicted = squares / (2 * draws * ids.len()) as f64;
            println!("{} layers 1 to {changed}: predicted {predicted:.4e}, exact {exact:.4e}", case.name);
            // 256 draws: a relative error of sqrt(2 / 256), 0.09.
            assert!((predicted / exact).ln().abs() < 0.35, "{}: {predicted} and {exact}", case.name);
        }
    }
}

/// The prediction for every component in a format of small errors is what a float64 program measures of the compressed model, where no
/// router sends tokens elsewhere; what is measured is so everywhere.
#[test]
fn predicted_divergences_are_those_that_compression_causes() {
    for (case, checkpoint) in of_kinds() {
        let scratch = tempfile::tempdir().unwrap();
        let settings = sensitivity_settings(&case, scratch.path().join("study"), "rtn-8-g16,rtn-6-g16", 96);
        let found = PlannedSensitivity::new(settings, &mut Silent).unwrap().run(&mut Silent).unwrap().sensitivity;
        assert_eq!(Sensitivity::from_bytes(&found.to_bytes().unwrap()).unwrap(), found);
        let config = checkpoint.config();
        let weights: usize = (0..config.layers)
            .flat_map(|layer| config.modules(layer))
            .filter(|map| map.slot.is_some())
            .map(|map| map.rows * map.columns)
            .sum();
        let all: f64 = (0..found.facts.components()).map(|component| found.facts.weights_of(component)).sum();
        assert_eq!(all, weights as f64, "{}", case.name);
        assert_eq!(found.facts.schema, SensitivityFacts::schema_for(&found.facts.weights));
        for format in 0..2 {
            let choice = vec![Some(format); found.facts.components()];
            let cost = found.cost(Scope::All, &choice, Bootstrap::default()).unwrap();
            // 8 or 6 bits, and 32 for each group of 16.
            let bits = [8.0, 6.0][format] + 2.0;
            assert!((cost.bits_per_weight - bits).abs() < 0.1, "{}: {} bits", case.name, cost.bits_per_weight);
            let measured = found.facts.formats[format].measured[0].kl;
            // The checkpoint that `compress` writes for this choice, in float64.
            let out = scratch.path().join(format!("compressed-{format}"));
            let recipe: Recipe = recipe_of(&found, &choice).unwrap().unwrap();
            let settings = CompressSettings {
                model: case.folder.clone(),
                out: out.clone(),
                recipe,
                calibration: None,
                stored_as: StoredAs::Float32,
                packed: None,
                basis: Basis::Original,
            };
            compress(&settings, &mut Silent).unwrap();
            let logits = |checkpoint: Arc<Checkpoint>, ids: &[u32]| {
                let decoder = Decoder::new(checkpoint, ReferenceKernels, Residence::Resident).unwrap();
                head::logits(&decoder, &block::run(&decoder, ids).unwrap()).unwrap()
            };
            let other = Arc::new(Checkpoint::open(&out).unwrap());
            let (mut sum, mut positions) = (0.0, 0);
            for ids in windows(&case).iter().take(3) {
                let (own, other) = (logits(checkpoint.clone(), ids), logits(other.clone(), ids));
                sum += mean_divergence(&own, &other, ids.len()) * ids.len() as f64;
                positions += ids.len();
            }
            let exact = sum / positions as f64;
            println!(
                "{} {}: predicted {:.3e}, measured {measured:.3e}, exact {exact:.3e}",
                case.name, found.facts.formats[format].name, cost.kl
            );
            assert!((measured / exact - 1.0).abs() < 0.05, "{}: measured {measured}, in float64 {exact}", case.name);
            // 288 draws: a relative error of sqrt(2 / 288), 0.08. A token that a change sends to another expert costs more than is predicted.
            let has_routers = (0..config.layers).any(|layer| config.experts(layer).is_some());
            assert!(has_routers || (cost.kl / exact).ln().abs() < 0.5, "{}: {} and {exact}", case.name, cost.kl);
        }
    }
}

fn study_of(case: &Case, out: PathBuf, channels: bool) -> cruxscope_study::Study {
    let settings = InterpretSettings {
        model: case.folder.clone(),
        traces: TraceSettings {
            traces: root_of(case).join("traces.jsonl"),
            annotations: root_of(case).join("annotations.jsonl"),
            definition: Definition::Paper,
            reading: None,
            alignment: None,
            only: Vec::new(),
            first: None,
            max_tokens: None,
        },
        out,
        device: "cpu".into(),
        weights: WeightsChoice::Resident,
        device_memory: None,
        simulate_activations: false,
        channels,
        texts: false,
        title: None,
    };
    PlannedRun::new(settings, &mut Silent).unwrap().run(&mut Silent).unwrap().study
}

/// Channels of a component, or of each of its parts, add up to its importance.
#[test]
fn channels_add_up_to_components_and_parts() {
    for (case, checkpoint) in of_kinds() {
        let scratch = tempfile::tempdir().unwrap();
        let study = study_of(&case, scratch.path().join("study"), true);
        assert_eq!(folder::load(&scratch.path().join("study")).unwrap(), study, "{}", case.name);
        let channels = study.channels.as_ref().unwrap();
        let mut differences = Differences::default();
        for behaviour in cruxscope_study::Behaviour::ALL.into_iter().filter(|behaviour| study.importance.has(*behaviour)) {
            let importance = study.importance.of(behaviour);
            let total: f64 = importance.iter().sum();
            let sum = |values: &[f32]| values.iter().map(|value| f64::from(*value)).sum::<f64>().abs();
            let mut of_components = vec![0.0; importance.len()];
            if let (Some(layout), Some(parts)) = (&study.manifest.model.parts, &study.parts) {
                for (place, (component, part)) in layout.all().enumerate() {
                    let found = sum(channels.of_part(behaviour, layout, place).unwrap());
                    let wanted = parts.importance[behaviour.index()][place];
                    differences.note("part", 1e-5, (found - wanted).abs() / total, || format!("{component}.{}", part.name));
                    of_components[component.index()] += found;
                }
            }
            for component in Component::all(checkpoint.config().layers) {
                let found = of_components[component.index()] + sum(channels.of(behaviour, component.layer.0, component.module).unwrap());
                differences.note("component", 1e-5, (found - importance[component.index()]).abs() / total, || {
                    component.to_string()
                });
            }
        }
        differences.finish(&case.name);
    }
}

/// What validation says of a component is the divergence of the model in which all its maps, and no others, are compressed; of one that a
/// layer does not have, none. A trial measures the same of a recipe that compresses it alone.
#[test]
fn validations_and_trials_compress_whole_components() {
    for (case, checkpoint) in of_kinds() {
        let scratch = tempfile::tempdir().unwrap();
        let out = scratch.path().join("study");
        study_of(&case, out.clone(), false);
        let menu = "rtn-3-g16";
        let sensitivity = PlannedSensitivity::new(
            SensitivitySettings {
                measure: false,
                ..sensitivity_settings(&case, out.clone(), menu, 2)
            },
            &mut Silent,
        );
        let sensitivity = sensitivity.unwrap().run(&mut Silent).unwrap().sensitivity;
        let treatment = read_menu(menu).unwrap().remove(0).treatment;
        let settings = ValidateSettings {
            study: out.clone(),
            model: case.folder.clone(),
            treatment,
            text: text_of(&case, 2),
            calibration: None,
            residence: Residence::Resident,
            device: "cpu".into(),
        };
        let validation = validate(&settings, &mut Silent).unwrap();
        assert_eq!(validation.components.len(), 7 * checkpoint.config().layers);
        // The last layer's modules, each alone.
        let last = checkpoint.config().layers - 1;
        let alone = |module: Module| {
            let mut choice = vec![None; sensitivity.facts.components()];
            choice[Component::new(last, module).index()] = Some(0);
            choice
        };
        let entries: Vec<Entry> = (Module::ALL.into_iter())
            .map(|module| Entry {
                name: module.to_string(),
                group: String::new(),
                rule: String::new(),
                subject: Subject::Recipe(alone(module)),
            })
            .collect();
        let trial = OpenTrial::open(
            TrialSettings {
                model: case.folder.clone(),
                study: out.clone(),
                held_out: text_of(&case, 2),
                calibration: None,
                candidates: Vec::new(),
                results: None,
                changes: None,
                simulate_activations: false,
                device: "cpu".into(),
            },
            &mut Silent,
        );
        let trial = trial.unwrap().run(&entries, &mut Silent).unwrap();
        for (module, row) in Module::ALL.into_iter().zip(&trial.rows) {
            let component = Component::new(last, module);
            let predictions: usize = row.windows.iter().map(|window| window.predictions).sum();
            let measured = row.windows.iter().map(|window| window.kl).sum::<f64>() / predictions as f64;
            let validated = validation.components[component.index()].divergence;
            let is_there = sensitivity.facts.weights_of(component.index()) > 0.0;
            println!("{} {component}: {validated:.4e} validated, {measured:.4e} in a trial", case.name);
            assert!((validated - measured).abs() <= 1e-4 * measured.abs() + 1e-8, "{} {component}", case.name);
            assert_eq!(validated > 1e-7, is_there, "{} {component}: {validated}", case.name);
        }
    }
}
