//! A tokenizer out of GGUF metadata, by writing the `tokenizer.json` it once was.
//!
//! Byte-level BPE (`gpt2`) keeps its vocabulary and merges in the file; the split is found by name. SentencePiece BPE (`llama`) keeps
//! scores instead of merges; the merges are all pairs of tokens that make a token, best score first. Unigram and word-piece models
//! do not occur in the families this crate reads and are refused.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::path::Path;

use anamnesis::{GgufMetadataArray, GgufMetadataValue};
use serde_json::{Map, Value, json};

use crate::error::CheckpointError;
use crate::gguf::MetadataValues;
use crate::gguf_config::Metadata;
use crate::pre_tokenizer::PreTokenizer;
use crate::tokenizer::TraceTokenizer;

/// `tokenizer.ggml.token_type` of ordinary tokens.
const NORMAL: i32 = 1;
/// Of the token for what cannot be written.
const UNKNOWN: i32 = 2;
/// Of control tokens, which `tokenizer.json` calls special.
const CONTROL: i32 = 3;
/// Of tokens added by the user: found in text as they stand, but not special.
const USER_DEFINED: i32 = 4;

/// Builds the tokenizer of a GGUF file for a model with `vocabulary` rows.
///
/// # Errors
/// [`CheckpointError::Tokenizer`] naming the model or split that is not known or the key that is missing.
pub(crate) fn build(file: &Path, values: &MetadataValues, vocabulary: usize) -> Result<TraceTokenizer, CheckpointError> {
    let source = Source {
        file,
        metadata: Metadata { file, values },
    };
    let tokens = source.strings("tokens")?;
    let kinds = source.kinds(tokens.len())?;
    let model = source
        .metadata
        .text("tokenizer.ggml.model")
        .ok_or_else(|| source.fault("tokenizer.ggml.model is missing".to_string()))?;
    let (json, begins) = match model {
        "gpt2" => byte_level(&source, tokens, &kinds)?,
        "llama" => sentence_piece(&source, tokens, &kinds)?,
        other => {
            return Err(source.fault(format!(
                "tokenizer.ggml.model `{other}` is not known; known are: gpt2 (byte-level BPE), llama (SentencePiece BPE)"
            )));
        }
    };
    let tokenizer = TraceTokenizer::from_json(file, json.to_string().as_bytes(), vocabulary)?;
    let begins = source.metadata.flag("tokenizer.ggml.add_bos_token").unwrap_or(begins);
    Ok(tokenizer.beginning_with(source.special("bos")?.map(|(id, _)| id).filter(|_| begins)))
}

/// The special tokens of a GGUF file and its chat template: what a folder keeps in `tokenizer_config.json`.
pub(crate) struct SpecialTokens {
    /// The token that begins a text, and how it is written.
    pub beginning: Option<(u32, String)>,
    /// Whether it is put in front of texts.
    pub begins: bool,
    /// The token that ends a text.
    pub end: Option<(u32, String)>,
    /// The template of conversations.
    pub chat_template: Option<String>,
}

/// Reads them; nothing where the file has no tokenizer.
///
/// # Errors
/// [`CheckpointError::Configuration`] for a token that is no whole number.
pub(crate) fn special_tokens(file: &Path, values: &MetadataValues, begins: bool) -> Result<Option<SpecialTokens>, CheckpointError> {
    let source = Source {
        file,
        metadata: Metadata { file, values },
    };
    if source.array("tokens").is_none() {
        return Ok(None);
    }
    Ok(Some(SpecialTokens {
        beginning: source.special("bos")?,
        begins,
        end: source.special("eos")?,
        chat_template: source.metadata.text("tokenizer.chat_template").map(ToOwned::to_owned),
    }))
}

struct Source<'a> {
    file: &'a Path,
    metadata: Metadata<'a>,
}

impl<'a> Source<'a> {
    fn fault(&self, reason: String) -> CheckpointError {
        CheckpointError::Tokenizer {
            file: self.file.to_path_buf(),
            reason,
        }
    }

    fn array(&self, field: &str) -> Option<&'a GgufMetadataArray> {
        self.metadata
            .values
            .get(&format!("tokenizer.ggml.{field}"))
            .and_then(GgufMetadataValue::as_array)
    }

    /// A special token and how it is written, if the file names one that is in its list.
    fn special(&self, name: &str) -> Result<Option<(u32, String)>, CheckpointError> {
        let Some(id) = self.metadata.whole(&format!("tokenizer.ggml.{name}_token_id"))? else {
            return Ok(None);
        };
        let text = self
            .array("tokens")
            .and_then(GgufMetadataArray::as_string_slice)
            .and_then(|tokens| tokens.get(id));
        Ok(u32::try_from(id).ok().zip(text.cloned()))
    }

    fn strings(&self, field: &str) -> Result<&'a [String], CheckpointError> {
        self.array(field)
            .and_then(GgufMetadataArray::as_string_slice)
            .ok_or_else(|| self.fault(format!("tokenizer.ggml.{field} is missing")))
    }

    /// The kind of each token; all ordinary where the file does not say.
    fn kinds(&self, count: usize) -> Result<Vec<i32>, CheckpointError> {
        let Some(array) = self.array("token_type") else {
            return Ok(vec![NORMAL; count]);
        };
        let kinds: Option<Vec<i32>> = match array {
            GgufMetadataArray::I32(kinds) => Some(kinds.clone()),
            GgufMetadataArray::U32(kinds) => kinds.iter().map(|kind| i32::try_from(*kind).ok()).collect(),
            _ => None,
        };
        kinds
            .filter(|kinds| kinds.len() == count)
            .ok_or_else(|| self.fault(format!("tokenizer.ggml.token_type does not hold {count} whole numbers")))
    }
}

fn vocabulary(tokens: &[String]) -> Map<String, Value> {
    tokens.iter().enumerate().map(|(id, token)| (token.clone(), Value::from(id))).collect()
}

/// `added_tokens` for every kind that is `special`, and for those added by the user.
fn added(tokens: &[String], kinds: &[i32], special: &[i32]) -> Vec<Value> {
    let listed = tokens
        .iter()
        .zip(kinds)
        .enumerate()
        .filter(|(_, (token, kind))| !token.is_empty() && (special.contains(kind) || **kind == USER_DEFINED));
    listed
        .map(|(id, (token, kind))| {
            json!({"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": special.contains(kind)})
        })
        .collect()
}

fn byte_level(source: &Source, tokens: &[String], kinds: &[i32]) -> Result<(Value, bool), CheckpointError> {
    let Some(name) = source.metadata.text("tokenizer.ggml.pre") else {
        return Err(source.fault("tokenizer.ggml.pre is missing, so nothing says how text is split; convert the model with a newer llama.cpp".to_string()));
    };
    let Some(split) = PreTokenizer::find(name) else {
        return Err(source.fault(format!("tokenizer.ggml.pre `{name}` is not known; known are: {}", PreTokenizer::known())));
    };
    let mut merges = Vec::new();
    for merge in source.strings("merges")? {
        // The first letter may itself be a blank in old files; the divider is the next one.
        let divider = merge.char_indices().skip(1).find(|(_, letter)| *letter == ' ').map(|(place, _)| place);
        let Some(divider) = divider else {
            return Err(source.fault(format!("the merge `{merge}` does not hold two tokens")));
        };
        merges.push(json!([&merge[..divider], &merge[divider + 1..]]));
    }
    let json = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added(tokens, kinds, &[CONTROL]),
        "normalizer": split.composed.then(|| json!({"type": "NFC"})),
        "pre_tokenizer": split.json(),
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": false, "byte_fallback": false, "ignore_merges": split.ignore_merges,
            "vocab": vocabulary(tokens), "merges": merges,
        },
    });
    Ok((json, split.begins))
}

fn sentence_piece(source: &Source, tokens: &[String], kinds: &[i32]) -> Result<(Value, bool), CheckpointError> {
    let scores = source
        .array("scores")
        .and_then(GgufMetadataArray::as_f32_slice)
        .filter(|scores| scores.len() == tokens.len());
    let scores = scores.ok_or_else(|| source.fault(format!("tokenizer.ggml.scores does not hold {} numbers", tokens.len())))?;
    let blank_in_front = source.metadata.flag("tokenizer.ggml.add_space_prefix").unwrap_or(true);
    let mut normalizers = vec![json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"})];
    let mut decoders = vec![
        json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if blank_in_front {
        normalizers.insert(0, json!({"type": "Prepend", "prepend": "▁"}));
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    let unknown = kinds.iter().position(|kind| *kind == UNKNOWN).and_then(|id| tokens.get(id));
    let json = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added(tokens, kinds, &[CONTROL, UNKNOWN]),
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": null,
        "post_processor": null,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
            "vocab": vocabulary(tokens), "merges": merges_by_score(tokens, kinds, scores),
        },
    });
    Ok((json, true))
}

/// Every way to make an ordinary token of two tokens: highest score of the whole first, then the longer left part, then the longer right
/// part, then by token. This is how merges are recovered from SentencePiece models.
pub(crate) fn merges_by_score(tokens: &[String], kinds: &[i32], scores: &[f32]) -> Vec<Value> {
    let ids: HashMap<&str, usize> = tokens.iter().enumerate().map(|(id, token)| (token.as_str(), id)).collect();
    let mut merges = Vec::new();
    for (whole, ((token, kind), score)) in tokens.iter().zip(kinds).zip(scores).enumerate() {
        if *kind != NORMAL {
            continue;
        }
        for (place, _) in token.char_indices().skip(1) {
            let (left, right) = token.split_at(place);
            if let (Some(left_id), Some(right_id)) = (ids.get(left), ids.get(right)) {
                let lengths = (left.chars().count(), right.chars().count());
                merges.push((*score, lengths, (whole, *left_id, *right_id), json!([left, right])));
            }
        }
    }
    merges.sort_by(|a, b| b.0.partial_cmp(&a.0).unwrap_or(Ordering::Equal).then(b.1.cmp(&a.1)).then(a.2.cmp(&b.2)));
    merges.into_iter().map(|merge| merge.3).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(values: &[&str]) -> GgufMetadataValue {
        GgufMetadataValue::Array(Box::new(GgufMetadataArray::String(values.iter().map(|value| (*value).to_string()).collect())))
    }

    fn byte_level_metadata(pre: &str) -> MetadataValues {
        let mut values = MetadataValues::new();
        let mut set = |key: &str, value| values.insert(format!("tokenizer.ggml.{key}"), value);
        set("model", GgufMetadataValue::String("gpt2".to_string()));
        set("pre", GgufMetadataValue::String(pre.to_string()));
        set("tokens", strings(&["<s>", "a", "b", "Ġ", "ab", "Ġab", "Ã", "©", "1", "2"]));
        set("merges", strings(&["a b", "Ġ ab"]));
        set(
            "token_type",
            GgufMetadataValue::Array(Box::new(GgufMetadataArray::I32(vec![3, 1, 1, 1, 1, 1, 1, 1, 1, 1]))),
        );
        set("bos_token_id", GgufMetadataValue::U32(0));
        values
    }

    #[test]
    fn byte_level_tokens_and_offsets() {
        let tokenizer = build(Path::new("m.gguf"), &byte_level_metadata("smollm"), 10).unwrap();
        let encoding = tokenizer.encode("ab ab é12<s>").unwrap();
        assert_eq!(encoding.ids, [4, 5, 3, 6, 7, 8, 9, 0]);
        assert_eq!(encoding.offsets, [(0, 2), (2, 5), (5, 6), (6, 7), (6, 7), (7, 8), (8, 9), (9, 12)]);
        assert_eq!(tokenizer.decode(&encoding.ids).unwrap(), "ab ab é12<s>");
        assert_eq!(tokenizer.beginning_of_sequence(), None);
    }

    #[test]
    fn the_beginning_follows_the_file_and_else_the_split() {
        let mut values = byte_level_metadata("llama-bpe");
        assert_eq!(build(Path::new("m"), &values, 10).unwrap().beginning_of_sequence(), Some(0));
        values.insert("tokenizer.ggml.add_bos_token".to_string(), GgufMetadataValue::Bool(false));
        assert_eq!(build(Path::new("m"), &values, 10).unwrap().beginning_of_sequence(), None);
    }

    #[test]
    fn what_is_not_known_is_named() {
        let refusal = |values: &MetadataValues| build(Path::new("m"), values, 10).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refusal(&byte_level_metadata("nobody")).contains("`nobody`"));
        let mut values = byte_level_metadata("smollm");
        values.insert("tokenizer.ggml.merges".to_string(), strings(&["ab"]));
        assert!(refusal(&values).contains("`ab`"));
        values.insert("tokenizer.ggml.merges".to_string(), strings(&["a zz"]));
        assert!(!refusal(&values).is_empty(), "a merge of tokens that are not there");
        values.insert("tokenizer.ggml.model".to_string(), GgufMetadataValue::String("t5".to_string()));
        assert!(refusal(&values).contains("`t5`"));
        values.remove("tokenizer.ggml.tokens");
        assert!(refusal(&values).contains("tokens is missing"));
    }

    #[test]
    fn sentence_piece_merges_by_score_and_falls_back_to_bytes() {
        let mut values = MetadataValues::new();
        let mut set = |key: &str, value| values.insert(format!("tokenizer.ggml.{key}"), value);
        set("model", GgufMetadataValue::String("llama".to_string()));
        set("tokens", strings(&["<unk>", "<s>", "<0xC3>", "<0xA9>", "▁", "a", "b", "ab", "▁a", "▁ab"]));
        let kinds = vec![2, 3, 6, 6, 1, 1, 1, 1, 1, 1];
        set("token_type", GgufMetadataValue::Array(Box::new(GgufMetadataArray::I32(kinds))));
        let scores = vec![0.0, 0.0, 0.0, 0.0, -9.0, -9.0, -9.0, -1.0, -2.0, -3.0];
        set("scores", GgufMetadataValue::Array(Box::new(GgufMetadataArray::F32(scores))));
        set("bos_token_id", GgufMetadataValue::U32(1));
        let tokenizer = build(Path::new("m"), &values, 10).unwrap();
        assert_eq!(tokenizer.encode("ab aé").unwrap().ids, [9, 8, 2, 3]);
        assert_eq!(tokenizer.decode(&[9, 8, 2, 3]).unwrap(), "ab aé");
        assert_eq!(tokenizer.beginning_of_sequence(), Some(1));
    }
}
