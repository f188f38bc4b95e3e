//! An interpretation in shards: planned once into a file, run by as many processes as there are cards or nodes, put together.
//!
//! The file fixes what is computed and which instances belong to which shard; nothing is taken from the environment of a
//! scheduler. A shard leaves its finished instances in the folder of the study, each a file that is whole or not there, so it
//! can be stopped, killed and run again, alone or beside others. What is put together has the same bytes however the work was
//! split.

mod balance;
mod note;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use cruxscope_interpret::InterpretError;
use cruxscope_study::{FileDigest, StudyError, folder};
use serde::{Deserialize, Serialize};

use self::balance::balance;
use self::note::Note;
pub use self::note::{ShardState, ShardStatus};
use crate::interpret::{InterpretSettings, Outcome, PlannedRun};
use crate::place::has_memory_of_its_own;
use crate::placement::Placed;
use crate::{Event, Observer, RunError};

/// The newest layout of a plan that this program knows.
const SCHEMA: u32 = 1;

/// An interpretation and its shards, as the file of a plan holds them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShardPlan {
    /// Layout of this file.
    pub schema: u32,
    /// The program that wrote it, and its version.
    pub program: String,
    /// What is computed; every path is absolute.
    pub settings: InterpretSettings,
    /// The ids of each shard's instances.
    pub shards: Vec<Vec<String>>,
    /// The share of the whole work that each shard is.
    pub shares: Vec<f64>,
    /// Expected peak memory of a shard, in bytes.
    pub memory: u64,
    /// Expected peak of the device's own memory, where it has one that is known.
    #[serde(default)]
    pub device_memory: Option<u64>,
    /// Where things are put, in words.
    #[serde(default)]
    pub placement: Vec<Placed>,
    /// Floating-point operations in all.
    pub operations: f64,
    /// Expected seconds of the whole work on the machine that planned it, where its rate was measured.
    pub seconds: Option<f64>,
    /// Digests of what was read when it was planned; plans of earlier programs have none.
    #[serde(default)]
    pub inputs: Vec<FileDigest>,
}

/// One shard of a plan, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its number, from 1.
    pub number: usize,
    /// How many there are.
    pub of: usize,
}

impl std::str::FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once('/').and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        match parsed {
            Some((number, of)) if (1..=of).contains(&number) => Ok(Self { number, of }),
            _ => Err(format!("\"{text}\" is no shard; write 2/4 for the second of four")),
        }
    }
}

impl ShardPlan {
    /// Plans an interpretation in `shards` shards of about the same work.
    ///
    /// # Errors
    /// When the interpretation cannot be planned, or there are fewer instances than shards.
    pub fn new(mut settings: InterpretSettings, shards: usize, observer: &mut dyn Observer) -> Result<Self, RunError> {
        for path in [
            &mut settings.model,
            &mut settings.traces.traces,
            &mut settings.traces.annotations,
            &mut settings.out,
        ] {
            *path = std::path::absolute(&*path).map_err(|source| RunError::Io {
                attempt: "find",
                path: path.clone(),
                source,
            })?;
        }
        let run = PlannedRun::new(settings.clone(), observer)?;
        let instances = &run.instances().items;
        if shards == 0 || shards > instances.len() {
            return Err(RunError::Shards {
                why: format!(
                    "{shards} shards were asked for, but there are {} instances; a shard needs at least one",
                    instances.len()
                ),
            });
        }
        let costs: Vec<f64> = instances.iter().map(|instance| run.cost(instance)).collect();
        let whole: f64 = costs.iter().sum();
        let members = balance(&costs, shards);
        Ok(Self {
            schema: SCHEMA,
            program: concat!("cruxscope ", env!("CARGO_PKG_VERSION")).into(),
            shares: members
                .iter()
                .map(|shard| shard.iter().map(|place| costs[*place]).sum::<f64>() / whole)
                .collect(),
            shards: members
                .iter()
                .map(|shard| shard.iter().map(|place| instances[*place].id.clone()).collect())
                .collect(),
            memory: run.plan.memory().machine,
            device_memory: Some(run.plan.memory().device).filter(|bytes| *bytes > 0),
            placement: run.plan.placement.words.clone(),
            operations: run.plan.operations,
            seconds: run.plan.time.map(|time| time.as_secs_f64()),
            inputs: run.inputs(),
            settings,
        })
    }

    /// Reads the file of a plan.
    ///
    /// # Errors
    /// When it cannot be read, is no plan, or comes from a later program.
    pub fn read(path: &Path) -> Result<Self, RunError> {
        let bytes = std::fs::read(path).map_err(|source| RunError::Io {
            attempt: "read the plan",
            path: path.to_owned(),
            source,
        })?;
        let refuse = |why: String| RunError::Shards {
            why: format!("{} is no plan: {why}", path.display()),
        };
        let plan: Self = serde_json::from_slice(&bytes).map_err(|error| refuse(error.to_string()))?;
        if plan.schema > SCHEMA {
            return Err(refuse(format!(
                "it was written by a later program, {}; this one reads layouts up to {SCHEMA}",
                plan.program
            )));
        }
        if plan.shards.is_empty() || plan.shards.iter().any(Vec::is_empty) || plan.shares.len() != plan.shards.len() {
            return Err(refuse("it has a shard without an instance".into()));
        }
        let mut ids: Vec<&String> = plan.shards.iter().flatten().collect();
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(refuse("it has an instance in two shards".into()));
        }
        Ok(plan)
    }

    /// Writes the file atomically.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, path: &Path) -> Result<(), RunError> {
        if path.exists() && Self::read(path).is_err() {
            return Err(RunError::Shards {
                why: format!(
                    "{} is there and is no plan of this program; move it away, or name another file with --plan",
                    path.display()
                ),
            });
        }
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|source| StudyError::Json {
            file: path.display().to_string(),
            source,
        })?;
        bytes.push(b'\n');
        Ok(folder::write_atomically(path, &bytes)?)
    }

    /// Whether the shards have been put together, so that there is nothing left to compute.
    ///
    /// # Errors
    /// When the folder holds another study, or an input has changed.
    pub fn is_merged(&self, observer: &mut dyn Observer) -> Result<bool, RunError> {
        if !self.settings.out.join(cruxscope_study::MANIFEST_FILE).is_file() {
            return Ok(false);
        }
        PlannedRun::to_merge(self.settings.clone(), observer)?.is_finished()
    }

    /// Computes what is missing of a shard, on the plan's device or another. A shard that is finished is left alone, and so is a plan
    /// whose shards have been merged: this gives whether there was something to go on with.
    ///
    /// # Errors
    /// When the plan has other shards, another process computes this one, the model cannot be run, the observer says stop, or the disk
    /// refuses. The error is noted for [`Self::status`].
    pub fn run(&self, shard: Shard, device: Option<&str>, observer: &mut dyn Observer) -> Result<bool, RunError> {
        if shard.of != self.shards.len() {
            return Err(RunError::Shards {
                why: format!("the plan has {} shards, not {}", self.shards.len(), shard.of),
            });
        }
        if self.is_merged(observer)? {
            return Ok(false);
        }
        let ids = &self.shards[shard.number - 1];
        let mut note = Note::begin(&self.settings.out, shard.number, ids.len())?;
        let result = self.run_noted(ids, device, &mut note, observer);
        note.end(result.as_ref().err())?;
        result.map(|()| true)
    }

    fn run_noted(&self, ids: &[String], device: Option<&str>, note: &mut Note, observer: &mut dyn Observer) -> Result<(), RunError> {
        let mut settings = self.settings.clone();
        settings.traces.only = ids.to_vec();
        settings.traces.first = None;
        if let Some(device) = device {
            settings.device = device.to_owned();
            // It was said of the plan's device.
            settings.device_memory = settings.device_memory.filter(|_| has_memory_of_its_own(device));
        }
        let run = PlannedRun::new(settings, observer)?;
        self.check_inputs(&run)?;
        run.compute_parts(&mut HeartbeatObserver { observer, note })
    }

    /// Refuses to go on with other inputs than were planned.
    fn check_inputs(&self, run: &PlannedRun) -> Result<(), RunError> {
        let now = run.inputs();
        let refuse = |name: &str, what: &str| RunError::Shards {
            why: format!("{name} {what} since the plan was made; plan again"),
        };
        if self.inputs.is_empty() || self.inputs == now {
            return Ok(());
        }
        let find = |files: &[FileDigest], name: &str| files.iter().find(|file| file.name == name).map(|file| file.sha256.clone());
        for planned in &self.inputs {
            match find(&now, &planned.name) {
                None => return Err(refuse(&planned.name, "has gone")),
                Some(digest) if digest != planned.sha256 => return Err(refuse(&planned.name, "has changed")),
                Some(_) => {}
            }
        }
        let new = now.iter().find(|file| find(&self.inputs, &file.name).is_none());
        Err(refuse(new.map_or("a file", |file| &file.name), "has come"))
    }

    /// Puts the parts of all shards together into the study.
    ///
    /// # Errors
    /// When instances are missing (the error says of which shards), or the disk refuses.
    pub fn merge(&self, observer: &mut dyn Observer) -> Result<Outcome, RunError> {
        let run = PlannedRun::to_merge(self.settings.clone(), observer)?;
        let planned: Vec<&String> = self.shards.iter().flatten().collect();
        if let Some(instance) = run.instances().items.iter().find(|instance| !planned.contains(&&instance.id)) {
            return Err(RunError::Shards {
                why: format!("the traces hold an instance, {}, that the plan does not know; plan again", instance.id),
            });
        }
        let read: BTreeSet<&String> = run.instances().items.iter().map(|instance| &instance.id).collect();
        if let Some(lost) = planned.iter().find(|id| !read.contains(**id)) {
            return Err(RunError::Shards {
                why: format!("the plan has an instance, {lost}, that the traces do not hold any more; put it back, or plan again"),
            });
        }
        self.check_inputs(&run)?;
        let is_done = self.settings.out.join(cruxscope_study::MANIFEST_FILE).is_file();
        let missing = if is_done { Vec::new() } else { run.missing()? };
        if !missing.is_empty() {
            let shards: Vec<String> = (self.shards.iter().enumerate())
                .filter(|(_, ids)| ids.iter().any(|id| missing.contains(id)))
                .map(|(place, _)| (place + 1).to_string())
                .collect();
            return Err(RunError::Unfinished {
                missing: missing.len(),
                of: planned.len(),
                shards: shards.join(","),
            });
        }
        let outcome = run.put_together(observer)?;
        Note::forget(&self.settings.out);
        Ok(outcome)
    }

    /// How far every shard is; of shards that have been merged every instance counts as finished.
    ///
    /// # Errors
    /// When a note cannot be read.
    pub fn status(&self) -> Result<Vec<ShardStatus>, RunError> {
        let is_merged = self.settings.out.join(cruxscope_study::MANIFEST_FILE).is_file();
        (self.shards.iter().zip(&self.shares).enumerate())
            .map(|(place, (ids, share))| {
                let present = |id: &&String| is_merged || PlannedRun::part_of(&self.settings.out, id).is_file();
                let done = ids.iter().filter(present).count();
                note::status(&self.settings.out, place + 1, (done, ids.len()), *share)
            })
            .collect()
    }

    /// Seconds until all shards are finished, if those that run now go on as they do; none where none runs.
    pub fn seconds_left(&self, status: &[ShardStatus]) -> Option<f64> {
        let left: f64 = status.iter().map(|shard| shard.share * (1.0 - shard.done as f64 / shard.of as f64)).sum();
        let rate: f64 = status
            .iter()
            .filter_map(|shard| shard.rate.filter(|_| shard.state == ShardState::Running))
            .sum();
        (rate > 0.0).then(|| left / rate)
    }
}

/// Where the plan of a study stands unless told otherwise: beside it.
pub fn beside(out: &Path) -> PathBuf {
    let name = out.file_name().map_or_else(|| "study".into(), |name| name.to_string_lossy().into_owned());
    out.with_file_name(format!("{name}.plan.json"))
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Whether an error is the wish to stop.
pub fn is_stop(error: &RunError) -> bool {
    matches!(error, RunError::Interpret(InterpretError::Cancelled))
}

/// Notes every finished instance.
struct HeartbeatObserver<'a> {
    observer: &'a mut dyn Observer,
    note: &'a mut Note,
}

impl Observer for HeartbeatObserver<'_> {
    fn event(&mut self, event: Event) {
        match event {
            Event::Finished { done, .. } => self.note.advance(done),
            Event::Resumed { instances } => self.note.resume(instances),
            _ => {}
        }
        self.observer.event(event);
    }

    fn stop(&self) -> bool {
        self.observer.stop()
    }
}
