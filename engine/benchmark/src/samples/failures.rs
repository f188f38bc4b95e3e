//! What could not be made, beside the samples: `samples.failures.jsonl` for `samples.jsonl`.
//!
//! An answer without usable text is no sample. That it came is still a fact about the model and the question, so it is written down,
//! counted by whoever counts the samples, and asked for again by the next run; once the sample is there, the failure is forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use cruxscope_study::folder::write_atomically;
use cruxscope_trace::lines::for_each_line;
use serde::{Deserialize, Serialize};

use super::SampleKey;
use crate::error::BenchmarkError;
use crate::generator::{FailureKind, ModelIdentity};

/// How every line begins.
const BEGINNING: &[u8] = b"{\"failed\":\"";

/// A sample that could not be made, as it stands on its line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureRecord {
    /// The key that the sample would have.
    pub failed: SampleKey,
    /// The question.
    pub id: String,
    /// Which pass, from 1.
    pub pass: u32,
    /// The model.
    pub model: ModelIdentity,
    /// What kind of thing went wrong.
    pub kind: FailureKind,
    /// What the generator said.
    pub message: String,
    /// How many times it was asked.
    pub attempts: u32,
}

/// The file of failures beside a file of samples.
pub fn failures_path(samples: &Path) -> PathBuf {
    let name = samples.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let plain = name.strip_suffix(".gz").unwrap_or(&name);
    let stem = plain.strip_suffix(".jsonl").unwrap_or(plain);
    samples.with_file_name(format!("{stem}.failures.jsonl"))
}

/// A file of failures that is open for more. It is made with the first failure; the lock of the samples guards it too.
#[derive(Debug)]
pub(super) struct FailureLog {
    path: PathBuf,
    busy: Mutex<()>,
}

impl FailureLog {
    /// Says whether the file beside some samples can be used, and changes nothing.
    pub(super) fn check(samples: &Path) -> Result<(), BenchmarkError> {
        read_file(&failures_path(samples)).map(drop)
    }

    /// Opens the file beside some samples and forgets the failures that were made good.
    pub(super) fn open(samples: &Path, made: &BTreeSet<SampleKey>) -> Result<Self, BenchmarkError> {
        let path = failures_path(samples);
        let (known, lines) = read_file(&path)?;
        let kept: Vec<&FailureRecord> = known.values().filter(|failure| !made.contains(&failure.failed)).collect();
        if kept.is_empty() && lines > 0 {
            std::fs::remove_file(&path).map_err(BenchmarkError::io("remove", &path))?;
        } else if kept.len() < lines {
            let mut bytes = Vec::new();
            for failure in kept {
                bytes.extend(line(&path, failure)?);
            }
            write_atomically(&path, &bytes)?;
        }
        Ok(Self { path, busy: Mutex::new(()) })
    }

    /// Appends a failure.
    pub(super) fn append(&self, failure: &FailureRecord) -> Result<(), BenchmarkError> {
        let bytes = line(&self.path, failure)?;
        let _busy = self.busy.lock();
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.path)
            .map_err(BenchmarkError::io("open", &self.path))?;
        file.write_all(&bytes).map_err(BenchmarkError::io("append to", &self.path))
    }
}

fn line(path: &Path, failure: &FailureRecord) -> Result<Vec<u8>, BenchmarkError> {
    let mut bytes = serde_json::to_vec(failure).map_err(|error| BenchmarkError::Io {
        attempt: "encode a failure for",
        path: path.to_owned(),
        source: error.into(),
    })?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The failures beside some samples of which `made` are there: the last of each key.
pub(super) fn read(samples: &Path, made: &BTreeSet<SampleKey>) -> Result<Vec<FailureRecord>, BenchmarkError> {
    let (known, _) = read_file(&failures_path(samples))?;
    Ok(known.into_values().filter(|failure| !made.contains(&failure.failed)).collect())
}

/// The last failure of each key, and how many lines there are. A file of something else is refused.
fn read_file(path: &Path) -> Result<(BTreeMap<SampleKey, FailureRecord>, usize), BenchmarkError> {
    let mut known = BTreeMap::new();
    let (mut lines, mut others) = (0, 0);
    if !path.exists() {
        return Ok((known, lines));
    }
    for_each_line::<BenchmarkError>(path, |line| {
        lines += 1;
        match serde_json::from_slice::<FailureRecord>(line.bytes) {
            Ok(failure) => {
                known.insert(failure.failed.clone(), failure);
            }
            // A process that was killed leaves the beginning of a line.
            Err(_) => others += usize::from(line.ended || !line.bytes.starts_with(BEGINNING)),
        }
        Ok(())
    })?;
    if others > 0 {
        return Err(BenchmarkError::Foreign {
            path: path.to_owned(),
            expected: "failures beside samples",
            why: "a line of it is no failure",
        });
    }
    Ok((known, lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(key: &str, kind: FailureKind) -> FailureRecord {
        FailureRecord {
            failed: SampleKey(key.into()),
            id: "FOLIO/1".into(),
            pass: 1,
            model: ModelIdentity {
                name: "m".into(),
                digest: None,
            },
            kind,
            message: "é".into(),
            attempts: 1,
        }
    }

    #[test]
    fn the_last_failure_of_a_key_counts_until_its_sample_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let samples = folder.path().join("s.jsonl");
        let log = FailureLog::open(&samples, &BTreeSet::new()).unwrap();
        assert!(!failures_path(&samples).exists(), "no failure, no file");
        for (key, kind) in [("a", FailureKind::NoText), ("b", FailureKind::Declined), ("a", FailureKind::ToolCall)] {
            log.append(&failure(key, kind)).unwrap();
        }
        let kinds = |made: &[&str]| -> Vec<FailureKind> {
            let made = made.iter().map(|key| SampleKey((*key).into())).collect();
            read(&samples, &made).unwrap().into_iter().map(|failure| failure.kind).collect()
        };
        assert_eq!(kinds(&[]), [FailureKind::ToolCall, FailureKind::Declined]);
        assert_eq!(kinds(&["a"]), [FailureKind::Declined]);
        FailureLog::open(&samples, &BTreeSet::from([SampleKey("b".into())])).unwrap();
        assert_eq!(std::fs::read_to_string(failures_path(&samples)).unwrap().lines().count(), 1);
        FailureLog::open(&samples, &BTreeSet::from([SampleKey("a".into())])).unwrap();
        assert!(!failures_path(&samples).exists());
    }

    #[test]
    fn a_file_of_something_else_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let samples = folder.path().join("s.jsonl");
        for bytes in ["{\"precious\": 1}\n", "precious"] {
            std::fs::write(failures_path(&samples), bytes).unwrap();
            assert!(FailureLog::open(&samples, &BTreeSet::new()).is_err());
            assert!(FailureLog::check(&samples).is_err());
            assert_eq!(std::fs::read_to_string(failures_path(&samples)).unwrap(), bytes);
        }
    }
}
