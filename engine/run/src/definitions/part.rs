//! What one instance gives to all variants, on disk until they are put together.

use std::collections::BTreeMap;
use std::path::Path;

use cruxscope_interpret::InterpretError;
use cruxscope_interpret::part::{GradientPart, InstancePart};
use cruxscope_interpret::part_file::{self, Array};
use cruxscope_study::{Behaviour, folder};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Facts {
    key: String,
    id: String,
    tokens: usize,
    losses: Vec<f64>,
    targets: Vec<usize>,
    plus: Vec<Behaviour>,
    gradients: Vec<(Behaviour, usize)>,
    shares: usize,
    backend: String,
}

/// Saves a part with its key.
///
/// # Errors
/// When the disk refuses.
pub fn save(part: &InstancePart, path: &Path, key: &str) -> Result<(), InterpretError> {
    let damaged = |why: String| InterpretError::Part { path: path.to_owned(), why };
    let facts = Facts {
        key: key.into(),
        id: part.id.clone(),
        tokens: part.tokens,
        losses: part.losses.clone(),
        targets: part.targets.clone(),
        plus: part.plus.iter().map(|(behaviour, _)| *behaviour).collect(),
        gradients: part.gradients.iter().map(|group| (group.behaviour, group.segments)).collect(),
        shares: part.shares.len(),
        backend: part.backend.clone(),
    };
    let mut arrays: BTreeMap<String, Array> = BTreeMap::new();
    let mut add = |name: String, values: &[f32]| {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        arrays.insert(name, (Dtype::F32, vec![values.len()], bytes));
    };
    add("all".into(), &part.all);
    part.plus
        .iter()
        .enumerate()
        .for_each(|(index, (_, values))| add(format!("plus/{index}"), values));
    part.gradients
        .iter()
        .enumerate()
        .for_each(|(index, group)| add(format!("gradient/{index}"), &group.values));
    part.shares
        .iter()
        .enumerate()
        .for_each(|(index, shares)| add(format!("shares/{index}"), shares));
    Ok(folder::write_atomically(path, &part_file::write(&facts, &arrays).map_err(damaged)?)?)
}

/// Loads a part, if there is one with this key.
///
/// # Errors
/// When it is damaged, or cannot be read.
pub fn load(path: &Path, key: &str) -> Result<Option<InstancePart>, InterpretError> {
    let damaged = |why: String| InterpretError::Part { path: path.to_owned(), why };
    let Some(file) = part_file::bytes(path).map_err(damaged)? else {
        return Ok(None);
    };
    let facts: Facts = part_file::facts(&file).map_err(damaged)?;
    if facts.key != key {
        return Ok(None);
    }
    let arrays = SafeTensors::deserialize(&file).map_err(|error| damaged(error.to_string()))?;
    let array = |name: String| -> Result<Vec<f32>, InterpretError> {
        let bytes = part_file::array(&arrays, &name, Dtype::F32).map_err(damaged)?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect())
    };
    let plus = facts
        .plus
        .iter()
        .enumerate()
        .map(|(index, behaviour)| Ok((*behaviour, array(format!("plus/{index}"))?)));
    let gradients = facts.gradients.iter().enumerate().map(|(index, (behaviour, segments))| {
        Ok(GradientPart {
            behaviour: *behaviour,
            segments: *segments,
            values: array(format!("gradient/{index}"))?,
        })
    });
    Ok(Some(InstancePart {
        all: array("all".into())?,
        plus: plus.collect::<Result<_, InterpretError>>()?,
        gradients: gradients.collect::<Result<_, InterpretError>>()?,
        shares: (0..facts.shares).map(|index| array(format!("shares/{index}"))).collect::<Result<_, _>>()?,
        id: facts.id,
        tokens: facts.tokens,
        segments: [0; 4],
        losses: facts.losses,
        targets: facts.targets,
        backend: facts.backend,
    }))
}
