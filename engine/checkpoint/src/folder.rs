//! A Hugging Face folder: `config.json` beside one or several `*.safetensors`.
//!
//! Only headers are read here. Which files count follows transformers: `model.safetensors`, else those that
//! `model.safetensors.index.json` names, else every `*.safetensors` in the folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};

use crate::accounting;
use crate::config::{EMBEDDING, HEAD, ModelConfig};
use crate::error::CheckpointError;
use crate::experts::ExpertStorage;
use crate::fused;
use crate::hugging_face_config;
use crate::packed::Packing;
use crate::packed_zeros::{Origin, resolve};
use crate::stacked;
use crate::store::{DType, Store, StoreFile, StoredTensor};

/// Opens a folder: its configuration, its tensors, and what a person should know of how they were read.
///
/// # Errors
/// No `config.json` or no weights (`NotAModel`), a configuration that cannot be used, a damaged file.
pub(crate) fn open(path: &Path) -> Result<(ModelConfig, Store, Vec<String>), CheckpointError> {
    let file = path.join("config.json");
    if !file.is_file() {
        return Err(CheckpointError::NotAModel {
            path: path.to_path_buf(),
            reason: without_config(path),
        });
    }
    let text = std::fs::read_to_string(&file).map_err(|source| CheckpointError::Io { path: file.clone(), source })?;
    let (mut config, wrapper) = hugging_face_config::parse(&file, &text)?;
    let said = match quantization(&text) {
        Some(said) if is_of_experts(&said) => {
            check_of_experts(&said, &config).map_err(|reason| fault(&file, reason))?;
            None
        }
        said => said,
    };
    let packing = said.as_ref().map(Packing::parse).transpose().map_err(|reason| fault(&file, reason))?;
    let packing_note = packing.as_ref().and_then(|packing| packing.asked().note(false));
    let mut store = Store::empty(path, packing);
    let (weights, mut notes) = weight_files(path)?;
    for weights in weights {
        add_file(&mut store, &weights)?;
    }
    if let Some(wrapper) = wrapper {
        wrapper.unwrap_names(&mut store);
        notes.push(format!(
            "of this {} model, the decoder of text is read ({})",
            wrapper.name,
            config.architecture.name()
        ));
    }
    fused::check(&config, &store)?;
    fused::split(&config, &mut store)?;
    stacked::place(&config, &mut store);
    if let Some(said) = &said {
        resolve(&mut store, said, Origin::of(path, said))?;
    }
    accounting::refuse_wrappers(&store)?;
    notes.extend(packing_note);
    notes.extend(head(&mut config, &store, &file)?);
    if let Some(adapter) = ADAPTERS.iter().find(|name| path.join(name).is_file()) {
        notes.push(format!("an adapter ({adapter}) lies beside the weights; it is not applied"));
    }
    notes.extend(tokens_beyond(&path.join("tokenizer.json"), config.vocabulary)?);
    Ok((config, store, notes))
}

/// A note on tokens that were added to the tokenizer and never to the embedding. What else may be amiss with it is reported by whoever
/// needs the tokenizer; a file that is broken as a file, such as one that was fetched in part, is refused at once: numbers do not need it,
/// but whatever is made of the model would carry it on.
fn tokens_beyond(file: &Path, vocabulary: usize) -> Result<Option<String>, CheckpointError> {
    #[derive(serde::Deserialize)]
    struct Added {
        id: usize,
        content: String,
    }
    #[derive(serde::Deserialize)]
    struct Tokenizer {
        added_tokens: Vec<Added>,
    }
    if !file.is_file() {
        return Ok(None);
    }
    let broken = |reason: String| CheckpointError::Tokenizer {
        file: file.to_path_buf(),
        reason,
    };
    let json = std::fs::read(file).map_err(|error| broken(error.to_string()))?;
    let tokenizer: Tokenizer = match serde_json::from_slice(&json) {
        Ok(tokenizer) => tokenizer,
        Err(error) if error.is_data() => return Ok(None),
        Err(error) => return Err(broken(format!("it is no JSON: {error}; fetch it again"))),
    };
    let first = tokenizer.added_tokens.into_iter().find(|token| token.id >= vocabulary);
    Ok(first.map(|first| {
        format!(
            "the tokenizer has a token {} (`{}`), and the vocabulary of the model ends at {vocabulary} (exclusive): texts that hold it are refused",
            first.id, first.content
        )
    }))
}

/// Files of PEFT's adapters.
const ADAPTERS: [&str; 3] = ["adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"];

fn fault(file: &Path, reason: String) -> CheckpointError {
    CheckpointError::Configuration {
        file: file.to_path_buf(),
        reason,
    }
}

/// `quantization_config`, if there is one.
fn quantization(text: &str) -> Option<serde_json::Value> {
    let json: serde_json::Value = serde_json::from_str(text).ok()?;
    json.get("quantization_config").filter(|said| !said.is_null()).cloned()
}

/// Whether `quantization_config` says MXFP4 as gpt-oss ships it: its experts in blocks, which `stacked` reads, and all else as it is.
fn is_of_experts(said: &serde_json::Value) -> bool {
    said.get("quant_method").and_then(|method| method.as_str()) == Some("mxfp4")
}

fn check_of_experts(said: &serde_json::Value, config: &ModelConfig) -> Result<(), String> {
    const KNOWN: [&str; 3] = ["dequantize", "modules_to_not_convert", "quant_method"];
    if !matches!(config.block.experts.map(|experts| experts.storage), Some(ExpertStorage::Interleaved(_))) {
        return Err(format!(
            "quantization_config says `mxfp4`, which is known of gpt-oss's experts and not of a {} model",
            config.architecture.name()
        ));
    }
    let keys = said.as_object().into_iter().flatten().map(|(key, _)| key);
    match keys.into_iter().find(|key| !KNOWN.contains(&key.as_str())) {
        Some(key) => Err(format!("quantization_config of `mxfp4` holds {key}, which is not known")),
        None => Ok(()),
    }
}

/// Which head holds: one of its own where the file has one, as in transformers 5 and vLLM, whatever the configuration says of a tied
/// one. A head that repeats the embedding byte for byte is the embedding.
///
/// # Errors
/// `Configuration` where there is no head, and none is announced to be the embedding.
fn head(config: &mut ModelConfig, store: &Store, file: &Path) -> Result<Option<String>, CheckpointError> {
    let own = store.tensors.get(HEAD);
    if own.is_none() && store.packed_module(HEAD).is_none() {
        if config.tied_head {
            return Ok(None);
        }
        return Err(fault(
            file,
            "it does not say that the embedding is the head (tie_word_embeddings), and the weights hold no lm_head: the model has no language head, or \
             lost it"
                .to_string(),
        ));
    }
    if !config.tied_head {
        return Ok(None);
    }
    let same = match (own, store.tensors.get(EMBEDDING)) {
        (Some(head), Some(embedding)) => {
            head.element == embedding.element && head.shape == embedding.shape && store.bytes(head).is_some() && store.bytes(head) == store.bytes(embedding)
        }
        _ => false,
    };
    if same {
        return Ok(None);
    }
    config.tied_head = false;
    Ok(Some(
        "the configuration says that the head is the embedding, and the weights hold a head of its own: it is used".to_string(),
    ))
}

fn without_config(path: &Path) -> String {
    if let Some(adapter) = ADAPTERS.iter().find(|name| path.join(name).is_file()) {
        return format!("it holds an adapter ({adapter}) and no config.json: merge the adapter into its base model, and give that");
    }
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

/// The files of weights, and a note where others were passed over.
fn weight_files(path: &Path) -> Result<(Vec<PathBuf>, Vec<String>), CheckpointError> {
    let single = path.join("model.safetensors");
    let index = path.join("model.safetensors.index.json");
    if single.is_file() {
        let note = "model.safetensors is read, and not the files that model.safetensors.index.json names";
        return Ok((vec![single], index.is_file().then(|| note.to_string()).into_iter().collect()));
    }
    if index.is_file() {
        return Ok((shards(path, &index)?, Vec::new()));
    }
    let is_adapter = |entry: &Path| entry.file_name().is_some_and(|name| ADAPTERS.iter().any(|adapter| name == *adapter));
    let all: Vec<PathBuf> = sorted_entries(path)?
        .into_iter()
        .filter(|entry| has_extension(entry, "safetensors") && !is_adapter(entry))
        .collect();
    if all.is_empty() {
        return Err(CheckpointError::NotAModel {
            path: path.to_path_buf(),
            reason: without_safetensors(path)?,
        });
    }
    Ok((all, Vec::new()))
}

/// What to do with a folder whose weights are in files that run code when they are opened.
fn without_safetensors(path: &Path) -> Result<String, CheckpointError> {
    let pickled = sorted_entries(path)?
        .into_iter()
        .find(|entry| ["bin", "pt", "pth"].iter().any(|extension| has_extension(entry, extension)));
    let name = pickled.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    Ok(match name.as_deref() {
        None => "it has config.json but no *.safetensors: the weights are not there".to_string(),
        Some("qmodel.pt") => {
            "its weights are in qmodel.pt, a pickled file of HQQ's own, which is not read: load it with AutoHQQHFModel.from_quantized, and save it \
             with model.save_pretrained(folder) of transformers, which writes *.safetensors"
                .to_string()
        }
        Some(name) => format!(
            "its weights are pickled ({name}), which is not read: load the model with transformers and save it with model.save_pretrained(folder), which \
             writes *.safetensors (of torchao's weights version 0.16 or newer does; or call dequantize() on them first)"
        ),
    })
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
                Dtype::F32 => DType::Float32,
                Dtype::F16 => DType::Float16,
                Dtype::BF16 => DType::BrainFloat16,
                Dtype::F8_E4M3 => DType::Float8,
                Dtype::F8_E5M2 => DType::Float8Wide,
                Dtype::F8_E8M0 => DType::Exponent8,
                Dtype::I8 => DType::Integer8,
                Dtype::U8 => DType::Byte,
                Dtype::I32 => DType::Integer32,
                Dtype::I64 => DType::Integer64,
                other => DType::Other(format!("{other:?}")),
            },
            interleaved_head: None,
            scale: 1.0,
        };
        let name = with_prefix(name);
        if store.tensors.insert(name.clone(), tensor).is_some() {
            return Err(damaged(format!(
                "tensor {name} is in another file of the folder too; leave only one set of weights"
            )));
        }
    }
    let facts = metadata.metadata().iter().flatten();
    store.facts.extend(facts.map(|(name, said)| (with_prefix(name.clone()), said.clone())));
    store.files.push(file);
    Ok(())
}

/// A tensor's name with the prefix that a base model saved without its head drops.
fn with_prefix(name: String) -> String {
    let bare = ["layers.", "embed_tokens.", "norm."].iter().any(|start| name.starts_with(start));
    if bare { format!("model.{name}") } else { name }
}
