//! Which positions are looked at: all, a behaviour's, a stretch of the text, or those at which the choices part.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ComparedText;
use crate::Behaviour;

/// The share of a thought at either end that counts as its start, and as what stands before the answer.
pub const BEFORE_THE_END: f64 = 0.1;

/// A stretch of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// What the model was given.
    Prompt,
    /// The first tenth of the thought.
    Start,
    /// What lies between.
    Middle,
    /// The last tenth of the thought, before the answer.
    End,
    /// What follows the thought.
    Answer,
}

impl Place {
    /// All of them, in the order of the text.
    pub const ALL: [Self; 5] = [Self::Prompt, Self::Start, Self::Middle, Self::End, Self::Answer];

    /// Where a token stands, by its place in the text.
    pub fn of(text: &ComparedText, token: usize) -> Self {
        if token < text.thought {
            return Self::Prompt;
        }
        if token >= text.answer {
            return Self::Answer;
        }
        match share_of_thought(text, token) {
            Some(share) if share < BEFORE_THE_END => Self::Start,
            Some(share) if share >= 1.0 - BEFORE_THE_END => Self::End,
            _ => Self::Middle,
        }
    }

    /// The name in files and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Start => "thought-start",
            Self::Middle => "thought-middle",
            Self::End => "thought-end",
            Self::Answer => "answer",
        }
    }

    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Prompt => "the prompt",
            Self::Start => "the first tenth of the thought",
            Self::Middle => "the middle of the thought",
            Self::End => "the last tenth, before the answer",
            Self::Answer => "the answer",
        }
    }
}

/// How far into the thought a token stands, 0 to 1; nothing outside of it.
pub(super) fn share_of_thought(text: &ComparedText, token: usize) -> Option<f64> {
    let inside = token >= text.thought && token < text.answer;
    inside.then(|| (token - text.thought) as f64 / (text.answer - text.thought) as f64)
}

/// A set of positions, by the token that is predicted there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Positions {
    /// Every position.
    All,
    /// Those of a behaviour's segments.
    Behaviour(Behaviour),
    /// Those of no behaviour's segment.
    Rest,
    /// Those of a stretch of the text.
    At(Place),
    /// Those at which B's greedy choice is another than A's.
    Parted,
}

impl Positions {
    /// Every set there is, in the order in which they are listed.
    pub fn every() -> impl Iterator<Item = Self> {
        let behaviours = Behaviour::ALL.into_iter().map(Self::Behaviour);
        [Self::All]
            .into_iter()
            .chain(behaviours)
            .chain([Self::Rest])
            .chain(Place::ALL.into_iter().map(Self::At))
            .chain([Self::Parted])
    }

    /// The name in files and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Behaviour(behaviour) => behaviour.name(),
            Self::Rest => "rest",
            Self::At(place) => place.name(),
            Self::Parted => "parted",
        }
    }
}

impl fmt::Display for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Positions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::every().find(|positions| positions.name() == text).ok_or_else(|| {
            let known: Vec<&str> = Self::every().map(Self::name).collect();
            format!("\"{text}\" is no set of positions; known are {}", known.join(", "))
        })
    }
}

impl TryFrom<String> for Positions {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Positions> for String {
    fn from(positions: Positions) -> Self {
        positions.name().into()
    }
}
