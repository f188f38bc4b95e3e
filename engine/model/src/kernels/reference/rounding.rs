//! Rounded inputs of linear maps in float64, by search among all numbers of a type.

use cruxscope_checkpoint::{GroupScales, InputRounding, InputScales, RoundedNumbers};

use super::Matrix64;

/// All numbers of a type that are not negative, in their order.
fn numbers(of: RoundedNumbers) -> Vec<f64> {
    match of {
        RoundedNumbers::Integers { .. } => (0..=128).map(f64::from).collect(),
        RoundedNumbers::E2M1 => vec![0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0],
        RoundedNumbers::E4M3 => (0..127)
            .map(|code| match (code >> 3, f64::from(code & 7) / 8.0) {
                (0, fraction) => fraction * 2f64.powi(-6),
                (exponent, fraction) => (1.0 + fraction) * 2f64.powi(exponent - 7),
            })
            .collect(),
    }
}

/// The nearest of them; between two the one at an even place, whose last bit is 0.
fn nearest(of: RoundedNumbers, value: f64) -> f64 {
    let (low, high) = of.range();
    let value = value.clamp(low, high);
    let all = numbers(of);
    let distance = |place: usize| (all[place] - value.abs()).abs();
    let best = (0..all.len()).min_by(|a, b| distance(*a).total_cmp(&distance(*b)).then((a % 2).cmp(&(b % 2))));
    best.map_or(0.0, |place| all[place].copysign(value))
}

/// Scale and zero point of numbers.
fn found(numbers: RoundedNumbers, values: &[f64], scales: GroupScales) -> (f64, f64) {
    let (low, high) = numbers.range();
    let (least, most) = values.iter().fold((0f64, 0f64), |(least, most), value| (least.min(*value), most.max(*value)));
    if numbers.is_asymmetric() {
        let scale = (most - least) / (high - low);
        let zero = if scale > 0.0 { low - least / scale } else { 0.0 };
        return (scale, zero.clamp(low, high).round_ties_even());
    }
    let scale = most.max(-least) / ((high - low) / 2.0);
    let scale = match scales {
        GroupScales::Plain => scale,
        GroupScales::E4M3 { of_all } => {
            let rounded = nearest(RoundedNumbers::E4M3, scale * f64::from(of_all));
            (if rounded == 0.0 { 0.125 } else { rounded }) / f64::from(of_all)
        }
        GroupScales::PowersOfTwo if scale > 0.0 => 2f64.powf(scale.log2().ceil()),
        GroupScales::PowersOfTwo => scale,
    };
    (scale, 0.0)
}

pub(super) fn rounded(x: &Matrix64, rounding: &InputRounding) -> Matrix64 {
    let numbers = rounding.numbers;
    let (columns, scales) = match rounding.scales {
        InputScales::Fixed { .. } | InputScales::Rows => (x.columns, GroupScales::Plain),
        InputScales::Groups { columns, scales } => (columns, scales),
    };
    let mut values = x.values.clone();
    for group in values.chunks_mut(columns.max(1)) {
        let (scale, zero) = match rounding.scales {
            InputScales::Fixed { scale, zero } => (f64::from(scale), f64::from(zero)),
            InputScales::Rows | InputScales::Groups { .. } => found(numbers, group, scales),
        };
        let round = |value: f64| {
            if scale > 0.0 {
                (nearest(numbers, value / scale + zero) - zero) * scale
            } else {
                0.0
            }
        };
        group.iter_mut().for_each(|value| *value = round(*value));
    }
    Matrix64 { values, ..*x }
}
