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
mod product;
mod rows;
mod step;
mod step_attention;

use rayon::prelude::*;

use self::product::{Operand, multiply, multiply_rows};
use super::{Heads, Kernels, RopeDirection, SequenceSpan};
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

/// Kernels on plain slices.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuKernels;

impl Kernels for CpuKernels {
    type Matrix = CpuMatrix;

    fn describe(&self) -> String {
        "cpu, float32".into()
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
        for (x, y) in x.values.iter_mut().zip(&y.values) {
            *x += y;
        }
        x
    }

    fn norm(&self, x: &CpuMatrix, weight: &CpuMatrix, width: usize, epsilon: f64) -> CpuMatrix {
        let mut values = x.values.clone();
        values
            .par_chunks_mut(elementwise::chunk_of(width))
            .for_each(|chunk| elementwise::norm(chunk, &weight.values, epsilon as f32));
        CpuMatrix::new(x.rows, x.columns, values)
    }

    fn norm_backward(&self, x: &CpuMatrix, weight: &CpuMatrix, width: usize, epsilon: f64, gradient: &CpuMatrix) -> CpuMatrix {
        let mut values = gradient.values.clone();
        let chunk = elementwise::chunk_of(width);
        values
            .par_chunks_mut(chunk)
            .zip(x.values.par_chunks(chunk))
            .for_each(|(gradient, x)| elementwise::norm_backward(gradient, x, &weight.values, epsilon as f32));
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

    fn rotate(&self, mut x: CpuMatrix, width: usize, cosine: &CpuMatrix, sine: &CpuMatrix, turn: RopeDirection) -> CpuMatrix {
        let half = width / 2;
        x.values.par_chunks_mut(x.columns).enumerate().for_each(|(row, values)| {
            elementwise::rotate(values, width, &cosine.values[row * half..][..half], &sine.values[row * half..][..half], turn);
        });
        x
    }

    fn attention(&self, heads: Heads, queries: &CpuMatrix, keys: &CpuMatrix, values: &CpuMatrix, runs: &[SequenceSpan]) -> CpuMatrix {
        let output = attention::forward(heads, &queries.values, &keys.values, &values.values, runs);
        CpuMatrix::new(queries.rows, queries.columns, output)
    }

    fn attention_backward(
        &self,
        heads: Heads,
        queries: &CpuMatrix,
        keys: &CpuMatrix,
        values: &CpuMatrix,
        runs: &[SequenceSpan],
        output: &CpuMatrix,
        gradient: &CpuMatrix,
    ) -> (CpuMatrix, CpuMatrix, CpuMatrix) {
        let (dq, dk, dv) = attention::backward(heads, &queries.values, &keys.values, &values.values, runs, &output.values, &gradient.values);
        let own = |values| CpuMatrix::new(queries.rows, heads.keys * heads.width, values);
        (CpuMatrix::new(queries.rows, queries.columns, dq), own(dk), own(dv))
    }

    fn gated(&self, gate: &CpuMatrix, up: &CpuMatrix) -> CpuMatrix {
        let mut values = gate.values.clone();
        values
            .par_chunks_mut(elementwise::CHUNK)
            .zip(up.values.par_chunks(elementwise::CHUNK))
            .for_each(|(gate, up)| elementwise::gated(gate, up));
        CpuMatrix::new(gate.rows, gate.columns, values)
    }

    fn gated_backward(&self, gate: &CpuMatrix, up: &CpuMatrix, gradient: &CpuMatrix) -> (CpuMatrix, CpuMatrix) {
        let (mut dgate, mut dup) = (gate.values.clone(), up.values.clone());
        dgate
            .par_chunks_mut(elementwise::CHUNK)
            .zip(dup.par_chunks_mut(elementwise::CHUNK))
            .zip(gradient.values.par_chunks(elementwise::CHUNK))
            .for_each(|((gate, up), gradient)| elementwise::gated_backward(gate, up, gradient));
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
}
