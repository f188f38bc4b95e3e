//! The files beside the weights: configuration, tokenizer, special tokens.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{StoredAs, io};
use crate::architecture::Architecture;
use crate::config::ModelConfig;
use crate::families;
use crate::rope::RopeScaling;
use crate::{Checkpoint, CheckpointError, wrapped};

/// What is copied from a folder, where it is there.
pub(super) const COPIED: [&str; 10] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "generation_config.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
];

/// Whether what is written has a bias for a projection. Hugging Face's classes know biases for query, key and value (Qwen2) or for all
/// four of attention; a GGUF file may have any, and what it lacks is written as zeros.
pub(super) fn has_bias(config: &ModelConfig, projection: usize) -> bool {
    match config.architecture {
        Architecture::QWEN2 => projection < 3,
        Architecture::LLAMA | Architecture::QWEN3 => projection < 4 && (0..4).any(|other| config.has_bias(other)),
        _ => config.has_bias(projection),
    }
}

/// `config.json`: the source's own with the number format changed, or one made from a GGUF file's configuration.
pub(super) fn configuration(source: &Checkpoint, stored_as: StoredAs, quantization: Option<&Value>) -> Result<Vec<u8>, CheckpointError> {
    let own = source.path().join("config.json");
    let mut config: Value = if own.is_file() {
        let text = fs::read(&own).map_err(io(&own))?;
        serde_json::from_slice(&text).map_err(|error| CheckpointError::Configuration {
            file: own.clone(),
            reason: error.to_string(),
        })?
    } else {
        made_configuration(source)
    };
    if let Some((_, decoder)) = wrapped::text_model(&config).map_err(|reason| CheckpointError::Configuration { file: own.clone(), reason })? {
        // Of a model around a decoder, the decoder is written.
        config = decoder;
        config["architectures"] = json!([families::class_of(source.config().architecture)]);
    }
    // Version 4 of transformers reads the one, version 5 the other.
    for key in ["torch_dtype", "dtype"] {
        config[key] = stored_as.name().into();
    }
    config["tie_word_embeddings"] = source.config().tied_head.into();
    let class = config["architectures"][0].as_str().map(ToOwned::to_owned);
    if let Some(class) = class.as_deref().and_then(|class| class.strip_suffix("Model")) {
        // A bare model that is its own head; what is written has one.
        config["architectures"] = json!([format!("{class}ForCausalLM")]);
    }
    if let (Some(fields), None) = (config.as_object_mut(), quantization) {
        // The source may have been packed itself; what is written is not.
        fields.remove("quantization_config");
    }
    if let Some(quantization) = quantization {
        config["quantization_config"] = quantization.clone();
    }
    Ok(format!("{config:#}\n").into_bytes())
}

/// The files of tokenizer and special tokens: copied from a folder, made from a GGUF file's metadata.
pub(super) fn tokenizer_files(source: &Checkpoint) -> Result<Vec<(&'static str, Vec<u8>)>, CheckpointError> {
    let folder = source.path();
    if folder.is_dir() {
        let files = COPIED.into_iter().map(|name| (name, folder.join(name))).filter(|(_, path)| path.is_file());
        return files.map(|(name, path)| Ok((name, fs::read(&path).map_err(io(&path))?))).collect();
    }
    let Some(special) = source.special_tokens()? else { return Ok(Vec::new()) };
    let broken = |reason: String| CheckpointError::Tokenizer {
        file: folder.to_path_buf(),
        reason,
    };
    let json = source.tokenizer()?.to_json()?;
    let mut tokenizer: Value = serde_json::from_str(&json).map_err(|error| broken(error.to_string()))?;
    if let (true, Some((id, text))) = (special.begins, &special.beginning) {
        // Transformers' plain tokenizer goes by this, and not by `add_bos_token`.
        tokenizer["post_processor"] = json!({
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": text, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"SpecialToken": {"id": text, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {text: {"id": text, "ids": [id], "tokens": [text]}},
        });
    }
    let text = |token: &Option<(u32, String)>| token.as_ref().map(|(_, text)| text.clone());
    let config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": special.begins, "bos_token": text(&special.beginning),
        "eos_token": text(&special.end), "chat_template": special.chat_template, "clean_up_tokenization_spaces": false,
    });
    let stop: Vec<u32> = source.stop_tokens().unwrap_or_default().into_iter().collect();
    let generation = json!({"bos_token_id": special.beginning.as_ref().map(|(id, _)| id), "eos_token_id": stop});
    let file = |name, json: Value| (name, format!("{json:#}\n").into_bytes());
    Ok(vec![
        file("tokenizer.json", tokenizer),
        file("tokenizer_config.json", config),
        file("generation_config.json", generation),
    ])
}

/// Whether what a GGUF file holds can be said in a Hugging Face configuration.
pub(super) fn check_biases(source: &Path, config: &ModelConfig) -> Result<(), CheckpointError> {
    if !source.is_dir() && ![Architecture::LLAMA, Architecture::QWEN2, Architecture::QWEN3].contains(&config.architecture) {
        return Err(CheckpointError::Unsupported {
            file: source.to_path_buf(),
            reason: format!(
                "folders of {} models are not written from their GGUF files: start from the model's folder",
                config.architecture.name()
            ),
        });
    }
    if config.architecture == Architecture::QWEN2 && config.output_bias {
        return Err(CheckpointError::Unsupported {
            file: source.to_path_buf(),
            reason: "its attention output has a bias, which Hugging Face's Qwen2 has no place for; start from the model's folder".to_string(),
        });
    }
    Ok(())
}

/// A configuration in words of Hugging Face.
fn made_configuration(source: &Checkpoint) -> Value {
    let config = source.config();
    let (kind, class) = (config.architecture.name(), families::class_of(config.architecture));
    let scaling = match &config.rope.scaling {
        RopeScaling::Linear { factor } => json!({"rope_type": "linear", "factor": factor}),
        RopeScaling::Llama3 {
            factor,
            low_frequency_factor,
            high_frequency_factor,
            original_context,
        } => json!({
            "rope_type": "llama3", "factor": factor, "low_freq_factor": low_frequency_factor, "high_freq_factor": high_frequency_factor,
            "original_max_position_embeddings": original_context,
        }),
        RopeScaling::Yarn {
            factor,
            original_context,
            beta_fast,
            beta_slow,
            attention_factor,
            truncate,
        } => json!({
            "rope_type": "yarn", "factor": factor, "original_max_position_embeddings": original_context, "beta_fast": beta_fast,
            "beta_slow": beta_slow, "attention_factor": attention_factor, "truncate": truncate,
        }),
        _ => Value::Null,
    };
    json!({
        "architectures": [class], "model_type": kind, "hidden_act": "silu", "vocab_size": config.vocabulary, "hidden_size": config.hidden,
        "intermediate_size": config.intermediate, "num_hidden_layers": config.layers, "num_attention_heads": config.heads,
        "num_key_value_heads": config.key_value_heads, "head_dim": config.head_dim, "rms_norm_eps": config.norm_epsilon,
        "max_position_embeddings": config.context, "rope_theta": config.rope.theta, "rope_scaling": scaling,
        "attention_bias": (0..4).any(|projection| config.has_bias(projection)),
    })
}
