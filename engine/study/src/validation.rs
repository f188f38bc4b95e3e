//! Importance held against measured damage: what happens to a model when one weight matrix at a time is compressed.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Behaviour, Component, FileDigest, ImportanceMap, Module, StudyError};

/// The file in a study's folder.
pub const VALIDATION_FILE: &str = "validation.json";

/// What compressing each component alone did to the next-token distributions of some text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// The program and its version.
    pub program: String,
    /// How each component was compressed, as recipes say it.
    pub treatment: Value,
    /// The text that was read.
    pub data: FileDigest,
    /// The model's files.
    pub model_files: Vec<FileDigest>,
    /// Predictions that the numbers are means over.
    pub predictions: usize,
    /// The uncompressed model's perplexity on them.
    pub perplexity: f64,
    /// Every component, layer by layer.
    pub components: Vec<Damage>,
}

/// What compressing one component alone did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Damage {
    /// The component.
    pub component: String,
    /// Mean divergence of Kullback and Leibler from the model's own next-token distribution, in nats.
    pub divergence: f64,
    /// The model's perplexity then.
    pub perplexity: f64,
}

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

impl Validation {
    /// Reads `validation.json`.
    ///
    /// # Errors
    /// When it is no such file, or does not cover a model of so many layers.
    pub fn from_json(bytes: &[u8], layers: usize) -> Result<Self, StudyError> {
        let read: Self = serde_json::from_slice(bytes).map_err(|source| StudyError::Json {
            file: VALIDATION_FILE.into(),
            source,
        })?;
        let expected: Vec<String> = Component::all(layers).map(|component| component.to_string()).collect();
        let same = read.components.len() == expected.len() && read.components.iter().zip(&expected).all(|(found, expected)| found.component == *expected);
        if !same {
            return Err(StudyError::Shape {
                array: VALIDATION_FILE.into(),
                expected: vec![layers, Module::ALL.len()],
                found: format!("{} components, or in another order", read.components.len()),
            });
        }
        let numbers = read.components.iter().flat_map(|damage| [damage.divergence, damage.perplexity]);
        if let Some((position, value)) = numbers.enumerate().find(|(_, value)| !value.is_finite()) {
            return Err(StudyError::Value {
                array: VALIDATION_FILE.into(),
                position,
                value,
            });
        }
        Ok(read)
    }

    /// How well importance for a behaviour ranks components by their damage; for all behaviours together (the sum of relative
    /// importance) without one. None where the map does not have the behaviour or the sizes differ.
    pub fn correlation(&self, importance: &ImportanceMap, behaviour: Option<Behaviour>) -> Option<RankCorrelation> {
        let present: Vec<Behaviour> = Behaviour::ALL.into_iter().filter(|behaviour| importance.has(*behaviour)).collect();
        let asked: Vec<Behaviour> = behaviour.map_or(present.clone(), |behaviour| vec![behaviour]);
        if asked.is_empty() || asked.iter().any(|behaviour| !present.contains(behaviour)) {
            return None;
        }
        let mut scores = vec![0.0; self.components.len()];
        for behaviour in asked {
            let values = importance.of(behaviour);
            let sum: f64 = values.iter().sum();
            if values.len() != scores.len() || sum <= 0.0 {
                return None;
            }
            scores.iter_mut().zip(values).for_each(|(score, value)| *score += value / sum);
        }
        let damage: Vec<f64> = self.components.iter().map(|damage| damage.divergence).collect();
        RankCorrelation::of(&scores, &damage)
    }
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

    #[test]
    fn a_file_must_cover_the_model() {
        let damage = |component: Component| Damage {
            component: component.to_string(),
            divergence: 0.1,
            perplexity: 5.0,
        };
        let validation = Validation {
            program: "cruxscope".into(),
            treatment: Value::Null,
            data: FileDigest::default(),
            model_files: vec![],
            predictions: 10,
            perplexity: 4.0,
            components: Component::all(2).map(damage).collect(),
        };
        let bytes = serde_json::to_vec(&validation).unwrap();
        assert_eq!(Validation::from_json(&bytes, 2).unwrap(), validation);
        assert!(Validation::from_json(&bytes, 3).is_err());
        assert!(Validation::from_json(b"{}", 2).is_err());
    }
}
