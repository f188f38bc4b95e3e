//! Importance compared with measured degradation: what happens to a model when one weight matrix at a time is compressed.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Behaviour, Component, FileDigest, ImportanceMap, Module, RankCorrelation, StudyError};

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
    /// The key of the run that measured it, by which the same command knows its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Every component, layer by layer.
    pub components: Vec<Degradation>,
}

/// What compressing one component alone did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Degradation {
    /// The component.
    pub component: String,
    /// Mean divergence of Kullback and Leibler from the model's own next-token distribution, in nats.
    pub divergence: f64,
    /// The model's perplexity then.
    pub perplexity: f64,
}

impl Validation {
    /// Reads `validation.json`.
    ///
    /// # Errors
    /// When the file is not one of these, or does not cover a model with this number of layers.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_must_cover_the_model() {
        let damage = |component: Component| Degradation {
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
            run: None,
            components: Component::all(2).map(damage).collect(),
        };
        let bytes = serde_json::to_vec(&validation).unwrap();
        assert_eq!(Validation::from_json(&bytes, 2).unwrap(), validation);
        assert!(Validation::from_json(&bytes, 3).is_err());
        assert!(Validation::from_json(b"{}", 2).is_err());
    }
}
