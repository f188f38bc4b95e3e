//! Reading outputs for scoring and analysis: one's own samples, or any file of `{"id", "output"}`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cruxscope_trace::lines::for_each_line;
use serde::Deserialize;

use super::SampleKey;
use crate::error::BenchmarkError;
use crate::generator::{Finish, ModelIdentity, SamplingSettings};
use crate::prompts::Prompt;

/// One output.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The question, such as `FOLIO/7`.
    pub id: String,
    /// Which pass, from 1.
    pub pass: u32,
    /// The model, if the file says so.
    pub model: Option<String>,
    /// How text was sampled, if the file says so.
    pub settings: Option<SamplingSettings>,
    /// What the model was given, if the file says so.
    pub prompt: Option<Prompt>,
    /// What it wrote.
    pub output: String,
    /// Why it ended, if the file says so.
    pub finish: Option<Finish>,
    /// Tokens of the output, if the file says so.
    pub new_tokens: Option<u64>,
}

/// The outputs of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outputs {
    /// All of them, by question and pass.
    pub outputs: Vec<Output>,
    /// Lines that are no output, by number: a last line that was cut short, or a damaged one.
    pub damaged_lines: Vec<usize>,
    /// Lines with a key, or a question and pass of a model, that stand in the file before, by number.
    pub repeated_lines: Vec<usize>,
}

#[derive(Deserialize)]
struct Line {
    id: String,
    output: String,
    key: Option<SampleKey>,
    pass: Option<u32>,
    model: Option<ModelIdentity>,
    settings: Option<SamplingSettings>,
    prompt: Option<Prompt>,
    finish: Option<Finish>,
    new_tokens: Option<u64>,
}

impl Outputs {
    /// Reads a file of samples, plain or gzipped. Lines of other programs need an `id` and an `output`; where they have no
    /// `pass`, the second line with an id is the second pass.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or holds no output.
    pub fn read(path: &Path) -> Result<Self, BenchmarkError> {
        let mut found = Self::default();
        let mut keys = BTreeSet::new();
        let mut passes: BTreeMap<String, u32> = BTreeMap::new();
        for_each_line::<BenchmarkError>(path, |line| {
            let Ok(record) = serde_json::from_slice::<Line>(line.bytes) else {
                found.damaged_lines.push(line.number);
                return Ok(());
            };
            if let Some(key) = record.key
                && !keys.insert(key)
            {
                found.repeated_lines.push(line.number);
                return Ok(());
            }
            let seen = passes.entry(record.id.clone()).or_default();
            *seen += 1;
            found.outputs.push(Output {
                pass: record.pass.unwrap_or(*seen),
                id: record.id,
                model: record.model.map(|model| model.name),
                settings: record.settings,
                prompt: record.prompt,
                output: record.output,
                finish: record.finish,
                new_tokens: record.new_tokens,
            });
            Ok(())
        })?;
        if found.outputs.is_empty() {
            return Err(BenchmarkError::Nothing {
                what: format!("{} holds no output; each line should be an object with \"id\" and \"output\"", path.display()),
            });
        }
        found
            .outputs
            .sort_by(|a, b| (&a.model, natural(&a.id), a.pass).cmp(&(&b.model, natural(&b.id), b.pass)));
        Ok(found)
    }

    /// The models of the outputs, in order; an empty name for outputs that do not say.
    pub fn models(&self) -> Vec<String> {
        let names: BTreeSet<String> = self.outputs.iter().map(|output| output.model.clone().unwrap_or_default()).collect();
        names.into_iter().collect()
    }

    /// The outputs of one model only.
    pub fn of_model(mut self, name: &str) -> Self {
        self.outputs.retain(|output| output.model.as_deref().unwrap_or_default() == name);
        self
    }
}

/// An id such that `FOLIO/9` comes before `FOLIO/10`.
pub(crate) fn natural(id: &str) -> (&str, usize, &str) {
    match id.rsplit_once('/').and_then(|(prefix, number)| Some((prefix, number.parse().ok()?))) {
        Some((prefix, number)) => (prefix, number, id),
        None => (id, 0, id),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn own_samples_and_other_programs_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("samples.jsonl");
        let own = serde_json::to_string(&sample("FOLIO/10", 2, "x")).unwrap();
        let lines = [
            own.as_str(),
            own.as_str(),
            r#"{"id": "FOLIO/9", "output": "a", "more": 1}"#,
            r#"{"id": "FOLIO/9", "output": "b"}"#,
            r#"{"id": "FOLIO/1"}"#,
            r#"{"id": "FOLIO/2", "outp"#,
        ];
        std::fs::write(&path, lines.join("\n")).unwrap();
        let found = Outputs::read(&path).unwrap();
        let ids: Vec<_> = found
            .outputs
            .iter()
            .map(|output| (output.id.as_str(), output.pass, output.output.as_str()))
            .collect();
        assert_eq!(ids, [("FOLIO/9", 1, "a"), ("FOLIO/9", 2, "b"), ("FOLIO/10", 2, "x")]);
        assert_eq!((found.damaged_lines.clone(), found.repeated_lines.clone()), (vec![5, 6], vec![2]));
        assert_eq!(found.models(), ["", "m"]);
        assert_eq!(found.of_model("m").outputs.len(), 1);
        std::fs::write(&path, "{}\n").unwrap();
        assert!(Outputs::read(&path).unwrap_err().is_user_error());
    }
}
