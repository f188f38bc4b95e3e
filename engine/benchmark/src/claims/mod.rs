//! The paper's claims as data, and what studies, results and the published numbers themselves say of each.
//!
//! A claim stands in `published/claims.json` with the tests that would confirm or refute it. A test is a number with an interval
//! and a bound: the claim *holds* where the whole interval lies on its side of the bound, *fails* where all of it lies on the other,
//! and otherwise *cannot be told*. Nothing is decided by a number alone.
//!
//! * [`evidence`] — the studies and results that are given, and what each of them is.
//! * `maps` — tests on relative importance and its shift; `damage` — on what compression did; `scores` — on benchmarks.
//! * `tables` — the published numbers, as far as their own intervals go.

mod bound;
mod damage;
pub mod evidence;
mod maps;
mod scores;
mod tables;

use cruxscope_study::{Definition, LEDGER_SCHEMA, Ledger, LedgerClaim, LedgerEntry, LedgerVerdict, StudyError};
use serde::{Deserialize, Serialize};

pub use self::bound::Bound;
pub use self::evidence::{CompressionKind, Evidence, EvidenceStudy, Role};
use crate::published::Published;

/// The file of this program.
const CLAIMS: &str = include_str!("../../published/claims.json");

/// A claim with its tests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// Its words and where it stands.
    #[serde(flatten)]
    pub claim: LedgerClaim,
    /// What is computed from studies and results.
    pub tests: Vec<Test>,
    /// Published numbers that are said to show it.
    pub published: Vec<Statement>,
}

/// What is computed to test a claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Test {
    /// Rank of the final up projection by relative importance, mean over behaviours.
    FinalUpRank {
        /// The bound.
        at_most: f64,
    },
    /// Its worst rank over behaviours.
    FinalUpWorstRank {
        /// The bound.
        at_most: f64,
    },
    /// How many of the most important components stand in the final layer, for the behaviour with the fewest.
    FinalLayerInTop {
        /// So many components.
        of: usize,
        /// The bound.
        at_least: f64,
    },
    /// Share of the relative importance of the most important components that is gone in the base model.
    ImportantFromDistillation {
        /// So many components.
        of: usize,
        /// The bound.
        above: f64,
    },
    /// Rank of the final up projection within its layer in the base model, for uncertainty estimation.
    BaseFinalUpRankInLayer {
        /// The bound.
        at_least: f64,
    },
    /// Share of all decreases that falls on a part of the model, over its share of the components.
    DecreasesIn {
        /// The part.
        part: Part,
        /// Of models that were compressed by one of these methods as a whole.
        methods: Vec<String>,
    },
    /// How many of the largest net changes are decreases.
    NetIsDecrease {
        /// So many changes.
        of: usize,
        /// Of models that were compressed by one of these methods as a whole.
        methods: Vec<String>,
    },
    /// Rank correlation of importance with the divergence of each component alone.
    ImportanceOrdersDamage,
    /// Rank of the final up projection by that divergence.
    FinalUpDamageRank {
        /// The bound.
        at_most: f64,
    },
    /// Divergence with the final feed-forward block protected, over that without.
    FinalMlpProtects,
    /// Divergence with only the final up projection compressed, over that with only the first.
    FinalUpHurtsMoreThanFirst,
    /// Rank of the final up projection by AWQ's scale, among the up projections that are scaled.
    AwqScaleRank {
        /// The bound.
        at_most: f64,
    },
    /// Points of knowledge lost by pruning, less points of reasoning.
    KnowledgeLostMore,
    /// Score of the least compressed variant of a method, less that of the most compressed one.
    LessCompressedScoresMore,
    /// Share of the score lost on the hardest benchmark, less that on the easiest, by the most pruned variant of a method.
    HarderLosesMore,
    /// Score of the shortest outputs, less that of the longest.
    ShortScoresMore {
        /// The share of outputs at either end.
        share: f64,
    },
}

/// A part of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// All modules of the final layer.
    FinalLayer,
    /// The gate projections of all layers.
    Gate,
}

/// A statement about published numbers: a value, or the difference of two, against a bound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// What is said.
    pub words: String,
    /// The table.
    pub table: u32,
    /// The column.
    pub metric: String,
    /// The row, in words.
    pub row: String,
    /// What is subtracted: another row in words, that of another table as `1: ROW`, or another column of the same row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minus: Option<String>,
    /// It holds above this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
    /// It holds below this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
    /// It holds between minus this and this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<f64>,
}

/// The claims that this program carries.
///
/// # Errors
/// If its file is damaged, which the tests rule out.
pub fn load() -> Result<Vec<Claim>, serde_json::Error> {
    serde_json::from_str(CLAIMS)
}

/// What was computed for a test.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    /// Whose data.
    pub subject: String,
    /// The definition of importance, where it plays a part.
    pub definition: Option<Definition>,
    /// What the number is.
    pub statistic: String,
    /// The number with its interval, and how many units it is over; nothing where data are missing.
    pub number: Option<Number>,
    /// The bound that decides.
    pub bound: Bound,
    /// Why there is no number, or what else has to be said.
    pub why: String,
    /// The command that would make the data.
    pub command: String,
    /// The view that shows it.
    pub seen: Vec<(&'static str, String)>,
}

/// A number, as far as it is known.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Number {
    /// The number.
    pub value: f64,
    /// Its interval at 95 %; none where it cannot be told.
    pub interval: Option<(f64, f64)>,
    /// Units that the interval is over.
    pub n: usize,
    /// What they are.
    pub units: &'static str,
    /// So many units are needed before an interval means anything.
    pub least: usize,
    /// Whether the number is a fact of the model rather than an estimate: it needs no interval.
    pub exact: bool,
}

impl Found {
    fn entry(self, claim: &str) -> LedgerEntry {
        let (verdict, mut why) = self.verdict();
        for part in [&self.why] {
            if !part.is_empty() {
                why = if why.is_empty() { part.clone() } else { format!("{why}; {part}") };
            }
        }
        let number = self.number.as_ref();
        LedgerEntry {
            claim: claim.into(),
            subject: self.subject,
            definition: self.definition,
            verdict,
            statistic: self.statistic,
            number: number.map(|number| number.value),
            interval: number.and_then(|number| number.interval).map(|(low, high)| [low, high]),
            bound: self.bound.words(),
            n: number.map(|number| number.n),
            units: number.map_or_else(String::new, |number| number.units.into()),
            why,
            command: if verdict == LedgerVerdict::CannotBeTold {
                self.command
            } else {
                String::new()
            },
            seen: self.seen.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        }
    }

    fn verdict(&self) -> (LedgerVerdict, String) {
        let untold = |why: String| (LedgerVerdict::CannotBeTold, why);
        let Some(number) = &self.number else { return untold(String::new()) };
        if number.exact {
            let verdict = if self.bound.holds(number.value) {
                LedgerVerdict::Holds
            } else {
                LedgerVerdict::Fails
            };
            return (verdict, String::new());
        }
        if number.n < number.least {
            return untold(format!(
                "{} {}, and {} are needed before an interval can be trusted",
                number.n, number.units, number.least
            ));
        }
        let Some(interval) = number.interval else {
            return untold("the number has no interval".into());
        };
        match self.bound.decide(interval) {
            Some(true) => (LedgerVerdict::Holds, String::new()),
            Some(false) => (LedgerVerdict::Fails, String::new()),
            None => untold("the interval reaches over the bound".into()),
        }
    }
}

/// Evaluates every claim over everything that is given, and the published numbers beside.
///
/// # Errors
/// When studies contradict themselves.
pub fn ledger(title: &str, claims: &[Claim], evidence: &Evidence, published: Option<&Published>) -> Result<Ledger, StudyError> {
    let mut entries = Vec::new();
    for claim in claims {
        for test in &claim.tests {
            let found = match test {
                Test::FinalUpRank { .. }
                | Test::FinalUpWorstRank { .. }
                | Test::FinalLayerInTop { .. }
                | Test::ImportantFromDistillation { .. }
                | Test::BaseFinalUpRankInLayer { .. }
                | Test::DecreasesIn { .. }
                | Test::NetIsDecrease { .. } => maps::found(test, evidence)?,
                Test::ImportanceOrdersDamage
                | Test::FinalUpDamageRank { .. }
                | Test::FinalMlpProtects
                | Test::FinalUpHurtsMoreThanFirst
                | Test::AwqScaleRank { .. } => damage::found(test, evidence),
                Test::KnowledgeLostMore | Test::LessCompressedScoresMore | Test::HarderLosesMore | Test::ShortScoresMore { .. } => {
                    scores::found(test, evidence)
                }
            };
            entries.extend(found.into_iter().map(|found| found.entry(&claim.claim.id)));
        }
        if let Some(published) = published {
            let statements = claim.published.iter().map(|statement| tables::found(statement, published));
            entries.extend(statements.map(|found| found.entry(&claim.claim.id)));
        }
    }
    let source = published.map(|published| format!("{} arXiv {}v{}", published.source.title, published.source.arxiv, published.source.version));
    Ok(Ledger {
        schema: LEDGER_SCHEMA,
        title: title.into(),
        program: concat!("cruxscope ", env!("CARGO_PKG_VERSION")).into(),
        source: source.unwrap_or_default(),
        claims: claims.iter().map(|claim| claim.claim.clone()).collect(),
        entries,
    })
}
