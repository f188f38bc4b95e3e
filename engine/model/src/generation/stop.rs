//! The tokens that end a text, as a model's files name them.

use std::collections::BTreeSet;
use std::path::Path;

use anamnesis::{GgufMetadataValue, parse_gguf_front_matter_from_reader};
use cruxscope_checkpoint::{Checkpoint, CheckpointError};
use serde_json::Value;

use crate::ModelError;

/// The key of `generation_config.json` and `config.json`.
const KEY: &str = "eos_token_id";
/// The keys of a GGUF file: the ends of a text, of a turn, and of a message.
const GGUF_KEYS: [&str; 3] = ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"];

/// The stop tokens of a model: of a folder, those of `generation_config.json` or, where it names none, of `config.json`; of a
/// GGUF file, those of its metadata. There may be none.
///
/// # Errors
/// When a file is there and cannot be read, or names something that is no token of the model.
pub fn stop_tokens(checkpoint: &Checkpoint) -> Result<BTreeSet<u32>, ModelError> {
    let path = checkpoint.path();
    let named = if path.is_dir() {
        let mut named = in_json(&path.join("generation_config.json"))?;
        if named.is_empty() {
            named = in_json(&path.join("config.json"))?;
        }
        named
    } else {
        in_gguf(path)?
    };
    let vocabulary = checkpoint.config().vocabulary;
    named
        .into_iter()
        .map(|token| match u32::try_from(token) {
            Ok(id) if (id as usize) < vocabulary => Ok(id),
            _ => Err(fault(path, format!("it ends texts with token {token}, beyond the vocabulary of {vocabulary}"))),
        })
        .collect()
}

fn fault(file: &Path, reason: String) -> ModelError {
    CheckpointError::Configuration {
        file: file.to_path_buf(),
        reason,
    }
    .into()
}

fn in_json(file: &Path) -> Result<Vec<u64>, ModelError> {
    if !file.is_file() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(file).map_err(|source| CheckpointError::Io {
        path: file.to_path_buf(),
        source,
    })?;
    let json: Value = serde_json::from_str(&text).map_err(|error| fault(file, format!("it is not JSON: {error}")))?;
    let wrong = |value: &Value| fault(file, format!("{KEY} is {value}, which is neither a token nor a list of tokens"));
    match &json[KEY] {
        Value::Null => Ok(Vec::new()),
        Value::Array(values) => values.iter().map(|value| value.as_u64().ok_or_else(|| wrong(value))).collect(),
        value => Ok(vec![value.as_u64().ok_or_else(|| wrong(value))?]),
    }
}

fn in_gguf(path: &Path) -> Result<Vec<u64>, ModelError> {
    let file = std::fs::File::open(path).map_err(|source| CheckpointError::Io {
        path: path.to_path_buf(),
        source,
    })?;
    let front = parse_gguf_front_matter_from_reader(file).map_err(|error| fault(path, error.to_string()))?;
    GGUF_KEYS
        .iter()
        .filter_map(|key| front.metadata.get(*key).map(|value| (key, value)))
        .map(|(key, value)| whole(value).ok_or_else(|| fault(path, format!("{key} is no token"))))
        .collect()
}

fn whole(value: &GgufMetadataValue) -> Option<u64> {
    match value {
        GgufMetadataValue::U8(value) => Some(u64::from(*value)),
        GgufMetadataValue::U16(value) => Some(u64::from(*value)),
        GgufMetadataValue::U32(value) => Some(u64::from(*value)),
        GgufMetadataValue::U64(value) => Some(*value),
        GgufMetadataValue::I32(value) => u64::try_from(*value).ok(),
        GgufMetadataValue::I64(value) => u64::try_from(*value).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_token_a_list_none_and_nonsense() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("generation_config.json");
        assert_eq!(in_json(&file).unwrap(), Vec::<u64>::new());
        for (text, expected) in [
            ("{}", vec![]),
            (r#"{"eos_token_id": null}"#, vec![]),
            (r#"{"eos_token_id": 2}"#, vec![2]),
            (r#"{"eos_token_id": [128001, 128008]}"#, vec![128_001, 128_008]),
        ] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(in_json(&file).unwrap(), expected, "{text}");
        }
        for text in ["{", r#"{"eos_token_id": "</s>"}"#, r#"{"eos_token_id": [1, -1]}"#] {
            std::fs::write(&file, text).unwrap();
            let error = in_json(&file).unwrap_err();
            assert!(
                error.is_users_mistake() && error.to_string().contains("generation_config.json"),
                "{text}: {error}"
            );
        }
    }
}
