//! One writer at a time for a file that is read, changed and put back under its name.
//!
//! The file itself cannot carry the lock, since another one takes its name each time; a small file beside it does, for as long as the
//! lock is held.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::StudyError;

/// How often whoever waits looks again.
const STEP: Duration = Duration::from_millis(20);

/// A lock that is held until it is dropped. Where a file system knows no locks, it stops nobody.
#[derive(Debug)]
pub struct OutputLock {
    file: Option<File>,
    path: PathBuf,
}

impl OutputLock {
    /// Takes the lock of a file, and waits for it so long at most.
    ///
    /// # Errors
    /// [`StudyError::Busy`] when another process holds it for longer; when the disk refuses.
    pub fn take(output: &Path, patience: Duration) -> Result<Self, StudyError> {
        let name = output.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let path = output.with_file_name(format!(".{name}.lock"));
        let began = Instant::now();
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(|source| StudyError::Io {
                    attempt: "open",
                    path: path.clone(),
                    source,
                })?;
            match file.try_lock() {
                // Whoever held it before may have taken the file away meanwhile: then this is the lock of nothing.
                Ok(()) if is_at(&file, &path) => return Ok(Self { file: Some(file), path }),
                Ok(()) => {}
                Err(TryLockError::Error(_)) => return Ok(Self { file: None, path }),
                Err(TryLockError::WouldBlock) if began.elapsed() >= patience => return Err(StudyError::Busy { path: output.to_owned() }),
                Err(TryLockError::WouldBlock) => std::thread::sleep(STEP),
            }
        }
    }
}

impl Drop for OutputLock {
    fn drop(&mut self) {
        // While it is still locked, so that nobody else's is taken away. Where an open file cannot be, it stays.
        if self.file.is_some() {
            fs::remove_file(&self.path).ok();
        }
    }
}

/// Whether a name still leads to an open file.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_nothing_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("results.json");
        let first = OutputLock::take(&output, Duration::ZERO).unwrap();
        assert!(matches!(OutputLock::take(&output, Duration::from_millis(50)), Err(StudyError::Busy { .. })));
        drop(first);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        OutputLock::take(&output, Duration::ZERO).unwrap();
    }

    #[test]
    fn no_change_of_many_writers_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("count");
        fs::write(&output, "0").unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        let _lock = OutputLock::take(&output, Duration::from_secs(30)).unwrap();
                        let count: u32 = fs::read_to_string(&output).unwrap().parse().unwrap();
                        crate::folder::write_atomically(&output, (count + 1).to_string().as_bytes()).unwrap();
                    }
                });
            }
        });
        assert_eq!(fs::read_to_string(&output).unwrap(), "100");
    }
}
