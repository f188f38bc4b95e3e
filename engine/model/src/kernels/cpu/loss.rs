//! Cross-entropy over a vocabulary that comes in parts.

use crate::wide::wide;
use rayon::prelude::*;

use super::exponential::exp;

/// Losses, and the logits turned into their gradient in place; see [`super::Kernels::cross_entropy`].
pub(super) fn cross_entropy(mut parts: Vec<(usize, &mut [f32])>, targets: &[u32], weights: &[f32]) -> Vec<f64> {
    let mut rows: Vec<Vec<&mut [f32]>> = targets.iter().map(|_| Vec::with_capacity(parts.len())).collect();
    for (columns, values) in &mut parts {
        for (row, values) in rows.iter_mut().zip(values.chunks_exact_mut(*columns)) {
            row.push(values);
        }
    }
    rows.into_par_iter()
        .zip(targets.par_iter().zip(weights))
        .map(|(mut row, (target, weight))| one_row(&mut row, *target as usize, *weight))
        .collect()
}

fn one_row(parts: &mut [&mut [f32]], target: usize, weight: f32) -> f64 {
    if weight == 0.0 {
        parts.iter_mut().for_each(|part| part.fill(0.0));
        return 0.0;
    }
    let mut at_target = f32::NAN;
    let mut first = 0;
    for part in parts.iter() {
        if (first..first + part.len()).contains(&target) {
            at_target = part[target - first];
        }
        first += part.len();
    }
    let largest = parts.iter().map(|part| largest(part)).fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = parts.iter_mut().map(|part| exponentials(part, largest)).sum();
    let loss = f64::from(weight) * (total.ln() + f64::from(largest) - f64::from(at_target));
    let scale = (f64::from(weight) / total) as f32;
    let mut first = 0;
    for part in parts.iter_mut() {
        for value in part.iter_mut() {
            *value *= scale;
        }
        if (first..first + part.len()).contains(&target) {
            part[target - first] -= weight;
        }
        first += part.len();
    }
    loss
}

fn largest(values: &[f32]) -> f32 {
    wide(
        #[inline(always)]
        || {
            let mut lanes = [f32::NEG_INFINITY; 16];
            let (chunks, rest) = values.as_chunks::<16>();
            for chunk in chunks {
                for lane in 0..16 {
                    lanes[lane] = if chunk[lane] > lanes[lane] { chunk[lane] } else { lanes[lane] };
                }
            }
            lanes.into_iter().chain(rest.iter().copied()).fold(f32::NEG_INFINITY, f32::max)
        },
    )
}

/// Replaces each value by exp(value - largest) and gives their sum, in float64 from one block to the next.
fn exponentials(values: &mut [f32], largest: f32) -> f64 {
    wide(
        #[inline(always)]
        || {
            let mut total = 0.0f64;
            for block in values.chunks_mut(1024) {
                let mut lanes = [0.0f32; 16];
                let (chunks, rest) = block.as_chunks_mut::<16>();
                for chunk in chunks {
                    for lane in 0..16 {
                        chunk[lane] = exp(chunk[lane] - largest);
                        lanes[lane] += chunk[lane];
                    }
                }
                for value in rest {
                    *value = exp(*value - largest);
                    lanes[0] += *value;
                }
                total += f64::from(lanes.iter().sum::<f32>());
            }
            total
        },
    )
}
