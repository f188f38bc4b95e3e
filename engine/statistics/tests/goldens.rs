//! The statistics against scipy and statsmodels; `goldens/statistics.py` makes the goldens.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of these tests are tests too")]

use cruxscope_statistics::{
    Bootstrap, Cluster, clustered_interval, clustered_mean, cohens_kappa, mcnemar_exact, pass_at_k, sign_flip, spearman, spearman_interval, wilson,
};
use serde_json::Value;

fn goldens(name: &str) -> Vec<Value> {
    let goldens: Value = serde_json::from_str(include_str!("goldens/statistics.json")).unwrap();
    let cases = goldens[name].as_array().unwrap().clone();
    assert!(!cases.is_empty());
    cases
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn count(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

/// Compares and tells the largest difference.
fn compare(name: &str, allowed: f64, pairs: impl IntoIterator<Item = (f64, f64)>) {
    let pairs: Vec<(f64, f64)> = pairs.into_iter().collect();
    let largest = pairs.iter().map(|(found, expected)| (found - expected).abs()).fold(0.0, f64::max);
    println!("{name}: {} values, largest difference {largest:.1e} (allowed {allowed:.0e})", pairs.len());
    assert!(pairs.iter().all(|(found, expected)| (found - expected).abs() <= allowed), "{name}: {pairs:?}");
}

#[test]
fn wilson_intervals() {
    let cases = goldens("wilson");
    compare(
        "wilson",
        1e-12,
        cases.iter().flat_map(|case| {
            let (low, high) = wilson(count(&case["successes"]), count(&case["of"])).unwrap();
            [(low, number(&case["low"])), (high, number(&case["high"]))]
        }),
    );
}

#[test]
fn mcnemar_and_sign_flips() {
    let cases = goldens("mcnemar");
    compare(
        "mcnemar",
        1e-10,
        cases
            .iter()
            .map(|case| (mcnemar_exact(count(&case["better"]), count(&case["worse"])), number(&case["p"]))),
    );
    let cases = goldens("sign_flip");
    compare(
        "sign flips",
        1e-12,
        cases.iter().map(|case| (sign_flip(&numbers(&case["differences"]), 1), number(&case["p"]))),
    );
}

#[test]
fn rank_correlations() {
    let cases = goldens("spearman");
    compare(
        "spearman",
        1e-12,
        cases
            .iter()
            .map(|case| (spearman(&numbers(&case["a"]), &numbers(&case["b"])).unwrap(), number(&case["rho"]))),
    );
    for case in &cases {
        let (a, b) = (numbers(&case["a"]), numbers(&case["b"]));
        let (low, high) = spearman_interval(&a, &b, &Bootstrap::default()).unwrap();
        let rho = number(&case["rho"]);
        assert!(low <= rho && rho <= high, "{low} {rho} {high}");
    }
}

#[test]
fn kappas() {
    fn square<const LABELS: usize>(case: &Value) -> Option<f64> {
        let mut counts = [[0; LABELS]; LABELS];
        for (row, values) in counts.iter_mut().zip(case["counts"].as_array().unwrap()) {
            for (cell, value) in row.iter_mut().zip(values.as_array().unwrap()) {
                *cell = value.as_u64().unwrap();
            }
        }
        cohens_kappa(&counts)
    }
    let cases = goldens("kappa");
    compare(
        "kappa",
        1e-12,
        cases.iter().map(|case| {
            let kappa = match case["counts"].as_array().unwrap().len() {
                2 => square::<2>(case),
                3 => square::<3>(case),
                _ => square::<7>(case),
            };
            (kappa.unwrap(), number(&case["kappa"]))
        }),
    );
}

#[test]
fn chances_of_one_in_k() {
    let cases = goldens("pass_at_k");
    compare(
        "pass@k",
        1e-12,
        cases.iter().map(|case| {
            (
                pass_at_k(count(&case["correct"]), count(&case["count"]), count(&case["k"])).unwrap(),
                number(&case["pass"]),
            )
        }),
    );
}

#[test]
fn bootstraps_within_their_noise() {
    for case in goldens("bootstrap") {
        let clusters: Vec<Cluster> = case["clusters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|cluster| Cluster {
                sum: number(&cluster["sum"]),
                count: count(&cluster["count"]),
            })
            .collect();
        let bootstrap = Bootstrap {
            draws: 50_000,
            ..Bootstrap::default()
        };
        let (low, high) = clustered_interval(&clusters, &bootstrap).unwrap();
        let mean = clustered_mean(&clusters).unwrap();
        assert!(low < mean && mean < high);
        compare("bootstrap", 0.003, [(low, number(&case["low"])), (high, number(&case["high"]))]);
    }
}
