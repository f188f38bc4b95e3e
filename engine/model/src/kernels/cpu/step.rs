//! Products for the few rows of a step of generation.
//!
//! A weight is read once for all rows, and turned into float32 in registers on its way into their sums. Each output is a
//! sum in as many lanes as a block has weights, in one order, whatever else is computed beside it, so a sequence is the same in
//! any company, on any number of threads and with any instruction set.

use pulp::{Arch, NullaryFnOnce};
use rayon::prelude::*;

use super::held::{BLOCK, HeldWeight};
use super::lanes::{Lanes, Plain};
use super::rows::{Row, Visit, halves, of, visit};

/// Bytes of weights that one task reads, as float32: small enough to share a matrix among threads.
const TASK: usize = 1 << 17;

/// Sums of the products of one weight row with `N` rows of the step.
#[inline(always)]
fn sums<L: Lanes, W: Row<L>, const N: usize>(lanes: L, weights: W, x: [&[f32]; N]) -> [f32; N] {
    let columns = x[0].len();
    let mut sums = [[lanes.splat(0.0); 2]; N];
    for block in 0..columns / BLOCK {
        let weight = weights.block(lanes, block);
        for n in 0..N {
            let [low, high] = halves(x[n], block);
            sums[n][0] = lanes.multiply_add(weight[0], lanes.load(low), sums[n][0]);
            sums[n][1] = lanes.multiply_add(weight[1], lanes.load(high), sums[n][1]);
        }
    }
    let mut found = [0.0; N];
    for n in 0..N {
        let rest: f32 = (columns / BLOCK * BLOCK..columns).map(|column| weights.at(column) * x[n][column]).sum();
        found[n] = lanes.sum(lanes.add(sums[n][0], sums[n][1])) + rest;
    }
    found
}

/// One weight row with all rows `x [n, columns]` of the step, eight at a time where registers are enough, four at a time, and one by one.
#[inline(always)]
fn meet<L: Lanes, W: Row<L>>(lanes: L, weights: W, mut x: &[f32], columns: usize, mut out: &mut [f32]) {
    if L::MANY {
        let (eights, rest) = out.as_chunks_mut::<8>();
        let (x_eights, x_rest) = x.split_at(8 * eights.len() * columns);
        for (out, x) in eights.iter_mut().zip(x_eights.chunks_exact(8 * columns)) {
            *out = sums(
                lanes,
                weights,
                std::array::from_fn::<_, 8, _>(
                    #[inline(always)]
                    |row| of(x, row, columns),
                ),
            );
        }
        (x, out) = (x_rest, rest);
    }
    let (fours, ones) = out.as_chunks_mut::<4>();
    let (x_fours, x_ones) = x.split_at(4 * fours.len() * columns);
    for (out, x) in fours.iter_mut().zip(x_fours.chunks_exact(4 * columns)) {
        *out = sums(lanes, weights, [of(x, 0, columns), of(x, 1, columns), of(x, 2, columns), of(x, 3, columns)]);
    }
    for (out, x) in ones.iter_mut().zip(x_ones.chunks_exact(columns)) {
        [*out] = sums(lanes, weights, [x]);
    }
}

/// Outputs `[outputs, n]` of the rows of a weight from `first` on, for all rows `x [n, columns]` of the step.
struct Outputs<'a, L> {
    lanes: L,
    weight: &'a HeldWeight,
    first: usize,
    x: &'a [f32],
    out: &'a mut [f32],
}

/// Not a closure: one as large as this is not inlined into the function that may use the wide instructions.
impl<L: Lanes> NullaryFnOnce for Outputs<'_, L> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let (lanes, weight, first, count) = (self.lanes, self.weight, self.first, self.out.len() / (self.x.len() / self.weight.columns));
        visit(lanes, weight, first..first + count, self);
    }
}

impl<L: Lanes> Visit<L> for Outputs<'_, L> {
    #[inline(always)]
    fn row<W: Row<L>>(&mut self, lanes: L, place: usize, weights: W) {
        let n = self.x.len() / self.weight.columns;
        meet(lanes, weights, self.x, self.weight.columns, &mut self.out[place * n..][..n]);
    }
}

/// [`Outputs`] with the best instruction set that is there.
fn outputs(weight: &HeldWeight, first: usize, x: &[f32], out: &mut [f32]) {
    match Arch::new() {
        #[cfg(target_arch = "x86_64")]
        Arch::V4(lanes) => pulp::Simd::vectorize(lanes, Outputs { lanes, weight, first, x, out }),
        #[cfg(target_arch = "x86_64")]
        Arch::V3(lanes) => pulp::Simd::vectorize(lanes, Outputs { lanes, weight, first, x, out }),
        other => other.dispatch(Outputs {
            lanes: Plain,
            weight,
            first,
            x,
            out,
        }),
    }
}

/// y = x W^T for several weights that read the same rows, all in one go over the threads.
///
/// # Shapes
/// `x [n, columns]`; each result `[n, rows of its weight]`.
pub(super) fn products(x: &[f32], n: usize, weights: &[&HeldWeight]) -> Vec<Vec<f32>> {
    let mut transposed: Vec<Vec<f32>> = weights.iter().map(|weight| vec![0.0; weight.rows * n]).collect();
    let mut tasks = Vec::new();
    for (weight, out) in weights.iter().zip(&mut transposed) {
        let rows = (TASK / (4 * weight.columns)).max(1);
        tasks.extend(out.chunks_mut(rows * n).enumerate().map(|(task, out)| (*weight, task * rows, out)));
    }
    tasks.into_par_iter().for_each(|(weight, first, out)| outputs(weight, first, x, out));
    if n == 1 {
        return transposed;
    }
    (transposed.iter().zip(weights))
        .map(|(out, weight)| {
            let mut y = vec![0.0; out.len()];
            for (output, values) in out.chunks_exact(n).enumerate() {
                for (row, value) in values.iter().enumerate() {
                    y[row * weight.rows + output] = *value;
                }
            }
            y
        })
        .collect()
}
