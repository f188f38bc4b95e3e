//! Which weights may be pruned together: a share of all, or n of every m neighbours (N:M).

use serde::{Deserialize, Serialize};

use crate::CompressError;

/// The share of weights to prune, at least 0 and below 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Sparsity(f64);

impl Sparsity {
    /// Parses a share.
    ///
    /// # Errors
    /// [`CompressError::Setting`] unless it is at least 0 and below 1.
    pub fn new(share: f64) -> Result<Self, CompressError> {
        if (0.0..1.0).contains(&share) {
            return Ok(Self(share));
        }
        let rule = "a share of at least 0 and below 1 can be pruned".to_string();
        Err(CompressError::Setting {
            method: "pruning",
            setting: "sparsity",
            value: share.to_string(),
            rule,
        })
    }

    /// The share.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }

    /// `⌊count · share⌋`.
    pub(super) fn of(self, count: usize) -> usize {
        ((count as f64) * self.0) as usize
    }
}

impl TryFrom<f64> for Sparsity {
    type Error = CompressError;

    fn try_from(share: f64) -> Result<Self, CompressError> {
        Self::new(share)
    }
}

impl From<Sparsity> for f64 {
    fn from(sparsity: Sparsity) -> Self {
        sparsity.0
    }
}

/// `pruned` of every `columns` neighbours in a row, at least one and not all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "(usize, usize)", into = "(usize, usize)")]
pub struct Window {
    pruned: usize,
    columns: usize,
}

impl Window {
    /// Parses `pruned` of `columns`: 2 of 4 is what GPUs run faster.
    ///
    /// # Errors
    /// [`CompressError::Setting`] unless some and not all of a window are pruned.
    pub fn new(pruned: usize, columns: usize) -> Result<Self, CompressError> {
        if 0 < pruned && pruned < columns {
            return Ok(Self { pruned, columns });
        }
        let rule = "some, and not all, of a window are pruned".to_string();
        Err(CompressError::Setting {
            method: "pruning",
            setting: "window",
            value: format!("{pruned}:{columns}"),
            rule,
        })
    }

    /// How many of a window are pruned.
    #[must_use]
    pub fn pruned(self) -> usize {
        self.pruned
    }

    /// Columns of a window.
    #[must_use]
    pub fn columns(self) -> usize {
        self.columns
    }

    /// `Setting` unless windows fill a row. A short window at the end could not hold the pattern that engines expect.
    pub(super) fn fills(self, method: &'static str, what: &'static str, columns: usize) -> Result<(), CompressError> {
        if columns.is_multiple_of(self.columns) {
            return Ok(());
        }
        let (value, rule) = (
            format!("{}:{}", self.pruned, self.columns),
            format!("{columns} {what} cannot be divided into windows of {}", self.columns),
        );
        Err(CompressError::Setting {
            method,
            setting: "window",
            value,
            rule,
        })
    }

    /// Marks the places of the smallest of one window's scores; of equals the first.
    pub(super) fn smallest(self, scores: &[f32], mut mark: impl FnMut(usize)) {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|left, right| scores[*left].total_cmp(&scores[*right]));
        order.into_iter().take(self.pruned).for_each(&mut mark);
    }
}

impl TryFrom<(usize, usize)> for Window {
    type Error = CompressError;

    fn try_from((pruned, columns): (usize, usize)) -> Result<Self, CompressError> {
        Self::new(pruned, columns)
    }
}

impl From<Window> for (usize, usize) {
    fn from(window: Window) -> Self {
        (window.pruned, window.columns)
    }
}

/// What is pruned.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// Any weights, in a share: exactly `⌊count · share⌋` of them.
    Unstructured(Sparsity),
    /// Any weights up to the value at place `⌊count · share⌋` of those sorted, as the original magnitude pruning has it: one more than
    /// the share, and more where magnitudes are equal. To other methods the same as the above.
    AtThreshold(Sparsity),
    /// So many of every few neighbours in a row ("n:m").
    Windows(Window),
}

/// Which of the scores are the `⌊count · share⌋` smallest; of equals the first.
pub(super) fn smallest(scores: &[f32], sparsity: Sparsity) -> Vec<bool> {
    let count = sparsity.of(scores.len());
    let mut marked = vec![false; scores.len()];
    if count > 0 {
        let mut places: Vec<usize> = (0..scores.len()).collect();
        let order = |left: &usize, right: &usize| scores[*left].total_cmp(&scores[*right]).then(left.cmp(right));
        places.select_nth_unstable_by(count - 1, order);
        places[..count].iter().for_each(|place| marked[*place] = true);
    }
    marked
}

/// The value at and below which `⌊count · share⌋ + 1` of the scores lie, or more where scores are equal: the original programs' rule.
///
/// None for a share of zero, where the originals prune one weight (and its equals) all the same.
pub(super) fn threshold(scores: &mut [f32], sparsity: Sparsity) -> Option<f32> {
    if sparsity.get() == 0.0 || scores.is_empty() {
        return None;
    }
    let place = sparsity.of(scores.len()).min(scores.len() - 1);
    Some(*scores.select_nth_unstable_by(place, f32::total_cmp).1)
}
