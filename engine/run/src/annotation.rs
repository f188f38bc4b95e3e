//! Annotation from end to end: a file of outputs and an endpoint into a folder that `interpret` reads.
//!
//! The folder holds `windows.jsonl` (what the annotator answered, window by window, resumable), `traces.jsonl` and
//! `annotations.jsonl`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cruxscope_benchmark::BenchmarkError;
use cruxscope_benchmark::annotation::{AnnotatedOutput, Subject, assemble, plan};
use cruxscope_benchmark::datasets::Dataset;
use cruxscope_benchmark::endpoint::{Endpoint, EndpointSettings};
use cruxscope_benchmark::generator::SamplingSettings;
use cruxscope_benchmark::samples::{Opened, Outputs, SampleLog};
use cruxscope_benchmark::sampling::{SamplingPlan, SamplingReport};
use cruxscope_study::folder::write_atomically;
use cruxscope_trace::lines;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::sampling::collect;
use crate::{Observer, RunError};

/// What the annotator answered, window by window.
pub const WINDOWS_FILE: &str = "windows.jsonl";
/// The traces that were annotated.
pub const TRACES_FILE: &str = "traces.jsonl";
/// Their annotations.
pub const ANNOTATIONS_FILE: &str = "annotations.jsonl";

/// What a run is asked to do.
#[derive(Clone, Debug)]
pub struct AnnotationConfiguration {
    /// The outputs.
    pub subjects: Vec<Subject>,
    /// Who annotates.
    pub endpoint: EndpointSettings,
    /// How its answers are sampled.
    pub sampling: SamplingSettings,
    /// Characters of an output shown at once.
    pub window: usize,
    /// The seed.
    pub seed: u64,
    /// Windows under way at once.
    pub parallel: usize,
    /// The folder.
    pub out: PathBuf,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct AnnotationOutcome {
    /// How the windows went.
    pub report: SamplingReport,
    /// The annotations that are whole.
    pub annotations: Vec<AnnotatedOutput>,
    /// Traces of which a window is missing.
    pub missing: Vec<String>,
}

/// A run whose plan is known and whose folder is open.
#[derive(Debug)]
pub struct PlannedAnnotation {
    /// The windows.
    pub plan: SamplingPlan,
    /// What was there.
    pub opened: Opened,
    subjects: Vec<Subject>,
    endpoint: Endpoint,
    log: SampleLog,
    parallel: usize,
    out: PathBuf,
}

/// The outputs of one pass that can be annotated: with the prompt that the file names, or else the dataset's raw one. Returns
/// also the ids for which neither knows a prompt.
pub fn subjects(outputs: &Outputs, datasets: &[Dataset], pass: u32) -> (Vec<Subject>, Vec<String>) {
    let questions = datasets.iter().flat_map(|dataset| &dataset.questions);
    let raw: BTreeMap<&str, String> = questions.map(|question| (question.id.as_str(), question.raw_prompt())).collect();
    let (mut found, mut without, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for output in outputs.outputs.iter().filter(|output| output.pass == pass) {
        match output.whole_prompt().or_else(|| raw.get(output.id.as_str()).cloned()) {
            Some(prompt) if seen.insert(output.id.clone()) => found.push(Subject {
                id: output.id.clone(),
                prompt,
                output: output.output.clone(),
            }),
            Some(_) => {}
            None => without.push(output.id.clone()),
        }
    }
    (found, without)
}

impl PlannedAnnotation {
    /// Cuts outputs into windows and opens the folder.
    ///
    /// # Errors
    ///
    /// If a setting makes no sense, there is nothing to annotate, or another run writes the folder.
    pub fn new(configuration: AnnotationConfiguration) -> Result<Self, RunError> {
        let endpoint = Endpoint::new(configuration.endpoint)?;
        let plan = plan(
            &endpoint,
            &configuration.subjects,
            &configuration.sampling,
            configuration.window,
            configuration.seed,
        );
        if plan.wanted.is_empty() {
            return Err(BenchmarkError::Nothing {
                what: "there is no output to annotate".into(),
            }
            .into());
        }
        let files = [TRACES_FILE, ANNOTATIONS_FILE].map(|name| configuration.out.join(name));
        let windows = configuration.out.join(WINDOWS_FILE);
        if !windows.exists()
            && let Some(path) = files.iter().find(|path| path.exists())
        {
            return Err(foreign(path, "no run of annotation has written into its folder"));
        }
        let (log, opened) = SampleLog::open(&windows)?;
        let (known, _) = assemble(&plan, &configuration.subjects, log.samples()?);
        is_own_traces(&files[0])?;
        is_own_annotations(&files[1], &known)?;
        Ok(Self {
            plan,
            opened,
            subjects: configuration.subjects,
            endpoint,
            log,
            parallel: configuration.parallel.max(1),
            out: configuration.out,
        })
    }

    /// Asks for the windows that are missing and writes traces and annotations.
    ///
    /// # Errors
    ///
    /// If something cannot be written. What the endpoint refuses is part of the outcome.
    pub fn run(self, observer: &mut dyn Observer) -> Result<AnnotationOutcome, RunError> {
        let report = collect(&self.plan, &self.endpoint, &self.log, &self.opened, self.parallel, observer)?;
        let answers = self.log.samples()?;
        let (annotations, missing) = assemble(&self.plan, &self.subjects, answers);
        let absent: BTreeSet<&str> = missing.iter().map(String::as_str).collect();
        let traces = self
            .subjects
            .iter()
            .filter(|subject| !absent.contains(subject.id.as_str()))
            .map(|subject| TraceLine {
                id: &subject.id,
                prompt: &subject.prompt,
                output: &subject.output,
            });
        write_lines(&self.out.join(TRACES_FILE), traces)?;
        write_lines(&self.out.join(ANNOTATIONS_FILE), annotations.iter())?;
        Ok(AnnotationOutcome { report, annotations, missing })
    }
}

#[derive(Serialize)]
struct TraceLine<'a> {
    id: &'a str,
    prompt: &'a str,
    output: &'a str,
}

fn foreign(path: &Path, why: &'static str) -> RunError {
    RunError::Foreign { path: path.to_owned(), why }
}

/// The lines of a file that an earlier run may have written; none where it is not there.
fn lines_of<Record: DeserializeOwned>(path: &Path) -> Result<Vec<Record>, RunError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
        Err(_) => return Err(foreign(path, "it cannot be read as text")),
    };
    let records: Result<Vec<Record>, _> = text.lines().map(serde_json::from_str).collect();
    records.map_err(|_| foreign(path, "its lines are not those that a run of annotation writes"))
}

/// Refuses traces that no run of annotation has written.
fn is_own_traces(path: &Path) -> Result<(), RunError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "the fields are there to be required")]
    struct Written {
        id: String,
        prompt: String,
        output: String,
    }
    lines_of::<Written>(path).map(|_| ())
}

/// Refuses annotations that no run has written, or that somebody has corrected since: `known` is what the answers in the folder make.
fn is_own_annotations(path: &Path, known: &[AnnotatedOutput]) -> Result<(), RunError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Written {
        id: String,
        annotated: String,
        #[serde(default)]
        windows_cut: usize,
    }
    let known: BTreeMap<&str, &AnnotatedOutput> = known.iter().map(|annotation| (annotation.id.as_str(), annotation)).collect();
    for written in lines_of::<Written>(path)? {
        let is_other = |known: &&AnnotatedOutput| known.annotated != written.annotated || known.windows_cut != written.windows_cut;
        if known.get(written.id.as_str()).is_some_and(is_other) {
            return Err(foreign(path, "an annotation in it was changed after it was written"));
        }
    }
    Ok(())
}

fn write_lines(path: &Path, records: impl Iterator<Item = impl Serialize>) -> Result<(), RunError> {
    let mut bytes = Vec::new();
    for record in records {
        serde_json::to_writer(&mut bytes, &record).map_err(|error| RunError::Io {
            attempt: "encode",
            path: path.to_owned(),
            source: error.into(),
        })?;
        bytes.push(b'\n');
    }
    Ok(write_atomically(path, &bytes)?)
}

/// Reads annotations of `{"id", "annotated"}` for comparing and checking.
///
/// # Errors
///
/// If the file cannot be read.
pub fn read_annotations(path: &Path) -> Result<Vec<AnnotatedOutput>, RunError> {
    let mut annotations = Vec::new();
    lines::for_each::<AnnotatedOutput, RunError>(path, r#"{"id": "…", "annotated": "…"}"#, |_, annotation| {
        annotations.push(annotation);
        Ok(())
    })?;
    Ok(annotations)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_have_their_own_prompt_or_the_datasets() {
        let folder = tempfile::tempdir().unwrap();
        let (data, samples) = (folder.path().join("data.jsonl"), folder.path().join("samples.jsonl"));
        std::fs::write(&data, r#"{"input": "When?", "target": "(A)"}"#).unwrap();
        let lines = [
            r#"{"id": "temporal_sequences/0", "output": "a"}"#,
            r#"{"id": "temporal_sequences/0", "output": "second pass"}"#,
            r#"{"id": "temporal_sequences/1", "output": "b"}"#,
            r#"{"id": "mine/7", "prompt": "Why?\n", "prompt_begin": "<s>", "output": "c"}"#,
        ];
        std::fs::write(&samples, lines.join("\n")).unwrap();
        let outputs = Outputs::read(&samples).unwrap();
        let datasets = [Dataset::read(&data).unwrap()];
        let (found, without) = subjects(&outputs, &datasets, 1);
        let prompts: Vec<(&str, &str, &str)> = found
            .iter()
            .map(|subject| (subject.id.as_str(), subject.prompt.as_str(), subject.output.as_str()))
            .collect();
        assert_eq!(without, ["temporal_sequences/1"]);
        assert_eq!(prompts.len(), 2);
        assert!(prompts.contains(&("mine/7", "<s>Why?\n", "c")), "what began the prompt stands before it");
        assert!(
            found
                .iter()
                .any(|subject| subject.prompt.ends_with("When?\n<think>\n") && subject.output == "a")
        );
        assert_eq!(subjects(&outputs, &datasets, 2).0[0].output, "second pass");
    }

    #[test]
    fn files_of_others_and_corrected_annotations_are_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let (traces, annotations) = (folder.path().join(TRACES_FILE), folder.path().join(ANNOTATIONS_FILE));
        assert!(
            is_own_traces(&traces).is_ok() && is_own_annotations(&annotations, &[]).is_ok(),
            "nothing is there"
        );
        let annotated = |text: &str| AnnotatedOutput {
            id: "FOLIO/1".into(),
            annotated: text.into(),
            windows_cut: 0,
        };
        write_lines(&annotations, std::iter::once(annotated("a"))).unwrap();
        assert!(is_own_annotations(&annotations, &[annotated("a")]).is_ok() && is_own_annotations(&annotations, &[]).is_ok());
        let refused = is_own_annotations(&annotations, &[annotated("b")]).unwrap_err().to_string();
        assert!(refused.contains("was changed after it was written"), "{refused}");
        for other in ["years of work\n", "{\"id\": \"1\", \"annotated\": \"a\", \"output\": \"a\", \"note\": 1}\n"] {
            std::fs::write(&traces, other).unwrap();
            std::fs::write(&annotations, other).unwrap();
            assert!(matches!(is_own_traces(&traces), Err(RunError::Foreign { .. })));
            assert!(matches!(is_own_annotations(&annotations, &[]), Err(RunError::Foreign { .. })));
        }
    }

    #[test]
    fn what_is_written_is_what_interpret_reads() {
        let folder = tempfile::tempdir().unwrap();
        let (traces, annotations) = (folder.path().join(TRACES_FILE), folder.path().join(ANNOTATIONS_FILE));
        let line = TraceLine {
            id: "FOLIO/1",
            prompt: "é?\n",
            output: "Wait.",
        };
        write_lines(&traces, std::iter::once(line)).unwrap();
        let annotated = AnnotatedOutput {
            id: "FOLIO/1".into(),
            annotated: "[\"backtracking\"] Wait. [\"end-section\"]".into(),
            windows_cut: 1,
        };
        write_lines(&annotations, std::iter::once(&annotated)).unwrap();
        assert_eq!(read_annotations(&annotations).unwrap(), [annotated]);
        let set = cruxscope_trace::TraceSet::read(&traces, &annotations).unwrap();
        assert_eq!((set.instances.len(), set.unannotated.len()), (1, 0));
    }
}
