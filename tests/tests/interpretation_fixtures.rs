//! Importance against an independent program: every case under `interpret/` of the fixtures, at its gates.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests, outside their functions

mod interpretation_support;

use std::sync::Arc;

use cruxscope_checkpoint::Checkpoint;
use cruxscope_interpret::Layout;
use cruxscope_interpret::activations::ActivationStorage;
use cruxscope_interpret::attribution::{Steering, contribution};
use cruxscope_interpret::part::InstancePart;
use cruxscope_interpret::pass::{self, Instance};
use cruxscope_interpret::segment::Segment;
use cruxscope_model::block;
use cruxscope_model::decoder::{Decoder, Residence};
use cruxscope_model::device::{self, ChosenDevice};
use cruxscope_model::head;
use cruxscope_model::kernels::Kernels;
use cruxscope_model::kernels::cpu::CpuKernels;
use cruxscope_model::kernels::reference::ReferenceKernels;
use cruxscope_needs::{Need, skip, smollm2};
use cruxscope_study::{Behaviour, Component, Contributions, Definition, Module, Ranks};
use cruxscope_tests::relative_difference;
use interpretation_support::{ACCELERATOR, Case, Differences, FLOAT32, FLOAT64, Gates, cases, module_name};

fn check<K: Kernels>(case: &Case, checkpoint: &Arc<Checkpoint>, kernels: K, gates: &Gates, residence: Residence) {
    let title = format!("{} on {}", case.name, kernels.describe());
    let decoder = Decoder::new(checkpoint.clone(), kernels, residence).unwrap();
    let layout = Layout::of(decoder.config());
    let mut differences = Differences::default();

    for instance in &case.instances {
        if let Some(expected) = case.array(&format!("logits/{}", instance.id)) {
            let hidden = block::run(&decoder, &instance.ids).unwrap();
            let parts = head::logits(&decoder, &hidden).unwrap();
            assert_eq!(parts.len(), 1, "a tiny vocabulary is one part");
            let found = decoder.kernels().download(&parts[0]).unwrap();
            assert_eq!(found.len(), expected.len());
            let worst = found
                .iter()
                .zip(&expected)
                .map(|(found, expected)| (f64::from(*found) - expected).abs())
                .fold(0.0, f64::max);
            differences.note("logits", gates.logits, worst, || instance.id.clone());
        }
    }

    for definition in [Definition::Paper, Definition::Released] {
        let expected = &case.expected["definitions"][definition.name()];
        let mut parts: Vec<InstancePart> = pass::interpret(&decoder, &case.instances, definition, &mut |_| true).unwrap();
        parts.sort_by(|a, b| a.id.cmp(&b.id));
        let mut steering = Steering::new(layout.clone(), definition);
        parts.iter().for_each(|part| steering.add(part).unwrap());
        let steering = steering.finish();

        for component in Component::all(layout.layers()) {
            let range = layout.range(component);
            let name = module_name(component);
            for (kind, vector) in [("mean_all", &steering.mean), ("minus", &steering.minus)] {
                if let Some(expected) = case.array(&format!("{kind}/{name}")) {
                    differences.note(kind, gates.steering, relative_difference(&vector[range.clone()], &expected), || name.clone());
                }
            }
            for behaviour in Behaviour::ALL {
                if let (Some(vector), Some(expected)) = (&steering.scaled[behaviour.index()], case.array(&format!("u/{definition}/{behaviour}/{name}"))) {
                    differences.note(
                        &format!("u {definition}"),
                        gates.steering,
                        relative_difference(&vector[range.clone()], &expected),
                        || format!("{behaviour} {name}"),
                    );
                }
            }
        }

        // Segments stand in the file by instance, then behaviour, then annotation.
        let mut order = Vec::new();
        for instance in &case.instances {
            for behaviour in Behaviour::ALL {
                order.extend(
                    instance
                        .segments
                        .iter()
                        .enumerate()
                        .filter(|(_, segment)| segment.behaviour == behaviour)
                        .map(|(index, _)| (instance, index)),
                );
            }
        }
        let segments = expected["segments"].as_array().unwrap();
        assert_eq!(segments.len(), order.len());
        for (k, ((instance, index), segment)) in order.iter().zip(segments).enumerate() {
            let part = parts.iter().find(|part| part.id == instance.id).unwrap();
            let behaviour = instance.segments[*index].behaviour;
            assert_eq!(segment["behaviour"].as_str().unwrap(), behaviour.name());
            let span = instance.segments[*index].span(definition).unwrap();
            let number = |name: &str| segment[name].as_u64().unwrap() as usize;
            assert_eq!(
                (span.rows, span.targets),
                (number("r0")..number("r1"), number("t0")..number("t1")),
                "{} segment {index}",
                instance.id
            );
            let loss = segment["loss"].as_f64().unwrap();
            differences.note("loss", 1e-4, (part.losses[*index] - loss).abs(), || format!("{} segment {index}", instance.id));

            // Gradients of single segments: under `released` they are what a part holds; under `paper` the segment is run alone.
            let alone;
            let gradient = if definition == Definition::Released {
                &part.gradients[*index].values
            } else {
                if case.array(&format!("g/paper/{k}/layer_0_q_proj")).is_none() {
                    continue;
                }
                let single = Instance {
                    segments: vec![instance.segments[*index]],
                    ..(*instance).clone()
                };
                alone = pass::interpret(&decoder, &[single], definition, &mut |_| true).unwrap().remove(0);
                &alone.gradients[0].values
            };
            let dots = segment["dots"].as_object().unwrap();
            let largest = dots.values().map(|dot| dot.as_f64().unwrap().abs()).fold(0.0, f64::max);
            for component in Component::all(layout.layers()) {
                let (name, range) = (module_name(component), layout.range(component));
                let found: Vec<f64> = gradient[range.clone()].iter().map(|value| f64::from(*value)).collect();
                if let Some(expected) = case.array(&format!("g/{definition}/{k}/{name}")) {
                    let (kind, gate) = if component.module == Module::Key {
                        ("g k_proj", gates.key_gradient)
                    } else {
                        ("g", gates.gradient)
                    };
                    differences.note(&format!("{kind} {definition}"), gate, relative_difference(&found, &expected), || {
                        format!("segment {k} {name}")
                    });
                }
                let vector = steering.scaled[behaviour.index()].as_ref().unwrap();
                let dot: f64 = vector[range].iter().zip(&found).map(|(u, g)| u * g).sum();
                // One row that is its segment's last has no gradient at all: then the dots are zero, and stay absolute.
                let difference = (dot - dots[&name].as_f64().unwrap()).abs() / if largest > 0.0 { largest } else { 1.0 };
                differences.note(&format!("dots {definition}"), gates.dots, difference, || format!("segment {k} {name}"));
            }
        }

        let contributions = Contributions {
            instances: parts.iter().map(|part| contribution(part, &steering, &layout, definition)).collect(),
        };
        let importance = contributions.importance(case.layers()).unwrap();
        for behaviour in Behaviour::ALL {
            let Some(expected) = expected["I"][behaviour.name()].as_object().filter(|map| !map.is_empty()) else {
                continue;
            };
            let wanted: Vec<f64> = Component::all(layout.layers())
                .map(|component| expected[&module_name(component)].as_f64().unwrap())
                .collect();
            let total: f64 = wanted.iter().sum();
            let wanted: Vec<f64> = wanted.into_iter().map(|value| value / total).collect();
            let found = importance.relative_of(behaviour);
            for component in Component::all(layout.layers()) {
                let difference = (found[component.index()] - wanted[component.index()]).abs();
                differences.note(&format!("relative importance {definition}"), gates.relative_importance, difference, || {
                    format!("{behaviour} {component}")
                });
            }
            let top = |values: &[f64]| Ranks::of(values).order()[..10].to_vec();
            if case.name.starts_with("real") {
                assert_eq!(top(&found), top(&wanted), "{title}: top ten of {behaviour} under {definition}");
            }
        }
    }
    differences.finish(&title);
}

#[test]
fn tiny_fixtures_on_the_cpu() {
    for case in cases(true) {
        let checkpoint = Arc::new(Checkpoint::open(&case.folder).unwrap());
        check(&case, &checkpoint, CpuKernels, &FLOAT32, Residence::Resident);
        check(&case, &checkpoint, CpuKernels, &FLOAT32, Residence::Streamed);
    }
}

#[test]
fn tiny_fixtures_in_float64() {
    for case in cases(true) {
        let checkpoint = Arc::new(Checkpoint::open(&case.folder).unwrap());
        check(&case, &checkpoint, ReferenceKernels, &FLOAT64, Residence::Resident);
    }
}

#[test]
fn tiny_fixtures_on_tensors() {
    let Ok(ChosenDevice::Tensors(kernels)) = device::find("flex") else {
        panic!("flex is always there")
    };
    for case in cases(true) {
        let checkpoint = Arc::new(Checkpoint::open(&case.folder).unwrap());
        check(&case, &checkpoint, kernels.clone(), &FLOAT32, Residence::Resident);
    }
}

/// Wherever block inputs, keys and values wait, and wherever weights come from, an instance gives the same part to the bit.
#[test]
fn what_is_kept_elsewhere_gives_the_same_parts() {
    fn on<K: Kernels + Clone>(case: &Case, kernels: K) {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = Arc::new(Checkpoint::open(&case.folder).unwrap());
        let mut first = None;
        for residence in [Residence::Resident, Residence::Streamed] {
            let decoder = Decoder::new(checkpoint.clone(), kernels.clone(), residence).unwrap();
            for storage in [ActivationStorage::Device, ActivationStorage::Memory, ActivationStorage::Disk] {
                let parts = pass::interpret_keeping(&decoder, &case.instances, Definition::Paper, storage, folder.path(), &mut |_: usize| true).unwrap();
                assert_eq!(parts, *first.get_or_insert(parts.clone()), "{} with {storage:?}, {residence:?}", case.name);
            }
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
    let Ok(ChosenDevice::Tensors(kernels)) = device::find("flex") else {
        panic!("flex is always there")
    };
    for case in cases(true) {
        on(&case, CpuKernels);
        on(&case, kernels.clone());
    }
}

#[test]
fn real_fixtures_on_the_cpu() {
    let Some(model) = smollm2() else { return };
    let checkpoint = Arc::new(Checkpoint::open(&model).unwrap());
    for case in cases(false) {
        check(&case, &checkpoint, CpuKernels, &FLOAT32, Residence::Resident);
    }
}

/// Relative importance of some works under the paper's definition.
fn relative_importance<K: Kernels>(checkpoint: &Arc<Checkpoint>, kernels: K, instances: &[Instance]) -> [Vec<f64>; 4] {
    let decoder = Decoder::new(checkpoint.clone(), kernels, Residence::Resident).unwrap();
    let layout = Layout::of(decoder.config());
    let mut steering = Steering::new(layout.clone(), Definition::Paper);
    let parts: Vec<InstancePart> = instances
        .iter()
        .flat_map(|instance| pass::interpret(&decoder, std::slice::from_ref(instance), Definition::Paper, &mut |_: usize| true).unwrap())
        .collect();
    parts.iter().for_each(|part| steering.add(part).unwrap());
    let steering = steering.finish();
    let contributions = Contributions {
        instances: parts.iter().map(|part| contribution(part, &steering, &layout, Definition::Paper)).collect(),
    };
    let importance = contributions.importance(layout.layers()).unwrap();
    Behaviour::ALL.map(|behaviour| importance.relative_of(behaviour))
}

/// Short windows of real traces that together hold every behaviour: the shortest segment of each, with the tokens just before it.
fn short_windows(instances: &[Instance]) -> Vec<Instance> {
    const BEFORE: usize = 24;
    let mut windows: Vec<Instance> = Vec::new();
    for behaviour in Behaviour::ALL {
        let holds = |window: &Instance| window.segments.iter().any(|segment| segment.behaviour == behaviour);
        if windows.iter().any(holds) {
            continue;
        }
        let all = instances
            .iter()
            .flat_map(|instance| instance.segments.iter().map(move |segment| (instance, segment)));
        let (instance, shortest) = all
            .filter(|(_, segment)| segment.behaviour == behaviour)
            .min_by_key(|(_, segment)| segment.last - segment.start)
            .unwrap();
        let (first, end) = (shortest.start.saturating_sub(BEFORE), shortest.last + 1);
        let inside = instance.segments.iter().filter(|segment| segment.start >= first && segment.last < end);
        windows.push(Instance {
            id: format!("{} {behaviour}", instance.id),
            ids: instance.ids[first..end].to_vec(),
            segments: inside
                .map(|segment| Segment {
                    start: segment.start - first,
                    last: segment.last - first,
                    ..*segment
                })
                .collect(),
        });
    }
    windows
}

/// The real model on an accelerator, if there is one: the ten most important components of every behaviour are those of the CPU. On
/// short windows, since a graphics card made of software takes minutes for a hundred tokens.
fn real_top_ten_on(name: &str) {
    let kernels = match device::find(name) {
        Ok(ChosenDevice::Tensors(kernels)) => kernels,
        Ok(_) => panic!("{name} is an accelerator"),
        Err(why) => return skip(Need::Device, why),
    };
    let Some(model) = smollm2() else { return };
    let checkpoint = Arc::new(Checkpoint::open(&model).unwrap());
    for case in cases(false) {
        let instances = short_windows(&case.instances);
        let expected = relative_importance(&checkpoint, CpuKernels, &instances);
        let found = relative_importance(&checkpoint, kernels.clone(), &instances);
        let mut differences = Differences::default();
        for behaviour in Behaviour::ALL {
            let (expected, found) = (&expected[behaviour.index()], &found[behaviour.index()]);
            for (component, (found, expected)) in Component::all(case.layers()).zip(found.iter().zip(expected)) {
                differences.note("relative importance", ACCELERATOR.relative_importance, (found - expected).abs(), || {
                    format!("{behaviour} {component}")
                });
            }
            let top = |values: &[f64]| Ranks::of(values).order()[..10].to_vec();
            assert_eq!(top(found), top(expected), "{} on {name}: top ten of {behaviour}", case.name);
        }
        let tokens: usize = instances.iter().map(|instance| instance.ids.len()).sum();
        differences.finish(&format!("{} on {name}, {} windows of {tokens} tokens", case.name, instances.len()));
    }
}

#[test]
fn real_top_ten_on_vulkan() {
    real_top_ten_on("vulkan");
}

#[test]
fn real_top_ten_on_wgpu() {
    real_top_ten_on("wgpu");
}

#[test]
fn real_top_ten_on_cuda() {
    real_top_ten_on("cuda");
}

/// The tiny fixtures on an accelerator, if this program was built for it and the machine has one.
fn tiny_fixtures_on(name: &str) {
    match device::find(name) {
        Ok(ChosenDevice::Tensors(kernels)) => {
            for case in cases(true) {
                let checkpoint = Arc::new(Checkpoint::open(&case.folder).unwrap());
                check(&case, &checkpoint, kernels.clone(), &ACCELERATOR, Residence::Resident);
            }
        }
        Ok(_) => panic!("{name} is an accelerator"),
        Err(why) => skip(Need::Device, why),
    }
}

#[test]
fn tiny_fixtures_on_vulkan() {
    tiny_fixtures_on("vulkan");
}

#[test]
fn tiny_fixtures_on_wgpu() {
    tiny_fixtures_on("wgpu");
}

#[test]
fn tiny_fixtures_on_cuda() {
    tiny_fixtures_on("cuda");
}
