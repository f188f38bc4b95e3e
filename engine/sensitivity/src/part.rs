//! What one window gives, in memory and on disk; the grain at which work resumes and is shared.
//!
//! A part is a safetensors file: `sketch/<scope>` float32 `[draws, cells]`, `score/<scope>` and `outputs/<scope>` float32 `[cells]`,
//! cells being components by formats, `input_error` float64 `[cells]` and, where they were asked for, `gradient_error` and `first_order`
//! likewise; the small facts stand as JSON in the file's metadata.

use std::collections::BTreeMap;
use std::path::Path;

use cruxscope_interpret::part_file::{self, Array};
use cruxscope_study::{Scope, folder};
use safetensors::tensor::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::SensitivityError;

/// The sketch of one scope in one window.
#[derive(Clone, Debug, PartialEq)]
pub struct ScopePart {
    /// Whose positions.
    pub scope: Scope,
    /// Positions that count.
    pub positions: u32,
    /// `[draws, components, formats]`.
    pub sketch: Vec<f32>,
    /// `[components, formats]`: sums over draws and positions of (g_t . D x_t)^2.
    pub score: Vec<f32>,
    /// `[components, formats]`: sums over draws, positions and outputs of (g_to (D x_t)_o)^2.
    pub outputs: Vec<f32>,
}

/// What one window gives.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowPart {
    /// Its id.
    pub id: String,
    /// Its tokens.
    pub tokens: u32,
    /// Draws of labels.
    pub draws: u32,
    /// Its scopes; [`Scope::All`] first.
    pub scopes: Vec<ScopePart>,
    /// `[components, formats]`: sum of D_ij^2 times the sum of x_j^2 over tokens.
    pub input_error: Vec<f64>,
    /// `[components, formats]`: sum over positions and outputs of (g_to (D x_t)_o)^2, labels being the text's own; empty where it was not
    /// asked for.
    pub gradient_error: Vec<f64>,
    /// `[components, formats]`: sum over positions of g_t . D x_t, likewise.
    pub first_order: Vec<f64>,
}

#[derive(Serialize, Deserialize)]
struct Facts {
    /// What the part was computed from and how; a part with another key is not this one.
    key: String,
    id: String,
    tokens: u32,
    draws: u32,
    scopes: Vec<(Scope, u32)>,
    backend: String,
}

impl WindowPart {
    /// Saves the part atomically, with its key and the backend it was computed on.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn save(&self, path: &Path, key: &str, backend: &str) -> Result<(), SensitivityError> {
        let damaged = |why: String| SensitivityError::Part { path: path.to_owned(), why };
        let facts = Facts {
            key: key.into(),
            id: self.id.clone(),
            tokens: self.tokens,
            draws: self.draws,
            scopes: self.scopes.iter().map(|part| (part.scope, part.positions)).collect(),
            backend: backend.into(),
        };
        let singles = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let (cells, draws) = (self.input_error.len(), self.draws as usize);
        let mut arrays: BTreeMap<String, Array> = BTreeMap::new();
        for part in &self.scopes {
            arrays.insert(format!("sketch/{}", part.scope), (Dtype::F32, vec![draws, cells], singles(&part.sketch)));
            arrays.insert(format!("score/{}", part.scope), (Dtype::F32, vec![cells], singles(&part.score)));
            arrays.insert(format!("outputs/{}", part.scope), (Dtype::F32, vec![cells], singles(&part.outputs)));
        }
        let tables = [
            ("input_error", &self.input_error),
            ("gradient_error", &self.gradient_error),
            ("first_order", &self.first_order),
        ];
        for (name, values) in tables {
            if !values.is_empty() {
                let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                arrays.insert(name.into(), (Dtype::F64, vec![values.len()], bytes));
            }
        }
        let file = part_file::write(&facts, &arrays).map_err(damaged)?;
        Ok(folder::write_atomically(path, &file)?)
    }

    /// Loads a part with the backend it was computed on, if the file is one with this key; a part with another key counts as absent,
    /// so that it is computed again.
    ///
    /// # Errors
    /// When the file is there but damaged, or cannot be read.
    pub fn load(path: &Path, key: &str) -> Result<Option<(Self, String)>, SensitivityError> {
        let damaged = |why: String| SensitivityError::Part { path: path.to_owned(), why };
        let Some(file) = part_file::bytes(path).map_err(damaged)? else {
            return Ok(None);
        };
        let facts: Facts = part_file::facts(&file).map_err(damaged)?;
        if facts.key != key {
            return Ok(None);
        }
        let arrays = SafeTensors::deserialize(&file).map_err(|error| damaged(error.to_string()))?;
        let bytes = |name: &str, dtype: Dtype| part_file::array(&arrays, name, dtype).map_err(damaged);
        let singles = |name: &str| -> Result<Vec<f32>, SensitivityError> {
            let chunks = bytes(name, Dtype::F32)?.as_chunks::<4>().0;
            Ok(chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect())
        };
        let doubles = |name: &str| -> Result<Vec<f64>, SensitivityError> {
            let chunks = bytes(name, Dtype::F64)?.as_chunks::<8>().0;
            Ok(chunks.iter().map(|chunk| f64::from_le_bytes(*chunk)).collect())
        };
        let input_error = doubles("input_error")?;
        let asked = |name: &str| if arrays.tensor(name).is_ok() { doubles(name) } else { Ok(Vec::new()) };
        let (gradient_error, first_order) = (asked("gradient_error")?, asked("first_order")?);
        let cells = input_error.len();
        let mut scopes = Vec::new();
        for (scope, positions) in facts.scopes {
            let (sketch, score) = (singles(&format!("sketch/{scope}"))?, singles(&format!("score/{scope}"))?);
            let outputs = singles(&format!("outputs/{scope}"))?;
            if sketch.len() != cells * facts.draws as usize || score.len() != cells || outputs.len() != cells {
                return Err(damaged(format!("the arrays of {scope} have other shapes than the rest")));
            }
            scopes.push(ScopePart {
                scope,
                positions,
                sketch,
                score,
                outputs,
            });
        }
        let part = Self {
            id: facts.id,
            tokens: facts.tokens,
            draws: facts.draws,
            scopes,
            input_error,
            gradient_error,
            first_order,
        };
        Ok(Some((part, facts.backend)))
    }
}

#[cfg(test)]
mod tests {
    use cruxscope_study::Behaviour;

    use super::*;

    #[test]
    fn a_part_reads_back_by_its_key_and_damage_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part.safetensors");
        let scope = |scope, positions| ScopePart {
            scope,
            positions,
            sketch: vec![1.5, -2.0, 0.25, f32::MIN_POSITIVE],
            score: vec![3.0, 0.0],
            outputs: vec![2.5, 0.0],
        };
        let part = WindowPart {
            id: "a".into(),
            tokens: 9,
            draws: 2,
            scopes: vec![scope(Scope::All, 9), scope(Scope::Behaviour(Behaviour::ExampleTesting), 2)],
            input_error: vec![0.125, 7.0],
            gradient_error: vec![1.0, 0.5],
            first_order: vec![-1.0, 0.5],
        };
        assert_eq!(WindowPart::load(&path, "key").unwrap(), None);
        part.save(&path, "key", "cpu, float32").unwrap();
        assert_eq!(WindowPart::load(&path, "key").unwrap(), Some((part, "cpu, float32".into())));
        assert_eq!(WindowPart::load(&path, "another").unwrap(), None);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        assert!(WindowPart::load(&path, "key").unwrap_err().to_string().contains("damaged"));
    }
}
