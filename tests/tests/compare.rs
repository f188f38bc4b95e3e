//! Where two models part: resumed to the byte, against plain formulas, and causes against differences of the divergence itself.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, outside their functions

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cruxscope_checkpoint::writer::StoredAs;
use cruxscope_compress::method::MethodConfig;
use cruxscope_compress::quantize::{Bits, Clipping, Grid, GridSettings, GroupSize};
use cruxscope_compress::recipe::Recipe;
use cruxscope_needs::{root, smollm2};
use cruxscope_run::compare::{CompareSettings, CompareText, PlannedCompare};
use cruxscope_run::compress::{Basis, CompressSettings, compress};
use cruxscope_run::instances::TraceSettings;
use cruxscope_run::perplexity::perplexity;
use cruxscope_run::placement::WeightsChoice;
use cruxscope_run::windows::{Calibration, WindowSource};
use cruxscope_run::{Event, Observer, RunError, Silent};
use cruxscope_study::{Component, DIVERGENCE_FILE, Definition, Divergence, Module, Positions};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

fn tiny() -> PathBuf {
    root().join("tests/fixtures/tiny")
}

fn rounded(model: &Path, out: PathBuf, bits: u8, group: i64) -> PathBuf {
    let treatment = MethodConfig::Rtn(GridSettings {
        grid: Grid::AwqAsym,
        bits: Bits::new(bits).unwrap(),
        group_size: GroupSize::new(group).unwrap(),
        clipping: Clipping::None,
    });
    let settings = CompressSettings {
        model: model.to_owned(),
        out: out.clone(),
        recipe: Recipe::of(treatment, None, None),
        calibration: None,
        stored_as: StoredAs::Float32,
        packed: None,
        basis: Basis::Original,
    };
    compress(&settings, &mut Silent).unwrap();
    out
}

fn settings(b: PathBuf, out: PathBuf, causes: &[Positions]) -> CompareSettings {
    CompareSettings {
        a: tiny().join("model"),
        b,
        text: CompareText::Annotated(TraceSettings {
            traces: tiny().join("traces.jsonl"),
            annotations: tiny().join("annotations.jsonl"),
            definition: Definition::Paper,
            reading: None,
            alignment: None,
            only: Vec::new(),
            first: None,
            max_tokens: None,
        }),
        out,
        causes: causes.to_vec(),
        generate: None,
        simulate_activations: false,
        device: "cpu".into(),
        weights: WeightsChoice::Resident,
    }
}

fn run(settings: CompareSettings) -> Divergence {
    PlannedCompare::new(settings, &mut Silent).unwrap().run(&mut Silent).unwrap().divergence
}

/// Says stop after so many steps.
struct After(Cell<usize>);

impl Observer for After {
    fn event(&mut self, event: Event) {
        if matches!(event, Event::Advanced { .. }) {
            self.0.set(self.0.get().saturating_sub(1));
        }
    }

    fn stop(&self) -> bool {
        self.0.get() == 0
    }
}

const CAUSES: [Positions; 3] = [Positions::All, Positions::Rest, Positions::Parted];

#[test]
fn stopped_anywhere_and_gone_on_with_it_is_the_same_to_the_byte() {
    let place = tempfile::tempdir().unwrap();
    let b = rounded(&tiny().join("model"), place.path().join("b"), 3, 16);
    let whole = settings(b.clone(), place.path().join("whole"), &CAUSES);
    run(whole);
    let bytes = |name: &str| std::fs::read(place.path().join(name).join(DIVERGENCE_FILE)).unwrap();
    for steps in [1, 4, 9, 17] {
        let out = place.path().join(format!("stopped-{steps}"));
        let again = || settings(b.clone(), out.clone(), &CAUSES);
        let stopped = PlannedCompare::new(again(), &mut Silent).unwrap().run(&mut After(Cell::new(steps)));
        assert!(matches!(stopped, Err(RunError::Interpret(_))), "{steps}");
        run(again());
        assert!(bytes("whole") == bytes(&format!("stopped-{steps}")), "stopped after {steps} steps");
        assert!(!out.join(".divergence").exists());
    }
    // Streamed layers and other batches change nothing.
    run(CompareSettings {
        weights: WeightsChoice::Streamed,
        ..settings(b, place.path().join("streamed"), &CAUSES)
    });
    assert!(bytes("whole") == bytes("streamed"));
}

#[test]
fn losses_are_those_of_perplexity_and_causes_add_up_over_positions() {
    let place = tempfile::tempdir().unwrap();
    let b = rounded(&tiny().join("model"), place.path().join("b"), 3, 16);
    let every: Vec<Positions> = Positions::every().collect();
    let found = run(settings(b.clone(), place.path().join("out"), &every));
    let windows: Vec<Vec<u32>> = cruxscope_trace::Trace::read_all(&tiny().join("traces.jsonl"))
        .unwrap()
        .into_iter()
        .map(|trace| match trace.content {
            cruxscope_trace::TraceContent::Tokens(ids) => ids,
            cruxscope_trace::TraceContent::Text { .. } => panic!("the tiny traces are tokens"),
        })
        .collect();
    for (side, model) in [tiny().join("model"), b].into_iter().enumerate() {
        let checkpoint = std::sync::Arc::new(cruxscope_checkpoint::Checkpoint::open(&model).unwrap());
        let kernels = cruxscope_model::kernels::cpu::CpuKernels;
        let decoder = cruxscope_model::decoder::Decoder::new(checkpoint, kernels, cruxscope_model::decoder::Residence::Resident).unwrap();
        let expected = perplexity(&decoder, &windows, &mut Silent).unwrap().perplexity;
        let mean: f64 = found.losses[side].iter().map(|loss| f64::from(*loss)).sum::<f64>() / found.kl.len() as f64;
        assert!((mean.exp() / expected - 1.0).abs() < 1e-5, "{} {expected}", mean.exp());
    }
    // Positions inside and outside of behaviours, or at all places of the text, are all positions: so are their causes.
    let shares = |positions: Positions| {
        let place = found.facts.caused.iter().position(|known| *known == positions);
        place.map_or_else(|| vec![0.0; found.shares[0].len()], |place| found.shares[place].clone())
    };
    let all = shares(Positions::All);
    let largest = all.iter().fold(0.0f64, |most, value| most.max(value.abs()));
    let places: Vec<Vec<f64>> = cruxscope_study::Place::ALL.into_iter().map(|place| shares(Positions::At(place))).collect();
    for (at, value) in all.iter().enumerate() {
        let sum: f64 = places.iter().map(|own| own[at]).sum();
        // Measured: 2e-6 of the largest.
        assert!((sum - value).abs() < 1e-4 * largest, "{sum} {value}");
    }
}

/// The tensors of a file of float32 numbers.
fn tensors(path: &Path) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let bytes = std::fs::read(path).unwrap();
    let arrays = SafeTensors::deserialize(&bytes).unwrap();
    let read = |name: &str| {
        let view = arrays.tensor(name).unwrap();
        let values = match view.dtype() {
            Dtype::F32 => view.data().as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect(),
            other => panic!("{name} is {other:?}"),
        };
        (view.shape().to_vec(), values)
    };
    arrays.names().into_iter().map(|name| (name.to_owned(), read(name))).collect()
}

fn write(folder: &Path, tensors: &BTreeMap<String, (Vec<usize>, Vec<f32>)>) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::copy(tiny().join("model/config.json"), folder.join("config.json")).unwrap();
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, (shape, values))| (name.clone(), shape.clone(), values.iter().flat_map(|value| value.to_le_bytes()).collect()))
        .collect();
    let views: Vec<(String, TensorView<'_>)> = bytes
        .iter()
        .map(|(name, shape, bytes)| (name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()))
        .collect();
    std::fs::write(folder.join("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn causes_are_half_the_slope_of_the_divergence_along_each_change() {
    let place = tempfile::tempdir().unwrap();
    let original = tensors(&tiny().join("model/model.safetensors"));
    // Every matrix of the layers is changed by noise of a hundredth of its size.
    let mut random = cruxscope_statistics::SplitMix::new(5);
    let mut noisy = original.clone();
    for (name, (_, values)) in &mut noisy {
        if name.contains("_proj.weight") {
            let size = (values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>() / values.len() as f64).sqrt();
            values.iter_mut().for_each(|value| *value += (0.01 * size * (random.share() - 0.5)) as f32);
        }
    }
    write(&place.path().join("b"), &noisy);
    let compare = |name: &str, causes: &[Positions]| {
        run(CompareSettings {
            device: "reference".into(),
            ..settings(place.path().join(name), place.path().join(format!("{name}-study")), causes)
        })
    };
    let sum = |found: &Divergence| found.kl.iter().map(|kl| f64::from(*kl)).sum::<f64>();
    let found = compare("b", &[Positions::All]);
    let components = found.facts.layers * 7;
    let share = |component: usize| -> f64 { found.shares[0].iter().skip(component).step_by(components).sum() };
    let shares: f64 = (0..components).map(share).sum();
    // Nothing but these matrices differs and the change is small: second order explains it. Measured: 1.5 %.
    assert!((shares / sum(&found) - 1.0).abs() < 0.05, "{shares} {}", sum(&found));
    let step = 0.05;
    for component in [
        Component::new(0, Module::Query),
        Component::new(1, Module::Up),
        Component::new(2, Module::Down),
        Component::new(0, Module::Value),
    ] {
        let projection = component.module.projection();
        let block = if matches!(component.module, Module::Gate | Module::Up | Module::Down) {
            "mlp"
        } else {
            "self_attn"
        };
        let name = format!("model.layers.{}.{block}.{projection}.weight", component.layer.0);
        let at = |factor: f64, folder: &str| {
            let mut moved = noisy.clone();
            let own = &original[&name].1;
            let values = &mut moved.get_mut(&name).unwrap().1;
            values.iter_mut().zip(own).for_each(|(value, own)| {
                *value = (f64::from(*own) + factor * (f64::from(*value) - f64::from(*own))) as f32;
            });
            write(&place.path().join(folder), &moved);
            sum(&compare(folder, &[]))
        };
        let folder = |side: &str| format!("{component}-{side}");
        let slope = (at(1.0 + step, &folder("more")) - at(1.0 - step, &folder("less"))) / (2.0 * step);
        let own = share(component.index());
        // Measured: 1e-3.
        assert!(
            (own - slope / 2.0).abs() < 0.01 * slope.abs() + 1e-6 * sum(&found),
            "{component}: {own} {}",
            slope / 2.0
        );
    }
}

#[test]
fn a_real_model_parts_from_its_rounded_selves_as_they_are_rounded() {
    let Some(model) = smollm2() else { return };
    let place = tempfile::tempdir().unwrap();
    let text = place.path().join("text.txt");
    let words = "Let me think about this step by step. First, the train leaves at nine. Wait, maybe it leaves at ten? Let me check the other case. ";
    std::fs::write(&text, words.repeat(12)).unwrap();
    let mut means = Vec::new();
    for bits in [3u8, 4] {
        let b = rounded(&model, place.path().join(format!("{bits}")), bits, 64);
        let found = run(CompareSettings {
            a: model.clone(),
            text: CompareText::Windows(Calibration {
                source: WindowSource::Text {
                    path: text.clone(),
                    length: 64,
                },
                windows: Some(3),
                seed: None,
            }),
            ..settings(b, place.path().join(format!("study-{bits}")), &[Positions::All])
        });
        let kl = found.mean_kl(Positions::All).unwrap().value;
        let explained: f64 = found.causes(Positions::All).unwrap().iter().map(|cause| cause.adds.value).sum();
        println!("{bits} bits: divergence {kl:.4}, explained {explained:.4}");
        assert!(kl > 0.0 && explained > 0.3 * kl && explained < 3.0 * kl, "{kl} {explained}");
        means.push(kl);
    }
    assert!(means[0] > 2.0 * means[1], "three bits cost more than four: {means:?}");
}
