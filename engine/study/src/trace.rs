//! An annotated trace of a study, for display: the prompt, the reasoning, and where each behaviour is.

use serde::{Deserialize, Serialize};

use crate::{ArrayEntry, Digest, DropReason, Label, StudyError};

/// Bytes of text that one trace may hold; more is a mistake or malice.
const MOST_BYTES: usize = 64 << 20;
/// Sections that one trace may hold.
const MOST_SECTIONS: usize = 1_000_000;

/// One instance's text with its sections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TraceText {
    /// The instance's id.
    pub id: String,
    /// What the model was given.
    pub prompt: String,
    /// What it wrote.
    pub output: String,
    /// Tokens of both together.
    pub tokens: usize,
    /// The sections of the annotation, in its order.
    pub sections: Vec<TraceSection>,
    /// What the output scored, 0 to 1, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
}

/// A section of an annotation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceSection {
    /// Its label.
    pub label: Label,
    /// The bytes `[start, end)` of the output in which it stands; nothing where it was not found there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<[usize; 2]>,
    /// Its tokens, first and last inclusive, in prompt and output together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<[usize; 2]>,
    /// Why it does not count; nothing where it does, or where its label is not scored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<DropReason>,
    /// What the annotator wrote, where it was not found in the trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Where a study keeps the trace of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceEntry {
    /// The instance.
    pub id: String,
    /// Its file.
    #[serde(flatten)]
    pub file: ArrayEntry,
}

impl TraceText {
    /// The name of the file that holds the trace of an instance, by the instance's place in the manifest, from 0.
    pub fn file_name(instance: usize) -> String {
        format!("trace-{:04}.json", instance + 1)
    }

    /// The file's bytes, and what the manifest says of it.
    ///
    /// # Errors
    /// When it contradicts itself.
    pub fn to_file(&self, instance: usize) -> Result<(TraceEntry, Vec<u8>), StudyError> {
        let file = Self::file_name(instance);
        self.check(&file)?;
        let mut bytes = serde_json::to_vec(self).map_err(|source| StudyError::Json { file: file.clone(), source })?;
        bytes.push(b'\n');
        let entry = TraceEntry {
            id: self.id.clone(),
            file: ArrayEntry {
                file,
                sha256: Digest::of(&bytes),
                bytes: bytes.len() as u64,
            },
        };
        Ok((entry, bytes))
    }

    /// Reads a trace that the manifest names.
    ///
    /// # Errors
    /// When the bytes are not those that the manifest names, or contradict themselves.
    pub fn from_file(entry: &TraceEntry, bytes: &[u8]) -> Result<Self, StudyError> {
        let file = &entry.file.file;
        let found = Digest::of(bytes);
        if found != entry.file.sha256 {
            return Err(StudyError::Digest {
                file: file.clone(),
                expected: entry.file.sha256.0.clone(),
                found: found.0,
            });
        }
        let trace: Self = serde_json::from_slice(bytes).map_err(|source| StudyError::Json { file: file.clone(), source })?;
        trace.check(file)?;
        Ok(trace)
    }

    fn check(&self, file: &str) -> Result<(), StudyError> {
        let refuse = |why: String| Err(StudyError::Contradiction { file: file.to_owned(), why });
        if self.prompt.len() + self.output.len() > MOST_BYTES || self.sections.len() > MOST_SECTIONS {
            return refuse(format!(
                "it holds {} bytes in {} sections, more than can be shown",
                self.prompt.len() + self.output.len(),
                self.sections.len()
            ));
        }
        for (number, section) in self.sections.iter().enumerate() {
            if let Some([start, end]) = section.bytes
                && !(start <= end && self.output.is_char_boundary(start) && self.output.is_char_boundary(end))
            {
                return refuse(format!("section {} lies at bytes {start} to {end}, where no text is", number + 1));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace() -> TraceText {
        TraceText {
            id: "T/1".into(),
            prompt: "When?".into(),
            output: "Perhaps… no, wait.".into(),
            tokens: 9,
            sections: vec![TraceSection {
                label: Label::Backtracking,
                bytes: Some([10, 19]),
                tokens: Some([5, 8]),
                dropped: None,
                text: None,
            }],
            score: None,
        }
    }

    #[test]
    fn a_trace_survives_its_file() {
        let (entry, bytes) = trace().to_file(0).unwrap();
        assert_eq!(entry.file.file, "trace-0001.json");
        assert_eq!(TraceText::from_file(&entry, &bytes).unwrap(), trace());
        assert!(matches!(TraceText::from_file(&entry, b"{}"), Err(StudyError::Digest { .. })));
    }

    #[test]
    fn a_section_cannot_cut_a_character() {
        let mut trace = trace();
        trace.sections[0].bytes = Some([8, 19]);
        assert!(trace.to_file(0).is_err());
        trace.sections[0].bytes = Some([10, 9_000]);
        assert!(trace.to_file(0).is_err());
    }
}
