//! Sums over tokens on the CPU, in float32. Calibration itself sums in float64 over [`CalibrationKernels::host_values`].

use std::borrow::Cow;

use super::product::{Operand, multiply};
use super::{CpuKernels, CpuMatrix};
use crate::kernels::calibration::CalibrationKernels;

impl CalibrationKernels for CpuKernels {
    fn host_values<'a>(&self, matrix: &'a CpuMatrix) -> Option<Cow<'a, [f32]>> {
        Some(Cow::Borrowed(&matrix.values))
    }

    fn column_products(&self, x: &CpuMatrix, y: &CpuMatrix, onto: Option<CpuMatrix>) -> CpuMatrix {
        let transposed = Operand::transposed(&x.values, x.columns);
        let values = multiply([x.columns, x.rows, y.columns], transposed, y.operand(), onto.map(|onto| onto.values));
        CpuMatrix::new(x.columns, y.columns, values)
    }

    fn column_sums(&self, x: &CpuMatrix, onto: Option<CpuMatrix>) -> CpuMatrix {
        let mut sums = onto.unwrap_or_else(|| CpuMatrix::new(2, x.columns, vec![0.0; 2 * x.columns]));
        let (sum, magnitude) = sums.values.split_at_mut(x.columns);
        for row in x.values.chunks_exact(x.columns) {
            for ((sum, magnitude), x) in sum.iter_mut().zip(magnitude.iter_mut()).zip(row) {
                *sum += x;
                *magnitude += x.abs();
            }
        }
        sums
    }

    fn difference(&self, x: &CpuMatrix, y: &CpuMatrix) -> CpuMatrix {
        let values = x.values.iter().zip(&y.values).map(|(x, y)| x - y).collect();
        CpuMatrix::new(x.rows, x.columns, values)
    }
}
