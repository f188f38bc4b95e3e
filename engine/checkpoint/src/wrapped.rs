//! Multimodal models whose text goes through a dense decoder: the decoder's configuration and the names of its tensors.
//!
//! Of such a model the decoder is read. Text alone never reaches the rest.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::config_keys;
use crate::store::Store;

/// A model around a decoder.
#[derive(Debug)]
pub(crate) struct Wrapper {
    /// Its `model_type`.
    pub name: &'static str,
    /// The decoder's `model_type` where `text_config` says none.
    text: &'static str,
    /// Those that it may have.
    texts: &'static [&'static str],
    /// The classes of transformers that compute it.
    pub classes: &'static [&'static str],
}

const WRAPPERS: [Wrapper; 6] = [
    Wrapper {
        name: "gemma3",
        text: "gemma3_text",
        texts: &["gemma3_text"],
        classes: &["Gemma3ForConditionalGeneration", "Gemma3Model"],
    },
    Wrapper {
        name: "llama4",
        text: "llama4_text",
        texts: &["llama4_text"],
        classes: &["Llama4ForConditionalGeneration"],
    },
    Wrapper {
        name: "mistral3",
        text: "mistral",
        texts: &["mistral", "ministral3"],
        classes: &["Mistral3ForConditionalGeneration", "Mistral3Model"],
    },
    Wrapper {
        name: "qwen3_5",
        text: "qwen3_5_text",
        texts: &["qwen3_5_text"],
        classes: &["Qwen3_5ForConditionalGeneration", "Qwen3_5Model"],
    },
    Wrapper {
        name: "qwen3_5_moe",
        text: "qwen3_5_moe_text",
        texts: &["qwen3_5_moe_text"],
        classes: &["Qwen3_5MoeForConditionalGeneration", "Qwen3_5MoeModel"],
    },
    Wrapper {
        name: "qwen3_vl",
        text: "qwen3_vl_text",
        texts: &["qwen3_vl_text"],
        classes: &["Qwen3VLForConditionalGeneration", "Qwen3VLModel"],
    },
];

/// Keys of the outer configuration that say nothing of the decoder, beside those that are harmless anywhere.
const OUTER: &[&str] = &[
    "boi_token_id",
    "boi_token_index",
    "eoi_token_id",
    "eoi_token_index",
    "image_token_id",
    "image_token_index",
    "mm_tokens_per_image",
    "multimodal_projector_bias",
    "projector_hidden_act",
    "quantization_config",
    "spatial_merge_size",
    "text_config",
    "tie_word_embeddings",
    "video_token_id",
    "vision_config",
    "vision_end_token_id",
    "vision_feature_layer",
    "vision_start_token_id",
];

/// Names of all wrappers.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    WRAPPERS.iter().map(|wrapper| wrapper.name)
}

/// The decoder's own configuration inside of a wrapper's, complete with what stands outside of it; `None` where the model is not wrapped.
///
/// # Errors
/// A sentence that names what is missing or not known.
pub(crate) fn text_model(json: &Value) -> Result<Option<(&'static Wrapper, Value)>, String> {
    let model_type = json.get("model_type").and_then(Value::as_str);
    let Some(wrapper) = WRAPPERS.iter().find(|wrapper| Some(wrapper.name) == model_type) else {
        return Ok(None);
    };
    config_keys::check_names(wrapper.name, wrapper.classes, false, json)?;
    config_keys::refuse_outer(json, OUTER)?;
    let Some(mut text) = json.get("text_config").filter(|text| text.is_object()).cloned() else {
        return Err("text_config, which says what the decoder is, is missing".to_string());
    };
    let inner = text.get("model_type").and_then(Value::as_str).unwrap_or(wrapper.text).to_string();
    if !wrapper.texts.contains(&inner.as_str()) {
        return Err(format!(
            "text_config.model_type is `{inner}`; known inside of {} are: {}",
            wrapper.name,
            wrapper.texts.join(", ")
        ));
    }
    text["model_type"] = inner.clone().into();
    if inner == "qwen3_vl_text" {
        as_qwen3(&mut text)?;
    }
    // The head belongs to the whole: what stands outside holds, whatever the decoder's own configuration says.
    if let Some(tied) = json.get("tie_word_embeddings").filter(|tied| !tied.is_null()) {
        text["tie_word_embeddings"] = tied.clone();
    }
    // The class of what is inside, where it is said at all, is that of the wrapper in some programs' files.
    if let Some(fields) = text.as_object_mut() {
        fields.remove("architectures");
    }
    Ok(Some((wrapper, text)))
}

/// Makes the decoder of Qwen3-VL what it is for text: Qwen3's. Positions of text are one in all of their three parts.
fn as_qwen3(text: &mut Value) -> Result<(), String> {
    let said = |key: &str| text.get(key).is_some_and(|value| !value.is_null());
    let turns = ["rope_parameters", "rope_scaling"]
        .iter()
        .any(|outer| text.get(*outer).is_some_and(|inner| inner.get("rope_theta").is_some()));
    // What the two classes default differently.
    if let Some(key) = ["head_dim", "num_key_value_heads", "max_position_embeddings"]
        .into_iter()
        .find(|key| !said(key))
    {
        return Err(format!("text_config.{key} is missing"));
    }
    if !turns && !said("rope_theta") {
        return Err("text_config.rope_theta is missing".to_string());
    }
    for outer in ["rope_parameters", "rope_scaling"] {
        if let Some(fields) = text.get_mut(outer).and_then(Value::as_object_mut) {
            fields.retain(|key, _| !["mrope_interleaved", "mrope_section"].contains(&key.as_str()));
        }
    }
    text["model_type"] = "qwen3".into();
    Ok(())
}

impl Wrapper {
    /// Gives the decoder's tensors the names that they have in a model of its own. The rest keep theirs, out of the decoder's way.
    pub fn unwrap_names(&self, store: &mut Store) {
        let renamed: BTreeMap<_, _> = std::mem::take(&mut store.tensors)
            .into_iter()
            .map(|(name, tensor)| (own_name(&name).unwrap_or(name), tensor))
            .collect();
        store.tensors = renamed;
        let facts = std::mem::take(&mut store.facts).into_iter();
        store.facts = facts.map(|(name, said)| (own_name(&name).unwrap_or(name), said)).collect();
    }
}

fn own_name(name: &str) -> Option<String> {
    if let Some(rest) = name.strip_prefix("language_model.") {
        return (rest.starts_with("model.") || rest.starts_with("lm_head.")).then(|| rest.to_string());
    }
    let rest = name.strip_prefix("model.")?;
    match rest.strip_prefix("language_model.") {
        Some(decoder) => Some(format!("model.{decoder}")),
        None => ["multi_modal_projector.", "vision_model.", "vision_tower.", "visual."]
            .iter()
            .any(|start| rest.starts_with(start))
            .then(|| rest.to_string()),
    }
}
