//! The trained model with traces of its puzzles, to try something on without the whole demonstration.

use std::path::{Path, PathBuf};

use cruxscope_miniature::puzzles::Kind;
use cruxscope_miniature::{Corpus, embedded, world};
use cruxscope_run::RunError;
use cruxscope_statistics::SplitMix;
use cruxscope_study::Label;

use crate::files;
use crate::material::{AnnotationLine, TraceLine, annotated};

/// The seed of the puzzles.
const SEED: u64 = 0x5A_3B1E;

/// Where a model and its traces were written.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The distilled model, as a Hugging Face folder.
    pub model: PathBuf,
    /// Prompts and outputs.
    pub traces: PathBuf,
    /// Their sections.
    pub annotations: PathBuf,
}

/// Writes the distilled model, and `each` puzzles of every kind with the reasoning that it was trained to give.
///
/// # Errors
/// When the disk refuses.
pub fn write(folder: &Path, each: usize) -> Result<Sample, RunError> {
    let sample = Sample {
        model: folder.join("distilled"),
        traces: folder.join("traces.jsonl"),
        annotations: folder.join("annotations.jsonl"),
    };
    files::create(&sample.model)?;
    for (name, bytes) in embedded(Corpus::Distilled) {
        files::write(&sample.model.join(name), bytes)?;
    }
    let (world, mut generator) = (world(), SplitMix::new(SEED));
    let mut puzzles = Vec::new();
    for kind in Kind::ALL {
        for place in 0..each {
            let puzzle = kind.draw(&world, &mut generator, true);
            let prompt = puzzle.question.clone() + Corpus::Distilled.opening();
            let output = puzzle.reasoned()[prompt.len()..].to_owned();
            let sections: Vec<(Label, &str)> = puzzle.spans.iter().map(|(label, text)| (*label, text.as_str())).collect();
            puzzles.push((format!("{}-{place}", kind.name()), prompt, output, annotated(&sections)));
        }
    }
    let traces: Vec<TraceLine<'_>> = puzzles.iter().map(|(id, prompt, output, _)| TraceLine { id, prompt, output }).collect();
    let annotations: Vec<AnnotationLine<'_>> = (puzzles.iter())
        .map(|(id, _, _, annotated)| AnnotationLine {
            id,
            annotated: annotated.clone(),
        })
        .collect();
    files::write_lines(&sample.traces, &traces)?;
    files::write_lines(&sample.annotations, &annotations)?;
    Ok(sample)
}
