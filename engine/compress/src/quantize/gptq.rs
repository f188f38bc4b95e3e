//! GPTQ: rounding in which later columns make up for the error of earlier ones.

use serde::{Deserialize, Serialize};

use super::bits::{Bits, GroupSize, check_weight};
use super::column_order::ColumnOrder;
use super::columns::ColumnLoop;
use super::compatibility::Compatibility;
use super::grid::Grid;
use super::hessian::{Damping, HessianFactor};
use super::quantized::Quantized;
use super::settings::GridSettings;
use crate::CompressError;

/// Settings of GPTQ.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GptqSettings {
    /// What the matrix is quantized to.
    pub grid: GridSettings,
    /// The order in which columns are taken.
    pub order: ColumnOrder,
    /// Whether the grids of groups are fitted before the first column is taken; columns then keep their own group in any order.
    pub static_groups: bool,
    /// What is added to the Hessian's diagonal.
    pub damping: Damping,
    /// Whether to do what the original does where that surprises.
    pub compatibility: Compatibility,
    /// Whether a layer's later matrices see what was done to its earlier ones: query, key and value, then output, then gate and up,
    /// then down. GPTAQ always does.
    #[serde(default)]
    pub true_sequential: bool,
}

impl GptqSettings {
    /// What is taken where nothing is said: GPTQ's asymmetric grid, an order of columns that engines can read, the original's
    /// damping, groups fitted to the weights as they stand.
    #[must_use]
    pub fn new(bits: Bits, group_size: GroupSize) -> Self {
        Self {
            grid: GridSettings::new(Grid::GptqAsym, bits, group_size),
            order: ColumnOrder::GroupAware,
            static_groups: false,
            damping: Damping::ORIGINAL,
            compatibility: Compatibility::Improved,
            true_sequential: false,
        }
    }
}

/// A matrix quantized with compensation, and how it went.
#[derive(Debug, Clone, PartialEq)]
pub struct Compensated {
    /// The codes.
    pub quantized: Quantized,
    /// `Σ (w − q)²/U_ii²/2`, half the growth of the reconstruction error that the rounding caused.
    pub error: f64,
    /// The damping that was needed, as a share of the mean diagonal.
    pub damping: f64,
    /// Columns whose input was always zero; their weights became zero.
    pub dead: usize,
}

/// Quantizes a matrix by GPTQ.
///
/// Column by column, `q = Q(w)`, `e = (w − q)/U_ii`, and every later column `w_j −= e · U_ij`, where `H⁻¹ = Uᵀ U`.
///
/// # Shapes
/// `weight` `[rows, columns]`, `hessian` `[columns, columns]`: any multiple of `X Xᵀ` over the calibration tokens.
///
/// # Errors
/// As [`HessianFactor::new`] and [`gptq_with_factor`].
///
/// Source: Frantar et al. 2022, algorithm 1; IST-DASLab/gptq, `gptq.py`.
pub fn gptq(weight: &[f32], rows: usize, columns: usize, hessian: &[f64], settings: &GptqSettings) -> Result<Compensated, CompressError> {
    check_weight("GPTQ", weight, rows, columns)?;
    let factor = HessianFactor::new(hessian, columns, settings.order, settings.grid.group_size, settings.damping)?;
    gptq_with_factor(weight, rows, &factor, settings)
}

/// The same with a factor at hand, which serves every matrix with the same inputs. Its order and damping hold.
///
/// # Errors
/// [`CompressError::Shape`] if the weight has another size, [`CompressError::NotFinite`] if it holds an infinity or NaN,
/// [`CompressError::Setting`] if the factor was made for another order or group size.
pub fn gptq_with_factor(weight: &[f32], rows: usize, factor: &HessianFactor, settings: &GptqSettings) -> Result<Compensated, CompressError> {
    compensate("GPTQ", weight, rows, factor, None, settings)
}

pub(super) fn compensate(
    method: &'static str,
    weight: &[f32],
    rows: usize,
    factor: &HessianFactor,
    asymmetry: Option<&[f32]>,
    settings: &GptqSettings,
) -> Result<Compensated, CompressError> {
    check_weight(method, weight, rows, factor.columns)?;
    let grouped = factor.order_kind == ColumnOrder::GroupAware && factor.group_size != settings.grid.group_size;
    if factor.order_kind != settings.order || grouped {
        return Err(CompressError::Setting {
            method,
            setting: "column order",
            value: format!("{:?} in groups of {}", settings.order, settings.grid.group_size),
            rule: format!("the Hessian was factored for {:?} in groups of {}", factor.order_kind, factor.group_size),
        });
    }
    let run = ColumnLoop {
        settings: &settings.grid,
        factor,
        asymmetry,
        static_groups: settings.static_groups,
        compatibility: settings.compatibility,
    };
    let (quantized, error) = run.run(weight, rows);
    Ok(Compensated {
        quantized,
        error,
        damping: factor.damping(),
        dead: factor.dead.iter().filter(|&&dead| dead).count(),
    })
}
