//! Running one decoder layer, as far as the scale search needs it: norms, attention with rotary embedding, feed-forward block.
//!
//! llm-awq and AutoAWQ judge the scales of query, key and value by the output of the whole attention module and those of gate and
//! up by the output of the whole feed-forward block. This is that evaluation, by the model's own kernels on the CPU. It is not the
//! model: no cache, no devices, nothing but what a search asks.

use cruxscope_checkpoint::{LayerWeights, Matrix, ModelConfig, Projection, Rope};
use cruxscope_model::kernels::{Heads, Kernels, Run, Turn};

use super::evidence::{LayerInputs, check_layer, expect};
use crate::CompressError;

/// Tokens that go through the feed-forward block together: its inner width is several times the layer's.
const TOKENS_AT_ONCE: usize = 1024;

/// What it takes to run a layer, beside its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockShape {
    /// Number of query heads.
    pub heads: usize,
    /// Number of key and value heads; `heads` is a multiple of it.
    pub key_value_heads: usize,
    /// Width of one head; even.
    pub head_dim: usize,
    /// ε of the RMS norms.
    pub norm_epsilon: f64,
    /// Rotary position embedding.
    pub rope: Rope,
}

impl From<&ModelConfig> for BlockShape {
    fn from(config: &ModelConfig) -> Self {
        Self {
            heads: config.heads,
            key_value_heads: config.key_value_heads,
            head_dim: config.head_dim,
            norm_epsilon: config.norm_epsilon,
            rope: config.rope.clone(),
        }
    }
}

impl BlockShape {
    /// Whether a layer's weights have these heads.
    pub(super) fn check(&self, layer: &LayerWeights) -> Result<(), CompressError> {
        let [query, key, ..] = &layer.projections;
        expect("query", "rows", query.weight.rows, self.heads * self.head_dim)?;
        expect("key", "rows", key.weight.rows, self.key_value_heads * self.head_dim)?;
        let setting = |setting, value: usize, rule: String| CompressError::Setting {
            method: super::METHOD,
            setting,
            value: value.to_string(),
            rule,
        };
        if self.key_value_heads == 0 || !self.heads.is_multiple_of(self.key_value_heads) {
            let rule = format!("it must be a multiple of the {} key-value heads", self.key_value_heads);
            return Err(setting("the number of heads", self.heads, rule));
        }
        if !self.head_dim.is_multiple_of(2) {
            let rule = "the rotary embedding turns pairs".to_string();
            return Err(setting("the head size", self.head_dim, rule));
        }
        for norm in [&layer.query_norm, &layer.key_norm].into_iter().flatten() {
            expect("a norm of heads", "values", norm.len(), self.head_dim)?;
        }
        Ok(())
    }
}

/// What one run of a layer gives.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerRun {
    /// The inputs of its projections.
    pub inputs: LayerInputs,
    /// The hidden states after it, `[tokens, hidden]`: the next layer's input.
    pub hidden: Matrix,
}

/// Runs a layer on hidden states, keeping the inputs of every projection.
///
/// `a = x + O·mix(norm(x))`, `y = a + D·(silu(G norm(a)) · U norm(a))`.
///
/// # Shapes
/// `hidden` is `[tokens, hidden]`, `lengths` its sequences, each from position 0.
///
/// # Errors
/// When the layer's arrays, the shape and the hidden states do not fit together, or the device fails.
pub fn run_layer<K: Kernels>(kernels: &K, layer: &LayerWeights, shape: &BlockShape, hidden: &Matrix, lengths: &[usize]) -> Result<LayerRun, CompressError> {
    check_layer(layer)?;
    shape.check(layer)?;
    expect("the hidden states", "columns", hidden.columns, layer.attention_norm.len())?;
    expect("the hidden states", "values", hidden.values.len(), hidden.rows * hidden.columns)?;
    expect("the hidden states", "rows", hidden.rows, lengths.iter().sum())?;
    let [query, key, value, output, gate, up, down] = layer.projections.clone().map(|projection| Linear::new(kernels, projection));
    let norm = |x: &K::Matrix, weight: &[f32]| kernels.norm(x, &kernels.upload(1, weight.len(), weight.to_vec()), weight.len(), shape.norm_epsilon);

    let hidden = upload(kernels, hidden);
    let attention = norm(&hidden, &layer.attention_norm);
    let mixed = Mixer::new(kernels, layer, shape, lengths).mix(&attention, &query, &key, &value);
    let residual = output.apply(&mixed, Some(hidden));
    let feed_forward = norm(&residual, &layer.feed_forward_norm);
    let inner = in_parts(kernels, &feed_forward, |x| gated(x, &gate, &up));
    let after = down.apply(&inner, Some(residual));

    let inputs = LayerInputs {
        attention: download(kernels, attention)?,
        output: download(kernels, mixed)?,
        feed_forward: download(kernels, feed_forward)?,
        down: download(kernels, inner)?,
        lengths: lengths.to_vec(),
    };
    Ok(LayerRun {
        inputs,
        hidden: download(kernels, after)?,
    })
}

/// A matrix where the kernels work.
pub(super) fn upload<K: Kernels>(kernels: &K, matrix: &Matrix) -> K::Matrix {
    kernels.upload(matrix.rows, matrix.columns, matrix.values.clone())
}

fn download<K: Kernels>(kernels: &K, matrix: K::Matrix) -> Result<Matrix, CompressError> {
    let (rows, values) = (kernels.rows(&matrix), kernels.download(&matrix)?);
    Ok(Matrix {
        rows,
        columns: values.len() / rows.max(1),
        values,
    })
}

/// A projection where the kernels work.
pub(super) struct Linear<'a, K: Kernels> {
    kernels: &'a K,
    weight: K::Matrix,
    bias: Option<K::Matrix>,
}

impl<'a, K: Kernels> Linear<'a, K> {
    pub(super) fn new(kernels: &'a K, projection: Projection) -> Self {
        let Matrix { rows, columns, values } = projection.weight;
        Self {
            kernels,
            weight: kernels.upload(rows, columns, values),
            bias: projection.bias.map(|bias| kernels.upload(1, bias.len(), bias)),
        }
    }

    /// `x Wᵀ + b`, added to `onto` where that is given.
    pub(super) fn apply(&self, x: &K::Matrix, onto: Option<K::Matrix>) -> K::Matrix {
        self.kernels.linear(x, &self.weight, self.bias.as_ref(), onto)
    }
}

/// `silu(gate(x)) · up(x)`; `silu(x) = x / (1 + e^-x)`.
pub(super) fn gated<K: Kernels>(x: &K::Matrix, gate: &Linear<'_, K>, up: &Linear<'_, K>) -> K::Matrix {
    gate.kernels.gated(&gate.apply(x, None), &up.apply(x, None))
}

/// Maps rows to rows, so many tokens at once.
pub(super) fn in_parts<K: Kernels>(kernels: &K, x: &K::Matrix, map: impl Fn(&K::Matrix) -> K::Matrix) -> K::Matrix {
    let tokens = kernels.rows(x);
    if tokens <= TOKENS_AT_ONCE {
        return map(x);
    }
    let parts = (0..tokens).step_by(TOKENS_AT_ONCE);
    kernels.stack(parts.map(|first| map(&kernels.slice(x, first, TOKENS_AT_ONCE.min(tokens - first)))).collect())
}

/// Causal attention of whole sequences, without its output projection.
pub(super) struct Mixer<'a, K: Kernels> {
    kernels: &'a K,
    heads: Heads,
    norm_epsilon: f64,
    lengths: Vec<usize>,
    /// Cosines and sines of every row, `[tokens, head_dim / 2]`.
    rotation: [K::Matrix; 2],
    query_norm: Option<K::Matrix>,
    key_norm: Option<K::Matrix>,
}

impl<'a, K: Kernels> Mixer<'a, K> {
    /// For sequences of these lengths, one below the other.
    pub(super) fn new(kernels: &'a K, layer: &LayerWeights, shape: &BlockShape, lengths: &[usize]) -> Self {
        let tables = shape.rope.tables(shape.head_dim, lengths.iter().flat_map(|length| 0..*length));
        let (tokens, half) = (lengths.iter().sum(), shape.head_dim / 2);
        let row = |values: &Option<Vec<f32>>| values.as_ref().map(|values| kernels.upload(1, values.len(), values.clone()));
        Self {
            kernels,
            heads: Heads {
                queries: shape.heads,
                keys: shape.key_value_heads,
                width: shape.head_dim,
            },
            norm_epsilon: shape.norm_epsilon,
            lengths: lengths.to_vec(),
            rotation: [tables.cos, tables.sin].map(|values| kernels.upload(tokens, half, values)),
            query_norm: row(&layer.query_norm),
            key_norm: row(&layer.key_norm),
        }
    }

    /// `softmax(q kᵀ / √d + causal mask) v`, head by head; a key and value head serves `heads / key_value_heads` query heads.
    ///
    /// # Shapes
    /// `x` is all sequences, `[tokens, hidden]`; the result is `[tokens, heads · head_dim]`.
    pub(super) fn mix(&self, x: &K::Matrix, query: &Linear<'_, K>, key: &Linear<'_, K>, value: &Linear<'_, K>) -> K::Matrix {
        let queries = self.turned(query.apply(x, None), self.query_norm.as_ref());
        let keys = self.turned(key.apply(x, None), self.key_norm.as_ref());
        let values = value.apply(x, None);
        let mut mixed = Vec::with_capacity(self.lengths.len());
        let mut first = 0;
        for rows in self.lengths.iter().copied() {
            let of = |matrix: &K::Matrix| self.kernels.slice(matrix, first, rows);
            let runs = [Run { position: 0, rows }];
            mixed.push(self.kernels.attention(self.heads, &of(&queries), &of(&keys), &of(&values), &runs));
            first += rows;
        }
        if mixed.is_empty() { queries } else { self.kernels.stack(mixed) }
    }

    /// Norm (Qwen3) and rotation of every head.
    fn turned(&self, mut rows: K::Matrix, weight: Option<&K::Matrix>) -> K::Matrix {
        if let Some(weight) = weight {
            rows = self.kernels.norm(&rows, weight, self.heads.width, self.norm_epsilon);
        }
        self.kernels.rotate(rows, self.heads.width, &self.rotation[0], &self.rotation[1], Turn::Forward)
    }
}
