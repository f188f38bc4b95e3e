//! A quantized matrix: codes, scales, zeros.

use cruxscope_checkpoint::packed::Codes;

use super::bits::{Bits, GroupSize};
use super::grid::{Grid, ScaleZero};
use super::settings::GridSettings;

/// A matrix `[out, in]` as codes on an integer grid: `w[r, c] ≈ (code[r, c] − zero[r, g]) · scale[r, g]`, `g` the group of `c`.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantized {
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub columns: usize,
    /// Bits of a code.
    pub bits: Bits,
    /// The grid the groups were fitted to.
    pub grid: Grid,
    /// Columns of a group.
    pub group_size: GroupSize,
    /// `[out, in]`, in the order of the weight's columns.
    pub codes: Vec<u8>,
    /// `[out, groups]`.
    pub scales: Vec<f32>,
    /// `[out, groups]`.
    pub zeros: Vec<u8>,
    /// The group of every column, `[in]`, where groups are not of neighbours: GPTQ with activation order and moving groups.
    pub group_index: Option<Vec<u32>>,
}

impl Quantized {
    /// All codes, scales and zeros 0, to be filled.
    pub(super) fn empty(rows: usize, columns: usize, settings: &GridSettings) -> Self {
        let groups = settings.group_size.groups(columns);
        Self {
            rows,
            columns,
            bits: settings.bits,
            grid: settings.grid,
            group_size: settings.group_size,
            codes: vec![0; rows * columns],
            scales: vec![0.0; rows * groups],
            zeros: vec![0; rows * groups],
            group_index: None,
        }
    }

    /// The same codes for a packed layout, which knows no grids.
    pub fn codes(&self) -> Codes {
        Codes {
            rows: self.rows,
            columns: self.columns,
            bits: self.bits.get(),
            group: self.group_size.of_row(self.columns),
            codes: self.codes.clone(),
            zeros: self.zeros.clone(),
            scales: self.scales.clone(),
            group_index: self.group_index.clone(),
        }
    }

    /// Groups of a row.
    pub fn groups(&self) -> usize {
        self.group_size.groups(self.columns)
    }

    /// The group of a column.
    pub fn group_of(&self, column: usize) -> usize {
        match &self.group_index {
            Some(index) => index[column] as usize,
            None => column / self.group_size.of_row(self.columns),
        }
    }

    /// Scale and zero of a group of a row.
    pub fn scale_zero(&self, row: usize, group: usize) -> ScaleZero {
        let place = row * self.groups() + group;
        ScaleZero {
            scale: self.scales[place],
            zero: self.zeros[place],
        }
    }

    /// The weights that the codes stand for, `[out, in]`, in float32.
    pub fn dequantize(&self) -> Vec<f32> {
        self.codes().dequantize()
    }
}
