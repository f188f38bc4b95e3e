//! Text to tokens and back, with the place of every token in the text.
//!
//! Nothing is cut and nothing is padded. Whether a sequence begins with a special token is decided here alone, by
//! [`TraceTokenizer::encode_sequence`]: whatever is read by a model (traces, calibration and other text, prompts that are not yet
//! complete) goes through it. [`TraceTokenizer::encode`] adds nothing; it is for prompts that a chat template has made complete, whose
//! tokens are then those of transformers' `apply_chat_template(tokenize=True)`, and for pieces of text.

use std::path::Path;

use serde_json::Value;
use tokenizers::Tokenizer;

use crate::error::CheckpointError;

/// Tokens of a text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Encoding {
    /// The tokens.
    pub ids: Vec<u32>,
    /// Where each token lies in the text, `[from, to)` in characters (Unicode scalar values). Tokens that share a character of several
    /// bytes all cover that character.
    pub offsets: Vec<(usize, usize)>,
}

/// A model's tokenizer.
pub struct TraceTokenizer {
    inner: Tokenizer,
    vocabulary: usize,
    /// The tokens put before a sequence; nearly always one or none.
    beginning: Vec<u32>,
}

impl TraceTokenizer {
    /// Reads `tokenizer.json`, and from `tokenizer_config.json`, if it is there, whether sequences begin with a special token.
    pub(crate) fn from_folder(folder: &Path, vocabulary: usize) -> Result<Self, CheckpointError> {
        let file = folder.join("tokenizer.json");
        if !file.is_file() {
            return Err(CheckpointError::MissingTokenizer { path: folder.to_path_buf() });
        }
        let json = std::fs::read(&file).map_err(|source| CheckpointError::Io { path: file.clone(), source })?;
        let mut tokenizer = Self::from_json(&file, &json, vocabulary)?;
        tokenizer.beginning = match said_by_config(&folder.join("tokenizer_config.json"))? {
            Said::Nothing => tokenizer.added_in_front()?,
            Said::None => Vec::new(),
            Said::Token(token) => tokenizer.inner.token_to_id(&token).into_iter().collect(),
        };
        Ok(tokenizer)
    }

    /// The tokenizer as the text of a `tokenizer.json`.
    ///
    /// # Errors
    /// When it holds something that JSON cannot (`Text`).
    pub fn to_json(&self) -> Result<String, CheckpointError> {
        self.inner.to_string(true).map_err(|error| text("write the tokenizer", error))
    }

    /// Reads the text of a `tokenizer.json`; `file` is for messages.
    pub(crate) fn from_json(file: &Path, json: &[u8], vocabulary: usize) -> Result<Self, CheckpointError> {
        let fault = |error: tokenizers::Error| CheckpointError::Tokenizer {
            file: file.to_path_buf(),
            reason: error.to_string(),
        };
        let broken = |reason: String| CheckpointError::Tokenizer {
            file: file.to_path_buf(),
            reason,
        };
        // The library panics on some broken files, such as one with half of a surrogate pair in its decoder.
        serde_json::from_slice::<Value>(json).map_err(|error| broken(format!("it is no JSON: {error}")))?;
        let mut inner = std::panic::catch_unwind(|| Tokenizer::from_bytes(json))
            .unwrap_or_else(|_| Err("a part of it is of no kind that is known".into()))
            .map_err(fault)?;
        // A trace is never cut or padded, whatever the file was saved with.
        inner.with_truncation(None).map_err(fault)?;
        inner.with_padding(None);
        let highest = |added| inner.get_vocab(added).into_iter().max_by(|a, b| (a.1, &b.0).cmp(&(b.1, &a.0)));
        let Some((_, last)) = highest(true) else {
            return Err(CheckpointError::Tokenizer {
                file: file.to_path_buf(),
                reason: "it has no tokens".to_string(),
            });
        };
        // Tokens that were added and never given an embedding, such as one that pads, do no harm until a text holds them; then the
        // text is refused. A vocabulary beyond the model belongs to another model.
        if let Some((text, highest)) = highest(false)
            && highest as usize >= vocabulary
        {
            return Err(CheckpointError::TokenizerBeyondModel {
                file: file.to_path_buf(),
                token: highest,
                text,
                vocabulary,
            });
        }
        Ok(Self {
            inner,
            vocabulary: last as usize + 1,
            beginning: Vec::new(),
        })
    }

    /// The same, with the token that begins a sequence.
    pub(crate) fn beginning_with(self, token: Option<u32>) -> Self {
        Self {
            beginning: token.filter(|token| (*token as usize) < self.vocabulary).into_iter().collect(),
            ..self
        }
    }

    /// The tokens that the tokenizer's own post-processor puts before a text.
    fn added_in_front(&self) -> Result<Vec<u32>, CheckpointError> {
        let encode = |special| {
            self.inner
                .encode_fast("a", special)
                .map(|encoding| encoding.get_ids().to_vec())
                .map_err(|error| text("encode a text", error))
        };
        let (plain, framed) = (encode(false)?, encode(true)?);
        let starts = framed.windows(plain.len().max(1)).position(|window| window == plain);
        Ok(framed[..starts.unwrap_or(0)].to_vec())
    }

    /// Tokens of a text, without special tokens added; special tokens that stand in the text are recognised.
    ///
    /// # Errors
    /// [`CheckpointError::Text`] if the tokenizer has no way to write the text.
    pub fn encode(&self, text_to_encode: &str) -> Result<Encoding, CheckpointError> {
        let encoding = self
            .inner
            .encode_char_offsets(text_to_encode, false)
            .map_err(|error| text("encode a text", error))?;
        Ok(Encoding {
            ids: encoding.get_ids().to_vec(),
            offsets: encoding.get_offsets().to_vec(),
        })
    }

    /// Tokens of a text as the model reads it: those that begin a sequence come first, unless the text begins with them already. They
    /// cover no character.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_sequence(&self, text: &str) -> Result<Encoding, CheckpointError> {
        let mut encoding = self.encode(text)?;
        if !encoding.ids.starts_with(&self.beginning) {
            encoding.ids.splice(0..0, self.beginning.iter().copied());
            encoding.offsets.splice(0..0, self.beginning.iter().map(|_| (0, 0)));
        }
        Ok(encoding)
    }

    /// Text of tokens, special ones included.
    ///
    /// # Errors
    /// [`CheckpointError::NoSuchToken`] for a token beyond the vocabulary, [`CheckpointError::Text`] if decoding fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String, CheckpointError> {
        if let Some(token) = ids.iter().map(|id| *id as usize).find(|id| *id >= self.vocabulary) {
            return Err(CheckpointError::NoSuchToken {
                token,
                vocabulary: self.vocabulary,
            });
        }
        self.inner.decode(ids, false).map_err(|error| text("decode tokens", error))
    }

    /// All tokens that begin a sequence.
    pub(crate) fn beginning(&self) -> &[u32] {
        &self.beginning
    }

    /// One more than the highest token.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// The token that begins a sequence, if the model's files ask for one; [`Self::encode_sequence`] puts it there.
    pub fn beginning_of_sequence(&self) -> Option<u32> {
        self.beginning.first().copied()
    }
}

fn text(attempt: &'static str, error: tokenizers::Error) -> CheckpointError {
    CheckpointError::Text {
        attempt,
        reason: error.to_string(),
    }
}

/// What `tokenizer_config.json` says about the beginning of a sequence.
enum Said {
    Nothing,
    None,
    Token(String),
}

/// `add_bos_token` overrules the post-processor, because transformers' tokenizers of the Llama family rebuild theirs by it.
fn said_by_config(file: &Path) -> Result<Said, CheckpointError> {
    if !file.is_file() {
        return Ok(Said::Nothing);
    }
    let text = std::fs::read_to_string(file).map_err(|source| CheckpointError::Io {
        path: file.to_path_buf(),
        source,
    })?;
    let json: Value = serde_json::from_str(&text).map_err(|error| CheckpointError::Tokenizer {
        file: file.to_path_buf(),
        reason: format!("it is not JSON: {error}"),
    })?;
    let token = json
        .get("bos_token")
        .and_then(|token| token.as_str().or_else(|| token.get("content")?.as_str()));
    Ok(match (json.get("add_bos_token").and_then(Value::as_bool), token) {
        (Some(true), Some(token)) => Said::Token(token.to_string()),
        (Some(false), _) => Said::None,
        _ => Said::Nothing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn words(post_processor: Value) -> Vec<u8> {
        json!({
            "version": "1.0", "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}, "padding": null,
            "added_tokens": [{"id": 0, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
            "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": post_processor, "decoder": null,
            "model": {"type": "WordLevel", "vocab": {"<s>": 0, "a": 1, "é": 2, "?": 3}, "unk_token": "?"}
        })
        .to_string()
        .into_bytes()
    }

    fn template() -> Value {
        json!({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
               "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
               "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}})
    }

    #[test]
    fn nothing_is_added_or_cut_and_offsets_count_characters() {
        let tokenizer = TraceTokenizer::from_json(Path::new("t"), &words(template()), 4).unwrap();
        let encoding = tokenizer.encode("é a é a").unwrap();
        assert_eq!(encoding.ids, [2, 1, 2, 1], "neither <s> in front nor cut to two");
        assert_eq!(encoding.offsets, [(0, 1), (2, 3), (4, 5), (6, 7)]);
        assert_eq!(tokenizer.vocabulary(), 4);
        assert!(matches!(tokenizer.decode(&[9]), Err(CheckpointError::NoSuchToken { token: 9, .. })));
    }

    #[test]
    fn the_beginning_comes_from_the_config_or_else_the_post_processor() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tokenizer.json"), words(template())).unwrap();
        let open = || TraceTokenizer::from_folder(folder.path(), 4).unwrap().beginning_of_sequence();
        assert_eq!(open(), Some(0));
        let config = folder.path().join("tokenizer_config.json");
        std::fs::write(&config, r#"{"add_bos_token": false, "bos_token": "<s>"}"#).unwrap();
        assert_eq!(open(), None);
        std::fs::write(folder.path().join("tokenizer.json"), words(Value::Null)).unwrap();
        std::fs::write(&config, r#"{"add_bos_token": true, "bos_token": {"content": "<s>"}}"#).unwrap();
        assert_eq!(open(), Some(0));
        std::fs::write(&config, "{}").unwrap();
        assert_eq!(open(), None);
    }

    #[test]
    fn a_sequence_begins_once() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tokenizer.json"), words(template())).unwrap();
        let tokenizer = TraceTokenizer::from_folder(folder.path(), 4).unwrap();
        let added = tokenizer.encode_sequence("a é").unwrap();
        assert_eq!((added.ids, added.offsets), (vec![0, 1, 2], vec![(0, 0), (0, 1), (2, 3)]));
        let written = tokenizer.encode_sequence("<s>a é").unwrap();
        assert_eq!((written.ids, written.offsets[0]), (vec![0, 1, 2], (0, 3)));
        assert_eq!(tokenizer.encode("a").unwrap().ids, [1], "a piece of text gets none");
        assert_eq!(tokenizer.encode_sequence("").unwrap().ids, [0]);
        std::fs::write(folder.path().join("tokenizer_config.json"), r#"{"add_bos_token": false, "bos_token": "<s>"}"#).unwrap();
        let silent = TraceTokenizer::from_folder(folder.path(), 4).unwrap();
        assert_eq!(silent.encode_sequence("a").unwrap().ids, [1]);
        assert_eq!(silent.encode_sequence("<s>a").unwrap().ids, [0, 1]);
    }

    #[test]
    fn all_tokens_that_begin_a_sequence() {
        let mut processor = template();
        processor["single"] = json!([{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"SpecialToken": {"id": "?", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}}]);
        processor["special_tokens"]["?"] = json!({"id": "?", "ids": [3], "tokens": ["?"]});
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tokenizer.json"), words(processor)).unwrap();
        let tokenizer = TraceTokenizer::from_folder(folder.path(), 4).unwrap();
        assert_eq!(tokenizer.encode_sequence("a").unwrap().ids, [0, 3, 1]);
    }

    #[test]
    fn an_added_token_beyond_the_model_is_no_matter_until_it_is_used() {
        let mut json: Value = serde_json::from_slice(&words(Value::Null)).unwrap();
        let pad = json!({"id": 4, "content": "<pad>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
        json["added_tokens"].as_array_mut().unwrap().push(pad);
        let tokenizer = TraceTokenizer::from_json(Path::new("t"), json.to_string().as_bytes(), 4).unwrap();
        assert_eq!(tokenizer.encode("a <pad>").unwrap().ids, [1, 4], "which the model then refuses");
    }

    #[test]
    fn a_tokenizer_beyond_the_model_is_refused() {
        let Err(error) = TraceTokenizer::from_json(Path::new("t"), &words(Value::Null), 3) else {
            panic!("accepted")
        };
        assert!(
            matches!(error, CheckpointError::TokenizerBeyondModel { token: 3, vocabulary: 3, .. }),
            "{error}"
        );
        assert!(matches!(
            TraceTokenizer::from_json(Path::new("t"), b"{}", 3),
            Err(CheckpointError::Tokenizer { .. })
        ));
    }
}
