//! Two models on the same questions: is the difference more than chance?

use serde::Serialize;

use crate::{Bootstrap, Cluster, SplitMix, clustered_mean};

/// Differences that are not zero, up to which every pattern of signs is tried.
const EXACT_UP_TO: usize = 18;
/// Patterns that are drawn where there are too many to try.
const DRAWS: usize = 20_000;

/// What is known of the difference between two models.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PairedTest {
    /// Questions that both answered.
    pub questions: usize,
    /// Questions where the second model did better.
    pub better: usize,
    /// Questions where it did worse.
    pub worse: usize,
    /// Mean of the second minus mean of the first, over questions.
    pub difference: f64,
    /// The bootstrap interval of that, questions drawn.
    pub interval: Option<(f64, f64)>,
    /// The chance of such a difference, or a larger one either way, if neither model is better: sign flips of the questions'
    /// differences; McNemar's exact test where each question has one answer that is right or wrong, which is the same.
    pub p_value: f64,
}

/// Compares two models question by question; each question weighs the same. `None` if they share none.
pub fn paired_test(pairs: &[(Cluster, Cluster)], bootstrap: &Bootstrap) -> Option<PairedTest> {
    let differences: Vec<f64> = pairs
        .iter()
        .filter_map(|(first, second)| Some(clustered_mean(&[*second])? - clustered_mean(&[*first])?))
        .collect();
    if differences.is_empty() {
        return None;
    }
    let n = differences.len() as f64;
    Some(PairedTest {
        questions: differences.len(),
        better: differences.iter().filter(|difference| **difference > 0.0).count(),
        worse: differences.iter().filter(|difference| **difference < 0.0).count(),
        difference: differences.iter().sum::<f64>() / n,
        interval: bootstrap.interval(differences.len(), |times| {
            Some(differences.iter().zip(&times).map(|(difference, times)| difference * times).sum::<f64>() / n)
        }),
        p_value: sign_flip(&differences, bootstrap.seed),
    })
}

/// The two-sided p-value of the sign-flip test: the share of sign patterns whose sum is at least as far from zero. All
/// patterns are tried where up to 18 differences are not zero; beyond that McNemar's test takes over if all have one
/// size, and otherwise patterns are drawn from `seed`, the given one counted among them.
pub fn sign_flip(differences: &[f64], seed: u64) -> f64 {
    let sizes: Vec<f64> = differences.iter().map(|difference| difference.abs()).filter(|size| *size > 0.0).collect();
    let (Some(largest), Some(smallest)) = (sizes.iter().copied().reduce(f64::max), sizes.iter().copied().reduce(f64::min)) else {
        return 1.0;
    };
    if largest == smallest {
        let better = differences.iter().filter(|difference| **difference > 0.0).count();
        return mcnemar_exact(better, sizes.len() - better);
    }
    // Sums of the same numbers in another order may differ in their last digits.
    let least = differences.iter().sum::<f64>().abs() - 1e-9 * sizes.iter().sum::<f64>();
    if sizes.len() <= EXACT_UP_TO {
        let patterns = 1usize << sizes.len();
        let sum = |pattern: usize| -> f64 {
            let signed = sizes.iter().enumerate().map(|(i, size)| if pattern >> i & 1 == 1 { *size } else { -size });
            signed.sum()
        };
        let extreme = (0..patterns).filter(|pattern| sum(*pattern).abs() >= least).count();
        return extreme as f64 / patterns as f64;
    }
    let mut generator = SplitMix::new(seed);
    let extreme = (0..DRAWS)
        .filter(|_| {
            let sum: f64 = sizes.iter().map(|size| if generator.bits() & 1 == 1 { *size } else { -size }).sum();
            sum.abs() >= least
        })
        .count();
    (extreme + 1) as f64 / (DRAWS + 1) as f64
}

/// McNemar's exact test: of `better + worse` questions on which two models differ, the two-sided binomial chance of a split
/// at least as uneven, `min(1, 2 sum_{i <= min} C(n, i) / 2^n)`.
pub fn mcnemar_exact(better: usize, worse: usize) -> f64 {
    let n = better + worse;
    let ln_half = 0.5f64.ln();
    // ln C(n, i), built up term by term.
    let mut ln_choose = 0.0;
    let mut sum = 0.0;
    for i in 0..=better.min(worse) {
        sum += (ln_choose + n as f64 * ln_half).exp();
        ln_choose += ((n - i) as f64).ln() - ((i + 1) as f64).ln();
    }
    (2.0 * sum).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_difference_is_no_evidence() {
        assert_eq!(sign_flip(&[0.0; 5], 1), 1.0);
        assert_eq!(mcnemar_exact(0, 0), 1.0);
        assert_eq!(paired_test(&[], &Bootstrap::default()), None);
    }

    #[test]
    fn drawn_patterns_come_near_all_patterns() {
        let differences: Vec<f64> = (0..18).map(|i| f64::from(i * i % 11) / 3.0 - 1.0).collect();
        let exact = sign_flip(&differences, 1);
        // Two tiny differences push it over the limit without changing the answer.
        let more: Vec<f64> = differences.iter().copied().chain([1e-13; 3]).collect();
        let drawn = sign_flip(&more, 1);
        assert!((exact - drawn).abs() < 0.01, "{exact} {drawn}");
    }

    #[test]
    fn a_question_weighs_the_same_however_many_passes_it_has() {
        let cluster = |sum: f64, count| Cluster { sum, count };
        let pairs = [
            (cluster(0.0, 1), cluster(3.0, 3)),
            (cluster(2.0, 2), cluster(0.0, 1)),
            (cluster(1.0, 2), cluster(1.0, 1)),
            (cluster(0.0, 0), cluster(1.0, 1)),
        ];
        let test = paired_test(&pairs, &Bootstrap::default()).unwrap();
        assert_eq!((test.questions, test.better, test.worse), (3, 2, 1));
        assert!((test.difference - 1.0 / 6.0).abs() < 1e-12);
    }
}
