//! SentencePiece's byte-pair encoding in GGUF's metadata, out of a `tokenizer.json` that was made of such a model.
//!
//! GGUF keeps a score of every token and no merges: of all neighbours the two are merged whose whole has the highest. `tokenizer.json` keeps
//! the merges in the order of those scores, so that the place of a whole among them is as good as its score, if every way to make it of two
//! tokens stands there, one whole after the other. Where that is not so, or text is prepared in another way, there are no such scores, and
//! the tokenizer is refused.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::gguf_tokenizer::merges_by_score;

/// `tokenizer.ggml.token_type` of ordinary, unknown and byte tokens.
const KINDS: [i32; 3] = [1, 2, 6];

/// What GGUF says of such a tokenizer beside its tokens.
#[derive(Debug, PartialEq)]
pub(super) struct SentencePiece {
    /// One for each token.
    pub scores: Vec<f32>,
    /// The token for what is none.
    pub unknown: Option<usize>,
    /// A blank is put in front of texts.
    pub blank_in_front: bool,
}

impl SentencePiece {
    /// Whether a tokenizer is of this kind: byte-pair encoding that falls back to bytes.
    pub fn is_said_by(json: &Value) -> bool {
        let model = &json["model"];
        model["type"] == "BPE" && model["byte_fallback"] == true
    }

    /// Reads it; `tokens` are the model's with their kinds, which become those of GGUF, and `merges` pairs of tokens.
    ///
    /// # Errors
    /// A sentence that says what GGUF cannot.
    pub fn of_json(json: &Value, tokens: &[String], kinds: &mut [i32], merges: &[(String, String)]) -> Result<Self, String> {
        let blank_in_front = blank_in_front(json).ok_or("text is prepared before it in a way that GGUF has no word for")?;
        if json["model"]["ignore_merges"] == true {
            return Err("it takes words that are tokens as they are (ignore_merges), which GGUF has no word for".to_string());
        }
        let [normal, unknown, byte] = KINDS;
        let is_byte = |token: &str| token.len() == 6 && token.starts_with("<0x") && token.ends_with('>');
        let mut unknown_id = None;
        for (id, (token, kind)) in tokens.iter().zip(kinds.iter_mut()).enumerate() {
            if json["model"]["unk_token"] == token.as_str() {
                (unknown_id, *kind) = (Some(id), unknown);
            } else if is_byte(token) && *kind == normal {
                *kind = byte;
            }
        }
        if kinds.iter().filter(|kind| **kind == byte).count() != 256 {
            return Err("its vocabulary has not all of the 256 bytes".to_string());
        }
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        for (left, right) in merges {
            let next = places.len();
            places.entry(format!("{left}{right}")).or_insert(next);
        }
        let count = places.len();
        let score = |(id, (token, kind)): (usize, (&String, &i32))| match places.get(token) {
            _ if *kind != normal => 0.0,
            Some(place) => -(*place as f32),
            // Never what two tokens make.
            None => -((count + id) as f32),
        };
        let scores: Vec<f32> = tokens.iter().zip(kinds.iter()).enumerate().map(score).collect();
        let found = merges_by_score(tokens, kinds, &scores);
        let found: Vec<(String, String)> = found
            .into_iter()
            .filter_map(|merge| Some((merge[0].as_str()?.into(), merge[1].as_str()?.into())))
            .collect();
        let wholes = |merges: &[(String, String)]| {
            let mut wholes: Vec<String> = merges.iter().map(|(left, right)| format!("{left}{right}")).collect();
            wholes.dedup();
            wholes
        };
        let all = |merges: &[(String, String)]| merges.iter().cloned().collect::<BTreeSet<_>>();
        if all(&found) != all(merges) || wholes(&found) != wholes(merges) {
            return Err("its merges are not those of scores, which GGUF keeps".to_string());
        }
        Ok(Self {
            scores,
            unknown: unknown_id,
            blank_in_front,
        })
    }
}

/// Whether a blank is put in front of texts, where blanks become `▁` and nothing else is done to a text.
fn blank_in_front(json: &Value) -> Option<bool> {
    let replaces = |step: &Value| step["type"] == "Replace" && step["pattern"]["String"] == " " && step["content"] == "▁";
    let prepends = |step: &Value| step["type"] == "Prepend" && step["prepend"] == "▁";
    let (normalizer, split) = (&json["normalizer"], &json["pre_tokenizer"]);
    if split.is_null() {
        let steps = match normalizer["type"].as_str() {
            Some("Sequence") => normalizer["normalizers"].as_array()?.as_slice(),
            _ => std::slice::from_ref(normalizer),
        };
        return match steps {
            [replace] if replaces(replace) => Some(false),
            [prepend, replace] if prepends(prepend) && replaces(replace) => Some(true),
            _ => None,
        };
    }
    let whole = split["type"] == "Metaspace" && split["replacement"] == "▁" && split["split"] == false && normalizer.is_null();
    match split["prepend_scheme"].as_str().filter(|_| whole)? {
        "first" | "always" => Some(true),
        "never" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tokenizer() -> (Value, Vec<String>, Vec<(String, String)>) {
        let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(String::from).to_vec();
        tokens.extend((0..256).map(|byte| format!("<0x{byte:02X}>")));
        tokens.extend(["ab", "abc", "▁ab", "a", "b", "c", "▁"].map(String::from));
        let merges = [("a", "b"), ("ab", "c"), ("▁", "ab")].map(|(left, right)| (left.to_string(), right.to_string()));
        let json = json!({"model": {"type": "BPE", "byte_fallback": true, "unk_token": "<unk>"}, "pre_tokenizer": null, "normalizer": {"type": "Sequence",
            "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}});
        (json, tokens, merges.to_vec())
    }

    fn kinds(count: usize) -> Vec<i32> {
        (0..count).map(|id| if (1..3).contains(&id) { 3 } else { 1 }).collect()
    }

    #[test]
    fn wholes_are_scored_by_their_place_among_merges() {
        let (json, tokens, merges) = tokenizer();
        let mut kinds = kinds(tokens.len());
        let found = SentencePiece::of_json(&json, &tokens, &mut kinds, &merges).unwrap();
        assert_eq!((found.unknown, found.blank_in_front), (Some(0), true));
        assert_eq!(kinds[..4], [2, 3, 3, 6]);
        let score = |token: &str| found.scores[tokens.iter().position(|own| own == token).unwrap()];
        assert!(score("ab") > score("abc") && score("abc") > score("▁ab") && score("▁ab") > score("a"));
    }

    #[test]
    fn what_has_no_such_scores_is_refused() {
        let (json, tokens, merges) = tokenizer();
        let refused = |json: &Value, merges: &[(String, String)], part: &str| {
            let error = SentencePiece::of_json(json, &tokens, &mut kinds(tokens.len()), merges).unwrap_err();
            assert!(error.contains(part), "{error}");
        };
        refused(&json, &merges[..2], "merges");
        refused(&json, &[merges[0].clone(), merges[2].clone(), merges[1].clone(), merges[0].clone()], "merges");
        let with = |key: &str, value: Value| {
            let mut json = json.clone();
            json[key] = value;
            json
        };
        refused(&with("normalizer", json!({"type": "NFC"})), &merges, "prepared");
        refused(&with("pre_tokenizer", json!({"type": "Digits"})), &merges, "prepared");
        refused(
            &with("model", json!({"type": "BPE", "byte_fallback": true, "ignore_merges": true})),
            &merges,
            "ignore_merges",
        );
    }
}
