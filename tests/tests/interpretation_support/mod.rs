//! The cases of the interpretation's fixtures, and how differences are collected and judged.

#![allow(dead_code)] // not every test reads all of it

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cruxscope_interpret::pass::Instance;
use cruxscope_interpret::segment::Segment;
use cruxscope_needs::fixtures;
use cruxscope_study::{Behaviour, Component, Module};
use safetensors::SafeTensors;
use serde_json::Value;

/// Largest differences allowed (fixtures' README).
pub struct Gates {
    pub logits: f64,
    pub gradient: f64,
    pub key_gradient: f64,
    pub steering: f64,
    pub dots: f64,
    pub relative_importance: f64,
}

pub const FLOAT32: Gates = Gates {
    logits: 2e-4,
    gradient: 5e-5,
    key_gradient: 1e-4,
    steering: 1e-5,
    dots: 1e-3,
    relative_importance: 5e-5,
};
/// What an accelerator's float32 is held to, software drivers included: relative importance within 1e-3.
pub const ACCELERATOR: Gates = Gates {
    logits: 5e-3,
    gradient: 5e-3,
    key_gradient: 5e-3,
    steering: 2e-3,
    dots: 1e-2,
    relative_importance: 1e-3,
};
/// float64 arithmetic over fixtures stored as float32, its tables and inputs rounded to float32.
pub const FLOAT64: Gates = Gates {
    logits: 2e-5,
    gradient: 1e-5,
    key_gradient: 2e-5,
    steering: 2e-6,
    dots: 1e-4,
    relative_importance: 5e-6,
};

pub struct Case {
    pub folder: PathBuf,
    pub name: String,
    pub expected: Value,
    arrays: Vec<u8>,
    pub instances: Vec<Instance>,
}

impl Case {
    pub fn read(folder: &Path) -> Self {
        let expected: Value = serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
        let arrays = std::fs::read(folder.join("expected.safetensors")).unwrap();
        let number = |value: &Value| value.as_u64().unwrap() as usize;
        let mut instances = Vec::new();
        for instance in expected["instances"].as_array().unwrap() {
            let ids = instance["ids"].as_array().unwrap().iter().map(|id| number(id) as u32).collect();
            let segments = instance["segments"].as_array().unwrap().iter().filter_map(|segment| {
                let behaviour: Behaviour = segment["label"].as_str()?.parse().ok()?;
                Some(Segment {
                    behaviour,
                    start: number(&segment["start"]),
                    last: number(&segment["last"]),
                })
            });
            instances.push(Instance {
                id: instance["id"].as_str().unwrap().into(),
                ids,
                segments: segments.collect(),
            });
        }
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        Self {
            folder: folder.into(),
            name,
            expected,
            arrays,
            instances,
        }
    }

    pub fn array(&self, name: &str) -> Option<Vec<f64>> {
        let arrays = SafeTensors::deserialize(&self.arrays).unwrap();
        let view = arrays.tensor(name).ok()?;
        assert_eq!(view.dtype(), safetensors::Dtype::F32, "{name}");
        Some(
            view.data()
                .as_chunks::<4>()
                .0
                .iter()
                .map(|chunk| f64::from(f32::from_le_bytes(*chunk)))
                .collect(),
        )
    }

    pub fn layers(&self) -> usize {
        let modules = self.expected["definitions"]["paper"]["I"]
            .as_object()
            .unwrap()
            .values()
            .next()
            .unwrap()
            .as_object()
            .unwrap()
            .len();
        modules / Module::ALL.len()
    }
}

pub fn cases(with_model: bool) -> Vec<Case> {
    let Some(folder) = fixtures() else { return Vec::new() };
    let mut folders: Vec<PathBuf> = std::fs::read_dir(folder.join("interpret"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    folders
        .into_iter()
        .filter(|folder| folder.join("expected.json").is_file() && folder.join("config.json").is_file() == with_model)
        .map(|folder| Case::read(&folder))
        .collect()
}

pub fn module_name(component: Component) -> String {
    format!("layer_{}_{}", component.layer.0, component.module.projection())
}

/// Keeps the largest of each kind of difference, for printing, and complains at the end.
#[derive(Default)]
pub struct Differences(BTreeMap<String, (f64, f64, String)>);

impl Differences {
    pub fn note(&mut self, kind: &str, gate: f64, found: f64, place: impl FnOnce() -> String) {
        let worst = self.0.entry(kind.into()).or_insert((0.0, gate, String::new()));
        // A comparison with NaN is false, so NaN must be caught by name.
        if found.is_nan() || found > worst.0 {
            *worst = (if found.is_nan() { f64::INFINITY } else { found }, gate, place());
        }
    }

    pub fn finish(self, title: &str) {
        for (kind, (found, gate, place)) in &self.0 {
            println!("{title}: {kind:<28} largest difference {found:.2e} (gate {gate:.0e}) {place}");
        }
        for (kind, (found, gate, place)) in &self.0 {
            assert!(found <= gate, "{title}: {kind} differs by {found:.2e} at {place}, more than {gate:.0e}");
        }
    }
}
