//! Rank correlation: whether two lists of numbers put the same things first.

use serde::{Deserialize, Serialize};

/// A rank correlation (Spearman's ρ, ties by their mean rank) with an interval of 95 % by Fisher's transformation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RankCorrelation {
    /// ρ.
    pub rho: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Number of pairs.
    pub n: usize,
}

impl RankCorrelation {
    /// Of pairs of numbers; none for fewer than four, and where one side is all the same.
    pub fn of(left: &[f64], right: &[f64]) -> Option<Self> {
        let n = left.len();
        if n != right.len() || n < 4 {
            return None;
        }
        let (left, right) = (mean_ranks(left), mean_ranks(right));
        let mean = (n as f64 + 1.0) / 2.0;
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>();
        let spread = (product(&left, &left) * product(&right, &right)).sqrt();
        if spread <= 0.0 {
            return None;
        }
        let rho = (product(&left, &right) / spread).clamp(-1.0, 1.0);
        let (centre, width) = (rho.atanh(), 1.959_964 / (n as f64 - 3.0).sqrt());
        Some(Self {
            rho,
            low: (centre - width).tanh(),
            high: (centre + width).tanh(),
            n,
        })
    }
}

/// Ranks from 1, ascending; equal values share the mean of theirs.
fn mean_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    while first < order.len() {
        let same = order[first..].iter().take_while(|index| values[**index] == values[order[first]]).count();
        for index in &order[first..first + same] {
            ranks[*index] = first as f64 + (same as f64 + 1.0) / 2.0;
        }
        first += same;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlations_agree_with_scipy() {
        // scipy.stats.spearmanr([1, 2, 2, 4, 5, 7], [3, 1, 4, 4, 9, 8]).statistic
        let found = RankCorrelation::of(&[1.0, 2.0, 2.0, 4.0, 5.0, 7.0], &[3.0, 1.0, 4.0, 4.0, 9.0, 8.0]).unwrap();
        assert!((found.rho - 0.808_823_529_411_764_7).abs() < 1e-12, "{}", found.rho);
        assert!(found.low < found.rho && found.rho < found.high);
        let same = RankCorrelation::of(&[1.0, 2.0, 3.0, 4.0], &[10.0, 20.0, 30.0, 40.0]).unwrap();
        assert!((same.rho, same.high) == (1.0, 1.0));
        assert!(RankCorrelation::of(&[1.0; 5], &[1.0, 2.0, 3.0, 4.0, 5.0]).is_none());
        assert!(RankCorrelation::of(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]).is_none());
    }
}
