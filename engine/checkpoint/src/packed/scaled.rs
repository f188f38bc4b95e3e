//! Matrices of codes with scales that blocks of them share, the form of most formats:
//! `w[r, c] = (code[r, c] − zero[r, g]) · scale[r, g] / divisor`, `g` the block of `c`.

use std::ops::Range;

use half::{bf16, f16};
use rayon::prelude::*;

use super::arrays::Array;
use super::{fields, small_floats};
use crate::dtype::DType;
use crate::error::CheckpointError;

/// A packed matrix whose arrays were found and checked: its rows can be read.
pub(crate) trait Rows {
    /// Rows `here` as float32, `[here, columns]`.
    ///
    /// # Errors
    /// When the arrays do not give numbers.
    fn rows(&self, here: Range<usize>) -> Result<Vec<f32>, CheckpointError>;
}

/// How fields of some bits lie in 32-bit words, the lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fields {
    /// Bits of a field.
    pub bits: u32,
    /// Whether fields go on over the ends of words; otherwise a word holds as many as have room, and the rest of it is empty.
    pub stream: bool,
}

impl Fields {
    /// Words for so many fields.
    pub fn words(self, fields: usize) -> usize {
        match self.stream {
            true => fields.saturating_mul(self.bits as usize).div_ceil(32),
            false => fields.div_ceil(self.per_word()),
        }
    }

    fn per_word(self) -> usize {
        (32 / self.bits.max(1)) as usize
    }

    /// Field `place` of words that `word` gives.
    pub fn field(self, place: usize, word: impl Fn(usize) -> u32) -> u8 {
        let mask = (1u64 << self.bits) - 1;
        let (first, shift) = match self.stream {
            true => (place * self.bits as usize / 32, place * self.bits as usize % 32),
            false => (place / self.per_word(), place % self.per_word() * self.bits as usize),
        };
        let mut held = u64::from(word(first));
        if shift + self.bits as usize > 32 {
            held |= u64::from(word(first + 1)) << 32;
        }
        (held >> shift & mask) as u8
    }

    /// The fields of a row of words.
    fn fill(self, words: &[u8], count: usize, mut put: impl FnMut(usize, u8)) {
        let words = words.as_chunks::<4>().0;
        if self.stream && !32u32.is_multiple_of(self.bits) {
            let word = |place: usize| words.get(place).map_or(0, |bytes| i32::from_le_bytes(*bytes));
            return fields::unpack(count, self.bits, word, put);
        }
        let mask = ((1u64 << self.bits) - 1) as u32;
        for (word, bytes) in words.iter().enumerate() {
            let mut held = u32::from_le_bytes(*bytes);
            let first = word * self.per_word();
            for place in first..count.min(first + self.per_word()) {
                put(place, (held & mask) as u8);
                held >>= self.bits;
            }
        }
    }
}

/// How codes lie in an array, a row of the matrix in a row of it.
#[derive(Clone, Copy)]
pub(crate) enum Codes<'a> {
    /// Numbers that stand alone: signed bytes, or floating point of 8 bits.
    Single(Array<'a>),
    /// Two of E2M1 to a byte, the lower four bits first.
    Pairs(Array<'a>),
    /// Unsigned fields of words; `less` is taken away from each.
    Words(Array<'a>, Fields, f32),
}

impl Codes<'_> {
    /// The codes of a row as numbers.
    fn fill(&self, row: usize, out: &mut [f32]) {
        match self {
            Self::Single(array) => {
                let bytes = array.row(row);
                let put = |out: &mut [f32], number: fn(u8) -> f32| out.iter_mut().zip(bytes).for_each(|(out, byte)| *out = number(*byte));
                match array.element {
                    DType::Float8 => put(out, small_floats::e4m3),
                    DType::Float8Wide => put(out, small_floats::e5m2),
                    _ => put(out, |byte| f32::from(byte.cast_signed())),
                }
            }
            Self::Pairs(array) => {
                for (out, byte) in out.chunks_mut(2).zip(array.row(row)) {
                    for (out, nibble) in out.iter_mut().zip([*byte, byte >> 4]) {
                        *out = small_floats::e2m1(nibble);
                    }
                }
            }
            Self::Words(array, fields, less) => fields.fill(array.row(row), out.len(), |place, code| out[place] = f32::from(code) - less),
        }
    }
}

/// Where zero points lie.
#[derive(Clone, Copy)]
pub(crate) enum Zeros<'a> {
    /// All are 0.
    None,
    /// Signed bytes, in the places of the scales.
    Beside(Array<'a>),
    /// Fields of words that run down the rows, `[words, groups]`; the number is taken away from each.
    Down(Array<'a>, Fields, f32),
    /// Fields of words along a row, `[rows, words]`.
    Along(Array<'a>, Fields),
}

/// What scales are divided by.
#[derive(Clone, Copy)]
pub(crate) enum Divisor<'a> {
    /// This number.
    By(f32),
    /// The only number of an array.
    Of(Array<'a>),
}

/// Scales that blocks of `tall` rows and `wide` columns share.
#[derive(Clone, Copy)]
pub(crate) struct Scales<'a> {
    /// The scales.
    pub array: Array<'a>,
    /// Rows of a block.
    pub tall: usize,
    /// Columns of a block.
    pub wide: usize,
    /// Scales in a row of the array; as many as a row of the matrix has blocks, or more.
    pub across: usize,
    /// What they are divided by.
    pub divisor: Divisor<'a>,
}

/// To what the product is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rounded {
    /// Float32.
    Not,
    /// Half precision.
    Float16,
    /// The upper half of float32.
    BrainFloat16,
}

impl Rounded {
    /// The number type of an array.
    pub fn as_stored(element: &DType) -> Self {
        match element {
            DType::Float16 => Self::Float16,
            DType::BrainFloat16 => Self::BrainFloat16,
            _ => Self::Not,
        }
    }

    /// A number rounded.
    pub fn round(self, value: f32) -> f32 {
        match self {
            Self::Not => value,
            Self::Float16 => f16::from_f32(value).to_f32(),
            Self::BrainFloat16 => bf16::from_f32(value).to_f32(),
        }
    }
}

/// A matrix of codes with its scales.
pub(crate) struct Scaled<'a> {
    /// Inputs.
    pub columns: usize,
    /// The codes.
    pub codes: Codes<'a>,
    /// The zero points.
    pub zeros: Zeros<'a>,
    /// The scales.
    pub scales: Scales<'a>,
    /// The block of every column, where blocks are not of neighbours.
    pub index: Option<Vec<u32>>,
    /// To what weights are rounded.
    pub rounded: Rounded,
}

impl Scaled<'_> {
    fn zero(&self, row: usize, group: usize) -> f32 {
        let place = row / self.scales.tall.max(1) * self.scales.across + group;
        match &self.zeros {
            Zeros::None => 0.0,
            Zeros::Beside(array) => array.bytes.get(place).map_or(f32::NAN, |byte| f32::from(byte.cast_signed())),
            Zeros::Down(array, fields, less) => {
                let width = array.shape.get(1).copied().unwrap_or(1);
                f32::from(fields.field(row, |word| array.word(word * width + group))) - less
            }
            Zeros::Along(array, fields) => {
                let width = array.shape.get(1).copied().unwrap_or(1);
                f32::from(fields.field(group, |word| array.word(row * width + word)))
            }
        }
    }
}

impl Rows for Scaled<'_> {
    fn rows(&self, here: Range<usize>) -> Result<Vec<f32>, CheckpointError> {
        let Scales { array, tall, wide, across, .. } = self.scales;
        let (tall, wide) = (tall.max(1), wide.max(1));
        let divisor = match self.scales.divisor {
            Divisor::By(number) => number,
            Divisor::Of(array) => array.float(0),
        };
        let width = self.columns.max(1);
        let blocks = self.columns.div_ceil(wide);
        let mut values = vec![0.0; here.len() * self.columns];
        values.par_chunks_mut(width).zip(here).for_each(|(out, row)| {
            self.codes.fill(row, out);
            let grid = |block: usize| (array.float(row / tall * across + block) / divisor, self.zero(row, block));
            match &self.index {
                None => {
                    for (block, out) in out.chunks_mut(wide).enumerate() {
                        let (scale, zero) = grid(block);
                        out.iter_mut().for_each(|value| *value = self.rounded.round((*value - zero) * scale));
                    }
                }
                Some(index) => {
                    let grids: Vec<(f32, f32)> = (0..blocks).map(grid).collect();
                    for (value, block) in out.iter_mut().zip(index) {
                        let (scale, zero) = grids[*block as usize];
                        *value = self.rounded.round((*value - zero) * scale);
                    }
                }
            }
        });
        Ok(values)
    }
}
