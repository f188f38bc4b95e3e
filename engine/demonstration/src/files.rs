//! Files that a demonstration writes, atomically.

use std::path::Path;

use cruxscope_interpret::InterpretError;
use cruxscope_run::RunError;
use cruxscope_study::{StudyError, folder};
use serde::Serialize;

/// Makes a folder with all above it.
pub fn create(path: &Path) -> Result<(), RunError> {
    std::fs::create_dir_all(path).map_err(|source| RunError::Io {
        attempt: "create",
        path: path.to_owned(),
        source,
    })
}

/// The names in a folder.
pub fn names(folder: &Path) -> Result<Vec<String>, RunError> {
    let io = |source| RunError::Io {
        attempt: "list",
        path: folder.to_owned(),
        source,
    };
    let entries = std::fs::read_dir(folder).map_err(io)?;
    entries.map(|entry| Ok(entry.map_err(io)?.file_name().to_string_lossy().into_owned())).collect()
}

/// Writes a file atomically; one that holds these bytes already is left alone.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    if std::fs::read(path).is_ok_and(|found| found == bytes) {
        return Ok(());
    }
    Ok(folder::write_atomically(path, bytes)?)
}

/// Writes a value as JSON.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), RunError> {
    write(path, &(json(path, serde_json::to_vec_pretty(value))?))
}

/// Writes values as JSON lines.
pub fn write_lines<T: Serialize>(path: &Path, values: &[T]) -> Result<(), RunError> {
    let mut bytes = Vec::new();
    for value in values {
        bytes.extend(json(path, serde_json::to_vec(value))?);
        bytes.push(b'\n');
    }
    write(path, &bytes)
}

fn json(path: &Path, made: Result<Vec<u8>, serde_json::Error>) -> Result<Vec<u8>, RunError> {
    made.map_err(|source| {
        let file = path.display().to_string();
        StudyError::Json { file, source }.into()
    })
}

/// What a run says that was told to stop.
pub fn cancelled() -> RunError {
    InterpretError::Cancelled.into()
}
