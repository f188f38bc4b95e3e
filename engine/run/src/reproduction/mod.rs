//! The paper's whole chain for one pair of models: importance, distillation shift, quantization and pruning shift, selective and
//! protected quantization, damage of each matrix, sensitivity; in the end a collection with a tour and its ledger.
//!
//! Every step is one of the other pipelines, which resume by themselves; which steps are done stands in `reproduction.json`, written
//! after each, so that a run that was stopped goes on with the first step that is not. Steps that wait for none that is still to be done
//! can be taken by several processes, one a device or one a job of a cluster ([`Reproduction::ready`]). The folder afterwards:
//!
//! | place | what |
//! | --- | --- |
//! | `models/` | compressed models that are still needed; with `keep_models` all of them |
//! | `studies/` | a study of each model: maps under both definitions, and where it parts from the original; what all of it says of the
//!   paper's claims in that of the original (`ledger.json`) |
//! | `samples/`, `benchmarks.json` | what each model answers to benchmarks, where there are any, and its scores |
//! | `collection.json` | everything as a collection with a tour |

mod benchmarks;
mod order;
mod plan;
mod record;
mod steps;
mod take;
mod tour;

use std::path::{Path, PathBuf};
use std::time::Duration;

use cruxscope_benchmark::claims::Evidence;
use cruxscope_checkpoint::Checkpoint;
use cruxscope_checkpoint::writer::StoredAs;
use cruxscope_compress::quantize::GroupSize;
use cruxscope_interpret::InterpretError;
use cruxscope_study::parts::remove_parts;
use cruxscope_study::{COLLECTION_FILE, Collection, Definition, DigestBuilder, Ledger, OutputLock, Results, folder};

pub use self::benchmarks::{BenchmarkSettings, ServedModel};
pub use self::plan::{PaperPlan, PlannedStep, Setting};
use self::record::Record;
pub use self::steps::{Step, Subject};
use crate::instances::TraceSettings;
use crate::placement::WeightsChoice;
use crate::windows::Calibration;
use crate::{Event, Observer, RunError, evidence};

/// What ends the chain, where steps are taken one by one.
pub const FINISH: &str = "collection";
/// Changes whenever steps would do something else.
const VERSION: u32 = 1;
/// Draws of labels of the sensitivity.
const DRAWS: usize = 4;
/// Windows on which each matrix alone is compressed, at most.
pub(crate) const VALIDATION_WINDOWS: usize = 8;

/// What is to be reproduced, and how.
#[derive(Clone, Debug)]
pub struct PaperSettings {
    /// The reasoning model.
    pub model: PathBuf,
    /// The model that it was made from; without it nothing is said of distillation.
    pub base: Option<PathBuf>,
    /// Annotated traces of the reasoning model.
    pub traces: PathBuf,
    /// Their annotations.
    pub annotations: PathBuf,
    /// Maximum number of traces.
    pub first: Option<usize>,
    /// Tokens of a trace that are read at most.
    pub max_tokens: Option<usize>,
    /// Text that calibrates, and on which each matrix alone is compressed.
    pub calibration: Calibration,
    /// Columns that share a scale.
    pub group_size: GroupSize,
    /// How compressed models are stored.
    pub stored_as: StoredAs,
    /// Files of results that are taken into the collection.
    pub results: Vec<PathBuf>,
    /// Benchmarks that every model answers.
    pub benchmarks: Option<BenchmarkSettings>,
    /// The folder.
    pub out: PathBuf,
    /// Whether compressed models stay once nothing needs them any more.
    pub keep_models: bool,
    /// The device, by name.
    pub device: String,
    /// Where weights live.
    pub weights: WeightsChoice,
    /// Whether the work is done on other machines, so that the device need not be here.
    pub is_elsewhere: bool,
}

impl PaperSettings {
    /// The annotated traces, read by a definition.
    fn traces(&self, definition: Definition) -> TraceSettings {
        TraceSettings {
            traces: self.traces.clone(),
            annotations: self.annotations.clone(),
            definition,
            reading: None,
            alignment: None,
            only: Vec::new(),
            first: self.first,
            max_tokens: self.max_tokens,
        }
    }
}

/// A reproduction that has been checked and can begin.
pub struct Reproduction {
    settings: PaperSettings,
    steps: Vec<Step>,
    key: String,
    /// What it will do and take.
    pub plan: PaperPlan,
}

impl Reproduction {
    /// Opens both models, checks that they belong together, reads the traces and plans; nothing is written.
    ///
    /// # Errors
    /// When an input cannot be used, or the models are of different shapes.
    pub fn new(settings: PaperSettings) -> Result<Self, RunError> {
        let original = Checkpoint::open(&settings.model)?;
        let base = settings.base.as_deref().map(Checkpoint::open).transpose()?;
        if let Some(base) = &base {
            cruxscope_sensitivity::candidate::same_model(&base.name(), original.config(), base.config())?;
        }
        let mut steps = steps::all(original.config().layers, settings.group_size, base.is_some())?;
        if let Some(benchmarks) = &settings.benchmarks {
            steps = steps::with_benchmarks(steps, base.is_some());
            benchmarks.check(&steps)?;
        }
        let plan = PaperPlan::new(&settings, &original, &steps)?;
        let mut builder = DigestBuilder::default();
        let device = cruxscope_model::device::arithmetic(&settings.device);
        builder.update(
            format!(
                "reproduction {VERSION} {device} {:?} {:?} {:?} {:?} {:?}",
                settings.first, settings.max_tokens, settings.group_size, settings.stored_as, settings.calibration
            )
            .as_bytes(),
        );
        let mut files = original.files();
        files.extend(base.iter().flat_map(Checkpoint::files));
        for path in &files {
            let size = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
            builder.update(format!("\n{} {size}", path.display()).as_bytes());
        }
        for path in [&settings.traces, &settings.annotations].into_iter().chain(&settings.results) {
            builder.update(folder::digest_of_file(path)?.sha256.0.as_bytes());
        }
        if let Some(benchmarks) = &settings.benchmarks {
            builder.update(benchmarks.key()?.as_bytes());
        }
        Ok(Self {
            key: builder.finish().0,
            settings,
            steps,
            plan,
        })
    }

    /// Runs, or resumes, and ends in the collection.
    ///
    /// # Errors
    /// When a step fails, the folder holds something else, the observer says stop, or the disk refuses. What is finished stays.
    pub fn run(&self, observer: &mut dyn Observer) -> Result<Ledger, RunError> {
        let _lock = OutputLock::take_in(&self.settings.out, Duration::ZERO)?;
        let record = self.begun()?;
        for (place, step) in self.steps.iter().enumerate() {
            if observer.stop() {
                return Err(InterpretError::Cancelled.into());
            }
            if record.has(step) {
                continue;
            }
            observer.event(Event::Note {
                text: format!("step {} of {}: {}", place + 1, self.steps.len(), step.words()),
            });
            self.take(step, observer)?;
            self.let_go(&self.note(step)?);
        }
        self.finish(observer)
    }

    /// One step, or the collection where it is named [`FINISH`]; other processes may take other steps of the folder meanwhile. A step that
    /// is done already is left.
    ///
    /// # Errors
    /// When there is no such step, one that it waits for is not done, another process is at it, and as [`Self::run`].
    pub fn run_step(&self, slug: &str, observer: &mut dyn Observer) -> Result<(), RunError> {
        let out = &self.settings.out;
        if slug == FINISH {
            let _lock = OutputLock::take_in(out, Duration::ZERO)?;
            let record = self.begun()?;
            let open: Vec<String> = self.steps.iter().filter(|step| !record.has(step)).map(Step::slug).collect();
            return if open.is_empty() {
                self.finish(observer).map(drop)
            } else {
                Err(waits(slug, &open))
            };
        }
        let Some(place) = self.steps.iter().position(|step| step.slug() == slug || step.name() == slug) else {
            let names: Vec<String> = self.steps.iter().map(Step::slug).collect();
            return Err(RunError::Recipe {
                why: format!("there is no step {slug}; there are {} and {FINISH}", names.join(", ")),
            });
        };
        let _share = OutputLock::take_share_in(out, Duration::ZERO)?;
        let record = self.begun()?;
        let _own = OutputLock::take(&out.join(self.steps[place].slug()), Duration::ZERO)?;
        let open: Vec<String> = order::before(&self.steps, place)
            .filter(|before| !record.has(&self.steps[*before]))
            .map(|before| self.steps[before].slug())
            .collect();
        if !open.is_empty() {
            return Err(waits(slug, &open));
        }
        if !record.has(&self.steps[place]) {
            self.take(&self.steps[place], observer)?;
            self.let_go(&self.note(&self.steps[place])?);
        }
        Ok(())
    }

    /// The steps that several processes may take now, by their places: not done, not among those that run, and waiting for none of either.
    ///
    /// # Errors
    /// When the folder holds something else.
    pub fn ready(&self, running: &[usize]) -> Result<Vec<usize>, RunError> {
        let _share = OutputLock::take_share_in(&self.settings.out, Duration::ZERO)?;
        let record = self.begun()?;
        let open = |place: usize| !record.has(&self.steps[place]);
        Ok((0..self.steps.len())
            .filter(|place| open(*place) && !running.contains(place) && !order::before(&self.steps, *place).any(open))
            .collect())
    }

    /// Steps that are not done, by their places. Nothing is written, so that it can be asked where only a plan is wanted.
    ///
    /// # Errors
    /// When the folder holds something else.
    pub fn open(&self) -> Result<Vec<usize>, RunError> {
        let record = self.noted()?;
        Ok((0..self.steps.len()).filter(|place| !record.has(&self.steps[*place])).collect())
    }

    /// All steps, in an order in which each can be taken after those before it.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The steps that one waits for, by their places.
    pub fn before(&self, place: usize) -> Vec<usize> {
        order::before(&self.steps, place).collect()
    }

    /// The ledger that the finished chain left.
    ///
    /// # Errors
    /// When there is none.
    pub fn ledger(&self) -> Result<Ledger, RunError> {
        let path = self.study("original").join(cruxscope_study::LEDGER_FILE);
        let bytes = std::fs::read(&path).map_err(|source| RunError::Io { attempt: "read", path, source })?;
        Ok(Ledger::from_json(&bytes)?)
    }

    /// Takes away compressed models that no later step needs.
    fn let_go(&self, record: &Record) {
        if self.settings.keep_models {
            return;
        }
        for step in &self.steps {
            if let Step::Compress { name, .. } = step {
                let needs = |step: &&Step| step.needs(name);
                let all_done = self.steps.iter().filter(needs).all(|step| record.has(step));
                if all_done {
                    remove_model(&self.model(&Subject::Compressed(name.clone())));
                }
            }
        }
        // Gone where nothing is left in it.
        std::fs::remove_dir(self.settings.out.join("models")).ok();
    }

    /// The collection, its tour and its ledger out of what the steps left.
    fn finish(&self, observer: &dyn Observer) -> Result<Ledger, RunError> {
        let out = &self.settings.out;
        let studies: Vec<String> = steps::studies(&self.steps).into_iter().map(|name| format!("studies/{name}")).collect();
        for study in &studies {
            // A step that was stopped between its result and its end left these.
            for parts in [".parts", ".sensitivity", ".divergence"] {
                remove_parts(&out.join(study).join(parts));
            }
        }
        let mut results = Vec::new();
        if let Some(scored) = self.scored(observer)? {
            self.write(benchmarks::RESULTS, &scored.to_json()?)?;
            results.push(benchmarks::RESULTS.to_owned());
        }
        for (place, path) in self.settings.results.iter().enumerate() {
            let bytes = std::fs::read(path).map_err(|source| RunError::Io {
                attempt: "read",
                path: path.clone(),
                source,
            })?;
            Results::from_json(&bytes)?;
            let name = if place == 0 {
                "results.json".to_owned()
            } else {
                format!("results-{}.json", place + 1)
            };
            self.write(&name, &bytes)?;
            results.push(name);
        }
        let collection = Collection {
            schema: cruxscope_study::COLLECTION_SCHEMA,
            title: format!("The paper's chain on {}", Checkpoint::open(&self.settings.model)?.name()),
            studies,
            results,
            ..Collection::default()
        };
        // The ledger reads the collection, and the tour the ledger.
        self.write(COLLECTION_FILE, &collection.to_json()?)?;
        let mut given = Evidence::default();
        evidence::add(&mut given, out)?;
        let base = self.settings.base.is_some().then_some("studies/base");
        given.assign(Some("studies/original"), base);
        given.assign_same_models();
        let ledger = evidence::ledger(&collection.title, &given, true)?;
        evidence::save_ledger(&ledger, &self.study("original"))?;
        let collection = Collection {
            tour: tour::stops(&given, &ledger)?,
            ..collection
        };
        self.write(COLLECTION_FILE, &collection.to_json()?)?;
        Ok(ledger)
    }
}

fn waits(slug: &str, open: &[String]) -> RunError {
    RunError::Recipe {
        why: format!("{slug} waits for {}, which are not done", open.join(", ")),
    }
}

/// Takes a compressed model away; what cannot be removed is only untidy.
fn remove_model(folder: &Path) {
    std::fs::remove_dir_all(folder).ok();
}
