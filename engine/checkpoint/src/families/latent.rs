//! Families with latent attention.

use serde_json::Value;

use super::family::{Family, PLAIN};
use super::mixtures::{mixture, mixture_keys};
use super::sigmoids::{shared_of, sigmoid_experts};
use crate::architecture::Architecture;
use crate::config::ModelConfig;
use crate::description::{Latent, RopePairs};
use crate::experts::{ExpertNames, ExpertStorage, Experts, GroupScore, Router};
use crate::families::layers::positive;
use crate::json_fields::{flag, flag_or, number, optional_size, present, size};
use crate::rope::yarn_magnitude;
use crate::rope_config::parameters;

/// Reads the widths of latent attention, and sets what follows from them.
fn latent(json: &Value, config: &mut ModelConfig) -> Result<(), String> {
    let latent = Latent {
        query_rank: optional_size(json, "q_lora_rank")?,
        key_value_rank: size(json, "kv_lora_rank")?,
        plain: size(json, "qk_nope_head_dim")?,
        turning: size(json, "qk_rope_head_dim")?,
        value: size(json, "v_head_dim")?,
    };
    let width = latent.plain.saturating_add(latent.turning);
    if let Some(said) = optional_size(json, "qk_head_dim")?.filter(|said| *said != width) {
        return Err(format!("qk_head_dim is {said}, and qk_nope_head_dim and qk_rope_head_dim make {width}"));
    }
    config.block.latent = Some(latent);
    (config.head_dim, config.key_value_heads, config.block.rotary_dim) = (width, config.heads, latent.turning);
    config.block.rope_pairs = if flag_or(json, "rope_interleave", true)? {
        RopePairs::Neighbours
    } else {
        RopePairs::Halves
    };
    // YaRN's correction of the scores, beside that of cosines and sines.
    let scaling = parameters(json)?.unwrap_or(&Value::Null);
    let kind = ["rope_type", "type"].iter().find_map(|key| scaling.get(*key).and_then(Value::as_str));
    if let (Some(all), Some(factor), true) = (
        number(scaling, "mscale_all_dim")?.filter(|all| *all != 0.0),
        number(scaling, "factor")?,
        kind.is_some_and(|kind| kind != "default"),
    ) {
        let correction = yarn_magnitude(factor, all);
        config.block.attention_scale = Some((width as f64).powf(-0.5) * correction * correction);
    }
    Ok(())
}

const KEYS: &[&str] = mixture_keys![
    "first_k_dense_replace",
    "head_dim",
    "kv_lora_rank",
    "moe_intermediate_size",
    "n_group",
    "n_routed_experts",
    "n_shared_experts",
    "norm_topk_prob",
    "num_experts_per_tok",
    "num_local_experts",
    "q_lora_rank",
    "qk_head_dim",
    "qk_nope_head_dim",
    "qk_rope_head_dim",
    "rope_interleave",
    "routed_scaling_factor",
    "topk_group",
    "topk_method",
    "v_head_dim"
];

pub(super) static DEEPSEEK_V3: Family = Family {
    architecture: Architecture::new("deepseek_v3", false),
    classes: &["DeepseekV3ForCausalLM", "DeepseekV3Model"],
    keys: KEYS,
    required: &["kv_lora_rank", "n_routed_experts", "qk_nope_head_dim"],
    fixed: &[("moe_layer_freq", "1"), ("scoring_func", "\"sigmoid\"")],
    own_code: true,
    context: 4096,
    describe: |json, config| {
        if let Some(method) = present(json, "topk_method").filter(|method| method.as_str() != Some("noaux_tc")) {
            return Err(format!("topk_method is {method}; known is noaux_tc"));
        }
        latent(json, config)?;
        sigmoid_experts(json, config, true)
    },
    ..PLAIN
};

pub(super) static DEEPSEEK_V2: Family = Family {
    architecture: Architecture::new("deepseek_v2", false),
    classes: &["DeepseekV2ForCausalLM", "DeepseekV2Model"],
    keys: KEYS,
    required: &["kv_lora_rank", "n_routed_experts", "qk_nope_head_dim"],
    fixed: &[("moe_layer_freq", "1"), ("scoring_func", "\"softmax\"")],
    own_code: true,
    describe: |json, config| {
        latent(json, config)?;
        if flag(json, "norm_topk_prob")? {
            return Err("norm_topk_prob is true; transformers' class of this family does not look at it, and the original does".to_string());
        }
        let grouped = match present(json, "topk_method").and_then(Value::as_str).unwrap_or("greedy") {
            "greedy" => false,
            "group_limited_greedy" => true,
            other => return Err(format!("topk_method is `{other}`; known are greedy and group_limited_greedy")),
        };
        let groups = |key: &str| if grouped { size(json, key) } else { Ok(1) };
        let router = Router {
            groups: groups("n_group")?,
            chosen_groups: groups("topk_group")?,
            group_score: GroupScore::Best,
            renormalised: false,
            factor: positive("routed_scaling_factor", number(json, "routed_scaling_factor")?.unwrap_or(1.0))?,
            ..Router::plain(size(json, "n_routed_experts")?, size(json, "num_experts_per_tok")?)
        };
        let width = size(json, "moe_intermediate_size")?;
        let experts = Experts {
            router,
            width,
            biases: false,
            router_bias: false,
            choice_bias: None,
            shared: shared_of(json, width)?,
            names: ExpertNames {
                shared: "mlp.shared_experts",
                ..ExpertNames::MLP
            },
            storage: ExpertStorage::Each,
        };
        let first = optional_size(json, "first_k_dense_replace")?.unwrap_or(0);
        mixture(config, experts, |layer| layer >= first);
        Ok(())
    },
    ..PLAIN
};
