//! A Hugging Face folder: `config.json` beside one or several `*.safetensors`.
//!
//! Only headers are read here. Which files count follows transformers: `model.safetensors`, else those that
//! `model.safetensors.index.json` names, else every `*.safetensors` in the folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};

use crate::config::{HEAD, ModelConfig};
use crate::error::CheckpointError;
use crate::hugging_face_config;
use crate::packed::Scheme;
use crate::store::{ElementType, Store, StoreFile, StoredTensor};

/// Opens a folder.
///
/// # Errors
/// No `config.json` or no weights (`NotAModel`), a configuration that cannot be used, a damaged file.
pub(crate) fn open(path: &Path) -> Result<(ModelConfig, Store), CheckpointError> {
    let file = path.join("config.json");
    if !file.is_file() {
        return Err(CheckpointError::NotAModel {
            path: path.to_path_buf(),
            reason: without_config(path),
        });
    }
    let text = std::fs::read_to_string(&file).map_err(|source| CheckpointError::Io { path: file.clone(), source })?;
    let mut config = hugging_face_config::parse(&file, &text)?;
    let mut store = Store::empty(path, packing(&file, &text)?);
    for weights in weight_files(path)? {
        add_file(&mut store, &weights)?;
    }
    // Checkpoints of a tied model leave the head out, and some of those forget to say so.
    config.tied_head |= !store.tensors.contains_key(HEAD);
    Ok((config, store))
}

/// How weights are packed, if the configuration says that they are.
fn packing(file: &Path, text: &str) -> Result<Option<Scheme>, CheckpointError> {
    let json: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let said = json.get("quantization_config").filter(|said| !said.is_null());
    let scheme = said.map(Scheme::parse).transpose();
    scheme.map_err(|reason| CheckpointError::Configuration {
        file: file.to_path_buf(),
        reason,
    })
}

fn without_config(path: &Path) -> String {
    let gguf = sorted_entries(path)
        .ok()
        .and_then(|entries| entries.into_iter().find(|entry| has_extension(entry, "gguf")));
    match gguf {
        Some(gguf) => format!("it has no config.json; to open the GGUF file in it, give {}", gguf.display()),
        None => "it has no config.json; give a folder as downloaded from Hugging Face, or a .gguf file".to_string(),
    }
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

fn sorted_entries(path: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let failed = |source| CheckpointError::Io {
        path: path.to_path_buf(),
        source,
    };
    let entries: Result<BTreeSet<PathBuf>, _> = std::fs::read_dir(path).map_err(failed)?.map(|entry| entry.map(|entry| entry.path())).collect();
    Ok(entries.map_err(failed)?.into_iter().collect())
}

fn weight_files(path: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let single = path.join("model.safetensors");
    if single.is_file() {
        return Ok(vec![single]);
    }
    let index = path.join("model.safetensors.index.json");
    if index.is_file() {
        return shards(path, &index);
    }
    let all: Vec<PathBuf> = sorted_entries(path)?.into_iter().filter(|entry| has_extension(entry, "safetensors")).collect();
    if all.is_empty() {
        let reason = "it has config.json but no *.safetensors; weights in other formats (pytorch_model.bin) have to be converted first".to_string();
        return Err(CheckpointError::NotAModel {
            path: path.to_path_buf(),
            reason,
        });
    }
    Ok(all)
}

fn shards(path: &Path, index: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let damaged = |reason: String| CheckpointError::Damaged {
        file: index.to_path_buf(),
        format: "index of safetensors",
        reason,
    };
    let text = std::fs::read_to_string(index).map_err(|source| CheckpointError::Io {
        path: index.to_path_buf(),
        source,
    })?;
    let json: serde_json::Value = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
    let map = json
        .get("weight_map")
        .and_then(|map| map.as_object())
        .ok_or_else(|| damaged("it has no weight_map".to_string()))?;
    let mut names = BTreeSet::new();
    for (tensor, file) in map {
        let name = file.as_str().ok_or_else(|| damaged(format!("the file of tensor {tensor} is not a text")))?;
        // A name is a name in this folder, never a way out of it.
        if name.contains(['/', '\\']) || name == ".." {
            return Err(damaged(format!("tensor {tensor} is said to be in `{name}`, which is outside of the folder")));
        }
        names.insert(name.to_string());
    }
    names
        .into_iter()
        .map(|name| {
            let file = path.join(&name);
            if file.is_file() {
                Ok(file)
            } else {
                Err(damaged(format!("it names `{name}`, which is not in the folder")))
            }
        })
        .collect()
}

/// Adds the tensors of a file of weights.
pub(crate) fn add_file(store: &mut Store, path: &Path) -> Result<(), CheckpointError> {
    let damaged = |reason: String| CheckpointError::Damaged {
        file: path.to_path_buf(),
        format: "safetensors",
        reason,
    };
    let file = StoreFile::map(path)?;
    let (header, metadata) = SafeTensors::read_metadata(&file.map).map_err(|error| damaged(error.to_string()))?;
    let start = header + 8; // the header's own length comes first, in eight bytes
    let tensors: BTreeMap<_, _> = metadata.tensors().into_iter().collect();
    for (name, info) in tensors {
        let (from, to) = info.data_offsets;
        let tensor = StoredTensor {
            file: store.files.len(),
            offset: start + from,
            length: to - from,
            shape: info.shape.clone(),
            element: match info.dtype {
                Dtype::F32 => ElementType::Float32,
                Dtype::F16 => ElementType::Float16,
                Dtype::BF16 => ElementType::BrainFloat16,
                Dtype::I32 => ElementType::Integer32,
                other => ElementType::Other(format!("{other:?}")),
            },
            interleaved_head: None,
            scale: 1.0,
        };
        // A base model saved without its head drops the prefix.
        let bare = ["layers.", "embed_tokens.", "norm."].iter().any(|start| name.starts_with(start));
        let name = if bare { format!("model.{name}") } else { name };
        if store.tensors.insert(name.clone(), tensor).is_some() {
            return Err(damaged(format!(
                "tensor {name} is in another file of the folder too; leave only one set of weights"
            )));
        }
    }
    store.files.push(file);
    Ok(())
}
