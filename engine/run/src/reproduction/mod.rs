//! The paper's whole chain for one pair of models: importance, distillation shift, quantization and pruning shift, selective and
//! protected quantization, damage of each matrix, sensitivity; in the end a collection with a tour and its ledger.
//!
//! Every step is one of the other pipelines, which resume by themselves; which steps are done stands in `reproduction.json`, written
//! after each, so that a run that was stopped goes on with the first step that is not. The folder afterwards:
//!
//! | place | what |
//! | --- | --- |
//! | `models/` | compressed models that are still needed; with `keep_models` all of them |
//! | `studies/` | a study of each model: maps under both definitions, and where it parts from the original; what all of it says of the
//!   paper's claims in that of the original (`ledger.json`) |
//! | `collection.json` | everything as a collection with a tour |
//!
//! Benchmarks are not sampled here: results that were scored before are taken into the collection.

mod plan;
mod steps;
mod tour;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cruxscope_benchmark::claims::Evidence;
use cruxscope_checkpoint::Checkpoint;
use cruxscope_checkpoint::writer::StoredAs;
use cruxscope_compress::quantize::GroupSize;
use cruxscope_interpret::InterpretError;
use cruxscope_model::decoder::Residence;
use cruxscope_study::parts::remove_parts;
use cruxscope_study::{COLLECTION_FILE, Collection, Definition, DigestBuilder, Ledger, OutputLock, Positions, Results, folder};
use serde::{Deserialize, Serialize};

pub use self::plan::{PaperPlan, PlannedStep, Setting};
pub use self::steps::{Step, Subject};
use crate::compare::{CompareSettings, CompareText, PlannedCompare};
use crate::compress::{Basis, CompressSettings, Compression};
use crate::instances::TraceSettings;
use crate::interpret::{InterpretSettings, PlannedRun};
use crate::placement::WeightsChoice;
use crate::sensitivity::{PlannedSensitivity, SensitivitySettings, SketchText};
use crate::validate::{ValidateSettings, validate};
use crate::windows::Calibration;
use crate::{Event, Observer, RunError, evidence};

/// The file that says which steps are done.
const RECORD: &str = "reproduction.json";
/// Changes whenever steps would do something else.
const VERSION: u32 = 1;
/// Draws of labels of the sensitivity.
const DRAWS: usize = 4;
/// Windows on which each matrix alone is compressed, at most.
pub(crate) const VALIDATION_WINDOWS: usize = 8;

/// What is to be reproduced, and how.
#[derive(Clone, Debug, PartialEq)]
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
    /// The folder.
    pub out: PathBuf,
    /// Whether compressed models stay once nothing needs them any more.
    pub keep_models: bool,
    /// The device, by name.
    pub device: String,
    /// Where weights live.
    pub weights: WeightsChoice,
}

/// What is done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Record {
    key: String,
    done: BTreeSet<String>,
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
        let steps = steps::all(original.config().layers, settings.group_size, base.is_some())?;
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
        let out = &self.settings.out;
        let _lock = OutputLock::take_in(out, Duration::ZERO)?;
        let mut record = self.record()?;
        for (place, step) in self.steps.iter().enumerate() {
            if observer.stop() {
                return Err(InterpretError::Cancelled.into());
            }
            if record.done.contains(&step.name()) {
                continue;
            }
            observer.event(Event::Note {
                text: format!("step {} of {}: {}", place + 1, self.steps.len(), step.words()),
            });
            self.take(step, observer)?;
            record.done.insert(step.name());
            self.write(RECORD, &json(&record)?)?;
            self.let_go(&record);
        }
        self.finish()
    }

    /// What earlier runs did here.
    fn record(&self) -> Result<Record, RunError> {
        let path = self.settings.out.join(RECORD);
        let occupied = |why: &str| RunError::Occupied {
            path: self.settings.out.clone(),
            why: why.into(),
        };
        match std::fs::read(&path) {
            Ok(bytes) => {
                let found: Record = serde_json::from_slice(&bytes).map_err(|_| occupied("its reproduction.json cannot be read"))?;
                if found.key == self.key {
                    Ok(found)
                } else {
                    Err(occupied("a reproduction of other models, traces or settings"))
                }
            }
            Err(_) => {
                let mut entries = std::fs::read_dir(&self.settings.out).map_err(|source| RunError::Io {
                    attempt: "read",
                    path: self.settings.out.clone(),
                    source,
                })?;
                let foreign = entries.find_map(|entry| {
                    let name = entry.ok()?.file_name().to_string_lossy().into_owned();
                    let own = cruxscope_study::files::is_temporary(&name) || OutputLock::is_of_folder(&name);
                    (!own).then_some(name)
                });
                if let Some(name) = foreign {
                    return Err(occupied(&format!("{name}, which no reproduction put there")));
                }
                let record = Record {
                    key: self.key.clone(),
                    done: BTreeSet::new(),
                };
                self.write(RECORD, &json(&record)?)?;
                Ok(record)
            }
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), RunError> {
        Ok(folder::write_atomically(&self.settings.out.join(name), bytes)?)
    }

    fn model(&self, subject: &Subject) -> PathBuf {
        match subject {
            Subject::Original => self.settings.model.clone(),
            // Steps of the base model are there only where it is.
            Subject::Base => self.settings.base.clone().unwrap_or_default(),
            Subject::Compressed(name) => self.settings.out.join("models").join(name),
        }
    }

    fn traces(&self, definition: Definition) -> TraceSettings {
        TraceSettings {
            traces: self.settings.traces.clone(),
            annotations: self.settings.annotations.clone(),
            definition,
            reading: None,
            alignment: None,
            only: Vec::new(),
            first: self.settings.first,
            max_tokens: self.settings.max_tokens,
        }
    }

    fn study(&self, name: &str) -> PathBuf {
        self.settings.out.join("studies").join(name)
    }

    fn take(&self, step: &Step, observer: &mut dyn Observer) -> Result<(), RunError> {
        let settings = &self.settings;
        match step {
            Step::Interpret { subject, definition, study } => {
                let is_original = *subject == Subject::Original && *definition == Definition::Paper;
                let interpretation = InterpretSettings {
                    model: self.model(subject),
                    traces: self.traces(*definition),
                    out: self.study(study),
                    device: settings.device.clone(),
                    weights: settings.weights,
                    device_memory: None,
                    channels: false,
                    texts: is_original,
                    title: Some(step.title()),
                };
                PlannedRun::new(interpretation, observer)?.run(observer)?;
            }
            Step::Compress { name, recipe } => {
                let out = self.model(&Subject::Compressed(name.clone()));
                let compression = CompressSettings {
                    model: settings.model.clone(),
                    out,
                    recipe: recipe.clone(),
                    calibration: Some(settings.calibration.clone()),
                    stored_as: settings.stored_as,
                    packed: None,
                    basis: Basis::Original,
                };
                Compression::prepare_on(&compression, &settings.device)?.run(observer)?;
            }
            Step::Compare { name, causes } => {
                let compare = CompareSettings {
                    a: settings.model.clone(),
                    b: self.model(&Subject::Compressed(name.clone())),
                    text: CompareText::Annotated(self.traces(Definition::Paper)),
                    out: self.study(name),
                    causes: if *causes { vec![Positions::All, Positions::Parted] } else { Vec::new() },
                    generate: None,
                    device: settings.device.clone(),
                    weights: settings.weights,
                };
                PlannedCompare::new(compare, observer)?.run(observer)?;
            }
            Step::Validate => {
                let text = Calibration {
                    windows: Some(settings.calibration.windows.unwrap_or(VALIDATION_WINDOWS).min(VALIDATION_WINDOWS)),
                    ..settings.calibration.clone()
                };
                let validation = ValidateSettings {
                    study: self.study("original"),
                    model: settings.model.clone(),
                    treatment: steps::rounding(3, settings.group_size)?,
                    text,
                    residence: Residence::Resident,
                    device: settings.device.clone(),
                };
                validate(&validation, observer)?;
            }
            Step::Sensitivity => {
                let sensitivity = SensitivitySettings {
                    model: settings.model.clone(),
                    text: SketchText::Traces(self.traces(Definition::Paper)),
                    calibration: Some(settings.calibration.clone()),
                    menu: steps::menu(settings.group_size)?,
                    candidates: Vec::new(),
                    out: self.study("original"),
                    draws: DRAWS,
                    seed: 0,
                    device: settings.device.clone(),
                    weights: settings.weights,
                    device_memory: None,
                    measure: false,
                    gradient_score: false,
                    changes: None,
                };
                PlannedSensitivity::new(sensitivity, observer)?.run(observer)?;
            }
        }
        Ok(())
    }

    /// Takes away compressed models that no later step needs.
    fn let_go(&self, record: &Record) {
        if self.settings.keep_models {
            return;
        }
        for step in &self.steps {
            if let Step::Compress { name, .. } = step {
                let needs = |step: &&Step| step.needs(name);
                let all_done = self.steps.iter().filter(needs).all(|step| record.done.contains(&step.name()));
                if all_done {
                    remove_model(&self.model(&Subject::Compressed(name.clone())));
                }
            }
        }
        // Gone where nothing is left in it.
        std::fs::remove_dir(self.settings.out.join("models")).ok();
    }

    /// The collection, its tour and its ledger out of what the steps left.
    fn finish(&self) -> Result<Ledger, RunError> {
        let out = &self.settings.out;
        let studies: Vec<String> = steps::studies(&self.steps).into_iter().map(|name| format!("studies/{name}")).collect();
        for study in &studies {
            // A step that was stopped between its result and its end left these.
            for parts in [".parts", ".sensitivity", ".divergence"] {
                remove_parts(&out.join(study).join(parts));
            }
        }
        let mut results = Vec::new();
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

fn json(record: &Record) -> Result<Vec<u8>, RunError> {
    let mut text = serde_json::to_vec_pretty(record).map_err(|error| RunError::Recipe { why: error.to_string() })?;
    text.push(b'\n');
    Ok(text)
}

/// Takes a compressed model away; what cannot be removed is only untidy.
fn remove_model(folder: &Path) {
    std::fs::remove_dir_all(folder).ok();
}
