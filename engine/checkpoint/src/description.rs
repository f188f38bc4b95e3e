//! What a decoder computes beside its linear maps: norms and where they stand, rotation, attention's scores, factors.
//!
//! A family of models is one such description; whoever runs a model reads this and knows no family. The default is Llama's.

use std::ops::Range;

use crate::experts::Experts;

/// How a norm of hidden states is taken, with w its weight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NormKind {
    /// w · x / √(mean(x²) + ε).
    #[default]
    Rms,
    /// w · (x − mean(x)) / √(mean((x − mean(x))²) + ε).
    Layer,
}

/// The norms around a layer's two blocks, by the names of their weights inside of the layer; `None` where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Norms {
    /// How they, and the one before the head, are taken.
    pub kind: NormKind,
    /// Weights of all norms are stored less one: the norm multiplies by 1 + w.
    pub less_one: bool,
    /// None of them has a weight: the norm multiplies by 1. Names then say only where one stands.
    pub unweighted: bool,
    /// Norms before the blocks, and the one before the head, have biases, which are added last.
    pub biases: bool,
    /// Of what attention reads.
    pub before_attention: Option<&'static str>,
    /// Of what attention gives, before it joins the stream.
    pub after_attention: Option<&'static str>,
    /// Of what the feed-forward block reads.
    pub before_feed_forward: Option<&'static str>,
    /// Of what the feed-forward block gives, before it joins the stream.
    pub after_feed_forward: Option<&'static str>,
}

impl Norms {
    /// Before each block, by Llama's names.
    pub(crate) const BEFORE: Self = Self {
        kind: NormKind::Rms,
        less_one: false,
        unweighted: false,
        biases: false,
        before_attention: Some("input_layernorm.weight"),
        after_attention: None,
        before_feed_forward: Some("post_attention_layernorm.weight"),
        after_feed_forward: None,
    };
    /// After each block, on what it gives.
    pub(crate) const AFTER: Self = Self {
        before_attention: None,
        after_attention: Some("post_attention_layernorm.weight"),
        before_feed_forward: None,
        after_feed_forward: Some("post_feedforward_layernorm.weight"),
        ..Self::BEFORE
    };
    /// Both, with the feed-forward block's named after it.
    pub(crate) const AROUND: Self = Self {
        before_attention: Some("input_layernorm.weight"),
        after_attention: Some("post_attention_layernorm.weight"),
        before_feed_forward: Some("pre_feedforward_layernorm.weight"),
        after_feed_forward: Some("post_feedforward_layernorm.weight"),
        ..Self::BEFORE
    };
}

/// Which queries and keys are normalised (root mean square).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum QueryKeyNorm {
    /// None.
    #[default]
    None,
    /// Head by head, before the rotation.
    Heads,
    /// All heads of a token together, before the rotation.
    Rows,
    /// Head by head, after the rotation.
    HeadsAfterRotation,
    /// Head by head, after the rotation, with no weight, and only in layers that turn.
    UnweightedAfterRotation,
}

impl QueryKeyNorm {
    /// Whether it is taken of what the rotation gives.
    pub fn is_after_rotation(self) -> bool {
        matches!(self, Self::HeadsAfterRotation | Self::UnweightedAfterRotation)
    }
}

/// The function inside the gated feed-forward block: down(f(gate(x)) · up(x)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Activation {
    /// x / (1 + exp(−1.702 x)) with x no larger than 7, times 1 + up with up between −7 and 7: gpt-oss.
    ClampedSwish,
    /// max(x, 0)².
    SquaredRelu,
    /// 1 / (1 + exp(−x)), of gates beside the feed-forward block.
    Sigmoid,
    /// x / (1 + exp(−x)).
    #[default]
    Silu,
    /// x / (1 + exp(−2u)) with u = √(2/π) (x + 0.044715 x³): GELU by its approximation with tanh.
    GeluTanh,
}

impl Activation {
    /// That of this name in transformers.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "silu" | "swish" => Some(Self::Silu),
            "relu2" => Some(Self::SquaredRelu),
            "gelu_pytorch_tanh" | "gelu_new" => Some(Self::GeluTanh),
            _ => None,
        }
    }
}

/// Which features of a head are turned together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RopePairs {
    /// (j, j + n/2) of the n features that turn.
    #[default]
    Halves,
    /// (2j, 2j + 1).
    Neighbours,
}

/// What queries are multiplied by, by their position p: 1 + β ln(1 + ⌊(p + first) / original context⌋).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Temperature {
    /// β.
    pub beta: f64,
    /// Context of the pretraining.
    pub original_context: f64,
    /// What positions are counted from.
    pub first: usize,
    /// It is of the layers that do not turn ([`LayerRotation::Still`]), and of no others.
    pub of_still_layers: bool,
}

impl Temperature {
    /// The factor at a position.
    pub fn at(self, position: usize) -> f64 {
        1.0 + self.beta * ((position + self.first) as f64 / self.original_context).floor().ln_1p()
    }
}

/// Which matrices a file holds as one, their rows one below the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fused {
    /// `self_attn.qkv_proj` holds query, key and value.
    pub query_key_value: bool,
    /// `mlp.gate_up_proj` holds gate and up.
    pub gate_up: bool,
}

impl Fused {
    /// Whether any are.
    pub fn any(self) -> bool {
        self.query_key_value || self.gate_up
    }
}

/// Latent attention: queries, and keys and values together, come out of narrow vectors of their own. A head's query and key are a part
/// without position and a part that turns; the turning part of keys is one for all heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latent {
    /// Width of the vector that queries come out of; `None` where they come out of the stream.
    pub query_rank: Option<usize>,
    /// Width of that of keys and values.
    pub key_value_rank: usize,
    /// Features of a head's query and key without position.
    pub plain: usize,
    /// Those that turn.
    pub turning: usize,
    /// Features of a head's value.
    pub value: usize,
}

impl Latent {
    /// Linear maps of attention.
    pub fn maps(self) -> usize {
        if self.query_rank.is_some() { 5 } else { 4 }
    }
}

/// A gated delta rule: tokens write into a state of each value head instead of being kept; see `cruxscope_model::delta`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeltaRule {
    /// Heads of values, each with a state.
    pub value_heads: usize,
    /// Heads of queries and keys; `value_heads` is a multiple of it.
    pub key_heads: usize,
    /// Features of a head's query and key.
    pub key_dim: usize,
    /// Features of a head's value.
    pub value_dim: usize,
    /// Tokens that the convolution before it sees.
    pub kernel: usize,
    /// Queries, keys, values and gates come out of one map, and b and a out of another, each key head by key head.
    pub by_key_head: bool,
}

impl DeltaRule {
    /// Queries, keys and values of all heads.
    pub fn channels(&self) -> usize {
        2 * self.key_heads * self.key_dim + self.values()
    }

    /// Values of all heads.
    pub fn values(&self) -> usize {
        self.value_heads * self.value_dim
    }

    /// Numbers of the states of all value heads.
    pub fn state(&self) -> usize {
        self.value_heads * self.key_dim * self.value_dim
    }

    /// Where a value head's query, key and value stand among the channels.
    pub fn channels_of(&self, head: usize) -> [Range<usize>; 3] {
        let (keys, shared) = (self.key_heads * self.key_dim, head * self.key_heads / self.value_heads);
        let (query, value) = (shared * self.key_dim, 2 * keys + head * self.value_dim);
        [
            query..query + self.key_dim,
            keys + query..keys + query + self.key_dim,
            value..value + self.value_dim,
        ]
    }

    /// Outputs of the linear maps of such a layer that read the stream, in their order.
    pub fn widths(&self) -> Vec<usize> {
        let (channels, values, heads) = (self.channels(), self.values(), self.value_heads);
        if self.by_key_head {
            vec![channels + values, 2 * heads]
        } else {
            vec![channels, values, heads, heads]
        }
    }

    /// Linear maps of such a layer.
    pub fn maps(&self) -> usize {
        self.widths().len() + 1
    }
}

/// ε of the norms of latent vectors.
pub const LATENT_EPSILON: f64 = 1e-6;

/// What every layer of a model computes alike.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BlockDescription {
    /// Norms of the stream.
    pub norms: Norms,
    /// Norms of queries and keys.
    pub query_key_norm: QueryKeyNorm,
    /// Attention and the feed-forward block read the same norm of the layer's input, and both are added to the stream.
    pub parallel: bool,
    /// Inside the feed-forward block.
    pub activation: Activation,
    /// Pairs of features that turn.
    pub rope_pairs: RopePairs,
    /// Features of a head that turn, from the first on; even, at most the head's width.
    pub rotary_dim: usize,
    /// Frequencies, and their products with positions, are rounded to float32 before cos and sin, as transformers takes them; they stay
    /// float64 otherwise. Where scores are large it shows: 2.5e-5 of relative importance in a small Gemma 2.
    pub float32_angles: bool,
    /// What q · k is multiplied by; `None` for 1 / √(width of a head).
    pub attention_scale: Option<f64>,
    /// c of scores that are capped as c tanh(s / c).
    pub attention_cap: Option<f64>,
    /// A factor of queries that grows with their position.
    pub temperature: Option<Temperature>,
    /// What a block gives is multiplied by this before it joins the stream.
    pub residual_factor: f64,
    /// What dense feed-forward blocks are called.
    pub feed_forward: &'static str,
    /// What the maps of dense feed-forward blocks are called: gate, up, down.
    pub feed_forward_maps: [&'static str; 3],
    /// Matrices that a file holds as one.
    pub fused: Fused,
    /// The feed-forward block has no gate: down(f(up(x))).
    pub ungated: bool,
    /// The map of queries gives as many features again, head by head, by the sigmoid of which what attention gives is multiplied.
    pub output_gate: bool,
    /// The delta rule of layers that have it in the place of attention; see [`LayerKind::delta`].
    pub delta: Option<DeltaRule>,
    /// Its attention is latent.
    pub latent: Option<Latent>,
    /// Every head has a score of its own that belongs to no token and takes its share of attention.
    pub sinks: bool,
    /// The experts of layers that have some; see [`LayerKind::experts`].
    pub experts: Option<Experts>,
}

impl BlockDescription {
    /// Llama's, for heads of this width.
    pub fn plain(head_dim: usize) -> Self {
        Self {
            norms: Norms::BEFORE,
            query_key_norm: QueryKeyNorm::None,
            parallel: false,
            activation: Activation::Silu,
            rope_pairs: RopePairs::Halves,
            rotary_dim: head_dim,
            float32_angles: false,
            attention_scale: None,
            attention_cap: None,
            temperature: None,
            residual_factor: 1.0,
            feed_forward: "mlp",
            feed_forward_maps: ["gate_proj", "up_proj", "down_proj"],
            fused: Fused::default(),
            ungated: false,
            output_gate: false,
            delta: None,
            latent: None,
            sinks: false,
            experts: None,
        }
    }

    /// How many linear maps attention has: those of the feed-forward block come after them, and the last of them gives to the stream.
    pub fn attention_maps(&self, kind: LayerKind) -> usize {
        match self.delta.filter(|_| kind.delta) {
            Some(delta) => delta.maps(),
            None => self.latent.map_or(4, Latent::maps),
        }
    }

    /// Why scales cannot be folded into the norms before the two blocks, if so. Each of them must be there, stand before one block
    /// alone, and be stored as the factor that it is.
    pub fn unfoldable(&self) -> Option<&'static str> {
        if self.norms.before_attention.is_none() || self.norms.before_feed_forward.is_none() {
            return Some(if self.parallel {
                "attention and the feed-forward block read one norm"
            } else {
                "no norm stands before its blocks"
            });
        }
        if self.norms.unweighted {
            return Some("its norms have no weights");
        }
        if self.norms.less_one {
            return Some("the weights of its norms are stored less one");
        }
        (self.norms.kind != NormKind::Rms).then_some("its norms are not of root mean squares")
    }
}

/// Which of a model's rotary embeddings a layer has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LayerRotation {
    /// The usual one.
    #[default]
    Usual,
    /// That of layers with a window.
    Local,
    /// None: the layer knows positions by its mask alone.
    None,
    /// None, but queries grow with their positions ([`BlockDescription::temperature`]).
    Still,
}

impl LayerRotation {
    /// Whether queries and keys turn.
    pub fn turns(self) -> bool {
        matches!(self, Self::Usual | Self::Local)
    }
}

/// What differs from layer to layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LayerKind {
    /// A token sees itself and the tokens before it, so many together; `None` for all.
    pub window: Option<usize>,
    /// Texts fall into chunks of so many tokens, and a token sees none of the chunks before its own.
    pub chunk: Option<usize>,
    /// Its rotary embedding.
    pub rotation: LayerRotation,
    /// It has a delta rule ([`BlockDescription::delta`]) in the place of attention.
    pub delta: bool,
    /// Its feed-forward block is one of experts ([`BlockDescription::experts`]).
    pub experts: bool,
}

/// What stands at the two ends of a decoder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ends {
    /// Embeddings are multiplied by this.
    pub embedding_factor: f64,
    /// Logits are multiplied by this.
    pub logit_factor: f64,
    /// c of logits that are then capped as c tanh(x / c).
    pub logit_cap: Option<f64>,
}

impl Default for Ends {
    fn default() -> Self {
        Self {
            embedding_factor: 1.0,
            logit_factor: 1.0,
            logit_cap: None,
        }
    }
}
