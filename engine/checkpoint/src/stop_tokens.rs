//! The tokens that end a text, as a model's files name them.

use std::collections::BTreeSet;
use std::path::Path;

use anamnesis::GgufMetadataValue;
use serde_json::Value;

use crate::error::CheckpointError;
use crate::gguf::MetadataValues;

/// The key of `generation_config.json` and `config.json`.
const KEY: &str = "eos_token_id";
/// The keys of a GGUF file: the ends of a text, of a turn, and of a message.
const GGUF_KEYS: [&str; 3] = ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"];

/// Those of a folder or, where a GGUF file's metadata is given, of that.
pub(crate) fn of(path: &Path, metadata: Option<&MetadataValues>, vocabulary: usize) -> Result<BTreeSet<u32>, CheckpointError> {
    let named = match metadata {
        Some(metadata) => in_metadata(path, metadata)?,
        None => {
            let named = in_json(&path.join("generation_config.json"))?;
            if named.is_empty() { in_json(&path.join("config.json"))? } else { named }
        }
    };
    named
        .into_iter()
        .map(|token| match u32::try_from(token) {
            Ok(id) if (id as usize) < vocabulary => Ok(id),
            _ => Err(fault(path, format!("it ends texts with token {token}, beyond the vocabulary of {vocabulary}"))),
        })
        .collect()
}

fn fault(file: &Path, reason: String) -> CheckpointError {
    CheckpointError::Configuration {
        file: file.to_path_buf(),
        reason,
    }
}

fn in_json(file: &Path) -> Result<Vec<u64>, CheckpointError> {
    if !file.is_file() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(file).map_err(|source| CheckpointError::Io {
        path: file.to_path_buf(),
        source,
    })?;
    let json: Value = serde_json::from_str(&text).map_err(|error| fault(file, format!("it is not JSON: {error}")))?;
    let wrong = |value: &Value| fault(file, format!("{KEY} is {value}, which is neither a token nor a list of tokens"));
    // Of a model around a decoder, its own where nothing stands outside.
    let said = if json[KEY].is_null() { &json["text_config"][KEY] } else { &json[KEY] };
    match said {
        Value::Null => Ok(Vec::new()),
        Value::Array(values) => values.iter().map(|value| value.as_u64().ok_or_else(|| wrong(value))).collect(),
        value => Ok(vec![value.as_u64().ok_or_else(|| wrong(value))?]),
    }
}

fn in_metadata(path: &Path, metadata: &MetadataValues) -> Result<Vec<u64>, CheckpointError> {
    GGUF_KEYS
        .iter()
        .filter_map(|key| metadata.get(*key).map(|value| (key, value)))
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
            assert!(error.is_user_error() && error.to_string().contains("generation_config.json"), "{text}: {error}");
        }
    }
}
