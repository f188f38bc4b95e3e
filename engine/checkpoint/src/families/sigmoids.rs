//! Mixtures whose routers take sigmoids or biases for the choice, or share an expert: DeepSeek's relatives, MiniMax, ERNIE, Hunyuan.

use serde_json::Value;

use super::family::{Family, PLAIN, Windows};
use super::layers::{local_layers, positive, windows, without_biases};
use super::mixtures::{experts, mixture, mixture_keys, size_of};
use crate::architecture::Architecture;
use crate::config::{ModelConfig, ROW_OF_CHOICE};
use crate::description::{QueryKeyNorm, RopePairs};
use crate::experts::{ExpertNames, Experts, Router, RouterScores, SharedExpert};
use crate::json_fields::{flag, flag_or, number, optional_size, present, size, size_or};

/// The experts of DeepSeek-V3 and its relatives: sigmoids, a bias for the choice, groups, and shared experts that are one.
pub(super) fn sigmoid_experts(json: &Value, config: &mut ModelConfig, renormalised: bool) -> Result<(), String> {
    let size_of_one = |key: &str| Ok::<_, String>(optional_size(json, key)?.unwrap_or(1));
    let router = Router {
        scores: RouterScores::Sigmoid,
        groups: size_of_one("n_group")?,
        chosen_groups: size_of_one("topk_group")?,
        renormalised: flag_or(json, "norm_topk_prob", renormalised)?,
        factor: positive("routed_scaling_factor", number(json, "routed_scaling_factor")?.unwrap_or(1.0))?,
        ..Router::plain(size_of(json, &["n_routed_experts", "num_local_experts"])?, size(json, "num_experts_per_tok")?)
    };
    let names = ExpertNames {
        shared: "mlp.shared_experts",
        ..ExpertNames::MLP
    };
    let width = size(json, "moe_intermediate_size")?;
    let own = Experts {
        choice_bias: Some("mlp.gate.e_score_correction_bias"),
        shared: shared_of(json, width)?,
        ..experts(router, width, names)
    };
    let first = optional_size(json, "first_k_dense_replace")?.unwrap_or(0);
    mixture(config, own, |layer| layer >= first);
    config.layers_beyond = beyond(json)?;
    Ok(())
}

/// Shared experts side by side, which are one of their widths' sum.
pub(super) fn shared_of(json: &Value, width: usize) -> Result<Option<SharedExpert>, String> {
    let count = optional_size(json, "n_shared_experts")?.unwrap_or(0);
    Ok((count > 0).then(|| SharedExpert {
        width: count.saturating_mul(width),
        gated: false,
    }))
}

/// Layers after the last that predict tokens further ahead.
fn beyond(json: &Value) -> Result<usize, String> {
    let named = ["num_nextn_predict_layers", "num_mtp_layers"].iter();
    Ok(named
        .map(|key| optional_size(json, key))
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .flatten()
        .max()
        .unwrap_or(0))
}

pub(super) static GLM4_MOE: Family = Family {
    architecture: Architecture::new("glm4_moe", false),
    classes: &["Glm4MoeForCausalLM", "Glm4MoeModel"],
    keys: mixture_keys![
        "first_k_dense_replace",
        "moe_intermediate_size",
        "n_group",
        "n_routed_experts",
        "n_shared_experts",
        "norm_topk_prob",
        "num_experts_per_tok",
        "num_local_experts",
        "routed_scaling_factor",
        "topk_group",
        "use_qk_norm"
    ],
    required: &["moe_intermediate_size", "routed_scaling_factor"],
    key_value_heads: Some(8),
    epsilon: 1e-5,
    partial: Some(0.5),
    context: 131_072,
    describe: |json, config| {
        config.output_bias = false;
        if flag(json, "use_qk_norm")? {
            config.block.query_key_norm = QueryKeyNorm::Heads;
        }
        sigmoid_experts(json, config, true)
    },
    ..PLAIN
};

pub(super) static DOTS1: Family = Family {
    architecture: Architecture::new("dots1", false),
    classes: &["Dots1ForCausalLM", "Dots1Model"],
    keys: mixture_keys![
        "first_k_dense_replace",
        "layer_types",
        "max_window_layers",
        "moe_intermediate_size",
        "n_group",
        "n_routed_experts",
        "n_shared_experts",
        "norm_topk_prob",
        "num_experts_per_tok",
        "num_local_experts",
        "routed_scaling_factor",
        "sliding_window",
        "topk_group",
        "use_sliding_window"
    ],
    required: &["moe_intermediate_size", "n_routed_experts"],
    fixed: &[("scoring_func", "\"noaux_tc\""), ("moe_layer_freq", "1")],
    windows: Windows::Read,
    describe: |json, config| {
        config.block.query_key_norm = QueryKeyNorm::Heads;
        let window = size_or(json, "sliding_window", Some(4096))?;
        let first = size_or(json, "max_window_layers", Some(62))?.unwrap_or(usize::MAX);
        let local = local_layers(json, config.layers, |layer| window.is_some() && layer >= first)?;
        windows(config, window, &local)?;
        sigmoid_experts(json, config, false)
    },
    ..PLAIN
};

pub(super) static MINIMAX_M2: Family = Family {
    architecture: Architecture::new("minimax_m2", false),
    classes: &["MiniMaxM2ForCausalLM", "MiniMaxM2Model"],
    keys: mixture_keys![
        "mtp_transformer_layers",
        "num_experts_per_tok",
        "num_local_experts",
        "num_mtp_modules",
        "rotary_dim",
        "use_mtp"
    ],
    required: &["num_local_experts"],
    fixed: &[
        ("qk_norm_type", "\"per_layer\""),
        ("scoring_func", "\"sigmoid\""),
        ("shared_intermediate_size", "0"),
        ("use_qk_norm", "true"),
        ("use_routing_bias", "true"),
    ],
    own_code: true,
    head_dim: Some(128),
    key_value_heads: Some(8),
    theta: 5e6,
    partial: Some(1.0),
    context: 196_608,
    describe: |json, config| {
        without_biases(config);
        config.block.query_key_norm = QueryKeyNorm::Rows;
        if let Some(turned) = optional_size(json, "rotary_dim")? {
            if config.block.rotary_dim != config.head_dim && config.block.rotary_dim != turned {
                return Err(format!("rotary_dim is {turned}, and the rotary parameters say {}", config.block.rotary_dim));
            }
            config.block.rotary_dim = turned;
        }
        let router = Router {
            scores: RouterScores::Sigmoid,
            ..Router::plain(size(json, "num_local_experts")?, size_or(json, "num_experts_per_tok", Some(8))?.unwrap_or(8))
        };
        let own = Experts {
            choice_bias: Some("block_sparse_moe.e_score_correction_bias"),
            ..experts(router, config.intermediate, ExpertNames::BLOCK_SPARSE)
        };
        mixture(config, own, |_| true);
        Ok(())
    },
    ..PLAIN
};

pub(super) static ERNIE4_5_MOE: Family = Family {
    architecture: Architecture::new("ernie4_5_moe", false),
    classes: &["Ernie4_5_MoeForCausalLM", "Ernie4_5_MoeModel"],
    keys: mixture_keys![
        "moe_intermediate_size",
        "moe_k",
        "moe_layer_end_index",
        "moe_layer_interval",
        "moe_layer_start_index",
        "moe_norm_min",
        "moe_num_experts",
        "moe_num_shared_experts",
        "use_bias"
    ],
    required: &["moe_num_experts", "use_bias"],
    fixed: &[("moe_capacity", "[64,64,64]"), ("moe_gate", "\"topk\""), ("moe_use_aux_free", "true")],
    own_code: true,
    key_value_heads: Some(4),
    epsilon: 1e-5,
    theta: 500_000.0,
    context: 131_072,
    tied: true,
    describe: |json, config| {
        if flag(json, "use_bias")? {
            return Err("use_bias is true; biases in the feed-forward block are not known".to_string());
        }
        without_biases(config);
        config.block.rope_pairs = RopePairs::Neighbours;
        let router = Router::plain(size(json, "moe_num_experts")?, size_or(json, "moe_k", Some(6))?.unwrap_or(6));
        let width = size_or(json, "moe_intermediate_size", Some(1536))?.unwrap_or(1536);
        let shared = size_or(json, "moe_num_shared_experts", Some(2))?.unwrap_or(0);
        let names = ExpertNames {
            shared: "mlp.shared_experts",
            ..ExpertNames::MLP
        };
        let own = Experts {
            choice_bias: Some(ROW_OF_CHOICE),
            shared: (shared > 0).then(|| SharedExpert {
                width: shared.saturating_mul(width),
                gated: false,
            }),
            ..experts(router, width, names)
        };
        let at = |key: &str, default: usize| Ok::<_, String>(size_or(json, key, Some(default))?.unwrap_or(default));
        let last = match json.get("moe_layer_end_index").and_then(Value::as_i64) {
            Some(last) if last >= 0 => last as usize,
            _ => config.layers - 1,
        };
        let (first, step) = (at("moe_layer_start_index", 1)?, at("moe_layer_interval", 1)?.max(1));
        mixture(config, own, |layer| (layer + 1).is_multiple_of(step) && layer >= first && layer <= last);
        Ok(())
    },
    ..PLAIN
};

pub(super) static HUNYUAN_MOE: Family = Family {
    architecture: Architecture::new("hunyuan_v1_moe", false),
    classes: &["HunYuanMoEV1ForCausalLM", "HunYuanMoEV1Model"],
    keys: mixture_keys!["eod_token_id", "moe_topk", "num_experts", "num_local_experts"],
    required: &["moe_topk", "num_experts"],
    fixed: &[
        ("moe_drop_tokens", "false"),
        ("norm_type", "\"rms\""),
        ("num_shared_expert", "1"),
        ("use_cla", "false"),
        ("use_mixed_mlp_moe", "true"),
        ("use_qk_norm", "true"),
        ("use_rotary_pos_emb", "true"),
    ],
    epsilon: 1e-5,
    describe: |json, config| {
        config.block.query_key_norm = QueryKeyNorm::HeadsAfterRotation;
        let of_all = |key: &str| match present(json, key) {
            // One number for each layer, in some files.
            Some(Value::Array(list)) => match list.split_first() {
                Some((first, rest)) if rest.iter().all(|other| other == first) => first
                    .as_u64()
                    .map(|first| first as usize)
                    .ok_or_else(|| format!("{key} holds {first}, not a whole number")),
                _ => Err(format!("{key} differs from layer to layer, which is not known")),
            },
            _ => size(json, key),
        };
        let router = Router::plain(of_all("num_experts")?, of_all("moe_topk")?);
        let names = ExpertNames {
            router: "mlp.gate.wg",
            shared: "mlp.shared_mlp",
            ..ExpertNames::MLP
        };
        let own = Experts {
            shared: Some(SharedExpert {
                width: config.intermediate,
                gated: false,
            }),
            ..experts(router, config.intermediate, names)
        };
        mixture(config, own, |_| true);
        Ok(())
    },
    ..PLAIN
};
