//! The keys of `config.json`: which are read, which change nothing that is computed here, and the refusal of all others.
//!
//! A key that is not known may be a multiplier, a soft cap, a window or a layer without rotation: the same tensors then make another
//! function, and nothing else in the file says so. So a key counts as harmless only when it is listed, and the class named under
//! `architectures` has to be the one that computes what `model_type` says.

use serde_json::Value;

use crate::families::{Family, Windows};

/// Keys that are read of every family.
const READ: &[&str] = &[
    "architectures",
    "attention_bias",
    "auto_map",
    "head_dim",
    "hidden_size",
    "intermediate_size",
    "max_position_embeddings",
    "mlp_bias",
    "model_type",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "partial_rotary_factor",
    "quantization_config",
    "rope_parameters",
    "rope_scaling",
    "rope_theta",
    "tie_word_embeddings",
    "vocab_size",
];

/// Keys by which the windows of a family are refused that has none.
const WINDOWS: &[&str] = &["layer_types", "max_window_layers", "sliding_window", "use_sliding_window"];

/// Keys that are about generating, training, bookkeeping or speed. Those of transformers' `PretrainedConfig` are here, as written by
/// its versions 4 and 5, and a few that other programs add.
const HARMLESS: &[&str] = &[
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_commit_hash",
    "_flash_attn_2_enabled",
    "_from_model_config",
    "_model_name_or_path",
    "_model_revision",
    "_name_or_path",
    "attn_implementation",
    "bad_words_ids",
    "begin_suppress_tokens",
    "bos_token_id",
    "cls_token_id",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "eos_token_id",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "gradient_checkpointing",
    "id2label",
    "initializer_range",
    "is_decoder",
    "is_llama_config",
    "label2id",
    "length_penalty",
    "license",
    "mask_token_id",
    "max_length",
    "max_seq_len",
    "max_sequence_length",
    "min_length",
    "model_max_length",
    "name_or_path",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_labels",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_scores",
    "pad_token_id",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict",
    "return_dict_in_generate",
    "sep_token_id",
    "seq_length",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "typical_p",
    "unk_token_id",
    "use_bfloat16",
    "use_cache",
];

/// Keys that change nothing while they are off, and everything once they are on.
const HARMLESS_WHEN_OFF: &[&str] = &[
    "add_cross_attention",
    "chunk_size_feed_forward",
    "cross_attention_hidden_size",
    "is_encoder_decoder",
    "rope_interleaved",
    "use_mrope",
    "use_sliding_window",
];

/// Keys of `rope_parameters` and `rope_scaling` that are read.
const ROPE: &[&str] = &[
    "attention_factor",
    "beta_fast",
    "beta_slow",
    "factor",
    "finetuned",
    "high_freq_factor",
    "long_factor",
    "low_freq_factor",
    "mscale",
    "mscale_all_dim",
    "original_max_position_embeddings",
    "partial_rotary_factor",
    "rope_theta",
    "rope_type",
    "short_factor",
    "truncate",
    "type",
];

/// Whether a value says nothing: null, or an empty text, list or object.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn is_off(value: &Value) -> bool {
    is_empty(value) || value.as_bool() == Some(false) || value.as_f64() == Some(0.0)
}

/// Dropout acts in training only.
fn is_dropout(key: &str) -> bool {
    key.contains("dropout") || key.ends_with("_pdrop")
}

/// Whether a key says nothing of the computation, or nothing while it is off.
fn is_harmless(key: &str, value: &Value) -> bool {
    HARMLESS.contains(&key) || is_dropout(key) || key.starts_with("unsloth_") || is_empty(value) || (HARMLESS_WHEN_OFF.contains(&key) && is_off(value))
}

/// Whether a value is this one, numbers by what they are worth.
fn is_value(value: &Value, wanted: &str) -> bool {
    serde_json::from_str::<Value>(wanted).is_ok_and(|wanted| match (value.as_f64(), wanted.as_f64()) {
        (Some(value), Some(wanted)) => value == wanted,
        _ => *value == wanted,
    })
}

/// Refuses keys that may change what is computed, and a configuration that lacks what every one of its family has.
///
/// # Errors
/// A sentence that names the key and its value.
pub(crate) fn refuse_unknown(family: &Family, json: &Value) -> Result<(), String> {
    for (key, value) in json.as_object().into_iter().flatten() {
        let name = key.as_str();
        let known = READ.contains(&name)
            || [family.epsilon_key, family.activation_key].contains(&name)
            || family.keys.contains(&name)
            || (family.windows != Windows::Read && WINDOWS.contains(&name))
            || family.fixed.iter().any(|(key, wanted)| *key == name && is_value(value, wanted))
            || is_harmless(name, value);
        if !known {
            return Err(unknown(name, value));
        }
    }
    for outer in ["rope_parameters", "rope_scaling"] {
        let fields = || json.get(outer).and_then(Value::as_object).into_iter().flatten();
        let of_kinds = fields().filter(|(_, value)| value.is_object()).count();
        if let Some((key, _)) = fields().find(|(_, value)| !value.is_object() && !is_empty(value)).filter(|_| of_kinds > 0) {
            return Err(format!("{outer} holds {key} beside parameters of kinds of layers; keep one set for each kind"));
        }
        for (key, value) in json.get(outer).and_then(Value::as_object).into_iter().flatten() {
            let of_kind = family.rope_by_kind && ["full_attention", "sliding_attention"].contains(&key.as_str());
            match value.as_object().filter(|_| of_kind) {
                Some(inner) => {
                    for (inner, value) in inner {
                        refuse_unknown_rope(family, &format!("{outer}.{key}"), inner, value)?;
                    }
                }
                None => refuse_unknown_rope(family, outer, key, value)?,
            }
        }
    }
    match family.required.iter().find(|key| json.get(**key).is_none()) {
        Some(key) => Err(format!("{key} is missing, which every {} model says", family.classes.first().unwrap_or(&""))),
        None => Ok(()),
    }
}

fn refuse_unknown_rope(family: &Family, outer: &str, key: &str, value: &Value) -> Result<(), String> {
    if family.rope_by_kind && key == "truncate" && value.as_bool() == Some(false) {
        return Err(format!(
            "{outer}.truncate is false, which transformers reads no more where parameters stand by kinds of layers; remove it"
        ));
    }
    if ROPE.contains(&key) || family.rope_keys.contains(&key) || is_empty(value) {
        return Ok(());
    }
    Err(unknown(&format!("{outer}.{key}"), value))
}

/// Refuses keys around a decoder's configuration that are neither harmless nor listed.
///
/// # Errors
/// A sentence that names the key and its value.
pub(crate) fn refuse_outer(json: &Value, listed: &[&str]) -> Result<(), String> {
    let strange = |(key, value): &(&String, &Value)| {
        let key = key.as_str();
        !(["architectures", "model_type"].contains(&key) || listed.contains(&key) || is_harmless(key, value))
    };
    match json.as_object().into_iter().flatten().find(strange) {
        Some((key, value)) => Err(unknown(key, value)),
        None => Ok(()),
    }
}

fn unknown(key: &str, value: &Value) -> String {
    let mut shown = value.to_string();
    if let Some((end, _)) = shown.char_indices().nth(60) {
        shown.truncate(end);
        shown.push('…');
    }
    format!("{key} is {shown}, a key that is not known here and may change what the model computes; remove it if it does not")
}

/// Checks that the class under `architectures` computes what `model_type` says, and has a language head.
///
/// # Errors
/// A sentence that names the class.
pub(crate) fn check_class(family: &Family, json: &Value) -> Result<(), String> {
    check_names(family.architecture.name(), family.classes, family.own_code, json)
}

/// The same for a `model_type` and the classes that compute it; `own_code` says whether a repository's own code under one of their
/// names is known to do the same.
///
/// # Errors
/// Likewise.
pub(crate) fn check_names(model_type: &str, classes: &[&str], own_code: bool, json: &Value) -> Result<(), String> {
    let names = json.get("architectures").and_then(Value::as_array);
    for name in names.into_iter().flatten().filter_map(Value::as_str) {
        if ["Classification", "Reward", "QuestionAnswering", "Embedding"]
            .iter()
            .any(|kind| name.contains(kind))
        {
            return Err(format!(
                "architectures says {name}, a model without a language head: there are no next tokens to compute"
            ));
        }
        if !classes.contains(&name) {
            return Err(format!(
                "architectures says {name}, and model_type says `{model_type}`, which is computed by {}",
                classes.first().unwrap_or(&"")
            ));
        }
    }
    let own = json.get("auto_map").and_then(Value::as_object);
    let is_known = |class: &Value| own_code && class.as_str().is_some_and(|class| classes.contains(&class.rsplit('.').next().unwrap_or(class)));
    let strange = |(key, class): &(&String, &Value)| key.starts_with("AutoModel") && !is_known(class);
    if let Some((_, class)) = own.into_iter().flatten().find(strange) {
        return Err(format!(
            "auto_map says that the model is computed by code of its own, {class}, which is not run here"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::families;

    fn family(name: &str) -> &'static Family {
        families::from_name(name).unwrap()
    }

    #[test]
    fn what_may_change_the_computation_is_refused_and_the_rest_is_not() {
        let refusal = |json: Value| refuse_unknown(family("llama"), &json).err().unwrap_or_default();
        let changing = [
            json!({"logits_scaling": 4.0}),
            json!({"attention_multiplier": 0.06}),
            json!({"final_logit_softcapping": 30.0}),
            json!({"no_rope_layers": [1, 1, 1, 0]}),
            json!({"use_bias": false}),
            json!({"use_qk_norm": true}),
            json!({"layer_norm_eps": 1e-5}),
            json!({"quantization": {"bits": 4, "group_size": 64}}),
            json!({"rope_interleaved": true}),
            json!({"use_mrope": true}),
            json!({"rope_scaling": {"rope_type": "yarn", "llama_4_scaling_beta": 0.1}}),
            json!({"rope_parameters": {"full_attention": {"rope_type": "default"}}}),
        ];
        for json in changing {
            let key = json.as_object().unwrap().keys().next().unwrap().clone();
            assert!(refusal(json.clone()).contains(&key), "{json}");
        }
        let harmless = json!({"use_cache": true, "attention_dropout": 0.1, "resid_pdrop": 0.0, "rope_interleaved": false, "final_logit_softcapping": null,
            "pruned_heads": {}, "mlp_only_layers": [], "unsloth_version": "2025.1", "_name_or_path": "x", "_model_name_or_path": "x y", "is_encoder_decoder": false,
            "transformers_version": "5.0.0", "rope_scaling": {"rope_type": "linear", "factor": 2.0, "mrope_section": null}});
        assert_eq!(refusal(harmless), "");
    }

    #[test]
    fn classes_belong_to_families() {
        let check = |model: &str, name: &str| check_class(family(model), &json!({"architectures": [name]})).err().unwrap_or_default();
        assert_eq!(check("llama", "LlamaForCausalLM"), "");
        assert_eq!(check("qwen3", "Qwen3Model"), "");
        assert!(check("llama", "GraniteForCausalLM").contains("GraniteForCausalLM"));
        assert!(check("qwen2", "Qwen3ForCausalLM").contains("Qwen2ForCausalLM"));
        for headless in ["LlamaForSequenceClassification", "Qwen2ForRewardModel", "LlamaForQuestionAnswering"] {
            assert!(check("llama", headless).contains("without a language head"), "{headless}");
        }
        let own = json!({"auto_map": {"AutoConfig": "c.C", "AutoModelForCausalLM": "m.M"}});
        assert!(check_class(family("llama"), &own).unwrap_err().contains("m.M"));
        assert_eq!(check_class(family("llama"), &json!({"auto_map": {"AutoConfig": "c.C"}})), Ok(()));
    }
}
