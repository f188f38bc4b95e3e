//! Rounded inputs of linear maps in burn tensors: steps between numbers are found by comparisons and are powers of two, so that no
//! device's exponent or logarithm decides a number.

use burn::tensor::Tensor;
use cruxscope_checkpoint::{GroupScales, InputRounding, InputScales, RoundedNumbers};

fn nearest(numbers: RoundedNumbers, value: Tensor<2>) -> Tensor<2> {
    let (low, high) = numbers.range();
    let value = value.clamp(low, high);
    // From which powers of two on numbers are twice as far apart, and how far before.
    let (first, last, step) = match numbers {
        RoundedNumbers::Integers { .. } => return value.round(),
        RoundedNumbers::E4M3 => (-5, 8, 2f64.powi(-9)),
        RoundedNumbers::E2M1 => (1, 2, 0.5),
    };
    let size = value.clone().abs();
    let mut steps = size.full_like(step);
    for exponent in first..=last {
        let larger = size.clone().greater_equal_elem(2f64.powi(exponent));
        steps = steps.clone().mask_where(larger, steps.mul_scalar(2.0));
    }
    (value / steps.clone()).round() * steps
}

/// The least powers of two that are not less than positive numbers; 0 of 0.
fn powers_of_two(value: Tensor<2>) -> Tensor<2> {
    let near = value
        .clone()
        .log()
        .div_scalar(std::f64::consts::LN_2)
        .round()
        .mul_scalar(std::f64::consts::LN_2)
        .exp();
    // To one significant bit, which undoes what the logarithm missed.
    let far = near.clone().mul_scalar(8_388_609.0);
    let power = far.clone() - (far - near);
    let less = power.clone().lower(value.clone());
    let power = power.clone().mask_where(less, power.mul_scalar(2.0));
    let half = power.clone().mul_scalar(0.5);
    let spare = half.clone().greater_equal(value.clone());
    let power = power.mask_where(spare, half);
    power.mask_fill(value.lower_equal_elem(0.0), 0.0)
}

pub(super) fn rounded(x: &Tensor<2>, rounding: &InputRounding) -> Tensor<2> {
    let ([rows, columns], numbers) = (x.dims(), rounding.numbers);
    let (low, high) = numbers.range();
    let (together, scales) = match rounding.scales {
        InputScales::Fixed { scale, zero } => {
            let (scale, zero) = (f64::from(scale), f64::from(zero));
            return (nearest(numbers, x.clone().div_scalar(scale).add_scalar(zero)).sub_scalar(zero)).mul_scalar(scale);
        }
        InputScales::Rows => (columns, GroupScales::Plain),
        InputScales::Groups { columns, scales } => (columns, scales),
    };
    let groups = x.clone().reshape([rows * columns / together.max(1), together]);
    let most = groups.clone().max_dim(1).clamp_min(0.0);
    let least = groups.clone().min_dim(1).clamp_max(0.0);
    let whole = |scale: Tensor<2>| {
        let none = scale.clone().lower_equal_elem(0.0);
        (scale.mask_fill(none.clone(), 1.0), none)
    };
    let (scale, none, zero) = if numbers.is_asymmetric() {
        let (scale, none) = whole((most - least.clone()).div_scalar(high - low));
        let zero = (least / scale.clone()).neg().add_scalar(low).clamp(low, high).round();
        (scale, none, Some(zero))
    } else {
        let scale = most.max_pair(least.neg()).div_scalar((high - low) / 2.0);
        let scale = match scales {
            GroupScales::Plain => scale,
            GroupScales::E4M3 { of_all } => {
                let rounded = nearest(RoundedNumbers::E4M3, scale.mul_scalar(f64::from(of_all)));
                let none = rounded.clone().lower_equal_elem(0.0);
                rounded.mask_fill(none, 0.125).div_scalar(f64::from(of_all))
            }
            GroupScales::PowersOfTwo => powers_of_two(scale),
        };
        let (scale, none) = whole(scale);
        (scale, none, None)
    };
    let size = [rows * columns / together.max(1), together];
    let mut values = groups / scale.clone();
    if let Some(zero) = &zero {
        values = values + zero.clone();
    }
    let mut values = nearest(numbers, values);
    if let Some(zero) = zero {
        values = values - zero;
    }
    let values = (values * scale).mask_fill(none.expand(size), 0.0);
    values.reshape([rows, columns])
}
