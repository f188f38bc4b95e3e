//! The arrays of one packed module: found by the last part of their names, and checked for shape and type before they are read.

use std::collections::BTreeMap;
use std::path::Path;

use half::{bf16, f16};

use super::small_floats;
use crate::dtype::DType;
use crate::error::CheckpointError;

/// An array as it lies in a file.
#[derive(Clone, Copy)]
pub(crate) struct Array<'a> {
    /// Its shape.
    pub shape: &'a [usize],
    /// What its bytes are.
    pub element: &'a DType,
    /// Its bytes, row-major.
    pub bytes: &'a [u8],
}

impl Array<'_> {
    /// A number as float32; NaN beyond the end, and of types that are no floating-point numbers. A byte is a power of two (E8M0), as
    /// scales are stored in bytes.
    pub fn float(&self, place: usize) -> f32 {
        let two = || self.bytes.as_chunks::<2>().0.get(place).map(|bytes| u16::from_le_bytes(*bytes));
        let one = || self.bytes.get(place).copied();
        let value = match self.element {
            DType::Float32 => self.bytes.as_chunks::<4>().0.get(place).map(|bytes| f32::from_le_bytes(*bytes)),
            DType::Float16 => two().map(|bits| f16::from_bits(bits).to_f32()),
            DType::BrainFloat16 => two().map(|bits| bf16::from_bits(bits).to_f32()),
            DType::Float8 => one().map(small_floats::e4m3),
            DType::Float8Wide => one().map(small_floats::e5m2),
            DType::Exponent8 | DType::Byte => one().map(small_floats::e8m0),
            _ => None,
        };
        value.unwrap_or(f32::NAN)
    }

    /// A 32-bit word; 0 beyond the end.
    pub fn word(&self, place: usize) -> u32 {
        self.bytes.as_chunks::<4>().0.get(place).map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }

    /// Row `row` of `[rows, …]`, its bytes; empty beyond the end.
    pub fn row(&self, row: usize) -> &[u8] {
        let width = self.bytes.len() / self.shape.first().copied().unwrap_or(1).max(1);
        self.bytes.get(row * width..(row + 1) * width).unwrap_or_default()
    }
}

/// The arrays of a module.
#[derive(Clone)]
pub(crate) struct Module<'a> {
    /// The model, for messages.
    pub model: &'a Path,
    /// The module's name.
    pub stem: &'a str,
    /// Its arrays, by the last part of their names.
    pub arrays: BTreeMap<&'static str, Array<'a>>,
    /// What the header of a file says of the weight, if anything.
    pub facts: Option<&'a str>,
}

impl<'a> Module<'a> {
    /// An array, whatever it is.
    pub fn find(&self, part: &str) -> Option<Array<'a>> {
        self.arrays.get(part).copied()
    }

    /// An array of one of these shapes and one of these types, all of whose bytes are there.
    ///
    /// # Errors
    /// `MissingTensor`, `Shape` or `Unsupported`, naming the array.
    pub fn get(&self, part: &str, shapes: &[&[usize]], kinds: &[DType]) -> Result<Array<'a>, CheckpointError> {
        let name = || format!("{}.{part}", self.stem);
        let expected = || shapes.first().copied().unwrap_or_default().to_vec();
        let array = self.find(part).ok_or_else(|| CheckpointError::MissingTensor {
            tensor: name(),
            path: self.model.to_path_buf(),
            expected: expected(),
        })?;
        if !shapes.contains(&array.shape) {
            return Err(CheckpointError::Shape {
                tensor: name(),
                path: self.model.to_path_buf(),
                found: array.shape.to_vec(),
                expected: expected(),
            });
        }
        let count = array.shape.iter().try_fold(1usize, |product, size| product.checked_mul(*size));
        let length = count.zip(array.element.bytes()).and_then(|(count, bytes)| count.checked_mul(bytes));
        if kinds.contains(array.element) && length == Some(array.bytes.len()) {
            return Ok(array);
        }
        let wanted: Vec<String> = kinds.iter().map(DType::name).collect();
        Err(CheckpointError::Unsupported {
            file: self.model.to_path_buf(),
            reason: format!(
                "tensor {} is stored as {} in {} bytes; wanted is {}",
                name(),
                array.element.name(),
                array.bytes.len(),
                wanted.join(" or ")
            ),
        })
    }

    /// A refusal that names the module.
    pub fn refuse(&self, reason: impl std::fmt::Display) -> CheckpointError {
        CheckpointError::Unsupported {
            file: self.model.to_path_buf(),
            reason: format!("the packed weight of {}: {reason}", self.stem),
        }
    }
}

/// Types of scales that are plain numbers.
pub(crate) static FLOATS: [DType; 3] = [DType::Float32, DType::Float16, DType::BrainFloat16];
