//! A treated matrix as it will be read back: errors are measured on this, and nothing is finished that does not survive it.

use cruxscope_checkpoint::packed::{Layout, PackedWeight};
use cruxscope_checkpoint::writer::{StoredAs, TRACE};
use cruxscope_checkpoint::{CheckpointError, Matrix};
use cruxscope_compress::evidence::CalibrationStats;
use cruxscope_compress::method::{CompressedMatrix, MethodConfig};
use cruxscope_compress::quantize::{GroupSize, Quantized};

use crate::RunError;

/// How a layer is stored.
#[derive(Clone, Copy, Debug, Default)]
pub struct Storage {
    /// The form of plain numbers.
    pub stored_as: StoredAs,
    /// The layout of codes; none writes them as plain numbers too.
    pub layout: Option<Layout>,
}

impl Storage {
    /// The weights that are read back, and what they are packed into.
    ///
    /// # Errors
    /// When the layout holds no such codes, a number becomes infinite, or more than a trace of them vanish.
    pub fn keep(self, component: &str, weight: &Matrix, codes: Option<&Quantized>) -> Result<(Vec<f32>, Option<PackedWeight>), RunError> {
        let (Some(layout), Some(codes)) = (self.layout, codes) else {
            self.stored_as.check(component, &weight.values)?;
            return Ok((self.stored_as.all_rounded(&weight.values), None));
        };
        let refused = |source| RunError::Pack {
            component: component.to_owned(),
            source,
        };
        let arrays = match layout {
            // Symmetric groups have no zeros stored, and the configuration says so.
            Layout::CompressedTensors(scales) if codes.grid.is_symmetric() => codes.codes().pack_symmetric(scales),
            layout => codes.codes().pack(layout),
        };
        let arrays = arrays.map_err(refused)?;
        let values = arrays.weights().map_err(refused)?;
        let vanished = values
            .iter()
            .zip(&weight.values)
            .filter(|(stored, value)| **stored == 0.0 && **value != 0.0)
            .count();
        if vanished as f64 > TRACE * values.len() as f64 {
            return Err(CheckpointError::NotStorable {
                tensor: component.to_owned(),
                dtype: "codes with their scales",
                count: vanished,
                of: values.len(),
                turned: "zero",
            }
            .into());
        }
        Ok((values, Some(arrays)))
    }

    /// The same treatment's outcome, measured on what is read back. `original` is the matrix before it was treated.
    ///
    /// # Errors
    /// As [`Storage::keep`], and when whole groups of weights vanished in the grid.
    pub fn stored(
        self,
        component: &str,
        original: &Matrix,
        treated: CompressedMatrix,
        treatment: &MethodConfig,
        evidence: Option<&CalibrationStats>,
    ) -> Result<(CompressedMatrix, Option<PackedWeight>), RunError> {
        if self.is_exact() {
            self.stored_as.check(component, &treated.weight.values)?;
            self.check_treated(component, original, &treated.weight.values, treatment, evidence)?;
            return Ok((treated, None));
        }
        let (values, packed) = self.keep(component, &treated.weight, treated.codes.as_ref())?;
        self.check_treated(component, original, &values, treatment, evidence)?;
        if values == treated.weight.values {
            return Ok((treated, packed));
        }
        let measured = CompressedMatrix {
            bits: treated.bits,
            codes: treated.codes,
            damping: treated.damping,
            dead_columns: treated.dead_columns,
            ..CompressedMatrix::measured(original, values, evidence)
        };
        Ok((measured, packed))
    }

    /// Whether numbers are read back as they are.
    pub fn is_exact(self) -> bool {
        self.layout.is_none() && self.stored_as == StoredAs::Float32
    }

    fn check_treated(
        self,
        component: &str,
        original: &Matrix,
        values: &[f32],
        treatment: &MethodConfig,
        evidence: Option<&CalibrationStats>,
    ) -> Result<(), RunError> {
        let columns = original.columns;
        let is_dead = |column: usize| evidence.is_some_and(|evidence| evidence.statistics().hessian.get(column * columns + column) == Some(&0.0));
        check_groups(component, original, values, treatment, is_dead)
    }
}

/// Refuses a matrix that lost more than a trace of its weights because all weights of their group became zero: a grid has a point at the
/// group's largest weight, so that happens only where its scale has a floor that is larger than all of them.
///
/// # Errors
/// [`RunError::Vanished`].
pub fn check_groups(component: &str, original: &Matrix, stored: &[f32], treatment: &MethodConfig, is_dead: impl Fn(usize) -> bool) -> Result<(), RunError> {
    let Some(group) = group_of(treatment) else { return Ok(()) };
    let (columns, size) = (original.columns.max(1), group.of_row(original.columns));
    let dead: Vec<bool> = (0..columns).map(is_dead).collect();
    let mut lost = 0;
    for (row, stored) in original.values.chunks_exact(columns).zip(stored.chunks_exact(columns)) {
        for ((weights, stored), dead) in row.chunks(size).zip(stored.chunks(size)).zip(dead.chunks(size)) {
            if stored.iter().all(|value| *value == 0.0) {
                lost += weights.iter().zip(dead).filter(|(weight, dead)| **weight != 0.0 && !**dead).count();
            }
        }
    }
    let share = lost as f64 / original.values.len().max(1) as f64;
    if share > TRACE {
        return Err(RunError::Vanished {
            component: component.to_owned(),
            percent: 100.0 * share,
        });
    }
    Ok(())
}

/// The groups of methods that move weights to a grid; pruning makes zeros on purpose.
fn group_of(treatment: &MethodConfig) -> Option<GroupSize> {
    match treatment {
        MethodConfig::Rtn(grid) => Some(grid.group_size),
        MethodConfig::Gptq(settings) => Some(settings.grid.group_size),
        MethodConfig::Gptaq(settings) => Some(settings.gptq.grid.group_size),
        MethodConfig::Awq(settings) => Some(settings.group_size),
        MethodConfig::Any(settings) => Some(settings.group),
        MethodConfig::Magnitude { .. } | MethodConfig::Wanda { .. } | MethodConfig::SparseGpt(_) | MethodConfig::AlphaPruning(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use cruxscope_compress::quantize::{Bits, Clipping, Grid, GridSettings};

    use super::*;

    fn rtn(grid: Grid) -> MethodConfig {
        MethodConfig::Rtn(GridSettings {
            grid,
            bits: Bits::new(4).unwrap(),
            group_size: GroupSize::new(8).unwrap(),
            clipping: Clipping::None,
        })
    }

    fn weight(factor: f32) -> Matrix {
        Matrix {
            rows: 8,
            columns: 32,
            values: (0..256).map(|i| ((i * 37 % 101) as f32 / 50.0 - 1.0) * factor).collect(),
        }
    }

    fn outcome(factor: f32, grid: Grid, storage: Storage) -> Result<f64, String> {
        let (original, treatment) = (weight(factor), rtn(grid));
        let treated = treatment.apply(&original, None, 0).unwrap();
        let stored = storage.stored("1_v", &original, treated, &treatment, None);
        stored.map(|(treated, _)| treated.weight_error).map_err(|error| error.to_string())
    }

    #[test]
    fn what_does_not_survive_is_refused_and_the_rest_is_measured_as_stored() {
        let plain = |stored_as| Storage { stored_as, layout: None };
        let packed = Storage {
            stored_as: StoredAs::Float32,
            layout: Some(Layout::Gptq(cruxscope_checkpoint::packed::ZeroFormat::V1)),
        };
        let error = outcome(1.0, Grid::GptqAsym, plain(StoredAs::Float32)).unwrap();
        assert!(error < 0.01, "{error}");
        // The same matrix, a hundred million times smaller: its scales have no place in float16, and neither have its numbers.
        assert!((outcome(2e-8, Grid::GptqAsym, plain(StoredAs::Float32)).unwrap() - error).abs() < 1e-4);
        assert!(outcome(2e-8, Grid::GptqAsym, packed).unwrap_err().contains("zero"));
        assert!(outcome(2e-8, Grid::GptqAsym, plain(StoredAs::Float16)).unwrap_err().contains("zero"));
        assert!((outcome(2e-8, Grid::GptqAsym, plain(StoredAs::BFloat16)).unwrap() - error).abs() < 1e-3);
        assert!(
            outcome(2e-8, Grid::AwqAsym, plain(StoredAs::Float32)).unwrap_err().contains("1_v"),
            "its floor swallows all"
        );
        assert!(outcome(1e7, Grid::GptqAsym, packed).unwrap_err().contains("float16"));
        assert!(outcome(1e7, Grid::GptqAsym, plain(StoredAs::Float16)).unwrap_err().contains("infinite"));
        assert!((outcome(1e7, Grid::GptqAsym, plain(StoredAs::Float32)).unwrap() - error).abs() < 1e-4);
        // Below float16's normal numbers little is left of a scale, and the error that is said is that of what is left.
        let (whole, coarse) = (
            outcome(1e-6, Grid::GptqAsym, plain(StoredAs::Float32)).unwrap(),
            outcome(1e-6, Grid::GptqAsym, packed).unwrap(),
        );
        assert!(coarse > 1.05 * whole, "{coarse} {whole}");
    }
}
