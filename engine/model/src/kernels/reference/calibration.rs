//! Sums over tokens in plain float64 loops.

use std::borrow::Cow;

use super::{Matrix64, ReferenceKernels};
use crate::kernels::calibration::CalibrationKernels;

impl CalibrationKernels for ReferenceKernels {
    fn host_values<'a>(&self, matrix: &'a Matrix64) -> Option<Cow<'a, [f32]>> {
        Some(matrix.values.iter().map(|value| *value as f32).collect())
    }

    fn column_products(&self, x: &Matrix64, y: &Matrix64, onto: Option<Matrix64>) -> Matrix64 {
        let mut sums = onto.unwrap_or_else(|| Matrix64::zeros(x.columns, y.columns));
        for t in 0..x.rows {
            for i in 0..x.columns {
                for j in 0..y.columns {
                    sums.row_mut(i)[j] += x.row(t)[i] * y.row(t)[j];
                }
            }
        }
        sums
    }

    fn column_sums(&self, x: &Matrix64, onto: Option<Matrix64>) -> Matrix64 {
        let mut sums = onto.unwrap_or_else(|| Matrix64::zeros(2, x.columns));
        for t in 0..x.rows {
            for i in 0..x.columns {
                sums.row_mut(0)[i] += x.row(t)[i];
                sums.row_mut(1)[i] += x.row(t)[i].abs();
            }
        }
        sums
    }

    fn difference(&self, x: &Matrix64, y: &Matrix64) -> Matrix64 {
        let mut difference = x.clone();
        for (x, y) in difference.values.iter_mut().zip(&y.values) {
            *x -= y;
        }
        difference
    }
}
