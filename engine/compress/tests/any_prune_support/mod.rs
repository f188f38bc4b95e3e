//! Reads fixtures for the tests of ANY4 and of pruning.
#![allow(dead_code)] // every test file uses its own part

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde_json::Value;

/// The folder of one method's fixtures. None, and a word why, where it is missing.
pub fn folder(method: &str) -> Option<PathBuf> {
    cruxscope_needs::fixtures_of(&format!("compress/{method}"))
}

/// Names of all cases, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = (std::fs::read_dir(folder).unwrap())
        .filter_map(|entry| entry.unwrap().file_name().to_string_lossy().strip_suffix(".json").map(str::to_string))
        .collect();
    names.sort();
    assert!(!names.is_empty(), "no cases in {}", folder.display());
    names
}

/// Bytes, element type and shape of the tensors of one file.
pub type Tensors = BTreeMap<String, (Vec<usize>, Vec<u8>)>;

/// One case's description.
pub struct Case {
    pub name: String,
    pub json: Value,
}

impl Case {
    pub fn read(folder: &Path, name: &str) -> Self {
        let json = serde_json::from_slice(&std::fs::read(folder.join(format!("{name}.json"))).unwrap()).unwrap();
        Self { name: name.to_string(), json }
    }

    pub fn variants(&self) -> &[Value] {
        self.json["variants"].as_array().unwrap()
    }

    pub fn tensors(folder: &Path, file: &str) -> Tensors {
        let bytes = std::fs::read(folder.join(file)).unwrap();
        let stored = SafeTensors::deserialize(&bytes).unwrap();
        stored
            .tensors()
            .into_iter()
            .map(|(name, view)| (name, (view.shape().to_vec(), view.data().to_vec())))
            .collect()
    }

    /// The weights with rows and columns, and the inputs `[tokens, columns]`, that all methods share.
    pub fn inputs(&self, folder: &Path) -> (Vec<f32>, usize, usize, Vec<f32>) {
        let tensors = Self::tensors(&folder.join("../inputs"), &format!("{}.safetensors", self.name));
        let shape = tensors["W"].0.clone();
        (floats(&tensors, "W"), shape[0], shape[1], floats(&tensors, "X"))
    }

    /// `2/sequences · Σ XᵀX`, `[columns, columns]`.
    pub fn hessian(&self, folder: &Path) -> Vec<f32> {
        floats(&Self::tensors(&folder.join("../inputs"), &format!("{}_H.safetensors", self.name)), "H")
    }
}

/// A tensor of float32.
pub fn floats(tensors: &Tensors, name: &str) -> Vec<f32> {
    tensors[name].1.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// `‖X(W' − W)ᵀ‖² / ‖XWᵀ‖²` in double precision.
pub fn relative_error(weights: &[f32], changed: &[f32], inputs: &[f32], rows: usize, columns: usize) -> f64 {
    let (mut error, mut size) = (0.0, 0.0);
    for input in inputs.chunks_exact(columns) {
        for row in 0..rows {
            let at = row * columns..(row + 1) * columns;
            let (mut off, mut full) = (0.0, 0.0);
            for ((input, weight), changed) in input.iter().zip(&weights[at.clone()]).zip(&changed[at]) {
                off += f64::from(*input) * (f64::from(*changed) - f64::from(*weight));
                full += f64::from(*input) * f64::from(*weight);
            }
            error += off * off;
            size += full * full;
        }
    }
    error / size
}
