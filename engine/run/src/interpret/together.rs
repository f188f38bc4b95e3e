//! Finished parts put together into a study.

use cruxscope_interpret::attribution::{Channels, Steering, contribution};
use cruxscope_interpret::part::InstancePart;
use cruxscope_interpret::pass::Instance;
use cruxscope_interpret::{InterpretError, Layout};
use cruxscope_study::{COMPRESSION_FILE, Contributions, InstanceEntry, MANIFEST_FILE, Study, TraceEntry, folder};
use serde_json::Value;

use super::{Outcome, PlannedRun};
use crate::compress::report_of;
use crate::manifest::ManifestSource;
use crate::{Event, Observer, RunError};

impl PlannedRun {
    /// Makes the study out of the parts, all of which are there, and saves it; bytes do not depend on how the work was divided.
    ///
    /// # Errors
    /// When a part is missing, or the disk refuses.
    pub fn put_together(self, observer: &mut dyn Observer) -> Result<Outcome, RunError> {
        let run_key = self.run_key();
        if let Some(study) = self.finished(&run_key)? {
            return Ok(Outcome { study, was_complete: true });
        }
        observer.event(Event::Merging);
        let mut study = self.combine(&run_key)?;
        study.manifest.traces = self.save_texts()?;
        // What was done to the model is shown beside what it changed.
        if let Some(map) = report_of(self.checkpoint.path()).and_then(|report| report.map(&self.checkpoint.name())) {
            folder::write_atomically(&self.settings.out.join(COMPRESSION_FILE), &map.to_json()?)?;
        }
        folder::save(&study, &self.settings.out)?;
        // Parts are hours of work: they go once the study that holds all they gave was read back. A leftover is only untidy.
        let study = folder::load(&self.settings.out)?;
        std::fs::remove_dir_all(self.parts()).ok();
        Ok(Outcome { study, was_complete: false })
    }

    /// Saves the texts of the traces, where they are kept, and gives what the manifest says of them.
    fn save_texts(&self) -> Result<Vec<TraceEntry>, RunError> {
        let mut entries = Vec::new();
        for (place, text) in self.instances.texts.iter().enumerate() {
            if let Some(text) = text.as_ref().filter(|_| self.settings.texts) {
                let (entry, bytes) = text.to_file(place)?;
                folder::write_atomically(&self.settings.out.join(&entry.file.file), &bytes)?;
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    /// The study in the folder, if it is this run's.
    pub(super) fn finished(&self, run_key: &str) -> Result<Option<Study>, RunError> {
        let out = &self.settings.out;
        if out.exists() && !out.is_dir() {
            return Err(RunError::Occupied {
                path: out.clone(),
                why: "it is a file".into(),
            });
        }
        if !out.join(MANIFEST_FILE).is_file() {
            return Ok(None);
        }
        let occupied = |why: String| RunError::Occupied { path: out.clone(), why };
        let study = folder::load(out).map_err(|error| occupied(format!("which cannot be read: {error}")))?;
        if study.manifest.settings.get("run").and_then(Value::as_str) == Some(run_key) {
            return Ok(Some(study));
        }
        Err(occupied(format!("{}, definition {}", study.manifest.title, study.manifest.definition)))
    }

    /// Puts the parts together in the order of their ids, in two readings: steering vectors first, then what they give.
    fn combine(&self, run_key: &str) -> Result<Study, RunError> {
        let definition = self.settings.traces.definition;
        let layout = Layout::of(self.checkpoint.config());
        let load = |instance: &Instance| -> Result<InstancePart, RunError> {
            let path = self.part(instance);
            InstancePart::load(&path, &self.part_key(instance))?.ok_or_else(|| {
                InterpretError::Part {
                    path,
                    why: "it has disappeared".into(),
                }
                .into()
            })
        };
        let mut steering = Steering::new(layout.clone(), definition);
        let mut channels = Channels::new(layout.clone());
        for instance in &self.instances.items {
            let part = load(instance)?;
            steering.add(&part)?;
            channels.add(&part);
        }
        let steering = steering.finish();
        let mut contributions = Contributions::default();
        let mut entries = Vec::new();
        let mut backends = std::collections::BTreeSet::new();
        for (instance, cut) in self.instances.items.iter().zip(&self.instances.tokens_cut) {
            let part = load(instance)?;
            contributions.instances.push(contribution(&part, &steering, &layout, definition));
            entries.push(InstanceEntry {
                id: part.id.clone(),
                tokens: part.tokens,
                tokens_cut: *cut,
                segments: part.segments,
                loss: part.loss(),
            });
            backends.insert(part.backend);
        }
        let maps = self.settings.channels.then(|| channels.finish(&steering, &contributions));
        let source = ManifestSource {
            checkpoint: &self.checkpoint,
            settings: &self.settings,
            instances: &self.instances,
            model_files: &self.model_files,
            data_files: &self.data_files,
        };
        let manifest = source.manifest(entries, backends.into_iter().collect(), run_key);
        Ok(Study::new(manifest, contributions, maps)?)
    }
}
