//! Finding fixtures, reading their tensors, measuring differences.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests, not all used by each

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// A tensor of any type as numbers.
pub struct Tensor {
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

impl Tensor {
    pub fn f32(&self) -> Vec<f32> {
        self.values.iter().map(|&value| value as f32).collect()
    }

    pub fn u8(&self) -> Vec<u8> {
        self.values.iter().map(|&value| value as u8).collect()
    }

    pub fn i32(&self) -> Vec<i32> {
        self.values.iter().map(|&value| value as i32).collect()
    }
}

/// The folder of compression fixtures. Says why when there is none.
pub fn fixtures() -> Option<PathBuf> {
    cruxscope_needs::fixtures_of("compress")
}

/// The cases of a folder by name, with their descriptions.
pub fn cases(folder: &Path) -> Vec<(String, Value)> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let cases: Vec<(String, Value)> = paths
        .iter()
        .map(|path| {
            (
                path.file_stem().unwrap().to_str().unwrap().to_string(),
                serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap(),
            )
        })
        .collect();
    assert!(!cases.is_empty(), "{} holds no cases", folder.display());
    cases
}

pub fn tensors(path: &Path) -> BTreeMap<String, Tensor> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.iter()
        .map(|(name, view)| {
            let data = view.data();
            let values = match view.dtype() {
                Dtype::F32 => data.chunks(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect(),
                Dtype::F16 => data.chunks(2).map(|b| half::f16::from_le_bytes(b.try_into().unwrap()).to_f64()).collect(),
                Dtype::I32 => data.chunks(4).map(|b| f64::from(i32::from_le_bytes(b.try_into().unwrap()))).collect(),
                Dtype::U8 => data.iter().map(|&b| f64::from(b)).collect(),
                other => panic!("{name} is {other:?}"),
            };
            (
                name.to_string(),
                Tensor {
                    shape: view.shape().to_vec(),
                    values,
                },
            )
        })
        .collect()
}

/// One case's weight and inputs.
pub struct Inputs {
    pub rows: usize,
    pub columns: usize,
    pub weight: Vec<f32>,
    /// `[tokens, columns]`.
    pub inputs: Vec<f32>,
    /// `[tokens, columns]`, of the full-precision model.
    pub full: Vec<f32>,
    pub sequences: usize,
}

pub fn inputs(root: &Path, case: &str) -> Inputs {
    let folder = root.join("inputs");
    let file = tensors(&folder.join(format!("{case}.safetensors")));
    let full = tensors(&folder.join(format!("{case}_xfp.safetensors")));
    let weight = &file["W"];
    Inputs {
        rows: weight.shape[0],
        columns: weight.shape[1],
        weight: weight.f32(),
        inputs: file["X"].f32(),
        full: full.values().next().unwrap().f32(),
        sequences: file["X"].shape[0],
    }
}

impl Inputs {
    /// `‖(W − Q) X‖² / ‖W X‖²`.
    pub fn relative_error(&self, quantized: &[f32]) -> f64 {
        self.error_against(quantized, &self.inputs)
    }

    /// `‖Q X − W target‖² / ‖W target‖²`.
    pub fn error_against(&self, quantized: &[f32], target: &[f32]) -> f64 {
        let outputs = |x: &[f32], w: &[f32]| {
            let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
            cruxscope_compress::linear_algebra::product_transposed(&wide(x), &wide(w), x.len() / self.columns, self.columns, self.rows)
        };
        let (found, wanted) = (outputs(&self.inputs, quantized), outputs(target, &self.weight));
        let difference: f64 = found.iter().zip(&wanted).map(|(a, b)| (a - b).powi(2)).sum();
        difference / wanted.iter().map(|b| b * b).sum::<f64>()
    }
}

/// The largest relative difference, against the larger of both.
pub fn largest_relative(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let pairs = found.iter().zip(expected);
    pairs
        .map(|(&a, &b)| f64::from((a - b).abs() / a.abs().max(b.abs()).max(1e-30)))
        .fold(0.0, f64::max)
}

/// The share of entries that differ.
pub fn share_differing<T: PartialEq>(found: &[T], expected: &[T]) -> f64 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).filter(|(a, b)| a != b).count() as f64 / found.len() as f64
}
