//! Benchmarks from end to end: datasets and an endpoint, or a model of one's own, into a file of samples, whatever happens on the way.
//!
//! A plan says what is wanted and what is there; the run makes what is missing. Samples are safe the moment they are whole,
//! so a run that ends early, or is ended, goes on with the same command.

mod collect;
mod sources;

use std::path::PathBuf;

use cruxscope_benchmark::BenchmarkError;
use cruxscope_benchmark::datasets::Benchmark;
use cruxscope_benchmark::endpoint::{Endpoint, EndpointSettings};
use cruxscope_benchmark::generator::{Generator, SamplingSettings};
use cruxscope_benchmark::prompts::PromptStyle;
use cruxscope_benchmark::samples::{Opened, SampleLog};
use cruxscope_benchmark::sampling::{SamplingPlan, SamplingReport};

pub(crate) use self::collect::collect;
pub use self::sources::{DatasetSource, PromptChoice, Retrieval};
use crate::native::{self, Beginning, NativeGenerator, NativeModel, NativeSettings};
use crate::{Observer, RunError};

/// Who answers.
#[derive(Clone, Debug)]
pub enum Answers {
    /// An endpoint.
    Endpoint(EndpointSettings),
    /// The program itself, with a checkpoint.
    Native(NativeSettings),
}

/// Who answers, once it is there.
#[derive(Debug)]
enum Answerer {
    Endpoint(Box<Endpoint>),
    Native(Box<NativeGenerator>, NativeModel),
}

impl Answerer {
    fn generator(&self) -> &dyn Generator {
        match self {
            Self::Endpoint(endpoint) => &**endpoint,
            Self::Native(generator, _) => &**generator,
        }
    }
}

/// What a run is asked to do.
#[derive(Clone, Debug)]
pub struct SamplingConfiguration {
    /// The datasets.
    pub datasets: Vec<DatasetSource>,
    /// Maximum number of questions of each.
    pub first: Option<usize>,
    /// Passages for the questions, if any.
    pub retrieval: Option<Retrieval>,
    /// How prompts are made.
    pub prompt: PromptChoice,
    /// Who answers.
    pub answers: Answers,
    /// How text is sampled.
    pub sampling: SamplingSettings,
    /// Passes over the questions.
    pub passes: u32,
    /// Seed of the first pass.
    pub seed: u64,
    /// Samples under way at once.
    pub parallel: usize,
    /// The file of samples.
    pub out: PathBuf,
}

/// A run whose plan is known. Nothing is written before it runs.
#[derive(Debug)]
pub struct PlannedSampling {
    /// What is wanted.
    pub plan: SamplingPlan,
    /// What is there.
    pub opened: Opened,
    /// Questions by benchmark.
    pub questions: Vec<(Benchmark, usize)>,
    answerer: Answerer,
    out: PathBuf,
    parallel: usize,
}

impl PlannedSampling {
    /// Reads datasets, makes prompts, looks into the file of samples. Nothing is asked of the endpoint, except vectors of passages
    /// where those are wanted; of a checkpoint everything but the weights is read.
    ///
    /// # Errors
    ///
    /// If a dataset, template or setting cannot be used, or the file holds something else than samples.
    pub fn new(configuration: &SamplingConfiguration, observer: &mut dyn Observer) -> Result<Self, RunError> {
        check(&configuration.sampling)?;
        if configuration.parallel == 0 {
            return Err(setting("the number of samples at once", "0", "at least one is needed"));
        }
        let whole = matches!(&configuration.answers, Answers::Endpoint(endpoint) if !endpoint.stream);
        if configuration.sampling.stop_on_collapse && whole {
            return Err(setting(
                "stopping on collapse",
                "on",
                "that needs a stream: a whole answer cannot be ended early",
            ));
        }
        let read = |source: &DatasetSource| source.read(&|| observer.stop());
        let mut datasets = configuration.datasets.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        if let Some(count) = configuration.first {
            datasets = datasets.into_iter().map(|dataset| dataset.first(count)).collect();
        }
        if let Some(retrieval) = &configuration.retrieval {
            let stop = || observer.stop();
            datasets = datasets.iter().map(|dataset| retrieval.equip(dataset, &stop)).collect::<Result<_, _>>()?;
        }
        let style = configuration.prompt.style()?;
        if matches!((&configuration.answers, &style), (Answers::Native(_), PromptStyle::Messages)) {
            return Err(setting(
                "prompts as messages",
                "on",
                "a checkpoint continues text: give its chat template, or take raw prompts",
            ));
        }
        let answerer = match &configuration.answers {
            Answers::Endpoint(settings) => Answerer::Endpoint(Box::new(Endpoint::new(settings.clone())?)),
            Answers::Native(settings) => {
                let (generator, model) = native::open(settings, observer)?;
                let beginning = match &style {
                    PromptStyle::Chat(template) => Beginning::Template(template.beginning()?),
                    _ => Beginning::Tokenizer,
                };
                Answerer::Native(Box::new(generator.beginning(beginning)?), model)
            }
        };
        let plan = SamplingPlan::new(
            answerer.generator(),
            &datasets,
            &style,
            &configuration.sampling,
            configuration.passes,
            configuration.seed,
        )?;
        Ok(Self {
            opened: SampleLog::inspect(&configuration.out)?,
            plan,
            questions: datasets.iter().map(|dataset| (dataset.benchmark, dataset.questions.len())).collect(),
            answerer,
            out: configuration.out.clone(),
            parallel: configuration.parallel,
        })
    }

    /// Wanted samples that are not there.
    pub fn missing(&self) -> usize {
        self.plan.missing(&self.opened).count()
    }

    /// Makes what is missing.
    ///
    /// # Errors
    ///
    /// If another run writes the file, a sample cannot be written, or the program's own model cannot be run. What an endpoint refuses is part of the report.
    pub fn run(self, observer: &mut dyn Observer) -> Result<SamplingReport, RunError> {
        let Self {
            plan, out, parallel, answerer, ..
        } = self;
        // Another run may have written since the plan was made.
        let (log, opened) = SampleLog::open(&out)?;
        match answerer {
            Answerer::Endpoint(endpoint) => collect(&plan, &*endpoint, &log, &opened, parallel, observer),
            // With nothing to do the weights need not be read.
            Answerer::Native(generator, _) if plan.missing(&opened).next().is_none() => collect(&plan, &*generator, &log, &opened, parallel, observer),
            Answerer::Native(generator, model) => std::thread::scope(|scope| {
                let running = scope.spawn(move || model.run(parallel));
                let report = collect(&plan, &*generator, &log, &opened, parallel, observer);
                // The model runs for as long as somebody may ask it.
                drop(generator);
                let ran = running.join().unwrap_or_else(|_| {
                    let what = "the thread that runs the model failed".into();
                    Err(BenchmarkError::Internal { what }.into())
                });
                ran.and(report)
            }),
        }
    }
}

/// Refuses settings that make no sense, before anything is asked.
fn check(sampling: &SamplingSettings) -> Result<(), RunError> {
    if !sampling.temperature.is_finite() || sampling.temperature < 0.0 {
        return Err(setting("the temperature", &sampling.temperature.to_string(), "it must be 0 or more"));
    }
    if !(sampling.top_p > 0.0 && sampling.top_p <= 1.0) {
        return Err(setting("top-p", &sampling.top_p.to_string(), "it must be above 0 and at most 1"));
    }
    if sampling.max_new_tokens == 0 {
        return Err(setting("the number of new tokens", "0", "at least one is needed"));
    }
    Ok(())
}

fn setting(setting: &'static str, value: &str, rule: &'static str) -> RunError {
    RunError::Setting {
        setting,
        value: value.to_owned(),
        rule,
    }
}

impl From<BenchmarkError> for RunError {
    fn from(error: BenchmarkError) -> Self {
        match error {
            BenchmarkError::Lines(error) => Self::Trace(error),
            BenchmarkError::Study(error) => Self::Study(error),
            other => Self::Benchmark(Box::new(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use cruxscope_benchmark::endpoint::Interface;

    use super::*;
    use crate::Silent;

    fn configuration(folder: &std::path::Path) -> SamplingConfiguration {
        let data = folder.join("data.jsonl");
        std::fs::write(
            &data,
            "{\"input\": \"When?\", \"target\": \"(A)\"}\n{\"input\": \"Where?\", \"target\": \"(B)\"}\n",
        )
        .unwrap();
        // Nobody listens at the discard port.
        let mut endpoint = EndpointSettings::new("http://127.0.0.1:9/v1", Interface::Completions, "tiny");
        endpoint.retry.attempts = 1;
        SamplingConfiguration {
            datasets: vec![DatasetSource::File(data)],
            first: None,
            retrieval: None,
            prompt: PromptChoice::Raw,
            answers: Answers::Endpoint(endpoint),
            sampling: SamplingSettings::default(),
            passes: 3,
            seed: 1,
            parallel: 2,
            out: folder.join("samples.jsonl"),
        }
    }

    #[test]
    fn a_plan_says_what_is_wanted_and_a_dead_endpoint_is_a_report() {
        let folder = tempfile::tempdir().unwrap();
        let planned = PlannedSampling::new(&configuration(folder.path()), &mut Silent).unwrap();
        assert_eq!(
            (planned.plan.wanted.len(), planned.missing(), planned.questions.clone()),
            (6, 6, vec![(Benchmark::Temporal, 2)])
        );
        let report = planned.run(&mut Silent).unwrap();
        assert_eq!((report.made, report.missing(), report.failures.len()), (0, 6, 6));
    }

    #[test]
    fn settings_that_make_no_sense_are_refused_before_anything_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let wrong: [fn(&mut SamplingConfiguration); 6] = [
            |configuration| configuration.sampling.temperature = f64::NAN,
            |configuration| configuration.sampling.top_p = 0.0,
            |configuration| configuration.sampling.max_new_tokens = 0,
            |configuration| configuration.parallel = 0,
            |configuration| configuration.passes = 0,
            |configuration| {
                configuration.sampling.stop_on_collapse = true;
                if let Answers::Endpoint(endpoint) = &mut configuration.answers {
                    endpoint.stream = false;
                }
            },
        ];
        for change in wrong {
            let mut configuration = configuration(folder.path());
            change(&mut configuration);
            assert!(PlannedSampling::new(&configuration, &mut Silent).unwrap_err().is_user_error());
            assert!(!configuration.out.exists(), "nothing is written either");
        }
    }
}
