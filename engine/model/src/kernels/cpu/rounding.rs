//! Rounded inputs of linear maps in float32, row by row.

use cruxscope_checkpoint::{GroupScales, InputRounding, InputScales, RoundedNumbers};
use rayon::prelude::*;

use super::CpuMatrix;

/// The nearest number of a floating-point type with so many bits behind the point, ties to even; below 2^`least` numbers are as far apart as
/// there. Steps are powers of two, so that only the rounding itself rounds.
fn floating(value: f32, least: i32, bits: i32) -> f32 {
    let exponent = (value.to_bits() >> 23 & 0xff).cast_signed() - 127;
    let step = 2f32.powi(exponent.max(least) - bits);
    (value / step).round_ties_even() * step
}

fn nearest(numbers: RoundedNumbers, value: f32) -> f32 {
    let (low, high) = numbers.range();
    let value = value.clamp(low as f32, high as f32);
    match numbers {
        RoundedNumbers::Integers { .. } => value.round_ties_even(),
        RoundedNumbers::E4M3 => floating(value, -6, 3),
        RoundedNumbers::E2M1 => floating(value, 0, 1),
    }
}

/// The least power of two that is not less than a positive number.
fn power_of_two(value: f32) -> f32 {
    let below = f32::from_bits(value.to_bits() & 0x7f80_0000);
    if below == value { value } else { 2.0 * below }
}

/// Scale and zero point of numbers.
fn found(numbers: RoundedNumbers, values: &[f32], scales: GroupScales) -> (f32, f32) {
    let (low, high) = numbers.range();
    let (low, high) = (low as f32, high as f32);
    let (least, most) = values.iter().fold((0f32, 0f32), |(least, most), value| (least.min(*value), most.max(*value)));
    if numbers.is_asymmetric() {
        let scale = (most - least) / (high - low);
        let zero = if scale > 0.0 { low - least / scale } else { 0.0 };
        return (scale, zero.clamp(low, high).round_ties_even());
    }
    let scale = most.max(-least) / ((high - low) / 2.0);
    let scale = match scales {
        GroupScales::Plain => scale,
        GroupScales::E4M3 { of_all } => {
            let rounded = nearest(RoundedNumbers::E4M3, of_all * scale);
            (if rounded == 0.0 { 0.125 } else { rounded }) / of_all
        }
        GroupScales::PowersOfTwo => power_of_two(scale),
    };
    (scale, 0.0)
}

pub(super) fn rounded(x: &CpuMatrix, rounding: &InputRounding) -> CpuMatrix {
    let numbers = rounding.numbers;
    let (columns, scales) = match rounding.scales {
        InputScales::Fixed { .. } | InputScales::Rows => (x.columns, GroupScales::Plain),
        InputScales::Groups { columns, scales } => (columns, scales),
    };
    let mut values = x.values.clone();
    values.par_chunks_mut(x.columns.max(1)).for_each(|row| {
        for group in row.chunks_mut(columns.max(1)) {
            let (scale, zero) = match rounding.scales {
                InputScales::Fixed { scale, zero } => (scale, zero),
                InputScales::Rows | InputScales::Groups { .. } => found(numbers, group, scales),
            };
            // Numbers too small to have a scale are zero.
            let round = |value: f32| {
                if scale > 0.0 {
                    (nearest(numbers, value / scale + zero) - zero) * scale
                } else {
                    0.0
                }
            };
            group.iter_mut().for_each(|value| *value = round(*value));
        }
    });
    CpuMatrix::new(x.rows, x.columns, values)
}
