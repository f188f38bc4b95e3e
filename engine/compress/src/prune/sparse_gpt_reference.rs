//! SparseGPT in plain loops: what [`super::sparse_gpt`] is tested against.

use super::pattern::{Pattern, threshold};
use super::sparse_gpt::{SparseGptReport, SparseGptSettings, prepare, score_of};
use crate::CompressError;

/// As [`super::sparse_gpt`], column by column over the whole matrix: every error reaches every column to its right at once.
///
/// # Errors
/// As [`super::sparse_gpt`].
pub fn sparse_gpt_reference(
    weights: &mut [f32],
    rows: usize,
    columns: usize,
    hessian: &[f64],
    settings: &SparseGptSettings,
) -> Result<SparseGptReport, CompressError> {
    let factor = settings.factor(hessian, columns)?;
    let grids = prepare(weights, rows, &factor, settings)?;
    let upper = factor.upper();
    let diagonal = |column: usize| upper[column * columns + column];
    let mut pruned = vec![false; weights.len()];
    let mut loss = 0.0;
    for column in 0..columns {
        let block_end = (column / settings.block * settings.block + settings.block).min(columns);
        let score = |weights: &[f32], row: usize, column: usize| score_of(weights[row * columns + column], diagonal(column) * diagonal(column));
        match settings.pattern {
            Pattern::Unstructured(sparsity) | Pattern::AtThreshold(sparsity) if column.is_multiple_of(settings.block) => {
                let places: Vec<(usize, usize)> = (0..rows).flat_map(|row| (column..block_end).map(move |column| (row, column))).collect();
                let mut scores: Vec<f32> = places.iter().map(|(row, column)| score(weights, *row, *column)).collect();
                if let Some(limit) = threshold(&mut scores, sparsity) {
                    for (row, column) in places {
                        pruned[row * columns + column] = score(weights, row, column) <= limit;
                    }
                }
            }
            Pattern::Windows(window) if column.is_multiple_of(window.columns()) => {
                for row in 0..rows {
                    let scores: Vec<f32> = (column..column + window.columns()).map(|column| score(weights, row, column)).collect();
                    window.smallest(&scores, |place| pruned[row * columns + column + place] = true);
                }
            }
            _ => {}
        }
        for row in 0..rows {
            let place = row * columns + column;
            let weight = weights[place];
            let mut target = if pruned[place] { 0.0 } else { weight };
            if let Some((grid, bits)) = grids.get(row).zip(settings.bits) {
                target = grid.nearest(target, bits);
            }
            let error = (weight - target) / diagonal(column);
            weights[place] = target;
            loss += f64::from(error) * f64::from(error);
            for later in column + 1..columns {
                weights[row * columns + later] -= error * upper[column * columns + later];
            }
        }
    }
    Ok(SparseGptReport {
        loss: loss / 2.0,
        damping: factor.damping(),
        zeros: weights.iter().filter(|weight| **weight == 0.0).count(),
        dead_columns: factor.dead().iter().filter(|dead| **dead).count(),
    })
}
