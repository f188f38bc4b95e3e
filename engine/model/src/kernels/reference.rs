//! The kernels as plain float64 loops: what the fast ones must agree with.
//!
//! Nothing here is tuned; every loop is the formula in [`Kernels`]. It runs whole tiny models, never a real one.

mod calibration;
mod generation;

use super::{Heads, Kernels, RopeDirection, SequenceSpan};
use crate::ModelError;

/// A float64 matrix, row-major.
#[derive(Clone, Debug)]
pub struct Matrix64 {
    rows: usize,
    columns: usize,
    values: Vec<f64>,
}

impl Matrix64 {
    fn zeros(rows: usize, columns: usize) -> Self {
        Self {
            rows,
            columns,
            values: vec![0.0; rows * columns],
        }
    }

    fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.columns..][..self.columns]
    }

    fn row_mut(&mut self, row: usize) -> &mut [f64] {
        &mut self.values[row * self.columns..][..self.columns]
    }

    /// The values, row by row.
    pub fn values(&self) -> &[f64] {
        &self.values
    }
}

/// The reference kernels.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReferenceKernels;

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Softmax of the scores of one query over the keys it sees.
fn probabilities(query: &[f64], keys: &Matrix64, first_column: usize, seen: usize) -> Vec<f64> {
    let scale = 1.0 / (query.len() as f64).sqrt();
    let scores: Vec<f64> = (0..seen).map(|s| scale * dot(query, &keys.row(s)[first_column..][..query.len()])).collect();
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exponentials: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
    let total: f64 = exponentials.iter().sum();
    exponentials.into_iter().map(|value| value / total).collect()
}

impl Kernels for ReferenceKernels {
    type Matrix = Matrix64;

    fn weight_bytes(&self, _exact: bool) -> u64 {
        8
    }

    fn describe(&self) -> String {
        "reference, float64".into()
    }

    fn upload(&self, rows: usize, columns: usize, values: Vec<f32>) -> Matrix64 {
        Matrix64 {
            rows,
            columns,
            values: values.into_iter().map(f64::from).collect(),
        }
    }

    fn download(&self, matrix: &Matrix64) -> Result<Vec<f32>, ModelError> {
        Ok(matrix.values.iter().map(|value| *value as f32).collect())
    }

    fn rows(&self, matrix: &Matrix64) -> usize {
        matrix.rows
    }

    fn gather(&self, matrix: &Matrix64, indices: &[usize]) -> Matrix64 {
        let values = indices.iter().flat_map(|row| matrix.row(*row).to_vec()).collect();
        Matrix64 {
            rows: indices.len(),
            columns: matrix.columns,
            values,
        }
    }

    fn slice(&self, matrix: &Matrix64, first: usize, count: usize) -> Matrix64 {
        self.gather(matrix, &(first..first + count).collect::<Vec<_>>())
    }

    fn stack(&self, parts: Vec<Matrix64>) -> Matrix64 {
        let (rows, columns) = (parts.iter().map(|part| part.rows).sum(), parts.first().map_or(0, |part| part.columns));
        Matrix64 {
            rows,
            columns,
            values: parts.into_iter().flat_map(|part| part.values).collect(),
        }
    }

    fn add(&self, mut x: Matrix64, y: &Matrix64) -> Matrix64 {
        for (x, y) in x.values.iter_mut().zip(&y.values) {
            *x += y;
        }
        x
    }

    fn norm(&self, x: &Matrix64, weight: &Matrix64, width: usize, epsilon: f64) -> Matrix64 {
        let mut y = x.clone();
        for group in y.values.chunks_exact_mut(width) {
            let r = 1.0 / (dot(group, group) / width as f64 + epsilon).sqrt();
            for (value, w) in group.iter_mut().zip(&weight.values) {
                *value *= r * w;
            }
        }
        y
    }

    fn norm_backward(&self, x: &Matrix64, weight: &Matrix64, width: usize, epsilon: f64, gradient: &Matrix64) -> Matrix64 {
        let mut dx = x.clone();
        for (group, g) in dx.values.chunks_exact_mut(width).zip(gradient.values.chunks_exact(width)) {
            let r = 1.0 / (dot(group, group) / width as f64 + epsilon).sqrt();
            let weighted: Vec<f64> = g.iter().zip(&weight.values).map(|(g, w)| g * w).collect();
            let mean = dot(&weighted, group) / width as f64;
            for (value, wg) in group.iter_mut().zip(weighted) {
                *value = r * wg - *value * r.powi(3) * mean;
            }
        }
        dx
    }

    fn linear(&self, x: &Matrix64, weight: &Matrix64, bias: Option<&Matrix64>, onto: Option<Matrix64>) -> Matrix64 {
        let mut y = onto.unwrap_or_else(|| Matrix64::zeros(x.rows, weight.rows));
        for row in 0..x.rows {
            for out in 0..weight.rows {
                y.row_mut(row)[out] += dot(x.row(row), weight.row(out)) + bias.map_or(0.0, |bias| bias.values[out]);
            }
        }
        y
    }

    fn linear_backward(&self, gradient: &Matrix64, weight: &Matrix64, onto: Option<Matrix64>) -> Matrix64 {
        let mut dx = onto.unwrap_or_else(|| Matrix64::zeros(gradient.rows, weight.columns));
        for row in 0..gradient.rows {
            for out in 0..weight.rows {
                let g = gradient.row(row)[out];
                for (value, w) in dx.row_mut(row).iter_mut().zip(weight.row(out)) {
                    *value += g * w;
                }
            }
        }
        dx
    }

    fn rotate(&self, mut x: Matrix64, width: usize, cosine: &Matrix64, sine: &Matrix64, turn: RopeDirection) -> Matrix64 {
        let half = width / 2;
        for row in 0..x.rows {
            let (cosine, sine) = (cosine.row(row).to_vec(), sine.row(row).to_vec());
            for head in x.row_mut(row).chunks_exact_mut(width) {
                for i in 0..half {
                    let sine = if turn == RopeDirection::Forward { sine[i] } else { -sine[i] };
                    let (a, b) = (head[i], head[half + i]);
                    head[i] = a * cosine[i] - b * sine;
                    head[half + i] = b * cosine[i] + a * sine;
                }
            }
        }
        x
    }

    fn attention(&self, heads: Heads, queries: &Matrix64, keys: &Matrix64, values: &Matrix64, runs: &[SequenceSpan]) -> Matrix64 {
        let mut output = Matrix64::zeros(queries.rows, queries.columns);
        for (first, run) in SequenceSpan::placed(runs) {
            for row in 0..run.rows {
                for head in 0..heads.queries {
                    let (at, shared) = (head * heads.width, head / heads.group() * heads.width);
                    let p = probabilities(&queries.row(first + row)[at..][..heads.width], keys, shared, run.position + row + 1);
                    for (s, p) in p.into_iter().enumerate() {
                        for i in 0..heads.width {
                            output.row_mut(first + row)[at + i] += p * values.row(s)[shared + i];
                        }
                    }
                }
            }
        }
        output
    }

    fn attention_backward(
        &self,
        heads: Heads,
        queries: &Matrix64,
        keys: &Matrix64,
        values: &Matrix64,
        runs: &[SequenceSpan],
        output: &Matrix64,
        gradient: &Matrix64,
    ) -> (Matrix64, Matrix64, Matrix64) {
        let scale = 1.0 / (heads.width as f64).sqrt();
        let mut dq = Matrix64::zeros(queries.rows, queries.columns);
        let (mut dk, mut dv) = (Matrix64::zeros(queries.rows, keys.columns), Matrix64::zeros(queries.rows, keys.columns));
        for (first, run) in SequenceSpan::placed(runs) {
            for row in first..first + run.rows {
                for head in 0..heads.queries {
                    let (at, shared) = (head * heads.width, head / heads.group() * heads.width);
                    let query = &queries.row(row)[at..][..heads.width];
                    let (o, g) = (&output.row(row)[at..][..heads.width], &gradient.row(row)[at..][..heads.width]);
                    let p = probabilities(query, keys, shared, run.position + row - first + 1);
                    let d = dot(o, g);
                    for (s, p) in p.into_iter().enumerate() {
                        let dp = dot(g, &values.row(s)[shared..][..heads.width]);
                        let ds = p * (dp - d) * scale;
                        for i in 0..heads.width {
                            dq.row_mut(row)[at + i] += ds * keys.row(s)[shared + i];
                            if s >= run.position {
                                let own = first + s - run.position;
                                dk.row_mut(own)[shared + i] += ds * query[i];
                                dv.row_mut(own)[shared + i] += p * g[i];
                            }
                        }
                    }
                }
            }
        }
        (dq, dk, dv)
    }

    fn gated(&self, gate: &Matrix64, up: &Matrix64) -> Matrix64 {
        let values = gate.values.iter().zip(&up.values).map(|(gate, up)| gate * sigmoid(*gate) * up).collect();
        Matrix64 { values, ..*gate }
    }

    fn gated_backward(&self, gate: &Matrix64, up: &Matrix64, gradient: &Matrix64) -> (Matrix64, Matrix64) {
        let (mut dgate, mut dup) = (gate.clone(), up.clone());
        for i in 0..gate.values.len() {
            let (x, u, g, s) = (gate.values[i], up.values[i], gradient.values[i], sigmoid(gate.values[i]));
            dgate.values[i] = g * u * s * (1.0 + x * (1.0 - s));
            dup.values[i] = g * x * s;
        }
        (dgate, dup)
    }

    fn cross_entropy(&self, mut logits: Vec<Matrix64>, targets: &[u32], weights: &[f32]) -> Result<(Vec<f64>, Vec<Matrix64>), ModelError> {
        let mut losses = Vec::new();
        for row in 0..targets.len() {
            let (target, weight) = (targets[row] as usize, f64::from(weights[row]));
            let all: Vec<f64> = logits.iter().flat_map(|part| part.row(row).to_vec()).collect();
            let largest = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = all.iter().map(|logit| (logit - largest).exp()).sum();
            losses.push(if weight == 0.0 { 0.0 } else { weight * (total.ln() + largest - all[target]) });
            let mut column = 0;
            for part in &mut logits {
                for logit in part.row_mut(row) {
                    *logit = weight * ((*logit - largest).exp() / total - f64::from(u8::from(column == target)));
                    column += 1;
                }
            }
        }
        Ok((losses, logits))
    }

    fn row_sums(&self, x: &Matrix64, weights: &[&[f32]], sums: &mut [Vec<f64>]) -> Result<(), ModelError> {
        for (weights, sums) in weights.iter().zip(sums) {
            for row in 0..x.rows {
                for (sum, value) in sums.iter_mut().zip(x.row(row)) {
                    *sum += f64::from(weights[row]) * value;
                }
            }
        }
        Ok(())
    }

    fn linear_vectors(&self, vectors: &[Vec<f64>], weight: &Matrix64, bias: Option<&Matrix64>) -> Result<Vec<Vec<f64>>, ModelError> {
        let output = |vector: &Vec<f64>, row: usize| dot(vector, weight.row(row)) + bias.map_or(0.0, |bias| bias.values[row]);
        Ok(vectors.iter().map(|vector| (0..weight.rows).map(|row| output(vector, row)).collect()).collect())
    }
}
