//! Temporary files that processes leave behind which are killed while they write, and how the living tell their own from them: by a lock,
//! which the system takes back when a process ends.

use std::fs::File;
use std::io;
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

/// Letters and digits that a temporary name has of its own.
#[cfg(unix)]
const RANDOM: usize = 6;

/// Makes a temporary file that nobody collects while it is open.
///
/// # Errors
/// When the disk refuses.
pub fn begin(builder: &Builder<'_, '_>, folder: &Path) -> io::Result<NamedTempFile> {
    loop {
        let temporary = builder.tempfile_in(folder)?;
        // Somebody may have collected it between its making and its locking.
        if is_held(temporary.as_file(), temporary.path()) {
            return Ok(temporary);
        }
    }
}

#[cfg(unix)]
fn is_held(file: &File, path: &Path) -> bool {
    match file.try_lock() {
        Ok(()) => crate::lock::is_at(file, path),
        Err(std::fs::TryLockError::WouldBlock) => false,
        // Where there are no locks, nobody collects.
        Err(std::fs::TryLockError::Error(_)) => true,
    }
}

/// Elsewhere a lock would keep the writer itself out.
#[cfg(not(unix))]
fn is_held(_: &File, _: &Path) -> bool {
    true
}

/// Removes the files of a folder that [`begin`] made with this beginning and end of their names, and that nobody holds. What cannot be
/// removed is only untidy.
#[cfg(unix)]
pub fn collect(folder: &Path, prefix: &str, suffix: &str) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let own = name.to_str().and_then(|name| name.strip_prefix(prefix)?.strip_suffix(suffix));
        let is_ours = own.is_some_and(|own| own.len() == RANDOM && own.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        if is_ours && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            let path = entry.path();
            if File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
                std::fs::remove_file(&path).ok();
            }
        }
    }
}

/// Elsewhere nobody can tell whether a file is held.
#[cfg(not(unix))]
pub fn collect(_: &Path, _: &str, _: &str) {}
