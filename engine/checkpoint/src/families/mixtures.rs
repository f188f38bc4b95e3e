//! Families whose layers are mixtures of experts.

use serde_json::Value;

use super::factors::granite_factors;
use super::family::{Family, PLAIN, Windows};
use super::layers::{everywhere, kinds, local_layers, windows, without_biases};
use crate::architecture::Architecture;
use crate::config::ModelConfig;
use crate::description::{Activation, QueryKeyNorm};
use crate::experts::{ExpertNames, ExpertStorage, Experts, Router, RouterScores, SharedExpert, StackedNames};
use crate::json_fields::{flag, flag_or, optional_size, present, size, size_or};

/// Keys that every mixture may have and that say nothing of what is computed.
macro_rules! mixture_keys {
    ($($key:literal),* $(,)?) => {
        &[
            "aux_loss_alpha", "ep_size", "num_mtp_layers", "num_nextn_predict_layers", "output_router_logits", "router_aux_loss_coef",
            "router_jitter_noise", "seq_aux", $($key),*
        ]
    };
}
pub(super) use mixture_keys;

/// Experts of no family yet, each by its own name.
pub(super) fn experts(router: Router, width: usize, names: ExpertNames) -> Experts {
    Experts {
        router,
        width,
        biases: false,
        router_bias: false,
        choice_bias: None,
        shared: None,
        names,
        storage: ExpertStorage::Each,
    }
}

/// Gives experts to the layers that have some.
pub(super) fn mixture(config: &mut ModelConfig, experts: Experts, has: impl Fn(usize) -> bool) {
    config.block.experts = Some(experts);
    kinds(config).for_each(|(layer, kind)| kind.experts = has(layer));
}

/// A size under the first of its names that is there.
pub(super) fn size_of(json: &Value, names: &[&str]) -> Result<usize, String> {
    for name in names {
        if let Some(size) = optional_size(json, name)? {
            return Ok(size);
        }
    }
    Err(format!("{} is missing", names.join(" or ")))
}

/// Layers of Qwen's mixtures: every `decoder_sparse_step`th but those of `mlp_only_layers`.
fn qwen_layers(json: &Value, layers: usize) -> Result<Vec<bool>, String> {
    let step = size_or(json, "decoder_sparse_step", Some(1))?.filter(|step| *step > 0);
    let step = step.ok_or_else(|| "decoder_sparse_step is 0".to_string())?;
    let dense: Vec<u64> = match present(json, "mlp_only_layers") {
        Some(list) => (list.as_array().and_then(|list| list.iter().map(Value::as_u64).collect()))
            .ok_or_else(|| format!("mlp_only_layers is {list}, not a list of layers"))?,
        None => Vec::new(),
    };
    Ok((0..layers)
        .map(|layer| !dense.contains(&(layer as u64)) && (layer + 1).is_multiple_of(step))
        .collect())
}

/// Qwen's experts, all but what is shared.
pub(super) fn qwen_experts(json: &Value, config: &mut ModelConfig, shared: bool, renormalised: bool) -> Result<(), String> {
    let router = Router {
        renormalised: flag_or(json, "norm_topk_prob", renormalised)?,
        ..Router::plain(size_of(json, &["num_experts", "num_local_experts"])?, size(json, "num_experts_per_tok")?)
    };
    let own = Experts {
        shared: match shared {
            true => Some(SharedExpert {
                width: size(json, "shared_expert_intermediate_size")?,
                gated: true,
            }),
            false => None,
        },
        ..experts(router, size(json, "moe_intermediate_size")?, ExpertNames::MLP)
    };
    let has = qwen_layers(json, config.layers)?;
    mixture(config, own, |layer| has[layer]);
    Ok(())
}

pub(super) static QWEN3_MOE: Family = Family {
    architecture: Architecture::new("qwen3_moe", false),
    classes: &["Qwen3MoeForCausalLM", "Qwen3MoeModel"],
    keys: mixture_keys![
        "decoder_sparse_step",
        "mlp_only_layers",
        "moe_intermediate_size",
        "norm_topk_prob",
        "num_experts",
        "num_experts_per_tok",
        "num_local_experts"
    ],
    required: &["moe_intermediate_size"],
    windows: Windows::OnlyOnRequest,
    key_value_heads: Some(4),
    context: 32_768,
    describe: |json, config| {
        config.block.query_key_norm = QueryKeyNorm::Heads;
        qwen_experts(json, config, false, false)
    },
    ..PLAIN
};

pub(super) static QWEN2_MOE: Family = Family {
    architecture: Architecture::new("qwen2_moe", false),
    classes: &["Qwen2MoeForCausalLM", "Qwen2MoeModel"],
    keys: mixture_keys![
        "decoder_sparse_step",
        "mlp_only_layers",
        "moe_intermediate_size",
        "norm_topk_prob",
        "num_experts",
        "num_experts_per_tok",
        "num_local_experts",
        "qkv_bias",
        "shared_expert_intermediate_size"
    ],
    required: &["shared_expert_intermediate_size"],
    windows: Windows::OnlyOnRequest,
    context: 32_768,
    describe: |json, config| {
        (config.query_key_value_bias, config.output_bias) = (flag_or(json, "qkv_bias", true)?, false);
        qwen_experts(json, config, true, false)
    },
    ..PLAIN
};

pub(super) static OLMOE: Family = Family {
    architecture: Architecture::new("olmoe", false),
    classes: &["OlmoeForCausalLM", "OlmoeModel"],
    keys: mixture_keys!["norm_topk_prob", "num_experts", "num_experts_per_tok", "num_local_experts"],
    required: &["num_experts_per_tok"],
    epsilon: 1e-5,
    context: 4096,
    describe: |json, config| {
        config.block.query_key_norm = QueryKeyNorm::Rows;
        let router = Router {
            renormalised: flag(json, "norm_topk_prob")?,
            ..Router::plain(size_of(json, &["num_experts", "num_local_experts"])?, size(json, "num_experts_per_tok")?)
        };
        mixture(config, experts(router, config.intermediate, ExpertNames::MLP), |_| true);
        Ok(())
    },
    ..PLAIN
};

pub(super) static MIXTRAL: Family = Family {
    architecture: Architecture::new("mixtral", false),
    classes: &["MixtralForCausalLM", "MixtralModel"],
    keys: mixture_keys!["num_experts_per_tok", "num_local_experts", "sliding_window"],
    required: &["num_local_experts"],
    windows: Windows::Read,
    key_value_heads: Some(8),
    epsilon: 1e-5,
    theta: 1e6,
    context: 131_072,
    describe: |json, config| {
        everywhere(config, optional_size(json, "sliding_window")?);
        without_biases(config);
        let router = Router::plain(size(json, "num_local_experts")?, size_or(json, "num_experts_per_tok", Some(2))?.unwrap_or(2));
        mixture(config, experts(router, config.intermediate, ExpertNames::BLOCK_SPARSE), |_| true);
        Ok(())
    },
    ..PLAIN
};

pub(super) static GRANITEMOE: Family = Family {
    architecture: Architecture::new("granitemoe", false),
    classes: &["GraniteMoeForCausalLM", "GraniteMoeModel"],
    keys: mixture_keys![
        "attention_multiplier",
        "embedding_multiplier",
        "logits_scaling",
        "num_experts_per_tok",
        "num_local_experts",
        "residual_multiplier"
    ],
    required: &[
        "attention_multiplier",
        "embedding_multiplier",
        "logits_scaling",
        "num_local_experts",
        "residual_multiplier",
    ],
    describe: |json, config| {
        granite_factors(json, config)?;
        let router = Router {
            scores: RouterScores::ChosenSoftmax,
            renormalised: false,
            ..Router::plain(size(json, "num_local_experts")?, size_or(json, "num_experts_per_tok", Some(2))?.unwrap_or(2))
        };
        let names = ExpertNames {
            router: "block_sparse_moe.router.layer",
            ..ExpertNames::BLOCK_SPARSE
        };
        let storage = ExpertStorage::Stacked(StackedNames {
            gate_up: "block_sparse_moe.input_linear.weight",
            down: "block_sparse_moe.output_linear.weight",
        });
        let own = Experts {
            storage,
            ..experts(router, config.intermediate, names)
        };
        mixture(config, own, |_| true);
        Ok(())
    },
    ..PLAIN
};

pub(super) static GPT_OSS: Family = Family {
    architecture: Architecture::new("gpt_oss", false),
    classes: &["GptOssForCausalLM", "GptOssModel"],
    keys: mixture_keys![
        "initial_context_length",
        "experts_per_token",
        "layer_types",
        "num_experts_per_tok",
        "num_local_experts",
        "sliding_window"
    ],
    required: &["num_local_experts"],
    fixed: &[("swiglu_limit", "7.0"), ("swiglu_alpha", "1.702")],
    windows: Windows::Read,
    head_dim: Some(64),
    key_value_heads: Some(8),
    epsilon: 1e-5,
    theta: 150_000.0,
    context: 131_072,
    attention_bias: true,
    describe: |json, config| {
        let local = local_layers(json, config.layers, |layer| layer.is_multiple_of(2))?;
        windows(config, size_or(json, "sliding_window", Some(128))?, &local)?;
        if crate::rope_config::parameters(json)?.is_none() {
            return Err("rope_parameters (or rope_scaling) is missing, which says how its rotary embedding is scaled".to_string());
        }
        if config.block.activation != Activation::Silu {
            return Err("hidden_act is not silu, which its experts' own activation is named".to_string());
        }
        config.block.activation = Activation::ClampedSwish;
        config.block.sinks = true;
        let router = Router {
            scores: RouterScores::ChosenSoftmax,
            renormalised: false,
            ..Router::plain(size(json, "num_local_experts")?, size_of(json, &["num_experts_per_tok", "experts_per_token"])?)
        };
        let names = ExpertNames {
            router: "mlp.router",
            ..ExpertNames::MLP
        };
        let own = Experts {
            biases: true,
            router_bias: true,
            storage: ExpertStorage::Interleaved(StackedNames {
                gate_up: "mlp.experts.gate_up_proj",
                down: "mlp.experts.down_proj",
            }),
            ..experts(router, config.intermediate, names)
        };
        mixture(config, own, |_| true);
        Ok(())
    },
    ..PLAIN
};
