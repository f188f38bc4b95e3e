//! The smallest weights go: the baseline of all pruning.

use rayon::prelude::*;

use super::check;
use super::mask::Mask;
use super::pattern::{Pattern, smallest, threshold};
use crate::CompressError;

const METHOD: &str = "magnitude pruning";

/// Prunes the weights of smallest `|w|`: over the whole matrix, or in every window of a row.
///
/// Over the matrix exactly `⌊n · s⌋` weights go, of equal ones the first. Under [`Pattern::AtThreshold`] the rule is the original
/// programs': with `t` the value at place `⌊n · s⌋` of the sorted magnitudes, all weights with `|w| ≤ t` go, which is one more (and more
/// where magnitudes are equal); a share of zero prunes nothing.
///
/// Source: `locuslab/wanda`, `prune_magnitude`.
///
/// # Shapes
/// `weights` and the mask `[rows, columns]`.
///
/// # Errors
/// `Shape`, `NotFinite`, and `Setting` for windows that do not fill a row.
pub fn magnitude(weights: &[f32], rows: usize, columns: usize, pattern: Pattern) -> Result<Mask, CompressError> {
    check::weights(METHOD, weights, rows, columns)?;
    match pattern {
        Pattern::Unstructured(sparsity) => {
            let sizes: Vec<f32> = weights.iter().map(|weight| weight.abs()).collect();
            Ok(Mask {
                pruned: smallest(&sizes, sparsity),
            })
        }
        Pattern::AtThreshold(sparsity) => {
            let mut sizes: Vec<f32> = weights.iter().map(|weight| weight.abs()).collect();
            let limit = threshold(&mut sizes, sparsity);
            Ok(Mask {
                pruned: weights.iter().map(|weight| limit.is_some_and(|limit| weight.abs() <= limit)).collect(),
            })
        }
        Pattern::Windows(window) => {
            window.fills(METHOD, "columns", columns)?;
            let mut pruned = vec![false; weights.len()];
            let size = window.columns();
            (pruned.par_chunks_mut(size))
                .zip(weights.par_chunks(size))
                .with_min_len(1024)
                .for_each(|(pruned, weights)| {
                    let scores: Vec<f32> = weights.iter().map(|weight| weight.abs()).collect();
                    window.smallest(&scores, |place| pruned[place] = true);
                });
            Ok(Mask { pruned })
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::prune::Sparsity;

    proptest! {
        #[test]
        fn exactly_the_share_goes_and_nothing_smaller_stays(weights in proptest::collection::vec(-3i8..=3, 1..200), share in 0.0f64..1.0) {
            let weights: Vec<f32> = weights.into_iter().map(f32::from).collect();
            let sparsity = Sparsity::new(share).unwrap();
            let mask = magnitude(&weights, 1, weights.len(), Pattern::Unstructured(sparsity)).unwrap();
            let gone: Vec<f32> = weights.iter().zip(&mask.pruned).filter(|(_, pruned)| **pruned).map(|(weight, _)| weight.abs()).collect();
            let kept = weights.iter().zip(&mask.pruned).filter(|(_, pruned)| !**pruned).map(|(weight, _)| weight.abs());
            prop_assert_eq!(gone.len(), (weights.len() as f64 * share).floor() as usize);
            let largest = gone.iter().copied().fold(0.0, f32::max);
            prop_assert!(kept.fold(f32::INFINITY, f32::min) >= largest);
        }
    }
}
