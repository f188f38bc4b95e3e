//! What can be wrong with datasets, samples and settings.

use std::path::PathBuf;

use cruxscope_study::StudyError;
use cruxscope_trace::TraceError;

/// Why a benchmark could not be read, planned or written down.
#[derive(Debug, thiserror::Error)]
pub enum BenchmarkError {
    /// A file of JSON lines cannot be used.
    #[error(transparent)]
    Lines(#[from] TraceError),
    /// A file could not be written.
    #[error(transparent)]
    Study(#[from] StudyError),
    /// The disk refused.
    #[error("could not {attempt} {path}: {source}")]
    Io {
        /// Such as "create".
        attempt: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is no dataset that is known.
    #[error("{path} cannot be read as a dataset: {why}")]
    Dataset {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what would be right.
        why: String,
    },
    /// A dataset could not be fetched.
    #[error("could not fetch {benchmark} from its publisher: {why}")]
    Hub {
        /// The benchmark.
        benchmark: String,
        /// What happened, and what to do.
        why: String,
    },
    /// A template of prompts cannot be used.
    #[error("the prompt template {name} cannot be used: {why}")]
    Template {
        /// Where it comes from.
        name: String,
        /// What the template engine said.
        why: String,
    },
    /// Another process writes this file.
    #[error("{path} is being written by another run; wait for it, or choose another file")]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// A file is something else than what is to be written there.
    #[error("{path} is no file of {expected}: {why}. It is left as it is; choose another file")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// What speaks against that.
        why: &'static str,
    },
    /// A setting makes no sense.
    #[error("{setting} is {value}, but {rule}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        rule: String,
    },
    /// The input holds nothing that could be worked on.
    #[error("{what}")]
    Nothing {
        /// What is missing, and what to do.
        what: String,
    },
    /// This program itself failed, and the work ended.
    #[error("{what}; what was made before is kept")]
    Internal {
        /// What happened.
        what: String,
    },
    /// The endpoint's answer ended the work.
    #[error("{0}")]
    Endpoint(String),
}

impl BenchmarkError {
    /// Whether the person can mend it by other input, rather than by trying again.
    pub fn is_user_error(&self) -> bool {
        match self {
            Self::Lines(error) => error.is_user_error(),
            Self::Study(error) => !matches!(error, StudyError::Io { .. } | StudyError::Busy { .. }),
            Self::Io { .. } | Self::Busy { .. } | Self::Hub { .. } | Self::Internal { .. } | Self::Endpoint(_) => false,
            Self::Dataset { .. } | Self::Foreign { .. } | Self::Template { .. } | Self::Setting { .. } | Self::Nothing { .. } => true,
        }
    }

    pub(crate) fn io(attempt: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { attempt, path, source }
    }
}
