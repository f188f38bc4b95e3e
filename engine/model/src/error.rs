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
    #[error("the device failed while it computed {what}: {why}; the same command may go on: instances of an interpretation that were finished are kept")]
    DeviceFailed {
        /// What was computed.
        what: String,
        /// What it said.
        why: String,
    },
    /// A token id that the model has no row for.
    #[error("token {token} at position {position} is beyond the model's vocabulary of {vocabulary}: the text was tokenized for another model")]
    Token {
        /// The id.
        token: u32,
        /// Where it stands.
        position: usize,
        /// Rows of the embedding.
        vocabulary: usize,
    },
    /// There is nothing to continue.
    #[error("the prompt has no token; a model needs at least one to continue")]
    EmptyPrompt,
    /// The prompt leaves no room for a new token.
    #[error("the prompt has {tokens} tokens, but the model's context holds {context} and at least one new token must fit")]
    PromptTooLong {
        /// Tokens of the prompt.
        tokens: usize,
        /// Tokens that the context holds.
        context: usize,
    },
    /// A sequence outgrew the context.
    #[error("a sequence of {tokens} tokens is beyond the model's context of {context}")]
    BeyondContext {
        /// Tokens of the sequence.
        tokens: usize,
        /// Tokens that the context holds.
        context: usize,
    },
    /// Tokens cannot be drawn like this.
    #[error("{what} is {value}; it must be {range}")]
    Sampling {
        /// The setting.
        what: &'static str,
        /// Its value.
        value: f64,
        /// What it may be.
        range: &'static str,
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
    /// Whether it is a usage or input error, rather than a failure that may pass.
    pub fn is_user_error(&self) -> bool {
        match self {
            Self::Checkpoint(error) => error.is_user_error(),
            Self::Device { .. } | Self::Token { .. } | Self::EmptyPrompt | Self::PromptTooLong { .. } | Self::BeyondContext { .. } | Self::Sampling { .. } => {
                true
            }
            Self::DeviceFailed { .. } | Self::NotFinite { .. } => false,
        }
    }
}
