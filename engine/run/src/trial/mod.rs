//! Recipes put to the proof: each is applied to the model, and the divergence and the loss are measured on text that chose none of
//! them. Checkpoints that were made by any program can be measured beside.
//!
//! A recipe is applied as the sketch understands it, matrix by matrix from the original ([`crate::sensitivity`]): for methods that look
//! at weights alone that is what `compress` writes. What is finished is kept, one file a recipe, and a run that was stopped goes on; rows that
//! the study's trial holds already are taken from it.

mod accuracy;
mod entries;
mod measure;
mod second_round;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cruxscope_checkpoint::Checkpoint;
use cruxscope_compress::method::MethodConfig;
use cruxscope_interpret::InterpretError;
use cruxscope_model::decoder::{Decoder, Residence};
use cruxscope_model::device::{self, ChosenDevice};
use cruxscope_model::kernels::calibration::CalibrationKernels;
use cruxscope_model::with_kernels;
use cruxscope_sensitivity::allocate::Choice;
use cruxscope_sensitivity::menu::MenuFormat;
use cruxscope_study::parts::remove_parts;
use cruxscope_study::{DigestBuilder, FileDigest, Sensitivity, TRIAL_FILE, TRIAL_SCHEMA, Trial, TrialRow, WindowLoss, folder};
use serde::{Deserialize, Serialize};

pub use self::entries::{Contest, importance_of};
pub use self::second_round::SecondRound;
use crate::guard::catch_panic;
use crate::sensitivity::{Menu, folder_of_changes};
use crate::windows::Calibration;
use crate::{Event, Observer, RunError, activations};

/// Changes whenever a measured number would: what was measured under an earlier value is measured again.
const TRIAL_VERSION: u32 = 1;
/// Where finished measurements and changes of calibrated methods are kept until the trial is written.
const PARTS: &str = ".trial";
/// Recipes that go through the layers together.
const TOGETHER: usize = 12;

/// What is to be measured, and on what.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialSettings {
    /// The model.
    pub model: PathBuf,
    /// The study that holds its sensitivity.
    pub study: PathBuf,
    /// Text that chose no recipe.
    pub held_out: Calibration,
    /// The text by which calibrated methods of the sketch's menu were calibrated.
    pub calibration: Option<Calibration>,
    /// The candidates of the sketch's menu, in their order.
    pub candidates: Vec<PathBuf>,
    /// The folder that the result is written into, made if it is not there; the study's if there is none. In a folder of its own every
    /// measured recipe is kept, so that a trial of other rows measures what is new only.
    pub results: Option<PathBuf>,
    /// A folder in which what calibrated methods change is kept; the trial's own, which is cleared, if there is none.
    pub changes: Option<PathBuf>,
    /// Whether quantized activations are simulated, in the model and in every checkpoint that has such.
    pub simulate_activations: bool,
    /// The device, by name.
    pub device: String,
}

/// What is measured in a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// A recipe over the sketch's menu.
    Recipe(Choice),
    /// A checkpoint of the same model, whoever made it; its embedding and head are its own.
    Checkpoint(PathBuf),
}

/// One row to be measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// With which others it is compared.
    pub group: String,
    /// The rule that chose it.
    pub rule: String,
    /// What it is.
    pub subject: Subject,
}

/// A trial whose inputs are open and checked.
pub struct OpenTrial {
    settings: TrialSettings,
    sensitivity: Sensitivity,
    checkpoint: Arc<Checkpoint>,
    menu: Menu,
    windows: Vec<Vec<u32>>,
    data: FileDigest,
    device: ChosenDevice,
    key: String,
}

/// What a finished measurement says.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    key: String,
    original: Vec<WindowLoss>,
    windows: Vec<WindowLoss>,
}

impl OpenTrial {
    /// Opens everything and checks that it belongs together; nothing is written.
    ///
    /// # Errors
    /// When the study holds no sensitivity of this model, calibration text or candidates are not those of the sketch, or the text cannot
    /// be read.
    pub fn open(settings: TrialSettings, observer: &mut dyn Observer) -> Result<Self, RunError> {
        let refuse = |why: String| RunError::Recipe { why };
        let device = device::find(&settings.device)?;
        let sensitivity = folder::load_sensitivity(&settings.study)?.ok_or_else(|| {
            refuse(format!(
                "{study} holds no sensitivity; `cruxscope sensitivity --out {study}` makes one",
                study = settings.study.display()
            ))
        })?;
        let checkpoint = Arc::new(activations::open_any(&settings.model, settings.simulate_activations)?);
        let files = crate::digests::all(&checkpoint.files(), observer)?;
        let digests = |files: &[FileDigest]| files.iter().map(|file| file.sha256.0.clone()).collect::<BTreeSet<_>>();
        if digests(&files) != digests(&sensitivity.facts.model_files) {
            return Err(refuse(format!(
                "the sensitivity is of {}, and {} is another model",
                sensitivity.facts.model,
                checkpoint.name()
            )));
        }
        let mut own = Vec::new();
        let mut candidates = 0;
        for format in &sensitivity.facts.formats {
            match &format.treatment {
                Some(value) => {
                    let treatment: MethodConfig = serde_json::from_value(value.clone()).map_err(|error| refuse(format!("{}: {error}", format.name)))?;
                    own.push(MenuFormat {
                        name: format.name.clone(),
                        treatment,
                    });
                }
                None => candidates += 1,
            }
        }
        if candidates != settings.candidates.len() {
            let given = settings.candidates.len();
            return Err(refuse(format!(
                "the sketch's menu holds {candidates} candidates, and {given} were given with --candidate"
            )));
        }
        let origin = (files.as_slice(), settings.device.as_str());
        let menu = Menu::open(&own, &settings.candidates, settings.calibration.as_ref(), None, &checkpoint, origin, observer)?;
        if sensitivity.facts.settings.get("menu").and_then(serde_json::Value::as_str) != Some(menu.key()) {
            let why = "the calibration text or the candidates are not those of the sketch: give the same files, in the same order, as to `cruxscope sensitivity` (--calibration-tokens with --calibration-array, --calibration-text, --candidate)";
            return Err(refuse(why.into()));
        }
        let windows = settings.held_out.read(&checkpoint)?;
        let data = folder::digest_of_file(settings.held_out.source.path())?;
        let mut key = DigestBuilder::default();
        let simulated = activations::key(settings.simulate_activations);
        key.update(format!("trial {TRIAL_VERSION} {} {}{simulated}", menu.key(), device::arithmetic(&settings.device)).as_bytes());
        for file in &files {
            key.update(format!("\n{} {}", file.name, file.sha256).as_bytes());
        }
        crate::compress::digest_windows(&mut key, &windows);
        Ok(Self {
            key: key.finish().0,
            settings,
            sensitivity,
            checkpoint,
            menu,
            windows,
            data,
            device,
        })
    }

    fn results(&self) -> &Path {
        self.settings.results.as_deref().unwrap_or(&self.settings.study)
    }

    /// The sketch that recipes are over.
    pub fn sensitivity(&self) -> &Sensitivity {
        &self.sensitivity
    }

    /// Confirms, where activations are to be simulated, that the model or one of the checkpoints asks for quantized ones.
    ///
    /// # Errors
    /// When none does, or one asks for what is not simulated.
    pub fn check_simulated(&self, entries: &[Entry]) -> Result<(), RunError> {
        if !self.settings.simulate_activations {
            return Ok(());
        }
        let checkpoints = entries.iter().filter_map(|entry| match &entry.subject {
            Subject::Checkpoint(path) => Some(path.as_path()),
            Subject::Recipe(_) => None,
        });
        let others = checkpoints.map(|path| activations::open_any(path, true)).collect::<Result<Vec<_>, _>>()?;
        activations::check(&std::iter::once(&*self.checkpoint).chain(&others).collect::<Vec<_>>(), true)
    }

    /// Measures, or goes on measuring, and writes the result into the study.
    ///
    /// # Errors
    /// When a checkpoint is of another model, the model cannot be run, the observer says stop, or the disk refuses. What is finished
    /// stays.
    pub fn run(&self, entries: &[Entry], observer: &mut dyn Observer) -> Result<Trial, RunError> {
        let parts = self.results().join(PARTS);
        std::fs::create_dir_all(&parts).map_err(|source| RunError::Io {
            attempt: "create",
            path: parts.clone(),
            source,
        })?;
        let found = with_kernels!(self.device.clone(), |kernels| self.measured(kernels, entries, &parts, observer))?;
        let mut rows = Vec::new();
        for (entry, kept) in entries.iter().zip(&found) {
            let (bits, predicted_kl) = match &entry.subject {
                Subject::Recipe(choice) => {
                    let all: Vec<usize> = (0..self.sensitivity.facts.windows.len()).collect();
                    let (bits, weights) = self.sensitivity.size(choice).ok_or_else(|| RunError::Recipe {
                        why: format!("the recipe {} does not fit the sketch's menu", entry.name),
                    })?;
                    (bits / weights, self.sensitivity.predicted_kl(cruxscope_study::Scope::All, choice, &all))
                }
                Subject::Checkpoint(path) => (bits_of(&Checkpoint::open(path)?), None),
            };
            rows.push(TrialRow {
                name: entry.name.clone(),
                group: entry.group.clone(),
                rule: entry.rule.clone(),
                bits_per_weight: bits,
                predicted_kl,
                key: kept.key.clone(),
                accuracy: Vec::new(),
                windows: kept.windows.clone(),
            });
        }
        let mut trial = Trial {
            schema: TRIAL_SCHEMA,
            program: concat!("cruxscope ", env!("CARGO_PKG_VERSION")).into(),
            model: self.sensitivity.facts.model.clone(),
            model_files: self.sensitivity.facts.model_files.clone(),
            data: self.data.clone(),
            original: found.first().map(|kept| kept.original.clone()).unwrap_or_default(),
            rows,
        };
        if let Some(earlier) = self.earlier() {
            trial.keep_accuracies(&earlier);
        }
        self.save(&trial)?;
        // The study's file holds all that the parts gave; a leftover is only untidy.
        if self.settings.results.is_none() {
            remove_parts(&parts);
        }
        Ok(trial)
    }

    fn measured<K: CalibrationKernels + Clone>(&self, kernels: K, entries: &[Entry], parts: &Path, observer: &mut dyn Observer) -> Result<Vec<Kept>, RunError> {
        let keys = entries
            .iter()
            .map(|entry| self.key_of(&entry.subject, observer))
            .collect::<Result<Vec<_>, _>>()?;
        let file = |key: &str| parts.join(format!("measured-{}.json", &key[..24]));
        let earlier = self.earlier();
        let load = |key: &str| -> Option<Kept> {
            if let Some(trial) = &earlier
                && let Some(row) = trial.rows.iter().find(|row| row.key == key)
            {
                return Some(Kept {
                    key: key.to_owned(),
                    original: trial.original.clone(),
                    windows: row.windows.clone(),
                });
            }
            let kept: Kept = serde_json::from_slice(&std::fs::read(file(key)).ok()?).ok()?;
            (kept.key == key).then_some(kept)
        };
        // Rules may choose the same recipe; it is measured once.
        let mut todo: Vec<(&str, &Subject)> = Vec::new();
        for (key, entry) in keys.iter().zip(entries) {
            if load(key).is_none() && todo.iter().all(|(known, _)| known != key) {
                todo.push((key, &entry.subject));
            }
        }
        if !todo.is_empty() {
            let decoder = Decoder::new(self.checkpoint.clone(), kernels, Residence::Streamed)?;
            let changes = folder_of_changes(self.settings.changes.as_deref(), parts)?;
            self.menu.calibrate(&decoder, &self.checkpoint, &changes, observer)?;
            let mut done = 0;
            for batch in todo.chunks(TOGETHER) {
                let subjects: Vec<&Subject> = batch.iter().map(|(_, subject)| *subject).collect();
                let share = |own: f64| (done as f64 + own * batch.len() as f64) / todo.len() as f64;
                let mut watch = |own: f64| {
                    observer.event(Event::Preparing {
                        what: format!("measured {} recipes of {}", done, todo.len()),
                        share: share(own),
                    });
                    !observer.stop()
                };
                let measured = catch_panic("recipes", || self.measure(&decoder, &subjects, &changes, &mut watch))?;
                let Some(measured) = measured else {
                    return Err(InterpretError::Cancelled.into());
                };
                for ((key, _), windows) in batch.iter().zip(measured.subjects) {
                    let kept = Kept {
                        key: (*key).to_owned(),
                        original: measured.original.clone(),
                        windows,
                    };
                    let text = serde_json::to_vec(&kept).map_err(|error| RunError::Recipe { why: error.to_string() })?;
                    folder::write_atomically(&file(key), &text)?;
                }
                done += batch.len();
            }
        }
        let missing = || RunError::Recipe {
            why: "a finished measurement has disappeared; the same command measures it again".into(),
        };
        keys.iter().map(|key| load(key).ok_or_else(missing)).collect()
    }

    /// An earlier trial holds what was finished then; one that cannot be read is measured again and replaced.
    fn earlier(&self) -> Option<Trial> {
        Trial::from_json(&std::fs::read(self.results().join(TRIAL_FILE)).ok()?).ok()
    }

    fn save(&self, trial: &Trial) -> Result<(), RunError> {
        Ok(folder::write_atomically(&self.results().join(TRIAL_FILE), &trial.to_json()?)?)
    }

    /// Covers everything that a subject's numbers depend on.
    fn key_of(&self, subject: &Subject, observer: &mut dyn Observer) -> Result<String, RunError> {
        let mut builder = DigestBuilder::default();
        builder.update(self.key.as_bytes());
        match subject {
            Subject::Recipe(choice) => builder.update(format!("{choice:?}").as_bytes()),
            Subject::Checkpoint(path) => {
                for path in Checkpoint::open(path)?.files() {
                    builder.update(crate::digests::of(&path, observer)?.sha256.0.as_bytes());
                }
            }
        }
        Ok(builder.finish().0)
    }
}

/// Stored bits of a weight of a checkpoint's matrices.
fn bits_of(checkpoint: &Checkpoint) -> f64 {
    let config = checkpoint.config();
    let (mut bits, mut weights) = (0.0, 0.0);
    for layer in 0..config.layers {
        for (map, stored) in config.modules(layer).iter().zip(checkpoint.projection_bits(layer)) {
            if map.slot.is_some() {
                bits += stored as f64;
                weights += (map.rows * map.columns) as f64;
            }
        }
    }
    bits / f64::max(weights, 1.0)
}
