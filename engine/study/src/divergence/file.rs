//! The file: arrays in the safetensors format, the facts as JSON in its metadata.

use safetensors::tensor::Dtype;

use super::{DIVERGENCE_FILE, DIVERGENCE_SCHEMA, Divergence, DivergenceFacts};
use crate::arrays::{array, bytes_of, floats, parse};
use crate::described::{self, Arrays};
use crate::{Manifest, StudyError};

impl Divergence {
    /// Checks facts and arrays against each other.
    ///
    /// # Errors
    /// When an array has another length than the facts imply, or holds what it cannot.
    pub fn check(&self) -> Result<(), StudyError> {
        let facts = &self.facts;
        let refuse = |why: String| {
            Err(StudyError::Contradiction {
                file: DIVERGENCE_FILE.into(),
                why,
            })
        };
        if facts.layers == 0 || facts.layers > 10_000 {
            return refuse(format!("{} layers", facts.layers));
        }
        if let Some(text) = facts.texts.iter().find(|text| text.thought > text.answer || text.answer > text.tokens) {
            return refuse(format!("the thought of {} lies outside of its {} tokens", text.id, text.tokens));
        }
        let predictions = predictions(facts);
        let shape = |array: &str, expected: usize, found: usize| {
            if expected == found {
                return Ok(());
            }
            Err(StudyError::Shape {
                array: array.into(),
                expected: vec![expected],
                found: format!("{found} values"),
            })
        };
        shape("kl", predictions, self.kl.len())?;
        shape("rank", predictions, self.rank.len())?;
        shape("behaviours", predictions, self.behaviours.len())?;
        shape("end", predictions, self.ends.len())?;
        for (side, name) in ["a", "b"].into_iter().enumerate() {
            shape(&format!("choice/{name}"), predictions, self.choices[side].len())?;
            shape(&format!("loss/{name}"), predictions, self.losses[side].len())?;
            finite(&format!("loss/{name}"), self.losses[side].iter().map(|value| f64::from(*value)))?;
        }
        finite("kl", self.kl.iter().map(|value| f64::from(*value)))?;
        if let Some(position) = self.rank.iter().position(|rank| *rank == 0) {
            return Err(StudyError::Value {
                array: "rank".into(),
                position,
                value: 0.0,
            });
        }
        shape("causes", facts.caused.len(), self.shares.len())?;
        for (positions, shares) in facts.caused.iter().zip(&self.shares) {
            shape(&format!("share/{positions}"), facts.texts.len().saturating_mul(facts.layers * 7), shares.len())?;
            finite(&format!("share/{positions}"), shares.iter().copied())?;
        }
        Ok(())
    }

    /// Whether B is the model of a study.
    ///
    /// # Errors
    /// When layers or files differ.
    pub fn fits(&self, manifest: &Manifest) -> Result<(), StudyError> {
        let digests = |files: &[crate::FileDigest]| files.iter().map(|file| file.sha256.clone()).collect::<std::collections::HashSet<_>>();
        let (model, own) = (&manifest.model, &self.facts.models[1]);
        let same_files = model.files.is_empty() || digests(&own.files) == digests(&model.files);
        if model.layers == self.facts.layers && same_files {
            return Ok(());
        }
        Err(StudyError::Incomparable {
            why: format!(
                "the divergence is of {}, and the study of {}: other files or other layers",
                own.name, model.name
            ),
        })
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// As [`Self::check`], and when something cannot be written in its format.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StudyError> {
        self.check()?;
        let facts = serde_json::to_string(&self.facts).map_err(|source| StudyError::Json {
            file: DIVERGENCE_FILE.into(),
            source,
        })?;
        let singles = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let whole = |values: &[u32]| values.iter().flat_map(|value| (*value as i32).to_le_bytes()).collect::<Vec<u8>>();
        let predictions = vec![self.kl.len()];
        let mut arrays = Arrays::from([
            ("kl".to_owned(), (Dtype::F32, predictions.clone(), singles(&self.kl))),
            ("rank".to_owned(), (Dtype::I32, predictions.clone(), whole(&self.rank))),
            ("end".to_owned(), (Dtype::I32, predictions.clone(), whole(&self.ends))),
            ("behaviours".to_owned(), (Dtype::U8, predictions.clone(), self.behaviours.clone())),
        ]);
        for (side, name) in ["a", "b"].into_iter().enumerate() {
            arrays.insert(format!("choice/{name}"), (Dtype::I32, predictions.clone(), whole(&self.choices[side])));
            arrays.insert(format!("loss/{name}"), (Dtype::F32, predictions.clone(), singles(&self.losses[side])));
        }
        for (positions, shares) in self.facts.caused.iter().zip(&self.shares) {
            let dimensions = vec![self.facts.texts.len(), self.facts.layers * 7];
            arrays.insert(format!("share/{positions}"), (Dtype::F64, dimensions, bytes_of(shares)));
        }
        described::file(&arrays, facts, DIVERGENCE_FILE)
    }

    /// Reads the file's bytes.
    ///
    /// # Errors
    /// When it is damaged, was written by a later program, or an array contradicts what the file says of itself.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StudyError> {
        let broken = |reason: String| StudyError::Arrays {
            file: DIVERGENCE_FILE.into(),
            reason,
        };
        let arrays = parse(DIVERGENCE_FILE, bytes)?;
        let facts: DivergenceFacts = described::facts(bytes, DIVERGENCE_FILE, DIVERGENCE_SCHEMA)?;
        // Sizes are multiplied below, so absurd ones are refused here.
        if facts.layers > 10_000 {
            return Err(broken(format!("{} layers", facts.layers)));
        }
        let predictions = predictions(&facts);
        let read = |name: &str, dtype| array(&arrays, DIVERGENCE_FILE, name, dtype, &[predictions]);
        let singles = |name: &str| -> Result<Vec<f32>, StudyError> {
            let chunks = read(name, Dtype::F32)?.as_chunks::<4>().0;
            Ok(chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect())
        };
        let whole = |name: &str| -> Result<Vec<u32>, StudyError> {
            let chunks = read(name, Dtype::I32)?.as_chunks::<4>().0;
            let values = chunks.iter().map(|chunk| u32::try_from(i32::from_le_bytes(*chunk)));
            values.collect::<Result<_, _>>().map_err(|_| broken(format!("{name} holds negative numbers")))
        };
        let mut shares = Vec::new();
        for positions in &facts.caused {
            let shape = [facts.texts.len(), facts.layers * 7];
            shares.push(floats(array(&arrays, DIVERGENCE_FILE, &format!("share/{positions}"), Dtype::F64, &shape)?));
        }
        let read = Self {
            kl: singles("kl")?,
            rank: whole("rank")?,
            choices: [whole("choice/a")?, whole("choice/b")?],
            losses: [singles("loss/a")?, singles("loss/b")?],
            behaviours: read("behaviours", Dtype::U8)?.to_vec(),
            ends: whole("end")?,
            shares,
            facts,
        };
        read.check()?;
        Ok(read)
    }
}

/// How many predictions the texts have; numbers that anybody may have written are added up to as much as there can be.
fn predictions(facts: &DivergenceFacts) -> usize {
    facts.texts.iter().fold(0, |sum, text| sum.saturating_add(text.tokens.saturating_sub(1)))
}

fn finite(array: &str, mut values: impl Iterator<Item = f64>) -> Result<(), StudyError> {
    match values.by_ref().enumerate().find(|(_, value)| !value.is_finite()) {
        Some((position, value)) => Err(StudyError::Value {
            array: array.into(),
            position,
            value,
        }),
        None => Ok(()),
    }
}
