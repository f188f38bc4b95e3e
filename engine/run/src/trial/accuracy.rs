//! Answers of recipes' models to a benchmark, beside the original's: the same questions with the same seeds, compared in pairs.
//!
//! A recipe's model is written as `compress` writes it and taken away once it has answered. Samples stay in the study, each whole before it
//! counts, so that a run that was stopped goes on.

use std::path::Path;

use cruxscope_benchmark::samples::Outputs;
use cruxscope_benchmark::scoring::{BenchmarkScore, compare};
use cruxscope_checkpoint::writer::StoredAs;
use cruxscope_sensitivity::recipe::recipe_of;
use cruxscope_statistics::{Bootstrap, Cluster, clustered_mean};
use cruxscope_study::{Digest, PairedAccuracy, Trial};

use super::{Entry, OpenTrial, Subject};
use crate::compress::{Basis, CompressSettings, Compression};
use crate::native::NativeSettings;
use crate::questions::Questions;
use crate::sampling::Answers;
use crate::{Observer, RunError};

/// The folder of samples in a study.
const SAMPLES: &str = "trial-samples";
/// The folder of the model that is answering.
const MODELS: &str = ".trial-models";

impl OpenTrial {
    /// Has the models of some rows answer, and adds to these rows of the trial, which is written again, how they do beside the model itself.
    ///
    /// # Errors
    /// When a dataset cannot be read, a row's formats are no methods of this program, a model cannot be written or run, or the observer says
    /// stop; what was answered stays.
    pub fn answer(&self, trial: &mut Trial, entries: &[Entry], rows: &[usize], settings: &Questions, observer: &mut dyn Observer) -> Result<(), RunError> {
        let settings_key = settings.key()?;
        let key = |row: &str| Digest::of(format!("{} {row} {settings_key}", self.key).as_bytes()).0;
        let mut original = None;
        for place in rows {
            let (row, entry) = (&trial.rows[*place], &entries[*place]);
            let own = key(&row.key);
            if row.accuracy.iter().any(|accuracy| accuracy.key == own) {
                continue;
            }
            let before = match &original {
                Some(known) => known,
                None => original.insert(self.scores(&self.settings.model, &key("original"), settings, observer)?),
            };
            let after = match &entry.subject {
                Subject::Checkpoint(path) => self.scores(path, &own, settings, observer)?,
                // `compress` writes no copy of a model.
                Subject::Recipe(choice) if choice.iter().all(Option::is_none) => self.scores(&self.settings.model, &own, settings, observer)?,
                Subject::Recipe(choice) => {
                    let refuse = || RunError::Recipe {
                        why: format!(
                            "{} holds formats of other programs' files, which cannot be written here: give the checkpoint with --checkpoint",
                            entry.name
                        ),
                    };
                    let recipe = recipe_of(&self.sensitivity, choice)?.ok_or_else(refuse)?;
                    let model = self.results().join(MODELS).join(&own[..24]);
                    let compress = CompressSettings {
                        model: self.settings.model.clone(),
                        out: model.clone(),
                        recipe,
                        calibration: self.settings.calibration.clone(),
                        stored_as: StoredAs::BFloat16,
                        packed: None,
                        basis: Basis::Original,
                    };
                    Compression::prepare(&compress)?.run(observer)?;
                    let scores = self.scores(&model, &own, settings, observer)?;
                    // Its samples stay; a leftover is only untidy.
                    std::fs::remove_dir_all(&model).ok();
                    std::fs::remove_dir(self.results().join(MODELS)).ok();
                    scores
                }
            };
            trial.rows[*place].accuracy = before.iter().zip(&after).flat_map(|(before, after)| accuracies(before, after, &own)).collect();
            self.save(trial)?;
        }
        Ok(())
    }

    /// What a model answers, sampled where it is not there yet, and scored by the usual rule of each benchmark.
    fn scores(&self, model: &Path, key: &str, settings: &Questions, observer: &mut dyn Observer) -> Result<Vec<BenchmarkScore>, RunError> {
        let samples = self.results().join(SAMPLES);
        std::fs::create_dir_all(&samples).map_err(|source| RunError::Io {
            attempt: "create",
            path: samples.clone(),
            source,
        })?;
        let out = samples.join(format!("{}.jsonl", &key[..24]));
        let answers = Answers::Native(NativeSettings {
            checkpoint: model.to_owned(),
            device: self.settings.device.clone(),
        });
        settings.sample(answers, &model.display().to_string(), &out, observer)?;
        settings.scores(&Outputs::read(&out)?, observer)
    }
}

fn accuracies(before: &BenchmarkScore, after: &BenchmarkScore, key: &str) -> Vec<PairedAccuracy> {
    let mean = |score: &BenchmarkScore, metric: &str| {
        let value = |judged: &cruxscope_benchmark::scoring::Judged| {
            if metric == "F1" {
                judged.verdict.f1.unwrap_or(0.0)
            } else {
                f64::from(u8::from(judged.verdict.correct))
            }
        };
        let all = Cluster {
            sum: score.verdicts.iter().map(value).sum(),
            count: score.verdicts.len(),
        };
        clustered_mean(&[all]).unwrap_or(0.0)
    };
    compare(before, after, &Bootstrap::default())
        .into_iter()
        .map(|found| PairedAccuracy {
            benchmark: before.benchmark.title().to_owned(),
            original: mean(before, &found.metric),
            value: mean(after, &found.metric),
            rule: found.rule,
            metric: found.metric,
            questions: found.test.questions,
            difference: found.test.difference,
            interval: found.test.interval,
            p_value: found.test.p_value,
            key: key.to_owned(),
        })
        .collect()
}
