//! A GGUF file, or all parts of one that was split: `NAME-00001-of-00003.gguf` and so on, side by side.
//!
//! The first part holds the metadata, every part the headers and numbers of its own tensors; each says which part it is (`split.no`) of
//! how many (`split.count`). Whichever part is given, all are read. Source: llama.cpp, `tools/gguf-split` and `src/llama-model-loader.cpp`.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anamnesis::{AnamnesisError, GgufFrontMatter, GgufMetadataValue, GgufTensorInfo, parse_gguf_front_matter_from_reader};

use crate::error::CheckpointError;
use crate::gguf_config::Metadata;
use crate::store::StoreFile;

/// Metadata of a GGUF file by key.
pub(crate) type MetadataValues = HashMap<String, GgufMetadataValue>;

/// Headers of a file or of all its parts.
pub(crate) struct Parts {
    /// Metadata of the first part.
    pub metadata: MetadataValues,
    /// Tensors with the number of their file.
    pub tensors: Vec<(usize, GgufTensorInfo)>,
    /// The mapped files.
    pub files: Vec<StoreFile>,
}

/// Reads the headers of a file and, if it is a part, of the others.
///
/// # Errors
/// `Io` and `Damaged` for files that cannot be read, `Unsupported` for parts that are not all there or not of one model.
pub(crate) fn read(path: &Path) -> Result<Parts, CheckpointError> {
    let front = front_of(path)?;
    let count = whole(path, &front, "split.count")?.unwrap_or(1);
    if count <= 1 {
        return Ok(Parts {
            metadata: front.metadata,
            tensors: front.tensor_infos.into_iter().map(|info| (0, info)).collect(),
            files: vec![StoreFile::map(path)?],
        });
    }
    let unsupported = |file: &Path, reason: String| CheckpointError::Unsupported {
        file: file.to_path_buf(),
        reason,
    };
    let name_of = names(path, count).ok_or_else(|| {
        let reason = format!(
            "it is one part of {count} of a split model (split.count), and its name does not end in -00001-of-{count:05}.gguf: give the parts the names \
             that they had, or merge them with `llama-gguf-split --merge` and give the whole"
        );
        unsupported(path, reason)
    })?;
    let mut parts = Parts {
        metadata: MetadataValues::new(),
        tensors: Vec::new(),
        files: Vec::new(),
    };
    for number in 0..count {
        let part = name_of(number);
        if !part.is_file() {
            let reason = format!("it is split into {count} parts (split.count), and {} is not beside it", part.display());
            return Err(unsupported(path, reason));
        }
        let front = front_of(&part)?;
        let said = (whole(&part, &front, "split.no")?, whole(&part, &front, "split.count")?);
        if said != (Some(number), Some(count)) {
            let reason = format!(
                "its name says that it is part {} of {count}, and it says split.no {:?} of split.count {:?}",
                number + 1,
                said.0,
                said.1
            );
            return Err(unsupported(&part, reason));
        }
        parts.tensors.extend(front.tensor_infos.into_iter().map(|info| (number, info)));
        parts.files.push(StoreFile::map(&part)?);
        if number == 0 {
            parts.metadata = front.metadata;
        }
    }
    let names: BTreeSet<&str> = parts.tensors.iter().map(|(_, info)| info.name.as_str()).collect();
    let metadata = Metadata {
        file: path,
        values: &parts.metadata,
    };
    let expected = metadata.whole("split.tensors.count")?.unwrap_or(names.len());
    if names.len() != parts.tensors.len() || names.len() != expected {
        let reason = format!(
            "its {count} parts hold {} tensors of {} names, and split.tensors.count says {expected}: they are not of one model",
            parts.tensors.len(),
            names.len()
        );
        return Err(unsupported(path, reason));
    }
    Ok(parts)
}

/// The path of every part, by the path of one of them; nothing where its name is none of a part.
fn names(path: &Path, count: usize) -> Option<impl Fn(usize) -> PathBuf> {
    let stem = path.file_stem()?.to_str()?;
    let prefix = stem.strip_suffix(&format!("-of-{count:05}"))?;
    let (prefix, number) = prefix.rsplit_once('-')?;
    let extension = path.extension()?.to_str()?.to_string();
    if number.len() != 5 || !number.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let (folder, prefix) = (path.to_path_buf(), prefix.to_string());
    Some(move |number: usize| folder.with_file_name(format!("{prefix}-{:05}-of-{count:05}.{extension}", number + 1)))
}

fn whole(path: &Path, front: &GgufFrontMatter, key: &str) -> Result<Option<usize>, CheckpointError> {
    let metadata = Metadata {
        file: path,
        values: &front.metadata,
    };
    metadata.whole(key)
}

fn front_of(path: &Path) -> Result<GgufFrontMatter, CheckpointError> {
    let file = std::fs::File::open(path).map_err(|source| CheckpointError::Io {
        path: path.to_path_buf(),
        source,
    })?;
    parse_gguf_front_matter_from_reader(file).map_err(|error| reading(path, error))
}

fn reading(path: &Path, error: AnamnesisError) -> CheckpointError {
    let file = path.to_path_buf();
    match error {
        AnamnesisError::Io(source) if source.kind() != std::io::ErrorKind::UnexpectedEof => CheckpointError::Io { path: file, source },
        AnamnesisError::Unsupported { detail, .. } => CheckpointError::Unsupported { file, reason: detail },
        other => CheckpointError::Damaged {
            file,
            format: "GGUF",
            reason: other.to_string(),
        },
    }
}
