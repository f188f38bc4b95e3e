//! Scoring: from an output to a verdict, by rules that have names and versions.
//!
//! Outputs are kept and rules can be switched afterwards; nothing is generated again. Every verdict keeps what was read
//! out of the output and where it stands. An output without a readable answer is *unparsed*: it scores nothing and is
//! counted apart, and a question without an output is *missing*: it is never counted as wrong. Outputs that never close their
//! thoughts are counted as well: what is read out of them was said while thinking.

pub mod extract;
mod paired;
mod rule;
mod table;
mod words;

pub use paired::{PairedScores, compare};
pub use rule::{Extracted, Rule, Verdict};
pub use table::{BenchmarkScore, Estimate, Judged, ScoreSettings, score};
pub use words::{exact_match, f1, f1_of, normalised};
