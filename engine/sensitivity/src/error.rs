//! Why a sketch could not be made, or a recipe not be chosen.

use std::path::PathBuf;

use cruxscope_interpret::InterpretError;
use cruxscope_model::ModelError;
use cruxscope_study::StudyError;
use cruxscope_study::allocation::AllocationError;

/// What is wrong with a menu, a candidate, a budget or a device.
#[derive(Debug, thiserror::Error)]
pub enum SensitivityError {
    /// The model could not be run.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The pass was stopped, or could not keep what it needs.
    #[error(transparent)]
    Interpret(#[from] InterpretError),
    /// A file of the study could not be written.
    #[error(transparent)]
    Study(#[from] StudyError),
    /// A name of the menu means nothing.
    #[error("\"{name}\" is no format: {why}")]
    Menu {
        /// The name.
        name: String,
        /// Why, and what is known.
        why: String,
    },
    /// A compressed checkpoint cannot be compared with the original, matrix by matrix.
    #[error("the candidate {name} cannot be used: {why}")]
    Candidate {
        /// Its name.
        name: String,
        /// Why, and what to do.
        why: String,
    },
    /// There is no recipe.
    #[error(transparent)]
    Allocation(#[from] AllocationError),
    /// There is too little text.
    #[error("{why}")]
    TooLittle {
        /// Why, and what to give.
        why: String,
    },
    /// A part on disk cannot be used.
    #[error("the finished part {path} is damaged ({why}): delete it, and the same command computes it again")]
    Part {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl SensitivityError {
    /// Whether the person can mend it by other input, rather than by trying again.
    pub fn is_user_error(&self) -> bool {
        match self {
            Self::Model(error) => error.is_user_error(),
            Self::Interpret(error) => error.is_user_error(),
            Self::Study(error) => !matches!(error, StudyError::Io { .. }),
            Self::Part { .. } => false,
            _ => true,
        }
    }
}
