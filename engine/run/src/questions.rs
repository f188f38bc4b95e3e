//! Questions of benchmarks that several models answer alike, with the same seeds, and how each does.

use std::path::{Path, PathBuf};

use cruxscope_benchmark::generator::SamplingSettings;
use cruxscope_benchmark::samples::Outputs;
use cruxscope_benchmark::scoring::{BenchmarkScore, Rule, ScoreSettings, score};
use cruxscope_interpret::InterpretError;
use cruxscope_study::folder;

use crate::sampling::{Answers, DatasetSource, PlannedSampling, PromptChoice, SamplingConfiguration};
use crate::{Observer, RunError};

/// What is asked, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Questions {
    /// Datasets as published.
    pub datasets: Vec<PathBuf>,
    /// Maximum number of questions of each.
    pub first: Option<usize>,
    /// Samples per question.
    pub passes: u32,
    /// How text is sampled.
    pub sampling: SamplingSettings,
    /// Seed of the first pass.
    pub seed: u64,
    /// How prompts are made.
    pub prompt: PromptChoice,
    /// Samples under way at once.
    pub parallel: usize,
}

impl Questions {
    /// Covers everything that outputs of a model depend on.
    pub(crate) fn key(&self) -> Result<String, RunError> {
        let mut words = format!(
            "accuracy 1 {:?} {} {:?} {} {:?}",
            self.first, self.passes, self.sampling, self.seed, self.prompt
        );
        for path in &self.datasets {
            words += &folder::digest_of_file(path)?.sha256.0;
        }
        Ok(words)
    }

    /// Outputs that a model is asked for.
    pub(crate) fn count(&self) -> Result<usize, RunError> {
        let mut questions = 0;
        for path in &self.datasets {
            let count = DatasetSource::File(path.clone()).read(&|| false)?.questions.len();
            questions += self.first.map_or(count, |most| most.min(count));
        }
        Ok(questions * self.passes as usize)
    }

    /// Samples what a model answers into a file, where it is not there yet. `model` is how an error names it.
    pub(crate) fn sample(&self, answers: Answers, model: &str, out: &Path, observer: &mut dyn Observer) -> Result<(), RunError> {
        let configuration = SamplingConfiguration {
            datasets: self.datasets.iter().cloned().map(DatasetSource::File).collect(),
            first: self.first,
            retrieval: None,
            prompt: self.prompt.clone(),
            answers,
            sampling: self.sampling.clone(),
            passes: self.passes,
            seed: self.seed,
            parallel: self.parallel,
            out: out.to_owned(),
        };
        let report = PlannedSampling::new(&configuration, observer)?.run(observer)?;
        if observer.stop() {
            return Err(InterpretError::Cancelled.into());
        }
        if report.missing() > 0 {
            return Err(RunError::AnswersMissing {
                model: model.to_owned(),
                missing: report.missing(),
            });
        }
        Ok(())
    }

    /// How a model that gave these outputs does on each dataset, by the usual rule of its benchmark.
    pub(crate) fn scores(&self, outputs: &Outputs, observer: &dyn Observer) -> Result<Vec<BenchmarkScore>, RunError> {
        let mut scores = Vec::new();
        for source in self.datasets.iter().cloned().map(DatasetSource::File) {
            let mut dataset = source.read(&|| observer.stop())?;
            if let Some(count) = self.first {
                dataset = dataset.first(count);
            }
            let rule = Rule::default_of(dataset.benchmark);
            scores.push(score(&dataset, outputs, rule, &ScoreSettings::default()));
        }
        Ok(scores)
    }
}
