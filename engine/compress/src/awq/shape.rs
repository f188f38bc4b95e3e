//! What a layer's weights do not say: heads, norms, rotation.

use cruxscope_checkpoint::{BlockDescription, LayerWeights, ModelConfig, QueryKeyNorm, Rope};
use cruxscope_model::decoder::LayerShape;
use cruxscope_model::kernels::Heads;
use cruxscope_model::rotation::Ropes;

use super::check::{expect, seven};
use crate::CompressError;

/// What it takes to run a layer, beside its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockShape {
    /// Number of query heads.
    pub heads: usize,
    /// Number of key and value heads; `heads` is a multiple of it.
    pub key_value_heads: usize,
    /// Width of one head; even.
    pub head_dim: usize,
    /// ε of the norms.
    pub norm_epsilon: f64,
    /// Rotary position embedding.
    pub rope: Rope,
    /// That of layers with a window, where it is another.
    pub local_rope: Option<Rope>,
    /// What is computed beside the linear maps.
    pub block: BlockDescription,
}

impl From<&ModelConfig> for BlockShape {
    fn from(config: &ModelConfig) -> Self {
        Self {
            heads: config.heads,
            key_value_heads: config.key_value_heads,
            head_dim: config.head_dim,
            norm_epsilon: config.norm_epsilon,
            rope: config.rope.clone(),
            local_rope: config.local_rope.clone(),
            block: config.block,
        }
    }
}

impl BlockShape {
    /// The part of it that a layer's forward pass takes, for hidden states of this width.
    pub(super) fn layer(&self, hidden: usize) -> LayerShape {
        LayerShape {
            heads: Heads {
                scale: self.block.attention_scale,
                cap: self.block.attention_cap,
                ..Heads::plain(self.heads, self.key_value_heads, self.head_dim)
            },
            hidden,
            // Asked of blocks without a gate alone, which are not treated here.
            intermediate: 0,
            norm_epsilon: self.norm_epsilon,
            block: self.block,
        }
    }

    /// Its rotary embeddings.
    pub(super) fn ropes(&self) -> Ropes {
        Ropes {
            usual: self.rope.clone(),
            local: self.local_rope.clone(),
            turned: self.block.rotary_dim,
            width: self.head_dim,
            float32_angles: self.block.float32_angles,
            temperature: self.block.temperature,
        }
    }

    /// Whether a layer's weights have these heads.
    pub(super) fn check(&self, layer: &LayerWeights) -> Result<(), CompressError> {
        let [query, key, ..] = seven(layer)?;
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
        let norms = [(&layer.query_norm, self.heads), (&layer.key_norm, self.key_value_heads)];
        for (norm, heads) in norms.into_iter().filter_map(|(norm, heads)| Some((norm.as_ref()?, heads))) {
            let together = if self.block.query_key_norm == QueryKeyNorm::Rows { heads } else { 1 };
            expect("a norm of heads", "values", norm.len(), together * self.head_dim)?;
        }
        Ok(())
    }
}
