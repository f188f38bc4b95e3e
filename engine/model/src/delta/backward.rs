//! The way of a gradient back through a gated delta rule, over the rows of segments whose states and tails at their first rows are constants.
//!
//! For one head and token, with P = γ S the state after its decay, u = β (v − Pᵀ k), S' = P + k ⊗ u and o = S'ᵀ q, and G the gradient at
//! S' from later tokens:
//!
//! G += q ⊗ do, dq = S' do; dk = G u, du = Gᵀ k; dβ = du · (v − Pᵀ k), dv = β du, dn = −β du; G += k ⊗ dn, dk += P dn; dγ = ⟨G, S⟩, G ← γ G.
//!
//! States of single tokens are not kept: those at every [`STRIDE`]-th are, and the tokens between are written again. Heads are taken by
//! several threads, each alone, and those that share a key add up in their order. All in float64 on the host.

use std::ops::Range;

use cruxscope_checkpoint::{DeltaRule, DeltaWeights};
use rayon::prelude::*;

use super::{DeltaRows, DeltaState, HeadToken, LENGTH_FLOOR, along, columns, convolved, nothing, sigmoid};
use crate::ModelError;
use crate::kernels::Kernels;

/// Tokens from one kept state to the next.
const STRIDE: usize = 16;

/// Gradient at x of x f / √(|x|² + floor), given that at the result.
fn of_length_backward(values: &[f64], factor: f64, gradient: &[f64]) -> Vec<f64> {
    let square: f64 = values.iter().map(|value| value * value).sum::<f64>() + LENGTH_FLOOR;
    let along: f64 = values.iter().zip(gradient).map(|(value, g)| value * g).sum();
    let scale = factor / square.sqrt();
    values.iter().zip(gradient).map(|(value, g)| scale * (g - value * along / square)).collect()
}

fn silu_slope(x: f64) -> f64 {
    let s = sigmoid(x);
    s * (1.0 + x * (1.0 - s))
}

/// Gradients of one head over the rows of a run, one token after the other.
struct OfHead {
    query: Vec<f64>,
    key: Vec<f64>,
    value: Vec<f64>,
    gate: Vec<f64>,
    beta: Vec<f64>,
    decay: Vec<f64>,
}

/// One head over a run.
struct Head<'a> {
    rule: &'a DeltaRule,
    weights: &'a DeltaWeights,
    epsilon: f64,
    head: usize,
    given: &'a DeltaRows,
    /// Rows of the run.
    rows: Range<usize>,
    /// Channels of its rows after the convolution and silu.
    mixed: &'a [Vec<f64>],
    /// At what the last map reads, `[n, value heads * value width]`.
    gradient: &'a [f64],
}

impl Head<'_> {
    fn token(&self, index: usize) -> HeadToken {
        let token = self.given.token(self.rule, self.rows.start + index);
        HeadToken::new(self.rule, self.weights, self.head, &self.mixed[index], &token)
    }

    fn backward(&self, start: &[f64]) -> OfHead {
        let (rule, count) = (self.rule, self.rows.len());
        let mut kept = Vec::with_capacity(count.div_ceil(STRIDE));
        let mut state = start.to_vec();
        for index in 0..count {
            if index % STRIDE == 0 {
                kept.push(state.clone());
            }
            self.token(index).write(&mut state);
        }
        let mut out = OfHead {
            query: vec![0.0; count * rule.key_dim],
            key: vec![0.0; count * rule.key_dim],
            value: vec![0.0; count * rule.value_dim],
            gate: vec![0.0; count * rule.value_dim],
            beta: vec![0.0; count],
            decay: vec![0.0; count],
        };
        let mut at_state = vec![0.0; state.len()];
        for (block, state) in kept.into_iter().enumerate().rev() {
            let tokens = block * STRIDE..count.min((block + 1) * STRIDE);
            // The state before each token of the block.
            let mut before = vec![state];
            for index in tokens.clone().take(tokens.len() - 1) {
                let mut next = before[before.len() - 1].clone();
                self.token(index).write(&mut next);
                before.push(next);
            }
            for (index, before) in tokens.zip(before).rev() {
                self.token_backward(index, before, &mut at_state, &mut out);
            }
        }
        out
    }

    /// Takes the gradient at the state after a token to that before it.
    fn token_backward(&self, index: usize, before: Vec<f64>, at_state: &mut [f64], out: &mut OfHead) {
        let (rule, width, token) = (self.rule, self.rule.value_dim, self.token(index));
        let row = self.rows.start + index;
        let mut after = before.clone();
        let given = token.write(&mut after);

        // What the last map reads: w o r silu(z).
        let mean = given.iter().map(|value| value * value).sum::<f64>() / width as f64;
        let scale = 1.0 / (mean + self.epsilon).sqrt();
        let place = row * rule.values() + self.head * width;
        let (gradient, gate) = (&self.gradient[place..][..width], &self.given.gate[place..][..width]);
        let mut at_given = vec![0.0; width];
        for feature in 0..width {
            let (w, z, g) = (f64::from(self.weights.norm[feature]), gate[feature], gradient[feature]);
            out.gate[index * width + feature] = g * w * given[feature] * scale * silu_slope(z);
            at_given[feature] = g * w * z * sigmoid(z);
        }
        let along_given = given.iter().zip(&at_given).map(|(o, h)| o * h).sum::<f64>() / width as f64;
        at_given
            .iter_mut()
            .zip(&given)
            .for_each(|(h, o)| *h = scale * *h - o * scale.powi(3) * along_given);

        // o = S'ᵀ q.
        let dot = |row: &[f64], vector: &[f64]| row.iter().zip(vector).map(|(a, b)| a * b).sum::<f64>();
        let at_query: Vec<f64> = after.chunks_exact(width).map(|row| dot(row, &at_given)).collect();
        for (row, query) in at_state.chunks_exact_mut(width).zip(&token.query) {
            row.iter_mut().zip(&at_given).for_each(|(at, g)| *at += query * g);
        }
        // S' = P + k ⊗ u, u = β (v − Pᵀ k).
        let decayed: Vec<f64> = before.iter().map(|value| value * token.kept).collect();
        let lacking: Vec<f64> = (token.value.iter().zip(along(&decayed, &token.key, width)))
            .map(|(value, known)| value - known)
            .collect();
        let mut at_key: Vec<f64> = at_state.chunks_exact(width).map(|row| token.beta * dot(row, &lacking)).collect();
        let at_written = along(at_state, &token.key, width);
        let at_beta = dot(&at_written, &lacking);
        for ((row, at), (key, at_key)) in (decayed.chunks_exact(width).zip(at_state.chunks_exact_mut(width))).zip(token.key.iter().zip(&mut at_key)) {
            *at_key -= token.beta * dot(row, &at_written);
            at.iter_mut().zip(&at_written).for_each(|(at, g)| *at -= key * token.beta * g);
        }
        // P = γ S.
        let at_kept = dot(at_state, &before);
        at_state.iter_mut().for_each(|at| *at *= token.kept);

        let (shift, speed) = (f64::from(self.weights.shift[self.head]), f64::from(self.weights.decay[self.head]).exp());
        let inputs = self.given.token(rule, row);
        out.decay[index] = -at_kept * token.kept * speed * sigmoid(inputs.decay[self.head] + shift);
        out.beta[index] = at_beta * token.beta * (1.0 - token.beta);
        let value = &mut out.value[index * width..][..width];
        value.iter_mut().zip(&at_written).for_each(|(at, g)| *at = token.beta * g);
        let [query, key, _] = rule.channels_of(self.head);
        let factor = 1.0 / (rule.key_dim as f64).sqrt();
        let at_query = of_length_backward(&self.mixed[index][query], factor, &at_query);
        let at_key = of_length_backward(&self.mixed[index][key], 1.0, &at_key);
        out.query[index * rule.key_dim..][..rule.key_dim].copy_from_slice(&at_query);
        out.key[index * rule.key_dim..][..rule.key_dim].copy_from_slice(&at_key);
    }
}

/// Gradients at the outputs of the maps of a delta rule, one matrix a map in their order, given that at what the last map reads.
///
/// `runs` says how many rows each run has, one below the other; `states` are those before their first rows, constants.
///
/// # Shapes
/// `gradient [n, value heads * value width]`; out: `[n, out]` each.
///
/// # Errors
/// When the device failed.
pub fn backward<K: Kernels>(
    kernels: &K,
    rule: &DeltaRule,
    weights: &DeltaWeights,
    epsilon: f64,
    given: &DeltaRows,
    runs: &[usize],
    states: &[DeltaState],
    gradient: &K::Matrix,
) -> Result<Vec<K::Matrix>, ModelError> {
    let gradient = kernels.wide(gradient)?;
    let (rows, channels, values) = (given.beta.len() / rule.value_heads, rule.channels(), rule.values());
    let mut found = DeltaRows {
        mixed: vec![0.0; rows * channels],
        gate: vec![0.0; rows * values],
        beta: vec![0.0; rows * rule.value_heads],
        decay: vec![0.0; rows * rule.value_heads],
    };
    let mut first = 0;
    for (count, state) in runs.iter().zip(states) {
        run_backward(rule, weights, epsilon, given, first..first + count, state, &gradient, &mut found);
        first += count;
    }
    // Each column of a map stands at one place of these, so that nothing is added up on the way.
    let parts = [found.mixed, found.gate, found.beta, found.decay].map(|values| (values.len() / rows.max(1), values));
    let uploaded: Vec<K::Matrix> = parts.into_iter().map(|(width, values)| kernels.upload_wide(rows, width, values)).collect();
    let mut sums: Vec<Option<K::Matrix>> = vec![None; rule.maps() - 1];
    let widths = rule.widths();
    for (matrix, runs) in uploaded.iter().zip(columns(rule)) {
        for (sum, part) in sums.iter_mut().zip(kernels.arrange_backward(matrix, &widths, &runs)) {
            *sum = Some(match sum.take() {
                Some(sum) => kernels.add(sum, &part),
                None => part,
            });
        }
    }
    sums.into_iter().map(|sum| sum.ok_or_else(nothing)).collect()
}

fn run_backward(
    rule: &DeltaRule,
    weights: &DeltaWeights,
    epsilon: f64,
    given: &DeltaRows,
    rows: Range<usize>,
    state: &DeltaState,
    gradient: &[f64],
    found: &mut DeltaRows,
) {
    let (channels, width, heads) = (rule.channels(), rule.value_dim, rule.value_heads);
    let mut last = state.tail.clone();
    let mut sums = Vec::with_capacity(rows.len());
    for row in rows.clone() {
        last.push(given.token(rule, row).mixed.to_vec());
        sums.push(convolved(rule, weights, &last));
        last.remove(0);
    }
    let mixed: Vec<Vec<f64>> = sums.iter().map(|sums| sums.iter().map(|sum| sum * sigmoid(*sum)).collect()).collect();
    let of_heads: Vec<OfHead> = (0..heads)
        .into_par_iter()
        .map(|head| {
            let one = Head {
                rule,
                weights,
                epsilon,
                head,
                given,
                rows: rows.clone(),
                mixed: &mixed,
                gradient,
            };
            one.backward(&state.states[head])
        })
        .collect();
    for (index, row) in rows.clone().enumerate() {
        let mut at_mixed = vec![0.0; channels];
        for (head, own) in of_heads.iter().enumerate() {
            found.gate[row * rule.values() + head * width..][..width].copy_from_slice(&own.gate[index * width..][..width]);
            found.beta[row * heads + head] = own.beta[index];
            found.decay[row * heads + head] = own.decay[index];
            for (range, own) in rule.channels_of(head).into_iter().zip([&own.query, &own.key, &own.value]) {
                let own = &own[index * range.len()..][..range.len()];
                at_mixed[range].iter_mut().zip(own).for_each(|(at, own)| *at += own);
            }
        }
        // The convolution's inputs within the run; those before it are constants.
        for (channel, at) in at_mixed.iter().enumerate() {
            let at = at * silu_slope(sums[index][channel]);
            let own = &weights.convolution[channel * rule.kernel..][..rule.kernel];
            for (back, w) in own.iter().rev().enumerate().take(index + 1) {
                found.mixed[(row - back) * channels + channel] += f64::from(*w) * at;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use cruxscope_statistics::SplitMix;

    use super::super::step;
    use super::*;
    use crate::kernels::reference::ReferenceKernels;

    /// Two runs, the first longer than two blocks of kept states, from states that are not zero: gradients at every kind of input are
    /// slopes of the outputs' weighted sum, by central differences.
    #[test]
    fn gradients_are_slopes_of_what_the_tokens_give() {
        let rule = DeltaRule {
            value_heads: 4,
            key_heads: 2,
            key_dim: 3,
            value_dim: 5,
            kernel: 3,
            by_key_head: false,
        };
        let mut random = SplitMix::new(7);
        let mut numbers = |count: usize, size: f64| (0..count).map(|_| size * (random.share() - 0.5)).collect::<Vec<f64>>();
        let narrow = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect::<Vec<f32>>();
        let weights = DeltaWeights {
            convolution: narrow(numbers(rule.channels() * rule.kernel, 2.0)),
            shift: narrow(numbers(4, 1.0)),
            decay: narrow(numbers(4, 1.0)),
            norm: narrow(numbers(5, 2.0)),
        };
        let runs = [2 * STRIDE + 5, 4];
        let count: usize = runs.iter().sum();
        let states: Vec<DeltaState> = (runs.iter())
            .map(|_| DeltaState {
                tail: (0..rule.kernel - 1).map(|_| numbers(rule.channels(), 2.0)).collect(),
                states: (0..rule.value_heads).map(|_| numbers(rule.key_dim * rule.value_dim, 1.0)).collect(),
            })
            .collect();
        let mut given = DeltaRows {
            mixed: numbers(count * rule.channels(), 3.0),
            gate: numbers(count * rule.values(), 3.0),
            beta: numbers(count * rule.value_heads, 3.0),
            decay: numbers(count * rule.value_heads, 3.0),
        };
        let gradient = numbers(count * rule.values(), 1.0);
        let epsilon = 1e-6;
        let loss = |given: &DeltaRows| -> f64 {
            let mut row = 0;
            let mut sum = 0.0;
            for (count, state) in runs.iter().zip(&states) {
                let mut state = state.clone();
                for _ in 0..*count {
                    let out = step(&rule, &weights, epsilon, &mut state, &given.token(&rule, row));
                    let own = &gradient[row * rule.values()..][..rule.values()];
                    sum += out.iter().zip(own).map(|(value, g)| value * g).sum::<f64>();
                    row += 1;
                }
            }
            sum
        };
        let at = ReferenceKernels.upload_wide(count, rule.values(), gradient.clone());
        let found = backward(&ReferenceKernels, &rule, &weights, epsilon, &given, &runs, &states, &at).unwrap();
        let mut worst = 0f64;
        for (kind, found) in found.iter().enumerate() {
            for place in (0..found.values().len()).step_by(7) {
                let mut moved = |by: f64| {
                    let values = [&mut given.mixed, &mut given.gate, &mut given.beta, &mut given.decay];
                    let value = &mut values[kind][place];
                    let before = *value;
                    *value += by;
                    let loss = loss(&given);
                    [&mut given.mixed, &mut given.gate, &mut given.beta, &mut given.decay][kind][place] = before;
                    loss
                };
                let step = 1e-5;
                let slope = (moved(step) - moved(-step)) / (2.0 * step);
                worst = worst.max((slope - found.values()[place]).abs() / slope.abs().max(1.0));
            }
        }
        println!("largest difference from slopes {worst:.1e}");
        assert!(worst < 1e-7, "{worst}");
    }
}
