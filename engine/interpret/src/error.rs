//! What can go wrong between a trace and its importance.

use std::path::PathBuf;

use cruxscope_model::ModelError;
use cruxscope_study::StudyError;

/// Why an instance could not be interpreted, or parts not be combined.
#[derive(Debug, thiserror::Error)]
pub enum InterpretError {
    /// The model could not be run.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The result is no study.
    #[error(transparent)]
    Study(#[from] StudyError),
    /// The user stopped the work.
    #[error("stopped on request; finished instances are kept, and the same command goes on from there")]
    Cancelled,
    /// A part on disk cannot be used.
    #[error("the finished part {path} is damaged ({why}): delete it, and the same command computes it again")]
    Part {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// What an instance keeps could not be put on the disk, or not be read again.
    #[error("could not {attempt} in {folder}: {source}; a run with more memory needs no disk for this")]
    Spill {
        /// Such as "keep keys and values".
        attempt: &'static str,
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A part belongs to another model.
    #[error("instance {id} has {found} channels in all, where this model has {expected}: it was computed with another model")]
    Layout {
        /// The instance.
        id: String,
        /// Channels of the part.
        found: usize,
        /// Channels of the model.
        expected: usize,
    },
    /// There is nothing to interpret.
    #[error("no instance holds a segment of any scored behaviour, so there is nothing to attribute: {hint}")]
    Nothing {
        /// What to look at.
        hint: String,
    },
    /// A gradient or activation is not a number.
    #[error("instance {id} gave values that are not finite: the model overflows on it in this precision, or its weights are damaged")]
    NotFinite {
        /// The instance.
        id: String,
    },
}

impl InterpretError {
    /// Whether it is a usage or input error, rather than a failure that may pass.
    pub fn is_user_error(&self) -> bool {
        match self {
            Self::Model(error) => error.is_user_error(),
            Self::Nothing { .. } | Self::Layout { .. } => true,
            Self::Study(_) | Self::Cancelled | Self::Spill { .. } | Self::Part { .. } | Self::NotFinite { .. } => false,
        }
    }
}
