//! Norms, rotations and the gated activation over slices of rows.
//!
//! `pulp` compiles each loop once for every instruction set and takes the best one at run time; the loops themselves are
//! plain. Sums over a row run in sixteen lanes, in one order whatever the instruction set.

use pulp::Arch;

use super::super::RopeDirection;
use super::exponential::exp;

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

/// Dot products of one row with several vectors, in float64.
pub(super) fn dots64(row: &[f32], vectors: &[Vec<f64>]) -> Vec<f64> {
    Arch::new().dispatch(|| vectors.iter().map(|vector| dot64(row, vector)).collect())
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
    Arch::new().dispatch(|| {
        for row in values.chunks_exact_mut(width) {
            let r = 1.0 / (dot(row, row) / width as f32 + epsilon).sqrt();
            for (value, w) in row.iter_mut().zip(weight) {
                *value = *value * r * w;
            }
        }
    });
}

/// Turns the gradient at the norm's output into that at its input, in place.
pub(super) fn norm_backward(gradient: &mut [f32], x: &[f32], weight: &[f32], epsilon: f32) {
    let width = weight.len();
    Arch::new().dispatch(|| {
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
    });
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
    Arch::new().dispatch(|| {
        for (gate, up) in gate.iter_mut().zip(up) {
            *gate = *gate / (1.0 + exp(-*gate)) * up;
        }
    });
}

/// Gradients at gate and up, written over them.
pub(super) fn gated_backward(gate: &mut [f32], up: &mut [f32], gradient: &[f32]) {
    Arch::new().dispatch(|| {
        for ((gate, up), g) in gate.iter_mut().zip(up.iter_mut()).zip(gradient) {
            let (x, u) = (*gate, *up);
            let s = 1.0 / (1.0 + exp(-x));
            *gate = g * u * (s * (1.0 + x * (1.0 - s)));
            *up = g * (x * s);
        }
    });
}
