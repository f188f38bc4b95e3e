//! What is known about the inputs of one or several matrices: the sums that every method draws on, and the factors made of them.

use crate::CompressError;
use crate::quantize::{ColumnOrder, Damping, GroupSize, HessianFactor};

/// What a pass over calibration text gives for one input. One pass serves every method.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// `2 / sequences` times the sum of x x^T over tokens, `[in, in]`.
    pub hessian: Vec<f64>,
    /// `2 / sequences` times the sum of (x̃ − x) x^T, where x̃ is the input that the uncompressed model sees, `[in, in]`. Only where
    /// a method asks for it.
    pub cross: Option<Vec<f64>>,
    /// Signed mean of each input, `[in]`.
    pub means: Vec<f32>,
    /// Mean magnitude of each input, `[in]`.
    pub mean_magnitudes: Vec<f32>,
    /// Sequences.
    pub sequences: usize,
    /// Tokens of all sequences.
    pub tokens: usize,
}

/// Statistics of one input, and the factor of its Hessian that was asked for last: query, key and value share theirs, and so do
/// gate and up.
#[derive(Debug)]
pub struct CalibrationStats {
    statistics: Statistics,
    factor: Option<((ColumnOrder, GroupSize, Damping), HessianFactor)>,
}

impl CalibrationStats {
    /// Of these statistics.
    pub fn new(statistics: Statistics) -> Self {
        Self { statistics, factor: None }
    }

    /// The statistics.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// The factor of the damped inverse Hessian, made unless it was the last one asked for (it is as large as the Hessian, so
    /// others are not kept), and the statistics it is made of.
    ///
    /// # Errors
    /// As [`HessianFactor::new`].
    pub fn factor(&mut self, order: ColumnOrder, group_size: GroupSize, damping: Damping) -> Result<(&HessianFactor, &Statistics), CompressError> {
        // Groups matter to one order only.
        let group_size = if order == ColumnOrder::GroupAware { group_size } else { GroupSize::Row };
        let key = (order, group_size, damping);
        let factor = match self.factor.take() {
            Some((known, factor)) if known == key => factor,
            _ => HessianFactor::new(&self.statistics.hessian, self.statistics.means.len(), order, group_size, damping)?,
        };
        let (_, factor) = self.factor.insert((key, factor));
        Ok((factor, &self.statistics))
    }
}
