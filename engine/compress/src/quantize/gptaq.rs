//! GPTAQ: GPTQ that also makes up for what earlier layers' compression did to the inputs.
//!
//! The target is the output of the full-precision model, `W X̃`, while the compressed one sees `X`. A second statistic carries
//! the difference, `D = (X̃ − X) Xᵀ`, and one more term in the column loop puts it to use.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::bits::{Bits, GroupSize, check_weight};
use super::gptq::{Compensated, GptqSettings, compensate};
use super::grid::Grid;
use super::hessian::{HessianFactor, check_square, permuted};
use super::settings::GridSettings;
use crate::CompressError;
use crate::linear_algebra::{Operand, multiply_into};

/// Settings of GPTAQ.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GptaqSettings {
    /// What it shares with GPTQ. The original's grids are `GptaqAsym` and `GptaqSym`.
    pub gptq: GptqSettings,
    /// How far the inputs' difference is followed: 0 is GPTQ, 1 all the way, 0.25 the original's.
    pub alpha: f64,
}

impl GptaqSettings {
    /// The original's α.
    pub const ORIGINAL_ALPHA: f64 = 0.25;

    /// What is taken where nothing is said: GPTQ's choices on GPTAQ's asymmetric grid, and the original's α.
    #[must_use]
    pub fn new(bits: Bits, group_size: GroupSize) -> Self {
        Self {
            gptq: GptqSettings {
                grid: GridSettings::new(Grid::GptaqAsym, bits, group_size),
                ..GptqSettings::new(bits, group_size)
            },
            alpha: Self::ORIGINAL_ALPHA,
        }
    }
}

/// `P = α · striu(D Uᵀ) · U`: what a weight adds to the columns after it.
#[derive(Debug, Clone)]
pub struct AsymmetryFactor {
    /// `[columns, columns]`, strictly upper triangular, in the order in which columns are taken.
    values: Vec<f32>,
}

/// Rows of `P` that one thread works out at a time.
const TILE: usize = 128;

impl AsymmetryFactor {
    /// Works out `P` for a factor, with the dead columns of `D` set to zero.
    ///
    /// # Shapes
    /// `cross` `[columns, columns]`: `D`, rows by `X̃ − X` and columns by `X`, in the stored order and on the Hessian's scale (both
    /// sums over the same tokens, times the same number).
    ///
    /// # Errors
    /// [`CompressError::Shape`] if `D` has another size, [`CompressError::NotFinite`] if it or `alpha` is not finite.
    ///
    /// Source: Li et al. 2025 (GPTAQ), `fake_quant/gptaq_utils.py`.
    pub fn new(factor: &HessianFactor, cross: &[f64], alpha: f64) -> Result<Self, CompressError> {
        let n = factor.columns;
        check_square("the inputs' difference", cross, n)?;
        if !alpha.is_finite() {
            return Err(CompressError::NotFinite {
                method: "GPTAQ",
                what: "alpha",
            });
        }
        let mut cross = permuted(cross, n, factor.order());
        for position in (0..n).filter(|&position| factor.dead[factor.column_at(position)]) {
            (0..n).for_each(|row| cross[row * n + position] = 0.0);
        }
        let upper: Vec<f64> = factor.upper.par_iter().map(|&value| f64::from(value)).collect();
        let mut values = vec![0.0f32; n * n];
        values.par_chunks_mut(TILE * n.max(1)).enumerate().for_each(|(tile, values)| {
            // Rows from `first` on: U is upper triangular and only entries right of the diagonal count, so nothing left of
            // `first` takes part in either product.
            let first = tile * TILE;
            let (count, width) = (values.len() / n, n - first);
            let (cross, upper) = (&cross[first * n + first..], &upper[first * n + first..]);
            let mut inner = vec![0.0; count * width];
            let mut product = vec![0.0; count * width];
            multiply_into(
                [count, width, width],
                &mut inner,
                width,
                false,
                Operand::rows(cross, n),
                Operand::transposed(upper, n),
                alpha,
            );
            for (row, inner) in inner.chunks_mut(width).enumerate() {
                inner[..=row].fill(0.0);
            }
            multiply_into(
                [count, width, width],
                &mut product,
                width,
                false,
                Operand::rows(&inner, width),
                Operand::rows(upper, n),
                1.0,
            );
            for (values, product) in values.chunks_mut(n).zip(product.chunks(width)) {
                for (value, &product) in values[first..].iter_mut().zip(product) {
                    *value = product as f32;
                }
            }
        });
        Ok(Self { values })
    }

    /// `P`, `[columns, columns]`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}

/// Quantizes a matrix by GPTAQ.
///
/// As GPTQ, with `w_j −= e · U_ij − w_i · P_ij` for every later column.
///
/// # Shapes
/// `weight` `[rows, columns]`, `hessian` and `cross` `[columns, columns]`; see [`AsymmetryFactor::new`].
///
/// # Errors
/// As [`HessianFactor::new`], [`AsymmetryFactor::new`] and [`super::gptq_with_factor`].
pub fn gptaq(weight: &[f32], rows: usize, columns: usize, hessian: &[f64], cross: &[f64], settings: &GptaqSettings) -> Result<Compensated, CompressError> {
    check_weight("GPTAQ", weight, rows, columns)?;
    let gptq = &settings.gptq;
    let factor = HessianFactor::new(hessian, columns, gptq.order, gptq.grid.group_size, gptq.damping)?;
    let asymmetry = AsymmetryFactor::new(&factor, cross, settings.alpha)?;
    gptaq_with_factors(weight, rows, &factor, &asymmetry, gptq)
}

/// The same with both factors at hand; alpha is in the second.
///
/// # Errors
/// As [`super::gptq_with_factor`]; [`CompressError::Shape`] if the factors do not belong together.
pub fn gptaq_with_factors(
    weight: &[f32],
    rows: usize,
    factor: &HessianFactor,
    asymmetry: &AsymmetryFactor,
    settings: &GptqSettings,
) -> Result<Compensated, CompressError> {
    if asymmetry.values.len() != factor.upper.len() {
        return Err(CompressError::Shape {
            method: "GPTAQ",
            what: "the factor of the inputs' difference",
            found: format!("{} values", asymmetry.values.len()),
            expected: format!("{0} x {0}", factor.columns),
        });
    }
    compensate("GPTAQ", weight, rows, factor, Some(&asymmetry.values), settings)
}
