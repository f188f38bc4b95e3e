//! Finished parts put together into a study.

use std::time::Duration;

use cruxscope_interpret::attribution::{Channels, RoutedShares, Steering, components, contribution};
use cruxscope_interpret::part::InstancePart;
use cruxscope_interpret::pass::Instance;
use cruxscope_interpret::{InterpretError, Layout};
use cruxscope_study::parts::remove_parts;
use cruxscope_study::{
    ARRAYS_FILE, CHANNELS_FILE, COMPRESSION_FILE, InstanceEntry, MANIFEST_FILE, OutputLock, PARTS_FILE, Study, TraceEntry, TraceText, folder,
};
use safetensors::SafeTensors;
use serde_json::Value;

use super::{Outcome, PlannedRun};
use crate::compress::report_of;
use crate::manifest::{ManifestSource, modules_of};
use crate::{Event, Observer, RunError};

/// How long merging waits for a shard that is about to end.
const PATIENCE: Duration = Duration::from_secs(30);

impl PlannedRun {
    /// Makes the study out of the parts, all of which are there, and saves it; bytes do not depend on how the work was divided. Waits
    /// a while for a shard that is about to end.
    ///
    /// # Errors
    /// When a part is missing, another run has the folder, or the disk refuses.
    pub fn put_together(self, observer: &mut dyn Observer) -> Result<Outcome, RunError> {
        if let Some(outcome) = self.complete()? {
            return Ok(outcome);
        }
        let _lock = OutputLock::take_in(&self.settings.out, PATIENCE)?;
        self.save(observer)
    }

    /// What an earlier run saved, if it was this one. Whoever saved it may have been killed before all parts went: they go now, unless
    /// somebody has the folder, or nothing can be written there.
    pub(super) fn complete(&self) -> Result<Option<Outcome>, RunError> {
        let Some(study) = self.finished(&self.run_key())? else {
            return Ok(None);
        };
        if self.parts().is_dir()
            && let Ok(_lock) = OutputLock::take_in(&self.settings.out, Duration::ZERO)
        {
            remove_parts(&self.parts());
        }
        Ok(Some(Outcome { study, was_complete: true }))
    }

    /// The same for whoever has the folder already.
    pub(super) fn save(self, observer: &mut dyn Observer) -> Result<Outcome, RunError> {
        let run_key = self.run_key();
        if let Some(study) = self.finished(&run_key)? {
            // Whoever saved it may have been killed before the parts went.
            remove_parts(&self.parts());
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
        let saved = folder::load(&self.settings.out)?;
        self.read_texts_back(&saved)?;
        remove_parts(&self.parts());
        Ok(Outcome {
            study: saved,
            was_complete: false,
        })
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

    /// Texts stand beside the arrays, which loading checks: here they are compared with what the manifest says of them.
    fn read_texts_back(&self, saved: &Study) -> Result<(), RunError> {
        for entry in &saved.manifest.traces {
            let path = self.settings.out.join(&entry.file.file);
            let bytes = std::fs::read(&path).map_err(|source| RunError::Io {
                attempt: "read back",
                path,
                source,
            })?;
            TraceText::from_file(entry, &bytes)?;
        }
        Ok(())
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
        let occupied = |why: String| RunError::Occupied { path: out.clone(), why };
        if !out.join(MANIFEST_FILE).is_file() {
            return match self.foreign() {
                Some(name) => Err(occupied(format!("{name}, without a study.json, or a run that is under way"))),
                None => Ok(None),
            };
        }
        let study = folder::load(out).map_err(|error| occupied(format!("which cannot be read: {error}")))?;
        if study.manifest.settings.get("run").and_then(Value::as_str) == Some(run_key) {
            return Ok(Some(study));
        }
        Err(occupied(format!("{}, definition {}", study.manifest.title, study.manifest.definition)))
    }

    /// A file that saving the study would write over and that this program did not put there: any where no run is under way that could
    /// have, else one of another kind.
    fn foreign(&self) -> Option<String> {
        let is_under_way = self.parts().is_dir();
        let is_of_its_kind = |name: &str| {
            let Ok(bytes) = std::fs::read(self.settings.out.join(name)) else {
                return false;
            };
            if name.ends_with(".safetensors") {
                SafeTensors::read_metadata(&bytes).is_ok()
            } else {
                serde_json::from_slice::<Value>(&bytes).is_ok()
            }
        };
        let texts = (0..self.instances.texts.len()).map(TraceText::file_name);
        let fixed = [ARRAYS_FILE, CHANNELS_FILE, COMPRESSION_FILE, PARTS_FILE].map(str::to_owned);
        fixed
            .into_iter()
            .chain(texts)
            .find(|name| self.settings.out.join(name).exists() && !(is_under_way && is_of_its_kind(name)))
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
        let (mut units, mut shares) = (Vec::new(), RoutedShares::new(&layout));
        let mut entries = Vec::new();
        let mut backends = std::collections::BTreeSet::new();
        for (instance, cut) in self.instances.items.iter().zip(&self.instances.tokens_cut) {
            let part = load(instance)?;
            units.push(contribution(&part, &steering, &layout, definition));
            shares.add(&part);
            entries.push(InstanceEntry {
                id: part.id.clone(),
                tokens: part.tokens,
                tokens_cut: *cut,
                segments: part.segments,
                loss: part.loss(),
            });
            backends.insert(part.backend);
        }
        let (contributions, parts) = components(units, &layout);
        let mut widths = [0; 7];
        let dimensions = modules_of(self.checkpoint.config());
        widths.iter_mut().zip(&dimensions).for_each(|(width, dimensions)| *width = dimensions.outputs);
        let maps = self.settings.channels.then(|| channels.finish(&steering, &contributions, widths));
        let source = ManifestSource {
            checkpoint: &self.checkpoint,
            settings: &self.settings,
            instances: &self.instances,
            model_files: &self.model_files,
            data_files: &self.data_files,
        };
        let manifest = source.manifest(entries, backends.into_iter().collect(), run_key);
        let study = Study::new(manifest, contributions, maps)?;
        Ok(match parts {
            Some(parts) => study.with_parts(parts, shares.finish(&layout))?,
            None => study,
        })
    }
}
