//! What one instance gives, in memory and on disk; the grain at which work resumes and is merged.
//!
//! A part is a safetensors file: `all` (mean of every module's output over all tokens), `plus/<behaviour>` (over the tokens
//! of a behaviour), `shares/<k>` (of experts), `gradient/<k>` (mean gradient of a behaviour under `paper`, of a segment under `released`), each a vector
//! over all channels of the model; the small facts stand as JSON in the file's metadata.

use std::collections::BTreeMap;
use std::path::Path;

use cruxscope_study::{Behaviour, folder};
use safetensors::tensor::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::InterpretError;
use crate::part_file::{self, Array};

/// The mean gradient over the rows of some segments of one behaviour.
#[derive(Clone, Debug, PartialEq)]
pub struct GradientPart {
    /// The behaviour.
    pub behaviour: Behaviour,
    /// How many segments it stands for.
    pub segments: usize,
    /// The gradient, in the model's layout.
    pub values: Vec<f32>,
}

/// What one instance gives.
#[derive(Clone, Debug, PartialEq)]
pub struct InstancePart {
    /// Its id.
    pub id: String,
    /// Its tokens.
    pub tokens: usize,
    /// Its segments, per behaviour.
    pub segments: [usize; 4],
    /// Mean cross-entropy of each segment.
    pub losses: Vec<f64>,
    /// Targets of each segment.
    pub targets: Vec<usize>,
    /// Mean of every module's output over all tokens, in the model's layout.
    pub all: Vec<f32>,
    /// The same over the tokens of each behaviour it holds.
    pub plus: Vec<(Behaviour, Vec<f32>)>,
    /// Gradients: one a behaviour under `paper`, one a segment under `released`.
    pub gradients: Vec<GradientPart>,
    /// Of a model with experts, what share of the tokens was routed to each expert of the model: over all tokens, and then over those
    /// of each behaviour in the order of [`Self::plus`]. Empty otherwise.
    pub shares: Vec<Vec<f32>>,
    /// The device's backend and precision, once the part has been saved.
    pub backend: String,
}

#[derive(Serialize, Deserialize)]
struct Facts {
    /// What the part was computed from and how; a part with another key is not this one.
    key: String,
    id: String,
    tokens: usize,
    segments: [usize; 4],
    losses: Vec<f64>,
    targets: Vec<usize>,
    gradients: Vec<(Behaviour, usize)>,
    backend: String,
}

impl InstancePart {
    /// Mean loss over all targets of all segments; `None` when there is none.
    pub fn loss(&self) -> Option<f64> {
        let targets: usize = self.targets.iter().sum();
        let sum: f64 = self.losses.iter().zip(&self.targets).map(|(loss, targets)| loss * *targets as f64).sum();
        (targets > 0).then(|| sum / targets as f64)
    }

    /// Saves the part atomically, with its key and the backend it was computed on.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn save(&self, path: &Path, key: &str, backend: &str) -> Result<(), InterpretError> {
        let damaged = |why: String| InterpretError::Part { path: path.to_owned(), why };
        let facts = Facts {
            key: key.into(),
            id: self.id.clone(),
            tokens: self.tokens,
            segments: self.segments,
            losses: self.losses.clone(),
            targets: self.targets.clone(),
            gradients: self.gradients.iter().map(|group| (group.behaviour, group.segments)).collect(),
            backend: backend.into(),
        };
        let mut arrays: BTreeMap<String, Array> = BTreeMap::new();
        let array = |values: &[f32]| (Dtype::F32, vec![values.len()], values.iter().flat_map(|value| value.to_le_bytes()).collect());
        arrays.insert("all".into(), array(&self.all));
        for (behaviour, values) in &self.plus {
            arrays.insert(format!("plus/{behaviour}"), array(values));
        }
        for (index, shares) in self.shares.iter().enumerate().filter(|(_, shares)| !shares.is_empty()) {
            arrays.insert(format!("shares/{index}"), array(shares));
        }
        for (index, group) in self.gradients.iter().enumerate() {
            arrays.insert(format!("gradient/{index}"), array(&group.values));
        }
        let file = part_file::write(&facts, &arrays).map_err(damaged)?;
        Ok(folder::write_atomically(path, &file)?)
    }

    /// Loads a part if the file is one with this key; a part with another key counts as absent, so that it is computed again.
    ///
    /// # Errors
    /// When the file is there but damaged, or cannot be read.
    pub fn load(path: &Path, key: &str) -> Result<Option<Self>, InterpretError> {
        let damaged = |why: String| InterpretError::Part { path: path.to_owned(), why };
        let Some(file) = part_file::bytes(path).map_err(damaged)? else {
            return Ok(None);
        };
        let facts: Facts = part_file::facts(&file).map_err(damaged)?;
        if facts.key != key {
            return Ok(None);
        }
        let arrays = SafeTensors::deserialize(&file).map_err(|error| damaged(error.to_string()))?;
        let array = |name: &str| -> Result<Vec<f32>, InterpretError> {
            let bytes = part_file::array(&arrays, name, Dtype::F32).map_err(damaged)?;
            Ok(bytes.as_chunks::<4>().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect())
        };
        let mut plus = Vec::new();
        for behaviour in Behaviour::ALL {
            let name = format!("plus/{behaviour}");
            if arrays.tensor(&name).is_ok() {
                plus.push((behaviour, array(&name)?));
            }
        }
        let gradients = facts
            .gradients
            .iter()
            .enumerate()
            .map(|(index, (behaviour, segments))| {
                Ok(GradientPart {
                    behaviour: *behaviour,
                    segments: *segments,
                    values: array(&format!("gradient/{index}"))?,
                })
            })
            .collect::<Result<_, InterpretError>>()?;
        let shares = (0..=plus.len())
            .map(|index| format!("shares/{index}"))
            .filter(|name| arrays.tensor(name).is_ok());
        let shares = shares.map(|name| array(&name)).collect::<Result<_, _>>()?;
        Ok(Some(Self {
            id: facts.id,
            tokens: facts.tokens,
            segments: facts.segments,
            losses: facts.losses,
            targets: facts.targets,
            all: array("all")?,
            plus,
            gradients,
            shares,
            backend: facts.backend,
        }))
    }
}
