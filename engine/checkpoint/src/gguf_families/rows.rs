//! The rows of the families.

use serde_json::{Map, Value, json};

use super::family::{GgufFamily, ROW};
use super::fields::Fields;
use super::latent::DEEPSEEK2;
use crate::error::CheckpointError;

/// Keys of mixtures.
macro_rules! expert_keys {
    ($($key:literal),* $(,)?) => {
        &["expert_count", "expert_used_count", "expert_feed_forward_length", $($key),*]
    };
}

/// The rows.
pub(super) static FAMILIES: &[GgufFamily] = &[
    DEEPSEEK2,
    GgufFamily {
        name: "qwen3moe",
        model_type: "qwen3_moe",
        keys: expert_keys![],
        describe: |fields, json| {
            fields.experts(json, "num_experts")?;
            json.insert("norm_topk_prob".into(), true.into());
            Ok(())
        },
        ..ROW
    },
    GgufFamily {
        name: "qwen2moe",
        model_type: "qwen2_moe",
        keys: expert_keys!["expert_shared_feed_forward_length"],
        describe: |fields, json| {
            fields.experts(json, "num_experts")?;
            let shared = fields.needed("expert_shared_feed_forward_length")?;
            json.insert("shared_expert_intermediate_size".into(), shared.into());
            Ok(())
        },
        ..ROW
    },
    GgufFamily {
        name: "olmoe",
        model_type: "olmoe",
        keys: expert_keys![],
        describe: |fields, json| {
            fields.experts(json, "num_experts")?;
            json.remove("moe_intermediate_size");
            Ok(())
        },
        ..ROW
    },
    GgufFamily {
        name: "glm4moe",
        model_type: "glm4_moe",
        keys: expert_keys![
            "expert_gating_func",
            "expert_group_count",
            "expert_group_used_count",
            "expert_shared_count",
            "expert_weights_norm",
            "expert_weights_scale",
            "leading_dense_block_count",
            "nextn_predict_layers"
        ],
        describe: |fields, json| {
            fields.experts(json, "n_routed_experts")?;
            if let Some(kind) = fields.size("expert_gating_func")?.filter(|kind| *kind != 2) {
                return Err(fields.metadata.fault(format!("expert_gating_func is {kind}; known is 2, the sigmoid")));
            }
            for (key, field) in [
                ("n_group", "expert_group_count"),
                ("topk_group", "expert_group_used_count"),
                ("n_shared_experts", "expert_shared_count"),
                ("first_k_dense_replace", "leading_dense_block_count"),
                ("num_nextn_predict_layers", "nextn_predict_layers"),
            ] {
                json.insert(key.into(), fields.size(field)?.into());
            }
            json.insert("routed_scaling_factor".into(), fields.number("expert_weights_scale")?.unwrap_or(1.0).into());
            json.insert("norm_topk_prob".into(), fields.flag("expert_weights_norm").unwrap_or(true).into());
            json.insert("use_qk_norm".into(), fields.facts.query_key_norms.into());
            Ok(())
        },
        ..ROW
    },
    GgufFamily {
        name: "gpt-oss",
        model_type: "gpt_oss",
        keys: expert_keys!["attention.sliding_window"],
        describe: |fields, json| {
            fields.experts(json, "num_local_experts")?;
            json.remove("moe_intermediate_size");
            json.insert("sliding_window".into(), fields.needed("attention.sliding_window")?.into());
            json.insert("rope_parameters".into(), json!({"rope_type": "default"}));
            Ok(())
        },
        ..ROW
    },
    GgufFamily {
        name: "gemma2",
        model_type: "gemma2",
        one_added: true,
        keys: &["attention.sliding_window", "attn_logit_softcapping", "final_logit_softcapping"],
        describe: |fields, json| {
            gemma(fields, json, 46)?;
            // Uncapped where nothing is said.
            json.insert("attn_logit_softcapping".into(), fields.number("attn_logit_softcapping")?.into());
            json.insert("final_logit_softcapping".into(), fields.number("final_logit_softcapping")?.into());
            Ok(())
        },
        ..ROW
    },
    GgufFamily {
        name: "gemma3",
        model_type: "gemma3_text",
        one_added: true,
        keys: &[
            "attention.sliding_window",
            "attention.sliding_window_pattern",
            "final_logit_softcapping",
            "rope.freq_base_swa",
        ],
        describe: |fields, json| {
            gemma(fields, json, 62)?;
            fields.layer_types(json, 6)?;
            json.insert("final_logit_softcapping".into(), fields.number("final_logit_softcapping")?.into());
            Ok(())
        },
        ..ROW
    },
    GgufFamily {
        name: "phi3",
        model_type: "phi3",
        keys: &["attention.sliding_window"],
        describe: |fields, json| {
            let original = fields.size("rope.scaling.original_context_length")?;
            json.insert("original_max_position_embeddings".into(), original.into());
            json.insert(
                "sliding_window".into(),
                fields.size("attention.sliding_window")?.filter(|window| *window > 0).into(),
            );
            Ok(())
        },
        ..ROW
    },
    GgufFamily {
        name: "granite",
        model_type: "granite",
        interleaved: true,
        keys: &["attention.scale", "embedding_scale", "logit_scale", "residual_scale"],
        describe: |fields, json| {
            for (key, field) in [
                ("attention_multiplier", "attention.scale"),
                ("embedding_multiplier", "embedding_scale"),
                ("logits_scaling", "logit_scale"),
                ("residual_multiplier", "residual_scale"),
            ] {
                let value = fields.number(field)?.filter(|value| *value != 0.0);
                let default = if field == "attention.scale" {
                    (fields.head_dim()? as f64).powf(-0.5)
                } else {
                    1.0
                };
                json.insert(key.into(), value.unwrap_or(default).into());
            }
            Ok(())
        },
        ..ROW
    },
    GgufFamily {
        name: "smollm3",
        model_type: "smollm3",
        interleaved: true,
        // Every fourth layer has no rotation; the file does not say it.
        describe: |fields, json| {
            let turns: Vec<u8> = (1..=fields.layers()?).map(|layer| u8::from(layer % 4 != 0)).collect();
            json.insert("no_rope_layers".into(), turns.into());
            Ok(())
        },
        ..ROW
    },
    GgufFamily {
        name: "glm4",
        model_type: "glm4",
        ..ROW
    },
    GgufFamily {
        name: "cohere2",
        model_type: "cohere2",
        keys: &[
            "attention.layer_norm_epsilon",
            "attention.sliding_window",
            "attention.sliding_window_pattern",
            "logit_scale",
        ],
        describe: |fields, json| {
            json.insert("logit_scale".into(), fields.number("logit_scale")?.unwrap_or(1.0).into());
            json.insert("sliding_window".into(), fields.size("attention.sliding_window")?.into());
            fields.layer_types(json, 4)?;
            fields.epsilon(json, "layer_norm_eps")
        },
        ..ROW
    },
    GgufFamily {
        name: "exaone4",
        model_type: "exaone4",
        keys: &["attention.sliding_window", "attention.sliding_window_pattern"],
        describe: |fields, json| {
            let window = fields.size("attention.sliding_window")?.filter(|window| *window > 0);
            json.insert("sliding_window".into(), window.into());
            match window {
                Some(_) => fields.layer_types(json, 4),
                None => {
                    let all = vec!["full_attention"; fields.layers()?];
                    json.insert("layer_types".into(), all.into());
                    Ok(())
                }
            }
        },
        ..ROW
    },
    GgufFamily {
        name: "ernie4_5",
        model_type: "ernie4_5",
        describe: |_, json| {
            json.insert("use_bias".into(), false.into());
            Ok(())
        },
        ..ROW
    },
    GgufFamily {
        name: "hunyuan-dense",
        model_type: "hunyuan_v1_dense",
        ..ROW
    },
    GgufFamily {
        name: "olmo2",
        model_type: "olmo2",
        ..ROW
    },
    GgufFamily {
        name: "olmo2",
        model_type: "olmo3",
        keys: &["attention.sliding_window", "attention.sliding_window_pattern", "rope.freq_base_swa"],
        describe: |fields, json| {
            json.insert("sliding_window".into(), fields.needed("attention.sliding_window")?.into());
            fields.layer_types(json, 4)
        },
        ..ROW
    },
    GgufFamily {
        name: "seed_oss",
        model_type: "seed_oss",
        describe: |fields, json| {
            json.insert("attention_out_bias".into(), fields.facts.output_bias.into());
            Ok(())
        },
        ..ROW
    },
    GgufFamily {
        name: "nemotron",
        model_type: "nemotron",
        one_added: true,
        keys: &["attention.layer_norm_epsilon"],
        describe: |fields, json| fields.epsilon(json, "norm_eps"),
        ..ROW
    },
    GgufFamily {
        name: "llama",
        model_type: "mixtral",
        interleaved: true,
        keys: expert_keys![],
        describe: |fields, json| {
            fields.experts(json, "num_local_experts")?;
            json.remove("moe_intermediate_size");
            json.insert("sliding_window".into(), Value::Null);
            Ok(())
        },
        ..ROW
    },
];

/// What Gemma's generations have in common. Queries are scaled by the width of a head, in the largest model, of `largest` layers, by the
/// width of the stream over the heads.
fn gemma(fields: &Fields<'_>, json: &mut Map<String, Value>, largest: usize) -> Result<(), CheckpointError> {
    let scalar = match fields.layers()? == largest {
        true => fields.needed("embedding_length")? / fields.needed("attention.head_count")?.max(1),
        false => fields.head_dim()?,
    };
    json.insert("query_pre_attn_scalar".into(), scalar.into());
    json.insert("sliding_window".into(), fields.needed("attention.sliding_window")?.into());
    Ok(())
}
