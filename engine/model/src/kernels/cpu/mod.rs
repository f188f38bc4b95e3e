//! The kernels on the CPU: float32, vectorised by the compiler for the instruction set found at run time, threaded by rayon.
//!
//! Matrix products go to the `gemm` crate, which burn's own CPU backend uses too; working on plain slices saves what a
//! general tensor library must do around it (a fresh zeroed buffer an operation, single-threaded element-wise loops). What
//! is ours is what the products leave over: norms, rotations, the gated activation, attention, cross-entropy.
//!
//! Results do not depend on the number of threads: every output is computed by one task, in one order.

mod attention;
mod cache;
mod calibration;
mod elementwise;
mod exponential;
mod generation;
mod held;
mod lanes;
mod loss;
mod nonlinear;
mod product;
mod rounding;
mod rows;
mod step;
mod step_attention;

use cruxscope_checkpoint::{Activation, InputRounding, RopePairs};
use rayon::prelude::*;

use self::product::{Operand, multiply, multiply_rows};
use super::{ColumnRun, Heads, Kernels, RopeDirection, RowProducts, SequenceSpan};
use crate::ModelError;

/// A float32 matrix in main memory, row-major.
#[derive(Clone, Debug, Default)]
pub struct CpuMatrix {
    rows: usize,
    columns: usize,
    values: Vec<f32>,
}

impl CpuMatrix {
    fn new(rows: usize, columns: usize, values: Vec<f32>) -> Self {
        debug_assert_eq!(values.len(), rows * columns);
        Self { rows, columns, values }
    }

    fn operand(&self) -> Operand<'_> {
        Operand {
            values: &self.values,
            row_stride: self.columns,
            column_stride: 1,
        }
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The values, row by row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The values, row by row, to be changed in place.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// The values, row by row, and nothing left of the matrix.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }
}

/// Rows that are summed in float32 before float64 takes over.
const SUMMED_ROWS: usize = 128;

/// A copy, each of its chunks worked on where it was made: `over` is given the place of its first number too. A copy that is made first and
/// worked on then is made by one thread alone.
fn copied(source: &[f32], chunk: usize, over: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f32> {
    let mut values = Vec::with_capacity(source.len());
    let places = values.spare_capacity_mut()[..source.len()].par_chunks_mut(chunk);
    places.zip(source.par_chunks(chunk)).enumerate().for_each(|(index, (place, source))| {
        over(index * chunk, place.write_copy_of_slice(source));
    });
    // SAFETY: every chunk was written.
    unsafe { values.set_len(source.len()) }
    values
}

/// Kernels on plain slices.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuKernels;

impl Kernels for CpuKernels {
    type Matrix = CpuMatrix;

    fn describe(&self) -> String {
        "cpu, float32".into()
    }

    fn together<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        rayon::scope(|_| work())
    }

    fn upload(&self, rows: usize, columns: usize, values: Vec<f32>) -> CpuMatrix {
        CpuMatrix::new(rows, columns, values)
    }

    fn download(&self, matrix: &CpuMatrix) -> Result<Vec<f32>, ModelError> {
        Ok(matrix.values.clone())
    }

    fn rows(&self, matrix: &CpuMatrix) -> usize {
        matrix.rows
    }

    fn gather(&self, matrix: &CpuMatrix, indices: &[usize]) -> CpuMatrix {
        let mut values = Vec::with_capacity(indices.len() * matrix.columns);
        for row in indices {
            values.extend_from_slice(&matrix.values[row * matrix.columns..][..matrix.columns]);
        }
        CpuMatrix::new(indices.len(), matrix.columns, values)
    }

    fn slice(&self, matrix: &CpuMatrix, first: usize, count: usize) -> CpuMatrix {
        CpuMatrix::new(
            count,
            matrix.columns,
            matrix.values[first * matrix.columns..][..count * matrix.columns].to_vec(),
        )
    }

    fn stack(&self, parts: Vec<CpuMatrix>) -> CpuMatrix {
        let mut parts = parts.into_iter();
        let mut all = parts.next().unwrap_or_default();
        for part in parts {
            all.rows += part.rows;
            all.values.extend_from_slice(&part.values);
        }
        all
    }

    fn add(&self, mut x: CpuMatrix, y: &CpuMatrix) -> CpuMatrix {
        let chunks = x.values.par_chunks_mut(elementwise::CHUNK).zip(y.values.par_chunks(elementwise::CHUNK));
        chunks.for_each(|(x, y)| x.iter_mut().zip(y).for_each(|(x, y)| *x += y));
        x
    }

    fn norm(&self, x: &CpuMatrix, weight: &CpuMatrix, width: usize, epsilon: f64) -> CpuMatrix {
        let over = |_, chunk: &mut [f32]| elementwise::norm(chunk, &weight.values, epsilon as f32);
        CpuMatrix::new(x.rows, x.columns, copied(&x.values, elementwise::chunk_of(width), over))
    }

    fn norm_backward(&self, x: &CpuMatrix, weight: &CpuMatrix, width: usize, epsilon: f64, gradient: &CpuMatrix) -> CpuMatrix {
        let over = |first: usize, gradient: &mut [f32]| {
            elementwise::norm_backward(gradient, &x.values[first..][..gradient.len()], &weight.values, epsilon as f32);
        };
        CpuMatrix::new(x.rows, x.columns, copied(&gradient.values, elementwise::chunk_of(width), over))
    }

    fn scaled(&self, mut x: CpuMatrix, factor: f64) -> CpuMatrix {
        let factor = factor as f32;
        x.values.iter_mut().for_each(|value| *value *= factor);
        x
    }

    fn rounded(&self, x: &CpuMatrix, rounding: &InputRounding) -> CpuMatrix {
        rounding::rounded(x, rounding)
    }

    fn capped(&self, mut x: CpuMatrix, cap: f64) -> CpuMatrix {
        x.values
            .par_chunks_mut(elementwise::CHUNK)
            .for_each(|chunk| elementwise::capped(chunk, cap as f32));
        x
    }

    fn capped_backward(&self, x: &CpuMatrix, cap: f64, mut gradient: CpuMatrix) -> CpuMatrix {
        (gradient.values.par_chunks_mut(elementwise::CHUNK))
            .zip(x.values.par_chunks(elementwise::CHUNK))
            .for_each(|(gradient, x)| elementwise::capped_backward(gradient, x, cap as f32));
        gradient
    }

    fn layer_norm(&self, x: &CpuMatrix, weight: &CpuMatrix, epsilon: f64) -> CpuMatrix {
        let mut values = x.values.clone();
        values
            .par_chunks_mut(elementwise::chunk_of(weight.columns))
            .for_each(|chunk| elementwise::layer_norm(chunk, &weight.values[..weight.columns], weight.values.get(weight.columns..), epsilon));
        CpuMatrix::new(x.rows, x.columns, values)
    }

    fn layer_norm_backward(&self, x: &CpuMatrix, weight: &CpuMatrix, epsilon: f64, gradient: &CpuMatrix) -> CpuMatrix {
        let mut values = gradient.values.clone();
        let chunk = elementwise::chunk_of(weight.columns);
        values
            .par_chunks_mut(chunk)
            .zip(x.values.par_chunks(chunk))
            .for_each(|(gradient, x)| elementwise::layer_norm_backward(gradient, x, &weight.values[..weight.columns], epsilon));
        CpuMatrix::new(x.rows, x.columns, values)
    }

    fn linear(&self, x: &CpuMatrix, weight: &CpuMatrix, bias: Option<&CpuMatrix>, onto: Option<CpuMatrix>) -> CpuMatrix {
        let onto = onto.map(|onto| onto.values);
        let transposed = Operand {
            values: &weight.values,
            row_stride: 1,
            column_stride: weight.columns,
        };
        let mut values = multiply([x.rows, x.columns, weight.rows], x.operand(), transposed, onto);
        if let Some(bias) = bias {
            for row in values.chunks_exact_mut(weight.rows) {
                for (value, bias) in row.iter_mut().zip(&bias.values) {
                    *value += bias;
                }
            }
        }
        CpuMatrix::new(x.rows, weight.rows, values)
    }

    fn linear_backward(&self, gradient: &CpuMatrix, weight: &CpuMatrix, onto: Option<CpuMatrix>) -> CpuMatrix {
        let onto = onto.map(|onto| onto.values);
        let values = multiply([gradient.rows, gradient.columns, weight.columns], gradient.operand(), weight.operand(), onto);
        CpuMatrix::new(gradient.rows, weight.columns, values)
    }

    fn rotate(&self, mut x: CpuMatrix, width: usize, pairs: RopePairs, cosine: &CpuMatrix, sine: &CpuMatrix, turn: RopeDirection) -> CpuMatrix {
        let half = cosine.columns;
        x.values.par_chunks_mut(x.columns).enumerate().for_each(|(row, values)| {
            let (cosine, sine) = (&cosine.values[row * half..][..half], &sine.values[row * half..][..half]);
            match pairs {
                RopePairs::Halves if 2 * half == width => elementwise::rotate(values, width, cosine, sine, turn),
                RopePairs::Halves => elementwise::rotate_pairs(values, width, cosine, sine, turn, |i| (i, half + i)),
                RopePairs::Neighbours => elementwise::rotate_pairs(values, width, cosine, sine, turn, |i| (2 * i, 2 * i + 1)),
            }
        });
        x
    }

    fn attention(
        &self,
        heads: Heads,
        queries: &CpuMatrix,
        keys: &CpuMatrix,
        values: &CpuMatrix,
        sinks: Option<&CpuMatrix>,
        runs: &[SequenceSpan],
    ) -> CpuMatrix {
        let output = attention::forward(heads, &queries.values, &keys.values, &values.values, sinks.map(CpuMatrix::values), runs);
        CpuMatrix::new(queries.rows, queries.columns, output)
    }

    fn attention_backward(
        &self,
        heads: Heads,
        queries: &CpuMatrix,
        keys: &CpuMatrix,
        values: &CpuMatrix,
        sinks: Option<&CpuMatrix>,
        runs: &[SequenceSpan],
        output: &CpuMatrix,
        gradient: &CpuMatrix,
    ) -> (CpuMatrix, CpuMatrix, CpuMatrix) {
        let sinks = sinks.map(CpuMatrix::values);
        let (dq, dk, dv) = attention::backward(
            heads,
            &queries.values,
            &keys.values,
            &values.values,
            sinks,
            runs,
            &output.values,
            &gradient.values,
        );
        let own = |values| CpuMatrix::new(queries.rows, heads.keys * heads.width, values);
        (CpuMatrix::new(queries.rows, queries.columns, dq), own(dk), own(dv))
    }

    fn arrange(&self, parts: &[&CpuMatrix], runs: &[ColumnRun]) -> CpuMatrix {
        let (rows, width) = (parts.first().map_or(0, |part| part.rows), runs.iter().map(|run| run.count).sum::<usize>());
        let mut values = vec![0.0; rows * width];
        values.par_chunks_mut(width.max(1)).enumerate().for_each(|(row, out)| {
            let mut at = 0;
            for run in runs {
                if let Some(part) = run.part.map(|part| parts[part]) {
                    out[at..at + run.count].copy_from_slice(&part.values[row * part.columns + run.first..][..run.count]);
                }
                at += run.count;
            }
        });
        CpuMatrix::new(rows, width, values)
    }

    fn arrange_backward(&self, gradient: &CpuMatrix, widths: &[usize], runs: &[ColumnRun]) -> Vec<CpuMatrix> {
        let mut back: Vec<CpuMatrix> = (widths.iter())
            .map(|width| CpuMatrix::new(gradient.rows, *width, vec![0.0; gradient.rows * width]))
            .collect();
        for (row, gradient) in gradient.values.chunks_exact(gradient.columns.max(1)).enumerate() {
            let mut at = 0;
            for run in runs {
                if let Some(part) = run.part {
                    let width = widths[part];
                    let own = &mut back[part].values[row * width + run.first..][..run.count];
                    own.iter_mut().zip(&gradient[at..at + run.count]).for_each(|(sum, value)| *sum += value);
                }
                at += run.count;
            }
        }
        back
    }

    fn add_rows(&self, mut onto: CpuMatrix, rows: &[usize], x: &CpuMatrix) -> CpuMatrix {
        let width = onto.columns.max(1);
        for (row, x) in rows.iter().zip(x.values.chunks_exact(width)) {
            for (value, x) in onto.values[row * width..][..width].iter_mut().zip(x) {
                *value += x;
            }
        }
        onto
    }

    fn scaled_rows(&self, mut x: CpuMatrix, factors: &CpuMatrix) -> CpuMatrix {
        let width = x.columns.max(1);
        for (row, factor) in x.values.chunks_exact_mut(width).zip(&factors.values) {
            row.iter_mut().for_each(|value| *value *= factor);
        }
        x
    }

    fn row_dots(&self, x: &CpuMatrix, y: &CpuMatrix) -> CpuMatrix {
        let width = x.columns.max(1);
        let rows = x.values.chunks_exact(width).zip(y.values.chunks_exact(width));
        CpuMatrix::new(x.rows, 1, rows.map(|(x, y)| elementwise::row_products(x, y).0 as f32).collect())
    }

    fn gated(&self, activation: Activation, gate: &CpuMatrix, up: &CpuMatrix) -> CpuMatrix {
        let over = match activation {
            Activation::Silu => elementwise::gated,
            Activation::GeluTanh => elementwise::gated_gelu,
            Activation::ClampedSwish => elementwise::gated_clamped,
            Activation::Sigmoid => elementwise::gated_sigmoid,
            Activation::SquaredRelu => elementwise::gated_squared,
        };
        let values = copied(&gate.values, elementwise::CHUNK, |first, gate: &mut [f32]| {
            over(gate, &up.values[first..][..gate.len()])
        });
        CpuMatrix::new(gate.rows, gate.columns, values)
    }

    fn gated_backward(&self, activation: Activation, gate: &CpuMatrix, up: &CpuMatrix, gradient: &CpuMatrix) -> (CpuMatrix, CpuMatrix) {
        let over = match activation {
            Activation::Silu => elementwise::gated_backward,
            Activation::GeluTanh => elementwise::gated_gelu_backward,
            Activation::ClampedSwish => elementwise::gated_clamped_backward,
            Activation::Sigmoid => elementwise::gated_sigmoid_backward,
            Activation::SquaredRelu => elementwise::gated_squared_backward,
        };
        let (mut dgate, mut dup) = (gate.values.clone(), up.values.clone());
        dgate
            .par_chunks_mut(elementwise::CHUNK)
            .zip(dup.par_chunks_mut(elementwise::CHUNK))
            .zip(gradient.values.par_chunks(elementwise::CHUNK))
            .for_each(|((gate, up), gradient)| over(gate, up, gradient));
        let like = |values| CpuMatrix::new(gate.rows, gate.columns, values);
        (like(dgate), like(dup))
    }

    fn cross_entropy(&self, mut logits: Vec<CpuMatrix>, targets: &[u32], weights: &[f32]) -> Result<(Vec<f64>, Vec<CpuMatrix>), ModelError> {
        let losses = loss::cross_entropy(
            logits.iter_mut().map(|part| (part.columns, part.values.as_mut_slice())).collect(),
            targets,
            weights,
        );
        Ok((losses, logits))
    }

    fn row_sums(&self, x: &CpuMatrix, weights: &[&[f32]], sums: &mut [Vec<f64>]) -> Result<(), ModelError> {
        for first in (0..x.rows).step_by(SUMMED_ROWS) {
            let n = SUMMED_ROWS.min(x.rows - first);
            let flat: Vec<f32> = weights.iter().flat_map(|weights| weights[first..first + n].iter().copied()).collect();
            let left = Operand {
                values: &flat,
                row_stride: n,
                column_stride: 1,
            };
            let right = Operand {
                values: &x.values[first * x.columns..],
                row_stride: x.columns,
                column_stride: 1,
            };
            let tile = multiply_rows([weights.len(), n, x.columns], left, right);
            for (sums, values) in sums.iter_mut().zip(tile.chunks_exact(x.columns)) {
                for (sum, value) in sums.iter_mut().zip(values) {
                    *sum += f64::from(*value);
                }
            }
        }
        Ok(())
    }

    fn linear_vectors(&self, vectors: &[Vec<f64>], weight: &CpuMatrix, bias: Option<&CpuMatrix>) -> Result<Vec<Vec<f64>>, ModelError> {
        let by_output: Vec<Vec<f64>> = weight
            .values
            .par_chunks(weight.columns)
            .enumerate()
            .with_min_len(16)
            .map(|(output, row)| {
                let bias = bias.map_or(0.0, |bias| f64::from(bias.values[output]));
                elementwise::dots64(row, vectors).into_iter().map(|dot| dot + bias).collect()
            })
            .collect();
        Ok((0..vectors.len())
            .map(|vector| by_output.iter().map(|outputs| outputs[vector]).collect())
            .collect())
    }

    fn row_products(&self, x: &CpuMatrix, y: &CpuMatrix) -> Result<RowProducts, ModelError> {
        let width = x.columns.max(1);
        let (sums, squares) = (x.values.par_chunks(width).zip(y.values.par_chunks(width)))
            .with_min_len(16)
            .map(|(x, y)| elementwise::row_products(x, y))
            .unzip();
        Ok(RowProducts { sums, squares })
    }
}
