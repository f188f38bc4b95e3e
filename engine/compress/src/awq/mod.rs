//! AWQ: scale the columns that see large activations before rounding, cut the largest weights, and fold the scales away.
//!
//! Lin et al. 2023, "AWQ: Activation-aware Weight Quantization", in the two dialects that exist: llm-awq, the authors' program, and
//! AutoAWQ, whose scales also look at the weights. Both search twenty ratios for each group of projections that reads one input,
//! then ten clipping limits for each group of weights, then round to nearest.
//!
//! [`compress_layer`] does all of it; the steps stand alone too: [`search_scales`], [`fold`], [`search_clips`], [`clip`], [`round`],
//! [`fold_back`]. What they need to know of the layer's inputs is in [`LayerCalibration`]: with the inputs themselves the loss is the
//! original programs', with Gram matrices it is a faster one (both are described at [`search_scales`]).
//!
//! Departures from the programs, all of them permissions: a ragged last group, any number of rows, fewer than 512 tokens.

mod alone;
mod check;
mod clip;
mod evaluation;
mod evidence;
mod fold;
#[cfg(test)]
mod reference;
mod rounding;
mod scale;
mod shape;
#[cfg(test)]
mod tests;

use cruxscope_checkpoint::LayerWeights;
use cruxscope_model::kernels::Kernels;

pub use alone::compress_group;
pub use clip::{Clips, search_clip, search_clips};
pub use evaluation::{LayerRun, run_layer};
pub use evidence::{InputCalibration, InputGram, LayerCalibration, LayerGrams, LayerInputs};
pub use fold::{clip, clip_weight, fold, fold_back, round};
pub use scale::{LayerScales, RATIOS, Scale, search_scale, search_scales};
pub use shape::BlockShape;

use crate::CompressError;
use crate::quantize::{Bits, Grid, GroupSize};

/// The name in errors.
const METHOD: &str = "AWQ";

/// Whose scales.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// mit-han-lab/llm-awq: `s = x̄^r`, powers of the mean activation. AutoAWQ without `duo_scaling` is the same.
    #[default]
    LlmAwq,
    /// casper-hansen/AutoAWQ with its default `duo_scaling`: `s = x̄^r / w̄^(1−r)`, `w̄` the mean weight relative to its group's largest.
    AutoAwq,
}

/// What a scale is judged by; see [`search_scales`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Search {
    /// The outputs of the attention module and of the feed-forward block, as in the programs: holds every input of the layer.
    #[default]
    Outputs,
    /// The outputs of the matrices themselves, by their inputs' Gram matrices: work and memory do not grow with the text.
    Grams,
}

/// Settings of AWQ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AwqSettings {
    /// Whose scales.
    pub dialect: Dialect,
    /// Bits of a code.
    pub bits: Bits,
    /// Columns that share a scale of the grid.
    pub group_size: GroupSize,
    /// The grid; both programs use [`Grid::AwqAsym`] unless told otherwise (AutoAWQ without zero point: [`Grid::AwqSym`]).
    pub grid: Grid,
    /// Whether to search clipping limits.
    pub clip: bool,
    /// What a scale is judged by.
    #[serde(default)]
    pub search: Search,
    /// Projections that keep their weights: query, key, value, output, gate, up, down. They are scaled with the rest, so that the
    /// layer's function stays whole, but neither clipped nor rounded. Folded back they are the original weights.
    pub keep: [bool; 7],
}

impl AwqSettings {
    /// The programs' own choice of everything else: llm-awq's scales, zero point, clipping, nothing kept.
    pub fn new(bits: Bits, group_size: GroupSize) -> Self {
        Self {
            dialect: Dialect::LlmAwq,
            bits,
            group_size,
            grid: Grid::AwqAsym,
            clip: true,
            search: Search::Outputs,
            keep: [false; 7],
        }
    }
}

/// A layer through AWQ, before rounding: what packed formats take their codes from.
#[derive(Debug, Clone, PartialEq)]
pub struct AwqLayer {
    /// The scales that are folded in.
    pub scales: LayerScales,
    /// The limits that its weights were cut to.
    pub clips: Clips,
    /// The folded, clipped layer, not rounded yet.
    pub ready: LayerWeights,
}

impl AwqLayer {
    /// The rounded layer in the folded basis: the checkpoint that the original programs write.
    pub fn rounded(&self, settings: &AwqSettings) -> LayerWeights {
        let mut rounded = self.ready.clone();
        round(&mut rounded, settings);
        rounded
    }

    /// The rounded layer in the original basis: the same function, comparable activations.
    ///
    /// # Errors
    /// When `original` is not the layer that was compressed.
    pub fn rounded_back(&self, original: &LayerWeights, settings: &AwqSettings) -> Result<LayerWeights, CompressError> {
        let mut back = fold_back(&self.rounded(settings), original, &self.scales)?;
        for (projection, (back, original)) in back.projections.iter_mut().zip(&original.projections).enumerate() {
            if settings.keep[projection] {
                back.weight.clone_from(&original.weight);
            }
        }
        Ok(back)
    }
}

/// Searches scales and limits of one layer and applies them; rounding is left to [`AwqLayer::rounded`] or to a packed format.
///
/// # Errors
/// When the evidence does not belong to the layer, something is not finite, or the device fails.
pub fn compress_layer<K: Kernels>(
    kernels: &K,
    layer: &LayerWeights,
    evidence: LayerCalibration<'_>,
    settings: &AwqSettings,
) -> Result<AwqLayer, CompressError> {
    let scales = search_scales(kernels, layer, evidence, settings)?;
    let mut ready = fold(layer, &scales)?;
    let clips = if settings.clip {
        search_clips(&ready, evidence, &scales, settings)?
    } else {
        Clips::default()
    };
    clip(&mut ready, &clips, settings)?;
    Ok(AwqLayer { scales, clips, ready })
}
