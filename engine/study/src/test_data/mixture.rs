//! The made-up study as if its feed-forward blocks mixed experts.

use super::study;
use crate::{Behaviour, Component, Module, PartEntry, PartLayout, Study};

/// Experts that a token passes through.
const CHOSEN: usize = 8;

/// The modules of a feed-forward block.
const MIXED: [Module; 3] = [Module::Gate, Module::Up, Module::Down];

/// The first layer is dense; in each other one gate, up and down are so many experts and one that all tokens pass. What a component has
/// is divided among its parts: a few experts have most of it.
#[allow(clippy::unwrap_used)]
pub fn mixture(layers: usize, experts: usize) -> Study {
    let original = study(layers);
    let mut manifest = original.manifest;
    manifest.title = "Sample mixture".into();
    manifest.model.name = "Sample-30B-A3B".into();
    manifest.model.architecture = "qwen3_moe".into();
    let parts = |layer: usize| -> Vec<PartEntry> {
        let of = |module: Module, name: String, routed: bool| {
            let dimensions = manifest.model.modules[module.index()];
            PartEntry {
                module,
                name,
                outputs: dimensions.outputs,
                inputs: dimensions.inputs,
                routed,
            }
        };
        let of_module = |module: Module| {
            let routed = (0..experts).map(move |expert| of(module, format!("e{expert}"), true));
            routed.chain([of(module, "shared".into(), false)])
        };
        if layer == 0 {
            Vec::new()
        } else {
            MIXED.into_iter().flat_map(of_module).collect()
        }
    };
    let layout = PartLayout::of_layers((0..layers).map(parts));
    // What each part has of its component, and of the tokens.
    let weight = |behaviour: usize, component: Component, part: usize| match part {
        shared if shared == experts => 0.2,
        part => 1.0 / (1 + (part * 37 + component.layer.0 * 11 + behaviour * 5) % experts) as f64,
    };
    let sum = |behaviour: usize, component: Component| (0..=experts).map(|part| weight(behaviour, component, part)).sum::<f64>();
    let places: Vec<(Component, usize)> = (layout.all())
        .map(|(component, part)| (component, part.name.strip_prefix('e').and_then(|number| number.parse().ok()).unwrap_or(experts)))
        .collect();
    let count = Component::all(layers).count();
    let contributions = (original.contributions.instances.iter())
        .map(|instance| {
            let of = |behaviour: usize| {
                let share = move |(component, part): &(Component, usize)| {
                    let whole = instance.values[behaviour * count + component.index()];
                    whole * weight(behaviour, *component, *part) / sum(behaviour, *component)
                };
                places.iter().map(share)
            };
            (0..Behaviour::ALL.len()).flat_map(of).collect()
        })
        .collect();
    let shares = (0..=Behaviour::ALL.len())
        .map(|scope| {
            let routed = |(component, part): &(Component, usize)| {
                let own = CHOSEN as f64 * weight(scope, *component, *part) / sum(scope, *component);
                if *part == experts { 1.0 } else { own.min(1.0) }
            };
            places.iter().map(routed).collect()
        })
        .collect();
    manifest.model.parts = Some(layout);
    manifest.schema = crate::Manifest::schema_for(&manifest.model);
    let made = Study::new(manifest, original.contributions, None).unwrap();
    made.with_parts(contributions, shares).unwrap()
}
