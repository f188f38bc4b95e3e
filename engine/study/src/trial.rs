//! What recipes really cost, measured on text that chose none of them, side by side and at one size.

use serde::{Deserialize, Serialize};

use crate::{Bootstrap, FileDigest, StudyError};

/// The file in a study's folder.
pub const TRIAL_FILE: &str = "trial.json";
/// The newest layout of that file that this program knows.
pub const TRIAL_SCHEMA: u32 = 1;

/// Recipes and checkpoints, measured on the same text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Layout of the file.
    pub schema: u32,
    /// The program and its version.
    pub program: String,
    /// The model's name.
    pub model: String,
    /// The model's files.
    pub model_files: Vec<FileDigest>,
    /// The text.
    pub data: FileDigest,
    /// The model itself: its losses, window by window.
    pub original: Vec<WindowLoss>,
    /// What was measured, in the order in which it was asked for.
    pub rows: Vec<TrialRow>,
}

/// One recipe or checkpoint, measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialRow {
    /// Its name.
    pub name: String,
    /// Whose size it was made for: rows with the same group are compared.
    pub group: String,
    /// The rule that chose it.
    pub rule: String,
    /// Stored bits of a weight, scales included.
    pub bits_per_weight: f64,
    /// The divergence that the sketch predicts, in nats; none for a checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted_kl: Option<f64>,
    /// Covers everything that the numbers depend on: a row with the same key need not be measured again.
    #[serde(default)]
    pub key: String,
    /// What was measured, window by window.
    pub windows: Vec<WindowLoss>,
    /// How it answers a benchmark beside the model itself, where that was asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accuracy: Vec<PairedAccuracy>,
}

/// Accuracy of a compressed model beside the original's, on the same questions with the same seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairedAccuracy {
    /// The benchmark.
    pub benchmark: String,
    /// The rule by which outputs were read.
    pub rule: String,
    /// What is a mean: accuracy, EM or F1.
    pub metric: String,
    /// Questions that both answered.
    pub questions: usize,
    /// The original's mean, over all its outputs.
    pub original: f64,
    /// This one's.
    pub value: f64,
    /// This one's minus the original's, question by question.
    pub difference: f64,
    /// The interval of that by a bootstrap over questions.
    pub interval: Option<(f64, f64)>,
    /// The chance of such a difference, either way, if neither is better.
    pub p_value: f64,
    /// Covers model, questions and settings: with the same key nothing need be asked again.
    pub key: String,
}

/// What was measured on one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WindowLoss {
    /// Sum over predictions of the divergence from the model's own distribution, in nats.
    pub kl: f64,
    /// Sum over predictions of −log q(next token), in nats.
    pub loss: f64,
    /// Predictions.
    pub predictions: usize,
}

/// A mean with its interval by a bootstrap over windows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The mean.
    pub value: f64,
    /// Its interval; none with fewer than two windows.
    pub interval: Option<(f64, f64)>,
}

/// Mean of a quantity over the predictions of windows, each drawn so many times.
fn mean(windows: &[WindowLoss], times: &[f64], of: impl Fn(&WindowLoss) -> f64) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0.0);
    for (window, times) in windows.iter().zip(times) {
        sum += times * of(window);
        count += times * window.predictions as f64;
    }
    (count > 0.0).then(|| sum / count)
}

fn measured(windows: &[WindowLoss], statistic: impl Fn(&[f64]) -> Option<f64>) -> Option<Measured> {
    Some(Measured {
        value: statistic(&vec![1.0; windows.len()])?,
        interval: Bootstrap::default().interval(windows.len(), |times| statistic(&times)),
    })
}

/// Perplexity on some windows: exp of the mean loss.
pub fn perplexity(windows: &[WindowLoss]) -> Option<Measured> {
    measured(windows, |times| Some(mean(windows, times, |window| window.loss)?.exp()))
}

impl TrialRow {
    /// The mean divergence.
    pub fn kl(&self) -> Option<Measured> {
        measured(&self.windows, |times| mean(&self.windows, times, |window| window.kl))
    }

    /// This row's divergence over another's on the same windows, which are drawn together: the interval says whether one is really less.
    pub fn ratio(&self, other: &Self) -> Option<Measured> {
        if self.windows.len() != other.windows.len() {
            return None;
        }
        let of = |row: &Self, times: &[f64]| mean(&row.windows, times, |window| window.kl);
        measured(&self.windows, |times| {
            let below = of(other, times)?;
            (below > 0.0).then_some(of(self, times)? / below)
        })
    }
}

impl Trial {
    /// Reads `trial.json`.
    ///
    /// # Errors
    /// When the file is not one of these, was written by a later program, or holds what cannot have been measured.
    pub fn from_json(bytes: &[u8]) -> Result<Self, StudyError> {
        let read: Self = crate::read_versioned(bytes, TRIAL_FILE, TRIAL_SCHEMA)?;
        let windows = read.rows.iter().flat_map(|row| &row.windows).chain(&read.original);
        for (position, window) in windows.enumerate() {
            if !window.kl.is_finite() || !window.loss.is_finite() {
                return Err(StudyError::Value {
                    array: TRIAL_FILE.into(),
                    position,
                    value: if window.kl.is_finite() { window.loss } else { window.kl },
                });
            }
        }
        if let Some(row) = read.rows.iter().find(|row| row.windows.len() != read.original.len()) {
            return Err(StudyError::Shape {
                array: format!("{TRIAL_FILE}: {}", row.name),
                expected: vec![read.original.len()],
                found: format!("{} windows", row.windows.len()),
            });
        }
        Ok(read)
    }

    /// The bytes of `trial.json`.
    ///
    /// # Errors
    /// Never, in fact: every number is one that JSON has.
    pub fn to_json(&self) -> Result<Vec<u8>, StudyError> {
        crate::write_json(self, TRIAL_FILE)
    }

    /// Takes over what an earlier trial says of how the same recipes answer; they need not be asked again.
    pub fn keep_accuracies(&mut self, earlier: &Self) {
        for row in &mut self.rows {
            if let Some(known) = earlier.rows.iter().find(|known| known.key == row.key && !known.accuracy.is_empty()) {
                row.accuracy.clone_from(&known.accuracy);
            }
        }
    }

    /// The groups, in the order of their first rows.
    pub fn groups(&self) -> Vec<&str> {
        let mut groups: Vec<&str> = Vec::new();
        for row in &self.rows {
            if !groups.contains(&row.group.as_str()) {
                groups.push(&row.group);
            }
        }
        groups
    }

    /// The row of the least measured divergence among those of a group.
    pub fn best(&self, group: &str) -> Option<&TrialRow> {
        let kl = |row: &TrialRow| row.kl().map_or(f64::INFINITY, |kl| kl.value);
        self.rows.iter().filter(|row| row.group == group).min_by(|a, b| kl(a).total_cmp(&kl(b)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, kl: &[f64]) -> TrialRow {
        TrialRow {
            name: name.into(),
            group: "4.5".into(),
            rule: name.into(),
            bits_per_weight: 4.5,
            predicted_kl: None,
            key: String::new(),
            accuracy: Vec::new(),
            windows: kl
                .iter()
                .map(|kl| WindowLoss {
                    kl: 10.0 * kl,
                    loss: 20.0,
                    predictions: 10,
                })
                .collect(),
        }
    }

    #[test]
    fn pairs_of_windows_tell_what_means_alone_do_not() {
        // Windows differ much, but the first is 0.9 times the second on every one of them.
        let second = row("b", &[1.0, 4.0, 0.5, 8.0]);
        let first = row("a", &[0.9, 3.6, 0.45, 7.2]);
        let (kl, ratio) = (first.kl().unwrap(), first.ratio(&second).unwrap());
        assert!((kl.value - 3.0375).abs() < 1e-12);
        let (low, high) = kl.interval.unwrap();
        assert!(low < 2.0 && high > 5.0);
        let (low, high) = ratio.interval.unwrap();
        assert!((ratio.value - 0.9).abs() < 1e-12 && (low - 0.9).abs() < 1e-9 && (high - 0.9).abs() < 1e-9);
        assert!((perplexity(&first.windows).unwrap().value - 2f64.exp()).abs() < 1e-12);
        assert!(first.ratio(&row("c", &[1.0])).is_none());
    }

    #[test]
    fn a_file_reads_back_and_is_checked() {
        let mut trial = Trial {
            schema: TRIAL_SCHEMA,
            program: "cruxscope".into(),
            model: "m".into(),
            model_files: vec![],
            data: FileDigest::default(),
            original: row("", &[0.0, 0.0]).windows,
            rows: vec![row("a", &[1.0, 2.0]), row("b", &[0.5, 2.0])],
        };
        let bytes = |trial: &Trial| serde_json::to_vec(trial).unwrap();
        assert_eq!(Trial::from_json(&bytes(&trial)).unwrap(), trial);
        assert_eq!(trial.groups(), ["4.5"]);
        assert_eq!(trial.best("4.5").unwrap().name, "b");
        trial.rows[0].windows.pop();
        assert!(Trial::from_json(&bytes(&trial)).unwrap_err().to_string().contains("a"));
        trial.rows.remove(0);
        trial.schema = TRIAL_SCHEMA + 1;
        assert!(matches!(Trial::from_json(&bytes(&trial)).unwrap_err(), StudyError::NewerSchema { .. }));
    }
}
