//! Studies on a disk: written atomically, checked when read.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use crate::files::atomic_write;
use crate::{
    ARRAYS_FILE, CHANNELS_FILE, DIVERGENCE_FILE, Digest, DigestBuilder, Divergence, FileDigest, MANIFEST_FILE, Manifest, PARTS_FILE, SENSITIVITY_FILE,
    Sensitivity, Study, StudyError,
};

/// [`atomic_write`] with the path in its error.
///
/// # Errors
/// When the disk refuses.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), StudyError> {
    atomic_write(path, bytes).map_err(|source| StudyError::Io {
        attempt: "write",
        path: path.to_owned(),
        source,
    })
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

/// Loads a study from a folder, or from the path of its `study.json`, with its channel maps and the numbers of parts if it has any.
///
/// # Errors
/// When there is no study, a file is damaged, or an array contradicts the manifest.
pub fn load(path: &Path) -> Result<Study, StudyError> {
    load_files(path, &[ARRAYS_FILE, CHANNELS_FILE, PARTS_FILE])
}

/// The same without channel maps and numbers of parts, which are large.
///
/// # Errors
/// As [`load`].
pub fn load_without_channels(path: &Path) -> Result<Study, StudyError> {
    load_files(path, &[ARRAYS_FILE])
}

/// The sensitivity of a study, checked against its manifest; `None` if the study has none.
///
/// # Errors
/// When there is no study, the file is damaged, or it is of another model.
pub fn load_sensitivity(path: &Path) -> Result<Option<Sensitivity>, StudyError> {
    let folder = folder_of(path);
    let manifest_path = folder.join(MANIFEST_FILE);
    if !manifest_path.is_file() {
        return Err(StudyError::Missing { path: path.to_owned() });
    }
    let file = folder.join(SENSITIVITY_FILE);
    if !file.is_file() {
        return Ok(None);
    }
    let sensitivity = Sensitivity::from_bytes(&read(&file)?)?;
    sensitivity.fits(&Manifest::from_json(&read(&manifest_path)?)?)?;
    Ok(Some(sensitivity))
}

/// Where the study's model parts from another, checked against its manifest; `None` if the study does not say.
///
/// # Errors
/// When there is no study, the file is damaged, or it is of another model.
pub fn load_divergence(path: &Path) -> Result<Option<Divergence>, StudyError> {
    let folder = folder_of(path);
    let manifest_path = folder.join(MANIFEST_FILE);
    if !manifest_path.is_file() {
        return Err(StudyError::Missing { path: path.to_owned() });
    }
    let file = folder.join(DIVERGENCE_FILE);
    if !file.is_file() {
        return Ok(None);
    }
    let divergence = Divergence::from_bytes(&read(&file)?)?;
    divergence.fits(&Manifest::from_json(&read(&manifest_path)?)?)?;
    Ok(Some(divergence))
}

/// The folder of a study that is named by itself or by its `study.json`.
fn folder_of(path: &Path) -> &Path {
    if path.file_name().is_some_and(|name| name == MANIFEST_FILE) {
        path.parent().unwrap_or(path)
    } else {
        path
    }
}

fn load_files(path: &Path, names: &[&str]) -> Result<Study, StudyError> {
    let folder = folder_of(path);
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
    digest_while(path, &mut |_| true).map(|(file, _)| file)
}

/// The same, telling the bytes read so far after each mebibyte; read on as long as the answer is yes. With it, whether the file was read whole.
///
/// # Errors
/// When it cannot be read.
pub fn digest_while(path: &Path, told: &mut dyn FnMut(u64) -> bool) -> Result<(FileDigest, bool), StudyError> {
    let io = |source| StudyError::Io {
        attempt: "read",
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(io)?;
    let mut builder = DigestBuilder::default();
    let mut buffer = vec![0; 1 << 20];
    let (mut bytes, mut is_whole) = (0, true);
    loop {
        if !told(bytes) {
            is_whole = false;
            break;
        }
        let count = std::io::Read::read(&mut file, &mut buffer).map_err(io)?;
        if count == 0 {
            break;
        }
        bytes += count as u64;
        builder.update(&buffer[..count]);
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let sha256: Digest = builder.finish();
    Ok((FileDigest { name, bytes, sha256 }, is_whole))
}

fn read(path: &Path) -> Result<Vec<u8>, StudyError> {
    fs::read(path).map_err(|source| StudyError::Io {
        attempt: "read",
        path: path.to_owned(),
        source,
    })
}
