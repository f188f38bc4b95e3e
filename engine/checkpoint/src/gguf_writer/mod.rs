//! A model into one GGUF file: matrices in blocks or as plain numbers, everything else in float32.
//!
//! The file is what [`crate::gguf`] reads, and llama.cpp: rows of query and key of Llama's family lie with rotary pairs side by side, Llama
//! 3's rotary divisors in a tensor of their own. A layer is in memory at a time, and the file appears under its name once it is whole.

mod blocks;
mod header;
mod metadata;
mod sentence_piece;
mod tokenizer;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use cruxscope_study::files::atomic_write_with;
use rayon::prelude::*;

use self::blocks::BLOCK;
pub use self::blocks::GgufNumbers;
use self::header::{ALIGNMENT, Entry, aligned, header};
use crate::architecture::Architecture;
use crate::config::ModelConfig;
use crate::{Checkpoint, CheckpointError, LayerWeights};

/// Rows of the embedding and the head that are converted at a time.
const ROWS: usize = 8192;

/// The linear maps of a layer, in their order.
const MATRICES: [&str; 7] = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"];

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GgufSummary {
    /// Its length.
    pub bytes: u64,
    /// Matrices by how they are stored.
    pub matrices: BTreeMap<GgufNumbers, usize>,
}

/// Writes a model of the families Llama, Qwen2 or Qwen3 as a GGUF file whose matrices are stored as `numbers`; those whose rows do not fill
/// whole blocks as float16.
///
/// # Errors
/// `Occupied` where something is at `target`; `Unsupported` and `Tokenizer` for what GGUF cannot say; what reading gives; `Written` where
/// what was written does not open as the same model; the disk's.
pub fn write_gguf(source: &Checkpoint, target: &Path, numbers: GgufNumbers) -> Result<GgufSummary, CheckpointError> {
    if target.exists() {
        return Err(CheckpointError::Occupied { path: target.to_owned() });
    }
    metadata::check(source).map_err(|reason| CheckpointError::Unsupported {
        file: source.path().to_path_buf(),
        reason,
    })?;
    let mut pairs = metadata::of_model(source, numbers);
    pairs.extend(tokenizer::of_tokenizer(source)?);
    let file = Contents {
        source,
        numbers,
        divisors: metadata::rope_divisors(source),
    };
    let entries = file.entries();
    let header = header(&pairs, &entries);
    let mut failed = None;
    let written = atomic_write_with(target, |path| {
        let mut out = BufWriter::new(File::create(path)?);
        out.write_all(&header)?;
        match file.write(&entries, &mut out) {
            Ok(()) => out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all(),
            Err(Failed::Disk(error)) => Err(error),
            Err(Failed::Model(error)) => {
                failed = Some(error);
                Err(std::io::Error::other("the model could not be read"))
            }
        }
    });
    if let Some(error) = failed {
        return Err(error);
    }
    written.map_err(|source| CheckpointError::Io {
        path: target.to_path_buf(),
        source,
    })?;
    compare(source, target)?;
    let mut matrices = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.shape.len() > 1) {
        *matrices.entry(entry.numbers).or_default() += 1;
    }
    let data: usize = entries.iter().map(|entry| aligned(entry.bytes())).sum();
    Ok(GgufSummary {
        bytes: (header.len() + data) as u64,
        matrices,
    })
}

enum Failed {
    Disk(std::io::Error),
    Model(CheckpointError),
}

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Self {
        Self::Disk(error)
    }
}

impl From<CheckpointError> for Failed {
    fn from(error: CheckpointError) -> Self {
        Self::Model(error)
    }
}

/// Opens what was written, and compares its configuration with what the file was made from.
fn compare(source: &Checkpoint, target: &Path) -> Result<(), CheckpointError> {
    let wrong = |reason: String| CheckpointError::Written {
        path: target.to_path_buf(),
        reason,
    };
    let written = Checkpoint::open(target).map_err(|error| wrong(error.to_string()))?;
    let (found, wanted) = (written.config(), source.config());
    // Divisors of rotary frequencies say in another way what a scaling says; ε is kept in float32.
    let is_same = found.norm_epsilon as f32 == wanted.norm_epsilon as f32;
    let alike = |config: &ModelConfig| ModelConfig {
        rope: wanted.rope.clone(),
        norm_epsilon: if is_same { wanted.norm_epsilon } else { config.norm_epsilon },
        ..config.clone()
    };
    if alike(found) != *wanted || found.rope.theta as f32 != wanted.rope.theta as f32 {
        return Err(wrong(format!("its configuration is {found:?} instead of {wanted:?}")));
    }
    let turned = wanted.head_dim;
    let frequencies = found.rope.inverse_frequencies(turned).into_iter().zip(wanted.rope.inverse_frequencies(turned));
    if let Some((found, wanted)) = frequencies.into_iter().find(|(found, wanted)| (found / wanted - 1.0).abs() > 1e-6) {
        return Err(wrong(format!("a rotary frequency is {found} instead of {wanted}")));
    }
    Ok(())
}

/// What goes into a file, tensor by tensor in one order.
struct Contents<'a> {
    source: &'a Checkpoint,
    numbers: GgufNumbers,
    divisors: Option<Vec<f32>>,
}

impl Contents<'_> {
    fn of_matrix(&self, columns: usize) -> GgufNumbers {
        if columns.is_multiple_of(self.numbers.together()) {
            self.numbers
        } else {
            GgufNumbers::F16
        }
    }

    fn entries(&self) -> Vec<Entry> {
        let config = self.source.config();
        let mut entries = Vec::new();
        let matrix = |name: String, rows: usize, columns: usize| Entry {
            name,
            shape: vec![rows, columns],
            numbers: self.of_matrix(columns),
        };
        let vector = |name: String, width: usize| Entry {
            name,
            shape: vec![width],
            numbers: GgufNumbers::F32,
        };
        entries.push(matrix("token_embd.weight".into(), config.vocabulary, config.hidden));
        entries.push(vector("output_norm.weight".into(), config.hidden));
        if !config.tied_head {
            entries.push(matrix("output.weight".into(), config.vocabulary, config.hidden));
        }
        if let Some(divisors) = &self.divisors {
            entries.push(vector("rope_freqs.weight".into(), divisors.len()));
        }
        for layer in 0..config.layers {
            let name = |stem: &str, kind: &str| format!("blk.{layer}.{stem}.{kind}");
            entries.push(vector(name("attn_norm", "weight"), config.hidden));
            entries.push(vector(name("ffn_norm", "weight"), config.hidden));
            if config.query_key_norms().is_some() {
                entries.push(vector(name("attn_q_norm", "weight"), config.head_dim));
                entries.push(vector(name("attn_k_norm", "weight"), config.head_dim));
            }
            for (projection, stem) in MATRICES.into_iter().enumerate() {
                let (rows, columns) = config.dimensions(projection);
                entries.push(matrix(name(stem, "weight"), rows, columns));
                if config.has_bias(projection) {
                    entries.push(vector(name(stem, "bias"), rows));
                }
            }
        }
        entries
    }

    /// Writes the tensors' numbers; `entries` are those of [`Self::entries`].
    fn write(&self, entries: &[Entry], out: &mut impl Write) -> Result<(), Failed> {
        let config = self.source.config();
        let mut loaded: Option<(usize, LayerWeights)> = None;
        for entry in entries {
            let mut length = 0;
            let mut give = |values: &[f32], out: &mut dyn Write| {
                let bytes = encoded(entry.numbers, values);
                length += bytes.len();
                out.write_all(&bytes)
            };
            match entry.name.as_str() {
                "token_embd.weight" | "output.weight" => {
                    for first in (0..config.vocabulary).step_by(ROWS) {
                        let rows = first..config.vocabulary.min(first + ROWS);
                        let part = match entry.name.as_str() {
                            "output.weight" => self.source.head_rows(rows)?,
                            _ => self.source.embedding_rows(&rows.map(|row| row as u32).collect::<Vec<_>>())?,
                        };
                        give(&part.values, out)?;
                    }
                }
                "output_norm.weight" => give(&self.source.final_norm()?, out)?,
                "rope_freqs.weight" => give(self.divisors.as_deref().unwrap_or_default(), out)?,
                name => {
                    let Some((layer, stem, kind)) = parts(name) else { continue };
                    if loaded.as_ref().is_none_or(|(of, _)| *of != layer) {
                        loaded = Some((layer, self.source.layer(layer)?));
                        self.source.release();
                    }
                    if let Some((_, weights)) = &loaded {
                        give(&self.of_layer(weights, stem, kind), out)?;
                    }
                }
            }
            out.write_all(&vec![0; aligned(length) - length])?;
        }
        Ok(())
    }

    /// A tensor of a layer, its rows in the order of the file.
    fn of_layer(&self, weights: &LayerWeights, stem: &str, kind: &str) -> Vec<f32> {
        let config = self.source.config();
        let Some(projection) = MATRICES.iter().position(|matrix| *matrix == stem) else {
            return match stem {
                "attn_norm" => weights.attention_norm.clone(),
                "ffn_norm" => weights.feed_forward_norm.clone(),
                "attn_q_norm" => weights.query_norm.clone().unwrap_or_default(),
                _ => weights.key_norm.clone().unwrap_or_default(),
            };
        };
        let map = &weights.projections[projection];
        let (values, width) = match (kind, &map.bias) {
            ("bias", Some(bias)) => (bias, 1),
            _ => (&map.weight.values, map.weight.columns),
        };
        if projection > 1 || config.architecture != Architecture::LLAMA {
            return values.clone();
        }
        // Rows 2j and 2j + 1 of a head in the file are rows j and half + j of it.
        let (size, half) = (config.head_dim, config.head_dim / 2);
        let row = |row: usize| {
            let (head, within) = (row / size, row % size);
            head * size + within % 2 * half + within / 2
        };
        (0..map.weight.rows).flat_map(|place| &values[row(place) * width..][..width]).copied().collect()
    }
}

/// Layer, stem and kind of a name such as `blk.3.attn_q.weight`.
fn parts(name: &str) -> Option<(usize, &str, &str)> {
    let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
    let (stem, kind) = rest.rsplit_once('.')?;
    Some((layer.parse().ok()?, stem, kind))
}

/// Numbers as they are stored, stretch by stretch on all processors.
fn encoded(numbers: GgufNumbers, values: &[f32]) -> Vec<u8> {
    let parts: Vec<Vec<u8>> = values
        .par_chunks(BLOCK * ALIGNMENT * 64)
        .map(|part| {
            let mut bytes = Vec::with_capacity(numbers.bytes(part.len()));
            numbers.encode(part, &mut bytes);
            bytes
        })
        .collect();
    parts.concat()
}
