//! How far two annotators agree.

use cruxscope_study::Bootstrap;

/// Spearman's rank correlation: Pearson's of the ranks, equal values sharing their mean rank. `None` where either list does
/// not vary, or they are not of one length.
pub fn spearman(a: &[f64], b: &[f64]) -> Option<f64> {
    if a.len() != b.len() {
        return None;
    }
    let weights = vec![1.0; a.len()];
    weighted_spearman(a, b, &weights)
}

/// Its bootstrap interval, pairs drawn; draws in which either list does not vary are passed over (paper, table 6).
pub fn spearman_interval(a: &[f64], b: &[f64], bootstrap: &Bootstrap) -> Option<(f64, f64)> {
    if a.len() != b.len() {
        return None;
    }
    bootstrap.interval(a.len(), |times| weighted_spearman(a, b, &times))
}

/// The correlation in which each pair stands so many times.
fn weighted_spearman(a: &[f64], b: &[f64], weights: &[f64]) -> Option<f64> {
    let (a, b) = (ranks(a, weights), ranks(b, weights));
    let total: f64 = weights.iter().sum();
    let mean = |values: &[f64]| values.iter().zip(weights).map(|(value, weight)| value * weight).sum::<f64>() / total;
    let (mean_a, mean_b) = (mean(&a), mean(&b));
    let (mut covariance, mut variance_a, mut variance_b) = (0.0, 0.0, 0.0);
    for i in 0..weights.len() {
        let (da, db) = (a[i] - mean_a, b[i] - mean_b);
        covariance += weights[i] * da * db;
        variance_a += weights[i] * da * da;
        variance_b += weights[i] * db * db;
    }
    let scale = (variance_a * variance_b).sqrt();
    (scale > 1e-12).then(|| (covariance / scale).clamp(-1.0, 1.0))
}

/// The rank of each value, from 1, equal ones sharing their mean, where each value stands so many times.
fn ranks(values: &[f64], weights: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|i, j| values[*i].total_cmp(&values[*j]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0.0;
    for equal in order.chunk_by(|i, j| values[*i] == values[*j]) {
        let count: f64 = equal.iter().map(|i| weights[*i]).sum();
        for i in equal {
            ranks[*i] = before + (count + 1.0) / 2.0;
        }
        before += count;
    }
    ranks
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
    fn drawing_a_pair_twice_is_writing_it_twice() {
        let (a, b) = ([1.0, 2.0, 2.0, 5.0], [2.0, 1.0, 3.0, 3.0]);
        let (twice_a, twice_b) = ([1.0, 2.0, 2.0, 2.0, 5.0], [2.0, 1.0, 3.0, 3.0, 3.0]);
        let weighted = weighted_spearman(&a, &b, &[1.0, 1.0, 2.0, 1.0]).unwrap();
        assert!((weighted - spearman(&twice_a, &twice_b).unwrap()).abs() < 1e-12);
    }

    #[test]
    fn no_variation_no_correlation() {
        assert_eq!(spearman(&[1.0, 1.0], &[1.0, 2.0]), None);
        assert_eq!(spearman(&[1.0], &[1.0, 2.0]), None);
        assert_eq!(cohens_kappa(&[[5, 0], [0, 0]]), None);
    }
}
