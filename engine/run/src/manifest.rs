//! The manifest of an interpretation: from what, how and with what its numbers were made.

use std::collections::BTreeMap;

use cruxscope_checkpoint::{Checkpoint, ModelConfig, ModuleRole, ModuleShape};
use cruxscope_study::{Behaviour, FileDigest, InstanceEntry, Manifest, ModelEntry, Module, ModuleDimensions, PartEntry, PartLayout, Program, SegmentCounts};
use serde_json::Value;

use crate::compress::report_of;
use crate::instances::Instances;
use crate::interpret::InterpretSettings;

/// Everything that a manifest tells of.
pub struct ManifestSource<'a> {
    /// The model.
    pub checkpoint: &'a Checkpoint,
    /// What was asked for.
    pub settings: &'a InterpretSettings,
    /// What was read, and what was left out.
    pub instances: &'a Instances,
    /// The model's files.
    pub model_files: &'a [FileDigest],
    /// The files of traces and annotations.
    pub data_files: &'a [FileDigest],
}

impl ManifestSource<'_> {
    /// The manifest of a study of these instances.
    pub fn manifest(&self, instances: Vec<InstanceEntry>, backends: Vec<String>, run_key: &str) -> Manifest {
        let config = self.checkpoint.config();
        let traces = &self.settings.traces;
        let mut segments = [SegmentCounts::default(); 4];
        for behaviour in Behaviour::ALL {
            let counts = &mut segments[behaviour.index()];
            counts.used = instances.iter().map(|instance| instance.segments[behaviour.index()]).sum();
            counts.instances = instances.iter().filter(|instance| instance.segments[behaviour.index()] > 0).count();
            counts.dropped = self.instances.dropped.iter().filter(|drop| drop.label == behaviour.name()).count();
        }
        let mut settings: BTreeMap<String, Value> = BTreeMap::new();
        settings.insert("reading".into(), traces.reading().name().into());
        settings.insert("alignment".into(), traces.alignment().name().into());
        settings.insert("max_tokens".into(), traces.max_tokens.map_or(Value::Null, Value::from));
        settings.insert("context".into(), config.context.into());
        settings.insert("sections".into(), self.instances.sections.into());
        for (name, count) in &self.instances.reading_counts {
            settings.insert(format!("sections_{name}"), (*count).into());
        }
        if self.settings.simulate_activations {
            settings.insert("activations".into(), "simulated".into());
        }
        settings.insert("run".into(), run_key.into());
        let model = model_entry(self.checkpoint, self.model_files);
        Manifest {
            schema: Manifest::schema_for(&model),
            title: self.settings.title.clone().unwrap_or_else(|| self.checkpoint.name()),
            program: Program {
                name: "cruxscope".into(),
                version: env!("CARGO_PKG_VERSION").into(),
            },
            definition: traces.definition,
            model,
            data: self.data_files.to_vec(),
            instances,
            segments,
            dropped: self.instances.dropped.clone(),
            unscored_sections: self.instances.unscored_sections,
            unpaired: self.instances.unpaired.clone(),
            settings,
            device: BTreeMap::from([("backends".to_owned(), backends.into())]),
            arrays: Vec::new(),
            traces: Vec::new(),
            extra: serde_json::Map::new(),
        }
    }
}

/// Dimensions of the seven modules; of one that is several linear maps in some layers, those of a layer where it is one, or else of a
/// part.
pub fn modules_of(config: &ModelConfig) -> Vec<ModuleDimensions> {
    let all: Vec<ModuleShape> = (0..config.layers).flat_map(|layer| config.modules(layer)).collect();
    let of_slot = |slot: usize| {
        let own = || all.iter().filter(move |module| module.slot == Some(slot));
        own().find(|module| module.part.is_none()).or_else(|| own().next())
    };
    (Module::ALL.iter())
        .map(|module| {
            let (outputs, inputs) = of_slot(module.index()).map_or_else(|| config.dimensions(module.index()), |shape| (shape.rows, shape.columns));
            ModuleDimensions { outputs, inputs }
        })
        .collect()
}

/// Weights of every component, layer by layer; empty where each is one linear map of the dimensions that [`modules_of`] gives.
pub fn weights_of(config: &ModelConfig) -> Vec<u64> {
    let dimensions = modules_of(config);
    let of_layer = |layer: usize| {
        let maps = config.modules(layer);
        let own = |module: &Module| -> u64 {
            let own = maps.iter().filter(|map| map.slot == Some(module.index()));
            own.map(|map| (map.rows * map.columns) as u64).sum()
        };
        Module::ALL.iter().map(own).collect::<Vec<_>>()
    };
    let weights: Vec<u64> = (0..config.layers).flat_map(of_layer).collect();
    let plain = dimensions.iter().map(|dimensions| (dimensions.outputs * dimensions.inputs) as u64);
    let is_plain = parts_of(config).is_none() && weights.chunks(dimensions.len()).all(|layer| plain.clone().eq(layer.iter().copied()));
    if is_plain { Vec::new() } else { weights }
}

/// The parts of components that are several linear maps, if there are such.
pub fn parts_of(config: &ModelConfig) -> Option<PartLayout> {
    let layers = (0..config.layers).map(|layer| {
        let routed = config.experts(layer).map_or(0, |experts| experts.router.experts);
        let parts = config.modules(layer).into_iter().filter_map(|shape| {
            Some(PartEntry {
                module: *Module::ALL.get(shape.slot?)?,
                name: shape.part?,
                outputs: shape.rows,
                inputs: shape.columns,
                routed: matches!(shape.role, ModuleRole::FeedForward { place, .. } if place < routed),
            })
        });
        parts.collect()
    });
    Some(PartLayout::of_layers(layers)).filter(|layout| layout.count() > 0)
}

/// What a manifest says of a model.
pub fn model_entry(checkpoint: &Checkpoint, files: &[FileDigest]) -> ModelEntry {
    let config = checkpoint.config();
    let mut tensor_types: BTreeMap<String, usize> = BTreeMap::new();
    let stored = checkpoint.tensor_types();
    for kind in stored.values() {
        *tensor_types.entry(kind.clone()).or_default() += 1;
    }
    // Plain numbers throughout say nothing about single tensors.
    let plain = tensor_types.keys().all(|kind| matches!(kind.as_str(), "F32" | "F16" | "BF16"));
    let (basis, compression) = match report_of(checkpoint.path()) {
        Some(report) => (report.basis.name().into(), serde_json::to_value(report.without_components()).ok()),
        None => ("original".into(), None),
    };
    ModelEntry {
        name: checkpoint.name(),
        architecture: config.architecture.name().into(),
        layers: config.layers,
        modules: modules_of(config),
        parts: parts_of(config),
        parameters: config.parameters() as u64,
        tensor_types,
        tensors: if plain { BTreeMap::new() } else { stored },
        files: files.to_vec(),
        basis,
        compression,
    }
}
