//! What was really measured, beside what is predicted.

use std::collections::HashSet;

use cruxscope_study::{FileDigest, Scope, Sensitivity, Trial};

/// What a measured recipe was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Series {
    /// Chosen by the sketch.
    Chosen,
    /// Every component in one format.
    Uniform,
    /// The chosen formats in other places.
    Random,
    /// Chosen by another rule, or another program's checkpoint.
    Other,
}

impl Series {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Chosen, Self::Uniform, Self::Random, Self::Other];

    /// What it is called in legends and tables.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Chosen => "chosen",
            Self::Uniform => "uniform",
            Self::Random => "random permutation",
            Self::Other => "other rules",
        }
    }
}

/// A recipe whose divergence was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct MeasuredPoint {
    /// Its name.
    pub name: String,
    /// What it was.
    pub series: Series,
    /// Stored bits of a weight.
    pub bits_per_weight: f64,
    /// Measured divergence in nats.
    pub kl: f64,
    /// Its interval.
    pub interval: Option<(f64, f64)>,
    /// On what it was measured.
    pub on: String,
}

/// What was measured for a scope: whole formats on the sketch's own windows, and the recipes of a trial, which counts every position.
pub fn measured(sensitivity: &Sensitivity, trial: Option<&Trial>, scope: Scope) -> Vec<MeasuredPoint> {
    let mut points = Vec::new();
    for (format, own) in sensitivity.facts.formats.iter().enumerate() {
        let everywhere = vec![Some(format); sensitivity.facts.components()];
        let Some((bits, weights)) = sensitivity.size(&everywhere) else { continue };
        for found in own.measured.iter().filter(|found| found.scope == scope) {
            points.push(MeasuredPoint {
                name: own.name.clone(),
                series: Series::Uniform,
                bits_per_weight: bits / weights,
                kl: found.kl,
                interval: None,
                on: "the sketch's windows".to_owned(),
            });
        }
    }
    let trial = trial.filter(|trial| scope == Scope::All && is_of_one_model(&trial.model_files, &sensitivity.facts.model_files));
    for row in trial.iter().flat_map(|trial| &trial.rows) {
        let Some(kl) = row.kl() else { continue };
        points.push(MeasuredPoint {
            name: row.name.clone(),
            series: series(&row.rule),
            bits_per_weight: row.bits_per_weight,
            kl: kl.value,
            interval: kl.interval,
            on: trial.map_or_else(String::new, |trial| trial.data.name.clone()),
        });
    }
    points
}

fn is_of_one_model(a: &[FileDigest], b: &[FileDigest]) -> bool {
    let digests = |files: &[FileDigest]| files.iter().map(|file| file.sha256.clone()).collect::<HashSet<_>>();
    a.is_empty() || b.is_empty() || digests(a) == digests(b)
}

/// By the words of `cruxscope trial`.
fn series(rule: &str) -> Series {
    match rule {
        "recipe" | "allocate's estimate" => Series::Chosen,
        "uniform" => Series::Uniform,
        "random" => Series::Random,
        _ => Series::Other,
    }
}

#[cfg(test)]
mod tests {
    use cruxscope_study::test_data as samples;

    use super::*;

    #[test]
    fn a_trial_counts_for_all_positions_of_its_own_model() {
        let sensitivity = samples::sensitivity(2);
        let mut trial = samples::trial();
        let points = measured(&sensitivity, Some(&trial), Scope::All);
        let of = |series: Series| points.iter().filter(|point| point.series == series).count();
        assert_eq!(Series::ALL.map(of), [1, 2, 1, 1]);
        assert!(points.iter().all(|point| point.kl > 0.0));
        let backtracking = Scope::Behaviour(cruxscope_study::Behaviour::Backtracking);
        assert_eq!(measured(&sensitivity, Some(&trial), backtracking), []);
        trial.model_files = vec![FileDigest::default()];
        assert_eq!(measured(&sensitivity, Some(&trial), Scope::All).len(), 1, "of another model nothing is shown");
    }
}
