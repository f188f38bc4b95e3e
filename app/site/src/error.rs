//! What can go wrong with the folder of a page.

use std::io;
use std::path::PathBuf;

use cruxscope_study::StudyError;

/// Why a page could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// The disk refused.
    #[error("could not {attempt} {path}: {source}")]
    Io {
        /// Such as "read" or "write".
        attempt: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A study, results or a collection cannot be taken.
    #[error("could not take {path} into the page: {source}")]
    Study {
        /// Where it lies.
        path: PathBuf,
        /// What is wrong with it.
        source: StudyError,
    },
    /// The folder holds somebody's work.
    #[error("{path} holds {file}, which no page of this program brought there; name an empty or a new folder with --out, or move it away")]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// What was found.
        file: String,
    },
    /// Another run builds the same page, or its place cannot be locked.
    #[error(transparent)]
    Lock(StudyError),
    /// The folder has no name to build under.
    #[error("{path} has no name to build a page under")]
    Nameless {
        /// The folder.
        path: PathBuf,
    },
    /// The folder that should hold the program of a page holds none.
    #[error("{path} holds no page: {file} is missing")]
    NoProgram {
        /// The folder.
        path: PathBuf,
        /// The file that is missing.
        file: String,
    },
    /// A template of a document is broken.
    #[error("a document of the page is broken: {why}")]
    Template {
        /// How.
        why: String,
    },
    /// The index of studies could not be written as JSON.
    #[error("could not write the index: {source}")]
    Json {
        /// What went wrong.
        #[from]
        source: serde_json::Error,
    },
    /// The page cannot be served.
    #[error("{why}")]
    Serve {
        /// Why, and what to do.
        why: String,
    },
    /// Whoever makes the program failed.
    #[error("{why}")]
    Program {
        /// What they said.
        why: String,
    },
}

impl SiteError {
    /// Whether the input or the command is wrong, rather than the machine.
    pub fn is_user_error(&self) -> bool {
        match self {
            Self::Study { source, .. } => !matches!(source, StudyError::Io { .. }),
            Self::Foreign { .. } | Self::Nameless { .. } | Self::NoProgram { .. } | Self::Serve { .. } => true,
            Self::Io { .. } | Self::Lock(_) | Self::Template { .. } | Self::Json { .. } | Self::Program { .. } => false,
        }
    }

    /// The error of an attempt on a path.
    pub(crate) fn io(attempt: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { attempt, path, source }
    }
}
