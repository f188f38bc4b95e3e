//! How far two annotators agree.

use crate::{Bootstrap, RankCorrelation};

/// Spearman's rank correlation, equal values sharing their mean rank. `None` for fewer than four pairs, or where either list
/// does not vary.
pub fn spearman(a: &[f64], b: &[f64]) -> Option<f64> {
    RankCorrelation::of(a, b).map(|correlation| correlation.rho)
}

/// Its bootstrap interval, pairs drawn, as for the few ratings of the paper's table 6, where Fisher's transformation is not to
/// be trusted; draws in which either list does not vary are passed over.
pub fn spearman_interval(a: &[f64], b: &[f64], bootstrap: &Bootstrap) -> Option<(f64, f64)> {
    spearman(a, b)?;
    bootstrap.interval(a.len(), |times| spearman(&repeated(a, &times), &repeated(b, &times)))
}

/// Each value as often as it was drawn.
fn repeated(values: &[f64], times: &[f64]) -> Vec<f64> {
    let of = |(value, times): (&f64, &f64)| std::iter::repeat_n(*value, *times as usize);
    values.iter().zip(times).flat_map(of).collect()
}

/// Cohen's kappa of a square table of counts, first annotator down, second across:
/// `(observed - expected) / (1 - expected)` agreement. `None` where chance alone would agree fully, or nothing was counted.
pub fn cohens_kappa<const LABELS: usize>(counts: &[[u64; LABELS]; LABELS]) -> Option<f64> {
    let total: u64 = counts.iter().flatten().sum();
    if total == 0 {
        return None;
    }
    let share = |count: u64| count as f64 / total as f64;
    let observed: f64 = (0..LABELS).map(|label| share(counts[label][label])).sum();
    let expected: f64 = (0..LABELS)
        .map(|label| share(counts[label].iter().sum()) * share(counts.iter().map(|row| row[label]).sum()))
        .sum();
    (expected < 1.0).then(|| (observed - expected) / (1.0 - expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_variation_no_correlation() {
        assert_eq!(spearman(&[1.0; 5], &[1.0, 2.0, 3.0, 4.0, 5.0]), None);
        assert_eq!(spearman_interval(&[1.0; 3], &[1.0, 2.0, 3.0], &Bootstrap::default()), None);
        assert_eq!(spearman(&[1.0], &[1.0, 2.0]), None);
        assert_eq!(cohens_kappa(&[[5, 0], [0, 0]]), None);
    }
}
