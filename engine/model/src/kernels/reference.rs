//! The kernels as plain float64 loops: what the fast ones must agree with.
//!
//! Nothing here is tuned; every loop is the formula in [`Kernels`]. It runs whole tiny models, never a real one.

mod calibration;
mod generation;
mod rounding;

use cruxscope_checkpoint::{Activation, InputRounding, RopePairs, Router};

use super::{ColumnRun, Heads, Kernels, RopeDirection, RowProducts, SequenceSpan};
use crate::ModelError;
use crate::routing;

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

/// What the gated activation multiplies up by ([`Activation`]), and its slope; and what it makes of up, and that slope. The slope of
/// x sigmoid(v) is s + x s (1 - s) v', with s = sigmoid(v).
fn activated(activation: Activation, x: f64, up: f64) -> [f64; 4] {
    let (v, slope) = match activation {
        Activation::Silu => (x, 1.0),
        Activation::SquaredRelu => return [x.max(0.0).powi(2), 2.0 * x.max(0.0), up, 1.0],
        Activation::Sigmoid => {
            let s = sigmoid(x);
            return [s, s * (1.0 - s), up, 1.0];
        }
        Activation::ClampedSwish => {
            let (y, s) = (x.min(7.0), sigmoid(1.702 * x.min(7.0)));
            let slope = if x > 7.0 { 0.0 } else { s + 1.702 * y * s * (1.0 - s) };
            return [y * s, slope, up.clamp(-7.0, 7.0) + 1.0, f64::from(u8::from((-7.0..=7.0).contains(&up)))];
        }
        Activation::GeluTanh => {
            let root = 2.0 * (2.0 / std::f64::consts::PI).sqrt();
            (root * (x + 0.044715 * x.powi(3)), root * (1.0 + 3.0 * 0.044715 * x.powi(2)))
        }
    };
    let s = sigmoid(v);
    [x * s, s + x * s * (1.0 - s) * slope, up, 1.0]
}

/// A row less its mean, and one over its deviation.
fn centred(row: &[f64], epsilon: f64) -> (Vec<f64>, f64) {
    let mean = row.iter().sum::<f64>() / row.len() as f64;
    let centred: Vec<f64> = row.iter().map(|value| value - mean).collect();
    let r = 1.0 / (dot(&centred, &centred) / row.len() as f64 + epsilon).sqrt();
    (centred, r)
}

/// What a query's score with a key is, and its slope by the scaled product: c tanh(s / c) and 1 - tanh(s / c)^2.
fn score(heads: Heads, query: &[f64], key: &[f64]) -> (f64, f64) {
    let scaled = heads.scale() * dot(query, key);
    match heads.cap {
        None => (scaled, 1.0),
        Some(cap) => (cap * (scaled / cap).tanh(), (scaled / cap).cosh().powi(-2)),
    }
}

/// Softmax of the scores of one query over the keys it sees, those at positions up to `seen`; zero for those before its window. A sink
/// takes its share and is left out.
fn probabilities(heads: Heads, query: &[f64], keys: &Matrix64, first_column: usize, sink: Option<f64>, seen: usize) -> Vec<f64> {
    let of_key = |s: usize| score(heads, query, &keys.row(s)[first_column..][..query.len()]).0;
    let first = heads.first_seen(seen - 1);
    let scores: Vec<f64> = (0..seen).map(|s| if s < first { f64::NEG_INFINITY } else { of_key(s) }).collect();
    let largest = scores.iter().copied().chain(sink).fold(f64::NEG_INFINITY, f64::max);
    let exponentials: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
    let total: f64 = exponentials.iter().sum::<f64>() + sink.map_or(0.0, |sink| (sink - largest).exp());
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

    fn wide(&self, matrix: &Matrix64) -> Result<Vec<f64>, ModelError> {
        Ok(matrix.values.clone())
    }

    fn upload_wide(&self, rows: usize, columns: usize, values: Vec<f64>) -> Matrix64 {
        Matrix64 { rows, columns, values }
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

    fn scaled(&self, mut x: Matrix64, factor: f64) -> Matrix64 {
        x.values.iter_mut().for_each(|value| *value *= factor);
        x
    }

    fn rounded(&self, x: &Matrix64, rounding: &InputRounding) -> Matrix64 {
        rounding::rounded(x, rounding)
    }

    fn capped(&self, mut x: Matrix64, cap: f64) -> Matrix64 {
        x.values.iter_mut().for_each(|value| *value = cap * (*value / cap).tanh());
        x
    }

    fn capped_backward(&self, x: &Matrix64, cap: f64, mut gradient: Matrix64) -> Matrix64 {
        for (g, x) in gradient.values.iter_mut().zip(&x.values) {
            *g *= (x / cap).cosh().powi(-2);
        }
        gradient
    }

    fn layer_norm(&self, x: &Matrix64, weight: &Matrix64, epsilon: f64) -> Matrix64 {
        let mut y = x.clone();
        for row in y.values.chunks_exact_mut(weight.columns) {
            let (centred, r) = centred(row, epsilon);
            for (column, ((value, c), w)) in row.iter_mut().zip(centred).zip(&weight.values).enumerate() {
                *value = w * c * r + if weight.rows > 1 { weight.row(1)[column] } else { 0.0 };
            }
        }
        y
    }

    fn layer_norm_backward(&self, x: &Matrix64, weight: &Matrix64, epsilon: f64, gradient: &Matrix64) -> Matrix64 {
        let mut dx = x.clone();
        let width = weight.columns as f64;
        for (row, g) in dx.values.chunks_exact_mut(weight.columns).zip(gradient.values.chunks_exact(weight.columns)) {
            let (centred, r) = centred(row, epsilon);
            let z: Vec<f64> = centred.into_iter().map(|c| c * r).collect();
            let h: Vec<f64> = g.iter().zip(&weight.values).map(|(g, w)| g * w).collect();
            let (mean, along) = (h.iter().sum::<f64>() / width, dot(&h, &z) / width);
            for ((value, h), z) in row.iter_mut().zip(h).zip(z) {
                *value = r * (h - mean - z * along);
            }
        }
        dx
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

    fn rotate(&self, mut x: Matrix64, width: usize, pairs: RopePairs, cosine: &Matrix64, sine: &Matrix64, turn: RopeDirection) -> Matrix64 {
        let half = cosine.columns;
        for row in 0..x.rows {
            let (cosine, sine) = (cosine.row(row).to_vec(), sine.row(row).to_vec());
            for head in x.row_mut(row).chunks_exact_mut(width) {
                for i in 0..half {
                    let sine = if turn == RopeDirection::Forward { sine[i] } else { -sine[i] };
                    let (first, second) = match pairs {
                        RopePairs::Halves => (i, half + i),
                        RopePairs::Neighbours => (2 * i, 2 * i + 1),
                    };
                    let (a, b) = (head[first], head[second]);
                    head[first] = a * cosine[i] - b * sine;
                    head[second] = b * cosine[i] + a * sine;
                }
            }
        }
        x
    }

    fn attention(&self, heads: Heads, queries: &Matrix64, keys: &Matrix64, values: &Matrix64, sinks: Option<&Matrix64>, runs: &[SequenceSpan]) -> Matrix64 {
        let mut output = Matrix64::zeros(queries.rows, queries.columns);
        for (first, run) in SequenceSpan::placed(runs) {
            for row in 0..run.rows {
                for head in 0..heads.queries {
                    let (at, shared) = (head * heads.width, head / heads.group() * heads.width);
                    let p = probabilities(
                        heads,
                        &queries.row(first + row)[at..][..heads.width],
                        keys,
                        shared,
                        sinks.map(|sinks| sinks.values[head]),
                        run.position + row + 1,
                    );
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
        sinks: Option<&Matrix64>,
        runs: &[SequenceSpan],
        output: &Matrix64,
        gradient: &Matrix64,
    ) -> (Matrix64, Matrix64, Matrix64) {
        let mut dq = Matrix64::zeros(queries.rows, queries.columns);
        let (mut dk, mut dv) = (Matrix64::zeros(queries.rows, keys.columns), Matrix64::zeros(queries.rows, keys.columns));
        for (first, run) in SequenceSpan::placed(runs) {
            for row in first..first + run.rows {
                for head in 0..heads.queries {
                    let (at, shared) = (head * heads.width, head / heads.group() * heads.width);
                    let query = &queries.row(row)[at..][..heads.width];
                    let (o, g) = (&output.row(row)[at..][..heads.width], &gradient.row(row)[at..][..heads.width]);
                    let sink = sinks.map(|sinks| sinks.values[head]);
                    let p = probabilities(heads, query, keys, shared, sink, run.position + row - first + 1);
                    let d = dot(o, g);
                    for (s, p) in p.into_iter().enumerate() {
                        let dp = dot(g, &values.row(s)[shared..][..heads.width]);
                        let slope = score(heads, query, &keys.row(s)[shared..][..heads.width]).1;
                        let ds = p * (dp - d) * heads.scale() * slope;
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

    fn arrange(&self, parts: &[&Matrix64], runs: &[ColumnRun]) -> Matrix64 {
        let rows = parts.first().map_or(0, |part| part.rows);
        let mut out = Matrix64::zeros(rows, runs.iter().map(|run| run.count).sum());
        for row in 0..rows {
            let mut at = 0;
            for run in runs {
                if let Some(part) = run.part {
                    out.row_mut(row)[at..at + run.count].copy_from_slice(&parts[part].row(row)[run.first..run.first + run.count]);
                }
                at += run.count;
            }
        }
        out
    }

    fn arrange_backward(&self, gradient: &Matrix64, widths: &[usize], runs: &[ColumnRun]) -> Vec<Matrix64> {
        let mut back: Vec<Matrix64> = widths.iter().map(|width| Matrix64::zeros(gradient.rows, *width)).collect();
        for row in 0..gradient.rows {
            let mut at = 0;
            for run in runs {
                for column in 0..run.count {
                    if let Some(part) = run.part {
                        back[part].row_mut(row)[run.first + column] += gradient.row(row)[at + column];
                    }
                }
                at += run.count;
            }
        }
        back
    }

    fn add_rows(&self, mut onto: Matrix64, rows: &[usize], x: &Matrix64) -> Matrix64 {
        for (index, row) in rows.iter().enumerate() {
            for (value, x) in onto.row_mut(*row).iter_mut().zip(x.row(index)) {
                *value += x;
            }
        }
        onto
    }

    fn scaled_rows(&self, mut x: Matrix64, factors: &Matrix64) -> Matrix64 {
        for row in 0..x.rows {
            x.row_mut(row).iter_mut().for_each(|value| *value *= factors.values[row]);
        }
        x
    }

    fn row_dots(&self, x: &Matrix64, y: &Matrix64) -> Matrix64 {
        Matrix64 {
            rows: x.rows,
            columns: 1,
            values: (0..x.rows).map(|row| dot(x.row(row), y.row(row))).collect(),
        }
    }

    /// These three without the rounding of what comes back from a device.
    fn choose(&self, router: &Router, outputs: &Matrix64, bias: Option<&[f32]>) -> Result<Vec<usize>, ModelError> {
        Ok((0..outputs.rows).flat_map(|row| routing::choose(router, outputs.row(row), bias)).collect())
    }

    fn choice_weights(&self, router: &Router, outputs: &Matrix64, experts: &[usize]) -> Result<Matrix64, ModelError> {
        let chosen = experts.chunks_exact(router.chosen).enumerate();
        Ok(Matrix64 {
            rows: experts.len(),
            columns: 1,
            values: chosen.flat_map(|(row, experts)| routing::weights(router, outputs.row(row), experts)).collect(),
        })
    }

    fn choice_weights_backward(&self, router: &Router, outputs: &Matrix64, experts: &[usize], gradient: &Matrix64) -> Result<Matrix64, ModelError> {
        let chosen = experts.chunks_exact(router.chosen).zip(gradient.values.chunks_exact(router.chosen));
        let values = (chosen.enumerate())
            .flat_map(|(row, (experts, gradient))| routing::weights_backward(router, outputs.row(row), experts, gradient))
            .collect();
        Ok(Matrix64 { values, ..*outputs })
    }

    fn gated(&self, activation: Activation, gate: &Matrix64, up: &Matrix64) -> Matrix64 {
        let values = gate
            .values
            .iter()
            .zip(&up.values)
            .map(|(gate, up)| {
                let [value, _, up, _] = activated(activation, *gate, *up);
                value * up
            })
            .collect();
        Matrix64 { values, ..*gate }
    }

    fn gated_backward(&self, activation: Activation, gate: &Matrix64, up: &Matrix64, gradient: &Matrix64) -> (Matrix64, Matrix64) {
        let (mut dgate, mut dup) = (gate.clone(), up.clone());
        for i in 0..gate.values.len() {
            let g = gradient.values[i];
            let [value, slope, u, slope_of_up] = activated(activation, gate.values[i], up.values[i]);
            dgate.values[i] = g * u * slope;
            dup.values[i] = g * value * slope_of_up;
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

    fn row_products(&self, x: &Matrix64, y: &Matrix64) -> Result<RowProducts, ModelError> {
        let squares = |row: usize| x.row(row).iter().zip(y.row(row)).map(|(x, y)| (x * y).powi(2)).sum();
        Ok(RowProducts {
            sums: (0..x.rows).map(|row| dot(x.row(row), y.row(row))).collect(),
            squares: (0..x.rows).map(squares).collect(),
        })
    }
}
