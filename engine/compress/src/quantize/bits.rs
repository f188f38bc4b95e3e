//! Bits of a code and sizes of groups, as types that hold only values that make sense.

use std::fmt;
use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use crate::CompressError;

/// Refuses a matrix whose length is not `rows · columns` or that holds values that are not finite.
pub(super) fn check_weight(method: &'static str, weight: &[f32], rows: usize, columns: usize) -> Result<(), CompressError> {
    if rows.checked_mul(columns) != Some(weight.len()) {
        return Err(CompressError::Shape {
            method,
            what: "the weight",
            found: format!("{} values", weight.len()),
            expected: format!("{rows} x {columns}"),
        });
    }
    if weight.iter().all(|value| value.is_finite()) {
        Ok(())
    } else {
        Err(CompressError::NotFinite { method, what: "the weight" })
    }
}

/// Bits of a code: 2 to 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Bits(u8);

impl Bits {
    /// Parses a number of bits.
    ///
    /// # Errors
    /// [`CompressError::Setting`] unless it is 2 to 8.
    pub fn new(bits: u8) -> Result<Self, CompressError> {
        match bits {
            2..=8 => Ok(Self(bits)),
            _ => Err(CompressError::Setting {
                method: "quantization",
                setting: "bits",
                value: bits.to_string(),
                rule: "codes have 2 to 8 bits".to_string(),
            }),
        }
    }

    /// The number.
    pub fn get(self) -> u8 {
        self.0
    }

    /// The largest code, `2ᵇ − 1`.
    pub fn largest_code(self) -> u8 {
        u8::MAX >> (8 - self.0)
    }

    /// Half of all codes, `2ᵇ⁻¹`: the zero of symmetric grids.
    pub fn middle_code(self) -> u8 {
        1 << (self.0 - 1)
    }
}

impl TryFrom<u8> for Bits {
    type Error = CompressError;

    fn try_from(bits: u8) -> Result<Self, CompressError> {
        Self::new(bits)
    }
}

impl From<Bits> for u8 {
    fn from(bits: Bits) -> Self {
        bits.0
    }
}

impl fmt::Display for Bits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// How many columns of a row share a scale and a zero. Written `-1` (the whole row) or a number, as in the original programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub enum GroupSize {
    /// The whole row.
    Row,
    /// So many columns; the last group of a row may be shorter, which is an extension of AWQ.
    Columns(NonZeroUsize),
}

impl GroupSize {
    /// Parses a group size: −1 for the whole row, or a positive number of columns.
    ///
    /// # Errors
    /// [`CompressError::Setting`] for zero and for negative numbers other than −1.
    pub fn new(size: i64) -> Result<Self, CompressError> {
        let columns = usize::try_from(size).ok().and_then(NonZeroUsize::new);
        match (size, columns) {
            (-1, _) => Ok(Self::Row),
            (_, Some(columns)) => Ok(Self::Columns(columns)),
            _ => Err(CompressError::Setting {
                method: "quantization",
                setting: "group size",
                value: size.to_string(),
                rule: "a group has at least one column; -1 stands for the whole row".to_string(),
            }),
        }
    }

    /// Columns of a group in rows of `columns`; at least 1.
    pub fn of_row(self, columns: usize) -> usize {
        match self {
            Self::Row => columns.max(1),
            Self::Columns(size) => size.get().min(columns.max(1)),
        }
    }

    /// Groups in rows of `columns`.
    pub fn groups(self, columns: usize) -> usize {
        columns.div_ceil(self.of_row(columns))
    }
}

impl TryFrom<i64> for GroupSize {
    type Error = CompressError;

    fn try_from(size: i64) -> Result<Self, CompressError> {
        Self::new(size)
    }
}

impl From<GroupSize> for i64 {
    fn from(size: GroupSize) -> Self {
        match size {
            GroupSize::Row => -1,
            GroupSize::Columns(columns) => i64::try_from(columns.get()).unwrap_or(i64::MAX),
        }
    }
}

impl fmt::Display for GroupSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Row => "row".fmt(formatter),
            Self::Columns(columns) => columns.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sensible_values_parse() {
        assert!([0, 1, 9, 255].into_iter().all(|bits| Bits::new(bits).is_err()));
        let bits: Vec<(u8, u8)> = (2..=8)
            .map(|bits| Bits::new(bits).unwrap())
            .map(|bits| (bits.largest_code(), bits.middle_code()))
            .collect();
        assert_eq!(bits, [(3, 2), (7, 4), (15, 8), (31, 16), (63, 32), (127, 64), (255, 128)]);
        assert!([0, -2, i64::MIN].into_iter().all(|size| GroupSize::new(size).is_err()));
        let ragged = GroupSize::new(128).unwrap();
        assert_eq!((ragged.groups(576), ragged.of_row(576), ragged.of_row(64)), (5, 128, 64));
        assert_eq!((GroupSize::Row.groups(576), GroupSize::Row.of_row(576)), (1, 576));
        assert_eq!(serde_json::to_string(&(Bits::new(4).unwrap(), GroupSize::Row, ragged)).unwrap(), "[4,-1,128]");
        assert!(serde_json::from_str::<Bits>("9").is_err() && serde_json::from_str::<GroupSize>("0").is_err());
    }
}
