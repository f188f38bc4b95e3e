//! Packed weights out of a store: the arrays of a module become its matrix.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::dtype::DType;
use crate::error::CheckpointError;
use crate::input_rounding::InputRounding;
use crate::packed::Rows;
use crate::packed::arrays::{Array, Module};
use crate::store::{Store, all_finite};

/// Rows whose codes and zeros fill whole words in every format.
const BLOCK: usize = 32;

impl Store {
    /// The module that a weight belongs to, with its arrays, if it is packed.
    pub fn packed_module<'a>(&'a self, name: &'a str) -> Option<Module<'a>> {
        let (stem, packing) = (name.strip_suffix(".weight")?, self.packed.as_ref()?);
        let named = |part: &str| self.tensors.get(&format!("{stem}.{part}"));
        if !packing.is_packed(|part| named(part).is_some()) {
            return None;
        }
        let arrays = packing.parts().iter().filter_map(|part| {
            let tensor = named(part)?;
            let array = Array {
                shape: &tensor.shape,
                element: &tensor.element,
                bytes: self.bytes(tensor).unwrap_or_default(),
            };
            Some((*part, array))
        });
        Some(Module {
            model: &self.path,
            stem,
            arrays: arrays.collect(),
            facts: self.facts.get(name).map(String::as_str),
        })
    }

    /// The names of the tensors that a weight is made of, if it is packed; of one that is rows of another, those of the other; of an
    /// expert's, the arrays that hold those of a whole layer.
    pub fn packed_tensors(&self, name: &str) -> Option<Vec<String>> {
        if let Some(arrays) = self.stacked_tensors(name) {
            return Some(arrays);
        }
        let name = self.slices.get(name).map_or(name, |slice| &slice.whole);
        let module = self.packed_module(name)?;
        Some(module.arrays.keys().map(|part| format!("{}.{part}", module.stem)).collect())
    }

    /// Whether a tensor is about activations or caches that were to be quantized; weights do not depend on it.
    pub fn is_of_activations(&self, name: &str) -> bool {
        self.packed.as_ref().is_some_and(|packing| packing.is_of_activations(name))
    }

    /// How what a linear map reads is rounded, if the checkpoint asks for that.
    ///
    /// # Errors
    /// `Unsupported` where it is not simulated; `Shape` or `NotFinite` for stored scales.
    pub fn input_rounding(&self, stem: &str) -> Result<Option<InputRounding>, CheckpointError> {
        let Some(packing) = &self.packed else { return Ok(None) };
        let weight = format!("{stem}.weight");
        let whole = self.slices.get(&weight).map_or(weight.as_str(), |slice| &slice.whole);
        let stem = whole.strip_suffix(".weight").unwrap_or(whole);
        let mut numbers = BTreeMap::new();
        for part in ["activation_scale", "input_global_scale", "input_scale", "input_zero_point"] {
            let name = format!("{stem}.{part}");
            let Some(tensor) = self.tensors.get(&name) else { continue };
            if tensor.shape.iter().product::<usize>() != 1 {
                return Err(CheckpointError::Shape {
                    tensor: name,
                    path: self.path.clone(),
                    found: tensor.shape.clone(),
                    expected: vec![1],
                });
            }
            let bytes = self.bytes(tensor).unwrap_or_default();
            let number = match tensor.element {
                DType::Integer8 => bytes.first().map_or(f32::NAN, |byte| f32::from(byte.cast_signed())),
                _ => Array {
                    shape: &tensor.shape,
                    element: &tensor.element,
                    bytes,
                }
                .float(0),
            };
            if !number.is_finite() || number <= 0.0 && part != "input_zero_point" {
                return Err(self.refuse_rounding(stem, format!("its {part} is {number}")));
            }
            numbers.insert(part, number);
        }
        let rounding = packing.input_rounding(stem, self.packed_module(whole).is_some(), |part| numbers.get(part).copied());
        rounding.map_err(|reason| self.refuse_rounding(stem, reason))
    }

    /// A refusal to simulate what a linear map reads.
    pub fn refuse_rounding(&self, stem: &str, reason: String) -> CheckpointError {
        CheckpointError::Unsupported {
            file: self.path.clone(),
            reason: format!("quantized activations of {stem} cannot be simulated: {reason}"),
        }
    }

    /// The arrays of a packed module, checked. Headers only, but for what tells how the rest is read.
    pub fn packed_rows<'a>(&self, module: &Module<'a>, rows: usize, columns: usize) -> Result<Box<dyn Rows + 'a>, CheckpointError> {
        match &self.packed {
            Some(packing) => packing.open(module, rows, columns),
            None => Err(module.refuse("nothing says how it is packed")),
        }
    }

    /// A weight `[rows, columns]` as float32, packed or not.
    pub fn weight(&self, name: &str, rows: usize, columns: usize) -> Result<Vec<f32>, CheckpointError> {
        if let Some(slice) = self.stacked.get(name) {
            return self.stacked_values(name, slice);
        }
        if let Some(slice) = self.slices.get(name) {
            return self.weight_rows(&slice.whole, slice.of, columns, rows, |row| slice.first + row);
        }
        match self.packed_module(name) {
            Some(module) => self.unpacked_rows(&module, &*self.packed_rows(&module, rows, columns)?, columns, 0..rows),
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
        let Some(module) = self.packed_module(name) else {
            return self.rows(name, count, pick);
        };
        let packed = self.packed_rows(&module, rows, columns)?;
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
            let unpacked = self.unpacked_rows(&module, &*packed, columns, here.clone())?;
            for (out, row) in values.chunks_exact_mut(columns.max(1)).zip(&wanted).filter(|(_, row)| here.contains(row)) {
                out.copy_from_slice(&unpacked[(row - here.start) * columns..][..columns]);
            }
        }
        Ok(values)
    }

    /// Rows `here` of a packed module as float32; they begin at a multiple of [`BLOCK`] and end at one or at the end. Scales that are no
    /// numbers are found by what they make of the codes.
    fn unpacked_rows(&self, module: &Module<'_>, packed: &dyn Rows, columns: usize, here: Range<usize>) -> Result<Vec<f32>, CheckpointError> {
        let first = here.start;
        let values = packed.rows(here)?;
        if all_finite(&values) {
            return Ok(values);
        }
        let place = values.iter().position(|value| !value.is_finite()).unwrap_or(0);
        Err(CheckpointError::NotFinite {
            tensor: format!("{}.weight", module.stem),
            path: self.path.clone(),
            row: first + place / columns.max(1),
            column: place % columns.max(1),
            value: values[place],
        })
    }

    /// How each tensor is stored; the arrays of a packed module count as one weight.
    pub fn types(&self) -> BTreeMap<String, String> {
        let mut types = BTreeMap::new();
        for (name, tensor) in &self.tensors {
            if self.is_of_activations(name) {
                continue;
            }
            let packed = self.packed.as_ref().and_then(|packing| {
                let stem = packing.parts().iter().find_map(|part| name.strip_suffix(part)?.strip_suffix('.'))?;
                let weight = format!("{stem}.weight");
                let kind = packing.kind(&self.packed_module(&weight)?);
                Some((weight, kind))
            });
            let (name, kind) = packed.unwrap_or_else(|| (name.clone(), tensor.element.name()));
            types.insert(name, kind);
        }
        let slices = self
            .slices
            .iter()
            .filter_map(|(name, slice)| Some((name.clone(), types.get(&slice.whole)?.clone())));
        let slices: Vec<_> = slices.collect();
        types.retain(|name, _| !self.slices.values().any(|slice| slice.whole == *name));
        types.extend(slices);
        let stacked = self.stacked.keys().filter_map(|name| Some((name.clone(), self.stacked_kind(name)?)));
        let stacked: Vec<_> = stacked.collect();
        for name in stacked.iter().filter_map(|(name, _)| self.stacked_tensors(name)).flatten() {
            types.remove(&name);
        }
        types.extend(stacked);
        types
    }

    /// Bits that the weight of a module takes on disk, what belongs to its packing included; of rows of another weight their share.
    pub fn stored_bits(&self, stem: &str) -> u64 {
        let name = format!("{stem}.weight");
        let tensors = self.packed_tensors(&name).unwrap_or_else(|| vec![name.clone()]);
        let lengths = tensors.iter().filter_map(|name| self.tensors.get(name));
        let bits: u64 = lengths.map(|tensor| 8 * tensor.length as u64).sum();
        if let Some((rows, of)) = self.stacked_share(&name) {
            return bits * rows / of.max(1);
        }
        match self.slices.get(&name) {
            Some(slice) => bits * slice.rows as u64 / slice.of.max(1) as u64,
            None => bits,
        }
    }
}
