//! The file that samples are appended to: whole lines, synced one by one, by one process at a time.
//!
//! Nothing is done to a file before it is known to be one of samples: whoever names another file by mistake gets a word, and the file
//! stays as it is.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use cruxscope_trace::lines::for_each_line_of;
use serde::Deserialize;

use super::failures::{FailureLog, FailureRecord};
use super::{Sample, SampleKey};
use crate::error::BenchmarkError;

/// How every line begins that this program writes; 64 digits follow.
const BEGINNING: &[u8] = b"{\"key\":\"";
/// Digits of a key.
const DIGITS: usize = 64;

/// A file of samples that is open for more.
#[derive(Debug)]
pub struct SampleLog {
    path: PathBuf,
    file: Mutex<File>,
    failures: FailureLog,
}

/// What stood in a file of samples when it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// The keys of its samples.
    pub keys: BTreeSet<SampleKey>,
    /// Bytes of a last line that was cut short while it was written. Opening the file for more drops them.
    pub dropped_bytes: u64,
    /// Lines that are no sample, by number; they are left where they are and passed over.
    pub damaged_lines: Vec<usize>,
    /// Lines whose key stands in the file before; they are passed over.
    pub repeated_lines: Vec<usize>,
}

/// What makes a line a sample.
#[derive(Deserialize)]
#[expect(dead_code, reason = "the fields are there to be required")]
struct Keyed {
    key: SampleKey,
    id: String,
    output: String,
}

/// What has to be done to a file before more can be appended.
#[derive(Default)]
struct Mending {
    /// Bytes at its end to be cut off.
    cut: u64,
    /// Whether its last line, which stays, has no line break.
    end_line: bool,
}

impl SampleLog {
    /// Says what stands in a file of samples, and changes nothing; a file that is not there holds nothing.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or is none of samples.
    pub fn inspect(path: &Path) -> Result<Opened, BenchmarkError> {
        match File::open(path) {
            Ok(mut file) => {
                must_be_plain(path, &file)?;
                FailureLog::check(path)?;
                read(path, &mut file).map(|(opened, _)| opened)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                FailureLog::check(path)?;
                Ok(Opened::default())
            }
            Err(error) => Err(BenchmarkError::io("read", path)(error)),
        }
    }

    /// Opens a file of samples, or begins one. A last line that was cut short while it was written, which a process that was killed
    /// leaves behind, is cut off and reported.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or written, is none of samples, or another process has it open.
    pub fn open(path: &Path) -> Result<(Self, Opened), BenchmarkError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(BenchmarkError::io("create", folder))?;
        }
        if path.exists() {
            // A pipe would be opened for ever.
            let metadata = std::fs::metadata(path).map_err(BenchmarkError::io("read", path))?;
            if !metadata.is_file() {
                return Err(foreign(path, "it is no regular file"));
            }
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(BenchmarkError::io("open", path))?;
        must_be_plain(path, &file)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(BenchmarkError::Busy { path: path.to_owned() }),
            // Some file systems have no locks; then the person has to take care.
            Err(TryLockError::Error(_)) => {}
        }
        // Through the handle that has the lock: elsewhere than on Unix no other one may read.
        let (opened, mending) = read(path, &mut file)?;
        let failures = FailureLog::open(path, &opened.keys)?;
        let length = file.seek(SeekFrom::End(0)).map_err(BenchmarkError::io("read", path))?;
        if mending.cut > 0 {
            file.set_len(length.saturating_sub(mending.cut)).map_err(BenchmarkError::io("shorten", path))?;
            file.sync_all().map_err(BenchmarkError::io("sync", path))?;
        }
        if mending.end_line {
            file.write_all(b"\n").map_err(BenchmarkError::io("append to", path))?;
        }
        let log = Self {
            path: path.to_owned(),
            file: Mutex::new(file),
            failures,
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
        let mut file = self.locked()?;
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

    /// Every sample of the file, read through the handle that has the lock; damaged lines were told when it was opened.
    ///
    /// # Errors
    ///
    /// When the disk refuses.
    pub fn samples(&self) -> Result<Vec<Sample>, BenchmarkError> {
        let mut file = self.locked()?;
        file.seek(SeekFrom::Start(0)).map_err(BenchmarkError::io("read", &self.path))?;
        let mut samples = Vec::new();
        for_each_line_of::<BenchmarkError>(&self.path, &mut *file, |line| {
            samples.extend(serde_json::from_slice::<Sample>(line.bytes));
            Ok(())
        })?;
        Ok(samples)
    }

    fn locked(&self) -> Result<MutexGuard<'_, File>, BenchmarkError> {
        self.file.lock().map_err(|_| BenchmarkError::Io {
            attempt: "use",
            path: self.path.clone(),
            source: std::io::Error::other("another thread failed while it wrote"),
        })
    }

    /// Writes down that a sample could not be made, in the file beside.
    ///
    /// # Errors
    ///
    /// When the disk refuses.
    pub fn note(&self, failure: &FailureRecord) -> Result<(), BenchmarkError> {
        self.failures.append(failure)
    }
}

/// Reads a file through its handle and decides whether it is one of samples.
fn read(path: &Path, file: &mut File) -> Result<(Opened, Mending), BenchmarkError> {
    let mut first = [0; 2];
    file.seek(SeekFrom::Start(0)).map_err(BenchmarkError::io("read", path))?;
    let length = Read::by_ref(file).take(2).read(&mut first).map_err(BenchmarkError::io("read", path))?;
    if length == 2 && first == [0x1f, 0x8b] {
        return Err(foreign(path, "it is packed with gzip, and nothing can be appended to that; unpack it first"));
    }
    file.seek(SeekFrom::Start(0)).map_err(BenchmarkError::io("read", path))?;
    let mut opened = Opened::default();
    let mut mending = Mending::default();
    let mut lines = 0usize;
    for_each_line_of::<BenchmarkError>(path, &mut *file, |line| {
        lines += 1;
        let sample = serde_json::from_slice::<Keyed>(line.bytes).ok().filter(|keyed| is_key(keyed.key.0.as_bytes()));
        match sample {
            Some(Keyed { key, .. }) => {
                if !opened.keys.insert(key) {
                    opened.repeated_lines.push(line.number);
                }
                mending.end_line = !line.ended;
            }
            None if !line.ended && is_begun(line.bytes, !opened.keys.is_empty()) => mending.cut = line.bytes.len() as u64,
            None => {
                opened.damaged_lines.push(line.number);
                mending.end_line = !line.ended;
            }
        }
        Ok(())
    })?;
    let size = file.seek(SeekFrom::End(0)).map_err(BenchmarkError::io("read", path))?;
    if size > 0 && opened.keys.is_empty() && mending.cut == 0 {
        let why = if lines == 0 {
            "it holds only blank lines"
        } else {
            "none of its lines is a sample"
        };
        return Err(foreign(path, why));
    }
    // A line that was begun counts for the file only where nothing in it speaks against that.
    if opened.keys.is_empty() && !opened.damaged_lines.is_empty() {
        return Err(foreign(path, "none of its lines is a sample"));
    }
    opened.dropped_bytes = mending.cut;
    Ok((opened, mending))
}

fn must_be_plain(path: &Path, file: &File) -> Result<(), BenchmarkError> {
    let metadata = file.metadata().map_err(BenchmarkError::io("read", path))?;
    if metadata.is_file() {
        Ok(())
    } else {
        Err(foreign(path, "it is no regular file"))
    }
}

fn foreign(path: &Path, why: &'static str) -> BenchmarkError {
    BenchmarkError::Foreign {
        path: path.to_owned(),
        expected: "samples",
        why,
    }
}

/// Whether a text is a key: so many hexadecimal digits.
fn is_key(text: &[u8]) -> bool {
    text.len() == DIGITS && text.iter().all(is_digit)
}

fn is_digit(byte: &u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// Whether a line without its end is the beginning of a sample's line, and can be nothing else; behind other samples a few bytes tell,
/// in a file of their own they do not.
fn is_begun(line: &[u8], behind_samples: bool) -> bool {
    if behind_samples && BEGINNING.starts_with(line) {
        return true;
    }
    let Some(rest) = line.strip_prefix(BEGINNING) else { return false };
    let digits = rest.iter().take(DIGITS).take_while(|byte| is_digit(byte)).count();
    match rest.get(digits) {
        None => true,
        Some(next) => digits == DIGITS && *next == b'"',
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
        let first_line = whole.iter().position(|byte| *byte == b'\n').unwrap();
        for cut in (0..=whole.len()).filter(|cut| near_end(*cut) || cut % 13 == 0) {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let inspected = SampleLog::inspect(&path).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), &whole[..cut], "looking changes nothing");
            let (log, opened) = SampleLog::open(&path).unwrap();
            assert_eq!(opened, inspected);
            // A line that lacks only its break is whole.
            let lines = whole[..cut].iter().filter(|byte| **byte == b'\n').count();
            let ended = whole[..cut].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let lacks_break = usize::from(cut > ended && whole.get(cut) == Some(&b'\n'));
            let dropped = if lacks_break == 1 { 0 } else { (cut - ended) as u64 };
            assert_eq!((opened.keys.len(), opened.dropped_bytes), (lines + lacks_break, dropped), "{cut}");
            assert!(opened.damaged_lines.is_empty() && opened.repeated_lines.is_empty());
            // What is missing is done again, and the file is as if nothing had happened.
            for sample in samples.iter().filter(|sample| !opened.keys.contains(&sample.key)) {
                log.append(sample).unwrap();
            }
            drop(log);
            assert_eq!(std::fs::read(&path).unwrap(), whole, "{cut}");
        }
        assert!(first_line > 0);
    }

    #[test]
    fn what_is_no_file_of_samples_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let own = serde_json::to_string(&sample("FOLIO/1", 1, "x")).unwrap();
        let foreign: [&[u8]; 11] = [
            b"{\"precious\": true}",
            b"{\"precious\": true}\n",
            b"{\"key\": \"5\", \"id\": \"a\", \"output\": \"b\"}\n",
            b"{\"key\":\"my own",
            b"{",
            b"\n",
            b"text without a break",
            b"{\"id\": \"FOLIO/1\", \"output\": \"another program's\"}\n",
            b"\x1f\x8b\x08\x00",
            b"\x00\xff\x00",
            b"notes\n{\"key\":\"",
        ];
        for (number, bytes) in foreign.into_iter().enumerate() {
            let path = folder.path().join(format!("{number}.jsonl"));
            std::fs::write(&path, bytes).unwrap();
            let error = SampleLog::open(&path).unwrap_err();
            assert!(matches!(error, BenchmarkError::Foreign { .. }) && error.is_user_error(), "{number}: {error}");
            assert!(SampleLog::inspect(&path).is_err());
            assert_eq!(std::fs::read(&path).unwrap(), bytes, "{number}");
        }
        // Among samples, a line of somebody else stays too, whole or without its end.
        let path = folder.path().join("mixed.jsonl");
        std::fs::write(&path, format!("{own}\n{{\"my\": \"note\"}}")).unwrap();
        let (log, opened) = SampleLog::open(&path).unwrap();
        assert_eq!((opened.keys.len(), opened.damaged_lines.clone(), opened.dropped_bytes), (1, vec![2], 0));
        log.append(&sample("FOLIO/2", 1, "y")).unwrap();
        drop(log);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("\n{\"my\": \"note\"}\n{\"key\""), "{text}");
        assert!(SampleLog::open(folder.path()).is_err(), "a folder");
        assert_eq!(SampleLog::inspect(&folder.path().join("nothing.jsonl")).unwrap(), Opened::default());
        assert!(!folder.path().join("nothing.jsonl").exists());
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
