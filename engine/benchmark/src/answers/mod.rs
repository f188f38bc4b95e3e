//! Reading an answer strictly: a number, a letter, a truth value or a phrase, out of a box, after words that announce it, or where it
//! stands alone.
//!
//! What announces an answer and cannot be read is *unreadable*: no other number or letter of the prose takes its place. The answers
//! of datasets are read by the same functions when they are opened.

mod boxes;
mod cue;
mod formula;
mod fraction;
mod letter;
mod number;
mod phrase;
mod plain;
mod truth;

use std::ops::Range;

pub use formula::number;
pub use letter::letter;
pub use phrase::words;
pub use truth::truth;

/// What a text says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// An answer.
    Answer(Found),
    /// Something announces an answer, and it cannot be read.
    Unreadable,
    /// Nothing announces one.
    Nothing,
}

/// An answer and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its bytes in the text.
    pub range: Range<usize>,
    /// Its value in one form: `33` for `33.0`, `B` for `(b)`, `uncertain` for "cannot be determined".
    pub value: String,
}

impl Reading {
    /// This, or what `next` reads where nothing announced an answer.
    fn or(self, next: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Nothing => next(),
            found => found,
        }
    }

    /// The answer, if there is one.
    pub fn answer(self) -> Option<Found> {
        match self {
            Self::Answer(found) => Some(found),
            Self::Unreadable | Self::Nothing => None,
        }
    }

    /// What announced an answer: it, or that it cannot be read.
    fn announced(found: Option<Found>) -> Self {
        found.map_or(Self::Unreadable, Self::Answer)
    }

    /// What stands there unannounced: it, or nothing.
    fn unannounced(found: Option<Found>) -> Self {
        found.map_or(Self::Nothing, Self::Answer)
    }
}

/// A part of an output that is read: all of it, and where what follows the thoughts begins.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The output.
    pub text: &'a str,
    /// Where the tail begins: 0 where thoughts were never closed.
    pub tail: usize,
    /// Whether thoughts were closed. Where they were not, only what is announced counts, or what is the whole output.
    pub closed: bool,
}

impl Source<'_> {
    fn tail(&self) -> Range<usize> {
        self.tail..self.text.len()
    }
}

/// The integer, or other number, that an output gives: the last box of the tail, else the last number that is announced there, else one
/// that stands alone; else the last box of the thoughts.
pub fn read_number(source: Source<'_>) -> Reading {
    let tail = source.tail();
    boxes::last(source.text, tail.clone(), number::in_box)
        .or(|| cue::last(source.text, tail.clone(), number::announced))
        .or(|| Reading::unannounced(number::alone(source.text, tail, source.closed)))
        .or(|| boxes::last(source.text, 0..source.tail, number::in_box))
}

/// The letter A to D that an output gives, in its tail: the last box, else the last letter that is announced, else one that stands
/// alone.
pub fn read_letter(source: Source<'_>) -> Reading {
    let tail = source.tail();
    boxes::last(source.text, tail.clone(), letter::in_box)
        .or(|| cue::last(source.text, tail.clone(), letter::announced))
        .or(|| Reading::unannounced(letter::concluded(source.text, tail.clone())))
        .or(|| Reading::unannounced(letter::alone(source.text, tail, source.closed)))
}

/// The truth value that an output gives, in its tail: the last box, else the last that is announced as the answer, else the last that is
/// said of the conclusion, else in bold, else one that stands alone.
pub fn read_truth(source: Source<'_>) -> Reading {
    let tail = source.tail();
    boxes::last(source.text, tail.clone(), truth::in_box)
        .or(|| cue::last(source.text, tail.clone(), truth::announced))
        .or(|| Reading::unannounced(truth::concluded(source.text, tail.clone())))
        .or(|| truth::alone(source.text, tail, source.closed))
}

/// The words that an output gives, in its tail: the last box, else what is announced as the answer, else the last line that holds words.
pub fn read_words(source: Source<'_>) -> Reading {
    let tail = source.tail();
    boxes::last(source.text, tail.clone(), phrase::in_box)
        .or(|| Reading::unannounced(phrase::announced(source.text, tail.clone())))
        .or(|| Reading::unannounced(phrase::last_line(source.text, tail)))
}
