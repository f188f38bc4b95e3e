//! Several passes over the same questions. The passes of one question are not independent, so the question is the unit.

use std::collections::BTreeMap;

use crate::Bootstrap;

/// One question: the sum of its scores, and how many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cluster {
    /// Sum over its outputs.
    pub sum: f64,
    /// Its outputs.
    pub count: usize,
}

/// The mean over all outputs: avg@k where every question has k. `None` for no output.
pub fn clustered_mean(clusters: &[Cluster]) -> Option<f64> {
    let count: usize = clusters.iter().map(|cluster| cluster.count).sum();
    (count > 0).then(|| clusters.iter().map(|cluster| cluster.sum).sum::<f64>() / count as f64)
}

/// The bootstrap interval of that mean: questions are drawn, each with all of its outputs.
pub fn clustered_interval(clusters: &[Cluster], bootstrap: &Bootstrap) -> Option<(f64, f64)> {
    bootstrap.interval(clusters.len(), |multiplicity| {
        let weighted = |of: fn(&Cluster) -> f64| clusters.iter().zip(&multiplicity).map(|(cluster, times)| of(cluster) * times).sum::<f64>();
        let count = weighted(|cluster| cluster.count as f64);
        (count > 0.0).then(|| weighted(|cluster| cluster.sum) / count)
    })
}

/// The chance that at least one of `k` outputs drawn from `count` is right when `correct` of them are:
/// `1 - C(count - correct, k) / C(count, k)` (Chen et al., 2021). `None` if there are fewer than `k`.
pub fn pass_at_k(correct: usize, count: usize, k: usize) -> Option<f64> {
    if k == 0 || k > count || correct > count {
        return None;
    }
    // The ratio of the two, factor by factor, which never overflows.
    let none: f64 = (0..k).map(|i| (count - correct).saturating_sub(i) as f64 / (count - i) as f64).product();
    Some(1.0 - none)
}

/// The most frequent answer; of several, the one that was given first. Outputs without an answer do not vote.
pub fn majority<'a>(answers: impl IntoIterator<Item = Option<&'a str>>) -> Option<&'a str> {
    let mut votes: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (place, answer) in answers.into_iter().enumerate() {
        if let Some(answer) = answer {
            votes.entry(answer).or_insert((0, place)).0 += 1;
        }
    }
    votes
        .into_iter()
        .max_by_key(|(_, (count, place))| (*count, std::cmp::Reverse(*place)))
        .map(|(answer, _)| answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn votes() {
        assert_eq!(majority([Some("b"), Some("a"), None, None, None, Some("a")]), Some("a"));
        assert_eq!(majority([Some("b"), Some("a")]), Some("b"));
        assert_eq!(majority([None, None]), None);
    }

    #[test]
    fn questions_with_equal_passes_have_the_interval_of_their_means() {
        let clusters: Vec<Cluster> = (0..40)
            .map(|question| Cluster {
                sum: f64::from(question % 4),
                count: 3,
            })
            .collect();
        let mean = clustered_mean(&clusters).unwrap();
        assert!((mean - 0.5).abs() < 1e-12);
        let (low, high) = clustered_interval(&clusters, &Bootstrap::default()).unwrap();
        // 1.96 standard errors of 40 means with variance 5/36.
        let expected = 1.96 * (5.0 / 36.0 / 40.0f64).sqrt();
        assert!(((high - low) / 2.0 - expected).abs() < 0.02, "{low} {high} {expected}");
        assert_eq!(clustered_mean(&[]), None);
        assert_eq!(clustered_interval(&clusters[..1], &Bootstrap::default()), None);
    }
}
