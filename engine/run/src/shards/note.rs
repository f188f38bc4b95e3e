//! What a shard says of itself, in a small file that others read while it runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cruxscope_study::parts::remove_parts;
use cruxscope_study::{OutputLock, StudyError, folder};
use serde::{Deserialize, Serialize};

use super::{is_stop, now};
use crate::RunError;

/// The folder of notes in the folder of a study.
const NOTES: &str = ".shards";
/// Seconds after which a running shard that says nothing counts as silent: instances of the largest models take long.
const SILENCE: f64 = 3600.0;

/// How a shard stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShardState {
    /// It was never begun.
    Waiting,
    /// It says that it is running.
    Running,
    /// It was told to stop, and can go on.
    Stopped,
    /// It ended with an error.
    Failed,
    /// It said for an hour that it is running, and nothing since: killed, most likely.
    Silent,
    /// Every instance is there.
    Finished,
}

/// How far a shard is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShardStatus {
    /// Its number, from 1.
    pub shard: usize,
    /// How it stands.
    pub state: ShardState,
    /// Finished instances.
    pub done: usize,
    /// Its instances.
    pub of: usize,
    /// The share of the whole work that it is.
    pub share: f64,
    /// The share of the whole work that it does in a second.
    pub rate: Option<f64>,
    /// Where it ran last.
    pub host: Option<String>,
    /// Its last error.
    pub error: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Written {
    state: ShardState,
    host: String,
    process: u32,
    began: f64,
    updated: f64,
    /// Instances that this run found finished.
    resumed: usize,
    done: usize,
    of: usize,
    error: Option<String>,
}

/// The note of a shard that runs.
pub struct Note {
    /// That no other process computes the same shard; nothing once it has ended.
    lock: Option<OutputLock>,
    path: PathBuf,
    written: Written,
}

impl Note {
    /// A shard begins.
    pub fn begin(out: &Path, shard: usize, of: usize) -> Result<Self, RunError> {
        let folder = out.join(NOTES);
        std::fs::create_dir_all(&folder).map_err(|source| RunError::Io {
            attempt: "create",
            path: folder.clone(),
            source,
        })?;
        let (at, path) = (now(), path_of(out, shard));
        let note = Self {
            lock: Some(OutputLock::take(&path, Duration::ZERO)?),
            path,
            written: Written {
                state: ShardState::Running,
                host: host(),
                process: std::process::id(),
                began: at,
                updated: at,
                resumed: 0,
                done: 0,
                of,
                error: None,
            },
        };
        note.save()?;
        Ok(note)
    }

    /// So many instances were there already.
    pub fn resume(&mut self, instances: usize) {
        (self.written.resumed, self.written.done) = (instances, instances);
        self.written.began = now();
        self.save_if_possible();
    }

    /// So many instances are finished.
    pub fn advance(&mut self, done: usize) {
        self.written.done = done;
        self.save_if_possible();
    }

    /// The shard ends.
    pub fn end(&mut self, error: Option<&RunError>) -> Result<(), RunError> {
        self.written.error = error.map(ToString::to_string);
        self.written.state = match error {
            None => ShardState::Finished,
            Some(error) if is_stop(error) => ShardState::Stopped,
            Some(_) => ShardState::Failed,
        };
        self.save()?;
        self.lock = None;
        Ok(())
    }

    /// Takes the notes of all shards away.
    pub fn forget(out: &Path) {
        // The study holds what matters; a leftover is only untidy.
        remove_parts(&out.join(NOTES));
    }

    fn save(&self) -> Result<(), RunError> {
        let written = Written {
            updated: now(),
            ..self.written.clone()
        };
        let bytes = serde_json::to_vec_pretty(&written).map_err(|source| StudyError::Json {
            file: self.path.display().to_string(),
            source,
        })?;
        Ok(folder::write_atomically(&self.path, &bytes)?)
    }

    /// A note on the way is for people who watch; work does not end for want of it.
    fn save_if_possible(&self) {
        self.save().ok();
    }
}

/// What is known of a shard of which `done` of `of` instances are there.
pub fn status(out: &Path, shard: usize, (done, of): (usize, usize), share: f64) -> Result<ShardStatus, RunError> {
    let path = path_of(out, shard);
    let written: Option<Written> = match std::fs::read(&path) {
        Ok(bytes) => Some(serde_json::from_slice(&bytes).map_err(|error| RunError::Shards {
            why: format!("{} cannot be read: {error}; it can be deleted", path.display()),
        })?),
        Err(_) => None,
    };
    let state = match &written {
        _ if done == of => ShardState::Finished,
        None => ShardState::Waiting,
        Some(written) if written.state == ShardState::Running && !is_alive(written) => ShardState::Silent,
        // It finished, but its parts have been taken away since.
        Some(written) if written.state == ShardState::Finished => ShardState::Waiting,
        Some(written) => written.state,
    };
    let rate = written.as_ref().and_then(|written| {
        let (seconds, instances) = (written.updated - written.began, written.done.saturating_sub(written.resumed));
        (seconds > 0.0 && instances > 0).then(|| share * instances as f64 / of as f64 / seconds)
    });
    Ok(ShardStatus {
        shard,
        state,
        done,
        of,
        share,
        rate,
        host: written.as_ref().map(|written| written.host.clone()),
        error: written.and_then(|written| written.error).filter(|_| done < of),
    })
}

/// Whether a shard that says it runs can be believed: on this machine its process is looked for.
fn is_alive(written: &Written) -> bool {
    if written.host == host() && Path::new("/proc/self").exists() {
        return Path::new("/proc").join(written.process.to_string()).exists();
    }
    now() - written.updated < SILENCE
}

fn path_of(out: &Path, shard: usize) -> PathBuf {
    out.join(NOTES).join(format!("shard-{shard:05}.json"))
}

/// The machine's name.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    name.map(|name| name.trim().to_owned())
        .or_else(|| std::env::var("COMPUTERNAME").ok())
        .unwrap_or_else(|| "this machine".into())
}
