//! How much of each matrix to prune, so that the whole model reaches one sparsity.

use serde::{Deserialize, Serialize};

use super::alpha::TailStart;
use super::pattern::{Pattern, Sparsity};
use super::sparse_gpt::SparseGptSettings;
use crate::CompressError;
use crate::quantize::Damping;

const METHOD: &str = "AlphaPruning";

/// Who shares a sparsity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mapping {
    /// All matrices of a block, by the plain mean of their exponents: the original's default.
    BlockWise,
    /// Each matrix by its own exponent.
    LayerWise,
}

/// AlphaPruning's settings: SparseGPT at sparsities from tail exponents.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AlphaPruningSettings {
    /// Of all treated matrices together.
    pub sparsity: Sparsity,
    /// How far blocks may differ, 0 to 1: 0.3 by default in the original, 0.2 in its scripts for SparseGPT.
    pub epsilon: f64,
    /// Where the tail of a spectrum begins.
    pub tail: TailStart,
    /// Who shares a sparsity.
    pub mapping: Mapping,
    /// What is added to the Hessian's diagonal, as a share of its mean.
    pub damping: f64,
}

impl AlphaPruningSettings {
    /// The original's choices for SparseGPT.
    #[must_use]
    pub fn new(sparsity: Sparsity) -> Self {
        Self {
            sparsity,
            epsilon: 0.2,
            tail: TailStart::Peak,
            mapping: Mapping::BlockWise,
            damping: Damping::ORIGINAL.share,
        }
    }

    /// What is done to a matrix once its sparsity is known.
    #[must_use]
    pub fn at(&self, sparsity: Sparsity) -> SparseGptSettings {
        SparseGptSettings {
            damping: self.damping,
            ..SparseGptSettings::new(Pattern::Unstructured(sparsity))
        }
    }
}

/// Sparsities from tail exponents: a small `α` (a heavy tail, a well trained matrix) is pruned less.
///
/// `r = (α − min α)/(max α − min α) · 2ε + (1 − ε)`, then `sparsity · Σ n / Σ n r` times `r`, so that the model as a whole reaches
/// `sparsity`. `ε` is 0.3 by default in the original and 0.2 in its scripts for SparseGPT. Where all exponents are equal, so are the
/// ratios.
///
/// Source: Lu et al., «AlphaPruning», 2024; `haiquanlu/AlphaPruning`.
///
/// # Shapes
/// `alphas` and `sizes` (numbers of weights): one list for each block, one entry for each matrix; the result likewise.
///
/// # Errors
/// `Shape` for lists that do not fit, `NotFinite` for exponents, `Setting` for an `ε` outside of 0 to 1 and for ratios that reach 1,
/// which no `ε` below a certain one does (the original does not look).
pub fn pruning_ratios(
    alphas: &[Vec<f64>],
    sizes: &[Vec<usize>],
    sparsity: Sparsity,
    epsilon: f64,
    mapping: Mapping,
) -> Result<Vec<Vec<Sparsity>>, CompressError> {
    let lengths = |lists: &mut dyn Iterator<Item = usize>| lists.collect::<Vec<usize>>();
    let (found, expected) = (lengths(&mut sizes.iter().map(Vec::len)), lengths(&mut alphas.iter().map(Vec::len)));
    if found != expected {
        let (found, expected) = (format!("{found:?}"), format!("{expected:?}"));
        return Err(CompressError::Shape {
            method: METHOD,
            what: "the list of sizes",
            found,
            expected,
        });
    }
    if alphas.iter().flatten().any(|alpha| !alpha.is_finite()) {
        return Err(CompressError::NotFinite {
            method: METHOD,
            what: "the list of exponents",
        });
    }
    if !(0.0..=1.0).contains(&epsilon) {
        let (value, rule) = (epsilon.to_string(), "it is at least 0 and at most 1".to_string());
        return Err(CompressError::Setting {
            method: METHOD,
            setting: "epsilon",
            value,
            rule,
        });
    }
    let metric: Vec<Vec<f64>> = match mapping {
        Mapping::LayerWise => alphas.to_vec(),
        Mapping::BlockWise => alphas
            .iter()
            .map(|block| vec![block.iter().sum::<f64>() / block.len().max(1) as f64; block.len()])
            .collect(),
    };
    let low = metric.iter().flatten().copied().fold(f64::INFINITY, f64::min);
    let high = metric.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
    let ratio = |alpha: &f64| {
        if high > low {
            (alpha - low) / (high - low) * 2.0 * epsilon + (1.0 - epsilon)
        } else {
            1.0
        }
    };
    let total: f64 = sizes.iter().flatten().map(|size| *size as f64).sum();
    let weighted: f64 = metric
        .iter()
        .flatten()
        .zip(sizes.iter().flatten())
        .map(|(alpha, size)| ratio(alpha) * *size as f64)
        .sum();
    let scale = if weighted > 0.0 { sparsity.get() * total / weighted } else { 0.0 };
    let parse = |alpha: &f64| {
        Sparsity::new(ratio(alpha) * scale).map_err(|_| CompressError::Setting {
            method: METHOD,
            setting: "epsilon",
            value: epsilon.to_string(),
            rule: format!(
                "at a sparsity of {} it asks to prune {:.3} of a matrix; take a smaller one",
                sparsity.get(),
                ratio(alpha) * scale
            ),
        })
    };
    metric.iter().map(|block| block.iter().map(parse).collect()).collect()
}
