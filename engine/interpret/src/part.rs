//! What one instance gives, in memory and on disk; the grain at which work resumes and is merged.
//!
//! A part is a safetensors file: `all` (mean of every module's output over all tokens), `plus/<behaviour>` (over the tokens
//! of a behaviour), `gradient/<k>` (mean gradient of a behaviour under `paper`, of a segment under `released`), each a vector
//! over all channels of the model; the small facts stand as JSON in the file's metadata.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use cruxscope_study::{Behaviour, folder};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::InterpretError;

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

const FACTS: &str = "cruxscope";

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
        let facts = serde_json::to_string(&facts).map_err(|error| damaged(error.to_string()))?;
        let mut arrays: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        arrays.insert("all".into(), bytes(&self.all));
        for (behaviour, values) in &self.plus {
            arrays.insert(format!("plus/{behaviour}"), bytes(values));
        }
        for (index, group) in self.gradients.iter().enumerate() {
            arrays.insert(format!("gradient/{index}"), bytes(&group.values));
        }
        let views = arrays
            .iter()
            .map(|(name, bytes)| {
                Ok((
                    name.clone(),
                    TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes).map_err(|error| damaged(error.to_string()))?,
                ))
            })
            .collect::<Result<Vec<_>, InterpretError>>()?;
        let file = safetensors::serialize(views, Some(HashMap::from([(FACTS.to_owned(), facts)]))).map_err(|error| damaged(error.to_string()))?;
        Ok(folder::write_atomically(path, &file)?)
    }

    /// Loads a part if the file is one with this key; a part with another key counts as absent, so that it is computed again.
    ///
    /// # Errors
    /// When the file is there but damaged, or cannot be read.
    pub fn load(path: &Path, key: &str) -> Result<Option<Self>, InterpretError> {
        let damaged = |why: String| InterpretError::Part { path: path.to_owned(), why };
        let file = match std::fs::read(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(damaged(error.to_string())),
        };
        let (_, metadata) = SafeTensors::read_metadata(&file).map_err(|error| damaged(error.to_string()))?;
        let facts = metadata
            .metadata()
            .as_ref()
            .and_then(|metadata| metadata.get(FACTS))
            .ok_or_else(|| damaged("it has no facts".into()))?;
        let facts: Facts = serde_json::from_str(facts).map_err(|error| damaged(error.to_string()))?;
        if facts.key != key {
            return Ok(None);
        }
        let arrays = SafeTensors::deserialize(&file).map_err(|error| damaged(error.to_string()))?;
        let array = |name: &str| -> Result<Vec<f32>, InterpretError> {
            let view = arrays.tensor(name).map_err(|error| damaged(error.to_string()))?;
            if view.dtype() != Dtype::F32 {
                return Err(damaged(format!("{name} is not float32")));
            }
            Ok(view.data().as_chunks::<4>().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect())
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
        Ok(Some(Self {
            id: facts.id,
            tokens: facts.tokens,
            segments: facts.segments,
            losses: facts.losses,
            targets: facts.targets,
            all: array("all")?,
            plus,
            gradients,
            backend: facts.backend,
        }))
    }
}
