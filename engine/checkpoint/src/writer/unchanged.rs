//! What stays as it is, byte for byte as the source's files hold it: nothing is turned into float32 and back.

use rayon::prelude::*;

use super::stored::{Array, Arrays, StoredAs};
use super::{FolderWriter, layer_file, layer_name};
use crate::config::layer_tensor;
use crate::store::DType;
use crate::{Checkpoint, CheckpointError};

/// Bytes that one task looks through.
const PART: usize = 1 << 20;

/// A layer as the source's files hold it.
pub struct UnchangedLayer<'a> {
    arrays: Arrays<'a>,
    /// For every linear map of the layer.
    zeros: Vec<usize>,
}

impl UnchangedLayer<'_> {
    /// How many weights of a linear map are zero, which is named by its place among the layer's.
    pub fn zeros(&self, module: usize) -> usize {
        self.zeros.get(module).copied().unwrap_or(0)
    }
}

impl FolderWriter<'_> {
    /// A layer that is written as it stands, if all that it is read from stands in the source's files as it would be written. Nothing
    /// where numbers are stored otherwise there, packed, or turned around, or where one is not finite: such a layer is read, and whoever
    /// reads it says what is wrong.
    pub fn unchanged_layer(&self, layer: usize) -> Option<UnchangedLayer<'_>> {
        let config = self.source.config();
        let mut arrays = Arrays::new();
        for (name, shape) in config.layer_tensors(layer) {
            let array = as_stored(self.source, &name, &shape, self.stored_as)?;
            arrays.insert(name, array);
        }
        let zeros = |name: String| arrays.get(&name).map_or(0, |array| self.stored_as.zeros(&array.bytes));
        let modules = config.modules(layer);
        let zeros = modules
            .iter()
            .map(|module| zeros(format!("{}.weight", layer_tensor(layer, &module.name))))
            .collect();
        self.as_its_family_stores(layer, &mut arrays).ok()?;
        Some(UnchangedLayer { arrays, zeros })
    }

    /// Writes a layer as it stands, whole or not at all, with a note of the caller's.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write_unchanged(&self, layer: usize, unchanged: &UnchangedLayer<'_>, note: &[u8]) -> Result<(), CheckpointError> {
        self.write_with_note(&layer_name(layer), &layer_file(layer), &unchanged.arrays, note)
    }
}

/// A tensor's bytes, if they are those of finite numbers of this type in their own order.
pub(super) fn as_stored<'a>(source: &'a Checkpoint, name: &str, shape: &[usize], stored_as: StoredAs) -> Option<Array<'a>> {
    let store = source.store();
    if store.stacked.contains_key(name) || store.slices.contains_key(name) || store.packed_module(name).is_some() {
        return None;
    }
    let tensor = store.tensors.get(name)?;
    let is_plain = tensor.element == stored_as.element() && tensor.interleaved_head.is_none() && tensor.scale == 1.0 && tensor.shape == shape;
    let bytes = store.bytes(tensor).filter(|bytes| is_plain && stored_as.are_finite(bytes))?;
    Some(Array {
        dtype: stored_as.dtype(),
        shape: shape.to_vec(),
        bytes: bytes.into(),
    })
}

impl StoredAs {
    fn element(self) -> DType {
        match self {
            Self::Float32 => DType::Float32,
            Self::Float16 => DType::Float16,
            Self::BFloat16 => DType::BrainFloat16,
        }
    }

    /// Whether no exponent is all ones.
    fn are_finite(self, bytes: &[u8]) -> bool {
        const SINGLE: u32 = 0x7f80_0000;
        let exponent: u16 = if self == Self::Float16 { 0x7c00 } else { 0x7f80 };
        bytes.par_chunks(PART).all(|part| match self {
            Self::Float32 => !any::<4>(part, |number| u32::from_le_bytes(number) & SINGLE == SINGLE),
            _ => !any::<2>(part, |number| u16::from_le_bytes(number) & exponent == exponent),
        })
    }

    /// How many numbers are zero.
    fn zeros(self, bytes: &[u8]) -> usize {
        let of_part = |part: &[u8]| match self {
            Self::Float32 => count::<4>(part, |number| u32::from_le_bytes(number) << 1 == 0),
            _ => count::<2>(part, |number| u16::from_le_bytes(number) << 1 == 0),
        };
        bytes.par_chunks(PART).map(of_part).sum()
    }
}

/// Whether one of the numbers is so; without leaving early, which processors cannot do for many at once.
fn any<const N: usize>(bytes: &[u8], is: impl Fn([u8; N]) -> bool) -> bool {
    bytes.as_chunks::<N>().0.iter().fold(false, |any, number| any | is(*number))
}

/// How many of the numbers are so.
fn count<const N: usize>(bytes: &[u8], is: impl Fn([u8; N]) -> bool) -> usize {
    let of_block = |block: &[[u8; N]]| block.iter().map(|number| u32::from(is(*number))).sum::<u32>() as usize;
    bytes.as_chunks::<N>().0.chunks(1024).map(of_block).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_and_numbers_that_are_none_are_found_in_every_type() {
        let values = [0.0f32, -0.0, 1.5, f32::MIN_POSITIVE, 6e-8, -2.0];
        for stored_as in [StoredAs::Float32, StoredAs::Float16, StoredAs::BFloat16] {
            let bytes = |values: &[f32]| stored_as.bytes(values).into_owned();
            let rounded = stored_as.all_rounded(&values);
            let expected = rounded.iter().filter(|value| **value == 0.0).count();
            assert_eq!(stored_as.zeros(&bytes(&values)), expected, "{stored_as:?}");
            assert!(stored_as.are_finite(&bytes(&values)));
            for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                assert!(!stored_as.are_finite(&bytes(&[1.0, wrong])), "{stored_as:?} {wrong}");
            }
        }
    }
}
