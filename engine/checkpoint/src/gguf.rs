//! A GGUF file: header by `anamnesis`, weights mapped, names and row order brought to Hugging Face's.
//!
//! Which families keep the rows of query and key with rotary pairs side by side stands in `gguf_families`. A file that was
//! split in several is read from all its parts (`gguf_split`).

use std::collections::BTreeMap;
use std::path::Path;

use anamnesis::{GgufTensorInfo, GgufType};

use crate::architecture::Architecture;
use crate::config::ModelConfig;
use crate::error::CheckpointError;
use crate::gguf_config::{Metadata, TensorFacts};
use crate::gguf_families;
use crate::gguf_names::{KEYS_VALUES, array_of_experts, hugging_face_name};
pub(crate) use crate::gguf_split::MetadataValues;
use crate::gguf_split::{Parts, read};
use crate::rope::RopeScaling;
use crate::store::{DType, Store, StoreFile, StoredTensor};
use crate::{families, fused, stacked};

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
    let by_name: BTreeMap<&str, Located<'_>> = tensors.iter().map(|(file, info)| (info.name.as_str(), (*file, info))).collect();
    let positive = |field: &str| Ok::<_, CheckpointError>(metadata.whole(&format!("{name}.{field}"))?.is_some_and(|value| value > 0));
    let (has_experts, has_windows) = (positive("expert_count")?, positive("attention.sliding_window")?);
    let row = gguf_families::find(name, has_experts, has_windows);
    let facts = facts(path, &by_name, &files)?;
    let config = match (row, families::from_gguf(name)) {
        (Some(row), _) => row.config(&metadata, &facts)?,
        (None, Some(architecture)) => metadata.config(architecture, facts)?,
        (None, None) => {
            return Err(CheckpointError::UnknownArchitecture {
                file: path.to_path_buf(),
                architecture: name.to_string(),
                known: gguf_families::known(),
            });
        }
    };
    let interleaved = row.map_or(config.architecture == Architecture::LLAMA, |row| row.interleaved);
    let architecture = config.architecture;
    let is_long = matches!(config.rope.scaling, RopeScaling::LongRope { .. });
    let mut store = Store {
        files,
        ..Store::empty(path, None)
    };
    let mut listed = Vec::new();
    for (name, located) in &by_name {
        let Some(renamed) = hugging_face_name(&config, name) else {
            let is_divisor = is_long && name.starts_with("rope_factors_");
            if !is_read_elsewhere(name, &by_name) && !is_divisor {
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
        tensor.interleaved_head = (interleaved && rotary).then_some(config.head_dim);
        if name.ends_with(".ffn_gate_inp_shexp.weight") {
            // One row, however its dimensions are counted.
            tensor.shape = vec![1, config.hidden];
        }
        if located.1.dtype == GgufType::NVFP4
            && let Some(scale) = name.strip_suffix(".weight").and_then(|stem| by_name.get(format!("{stem}.scale").as_str()))
        {
            tensor.scale = scalar(path, *scale, &store.files)?;
        }
        store.tensors.insert(renamed, tensor);
    }
    fused::split(&config, &mut store)?;
    stacked::place_apart(&config, &mut store, array_of_experts);
    stacked::place_latent(&config, &mut store, KEYS_VALUES);
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
    let values = |name: &str| tensors.get(name).map(|located| vector(path, *located, files)).transpose();
    let rope_divisors = values("rope_freqs.weight")?;
    let long_rope = match (values("rope_factors_short.weight")?, values("rope_factors_long.weight")?) {
        (Some(short), Some(long)) => Some([short, long]),
        _ => None,
    };
    Ok(TensorFacts {
        // The embedding's own rows: the count in the metadata is optional.
        vocabulary: tensors.get("token_embd.weight").and_then(|(_, info)| info.shape.last().copied()).unwrap_or(0),
        tied_head: !tensors.contains_key("output.weight"),
        query_key_value_bias: of_layers(&[".attn_q.bias", ".attn_k.bias", ".attn_v.bias"]).is_some(),
        output_bias: of_layers(&[".attn_output.bias"]).is_some(),
        rope_divisors,
        long_rope,
        query_key_norms: of_layers(&[".attn_q_norm.weight"]).is_some(),
    })
}
