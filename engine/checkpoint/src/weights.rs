//! The numbers handed out: matrices and a layer's weights in float32. Plain data, no device.

use crate::description::LayerKind;
use crate::input_rounding::InputRounding;

/// A row-major matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// Number of rows; of a weight, its outputs.
    pub rows: usize,
    /// Number of columns; of a weight, its inputs.
    pub columns: usize,
    /// `rows · columns` numbers.
    pub values: Vec<f32>,
}

impl Matrix {
    /// Row `row`, or an empty slice if there is none.
    pub fn row(&self, row: usize) -> &[f32] {
        let start = row.saturating_mul(self.columns);
        self.values.get(start..start.saturating_add(self.columns)).unwrap_or_default()
    }
}

/// A linear map `y = W x + b`.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    /// `[out, in]`, as Hugging Face stores it.
    pub weight: Matrix,
    /// `[out]`.
    pub bias: Option<Vec<f32>>,
    /// How what it reads is rounded, where that is simulated.
    pub inputs: Option<InputRounding>,
}

/// What a delta rule has beside its linear maps.
#[derive(Debug, Clone, PartialEq)]
pub struct DeltaWeights {
    /// Weights of the convolution, `[channels, kernel]`.
    pub convolution: Vec<f32>,
    /// What is added to a, `[value heads]`.
    pub shift: Vec<f32>,
    /// Logarithms of how fast states decay, `[value heads]`.
    pub decay: Vec<f32>,
    /// Weight of the norm of what heads give, `[value width]`.
    pub norm: Vec<f32>,
}

/// One decoder layer. Norms are as the file holds them.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerWeights {
    /// Weight of the norm before attention, `[hidden]`; empty where there is none.
    pub attention_norm: Vec<f32>,
    /// Weight of the norm before the feed-forward block, `[hidden]`; empty where there is none.
    pub feed_forward_norm: Vec<f32>,
    /// Biases of the two, `[hidden]` each, where the model has such.
    pub norm_biases: Option<[Vec<f32>; 2]>,
    /// Weight of the norm of what attention gives, `[hidden]`.
    pub after_attention_norm: Option<Vec<f32>>,
    /// Weight of the norm of what the feed-forward block gives, `[hidden]`.
    pub after_feed_forward_norm: Option<Vec<f32>>,
    /// Weight of the RMS norm of queries, `[head_dim]` for every head or `[heads * head_dim]`.
    pub query_norm: Option<Vec<f32>>,
    /// Weight of the RMS norm of keys, likewise.
    pub key_norm: Option<Vec<f32>>,
    /// Weight of the norm of the vector that queries come out of, where attention is latent.
    pub query_latent_norm: Option<Vec<f32>>,
    /// Weight of that of keys and values.
    pub key_value_latent_norm: Option<Vec<f32>>,
    /// What a delta rule has beside its linear maps.
    pub delta: Option<DeltaWeights>,
    /// The scores of heads that belong to no token, `[heads]`.
    pub sinks: Option<Vec<f32>>,
    /// What is added to a router's scores before the best are chosen, `[experts]`.
    pub choice_bias: Option<Vec<f32>>,
    /// Its linear maps, in the order of [`crate::ModelConfig::modules`]; of a dense layer query, key, value, output, gate, up, down.
    pub projections: Vec<Projection>,
    /// What the layer has of its own beside weights.
    pub kind: LayerKind,
}
