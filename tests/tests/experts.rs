//! Mixtures of experts: importance of every linear map, and the share of tokens that reached each expert, against an independent program
//! (`tests/scripts/expert_importance.py`: plain autograd in float64).

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, outside their functions

mod architectures_support;
mod interpretation_support;

use std::path::Path;

use architectures_support::{Case, cases, instances};
use cruxscope_checkpoint::Checkpoint;
use cruxscope_interpret::Layout;
use cruxscope_interpret::attribution::{RoutedShares, Steering, components, contribution};
use cruxscope_interpret::pass;
use cruxscope_model::decoder::{Decoder, Residence};
use cruxscope_model::device::{self, ChosenDevice};
use cruxscope_model::kernels::Kernels;
use cruxscope_model::kernels::cpu::CpuKernels;
use cruxscope_model::kernels::reference::ReferenceKernels;
use cruxscope_run::Silent;
use cruxscope_run::instances::TraceSettings;
use cruxscope_run::interpret::{InterpretSettings, PlannedRun};
use cruxscope_run::placement::WeightsChoice;
use cruxscope_study::{Behaviour, Definition};
use interpretation_support::{Differences, FLOAT32};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;

/// What the independent program gave for a family, where it was asked.
fn expected(case: &Case) -> Option<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/experts")
        .join(format!("{}.json", case.name));
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

fn compare<K: Kernels>(kernels: impl Fn() -> K, gate: f64) {
    let mut compared = 0;
    for (case, checkpoint) in cases() {
        let Some(wanted) = expected(&case) else { continue };
        let decoder = Decoder::new(checkpoint, kernels(), Residence::Resident).unwrap();
        let (layout, definition) = (Layout::of(decoder.config()), Definition::Paper);
        let parts = pass::interpret(&decoder, &instances(&case), definition, &mut |_| true).unwrap();
        let (mut steering, mut shares) = (Steering::new(layout.clone(), definition), RoutedShares::new(&layout));
        for part in &parts {
            steering.add(part).unwrap();
            shares.add(part);
        }
        let (steering, shares) = (steering.finish(), shares.finish(&layout));
        let units: Vec<_> = parts.iter().map(|part| contribution(part, &steering, &layout, definition)).collect();
        let count = layout.units().len();
        let mut differences = Differences::default();
        for behaviour in Behaviour::ALL {
            let Some(wanted) = wanted["relative_importance"].get(behaviour.name()) else {
                continue;
            };
            let divisor: f64 = units.iter().map(|unit| unit.weights[behaviour.index()]).sum();
            let own: Vec<f64> = (0..count)
                .map(|unit| units.iter().map(|own| own.values[behaviour.index() * count + unit]).sum::<f64>().abs() / divisor)
                .collect();
            let total: f64 = own.iter().sum();
            for (unit, value) in layout.units().iter().zip(&own) {
                let name = match &unit.part {
                    Some(part) => format!("{}.{part}", unit.component),
                    None => unit.component.to_string(),
                };
                let wanted = wanted[&name].as_f64().unwrap_or_else(|| panic!("{} has no {name}", case.name));
                differences.note("relative importance", gate, (value / total - wanted).abs(), || format!("{behaviour} {name}"));
            }
            // The components of the study are sums of their parts.
            let (contributions, _) = components(units.clone(), &layout);
            let whole: f64 = contributions.importance(layout.layers()).unwrap().of(behaviour).iter().sum();
            differences.note("sum over components", 1e-12, (whole - total).abs() / total, || behaviour.to_string());
        }
        let with_parts = layout.units().iter().filter(|unit| unit.part.is_some());
        for (unit, share) in with_parts.zip(&shares[0]) {
            let name = format!("{}.{}", unit.component, unit.part.as_deref().unwrap_or_default());
            let wanted = wanted["shares"].get(&name).map_or(1.0, |share| share.as_f64().unwrap());
            differences.note("share of tokens", 1e-6, (share - wanted).abs(), || name.clone());
        }
        differences.finish(&format!("{} on {}", case.name, decoder.kernels().describe()));
        compared += 1;
    }
    println!("{compared} mixtures of experts compared");
}

#[test]
fn experts_agree_with_autograd_in_float64() {
    compare(|| ReferenceKernels, 2e-5);
}

#[test]
fn experts_agree_with_autograd_on_the_cpu() {
    compare(|| CpuKernels, FLOAT32.relative_importance);
}

#[test]
fn experts_agree_with_autograd_on_tensors() {
    let Ok(ChosenDevice::Tensors(kernels)) = device::find("flex") else {
        panic!("flex is always there")
    };
    compare(|| kernels.clone(), 2.0 * FLOAT32.relative_importance);
}

/// A run writes a study of schema 2, whose components are the sums of their parts, and which opens with and without their numbers.
#[test]
fn a_study_keeps_the_numbers_of_experts() {
    let out = tempfile::tempdir().unwrap();
    for (case, checkpoint) in cases() {
        if checkpoint.config().experts(1).is_none() {
            continue;
        }
        let root = case.folder.parent().unwrap();
        let settings = InterpretSettings {
            model: case.folder.clone(),
            traces: TraceSettings {
                traces: root.join("traces.jsonl"),
                annotations: root.join("annotations.jsonl"),
                definition: Definition::Paper,
                reading: None,
                alignment: None,
                only: Vec::new(),
                first: None,
                max_tokens: None,
            },
            out: out.path().join(&case.name),
            device: "cpu".into(),
            weights: WeightsChoice::Automatic,
            device_memory: None,
            simulate_activations: false,
            channels: false,
            texts: false,
            title: None,
        };
        let run = PlannedRun::new(settings.clone(), &mut Silent).unwrap();
        let study = run.run(&mut Silent).unwrap().study;
        assert_eq!(study.manifest.schema, 2);
        let (layout, parts) = (study.manifest.model.parts.clone().unwrap(), study.parts.clone().unwrap());
        let names: Vec<String> = layout.all().map(|(component, part)| format!("{component}.{}", part.name)).collect();
        assert!(names.contains(&"2_gate.e0".to_owned()), "{}: {names:?}", case.name);
        for behaviour in Behaviour::ALL {
            let mut sums = vec![0.0; study.importance.of(behaviour).len()];
            let mut made = vec![false; sums.len()];
            for ((component, _), value) in layout.all().zip(&parts.importance[behaviour.index()]) {
                sums[component.index()] += value;
                made[component.index()] = true;
            }
            for ((sum, whole), made) in sums.iter().zip(study.importance.of(behaviour)).zip(made) {
                assert!(!made || (sum - whole).abs() <= 1e-12 * whole.abs().max(1e-30), "{}: {sum} {whole}", case.name);
            }
        }
        let again = cruxscope_study::folder::load(&settings.out).unwrap();
        assert_eq!(again, study, "{}", case.name);
        let without = cruxscope_study::folder::load_without_channels(&settings.out).unwrap();
        assert_eq!((&without.importance, without.parts.is_none()), (&study.importance, true));
    }
}

/// gpt-oss as it is shipped: experts in blocks of MXFP4 are the same matrices as their numbers in plain arrays, which lie transposed.
#[test]
fn experts_in_blocks_are_those_of_plain_arrays() {
    let Some(root) = cruxscope_needs::fixtures_of("architectures") else { return };
    let source = root.join("gpt_oss");
    let scratch = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(source.join("model.safetensors")).unwrap();
    let arrays = SafeTensors::deserialize(&bytes).unwrap();
    let mut config: Value = serde_json::from_slice(&std::fs::read(source.join("config.json")).unwrap()).unwrap();
    let magnitudes = [0.0f32, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
    let mut state = 3u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as u8
    };
    let (mut plain, mut packed): (Vec<Stored>, Vec<Stored>) = (Vec::new(), Vec::new());
    for (name, view) in arrays.tensors() {
        let is_stacked = name.ends_with("experts.gate_up_proj") || name.ends_with("experts.down_proj");
        let own = (name.clone(), view.dtype(), view.shape().to_vec(), view.data().to_vec());
        if !is_stacked {
            plain.push(own.clone());
            packed.push(own);
            continue;
        }
        let [experts, inputs, outputs] = view.shape() else { panic!("{name}") };
        let groups = inputs / 32;
        let blocks: Vec<u8> = (0..experts * outputs * groups * 16).map(|_| random()).collect();
        let scales: Vec<u8> = (0..experts * outputs * groups).map(|_| 121 + random() % 5).collect();
        let mut values = vec![0f32; experts * inputs * outputs];
        for expert in 0..*experts {
            for output in 0..*outputs {
                for input in 0..*inputs {
                    let block = (expert * outputs + output) * groups + input / 32;
                    let byte = blocks[block * 16 + input % 32 / 2];
                    let code = if input % 2 == 0 { byte & 15 } else { byte >> 4 };
                    let sign = if code < 8 { 1.0 } else { -1.0 };
                    let value = sign * magnitudes[usize::from(code % 8)] * 2f32.powi(i32::from(scales[block]) - 127);
                    values[(expert * inputs + input) * outputs + output] = value;
                }
            }
        }
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        plain.push((name.clone(), Dtype::F32, view.shape().to_vec(), bytes));
        packed.push((format!("{name}_blocks"), Dtype::U8, vec![*experts, *outputs, groups, 16], blocks));
        packed.push((format!("{name}_scales"), Dtype::U8, vec![*experts, *outputs, groups], scales));
    }
    let write = |folder: &str, arrays: &[Stored], config: &Value| {
        let folder = scratch.path().join(folder);
        std::fs::create_dir(&folder).unwrap();
        let views = arrays
            .iter()
            .map(|(name, dtype, shape, bytes)| (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
        safetensors::serialize_to_file(views, None, &folder.join("model.safetensors")).unwrap();
        std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
        folder
    };
    let plain = Checkpoint::open(&write("plain", &plain, &config)).unwrap();
    config["quantization_config"] = serde_json::json!({"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]});
    let folder = write("packed", &packed, &config);
    let packed = Checkpoint::open(&folder).unwrap();
    for layer in 0..plain.config().layers {
        assert_eq!(plain.layer(layer).unwrap(), packed.layer(layer).unwrap());
    }
    let types = packed.tensor_types();
    assert_eq!(types["model.layers.1.mlp.experts.2.up_proj.weight"], "MXFP4");
    assert!(!types.keys().any(|name| name.ends_with("_blocks")));
    // Of a module in blocks: four bits a weight, and eight a block of 32.
    let bits = packed.projection_bits(0);
    assert_eq!(bits[4], 64 * 64 * 4 + 64 * 2 * 8);
    // A scale that stands for no number, and a method that the family does not have.
    config["quantization_config"]["bits"] = 4.into();
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let error = Checkpoint::open(&folder).err().unwrap();
    assert!(error.is_user_error() && error.to_string().contains("bits"), "{error}");
}

/// An array of a file: its name, type, shape and bytes.
type Stored = (String, Dtype, Vec<usize>, Vec<u8>);
