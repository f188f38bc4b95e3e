//! Files that are there whole or not at all, and folders that have one writer.
//!
//! This stands in the study's crate because it is the lowest that every writer of files depends on (checkpoints, results, samples,
//! studies, the site), and because the digests by which a note vouches for a file are here too. It knows nothing of studies.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// How names of files begin and end while they are written.
const MARKS: (&str, &str) = (".", ".tmp");

/// Writes a file under a temporary name beside it, syncs it, renames it and syncs the folder, so that a reader sees the old bytes or
/// the new ones. Its permissions are those of any new file, by the umask.
///
/// # Errors
/// When the disk refuses; the temporary file is removed then.
pub fn atomic_write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    atomic_write_with(path, |temporary| {
        let mut file = OpenOptions::new().write(true).truncate(true).open(temporary)?;
        file.write_all(bytes)
    })
}

/// The same for whoever writes to a path: `write` gets the temporary one, which exists already.
///
/// # Errors
/// Those of `write`, and when the disk refuses.
pub fn atomic_write_with<E: From<io::Error>>(path: &Path, write: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let prefix = format!("{}{name}.", MARKS.0);
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(MARKS.1);
    #[cfg(unix)]
    {
        // A temporary file is its owner's alone unless told otherwise; the umask still takes from this.
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let folder = folder_of(path);
    let temporary = builder.tempfile_in(folder)?.into_temp_path();
    write(&temporary)?;
    File::open(&temporary)?.sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    sync_folder(folder);
    Ok(())
}

/// Makes what happened to the names in a folder safe. Systems that cannot open a folder are skipped.
pub fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        folder.sync_all().ok();
    }
}

/// Whether a name is one that [`atomic_write`] gives while it writes: what a killed process leaves behind.
pub fn is_temporary(name: &str) -> bool {
    name.len() > MARKS.0.len() + MARKS.1.len() && name.starts_with(MARKS.0) && name.ends_with(MARKS.1)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// That this process alone writes somewhere: an exclusive lock on a file, which the system takes back when the process ends, however
/// it ends.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    /// Takes the lock, or nothing where another process has it.
    ///
    /// # Errors
    /// When the file cannot be made, or the file system knows no locks.
    pub fn take(path: &Path) -> io::Result<Option<Self>> {
        loop {
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // Whoever had it may have removed the file between the opening and the locking; a lock on it would exclude nobody.
            if is_same(&file, path) {
                return Ok(Some(Self { path: path.to_owned(), file }));
            }
        }
    }

    /// Gives the lock back and removes its file.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn remove(self) -> io::Result<()> {
        fs::remove_file(&self.path)?;
        self.file.unlock()
    }
}

#[cfg(unix)]
fn is_same(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let of = |metadata: io::Result<fs::Metadata>| metadata.map(|metadata| (metadata.dev(), metadata.ino())).ok();
    of(file.metadata()).is_some_and(|found| of(fs::metadata(path)) == Some(found))
}

/// Elsewhere a file that is open cannot be removed.
#[cfg(not(unix))]
fn is_same(_: &File, _: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_or_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        atomic_write(&path, b"old").unwrap();
        atomic_write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        let refused = atomic_write_with(&path, |temporary| {
            fs::write(temporary, b"half")?;
            Err(io::Error::other("no space"))
        });
        assert_eq!(refused.unwrap_err().to_string(), "no space");
        assert_eq!(fs::read(&path).unwrap(), b"new");
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["results.json"], "nothing is left over");
    }

    #[cfg(unix)]
    #[test]
    fn permissions_are_those_of_any_new_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (ours, any) = (folder.path().join("ours"), folder.path().join("any"));
        atomic_write(&ours, b"").unwrap();
        fs::write(&any, b"").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&any));
    }

    #[test]
    fn one_writer_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let lock = Lock::take(&path).unwrap().unwrap();
        assert!(Lock::take(&path).unwrap().is_none());
        lock.remove().unwrap();
        assert!(!path.exists());
        let again = Lock::take(&path).unwrap();
        assert!(again.is_some());
        drop(again);
        assert!(Lock::take(&path).unwrap().is_some(), "a lock that was dropped is free");
    }

    #[test]
    fn leftovers_are_known_by_their_names() {
        assert!(is_temporary(".results.json.Ab12.tmp") && is_temporary(".model-layer-00001.safetensors.tmp"));
        assert!(!is_temporary("results.tmp") && !is_temporary(".tmp") && !is_temporary(".notes"));
    }
}
