//! The Hessian of a layer's reconstruction error, damped, ordered and factored for the column loop.
//!
//! For `‖W X − Ŵ X‖²` the Hessian is `H = 2 X Xᵀ` for every row of the weight; only its shape matters, not its size. One factor
//! serves all projections that share their inputs (query, key, value; gate, up).

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::bits::GroupSize;
use super::column_order::ColumnOrder;
use crate::CompressError;
use crate::linear_algebra::upper_cholesky_of_inverse;

/// What is added to the diagonal of the Hessian, as a share of its mean.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Damping {
    /// The share: 0.01 in GPTQ and GPTAQ, 0.05 in GPTQModel.
    pub share: f64,
    /// How often it is added; 1 everywhere but in GPTAQ, which adds it in place to a Hessian that query, key and value share:
    /// without activation order, its second projection sees it added twice and its third three times.
    pub additions: u32,
    /// Whether more is added where the factorisation fails, as GPTQModel does: 0.01 at a time below 1, then floors under the
    /// diagonal of 1e-6, 1e-5, … 1 of its largest value.
    pub ladder: bool,
}

impl Damping {
    /// The original's 0.01, made robust by the ladder, which changes nothing where the original succeeds.
    pub const ORIGINAL: Self = Self {
        share: 0.01,
        additions: 1,
        ladder: true,
    };

    /// GPTQModel's 0.05.
    pub const GPTQ_MODEL: Self = Self { share: 0.05, ..Self::ORIGINAL };
}

impl Default for Damping {
    fn default() -> Self {
        Self::ORIGINAL
    }
}

/// The step in errors: GPTQ, GPTAQ and SparseGPT share it.
const METHOD: &str = "factoring";
const LADDER_STEP: f64 = 0.01;

/// The factor `U` of the inverse Hessian, `H⁻¹ = Uᵀ U`, in the order in which columns are taken.
#[derive(Debug, Clone)]
pub struct HessianFactor {
    pub(super) columns: usize,
    /// `[columns, columns]`, upper triangular.
    pub(super) upper: Vec<f32>,
    /// Columns whose input was always zero.
    pub(super) dead: Vec<bool>,
    /// The columns in the order in which they are taken; `None` is the stored order.
    pub(super) order: Option<Vec<usize>>,
    pub(super) order_kind: ColumnOrder,
    pub(super) group_size: GroupSize,
    damping: f64,
}

impl HessianFactor {
    /// Damps, orders and factors a Hessian.
    ///
    /// Dead columns (a zero on the diagonal) get 1 there; the column loop sets their weights to zero. Orders are taken before
    /// the damping; `group_size` matters for [`ColumnOrder::GroupAware`] only.
    ///
    /// # Shapes
    /// `hessian` `[columns, columns]`, symmetric; only one triangle is read.
    ///
    /// # Errors
    /// [`CompressError::Shape`] if it is not square, [`CompressError::NotFinite`] if it holds an infinity or NaN,
    /// [`CompressError::Setting`] for a damping that is negative or not finite, [`CompressError::Singular`] if no damping helps.
    ///
    /// Source: GPTQ, `gptq.py` (`fasterquant`); GPTQModel, `hessian_inverse` and `gar.py`.
    pub fn new(hessian: &[f64], columns: usize, order: ColumnOrder, group_size: GroupSize, damping: Damping) -> Result<Self, CompressError> {
        check_square("the Hessian", hessian, columns)?;
        if !(damping.share >= 0.0 && damping.share.is_finite()) {
            return Err(CompressError::Setting {
                method: METHOD,
                setting: "damping",
                value: damping.share.to_string(),
                rule: "a share of the mean diagonal is at least 0".to_string(),
            });
        }
        let mut diagonal: Vec<f64> = (0..columns).map(|column| hessian[column * columns + column]).collect();
        let dead: Vec<bool> = diagonal.iter().map(|&value| value == 0.0).collect();
        for (value, &dead) in diagonal.iter_mut().zip(&dead) {
            if dead {
                *value = 1.0;
            }
        }
        let permutation = order.of_columns(&diagonal, group_size);
        let mut matrix = permuted(hessian, columns, permutation.as_deref());
        let diagonal: Vec<f64> = match &permutation {
            Some(order) => order.iter().map(|&column| diagonal[column]).collect(),
            None => diagonal,
        };
        let (upper, damping) = factor_damped(&mut matrix, &diagonal, damping)?;
        drop(matrix);
        let upper = upper.into_par_iter().map(|value| value as f32).collect();
        Ok(Self {
            columns,
            upper,
            dead,
            order: permutation,
            order_kind: order,
            group_size,
            damping,
        })
    }

    /// Inputs of the layer.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// `U`, `[columns, columns]`, in the order in which columns are taken.
    pub fn upper(&self) -> &[f32] {
        &self.upper
    }

    /// For every column whether its input was always zero, in the stored order.
    pub fn dead(&self) -> &[bool] {
        &self.dead
    }

    /// The columns in the order in which they are taken; `None` is the stored order.
    pub fn order(&self) -> Option<&[usize]> {
        self.order.as_deref()
    }

    /// The share of the mean diagonal that was added in the end, each time; larger than asked for where the ladder was needed.
    pub fn damping(&self) -> f64 {
        self.damping
    }

    /// The column that is taken at a position.
    pub(super) fn column_at(&self, position: usize) -> usize {
        self.order.as_ref().map_or(position, |order| order[position])
    }
}

/// Refuses a matrix that is not `columns` squared or not finite.
pub(super) fn check_square(what: &'static str, matrix: &[f64], columns: usize) -> Result<(), CompressError> {
    if columns.checked_mul(columns) != Some(matrix.len()) {
        return Err(CompressError::Shape {
            method: METHOD,
            what,
            found: format!("{} values", matrix.len()),
            expected: format!("{columns} x {columns}"),
        });
    }
    if matrix.par_iter().all(|value| value.is_finite()) {
        Ok(())
    } else {
        Err(CompressError::NotFinite { method: METHOD, what })
    }
}

/// Rows and columns in another order.
pub(super) fn permuted(matrix: &[f64], columns: usize, order: Option<&[usize]>) -> Vec<f64> {
    let Some(order) = order else { return matrix.to_vec() };
    let mut out = vec![0.0; columns * columns];
    out.par_chunks_mut(columns.max(1)).zip(order).for_each(|(out, &row)| {
        for (out, &column) in out.iter_mut().zip(order) {
            *out = matrix[row * columns + column];
        }
    });
    out
}

/// The factor under the first damping of the ladder that works, and that damping. `matrix` keeps all but its diagonal.
fn factor_damped(matrix: &mut [f64], diagonal: &[f64], damping: Damping) -> Result<(Vec<f64>, f64), CompressError> {
    let n = diagonal.len();
    let mean = diagonal.iter().sum::<f64>() / n.max(1) as f64;
    let added = |share: f64| ((1.0 + share).powi(i32::try_from(damping.additions).unwrap_or(i32::MAX)) - 1.0) * mean;
    let mut attempt = |share: f64, floor: f64| {
        for (index, &value) in diagonal.iter().enumerate() {
            matrix[index * n + index] = value.max(floor) + added(share);
        }
        upper_cholesky_of_inverse(matrix, n)
    };
    let mut share = damping.share;
    loop {
        if let Some(upper) = attempt(share, f64::NEG_INFINITY) {
            return Ok((upper, share));
        }
        if !damping.ladder || share + LADDER_STEP >= 1.0 {
            break;
        }
        share += LADDER_STEP;
    }
    if damping.ladder {
        let largest = diagonal.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
        for power in -6..=0 {
            if let Some(upper) = attempt(share, largest * 10f64.powi(power)) {
                return Ok((upper, share));
            }
        }
    }
    Err(CompressError::Singular {
        method: METHOD,
        damping: share,
    })
}
