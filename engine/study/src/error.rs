//! What can be wrong with a study.

use std::path::PathBuf;

/// Why a study could not be read, written, merged or compared.
#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    /// A file of the study could not be read or written.
    #[error("could not {attempt} {path}: {source}")]
    Io {
        /// Such as "read" or "write".
        attempt: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process writes this file or folder.
    #[error("{path} is being written by another run; wait for it, or choose another place")]
    Busy {
        /// The file or folder.
        path: PathBuf,
    },
    /// There is no study here.
    #[error("{path} holds no study: it has no study.json; `cruxscope interpret --out {path}` makes one")]
    Missing {
        /// The folder.
        path: PathBuf,
    },
    /// A file is not the JSON it should be.
    #[error("{file} is damaged or not a file of a study: {source}")]
    Json {
        /// The file.
        file: String,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// A file is not the safetensors it should be.
    #[error("{file} is damaged or not a safetensors file: {reason}")]
    Arrays {
        /// The file.
        file: String,
        /// What the parser said.
        reason: String,
    },
    /// The study was written by a later program.
    #[error("this study has schema {found}, and this program knows schemas up to {known}: use a newer cruxscope")]
    NewerSchema {
        /// The study's schema.
        found: u32,
        /// The newest known.
        known: u32,
    },
    /// A file that the manifest names is not there.
    #[error("the manifest names {file}, which was not found beside study.json")]
    MissingFile {
        /// The file.
        file: String,
    },
    /// The bytes of a file are not those the manifest names.
    #[error("{file} has digest {found}, but the manifest says {expected}: the two do not belong together, or the file is damaged")]
    Digest {
        /// The file.
        file: String,
        /// Digest in the manifest.
        expected: String,
        /// Digest of the bytes.
        found: String,
    },
    /// An array that should be there is not.
    #[error("array {array} is missing from {file}")]
    MissingArray {
        /// The array.
        array: String,
        /// The file.
        file: String,
    },
    /// An array's shape or type contradicts the manifest.
    #[error("array {array} should have shape {expected:?}, but has {found}")]
    Shape {
        /// The array.
        array: String,
        /// The shape that the manifest implies.
        expected: Vec<usize>,
        /// What was found.
        found: String,
    },
    /// A value is not one that this array can hold.
    #[error("array {array} holds {value} at position {position}, where a finite number in range was expected")]
    Value {
        /// The array.
        array: String,
        /// Position in the flat array.
        position: usize,
        /// The value.
        value: f64,
    },
    /// The manifest contradicts itself.
    #[error("the manifest contradicts itself: {why}")]
    Manifest {
        /// How.
        why: String,
    },
    /// A file contradicts itself.
    #[error("{file} contradicts itself: {why}")]
    Contradiction {
        /// The file.
        file: String,
        /// How.
        why: String,
    },
    /// Two studies, or two parts of one, do not belong together.
    #[error("these cannot be compared or merged: {why}")]
    Incomparable {
        /// Why.
        why: String,
    },
}
