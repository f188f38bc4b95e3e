//! Rows of held weights, whatever their form, as float32 in registers.

use pulp::{Arch, NullaryFnOnce};
use rayon::prelude::*;

use super::held::{BLOCK, Form, HeldWeight, Scale, bf16_value, f16_value};
use super::lanes::{LANES, Lanes, Plain};

/// Weights that one task reads.
const TASK: usize = 1 << 15;

/// One row of a weight, in whatever form.
pub(super) trait Row<L: Lanes>: Copy {
    /// The weights of a block.
    fn block(self, lanes: L, block: usize) -> [L::Vector; 2];
    /// The weight of a column behind the last whole block.
    fn at(self, column: usize) -> f32;
}

#[derive(Clone, Copy)]
struct Float32<'a>(&'a [f32]);

impl<L: Lanes> Row<L> for Float32<'_> {
    #[inline(always)]
    fn block(self, lanes: L, block: usize) -> [L::Vector; 2] {
        let [low, high] = halves(self.0, block);
        [lanes.load(low), lanes.load(high)]
    }

    #[inline(always)]
    fn at(self, column: usize) -> f32 {
        self.0[column]
    }
}

#[derive(Clone, Copy)]
struct BFloat16<'a>(&'a [u16]);

impl<L: Lanes> Row<L> for BFloat16<'_> {
    #[inline(always)]
    fn block(self, lanes: L, block: usize) -> [L::Vector; 2] {
        let [low, high] = halves(self.0, block);
        [lanes.bf16_values(low), lanes.bf16_values(high)]
    }

    #[inline(always)]
    fn at(self, column: usize) -> f32 {
        bf16_value(self.0[column])
    }
}

#[derive(Clone, Copy)]
struct Float16<'a>(&'a [u16]);

impl<L: Lanes> Row<L> for Float16<'_> {
    #[inline(always)]
    fn block(self, lanes: L, block: usize) -> [L::Vector; 2] {
        let [low, high] = halves(self.0, block);
        [lanes.f16_values(low), lanes.f16_values(high)]
    }

    #[inline(always)]
    fn at(self, column: usize) -> f32 {
        f16_value(self.0[column])
    }
}

#[derive(Clone, Copy)]
struct Levels8<'a>(&'a [Scale], &'a [[u8; BLOCK]]);

impl<L: Lanes> Row<L> for Levels8<'_> {
    #[inline(always)]
    fn block(self, lanes: L, block: usize) -> [L::Vector; 2] {
        let [low, high] = halves(&self.1[block], 0);
        let scale = self.0[block];
        [level(lanes, scale, lanes.bytes(low)), level(lanes, scale, lanes.bytes(high))]
    }

    /// Levels are held in whole blocks only.
    #[inline(always)]
    fn at(self, _: usize) -> f32 {
        0.0
    }
}

#[derive(Clone, Copy)]
struct HalfLevels<'a>(&'a [[Scale; 2]], &'a [[u8; BLOCK]]);

impl<L: Lanes> Row<L> for HalfLevels<'_> {
    #[inline(always)]
    fn block(self, lanes: L, block: usize) -> [L::Vector; 2] {
        let ([low, high], scales) = (halves(&self.1[block], 0), self.0[block]);
        [level(lanes, scales[0], lanes.bytes(low)), level(lanes, scales[1], lanes.bytes(high))]
    }

    /// Levels are held in whole blocks only.
    #[inline(always)]
    fn at(self, _: usize) -> f32 {
        0.0
    }
}

#[derive(Clone, Copy)]
struct Levels4<'a>(&'a [Scale], &'a [[u8; LANES]]);

impl<L: Lanes> Row<L> for Levels4<'_> {
    #[inline(always)]
    fn block(self, lanes: L, block: usize) -> [L::Vector; 2] {
        let scale = self.0[block];
        lanes.levels4(scale.step, scale.lowest, &self.1[block])
    }

    /// Levels are held in whole blocks only.
    #[inline(always)]
    fn at(self, _: usize) -> f32 {
        0.0
    }
}

/// The weights of codes: step * code + lowest.
#[inline(always)]
fn level<L: Lanes>(lanes: L, scale: Scale, codes: L::Vector) -> L::Vector {
    lanes.add(lanes.multiply(lanes.splat(scale.step), codes), lanes.splat(scale.lowest))
}

/// The two vectors of a block.
#[inline(always)]
pub(super) fn halves<T>(values: &[T], block: usize) -> [&[T; LANES]; 2] {
    let vectors = values.as_chunks::<LANES>().0;
    [&vectors[2 * block], &vectors[2 * block + 1]]
}

/// One row of a row-major matrix.
#[inline(always)]
pub(super) fn of<T>(values: &[T], row: usize, columns: usize) -> &[T] {
    &values[row * columns..][..columns]
}

/// What is done with rows of a weight.
pub(super) trait Visit<L: Lanes> {
    /// Is given every row, and its place among those visited.
    fn row<W: Row<L>>(&mut self, lanes: L, place: usize, weights: W);
}

/// Shows some rows of a weight to a visitor.
#[inline(always)]
pub(super) fn visit<L: Lanes>(lanes: L, weight: &HeldWeight, rows: std::ops::Range<usize>, mut visitor: impl Visit<L>) {
    let columns = weight.columns;
    let blocks = columns / BLOCK;
    let rows = rows.enumerate();
    match &weight.form {
        Form::Float32(stored) => rows.for_each(|(place, row)| visitor.row(lanes, place, Float32(of(stored, row, columns)))),
        Form::BFloat16(stored) => rows.for_each(|(place, row)| visitor.row(lanes, place, BFloat16(of(stored, row, columns)))),
        Form::Float16(stored) => rows.for_each(|(place, row)| visitor.row(lanes, place, Float16(of(stored, row, columns)))),
        Form::Levels8(scales, codes) => {
            rows.for_each(|(place, row)| visitor.row(lanes, place, Levels8(of(scales, row, blocks), of(codes, row, blocks))));
        }
        Form::HalfLevels(scales, codes) => {
            rows.for_each(|(place, row)| visitor.row(lanes, place, HalfLevels(of(scales, row, blocks), of(codes, row, blocks))));
        }
        Form::Levels4(scales, codes) => {
            rows.for_each(|(place, row)| visitor.row(lanes, place, Levels4(of(scales, row, blocks), of(codes, row, blocks))));
        }
    }
}

/// Some rows as float32, `[count, columns]`.
pub(super) fn read_rows(weight: &HeldWeight, first: usize, count: usize) -> Vec<f32> {
    let columns = weight.columns;
    let mut read = vec![0.0; count * columns];
    let task = (TASK / columns).max(1);
    read.par_chunks_mut(task * columns).enumerate().for_each(|(place, out)| {
        let first = first + place * task;
        match Arch::new() {
            #[cfg(target_arch = "x86_64")]
            Arch::V4(lanes) => pulp::Simd::vectorize(lanes, Reading { lanes, weight, first, out }),
            #[cfg(target_arch = "x86_64")]
            Arch::V3(lanes) => pulp::Simd::vectorize(lanes, Reading { lanes, weight, first, out }),
            other => other.dispatch(Reading {
                lanes: Plain,
                weight,
                first,
                out,
            }),
        }
    });
    read
}

/// Rows that are written to memory.
struct Reading<'a, L> {
    lanes: L,
    weight: &'a HeldWeight,
    first: usize,
    out: &'a mut [f32],
}

impl<L: Lanes> NullaryFnOnce for Reading<'_, L> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let (lanes, weight, first, count) = (self.lanes, self.weight, self.first, self.out.len() / self.weight.columns);
        visit(lanes, weight, first..first + count, self);
    }
}

impl<L: Lanes> Visit<L> for Reading<'_, L> {
    #[inline(always)]
    fn row<W: Row<L>>(&mut self, lanes: L, place: usize, weights: W) {
        let columns = self.weight.columns;
        let out = &mut self.out[place * columns..][..columns];
        let (vectors, _) = out.as_chunks_mut::<LANES>();
        for block in 0..columns / BLOCK {
            for (half, vector) in weights.block(lanes, block).into_iter().enumerate() {
                vectors[2 * block + half] = lanes.store(vector);
            }
        }
        for column in columns / BLOCK * BLOCK..columns {
            out[column] = weights.at(column);
        }
    }
}
