//! Which steps of a chain are done: `reproduction.json`, written after each of them, by whoever did it.

use std::collections::BTreeSet;
use std::time::Duration;

use cruxscope_study::{OutputLock, folder};
use serde::{Deserialize, Serialize};

use super::{Reproduction, Step};
use crate::RunError;

/// The file that says which steps are done.
const RECORD: &str = "reproduction.json";
/// How long a process waits for another one that is noting down a step.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    key: String,
    done: BTreeSet<String>,
}

impl Record {
    /// Whether a step is done.
    pub(super) fn has(&self, step: &Step) -> bool {
        self.done.contains(&step.name())
    }
}

impl Reproduction {
    /// Notes that a step is done, whatever others have noted meanwhile.
    pub(super) fn note(&self, step: &Step) -> Result<Record, RunError> {
        let _lock = OutputLock::take(&self.settings.out.join(RECORD), PATIENCE)?;
        let mut record = self.record()?;
        record.done.insert(step.name());
        self.write(RECORD, &json(&record)?)?;
        Ok(record)
    }

    /// What earlier runs did here; a folder without a record, which exists, gets one, if nothing else lies in it.
    pub(super) fn begun(&self) -> Result<Record, RunError> {
        let _lock = OutputLock::take(&self.settings.out.join(RECORD), PATIENCE)?;
        self.record()
    }

    /// What earlier runs did here, without writing anything.
    pub(super) fn noted(&self) -> Result<Record, RunError> {
        if self.settings.out.join(RECORD).is_file() {
            self.record()
        } else {
            Ok(Record::default())
        }
    }

    /// What is noted.
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
                    let own = cruxscope_study::files::is_temporary(&name) || OutputLock::is_of_folder(&name) || name == format!(".{RECORD}.lock");
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

    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), RunError> {
        Ok(folder::write_atomically(&self.settings.out.join(name), bytes)?)
    }
}

fn json(record: &Record) -> Result<Vec<u8>, RunError> {
    let mut text = serde_json::to_vec_pretty(record).map_err(|error| RunError::Recipe { why: error.to_string() })?;
    text.push(b'\n');
    Ok(text)
}
