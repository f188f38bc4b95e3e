//! Windows of token ids, from a safetensors file or from plain text: what perplexity is measured on and what calibrates.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cruxscope_checkpoint::Checkpoint;
use cruxscope_model::ModelError;
use cruxscope_statistics::SplitMix;
use cruxscope_trace::{Trace, TraceContent};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

use crate::RunError;

/// Where token windows come from.
#[derive(Clone, Debug, PartialEq)]
pub enum WindowSource {
    /// Arrays `[windows, length]` of int32 or int64 ids in a safetensors file; one of them by name, or all.
    Tokens {
        /// The file.
        path: PathBuf,
        /// The array.
        array: Option<String>,
    },
    /// Plain text, tokenized as the model reads it (the token that begins a sequence comes first, where the model has one) and cut into
    /// windows of `length`; what is left over is not used.
    Text {
        /// The file.
        path: PathBuf,
        /// Tokens of a window.
        length: usize,
    },
    /// A file of traces (JSON lines with prompt and output, or token ids), each tokenized as the model reads it, one after the other,
    /// cut into windows of `length`; what is left over is not used.
    Traces {
        /// The file.
        path: PathBuf,
        /// Tokens of a window.
        length: usize,
    },
    /// The same, each trace a window of its own, however long; those of fewer than two tokens are left out.
    EachTrace {
        /// The file.
        path: PathBuf,
    },
}

/// Text that calibrates.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// Where it comes from.
    pub source: WindowSource,
    /// Maximum number of windows.
    pub windows: Option<usize>,
    /// The seed by which windows are drawn from the whole text; without one they are its first.
    pub seed: Option<u64>,
}

impl Calibration {
    /// The windows, those of all arrays together.
    ///
    /// # Errors
    /// As [`WindowSource::read`].
    pub fn read(&self, checkpoint: &Checkpoint) -> Result<Vec<Vec<u32>>, RunError> {
        let all = self.source.read(checkpoint, if self.seed.is_some() { None } else { self.windows })?;
        let mut windows: Vec<Vec<u32>> = all.into_values().flatten().collect();
        if let Some(seed) = self.seed {
            draw(&mut windows, seed);
        }
        windows.truncate(self.windows.unwrap_or(usize::MAX));
        Ok(windows)
    }
}

/// Puts windows in an order that depends on the seed alone (Fisher and Yates).
fn draw<T>(windows: &mut [T], seed: u64) {
    let mut random = SplitMix::new(seed);
    for last in (1..windows.len()).rev() {
        windows.swap(last, random.below(last + 1));
    }
}

/// Sets of windows by name.
pub type WindowSets = BTreeMap<String, Vec<Vec<u32>>>;

impl WindowSource {
    /// A file by its ending: token ids in `.safetensors`, traces in `.jsonl` or `.jsonl.gz`, plain text in any other.
    pub fn of_file(path: &Path, array: Option<String>, length: usize) -> Self {
        let name = path.to_string_lossy();
        let path = path.to_owned();
        if name.ends_with(".safetensors") {
            Self::Tokens { path, array }
        } else if name.ends_with(".jsonl") || name.ends_with(".jsonl.gz") {
            Self::Traces { path, length }
        } else {
            Self::Text { path, length }
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        match self {
            Self::Tokens { path, .. } | Self::Text { path, .. } | Self::Traces { path, .. } | Self::EachTrace { path } => path,
        }
    }

    /// Reads the windows, at most `first` of each set.
    ///
    /// # Errors
    /// When the file cannot be read, an array is not what it should be, or an id is beyond the vocabulary.
    pub fn read(&self, checkpoint: &Checkpoint, first: Option<usize>) -> Result<WindowSets, RunError> {
        let mut sets = match self {
            Self::Tokens { path, array } => tokens(path, array.as_deref())?,
            Self::Text { path, length } => text(path, *length, checkpoint)?,
            Self::Traces { path, length } => cut(path, *length, traces(path, checkpoint)?.concat())?,
            Self::EachTrace { path } => each_trace(path, checkpoint)?,
        };
        let vocabulary = checkpoint.config().vocabulary;
        for windows in sets.values_mut() {
            windows.truncate(first.unwrap_or(usize::MAX));
            for window in windows.iter() {
                if let Some((position, token)) = window.iter().enumerate().find(|(_, token)| **token as usize >= vocabulary) {
                    return Err(ModelError::Token {
                        token: *token,
                        position,
                        vocabulary,
                    }
                    .into());
                }
            }
        }
        Ok(sets)
    }
}

fn unusable(path: &Path, why: impl Into<String>) -> RunError {
    RunError::Windows {
        path: path.to_owned(),
        why: why.into(),
    }
}

fn tokens(path: &Path, wanted: Option<&str>) -> Result<WindowSets, RunError> {
    let bytes = std::fs::read(path).map_err(|error| unusable(path, error.to_string()))?;
    let arrays = SafeTensors::deserialize(&bytes).map_err(|error| unusable(path, format!("it is no safetensors file: {error}")))?;
    let mut names: Vec<&str> = arrays.names().into_iter().filter(|name| wanted.is_none_or(|wanted| wanted == *name)).collect();
    names.sort_unstable();
    if names.is_empty() {
        let known = arrays.names().join(", ");
        return Err(unusable(path, format!("it holds no array \"{}\", only {known}", wanted.unwrap_or_default())));
    }
    let mut sets = WindowSets::new();
    for name in names {
        let view = arrays.tensor(name).map_err(|error| unusable(path, error.to_string()))?;
        let [_, length] = *view.shape() else {
            return Err(unusable(path, format!("{name} has shape {:?} instead of [windows, length]", view.shape())));
        };
        let ids: Vec<i64> = match view.dtype() {
            Dtype::I32 => view
                .data()
                .as_chunks::<4>()
                .0
                .iter()
                .map(|chunk| i64::from(i32::from_le_bytes(*chunk)))
                .collect(),
            Dtype::I64 => view.data().as_chunks::<8>().0.iter().map(|chunk| i64::from_le_bytes(*chunk)).collect(),
            other => return Err(unusable(path, format!("{name} holds {other:?} instead of int32 or int64"))),
        };
        if length < 2 {
            return Err(unusable(path, format!("{name} has windows of {length} tokens, too short to predict anything")));
        }
        let ids = ids
            .into_iter()
            .map(u32::try_from)
            .collect::<Result<Vec<u32>, _>>()
            .map_err(|_| unusable(path, format!("{name} holds a negative or huge id")))?;
        sets.insert(name.to_owned(), ids.chunks_exact(length).map(<[u32]>::to_vec).collect());
    }
    Ok(sets)
}

fn text(path: &Path, length: usize, checkpoint: &Checkpoint) -> Result<WindowSets, RunError> {
    let text = std::fs::read_to_string(path).map_err(|error| unusable(path, error.to_string()))?;
    cut(path, length, checkpoint.tokenizer()?.encode_sequence(&text)?.ids)
}

/// The token ids of each trace.
fn traces(path: &Path, checkpoint: &Checkpoint) -> Result<Vec<Vec<u32>>, RunError> {
    let mut tokenizer = None;
    let mut all = Vec::new();
    for trace in Trace::read_all(path)? {
        all.push(match trace.content {
            TraceContent::Tokens(own) => own,
            TraceContent::Text { prompt, output } => {
                let tokenizer = match &tokenizer {
                    Some(known) => known,
                    None => tokenizer.insert(checkpoint.tokenizer()?),
                };
                tokenizer.encode_sequence(&format!("{prompt}{output}"))?.ids
            }
        });
    }
    Ok(all)
}

fn each_trace(path: &Path, checkpoint: &Checkpoint) -> Result<WindowSets, RunError> {
    let mut windows = traces(path, checkpoint)?;
    windows.retain(|window| window.len() >= 2);
    if windows.is_empty() {
        return Err(unusable(path, "it holds no trace of two tokens or more"));
    }
    Ok(WindowSets::from([("traces".to_owned(), windows)]))
}

/// Windows of one sequence of ids.
fn cut(path: &Path, length: usize, ids: Vec<u32>) -> Result<WindowSets, RunError> {
    if length < 2 {
        return Err(RunError::Setting {
            setting: "--sequence-length",
            value: length.to_string(),
            rule: "a window needs at least two tokens",
        });
    }
    let windows: Vec<Vec<u32>> = ids.chunks_exact(length).map(<[u32]>::to_vec).collect();
    if windows.is_empty() {
        return Err(unusable(path, format!("it gives {} tokens, fewer than one window of {length}", ids.len())));
    }
    let name = path.file_stem().map_or_else(|| "text".into(), |name| name.to_string_lossy().into_owned());
    Ok(WindowSets::from([(name, windows)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_hangs_on_its_seed_and_loses_nothing() {
        let drawn = |seed| {
            let mut all: Vec<usize> = (0..100).collect();
            draw(&mut all, seed);
            all
        };
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
        let mut sorted = drawn(7);
        assert_ne!(sorted, (0..100).collect::<Vec<_>>());
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        draw::<usize>(&mut [], 1);
    }
}
