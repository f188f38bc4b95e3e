//! Sums over the tokens of a layer's input: what calibration asks of a device beside [`Kernels`].

use std::borrow::Cow;

use super::Kernels;

/// What a device must be able to do to calibrate on it.
pub trait CalibrationKernels: Kernels {
    /// The values of a matrix, row by row, where it lies in the machine's memory, so that sums over it can be taken there in
    /// float64; `None` for a device with memory of its own, which sums by the methods below.
    fn host_values<'a>(&self, matrix: &'a Self::Matrix) -> Option<Cow<'a, [f32]>>;

    /// Products of columns, summed over rows: S_ij = sum over t of x_ti y_tj, added to `onto` where that is given.
    ///
    /// # Shapes
    /// `x [n, a]`, `y [n, b]`; out: `[a, b]`.
    fn column_products(&self, x: &Self::Matrix, y: &Self::Matrix, onto: Option<Self::Matrix>) -> Self::Matrix;

    /// Sums of columns, and of their magnitudes below, added to `onto` where that is given.
    ///
    /// # Shapes
    /// `x [n, a]`; out: `[2, a]`.
    fn column_sums(&self, x: &Self::Matrix, onto: Option<Self::Matrix>) -> Self::Matrix;

    /// x - y.
    ///
    /// # Shapes
    /// `x [n, a]`, `y [n, a]`; out: `[n, a]`.
    fn difference(&self, x: &Self::Matrix, y: &Self::Matrix) -> Self::Matrix;
}
