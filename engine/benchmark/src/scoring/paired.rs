//! Two models on the same questions, under one rule.

use std::collections::BTreeMap;

use cruxscope_statistics::{Bootstrap, Cluster, PairedTest, paired_test};
use serde::Serialize;

use super::BenchmarkScore;

/// Two sets of outputs under one rule: how the second does beside the first, question by question.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PairedScores {
    /// The rule's name, with its version.
    pub rule: String,
    /// What is compared: accuracy, or EM and F1.
    pub metric: String,
    /// The test.
    #[serde(flatten)]
    pub test: PairedTest,
}

/// Compares the scores of two models question by question; nothing where they share no question.
pub fn compare(first: &BenchmarkScore, second: &BenchmarkScore, bootstrap: &Bootstrap) -> Vec<PairedScores> {
    let clusters = |score: &BenchmarkScore, f1: bool| {
        let mut clusters: BTreeMap<String, Cluster> = BTreeMap::new();
        for judged in &score.verdicts {
            let cluster = clusters.entry(judged.id.clone()).or_default();
            let right = f64::from(u8::from(judged.verdict.correct));
            cluster.sum += if f1 { judged.verdict.f1.unwrap_or(0.0) } else { right };
            cluster.count += 1;
        }
        clusters
    };
    let test = |f1: bool, metric: &str| {
        let (a, b) = (clusters(first, f1), clusters(second, f1));
        let pairs: Vec<(Cluster, Cluster)> = a.iter().filter_map(|(id, a)| Some((*a, *b.get(id)?))).collect();
        Some(PairedScores {
            rule: first.rule.to_string(),
            metric: metric.to_owned(),
            test: paired_test(&pairs, bootstrap)?,
        })
    };
    let f1 = if first.f1.is_some() { test(true, "F1") } else { None };
    test(false, if first.f1.is_some() { "EM" } else { "accuracy" }).into_iter().chain(f1).collect()
}
