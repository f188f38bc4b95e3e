//! Norms, rotations, caps and the gated activations over slices of rows.
//!
//! `pulp` compiles each loop once for every instruction set and takes the best one at run time; the loops themselves are
//! plain. Sums over a row run in sixteen lanes, in one order whatever the instruction set.

use crate::wide::wide;

use super::super::RopeDirection;
use super::exponential::exp;
use super::nonlinear::{cap_slope, capped as capped_value, gelu_tanh};

/// Elements that one task works on.
pub(super) const CHUNK: usize = 1 << 14;

/// A chunk that holds whole groups of `width` elements.
pub(super) fn chunk_of(width: usize) -> usize {
    width * (CHUNK / width).max(1)
}

const LANES: usize = 16;

/// Sum of the products of two slices, in [`LANES`] lanes.
#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f32>() + rest
}

/// Elements whose products are summed in float32 before float64 takes over.
const PRODUCT_BLOCK: usize = 1024;

/// Sums of the products of two rows and of their squares, in float64 from one block to the next.
pub(super) fn row_products(a: &[f32], b: &[f32]) -> (f64, f64) {
    let (mut sums, mut squares) = (0.0, 0.0);
    wide(
        #[inline(always)]
        || {
            for (a, b) in a.chunks(PRODUCT_BLOCK).zip(b.chunks(PRODUCT_BLOCK)) {
                let (sum, square) = products(a, b);
                sums += f64::from(sum);
                squares += f64::from(square);
            }
        },
    );
    (sums, squares)
}

/// Sum of the products of two slices and of their squares, in [`LANES`] lanes.
#[inline(always)]
fn products(a: &[f32], b: &[f32]) -> (f32, f32) {
    let (mut sums, mut squares) = ([0.0f32; LANES], [0.0f32; LANES]);
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            let product = a[lane] * b[lane];
            sums[lane] += product;
            squares[lane] += product * product;
        }
    }
    let rest = || a_rest.iter().zip(b_rest).map(|(a, b)| a * b);
    (
        sums.iter().sum::<f32>() + rest().sum::<f32>(),
        squares.iter().sum::<f32>() + rest().map(|product| product * product).sum::<f32>(),
    )
}

/// Dot products of one row with several vectors, in float64.
pub(super) fn dots64(row: &[f32], vectors: &[Vec<f64>]) -> Vec<f64> {
    let mut dots = vec![0.0; vectors.len()];
    wide(
        #[inline(always)]
        || {
            for (dot, vector) in dots.iter_mut().zip(vectors) {
                *dot = dot64(row, vector);
            }
        },
    );
    dots
}

#[inline(always)]
fn dot64(row: &[f32], vector: &[f64]) -> f64 {
    let mut lanes = [0.0f64; LANES];
    let (a_chunks, a_rest) = row.as_chunks::<LANES>();
    let (b_chunks, b_rest) = vector.as_chunks::<LANES>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            lanes[lane] += f64::from(a[lane]) * b[lane];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| f64::from(*a) * b).sum();
    lanes.iter().sum::<f64>() + rest
}

pub(super) fn norm(values: &mut [f32], weight: &[f32], epsilon: f32) {
    let width = weight.len();
    wide(
        #[inline(always)]
        || {
            for row in values.chunks_exact_mut(width) {
                let r = 1.0 / (dot(row, row) / width as f32 + epsilon).sqrt();
                for (value, w) in row.iter_mut().zip(weight) {
                    *value = *value * r * w;
                }
            }
        },
    );
}

/// Turns the gradient at the norm's output into that at its input, in place.
pub(super) fn norm_backward(gradient: &mut [f32], x: &[f32], weight: &[f32], epsilon: f32) {
    let width = weight.len();
    wide(
        #[inline(always)]
        || {
            for (g, x) in gradient.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                for (g, w) in g.iter_mut().zip(weight) {
                    *g *= w;
                }
                let r = 1.0 / (dot(x, x) / width as f32 + epsilon).sqrt();
                let correction = r * r * r * (dot(g, x) / width as f32);
                for (g, x) in g.iter_mut().zip(x) {
                    *g = r * *g - x * correction;
                }
            }
        },
    );
}

/// A row's mean, and one over the deviation from it: sums in float64, since a large mean leaves little of what is taken from it.
fn moments(row: &[f32], epsilon: f64) -> (f32, f32) {
    let width = row.len() as f64;
    let mean = row.iter().map(|value| f64::from(*value)).sum::<f64>() / width;
    let square = row.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / width;
    (mean as f32, (1.0 / (square + epsilon).sqrt()) as f32)
}

/// Norms of rows about their means, in place; a bias that is empty is none.
pub(super) fn layer_norm(values: &mut [f32], weight: &[f32], bias: Option<&[f32]>, epsilon: f64) {
    for row in values.chunks_exact_mut(weight.len()) {
        let (mean, r) = moments(row, epsilon);
        for (value, w) in row.iter_mut().zip(weight) {
            *value = (*value - mean) * r * w;
        }
        for (value, bias) in row.iter_mut().zip(bias.unwrap_or_default()) {
            *value += bias;
        }
    }
}

/// Turns the gradient at such a norm's output into that at its input, in place.
pub(super) fn layer_norm_backward(gradient: &mut [f32], x: &[f32], weight: &[f32], epsilon: f64) {
    let width = weight.len() as f64;
    for (g, x) in gradient.chunks_exact_mut(weight.len()).zip(x.chunks_exact(weight.len())) {
        let (mean, r) = moments(x, epsilon);
        let (mut sum, mut along) = (0.0f64, 0.0f64);
        for ((g, x), w) in g.iter_mut().zip(x).zip(weight) {
            *g *= w;
            sum += f64::from(*g);
            along += f64::from(*g) * f64::from((x - mean) * r);
        }
        let (sum, along) = ((sum / width) as f32, (along / width) as f32);
        for (g, x) in g.iter_mut().zip(x) {
            *g = r * (*g - sum - (x - mean) * r * along);
        }
    }
}

/// x, capped in place.
pub(super) fn capped(values: &mut [f32], cap: f32) {
    wide(
        #[inline(always)]
        || {
            for value in values.iter_mut() {
                *value = capped_value(*value, cap);
            }
        },
    );
}

/// Turns the gradient at the cap's output into that at its input, in place.
pub(super) fn capped_backward(gradient: &mut [f32], x: &[f32], cap: f32) {
    wide(
        #[inline(always)]
        || {
            for (g, x) in gradient.iter_mut().zip(x) {
                *g *= cap_slope(*x, cap);
            }
        },
    );
}

/// Turns neighbours, or a part of each head, where [`rotate`] turns the halves of whole heads: pairs i are (first(i), second(i)).
pub(super) fn rotate_pairs(row: &mut [f32], width: usize, cosine: &[f32], sine: &[f32], turn: RopeDirection, pair: impl Fn(usize) -> (usize, usize)) {
    let sign = if turn == RopeDirection::Forward { 1.0 } else { -1.0 };
    for head in row.chunks_exact_mut(width) {
        for (i, (cosine, sine)) in cosine.iter().zip(sine).enumerate() {
            let (first, second) = pair(i);
            let (x, y, sine) = (head[first], head[second], sign * sine);
            head[first] = x * cosine - y * sine;
            head[second] = y * cosine + x * sine;
        }
    }
}

pub(super) fn rotate(row: &mut [f32], width: usize, cosine: &[f32], sine: &[f32], turn: RopeDirection) {
    let sign = if turn == RopeDirection::Forward { 1.0 } else { -1.0 };
    for head in row.chunks_exact_mut(width) {
        let (a, b) = head.split_at_mut(width / 2);
        for (((a, b), cosine), sine) in a.iter_mut().zip(b).zip(cosine).zip(sine) {
            let (x, y, sine) = (*a, *b, sign * sine);
            *a = x * cosine - y * sine;
            *b = y * cosine + x * sine;
        }
    }
}

/// silu(gate) * up, into `gate`.
pub(super) fn gated(gate: &mut [f32], up: &[f32]) {
    wide(
        #[inline(always)]
        || {
            for (gate, up) in gate.iter_mut().zip(up) {
                *gate = *gate / (1.0 + exp(-*gate)) * up;
            }
        },
    );
}

/// gelu(gate) * up, into `gate`.
pub(super) fn gated_gelu(gate: &mut [f32], up: &[f32]) {
    wide(
        #[inline(always)]
        || {
            for (gate, up) in gate.iter_mut().zip(up) {
                *gate = gelu_tanh(*gate).0 * up;
            }
        },
    );
}

/// Gradients of it at gate and up, written over them.
pub(super) fn gated_gelu_backward(gate: &mut [f32], up: &mut [f32], gradient: &[f32]) {
    wide(
        #[inline(always)]
        || {
            for ((gate, up), g) in gate.iter_mut().zip(up.iter_mut()).zip(gradient) {
                let (value, slope) = gelu_tanh(*gate);
                *gate = g * *up * slope;
                *up = g * value;
            }
        },
    );
}

/// Where gpt-oss clamps, and the steepness of its sigmoid.
const CLAMP: f32 = 7.0;
const STEEPNESS: f32 = 1.702;

/// min(gate, 7) sigmoid(1.702 min(gate, 7)) * (clamp(up) + 1), into `gate`.
pub(super) fn gated_clamped(gate: &mut [f32], up: &[f32]) {
    wide(
        #[inline(always)]
        || {
            for (gate, up) in gate.iter_mut().zip(up) {
                let x = gate.min(CLAMP);
                *gate = x / (1.0 + exp(-STEEPNESS * x)) * (up.clamp(-CLAMP, CLAMP) + 1.0);
            }
        },
    );
}

/// Gradients of it at gate and up, written over them.
pub(super) fn gated_clamped_backward(gate: &mut [f32], up: &mut [f32], gradient: &[f32]) {
    wide(
        #[inline(always)]
        || {
            for ((gate, up), g) in gate.iter_mut().zip(up.iter_mut()).zip(gradient) {
                let (x, u) = (gate.min(CLAMP), up.clamp(-CLAMP, CLAMP));
                let s = 1.0 / (1.0 + exp(-STEEPNESS * x));
                let slope = s * (1.0 + STEEPNESS * x * (1.0 - s));
                *gate = if *gate > CLAMP { 0.0 } else { g * (u + 1.0) * slope };
                *up = if up.abs() > CLAMP { 0.0 } else { g * (x * s) };
            }
        },
    );
}

/// max(gate, 0)^2 * up, into `gate`.
pub(super) fn gated_squared(gate: &mut [f32], up: &[f32]) {
    for (gate, up) in gate.iter_mut().zip(up) {
        let x = gate.max(0.0);
        *gate = x * x * up;
    }
}

/// Gradients of it at gate and up, written over them.
pub(super) fn gated_squared_backward(gate: &mut [f32], up: &mut [f32], gradient: &[f32]) {
    for ((gate, up), g) in gate.iter_mut().zip(up.iter_mut()).zip(gradient) {
        let x = gate.max(0.0);
        *gate = g * *up * 2.0 * x;
        *up = g * (x * x);
    }
}

/// sigmoid(gate) * up, into `gate`.
pub(super) fn gated_sigmoid(gate: &mut [f32], up: &[f32]) {
    wide(
        #[inline(always)]
        || {
            for (gate, up) in gate.iter_mut().zip(up) {
                *gate = 1.0 / (1.0 + exp(-*gate)) * up;
            }
        },
    );
}

/// Gradients of it at gate and up, written over them.
pub(super) fn gated_sigmoid_backward(gate: &mut [f32], up: &mut [f32], gradient: &[f32]) {
    wide(
        #[inline(always)]
        || {
            for ((gate, up), g) in gate.iter_mut().zip(up.iter_mut()).zip(gradient) {
                let s = 1.0 / (1.0 + exp(-*gate));
                *gate = g * *up * (s * (1.0 - s));
                *up = g * s;
            }
        },
    );
}

/// Gradients at gate and up, written over them.
pub(super) fn gated_backward(gate: &mut [f32], up: &mut [f32], gradient: &[f32]) {
    wide(
        #[inline(always)]
        || {
            for ((gate, up), g) in gate.iter_mut().zip(up.iter_mut()).zip(gradient) {
                let (x, u) = (*gate, *up);
                let s = 1.0 / (1.0 + exp(-x));
                *gate = g * u * (s * (1.0 + x * (1.0 - s)));
                *up = g * (x * s);
            }
        },
    );
}
