//! Factors of Granite's models, dense ones and mixtures.

use serde_json::Value;

use super::layers::positive;
use crate::config::ModelConfig;
use crate::json_fields::number;

/// Granite's factors.
pub(super) fn granite_factors(json: &Value, config: &mut ModelConfig) -> Result<(), String> {
    let factor = |key: &str| positive(key, number(json, key)?.unwrap_or(1.0));
    config.block.attention_scale = Some(factor("attention_multiplier")?);
    config.block.residual_factor = factor("residual_multiplier")?;
    config.ends.embedding_factor = factor("embedding_multiplier")?;
    config.ends.logit_factor = 1.0 / factor("logits_scaling")?;
    Ok(())
}
