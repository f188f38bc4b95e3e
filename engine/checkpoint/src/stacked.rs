//! Experts that a file holds in one array: the matrix of each as a stretch of it, turned and picked apart where need be.
//!
//! `[experts, out, in]` (gate and up one below the other), `[experts, in, out]` (side by side or in turn), and MXFP4's blocks
//! `[experts, out, in / 32, 16]` with scales `[experts, out, in / 32]`. Biases are `[experts, out]`.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::config::{ModelConfig, layer_tensor};
use crate::dtype::DType;
use crate::error::CheckpointError;
use crate::experts::{ExpertStorage, StackedNames};
use crate::modules::ModuleRole;
use crate::packed::mxfp4;
use crate::stacked_slice::{Form, StackedSlice};
use crate::store::{Store, StoredTensor, all_finite, decode};

/// Finds the matrices of experts in arrays that hold those of a whole layer. Where there are no such arrays, each has to be there by
/// its own name.
pub(crate) fn place(config: &ModelConfig, store: &mut Store) {
    let mut slices = BTreeMap::new();
    for layer in 0..config.layers {
        let Some(experts) = config.experts(layer) else { continue };
        let own = (
            format!("{}.gate_up_proj", experts.names.experts),
            format!("{}.down_proj", experts.names.experts),
        );
        let named = |names: StackedNames| (names.gate_up.to_string(), names.down.to_string());
        let (form, (gate_up, down), in_turn) = match experts.storage {
            ExpertStorage::Each => (Form::Rows, own, false),
            ExpertStorage::Stacked(names) => (Form::Rows, named(names), false),
            ExpertStorage::Transposed(names) => (Form::Columns, named(names), false),
            ExpertStorage::Interleaved(names) => (Form::Columns, named(names), true),
        };
        for module in config.modules(layer) {
            let ModuleRole::FeedForward { place, part } = module.role else { continue };
            if experts.shared_place() == Some(place) {
                continue;
            }
            let whole = layer_tensor(layer, if part == 2 { &down } else { &gate_up });
            let form = match (
                store.tensors.contains_key(&whole),
                in_turn && store.tensors.contains_key(&format!("{whole}_blocks")),
            ) {
                (true, _) => form,
                (false, true) => Form::Blocks,
                (false, false) => continue,
            };
            let (first, step) = match (part, in_turn) {
                (2, _) => (0, 1),
                (_, true) => (part, 2),
                (_, false) => (part * experts.width, 1),
            };
            let slice = StackedSlice {
                form,
                expert: place,
                experts: experts.router.experts,
                outputs: if part == 2 { module.rows } else { 2 * module.rows },
                inputs: module.columns,
                first,
                step,
                rows: module.rows,
                whole: whole.clone(),
            };
            let name = layer_tensor(layer, &module.name);
            if module.bias {
                let (whole, form) = (format!("{whole}_bias"), Form::Vector);
                slices.insert(format!("{name}.bias"), StackedSlice { whole, form, ..slice.clone() });
            }
            slices.insert(format!("{name}.weight"), slice);
        }
    }
    store.stacked = slices;
}

/// The same of arrays `[experts, out, in]` of gate, up and down apart, and `[experts, out]` of their biases; `array` names them inside
/// of a layer, by gate (0), up (1) or down (2) and `weight` or `bias`.
pub(crate) fn place_apart(config: &ModelConfig, store: &mut Store, array: fn(usize, &str) -> String) {
    for layer in 0..config.layers {
        let Some(experts) = config.experts(layer) else { continue };
        for module in config.modules(layer) {
            let ModuleRole::FeedForward { place, part } = module.role else { continue };
            if experts.shared_place() == Some(place) {
                continue;
            }
            for (kind, form) in [("weight", Form::Rows), ("bias", Form::Vector)] {
                let whole = layer_tensor(layer, &array(part, kind));
                if !store.tensors.contains_key(&whole) || (kind == "bias" && !module.bias) {
                    continue;
                }
                let slice = StackedSlice {
                    whole,
                    form,
                    expert: place,
                    experts: experts.router.experts,
                    outputs: module.rows,
                    inputs: module.columns,
                    first: 0,
                    step: 1,
                    rows: module.rows,
                };
                store.stacked.insert(layer_tensor(layer, &format!("{}.{kind}", module.name)), slice);
            }
        }
    }
}

/// Finds the second map of keys and values of latent attention where it lies in two arrays, named inside of a layer.
pub(crate) fn place_latent(config: &ModelConfig, store: &mut Store, [keys, values]: [&'static str; 2]) {
    let Some(latent) = config.block.latent else { return };
    for layer in 0..config.layers {
        let whole = layer_tensor(layer, keys);
        if !store.tensors.contains_key(&whole) {
            continue;
        }
        let outputs = latent.plain + latent.value;
        let slice = StackedSlice {
            whole,
            form: Form::Latent { values, plain: latent.plain },
            expert: 0,
            experts: config.heads,
            outputs,
            inputs: latent.key_value_rank,
            first: 0,
            step: 1,
            rows: config.heads * outputs,
        };
        store.stacked.insert(layer_tensor(layer, "self_attn.kv_b_proj.weight"), slice);
    }
}

impl Store {
    /// The names of the arrays that hold a matrix or a bias with those of other experts.
    pub(crate) fn stacked_tensors(&self, name: &str) -> Option<Vec<String>> {
        let slice = self.stacked.get(name)?;
        Some(slice.arrays().into_iter().map(|(name, _)| name).collect())
    }

    /// Confirms that the arrays are there as they must be.
    ///
    /// # Errors
    /// `MissingTensor`, `Shape`, `Unsupported` or `Damaged`.
    pub(crate) fn check_stacked(&self, slice: &StackedSlice) -> Result<(), CheckpointError> {
        for (name, expected) in slice.arrays() {
            let Some(tensor) = self.tensors.get(&name) else {
                return Err(CheckpointError::MissingTensor {
                    tensor: name,
                    path: self.path.clone(),
                    expected,
                });
            };
            if tensor.shape != expected || (slice.form == Form::Blocks && !slice.inputs.is_multiple_of(mxfp4::BLOCK)) {
                return Err(CheckpointError::Shape {
                    tensor: name,
                    path: self.path.clone(),
                    found: tensor.shape.clone(),
                    expected,
                });
            }
            // Numbers, and the bytes of so many.
            let (numbers, bytes) = match (slice.form, &tensor.element) {
                (Form::Blocks, DType::Byte) => (1, 1),
                (Form::Blocks, _) => return Err(self.not_read(&name, tensor)),
                (Form::Rows | Form::Latent { .. }, DType::Block(_)) => tensor.element.unit().ok_or_else(|| self.not_read(&name, tensor))?,
                (_, DType::Float32) => (1, 4),
                (_, DType::Float16 | DType::BrainFloat16) => (1, 2),
                _ => return Err(self.not_read(&name, tensor)),
            };
            let units = expected.iter().product::<usize>() / numbers;
            let row = expected.last().copied().unwrap_or(1);
            let whole_rows = !matches!(slice.form, Form::Rows | Form::Latent { .. }) || row.is_multiple_of(numbers);
            if !whole_rows || units.checked_mul(bytes) != Some(tensor.length) || self.bytes(tensor).is_none() {
                return Err(CheckpointError::Damaged {
                    file: self.files.get(tensor.file).map(|file| file.path.clone()).unwrap_or_default(),
                    format: "weights",
                    reason: format!("tensor {name} of shape {expected:?} does not fill its {} bytes", tensor.length),
                });
            }
        }
        Ok(())
    }

    fn not_read(&self, name: &str, tensor: &StoredTensor) -> CheckpointError {
        CheckpointError::Unsupported {
            file: self.files.get(tensor.file).map(|file| file.path.clone()).unwrap_or_default(),
            reason: format!(
                "tensor {name} is stored as {}; known of experts in one array are F32, F16, BF16, and MXFP4 as `_blocks` and `_scales`",
                tensor.element.name()
            ),
        }
    }

    /// One expert's matrix `[out, in]`, or its bias, as float32.
    ///
    /// # Errors
    /// Those of [`Store::check_stacked`]; `NotFinite`.
    pub(crate) fn stacked_values(&self, name: &str, slice: &StackedSlice) -> Result<Vec<f32>, CheckpointError> {
        self.check_stacked(slice)?;
        if let Form::Latent { plain, .. } = slice.form {
            return self.latent_values(slice, plain);
        }
        let stretch = |array: &str, share: usize| -> (&[u8], Option<&StoredTensor>) {
            let tensor = self.tensors.get(array);
            let bytes = tensor.and_then(|tensor| self.bytes(tensor)).unwrap_or_default();
            let length = bytes.len() / share.max(1);
            (bytes.get(slice.expert * length..(slice.expert + 1) * length).unwrap_or_default(), tensor)
        };
        let arrays = slice.arrays();
        let (bytes, tensor) = stretch(&arrays[0].0, slice.experts);
        let Some(tensor) = tensor else { return Ok(Vec::new()) };
        let inputs = if slice.form == Form::Vector { 1 } else { slice.inputs };
        let mut values = vec![0f32; slice.rows * inputs];
        let damaged = |reason: String| CheckpointError::Damaged {
            file: self.files.get(tensor.file).map(|file| file.path.clone()).unwrap_or_default(),
            format: "weights",
            reason: format!("tensor {name}: {reason}"),
        };
        match slice.form {
            Form::Rows => {
                let row = bytes.len() / slice.outputs;
                let fault = values.par_chunks_mut(inputs).enumerate().find_map_any(|(index, out)| {
                    let from = (slice.first + slice.step * index) * row;
                    decode(&tensor.element, &bytes[from..from + row], tensor.scale, out).err()
                });
                fault.map_or(Ok(()), |reason| Err(damaged(reason)))?;
            }
            Form::Columns | Form::Vector => {
                let mut all = vec![0f32; inputs * slice.outputs];
                let row = bytes.len() / inputs;
                for (out, bytes) in all.chunks_exact_mut(slice.outputs).zip(bytes.chunks_exact(row)) {
                    decode(&tensor.element, bytes, tensor.scale, out).map_err(damaged)?;
                }
                values.par_chunks_mut(inputs).enumerate().for_each(|(index, out)| {
                    let column = slice.first + slice.step * index;
                    for (input, value) in out.iter_mut().enumerate() {
                        *value = all[input * slice.outputs + column];
                    }
                });
            }
            Form::Latent { .. } => {}
            Form::Blocks => {
                let (scales, _) = stretch(&arrays[1].0, slice.experts);
                let blocks = inputs / mxfp4::BLOCK;
                let whole = values.par_chunks_mut(inputs).enumerate().all(|(index, out)| {
                    let row = slice.first + slice.step * index;
                    let codes = &bytes[row * blocks * mxfp4::BLOCK_BYTES..][..blocks * mxfp4::BLOCK_BYTES];
                    mxfp4::decode(codes, &scales[row * blocks..][..blocks], out)
                });
                if !whole {
                    return Err(damaged("a scale is 255, which stands for no number".to_string()));
                }
            }
        }
        if !all_finite(&values) {
            let place = values.iter().position(|value| !value.is_finite()).unwrap_or(0);
            return Err(CheckpointError::NotFinite {
                tensor: name.to_string(),
                path: self.path.clone(),
                row: place / inputs,
                column: place % inputs,
                value: values[place],
            });
        }
        Ok(values)
    }

    /// The second map of keys and values, `[heads * (plain + value), rank]`, out of its two arrays.
    fn latent_values(&self, slice: &StackedSlice, plain: usize) -> Result<Vec<f32>, CheckpointError> {
        let arrays = slice.arrays();
        let (keys, values) = (self.whole(&arrays[0].0)?, self.whole(&arrays[1].0)?);
        let (rank, value) = (slice.inputs, slice.outputs - plain);
        let mut rows = vec![0f32; slice.rows * rank];
        for (head, out) in rows.chunks_exact_mut(slice.outputs * rank).enumerate() {
            let (of_keys, of_values) = out.split_at_mut(plain * rank);
            for (place, out) in of_keys.iter_mut().enumerate() {
                *out = keys[head * rank * plain + place % rank * plain + place / rank];
            }
            of_values.copy_from_slice(&values[head * value * rank..][..value * rank]);
        }
        Ok(rows)
    }

    /// A vector, by its own name or out of an array of experts' vectors.
    ///
    /// # Errors
    /// Those of [`Store::rows`].
    pub(crate) fn vector(&self, name: &str) -> Result<Vec<f32>, CheckpointError> {
        match self.stacked.get(name) {
            Some(slice) => self.stacked_values(name, slice),
            None => self.whole(name),
        }
    }

    /// How one expert's matrix is stored, in words.
    pub(crate) fn stacked_kind(&self, name: &str) -> Option<String> {
        let slice = self.stacked.get(name)?;
        match slice.form {
            Form::Blocks => Some("MXFP4".to_string()),
            _ => self.tensors.get(&slice.whole).map(|tensor| tensor.element.name()),
        }
    }

    /// The share of its arrays that one expert's matrix takes: so many of so many outputs.
    pub(crate) fn stacked_share(&self, name: &str) -> Option<(u64, u64)> {
        let slice = self.stacked.get(name)?;
        Some((slice.rows as u64, (slice.outputs * slice.experts) as u64))
    }
}
