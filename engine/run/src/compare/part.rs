//! What one text gives, in memory and on disk; the grain at which work resumes.

use std::collections::BTreeMap;
use std::path::Path;

use cruxscope_interpret::part_file::{self, Array};
use cruxscope_sensitivity::SensitivityError;
use cruxscope_study::folder;
use safetensors::tensor::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::RunError;

/// The arrays of [`cruxscope_study::Divergence`], of one text.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct TextPart {
    pub kl: Vec<f32>,
    pub rank: Vec<u32>,
    pub choices: [Vec<u32>; 2],
    pub losses: [Vec<f32>; 2],
    /// What each component adds to the sum of the divergence, for each set of positions: `[components]`.
    pub shares: Vec<Vec<f64>>,
}

#[derive(Serialize, Deserialize)]
struct Facts {
    key: String,
    shares: usize,
}

impl TextPart {
    /// Saves the part atomically, with its key.
    pub fn save(&self, path: &Path, key: &str) -> Result<(), RunError> {
        let damaged = |why: String| SensitivityError::Part { path: path.to_owned(), why };
        let count = self.kl.len();
        let singles = |values: &[f32]| -> Array { (Dtype::F32, vec![count], values.iter().flat_map(|value| value.to_le_bytes()).collect()) };
        let whole = |values: &[u32]| -> Array { (Dtype::I32, vec![count], values.iter().flat_map(|value| (*value as i32).to_le_bytes()).collect()) };
        let mut arrays: BTreeMap<String, Array> = BTreeMap::from([("kl".to_owned(), singles(&self.kl)), ("rank".to_owned(), whole(&self.rank))]);
        for (side, name) in ["a", "b"].into_iter().enumerate() {
            arrays.insert(format!("choice/{name}"), whole(&self.choices[side]));
            arrays.insert(format!("loss/{name}"), singles(&self.losses[side]));
        }
        for (place, shares) in self.shares.iter().enumerate() {
            let bytes = shares.iter().flat_map(|value| value.to_le_bytes()).collect();
            arrays.insert(format!("share/{place}"), (Dtype::F64, vec![shares.len()], bytes));
        }
        let facts = Facts {
            key: key.into(),
            shares: self.shares.len(),
        };
        let file = part_file::write(&facts, &arrays).map_err(damaged)?;
        Ok(folder::write_atomically(path, &file)?)
    }

    /// Loads a part, if the file is one with this key.
    pub fn load(path: &Path, key: &str) -> Result<Option<Self>, RunError> {
        let damaged = |why: String| RunError::from(SensitivityError::Part { path: path.to_owned(), why });
        let Some(file) = part_file::bytes(path).map_err(damaged)? else {
            return Ok(None);
        };
        let facts: Facts = part_file::facts(&file).map_err(damaged)?;
        if facts.key != key {
            return Ok(None);
        }
        let arrays = SafeTensors::deserialize(&file).map_err(|error| damaged(error.to_string()))?;
        let bytes = |name: &str, dtype: Dtype| part_file::array(&arrays, name, dtype).map_err(damaged);
        let singles = |name: &str| -> Result<Vec<f32>, RunError> {
            let chunks = bytes(name, Dtype::F32)?.as_chunks::<4>().0;
            Ok(chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect())
        };
        let whole = |name: &str| -> Result<Vec<u32>, RunError> {
            let chunks = bytes(name, Dtype::I32)?.as_chunks::<4>().0;
            Ok(chunks.iter().map(|chunk| u32::from_le_bytes(*chunk)).collect())
        };
        let doubles = |name: &str| -> Result<Vec<f64>, RunError> {
            let chunks = bytes(name, Dtype::F64)?.as_chunks::<8>().0;
            Ok(chunks.iter().map(|chunk| f64::from_le_bytes(*chunk)).collect())
        };
        Ok(Some(Self {
            kl: singles("kl")?,
            rank: whole("rank")?,
            choices: [whole("choice/a")?, whole("choice/b")?],
            losses: [singles("loss/a")?, singles("loss/b")?],
            shares: (0..facts.shares).map(|place| doubles(&format!("share/{place}"))).collect::<Result<_, _>>()?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_comes_back_by_its_key_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part.safetensors");
        let part = TextPart {
            kl: vec![0.5, 0.25],
            rank: vec![1, 7],
            choices: [vec![3, 4], vec![3, 900_000]],
            losses: [vec![1.0, 2.0], vec![1.5, 2.5]],
            shares: vec![vec![0.125; 14], vec![-1.0; 14]],
        };
        assert_eq!(TextPart::load(&path, "key").unwrap(), None);
        part.save(&path, "key").unwrap();
        assert_eq!(TextPart::load(&path, "key").unwrap(), Some(part));
        assert_eq!(TextPart::load(&path, "other").unwrap(), None);
        std::fs::write(&path, "no part").unwrap();
        assert!(TextPart::load(&path, "key").is_err());
    }
}
