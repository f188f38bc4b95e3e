//! Experts back into arrays that hold those of a whole layer, where the family's files have such.

use super::stored::{Array, Arrays};
use crate::config::{ModelConfig, layer_tensor};
use crate::experts::ExpertStorage;
use crate::modules::ModuleRole;

/// Puts the matrices and biases of a layer's experts in the place of what [`crate::stacked`] reads them from. Where one is not there,
/// such as a packed one, all stay as they are.
pub(super) fn join_experts(config: &ModelConfig, layer: usize, arrays: &mut Arrays<'_>) {
    let Some(experts) = config.experts(layer) else { return };
    let (names, transposed, in_turn) = match experts.storage {
        ExpertStorage::Each => return,
        ExpertStorage::Stacked(names) => (names, false, false),
        ExpertStorage::Transposed(names) => (names, true, false),
        ExpertStorage::Interleaved(names) => (names, true, true),
    };
    let modules = config.modules(layer);
    // Names of the modules of each part, expert by expert.
    let of_part = |wanted: usize| -> Vec<String> {
        let own = modules
            .iter()
            .filter(|module| matches!(module.role, ModuleRole::FeedForward { place, part } if part == wanted && experts.shared_place() != Some(place)));
        own.map(|module| layer_tensor(layer, &module.name)).collect()
    };
    let (gate, up, down) = (of_part(0), of_part(1), of_part(2));
    for (ending, suffix) in [(".weight", ""), (".bias", "_bias")] {
        let all = gate.iter().chain(&up).chain(&down);
        if !all.clone().all(|name| arrays.contains_key(&format!("{name}{ending}"))) {
            continue;
        }
        let mut take = |name: &String| arrays.remove(&format!("{name}{ending}"));
        let both: Vec<Array<'_>> = (gate.iter().zip(&up))
            .filter_map(|(gate, up)| Some(side_by_side([take(gate)?, take(up)?], in_turn)))
            .collect();
        let single: Vec<Array<'_>> = down.iter().filter_map(&mut take).collect();
        for (name, parts) in [(names.gate_up, both), (names.down, single)] {
            if let Some(whole) = whole(parts, transposed) {
                arrays.insert(format!("{}{suffix}", layer_tensor(layer, name)), whole);
            }
        }
    }
}

/// Two matrices of as many rows, one below the other or row by row in turn.
fn side_by_side<'a>([first, second]: [Array<'a>; 2], in_turn: bool) -> Array<'a> {
    let mut shape = first.shape.clone();
    let rows = shape[0];
    shape[0] *= 2;
    let bytes = if in_turn && rows > 0 {
        let row = first.bytes.len() / rows;
        (first.bytes.chunks_exact(row).zip(second.bytes.chunks_exact(row)))
            .flat_map(|(first, second)| [first, second].concat())
            .collect()
    } else {
        [first.bytes, second.bytes].concat()
    };
    Array {
        dtype: first.dtype,
        shape,
        bytes: bytes.into(),
    }
}

/// All experts' arrays as one, each transposed if need be.
fn whole<'a>(parts: Vec<Array<'a>>, transposed: bool) -> Option<Array<'a>> {
    let (dtype, mut shape) = (parts.first()?.dtype, parts.first()?.shape.clone());
    let count = parts.len();
    let mut bytes = Vec::new();
    for part in parts {
        match shape.as_slice() {
            [rows, columns] if transposed => {
                let size = part.bytes.len() / (rows * columns).max(1);
                for column in 0..*columns {
                    for row in 0..*rows {
                        bytes.extend_from_slice(&part.bytes[(row * columns + column) * size..][..size]);
                    }
                }
            }
            _ => bytes.extend_from_slice(&part.bytes),
        }
    }
    if transposed {
        shape.reverse();
    }
    shape.insert(0, count);
    let bytes = bytes.into();
    Some(Array { dtype, shape, bytes })
}
