//! The distilled model's own reasoning, annotated, and text that calibrates.

use std::path::{Path, PathBuf};

use cruxscope_miniature::puzzles::{Kind, label_trace};
use cruxscope_miniature::{Corpus, world};
use cruxscope_run::RunError;
use cruxscope_statistics::SplitMix;
use cruxscope_study::Label;
use serde::Serialize;

use crate::examination::{Examination, Question};
use crate::files;

/// Puzzles of each kind in the text that calibrates; training saw their like, so that nothing held out is used twice.
const CALIBRATION: usize = 16;
/// The seed of those puzzles, apart from every other.
const CALIBRATION_SEED: u64 = 0x00CA_11B8;

/// The files that every interpretation and compression reads.
#[derive(Clone, Debug)]
pub struct Material {
    /// Prompts and outputs.
    pub traces: PathBuf,
    /// Their sections.
    pub annotations: PathBuf,
    /// Text that calibrates, as traces.
    pub calibration: PathBuf,
    /// How well the words of the model's own reasoning were read, where that can be told.
    pub agreement: Agreement,
}

/// How far the annotator by words agrees with the generator of the puzzles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Agreement {
    /// Outputs that say word for word what the generator would have said.
    pub same_outputs: usize,
    /// Sentences in them.
    pub sentences: usize,
    /// Sentences of these that the annotator labelled as the generator does.
    pub same_labels: usize,
}

#[derive(Serialize)]
pub struct TraceLine<'a> {
    pub id: &'a str,
    pub prompt: &'a str,
    pub output: &'a str,
}

#[derive(Serialize)]
pub struct AnnotationLine<'a> {
    pub id: &'a str,
    pub annotated: String,
}

/// Writes traces, annotations and calibration text: the first `each` outputs of every kind that ended by themselves, right or
/// not, as the paper annotates what a model said and not what it should have said.
///
/// # Errors
/// When the disk refuses.
pub fn write(out: &Path, questions: &[Question], examination: &Examination, each: usize) -> Result<Material, RunError> {
    files::create(out)?;
    let material = Material {
        traces: out.join("traces.jsonl"),
        annotations: out.join("annotations.jsonl"),
        calibration: out.join("calibration.jsonl"),
        agreement: agreement(questions, examination),
    };
    let (mut traces, mut annotations) = (Vec::new(), Vec::new());
    for kind in Kind::ALL {
        let of_kind = questions.iter().zip(&examination.answers).filter(|(question, _)| question.kind == kind);
        for (_, answer) in of_kind.filter(|(_, answer)| answer.ended && answer.answer.is_some()).take(each) {
            traces.push(TraceLine {
                id: &answer.id,
                prompt: &answer.prompt,
                output: &answer.output,
            });
            annotations.push(AnnotationLine {
                id: &answer.id,
                annotated: annotated(&label_trace(answer.reasoning())),
            });
        }
    }
    files::write_lines(&material.traces, &traces)?;
    files::write_lines(&material.annotations, &annotations)?;
    calibration(&material.calibration)?;
    Ok(material)
}

/// An annotation as an annotator writes it.
pub fn annotated(sections: &[(Label, &str)]) -> String {
    let section = |(label, text): &(Label, &str)| format!("[\"{}\"]{text}[\"end-section\"]", label.name());
    sections.iter().map(section).collect::<Vec<_>>().join(" ")
}

fn calibration(file: &Path) -> Result<(), RunError> {
    let world = world();
    let mut generator = SplitMix::new(CALIBRATION_SEED);
    let mut lines = Vec::new();
    for place in 0..CALIBRATION {
        for kind in Kind::ALL {
            let puzzle = kind.draw(&world, &mut generator, false);
            let prompt = puzzle.question.clone() + Corpus::Distilled.opening();
            let output = puzzle.reasoned()[prompt.len()..].to_owned();
            lines.push((format!("{}-{place}", kind.name()), prompt, output));
        }
    }
    let lines: Vec<TraceLine> = lines.iter().map(|(id, prompt, output)| TraceLine { id, prompt, output }).collect();
    files::write_lines(file, &lines)
}

fn agreement(questions: &[Question], examination: &Examination) -> Agreement {
    let mut found = Agreement::default();
    for (question, answer) in questions.iter().zip(&examination.answers) {
        if answer.reasoning() != question.puzzle.trace() {
            continue;
        }
        found.same_outputs += 1;
        found.sentences += question.puzzle.spans.len();
        let read = label_trace(answer.reasoning());
        let same = read.iter().zip(&question.puzzle.spans).filter(|((read, _), (meant, _))| read == meant);
        found.same_labels += same.count();
    }
    found
}
