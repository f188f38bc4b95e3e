//! Sampling: every question, every pass, each exactly once, whatever happens on the way.
//!
//! [`SamplingPlan`] says which samples are wanted; [`SamplingPlan::collect`] makes those that are missing, several at once,
//! and appends each the moment it is whole. What failed is summarised and is simply still missing: the same command again
//! asks for it again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::analyses::Collapse;
use crate::datasets::Dataset;
use crate::error::BenchmarkError;
use crate::generator::{Engine, FailureKind, GenerateError, Generator, Heard, Interruption, ModelIdentity, Request, SamplingSettings};
use crate::prompts::{Prompt, PromptStyle};
use crate::samples::{FailureRecord, Opened, Sample, SampleKey, SampleLog, SampleOrigin};

/// One wanted sample.
#[derive(Clone, Debug, PartialEq)]
pub struct WantedSample {
    /// Its key.
    pub key: SampleKey,
    /// The question.
    pub id: String,
    /// What the model is given.
    pub prompt: Prompt,
    /// Which pass, from 1.
    pub pass: u32,
    /// Its seed.
    pub seed: u64,
}

/// The samples that are wanted of one generator.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplingPlan {
    /// The model.
    pub model: ModelIdentity,
    /// What makes its text.
    pub engine: Engine,
    /// How text is sampled.
    pub settings: SamplingSettings,
    /// All of them: pass by pass, in the datasets' order.
    pub wanted: Vec<WantedSample>,
}

/// One sample that could not be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SamplingFailure {
    /// The question.
    pub id: String,
    /// The pass.
    pub pass: u32,
    /// What kind of thing went wrong.
    pub kind: FailureKind,
    /// What the generator said.
    pub message: String,
    /// How many times it was asked.
    pub attempts: u32,
}

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SamplingReport {
    /// Samples that are wanted.
    pub wanted: usize,
    /// Of these, made by earlier runs.
    pub kept: usize,
    /// Of these, made now.
    pub made: usize,
    /// Samples made now for which the generator had to be asked more than once.
    pub retried: usize,
    /// What failed, in the plan's order.
    pub failures: Vec<SamplingFailure>,
    /// Models that answers name other than the one that was asked, and how many of the samples made now each wrote.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub other_models: BTreeMap<String, usize>,
    /// Why the run ended before its time, if it did.
    pub ended_early: Option<String>,
}

impl SamplingReport {
    /// Samples that are still missing.
    pub fn missing(&self) -> usize {
        self.wanted - self.kept - self.made
    }

    /// Failures by kind: how many, and what the first said.
    pub fn failures_by_kind(&self) -> BTreeMap<FailureKind, (usize, &str)> {
        let mut kinds = BTreeMap::new();
        for failure in &self.failures {
            kinds.entry(failure.kind).or_insert((0, failure.message.as_str())).0 += 1;
        }
        kinds
    }
}

/// What happens while samples are made.
#[derive(Clone, Copy, Debug)]
pub enum SamplingEvent<'a> {
    /// A sample was made and is on disk.
    Made {
        /// The sample.
        sample: &'a Sample,
        /// Samples that are there, of all that are wanted.
        done: usize,
    },
    /// A sample could not be made.
    Failed(&'a SamplingFailure),
}

impl SamplingPlan {
    /// Every question of some datasets, `passes` times. The seed of a pass is `seed + pass - 1`: the passes differ, and a
    /// pass that is added later leaves the others as they are.
    ///
    /// # Errors
    ///
    /// If a prompt cannot be made, or there is nothing to do.
    pub fn new(
        generator: &dyn Generator,
        datasets: &[Dataset],
        style: &PromptStyle,
        settings: &SamplingSettings,
        passes: u32,
        seed: u64,
    ) -> Result<Self, BenchmarkError> {
        let (model, engine) = (generator.model(), generator.engine());
        let mut prompts = Vec::new();
        let mut ids = BTreeSet::new();
        for question in datasets.iter().flat_map(|dataset| &dataset.questions) {
            if !ids.insert(question.id.as_str()) {
                return Err(BenchmarkError::Setting {
                    setting: "the list of datasets",
                    value: "ambiguous".into(),
                    rule: format!("{} stands in two of them; give each dataset once", question.id),
                });
            }
            prompts.push((question.id.as_str(), style.prompt(question)?));
        }
        if prompts.is_empty() || passes == 0 {
            return Err(BenchmarkError::Nothing {
                what: "there is nothing to sample: no question, or no pass".into(),
            });
        }
        let mut wanted = Vec::with_capacity(prompts.len() * passes as usize);
        for pass in 1..=passes {
            let seed = seed.wrapping_add(u64::from(pass) - 1);
            for (id, prompt) in &prompts {
                let origin = SampleOrigin {
                    model: &model,
                    engine: &engine,
                    id,
                    prompt,
                    settings,
                    pass,
                    seed,
                };
                wanted.push(WantedSample {
                    key: origin.key(),
                    id: (*id).to_owned(),
                    prompt: prompt.clone(),
                    pass,
                    seed,
                });
            }
        }
        Ok(Self {
            model,
            engine,
            settings: settings.clone(),
            wanted,
        })
    }

    /// The wanted samples that are not there.
    pub fn missing<'a>(&'a self, opened: &'a Opened) -> impl Iterator<Item = &'a WantedSample> {
        self.wanted.iter().filter(|wanted| !opened.keys.contains(&wanted.key))
    }

    /// Makes what is missing, at most `parallel` samples at once, and tells `observe`, on this thread. Between events
    /// `stop` is asked whether to stop: what is under way is broken off then.
    ///
    /// # Errors
    ///
    /// If a sample cannot be written, or a generator panics: then nothing more is asked for. What the generator refuses is no error
    /// but part of the report.
    pub fn collect(
        &self,
        generator: &dyn Generator,
        log: &SampleLog,
        opened: &Opened,
        parallel: usize,
        stop: &dyn Fn() -> bool,
        observe: &mut dyn FnMut(SamplingEvent<'_>),
    ) -> Result<SamplingReport, BenchmarkError> {
        let missing: Vec<&WantedSample> = self.missing(opened).collect();
        let mut report = SamplingReport {
            wanted: self.wanted.len(),
            kept: self.wanted.len() - missing.len(),
            ..SamplingReport::default()
        };
        let parallel = parallel.clamp(1, missing.len().max(1));
        let next = AtomicUsize::new(0);
        let halted = AtomicBool::new(false);
        // Without a queue: a worker that is done waits until its sample is being written, so that no more than one sample a
        // worker, and the one being written, can ever be lost.
        let (sender, receiver) = mpsc::sync_channel(0);
        let mut failed_to_write = None;
        let mut in_a_row = 0;
        std::thread::scope(|scope| {
            // Where this thread unwinds, workers that wait to hand over a sample must not wait for ever.
            let receiver = receiver;
            let _unwinding = HaltOnDrop(&halted);
            for _ in 0..parallel {
                let sender = sender.clone();
                let (next, halted, missing) = (&next, &halted, &missing);
                scope.spawn(move || {
                    while !halted.load(Ordering::SeqCst) {
                        let Some(wanted) = missing.get(next.fetch_add(1, Ordering::SeqCst)) else {
                            break;
                        };
                        let made = catch(|| self.make(generator, wanted, halted));
                        // At once, so that the other threads do not ask in vain as well.
                        if made.as_ref().is_err_and(|error| error.kind.ends_the_run()) {
                            halted.store(true, Ordering::SeqCst);
                        }
                        if sender.send((*wanted, made)).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(sender);
            loop {
                if stop() && !halted.swap(true, Ordering::SeqCst) {
                    report.ended_early.get_or_insert_with(|| "stopped".into());
                }
                let (wanted, made) = match receiver.recv_timeout(Duration::from_millis(100)) {
                    Ok(outcome) => outcome,
                    Err(mpsc::RecvTimeoutError::Timeout) => continue,
                    Err(mpsc::RecvTimeoutError::Disconnected) => break,
                };
                match made {
                    Ok(sample) => {
                        // Only the thread that counts writes, so what is counted is on disk.
                        if let Err(error) = log.append(&sample) {
                            halted.store(true, Ordering::SeqCst);
                            failed_to_write.get_or_insert(error);
                            continue;
                        }
                        report.made += 1;
                        in_a_row = 0;
                        report.retried += usize::from(sample.attempts > 1);
                        if let Some(model) = &sample.answered_by {
                            *report.other_models.entry(model.clone()).or_default() += 1;
                        }
                        observe(SamplingEvent::Made {
                            sample: &sample,
                            done: report.kept + report.made,
                        });
                    }
                    Err(GenerateError {
                        kind: FailureKind::Stopped, ..
                    }) => {}
                    Err(GenerateError {
                        kind: FailureKind::Internal,
                        message,
                        ..
                    }) => {
                        halted.store(true, Ordering::SeqCst);
                        failed_to_write.get_or_insert(BenchmarkError::Internal { what: message });
                    }
                    Err(error) => {
                        if let Err(error) = self.note(log, wanted, &error) {
                            halted.store(true, Ordering::SeqCst);
                            failed_to_write.get_or_insert(error);
                        }
                        // A prompt that is too long says nothing of the next one, once anything was made.
                        in_a_row += usize::from(report.made == 0 || error.kind.is_transient());
                        if let Some(why) = hopeless(&error, in_a_row, parallel) {
                            halted.store(true, Ordering::SeqCst);
                            report.ended_early.get_or_insert(why);
                        }
                        let failure = SamplingFailure {
                            id: wanted.id.clone(),
                            pass: wanted.pass,
                            kind: error.kind,
                            message: error.message,
                            attempts: error.attempts,
                        };
                        observe(SamplingEvent::Failed(&failure));
                        report.failures.push(failure);
                    }
                }
            }
        });
        if let Some(error) = failed_to_write {
            return Err(error);
        }
        let order: BTreeMap<(&str, u32), usize> = self
            .wanted
            .iter()
            .enumerate()
            .map(|(place, wanted)| ((wanted.id.as_str(), wanted.pass), place))
            .collect();
        report.failures.sort_by_key(|failure| order.get(&(failure.id.as_str(), failure.pass)).copied());
        Ok(report)
    }

    /// Writes a failure down, where it says something of the model and the question.
    fn note(&self, log: &SampleLog, wanted: &WantedSample, error: &GenerateError) -> Result<(), BenchmarkError> {
        if !error.kind.is_kept() {
            return Ok(());
        }
        log.note(&FailureRecord {
            failed: wanted.key.clone(),
            id: wanted.id.clone(),
            pass: wanted.pass,
            model: self.model.clone(),
            kind: error.kind,
            message: error.message.clone(),
            attempts: error.attempts,
        })
    }

    /// Makes one sample.
    fn make(&self, generator: &dyn Generator, wanted: &WantedSample, halted: &AtomicBool) -> Result<Sample, GenerateError> {
        let begun = Instant::now();
        let request = Request {
            prompt: &wanted.prompt,
            settings: &self.settings,
            seed: wanted.seed,
        };
        let mut heard = String::new();
        let mut checked = 0;
        let mut watch = |event: Heard<'_>| {
            if halted.load(Ordering::SeqCst) {
                return ControlFlow::Break(Interruption::Stop);
            }
            if self.settings.stop_on_collapse {
                match event {
                    Heard::Beginning => (heard, checked) = (String::new(), 0),
                    Heard::Text(piece) => heard.push_str(piece),
                    Heard::Waiting => {}
                }
                // Compressing a few kilobytes for every token would cost more than it saves.
                if heard.len() >= checked + 1024 {
                    checked = heard.len();
                    if Collapse::of(&heard).is_collapsed() {
                        return ControlFlow::Break(Interruption::Collapse);
                    }
                }
            }
            ControlFlow::Continue(())
        };
        let generation = generator.generate(&request, &mut watch)?;
        let origin = SampleOrigin {
            model: &self.model,
            engine: &self.engine,
            id: &wanted.id,
            prompt: &wanted.prompt,
            settings: &self.settings,
            pass: wanted.pass,
            seed: wanted.seed,
        };
        Ok(Sample {
            prompt_begin: generator.prompt_begin(),
            ..Sample::new(origin, generation, begun.elapsed().as_secs_f64())
        })
    }
}

/// Halts the workers when the thread that listens to them goes, in whatever way.
struct HaltOnDrop<'a>(&'a AtomicBool);

impl Drop for HaltOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A panic as a failure of this program, so that it ends the run rather than one worker.
fn catch(make: impl FnOnce() -> Result<Sample, GenerateError>) -> Result<Sample, GenerateError> {
    std::panic::catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(GenerateError {
            kind: FailureKind::Internal,
            message: format!("a worker failed: {}", said.unwrap_or_else(|| "it gave no reason".into())),
            attempts: 1,
        })
    })
}

/// Why there is no point in going on, if there is none: a failure that all others would share, or many in a row, each of
/// which was tried several times already.
fn hopeless(error: &GenerateError, in_a_row: usize, parallel: usize) -> Option<String> {
    if error.kind.ends_the_run() {
        return Some(error.to_string());
    }
    (in_a_row >= (2 * parallel).max(8)).then(|| format!("{in_a_row} samples in a row failed; the last: {error}"))
}
