//! What a model is made of: family, sizes, norms, rotary embedding. The same structure whether a folder or a GGUF file said it.
//!
//! Reading `config.json` is in `hugging_face_config`, reading GGUF metadata in `gguf_config`. Nothing here touches weights.

use crate::architecture::Architecture;
use crate::description::{BlockDescription, Ends, LayerKind, QueryKeyNorm};
use crate::rope::{Rope, RopeScaling};

/// Names of the seven projections of a layer, in this crate's order, as Hugging Face writes them.
pub const PROJECTIONS: [&str; 7] = [
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
];

/// Sizes and constants of a decoder.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// The family.
    pub architecture: Architecture,
    /// Number of decoder layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width inside the feed-forward block.
    pub intermediate: usize,
    /// Number of query heads.
    pub heads: usize,
    /// Number of key and value heads; `heads` is a multiple of it.
    pub key_value_heads: usize,
    /// Width of one head; even.
    pub head_dim: usize,
    /// Rows of the embedding.
    pub vocabulary: usize,
    /// ε of the norms.
    pub norm_epsilon: f64,
    /// Rotary position embedding.
    pub rope: Rope,
    /// That of layers with a window, where it is another.
    pub local_rope: Option<Rope>,
    /// Whether the head is the embedding.
    pub tied_head: bool,
    /// Layers after the last that predict tokens further ahead, and of which the next token needs none.
    pub layers_beyond: usize,
    /// Longest context the model was made for.
    pub context: usize,
    /// Whether query, key and value have biases.
    pub query_key_value_bias: bool,
    /// Whether the attention output has a bias.
    pub output_bias: bool,
    /// Whether the maps of dense feed-forward blocks have biases.
    pub feed_forward_bias: bool,
    /// What every layer computes beside its linear maps.
    pub block: BlockDescription,
    /// What differs from layer to layer; empty where nothing does, and every layer is the default.
    pub kinds: Vec<LayerKind>,
    /// What stands before the first layer and after the last.
    pub ends: Ends,
}

impl ModelConfig {
    /// Shape of a projection's weight, `(out, in)`; 0..7 are query, key, value, output, gate, up, down.
    pub fn dimensions(&self, projection: usize) -> (usize, usize) {
        let (query, key_value) = (self.heads * self.head_dim, self.key_value_heads * self.head_dim);
        match projection {
            0 => (query, self.hidden),
            1 | 2 => (key_value, self.hidden),
            3 => (self.hidden, query),
            4 if self.block.ungated => (0, self.hidden),
            4 | 5 => (self.intermediate, self.hidden),
            _ => (self.hidden, self.intermediate),
        }
    }

    /// Whether a projection has a bias.
    pub fn has_bias(&self, projection: usize) -> bool {
        match projection {
            0..=2 => self.query_key_value_bias,
            3 => self.output_bias,
            4 if self.block.ungated => false,
            _ => self.feed_forward_bias,
        }
    }

    /// Number of weights, the tied head counted once.
    pub fn parameters(&self) -> usize {
        let of_layer = |layer: usize| {
            let modules = self.modules(layer);
            let matrices: usize = (modules.iter())
                .map(|module| module.rows * module.columns + if module.bias { module.rows } else { 0 })
                .sum();
            matrices + self.vector_widths(layer).into_iter().map(|(_, width)| width).sum::<usize>()
        };
        let tables = if self.tied_head { 1 } else { 2 };
        let last = usize::from(!self.block.norms.unweighted) + usize::from(self.block.norms.biases);
        (0..self.layers).map(of_layer).sum::<usize>() + (tables * self.vocabulary + last) * self.hidden
    }

    /// Every tensor the model needs, with its shape, in the order of computing. Matrices are `[out, in]`.
    pub fn tensors(&self) -> impl Iterator<Item = (String, Vec<usize>)> + '_ {
        let table = vec![self.vocabulary, self.hidden];
        std::iter::once((EMBEDDING.to_string(), table.clone()))
            .chain((0..self.layers).flat_map(|layer| self.layer_tensors(layer)))
            .chain((!self.block.norms.unweighted).then(|| (FINAL_NORM.to_string(), vec![self.hidden])))
            .chain(self.block.norms.biases.then(|| (FINAL_NORM_BIAS.to_string(), vec![self.hidden])))
            .chain((!self.tied_head).then(|| (HEAD.to_string(), table)))
    }

    /// What a layer has of its own.
    pub fn kind(&self, layer: usize) -> LayerKind {
        self.kinds.get(layer).copied().unwrap_or_default()
    }

    /// Names, inside of a layer, of the biases of the norms before the blocks, where there are such.
    pub(crate) fn norm_biases(&self) -> [&'static str; 2] {
        ["input_layernorm.bias", "post_attention_layernorm.bias"]
    }

    /// Names, inside of a layer, of the norms of queries and keys, if there are any.
    pub(crate) fn query_key_norms(&self) -> Option<[&'static str; 2]> {
        match self.block.query_key_norm {
            QueryKeyNorm::None | QueryKeyNorm::UnweightedAfterRotation => None,
            QueryKeyNorm::Heads | QueryKeyNorm::Rows => Some([QUERY_NORM, KEY_NORM]),
            QueryKeyNorm::HeadsAfterRotation => Some(["self_attn.query_layernorm.weight", "self_attn.key_layernorm.weight"]),
        }
    }

    /// The vectors of a layer that belong to no linear map, by their names inside of it, with their widths.
    fn vector_widths(&self, layer: usize) -> Vec<(&'static str, usize)> {
        let norms = &self.block.norms;
        let of_stream = [
            norms.before_attention,
            norms.after_attention,
            norms.before_feed_forward,
            norms.after_feed_forward,
        ];
        let of_stream = of_stream.into_iter().flatten().filter(|_| !norms.unweighted);
        let mut all: Vec<(&'static str, usize)> = of_stream.map(|name| (name, self.hidden)).collect();
        if norms.biases {
            all.extend(self.norm_biases().map(|name| (name, self.hidden)));
        }
        let attends = self.delta(layer).is_none();
        if let Some(rule) = self.delta(layer) {
            all.extend([(DELTA_SHIFT, rule.value_heads), (DELTA_DECAY, rule.value_heads), (DELTA_NORM, rule.value_dim)]);
            all.push((DELTA_CONVOLUTION, rule.channels() * rule.kernel));
        }
        for (name, heads) in self
            .query_key_norms()
            .filter(|_| attends)
            .into_iter()
            .flatten()
            .zip([self.heads, self.key_value_heads])
        {
            let together = if self.block.query_key_norm == QueryKeyNorm::Rows { heads } else { 1 };
            all.push((name, together * self.head_dim));
        }
        if let Some(latent) = self.block.latent {
            all.extend(latent.query_rank.map(|rank| (QUERY_LATENT_NORM, rank)));
            all.push((KEY_VALUE_LATENT_NORM, latent.key_value_rank));
        }
        if self.block.sinks {
            all.push((SINKS, self.heads));
        }
        if let Some((name, experts)) = self.experts(layer).and_then(|experts| Some((experts.choice_bias?, experts))) {
            all.push((name, experts.router.experts));
        }
        all
    }

    /// Those of a layer.
    pub(crate) fn layer_tensors(&self, layer: usize) -> Vec<(String, Vec<usize>)> {
        let vectors = self.vector_widths(layer).into_iter();
        let shape = |name: &str, width: usize| match self.delta(layer) {
            Some(rule) if name == DELTA_CONVOLUTION => vec![rule.channels(), 1, rule.kernel],
            _ => vector_shape(name, width),
        };
        let mut tensors: Vec<(String, Vec<usize>)> = vectors.map(|(name, width)| (layer_tensor(layer, name), shape(name, width))).collect();
        for module in self.modules(layer) {
            if module.rows == 0 {
                continue;
            }
            tensors.push((layer_tensor(layer, &format!("{}.weight", module.name)), vec![module.rows, module.columns]));
            if module.bias {
                tensors.push((layer_tensor(layer, &format!("{}.bias", module.name)), vec![module.rows]));
            }
        }
        tensors
    }

    /// What makes these numbers impossible, if anything: zeros, heads that do not divide, odd heads, absurd sizes.
    pub(crate) fn fault(&self) -> Option<String> {
        let sizes = [
            ("layers", self.layers, 1_000_000),
            ("hidden size", self.hidden, 1 << 24),
            ("intermediate size", self.intermediate, 1 << 26),
            ("attention heads", self.heads, 1 << 20),
            ("key-value heads", self.key_value_heads, 1 << 20),
            ("head size", self.head_dim, 1 << 20),
            ("vocabulary", self.vocabulary, 1 << 28),
            ("context", self.context, 1 << 40),
        ];
        for (name, value, limit) in sizes {
            if value == 0 || value > limit {
                return Some(format!("{name} is {value}, which no model has (1 to {limit})"));
            }
        }
        if !self.heads.is_multiple_of(self.key_value_heads) {
            return Some(format!(
                "{} attention heads are not a multiple of {} key-value heads",
                self.heads, self.key_value_heads
            ));
        }
        if !self.head_dim.is_multiple_of(2) {
            return Some(format!("head size {} is odd, but the rotary embedding turns pairs", self.head_dim));
        }
        if !(self.norm_epsilon.is_finite() && self.norm_epsilon >= 0.0) {
            return Some(format!("the norm's epsilon is {}", self.norm_epsilon));
        }
        let turned = self.block.rotary_dim;
        if turned == 0 || turned > self.head_dim || !turned.is_multiple_of(2) {
            return Some(format!(
                "{turned} features of heads of size {} turn; it must be an even number of them",
                self.head_dim
            ));
        }
        if self.kinds.iter().any(|kind| kind.window == Some(0) || kind.chunk == Some(0)) {
            return Some("a window or a chunk holds no token".to_string());
        }
        if let Some(fault) = self.block.experts.and_then(|experts| experts.fault()) {
            return Some(fault);
        }
        if let Some(rule) = self.block.delta {
            let sizes = [rule.value_heads, rule.key_heads, rule.key_dim, rule.value_dim, rule.kernel];
            if sizes.iter().any(|size| *size == 0 || *size > 1 << 16) || !rule.value_heads.is_multiple_of(rule.key_heads) {
                return Some(format!(
                    "a delta rule of {} value heads of {}, {} key heads of {} and {} tokens is none",
                    rule.value_heads, rule.value_dim, rule.key_heads, rule.key_dim, rule.kernel
                ));
            }
        }
        if let Some(latent) = self.block.latent {
            let sizes = [
                ("the width of latent queries", latent.query_rank.unwrap_or(1)),
                ("the width of latent keys and values", latent.key_value_rank),
                ("a head's features without position", latent.plain),
                ("a head's features that turn", latent.turning),
                ("a head's value", latent.value),
            ];
            if let Some((name, value)) = sizes.into_iter().find(|(_, value)| *value == 0 || *value > 1 << 20) {
                return Some(format!("{name} is {value}, which no model has"));
            }
            if latent.value > latent.plain + latent.turning {
                return Some(format!(
                    "values of {} features are wider than queries of {}, which is not known",
                    latent.value,
                    latent.plain + latent.turning
                ));
            }
        }
        let factors = [
            ("the attention's scale", self.block.attention_scale),
            ("the attention's cap", self.block.attention_cap),
            ("the residual factor", Some(self.block.residual_factor)),
            ("the embedding's factor", Some(self.ends.embedding_factor)),
            ("the logits' factor", Some(self.ends.logit_factor)),
            ("the logits' cap", self.ends.logit_cap),
        ];
        for (name, factor) in factors {
            if let Some(factor) = factor.filter(|factor| !(factor.is_finite() && *factor > 0.0)) {
                return Some(format!("{name} is {factor} where a positive number belongs"));
            }
        }
        std::iter::once(&self.rope).chain(&self.local_rope).find_map(|rope| rope_fault(rope, turned))
    }
}

/// What makes a rotary embedding of so many features impossible, if anything.
fn rope_fault(rope: &Rope, turned: usize) -> Option<String> {
    if !(rope.theta.is_finite() && rope.theta > 1.0) {
        return Some(format!("the rotary base is {}; it must be above 1", rope.theta));
    }
    let one_each = |count: usize| {
        let wanted = turned / 2;
        (count != wanted).then(|| format!("{count} rotary divisors for {turned} features that turn; it must be {wanted}"))
    };
    let positive: Vec<f64> = match &rope.scaling {
        RopeScaling::Default => vec![],
        RopeScaling::Linear { factor } => vec![*factor],
        RopeScaling::Dynamic { factor, original_context } => {
            if turned < 4 {
                return Some("dynamic rotary scaling needs more than one pair of features".to_string());
            }
            vec![*factor, *original_context]
        }
        RopeScaling::LongRope {
            short,
            long,
            original_context,
            attention_factor,
        } => {
            if let Some(fault) = one_each(short.len()).or_else(|| one_each(long.len())) {
                return Some(fault);
            }
            [short.as_slice(), long, &[*original_context, *attention_factor]].concat()
        }
        RopeScaling::Llama3 {
            factor,
            low_frequency_factor,
            high_frequency_factor,
            original_context,
        } => {
            if low_frequency_factor == high_frequency_factor {
                return Some(format!("the rotary scaling's low and high frequency factors are both {low_frequency_factor}"));
            }
            vec![*factor, *low_frequency_factor, *high_frequency_factor, *original_context]
        }
        RopeScaling::Yarn {
            factor,
            original_context,
            beta_fast,
            beta_slow,
            attention_factor,
            ..
        } => {
            vec![*factor, *original_context, *beta_fast, *beta_slow, *attention_factor]
        }
        RopeScaling::Divided { divisors } => {
            if let Some(fault) = one_each(divisors.len()) {
                return Some(fault);
            }
            divisors.iter().map(|d| f64::from(*d)).collect()
        }
    };
    let bad = positive.into_iter().find(|value| !(value.is_finite() && *value > 0.0))?;
    Some(format!("the rotary scaling holds {bad} where a positive number belongs"))
}

/// The embedding's name in Hugging Face's style.
pub(crate) const EMBEDDING: &str = "model.embed_tokens.weight";
/// The last norm's name.
pub(crate) const FINAL_NORM: &str = "model.norm.weight";
/// The last norm's bias.
pub(crate) const FINAL_NORM_BIAS: &str = "model.norm.bias";
/// The head's name.
pub(crate) const HEAD: &str = "lm_head.weight";
/// The norm of queries.
pub(crate) const QUERY_NORM: &str = "self_attn.q_norm.weight";
/// The norm of the vector that queries come out of.
pub(crate) const QUERY_LATENT_NORM: &str = "self_attn.q_a_layernorm.weight";
/// The norm of that of keys and values.
pub(crate) const KEY_VALUE_LATENT_NORM: &str = "self_attn.kv_a_layernorm.weight";
/// Of ERNIE's mixtures, added to what a router chooses by; a matrix of one row in files.
pub(crate) const ROW_OF_CHOICE: &str = "mlp.moe_statics.e_score_correction_bias";

/// The shape that a vector has in files.
pub(crate) fn vector_shape(name: &str, width: usize) -> Vec<usize> {
    if name == ROW_OF_CHOICE { vec![1, width] } else { vec![width] }
}

/// Weights of the convolution before a delta rule.
pub(crate) const DELTA_CONVOLUTION: &str = "linear_attn.conv1d.weight";
/// What is added to its decay.
pub(crate) const DELTA_SHIFT: &str = "linear_attn.dt_bias";
/// Logarithms of how fast its states decay.
pub(crate) const DELTA_DECAY: &str = "linear_attn.A_log";
/// The norm of what its heads give.
pub(crate) const DELTA_NORM: &str = "linear_attn.norm.weight";
/// Scores of heads that belong to no token.
pub(crate) const SINKS: &str = "self_attn.sinks";
/// The norm of keys.
pub(crate) const KEY_NORM: &str = "self_attn.k_norm.weight";

/// `model.layers.<layer>.<rest>`.
pub(crate) fn layer_tensor(layer: usize, rest: &str) -> String {
    format!("model.layers.{layer}.{rest}")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::architecture::Architecture;
    use crate::description::Norms;

    pub(crate) fn small() -> ModelConfig {
        ModelConfig {
            architecture: Architecture::LLAMA,
            layers: 2,
            hidden: 8,
            intermediate: 12,
            heads: 4,
            key_value_heads: 2,
            head_dim: 2,
            vocabulary: 10,
            norm_epsilon: 1e-5,
            rope: Rope {
                theta: 10_000.0,
                scaling: RopeScaling::Default,
            },
            local_rope: None,
            tied_head: true,
            layers_beyond: 0,
            context: 64,
            query_key_value_bias: false,
            output_bias: false,
            feed_forward_bias: false,
            block: BlockDescription::plain(2),
            kinds: Vec::new(),
            ends: Ends::default(),
        }
    }

    #[test]
    fn parameters_are_the_sum_over_tensors() {
        let mut config = small();
        let norms = [
            (QueryKeyNorm::None, Norms::BEFORE),
            (QueryKeyNorm::Heads, Norms::AFTER),
            (QueryKeyNorm::Rows, Norms::AROUND),
        ];
        for ((tied, bias), (norm, around)) in [(true, false), (false, true), (false, false)].into_iter().zip(norms) {
            config.tied_head = tied;
            config.query_key_value_bias = bias;
            (config.block.query_key_norm, config.block.norms) = (norm, around);
            let sum: usize = config.tensors().map(|(_, shape)| shape.iter().product::<usize>()).sum();
            assert_eq!(config.parameters(), sum);
        }
    }

    #[test]
    fn impossible_numbers_are_named() {
        assert_eq!(small().fault(), None);
        let fault = |change: fn(&mut ModelConfig)| {
            let mut config = small();
            change(&mut config);
            config.fault().unwrap_or_default()
        };
        assert!(fault(|c| c.heads = 0).contains("attention heads is 0"));
        assert!(fault(|c| c.key_value_heads = 3).contains("multiple of 3"));
        assert!(fault(|c| c.head_dim = 3).contains("odd"));
        assert!(fault(|c| c.layers = 2_000_000).contains("layers is 2000000"));
        assert!(fault(|c| c.block.rotary_dim = 4).contains("4 features"));
        assert!(fault(|c| c.ends.logit_factor = 0.0).contains("logits' factor is 0"));
        assert!(
            fault(|c| c.kinds = vec![LayerKind {
                window: Some(0),
                ..LayerKind::default()
            }])
            .contains("no token")
        );
        assert!(fault(|c| c.rope.theta = f64::NAN).contains("rotary base"));
        assert!(fault(|c| c.rope.scaling = RopeScaling::Linear { factor: 0.0 }).contains("positive"));
        assert!(fault(|c| c.rope.scaling = RopeScaling::Divided { divisors: vec![1.0; 3] }).contains("3 rotary divisors"));
    }
}
