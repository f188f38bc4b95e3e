//! The column loop of GPTQ and GPTAQ: round a column, let the columns after it make up for the error.
//!
//! Rows do not know of each other, so threads take 64 rows or more at a time through all blocks of 128 columns. Inside a block 16 rows
//! lie side by side, one to a lane, and every operation is the original's in float32 and in its order; what a block does to the
//! columns after it is one matrix product.

use cruxscope_model::wide::wide;
use rayon::prelude::*;

use super::compatibility::Compatibility;
use super::grid::{ScaleZero, round_to_even};
use super::hessian::HessianFactor;
use super::quantized::Quantized;
use super::settings::GridSettings;
use crate::linear_algebra::{Operand, multiply_into};

/// Columns whose error is kept inside a block before it goes to all later ones.
const BLOCK: usize = 128;
/// Rows that one thread takes at a time: few enough to share a small matrix among threads, and of a large one many, since each of them goes through
/// all of the factor. Depends on the matrix alone.
fn rows_at_once(rows: usize) -> usize {
    (rows / 16).next_multiple_of(64).clamp(64, 256)
}
/// Rows that lie side by side.
const LANES: usize = 16;

type Lanes = [f32; LANES];

/// One matrix on its way through the columns.
pub(super) struct ColumnLoop<'a> {
    pub settings: &'a GridSettings,
    pub factor: &'a HessianFactor,
    /// GPTAQ's `P`, `[columns, columns]`, strictly upper triangular.
    pub asymmetry: Option<&'a [f32]>,
    /// Whether grids are fitted to the weights as they were, before any column is taken.
    pub static_groups: bool,
    pub compatibility: Compatibility,
}

/// What a block's inner loop leaves behind, for the rows of one thread.
struct Block {
    /// `[rows, block]`: `(w − q)/U_ii`.
    errors: Vec<f32>,
    /// `[rows, block]`: what GPTAQ multiplies by `P`.
    values: Vec<f32>,
}

impl ColumnLoop<'_> {
    /// Quantizes all rows. Also gives `Σ (w − q)²/U_ii²/2`, the error that the original reports.
    pub fn run(&self, weight: &[f32], rows: usize) -> (Quantized, f64) {
        let columns = self.factor.columns;
        let groups = self.settings.group_size.groups(columns);
        let mut quantized = Quantized::empty(rows, columns, self.settings);
        let at_once = rows_at_once(rows);
        let mut errors = vec![0.0; rows.div_ceil(at_once)];
        if rows == 0 || columns == 0 {
            return (quantized, 0.0);
        }
        weight
            .par_chunks(at_once * columns)
            .zip(quantized.codes.par_chunks_mut(at_once * columns))
            .zip(
                quantized
                    .scales
                    .par_chunks_mut(at_once * groups)
                    .zip(quantized.zeros.par_chunks_mut(at_once * groups)),
            )
            .zip(&mut errors)
            .for_each(|(((weight, codes), (scales, zeros)), error)| {
                let mut grids = Vec::new();
                *error = self.rows(weight, codes, &mut grids);
                for (row, grids) in grids.chunks(groups).enumerate() {
                    for (group, grid) in grids.iter().enumerate() {
                        let place = row * groups + self.stored_group(group);
                        (scales[place], zeros[place]) = (grid.scale, grid.zero);
                    }
                }
            });
        if self.groups_of_positions() && self.factor.order_kind == super::ColumnOrder::Activation && groups > 1 {
            let size = self.settings.group_size.of_row(columns);
            let mut index = vec![0u32; columns];
            for position in 0..columns {
                index[self.factor.column_at(position)] = (position / size) as u32;
            }
            quantized.group_index = Some(index);
        }
        (quantized, errors.iter().sum())
    }

    /// Whether groups are of neighbours in the order in which columns are taken (else: in the stored order).
    fn groups_of_positions(&self) -> bool {
        !self.static_groups
    }

    /// Where the scale of a group is stored: group-aware order takes whole groups in another order and puts them back.
    fn stored_group(&self, group: usize) -> usize {
        let size = self.settings.group_size.of_row(self.factor.columns);
        match self.factor.order_kind {
            super::ColumnOrder::GroupAware if self.groups_of_positions() => self.factor.column_at(group * size) / size,
            _ => group,
        }
    }

    /// The group whose grid a position uses, as an index into the grids while the loop runs.
    fn group_at(&self, position: usize, size: usize) -> usize {
        if self.groups_of_positions() {
            position / size
        } else {
            self.factor.column_at(position) / size
        }
    }

    /// Takes a few rows through all columns. `grids` gets `[rows, groups]`, in the order in which groups are numbered here.
    fn rows(&self, weight: &[f32], codes: &mut [u8], grids: &mut Vec<ScaleZero>) -> f64 {
        let settings = self.settings;
        let columns = self.factor.columns;
        let rows = weight.len() / columns;
        let size = settings.group_size.of_row(columns);
        let groups = settings.group_size.groups(columns);
        let fit = |weights: &[f32]| {
            wide(
                #[inline(always)]
                || settings.grid.fit(weights, settings.bits, settings.clipping),
            )
        };
        grids.resize(rows * groups, ScaleZero { scale: 1.0, zero: 0 });

        let mut current = weight.to_vec();
        if groups == 1 {
            // One grid for the whole row: of the original weights, dead columns included.
            for (grid, row) in grids.iter_mut().zip(current.chunks(columns)) {
                *grid = fit(row);
            }
        }
        for row in current.chunks_mut(columns) {
            for (weight, _) in row.iter_mut().zip(&self.factor.dead).filter(|(_, dead)| **dead) {
                *weight = 0.0;
            }
        }
        if self.static_groups && groups > 1 {
            for (grids, row) in grids.chunks_mut(groups).zip(current.chunks(columns)) {
                for (grid, weights) in grids.iter_mut().zip(row.chunks(size)) {
                    *grid = fit(weights);
                }
            }
        }
        if let Some(order) = &self.factor.order {
            let mut ordered = vec![0.0; columns];
            for row in current.chunks_mut(columns) {
                for (to, &from) in ordered.iter_mut().zip(order) {
                    *to = row[from];
                }
                row.copy_from_slice(&ordered);
            }
        }

        let moving = !self.static_groups && groups > 1;
        let mut total = 0.0;
        let mut start = 0;
        while start < columns {
            let end = self.block_end(start, size, moving).min(columns);
            if moving {
                for group in start.div_ceil(size)..end.div_ceil(size) {
                    let first = group * size;
                    let last = (first + size).min(columns);
                    for (row, values) in current.chunks(columns).enumerate() {
                        grids[row * groups + group] = fit(&values[first..last]);
                    }
                }
            }
            let mut block = Block {
                errors: vec![0.0; rows * (end - start)],
                values: vec![0.0; if self.asymmetry.is_some() { rows * (end - start) } else { 0 }],
            };
            for first in (0..rows).step_by(LANES) {
                total += wide(
                    #[inline(always)]
                    || self.inner(&current, codes, grids, &mut block, (start, end), first, rows, groups, size),
                );
            }
            self.pass_on(&mut current, &block, (start, end), rows);
            start = end;
        }
        total
    }

    /// Where a block ends: after 128 columns; without the original's quirk also where a new group is fitted, so that the fit sees
    /// every error so far.
    fn block_end(&self, start: usize, size: usize, moving: bool) -> usize {
        let end = (start / BLOCK + 1) * BLOCK;
        match self.compatibility {
            Compatibility::Improved if moving => end.min((start / size + 1) * size),
            _ => end,
        }
    }

    /// The columns of a block, for rows `first .. first + 16`.
    #[inline(always)]
    fn inner(
        &self,
        current: &[f32],
        codes: &mut [u8],
        grids: &[ScaleZero],
        block: &mut Block,
        (start, end): (usize, usize),
        first: usize,
        rows: usize,
        groups: usize,
        size: usize,
    ) -> f64 {
        let columns = self.factor.columns;
        let count = LANES.min(rows - first);
        let width = end - start;
        let largest = f32::from(self.settings.bits.largest_code());
        // Lanes without a row hold zeros, and a grid that keeps them so.
        let mut tile = [[0.0f32; LANES]; BLOCK];
        for lane in 0..count {
            for (tile, &value) in tile.iter_mut().zip(&current[(first + lane) * columns + start..(first + lane) * columns + end]) {
                tile[lane] = value;
            }
        }
        let (mut scale, mut zero) = ([1.0f32; LANES], [0.0f32; LANES]);
        let mut group = usize::MAX;
        let mut total: Lanes = [0.0; LANES];
        let mut sum = 0.0f64;
        for i in 0..width {
            let position = start + i;
            let own = self.group_at(position, size);
            if own != group {
                group = own;
                for lane in 0..count {
                    let grid = grids[(first + lane) * groups + group];
                    (scale[lane], zero[lane]) = (grid.scale, f32::from(grid.zero));
                }
            }
            let pivot = self.factor.upper[position * columns + position];
            let (mut code, mut nearest, mut error): (Lanes, Lanes, Lanes) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
            let value = tile[i];
            for lane in 0..LANES {
                code[lane] = (round_to_even(value[lane] / scale[lane]) + zero[lane]).max(0.0).min(largest);
                nearest[lane] = (code[lane] - zero[lane]) * scale[lane];
                error[lane] = (value[lane] - nearest[lane]) / pivot;
                total[lane] += error[lane] * error[lane];
            }
            let upper = &self.factor.upper[position * columns + position + 1..position * columns + end];
            let later = &mut tile[i + 1..width];
            match self.asymmetry {
                None => {
                    for (later, &upper) in later.iter_mut().zip(upper) {
                        for lane in 0..LANES {
                            later[lane] -= error[lane] * upper;
                        }
                    }
                }
                Some(asymmetry) => {
                    let asymmetry = &asymmetry[position * columns + position + 1..position * columns + end];
                    for ((later, &upper), &asymmetry) in later.iter_mut().zip(upper).zip(asymmetry) {
                        for lane in 0..LANES {
                            later[lane] -= error[lane] * upper - value[lane] * asymmetry;
                        }
                    }
                    // Inside a block GPTAQ uses the weight as it stood before rounding; across blocks its original uses the
                    // rounded one.
                    let carried = match self.compatibility {
                        Compatibility::Original => nearest,
                        Compatibility::Improved => value,
                    };
                    for lane in 0..count {
                        block.values[(first + lane) * width + i] = carried[lane];
                    }
                }
            }
            let column = self.factor.column_at(position);
            for lane in 0..count {
                block.errors[(first + lane) * width + i] = error[lane];
                codes[(first + lane) * columns + column] = code[lane] as u8;
            }
            if i % 16 == 15 || i + 1 == width {
                sum += total.iter().map(|&total| f64::from(total)).sum::<f64>();
                total = [0.0; LANES];
            }
        }
        sum / 2.0
    }

    /// What the block's errors do to all later columns: `W −= E U`, and GPTAQ's `W += V P`.
    fn pass_on(&self, current: &mut [f32], block: &Block, (start, end): (usize, usize), rows: usize) {
        let columns = self.factor.columns;
        if end == columns {
            return;
        }
        let width = end - start;
        let shape = [rows, width, columns - end];
        let later = |matrix| Operand::rows(matrix, columns);
        let from = start * columns + end;
        let errors = Operand::rows(&block.errors, width);
        multiply_into(shape, &mut current[end..], columns, true, errors, later(&self.factor.upper[from..]), -1.0);
        if let Some(asymmetry) = self.asymmetry {
            let values = Operand::rows(&block.values, width);
            multiply_into(shape, &mut current[end..], columns, true, values, later(&asymmetry[from..]), 1.0);
        }
    }
}
