//! The settings that every grid shares.

use serde::{Deserialize, Serialize};

use super::bits::{Bits, GroupSize};
use super::grid::{Clipping, Grid};

/// What a matrix is quantized to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GridSettings {
    /// The grid.
    pub grid: Grid,
    /// Bits of a code.
    pub bits: Bits,
    /// Columns that share a scale and a zero.
    pub group_size: GroupSize,
    /// Whether the range of a group is made narrower.
    pub clipping: Clipping,
}

impl GridSettings {
    /// A grid without clipping.
    #[must_use]
    pub fn new(grid: Grid, bits: Bits, group_size: GroupSize) -> Self {
        Self {
            grid,
            bits,
            group_size,
            clipping: Clipping::None,
        }
    }
}
