//! The method under both definitions, and with each departure of the published code alone, from one pass over the traces.
//!
//! All variants read the same forward pass; what they differ in is which rows go back, how gradients are grouped and how sums are taken.
//! Each becomes a study of its own, and all of them a collection. A finished instance is a part in `OUT/.definitions`.

mod part;
mod variants;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cruxscope_checkpoint::Checkpoint;
use cruxscope_interpret::attribution::{Steering, components, contribution};
use cruxscope_interpret::part::InstancePart;
use cruxscope_interpret::pass::{self, Instance};
use cruxscope_interpret::{InterpretError, Layout};
use cruxscope_model::decoder::Decoder;
use cruxscope_model::device::{self, ChosenDevice};
use cruxscope_model::kernels::Kernels;
use cruxscope_model::with_kernels;
use cruxscope_study::parts::remove_parts;
use cruxscope_study::{
    COLLECTION_FILE, COLLECTION_SCHEMA, Collection, Definition, DigestBuilder, FileDigest, InstanceEntry, OutputLock, Study, StudyError, folder,
};
use serde_json::Value;

use self::variants::Everything;
pub use self::variants::Variant;
use crate::digests;
use crate::guard::catch_panic;
use crate::instances::{Instances, TraceSettings};
use crate::interpret::InterpretSettings;
use crate::manifest::ManifestSource;
use crate::place::Place;
use crate::plan::{Plan, Work};
use crate::{Event, Observer, RunError};

/// Changes whenever a part's numbers would.
const PART_VERSION: u32 = 2;
/// Where finished instances are kept until they are put together.
const PARTS: &str = ".definitions";
/// The folder of the studies.
const STUDIES: &str = "studies";

/// A run that has been checked and can begin.
pub struct PlannedDefinitions {
    settings: InterpretSettings,
    checkpoint: Arc<Checkpoint>,
    device: ChosenDevice,
    /// Instances as the paper's reading gives them, and as the published one does, both of the same ids.
    instances: [Instances; 2],
    asked: Vec<Everything>,
    model_files: Vec<FileDigest>,
    data_files: Vec<FileDigest>,
    /// What it will do and take.
    pub plan: Plan,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct DefinitionsOutcome {
    /// The studies, in the order of [`Variant::ALL`].
    pub studies: Vec<Study>,
    /// Whether all had been finished by an earlier run.
    pub was_complete: bool,
}

impl PlannedDefinitions {
    /// Opens everything, reads the traces both ways and plans; nothing is written. The definition in the settings is not read.
    ///
    /// # Errors
    /// When an input cannot be used, the device is missing, or the run would not fit.
    pub fn new(settings: InterpretSettings, observer: &mut dyn Observer) -> Result<Self, RunError> {
        let device = device::find(&settings.device)?;
        let checkpoint = Arc::new(Checkpoint::open(&settings.model)?);
        let read = |definition| {
            let traces = TraceSettings {
                definition,
                reading: None,
                alignment: None,
                ..settings.traces.clone()
            };
            Instances::read(&checkpoint, &traces)
        };
        let mut instances = [read(Definition::Paper)?, read(Definition::Released)?];
        fill(&mut instances);
        let pairs = instances[0].items.iter().zip(&instances[1].items);
        let asked: Vec<Everything> = pairs.map(|(paper, released)| Everything::of(paper, released)).collect();
        let model_files = digests::all(&checkpoint.files(), observer)?;
        let data_files = digests::all(&[settings.traces.traces.clone(), settings.traces.annotations.clone()], observer)?;
        let place = Place::of(Some(&device), &settings.device, &checkpoint, settings.device_memory)?.measured(&device, &checkpoint)?;
        let work = asked.iter().map(|asked| Work {
            spans: asked.ask.spans.len(),
            rows: asked.ask.spans.iter().map(|span| span.live_rows().len()).sum(),
            vectors: 1 + asked.ask.plus.len() + asked.ask.groups.len(),
        });
        let work: Vec<Work> = work.collect();
        let plan = Plan::of_rows(checkpoint.config(), &instances[0], &work, settings.weights, &place)?;
        Ok(Self {
            settings,
            checkpoint,
            device,
            instances,
            asked,
            model_files,
            data_files,
            plan,
        })
    }

    /// The device, in words.
    pub fn device(&self) -> String {
        self.device.describe()
    }

    /// The checkpoint's name.
    pub fn model_name(&self) -> String {
        self.checkpoint.name()
    }

    /// Runs, or goes on, and saves the studies and their collection.
    ///
    /// # Errors
    /// When the model cannot be run, the observer says stop, or the disk refuses. Finished instances stay on disk.
    pub fn run(self, observer: &mut dyn Observer) -> Result<DefinitionsOutcome, RunError> {
        if let Some(studies) = self.finished()? {
            return Ok(DefinitionsOutcome { studies, was_complete: true });
        }
        let lock = OutputLock::take_in(&self.settings.out, Duration::ZERO)?;
        let worked = self.compute_and_save(observer);
        drop(lock);
        if worked.is_err() {
            // Folders in which nothing was finished are taken back; `remove_dir` refuses any that holds something.
            for folder in [self.parts(), self.settings.out.clone()] {
                std::fs::remove_dir(folder).ok();
            }
        }
        worked
    }

    fn compute_and_save(&self, observer: &mut dyn Observer) -> Result<DefinitionsOutcome, RunError> {
        let parts = self.parts();
        if self.settings.out.join(COLLECTION_FILE).exists() && !parts.is_dir() {
            return Err(RunError::Occupied {
                path: self.settings.out.clone(),
                why: "a collection that is not this run's".into(),
            });
        }
        std::fs::create_dir_all(&parts).map_err(|source| RunError::Io {
            attempt: "create",
            path: parts.clone(),
            source,
        })?;
        with_kernels!(self.device.clone(), |kernels| self.compute(kernels, observer))?;
        observer.event(Event::Merging);
        let key = self.run_key();
        let mut studies = Vec::new();
        for (place, variant) in Variant::ALL.iter().enumerate() {
            let study = self.combine(place, variant, &key)?;
            let out = self.study(variant);
            std::fs::create_dir_all(&out).map_err(|source| RunError::Io {
                attempt: "create",
                path: out.clone(),
                source,
            })?;
            folder::save(&study, &out)?;
            studies.push(folder::load(&out)?);
        }
        let collection = Collection {
            schema: COLLECTION_SCHEMA,
            title: format!("{} under both definitions", self.checkpoint.name()),
            studies: Variant::ALL.iter().map(|variant| format!("{STUDIES}/{}", variant.name)).collect(),
            ..Collection::default()
        };
        let mut bytes = serde_json::to_vec_pretty(&collection).map_err(|source| StudyError::Json {
            file: COLLECTION_FILE.into(),
            source,
        })?;
        bytes.push(b'\n');
        folder::write_atomically(&self.settings.out.join(COLLECTION_FILE), &bytes)?;
        remove_parts(&parts);
        Ok(DefinitionsOutcome { studies, was_complete: false })
    }

    fn compute<K: Kernels>(&self, kernels: K, observer: &mut dyn Observer) -> Result<(), RunError> {
        let backend = kernels.describe();
        let decoder = Decoder::new(self.checkpoint.clone(), kernels, self.plan.placement.weights)?;
        let (storage, folder) = (self.plan.placement.activations, self.parts());
        let instances = &self.instances[0].items;
        let mut todo = Vec::new();
        let mut at = 0;
        for count in &self.plan.placement.batches {
            let mut batch = Vec::new();
            for place in at..at + count {
                if self.load(place)?.is_none() {
                    batch.push(place);
                }
            }
            todo.push(batch);
            at += count;
        }
        todo.retain(|batch| !batch.is_empty());
        let mut done = instances.len() - todo.iter().map(Vec::len).sum::<usize>();
        if done > 0 {
            observer.event(Event::Resumed { instances: done });
        }
        let layers = decoder.config().layers;
        let rows = |place: usize| -> usize { self.asked[place].ask.spans.iter().map(|span| span.live_rows().len()).sum() };
        let cost = |place: &usize| (instances[*place].ids.len() + 2 * rows(*place)) * layers;
        let whole: usize = todo.iter().flatten().map(cost).sum();
        let tokens: usize = todo.iter().flatten().map(|place| instances[*place].ids.len()).sum();
        let (began, mut spent) = (Instant::now(), 0);
        for batch in &todo {
            if observer.stop() {
                return Err(InterpretError::Cancelled.into());
            }
            observer.event(Event::Began {
                id: instances[batch[0]].id.clone(),
                count: batch.len(),
            });
            let (forward, mut steps) = (batch.len() * layers, 0);
            let mut advance = |size: usize| {
                steps += 1;
                spent += if steps <= forward { size } else { 2 * size };
                observer.event(Event::advanced((spent as f64 / whole.max(1) as f64).min(1.0), tokens as f64, began));
                !observer.stop()
            };
            let asked: Vec<_> = batch.iter().map(|place| (&instances[*place], &self.asked[*place].ask)).collect();
            let found = catch_panic("an instance", || pass::attribute(&decoder, &asked, storage, &folder, &mut advance))?;
            for (found, place) in found.into_iter().zip(batch) {
                let found = InstancePart {
                    backend: backend.clone(),
                    ..found
                };
                part::save(&found, &self.part(*place), &self.part_key(*place))?;
            }
            done += batch.len();
            observer.event(Event::Finished { done, of: instances.len() });
        }
        Ok(())
    }

    /// One variant's study out of the parts, in two readings: steering vectors first, then what they give.
    fn combine(&self, place: usize, variant: &Variant, run_key: &str) -> Result<Study, RunError> {
        let layout = Layout::of(self.checkpoint.config());
        let side = &self.instances[usize::from(variant.sections == Definition::Released)];
        let part = |index: usize| -> Result<InstancePart, RunError> {
            let whole = self.load(index)?.ok_or_else(|| InterpretError::Part {
                path: self.part(index),
                why: "it has disappeared".into(),
            })?;
            Ok(self.asked[index].taken[place].part(&whole))
        };
        let mut steering = Steering::new(layout.clone(), variant.summing);
        for index in 0..side.items.len() {
            steering.add(&part(index)?)?;
        }
        let steering = steering.finish();
        let (mut units, mut entries) = (Vec::new(), Vec::new());
        let mut backends = std::collections::BTreeSet::new();
        for (index, cut) in side.tokens_cut.iter().enumerate() {
            let part = part(index)?;
            units.push(contribution(&part, &steering, &layout, variant.summing));
            entries.push(InstanceEntry {
                id: part.id.clone(),
                tokens: part.tokens,
                tokens_cut: *cut,
                segments: part.segments,
                loss: part.loss(),
            });
            backends.insert(part.backend);
        }
        let settings = InterpretSettings {
            traces: TraceSettings {
                definition: variant.sections,
                reading: None,
                alignment: None,
                ..self.settings.traces.clone()
            },
            title: Some(format!("{}: {}", self.checkpoint.name(), variant.words)),
            ..self.settings.clone()
        };
        let source = ManifestSource {
            checkpoint: &self.checkpoint,
            settings: &settings,
            instances: side,
            model_files: &self.model_files,
            data_files: &self.data_files,
        };
        let mut manifest = source.manifest(entries, backends.into_iter().collect(), run_key);
        manifest.definition = variant.definition();
        // Single departures say so; the two definitions themselves are what `interpret` calls them.
        if !matches!(variant.name, "paper" | "reference") {
            manifest.settings.insert("departure".into(), variant.name.into());
        }
        // Contributions of parts of components belong to the paper's own study; here they are added up.
        let (contributions, _) = components(units, &layout);
        manifest.model.parts = None;
        manifest.schema = cruxscope_study::Manifest::schema_for(&manifest.model);
        Ok(Study::new(manifest, contributions, None)?)
    }

    /// The studies in the folder, if they are this run's.
    fn finished(&self) -> Result<Option<Vec<Study>>, RunError> {
        if !self.settings.out.join(COLLECTION_FILE).is_file() {
            return Ok(None);
        }
        let key = self.run_key();
        let mut studies = Vec::new();
        for variant in &Variant::ALL {
            let Ok(study) = folder::load(&self.study(variant)) else { return Ok(None) };
            if study.manifest.settings.get("run").and_then(Value::as_str) != Some(key.as_str()) {
                return Ok(None);
            }
            studies.push(study);
        }
        Ok(Some(studies))
    }

    fn study(&self, variant: &Variant) -> PathBuf {
        self.settings.out.join(STUDIES).join(variant.name)
    }

    fn parts(&self) -> PathBuf {
        self.settings.out.join(PARTS)
    }

    fn part(&self, place: usize) -> PathBuf {
        let digest = cruxscope_study::Digest::of(self.instances[0].items[place].id.as_bytes());
        self.parts().join(format!("{}.safetensors", &digest.0[..24]))
    }

    fn load(&self, place: usize) -> Result<Option<InstancePart>, RunError> {
        Ok(part::load(&self.part(place), &self.part_key(place))?)
    }

    fn run_key(&self) -> String {
        let mut builder = DigestBuilder::default();
        for place in 0..self.asked.len() {
            builder.update(self.part_key(place).as_bytes());
        }
        builder.finish().0
    }

    fn part_key(&self, place: usize) -> String {
        let mut builder = DigestBuilder::default();
        builder.update(format!("definitions {PART_VERSION} {}", device::arithmetic(&self.settings.device)).as_bytes());
        for file in &self.model_files {
            builder.update(format!("\n{} {}", file.name, file.sha256).as_bytes());
        }
        for instances in &self.instances {
            let instance = &instances.items[place];
            builder.update(format!("\n{}\n", instance.id).as_bytes());
            for id in &instance.ids {
                builder.update(&id.to_le_bytes());
            }
            for segment in &instance.segments {
                builder.update(format!("\n{} {} {}", segment.behaviour, segment.start, segment.last).as_bytes());
            }
        }
        builder.finish().0
    }
}

/// Gives both sides the same instances: one that a way of reading leaves nothing of has no segment there.
fn fill(instances: &mut [Instances; 2]) {
    let mut all: BTreeMap<String, (Instance, usize)> = BTreeMap::new();
    for side in instances.iter() {
        for (instance, cut) in side.items.iter().zip(&side.tokens_cut) {
            let bare = Instance {
                segments: Vec::new(),
                ..instance.clone()
            };
            all.entry(instance.id.clone()).or_insert((bare, *cut));
        }
    }
    for side in instances.iter_mut() {
        let own: BTreeMap<String, Instance> = side.items.drain(..).map(|instance| (instance.id.clone(), instance)).collect();
        side.items = all.iter().map(|(id, (bare, _))| own.get(id).unwrap_or(bare).clone()).collect();
        side.tokens_cut = all.values().map(|(_, cut)| *cut).collect();
        // Texts are those of `interpret`'s own study.
        side.texts = vec![None; side.items.len()];
    }
}
