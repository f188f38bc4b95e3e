//! The sensitivity of a model: planned, resumable at the grain of a window, and put together into a study.
//!
//! Every finished window is a part in `OUT/.sensitivity`, carrying a key that covers the model's files, the tokens, the menu and the
//! seed. A run takes the parts that are there and computes the rest; what comes out has the same bytes however the windows were
//! shared among processes or interrupted.

mod changes;
mod combine;
mod measure;
mod plan;
mod text;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cruxscope_checkpoint::Checkpoint;
use cruxscope_interpret::InterpretError;
use cruxscope_interpret::activations::ActivationStorage;
use cruxscope_model::decoder::Decoder;
use cruxscope_model::device::{self, ChosenDevice};
use cruxscope_model::kernels::calibration::CalibrationKernels;
use cruxscope_model::with_kernels;
use cruxscope_sensitivity::SensitivityError;
use cruxscope_sensitivity::labels::Labels;
use cruxscope_sensitivity::menu::MenuFormat;
use cruxscope_sensitivity::part::WindowPart;
use cruxscope_sensitivity::sketch::{SketchOptions, SketchWindow, sketch};
use cruxscope_study::parts::remove_parts;
use cruxscope_study::{ARRAYS_FILE, DigestBuilder, FileDigest, MANIFEST_FILE, ModelEntry, OutputLock, Scope, Sensitivity, folder};

use safetensors::SafeTensors;

pub(crate) use self::changes::{Menu, through};
pub use self::plan::SensitivityPlan;
pub use self::text::SketchText;
use crate::digests;
use crate::guard::catch_panic;
use crate::manifest::model_entry;
use crate::place::{Place, found_or_planned};
use crate::placement::WeightsChoice;
use crate::shards::Shard;
use crate::windows::Calibration;
use crate::{Event, Observer, RunError};

/// Changes whenever a part's numbers would: parts of an earlier value are computed again.
const PART_VERSION: u32 = 3;
/// Where finished windows and changes of calibrated methods are kept until they are put together.
const PARTS: &str = ".sensitivity";

/// What is to be sketched, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct SensitivitySettings {
    /// A Hugging Face folder or a GGUF file.
    pub model: PathBuf,
    /// The text, or annotated traces.
    pub text: SketchText,
    /// Text for methods that have to know a matrix's inputs; the sketch's own windows if there is none.
    pub calibration: Option<Calibration>,
    /// Formats of this program's own methods.
    pub menu: Vec<MenuFormat>,
    /// Compressed checkpoints of the same model.
    pub candidates: Vec<PathBuf>,
    /// The folder of the study.
    pub out: PathBuf,
    /// Draws of labels for each window.
    pub draws: usize,
    /// The seed of the labels.
    pub seed: u64,
    /// The device, by name.
    pub device: String,
    /// Where weights live.
    pub weights: WeightsChoice,
    /// Memory of the device in bytes; what its driver says if there is none. With it a plan can be made for a card that is not here.
    pub device_memory: Option<u64>,
    /// Whether the divergence of every format is measured too, on the same windows; that of a candidate always is.
    pub measure: bool,
    /// Whether the gradient score of other tools and the first order of the loss are computed beside, to compare with.
    pub gradient_score: bool,
    /// A folder in which what calibrated methods change is kept, for other runs of the same model and text too; the run's own, which is
    /// cleared, if there is none.
    pub changes: Option<PathBuf>,
}

/// A sketch that has been checked and can begin.
pub struct PlannedSensitivity {
    settings: SensitivitySettings,
    checkpoint: Arc<Checkpoint>,
    /// None where only a plan can be made, since it is not here.
    device: Option<ChosenDevice>,
    windows: Vec<SketchWindow>,
    scopes: Vec<Scope>,
    menu: Menu,
    model_files: Vec<FileDigest>,
    data_files: Vec<FileDigest>,
    /// What it will do and take.
    pub plan: SensitivityPlan,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct SensitivityOutcome {
    /// The sketch.
    pub sensitivity: Sensitivity,
    /// Whether it had been finished by an earlier run.
    pub was_complete: bool,
}

impl PlannedSensitivity {
    /// Opens everything, reads the text and plans; nothing is written.
    ///
    /// # Errors
    /// When an input cannot be used, the device is missing, or the run would not fit.
    pub fn new(settings: SensitivitySettings, observer: &mut dyn Observer) -> Result<Self, RunError> {
        if settings.draws == 0 {
            return Err(RunError::Setting {
                setting: "--draws",
                value: "0".into(),
                rule: "labels have to be drawn at least once",
            });
        }
        let device = found_or_planned(&settings.device, settings.device_memory)?;
        let checkpoint = Arc::new(Checkpoint::open(&settings.model)?);
        let (windows, scopes) = settings.text.read(&checkpoint)?;
        if windows.len() < 2 {
            let why = "the text gives one window, and two or more are needed: intervals and the choice of a recipe compare windows; give more text, or --sequence-length for shorter windows";
            return Err(SensitivityError::TooLittle { why: why.into() }.into());
        }
        let mut digest = |paths: Vec<PathBuf>| digests::all(&paths, observer);
        let model_files = digest(checkpoint.files())?;
        let mut data = settings.text.files();
        if let Some(calibration) = &settings.calibration {
            data.push(calibration.source.path().to_owned());
        }
        let data_files = digest(data)?;
        check_study(&settings.out, &model_entry(&checkpoint, &model_files))?;
        let menu = Menu::open(
            &settings.menu,
            &settings.candidates,
            settings.calibration.as_ref(),
            Some(&windows),
            &checkpoint,
            (&model_files, &settings.device),
            observer,
        )?;
        let mut place = Place::of(device.as_ref(), &settings.device, &checkpoint, settings.device_memory)?;
        if let Some(device) = &device {
            place = place.measured(device, &checkpoint)?;
        }
        let plan = SensitivityPlan::new(
            checkpoint.config(),
            &windows,
            &scopes,
            (settings.draws, settings.gradient_score),
            &menu,
            settings.weights,
            &place,
        )?;
        Ok(Self {
            settings,
            checkpoint,
            device,
            windows,
            scopes,
            menu,
            model_files,
            data_files,
            plan,
        })
    }

    /// The device, in words.
    pub fn device(&self) -> String {
        let absent = || format!("{}, which is not here", self.settings.device);
        self.device.as_ref().map_or_else(absent, ChosenDevice::describe)
    }

    /// The device, to compute on.
    fn present(&self) -> Result<ChosenDevice, RunError> {
        match &self.device {
            Some(device) => Ok(device.clone()),
            None => Ok(device::find(&self.settings.device)?),
        }
    }

    /// The checkpoint's name.
    pub fn model_name(&self) -> String {
        self.checkpoint.name()
    }

    /// Runs, or resumes, and saves the sketch into the study.
    ///
    /// # Errors
    /// When the model cannot be run, the observer says stop, or the disk refuses. Finished windows stay on disk.
    pub fn run(self, observer: &mut dyn Observer) -> Result<SensitivityOutcome, RunError> {
        if let Some(sensitivity) = self.finished()? {
            // Whoever saved it may have been killed before the parts went.
            remove_parts(&self.parts());
            return Ok(SensitivityOutcome {
                sensitivity,
                was_complete: true,
            });
        }
        let lock = OutputLock::take_in(&self.settings.out, Duration::ZERO)?;
        self.holding(lock, || self.compute_and_save(observer))
    }

    fn compute_and_save(&self, observer: &mut dyn Observer) -> Result<SensitivityOutcome, RunError> {
        self.compute_windows(None, observer)?;
        let measured = with_kernels!(self.present()?, |kernels| self.measured(kernels, observer))?;
        observer.event(Event::Merging);
        let sensitivity = self.combine(measured)?;
        self.save(&sensitivity)?;
        Ok(SensitivityOutcome {
            sensitivity,
            was_complete: false,
        })
    }

    /// Computes the windows that are missing, all or those of one shard, and leaves them in the folder, which others may fill too.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn compute(&self, shard: Option<Shard>, observer: &mut dyn Observer) -> Result<(), RunError> {
        let lock = OutputLock::take_share_in(&self.settings.out, Duration::ZERO)?;
        self.holding(lock, || self.compute_windows(shard, observer))
    }

    /// Works under a lock. A folder in which nothing was finished is taken back; `remove_dir` refuses any that holds something.
    fn holding<T>(&self, lock: OutputLock, work: impl FnOnce() -> Result<T, RunError>) -> Result<T, RunError> {
        let worked = work();
        drop(lock);
        if worked.is_err() {
            std::fs::remove_dir(&self.settings.out).ok();
        }
        worked
    }

    fn compute_windows(&self, shard: Option<Shard>, observer: &mut dyn Observer) -> Result<(), RunError> {
        let parts = self.parts();
        refuse_foreign(&self.settings.out, &parts)?;
        std::fs::create_dir_all(&parts).map_err(|source| RunError::Io {
            attempt: "create",
            path: parts.clone(),
            source,
        })?;
        let computed = with_kernels!(self.present()?, |kernels| self.compute_on(kernels, shard, observer));
        if computed.is_err() {
            // A folder in which nothing was finished is taken back; `remove_dir` refuses any that holds something.
            std::fs::remove_dir(&parts).ok();
        }
        computed
    }

    fn compute_on<K: CalibrationKernels>(&self, kernels: K, shard: Option<Shard>, observer: &mut dyn Observer) -> Result<(), RunError> {
        let backend = kernels.describe();
        let decoder = Decoder::new(self.checkpoint.clone(), kernels, self.plan.weights)?;
        let mut todo = Vec::new();
        for (index, window) in self.windows.iter().enumerate() {
            let own = shard.is_none_or(|shard| index % shard.of + 1 == shard.number);
            if own && WindowPart::load(&self.part(window), &self.part_key(window))?.is_none() {
                todo.push(window.clone());
            }
        }
        let mut done = self.windows.len() - todo.len();
        if done > 0 && shard.is_none() {
            observer.event(Event::Resumed { instances: done });
        }
        if todo.is_empty() {
            return Ok(());
        }
        if self.settings.calibration.is_none() && self.menu.calibrated().next().is_some() {
            // Measured: 2.3 (6 bits) to 4.6 times (3 bits) the prediction for GPTQ on SmolLM2.
            let text = "methods of the menu are calibrated on the very windows that are sketched, where their errors are small: on other text they \
                        cost more than is predicted here; give other text to calibrate on (--calibration-tokens, --calibration-text)";
            observer.event(Event::Note { text: text.into() });
        }
        let config = self.checkpoint.config();
        if (0..config.layers).any(|layer| config.experts(layer).is_some()) {
            let text = "the choice of experts is held constant: where a format sends tokens to other experts, it costs more than is predicted here; measure \
                        what you choose (--measure, `trial`)";
            observer.event(Event::Note { text: text.into() });
        }
        let changes = self.changes_folder()?;
        self.menu.calibrate(&decoder, &self.checkpoint, &changes, observer)?;
        let layers = decoder.config().layers;
        let cost = |window: &SketchWindow| self.plan.steps(window);
        let whole: f64 = todo.iter().map(cost).sum::<f64>() * layers as f64;
        let tokens: usize = todo.iter().map(|window| window.ids.len()).sum();
        let began = Instant::now();
        let mut spent = 0.0;
        for batch in todo.chunks(self.plan.batch) {
            if observer.stop() {
                return Err(InterpretError::Cancelled.into());
            }
            observer.event(Event::Began {
                id: batch[0].id.clone(),
                count: batch.len(),
            });
            let mut watch = |size: usize| {
                spent += size as f64;
                let share = (spent / whole.max(1.0)).min(1.0);
                observer.event(Event::advanced(share, tokens as f64, began));
                !observer.stop()
            };
            let labels = |_: &SketchWindow| Labels::Drawn {
                seed: self.settings.seed,
                draws: self.settings.draws,
            };
            let found = catch_panic("a window", || {
                sketch::<K, RunError>(
                    &decoder,
                    batch,
                    &labels,
                    SketchOptions {
                        formats: self.menu.formats(),
                        gradient_score: self.settings.gradient_score,
                    },
                    (ActivationStorage::Device, &self.parts()),
                    &mut |layer| self.menu.changes(&self.checkpoint, layer, &changes),
                    &mut watch,
                )
            })?;
            for (part, window) in found.iter().zip(batch) {
                part.save(&self.part(window), &self.part_key(window), &backend)?;
            }
            done += batch.len();
            observer.event(Event::Finished { done, of: self.windows.len() });
        }
        Ok(())
    }

    /// The sketch in the folder, if it is this run's.
    fn finished(&self) -> Result<Option<Sensitivity>, RunError> {
        let path = self.settings.out.join(cruxscope_study::SENSITIVITY_FILE);
        let Ok(bytes) = std::fs::read(&path) else { return Ok(None) };
        let found = Sensitivity::from_bytes(&bytes)?;
        let key = found.facts.settings.get("run").and_then(serde_json::Value::as_str);
        Ok((key == Some(self.run_key().as_str())).then_some(found))
    }

    fn parts(&self) -> PathBuf {
        self.settings.out.join(PARTS)
    }

    /// Where calibrated methods leave what they change.
    fn changes_folder(&self) -> Result<PathBuf, RunError> {
        folder_of_changes(self.settings.changes.as_deref(), &self.parts())
    }

    fn part(&self, window: &SketchWindow) -> PathBuf {
        let digest = cruxscope_study::Digest::of(window.id.as_bytes());
        self.parts().join(format!("window-{}.safetensors", &digest.0[..24]))
    }

    /// Covers everything that the sketch's numbers depend on.
    fn run_key(&self) -> String {
        let mut builder = DigestBuilder::default();
        for window in &self.windows {
            builder.update(self.part_key(window).as_bytes());
        }
        builder.update(&[u8::from(self.settings.measure)]);
        builder.finish().0
    }

    fn part_key(&self, window: &SketchWindow) -> String {
        let mut builder = DigestBuilder::default();
        let (draws, seed) = (self.settings.draws, self.settings.seed);
        let (score, menu, arithmetic) = (self.settings.gradient_score, self.menu.key(), device::arithmetic(&self.settings.device));
        builder.update(format!("sensitivity {PART_VERSION} {draws} {seed} {score} {menu} {arithmetic}").as_bytes());
        for file in &self.model_files {
            builder.update(format!("\n{} {}", file.name, file.sha256).as_bytes());
        }
        builder.update(format!("\n{}\n", window.id).as_bytes());
        for id in &window.ids {
            builder.update(&id.to_le_bytes());
        }
        for (scope, rows) in &window.scopes {
            builder.update(format!("\n{scope} {rows:?}").as_bytes());
        }
        builder.finish().0
    }
}

/// The folder that was given for changes, which is made if it is not there, or the run's own.
pub(crate) fn folder_of_changes(given: Option<&Path>, own: &Path) -> Result<PathBuf, RunError> {
    let Some(folder) = given else { return Ok(own.to_owned()) };
    std::fs::create_dir_all(folder).map_err(|source| RunError::Io {
        attempt: "create",
        path: folder.to_owned(),
        source,
    })?;
    Ok(folder.to_owned())
}

/// Refuses arrays that stand where those of a new study would, unless a run that was stopped while it saved, and left its parts, can have
/// put them there.
pub(crate) fn refuse_foreign(out: &Path, parts: &Path) -> Result<(), RunError> {
    let path = out.join(ARRAYS_FILE);
    if out.join(MANIFEST_FILE).is_file() || !path.exists() {
        return Ok(());
    }
    let is_ours = parts.is_dir() && std::fs::read(&path).is_ok_and(|bytes| SafeTensors::read_metadata(&bytes).is_ok());
    if is_ours {
        return Ok(());
    }
    Err(RunError::Foreign {
        path,
        why: "no study.json stands beside it",
    })
}

/// Refuses a folder that holds the study of another model.
pub(crate) fn check_study(out: &Path, model: &ModelEntry) -> Result<(), RunError> {
    let occupied = |why: String| RunError::Occupied { path: out.to_owned(), why };
    if out.exists() && !out.is_dir() {
        return Err(occupied("it is a file".into()));
    }
    if !out.join(MANIFEST_FILE).is_file() {
        return Ok(());
    }
    let study = folder::load_without_channels(out).map_err(|error| occupied(format!("which cannot be read: {error}")))?;
    let known = &study.manifest.model;
    let digests = |model: &ModelEntry| model.files.iter().map(|file| file.sha256.0.clone()).collect::<BTreeSet<_>>();
    let same_files = known.files.is_empty() || digests(known) == digests(model);
    if known.layers == model.layers && known.modules == model.modules && same_files {
        return Ok(());
    }
    Err(occupied(format!("of {}, which is another model", known.name)))
}
