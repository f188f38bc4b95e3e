//! Weights as generation holds them on the CPU: in the shortest form that keeps every value.
//!
//! A step of generation takes as long as reading its weights takes, so bytes are time. Three short forms are tried, and taken
//! only where each weight comes back as it was:
//!
//! * half precision of either kind (2 bytes), which is how most checkpoints store their weights;
//! * levels (24, 40 or 48 bytes for 32 weights): w = step * code + lowest in float32, with a step and a lowest value for every 32 or
//!   every 16 weights of a row, which is what block types of GGUF and weights rounded to a grid consist of.
//!
//! All else stays float32.

use half::f16;
use rayon::prelude::*;

/// Weights of a row that share a step and a lowest value.
pub(super) const BLOCK: usize = 32;

/// A weight `[rows, columns]`, row-major.
#[derive(Clone, Debug)]
pub struct HeldWeight {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) form: Form,
}

/// How the values are stored.
#[derive(Clone, Debug)]
pub(super) enum Form {
    Float32(Vec<f32>),
    /// The upper half of a float32.
    BFloat16(Vec<u16>),
    Float16(Vec<u16>),
    /// Codes up to 255, one a byte.
    Levels8(Vec<Scale>, Vec<[u8; BLOCK]>),
    /// The same with a scale for each half of a block, as Q6_K has.
    HalfLevels(Vec<[Scale; 2]>, Vec<[u8; BLOCK]>),
    /// Codes up to 15: in each byte one of the first half of a block, and above it one of the second.
    Levels4(Vec<Scale>, Vec<[u8; BLOCK / 2]>),
}

/// The step between the levels of a block and the lowest of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    pub step: f32,
    pub lowest: f32,
}

impl HeldWeight {
    /// Holds a weight in the shortest form that keeps every value.
    pub fn new(rows: usize, columns: usize, values: Vec<f32>) -> Self {
        let form = as_bf16(&values)
            .or_else(|| as_f16(&values))
            .or_else(|| levels(columns, &values))
            .or_else(|| half_levels(columns, &values))
            .unwrap_or(Form::Float32(values));
        Self { rows, columns, form }
    }

    /// The name of the form, and the bytes it takes.
    pub fn held_as(&self) -> (&'static str, usize) {
        let scale = size_of::<Scale>();
        match &self.form {
            Form::Float32(values) => ("float32", 4 * values.len()),
            Form::BFloat16(values) => ("bfloat16", 2 * values.len()),
            Form::Float16(values) => ("float16", 2 * values.len()),
            Form::Levels8(scales, _) => ("256 levels", (scale + BLOCK) * scales.len()),
            Form::HalfLevels(scales, _) => ("256 levels in halves", (2 * scale + BLOCK) * scales.len()),
            Form::Levels4(scales, _) => ("16 levels", (scale + BLOCK / 2) * scales.len()),
        }
    }
}

impl Scale {
    /// The weight of a code.
    #[inline(always)]
    pub fn level(self, code: u8) -> f32 {
        self.step * i32::from(code) as f32 + self.lowest
    }
}

/// The value of a bfloat16.
#[inline(always)]
pub(super) fn bf16_value(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The value of a finite float16, without a branch: its exponent counts from 15, that of a float32 from 127, and the
/// multiplication by 2^112 moves the one to the other, for values below the smallest normal one too.
#[inline(always)]
pub(super) fn f16_value(bits: u16) -> f32 {
    const TWO_TO_112: f32 = f32::from_bits((112 + 127) << 23);
    let bits = u32::from(bits);
    let size = f32::from_bits((bits & 0x7fff) << 13) * TWO_TO_112;
    f32::from_bits(size.to_bits() | (bits & 0x8000) << 16)
}

fn as_bf16(values: &[f32]) -> Option<Form> {
    let exact = values.par_iter().with_min_len(1 << 16).all(|value| value.to_bits() & 0xffff == 0);
    exact.then(|| Form::BFloat16(values.iter().map(|value| (value.to_bits() >> 16) as u16).collect()))
}

fn as_f16(values: &[f32]) -> Option<Form> {
    let narrowed = |value: &f32| f16::from_f32(*value).to_bits();
    let exact = |value: &f32| f16_value(narrowed(value)).to_bits() == value.to_bits();
    let exact = values.par_iter().with_min_len(1 << 16).all(exact);
    exact.then(|| Form::Float16(values.iter().map(narrowed).collect()))
}

/// Levels, where every block of every row has them.
fn levels(columns: usize, values: &[f32]) -> Option<Form> {
    let (blocks, []) = values.as_chunks::<BLOCK>() else { return None };
    if !columns.is_multiple_of(BLOCK) {
        return None;
    }
    // Most weights that have no levels show it in their first block.
    block_levels(blocks.first()?)?;
    let found: Option<Vec<(Scale, [u8; BLOCK])>> = blocks.par_iter().with_min_len(256).map(block_levels).collect();
    let (scales, codes): (Vec<Scale>, Vec<[u8; BLOCK]>) = found?.into_iter().unzip();
    if codes.iter().flatten().any(|code| *code > 15) {
        return Some(Form::Levels8(scales, codes));
    }
    let pairs = |codes: [u8; BLOCK]| std::array::from_fn(|place| codes[place] | codes[place + BLOCK / 2] << 4);
    Some(Form::Levels4(scales, codes.into_iter().map(pairs).collect()))
}

/// Levels of halves of blocks, where all of every row have them.
fn half_levels(columns: usize, values: &[f32]) -> Option<Form> {
    const HALF: usize = BLOCK / 2;
    let (halves, []) = values.as_chunks::<HALF>() else { return None };
    if !columns.is_multiple_of(BLOCK) {
        return None;
    }
    block_levels(halves.first()?)?;
    let pairs = halves.as_chunks::<2>().0;
    let both = |[low, high]: &[[f32; HALF]; 2]| {
        let ((low_scale, low), (high_scale, high)) = (block_levels(low)?, block_levels(high)?);
        let codes = std::array::from_fn(|place| if place < HALF { low[place] } else { high[place - HALF] });
        Some(([low_scale, high_scale], codes))
    };
    let found: Option<Vec<([Scale; 2], [u8; BLOCK])>> = pairs.par_iter().with_min_len(256).map(both).collect();
    let (scales, codes) = found?.into_iter().unzip();
    Some(Form::HalfLevels(scales, codes))
}

/// A step, a lowest value and codes that give back every value of a block, where they can be found.
///
/// The lowest weight is the lowest level. The smallest gap between two weights is a whole number of steps, small in most
/// blocks, so it is divided by one small number after another until the codes fit. The step is then the range over the
/// highest code, blurred by rounding in its last bits; a float16 is tried first, as block types store it so.
fn block_levels<const N: usize>(block: &[f32; N]) -> Option<(Scale, [u8; N])> {
    let lowest = block.iter().copied().fold(f32::INFINITY, f32::min);
    let highest = block.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let range = f64::from(highest) - f64::from(lowest);
    if !range.is_finite() {
        return None;
    }
    if range == 0.0 {
        return fits(block, Scale { step: 0.0, lowest });
    }
    // Blocks of four bits nearly always use both ends of their grid.
    if let Some(found) = with_highest_code(block, range, lowest, 15.0) {
        return Some(found);
    }
    let mut sorted = *block;
    sorted.sort_unstable_by(f32::total_cmp);
    let noise = f64::from(highest.abs().max(lowest.abs())) * 1e-6;
    let gaps = sorted.windows(2).map(|pair| f64::from(pair[1]) - f64::from(pair[0]));
    let gap = gaps.filter(|gap| *gap > noise).fold(range, f64::min);
    // Of few weights on many levels the nearest two may lie far apart.
    for divisor in 1..=32u32 {
        let highest_code = (range * f64::from(divisor) / gap).round();
        if highest_code > 255.0 {
            break;
        }
        if let Some(found) = with_highest_code(block, range, lowest, highest_code) {
            return Some(found);
        }
    }
    // Blocks of eight bits around zero reach 127 at their largest weight, however far apart the others lie.
    let largest = f64::from(highest.abs().max(lowest.abs()));
    let highest_code = (range * 127.0 / largest).round();
    if highest_code > 255.0 {
        return None;
    }
    with_highest_code(block, range, lowest, highest_code)
}

/// The levels of a block whose highest code is known: the step is the range over it, but for the last bits.
fn with_highest_code<const N: usize>(block: &[f32; N], range: f64, lowest: f32, highest_code: f64) -> Option<(Scale, [u8; N])> {
    let blurred = (range / highest_code) as f32;
    let near = f16::from_f32(blurred).to_bits();
    let halves = [near, near.wrapping_sub(1), near.wrapping_add(1)].map(|bits| f16::from_bits(bits).to_f32());
    let singles = [0, -1, 1, -2, 2].map(|by| f32::from_bits(blurred.to_bits().wrapping_add_signed(by)));
    halves.into_iter().chain(singles).find_map(|step| fits(block, Scale { step, lowest }))
}

/// The codes of a block, if they give back every value. (A zero may lose its sign, which no sum can tell.)
fn fits<const N: usize>(block: &[f32; N], scale: Scale) -> Option<(Scale, [u8; N])> {
    let mut codes = [0u8; N];
    let per_step = if scale.step > 0.0 { 1.0 / f64::from(scale.step) } else { 0.0 };
    for (code, value) in codes.iter_mut().zip(block) {
        // The cast cuts off, and holds what is too large or no number at an end.
        *code = ((f64::from(*value) - f64::from(scale.lowest)) * per_step + 0.5) as u8;
        if scale.level(*code) != *value {
            return None;
        }
    }
    Some((scale, codes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::cpu::rows::read_rows;

    fn noise(count: usize) -> Vec<f32> {
        let mut state = 88_172_645_463_325_252u64;
        (0..count)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
            })
            .collect()
    }

    /// What is held is what was given, in the form that was expected.
    fn held(rows: usize, columns: usize, values: &[f32], form: &str) {
        let weight = HeldWeight::new(rows, columns, values.to_vec());
        assert_eq!(weight.held_as().0, form);
        assert_eq!(read_rows(&weight, 0, rows), values, "{form}");
        assert_eq!(read_rows(&weight, rows / 2, 1), values[rows / 2 * columns..][..columns], "{form}, one row");
    }

    #[test]
    fn every_form_keeps_every_value() {
        let plain = noise(40 * 96);
        held(40, 96, &plain, "float32");
        held(48, 80, &plain, "float32");
        let brain: Vec<f32> = plain.iter().map(|value| bf16_value((value.to_bits() >> 16) as u16)).collect();
        held(40, 96, &brain, "bfloat16");
        let half: Vec<f32> = plain.iter().map(|value| f16::from_f32(*value).to_f32()).collect();
        held(40, 96, &half, "float16");
        held(1, 4, &[0.0, -0.0, 1.0, -2.5], "bfloat16");
        held(1, 3, &[f32::MIN_POSITIVE, 0.1, 0.2], "float32");
    }

    /// Grids as block types and quantizers write them: steps and lowest values in float16 or float32, codes of some bits.
    #[test]
    fn grids_are_found_again() {
        let plain = noise(64 * 96);
        let of = |highest: f32, in_half: bool, symmetric: bool| -> Vec<f32> {
            let (blocks, _) = plain.as_chunks::<BLOCK>();
            let stored = |value: f32| if in_half { f16::from_f32(value).to_f32() } else { value };
            let quantized = blocks.iter().flat_map(|block| {
                let largest = block.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
                let lowest = block.iter().copied().fold(f32::INFINITY, f32::min);
                let range = block.iter().copied().fold(f32::NEG_INFINITY, f32::max) - lowest;
                block.map(|value| {
                    if symmetric {
                        let step = stored(largest / (highest / 2.0).floor());
                        step * (value / step).round()
                    } else {
                        let step = stored(range / highest);
                        let lowest = stored(lowest);
                        step * ((value - lowest) / step).round().clamp(0.0, highest) + lowest
                    }
                })
            });
            quantized.collect()
        };
        held(64, 96, &of(15.0, true, false), "16 levels");
        held(64, 96, &of(15.0, true, true), "16 levels");
        held(64, 96, &of(7.0, true, false), "16 levels");
        held(64, 96, &of(31.0, true, false), "256 levels");
        held(64, 96, &of(255.0, true, true), "256 levels");
        held(64, 96, &of(15.0, false, false), "16 levels");
        // Q6_K: a float16 times a byte for every sixteen weights.
        let sixteens = plain.as_chunks::<16>().0.iter().enumerate().flat_map(|(index, block)| {
            let step = f16::from_f32(0.000_731).to_f32() * (20 + index % 100) as f32;
            block.map(|value| step * (value / step).round().clamp(-32.0, 31.0))
        });
        held(64, 96, &sixteens.collect::<Vec<f32>>(), "256 levels in halves");
        // Eight bits of what was on sixteen levels: neighbours lie many steps apart.
        let coarse = of(15.0, true, false);
        let eight: Vec<f32> = (coarse.as_chunks::<BLOCK>().0.iter())
            .flat_map(|block| {
                let step = f16::from_f32(block.iter().fold(0.0f32, |largest, value| largest.max(value.abs())) / 127.0).to_f32();
                block.map(|value| step * (value / step).round())
            })
            .collect();
        held(64, 96, &eight, "256 levels");
    }

    #[test]
    fn halves_of_every_finite_bit_pattern() {
        for bits in 0..=u16::MAX {
            let wanted = f16::from_bits(bits);
            if wanted.is_finite() {
                assert_eq!(f16_value(bits).to_bits(), wanted.to_f32().to_bits(), "{bits:04x}");
            }
        }
    }
}
