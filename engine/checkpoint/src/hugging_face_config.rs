//! `config.json` of a Hugging Face folder into a [`ModelConfig`].
//!
//! Defaults are those of transformers' configuration classes. What the forward pass does not know how to do is refused here by
//! name (sliding windows, other activations, quantized layouts), so that no study is made with a model computed wrongly; keys that
//! are not known at all are refused in `config_keys`.

use std::path::Path;

use serde_json::Value;

use crate::config::{Architecture, ModelConfig};
use crate::config_keys;
use crate::error::CheckpointError;
use crate::rope::{Rope, RopeScaling};

/// Reads `config.json`'s text.
///
/// # Errors
/// [`CheckpointError::UnknownArchitecture`], or [`CheckpointError::Configuration`] with the field that is wrong.
pub(crate) fn parse(file: &Path, text: &str) -> Result<ModelConfig, CheckpointError> {
    let fault = |reason: String| CheckpointError::Configuration {
        file: file.to_path_buf(),
        reason,
    };
    let json: Value = serde_json::from_str(text).map_err(|error| fault(format!("it is not JSON: {error}")))?;
    let Some(model_type) = json.get("model_type").and_then(Value::as_str) else {
        return Err(fault("model_type is missing".to_string()));
    };
    let Some(architecture) = Architecture::from_name(model_type) else {
        return Err(CheckpointError::UnknownArchitecture {
            file: file.to_path_buf(),
            architecture: model_type.to_string(),
            known: Architecture::known(),
        });
    };
    read(architecture, &json).map_err(fault)
}

fn read(architecture: Architecture, json: &Value) -> Result<ModelConfig, String> {
    config_keys::check_class(architecture, json)?;
    config_keys::refuse_unknown(json)?;
    let context = optional_size(json, "max_position_embeddings")?.unwrap_or(2048);
    refuse_unknown_computation(architecture, context, json)?;
    let hidden = size(json, "hidden_size")?;
    let heads = size(json, "num_attention_heads")?;
    let head_dim = match optional_size(json, "head_dim")? {
        Some(head_dim) => head_dim,
        // The one family whose class does not derive it from the width.
        None if architecture == Architecture::Qwen3 => 128,
        None if heads > 0 => hidden / heads,
        None => 0,
    };
    let attention_bias = flag(json, "attention_bias")?;
    let config = ModelConfig {
        architecture,
        layers: size(json, "num_hidden_layers")?,
        hidden,
        intermediate: size(json, "intermediate_size")?,
        heads,
        key_value_heads: optional_size(json, "num_key_value_heads")?.unwrap_or(heads),
        head_dim,
        vocabulary: size(json, "vocab_size")?,
        norm_epsilon: number(json, "rms_norm_eps")?.unwrap_or(1e-6),
        rope: rope(json, context)?,
        tied_head: flag(json, "tie_word_embeddings")?,
        context,
        query_key_value_bias: architecture == Architecture::Qwen2 || attention_bias,
        output_bias: architecture != Architecture::Qwen2 && attention_bias,
        query_key_norm: architecture == Architecture::Qwen3,
    };
    config.fault().map_or(Ok(config), Err)
}

fn refuse_unknown_computation(architecture: Architecture, context: usize, json: &Value) -> Result<(), String> {
    let activation = json.get("hidden_act").and_then(Value::as_str).unwrap_or("silu");
    if !matches!(activation, "silu" | "swish") {
        return Err(format!("hidden_act is `{activation}`; only silu (swish) is known"));
    }
    // Qwen's classes look at the window only where `use_sliding_window` says so. Llama's knows none: whoever wrote one into its
    // configuration has a model that needs it, unless no text is longer than the window.
    if let Some(window) = optional_size(json, "sliding_window")?
        && architecture == Architecture::Llama
        && present(json, "use_sliding_window").is_none()
        && window < context
    {
        return Err(format!("sliding_window is {window} in a context of {context}; only full attention is known"));
    }
    if flag(json, "use_sliding_window")? {
        return Err("use_sliding_window is true; only full attention is known".to_string());
    }
    if let Some(kinds) = json.get("layer_types").and_then(Value::as_array)
        && let Some(kind) = kinds.iter().find(|kind| kind.as_str() != Some("full_attention"))
    {
        return Err(format!("layer_types holds {kind}; only full_attention is known"));
    }
    if flag(json, "mlp_bias")? {
        return Err("mlp_bias is true; biases in the feed-forward block are not known".to_string());
    }
    if let Some(part) = number(json, "partial_rotary_factor")?
        && part != 1.0
    {
        return Err(format!("partial_rotary_factor is {part}; only 1 is known"));
    }
    Ok(())
}

/// The rotary embedding, out of `rope_parameters` (newer) or `rope_theta` and `rope_scaling`.
fn rope(json: &Value, context: usize) -> Result<Rope, String> {
    let given = ["rope_parameters", "rope_scaling"].map(|key| json.get(key).filter(|value| value.is_object()));
    if let [Some(newer), Some(older)] = given
        && newer != older
    {
        return Err("rope_parameters and rope_scaling say different things; keep the one that is right".to_string());
    }
    let parameters = given.into_iter().flatten().next();
    let scaling = parameters.unwrap_or(&Value::Null);
    let theta = match number(scaling, "rope_theta")? {
        Some(theta) => theta,
        None => number(json, "rope_theta")?.unwrap_or(10_000.0),
    };
    if let Some(part) = number(scaling, "partial_rotary_factor")?
        && part != 1.0
    {
        return Err(format!("partial_rotary_factor is {part}; only 1 is known"));
    }
    let kind = ["rope_type", "type"]
        .iter()
        .find_map(|key| scaling.get(*key).and_then(Value::as_str))
        .unwrap_or("default");
    let needed = |key: &str| number(scaling, key)?.ok_or_else(|| format!("rope_scaling of type {kind} lacks {key}"));
    let original = number(scaling, "original_max_position_embeddings")?;
    let scaling = match kind {
        "default" => RopeScaling::Default,
        "linear" => RopeScaling::Linear { factor: needed("factor")? },
        "llama3" => RopeScaling::Llama3 {
            factor: needed("factor")?,
            low_frequency_factor: needed("low_freq_factor")?,
            high_frequency_factor: needed("high_freq_factor")?,
            original_context: needed("original_max_position_embeddings")?,
        },
        "yarn" => yarn(scaling, original.unwrap_or(context as f64), context as f64)?,
        other => return Err(format!("rotary scaling `{other}` is not known; known are: default, linear, llama3, yarn")),
    };
    Ok(Rope { theta, scaling })
}

/// YaRN's numbers with transformers' defaults. The attention factor is `m(mscale) / m(mscale_all_dim)` where both are given and not zero,
/// else `m(1)`, with `m(k) = 0.1 k ln(factor) + 1` (1 for a factor up to 1).
fn yarn(scaling: &Value, original_context: f64, context: f64) -> Result<RopeScaling, String> {
    let factor = number(scaling, "factor")?.unwrap_or(context / original_context);
    let magnitude = |scale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * scale * factor.ln() + 1.0 };
    let given = |key: &str| Ok::<_, String>(number(scaling, key)?.filter(|value| *value != 0.0));
    let attention_factor = match (number(scaling, "attention_factor")?, given("mscale")?, given("mscale_all_dim")?) {
        (Some(attention_factor), _, _) => attention_factor,
        (None, Some(scale), Some(all)) => magnitude(scale) / magnitude(all),
        _ => magnitude(1.0),
    };
    Ok(RopeScaling::Yarn {
        factor,
        original_context,
        beta_fast: given("beta_fast")?.unwrap_or(32.0),
        beta_slow: given("beta_slow")?.unwrap_or(1.0),
        attention_factor,
        truncate: scaling.get("truncate").and_then(Value::as_bool).unwrap_or(true),
    })
}

fn present<'a>(json: &'a Value, key: &str) -> Option<&'a Value> {
    json.get(key).filter(|value| !value.is_null())
}

fn optional_size(json: &Value, key: &str) -> Result<Option<usize>, String> {
    let Some(value) = present(json, key) else { return Ok(None) };
    let size = value.as_u64().and_then(|size| usize::try_from(size).ok());
    size.map(Some).ok_or_else(|| format!("{key} is {value}, not a whole number"))
}

fn size(json: &Value, key: &str) -> Result<usize, String> {
    optional_size(json, key)?.ok_or_else(|| format!("{key} is missing"))
}

fn number(json: &Value, key: &str) -> Result<Option<f64>, String> {
    let Some(value) = present(json, key) else { return Ok(None) };
    value.as_f64().map(Some).ok_or_else(|| format!("{key} is {value}, not a number"))
}

fn flag(json: &Value, key: &str) -> Result<bool, String> {
    let Some(value) = present(json, key) else { return Ok(false) };
    value.as_bool().ok_or_else(|| format!("{key} is {value}, not true or false"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn base() -> Value {
        json!({"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 8,
               "num_key_value_heads": 2, "vocab_size": 100, "rms_norm_eps": 1e-5, "max_position_embeddings": 256})
    }

    fn with(changes: Value) -> Result<ModelConfig, CheckpointError> {
        let mut json = base();
        for (key, value) in changes.as_object().unwrap() {
            json[key] = value.clone();
        }
        parse(Path::new("config.json"), &json.to_string())
    }

    fn refusal(changes: Value) -> String {
        with(changes).unwrap_err().to_string()
    }

    #[test]
    fn families_differ_in_biases_and_norms() {
        let llama = with(json!({})).unwrap();
        assert_eq!(
            (llama.head_dim, llama.query_key_value_bias, llama.output_bias, llama.query_key_norm),
            (8, false, false, false)
        );
        assert_eq!(
            llama.rope,
            Rope {
                theta: 10_000.0,
                scaling: RopeScaling::Default
            }
        );
        let biased = with(json!({"attention_bias": true})).unwrap();
        assert!(biased.query_key_value_bias && biased.output_bias);
        let qwen2 = with(json!({"model_type": "qwen2"})).unwrap();
        assert!(qwen2.query_key_value_bias && !qwen2.output_bias && !qwen2.query_key_norm);
        assert_eq!(with(json!({"model_type": "qwen3"})).unwrap().head_dim, 128, "the default of its class");
        let qwen3 = with(json!({"model_type": "qwen3", "head_dim": 32})).unwrap();
        assert!(!qwen3.query_key_value_bias && qwen3.query_key_norm && qwen3.head_dim == 32);
    }

    #[test]
    fn rotary_scaling_in_all_spellings() {
        let scaling = |changes| with(changes).unwrap().rope;
        assert_eq!(
            scaling(json!({"rope_scaling": {"type": "linear", "factor": 2}})).scaling,
            RopeScaling::Linear { factor: 2.0 }
        );
        let newer = scaling(json!({"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}}));
        assert_eq!(
            newer,
            Rope {
                theta: 5e5,
                scaling: RopeScaling::Default
            }
        );
        let RopeScaling::Yarn {
            factor,
            original_context,
            attention_factor,
            ..
        } = scaling(json!({"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}})).scaling
        else {
            panic!("not yarn")
        };
        assert_eq!((factor, original_context), (4.0, 64.0));
        assert!((attention_factor - 1.138_629_436_111_989).abs() < 1e-12);
        let same = scaling(json!({"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "mscale": 1.0, "mscale_all_dim": 1.0}}));
        assert_eq!(same.attention_scale(), 1.0);
        assert!(refusal(json!({"rope_scaling": {"type": "dynamic", "factor": 2}})).contains("`dynamic`"));
        assert!(refusal(json!({"rope_scaling": {"type": "linear"}})).contains("lacks factor"));
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        let unknown = with(json!({"model_type": "mamba"})).unwrap_err();
        assert!(matches!(unknown, CheckpointError::UnknownArchitecture { .. }));
        assert!(unknown.to_string().contains("`mamba`") && unknown.to_string().contains("llama, qwen2, qwen3"));
        assert!(refusal(json!({"hidden_act": "gelu"})).contains("gelu"));
        assert!(with(json!({"hidden_act": "swish"})).is_ok());
        assert!(refusal(json!({"sliding_window": 16})).contains("sliding_window"));
        assert!(with(json!({"sliding_window": 256})).is_ok(), "no text is longer than the window");
        assert!(
            with(json!({"model_type": "qwen2", "sliding_window": 16})).is_ok(),
            "Qwen's class ignores it unless told to use it"
        );
        assert!(refusal(json!({"logits_scaling": 2.0})).contains("logits_scaling"));
        assert!(refusal(json!({"architectures": ["Ernie4_5ForCausalLM"]})).contains("Ernie4_5ForCausalLM"));
        let both = json!({"rope_parameters": {"rope_type": "default"}, "rope_scaling": {"rope_type": "linear", "factor": 2}});
        assert!(refusal(both).contains("different things"));
        assert!(refusal(json!({"use_sliding_window": true})).contains("use_sliding_window"));
        assert!(refusal(json!({"layer_types": ["full_attention", "sliding_attention"]})).contains("sliding_attention"));
        assert!(refusal(json!({"num_attention_heads": 0})).contains("attention heads is 0"));
        assert!(refusal(json!({"num_key_value_heads": 3})).contains("multiple of 3"));
        assert!(refusal(json!({"head_dim": 7})).contains("odd"));
        assert!(refusal(json!({"num_hidden_layers": 2_000_000})).contains("layers"));
        assert!(refusal(json!({"hidden_size": -4})).contains("hidden_size is -4"));
        assert!(refusal(json!({"hidden_size": null})).contains("hidden_size is missing"));
    }

    #[test]
    fn text_that_is_not_json_is_refused() {
        assert!(parse(Path::new("config.json"), "{").unwrap_err().to_string().contains("not JSON"));
        assert!(parse(Path::new("config.json"), "[]").unwrap_err().to_string().contains("model_type"));
    }
}
