//! Something that could not be opened.

use cruxscope_study::StudyError;

/// Something that could not be opened, in words: what was tried, why it failed, what can be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What was tried.
    pub attempted: String,
    /// Why it failed.
    pub why: String,
    /// What can be done.
    pub advice: String,
}

impl Problem {
    /// The whole of it in words.
    pub fn words(&self) -> String {
        format!("{}. {} {}", self.attempted, self.why, self.advice)
    }

    /// The problem of a study that could not be read.
    pub fn of_study(name: &str, error: &StudyError) -> Self {
        let advice = match error {
            StudyError::Missing { .. } => "Choose the folder that holds study.json, collection.json or results.json.",
            StudyError::Io { .. } => "Check that the file is there and may be read.",
            StudyError::MissingFile { .. } => "Open the whole folder, or choose study.json and its .safetensors files together.",
            StudyError::NewerSchema { .. } => "Use a newer version of this program.",
            StudyError::Digest { .. } | StudyError::Arrays { .. } | StudyError::MissingArray { .. } => {
                "Copy the study again from where it was made; a file was cut or changed on the way."
            }
            _ => "Re-create the study, or ask its author.",
        };
        Self {
            attempted: format!("Could not open {name}"),
            why: error.to_string(),
            advice: advice.to_owned(),
        }
    }
}
