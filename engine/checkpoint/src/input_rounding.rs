//! How what a linear map reads is rounded before the product, where a checkpoint asks for quantized activations and they are simulated.
//!
//! With s the scale of a number x and z its zero point, x becomes (q − z) s, q the nearest of the numbers to x / s + z, ties to even. The
//! arithmetic is `Kernels::rounded`; here is what it is told.

/// The numbers that inputs are rounded to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoundedNumbers {
    /// −2^(bits − 1) to 2^(bits − 1) − 1.
    Integers {
        /// Bits, 2 to 8.
        bits: u32,
        /// The zero point is 0.
        symmetric: bool,
    },
    /// Float8, E4M3: to 448.
    E4M3,
    /// E2M1: 0, 0.5, 1, 1.5, 2, 3, 4, 6.
    E2M1,
}

impl RoundedNumbers {
    /// The smallest and the largest.
    pub fn range(self) -> (f64, f64) {
        match self {
            Self::Integers { bits, .. } => {
                let half = 2f64.powi(bits.cast_signed() - 1);
                (-half, half - 1.0)
            }
            Self::E4M3 => (-448.0, 448.0),
            Self::E2M1 => (-6.0, 6.0),
        }
    }

    /// Scales are found anew with a zero point beside them.
    pub fn is_asymmetric(self) -> bool {
        matches!(self, Self::Integers { symmetric: false, .. })
    }
}

/// What scales of groups of columns are themselves rounded to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum GroupScales {
    /// Nothing.
    Plain,
    /// Times this, to E4M3 (0.125 in the place of 0), and divided by it again.
    E4M3 {
        /// The scale of the whole.
        of_all: f32,
    },
    /// The next power of two that is not less.
    PowersOfTwo,
}

/// Which numbers share a scale, and where it comes from. Scales that are found anew are (largest − smallest) / (range of the numbers), of
/// symmetric ones 2 max |x| / (range).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum InputScales {
    /// All, and it is stored.
    Fixed {
        /// s.
        scale: f32,
        /// z.
        zero: f32,
    },
    /// Those of a token.
    Rows,
    /// So many columns of a token.
    Groups {
        /// How many; they divide the inputs.
        columns: usize,
        /// How the scales are stored.
        scales: GroupScales,
    },
}

/// How what a linear map reads is rounded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InputRounding {
    /// To what.
    pub numbers: RoundedNumbers,
    /// With which scales.
    pub scales: InputScales,
}
