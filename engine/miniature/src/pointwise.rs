//! The parts of a Llama model that are no products: normalisation, rotation, softmax and gate, forward and back.

use pulp::Arch;

use crate::layout::{EPSILON, THETA};

/// e to a power, to about 1 in 10⁷, in a form that compilers turn into vector code.
#[inline(always)]
pub fn exponential(power: f32) -> f32 {
    let power = power.clamp(-87.0, 88.0);
    let magic = 12_582_912.0_f32;
    let whole = (power * std::f32::consts::LOG2_E + magic) - magic;
    let rest = power - whole * 0.693_359_4 - whole * -2.121_944_4e-4;
    let mut value = 1.987_569_1e-4_f32;
    for factor in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_66, 0.5] {
        value = value * rest + factor;
    }
    let value = value * rest * rest + rest + 1.0;
    value * f32::from_bits(((whole as i32 + 127) << 23) as u32)
}

/// A sum in eight lanes.
#[inline(always)]
fn sum(terms: impl Fn(usize) -> f32, count: usize) -> f32 {
    let mut lanes = [0.0_f32; 8];
    for block in 0..count / 8 {
        for lane in 0..8 {
            lanes[lane] += terms(block * 8 + lane);
        }
    }
    let rest: f32 = (count / 8 * 8..count).map(&terms).sum();
    lanes.iter().sum::<f32>() + rest
}

/// Root-mean-square normalisation, row by row; keeps each row's factor.
pub fn normalise(out: &mut [f32], factors: &mut [f32], input: &[f32], weight: &[f32]) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            let width = weight.len();
            for ((out, input), factor) in out.chunks_exact_mut(width).zip(input.chunks_exact(width)).zip(factors.iter_mut()) {
                *factor = 1.0 / (sum(|at| input[at] * input[at], width) / width as f32 + EPSILON).sqrt();
                for at in 0..width {
                    out[at] = input[at] * *factor * weight[at];
                }
            }
        },
    );
}

/// The gradients of [`normalise`], added to those of its input and of its weight.
pub fn normalise_back(slope: &[f32], factors: &[f32], input: &[f32], weight: &[f32], input_slope: &mut [f32], weight_slope: &mut [f32]) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            let width = weight.len();
            let weight_slope = &mut weight_slope[..width];
            for (row, factor) in factors.iter().copied().enumerate() {
                let place = row * width..(row + 1) * width;
                let (slope, input) = (&slope[place.clone()], &input[place.clone()]);
                let input_slope = &mut input_slope[place];
                let along = sum(|at| slope[at] * weight[at] * input[at], width) * factor * factor / width as f32;
                for at in 0..width {
                    weight_slope[at] += slope[at] * input[at] * factor;
                    input_slope[at] += factor * (slope[at] * weight[at] - input[at] * along);
                }
            }
        },
    );
}

/// Cosines and sines of the rotary angles: for each position, for half a head.
#[derive(Clone, Debug)]
pub struct Rotation {
    half: usize,
    cosines: Vec<f32>,
    sines: Vec<f32>,
}

impl Rotation {
    /// The angles of the first positions.
    pub fn new(positions: usize, head: usize) -> Self {
        let half = head / 2;
        let angle = |place: usize| {
            let (position, pair) = (place / half, place % half);
            position as f64 / THETA.powf(2.0 * pair as f64 / head as f64)
        };
        let count = positions * half;
        Self {
            half,
            cosines: (0..count).map(|place| angle(place).cos() as f32).collect(),
            sines: (0..count).map(|place| angle(place).sin() as f32).collect(),
        }
    }

    /// Turns every head of one token; `direction` is 1 forward and -1 back.
    pub fn turn(&self, heads: &mut [f32], position: usize, direction: f32) {
        let half = self.half;
        let place = position * half..(position + 1) * half;
        let (cosines, sines) = (&self.cosines[place.clone()], &self.sines[place]);
        for head in heads.chunks_exact_mut(2 * half) {
            let (first, second) = head.split_at_mut(half);
            for at in 0..half {
                let (left, right) = (first[at], second[at]);
                let (cosine, sine) = (cosines[at], direction * sines[at]);
                first[at] = left * cosine - right * sine;
                second[at] = right * cosine + left * sine;
            }
        }
    }

    /// Turns every head of sequences of `length` tokens.
    pub fn turn_all(&self, values: &mut [f32], width: usize, length: usize, direction: f32) {
        for (row, heads) in values.chunks_exact_mut(width).enumerate() {
            self.turn(heads, row % length, direction);
        }
    }
}

/// Softmax of each row of a square over the places up to its own; zero beyond.
pub fn causal_softmax(square: &mut [f32], length: usize) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for (row, values) in square.chunks_exact_mut(length).enumerate() {
                values[row + 1..].fill(0.0);
                softmax(&mut values[..=row]);
            }
        },
    );
}

/// Softmax of one row; gives the logarithm of the sum.
#[inline(always)]
pub fn softmax(values: &mut [f32]) -> f32 {
    let highest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for value in values.iter_mut() {
        *value = exponential(*value - highest);
    }
    let total = sum(|at| values[at], values.len());
    let factor = 1.0 / total;
    for value in values.iter_mut() {
        *value *= factor;
    }
    highest + total.ln()
}

/// The gradient of [`causal_softmax`], in place of the slope of its results.
pub fn causal_softmax_back(slope: &mut [f32], results: &[f32], length: usize) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for (row, (slope, results)) in slope.chunks_exact_mut(length).zip(results.chunks_exact(length)).enumerate() {
                slope[row + 1..].fill(0.0);
                let (slope, results) = (&mut slope[..=row], &results[..=row]);
                let mean = sum(|at| slope[at] * results[at], row + 1);
                for at in 0..=row {
                    slope[at] = results[at] * (slope[at] - mean);
                }
            }
        },
    );
}

/// The gate of the feed-forward block: `silu(gate) · up`.
pub fn gated(out: &mut [f32], gate: &[f32], up: &[f32]) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
                *out = gate / (1.0 + exponential(-gate)) * up;
            }
        },
    );
}

/// The gradients of [`gated`]: `slope` becomes that of the gate, `up_slope` that of the other input.
pub fn gated_back(slope: &mut [f32], up_slope: &mut [f32], gate: &[f32], up: &[f32]) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for (((slope, up_slope), gate), up) in slope.iter_mut().zip(up_slope).zip(gate).zip(up) {
                let share = 1.0 / (1.0 + exponential(-gate));
                *up_slope = *slope * gate * share;
                *slope *= up * share * (1.0 + gate * (1.0 - share));
            }
        },
    );
}

/// Cross-entropy of each row of logits against its target, weighted; the logits become their own gradient.
pub fn cross_entropy(logits: &mut [f32], targets: &[u32], weights: &[f32]) -> f64 {
    let width = logits.len() / targets.len();
    let mut loss = 0.0;
    for ((row, target), weight) in logits.chunks_exact_mut(width).zip(targets).zip(weights) {
        let target = *target as usize;
        let logit = row[target];
        let total = Arch::new().dispatch(
            #[inline(always)]
            || softmax(row),
        );
        loss += f64::from((total - logit) * weight);
        row[target] -= 1.0;
        for value in row.iter_mut() {
            *value *= weight;
        }
    }
    loss
}
