//! The interpretation of a model: planned, resumable at the grain of an instance, and put together into a study.
//!
//! Every finished instance is a part in `OUT/.parts`, named by the digest of its id and carrying a key that covers the model's files,
//! the tokens, the segments, the definition, and the kind of device and its precision. A run takes the parts that are there and computes
//! the rest; the study is the same bytes however the work was split or interrupted. One run has the folder at a time, or several shards.

mod together;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cruxscope_checkpoint::Checkpoint;
use cruxscope_interpret::InterpretError;
use cruxscope_interpret::part::InstancePart;
use cruxscope_interpret::pass::{self, Instance};
use cruxscope_model::decoder::Decoder;
use cruxscope_model::device::{self, ChosenDevice};
use cruxscope_model::kernels::Kernels;
use cruxscope_model::with_kernels;
use cruxscope_study::{DigestBuilder, FileDigest, OutputLock, Study, folder};
use serde::{Deserialize, Serialize};

use crate::guard::catch_panic;
use crate::instances::{Instances, TraceSettings};
use crate::machine::format_bytes;
use crate::place::{Place, found_or_planned};
use crate::placement::WeightsChoice;
use crate::plan::Plan;
use crate::{Event, Observer, RunError, activations, digests};

/// Changes whenever a part's numbers would: parts of an earlier value are computed again.
const PART_VERSION: u32 = 3;
/// Where finished instances are kept until they are put together.
const PARTS: &str = ".parts";

/// What is to be interpreted, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InterpretSettings {
    /// A Hugging Face folder or a GGUF file.
    pub model: PathBuf,
    /// Traces and annotations.
    pub traces: TraceSettings,
    /// The folder of the study.
    pub out: PathBuf,
    /// The device, by name.
    pub device: String,
    /// Where weights live.
    pub weights: WeightsChoice,
    /// Free memory of the device in bytes, where the user gives it: for a device that cannot be asked, or is not in this machine.
    #[serde(default)]
    pub device_memory: Option<u64>,
    /// Whether per-channel maps are kept.
    pub channels: bool,
    /// Whether the texts of traces are kept, to be read beside the figures.
    pub texts: bool,
    /// A title for display; the model's name if there is none.
    pub title: Option<String>,
    /// Whether quantized activations are simulated.
    #[serde(default)]
    pub simulate_activations: bool,
}

/// A run that has been checked and can begin.
pub struct PlannedRun {
    settings: InterpretSettings,
    checkpoint: Arc<Checkpoint>,
    /// Nothing where the plan is for a device that is not here.
    device: Option<ChosenDevice>,
    instances: Instances,
    model_files: Vec<FileDigest>,
    data_files: Vec<FileDigest>,
    /// What its numbers hang on of the device; see [`device::arithmetic`].
    arithmetic: String,
    /// What it will do and take.
    pub plan: Plan,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The study.
    pub study: Study,
    /// Whether it had been finished by an earlier run.
    pub was_complete: bool,
}

impl PlannedRun {
    /// Opens everything, reads the traces and plans; nothing is written. A device that is not here can be planned for where its
    /// memory is given; the plan then knows no time, and cannot be run here.
    ///
    /// # Errors
    /// When an input cannot be used, the device is missing, or the run would not fit.
    pub fn new(settings: InterpretSettings, observer: &mut dyn Observer) -> Result<Self, RunError> {
        Self::open(settings, true, observer)
    }

    /// Opens everything only to put finished parts together: no device is needed, nothing is measured, and no memory can lack. The
    /// parts tell on what kind of device they were computed, one for all.
    ///
    /// # Errors
    /// When an input cannot be used.
    pub fn to_merge(settings: InterpretSettings, observer: &mut dyn Observer) -> Result<Self, RunError> {
        let here = InterpretSettings {
            device: "cpu".into(),
            device_memory: None,
            weights: WeightsChoice::Automatic,
            ..settings
        };
        let mut run = Self::open(here, false, observer)?;
        let finished = folder::load_without_channels(&run.settings.out).ok();
        let finished = finished.as_ref().and_then(|study| study.manifest.settings.get("run")?.as_str());
        // One part tells for all: those of another arithmetic count as missing.
        let part = run.instances.items.iter().find(|instance| run.part(instance).is_file()).cloned();
        for arithmetic in device::arithmetics() {
            let before = std::mem::replace(&mut run.arithmetic, arithmetic);
            let is_it = match (finished, &part) {
                (Some(key), _) => run.run_key() == key,
                (None, Some(work)) => InstancePart::load(&run.part(work), &run.part_key(work))?.is_some(),
                (None, None) => false,
            };
            if is_it {
                break;
            }
            run.arithmetic = before;
        }
        Ok(run)
    }

    fn open(settings: InterpretSettings, computes: bool, observer: &mut dyn Observer) -> Result<Self, RunError> {
        let device = found_or_planned(&settings.device, settings.device_memory)?;
        let checkpoint = Arc::new(activations::open(&settings.model, settings.simulate_activations)?);
        let instances = Instances::read(&checkpoint, &settings.traces)?;
        let model_files = digests::all(&checkpoint.files(), observer)?;
        let data_files = digests::all(&[settings.traces.traces.clone(), settings.traces.annotations.clone()], observer)?;
        let mut place = Place::of(device.as_ref(), &settings.device, &checkpoint, settings.device_memory)?;
        match &device {
            _ if !computes => place.machine_memory = None,
            Some(device) => place = place.measured(device, &checkpoint)?,
            None => {}
        }
        let plan = Plan::new(checkpoint.config(), &instances, settings.traces.definition, settings.weights, &place)?;
        for note in checkpoint.notes() {
            observer.event(Event::Note { text: note.clone() });
        }
        Ok(Self {
            arithmetic: device::arithmetic(&settings.device),
            settings,
            checkpoint,
            device,
            instances,
            model_files,
            data_files,
            plan,
        })
    }

    /// Digests of all that was read: the model's files, traces and annotations.
    pub fn inputs(&self) -> Vec<FileDigest> {
        self.model_files.iter().chain(&self.data_files).cloned().collect()
    }

    /// What was read, and what was left out.
    pub fn instances(&self) -> &Instances {
        &self.instances
    }

    /// What an instance costs beside others, in tokens that go through all layers once: a row is computed again and taken back.
    pub fn cost(&self, instance: &Instance) -> f64 {
        (instance.ids.len() + 2 * instance.packed_rows(self.settings.traces.definition)) as f64
    }

    /// The device, in words.
    pub fn device(&self) -> String {
        let absent = || format!("{}, which is not here", self.settings.device);
        self.device.as_ref().map_or_else(absent, ChosenDevice::describe)
    }

    /// The checkpoint's name.
    pub fn model_name(&self) -> String {
        self.checkpoint.name()
    }

    /// Runs, or goes on, and saves the study.
    ///
    /// # Errors
    /// When the model cannot be run, the observer says stop, or the disk refuses. Finished instances stay on disk.
    pub fn run(self, observer: &mut dyn Observer) -> Result<Outcome, RunError> {
        // A study that is finished may lie where nothing can be written, a lock neither.
        if let Some(outcome) = self.complete()? {
            return Ok(outcome);
        }
        let lock = OutputLock::take_in(&self.settings.out, Duration::ZERO)?;
        if let Err(error) = self.compute_missing(observer) {
            drop(lock);
            self.take_back();
            return Err(error);
        }
        self.save(observer)
    }

    /// Computes the parts that are missing, and leaves them in the folder: a share of a larger run, beside which others fill it too.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn compute_parts(&self, observer: &mut dyn Observer) -> Result<(), RunError> {
        let lock = OutputLock::take_share_in(&self.settings.out, Duration::ZERO)?;
        let computed = self.compute_missing(observer);
        drop(lock);
        if computed.is_err() {
            self.take_back();
        }
        computed
    }

    /// Folders in which nothing was finished are taken back; `remove_dir` refuses any that holds something.
    fn take_back(&self) {
        for folder in [&self.parts(), &self.settings.out] {
            std::fs::remove_dir(folder).ok();
        }
    }

    fn compute_missing(&self, observer: &mut dyn Observer) -> Result<(), RunError> {
        let device = match &self.device {
            Some(device) => device.clone(),
            None => device::find(&self.settings.device)?,
        };
        let parts = self.parts();
        std::fs::create_dir_all(&parts).map_err(|source| RunError::Io {
            attempt: "create",
            path: parts.clone(),
            source,
        })?;
        with_kernels!(device, |kernels| self.compute(kernels, observer))
    }

    /// The instances whose parts are not there, or are of another model or other text.
    ///
    /// # Errors
    /// When a part that is there cannot be read.
    pub fn missing(&self) -> Result<Vec<String>, RunError> {
        let mut missing = Vec::new();
        for instance in &self.instances.items {
            if InstancePart::load(&self.part(instance), &self.part_key(instance))?.is_none() {
                missing.push(instance.id.clone());
            }
        }
        Ok(missing)
    }

    /// Whether the study is in its folder already.
    ///
    /// # Errors
    /// When the folder holds another study.
    pub fn is_finished(&self) -> Result<bool, RunError> {
        Ok(self.finished(&self.run_key())?.is_some())
    }

    /// Where an instance's part is kept in the folder of a study.
    pub(crate) fn part_of(out: &Path, id: &str) -> PathBuf {
        let digest = cruxscope_study::Digest::of(id.as_bytes());
        out.join(PARTS).join(format!("{}.safetensors", &digest.0[..24]))
    }

    fn parts(&self) -> PathBuf {
        self.settings.out.join(PARTS)
    }

    fn part(&self, instance: &Instance) -> PathBuf {
        Self::part_of(&self.settings.out, &instance.id)
    }

    fn compute<K: Kernels>(&self, kernels: K, observer: &mut dyn Observer) -> Result<(), RunError> {
        let definition = self.settings.traces.definition;
        let backend = kernels.describe();
        let decoder = Decoder::new(self.checkpoint.clone(), kernels, self.plan.placement.weights)?;
        let (storage, folder) = (self.plan.placement.activations, self.parts());
        let layers = decoder.config().layers;
        let instances = &self.instances.items;
        let missing = |instance: &Instance| -> Result<bool, RunError> { Ok(InstancePart::load(&self.part(instance), &self.part_key(instance))?.is_none()) };

        let mut todo: Vec<Vec<Instance>> = Vec::new();
        let mut at = 0;
        for count in &self.plan.placement.batches {
            let mut batch = Vec::new();
            for instance in &instances[at..at + count] {
                if missing(instance)? {
                    batch.push(instance.clone());
                }
            }
            todo.push(batch);
            at += count;
        }
        todo.retain(|batch| !batch.is_empty());
        let remaining: usize = todo.iter().map(Vec::len).sum();
        let mut done = instances.len() - remaining;
        if done > 0 {
            observer.event(Event::Resumed { instances: done });
        }

        // A row costs about twice a token: it is computed again and taken back.
        let cost = |instance: &Instance| (instance.ids.len() + 2 * instance.packed_rows(definition)) * layers;
        let whole: usize = todo.iter().flatten().map(cost).sum();
        let tokens: usize = todo.iter().flatten().map(|instance| instance.ids.len()).sum();
        let began = Instant::now();
        let mut spent = 0;
        for batch in &todo {
            if observer.stop() {
                return Err(InterpretError::Cancelled.into());
            }
            observer.event(Event::Began {
                id: batch[0].id.clone(),
                count: batch.len(),
            });
            let forward_steps = batch.len() * layers;
            let mut steps = 0;
            let mut advance = |size: usize| {
                steps += 1;
                spent += if steps <= forward_steps { size } else { 2 * size };
                let share = (spent as f64 / whole.max(1) as f64).min(1.0);
                observer.event(Event::advanced(share, tokens as f64, began));
                !observer.stop()
            };
            let found = catch_panic("an instance", || {
                pass::interpret_keeping(&decoder, batch, definition, storage, &folder, &mut advance)
            })?;
            for (part, instance) in found.iter().zip(batch) {
                part.save(&self.part(instance), &self.part_key(instance), &backend)?;
            }
            done += batch.len();
            observer.event(Event::Finished { done, of: instances.len() });
        }
        // Its allocator gives nothing back, so what it holds at the end is the most that it ever held.
        if let Some(held) = decoder.kernels().held() {
            let planned = match self.plan.memory().device {
                0 => String::new(),
                planned => format!(", planned {}", format_bytes(planned)),
            };
            observer.event(Event::Note {
                text: format!("the device held {}{planned}", format_bytes(held)),
            });
        }
        Ok(())
    }

    /// Covers everything that the study's numbers depend on.
    fn run_key(&self) -> String {
        let mut builder = DigestBuilder::default();
        for instance in &self.instances.items {
            builder.update(self.part_key(instance).as_bytes());
        }
        builder.update(&[u8::from(self.settings.channels)]);
        if self.settings.texts {
            builder.update(b"texts");
        }
        builder.finish().0
    }

    fn part_key(&self, instance: &Instance) -> String {
        let mut builder = DigestBuilder::default();
        let simulated = activations::key(self.settings.simulate_activations);
        builder.update(format!("part {PART_VERSION} {} {}{simulated}", self.settings.traces.definition, self.arithmetic).as_bytes());
        for file in &self.model_files {
            builder.update(format!("\n{} {}", file.name, file.sha256).as_bytes());
        }
        builder.update(format!("\n{}\n", instance.id).as_bytes());
        for id in &instance.ids {
            builder.update(&id.to_le_bytes());
        }
        for segment in &instance.segments {
            builder.update(format!("\n{} {} {}", segment.behaviour, segment.start, segment.last).as_bytes());
        }
        builder.finish().0
    }
}
