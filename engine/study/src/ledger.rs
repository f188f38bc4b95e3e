//! The ledger: what a publication claims, and what studies say of each claim.
//!
//! Only the form stands here, for whoever shows it; the claims and their evaluation stand beside the published tables.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Definition, StudyError};

/// The file in the folder of a study, that of the original model.
pub const LEDGER_FILE: &str = "ledger.json";
/// The newest layout of `ledger.json` that this program knows.
pub const LEDGER_SCHEMA: u32 = 1;
/// Entries that a ledger may hold.
const MOST: usize = 10_000;

/// What is said of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LedgerVerdict {
    /// The whole interval confirms it.
    Holds,
    /// The whole interval refutes it.
    Fails,
    /// It cannot be told: too few data, an interval that reaches over the bound, or no data at all.
    CannotBeTold,
}

impl LedgerVerdict {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Holds, Self::Fails, Self::CannotBeTold];

    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Fails => "fails",
            Self::CannotBeTold => "cannot be told",
        }
    }
}

/// A claim of the publication.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LedgerClaim {
    /// Its name, such as `takeaway-4.1`.
    pub id: String,
    /// What it says, in the publication's sense.
    pub words: String,
    /// Where it stands.
    pub place: String,
    /// What confirms it, in numbers.
    pub confirms: String,
    /// What refutes it.
    pub refutes: String,
}

/// What one set of data says of a claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// The claim, by its name.
    pub claim: String,
    /// Whose data: a model, a pair of models, or a published table.
    pub subject: String,
    /// The definition of importance by which it was computed, where it is about importance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<Definition>,
    /// What is said.
    pub verdict: LedgerVerdict,
    /// What the number is.
    #[serde(default)]
    pub statistic: String,
    /// The number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<f64>,
    /// Its interval at 95 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
    /// The bound that decides, in words, such as `at most 1`.
    #[serde(default)]
    pub bound: String,
    /// How many units the interval is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<usize>,
    /// What the units are: traces, questions, texts, matrices.
    #[serde(default)]
    pub units: String,
    /// Why it cannot be told, or what else has to be said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// The command that would make the data.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub command: String,
    /// The view that shows it, as in a link; `study`, `from` and `to` are folders as they were given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub seen: BTreeMap<String, String>,
}

/// A ledger.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// Layout of this file.
    pub schema: u32,
    /// What it is about.
    pub title: String,
    /// The program that wrote it, and its version.
    pub program: String,
    /// Where the claims were published.
    pub source: String,
    /// The claims, in the order of the publication.
    pub claims: Vec<LedgerClaim>,
    /// What is said of them, claim by claim.
    pub entries: Vec<LedgerEntry>,
}

impl Ledger {
    /// Reads and checks `ledger.json`.
    ///
    /// # Errors
    /// When it is no such file, comes from a later program, or speaks of claims that it does not hold.
    pub fn from_json(bytes: &[u8]) -> Result<Self, StudyError> {
        let ledger: Self = crate::read_versioned(bytes, LEDGER_FILE, LEDGER_SCHEMA)?;
        ledger.check()?;
        Ok(ledger)
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// When it speaks of claims that it does not hold.
    pub fn to_json(&self) -> Result<Vec<u8>, StudyError> {
        self.check()?;
        crate::write_json(self, LEDGER_FILE)
    }

    fn check(&self) -> Result<(), StudyError> {
        let refuse = |why: String| Err(StudyError::Contradiction { file: LEDGER_FILE.into(), why });
        if self.claims.len().max(self.entries.len()) > MOST {
            return refuse(format!("it holds more than {MOST} claims or entries"));
        }
        match self.entries.iter().find(|entry| self.claim(&entry.claim).is_none()) {
            Some(entry) => refuse(format!("it speaks of \"{}\", which is none of its claims", entry.claim)),
            None => Ok(()),
        }
    }

    /// A claim by its name.
    pub fn claim(&self, id: &str) -> Option<&LedgerClaim> {
        self.claims.iter().find(|claim| claim.id == id)
    }

    /// The entries of a claim.
    pub fn of<'a>(&'a self, claim: &'a str) -> impl Iterator<Item = &'a LedgerEntry> {
        self.entries.iter().filter(move |entry| entry.claim == claim)
    }

    /// How many entries say each thing, in the order of [`LedgerVerdict::ALL`].
    pub fn counts(&self) -> [(LedgerVerdict, usize); 3] {
        LedgerVerdict::ALL.map(|verdict| (verdict, self.entries.iter().filter(|entry| entry.verdict == verdict).count()))
    }
}
