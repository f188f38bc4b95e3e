//! Families in which most layers have a gated delta rule in the place of attention.

use serde_json::Value;

use super::family::{Family, PLAIN, Windows};
use super::layers::kinds;
use super::mixtures::{mixture_keys, qwen_experts};
use crate::architecture::Architecture;
use crate::config::ModelConfig;
use crate::description::{Activation, DeltaRule, QueryKeyNorm};
use crate::json_fields::{optional_size, present, size_or};

/// What Qwen3-Next and Qwen3.5 have in common.
fn delta(json: &Value, config: &mut ModelConfig, by_key_head: bool) -> Result<(), String> {
    if config.block.activation != Activation::Silu {
        return Err("hidden_act is not silu, which it is of the convolution and the gate of a delta rule too".to_string());
    }
    let or = |key: &str, default: usize| Ok::<_, String>(size_or(json, key, Some(default))?.unwrap_or(default));
    config.block.delta = Some(DeltaRule {
        value_heads: or("linear_num_value_heads", 32)?,
        key_heads: or("linear_num_key_heads", 16)?,
        key_dim: or("linear_key_head_dim", 128)?,
        value_dim: or("linear_value_head_dim", 128)?,
        kernel: or("linear_conv_kernel_dim", 4)?,
        by_key_head,
    });
    config.block.output_gate = true;
    config.block.norms.less_one = true;
    config.block.query_key_norm = QueryKeyNorm::Heads;
    let recurrent: Vec<bool> = match present(json, "layer_types") {
        Some(list) => {
            let list = list.as_array().filter(|list| list.len() == config.layers);
            let list = list.ok_or_else(|| format!("layer_types is not a list of {} kinds", config.layers))?;
            let kind = |kind: &Value| match kind.as_str() {
                Some("linear_attention") => Ok(true),
                Some("full_attention") => Ok(false),
                _ => Err(format!("layer_types holds {kind}; known are linear_attention and full_attention")),
            };
            list.iter().map(kind).collect::<Result<_, _>>()?
        }
        None => {
            let interval = optional_size(json, "full_attention_interval")?.filter(|interval| *interval > 0).unwrap_or(4);
            (0..config.layers).map(|layer| !(layer + 1).is_multiple_of(interval)).collect()
        }
    };
    kinds(config).for_each(|(layer, kind)| kind.delta = recurrent[layer]);
    Ok(())
}

pub(super) static QWEN3_NEXT: Family = Family {
    architecture: Architecture::new("qwen3_next", false),
    classes: &["Qwen3NextForCausalLM", "Qwen3NextModel"],
    keys: mixture_keys![
        "decoder_sparse_step",
        "full_attention_interval",
        "layer_types",
        "linear_conv_kernel_dim",
        "linear_key_head_dim",
        "linear_num_key_heads",
        "linear_num_value_heads",
        "linear_value_head_dim",
        "mlp_only_layers",
        "moe_intermediate_size",
        "norm_topk_prob",
        "num_experts",
        "num_experts_per_tok",
        "num_local_experts",
        "shared_expert_intermediate_size"
    ],
    required: &["shared_expert_intermediate_size", "linear_num_value_heads"],
    windows: Windows::Read,
    head_dim: Some(256),
    key_value_heads: Some(2),
    partial: Some(0.25),
    context: 32_768,
    describe: |json, config| {
        delta(json, config, true)?;
        qwen_experts(json, config, true, true)
    },
    ..PLAIN
};

/// What configurations of Qwen3.5 say that is always so, or is of layers that predict further ahead.
const QWEN3_5_FIXED: &[(&str, &str)] = &[
    ("attn_output_gate", "true"),
    ("mamba_ssm_dtype", "\"float32\""),
    ("mtp_num_hidden_layers", "1"),
    ("mtp_use_dedicated_embeddings", "false"),
];

pub(super) static QWEN3_5: Family = Family {
    architecture: Architecture::new("qwen3_5_text", false),
    classes: &["Qwen3_5ForCausalLM", "Qwen3_5TextModel"],
    keys: &[
        "full_attention_interval",
        "layer_types",
        "linear_conv_kernel_dim",
        "linear_key_head_dim",
        "linear_num_key_heads",
        "linear_num_value_heads",
        "linear_value_head_dim",
    ],
    required: &["linear_num_value_heads"],
    fixed: QWEN3_5_FIXED,
    rope_keys: &["mrope_interleaved", "mrope_section"],
    windows: Windows::Read,
    head_dim: Some(256),
    key_value_heads: Some(4),
    partial: Some(0.25),
    context: 32_768,
    describe: |json, config| delta(json, config, false),
    ..PLAIN
};

pub(super) static QWEN3_5_MOE: Family = Family {
    architecture: Architecture::new("qwen3_5_moe_text", false),
    classes: &["Qwen3_5MoeForCausalLM", "Qwen3_5MoeTextModel"],
    keys: mixture_keys![
        "full_attention_interval",
        "layer_types",
        "linear_conv_kernel_dim",
        "linear_key_head_dim",
        "linear_num_key_heads",
        "linear_num_value_heads",
        "linear_value_head_dim",
        "moe_intermediate_size",
        "num_experts",
        "num_experts_per_tok",
        "num_local_experts",
        "shared_expert_intermediate_size"
    ],
    required: &["shared_expert_intermediate_size", "linear_num_value_heads"],
    fixed: QWEN3_5_FIXED,
    rope_keys: &["mrope_interleaved", "mrope_section"],
    // No layer has a dense block, so nothing says how wide one is.
    sizes: &[("intermediate_size", 1)],
    windows: Windows::Read,
    head_dim: Some(256),
    key_value_heads: Some(2),
    partial: Some(0.25),
    context: 32_768,
    describe: |json, config| {
        delta(json, config, false)?;
        qwen_experts(json, config, true, true)
    },
    ..PLAIN
};
