//! Packed weights out of a store: words, zeros and scales of a module become its matrix.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use half::{bf16, f16};

use crate::error::CheckpointError;
use crate::packed::{Layout, PARTS, PackedError, PackedWeight, Scheme};
use crate::store::{ElementType, Store, StoredTensor};

/// Rows whose codes and zeros fill whole words in every layout.
const BLOCK: usize = 32;

impl Store {
    /// The module that a weight belongs to, and how it is packed, if it is.
    pub fn packed_module<'a>(&self, name: &'a str) -> Option<(&'a str, Scheme)> {
        let (stem, scheme) = (name.strip_suffix(".weight")?, self.packed?);
        let packed = !self.tensors.contains_key(name) && self.tensors.contains_key(&format!("{stem}.qweight"));
        packed.then_some((stem, scheme))
    }

    /// A weight `[rows, columns]` as float32, packed or not.
    pub fn weight(&self, name: &str, rows: usize, columns: usize) -> Result<Vec<f32>, CheckpointError> {
        match self.packed_module(name) {
            Some((stem, scheme)) => self.unpacked_rows(stem, &scheme, rows, columns, 0..rows),
            None => self.whole(name),
        }
    }

    /// Rows `pick(0), …, pick(count - 1)` of a weight `[rows, columns]`, packed or not: `[count, columns]`.
    ///
    /// # Errors
    /// Those of [`Store::rows`]; `NoSuchToken` for a row that is not there.
    pub fn weight_rows(
        &self,
        name: &str,
        rows: usize,
        columns: usize,
        count: usize,
        pick: impl Fn(usize) -> usize + Sync,
    ) -> Result<Vec<f32>, CheckpointError> {
        let Some((stem, scheme)) = self.packed_module(name) else {
            return self.rows(name, count, pick);
        };
        let wanted: Vec<usize> = (0..count).map(pick).collect();
        if let Some(beyond) = wanted.iter().find(|row| **row >= rows) {
            return Err(CheckpointError::NoSuchToken {
                token: *beyond,
                vocabulary: rows,
            });
        }
        // Rows are unpacked by blocks of words, each once, neighbours together.
        let blocks: BTreeSet<usize> = wanted.iter().map(|row| row / BLOCK).collect();
        let mut values = vec![0.0; count * columns];
        let mut blocks = blocks.into_iter().peekable();
        while let Some(first) = blocks.next() {
            let mut last = first;
            while let Some(next) = blocks.next_if_eq(&(last + 1)) {
                last = next;
            }
            let here = first * BLOCK..rows.min((last + 1) * BLOCK);
            let unpacked = self.unpacked_rows(stem, &scheme, rows, columns, here.clone())?;
            for (out, row) in values.chunks_exact_mut(columns.max(1)).zip(&wanted).filter(|(_, row)| here.contains(row)) {
                out.copy_from_slice(&unpacked[(row - here.start) * columns..][..columns]);
            }
        }
        Ok(values)
    }

    /// Rows `here` of a packed module as float32; they begin at a multiple of [`BLOCK`] and end at one or at the end.
    fn unpacked_rows(&self, stem: &str, scheme: &Scheme, rows: usize, columns: usize, here: Range<usize>) -> Result<Vec<f32>, CheckpointError> {
        let packed = self.packed_weight(stem, scheme, rows, columns, Some(here))?;
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

    /// The arrays of some rows (outputs) of a packed module, or only its sizes. Bits are those that the words have room for and groups
    /// those that there are scales for, since a checkpoint may give modules different ones.
    pub fn packed_weight(&self, stem: &str, scheme: &Scheme, rows: usize, columns: usize, here: Option<Range<usize>>) -> Result<PackedWeight, CheckpointError> {
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
            group: self.group(stem, scheme, columns)?,
            qweight: Vec::new(),
            qzeros: Vec::new(),
            scales: Vec::new(),
            group_index: Vec::new(),
        };
        for (part, expected) in packed.shapes() {
            if part == "g_idx" && !self.tensors.contains_key(&format!("{stem}.g_idx")) {
                // Left out where groups are of neighbours.
                packed.group_index = (0..columns).map(|column| (column / packed.group.max(1)) as i32).collect();
                continue;
            }
            let tensor = self.array(stem, part)?;
            let bytes = self.checked(&format!("{stem}.{part}"), part, tensor, &expected)?;
            let Some(here) = &here else { continue };
            // Of arrays whose rows are spread over words, those that hold the rows asked for.
            let width = expected.last().copied().unwrap_or(0);
            let columns_of = match part {
                "g_idx" => 0..width,
                _ => here.start * width / rows.max(1)..here.end * width / rows.max(1),
            };
            let size = bytes.len() / expected.iter().product::<usize>().max(1);
            let picked = bytes
                .chunks_exact((width * size).max(1))
                .flat_map(|line| &line[columns_of.start * size..columns_of.end * size]);
            let picked: Vec<u8> = picked.copied().collect();
            let integers = || picked.as_chunks::<4>().0.iter().map(|chunk| i32::from_le_bytes(*chunk)).collect();
            match part {
                "qweight" => packed.qweight = integers(),
                "qzeros" => packed.qzeros = integers(),
                "g_idx" => packed.group_index = integers(),
                _ => packed.scales = floats(&tensor.element, &picked),
            }
        }
        if let Some(here) = here {
            packed.rows = here.len();
        }
        Ok(packed)
    }

    /// Columns of a module's groups. Where there are as many scales as the configuration implies, they are its; otherwise the scales
    /// tell, if they share the columns evenly.
    fn group(&self, stem: &str, scheme: &Scheme, columns: usize) -> Result<usize, CheckpointError> {
        let scales = self.array(stem, "scales")?;
        let groups = scales.shape.first().copied().unwrap_or(0);
        let said = scheme.group_of(columns);
        // A setting of the module's own may have the same number of groups, of another size, where the last one is short.
        let certain = columns.is_multiple_of(said) || !scheme.groups_differ;
        if groups == columns.div_ceil(said) && certain {
            return Ok(said);
        }
        if groups > 0 && columns.is_multiple_of(groups) {
            return Ok(columns / groups);
        }
        Err(CheckpointError::Unsupported {
            file: self.path.clone(),
            reason: format!("the packed weight of {stem} has {groups} groups of scales for {columns} inputs, which do not share them evenly"),
        })
    }

    /// The bytes of one array of a packed module, once its shape and type are certain.
    fn checked(&self, name: &str, part: &str, tensor: &StoredTensor, expected: &[usize]) -> Result<&[u8], CheckpointError> {
        if tensor.shape != expected {
            return Err(CheckpointError::Shape {
                tensor: name.to_string(),
                path: self.path.clone(),
                found: tensor.shape.clone(),
                expected: expected.to_vec(),
            });
        }
        let size = match (part, &tensor.element) {
            ("scales", ElementType::Float16 | ElementType::BrainFloat16) => Some(2),
            ("scales", ElementType::Float32) => Some(4),
            ("qweight" | "qzeros" | "g_idx", ElementType::Integer32) => Some(4),
            _ => None,
        };
        let count: usize = expected.iter().product();
        let bytes = self.bytes(tensor).filter(|bytes| size.is_some_and(|size| bytes.len() == count * size));
        bytes.ok_or_else(|| {
            let wanted = if part == "scales" { "F16, BF16 or F32" } else { "I32" };
            CheckpointError::Unsupported {
                file: self.files.get(tensor.file).map(|file| file.path.clone()).unwrap_or_default(),
                reason: format!(
                    "tensor {name} is stored as {} in {} bytes; packed weights have {wanted}",
                    tensor.element.name(),
                    tensor.length
                ),
            }
        })
    }

    /// How each tensor is stored; the arrays of a packed module count as one weight.
    pub fn types(&self) -> BTreeMap<String, String> {
        let mut types = BTreeMap::new();
        for (name, tensor) in &self.tensors {
            let part = PARTS.iter().find_map(|part| name.strip_suffix(&format!(".{part}")));
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

/// Scales as float32.
fn floats(element: &ElementType, bytes: &[u8]) -> Vec<f32> {
    let halves = || bytes.as_chunks::<2>().0.iter();
    match element {
        ElementType::Float16 => halves().map(|chunk| f16::from_le_bytes(*chunk).to_f32()).collect(),
        ElementType::BrainFloat16 => halves().map(|chunk| bf16::from_le_bytes(*chunk).to_f32()).collect(),
        _ => bytes.as_chunks::<4>().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect(),
    }
}
