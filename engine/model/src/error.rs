//! What can go wrong while a model runs.

use cruxscope_checkpoint::CheckpointError;

/// Why a model could not be run.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The checkpoint could not be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The device that was asked for is not there.
    #[error("device \"{asked}\" is not available: {why}; `cruxscope devices` lists what is")]
    Device {
        /// What was asked for.
        asked: String,
        /// Why it is missing.
        why: String,
    },
    /// The device stopped in the middle.
    #[error(
        "the device failed while it computed {what}: {why}; the same command may go on, on another device too: instances of an interpretation that were finished are kept"
    )]
    DeviceFailed {
        /// What was computed.
        what: String,
        /// What it said.
        why: String,
    },
    /// A token id that the model has no row for.
    #[error("token {token} at position {position} is beyond the model's vocabulary of {vocabulary}: the trace was made with another tokenizer")]
    Token {
        /// The id.
        token: u32,
        /// Where it stands.
        position: usize,
        /// Rows of the embedding.
        vocabulary: usize,
    },
    /// A number that is not finite came out.
    #[error("{what} is not a finite number in layer {layer}: the checkpoint's weights overflow in this precision, or the file is damaged")]
    NotFinite {
        /// What was computed.
        what: String,
        /// The layer, from 1.
        layer: usize,
    },
}

impl ModelError {
    /// Whether the person can mend it by other input, rather than by trying again.
    pub fn is_users_mistake(&self) -> bool {
        match self {
            Self::Checkpoint(error) => error.is_users_mistake(),
            Self::Device { .. } | Self::Token { .. } => true,
            Self::DeviceFailed { .. } | Self::NotFinite { .. } => false,
        }
    }
}
