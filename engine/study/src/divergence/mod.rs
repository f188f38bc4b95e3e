//! Where two models part: both read the same texts, and at every position their next-token distributions are compared.
//!
//! Model A is the one that wrote the texts or from which the other was made; B is the compressed one, the base model, or any other
//! with the same vocabulary. At a *prediction* (row r of a text predicts token r + 1) there are the divergence of Kullback and Leibler
//! KL(p_A || p_B) in nats, the greedy choice of each model (of several tokens with the largest logit the one with the lowest id), the
//! rank of A's choice in B (1: B chooses it too), and what each loses on the text's own next token.
//!
//! The file `divergence.safetensors` stands beside `study.json`, in the study of B, and describes itself; studies without it are whole.
//!
//! # Shapes
//! The predictions of all texts one after the other, n - 1 of a text of n tokens: `kl` float32, `rank` int32, `choice/a`, `choice/b`
//! int32, `loss/a`, `loss/b` float32, `behaviours` uint8 (bit b is set where behaviour b claims the predicted token) and `end` int32 (the
//! byte of the output at which the predicted token ends, 0 in the prompt and where texts came as tokens), each `[predictions]`. Where causes were asked for, `share/<positions>` float64 `[texts, components]`: what each component of B's change
//! adds to the sum of the divergence at these positions of each text ([`Divergence::causes`]).

mod causes;
mod file;
mod positions;
mod summary;

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::causes::Cause;
pub use self::positions::{BEFORE_THE_END, Place, Positions};
pub use self::summary::{CurvePoint, Parting, Partition, PositionsSummary};
use crate::{Behaviour, FileDigest};

/// The file in a study's folder.
pub const DIVERGENCE_FILE: &str = "divergence.safetensors";
/// The newest layout of that file that this program knows.
pub const DIVERGENCE_SCHEMA: u32 = 1;

/// One of two models.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ComparedModel {
    /// Its name.
    pub name: String,
    /// Its files.
    pub files: Vec<FileDigest>,
}

/// What both models wrote from the first position at which their greedy choices part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Continuation {
    /// The first token that differs, by its place in the text.
    pub token: usize,
    /// What A wrote from there on.
    pub a: String,
    /// What B wrote.
    pub b: String,
}

/// A text that both models read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ComparedText {
    /// Its id.
    pub id: String,
    /// Its tokens.
    pub tokens: usize,
    /// The token with which the thought begins: what stands before is the prompt; 0 where the text came as tokens.
    pub thought: usize,
    /// The token with which the thought ends and the answer begins; as many as there are tokens where it never ends.
    pub answer: usize,
    /// What both models wrote from where they part, if they were asked to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continuation: Option<Continuation>,
}

/// From what and how it was computed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DivergenceFacts {
    /// Layout of the file.
    pub schema: u32,
    /// The program and its version.
    pub program: String,
    /// A and B.
    pub models: [ComparedModel; 2],
    /// The files of traces, annotations or text.
    pub data: Vec<FileDigest>,
    /// The behaviours that any text holds; none where there were no annotations.
    pub behaviours: Vec<Behaviour>,
    /// The texts.
    pub texts: Vec<ComparedText>,
    /// Decoder layers of B.
    pub layers: usize,
    /// The positions for which causes were computed.
    #[serde(default)]
    pub caused: Vec<Positions>,
    /// Backends and precisions by which it was computed.
    pub devices: Vec<String>,
    /// Settings that change numbers.
    #[serde(default)]
    pub settings: BTreeMap<String, Value>,
}

/// Where two models part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Divergence {
    /// From what and how.
    pub facts: DivergenceFacts,
    /// KL(p_A || p_B) at every prediction, in nats.
    pub kl: Vec<f32>,
    /// Rank of A's greedy choice in B, from 1.
    pub rank: Vec<u32>,
    /// Greedy choices of A and B.
    pub choices: [Vec<u32>; 2],
    /// −log p(next token) of A and B, in nats.
    pub losses: [Vec<f32>; 2],
    /// Which behaviours claim the predicted token: bit b for that of index b.
    pub behaviours: Vec<u8>,
    /// The byte of the output at which the predicted token ends; 0 in the prompt, and where texts came as tokens.
    pub ends: Vec<u32>,
    /// One for each of [`DivergenceFacts::caused`]: `[texts, components]`.
    pub shares: Vec<Vec<f64>>,
}

impl Divergence {
    /// The predictions of each text among all, text after text.
    pub fn ranges(&self) -> Vec<Range<usize>> {
        let mut first = 0;
        let range = |text: &ComparedText| {
            let range = first..first + text.tokens.saturating_sub(1);
            first = range.end;
            range
        };
        self.facts.texts.iter().map(range).collect()
    }

    /// Whether a prediction of a text, by its row, is among some positions. `at` is its place among all predictions.
    pub fn holds(&self, positions: Positions, text: &ComparedText, row: usize, at: usize) -> bool {
        match positions {
            Positions::All => true,
            Positions::Behaviour(behaviour) => self.behaviours[at] & (1 << behaviour.index()) != 0,
            Positions::Rest => self.behaviours[at] == 0,
            Positions::At(place) => Place::of(text, row + 1) == place,
            Positions::Parted => self.rank[at] != 1,
        }
    }

    /// Every prediction of some positions: its text, its row there, and its place among all.
    pub fn predictions(&self, positions: Positions) -> impl Iterator<Item = (usize, usize, usize)> {
        let ranges = self.ranges();
        let all = ranges.into_iter().enumerate().flat_map(|(text, range)| {
            let first = range.start;
            range.map(move |at| (text, at - first, at))
        });
        all.filter(move |(text, row, at)| self.holds(positions, &self.facts.texts[*text], *row, *at))
    }
}
