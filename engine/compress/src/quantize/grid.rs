//! The integer grids of the original programs, by name.
//!
//! Every grid is written with unsigned codes `q` and an integer zero `z`, `w ≈ (q − z) · s`; the symmetric grids, whose
//! originals write signed codes, get `z = 2ᵇ⁻¹`, which changes no value. All rounding is to the nearest, ties to even, and all
//! arithmetic is float32, as in the originals.

use serde::{Deserialize, Serialize};

use super::bits::Bits;

/// Where the codes of a group lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grid {
    /// AWQ: `s = max(max − min, 1e-5)/(2ᵇ − 1)`, `z = clamp(−round(min/s))`, over a range that is widened to hold zero. Where both signs
    /// occur that is the original's; where they do not, its zero would lie outside of its codes.
    AwqAsym,
    /// AWQ as the original programs have it: the range need not hold zero, so that the largest weights of a group of one sign are cut
    /// off (all of them to one number, where they are equal).
    AwqAsymOriginal,
    /// AutoAWQ without zero point: `s = max(|w|, 1e-5)/(2ᵇ⁻¹ − 1)`, signed codes `−2ᵇ⁻¹ … 2ᵇ⁻¹ − 1`.
    AwqSym,
    /// GPTQ: the range is widened to hold zero, `s = (max − min)/(2ᵇ − 1)`, `z = round(−min/s)`. A group of zeros gets `±1`.
    GptqAsym,
    /// GPTQ, symmetric: `s = 2 max|w|/(2ᵇ − 1)`, `z = 2ᵇ⁻¹`.
    GptqSym,
    /// GPTQ, symmetric, as the original program has it: where no weight is negative the range stays `0 … max` under the same zero, so
    /// that the upper half is cut off.
    GptqSymOriginal,
    /// GPTAQ: as GPTQ's, with a range of at least 1e-5.
    GptaqAsym,
    /// GPTAQ, symmetric: `s = max(|w|, 1e-5)/(2ᵇ⁻¹ − 1)`, signed codes `−2ᵇ⁻¹ … 2ᵇ⁻¹ − 1`. The same grid as [`Grid::AwqSym`], but
    /// clipping keeps it apart.
    GptaqSym,
}

/// Whether a group's range is made narrower than its largest weights.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clipping {
    /// The whole range.
    #[default]
    None,
    /// The best of `p = 1, 0.99, …, 0.21` times the range, by the smallest `Σ |Q(w) − w|^exponent`; the first best stays. The
    /// original `mse` search has exponent 2.4. Groups of AWQ grids are left as they are: AWQ has a search of its own.
    Search {
        /// The exponent.
        exponent: f32,
    },
}

impl Clipping {
    /// The search of GPTQ's `mse` and GPTAQ's `w_clip`.
    pub const ORIGINAL: Self = Self::Search { exponent: 2.4 };
}

/// A group's scale and zero: `w ≈ (q − z) · s`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScaleZero {
    /// The scale, positive.
    pub scale: f32,
    /// The code that stands for zero.
    pub zero: u8,
}

impl ScaleZero {
    /// The code of a weight: `clamp(round(w/s) + z, 0, largest)`. NaN gives code 0.
    #[inline(always)]
    pub fn code(self, weight: f32, bits: Bits) -> u8 {
        // A float saturates into an integer, so the upper clamp is all that is left to do.
        (round_to_even(weight / self.scale) + f32::from(self.zero)).clamp(0.0, f32::from(bits.largest_code())) as u8
    }

    /// The weight of a code, `(q − z) · s`.
    #[inline(always)]
    pub fn weight(self, code: u8) -> f32 {
        (f32::from(code) - f32::from(self.zero)) * self.scale
    }

    /// A weight moved to the grid.
    #[inline(always)]
    pub fn nearest(self, weight: f32, bits: Bits) -> f32 {
        let zero = f32::from(self.zero);
        let code = (round_to_even(weight / self.scale) + zero).clamp(0.0, f32::from(bits.largest_code()));
        (code - zero) * self.scale
    }
}

/// Adding and subtracting this rounds a float32 of magnitude below 2²² to the nearest integer, ties to even: nothing is left of its
/// fraction. `round_ties_even` is a call for every number on processors without the instruction.
const ROUNDER: f32 = 12_582_912.0;

/// A number of steps to the nearest whole one, ties to even. Beyond a million it stays at a million: codes are below 256, so
/// nothing beyond is told apart.
#[inline(always)]
pub(crate) fn round_to_even(steps: f32) -> f32 {
    (steps.clamp(-1e6, 1e6) + ROUNDER) - ROUNDER
}

/// Weights whose range is taken side by side.
const LANES: usize = 16;

/// Candidates of the clipping search: `p = 1 − i/100`.
const SHRINKS: usize = 80;

impl Grid {
    /// The name under which results are reported.
    pub fn name(self) -> &'static str {
        match self {
            Self::AwqAsym => "awq_asym",
            Self::AwqAsymOriginal => "awq_asym_original",
            Self::AwqSym => "awq_sym",
            Self::GptqAsym => "gptq_asym",
            Self::GptqSym => "gptq_sym",
            Self::GptqSymOriginal => "gptq_sym_original",
            Self::GptaqAsym => "gptaq_asym",
            Self::GptaqSym => "gptaq_sym",
        }
    }

    /// Whether every group has the same zero, in the middle of the codes.
    pub fn is_symmetric(self) -> bool {
        matches!(self, Self::AwqSym | Self::GptqSym | Self::GptqSymOriginal | Self::GptaqSym)
    }

    /// The same grid as the original programs have it; most are.
    #[must_use]
    pub fn original(self) -> Self {
        match self {
            Self::AwqAsym => Self::AwqAsymOriginal,
            Self::GptqSym => Self::GptqSymOriginal,
            other => other,
        }
    }

    /// Scale and zero of one group of weights.
    // Inlined, so that it is compiled for the instruction set of the loop that calls it.
    #[inline(always)]
    pub fn fit(self, weights: &[f32], bits: Bits, clipping: Clipping) -> ScaleZero {
        let (low, high) = self.range(weights);
        let whole = self.scale_zero(low, high, bits);
        match clipping {
            Clipping::Search { exponent } if !matches!(self, Self::AwqAsym | Self::AwqAsymOriginal | Self::AwqSym) => {
                self.search(weights, (low, high), bits, exponent, whole)
            }
            _ => whole,
        }
    }

    /// The ends of the range of a group, before any clipping.
    #[inline(always)]
    fn range(self, weights: &[f32]) -> (f32, f32) {
        let (mut low, mut high) = match self {
            Self::AwqAsymOriginal => (f32::INFINITY, f32::NEG_INFINITY),
            _ => (0.0, 0.0),
        };
        // In lanes: one chain of minima would wait for itself.
        let (mut lows, mut highs) = ([low; LANES], [high; LANES]);
        let (chunks, rest) = weights.as_chunks::<LANES>();
        for chunk in chunks {
            for lane in 0..LANES {
                lows[lane] = if chunk[lane] < lows[lane] { chunk[lane] } else { lows[lane] };
                highs[lane] = if chunk[lane] > highs[lane] { chunk[lane] } else { highs[lane] };
            }
        }
        for &weight in lows.iter().chain(rest) {
            low = weight.min(low);
        }
        for &weight in highs.iter().chain(rest) {
            high = weight.max(high);
        }
        match self {
            Self::AwqAsymOriginal if weights.is_empty() => (0.0, 0.0),
            Self::AwqAsym | Self::AwqAsymOriginal => (low, high),
            Self::AwqSym | Self::GptaqSym => {
                let largest = high.max(-low).max(1e-5);
                (-largest, largest)
            }
            Self::GptqAsym | Self::GptaqAsym if low == 0.0 && high == 0.0 => (-1.0, 1.0),
            Self::GptqAsym | Self::GptaqAsym => (low, high),
            Self::GptqSym | Self::GptqSymOriginal => {
                let largest = high.max(-low);
                if largest == 0.0 {
                    (-1.0, 1.0)
                } else if low == 0.0 && self == Self::GptqSymOriginal {
                    (0.0, largest)
                } else {
                    (-largest, largest)
                }
            }
        }
    }

    /// The grid over a range; GPTAQ's floor under the range is the one thing that clipping leaves out, as the original does.
    #[inline(always)]
    fn scale_zero(self, low: f32, high: f32, bits: Bits) -> ScaleZero {
        let range = match self {
            Self::AwqAsym | Self::AwqAsymOriginal | Self::GptaqAsym => (high - low).max(1e-5),
            _ => high - low,
        };
        self.over_range(low, high, range, bits)
    }

    #[inline(always)]
    fn over_range(self, low: f32, high: f32, range: f32, bits: Bits) -> ScaleZero {
        let largest = f32::from(bits.largest_code());
        let middle = bits.middle_code();
        match self {
            Self::AwqSym | Self::GptaqSym => ScaleZero {
                scale: high / f32::from(middle - 1),
                zero: middle,
            },
            Self::GptqSym | Self::GptqSymOriginal => ScaleZero {
                scale: range / largest,
                zero: middle,
            },
            Self::AwqAsym | Self::AwqAsymOriginal | Self::GptqAsym | Self::GptaqAsym => {
                let scale = range / largest;
                ScaleZero {
                    scale,
                    zero: (-low / scale).round_ties_even().clamp(0.0, largest) as u8,
                }
            }
        }
    }

    #[inline(always)]
    fn search(self, weights: &[f32], (low, high): (f32, f32), bits: Bits, exponent: f32, whole: ScaleZero) -> ScaleZero {
        let mut best = (f64::INFINITY, whole);
        for step in 0..SHRINKS {
            let share = (1.0 - step as f64 / 100.0) as f32;
            let (low, high) = (share * low, share * high);
            let candidate = self.over_range(low, high, high - low, bits);
            let mut error = 0.0;
            for &weight in weights {
                error += f64::from((candidate.nearest(weight, bits) - weight).abs().powf(exponent));
                // All terms are positive: a sum that has lost cannot win again.
                if error >= best.0 {
                    break;
                }
            }
            if error < best.0 {
                best = (error, candidate);
            }
        }
        best.1
    }
}

/// Quantizes one group: its scale and zero, and the code of each weight.
pub fn quantize_group(weights: &[f32], grid: Grid, bits: Bits, clipping: Clipping) -> (ScaleZero, Vec<u8>) {
    let fitted = grid.fit(weights, bits, clipping);
    (fitted, weights.iter().map(|&weight| fitted.code(weight, bits)).collect())
}

/// Moves one group to its grid in place: what quantizing and dequantizing gives.
pub fn fake_quantize_group(weights: &mut [f32], grid: Grid, bits: Bits) -> ScaleZero {
    let fitted = grid.fit(weights, bits, Clipping::None);
    for weight in weights {
        *weight = fitted.nearest(*weight, bits);
    }
    fitted
}
