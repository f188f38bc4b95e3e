//! Characters as tokens.

use serde_json::{Value, json};

/// The characters known, in the order of their numbers; the first ends a text.
const CHARACTERS: &str = "\n !()+-.0123456789:<=>?,ABCDFKLMPRSTUabcdefghijklmnopqrstuvwxyz";

/// Turns text into tokens and back.
#[derive(Clone, Debug)]
pub struct Alphabet {
    characters: Vec<char>,
}

impl Default for Alphabet {
    fn default() -> Self {
        Self {
            characters: CHARACTERS.chars().collect(),
        }
    }
}

impl Alphabet {
    /// The token that ends a text.
    pub const END: u32 = 0;

    /// How many tokens there are; the last stands for what is unknown.
    pub fn size(&self) -> usize {
        self.characters.len() + 1
    }

    /// The tokens of a text.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let number = |character| self.characters.iter().position(|known| *known == character);
        text.chars()
            .map(|character| number(character).unwrap_or(self.characters.len()) as u32)
            .collect()
    }

    /// The text of tokens.
    pub fn decode(&self, tokens: &[u32]) -> String {
        tokens.iter().filter_map(|token| self.characters.get(*token as usize)).collect()
    }

    /// The file `tokenizer.json`.
    pub fn tokenizer(&self) -> Value {
        let mut vocabulary = serde_json::Map::new();
        for (number, character) in self.characters.iter().enumerate() {
            vocabulary.insert(character.to_string(), number.into());
        }
        vocabulary.insert("<unk>".to_owned(), self.characters.len().into());
        let special = |id: usize, content: &str| {
            json!({
                "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true
            })
        };
        json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": [special(0, "\n"), special(self.characters.len(), "<unk>")],
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
    use cruxscope_study::SplitMix;

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
