//! Tokens into text as they come.
//!
//! One token may be half a character, and what a token reads as may depend on the one before it (some tokenizers drop the
//! space of a first word). So a few earlier tokens are decoded again with each new one, and text is given out once it no
//! longer ends in the middle of a character.

use cruxscope_checkpoint::{CheckpointError, TraceTokenizer};

/// What a decoder writes for bytes that are no character yet.
const INCOMPLETE: char = '\u{fffd}';

/// Tokens of a prompt that are decoded with the first new ones: more than a character has bytes.
const COMPANY: usize = 8;

/// The text of one sequence, given out piece by piece.
pub struct TextStream<'a> {
    tokenizer: &'a TraceTokenizer,
    ids: Vec<u32>,
    /// Tokens from here on are decoded with each new one.
    from: usize,
    /// Tokens before this one have been given out.
    given: usize,
}

impl<'a> TextStream<'a> {
    /// A text that follows a prompt. The prompt's last tokens only give the first new ones their company.
    pub fn after(tokenizer: &'a TraceTokenizer, prompt: &[u32]) -> Self {
        let known = |id: &&u32| (**id as usize) < tokenizer.vocabulary();
        let mut ids: Vec<u32> = prompt.iter().rev().filter(known).take(COMPANY).copied().collect();
        ids.reverse();
        let given = ids.len();
        Self {
            tokenizer,
            ids,
            from: 0,
            given,
        }
    }

    /// Adds a token, and gives the text that is complete by it, often nothing. Models may have more tokens than their
    /// tokenizer, to fill their matrices up; those have no text.
    ///
    /// # Errors
    /// When the tokens cannot be decoded.
    pub fn push(&mut self, id: u32) -> Result<String, CheckpointError> {
        if id as usize >= self.tokenizer.vocabulary() {
            return Ok(String::new());
        }
        self.ids.push(id);
        let text = self.pending()?;
        if text.ends_with(INCOMPLETE) {
            return Ok(String::new());
        }
        // A prompt may end in the middle of a character; its beginning is company then until the character is whole.
        if !self.company()?.ends_with(INCOMPLETE) {
            self.from = self.given;
        }
        self.given = self.ids.len();
        Ok(text)
    }

    /// What is left at the end: characters that were never completed, as replacement characters.
    ///
    /// # Errors
    /// When the tokens cannot be decoded.
    pub fn finish(self) -> Result<String, CheckpointError> {
        self.pending()
    }

    fn company(&self) -> Result<String, CheckpointError> {
        self.tokenizer.decode(&self.ids[self.from..self.given])
    }

    /// Text of the tokens that have not been given out: what their company and they read as, less what both have in common
    /// with the company alone. A company that ends in the middle of a character has that middle completed.
    fn pending(&self) -> Result<String, CheckpointError> {
        let company = self.company()?;
        let all = self.tokenizer.decode(&self.ids[self.from..])?;
        let company = company.trim_end_matches(INCOMPLETE);
        let common: usize = (all.chars().zip(company.chars()))
            .take_while(|(a, b)| a == b)
            .map(|(character, _)| character.len_utf8())
            .sum();
        Ok(all[common..].to_owned())
    }
}
