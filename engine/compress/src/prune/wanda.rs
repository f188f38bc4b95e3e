//! Wanda: a weight counts by its size and by how much flows through it.

use rayon::prelude::*;

use super::check;
use super::mask::Mask;
use super::pattern::Pattern;
use crate::CompressError;

const METHOD: &str = "Wanda";

/// Prunes, in every row or every window of a row, the weights of smallest `|W_ij| · √n_j`, where `n_j` is the mean over sequences of
/// `Σ_tokens x_j²`. Weights are not changed otherwise.
///
/// A row loses exactly `⌊columns · s⌋` weights; of equal scores the first go. An input that never was anything but zero has score
/// zero, so its weights go first.
///
/// Source: Sun et al., «A Simple and Effective Pruning Approach for Large Language Models», 2023; `locuslab/wanda`.
///
/// # Shapes
/// `weights` and the mask `[rows, columns]`, `input_norms` `[columns]`.
///
/// # Errors
/// `Shape`, `NotFinite` (also for a negative norm), and `Setting` for windows that do not fill a row.
pub fn wanda(weights: &[f32], rows: usize, columns: usize, input_norms: &[f32], pattern: Pattern) -> Result<Mask, CompressError> {
    check::weights(METHOD, weights, rows, columns)?;
    check::length(METHOD, "the norms of the inputs", input_norms.len(), 1, columns)?;
    check::finite(
        METHOD,
        "the norms of the inputs",
        input_norms.iter().all(|norm| norm.is_finite() && *norm >= 0.0),
    )?;
    if let Pattern::Windows(window) = pattern {
        window.fills(METHOD, "columns", columns)?;
    }
    let roots: Vec<f32> = input_norms.iter().map(|norm| norm.sqrt()).collect();
    let mut pruned = vec![false; weights.len()];
    if pruned.is_empty() {
        return Ok(Mask { pruned });
    }
    (pruned.par_chunks_mut(columns)).zip(weights.par_chunks(columns)).for_each(|(pruned, weights)| {
        let scores: Vec<f32> = weights.iter().zip(&roots).map(|(weight, root)| weight.abs() * root).collect();
        match pattern {
            Pattern::Unstructured(sparsity) | Pattern::AtThreshold(sparsity) => {
                let mut order: Vec<usize> = (0..columns).collect();
                let count = sparsity.of(columns);
                // Place after score makes the order total: the same choice as a stable sort, without sorting what stays.
                if count > 0 {
                    order.select_nth_unstable_by(count - 1, |left, right| scores[*left].total_cmp(&scores[*right]).then(left.cmp(right)));
                }
                order.into_iter().take(count).for_each(|place| pruned[place] = true);
            }
            Pattern::Windows(window) => {
                for (pruned, scores) in pruned.chunks_mut(window.columns()).zip(scores.chunks(window.columns())) {
                    window.smallest(scores, |place| pruned[place] = true);
                }
            }
        }
    });
    Ok(Mask { pruned })
}

/// Wanda's norms out of the Hessian that GPTQ and SparseGPT use, `H = 2/sequences · Σ XᵀX`: half its diagonal, so that one pass over
/// the calibration text serves all.
///
/// # Shapes
/// `hessian` `[columns, columns]`, result `[columns]`.
///
/// # Errors
/// `Shape` for a matrix that is not square.
pub fn input_norms_of_hessian(hessian: &[f64], columns: usize) -> Result<Vec<f32>, CompressError> {
    check::length(METHOD, "the Hessian", hessian.len(), columns, columns)?;
    Ok((0..columns).map(|column| (hessian[column * columns + column] / 2.0) as f32).collect())
}
