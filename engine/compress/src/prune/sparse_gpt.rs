//! SparseGPT: weights are pruned column by column, and those to the right make up for what was lost.
//!
//! The mathematics is GPTQ's: with `H⁻¹ = UᵀU`, setting `w_i` to `q` costs `(w_i − q)² / U_ii²` and is best answered by
//! `w_j −= (w_i − q) / U_ii · U_ij` for all `j > i`. Columns go in blocks: inside a block row by row, in cache; what a block does to
//! the columns after it is one matrix product. [`super::sparse_gpt_reference`] is the same without blocks of rows and products.

use cruxscope_model::wide::wide;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::check;
use super::pattern::{Pattern, Window, threshold};
use crate::CompressError;
use crate::linear_algebra::{Operand, multiply_into};
use crate::quantize::{Bits, Clipping, ColumnOrder, Damping, Grid, GroupSize, HessianFactor, ScaleZero};

const METHOD: &str = "SparseGPT";

/// What SparseGPT leaves open.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SparseGptSettings {
    /// What is pruned. An unstructured share is of every block of columns over all rows; rows may differ.
    pub pattern: Pattern,
    /// Columns of a block; 128 in the original. The last block may be short.
    pub block: usize,
    /// What is added to the Hessian's diagonal, as a share of its mean; 0.01 in the original.
    pub damping: f64,
    /// Bits of the weights that stay, on the grid `gptq_asym` of each original row. None: they are not quantized.
    pub bits: Option<Bits>,
}

impl SparseGptSettings {
    /// The original's defaults.
    #[must_use]
    pub fn new(pattern: Pattern) -> Self {
        Self {
            pattern,
            block: 128,
            damping: Damping::ORIGINAL.share,
            bits: None,
        }
    }

    /// The damping as it is factored with.
    pub fn damping(&self) -> Damping {
        Damping {
            share: self.damping,
            ..Damping::ORIGINAL
        }
    }

    /// The factor of a Hessian that these settings ask for.
    pub(super) fn factor(&self, hessian: &[f64], columns: usize) -> Result<HessianFactor, CompressError> {
        HessianFactor::new(hessian, columns, ColumnOrder::Stored, GroupSize::Row, self.damping())
    }
}

/// What SparseGPT did.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SparseGptReport {
    /// `½ Σ (w − q)² / U_ii²`: what the method believes to have done to the outputs, `½ tr(ΔW H ΔWᵀ)`, damping included.
    pub loss: f64,
    /// The share of the mean diagonal that was added: the setting, or more where that left the Hessian singular.
    pub damping: f64,
    /// Weights that are zero now.
    pub zeros: usize,
    /// Inputs that never were anything but zero. Their weights are set to zero: nothing can depend on them.
    pub dead_columns: usize,
}

/// Prunes a matrix in place and moves the weights that stay.
///
/// In each block, `score = W² / diag(U)²` with `W` as the blocks before have left it. Unstructured: all weights with a score at or
/// below that at place `⌊n · s⌋` of the block's sorted scores go, one more than the share, as in the original. Windows: at every
/// window's first column the smallest of the window go. A share of zero prunes nothing.
///
/// Source: Frantar and Alistarh, «SparseGPT», 2023; `IST-DASLab/sparsegpt`.
///
/// # Shapes
/// `weights` `[rows, columns]`; `hessian` `[columns, columns]`, `2/sequences · Σ XᵀX` without damping. Only its scale relative to
/// itself matters for the result.
///
/// # Errors
/// `Shape`, `NotFinite`; `Setting` for an empty block, for a damping that is negative or no number, and for windows that fill
/// neither row nor block; `Singular` if no damping helps. On an error the weights are as they were.
pub fn sparse_gpt(weights: &mut [f32], rows: usize, columns: usize, hessian: &[f64], settings: &SparseGptSettings) -> Result<SparseGptReport, CompressError> {
    check::weights(METHOD, weights, rows, columns)?;
    sparse_gpt_with_factor(weights, rows, &settings.factor(hessian, columns)?, settings)
}

/// The same with a factor at hand, which serves every matrix with the same inputs. Its damping holds.
///
/// # Errors
/// As [`sparse_gpt`], and `Setting` for a factor that takes columns in another than the stored order.
pub fn sparse_gpt_with_factor(
    weights: &mut [f32],
    rows: usize,
    factor: &HessianFactor,
    settings: &SparseGptSettings,
) -> Result<SparseGptReport, CompressError> {
    let grids = prepare(weights, rows, factor, settings)?;
    let (columns, upper, damping) = (factor.columns(), factor.upper(), factor.damping());
    let dead_columns = factor.dead().iter().filter(|dead| **dead).count();
    let (mut loss, a_task) = (0.0, rows_a_task(rows));
    if weights.is_empty() {
        return Ok(SparseGptReport {
            loss,
            damping,
            zeros: 0,
            dead_columns,
        });
    }
    for start in (0..columns).step_by(settings.block) {
        let end = (start + settings.block).min(columns);
        let size = end - start;
        // The block's own part of U, its diagonal's squares, and the part that carries errors to the right.
        let inner: Vec<f32> = (start..end)
            .flat_map(|row| &upper[row * columns + start..row * columns + end])
            .copied()
            .collect();
        let squares: Vec<f32> = (0..size).map(|i| inner[i * size + i] * inner[i * size + i]).collect();
        let outer = Operand::rows(&upper[start * columns + end.min(columns - 1)..], columns);
        let limit = match settings.pattern {
            Pattern::Windows(_) => None,
            Pattern::Unstructured(sparsity) | Pattern::AtThreshold(sparsity) => {
                let mut scores = vec![0f32; rows * size];
                scores.par_chunks_mut(size).zip(weights.par_chunks(columns)).for_each(|(scores, row)| {
                    for ((score, weight), square) in scores.iter_mut().zip(&row[start..end]).zip(&squares) {
                        *score = score_of(*weight, *square);
                    }
                });
                threshold(&mut scores, sparsity)
            }
        };
        let losses: Vec<f64> = (weights.par_chunks_mut(a_task * columns).enumerate())
            .map(|(task, rows)| {
                let count = rows.len() / columns;
                let mut errors = vec![0f32; count * size];
                let mut loss = 0.0;
                for (index, (row, errors)) in rows.chunks_mut(columns).zip(errors.chunks_mut(size)).enumerate() {
                    let grid = grids.get(task * a_task + index).copied().zip(settings.bits);
                    let row = &mut row[start..end];
                    let choice = match settings.pattern {
                        Pattern::Unstructured(_) | Pattern::AtThreshold(_) => Choice::Below(limit),
                        Pattern::Windows(window) => Choice::Windows(window),
                    };
                    loss += wide(
                        #[inline(always)]
                        || solve_row(row, errors, &inner, &squares, choice, grid),
                    );
                }
                if end < columns {
                    let errors = Operand::rows(&errors, size);
                    multiply_into([count, size, columns - end], &mut rows[end..], columns, true, errors, outer, -1.0);
                }
                loss
            })
            .collect();
        loss += losses.iter().sum::<f64>();
    }
    let zeros = weights.par_iter().filter(|weight| **weight == 0.0).count();
    Ok(SparseGptReport {
        loss: loss / 2.0,
        damping,
        zeros,
        dead_columns,
    })
}

/// Rows that one task takes through a block, so many that its product is worth preparing the factor for it. By the matrix alone, so that results
/// do not depend on the number of threads.
fn rows_a_task(rows: usize) -> usize {
    (rows / 16).next_multiple_of(64).clamp(64, 256)
}

/// Checks everything, fits a grid to each original row (or to none) and sets dead columns to zero.
pub(super) fn prepare(weights: &mut [f32], rows: usize, factor: &HessianFactor, settings: &SparseGptSettings) -> Result<Vec<ScaleZero>, CompressError> {
    let columns = factor.columns();
    check::weights(METHOD, weights, rows, columns)?;
    let wrong = |setting, value: String, rule: &str| CompressError::Setting {
        method: METHOD,
        setting,
        value,
        rule: rule.to_string(),
    };
    if factor.order().is_some() {
        let rule = "the Hessian was factored for another order";
        return Err(wrong("column order", "as stored".to_string(), rule));
    }
    if settings.block == 0 {
        return Err(wrong("block", "0".to_string(), "a block has at least one column"));
    }
    if let Pattern::Windows(window) = settings.pattern {
        window.fills(METHOD, "columns", columns)?;
        window.fills(METHOD, "columns of a block", settings.block)?;
    }
    let grids = settings.bits.map_or_else(Vec::new, |bits| {
        weights
            .par_chunks(columns.max(1))
            .map(|row| Grid::GptqAsym.fit(row, bits, Clipping::None))
            .collect()
    });
    if factor.dead().contains(&true) {
        weights.par_chunks_mut(columns).for_each(|row| {
            let dead = row.iter_mut().zip(factor.dead()).filter(|(_, dead)| **dead);
            dead.for_each(|(weight, _)| *weight = 0.0);
        });
    }
    Ok(grids)
}

/// How the weights of a row are chosen.
#[derive(Clone, Copy)]
pub(super) enum Choice {
    /// Those whose score, before the block's own changes, is at most this.
    Below(Option<f32>),
    /// Some of every window, by the scores when its first column is reached.
    Windows(Window),
}

/// `w² / U_jj²`.
#[inline(always)]
pub(super) fn score_of(weight: f32, square: f32) -> f32 {
    weight * weight / square
}

/// Takes one row through one block: `row` becomes what it shall be, `errors` what the columns to the right have to make up for.
/// Returns `Σ (w − q)² / U_ii²`.
#[inline(always)]
fn solve_row(row: &mut [f32], errors: &mut [f32], inner: &[f32], squares: &[f32], choice: Choice, grid: Option<(ScaleZero, Bits)>) -> f64 {
    let size = row.len();
    let mut pruned = vec![false; size];
    if let Choice::Below(Some(limit)) = choice {
        for ((pruned, weight), square) in pruned.iter_mut().zip(&*row).zip(squares) {
            *pruned = score_of(*weight, *square) <= limit;
        }
    }
    let mut loss = 0.0;
    for i in 0..size {
        if let Choice::Windows(window) = choice
            && i.is_multiple_of(window.columns())
        {
            let at = i..(i + window.columns()).min(size);
            let scores: Vec<f32> = row[at.clone()]
                .iter()
                .zip(&squares[at])
                .map(|(weight, square)| score_of(*weight, *square))
                .collect();
            window.smallest(&scores, |place| pruned[i + place] = true);
        }
        let weight = row[i];
        let mut target = if pruned[i] { 0.0 } else { weight };
        if let Some((grid, bits)) = grid {
            target = grid.nearest(target, bits);
        }
        row[i] = target;
        // A weight that stays as it is leaves nothing to make up for: about half of all.
        if weight != target {
            let along = &inner[i * size..(i + 1) * size];
            let error = (weight - target) / along[i];
            errors[i] = error;
            loss += f64::from(error) * f64::from(error);
            for (later, factor) in row[i + 1..].iter_mut().zip(&along[i + 1..]) {
                *later -= error * factor;
            }
        }
    }
    loss
}
