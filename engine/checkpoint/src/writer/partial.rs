//! The folder in which a model is put together: one writer, known files only, and notes that vouch for files by their digests.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cruxscope_study::files::{atomic_write, atomic_write_with, is_temporary, sync_folder};
use cruxscope_study::{DigestBuilder, OutputLock, StudyError};

use super::configuration::COPIED;
use super::{EMBEDDING_FILE, HEAD_FILE, INDEX_FILE, NORM_FILE, io};
use crate::CheckpointError;

/// The note that says of what run the files are.
const RUN: &str = "run";
/// What ends the names of notes.
const NOTE: &str = ".note";
/// Other files of a model that this program writes.
const OTHERS: [&str; 6] = ["config.json", EMBEDDING_FILE, HEAD_FILE, INDEX_FILE, NORM_FILE, "cruxscope_compression.json"];

/// A folder that is being filled.
pub(super) struct Partial {
    folder: PathBuf,
    lock: OutputLock,
}

impl Partial {
    /// Takes the folder beside `target`, and keeps what is in it if it is of a run with the same key; of another run it is removed.
    ///
    /// # Errors
    /// `Occupied`, `Busy`, `Foreign`, or the disk's.
    pub fn take(target: &Path, key: &str) -> Result<Self, CheckpointError> {
        let name = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let folder = target.with_file_name(format!(".{name}.partial"));
        if folder.is_symlink() {
            return Err(CheckpointError::Foreign {
                folder: folder.clone(),
                name: "nothing, but is a link to another place".to_owned(),
            });
        }
        let lock = OutputLock::take_in(&folder, Duration::ZERO).map_err(|error| match error {
            StudyError::Io { path, source, .. } => CheckpointError::Io { path, source },
            _ => CheckpointError::Busy { path: target.to_owned() },
        })?;
        let partial = Self { folder, lock };
        if target.exists() {
            // Another run finished it just now.
            drop(partial.lock);
            fs::remove_dir(&partial.folder).ok();
            return Err(CheckpointError::Occupied { path: target.to_owned() });
        }
        let names = partial.names()?;
        if let Some(name) = names.iter().find(|name| !is_ours(name)) {
            return Err(CheckpointError::Foreign {
                folder: partial.folder,
                name: name.clone(),
            });
        }
        let same = partial.note(RUN).is_some_and(|noted| noted == key.as_bytes());
        for name in names.iter().filter(|name| !OutputLock::is_of_folder(name) && (!same || is_temporary(name))) {
            partial.remove(name)?;
        }
        if !same {
            partial.write_note(RUN, key.as_bytes())?;
        }
        Ok(partial)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn names(&self) -> Result<Vec<String>, CheckpointError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(io(&self.folder))? {
            names.push(entry.map_err(io(&self.folder))?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn remove(&self, name: &str) -> Result<(), CheckpointError> {
        let path = self.folder.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(&path)(error)),
            _ => Ok(()),
        }
    }

    /// Writes a file.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), CheckpointError> {
        let path = self.folder.join(name);
        atomic_write(&path, bytes).map_err(io(&path))
    }

    /// Writes a file by a function that is given a path.
    pub fn write_with(&self, name: &str, write: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<(), CheckpointError> {
        let path = self.folder.join(name);
        atomic_write_with(&path, write).map_err(io(&path))
    }

    /// What was noted under a name.
    pub fn note(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.folder.join(format!("{name}{NOTE}"))).ok()
    }

    /// Notes something.
    pub fn write_note(&self, name: &str, bytes: &[u8]) -> Result<(), CheckpointError> {
        self.write(&format!("{name}{NOTE}"), bytes)
    }

    /// Takes back what was noted; afterwards nothing vouches for the file of that name.
    pub fn forget(&self, name: &str) -> Result<(), CheckpointError> {
        self.remove(&format!("{name}{NOTE}"))?;
        sync_folder(&self.folder);
        Ok(())
    }

    /// Notes something that holds for the bytes which a file has now.
    pub fn vouch(&self, name: &str, file: &str, bytes: &[u8]) -> Result<(), CheckpointError> {
        let mut note = self.digest(file)?.into_bytes();
        note.push(b'\n');
        note.extend(bytes);
        self.write_note(name, &note)
    }

    /// What was noted of a file, if it still has the bytes that it had then.
    pub fn vouched(&self, name: &str, file: &str) -> Option<Vec<u8>> {
        let note = self.note(name)?;
        let end = note.iter().position(|byte| *byte == b'\n')?;
        let same = self.digest(file).ok()?.as_bytes() == &note[..end];
        same.then(|| note[end + 1..].to_vec())
    }

    fn digest(&self, file: &str) -> Result<String, CheckpointError> {
        use std::io::Read as _;
        let path = self.folder.join(file);
        let mut open = fs::File::open(&path).map_err(io(&path))?;
        let (mut builder, mut buffer) = (DigestBuilder::default(), vec![0; 1 << 20]);
        loop {
            match open.read(&mut buffer).map_err(io(&path))? {
                0 => return Ok(builder.finish().0),
                count => builder.update(&buffer[..count]),
            }
        }
    }

    /// Makes the folder the target: notes and leftovers go, and nothing stands at the target meanwhile.
    pub fn put_in_place(self, target: &Path) -> Result<(), CheckpointError> {
        for name in self.names()?.iter().filter(|name| name.ends_with(NOTE) || is_temporary(name)) {
            self.remove(name)?;
        }
        if target.exists() {
            return Err(CheckpointError::Occupied { path: target.to_owned() });
        }
        sync_folder(&self.folder);
        self.lock.rename_folder(&self.folder, target).map_err(io(target))?;
        if let Some(parent) = target.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_folder(parent);
        }
        Ok(())
    }
}

/// Whether a name is one that this program puts into such a folder.
fn is_ours(name: &str) -> bool {
    let layer = name.strip_prefix("model-layer-").and_then(|rest| rest.strip_suffix(".safetensors"));
    let is_layer = layer.is_some_and(|number| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()));
    OutputLock::is_of_folder(name) || name.ends_with(NOTE) || is_temporary(name) || is_layer || OTHERS.contains(&name) || COPIED.contains(&name)
}
