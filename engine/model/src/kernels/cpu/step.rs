//! Products and attention for the few rows of a step of generation.
//!
//! A weight is read once for all rows: a tile of its rows stays in the nearest cache while every row of the step meets it.
//! Each output is a sum in sixteen lanes in one order, whatever else is computed beside it, so a sequence is the same in any
//! company, on any number of threads and with any instruction set.

use pulp::Arch;
use rayon::prelude::*;

use super::attention::softmax;
use super::elementwise::dot;
use super::generation::CpuCache;
use super::held::{BLOCK, Form, HeldWeight, LANES, Scale, brain_float_value, half_float_value};
use crate::kernels::{Heads, Run};

/// Bytes of weights that one task reads, as float32: small enough to share a matrix among threads.
const TASK: usize = 1 << 17;

/// One row of a weight, in whatever form.
trait Row: Copy {
    /// Sixteen weights from `16 * chunk` on.
    fn lanes(self, chunk: usize) -> [f32; LANES];
    /// The weight of one column.
    fn at(self, column: usize) -> f32;
}

#[derive(Clone, Copy)]
struct Float32Row<'a>(&'a [f32]);

impl Row for Float32Row<'_> {
    #[inline(always)]
    fn lanes(self, chunk: usize) -> [f32; LANES] {
        self.0.as_chunks::<LANES>().0[chunk]
    }

    #[inline(always)]
    fn at(self, column: usize) -> f32 {
        self.0[column]
    }
}

#[derive(Clone, Copy)]
struct BrainRow<'a>(&'a [u16]);

impl Row for BrainRow<'_> {
    #[inline(always)]
    fn lanes(self, chunk: usize) -> [f32; LANES] {
        self.0.as_chunks::<LANES>().0[chunk].map(brain_float_value)
    }

    #[inline(always)]
    fn at(self, column: usize) -> f32 {
        brain_float_value(self.0[column])
    }
}

#[derive(Clone, Copy)]
struct HalfRow<'a>(&'a [u16]);

impl Row for HalfRow<'_> {
    #[inline(always)]
    fn lanes(self, chunk: usize) -> [f32; LANES] {
        self.0.as_chunks::<LANES>().0[chunk].map(half_float_value)
    }

    #[inline(always)]
    fn at(self, column: usize) -> f32 {
        half_float_value(self.0[column])
    }
}

#[derive(Clone, Copy)]
struct Levels8Row<'a>(&'a [Scale], &'a [[u8; BLOCK]]);

impl Row for Levels8Row<'_> {
    #[inline(always)]
    fn lanes(self, chunk: usize) -> [f32; LANES] {
        let scale = self.0[chunk / 2];
        self.1[chunk / 2].as_chunks::<LANES>().0[chunk % 2].map(|code| scale.level(code))
    }

    #[inline(always)]
    fn at(self, column: usize) -> f32 {
        self.0[column / BLOCK].level(self.1[column / BLOCK][column % BLOCK])
    }
}

#[derive(Clone, Copy)]
struct Levels4Row<'a>(&'a [Scale], &'a [[u8; LANES]]);

impl Row for Levels4Row<'_> {
    #[inline(always)]
    fn lanes(self, chunk: usize) -> [f32; LANES] {
        let (scale, codes) = (self.0[chunk / 2], self.1[chunk / 2]);
        let shift = 4 * (chunk % 2) as u32;
        codes.map(|code| scale.level(code >> shift & 15))
    }

    #[inline(always)]
    fn at(self, column: usize) -> f32 {
        let (codes, place) = (self.1[column / BLOCK], column % BLOCK);
        self.0[column / BLOCK].level(codes[place % LANES] >> (4 * (place / LANES)) & 15)
    }
}

/// Sums of `R` weight rows with `N` rows of the step, each in sixteen lanes.
#[inline(always)]
fn sums<W: Row, const R: usize, const N: usize>(weights: [W; R], x: [&[f32]; N]) -> [[f32; N]; R] {
    let mut lanes = [[[0.0f32; LANES]; N]; R];
    let columns = x[0].len();
    let x_chunks = x.map(|x| x.as_chunks::<LANES>().0);
    for chunk in 0..columns / LANES {
        for r in 0..R {
            let weight = weights[r].lanes(chunk);
            for n in 0..N {
                let x = &x_chunks[n][chunk];
                for lane in 0..LANES {
                    lanes[r][n][lane] += weight[lane] * x[lane];
                }
            }
        }
    }
    let rest = columns / LANES * LANES..columns;
    std::array::from_fn(|r| {
        std::array::from_fn(|n| {
            let tail: f32 = rest.clone().map(|column| weights[r].at(column) * x[n][column]).sum();
            lanes[r][n].iter().sum::<f32>() + tail
        })
    })
}

/// Outputs `[outputs, n]` of some rows of a weight, for all rows `x [n, columns]` of the step.
#[inline(always)]
fn tile<W: Row>(row_of: impl Fn(usize) -> W, outputs: usize, x: &[f32], columns: usize, out: &mut [f32]) {
    let n = x.len() / columns;
    let x_row = |row: usize| &x[row * columns..][..columns];
    // Four weight rows at a time, so that their sums do not wait for each other; a tile of weights is met by every row of x.
    for first in (0..outputs).step_by(4) {
        let rows = 4.min(outputs - first);
        let mut row = 0;
        while rows == 4 && row + 2 <= n {
            let found = sums([0, 1, 2, 3].map(|r| row_of(first + r)), [x_row(row), x_row(row + 1)]);
            for (r, found) in found.iter().enumerate() {
                out[(first + r) * n + row..][..2].copy_from_slice(found);
            }
            row += 2;
        }
        while rows == 4 && row < n {
            let found = sums([0, 1, 2, 3].map(|r| row_of(first + r)), [x_row(row)]);
            for (r, [found]) in found.into_iter().enumerate() {
                out[(first + r) * n + row] = found;
            }
            row += 1;
        }
        for r in first..first + if rows == 4 { 0 } else { rows } {
            for row in 0..n {
                [[out[r * n + row]]] = sums([row_of(r)], [x_row(row)]);
            }
        }
    }
}

/// Outputs `[outputs, n]` of the rows of a weight from `first` on.
fn outputs(weight: &HeldWeight, first: usize, x: &[f32], out: &mut [f32]) {
    let columns = weight.columns;
    let count = out.len() / (x.len() / columns);
    let blocks = columns / BLOCK;
    Arch::new().dispatch(|| match &weight.form {
        Form::Float32(values) => tile(|r| Float32Row(&values[(first + r) * columns..][..columns]), count, x, columns, out),
        Form::BrainFloat16(values) => tile(|r| BrainRow(&values[(first + r) * columns..][..columns]), count, x, columns, out),
        Form::Float16(values) => tile(|r| HalfRow(&values[(first + r) * columns..][..columns]), count, x, columns, out),
        Form::Levels8(scales, codes) => {
            let row = |r| Levels8Row(&scales[(first + r) * blocks..][..blocks], &codes[(first + r) * blocks..][..blocks]);
            tile(row, count, x, columns, out);
        }
        Form::Levels4(scales, codes) => {
            let row = |r| Levels4Row(&scales[(first + r) * blocks..][..blocks], &codes[(first + r) * blocks..][..blocks]);
            tile(row, count, x, columns, out);
        }
    });
}

/// y = x W^T for several weights that read the same rows, all in one go over the threads.
///
/// # Shapes
/// `x [n, columns]`; each result `[n, rows of its weight]`.
pub(super) fn products(x: &[f32], n: usize, weights: &[&HeldWeight]) -> Vec<Vec<f32>> {
    let mut transposed: Vec<Vec<f32>> = weights.iter().map(|weight| vec![0.0; weight.rows * n]).collect();
    let mut tasks = Vec::new();
    for (weight, out) in weights.iter().zip(&mut transposed) {
        // Whole groups of four rows, so that no group is cut.
        let rows = (TASK / (4 * weight.columns)).next_multiple_of(4).max(4);
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

/// Attention of one row a sequence, one task a key head and sequence.
///
/// # Shapes
/// `queries [n, heads * width]`, as the result; every run has one row.
pub(super) fn attention(heads: Heads, queries: &[f32], runs: &[(Run, &CpuCache, &CpuCache)]) -> Vec<f32> {
    let wide = heads.group() * heads.width;
    let mut output = vec![0.0; queries.len()];
    let tasks = output.par_chunks_mut(wide).zip(queries.par_chunks(wide)).enumerate();
    tasks.for_each(|(task, (output, queries))| {
        let (run, keys, values) = runs[task / heads.keys];
        let shared = task % heads.keys * heads.width;
        one_key_head(heads.width, queries, keys, values, shared, run.position + 1, output);
    });
    output
}

/// The queries of one row that share a key head, `[group, width]`, over the first `seen` keys and values.
fn one_key_head(width: usize, queries: &[f32], keys: &CpuCache, values: &CpuCache, column: usize, seen: usize, output: &mut [f32]) {
    let scale = 1.0 / (width as f32).sqrt();
    let group = queries.len() / width;
    let mut scores = vec![0.0; group * seen];
    Arch::new().dispatch(|| {
        for s in 0..seen {
            let key = &keys.row(s)[column..][..width];
            for (head, query) in queries.chunks_exact(width).enumerate() {
                scores[head * seen + s] = scale * dot(query, key);
            }
        }
    });
    for scores in scores.chunks_exact_mut(seen) {
        softmax(scores, seen, seen);
    }
    Arch::new().dispatch(|| {
        for s in 0..seen {
            let value = &values.row(s)[column..][..width];
            for (head, output) in output.chunks_exact_mut(width).enumerate() {
                let p = scores[head * seen + s];
                for (output, value) in output.iter_mut().zip(value) {
                    *output += p * value;
                }
            }
        }
    });
}
