//! `deepseek2`: latent attention, of DeepSeek's second and third generations.
//!
//! Newer files hold the second map of keys and values in two arrays, that of keys turned; older ones hold it as it is. Where they do, the
//! widths of a head's keys and values stand under `attention.key_length_mla` and `attention.value_length_mla`, and those without `_mla` are
//! of the narrow vector. Rows of queries and keys stay in pairs of neighbours, as the family's own files have them. Readers compute with
//! groups of experts only where a file says so.

use serde_json::{Map, Value, json};

use super::family::{GgufFamily, ROW};
use super::fields::Fields;
use crate::error::CheckpointError;

/// The row.
pub(super) const DEEPSEEK2: GgufFamily = GgufFamily {
    name: "deepseek2",
    model_type: "deepseek_v3",
    latent: true,
    keys: &[
        "attention.key_length_mla",
        "attention.kv_lora_rank",
        "attention.q_lora_rank",
        "attention.value_length_mla",
        "expert_count",
        "expert_feed_forward_length",
        "expert_gating_func",
        "expert_group_count",
        "expert_group_used_count",
        "expert_shared_count",
        "expert_used_count",
        "expert_weights_norm",
        "expert_weights_scale",
        "leading_dense_block_count",
        "nextn_predict_layers",
        "rope.scaling.yarn_log_multiplier",
    ],
    describe,
    ..ROW
};

/// A width of a head: under its own name, or the older one.
fn width(fields: &Fields<'_>, name: &str) -> Result<usize, CheckpointError> {
    match fields.size(&format!("{name}_mla"))? {
        Some(width) => Ok(width),
        None => fields.needed(name),
    }
}

fn describe(fields: &Fields<'_>, json: &mut Map<String, Value>) -> Result<(), CheckpointError> {
    let fault = |reason: String| Err(fields.metadata.fault(reason));
    let turning = fields.needed("rope.dimension_count")?;
    let (keys, values) = (width(fields, "attention.key_length")?, width(fields, "attention.value_length")?);
    if turning >= keys {
        return fault(format!("{turning} of the {keys} features of a head turn, and some must not"));
    }
    fields.experts(json, "n_routed_experts")?;
    let heads = fields.needed("attention.head_count")?;
    for (key, value) in [
        ("num_key_value_heads", Some(heads)),
        ("head_dim", Some(turning)),
        ("q_lora_rank", fields.size("attention.q_lora_rank")?),
        ("kv_lora_rank", Some(fields.needed("attention.kv_lora_rank")?)),
        ("qk_nope_head_dim", Some(keys - turning)),
        ("qk_rope_head_dim", Some(turning)),
        ("v_head_dim", Some(values)),
        ("first_k_dense_replace", fields.size("leading_dense_block_count")?),
        ("n_shared_experts", fields.size("expert_shared_count")?),
        ("num_nextn_predict_layers", fields.size("nextn_predict_layers")?),
    ] {
        json.insert(key.into(), value.into());
    }
    json.insert("routed_scaling_factor".into(), fields.number("expert_weights_scale")?.unwrap_or(1.0).into());
    json.insert("norm_topk_prob".into(), fields.flag("expert_weights_norm").unwrap_or(false).into());
    let (groups, chosen) = (
        fields.size("expert_group_count")?.unwrap_or(1),
        fields.size("expert_group_used_count")?.unwrap_or(1),
    );
    json.insert("n_group".into(), groups.max(1).into());
    json.insert("topk_group".into(), chosen.max(1).into());
    // Files without it are of the second generation.
    match fields.size("expert_gating_func")?.unwrap_or(1) {
        2 => {}
        0 | 1 => {
            json.insert("model_type".into(), "deepseek_v2".into());
            let method = if groups > 1 { "group_limited_greedy" } else { "greedy" };
            json.insert("topk_method".into(), method.into());
        }
        kind => return fault(format!("expert_gating_func is {kind}; known are 1, softmax, and 2, the sigmoid")),
    }
    if fields.metadata.text(&fields.key("rope.scaling.type")) == Some("yarn") {
        let factor = fields.number("rope.scaling.factor")?.unwrap_or(1.0);
        let Some(multiplier) = fields.number("rope.scaling.yarn_log_multiplier")? else {
            return fault("its rotary scaling is yarn, and rope.scaling.yarn_log_multiplier is missing".to_string());
        };
        // A tenth of what scores are scaled by; rotations are not, as where configurations say one number twice.
        let magnitude = (multiplier * 1e7).round() / 1e6;
        let parameters = json!({"rope_type": "yarn", "factor": factor, "mscale": magnitude, "mscale_all_dim": magnitude});
        json.insert("rope_parameters".into(), parameters);
    }
    Ok(())
}
