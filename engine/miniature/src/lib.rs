//! A tiny model that reasons in characters: its puzzles, its training and its checkpoint.

mod alphabet;
mod checkpoint;
mod decode;
mod embedded;
mod layout;
mod linear;
mod network;
mod optimiser;
mod pointwise;
pub mod puzzles;
mod trainer;
mod training;

pub use alphabet::Alphabet;
pub use checkpoint::{export, restore, store};
pub use decode::{EXAMINATION, accuracy, continue_all};
pub use embedded::{LEVEL, embedded, world};
pub use layout::Shape;
pub use network::Workspace;
pub use optimiser::{Optimiser, Schedule};
pub use trainer::{Corpus, Progress, Trainer};
pub use training::{LOG_FILE, Report, SETTINGS_FILE, STATE_FILE, Training};

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum MiniatureError {
    /// A file could not be read or written.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// A file of JSON could not be made.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// A file of tensors could not be read or written.
    #[error("{0}")]
    Tensors(#[from] safetensors::SafeTensorError),
    /// A checkpoint does not fit.
    #[error("the checkpoint does not fit: {0}")]
    Misfit(String),
}
