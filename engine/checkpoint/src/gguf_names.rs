//! Names of GGUF tensors in words of Hugging Face, by the description of the model that they are of.

use crate::config::{EMBEDDING, FINAL_NORM, FINAL_NORM_BIAS, HEAD, ModelConfig, SINKS, layer_tensor};

/// Hugging Face's name of a GGUF tensor, if the model needs it. Arrays of all experts of a layer have none there and are called
/// [`array_of_experts`].
pub(crate) fn hugging_face_name(config: &ModelConfig, name: &str) -> Option<String> {
    match name {
        "token_embd.weight" => return Some(EMBEDDING.to_string()),
        "output_norm.weight" => return Some(FINAL_NORM.to_string()),
        "output_norm.bias" if config.block.norms.biases => return Some(FINAL_NORM_BIAS.to_string()),
        "output.weight" => return Some(HEAD.to_string()),
        _ => {}
    }
    let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
    let layer: usize = layer.parse().ok()?;
    let (stem, kind) = rest.rsplit_once('.')?;
    if kind != "weight" && kind != "bias" {
        return None;
    }
    let renamed = of_layer(config, stem, kind).or_else(|| {
        let part = ["gate", "up", "down"]
            .into_iter()
            .position(|part| stem.strip_prefix("ffn_").and_then(|rest| rest.strip_suffix("_exps")) == Some(part))?;
        config.block.experts.map(|_| array_of_experts(part, kind))
    });
    renamed.map(|renamed| layer_tensor(layer, &renamed))
}

/// What an array of all experts of a layer is called, inside of the layer.
pub(crate) fn array_of_experts(part: usize, kind: &str) -> String {
    format!("experts_in_one.{}.{kind}", ["gate", "up", "down"][part])
}

/// The two arrays, inside of a layer, of the second map of keys and values where it is not one: `[heads, rank, features without position]` and
/// `[heads, value, rank]`.
pub(crate) const KEYS_VALUES: [&str; 2] = ["keys_apart.weight", "values_apart.weight"];

/// Maps and norms of latent attention.
fn of_latent(stem: &str, kind: &str) -> Option<String> {
    let own = match stem {
        "attn_q_a" => "q_a_proj",
        "attn_q_b" => "q_b_proj",
        "attn_kv_a_mqa" => "kv_a_proj_with_mqa",
        "attn_kv_b" => "kv_b_proj",
        "attn_q_a_norm" => "q_a_layernorm",
        "attn_kv_a_norm" => "kv_a_layernorm",
        "attn_k_b" if kind == "weight" => return Some(KEYS_VALUES[0].to_string()),
        "attn_v_b" if kind == "weight" => return Some(KEYS_VALUES[1].to_string()),
        _ => return None,
    };
    Some(format!("self_attn.{own}.{kind}"))
}

fn of_layer(config: &ModelConfig, stem: &str, kind: &str) -> Option<String> {
    let (norms, is_weight) = (&config.block.norms, kind == "weight");
    let norm = |weight: Option<&'static str>, bias: usize| match is_weight {
        true => weight.map(str::to_string),
        false => norms.biases.then(|| config.norm_biases()[bias].to_string()),
    };
    let of_experts = |name: &'static str| config.block.experts.map(|_| format!("{name}.{kind}"));
    let names = config.block.experts.map(|experts| experts.names);
    match stem {
        "attn_norm" => norm(norms.before_attention, 0),
        "ffn_norm" => norm(norms.before_feed_forward, 1),
        // What stands after attention is a norm of what it gives, or the one before the next block.
        "post_attention_norm" if is_weight => norms.after_attention.or(norms.before_feed_forward).map(str::to_string),
        "post_ffw_norm" if is_weight => norms.after_feed_forward.map(str::to_string),
        "attn_q_norm" if is_weight => config.query_key_norms().map(|[query, _]| query.to_string()),
        "attn_k_norm" if is_weight => config.query_key_norms().map(|[_, key]| key.to_string()),
        "attn_sinks" if is_weight && config.block.sinks => Some(SINKS.to_string()),
        "attn_q_a" | "attn_q_b" | "attn_kv_a_mqa" | "attn_kv_b" | "attn_k_b" | "attn_v_b" | "attn_q_a_norm" | "attn_kv_a_norm" => {
            config.block.latent.and_then(|_| of_latent(stem, kind))
        }
        "attn_q" => Some(format!("self_attn.q_proj.{kind}")),
        "attn_k" => Some(format!("self_attn.k_proj.{kind}")),
        "attn_v" => Some(format!("self_attn.v_proj.{kind}")),
        "attn_output" => Some(format!("self_attn.o_proj.{kind}")),
        "attn_qkv" if config.block.fused.query_key_value => Some(format!("self_attn.qkv_proj.{kind}")),
        "ffn_up" if config.block.fused.gate_up => Some(format!("mlp.gate_up_proj.{kind}")),
        "ffn_gate" => Some(format!("mlp.gate_proj.{kind}")),
        "ffn_up" => Some(format!("mlp.up_proj.{kind}")),
        "ffn_down" => Some(format!("mlp.down_proj.{kind}")),
        "ffn_gate_inp" => of_experts(names?.router),
        "ffn_gate_inp_shexp" => of_experts(names?.shared_gate),
        "exp_probs_b" => config.block.experts?.choice_bias.map(str::to_string),
        "ffn_gate_shexp" => Some(format!("{}.gate_proj.{kind}", names?.shared)),
        "ffn_up_shexp" => Some(format!("{}.up_proj.{kind}", names?.shared)),
        "ffn_down_shexp" => Some(format!("{}.down_proj.{kind}", names?.shared)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(model_type: &str) -> ModelConfig {
        let json = json!({"model_type": model_type, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 100, "moe_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2});
        let fields = json
            .as_object()
            .unwrap()
            .iter()
            .filter(|(key, _)| model_type == "qwen3_moe" || !key.contains("experts") && !key.contains("moe"));
        let json: serde_json::Map<_, _> = fields.map(|(key, value)| (key.clone(), value.clone())).collect();
        ModelConfig::from_json(&serde_json::Value::Object(json).to_string()).unwrap()
    }

    #[test]
    fn names_are_those_of_hugging_face() {
        let (llama, qwen, experts) = (config("llama"), config("qwen3"), config("qwen3_moe"));
        let name = |config: &ModelConfig, gguf| hugging_face_name(config, gguf).unwrap_or_default();
        assert_eq!(name(&llama, "blk.12.attn_q.weight"), "model.layers.12.self_attn.q_proj.weight");
        assert_eq!(name(&qwen, "blk.0.attn_k_norm.weight"), "model.layers.0.self_attn.k_norm.weight");
        assert_eq!(name(&llama, "blk.3.ffn_down.weight"), "model.layers.3.mlp.down_proj.weight");
        assert_eq!(name(&llama, "output.weight"), "lm_head.weight");
        assert_eq!(name(&experts, "blk.1.ffn_gate_inp.weight"), "model.layers.1.mlp.gate.weight");
        assert_eq!(name(&experts, "blk.1.ffn_up_exps.weight"), "model.layers.1.experts_in_one.up.weight");
        for other in [
            "rope_freqs.weight",
            "blk.x.attn_q.weight",
            "blk.0.attn_q.scale",
            "blk.0",
            "blk.0.attn_norm.bias",
            "blk.0.attn_q_norm.weight",
            "blk.0.ffn_gate_exps.weight",
            "blk.0.attn_sinks.weight",
        ] {
            assert_eq!(hugging_face_name(&llama, other), None, "{other}");
        }
    }
}
