//! A GGUF file: header by `anamnesis`, weights mapped, names and row order brought to Hugging Face's.
//!
//! GGUF files of the Llama family keep the rows of query and key with rotary pairs side by side; those of Qwen do not. A file that was
//! split in several is read from all its parts (`gguf_split`).

use std::collections::BTreeMap;
use std::path::Path;

use anamnesis::{GgufTensorInfo, GgufType};

use crate::architecture::Architecture;
use crate::config::{ATTENTION_NORM, EMBEDDING, FEED_FORWARD_NORM, FINAL_NORM, HEAD, KEY_NORM, ModelConfig, QUERY_NORM, layer_tensor};
use crate::error::CheckpointError;
use crate::families;
use crate::gguf_config::{Metadata, TensorFacts};
pub(crate) use crate::gguf_split::MetadataValues;
use crate::gguf_split::{Parts, read};
use crate::store::{DType, Store, StoreFile, StoredTensor};

/// A tensor with the number of its file.
type Located<'a> = (usize, &'a GgufTensorInfo);

/// A GGUF file's configuration, tensors and metadata, and what a person should know of how it was read.
pub(crate) type Opened = (ModelConfig, Store, MetadataValues, Vec<String>);

/// Opens a GGUF file.
///
/// # Errors
/// `Damaged` for a truncated or senseless file, `Unsupported` for a version or type not known and for a tensor of the decoder or its head
/// that nothing uses, `Configuration` and `UnknownArchitecture` for metadata.
pub(crate) fn open(path: &Path) -> Result<Opened, CheckpointError> {
    let Parts {
        metadata: values,
        tensors,
        files,
    } = read(path)?;
    let metadata = Metadata { file: path, values: &values };
    let name = metadata
        .text("general.architecture")
        .ok_or_else(|| metadata.fault("general.architecture is missing".to_string()))?;
    let Some(architecture) = families::from_gguf(name) else {
        let known = families::names_in_gguf();
        return Err(CheckpointError::UnknownArchitecture {
            file: path.to_path_buf(),
            architecture: name.to_string(),
            known,
        });
    };
    let by_name: BTreeMap<&str, Located<'_>> = tensors.iter().map(|(file, info)| (info.name.as_str(), (*file, info))).collect();
    let config = metadata.config(architecture, facts(path, &by_name, &files)?)?;
    let mut store = Store {
        path: path.to_path_buf(),
        files,
        tensors: BTreeMap::new(),
        packed: None,
        slices: BTreeMap::new(),
        stacked: BTreeMap::new(),
    };
    let mut listed = Vec::new();
    for (name, located) in &by_name {
        let Some(renamed) = hugging_face_name(name) else {
            if !is_read_elsewhere(name, &by_name) {
                if OWN.iter().any(|start| name.starts_with(start)) {
                    let reason = format!("nothing in a {} model uses its tensor {name}: it belongs to another model", architecture.name());
                    return Err(CheckpointError::Unsupported {
                        file: path.to_path_buf(),
                        reason,
                    });
                }
                listed.push(*name);
            }
            continue;
        };
        let mut tensor = place(path, *located)?;
        let rotary = renamed.contains("self_attn.q_proj.") || renamed.contains("self_attn.k_proj.");
        tensor.interleaved_head = (architecture == Architecture::LLAMA && rotary).then_some(config.head_dim);
        if located.1.dtype == GgufType::NVFP4
            && let Some(scale) = name.strip_suffix(".weight").and_then(|stem| by_name.get(format!("{stem}.scale").as_str()))
        {
            tensor.scale = scalar(path, *scale, &store.files)?;
        }
        store.tensors.insert(renamed, tensor);
    }
    let notes = match listed.as_slice() {
        [] => Vec::new(),
        [one] => vec![format!("the tensor {one} is not used")],
        [first, rest @ ..] => vec![format!("{} tensors are not used, such as {first}", rest.len() + 1)],
    };
    Ok((config, store, values, notes))
}

/// How names of the decoder and its head begin; `cls` is a head that classifies.
const OWN: [&str; 6] = ["blk.", "output", "token_embd", "rope_", "position_embd", "cls"];

/// Whether a tensor without a name of Hugging Face's is read all the same: rotary divisors, and factors of NVFP4.
fn is_read_elsewhere(name: &str, all: &BTreeMap<&str, Located<'_>>) -> bool {
    let weight = name.strip_suffix(".scale").map(|stem| format!("{stem}.weight"));
    name == "rope_freqs.weight"
        || weight
            .and_then(|weight| all.get(weight.as_str()))
            .is_some_and(|(_, info)| info.dtype == GgufType::NVFP4)
}

/// Hugging Face's name of a GGUF tensor, if the model needs it.
fn hugging_face_name(name: &str) -> Option<String> {
    match name {
        "token_embd.weight" => return Some(EMBEDDING.to_string()),
        "output_norm.weight" => return Some(FINAL_NORM.to_string()),
        "output.weight" => return Some(HEAD.to_string()),
        _ => {}
    }
    let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
    let layer: usize = layer.parse().ok()?;
    let (stem, kind) = rest.rsplit_once('.')?;
    if kind != "weight" && kind != "bias" {
        return None;
    }
    let renamed = match (stem, kind) {
        ("attn_norm", "weight") => ATTENTION_NORM.to_string(),
        ("ffn_norm", "weight") => FEED_FORWARD_NORM.to_string(),
        ("attn_q_norm", "weight") => QUERY_NORM.to_string(),
        ("attn_k_norm", "weight") => KEY_NORM.to_string(),
        ("attn_q", _) => format!("self_attn.q_proj.{kind}"),
        ("attn_k", _) => format!("self_attn.k_proj.{kind}"),
        ("attn_v", _) => format!("self_attn.v_proj.{kind}"),
        ("attn_output", _) => format!("self_attn.o_proj.{kind}"),
        ("ffn_gate", _) => format!("mlp.gate_proj.{kind}"),
        ("ffn_up", _) => format!("mlp.up_proj.{kind}"),
        ("ffn_down", _) => format!("mlp.down_proj.{kind}"),
        _ => return None,
    };
    Some(layer_tensor(layer, &renamed))
}

fn place(path: &Path, (file, info): Located<'_>) -> Result<StoredTensor, CheckpointError> {
    let damaged = || CheckpointError::Damaged {
        file: path.to_path_buf(),
        format: "GGUF",
        reason: format!("tensor {} has no size", info.name),
    };
    // GGUF counts dimensions from the innermost; a vector may carry trailing ones.
    let mut shape: Vec<usize> = info.shape.iter().rev().copied().collect();
    while shape.len() > 1 && shape[0] == 1 {
        shape.remove(0);
    }
    Ok(StoredTensor {
        file,
        offset: usize::try_from(info.data_offset).map_err(|_| damaged())?,
        length: info.byte_len.and_then(|length| usize::try_from(length).ok()).ok_or_else(damaged)?,
        shape,
        element: match info.dtype {
            GgufType::F32 => DType::Float32,
            GgufType::F16 => DType::Float16,
            GgufType::BF16 => DType::BrainFloat16,
            block if block.is_quantized() => DType::Block(block),
            other => DType::Other(other.to_string()),
        },
        interleaved_head: None,
        scale: 1.0,
    })
}

/// The values of a small float32 tensor, read without a store.
fn vector(path: &Path, located: Located<'_>, files: &[StoreFile]) -> Result<Vec<f32>, CheckpointError> {
    let tensor = place(path, located)?;
    let end = tensor.offset.checked_add(tensor.length);
    let bytes = end.and_then(|end| files.get(tensor.file)?.map.get(tensor.offset..end));
    match (tensor.element, bytes) {
        (DType::Float32, Some(bytes)) => Ok(bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()),
        _ => {
            let reason = format!("tensor {} should be float32 and inside of the file", located.1.name);
            Err(CheckpointError::Damaged {
                file: path.to_path_buf(),
                format: "GGUF",
                reason,
            })
        }
    }
}

fn scalar(path: &Path, located: Located<'_>, files: &[StoreFile]) -> Result<f32, CheckpointError> {
    match vector(path, located, files)?.as_slice() {
        [value] => Ok(*value),
        values => {
            let reason = format!("tensor {} has {} values where one factor belongs", located.1.name, values.len());
            Err(CheckpointError::Unsupported {
                file: path.to_path_buf(),
                reason,
            })
        }
    }
}

fn facts(path: &Path, tensors: &BTreeMap<&str, Located<'_>>, files: &[StoreFile]) -> Result<TensorFacts, CheckpointError> {
    let of_layers = |ends: &[&str]| {
        let mut names = tensors.keys().filter(|name| name.starts_with("blk."));
        names.find(|name| ends.iter().any(|end| name.ends_with(end))).copied()
    };
    if let Some(name) = of_layers(&[".ffn_gate.bias", ".ffn_up.bias", ".ffn_down.bias"]) {
        let reason = format!("it has {name}; biases in the feed-forward block are not known");
        return Err(CheckpointError::Unsupported {
            file: path.to_path_buf(),
            reason,
        });
    }
    let rope_divisors = tensors.get("rope_freqs.weight").map(|located| vector(path, *located, files)).transpose()?;
    Ok(TensorFacts {
        // The embedding's own rows: the count in the metadata is optional.
        vocabulary: tensors.get("token_embd.weight").and_then(|(_, info)| info.shape.last().copied()).unwrap_or(0),
        tied_head: !tensors.contains_key("output.weight"),
        query_key_value_bias: of_layers(&[".attn_q.bias", ".attn_k.bias", ".attn_v.bias"]).is_some(),
        output_bias: of_layers(&[".attn_output.bias"]).is_some(),
        rope_divisors,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_hugging_face() {
        let name = |gguf| hugging_face_name(gguf).unwrap_or_default();
        assert_eq!(name("blk.12.attn_q.weight"), "model.layers.12.self_attn.q_proj.weight");
        assert_eq!(name("blk.0.attn_k_norm.weight"), "model.layers.0.self_attn.k_norm.weight");
        assert_eq!(name("blk.3.ffn_down.weight"), "model.layers.3.mlp.down_proj.weight");
        assert_eq!(name("output.weight"), "lm_head.weight");
        for other in [
            "rope_freqs.weight",
            "blk.x.attn_q.weight",
            "blk.0.attn_q.scale",
            "blk.0",
            "blk.0.attn_norm.bias",
        ] {
            assert_eq!(hugging_face_name(other), None, "{other}");
        }
    }
}
