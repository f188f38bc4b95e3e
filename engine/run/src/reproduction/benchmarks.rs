//! What every model of the chain answers to benchmarks, and its scores.

use std::path::PathBuf;

use cruxscope_benchmark::endpoint::EndpointSettings;
use cruxscope_benchmark::results::{Heading, scores_of};
use cruxscope_benchmark::samples::Outputs;
use cruxscope_checkpoint::Checkpoint;
use cruxscope_study::{RESULTS_SCHEMA, Results};

use super::{Reproduction, Step, Subject};
use crate::native::NativeSettings;
use crate::questions::Questions;
use crate::sampling::Answers;
use crate::{Observer, RunError};

/// The folder of samples.
const SAMPLES: &str = "samples";
/// The file of scores.
pub(super) const RESULTS: &str = "benchmarks.json";

/// A model of the chain that an endpoint serves.
#[derive(Clone, Debug)]
pub struct ServedModel {
    /// The model's name in the chain: `original`, `base`, or the folder of a compressed one.
    pub subject: String,
    /// Where it is served, and under which name.
    pub endpoint: EndpointSettings,
}

/// Benchmarks that every model of the chain answers.
#[derive(Clone, Debug)]
pub struct BenchmarkSettings {
    /// What is asked, and how.
    pub questions: Questions,
    /// Models that endpoints serve; the others answer here.
    pub served: Vec<ServedModel>,
}

impl BenchmarkSettings {
    /// Refuses endpoints of models that no step asks.
    pub(super) fn check(&self, steps: &[Step]) -> Result<(), RunError> {
        let asked: Vec<&str> = steps
            .iter()
            .filter_map(|step| match step {
                Step::Benchmark { subject } => Some(subject.name()),
                _ => None,
            })
            .collect();
        match self.served.iter().find(|served| !asked.contains(&served.subject.as_str())) {
            None => Ok(()),
            Some(served) => Err(RunError::Recipe {
                why: format!("no model of the chain is named {}; there are {}", served.subject, asked.join(", ")),
            }),
        }
    }

    /// Covers what answers depend on; where a model is served may change.
    pub(super) fn key(&self) -> Result<String, RunError> {
        let mut words = self.questions.key()?;
        for served in &self.served {
            words += &format!(" {} {}", served.subject, served.endpoint.model);
        }
        Ok(words)
    }
}

impl Reproduction {
    fn samples(&self, subject: &Subject) -> PathBuf {
        self.settings.out.join(SAMPLES).join(format!("{}.jsonl", subject.name()))
    }

    /// Asks a model.
    pub(super) fn sample(&self, subject: &Subject, observer: &mut dyn Observer) -> Result<(), RunError> {
        // The step is there only with benchmarks.
        let Some(benchmarks) = &self.settings.benchmarks else { return Ok(()) };
        let folder = self.settings.out.join(SAMPLES);
        std::fs::create_dir_all(&folder).map_err(|source| RunError::Io {
            attempt: "create",
            path: folder,
            source,
        })?;
        let served = benchmarks.served.iter().find(|served| served.subject == subject.name());
        let answers = match served {
            Some(served) => Answers::Endpoint(served.endpoint.clone()),
            None => Answers::Native(NativeSettings {
                checkpoint: self.model(subject),
                device: self.settings.device.clone(),
            }),
        };
        benchmarks.questions.sample(answers, subject.name(), &self.samples(subject), observer)
    }

    /// The scores of all models that were asked.
    pub(super) fn scored(&self, observer: &dyn Observer) -> Result<Option<Results>, RunError> {
        let Some(benchmarks) = &self.settings.benchmarks else { return Ok(None) };
        let original = Checkpoint::open(&self.settings.model)?.name();
        let mut results = Results {
            schema: RESULTS_SCHEMA,
            title: format!("Benchmarks of {original} and what was made of it"),
            source: "cruxscope reproduce paper".into(),
            program: format!("cruxscope {}", env!("CARGO_PKG_VERSION")),
            ..Results::default()
        };
        for step in &self.steps {
            let Step::Benchmark { subject } = step else { continue };
            let (mut model, mut compression, mut setting) = (original.clone(), "", "");
            match subject {
                Subject::Original => {}
                Subject::Base => model = Checkpoint::open(&self.model(subject))?.name(),
                Subject::Compressed(wanted) => {
                    let made = self.steps.iter().find_map(|step| match step {
                        Step::Compress { name, label, .. } if name == wanted => Some(label),
                        _ => None,
                    });
                    if let Some((words, apart)) = made {
                        (compression, setting) = (words, apart);
                    }
                }
            }
            let outputs = Outputs::read(&self.samples(subject))?;
            let heading = Heading {
                experiment: "Benchmarks",
                model: &model,
                compression,
                setting,
            };
            for score in benchmarks.questions.scores(&outputs, observer)? {
                results.scores.extend(scores_of(&score, &outputs, &heading));
            }
        }
        Ok(Some(results))
    }
}
