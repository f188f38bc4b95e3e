//! The tokenizer in GGUF's metadata: a GGUF file's own keys, or those of a folder's `tokenizer.json`, byte-level BPE or SentencePiece's.
//!
//! How text is split has to be one of the ways that GGUF has a name for ([`crate::pre_tokenizer`]).

use std::collections::BTreeMap;
use std::path::Path;

use anamnesis::{GgufMetadataArray, GgufMetadataValue};
use serde_json::Value;

use super::metadata::Pairs;
use super::sentence_piece::SentencePiece;
use crate::pre_tokenizer::PreTokenizer;
use crate::{Checkpoint, CheckpointError};

/// `tokenizer.ggml.token_type` of ordinary, control, added and unused tokens.
const KINDS: [i32; 4] = [1, 3, 4, 5];

/// What is said of the tokenizer; nothing but that there is none where the model has none.
///
/// # Errors
/// `Tokenizer` naming what GGUF cannot say.
pub(super) fn of_tokenizer(source: &Checkpoint) -> Result<Pairs, CheckpointError> {
    if let Some(values) = source.gguf_values() {
        let own = values.iter().filter(|(key, _)| key.starts_with("tokenizer."));
        let own: BTreeMap<String, GgufMetadataValue> = own.map(|(key, value)| (key.clone(), value.clone())).collect();
        return Ok(own.into_iter().collect());
    }
    let file = source.path().join("tokenizer.json");
    let text = |value: &str| GgufMetadataValue::String(value.to_string());
    if !file.is_file() {
        return Ok(vec![("tokenizer.ggml.model".into(), text("none"))]);
    }
    let refuse = |reason: String| CheckpointError::Tokenizer { file: file.clone(), reason };
    let json = json_of(&file)?;
    let model = json.get("model").unwrap_or(&Value::Null);
    let kind = model.get("type").and_then(Value::as_str).unwrap_or("unknown");
    if kind != "BPE" {
        return Err(refuse(format!("its model is {kind}; known are BPE of bytes, and SentencePiece's")));
    }
    let vocabulary = source.config().vocabulary;
    let (tokens, mut kinds) = tokens(&json, vocabulary).ok_or_else(|| refuse("its vocabulary is no list of tokens with their numbers".into()))?;
    let merges = merges(model).ok_or_else(|| refuse("its merges are no pairs of tokens".into()))?;
    let by_scores = match SentencePiece::is_said_by(&json) {
        true => Some(
            SentencePiece::of_json(&json, &tokens, &mut kinds, &merges).map_err(|reason| refuse(format!("{reason}: start from a GGUF file of the model")))?,
        ),
        false => None,
    };
    let split = match &by_scores {
        Some(_) => "default",
        None => PreTokenizer::of_json(&json).ok_or_else(|| {
            refuse(format!(
                "the way in which it splits text has no name in GGUF; those with a name are: {}",
                PreTokenizer::known()
            ))
        })?,
    };
    let list = |values: Vec<String>| GgufMetadataValue::Array(Box::new(GgufMetadataArray::String(values)));
    let ids: BTreeMap<&str, usize> = tokens.iter().enumerate().map(|(id, token)| (token.as_str(), id)).collect();
    let settings = source.path().join("tokenizer_config.json");
    let settings = if settings.is_file() { json_of(&settings)? } else { Value::Null };
    let special = |name: &str| {
        let said = settings.get(name)?;
        let text = said.as_str().or_else(|| said.get("content").and_then(Value::as_str))?;
        ids.get(text).copied()
    };
    let begin = special("bos_token");
    let end = special("eos_token").or_else(|| Some(*source.stop_tokens().ok()?.first()? as usize));
    let begins = source.tokenizer()?.beginning_of_sequence().is_some();
    let unknown = by_scores.as_ref().and_then(|scores| scores.unknown);
    let name = if by_scores.is_some() { "llama" } else { "gpt2" };
    let mut pairs: Pairs = vec![("tokenizer.ggml.model".into(), text(name)), ("tokenizer.ggml.pre".into(), text(split))];
    for (key, id) in [("bos", begin), ("eos", end), ("unknown", unknown), ("padding", special("pad_token"))] {
        if let Some(id) = id {
            pairs.push((format!("tokenizer.ggml.{key}_token_id"), GgufMetadataValue::U32(id as u32)));
        }
    }
    pairs.push(("tokenizer.ggml.add_bos_token".into(), GgufMetadataValue::Bool(begins)));
    if let Some(template) = chat_template(source.path(), &settings)? {
        pairs.push(("tokenizer.chat_template".into(), GgufMetadataValue::String(template)));
    }
    pairs.push(("tokenizer.ggml.tokens".into(), list(tokens)));
    pairs.push((
        "tokenizer.ggml.token_type".into(),
        GgufMetadataValue::Array(Box::new(GgufMetadataArray::I32(kinds))),
    ));
    match by_scores {
        Some(own) => {
            let scores = GgufMetadataArray::F32(own.scores);
            pairs.push(("tokenizer.ggml.scores".into(), GgufMetadataValue::Array(Box::new(scores))));
            pairs.push(("tokenizer.ggml.add_space_prefix".into(), GgufMetadataValue::Bool(own.blank_in_front)));
        }
        // In a byte-level vocabulary no token holds a blank.
        None => pairs.push((
            "tokenizer.ggml.merges".into(),
            list(merges.into_iter().map(|(left, right)| format!("{left} {right}")).collect()),
        )),
    }
    Ok(pairs)
}

fn json_of(file: &Path) -> Result<Value, CheckpointError> {
    let bytes = std::fs::read(file).map_err(|source| CheckpointError::Io {
        path: file.to_path_buf(),
        source,
    })?;
    serde_json::from_slice(&bytes).map_err(|error| CheckpointError::Tokenizer {
        file: file.to_path_buf(),
        reason: format!("it is no JSON: {error}"),
    })
}

/// Every token up to the model's vocabulary, with its kind. Numbers without a token are unused ones; tokens beyond the model have no
/// embedding, and are left out.
fn tokens(json: &Value, vocabulary: usize) -> Option<(Vec<String>, Vec<i32>)> {
    let [normal, control, added, unused] = KINDS;
    let mut tokens: Vec<String> = (0..vocabulary).map(|id| format!("[PAD{id}]")).collect();
    let mut kinds = vec![unused; vocabulary];
    let mut set = |id: Option<u64>, token: &str, kind: i32| {
        let id = usize::try_from(id?).ok()?;
        if id < vocabulary {
            (tokens[id], kinds[id]) = (token.to_string(), kind);
        }
        Some(())
    };
    for (token, id) in json.get("model")?.get("vocab")?.as_object()? {
        set(id.as_u64(), token, normal)?;
    }
    for token in json.get("added_tokens").and_then(Value::as_array).into_iter().flatten() {
        let special = token.get("special").and_then(Value::as_bool) == Some(true);
        let content = token.get("content").and_then(Value::as_str)?;
        set(token.get("id").and_then(Value::as_u64), content, if special { control } else { added })?;
    }
    Some((tokens, kinds))
}

/// Merges as two tokens each; written as one text they stand with a blank between.
fn merges(model: &Value) -> Option<Vec<(String, String)>> {
    let merges = model.get("merges")?.as_array()?;
    let pair = |left: &str, right: &str| (left.to_string(), right.to_string());
    let one = |merge: &Value| match merge {
        Value::String(merge) => merge.split_once(' ').map(|(left, right)| pair(left, right)),
        Value::Array(parts) => match parts.as_slice() {
            [left, right] => Some(pair(left.as_str()?, right.as_str()?)),
            _ => None,
        },
        _ => None,
    };
    merges.iter().map(one).collect()
}

fn chat_template(folder: &Path, settings: &Value) -> Result<Option<String>, CheckpointError> {
    if let Some(template) = settings.get("chat_template").and_then(Value::as_str) {
        return Ok(Some(template.to_string()));
    }
    let file = folder.join("chat_template.jinja");
    if !file.is_file() {
        return Ok(None);
    }
    let read = std::fs::read_to_string(&file);
    read.map(Some).map_err(|source| CheckpointError::Io { path: file, source })
}
