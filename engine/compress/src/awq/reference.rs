//! The searches in float64 and plain loops, straight from the formulas, to hold the fast ones against.

use cruxscope_checkpoint::{LayerWeights, Matrix, Projection};

use super::rounding::Rounding;
use super::{AwqSettings, BlockShape};

/// `Q(W s) / s`, rounded in float32 as everywhere.
pub(super) fn through_scale(weight: &Matrix, scale: &[f32], settings: &AwqSettings) -> Matrix {
    let mut rounded = weight.clone();
    let rounding = Rounding::new(settings, weight.columns);
    for (row, rounded) in weight.values.chunks(weight.columns).zip(rounded.values.chunks_mut(weight.columns)) {
        rounding.through_scale(row, scale, rounded);
    }
    rounded
}

/// `mean_t,o ((W − W') x)²`.
pub(super) fn output_error(weight: &Matrix, rounded: &Matrix, inputs: &Matrix) -> f64 {
    let mut sum = 0.0;
    for token in 0..inputs.rows {
        for output in 0..weight.rows {
            let weights = weight.row(output).iter().zip(rounded.row(output)).map(|(w, r)| f64::from(*w) - f64::from(*r));
            let error: f64 = weights.zip(inputs.row(token)).map(|(d, x)| d * f64::from(*x)).sum();
            sum += error * error;
        }
    }
    sum / (inputs.rows * weight.rows) as f64
}

/// The clipping limits of a scaled weight by running over every token, with inputs divided by the scale.
pub(super) fn limits(weight: &Matrix, inputs: &Matrix, scale: &[f32], settings: &AwqSettings) -> Matrix {
    let rounding = Rounding::new(settings, weight.columns);
    let groups = settings.group_size.groups(weight.columns);
    let mut limits = Vec::new();
    for row in 0..weight.rows {
        for group in 0..groups {
            let columns = group * rounding.group()..((group + 1) * rounding.group()).min(weight.columns);
            let weights = &weight.row(row)[columns.clone()];
            let largest = weights.iter().fold(0.0f32, |largest, weight| largest.max(weight.abs()));
            let mut best = (f64::INFINITY, 0.0);
            for step in 0..10 {
                let limit = largest * (1.0 - f64::from(step) / 20.0) as f32;
                let mut rounded: Vec<f32> = weights.iter().map(|weight| weight.clamp(-limit, limit)).collect();
                rounding.round_group(&mut rounded);
                let mut sum = 0.0;
                for token in 0..inputs.rows {
                    let x = columns.clone().map(|column| f64::from(inputs.row(token)[column]) / f64::from(scale[column]));
                    let errors = x.zip(&rounded).zip(weights).map(|((x, r), w)| x * (f64::from(*r) - f64::from(*w)));
                    sum += errors.sum::<f64>().powi(2);
                }
                if sum < best.0 {
                    best = (sum, limit);
                }
            }
            limits.push(best.1);
        }
    }
    Matrix {
        rows: weight.rows,
        columns: groups,
        values: limits,
    }
}

/// A layer on hidden states, token by token, in float64: `[tokens, hidden]` after it.
pub(super) fn run_layer(layer: &LayerWeights, shape: &BlockShape, hidden: &Matrix, lengths: &[usize]) -> Vec<f64> {
    let [query, key, value, output, gate, up, down] = layer.projections.first_chunk().unwrap();
    let half = shape.head_dim / 2;
    let frequencies = shape.rope.inverse_frequencies(shape.head_dim);
    let mut after = Vec::new();
    let mut first = 0;
    for length in lengths {
        let mut keys: Vec<Vec<f64>> = Vec::new();
        let mut values: Vec<Vec<f64>> = Vec::new();
        for position in 0..*length {
            let x: Vec<f64> = hidden.row(first + position).iter().map(|x| f64::from(*x)).collect();
            let normed = norm(&x, &layer.attention_norm, shape.norm_epsilon);
            let heads = |projection: &Projection, weight: &Option<Vec<f32>>| -> Vec<f64> {
                let turn = |head: &[f64]| {
                    let head = weight.as_ref().map_or(head.to_vec(), |weight| norm(head, weight, shape.norm_epsilon));
                    let angle = |j: usize| (position as f64 * frequencies[j]).sin_cos();
                    let low = (0..half).map(|j| head[j] * angle(j).1 - head[j + half] * angle(j).0);
                    let high = (0..half).map(|j| head[j + half] * angle(j).1 + head[j] * angle(j).0);
                    low.chain(high).collect::<Vec<f64>>()
                };
                linear(&normed, projection).chunks(shape.head_dim).flat_map(turn).collect()
            };
            let q = heads(query, &layer.query_norm);
            keys.push(heads(key, &layer.key_norm));
            values.push(linear(&normed, value));
            let mut mixed = Vec::new();
            for head in 0..shape.heads {
                let shared = head / (shape.heads / shape.key_value_heads) * shape.head_dim;
                let q = &q[head * shape.head_dim..][..shape.head_dim];
                let dot = |k: &Vec<f64>| q.iter().zip(&k[shared..]).map(|(q, k)| q * k).sum::<f64>();
                let shares: Vec<f64> = keys.iter().map(|k| (dot(k) / (shape.head_dim as f64).sqrt()).exp()).collect();
                let sum: f64 = shares.iter().sum();
                mixed.extend((0..shape.head_dim).map(|j| shares.iter().zip(&values).map(|(share, v)| share * v[shared + j]).sum::<f64>() / sum));
            }
            let x: Vec<f64> = x.iter().zip(linear(&mixed, output)).map(|(x, y)| x + y).collect();
            let normed = norm(&x, &layer.feed_forward_norm, shape.norm_epsilon);
            let inner: Vec<f64> = linear(&normed, gate)
                .iter()
                .zip(linear(&normed, up))
                .map(|(g, u)| g / (1.0 + (-g).exp()) * u)
                .collect();
            after.extend(x.iter().zip(linear(&inner, down)).map(|(x, y)| x + y));
        }
        first += length;
    }
    after
}

fn norm(x: &[f64], weight: &[f32], epsilon: f64) -> Vec<f64> {
    let mean_square = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
    x.iter().zip(weight).map(|(x, w)| x * f64::from(*w) / (mean_square + epsilon).sqrt()).collect()
}

fn linear(x: &[f64], projection: &Projection) -> Vec<f64> {
    let output = |row: usize| {
        let sum: f64 = projection.weight.row(row).iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum();
        sum + projection.bias.as_ref().map_or(0.0, |bias| f64::from(bias[row]))
    };
    (0..projection.weight.rows).map(output).collect()
}
