//! What compression did to each weight matrix, as a study shows it.

use serde::{Deserialize, Serialize};

use crate::{Component, Module, StudyError};

/// The file in a study's folder.
pub const COMPRESSION_FILE: &str = "compression.json";

/// What was done to the matrices of a model, and what is left of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CompressionMap {
    /// The program and its version.
    pub program: String,
    /// The compressed model's name.
    pub model: String,
    /// How it was compressed, in a few words.
    pub summary: String,
    /// Every component, layer by layer.
    pub components: Vec<ComponentCompression>,
}

/// What was done to one matrix.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ComponentCompression {
    /// The component.
    pub component: String,
    /// The method; empty where it was left as it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub method: String,
    /// How its numbers are stored, such as `Q4_K` or `bf16`, where that is known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub storage: String,
    /// Bits of a weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits: Option<f64>,
    /// Share of weights that are zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sparsity: Option<f64>,
    /// Squared error of the weights, as a share of their own square.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_error: Option<f64>,
    /// Squared error of the outputs on the calibration text, as a share of the outputs' own square.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_error: Option<f64>,
    /// Mean of AWQ's scales of its input before they are normalised (paper, appendix M).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awq_scale: Option<f64>,
}

impl ComponentCompression {
    /// Its numbers.
    fn numbers(&self) -> impl Iterator<Item = f64> {
        [self.bits, self.sparsity, self.weight_error, self.output_error, self.awq_scale]
            .into_iter()
            .flatten()
    }
}

impl CompressionMap {
    /// Reads `compression.json`.
    ///
    /// # Errors
    /// When the file is not one of these, or does not cover a model with this number of layers.
    pub fn from_json(bytes: &[u8], layers: usize) -> Result<Self, StudyError> {
        let read: Self = serde_json::from_slice(bytes).map_err(|source| StudyError::Json {
            file: COMPRESSION_FILE.into(),
            source,
        })?;
        let expected = layers * Module::ALL.len();
        let same = read.components.len() == expected
            && read
                .components
                .iter()
                .zip(Component::all(layers))
                .all(|(found, expected)| found.component == expected.to_string());
        if !same {
            return Err(StudyError::Shape {
                array: COMPRESSION_FILE.into(),
                expected: vec![layers, Module::ALL.len()],
                found: format!("{} components, or in another order", read.components.len()),
            });
        }
        let numbers = read.components.iter().flat_map(ComponentCompression::numbers);
        if let Some((position, value)) = numbers.enumerate().find(|(_, value)| !value.is_finite()) {
            return Err(StudyError::Value {
                array: COMPRESSION_FILE.into(),
                position,
                value,
            });
        }
        Ok(read)
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// When it holds something that JSON cannot.
    pub fn to_json(&self) -> Result<Vec<u8>, StudyError> {
        crate::write_json(self, COMPRESSION_FILE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_must_cover_the_model() {
        let map = CompressionMap {
            program: "cruxscope".into(),
            model: "m".into(),
            summary: "3-bit RTN".into(),
            components: Component::all(2)
                .map(|component| ComponentCompression {
                    component: component.to_string(),
                    method: "rtn".into(),
                    bits: Some(3.0),
                    weight_error: Some(0.01),
                    ..ComponentCompression::default()
                })
                .collect(),
        };
        let bytes = map.to_json().unwrap();
        assert_eq!(CompressionMap::from_json(&bytes, 2).unwrap(), map);
        assert!(CompressionMap::from_json(&bytes, 3).is_err());
        assert!(CompressionMap::from_json(b"[]", 2).is_err());
    }
}
