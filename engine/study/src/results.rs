//! Results of benchmarks: scores with their intervals, and the outputs behind them, one's own beside published ones.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::StudyError;

/// The file that holds results, in a folder of its own or beside studies.
pub const RESULTS_FILE: &str = "results.json";
/// The newest layout of `results.json` that this program knows.
pub const RESULTS_SCHEMA: u32 = 1;
/// Scores that a file may hold; more is a mistake or malice.
const MOST_SCORES: usize = 100_000;
/// Outputs that one score may rest on.
const MOST_OUTPUTS: usize = 1_000_000;

/// Scores of models on benchmarks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Layout of this file.
    pub schema: u32,
    /// A title for display.
    pub title: String,
    /// Where the numbers come from: a citation, or the command that made them.
    pub source: String,
    /// The program that wrote it, and its version.
    #[serde(default)]
    pub program: String,
    /// Whether somebody else published the numbers.
    #[serde(default)]
    pub published: bool,
    /// The scores, in the order in which they are shown.
    pub scores: Vec<Score>,
    /// Fields that a later program wrote; kept as they are.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// One score.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The experiment that it belongs to, such as a table of a paper; scores of one experiment are drawn together.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub experiment: String,
    /// The model, before compression.
    pub model: String,
    /// How it was compressed; empty where it was not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub compression: String,
    /// What else sets it apart, such as the component that alone was quantized.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub setting: String,
    /// The benchmark, such as `AIME 2024`.
    pub benchmark: String,
    /// What is measured, such as `accuracy` or `F1`.
    pub metric: String,
    /// The unit of value and interval: `%`, or empty for ratios, ratings and correlations.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// The value.
    pub value: f64,
    /// Its interval at 95 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
    /// Questions that it rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub questions: Option<usize>,
    /// Passes over them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passes: Option<u32>,
    /// Outputs out of which no answer could be read; they count as wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unparsed: Option<usize>,
    /// Outputs that never close their thoughts: cut off, collapsed, or written without thinking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unclosed: Option<usize>,
    /// Of the missing outputs, answers that came without usable text, by kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failed: BTreeMap<String, usize>,
    /// Outputs that are missing; they are not counted at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<usize>,
    /// The rule by which outputs were scored, or where the number stands.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rule: String,
    /// The value that pure chance would give, in the same unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chance: Option<f64>,
    /// What lengths of outputs are counted in: `tokens` or `characters`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub length_unit: String,
    /// The outputs behind the score, by question and pass, where they are at hand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<ScoredOutput>,
}

/// One output behind a score.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScoredOutput {
    /// The question.
    pub id: String,
    /// The pass, from 1.
    pub pass: u32,
    /// Its score, 0 to 1.
    pub score: f64,
    /// Its length, in the score's unit of length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// Whether an answer could be read out of it.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub parsed: bool,
    /// Whether it ended by itself.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub ended: bool,
}

fn yes() -> bool {
    true
}

fn is_yes(value: &bool) -> bool {
    *value
}

impl Results {
    /// Reads and checks `results.json`.
    ///
    /// # Errors
    /// When it is no such file, comes from a later program, or holds numbers that cannot be.
    pub fn from_json(bytes: &[u8]) -> Result<Self, StudyError> {
        let results: Self = crate::read_versioned(bytes, RESULTS_FILE, RESULTS_SCHEMA)?;
        results.check()?;
        Ok(results)
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// When a number cannot be.
    pub fn to_json(&self) -> Result<Vec<u8>, StudyError> {
        self.check()?;
        crate::write_json(self, RESULTS_FILE)
    }

    fn check(&self) -> Result<(), StudyError> {
        let refuse = |why: String| {
            Err(StudyError::Contradiction {
                file: RESULTS_FILE.into(),
                why,
            })
        };
        if self.scores.len() > MOST_SCORES {
            return refuse(format!("{} scores, more than {MOST_SCORES}", self.scores.len()));
        }
        for (number, score) in self.scores.iter().enumerate() {
            let what = || format!("score {} ({}, {})", number + 1, score.model, score.benchmark);
            let numbers = [score.value].into_iter().chain(score.interval.into_iter().flatten()).chain(score.chance);
            if numbers.into_iter().any(|value| !value.is_finite() || value.abs() > 1e12) {
                return refuse(format!("{} is no number in range", what()));
            }
            if score.interval.is_some_and(|[low, high]| low > high) {
                return refuse(format!("{} has an interval that ends before it begins", what()));
            }
            if score.outputs.len() > MOST_OUTPUTS {
                return refuse(format!("{} has {} outputs, more than {MOST_OUTPUTS}", what(), score.outputs.len()));
            }
            if let Some(output) = score.outputs.iter().find(|output| !(0.0..=1.0).contains(&output.score)) {
                return refuse(format!("{}: the output {} scores {}, outside 0 to 1", what(), output.id, output.score));
            }
        }
        Ok(())
    }

    /// The experiments, in their order.
    pub fn experiments(&self) -> Vec<&str> {
        distinct(self.scores.iter().map(|score| score.experiment.as_str()))
    }

    /// The scores of an experiment.
    pub fn of_experiment<'a>(&'a self, experiment: &'a str) -> impl Iterator<Item = &'a Score> {
        self.scores.iter().filter(move |score| score.experiment == experiment)
    }
}

/// What is there, each once, in the order of its first place.
fn distinct<'a>(items: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut known = BTreeSet::new();
    items.filter(|item| known.insert(*item)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results() -> Results {
        let score = |experiment: &str, value: f64| Score {
            experiment: experiment.into(),
            model: "m".into(),
            benchmark: "b".into(),
            metric: "accuracy".into(),
            unit: "%".into(),
            value,
            interval: Some([value - 1.0, value + 1.0]),
            outputs: vec![ScoredOutput {
                id: "b/0".into(),
                pass: 1,
                score: 1.0,
                length: Some(12),
                parsed: true,
                ended: false,
            }],
            ..Score::default()
        };
        Results {
            schema: RESULTS_SCHEMA,
            title: "r".into(),
            source: "s".into(),
            scores: vec![score("one", 40.0), score("two", 50.0), score("one", 60.0)],
            ..Results::default()
        }
    }

    #[test]
    fn results_survive_their_file() {
        let results = results();
        assert_eq!(Results::from_json(&results.to_json().unwrap()).unwrap(), results);
        assert_eq!(results.experiments(), ["one", "two"]);
        assert_eq!(results.of_experiment("one").count(), 2);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let wrong: [fn(&mut Results); 4] = [
            |results| results.scores[0].value = f64::NAN,
            |results| results.scores[0].interval = Some([2.0, 1.0]),
            |results| results.scores[1].outputs[0].score = 2.0,
            |results| results.scores[2].chance = Some(1e300),
        ];
        for change in wrong {
            let mut results = results();
            change(&mut results);
            assert!(results.to_json().is_err());
        }
        assert!(matches!(Results::from_json(b"{\"schema\": 9}"), Err(StudyError::NewerSchema { .. })));
        assert!(Results::from_json(b"<html>").is_err());
    }
}
