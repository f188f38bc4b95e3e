//! A model into a GGUF file, as it is or after it was treated: what is treated goes through a folder beside the file.

use std::path::{Path, PathBuf};

use cruxscope_checkpoint::gguf_writer::{GgufNumbers, GgufSummary, write_gguf};
use cruxscope_checkpoint::{Checkpoint, CheckpointError};

use crate::RunError;

/// Where the treated model of a file is kept until the file is written: a run that was stopped goes on there.
pub fn folder_beside(file: &Path) -> PathBuf {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    file.with_file_name(format!(".{name}.folder"))
}

/// Writes a model as a file.
///
/// # Errors
/// When it cannot be read, GGUF cannot say it, or the disk refuses.
pub fn write(model: &Path, file: &Path, numbers: GgufNumbers) -> Result<GgufSummary, RunError> {
    Ok(write_gguf(&Checkpoint::open(model)?, file, numbers)?)
}

/// Removes the folder of a file that was written.
///
/// # Errors
/// When the disk refuses.
pub fn remove(folder: &Path) -> Result<(), RunError> {
    std::fs::remove_dir_all(folder).map_err(|source| {
        RunError::from(CheckpointError::Io {
            path: folder.to_path_buf(),
            source,
        })
    })
}
