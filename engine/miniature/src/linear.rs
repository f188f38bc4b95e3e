//! Linear layers and their gradients, on the thread that calls.

use cruxscope_model::product::{Operand, multiply_into};

/// `out = input · weightᵀ`: a linear layer whose weight has a row for each output.
pub fn linear(out: &mut [f32], input: &[f32], weight: &[f32], inputs: usize, outputs: usize) {
    let rows = input.len() / inputs;
    let (left, right) = (Operand::rows(input, inputs), Operand::transposed(weight, inputs));
    multiply_into([rows, inputs, outputs], out, outputs, false, left, right, 1.0);
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
    let (left, right) = (Operand::rows(slope, outputs), Operand::rows(weight, inputs));
    multiply_into([rows, outputs, inputs], input_slope, inputs, keep, left, right, 1.0);
    let (left, right) = (Operand::transposed(slope, outputs), Operand::rows(input, inputs));
    multiply_into([outputs, rows, inputs], weight_slope, inputs, true, left, right, 1.0);
}
