//! One writer at a time for an output: a file that is read, changed and put back under its name, or a folder that is filled.
//!
//! The output itself cannot carry the lock, since another file takes its name each time; a small file does, beside an output file or
//! in an output folder, for as long as the lock is held. The system takes the lock back when a process ends, however it ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::StudyError;

/// How often whoever waits looks again.
const STEP: Duration = Duration::from_millis(20);
/// The file in a folder that carries its lock.
const IN_FOLDER: &str = ".lock";
/// "No locks available" on Linux: a network file system whose lock service is not there.
const NO_LOCKS: i32 = 37;

/// A lock that is held until it is dropped; its file goes with it. Where a file system knows no locks, it stops nobody.
#[derive(Debug)]
pub struct OutputLock {
    file: Option<File>,
    path: PathBuf,
    is_shared: bool,
}

impl OutputLock {
    /// Takes the lock of a file, and waits for it so long at most.
    ///
    /// # Errors
    /// [`StudyError::Busy`] when another process holds it for longer; when the disk refuses.
    pub fn take(output: &Path, patience: Duration) -> Result<Self, StudyError> {
        // Two ways to the same file have one lock.
        let place = fs::canonicalize(output).unwrap_or_else(|_| output.to_owned());
        let name = place.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Self::wait(output, place.with_file_name(format!(".{name}.lock")), false, patience)
    }

    /// Takes the lock of a folder, which is made if need be, and waits for it so long at most.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn take_in(folder: &Path, patience: Duration) -> Result<Self, StudyError> {
        make(folder)?;
        Self::wait(folder, folder.join(IN_FOLDER), false, patience)
    }

    /// The same for one of several that may fill a folder together, such as the shards of a run; it keeps out those who want the
    /// folder for themselves.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn take_share_in(folder: &Path, patience: Duration) -> Result<Self, StudyError> {
        make(folder)?;
        Self::wait(folder, folder.join(IN_FOLDER), true, patience)
    }

    /// Gives a folder that is locked its final name, and the lock back. The lock is held meanwhile where the system renames a folder
    /// with an open file in it: whoever waits for the folder finds it gone, not free.
    ///
    /// # Errors
    /// When the disk refuses; the lock is given back then too.
    pub fn rename_folder(mut self, from: &Path, to: &Path) -> io::Result<()> {
        if cfg!(windows) {
            drop(self);
            return fs::rename(from, to);
        }
        fs::rename(from, to)?;
        self.path = to.join(IN_FOLDER);
        Ok(())
    }

    /// Whether a name in a folder is that of its lock.
    pub fn is_of_folder(name: &str) -> bool {
        name == IN_FOLDER
    }

    fn wait(output: &Path, path: PathBuf, is_shared: bool, patience: Duration) -> Result<Self, StudyError> {
        let began = Instant::now();
        loop {
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
            let file = file.map_err(io("open", &path))?;
            let tried = if is_shared { file.try_lock_shared() } else { file.try_lock() };
            let held = |file| Self {
                file,
                path: path.clone(),
                is_shared,
            };
            match tried {
                // Whoever held it before may have taken the file away meanwhile: then this is the lock of nothing.
                Ok(()) if is_at(&file, &path) => return Ok(held(Some(file))),
                Ok(()) => {}
                Err(TryLockError::Error(error)) if knows_no_locks(&error) => return Ok(held(None)),
                Err(TryLockError::Error(error)) => return Err(io("lock", &path)(error)),
                Err(TryLockError::WouldBlock) if began.elapsed() >= patience => return Err(StudyError::Busy { path: output.to_owned() }),
                Err(TryLockError::WouldBlock) => std::thread::sleep(STEP),
            }
        }
    }
}

impl Drop for OutputLock {
    fn drop(&mut self) {
        let Some(file) = &self.file else {
            // Of nobody else's either, where there are no locks: a file that is left over stops nobody.
            fs::remove_file(&self.path).ok();
            return;
        };
        // While it is still locked, and nobody else holds a share, so that nobody else's is taken away. Where an open file cannot be
        // removed, it stays.
        if !self.is_shared || (file.try_lock().is_ok() && is_at(file, &self.path)) {
            fs::remove_file(&self.path).ok();
        }
    }
}

fn make(folder: &Path) -> Result<(), StudyError> {
    fs::create_dir_all(folder).map_err(io("create", folder))
}

fn io(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StudyError {
    let path = path.to_owned();
    move |source| StudyError::Io { attempt, path, source }
}

fn knows_no_locks(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported || (cfg!(target_os = "linux") && error.raw_os_error() == Some(NO_LOCKS))
}

/// Whether a name still leads to an open file.
#[cfg(unix)]
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
pub(crate) fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn one_at_a_time_and_nothing_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("results.json");
        let first = OutputLock::take(&output, Duration::ZERO).unwrap();
        assert!(matches!(OutputLock::take(&output, Duration::from_millis(50)), Err(StudyError::Busy { .. })));
        drop(first);
        assert_eq!(names(folder.path()), 0);
        OutputLock::take(&output, Duration::ZERO).unwrap();
    }

    #[test]
    fn several_share_a_folder_and_one_has_it_alone() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("study");
        let (first, second) = (
            OutputLock::take_share_in(&folder, Duration::ZERO).unwrap(),
            OutputLock::take_share_in(&folder, Duration::ZERO).unwrap(),
        );
        let alone = || OutputLock::take_in(&folder, Duration::ZERO);
        assert!(matches!(alone(), Err(StudyError::Busy { .. })));
        drop(first);
        assert!(matches!(alone(), Err(StudyError::Busy { .. })), "one share is left");
        drop(second);
        let alone = alone().unwrap();
        assert!(matches!(OutputLock::take_share_in(&folder, Duration::ZERO), Err(StudyError::Busy { .. })));
        drop(alone);
        assert_eq!(names(&folder), 0);
    }

    #[test]
    fn a_folder_that_gets_its_name_takes_no_lock_along() {
        let scratch = tempfile::tempdir().unwrap();
        let (partial, target) = (scratch.path().join("partial"), scratch.path().join("model"));
        let lock = OutputLock::take_in(&partial, Duration::ZERO).unwrap();
        fs::write(partial.join("config.json"), "{}").unwrap();
        lock.rename_folder(&partial, &target).unwrap();
        assert_eq!(names(&target), 1);
        assert!(!partial.exists());
    }

    #[cfg(unix)]
    #[test]
    fn two_ways_to_a_file_have_one_lock() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("results.json"), folder.path().join("link.json"));
        fs::write(&file, "{}").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let _lock = OutputLock::take(&link, Duration::ZERO).unwrap();
        assert!(matches!(OutputLock::take(&file, Duration::ZERO), Err(StudyError::Busy { .. })));
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
