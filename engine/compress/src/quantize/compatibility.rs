//! Whether to follow the original programs where they surprise.

use serde::{Deserialize, Serialize};

/// Whether to do what the original programs do where that surprises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compatibility {
    /// What the originals compute: a group that starts inside a block of 128 columns is fitted to weights
    /// that lack the errors of that block; GPTAQ carries rounded weights from block to block, but unrounded ones inside.
    Original,
    /// Groups are fitted to the weights as they stand, and GPTAQ carries unrounded weights throughout.
    #[default]
    Improved,
}
