//! Studies on a disk: written atomically, checked when read.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use crate::{ARRAYS_FILE, CHANNELS_FILE, Digest, DigestBuilder, FileDigest, MANIFEST_FILE, Manifest, Study, StudyError};

/// Writes a file under a temporary name, syncs it and renames it, so that a reader sees the old bytes or the new ones.
///
/// # Errors
/// When the disk refuses; the temporary file is removed then.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), StudyError> {
    let io = |attempt, path: &Path| {
        let path = path.to_owned();
        move |source| StudyError::Io { attempt, path, source }
    };
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let write = || -> Result<(), StudyError> {
        let mut file = File::create(&temporary).map_err(io("create", &temporary))?;
        file.write_all(bytes).map_err(io("write", path))?;
        file.sync_all().map_err(io("sync", path))?;
        drop(file);
        fs::rename(&temporary, path).map_err(io("rename into place", path))
    };
    let result = write();
    if result.is_err() {
        // The error that counts is the first; a leftover is only untidy.
        fs::remove_file(&temporary).ok();
        return result;
    }
    // The rename itself is safe only once the folder is synced; systems that cannot open a folder are skipped.
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty())
        && let Ok(folder) = File::open(folder)
    {
        folder.sync_all().ok();
    }
    Ok(())
}

/// Saves a study into a folder, which is made if need be; the manifest comes last.
///
/// # Errors
/// When an array cannot be written in its format, or the disk refuses.
pub fn save(study: &Study, folder: &Path) -> Result<(), StudyError> {
    fs::create_dir_all(folder).map_err(|source| StudyError::Io {
        attempt: "create",
        path: folder.to_owned(),
        source,
    })?;
    for (name, bytes) in study.to_files()? {
        write_atomically(&folder.join(name), &bytes)?;
    }
    Ok(())
}

/// Loads a study from a folder, or from the path of its `study.json`, with its channel maps if it has any.
///
/// # Errors
/// When there is no study, a file is damaged, or an array contradicts the manifest.
pub fn load(path: &Path) -> Result<Study, StudyError> {
    load_files(path, &[ARRAYS_FILE, CHANNELS_FILE])
}

/// The same without its channel maps, which are large.
///
/// # Errors
/// As [`load`].
pub fn load_without_channels(path: &Path) -> Result<Study, StudyError> {
    load_files(path, &[ARRAYS_FILE])
}

fn load_files(path: &Path, names: &[&str]) -> Result<Study, StudyError> {
    let folder = if path.file_name().is_some_and(|name| name == MANIFEST_FILE) {
        path.parent().unwrap_or(path)
    } else {
        path
    };
    let manifest_path = folder.join(MANIFEST_FILE);
    if !manifest_path.is_file() {
        return Err(StudyError::Missing { path: path.to_owned() });
    }
    let manifest = Manifest::from_json(&read(&manifest_path)?)?;
    let mut files = BTreeMap::new();
    for name in names {
        if manifest.arrays.iter().any(|entry| entry.file == *name) {
            let path = folder.join(name);
            if !path.is_file() {
                return Err(StudyError::MissingFile { file: (*name).into() });
            }
            files.insert((*name).to_owned(), read(&path)?);
        }
    }
    Study::from_files(manifest, &files)
}

/// Name, size and digest of a file, read piece by piece.
///
/// # Errors
/// When it cannot be read.
pub fn digest_of_file(path: &Path) -> Result<FileDigest, StudyError> {
    let io = |source| StudyError::Io {
        attempt: "read",
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(io)?;
    let mut builder = DigestBuilder::default();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        let count = std::io::Read::read(&mut file, &mut buffer).map_err(io)?;
        if count == 0 {
            break;
        }
        bytes += count as u64;
        builder.update(&buffer[..count]);
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let sha256: Digest = builder.finish();
    Ok(FileDigest { name, bytes, sha256 })
}

fn read(path: &Path) -> Result<Vec<u8>, StudyError> {
    fs::read(path).map_err(|source| StudyError::Io {
        attempt: "read",
        path: path.to_owned(),
        source,
    })
}
