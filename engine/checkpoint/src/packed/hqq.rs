//! HQQ: unsigned codes whose zero points and scales are numbers of floating point, `w = (code − zero) · scale` of each group.
//!
//! A module has `W_q`, `scale`, `zero` and settings beside them, each an array of its own: numbers as numbers, names as bytes of text. The
//! matrix `[out, in]` is taken row by row as one list and laid out anew as `[groups, group_size]` with a group to a row (`axis` 1), or
//! `[group_size, groups]` with a group to a column (`axis` 0). Of those rows, n parts of as many lie over one another in the same bytes, the
//! first part in the highest bits: n is 1, 2, 4 or 8 to a byte, or 10 of 3 bits to a word, where rows of zeros fill up the last part. The
//! difference and the product are rounded to the type that scales are stored in, as the library computes them.
//! Sources: hqq, `core/quantize.py` (`Quantizer.dequantize`, `HQQLinear.state_dict`), `core/bitpack.py`; transformers, `integrations/hqq.py`.

use std::ops::Range;

use rayon::prelude::*;
use serde_json::Value;

use super::arrays::{Array, FLOATS, Module};
use super::keys::refuse_unknown;
use super::scaled::{Rounded, Rows};
use crate::dtype::DType;
use crate::error::CheckpointError;

/// Names of a module's arrays.
pub(crate) const PARTS: &[&str] = &[
    "W_q",
    "axis",
    "channel_wise",
    "compute_dtype",
    "encoded_state_dict",
    "group_size",
    "nbits",
    "offload_meta",
    "optimize",
    "packing",
    "quant_scale",
    "quant_zero",
    "round_zero",
    "scale",
    "shape",
    "stores_quant_config",
    "unpack_view_dtype",
    "view_as_float",
    "zero",
];

/// Confirms what `quantization_config` says; every module says for itself how it is packed.
///
/// # Errors
/// A sentence that names what is not known.
pub(crate) fn check(config: &Value) -> Result<(), String> {
    refuse_unknown(config, &["quant_config", "quant_method", "skip_modules"])
}

/// Whether a module with these arrays is packed.
pub(crate) fn is_packed(has: impl Fn(&str) -> bool) -> bool {
    has("W_q")
}

/// The name of a module's form.
pub(crate) fn kind(module: &Module<'_>) -> String {
    match text(module, "packing").and_then(|packing| Packing::of(&packing)) {
        Some(packing) => format!("HQQ {} bits", packing.bits),
        None => "HQQ".to_string(),
    }
}

/// A setting that is a whole number.
fn integer(module: &Module<'_>, part: &str) -> Option<i64> {
    let array = module.find(part)?;
    integers(&array).first().copied()
}

fn integers(array: &Array<'_>) -> Vec<i64> {
    match array.element {
        DType::Integer32 => array
            .bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|bytes| i64::from(i32::from_le_bytes(*bytes)))
            .collect(),
        DType::Integer64 => array.bytes.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect(),
        DType::Byte => array.bytes.iter().map(|byte| i64::from(*byte)).collect(),
        _ => Vec::new(),
    }
}

/// A setting that is a text.
fn text(module: &Module<'_>, part: &str) -> Option<String> {
    let array = module.find(part).filter(|array| *array.element == DType::Byte)?;
    String::from_utf8(array.bytes.to_vec()).ok()
}

/// How codes lie over one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Packing {
    /// Bits of a code.
    bits: usize,
    /// Bytes that codes share.
    bytes: usize,
    /// Codes that share them.
    together: usize,
}

impl Packing {
    fn of(name: &str) -> Option<Self> {
        let (bits, bytes, together) = match name {
            "8bit_u8" => (8, 1, 1),
            "4bit_u8" => (4, 1, 2),
            "3bit_32" => (3, 4, 10),
            "2bit_u8" => (2, 1, 4),
            "1bit_u8" => (1, 1, 8),
            _ => return None,
        };
        Some(Self { bits, bytes, together })
    }
}

/// A matrix as HQQ keeps it.
pub(crate) struct Hqq<'a> {
    columns: usize,
    codes: &'a [u8],
    packing: Packing,
    /// The layout that groups are rows or columns of.
    layout: [usize; 2],
    /// Whether groups are its rows.
    along: bool,
    /// Rows of the layout that a part has.
    part: usize,
    scale: Array<'a>,
    zero: Array<'a>,
    rounded: Rounded,
}

impl<'a> Hqq<'a> {
    /// Checks the arrays of a module.
    pub fn open(module: &Module<'a>, rows: usize, columns: usize) -> Result<Self, CheckpointError> {
        let needed = |part: &str| integer(module, part).ok_or_else(|| module.refuse(format!("it has no {part}, which says how its codes lie")));
        for part in ["quant_scale", "quant_zero"] {
            if integer(module, part).is_some_and(|value| value != 0) {
                return Err(module.refuse(format!("{part} is set: its scales or zeros are packed themselves, which is not read")));
            }
        }
        if integer(module, "channel_wise").is_some_and(|value| value != 1) {
            return Err(module.refuse("channel_wise is not set: one scale for the matrix, which is not read"));
        }
        let shape = module.find("shape").map(|array| integers(&array)).unwrap_or_default();
        if shape != [rows as i64, columns as i64] {
            return Err(module.refuse(format!("its shape is {shape:?}, and the configuration implies [{rows}, {columns}]")));
        }
        let name = text(module, "packing").unwrap_or_default();
        let packing =
            Packing::of(&name).ok_or_else(|| module.refuse(format!("its packing is `{name}`; known are 8bit_u8, 4bit_u8, 3bit_32, 2bit_u8 and 1bit_u8")))?;
        let (numbers, group) = (rows.saturating_mul(columns), needed("group_size")?);
        let group = usize::try_from(group).ok().filter(|group| *group > 0 && numbers.is_multiple_of(*group));
        let group = group.ok_or_else(|| module.refuse(format!("its group_size does not divide its {numbers} weights")))?;
        let groups = numbers / group;
        let along = match needed("axis")? {
            0 => false,
            1 => true,
            other => return Err(module.refuse(format!("its axis is {other}; it is 0 or 1"))),
        };
        let (layout, of_groups) = if along {
            ([groups, group], [groups, 1])
        } else {
            ([group, groups], [1, groups])
        };
        if packing.bits != 3 && !layout[0].is_multiple_of(packing.together) {
            return Err(module.refuse(format!("{} rows of codes do not fall into {} parts", layout[0], packing.together)));
        }
        let part = layout[0].div_ceil(packing.together);
        // Bytes may be called numbers of another type (`view_as_float`).
        let codes = module.find("W_q").map(|array| array.bytes).unwrap_or_default();
        let wanted = part.saturating_mul(layout[1]).saturating_mul(packing.bytes);
        if codes.len() != wanted {
            return Err(module.refuse(format!("W_q has {} bytes, where {wanted} hold its codes", codes.len())));
        }
        let scale = module.get("scale", &[&of_groups], &FLOATS)?;
        let zero = module.get("zero", &[&of_groups], std::slice::from_ref(scale.element))?;
        Ok(Self {
            columns,
            codes,
            packing,
            layout,
            along,
            part,
            scale,
            zero,
            rounded: Rounded::as_stored(scale.element),
        })
    }

    fn weight(&self, place: usize) -> f32 {
        let [_, width] = self.layout;
        let (row, column) = (place / width, place % width);
        let unit = (row % self.part * width + column) * self.packing.bytes;
        let held = match self.packing.bytes {
            1 => u32::from(self.codes[unit]),
            _ => u32::from_le_bytes([self.codes[unit], self.codes[unit + 1], self.codes[unit + 2], self.codes[unit + 3]]),
        };
        let shift = self.packing.bits * (self.packing.together - 1 - row / self.part);
        let code = held >> shift & ((1 << self.packing.bits) - 1);
        let group = if self.along { row } else { column };
        let difference = self.rounded.round(code as f32 - self.zero.float(group));
        self.rounded.round(difference * self.scale.float(group))
    }
}

impl Rows for Hqq<'_> {
    fn rows(&self, here: Range<usize>) -> Result<Vec<f32>, CheckpointError> {
        let mut values = vec![0.0; here.len() * self.columns];
        values.par_chunks_mut(self.columns.max(1)).zip(here).for_each(|(out, row)| {
            let first = row * self.columns;
            out.iter_mut().enumerate().for_each(|(column, out)| *out = self.weight(first + column));
        });
        Ok(values)
    }
}
