//! Matrices that a file holds as one, read as slices of its rows, and put together again where a model is written.

use std::collections::BTreeMap;

use crate::config::{ModelConfig, PROJECTIONS, layer_tensor};
use crate::error::CheckpointError;
use crate::store::{PackedSlice, Store, StoredTensor};

/// A matrix of a file, with the projections whose rows it holds one below the other.
pub(crate) struct FusedMatrix {
    /// Its name inside of a layer.
    pub name: &'static str,
    /// Places in [`PROJECTIONS`].
    pub parts: &'static [usize],
}

const QUERY_KEY_VALUE: FusedMatrix = FusedMatrix {
    name: "self_attn.qkv_proj.weight",
    parts: &[0, 1, 2],
};
const GATE_UP: FusedMatrix = FusedMatrix {
    name: "mlp.gate_up_proj.weight",
    parts: &[4, 5],
};

/// Those of a model's layers.
pub(crate) fn matrices(config: &ModelConfig) -> impl Iterator<Item = FusedMatrix> {
    let fused = config.block.fused;
    let all = [fused.query_key_value.then_some(QUERY_KEY_VALUE), fused.gate_up.then_some(GATE_UP)];
    all.into_iter().flatten()
}

impl ModelConfig {
    /// The name, inside of a layer, of the module that files hold one of the seven usual maps in: of several that are one there that one's.
    pub fn holding_module(&self, projection: usize, own: &str) -> String {
        let whole = matrices(self).find(|fused| fused.parts.contains(&projection));
        whole.map_or(own, |fused| fused.name.trim_end_matches(".weight")).to_string()
    }
}

/// Confirms that a folder holds as one what its family's class holds as one: parts apart are of another family's file.
///
/// # Errors
/// `MissingTensor` naming the first matrix that is not there.
pub(crate) fn check(config: &ModelConfig, store: &Store) -> Result<(), CheckpointError> {
    for fused in matrices(config) {
        let name = layer_tensor(0, fused.name);
        if !store.tensors.contains_key(&name) && store.packed_module(&name).is_none() {
            return Err(CheckpointError::MissingTensor {
                tensor: name,
                path: store.path.clone(),
                expected: shape(config, &fused).to_vec(),
            });
        }
    }
    Ok(())
}

/// Puts slices of rows in the place of every fused matrix; of a packed one, where they lie in it.
///
/// # Errors
/// `Shape` where one does not hold its parts.
pub(crate) fn split(config: &ModelConfig, store: &mut Store) -> Result<(), CheckpointError> {
    for fused in matrices(config) {
        let ending = format!(".{}", fused.name);
        split_packed(config, &fused, store);
        let is_plain = |name: &&String| name.ends_with(&ending) && store.packed_module(name).is_none();
        let names: Vec<String> = store.tensors.keys().filter(is_plain).cloned().collect();
        for name in names {
            let Some(tensor) = store.tensors.remove(&name) else { continue };
            let stem = name.strip_suffix(fused.name).unwrap_or_default();
            let slices = slices(config, &fused, &tensor).ok_or_else(|| CheckpointError::Shape {
                tensor: name.clone(),
                path: store.path.clone(),
                found: tensor.shape.clone(),
                expected: shape(config, &fused).to_vec(),
            })?;
            store
                .tensors
                .extend(slices.into_iter().map(|(part, slice)| (format!("{stem}{part}.weight"), slice)));
        }
    }
    Ok(())
}

fn split_packed(config: &ModelConfig, fused: &FusedMatrix, store: &mut Store) {
    let [of, _] = shape(config, fused);
    for layer in 0..config.layers {
        let whole = layer_tensor(layer, fused.name);
        if store.packed_module(&whole).is_none() {
            continue;
        }
        let mut first = 0;
        for part in fused.parts {
            let (rows, _) = config.dimensions(*part);
            let slice = PackedSlice {
                whole: whole.clone(),
                first,
                rows,
                of,
            };
            store.slices.insert(layer_tensor(layer, &format!("{}.weight", PROJECTIONS[*part])), slice);
            first += rows;
        }
    }
}

fn shape(config: &ModelConfig, fused: &FusedMatrix) -> [usize; 2] {
    let dimensions = fused.parts.iter().map(|part| config.dimensions(*part));
    dimensions.fold([0, 0], |[rows, _], (more, columns)| [rows + more, columns])
}

fn slices(config: &ModelConfig, fused: &FusedMatrix, tensor: &StoredTensor) -> Option<BTreeMap<&'static str, StoredTensor>> {
    let [rows, columns] = shape(config, fused);
    if tensor.shape != [rows, columns] || !tensor.length.is_multiple_of(rows) {
        return None;
    }
    let row = tensor.length / rows;
    let mut offset = tensor.offset;
    let slices = fused.parts.iter().map(|part| {
        let (rows, columns) = config.dimensions(*part);
        let slice = StoredTensor {
            offset,
            length: rows * row,
            shape: vec![rows, columns],
            ..tensor.clone()
        };
        offset += slice.length;
        (PROJECTIONS[*part], slice)
    });
    Some(slices.collect())
}
