//! Exact fractions, so that a number in any form is one value.

use std::fmt;

/// An exact fraction in lowest terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fraction {
    pub(super) above: i128,
    pub(super) below: i128,
}

impl Fraction {
    /// In lowest terms, the lower number positive; nothing over zero.
    pub(super) fn new(above: i128, below: i128) -> Option<Self> {
        let (mut a, mut b) = (above.checked_abs()?, below.checked_abs()?);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        let sign = if below < 0 { -1 } else { 1 };
        (below != 0).then(|| Self {
            above: sign * above / a.max(1),
            below: sign * below / a.max(1),
        })
    }

    /// The quotient.
    pub(super) fn over(self, other: Self) -> Option<Self> {
        Self::new(self.above.checked_mul(other.below)?, self.below.checked_mul(other.above)?)
    }

    /// Digits with at most one point.
    pub(super) fn of_digits(digits: &str) -> Option<Self> {
        let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
        let below = 10i128.checked_pow(u32::try_from(decimals.len()).ok()?)?;
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let decimals: i128 = if decimals.is_empty() { 0 } else { decimals.parse().ok()? };
        Self::new(whole.checked_mul(below)?.checked_add(decimals)?, below)
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.below == 1 {
            write!(f, "{}", self.above)
        } else {
            write!(f, "{}/{}", self.above, self.below)
        }
    }
}
