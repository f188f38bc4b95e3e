//! The manifest of an interpretation: from what, how and with what its numbers were made.

use std::collections::BTreeMap;

use cruxscope_checkpoint::Checkpoint;
use cruxscope_study::{Behaviour, FileDigest, InstanceEntry, Manifest, ModelEntry, Module, ModuleDimensions, Program, SCHEMA_VERSION, SegmentCounts};
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
        let mut tensor_types: BTreeMap<String, usize> = BTreeMap::new();
        let stored = self.checkpoint.tensor_types();
        for kind in stored.values() {
            *tensor_types.entry(kind.clone()).or_default() += 1;
        }
        // Plain numbers throughout say nothing about single tensors.
        let plain = tensor_types.keys().all(|kind| matches!(kind.as_str(), "F32" | "F16" | "BF16"));
        let mut settings: BTreeMap<String, Value> = BTreeMap::new();
        settings.insert("reading".into(), traces.reading().name().into());
        settings.insert("alignment".into(), traces.alignment().name().into());
        settings.insert("max_tokens".into(), traces.max_tokens.map_or(Value::Null, Value::from));
        settings.insert("context".into(), config.context.into());
        settings.insert("sections".into(), self.instances.sections.into());
        for (name, count) in &self.instances.reading_counts {
            settings.insert(format!("sections_{name}"), (*count).into());
        }
        settings.insert("run".into(), run_key.into());
        let (basis, compression) = match report_of(self.checkpoint.path()) {
            Some(report) => (report.basis.name().into(), serde_json::to_value(report.without_components()).ok()),
            None => ("original".into(), None),
        };
        Manifest {
            schema: SCHEMA_VERSION,
            title: self.settings.title.clone().unwrap_or_else(|| self.checkpoint.name()),
            program: Program {
                name: "cruxscope".into(),
                version: env!("CARGO_PKG_VERSION").into(),
            },
            definition: traces.definition,
            model: ModelEntry {
                name: self.checkpoint.name(),
                architecture: config.architecture.name().into(),
                layers: config.layers,
                modules: Module::ALL
                    .iter()
                    .map(|module| config.dimensions(module.index()))
                    .map(|(outputs, inputs)| ModuleDimensions { outputs, inputs })
                    .collect(),
                parameters: config.parameters() as u64,
                tensor_types,
                tensors: if plain { BTreeMap::new() } else { stored },
                files: self.model_files.to_vec(),
                basis,
                compression,
            },
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
