//! The file that samples are appended to: whole lines, synced one by one, by one process at a time.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use cruxscope_trace::lines::for_each_line;
use serde::Deserialize;

use super::{Sample, SampleKey};
use crate::error::BenchmarkError;

/// A file of samples that is open for more.
#[derive(Debug)]
pub struct SampleLog {
    path: PathBuf,
    file: Mutex<File>,
}

/// What stood in a file of samples when it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// The keys of its samples.
    pub keys: BTreeSet<SampleKey>,
    /// Bytes of a last line that was cut short; they were dropped.
    pub dropped_bytes: u64,
    /// Lines that are no sample, by number; they are left where they are and passed over.
    pub damaged_lines: Vec<usize>,
    /// Lines whose key stands in the file before; they are passed over.
    pub repeated_lines: Vec<usize>,
}

/// What makes a line a sample.
#[derive(Deserialize)]
struct Keyed {
    key: SampleKey,
}

impl SampleLog {
    /// Opens a file of samples, or begins one. A last line without its end, which a process that was killed leaves behind,
    /// is cut off and reported.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or written, or another process has it open.
    pub fn open(path: &Path) -> Result<(Self, Opened), BenchmarkError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(BenchmarkError::io("create", folder))?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .map_err(BenchmarkError::io("open", path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(BenchmarkError::Busy { path: path.to_owned() }),
            // Some file systems have no locks; then the person has to take care.
            Err(TryLockError::Error(_)) => {}
        }
        let mut opened = Opened::default();
        let mut unended = 0u64;
        for_each_line::<BenchmarkError>(path, |line| {
            if !line.ended {
                unended = line.bytes.len() as u64;
                return Ok(());
            }
            match serde_json::from_slice(line.bytes) {
                Ok(Keyed { key }) => {
                    if !opened.keys.insert(key) {
                        opened.repeated_lines.push(line.number);
                    }
                }
                Err(_) => opened.damaged_lines.push(line.number),
            }
            Ok(())
        })?;
        if unended > 0 {
            let length = file.seek(SeekFrom::End(0)).map_err(BenchmarkError::io("read", path))?;
            file.set_len(length.saturating_sub(unended)).map_err(BenchmarkError::io("shorten", path))?;
            file.sync_all().map_err(BenchmarkError::io("sync", path))?;
            opened.dropped_bytes = unended;
        }
        let log = Self {
            path: path.to_owned(),
            file: Mutex::new(file),
        };
        Ok((log, opened))
    }

    /// Appends a sample and waits until the disk has it.
    ///
    /// # Errors
    ///
    /// When the disk refuses; a line that was written in part is cut off again.
    pub fn append(&self, sample: &Sample) -> Result<(), BenchmarkError> {
        let mut line = serde_json::to_vec(sample).map_err(|error| BenchmarkError::Io {
            attempt: "encode a sample for",
            path: self.path.clone(),
            source: error.into(),
        })?;
        line.push(b'\n');
        let mut file = self.file.lock().map_err(|_| BenchmarkError::Io {
            attempt: "append to",
            path: self.path.clone(),
            source: std::io::Error::other("another thread failed while it wrote"),
        })?;
        let before = file.seek(SeekFrom::End(0)).map_err(BenchmarkError::io("append to", &self.path))?;
        let written = file.write_all(&line).and_then(|()| file.sync_data());
        written.map_err(|source| {
            // A full disk: whatever of the line got there must not run into the next one.
            file.set_len(before).ok();
            BenchmarkError::Io {
                attempt: "append to",
                path: self.path.clone(),
                source,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn a_file_cut_at_any_byte_keeps_every_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deeper/samples.jsonl");
        let (log, opened) = SampleLog::open(&path).unwrap();
        assert_eq!(opened, Opened::default());
        let samples = [sample("FOLIO/1", 1, "é\n"), sample("FOLIO/1", 2, "b"), sample("FOLIO/2", 1, "")];
        for sample in &samples {
            log.append(sample).unwrap();
        }
        drop(log);
        let whole = std::fs::read(&path).unwrap();
        // Every byte near the ends of lines, and some between.
        let near_end = |cut: usize| (cut.saturating_sub(3)..cut + 3).any(|at| whole.get(at) == Some(&b'\n'));
        for cut in (0..=whole.len()).filter(|cut| near_end(*cut) || cut % 13 == 0) {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (log, opened) = SampleLog::open(&path).unwrap();
            let lines = whole[..cut].iter().filter(|byte| **byte == b'\n').count();
            let ended = whole[..cut].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            assert_eq!((opened.keys.len(), opened.dropped_bytes), (lines, (cut - ended) as u64), "{cut}");
            assert!(opened.damaged_lines.is_empty() && opened.repeated_lines.is_empty());
            // What is missing is done again, and the file is as if nothing had happened.
            for sample in samples.iter().filter(|sample| !opened.keys.contains(&sample.key)) {
                log.append(sample).unwrap();
            }
            drop(log);
            assert_eq!(std::fs::read(&path).unwrap(), whole, "{cut}");
        }
    }

    #[test]
    fn one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("samples.jsonl");
        let first = SampleLog::open(&path).unwrap();
        assert!(matches!(SampleLog::open(&path), Err(BenchmarkError::Busy { .. })));
        drop(first);
        SampleLog::open(&path).unwrap();
    }

    #[test]
    fn damaged_and_repeated_lines_are_told_and_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("samples.jsonl");
        let (log, _) = SampleLog::open(&path).unwrap();
        log.append(&sample("FOLIO/1", 1, "x")).unwrap();
        log.append(&sample("FOLIO/1", 1, "x")).unwrap();
        drop(log);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend_from_slice(b"half a li\n\0\0\0\n{\"key\": 5}\n");
        std::fs::write(&path, &bytes).unwrap();
        let (_, opened) = SampleLog::open(&path).unwrap();
        assert_eq!((opened.keys.len(), opened.repeated_lines, opened.damaged_lines), (1, vec![2], vec![3, 4, 5]));
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}
