//! What can be wrong with traces and annotations.

use std::path::PathBuf;

/// Why traces or annotations could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// A file could not be opened or read.
    #[error("could not read {path}{}: {source}", at_line(.line))]
    Io {
        /// The file.
        path: PathBuf,
        /// The line that was being read, from 1, if any was.
        line: Option<usize>,
        /// What the system, or the decompressor, said.
        source: std::io::Error,
    },
    /// A line is longer than any trace could be.
    #[error("{path}, line {line} is longer than {limit} bytes: is this a file of JSON lines, one record a line?")]
    LongLine {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The longest line that is read, in bytes.
        limit: usize,
    },
    /// A gzipped file unpacks to more than is read.
    #[error("{path} unpacks to more than {limit} bytes, and no more is read; unpack it and keep what is needed")]
    Unpacked {
        /// The file.
        path: PathBuf,
        /// What is read at most, in bytes.
        limit: u64,
    },
    /// A line is no JSON, or not the record it should be.
    #[error("{path}, line {line}: {source}; expected {expected}")]
    Json {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What a line of this file holds.
        expected: &'static str,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// A line is JSON, but its fields do not make a record.
    #[error("{path}, line {line}: {why}")]
    Record {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it, and what would be right.
        why: String,
    },
    /// Two lines have the same id.
    #[error("{path}, line {line}: id \"{id}\" stands already on line {first}; every line needs its own id")]
    DuplicateId {
        /// The file.
        path: PathBuf,
        /// The second line with this id, from 1.
        line: usize,
        /// The first line with this id, from 1.
        first: usize,
        /// The id.
        id: String,
    },
    /// A file holds no record at all.
    #[error("{path} is empty; expected one line for each {what}, such as {expected}")]
    Empty {
        /// The file.
        path: PathBuf,
        /// What a line stands for: "trace" or "annotation".
        what: &'static str,
        /// What a line of this file holds.
        expected: &'static str,
    },
    /// No annotation belongs to any trace.
    #[error(
        "no id in {annotations} (such as \"{annotation_id}\") is an id in {traces} (such as \"{trace_id}\"); the two files must name the same instances by the same ids"
    )]
    NothingInCommon {
        /// The file of traces.
        traces: PathBuf,
        /// The file of annotations.
        annotations: PathBuf,
        /// The first trace's id.
        trace_id: String,
        /// The first annotation's id.
        annotation_id: String,
    },
    /// An annotation is text, but its trace holds only tokens.
    #[error(
        "instance \"{id}\": {annotations} annotates it as text, but {traces} gives only its token ids, so there is no text to search; give \"prompt\" and \"output\", or annotate with \"segments\""
    )]
    NoText {
        /// The file of traces.
        traces: PathBuf,
        /// The file of annotations.
        annotations: PathBuf,
        /// The instance.
        id: String,
    },
    /// A labelled token range lies outside its instance.
    #[error(
        "instance \"{id}\": segment {segment} ({label}) covers tokens {start} to {last}, but the instance has {tokens} tokens, so the last one is {}; were the ranges made with another tokenizer?",
        last_token(.tokens)
    )]
    SpanOutOfBounds {
        /// The instance.
        id: String,
        /// Position of the segment in the annotation, from 0.
        segment: usize,
        /// Its label.
        label: String,
        /// Its first token, from 0.
        start: usize,
        /// Its last token, inclusive.
        last: usize,
        /// Tokens of the instance.
        tokens: usize,
    },
}

impl TraceError {
    /// Whether other input would mend it (as opposed to a disk that fails).
    pub fn is_user_error(&self) -> bool {
        match self {
            Self::Io { source, .. } => matches!(
                source.kind(),
                // Gzip data that ends early or makes no sense is a file the user chose.
                std::io::ErrorKind::NotFound
                    | std::io::ErrorKind::PermissionDenied
                    | std::io::ErrorKind::IsADirectory
                    | std::io::ErrorKind::InvalidData
                    | std::io::ErrorKind::InvalidInput
                    | std::io::ErrorKind::UnexpectedEof
            ),
            _ => true,
        }
    }
}

fn at_line(line: &Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!(", line {line}"))
}

fn last_token(tokens: &usize) -> String {
    tokens.checked_sub(1).map_or_else(|| "none".into(), |last| format!("number {last}"))
}
