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

/// Statistics of one input, and the factors of its Hessian that were asked for so far: query, key and value share theirs, and so
/// do gate and up.
#[derive(Debug)]
pub struct Evidence {
    statistics: Statistics,
    columns: usize,
    factors: Vec<((ColumnOrder, GroupSize, Damping), HessianFactor)>,
}

impl Evidence {
    /// Of these statistics.
    pub fn new(statistics: Statistics) -> Self {
        Self {
            columns: statistics.means.len(),
            statistics,
            factors: Vec::new(),
        }
    }

    /// The statistics.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// The factor of the damped inverse Hessian, made when it is first asked for, and the statistics it is made of.
    ///
    /// # Errors
    /// As [`HessianFactor::new`].
    pub fn factor(&mut self, order: ColumnOrder, group_size: GroupSize, damping: Damping) -> Result<(&HessianFactor, &Statistics), CompressError> {
        // Groups matter to one order only.
        let group_size = if order == ColumnOrder::GroupAware { group_size } else { GroupSize::Row };
        let key = (order, group_size, damping);
        let found = self.factors.iter().position(|(known, _)| *known == key);
        let place = match found {
            Some(place) => place,
            None => {
                let factor = HessianFactor::new(&self.statistics.hessian, self.columns, order, group_size, damping)?;
                // Methods differ from matrix to matrix at most; more than two factors at a time would only fill memory.
                self.factors.truncate(1);
                self.factors.push((key, factor));
                self.factors.len() - 1
            }
        };
        Ok((&self.factors[place].1, &self.statistics))
    }
}
