//! The gated delta rule, forwards: a layer whose tokens write into a state instead of being kept.
//!
//! Of the outputs of its maps (queries, keys and values side by side, a gate z, and for each value head b and a), with σ the sigmoid:
//! queries, keys and values pass a causal convolution over the last tokens of each channel and silu; queries and keys are divided by
//! their lengths, and queries by √(width of a key); for each value head, with S `[key width, value width]` zero before the first token,
//!
//! S ← S exp(−exp(A) softplus(a + d)); S ← S + k ⊗ σ(b) (v − Sᵀ k); o = Sᵀ q
//!
//! and what the last map reads is `w · o / √(mean(o²) + ε) · silu(z)`. All of it runs on the host in float64: a token costs as much as its
//! state is large, which is little beside its maps. Source: Yang, Kautz, Hatamizadeh, "Gated Delta Networks" (2024).

use cruxscope_checkpoint::{DeltaRule, DeltaWeights};

use crate::ModelError;
use crate::experts::Maps;
use crate::kernels::{ColumnRun, Kernels};

/// Added to squared lengths of queries and keys.
const LENGTH_FLOOR: f64 = 1e-6;

/// What is kept of a sequence: the inputs of the convolution at its last tokens, and the states of all value heads.
#[derive(Clone, Debug)]
pub struct DeltaState {
    /// `[kernel − 1, channels]`, the oldest first.
    tail: Vec<Vec<f64>>,
    /// `[value heads][key width, value width]`.
    states: Vec<Vec<f64>>,
}

impl DeltaState {
    /// Before the first token.
    pub fn new(rule: &DeltaRule) -> Self {
        Self {
            tail: vec![vec![0.0; rule.channels()]; rule.kernel.saturating_sub(1)],
            states: vec![vec![0.0; rule.key_dim * rule.value_dim]; rule.value_heads],
        }
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// A vector divided by its length, and multiplied.
fn of_length(values: &[f64], factor: f64) -> Vec<f64> {
    let square: f64 = values.iter().map(|value| value * value).sum();
    let scale = factor / (square + LENGTH_FLOOR).sqrt();
    values.iter().map(|value| value * scale).collect()
}

/// What one token's maps gave: queries, keys and values `[channels]`, gates `[value heads * value width]`, b and a `[value heads]`.
pub struct DeltaInputs<'a> {
    /// Queries, keys and values, side by side.
    pub mixed: &'a [f64],
    /// The gate z.
    pub gate: &'a [f64],
    /// b.
    pub beta: &'a [f64],
    /// a.
    pub decay: &'a [f64],
}

/// Takes in one token, and gives what the last map reads, `[value heads * value width]`.
pub fn step(rule: &DeltaRule, weights: &DeltaWeights, epsilon: f64, state: &mut DeltaState, token: &DeltaInputs<'_>) -> Vec<f64> {
    let kernel = rule.kernel;
    state.tail.push(token.mixed.to_vec());
    let mixed: Vec<f64> = (0..rule.channels())
        .map(|channel| {
            let own = &weights.convolution[channel * kernel..][..kernel];
            let sum: f64 = own.iter().zip(&state.tail).map(|(w, inputs)| f64::from(*w) * inputs[channel]).sum();
            sum * sigmoid(sum)
        })
        .collect();
    state.tail.remove(0);
    let (keys, values) = (rule.key_heads * rule.key_dim, rule.value_heads * rule.value_dim);
    let mut out = Vec::with_capacity(values);
    for head in 0..rule.value_heads {
        let shared = head / (rule.value_heads / rule.key_heads);
        let query = of_length(&mixed[shared * rule.key_dim..][..rule.key_dim], 1.0 / (rule.key_dim as f64).sqrt());
        let key = of_length(&mixed[keys + shared * rule.key_dim..][..rule.key_dim], 1.0);
        let value = &mixed[2 * keys + head * rule.value_dim..][..rule.value_dim];
        let kept = (-f64::from(weights.decay[head]).exp() * softplus(token.decay[head] + f64::from(weights.shift[head]))).exp();
        let beta = sigmoid(token.beta[head]);
        let own = &mut state.states[head];
        own.iter_mut().for_each(|value| *value *= kept);
        let along = |own: &[f64], vector: &[f64]| -> Vec<f64> {
            let mut sum = vec![0.0; rule.value_dim];
            for (row, factor) in own.chunks_exact(rule.value_dim).zip(vector) {
                sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += factor * value);
            }
            sum
        };
        let known = along(own, &key);
        for (row, factor) in own.chunks_exact_mut(rule.value_dim).zip(&key) {
            for ((state, value), known) in row.iter_mut().zip(value).zip(&known) {
                *state += factor * beta * (value - known);
            }
        }
        let given = along(own, &query);
        let mean = given.iter().map(|value| value * value).sum::<f64>() / rule.value_dim as f64;
        let scale = 1.0 / (mean + epsilon).sqrt();
        let gate = &token.gate[head * rule.value_dim..][..rule.value_dim];
        out.extend((given.iter().zip(&weights.norm).zip(gate)).map(|((value, w), z)| f64::from(*w) * value * scale * z * sigmoid(*z)));
    }
    out
}

fn nothing() -> ModelError {
    ModelError::DeviceFailed {
        what: "a delta rule".into(),
        why: "a map gave nothing".into(),
    }
}

/// What the last map reads, `[n, value heads * value width]`, of consecutive tokens of one sequence or several, given what their maps
/// read. `runs` says how many rows each sequence has, one below the other, and `states` are theirs.
///
/// # Shapes
/// `x [n, hidden]`.
///
/// # Errors
/// When the device failed.
pub fn forward<K: Kernels>(
    kernels: &K,
    rule: &DeltaRule,
    weights: &DeltaWeights,
    epsilon: f64,
    x: &K::Matrix,
    apply: &Maps<'_, K::Matrix>,
    runs: &[usize],
    states: &mut [&mut DeltaState],
) -> Result<K::Matrix, ModelError> {
    let (channels, values, heads) = (rule.channels(), rule.values(), rule.value_heads);
    let run = |part: usize, first: usize, count: usize| ColumnRun {
        part: Some(part),
        first,
        count,
    };
    let inputs: [K::Matrix; 4] = if rule.by_key_head {
        let [wide, narrow] = <[K::Matrix; 2]>::try_from(apply(&[0, 1], x)).map_err(|_| nothing())?;
        // Of each key head: query, key, values of its value heads, their gates; and b, a of its value heads.
        let (share, own) = (heads / rule.key_heads, heads / rule.key_heads * rule.value_dim);
        let (stride, key) = (2 * rule.key_dim + 2 * own, rule.key_dim);
        let each = |first: usize, count: usize, stride: usize| (0..rule.key_heads).map(move |head| run(0, head * stride + first, count));
        let mixed: Vec<ColumnRun> = each(0, key, stride).chain(each(key, key, stride)).chain(each(2 * key, own, stride)).collect();
        [
            kernels.arrange(&[&wide], &mixed),
            kernels.arrange(&[&wide], &each(2 * key + own, own, stride).collect::<Vec<_>>()),
            kernels.arrange(&[&narrow], &each(0, share, 2 * share).collect::<Vec<_>>()),
            kernels.arrange(&[&narrow], &each(share, share, 2 * share).collect::<Vec<_>>()),
        ]
    } else {
        <[K::Matrix; 4]>::try_from(apply(&[0, 1, 2, 3], x)).map_err(|_| nothing())?
    };
    let [mixed, gate, beta, decay] = &inputs;
    let [mixed, gate, beta, decay] = [kernels.wide(mixed)?, kernels.wide(gate)?, kernels.wide(beta)?, kernels.wide(decay)?];
    let mut out = Vec::with_capacity(kernels.rows(x) * values);
    let mut row = 0;
    for (count, state) in runs.iter().zip(states) {
        for _ in 0..*count {
            let token = DeltaInputs {
                mixed: &mixed[row * channels..][..channels],
                gate: &gate[row * values..][..values],
                beta: &beta[row * heads..][..heads],
                decay: &decay[row * heads..][..heads],
            };
            out.extend(step(rule, weights, epsilon, state, &token));
            row += 1;
        }
    }
    Ok(kernels.upload_wide(row, values, out))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One head: the state is a matrix, the formula by hand.
    #[test]
    fn a_token_decays_the_state_and_writes_what_it_lacks() {
        let rule = DeltaRule {
            value_heads: 1,
            key_heads: 1,
            key_dim: 2,
            value_dim: 1,
            kernel: 1,
            by_key_head: false,
        };
        let weights = DeltaWeights {
            convolution: vec![1.0; 5],
            shift: vec![0.0],
            decay: vec![0.0],
            norm: vec![1.0],
        };
        let mut state = DeltaState::new(&rule);
        let token = |mixed: &'static [f64]| DeltaInputs {
            mixed,
            gate: &[50.0],
            beta: &[50.0],
            decay: &[-50.0],
        };
        // b of one, no decay: what is written is read back by the same key.
        step(&rule, &weights, 0.0, &mut state, &token(&[60.0, 0.0, 60.0, 0.0, 60.0]));
        assert!(
            (state.states[0][0] - 60.0).abs() < 1e-6 && state.states[0][1].abs() < 1e-12,
            "{:?}",
            state.states
        );
        // Another value under the same key takes its place.
        let given = step(&rule, &weights, 0.0, &mut state, &token(&[60.0, 0.0, 60.0, 0.0, 40.0]));
        assert!((state.states[0][0] - 40.0).abs() < 1e-6, "{:?}", state.states);
        // Normed to one, times silu(50).
        assert!((given[0] - 50.0).abs() < 1e-6, "{given:?}");
        // softplus(a) = 1 with A = 0: the state loses a factor e.
        let forgetting = DeltaInputs {
            mixed: &[60.0, 0.0, 0.0, 60.0, 40.0],
            gate: &[1.0],
            beta: &[-50.0],
            decay: &[(1f64.exp() - 1.0).ln()],
        };
        step(&rule, &weights, 0.0, &mut state, &forgetting);
        assert!((state.states[0][0] - 40.0 / 1f64.exp()).abs() < 1e-6, "{:?}", state.states);
    }
}
