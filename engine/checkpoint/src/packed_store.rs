//! Packed weights out of a store: words, zeros and scales of a module become its matrix.

use std::collections::BTreeMap;

use half::f16;

use crate::error::CheckpointError;
use crate::packed::{Layout, PackedError, PackedWeight, Scheme};
use crate::store::{ElementType, Store, StoredTensor};

impl Store {
    /// The module that a weight belongs to, and how it is packed, if it is.
    pub fn packed_module<'a>(&self, name: &'a str) -> Option<(&'a str, Scheme)> {
        let (stem, scheme) = (name.strip_suffix(".weight")?, self.packed?);
        let packed = !self.tensors.contains_key(name) && self.tensors.contains_key(&format!("{stem}.qweight"));
        packed.then_some((stem, scheme))
    }

    /// A weight `[rows, columns]` as float32, packed or not.
    pub fn weight(&self, name: &str, rows: usize, columns: usize) -> Result<Vec<f32>, CheckpointError> {
        let Some((stem, scheme)) = self.packed_module(name) else {
            return self.whole(name);
        };
        let packed = self.packed_weight(stem, &scheme, rows, columns, true)?;
        let codes = packed.unpack().map_err(|error| self.unusable(stem, &error))?;
        // Scales are the only numbers here that could be infinite, and zero times infinity is no number.
        if let Some(place) = codes.scales.iter().position(|scale| !scale.is_finite()) {
            return Err(CheckpointError::NotFinite {
                tensor: format!("{stem}.scales"),
                path: self.path.clone(),
                row: place % codes.groups().max(1),
                column: place / codes.groups().max(1),
                value: codes.scales[place],
            });
        }
        Ok(codes.dequantize())
    }

    /// The arrays of a packed module, or only their sizes. Bits are those that the words have room for, since a checkpoint may
    /// give modules different ones.
    pub fn packed_weight(&self, stem: &str, scheme: &Scheme, rows: usize, columns: usize, with_values: bool) -> Result<PackedWeight, CheckpointError> {
        let words = self.array(stem, "qweight")?.shape.first().copied().unwrap_or(0);
        let bits = match scheme.layout {
            Layout::Awq => 4,
            Layout::Gptq(_) => match u8::try_from(words * 32 / columns.max(1)) {
                Ok(bits @ (2 | 3 | 4 | 8)) => bits,
                _ => scheme.bits,
            },
        };
        let mut packed = PackedWeight {
            layout: scheme.layout,
            rows,
            columns,
            bits,
            group: scheme.group_of(columns),
            qweight: Vec::new(),
            qzeros: Vec::new(),
            scales: Vec::new(),
            group_index: Vec::new(),
        };
        for (part, expected) in packed.shapes() {
            let name = format!("{stem}.{part}");
            let tensor = self.array(stem, part)?;
            if tensor.shape != expected {
                return Err(CheckpointError::Shape {
                    tensor: name,
                    path: self.path.clone(),
                    found: tensor.shape.clone(),
                    expected,
                });
            }
            let wanted = if part == "scales" { ElementType::Float16 } else { ElementType::Integer32 };
            let size = if part == "scales" { 2 } else { 4 };
            let count: usize = expected.iter().product();
            let bytes = self.bytes(tensor).filter(|bytes| bytes.len() == count * size);
            let (Some(bytes), true) = (bytes, tensor.element == wanted) else {
                let reason = format!(
                    "tensor {name} is stored as {} in {} bytes; packed weights have {}",
                    tensor.element.name(),
                    tensor.length,
                    wanted.name()
                );
                let file = self.files.get(tensor.file).map(|file| file.path.clone()).unwrap_or_default();
                return Err(CheckpointError::Unsupported { file, reason });
            };
            if with_values {
                let integers = || bytes.as_chunks::<4>().0.iter().map(|chunk| i32::from_le_bytes(*chunk)).collect();
                match part {
                    "qweight" => packed.qweight = integers(),
                    "qzeros" => packed.qzeros = integers(),
                    "g_idx" => packed.group_index = integers(),
                    _ => packed.scales = bytes.as_chunks::<2>().0.iter().map(|chunk| f16::from_le_bytes(*chunk)).collect(),
                }
            }
        }
        Ok(packed)
    }

    /// How each tensor is stored; the arrays of a packed module count as one weight.
    pub fn types(&self) -> BTreeMap<String, String> {
        let mut types = BTreeMap::new();
        for (name, tensor) in &self.tensors {
            let part = ["qweight", "qzeros", "scales", "g_idx"]
                .iter()
                .find_map(|part| name.strip_suffix(&format!(".{part}")));
            match (part, self.packed) {
                (Some(stem), Some(scheme)) => {
                    let layout = scheme.layout.name().to_uppercase();
                    types.insert(format!("{stem}.weight"), format!("{layout} {} bits", scheme.bits));
                }
                _ => {
                    types.insert(name.clone(), tensor.element.name());
                }
            }
        }
        types
    }

    fn array(&self, stem: &str, part: &str) -> Result<&StoredTensor, CheckpointError> {
        let name = format!("{stem}.{part}");
        self.tensors.get(&name).ok_or_else(|| CheckpointError::MissingTensor {
            tensor: name,
            path: self.path.clone(),
            expected: Vec::new(),
        })
    }

    fn unusable(&self, stem: &str, error: &PackedError) -> CheckpointError {
        CheckpointError::Unsupported {
            file: self.path.clone(),
            reason: format!("the packed weight of {stem}: {error}"),
        }
    }
}
