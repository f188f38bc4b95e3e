//! The gated delta rule, forwards ([`backward`] is the other way): a layer whose tokens write into a state instead of being kept.
//!
//! Of the outputs of its maps (queries, keys and values side by side, a gate z, and for each value head b and a), with σ the sigmoid:
//! queries, keys and values pass a causal convolution over the last tokens of each channel and silu; queries and keys are divided by
//! their lengths, and queries by √(width of a key); for each value head, with S `[key width, value width]` zero before the first token,
//!
//! S ← S exp(−exp(A) softplus(a + d)); S ← S + k ⊗ σ(b) (v − Sᵀ k); o = Sᵀ q
//!
//! and what the last map reads is `w · o / √(mean(o²) + ε) · silu(z)`. All of it runs on the host in float64: a token costs as much as its
//! state is large, which is little beside its maps. Source: Yang, Kautz, Hatamizadeh, "Gated Delta Networks" (2024).

mod backward;

pub use backward::backward;

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

    /// States one after the other as matrices, `[states, value heads * key width * value width]` and `[states, (kernel - 1) * channels]`;
    /// the latter is one column of zeros where the convolution sees one token.
    pub fn keep<K: Kernels>(kernels: &K, rule: &DeltaRule, states: &[Self]) -> [K::Matrix; 2] {
        let all = states.iter().flat_map(|state| state.states.concat()).collect();
        let tails: Vec<f64> = states.iter().flat_map(|state| state.tail.concat()).collect();
        let count = states.len();
        let width = rule.kernel.saturating_sub(1) * rule.channels();
        [
            kernels.upload_wide(count, rule.state(), all),
            if width > 0 {
                kernels.upload_wide(count, width, tails)
            } else {
                kernels.upload(count, 1, vec![0.0; count])
            },
        ]
    }

    /// States out of what [`Self::keep`] gave.
    ///
    /// # Errors
    /// When the device failed.
    pub fn kept<K: Kernels>(kernels: &K, rule: &DeltaRule, states: &K::Matrix, tails: &K::Matrix) -> Result<Vec<Self>, ModelError> {
        let (all, tails) = (kernels.wide(states)?, kernels.wide(tails)?);
        let width = rule.kernel.saturating_sub(1) * rule.channels();
        let tail = |index: usize| tails[index * width..][..width].chunks(rule.channels()).map(<[f64]>::to_vec).collect();
        let whole = all.chunks(rule.state()).enumerate();
        Ok(whole
            .map(|(index, all)| Self {
                tail: if width > 0 { tail(index) } else { Vec::new() },
                states: all.chunks(rule.key_dim * rule.value_dim).map(<[f64]>::to_vec).collect(),
            })
            .collect())
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

/// Channels after the convolution, before silu, given the inputs of the last tokens, the latest one last.
fn convolved(rule: &DeltaRule, weights: &DeltaWeights, last: &[Vec<f64>]) -> Vec<f64> {
    (0..rule.channels())
        .map(|channel| {
            let own = &weights.convolution[channel * rule.kernel..][..rule.kernel];
            own.iter().zip(last).map(|(w, inputs)| f64::from(*w) * inputs[channel]).sum()
        })
        .collect()
}

/// What one token does to the state of one head.
struct HeadToken {
    query: Vec<f64>,
    key: Vec<f64>,
    value: Vec<f64>,
    /// What the state is multiplied by.
    kept: f64,
    /// How much of the difference is written.
    beta: f64,
}

impl HeadToken {
    /// Of a token's channels after the convolution and silu, and its b and a.
    fn new(rule: &DeltaRule, weights: &DeltaWeights, head: usize, mixed: &[f64], token: &DeltaInputs<'_>) -> Self {
        let [query, key, value] = rule.channels_of(head);
        Self {
            query: of_length(&mixed[query], 1.0 / (rule.key_dim as f64).sqrt()),
            key: of_length(&mixed[key], 1.0),
            value: mixed[value].to_vec(),
            kept: (-f64::from(weights.decay[head]).exp() * softplus(token.decay[head] + f64::from(weights.shift[head]))).exp(),
            beta: sigmoid(token.beta[head]),
        }
    }

    /// Writes the token into a head's state, and gives what the state holds under the query, `[value width]`.
    fn write(&self, state: &mut [f64]) -> Vec<f64> {
        state.iter_mut().for_each(|value| *value *= self.kept);
        let known = along(state, &self.key, self.value.len());
        for (row, factor) in state.chunks_exact_mut(self.value.len()).zip(&self.key) {
            for ((state, value), known) in row.iter_mut().zip(&self.value).zip(&known) {
                *state += factor * self.beta * (value - known);
            }
        }
        along(state, &self.query, self.value.len())
    }
}

/// Sᵀ x.
fn along(state: &[f64], vector: &[f64], width: usize) -> Vec<f64> {
    let mut sum = vec![0.0; width];
    for (row, factor) in state.chunks_exact(width).zip(vector) {
        sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += factor * value);
    }
    sum
}

/// Takes in one token, and gives what the last map reads, `[value heads * value width]`.
pub fn step(rule: &DeltaRule, weights: &DeltaWeights, epsilon: f64, state: &mut DeltaState, token: &DeltaInputs<'_>) -> Vec<f64> {
    state.tail.push(token.mixed.to_vec());
    let mixed: Vec<f64> = convolved(rule, weights, &state.tail).into_iter().map(|sum| sum * sigmoid(sum)).collect();
    state.tail.remove(0);
    let mut out = Vec::with_capacity(rule.values());
    for (head, own) in state.states.iter_mut().enumerate() {
        let given = HeadToken::new(rule, weights, head, &mixed, token).write(own);
        let mean = given.iter().map(|value| value * value).sum::<f64>() / rule.value_dim as f64;
        let scale = 1.0 / (mean + epsilon).sqrt();
        let gate = &token.gate[head * rule.value_dim..][..rule.value_dim];
        out.extend((given.iter().zip(&weights.norm).zip(gate)).map(|((value, w), z)| f64::from(*w) * value * scale * z * sigmoid(*z)));
    }
    out
}

/// What the maps gave for some tokens, one row after the other, in float64.
pub struct DeltaRows {
    /// Queries, keys and values, `[n, channels]`.
    mixed: Vec<f64>,
    /// Gates, `[n, value heads * value width]`.
    gate: Vec<f64>,
    /// b, `[n, value heads]`.
    beta: Vec<f64>,
    /// a, `[n, value heads]`.
    decay: Vec<f64>,
}

impl DeltaRows {
    fn token(&self, rule: &DeltaRule, row: usize) -> DeltaInputs<'_> {
        let (channels, values, heads) = (rule.channels(), rule.values(), rule.value_heads);
        DeltaInputs {
            mixed: &self.mixed[row * channels..][..channels],
            gate: &self.gate[row * values..][..values],
            beta: &self.beta[row * heads..][..heads],
            decay: &self.decay[row * heads..][..heads],
        }
    }
}

fn nothing() -> ModelError {
    ModelError::DeviceFailed {
        what: "a delta rule".into(),
        why: "a map gave nothing".into(),
    }
}

/// Columns of the maps' outputs that are queries, keys and values side by side, gates, b, and a: of the first map, of which there are
/// two or four.
fn columns(rule: &DeltaRule) -> [Vec<ColumnRun>; 4] {
    let (heads, key) = (rule.value_heads, rule.key_dim);
    let run = |part: usize, first: usize, count: usize| ColumnRun {
        part: Some(part),
        first,
        count,
    };
    if !rule.by_key_head {
        return [(0, rule.channels()), (1, rule.values()), (2, heads), (3, heads)].map(|(part, count)| vec![run(part, 0, count)]);
    }
    // Of each key head: query, key, values of its value heads, their gates; and b, a of its value heads.
    let (share, own) = (heads / rule.key_heads, heads / rule.key_heads * rule.value_dim);
    let each = |part: usize, first: usize, count: usize, stride: usize| (0..rule.key_heads).map(move |head| run(part, head * stride + first, count));
    let stride = 2 * key + 2 * own;
    [
        each(0, 0, key, stride)
            .chain(each(0, key, key, stride))
            .chain(each(0, 2 * key, own, stride))
            .collect(),
        each(0, 2 * key + own, own, stride).collect(),
        each(1, 0, share, 2 * share).collect(),
        each(1, share, share, 2 * share).collect(),
    ]
}

/// What the maps give for tokens.
///
/// # Shapes
/// `x [n, hidden]`.
///
/// # Errors
/// When the device failed.
pub fn rows<K: Kernels>(kernels: &K, rule: &DeltaRule, x: &K::Matrix, apply: &Maps<'_, K::Matrix>) -> Result<DeltaRows, ModelError> {
    let maps: Vec<usize> = (0..rule.maps() - 1).collect();
    let given = apply(&maps, x);
    if given.len() != maps.len() {
        return Err(nothing());
    }
    let given: Vec<&K::Matrix> = given.iter().collect();
    let [mixed, gate, beta, decay] = columns(rule).map(|runs| kernels.wide(&kernels.arrange(&given, &runs)));
    Ok(DeltaRows {
        mixed: mixed?,
        gate: gate?,
        beta: beta?,
        decay: decay?,
    })
}

/// What the last map reads, `[n, value heads * value width]`, of consecutive tokens of one sequence or several, given what their maps
/// gave. `runs` says how many rows each sequence has, one below the other, and `states` are theirs; `observe` is given the state before
/// each row.
///
/// # Errors
/// When the device failed.
pub fn mix<K: Kernels>(
    kernels: &K,
    rule: &DeltaRule,
    weights: &DeltaWeights,
    epsilon: f64,
    given: &DeltaRows,
    runs: &[usize],
    states: &mut [&mut DeltaState],
    observe: &mut dyn FnMut(usize, &DeltaState),
) -> K::Matrix {
    let mut out = Vec::with_capacity(given.gate.len());
    let mut row = 0;
    for (count, state) in runs.iter().zip(states) {
        for _ in 0..*count {
            observe(row, state);
            out.extend(step(rule, weights, epsilon, state, &given.token(rule, row)));
            row += 1;
        }
    }
    kernels.upload_wide(row, rule.values(), out)
}

/// What the last map reads of consecutive tokens of one sequence or several, given what their maps read; see [`mix`].
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
    let given = rows(kernels, rule, x, apply)?;
    Ok(mix(kernels, rule, weights, epsilon, &given, runs, states, &mut |_, _| ()))
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
