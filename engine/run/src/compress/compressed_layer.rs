//! What a layer's treatment gives, whichever method did it.

use cruxscope_checkpoint::LayerWeights;
use cruxscope_checkpoint::writer::PackedLayer;

use super::report::ComponentReport;

/// A layer as it will be written, and what is said of it.
pub struct CompressedLayer {
    /// Its weights.
    pub weights: LayerWeights,
    /// Those of its projections that are written packed; `weights` holds what they are read back as.
    pub packed: PackedLayer,
    /// One for each component.
    pub reports: Vec<ComponentReport>,
}
