//! Products of matrices that lie in slices, by the crate gemm on the thread that calls.

use gemm::Parallelism;

/// A matrix in a slice: its values and the steps from row to row and from column to column.
#[derive(Clone, Copy)]
pub struct View<'a> {
    values: &'a [f32],
    row_step: usize,
    column_step: usize,
}

impl<'a> View<'a> {
    /// Rows of so many values, `step` apart.
    pub const fn rows(values: &'a [f32], step: usize) -> Self {
        Self {
            values,
            row_step: step,
            column_step: 1,
        }
    }

    /// The same, transposed.
    pub const fn transposed(values: &'a [f32], step: usize) -> Self {
        Self {
            values,
            row_step: 1,
            column_step: step,
        }
    }
}

/// `out = keep · out + factor · left · right`, with rows × inner times inner × columns; rows of `out` are `step` apart.
pub fn product((rows, columns, inner): (usize, usize, usize), out: &mut [f32], step: usize, keep: bool, left: View, right: View, factor: f32) {
    let last = |height: usize, width: usize, high: usize, wide: usize| (height - 1) * high + (width - 1) * wide;
    assert!(rows > 0 && columns > 0 && inner > 0);
    assert!(last(rows, columns, step, 1) < out.len());
    assert!(last(rows, inner, left.row_step, left.column_step) < left.values.len());
    assert!(last(inner, columns, right.row_step, right.column_step) < right.values.len());
    // SAFETY: the assertions above keep every element inside its slice, and `out` is borrowed for us alone.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            out.as_mut_ptr(),
            1,
            step as isize,
            keep,
            left.values.as_ptr(),
            left.column_step as isize,
            left.row_step as isize,
            right.values.as_ptr(),
            right.column_step as isize,
            right.row_step as isize,
            1.0,
            factor,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// `out = input · weightᵀ`: a linear layer whose weight has a row for each output.
pub fn linear(out: &mut [f32], input: &[f32], weight: &[f32], inputs: usize, outputs: usize) {
    let rows = input.len() / inputs;
    let (left, right) = (View::rows(input, inputs), View::transposed(weight, inputs));
    product((rows, outputs, inputs), out, outputs, false, left, right, 1.0);
}

/// The gradients of [`linear`]: those of its weight are added to, those of its input added to if `keep`.
pub fn linear_back(
    slope: &[f32],
    input: &[f32],
    weight: &[f32],
    input_slope: &mut [f32],
    weight_slope: &mut [f32],
    keep: bool,
    (inputs, outputs): (usize, usize),
) {
    let rows = input.len() / inputs;
    let (left, right) = (View::rows(slope, outputs), View::rows(weight, inputs));
    product((rows, inputs, outputs), input_slope, inputs, keep, left, right, 1.0);
    let (left, right) = (View::transposed(slope, outputs), View::rows(input, inputs));
    product((outputs, inputs, rows), weight_slope, inputs, true, left, right, 1.0);
}
