//! Families whose layers differ in windows or rotations.

use serde_json::Value;

use super::family::{Family, PLAIN, Windows};
use super::layers::{local_layers, local_rope, positive, rotations, turning_layers, window_pattern, windows, without_biases};
use crate::architecture::Architecture;
use crate::config::ModelConfig;
use crate::description::{LayerRotation, NormKind, Norms, QueryKeyNorm, RopePairs};
use crate::json_fields::{flag, number, number_or, optional_size, present, size_or};

pub(super) static MINISTRAL: Family = Family {
    architecture: Architecture::new("ministral", false),
    classes: &["MinistralForCausalLM", "MinistralModel"],
    keys: &["layer_types", "sliding_window"],
    windows: Windows::Read,
    key_value_heads: Some(8),
    context: 32_768,
    describe: |json, config| {
        let window = size_or(json, "sliding_window", Some(4096))?;
        let local = local_layers(json, config.layers, |_| window.is_some())?;
        windows(config, window, &local)?;
        without_biases(config);
        Ok(())
    },
    ..PLAIN
};

pub(super) static OLMO3: Family = Family {
    architecture: Architecture::new("olmo3", false),
    classes: &["Olmo3ForCausalLM", "Olmo3Model"],
    keys: &["layer_types", "sliding_window"],
    rope_by_kind: true,
    windows: Windows::Read,
    epsilon: 1e-5,
    describe: |json, config| {
        (config.block.norms, config.block.query_key_norm) = (Norms::AFTER, QueryKeyNorm::Rows);
        let local = local_layers(json, config.layers, |layer| !(layer + 1).is_multiple_of(4))?;
        windows(config, size_or(json, "sliding_window", Some(4096))?, &local)?;
        // A scaling is that of whole attention: windows are shorter than any context.
        let usual = config.rope.theta;
        if let Some(theta) = number(json, "rope_theta")?.filter(|theta| *theta != 500_000.0) {
            return Err(format!(
                "rope_theta is {theta}, which versions of transformers take for all layers or for those without a window; give rope_parameters for \
                 each of full_attention and sliding_attention"
            ));
        }
        local_rope(json, config, usual)
    },
    ..PLAIN
};

pub(super) static SMOLLM3: Family = Family {
    architecture: Architecture::new("smollm3", false),
    classes: &["SmolLM3ForCausalLM", "SmolLM3Model"],
    keys: &[
        "layer_types",
        "max_window_layers",
        "no_rope_layer_interval",
        "no_rope_layers",
        "sliding_window",
        "use_sliding_window",
    ],
    required: &["no_rope_layers"],
    windows: Windows::Read,
    key_value_heads: Some(4),
    theta: 2e6,
    context: 32_768,
    tied: true,
    describe: |json, config| {
        let turns = turning_layers(json, config.layers)?;
        let window = optional_size(json, "sliding_window")?;
        let on = flag(json, "use_sliding_window")?;
        let local = local_layers(json, config.layers, |layer| on && window.is_some() && !turns[layer])?;
        if on {
            windows(config, window, &local)?;
        }
        rotations(config, |layer| if turns[layer] { LayerRotation::Usual } else { LayerRotation::None });
        Ok(())
    },
    ..PLAIN
};

pub(super) static EXAONE4: Family = Family {
    architecture: Architecture::new("exaone4", false),
    classes: &["Exaone4ForCausalLM", "Exaone4Model"],
    keys: &["layer_types", "sliding_window", "sliding_window_pattern"],
    windows: Windows::Read,
    epsilon: 1e-5,
    describe: |json, config| {
        (config.block.norms, config.block.query_key_norm) = (Norms::AFTER, QueryKeyNorm::Heads);
        without_biases(config);
        let window = size_or(json, "sliding_window", Some(4096))?;
        let pattern = match (present(json, "sliding_window_pattern"), present(json, "layer_types")) {
            (Some(Value::String(pattern)), None) => {
                return Err(format!(
                    "sliding_window_pattern is `{pattern}`, and layer_types, which says what it comes to, is missing"
                ));
            }
            (Some(Value::String(_)), Some(_)) => 0,
            _ => optional_size(json, "sliding_window_pattern")?.unwrap_or(4),
        };
        let local = local_layers(json, config.layers, |layer| {
            window.is_some() && pattern > 0 && !(layer + 1).is_multiple_of(pattern)
        })?;
        windows(config, window, &local)?;
        // Beside layers with a window, those that see everything know no rotation.
        rotations(config, |layer| {
            if window.is_none() || local[layer] {
                LayerRotation::Usual
            } else {
                LayerRotation::None
            }
        });
        Ok(())
    },
    ..PLAIN
};

pub(super) static GEMMA2: Family = Family {
    architecture: Architecture::new("gemma2", false),
    classes: &["Gemma2ForCausalLM", "Gemma2Model"],
    keys: &[
        "attn_logit_softcapping",
        "final_logit_softcapping",
        "hidden_act",
        "hidden_activation",
        "layer_types",
        "query_pre_attn_scalar",
        "sliding_window",
    ],
    required: &["query_pre_attn_scalar"],
    fixed: &[("cache_implementation", "\"hybrid\""), ("use_bidirectional_attention", "false")],
    windows: Windows::Read,
    head_dim: Some(256),
    key_value_heads: Some(4),
    activation_key: "hidden_activation",
    activation: "gelu_pytorch_tanh",
    context: 8192,
    tied: true,
    describe: |json, config| {
        gemma(json, config)?;
        gemma2_windows_and_caps(json, config)
    },
    ..PLAIN
};

pub(super) static GEMMA3: Family = Family {
    architecture: Architecture::new("gemma3_text", false),
    classes: &["Gemma3ForCausalLM", "Gemma3TextModel"],
    keys: &[
        "_sliding_window_pattern",
        "attn_logit_softcapping",
        "final_logit_softcapping",
        "hidden_act",
        "hidden_activation",
        "layer_types",
        "query_pre_attn_scalar",
        "rope_local_base_freq",
        "sliding_window",
        "sliding_window_pattern",
    ],
    fixed: &[("cache_implementation", "\"hybrid\""), ("use_bidirectional_attention", "false")],
    rope_by_kind: true,
    windows: Windows::Read,
    sizes: &[("num_attention_heads", 8), ("vocab_size", 262_208)],
    head_dim: Some(256),
    key_value_heads: Some(4),
    activation_key: "hidden_activation",
    activation: "gelu_pytorch_tanh",
    theta: 1e6,
    context: 131_072,
    tied: true,
    describe: |json, config| {
        gemma(json, config)?;
        config.block.query_key_norm = QueryKeyNorm::Heads;
        let pattern = window_pattern(json, 6)?;
        let local = local_layers(json, config.layers, |layer| !(layer + 1).is_multiple_of(pattern))?;
        windows(config, size_or(json, "sliding_window", Some(4096))?, &local)?;
        if let Some(cap) = number(json, "attn_logit_softcapping")? {
            return Err(format!(
                "attn_logit_softcapping is {cap}, which the class of Gemma 3 does not apply; remove it if its scores are not capped"
            ));
        }
        config.ends.logit_cap = number(json, "final_logit_softcapping")?;
        let theta = number(json, "rope_local_base_freq")?.unwrap_or(10_000.0);
        local_rope(json, config, theta)
    },
    ..PLAIN
};

pub(super) static COHERE2: Family = Family {
    architecture: Architecture::new("cohere2", false),
    classes: &["Cohere2ForCausalLM", "Cohere2Model"],
    keys: &[
        "_sliding_window_pattern",
        "layer_types",
        "logit_scale",
        "sliding_window",
        "sliding_window_pattern",
    ],
    required: &["logit_scale"],
    fixed: &[
        ("cache_implementation", "\"hybrid\""),
        ("layer_switch", "4"),
        ("order_of_interleaved_layers", "\"local_attn_first\""),
        ("position_embedding_type", "\"rope_gptj\""),
        ("rotary_pct", "1.0"),
        ("use_embedding_sharing", "true"),
        ("use_gated_activation", "true"),
        ("use_parallel_block", "true"),
        ("use_parallel_embedding", "true"),
        ("use_qk_norm", "false"),
    ],
    windows: Windows::Read,
    epsilon: 1e-5,
    epsilon_key: "layer_norm_eps",
    context: 8192,
    tied: true,
    describe: |json, config| {
        config.block.norms = Norms {
            kind: NormKind::Layer,
            before_feed_forward: None,
            ..Norms::BEFORE
        };
        config.block.parallel = true;
        config.block.rope_pairs = RopePairs::Neighbours;
        config.ends.logit_factor = positive("logit_scale", number(json, "logit_scale")?.unwrap_or(0.0625))?;
        let pattern = window_pattern(json, 4)?;
        let local = local_layers(json, config.layers, |layer| !(layer + 1).is_multiple_of(pattern))?;
        windows(config, size_or(json, "sliding_window", Some(4096))?, &local)?;
        rotations(config, |layer| if local[layer] { LayerRotation::Usual } else { LayerRotation::None });
        Ok(())
    },
    ..PLAIN
};

/// Windows in every other layer, and caps of scores and logits, as Gemma 2 began them.
pub(super) fn gemma2_windows_and_caps(json: &Value, config: &mut ModelConfig) -> Result<(), String> {
    let local = local_layers(json, config.layers, |layer| layer.is_multiple_of(2))?;
    windows(config, size_or(json, "sliding_window", Some(4096))?, &local)?;
    config.block.attention_cap = number_or(json, "attn_logit_softcapping", Some(50.0))?;
    config.ends.logit_cap = number_or(json, "final_logit_softcapping", Some(30.0))?;
    Ok(())
}

/// What Gemma's generations have in common.
pub(super) fn gemma(json: &Value, config: &mut ModelConfig) -> Result<(), String> {
    config.block.norms = Norms {
        less_one: true,
        ..Norms::AROUND
    };
    let scalar = positive("query_pre_attn_scalar", number(json, "query_pre_attn_scalar")?.unwrap_or(256.0))?;
    config.block.attention_scale = Some(scalar.powf(-0.5));
    config.ends.embedding_factor = (config.hidden as f64).sqrt();
    Ok(())
}
