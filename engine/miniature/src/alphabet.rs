//! Characters as tokens, and the two marks around a trace.

use serde_json::{Value, json};

use crate::puzzles::{CLOSE, OPEN};

/// The characters known, in the order of their numbers; the first ends a text.
const CHARACTERS: &str = "\n !()+-.0123456789:=?,ABCDEFGHKLMPRSTUabcdefghijklmnopqrstuvwxyz";

/// Turns text into tokens and back.
#[derive(Clone, Debug)]
pub struct Alphabet {
    tokens: Vec<String>,
}

impl Default for Alphabet {
    fn default() -> Self {
        let marks = [OPEN.to_owned(), CLOSE.to_owned()];
        Self {
            tokens: CHARACTERS.chars().map(String::from).chain(marks).collect(),
        }
    }
}

impl Alphabet {
    /// The token that ends a text.
    pub const END: u32 = 0;

    /// How many tokens there are; the last stands for what is unknown.
    pub fn size(&self) -> usize {
        self.tokens.len() + 1
    }

    /// The tokens of a text.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            // The marks stand last and begin with a character that is no token.
            let known = self.tokens.iter().position(|token| rest.starts_with(token.as_str()));
            tokens.push(known.unwrap_or(self.tokens.len()) as u32);
            rest = &rest[known.map_or(character.len_utf8(), |token| self.tokens[token].len())..];
        }
        tokens
    }

    /// The text of tokens.
    pub fn decode(&self, tokens: &[u32]) -> String {
        tokens.iter().filter_map(|token| self.tokens.get(*token as usize)).map(String::as_str).collect()
    }

    /// The file `tokenizer.json`.
    pub fn tokenizer(&self) -> Value {
        let mut vocabulary = serde_json::Map::new();
        for (number, token) in self.tokens.iter().enumerate() {
            vocabulary.insert(token.clone(), number.into());
        }
        let unknown = self.tokens.len();
        vocabulary.insert("<unk>".to_owned(), unknown.into());
        // The marks are no special tokens, so that they stand in what is generated.
        let added = |id: usize, content: &str, special: bool| {
            json!({
                "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": special
            })
        };
        json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": [added(0, "\n", true), added(unknown - 2, OPEN, false), added(unknown - 1, CLOSE, false), added(unknown, "<unk>", true)],
            "normalizer": null,
            "pre_tokenizer": {
                "type": "Split", "pattern": {"Regex": "[\\s\\S]"}, "behavior": "Isolated", "invert": false
            },
            "post_processor": null,
            "decoder": {"type": "Fuse"},
            "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"}
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::puzzles::{Kind, World};
    use cruxscope_statistics::SplitMix;

    #[test]
    fn every_puzzle_is_spelled_in_known_characters() {
        let (alphabet, world) = (Alphabet::default(), World::new(0));
        let mut generator = SplitMix::new(2);
        for kind in Kind::ALL {
            for _ in 0..300 {
                let text = kind.draw(&world, &mut generator, false).reasoned();
                assert_eq!(alphabet.decode(&alphabet.encode(&text)), text);
            }
        }
    }
}
