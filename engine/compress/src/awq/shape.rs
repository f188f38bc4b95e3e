//! What a layer's weights do not say: heads, norms, rotation.

use cruxscope_checkpoint::{LayerWeights, ModelConfig, Rope};
use cruxscope_model::decoder::LayerShape;
use cruxscope_model::kernels::Heads;

use super::check::expect;
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
    /// The part of it that a layer's forward pass takes, for hidden states of this width.
    pub(super) fn layer(&self, hidden: usize) -> LayerShape {
        LayerShape {
            heads: Heads {
                queries: self.heads,
                keys: self.key_value_heads,
                width: self.head_dim,
            },
            hidden,
            norm_epsilon: self.norm_epsilon,
        }
    }

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
