//! What can be wrong with a model at rest.
//!
//! One variant for each kind of damage, so that a test and a person can tell them apart. Whether the fault lies with what the
//! person pointed at or with the machine is answered by [`CheckpointError::is_user_error`].

use std::path::PathBuf;

/// Why a model's configuration, weights or tokenizer could not be had.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file or folder could not be read.
    #[error("could not read {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is nothing at the path.
    #[error("{path} does not exist: give a folder with config.json and *.safetensors, or a .gguf file")]
    NotFound {
        /// The path as given.
        path: PathBuf,
    },
    /// The path is something, but no model.
    #[error("{path} is not a model: {reason}")]
    NotAModel {
        /// The path as given.
        path: PathBuf,
        /// What was looked for, and what to do.
        reason: String,
    },
    /// `config.json`, or the metadata of a GGUF file, is not what it should be.
    #[error("the configuration in {file} cannot be used: {reason}")]
    Configuration {
        /// `config.json` or the GGUF file.
        file: PathBuf,
        /// The field, its value, and what was expected.
        reason: String,
    },
    /// The model is of a family this crate does not know.
    #[error("{file} says architecture `{architecture}`, which is not known; known are: {known}")]
    UnknownArchitecture {
        /// `config.json` or the GGUF file.
        file: PathBuf,
        /// What the file says.
        architecture: String,
        /// All known names.
        known: String,
    },
    /// A file of weights is damaged.
    #[error("{file} is damaged or not a {format} file: {reason}; fetch it again")]
    Damaged {
        /// The file.
        file: PathBuf,
        /// "safetensors" or "GGUF".
        format: &'static str,
        /// What the parser said.
        reason: String,
    },
    /// There is something where a model is to be written.
    #[error("{path} exists already; choose another folder with --out, or delete it")]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// Another process writes a model there.
    #[error("{path} is being written by another run; wait for it, or choose another folder with --out")]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// The folder in which a model is put together holds something that no run of this program puts there.
    #[error("{folder}, in which the model would be put together, holds {name}, which is not this program's; move it away, or choose another folder with --out")]
    Foreign {
        /// The folder.
        folder: PathBuf,
        /// What is in it.
        name: String,
    },
    /// A tensor does not survive being stored.
    #[error(
        "{tensor} cannot be stored as {dtype}: {count} of its {of} numbers would become {turned}; choose another --dtype, or write plain numbers without --packed"
    )]
    NotStorable {
        /// The tensor or component.
        tensor: String,
        /// The dtype.
        dtype: &'static str,
        /// How many of its numbers.
        count: usize,
        /// Of so many.
        of: usize,
        /// "infinite" or "zero".
        turned: &'static str,
    },
    /// What was written is not what was to be written.
    #[error("{path} does not read back as it was written: {reason}; it was not put in place")]
    Written {
        /// The folder in which the model was put together.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
    /// A file that is sound uses something this crate does not read.
    #[error("{file} cannot be read: {reason}")]
    Unsupported {
        /// The file.
        file: PathBuf,
        /// What it uses, and what to do.
        reason: String,
    },
    /// A tensor that the configuration asks for is not there.
    #[error("tensor {tensor} is missing from {path}: the configuration asks for it with shape {expected:?}")]
    MissingTensor {
        /// Name in Hugging Face's style.
        tensor: String,
        /// The model.
        path: PathBuf,
        /// Shape that the configuration implies.
        expected: Vec<usize>,
    },
    /// A tensor has another shape than the configuration implies.
    #[error("tensor {tensor} in {path} has shape {found:?}, but the configuration implies {expected:?}")]
    Shape {
        /// Name in Hugging Face's style.
        tensor: String,
        /// The model.
        path: PathBuf,
        /// Shape in the file.
        found: Vec<usize>,
        /// Shape that the configuration implies.
        expected: Vec<usize>,
    },
    /// A weight is NaN or infinite.
    #[error("tensor {tensor} in {path} holds {value} at row {row}, column {column}: such a model computes nothing; fetch or make it again")]
    NotFinite {
        /// Name in Hugging Face's style.
        tensor: String,
        /// The model.
        path: PathBuf,
        /// Row, in the file's order made Hugging Face's.
        row: usize,
        /// Column.
        column: usize,
        /// NaN, inf or -inf.
        value: f32,
    },
    /// The layer asked for does not exist.
    #[error("layer {layer} was asked for, but the model has {layers} (counted from 0)")]
    NoSuchLayer {
        /// The layer asked for.
        layer: usize,
        /// Layers of the model.
        layers: usize,
    },
    /// A token or row of the vocabulary that does not exist was asked for.
    #[error("token {token} was asked for, but the model's vocabulary ends at {vocabulary} (exclusive)")]
    NoSuchToken {
        /// The token, or the end of the range of rows.
        token: usize,
        /// Size of the vocabulary.
        vocabulary: usize,
    },
    /// The tokenizer is missing.
    #[error("{path} has no tokenizer.json: put the model's own beside its config.json")]
    MissingTokenizer {
        /// The folder.
        path: PathBuf,
    },
    /// The tokenizer is damaged, or cannot be rebuilt from a GGUF file.
    #[error("the tokenizer in {file} cannot be used: {reason}")]
    Tokenizer {
        /// `tokenizer.json` or the GGUF file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The tokenizer can produce a token for which the model has no embedding.
    #[error("the tokenizer in {file} has token {token} (`{text}`), but the model's vocabulary ends at {vocabulary} (exclusive): they do not belong together")]
    TokenizerBeyondModel {
        /// `tokenizer.json` or the GGUF file.
        file: PathBuf,
        /// The highest token.
        token: u32,
        /// How it is written.
        text: String,
        /// Size of the model's vocabulary.
        vocabulary: usize,
    },
    /// A text could not be turned into tokens, or tokens into text.
    #[error("could not {attempt}: {reason}")]
    Text {
        /// "encode a text" or "decode tokens".
        attempt: &'static str,
        /// What the tokenizer said.
        reason: String,
    },
}

impl CheckpointError {
    /// Whether the person can mend this by pointing at another (or an undamaged) model, as opposed to a failure of the machine.
    pub fn is_user_error(&self) -> bool {
        match self {
            Self::Io { source, .. } => {
                matches!(
                    source.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::NotADirectory
                )
            }
            Self::Text { .. } | Self::Written { .. } => false,
            _ => true,
        }
    }
}
