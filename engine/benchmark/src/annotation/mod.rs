//! Annotation: an endpoint marks the behaviours in a model's outputs (paper, section 2.2 and appendix G).
//!
//! The annotator is asked with a prompt of our own, window by window where an output is long, and answers with text of the
//! form `["label"] … ["end-section"]`. What it says is read tolerantly, and what had to be tolerated is listed
//! ([`Repairs`]). Two annotators can be compared ([`agreement`]), and a person can check a sample ([`CheckSheet`]).

mod agreement;
mod check_sheet;
mod prompt;
mod repairs;
mod windows;

pub use agreement::{Agreement, LabelAgreement, agreement};
pub use check_sheet::{CheckRow, CheckSheet, RatingComparison, ratings};
pub use prompt::{PROMPT_VERSION, annotation_prompt};
pub use repairs::Repairs;
pub use windows::windows;

use std::collections::BTreeMap;

use cruxscope_trace::{Alignment, ParsedAnnotation, Reading, align_characters};
use serde::{Deserialize, Serialize};

use crate::generator::{Finish, Generator, SamplingSettings};
use crate::prompts::{Message, Prompt};
use crate::samples::{Sample, SampleKey, SampleOrigin};
use crate::sampling::{SamplingPlan, WantedSample};

/// Characters of an output that an annotator is shown at once.
pub const WINDOW: usize = 12_000;

/// A trace that is to be annotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The instance.
    pub id: String,
    /// What the model was given.
    pub prompt: String,
    /// What it wrote.
    pub output: String,
}

/// The annotation of one trace: the windows' answers, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnnotatedOutput {
    /// The instance.
    pub id: String,
    /// What the annotator wrote.
    pub annotated: String,
    /// Windows whose answer ran into the limit of tokens: labels may be missing at their ends.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub windows_cut: usize,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// What a set of annotations amounts to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AnnotationSummary {
    /// Annotations.
    pub annotations: usize,
    /// Sections that were read, by label.
    pub sections: BTreeMap<String, usize>,
    /// Sections whose text was found in the trace, by label.
    pub aligned: BTreeMap<String, usize>,
    /// What had to be tolerated, and what could not be.
    pub repairs: Repairs,
}

/// How the answers of an annotator are sampled where nothing else is said: long enough for a whole window with its tags, and
/// at the temperature of the published annotations, which is the annotator's default.
pub fn annotator_settings(temperature: f64) -> SamplingSettings {
    SamplingSettings {
        temperature,
        top_p: 1.0,
        max_new_tokens: 16_384,
        ..SamplingSettings::default()
    }
}

/// The plan of an annotation: one sample for each window of each trace, `id#window` from 0. It is carried out like any other,
/// and goes on where it was.
pub fn plan(generator: &dyn Generator, subjects: &[Subject], settings: &SamplingSettings, window: usize, seed: u64) -> SamplingPlan {
    let (model, engine) = (generator.model(), generator.engine());
    let mut wanted = Vec::new();
    for subject in subjects {
        for (number, range) in windows(&subject.output, window).into_iter().enumerate() {
            let prompt = Prompt::Messages(vec![Message::user(annotation_prompt(&subject.prompt, &subject.output, range))]);
            let id = format!("{}#{number}", subject.id);
            let origin = SampleOrigin {
                model: &model,
                engine: &engine,
                id: &id,
                prompt: &prompt,
                settings,
                pass: 1,
                seed,
            };
            let key = origin.key();
            wanted.push(WantedSample {
                key,
                id,
                prompt,
                pass: 1,
                seed,
            });
        }
    }
    SamplingPlan {
        model,
        engine,
        settings: settings.clone(),
        wanted,
    }
}

/// Puts the windows' answers together. Traces of which a window is missing are left out, and returned by id.
pub fn assemble(plan: &SamplingPlan, subjects: &[Subject], answers: impl IntoIterator<Item = Sample>) -> (Vec<AnnotatedOutput>, Vec<String>) {
    let mut by_key: BTreeMap<SampleKey, Sample> = answers.into_iter().map(|sample| (sample.key.clone(), sample)).collect();
    let mut by_subject: BTreeMap<&str, Vec<Option<Sample>>> = BTreeMap::new();
    for wanted in &plan.wanted {
        let subject = wanted.id.rsplit_once('#').map_or(wanted.id.as_str(), |(id, _)| id);
        by_subject.entry(subject).or_default().push(by_key.remove(&wanted.key));
    }
    let mut annotated = Vec::new();
    let mut missing = Vec::new();
    for subject in subjects {
        let windows = by_subject.remove(subject.id.as_str()).unwrap_or_default();
        let whole: Option<Vec<Sample>> = windows.into_iter().collect();
        match whole {
            Some(windows) => annotated.push(AnnotatedOutput {
                id: subject.id.clone(),
                annotated: windows
                    .iter()
                    .map(|window| without_thoughts(&window.output).trim())
                    .collect::<Vec<_>>()
                    .join("\n\n"),
                windows_cut: windows.iter().filter(|window| window.finish == Finish::Length).count(),
            }),
            None => missing.push(subject.id.clone()),
        }
    }
    (annotated, missing)
}

/// What an annotator that thinks itself says in the end.
fn without_thoughts(answer: &str) -> &str {
    answer.get(crate::scoring::extract::tail(answer)).unwrap_or(answer)
}

/// Reads annotations and looks for their sections in the traces.
pub fn summarise(subjects: &[Subject], annotations: &[AnnotatedOutput], reading: Reading, alignment: Alignment) -> AnnotationSummary {
    let by_id: BTreeMap<&str, &Subject> = subjects.iter().map(|subject| (subject.id.as_str(), subject)).collect();
    let mut summary = AnnotationSummary {
        annotations: annotations.len(),
        ..AnnotationSummary::default()
    };
    for annotation in annotations {
        let parsed = ParsedAnnotation::read(&annotation.annotated, reading);
        for section in &parsed.sections {
            *summary.sections.entry(section.label.name().to_owned()).or_default() += 1;
        }
        summary.repairs.add(&annotation.id, &annotation.annotated, &parsed);
        if let Some(subject) = by_id.get(annotation.id.as_str()) {
            for segment in align_characters(&subject.prompt, &subject.output, &parsed.sections, alignment).segments {
                *summary.aligned.entry(segment.label.name().to_owned()).or_default() += 1;
            }
        }
    }
    summary
}
