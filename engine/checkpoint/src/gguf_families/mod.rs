//! Families whose GGUF files are read by way of what their `config.json` would say: a row for each, and the translation of metadata.
//!
//! llama.cpp's programs know of each architecture what a GGUF file does not say (which layers have windows, whether weights of experts
//! are brought to a sum of one, what queries are scaled by); what is written here is what they compute and its converter writes down.
//! Where a family's norms multiply by 1 + w, the converter adds the one. Llama's descendants keep the rows of query and key with rotary
//! pairs side by side.

mod family;
mod fields;
mod latent;
mod rows;

pub(crate) use family::GgufFamily;

use self::rows::FAMILIES;
use crate::families;

/// The row of an architecture, where it is one of these: `has_experts` and `has_windows` tell apart what has one name.
pub(crate) fn find(name: &str, has_experts: bool, has_windows: bool) -> Option<&'static GgufFamily> {
    FAMILIES.iter().find(|family| {
        let is_right = match family.model_type {
            "mixtral" => has_experts,
            "olmo2" => !has_windows,
            "olmo3" => has_windows,
            _ => true,
        };
        family.name == name && is_right
    })
}

/// Names of all, for messages.
fn names() -> impl Iterator<Item = &'static str> {
    let distinct = |(place, family): (usize, &'static GgufFamily)| FAMILIES[..place].iter().all(|other| other.name != family.name).then_some(family.name);
    FAMILIES.iter().enumerate().filter_map(distinct)
}

/// The `general.architecture` of all that GGUF files are read of, in one line.
pub(crate) fn known() -> String {
    let others = names().filter(|name| families::from_gguf(name).is_none());
    families::in_gguf().chain(others).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::Path;

    use anamnesis::{GgufMetadataArray, GgufMetadataValue};
    use serde_json::{Value, json};

    use super::*;
    use crate::config::ModelConfig;
    use crate::error::CheckpointError;
    use crate::gguf_config::{Metadata, TensorFacts};

    /// Metadata of four layers with these fields beside the sizes, and what `config.json` says beside them.
    fn both(name: &str, fields: &Value, json: &Value) -> (Result<ModelConfig, CheckpointError>, ModelConfig) {
        let sizes = json!({"block_count": 4, "embedding_length": 64, "feed_forward_length": 96, "attention.head_count": 4,
            "attention.head_count_kv": 2, "attention.key_length": 16, "context_length": 256, "attention.layer_norm_rms_epsilon": 0.5});
        let value = |value: &Value| match value {
            Value::Number(number) if number.is_u64() => GgufMetadataValue::U32(number.as_u64().unwrap() as u32),
            Value::Number(number) => GgufMetadataValue::F32(number.as_f64().unwrap() as f32),
            Value::Bool(flag) => GgufMetadataValue::Bool(*flag),
            Value::String(text) => GgufMetadataValue::String(text.clone()),
            Value::Array(flags) => GgufMetadataValue::Array(Box::new(GgufMetadataArray::Bool(flags.iter().map(|flag| flag.as_bool().unwrap()).collect()))),
            other => panic!("{other}"),
        };
        let all = sizes.as_object().unwrap().iter().chain(fields.as_object().unwrap());
        let values: HashMap<String, GgufMetadataValue> = all.map(|(key, own)| (format!("{name}.{key}"), value(own))).collect();
        let metadata = Metadata {
            file: Path::new("m.gguf"),
            values: &values,
        };
        let facts = TensorFacts {
            vocabulary: 100,
            tied_head: false,
            query_key_value_bias: false,
            output_bias: false,
            rope_divisors: None,
            long_rope: None,
            query_key_norms: false,
        };
        let has = |field: &str| values.contains_key(&format!("{name}.{field}"));
        let row = find(name, has("expert_count"), has("attention.sliding_window")).unwrap();
        let mut own = json!({"model_type": row.model_type, "num_hidden_layers": 4, "hidden_size": 64, "intermediate_size": 96,
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 100, "max_position_embeddings": 256,
            "rms_norm_eps": 0.5, "tie_word_embeddings": false});
        for (key, value) in json.as_object().unwrap() {
            own[key] = value.clone();
        }
        let mut wanted = ModelConfig::from_json(&own.to_string()).unwrap();
        if row.one_added {
            wanted.block.norms.less_one = false;
        }
        (wanted.query_key_value_bias, wanted.output_bias) = (false, false);
        (row.config(&metadata, &facts), wanted)
    }

    #[test]
    fn metadata_says_what_a_configuration_says() {
        let experts = |more: Value| {
            let mut fields = json!({"expert_count": 8, "expert_used_count": 2, "expert_feed_forward_length": 32});
            more.as_object().unwrap().iter().for_each(|(key, value)| fields[key] = value.clone());
            fields
        };
        let windows = json!({"attention.sliding_window": 16, "attention.sliding_window_pattern": [true, true, false, true]});
        let kinds = json!({"sliding_window": 16, "layer_types": ["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"]});
        let cases = [
            (
                "qwen3moe",
                experts(json!({"rope.freq_base": 1e6})),
                json!({"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "norm_topk_prob": true, "rope_theta": 1e6}),
            ),
            (
                "qwen2moe",
                experts(json!({"expert_shared_feed_forward_length": 48})),
                json!({"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 48}),
            ),
            (
                "llama",
                json!({"expert_count": 8, "expert_used_count": 2, "rope.freq_base": 1e6}),
                json!({"num_local_experts": 8, "num_experts_per_tok": 2, "sliding_window": null, "rope_theta": 1e6}),
            ),
            (
                "glm4moe",
                experts(
                    json!({"expert_gating_func": 2, "expert_shared_count": 1, "leading_dense_block_count": 1, "expert_weights_scale": 2.5,
                    "expert_weights_norm": true, "nextn_predict_layers": 1, "rope.dimension_count": 8}),
                ),
                json!({"n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "n_shared_experts": 1, "num_hidden_layers": 3,
                    "first_k_dense_replace": 1, "routed_scaling_factor": 2.5, "norm_topk_prob": true, "num_nextn_predict_layers": 1,
                    "use_qk_norm": false, "partial_rotary_factor": 0.5}),
            ),
            (
                "gpt-oss",
                experts(json!({"attention.sliding_window": 16, "rope.scaling.type": "yarn", "rope.scaling.factor": 32.0,
                    "rope.scaling.original_context_length": 64, "rope.freq_base": 150_000.0, "expert_feed_forward_length": 96})),
                json!({"num_local_experts": 8, "num_experts_per_tok": 2, "sliding_window": 16, "rope_parameters": {"rope_type": "yarn",
                    "factor": 32.0, "original_max_position_embeddings": 64, "rope_theta": 150_000.0, "truncate": false}}),
            ),
            (
                "gemma2",
                json!({"attention.sliding_window": 16, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0}),
                json!({"query_pre_attn_scalar": 16, "sliding_window": 16}),
            ),
            (
                "gemma3",
                json!({"attention.sliding_window": 16, "rope.freq_base": 1e6, "rope.freq_base_swa": 10_000.0, "rope.scaling.type": "linear",
                    "rope.scaling.factor": 8.0}),
                json!({"query_pre_attn_scalar": 16, "sliding_window": 16, "layer_types": ["sliding_attention", "sliding_attention",
                    "sliding_attention", "sliding_attention"], "rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 8.0,
                    "rope_theta": 1e6}, "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0}}}),
            ),
            (
                "granite",
                json!({"attention.scale": 0.25, "embedding_scale": 12.0, "logit_scale": 4.0, "residual_scale": 0.5}),
                json!({"attention_multiplier": 0.25, "embedding_multiplier": 12.0, "logits_scaling": 4.0, "residual_multiplier": 0.5}),
            ),
            ("exaone4", windows.clone(), kinds.clone()),
            ("olmo2", windows.clone(), kinds.clone()),
            ("olmo2", json!({}), json!({})),
            (
                "cohere2",
                json!({"attention.sliding_window": 16, "logit_scale": 0.5, "attention.layer_norm_epsilon": 0.25}),
                json!({"sliding_window": 16, "logit_scale": 0.5, "layer_norm_eps": 0.25, "rms_norm_eps": null}),
            ),
            (
                "nemotron",
                json!({"attention.layer_norm_epsilon": 0.25, "rope.dimension_count": 8}),
                json!({"norm_eps": 0.25, "rms_norm_eps": null, "partial_rotary_factor": 0.5}),
            ),
            ("ernie4_5", json!({"rope.freq_base": 500_000.0}), json!({"use_bias": false})),
            (
                "smollm3",
                json!({"rope.freq_base": 2e6}),
                json!({"rope_theta": 2e6, "no_rope_layers": [1, 1, 1, 0]}),
            ),
            (
                "deepseek2",
                experts(json!({"attention.kv_lora_rank": 24, "attention.key_length": 32, "attention.value_length": 24,
                    "attention.key_length_mla": 20, "attention.value_length_mla": 12, "rope.dimension_count": 8, "expert_gating_func": 2,
                    "expert_shared_count": 1, "leading_dense_block_count": 1, "expert_weights_scale": 2.5, "expert_weights_norm": true,
                    "attention.head_count_kv": 1})),
                json!({"kv_lora_rank": 24, "qk_nope_head_dim": 12, "qk_rope_head_dim": 8, "v_head_dim": 12, "n_routed_experts": 8,
                    "num_experts_per_tok": 2, "moe_intermediate_size": 32, "n_shared_experts": 1, "first_k_dense_replace": 1, "head_dim": 8,
                    "routed_scaling_factor": 2.5, "norm_topk_prob": true, "n_group": 1, "topk_group": 1, "num_key_value_heads": 4}),
            ),
            ("glm4", json!({"rope.dimension_count": 8}), json!({})),
            ("hunyuan-dense", json!({}), json!({})),
            ("seed_oss", json!({}), json!({"attention_out_bias": false})),
            (
                "phi3",
                json!({"attention.sliding_window": 16, "rope.scaling.original_context_length": 4096}),
                json!({"sliding_window": 16, "original_max_position_embeddings": 4096}),
            ),
        ];
        for (name, fields, json) in cases {
            let (found, wanted) = both(name, &fields, &json);
            assert_eq!(found.unwrap(), wanted, "{name}");
        }
    }

    #[test]
    fn what_is_not_computed_is_refused_by_name() {
        let refusal = |name: &str, fields: Value, json: Value| both(name, &fields, &json).0.unwrap_err().to_string();
        assert!(
            refusal("seed_oss", json!({"attention.sliding_window": 16}), json!({"attention_out_bias": false})).contains("seed_oss.attention.sliding_window")
        );
        assert!(refusal("hunyuan-dense", json!({"something_new": 1}), json!({})).contains("hunyuan-dense.something_new"));
        assert!(refusal("hunyuan-dense", json!({"attention.value_length": 8}), json!({})).contains("size 8"));
        assert!(find("deepseek", true, false).is_none());
    }
}
