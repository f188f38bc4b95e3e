//! Reading outputs for scoring and analysis: one's own samples, or any file of `{"id", "output"}`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cruxscope_trace::lines::for_each_line;
use serde::Deserialize;

use super::SampleKey;
use super::failures::{self, FailureRecord};
use crate::error::BenchmarkError;
use crate::generator::{Finish, ModelIdentity, SamplingSettings};
use crate::prompts::Prompt;

/// Bytes of outputs that are held at once.
const LARGEST: usize = 4 << 30;
/// Lines that are no output, after which a file is none of outputs.
const MOST_DAMAGED: usize = 100_000;

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
    /// What stood before that and the model's tokenizer does not put there, if the file says so.
    pub prompt_begin: Option<String>,
    /// What it wrote.
    pub output: String,
    /// Why it ended, if the file says so.
    pub finish: Option<Finish>,
    /// Tokens of the output, if the file says so.
    pub new_tokens: Option<u64>,
}

impl Output {
    /// What the model read before its output, if the file says so: the prompt behind what began it.
    pub fn whole_prompt(&self) -> Option<String> {
        let begin = self.prompt_begin.as_deref().unwrap_or_default();
        self.prompt.as_ref().map(|prompt| format!("{begin}{}", prompt.text()))
    }
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
    /// What could not be made, as the file beside says: an answer came, and it held no usable text.
    pub failures: Vec<FailureRecord>,
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
    prompt_begin: Option<String>,
    finish: Option<Finish>,
    new_tokens: Option<u64>,
}

impl Outputs {
    /// Reads a file of samples, plain or gzipped, and the failures beside it. Lines of other programs need an `id` and an `output`;
    /// where they have no `pass`, the second line of a model with an id is the second pass.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, holds neither outputs nor failures, or holds more than is read at once.
    pub fn read(path: &Path) -> Result<Self, BenchmarkError> {
        let mut found = Self::default();
        let mut keys = BTreeSet::new();
        let mut places = BTreeSet::new();
        let mut passes: BTreeMap<(Option<String>, String), u32> = BTreeMap::new();
        let mut held = 0usize;
        for_each_line::<BenchmarkError>(path, |line| {
            let Ok(record) = serde_json::from_slice::<Line>(line.bytes) else {
                found.damaged_lines.push(line.number);
                return bounded(found.damaged_lines.len(), MOST_DAMAGED, || {
                    format!("{} has more than {MOST_DAMAGED} lines that are no output", path.display())
                });
            };
            let model = record.model.map(|model| model.name);
            let own = record.key.is_some();
            if let Some(key) = record.key
                && !keys.insert(key)
            {
                found.repeated_lines.push(line.number);
                return Ok(());
            }
            let seen = passes.entry((model.clone(), record.id.clone())).or_default();
            *seen += 1;
            let pass = record.pass.unwrap_or(*seen);
            // One's own samples of a question and pass differ in what their key holds; two of another program are the same.
            if !own && !places.insert((model.clone(), record.id.clone(), pass)) {
                found.repeated_lines.push(line.number);
                return Ok(());
            }
            held += record.output.len();
            bounded(held, LARGEST, || {
                format!("{} holds more than {LARGEST} bytes of outputs, and no more are read at once", path.display())
            })?;
            found.outputs.push(Output {
                pass,
                id: record.id,
                model,
                settings: record.settings,
                prompt: record.prompt,
                prompt_begin: record.prompt_begin,
                output: record.output,
                finish: record.finish,
                new_tokens: record.new_tokens,
            });
            Ok(())
        })?;
        found.failures = failures::read(path, &keys)?;
        if found.outputs.is_empty() && found.failures.is_empty() {
            return Err(BenchmarkError::Nothing {
                what: format!("{} holds no output; each line should be an object with \"id\" and \"output\"", path.display()),
            });
        }
        found
            .outputs
            .sort_by(|a, b| (&a.model, natural(&a.id), a.pass).cmp(&(&b.model, natural(&b.id), b.pass)));
        found
            .failures
            .sort_by(|a, b| (&a.model.name, natural(&a.id), a.pass).cmp(&(&b.model.name, natural(&b.id), b.pass)));
        Ok(found)
    }

    /// The models of the outputs, in order; an empty name for outputs that do not say.
    pub fn models(&self) -> Vec<String> {
        let outputs = self.outputs.iter().map(|output| output.model.clone().unwrap_or_default());
        let failures = self.failures.iter().map(|failure| failure.model.name.clone());
        let names: BTreeSet<String> = outputs.chain(failures).collect();
        names.into_iter().collect()
    }

    /// The outputs of one model only.
    pub fn of_model(mut self, name: &str) -> Self {
        self.outputs.retain(|output| output.model.as_deref().unwrap_or_default() == name);
        self.failures.retain(|failure| failure.model.name == name);
        self
    }
}

/// Refuses what is more than is read.
fn bounded(count: usize, most: usize, what: impl FnOnce() -> String) -> Result<(), BenchmarkError> {
    if count > most {
        Err(BenchmarkError::Nothing { what: what() })
    } else {
        Ok(())
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
        // Passes are counted for each model, and a pass that is named twice is repeated.
        let model = |name: &str, pass: &str| format!("{{\"id\": \"FOLIO/1\", \"output\": \"x\", \"model\": {{\"name\": \"{name}\"}}{pass}}}");
        let lines = [
            model("a", ""),
            model("b", ""),
            model("a", ""),
            model("b", ", \"pass\": 3"),
            model("b", ", \"pass\": 3"),
        ];
        std::fs::write(&path, lines.join("\n")).unwrap();
        let found = Outputs::read(&path).unwrap();
        let places: Vec<_> = (found.outputs.iter()).map(|output| (output.model.as_deref().unwrap(), output.pass)).collect();
        assert_eq!((places, found.repeated_lines), (vec![("a", 1), ("a", 2), ("b", 1), ("b", 3)], vec![5]));
        std::fs::write(&path, "{}\n").unwrap();
        assert!(Outputs::read(&path).unwrap_err().is_user_error());
    }
}
