//! AutoAWQ's GEMM and GPTQ's words of a module, whose rows (outputs) are spread over the columns of all arrays.

use std::ops::Range;

use super::arrays::{Array, FLOATS, Module};
use super::scaled::Rows;
use super::{Layout, PackedWeight, Scheme};
use crate::dtype::DType;
use crate::error::CheckpointError;

/// Names of a module's arrays.
pub(crate) const PARTS: &[&str] = &["g_idx", "qweight", "qzeros", "scales"];

/// The arrays of a module, checked. Bits are those that the words have room for and groups those that there are scales for, since a
/// checkpoint may give modules different ones.
pub(crate) struct Words<'a> {
    module: Module<'a>,
    /// All but the arrays themselves.
    empty: PackedWeight,
    arrays: Vec<(&'static str, Array<'a>, usize)>,
}

impl<'a> Words<'a> {
    /// Checks the arrays of a module.
    pub fn open(scheme: &Scheme, module: &Module<'a>, rows: usize, columns: usize) -> Result<Self, CheckpointError> {
        let first = |part| module.find(part).and_then(|array| array.shape.first().copied()).unwrap_or(0);
        let bits = match scheme.layout {
            Layout::Gptq(_) => match u8::try_from(first("qweight").saturating_mul(32) / columns.max(1)) {
                Ok(bits @ (2 | 3 | 4 | 8)) => bits,
                _ => scheme.bits,
            },
            Layout::Awq | Layout::CompressedTensors(_) => 4,
        };
        let mut empty = PackedWeight {
            layout: scheme.layout,
            rows,
            columns,
            bits,
            group: group(scheme, module, first("scales"), columns)?,
            qweight: Vec::new(),
            qzeros: Vec::new(),
            scales: Vec::new(),
            group_index: Vec::new(),
        };
        let mut arrays = Vec::new();
        for (part, shape) in empty.shapes() {
            if part == "g_idx" && module.find(part).is_none() {
                // Left out where groups are of neighbours.
                empty.group_index = (0..columns).map(|column| (column / empty.group.max(1)) as i32).collect();
                continue;
            }
            let kinds: &[DType] = if part == "scales" { &FLOATS } else { &[DType::Integer32] };
            arrays.push((part, module.get(part, &[&shape], kinds)?, shape.last().copied().unwrap_or(0)));
        }
        Ok(Self {
            module: module.clone(),
            empty,
            arrays,
        })
    }
}

/// Columns of a module's groups. Where there are as many scales as the configuration implies, they are its; otherwise the scales tell, if
/// they share the columns evenly.
fn group(scheme: &Scheme, module: &Module<'_>, groups: usize, columns: usize) -> Result<usize, CheckpointError> {
    let said = scheme.group_of(columns);
    // A setting of the module's own may have the same number of groups, of another size, where the last one is short.
    let certain = columns.is_multiple_of(said) || !scheme.groups_differ;
    if groups == columns.div_ceil(said) && certain {
        return Ok(said);
    }
    if groups > 0 && columns.is_multiple_of(groups) {
        return Ok(columns / groups);
    }
    if module.find("scales").is_none() {
        // Missed when the arrays are looked for.
        return Ok(said);
    }
    Err(module.refuse(format!("{groups} groups of scales for {columns} inputs, which do not share them evenly")))
}

impl Rows for Words<'_> {
    /// Rows begin at a multiple of 32 and end at one or at the end, so that codes and zeros fill whole words in every layout.
    fn rows(&self, here: Range<usize>) -> Result<Vec<f32>, CheckpointError> {
        let mut packed = PackedWeight {
            rows: here.len(),
            ..self.empty.clone()
        };
        let rows = self.empty.rows.max(1);
        for (part, array, width) in &self.arrays {
            // Of arrays whose rows are spread over words, those that hold the rows asked for.
            let columns = match *part {
                "g_idx" => 0..*width,
                _ => here.start * width / rows..here.end * width / rows,
            };
            let lines = array.shape.iter().product::<usize>() / (*width).max(1);
            let integers = || picked(lines, *width, &columns, |place| array.word(place).cast_signed());
            match *part {
                "qweight" => packed.qweight = integers(),
                "qzeros" => packed.qzeros = integers(),
                "g_idx" => packed.group_index = integers(),
                _ => packed.scales = picked(lines, *width, &columns, |place| array.float(place)),
            }
        }
        let codes = packed.unpack().map_err(|error| self.module.refuse(error))?;
        // Scales are the only numbers here that could be infinite, and zero times infinity is no number.
        if let Some(place) = codes.scales.iter().position(|scale| !scale.is_finite()) {
            return Err(CheckpointError::NotFinite {
                tensor: format!("{}.scales", self.module.stem),
                path: self.module.model.to_path_buf(),
                row: place % codes.groups().max(1),
                column: here.start + place / codes.groups().max(1),
                value: codes.scales[place],
            });
        }
        Ok(codes.dequantize())
    }
}

/// What is read of some columns of every line.
fn picked<T>(lines: usize, width: usize, columns: &Range<usize>, read: impl Fn(usize) -> T) -> Vec<T> {
    let places = (0..lines).flat_map(|line| line * width + columns.start..line * width + columns.end);
    places.map(read).collect()
}
