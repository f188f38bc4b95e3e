//! Every family of models under `architectures/` of the fixtures: the loss and the relative importance of an independent program, gradients
//! against slopes, generation against the whole text. What does not open is refused by name.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, outside their functions

mod architectures_support;
mod interpretation_support;

use std::collections::BTreeMap;
use std::sync::Arc;

use architectures_support::{Case, cases, instances, windows};
use cruxscope_checkpoint::Checkpoint;
use cruxscope_interpret::Layout;
use cruxscope_interpret::attribution::{Steering, contribution};
use cruxscope_interpret::pass::{self, Instance};
use cruxscope_interpret::segment::Segment;
use cruxscope_model::block;
use cruxscope_model::decoder::{Decoder, Residence};
use cruxscope_model::device::{self, ChosenDevice};
use cruxscope_model::generation::Generator;
use cruxscope_model::head;
use cruxscope_model::kernels::Kernels;
use cruxscope_model::kernels::cpu::CpuKernels;
use cruxscope_model::kernels::reference::ReferenceKernels;
use cruxscope_study::{Behaviour, Component, Contributions, Definition, Module};
use interpretation_support::{Differences, FLOAT32};
use serde_json::Value;

/// Largest difference of relative importance in float64. The independent program takes cos and sin in float32, which differ in their
/// last bit; a small Gemma 2 shows 1.4e-5 of it.
const IN_FLOAT64: f64 = 2e-5;
/// Largest difference of a mean loss (fixtures' README).
const LOSS: f64 = 2e-5;

/// Negative log-likelihoods of a text's tokens after its first, summed.
fn text_loss<K: Kernels>(decoder: &Decoder<K>, hidden: &K::Matrix, ids: &[u32]) -> f64 {
    let kernels = decoder.kernels();
    let logits = head::logits(decoder, &kernels.slice(hidden, 0, ids.len() - 1)).unwrap();
    let (losses, _) = kernels.cross_entropy(logits, &ids[1..], &vec![1.0; ids.len() - 1]).unwrap();
    losses.iter().sum()
}

fn compare<K: Kernels>(case: &Case, checkpoint: &Arc<Checkpoint>, kernels: K, importance_gate: f64) {
    let decoder = Decoder::new(checkpoint.clone(), kernels, Residence::Resident).unwrap();
    let mut differences = Differences::default();
    let windows = windows(case);
    let total: f64 = windows.iter().map(|ids| text_loss(&decoder, &block::run(&decoder, ids).unwrap(), ids)).sum();
    let predictions: usize = windows.iter().map(|ids| ids.len() - 1).sum();
    let wanted = case.expected["mean_loss"].as_f64().unwrap();
    differences.note("mean loss", LOSS, (total / predictions as f64 - wanted).abs(), String::new);

    if let Some(wanted) = case.expected["relative_importance"].as_array() {
        let (layout, definition) = (Layout::of(decoder.config()), Definition::Paper);
        let parts = pass::interpret(&decoder, &instances(case), definition, &mut |_| true).unwrap();
        let mut steering = Steering::new(layout.clone(), definition);
        parts.iter().for_each(|part| steering.add(part).unwrap());
        let steering = steering.finish();
        let contributions = Contributions {
            instances: parts.iter().map(|part| contribution(part, &steering, &layout, definition)).collect(),
        };
        let importance = contributions.importance(layout.layers()).unwrap();
        let behaviours = case.expected["behaviours"].as_array().unwrap();
        for (behaviour, wanted) in behaviours.iter().zip(wanted) {
            let behaviour: Behaviour = behaviour.as_str().unwrap().parse().unwrap();
            let found = importance.relative_of(behaviour);
            for component in Component::all(layout.layers()) {
                let wanted = wanted[component.layer.0][component.module.index()].as_f64().unwrap();
                differences.note("relative importance", importance_gate, (found[component.index()] - wanted).abs(), || {
                    format!("{behaviour} {component}")
                });
            }
        }
    }
    differences.finish(&format!("{} on {}", case.name, decoder.kernels().describe()));
}

#[test]
fn families_agree_on_the_cpu() {
    for (case, checkpoint) in cases() {
        compare(&case, &checkpoint, CpuKernels, FLOAT32.relative_importance);
    }
}

#[test]
fn families_agree_in_float64() {
    for (case, checkpoint) in cases() {
        compare(&case, &checkpoint, ReferenceKernels, IN_FLOAT64);
    }
}

#[test]
fn families_agree_on_tensors() {
    let Ok(ChosenDevice::Tensors(kernels)) = device::find("flex") else {
        panic!("flex is always there")
    };
    for (case, checkpoint) in cases() {
        compare(&case, &checkpoint, kernels.clone(), 2.0 * FLOAT32.relative_importance);
    }
}

/// The gradient at the output of a linear map, summed over the rows that reach it, is the slope of the loss by a bias of it: central
/// differences in float64, in every layer and map of every family. Of experts a mean over their rows is kept, and so multiplied by
/// how many there are.
#[test]
fn gradients_are_slopes_of_biases() {
    const STEP: f32 = 1.0 / 16384.0;
    for (case, checkpoint) in cases() {
        let decoder = Decoder::new(checkpoint.clone(), ReferenceKernels, Residence::Resident).unwrap();
        let (layout, config) = (Layout::of(decoder.config()), decoder.config());
        let ids = windows(&case).remove(0)[..40].to_vec();
        let rotation = decoder.rotation(&(0..ids.len()).collect::<Vec<_>>());
        let segment = Segment {
            behaviour: Behaviour::ALL[0],
            start: 0,
            last: ids.len() - 1,
        };
        let instance = Instance {
            id: case.name.clone(),
            ids: ids.clone(),
            segments: vec![segment],
        };
        let part = pass::interpret(&decoder, &[instance], Definition::Paper, &mut |_| true).unwrap().remove(0);
        let rows = segment.span(Definition::Paper).unwrap().rows.len();
        let mut differences = Differences::default();
        for unit in layout.units() {
            let (layer, module) = (unit.component.layer.0, unit.module);
            let direction: Vec<f32> = unit.range.clone().map(|place| ((place * 37 + module * 11) % 7) as f32 - 3.0).collect();
            let loss = |by: f32| {
                let mut weights = checkpoint.layer(layer).unwrap();
                let bias = weights.projections[module].bias.get_or_insert_with(|| vec![0.0; direction.len()]);
                bias.iter_mut().zip(&direction).for_each(|(bias, direction)| *bias += by * direction);
                let own = decoder.bring(weights);
                let mut hidden = decoder.embed(&ids).unwrap();
                for index in 0..config.layers {
                    let kept;
                    let used = if index == layer {
                        &own
                    } else {
                        kept = decoder.layer(index).unwrap();
                        &*kept
                    };
                    let forward = block::forward(decoder.kernels(), &decoder.shape(), used, &hidden, &rotation, |_, _, _| Ok(()));
                    hidden = forward.unwrap().0;
                }
                text_loss(&decoder, &hidden, &ids) / (ids.len() - 1) as f64
            };
            let slope = (loss(STEP) - loss(-STEP)) / f64::from(2.0 * STEP);
            let gradient = &part.gradients[0].values[unit.range.clone()];
            let reached = rows as f64 * unit.expert.map_or(1.0, |expert| f64::from(part.shares[1][expert]));
            let found: f64 = gradient.iter().zip(&direction).map(|(g, d)| f64::from(*g) * f64::from(*d)).sum::<f64>() * reached;
            let size: f64 = gradient.iter().zip(&direction).map(|(g, d)| f64::from(g * d).abs()).sum::<f64>() * reached;
            // A bias that exists is rounded to float32 with what is added to it. Where a slope is zero (of keys in layers without a
            // rotation, whose bias moves all scores alike), what is left is rounding: some 1e-11.
            differences.note("slope", 2e-3, (found - slope).abs() / size.max(1e-6), || {
                format!("{} {}", unit.component, unit.part.as_deref().unwrap_or_default())
            });
        }
        differences.finish(&case.name);
    }
}

/// Logits after a prompt and after every step are those of the whole text, also where a window or a context of the pretraining ends.
#[test]
fn generation_agrees_with_the_whole_text() {
    fn check(case: &Case, checkpoint: &Arc<Checkpoint>) {
        let ids = windows(case).remove(0);
        let decoder = Decoder::new(checkpoint.clone(), CpuKernels, Residence::Resident).unwrap();
        let generator = Generator::new(checkpoint.clone(), CpuKernels).unwrap();
        // A recurrent state carries float32's rounding from token to token, in steps here and in a whole there; float64 kernels agree.
        let config = decoder.config();
        let is_recurrent = (0..config.layers).any(|layer| config.delta(layer).is_some());
        let gate = if is_recurrent { 5e-5 } else { 1e-5 };
        let mut differences = Differences::default();
        let mut sequence = generator.begin();
        let prompt = 58;
        let mut found = generator.prompt(&mut sequence, &ids[..prompt], &mut || true).unwrap().unwrap();
        let mut sequences = vec![sequence];
        for end in prompt..(prompt + 12).min(decoder.config().context) {
            let hidden = block::run(&decoder, &ids[..end]).unwrap();
            let last = CpuKernels.slice(&hidden, end - 1, 1);
            let wanted: Vec<f32> = head::logits(&decoder, &last).unwrap().iter().flat_map(|part| part.values().to_vec()).collect();
            let largest = wanted.iter().map(|logit| logit.abs()).fold(0.0, f32::max);
            let worst = wanted.iter().zip(&found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            differences.note("logits", gate, f64::from(worst / largest), || format!("after {end} tokens"));
            found = generator.step(&mut sequences, &ids[end..=end]).unwrap().remove(0);
        }
        differences.finish(&case.name);
    }
    for (case, checkpoint) in cases() {
        check(&case, &checkpoint);
    }
}

/// Families whose files hold the tensors and keys of Llama's: their name alone tells them apart.
const LIKE_LLAMA: [&str; 2] = ["gemma", "helium"];

/// The same folder under the name of every other family, with that family's class or none: refused, or the same function.
#[test]
fn a_model_under_another_name_is_refused_or_computes_the_same() {
    let scratch = tempfile::tempdir().unwrap();
    let all = cases();
    let classes: BTreeMap<String, Value> = (all.iter())
        .map(|(_, checkpoint)| checkpoint.path().join("config.json"))
        .map(|file| serde_json::from_slice::<Value>(&std::fs::read(file).unwrap()).unwrap())
        .filter(|config| config.get("text_config").is_none())
        .map(|config| (config["model_type"].as_str().unwrap().to_string(), config["architectures"].clone()))
        .chain(["llama", "qwen2", "qwen3"].map(|name| (name.to_string(), Value::Null)))
        .collect();
    for (case, checkpoint) in &all {
        let folder = scratch.path().join(&case.name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::copy(case.folder.join("model.safetensors"), folder.join("model.safetensors")).unwrap();
        let config: Value = serde_json::from_slice(&std::fs::read(case.folder.join("config.json")).unwrap()).unwrap();
        let ids = windows(case).remove(0);
        let loss = |checkpoint: Arc<Checkpoint>| {
            let decoder = Decoder::new(checkpoint, CpuKernels, Residence::Resident).unwrap();
            text_loss(&decoder, &block::run(&decoder, &ids).unwrap(), &ids) / (ids.len() - 1) as f64
        };
        let own = loss(checkpoint.clone());
        let mut same = Vec::new();
        for (name, class) in &classes {
            if LIKE_LLAMA.contains(&case.name.as_str()) && *name != case.name {
                continue;
            }
            for class in [class, &Value::Null] {
                let mut config = config.clone();
                (config["model_type"], config["architectures"]) = (name.as_str().into(), class.clone());
                std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
                let Ok(renamed) = Checkpoint::open(&folder) else { continue };
                let found = loss(Arc::new(renamed));
                assert!((found - own).abs() < LOSS, "{} under the name {name}: a loss of {found}, not {own}", case.name);
                same.push(name.as_str());
            }
        }
        println!("{} computes the same as {same:?}", case.name);
    }
}

/// Every linear map of a layer is there with its shape, and each of the study's seven modules is one of them or made of some.
#[test]
fn layers_have_the_linear_maps_of_their_descriptions() {
    for (case, checkpoint) in cases() {
        for index in 0..checkpoint.config().layers {
            let (layer, modules) = (checkpoint.layer(index).unwrap(), checkpoint.config().modules(index));
            assert_eq!(layer.projections.len(), modules.len(), "{}", case.name);
            for (projection, module) in layer.projections.iter().zip(&modules) {
                let found = (projection.weight.rows, projection.weight.columns, projection.bias.is_some());
                assert_eq!(found, (module.rows, module.columns, module.bias), "{} {}", case.name, module.name);
            }
            let slots = if checkpoint.config().delta(index).is_some() { 3 } else { 0 };
            for slot in slots..Module::ALL.len() {
                assert!(
                    modules.iter().any(|module| module.slot == Some(slot)),
                    "{} layer {index} slot {slot}",
                    case.name
                );
            }
        }
    }
}
