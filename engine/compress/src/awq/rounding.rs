//! Rounding to the grid in the search's inner loop: the grids of [`crate::quantize`], written so that the loop is vector code.
//!
//! The plain form is [`crate::quantize::fake_quantize_group`]; a test asks that both give the same bits.

use cruxscope_model::wide::wide;

use crate::quantize::grid::round_to_even;
use crate::quantize::{Bits, Clipping, Grid};

use super::AwqSettings;

/// A grid for rows of one width.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rounding {
    grid: Grid,
    bits: Bits,
    group: usize,
}

impl Rounding {
    pub(super) fn new(settings: &AwqSettings, width: usize) -> Self {
        Self {
            grid: settings.grid,
            bits: settings.bits,
            group: settings.group_size.of_row(width),
        }
    }

    /// Columns of a group; the last one of a row may be shorter.
    pub(super) fn group(&self) -> usize {
        self.group
    }

    /// Moves one group to its grid: `(clamp(round(w/s) + z, 0, 2ᵇ − 1) − z) · s`.
    pub(super) fn round_group(&self, weights: &mut [f32]) {
        wide(
            #[inline(always)]
            || self.round_group_here(weights),
        );
    }

    #[inline(always)]
    fn round_group_here(&self, weights: &mut [f32]) {
        let fitted = self.grid.fit(weights, self.bits, Clipping::None);
        let (zero, largest) = (f32::from(fitted.zero), f32::from(self.bits.largest_code()));
        for weight in weights {
            let code = (round_to_even(*weight / fitted.scale) + zero).clamp(0.0, largest);
            *weight = (code - zero) * fitted.scale;
        }
    }

    /// Moves a row to its grids, group by group.
    pub(super) fn round_row(&self, row: &mut [f32]) {
        wide(
            #[inline(always)]
            || self.round_row_here(row),
        );
    }

    #[inline(always)]
    fn round_row_here(&self, row: &mut [f32]) {
        for group in row.chunks_mut(self.group) {
            self.round_group_here(group);
        }
    }

    /// `Q(w s) / s` of one row.
    pub(super) fn through_scale(&self, row: &[f32], scale: &[f32], rounded: &mut [f32]) {
        wide(
            #[inline(always)]
            || {
                for ((rounded, weight), s) in rounded.iter_mut().zip(row).zip(scale) {
                    *rounded = weight * s;
                }
                self.round_row_here(rounded);
                for (rounded, s) in rounded.iter_mut().zip(scale) {
                    *rounded /= s;
                }
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::quantize::{GroupSize, fake_quantize_group};

    proptest! {
        #[test]
        fn the_fast_loop_rounds_as_the_grid_does(weights in proptest::collection::vec(-3.0f32..3.0, 1..200), offset in -1e6f32..1e6, bits in 2u8..=8, far in any::<bool>()) {
            let weights: Vec<f32> = if far { weights.iter().map(|weight| weight + offset).collect() } else { weights };
            for grid in [Grid::AwqAsym, Grid::AwqSym] {
                let settings = AwqSettings { grid, ..AwqSettings::new(Bits::new(bits).unwrap(), GroupSize::new(64).unwrap()) };
                let rounding = Rounding::new(&settings, weights.len());
                let mut fast = weights.clone();
                rounding.round_row(&mut fast);
                let mut plain = weights.clone();
                for group in plain.chunks_mut(rounding.group()) {
                    fake_quantize_group(group, grid, settings.bits);
                }
                prop_assert_eq!(fast, plain);
            }
        }
    }
}
