//! A model is asked all puzzles; what it answered is kept, so that a run that was stopped does not ask again.

use std::path::Path;
use std::sync::Arc;

use cruxscope_checkpoint::Checkpoint;
use cruxscope_miniature::Corpus;
use cruxscope_miniature::puzzles::{CLOSE, Kind, Puzzle, World};
use cruxscope_model::device::ChosenDevice;
use cruxscope_model::generation::Sampling;
use cruxscope_model::with_kernels;
use cruxscope_run::RunError;
use cruxscope_run::generate::{GenerateSettings, PlannedGeneration, TextSink, load};
use cruxscope_study::{Digest, DigestBuilder, folder};
use serde::{Deserialize, Serialize};

use crate::files;

/// Tokens that an answer may have, reasoning included; the longest in training has 192 with its question.
const MOST_TOKENS: usize = 224;
/// Texts that are written side by side.
const AT_ONCE: usize = 64;

/// A puzzle under its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The kind.
    pub kind: Kind,
    /// Such as `arithmetic-007`.
    pub id: String,
    /// The puzzle.
    pub puzzle: Puzzle,
}

/// So many held-out puzzles of each kind.
pub fn questions(seed: u64, each: usize) -> Vec<Question> {
    let world = World::new(0);
    let of = |kind: Kind| {
        let puzzles = kind.held_out(&world, seed, each).into_iter().enumerate();
        puzzles.map(move |(place, puzzle)| Question {
            kind,
            id: format!("{}-{:03}", kind.name(), place + 1),
            puzzle,
        })
    };
    Kind::ALL.into_iter().flat_map(of).collect()
}

/// What a model answered to one question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The question's name.
    pub id: String,
    /// What was asked.
    pub prompt: String,
    /// All that the model wrote.
    pub output: String,
    /// Its length in tokens.
    pub tokens: usize,
    /// Whether it ended by itself.
    pub ended: bool,
    /// The answer that stands after the reasoning.
    pub answer: Option<String>,
    /// Whether that is right.
    pub right: bool,
}

impl Answer {
    /// The reasoning, without its marks.
    pub fn reasoning(&self) -> &str {
        self.output.split_once(CLOSE).map_or(self.output.as_str(), |(reasoning, _)| reasoning)
    }
}

/// What a model answered, with what the answers depend on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examination {
    key: String,
    /// In the order of the questions.
    pub answers: Vec<Answer>,
}

/// Asks a model all questions, most probable token by most probable token; an answer file that belongs to the same model and
/// the same questions is taken instead.
///
/// # Errors
/// When the model cannot be run, the disk refuses, or `go_on` gives false.
pub fn examine(
    (model, corpus): (&Path, Corpus),
    device: &ChosenDevice,
    questions: &[Question],
    file: &Path,
    go_on: &mut dyn FnMut() -> bool,
) -> Result<Examination, RunError> {
    let checkpoint = Arc::new(Checkpoint::open(model)?);
    let key = key_of(&checkpoint, corpus, questions)?;
    let kept = std::fs::read(file).ok().and_then(|bytes| serde_json::from_slice::<Examination>(&bytes).ok());
    if let Some(kept) = kept.filter(|kept| kept.key == key) {
        return Ok(kept);
    }
    let settings = GenerateSettings {
        prompts: questions.iter().map(|question| question.puzzle.question.clone() + corpus.opening()).collect(),
        samples: 1,
        sampling: Sampling::GREEDY,
        seed: 0,
        most_tokens: MOST_TOKENS,
        stop: Vec::new(),
        past_the_end: false,
        at_once: AT_ONCE,
    };
    let planned = PlannedGeneration::new(&checkpoint, &settings)?;
    let mut stopper = Stopper { go_on, stopped: false };
    let (outputs, _) = with_kernels!(device.clone(), |kernels| {
        let generator = load(checkpoint.clone(), kernels)?;
        planned.run(&generator, &mut stopper)
    })?;
    if stopper.stopped {
        return Err(files::cancelled());
    }
    let answers = questions.iter().zip(outputs).zip(&settings.prompts).map(|((question, output), prompt)| {
        // Base is given the end of the reasoning with its prompt.
        let whole = format!("{prompt}{}", output.text);
        let answer = cruxscope_miniature::puzzles::answer_in(&whole).map(str::to_owned);
        Answer {
            id: question.id.clone(),
            prompt: prompt.clone(),
            tokens: output.tokens.len(),
            ended: output.finish == "stop",
            right: answer.as_deref() == Some(question.puzzle.answer.as_str()),
            output: output.text,
            answer,
        }
    });
    let examination = Examination {
        key,
        answers: answers.collect(),
    };
    files::write_json(file, &examination)?;
    Ok(examination)
}

/// Covers the model's files, the questions and how they are asked.
fn key_of(checkpoint: &Checkpoint, corpus: Corpus, questions: &[Question]) -> Result<String, RunError> {
    let mut key = DigestBuilder::default();
    key.update(format!("{} {} {MOST_TOKENS}", env!("CARGO_PKG_VERSION"), corpus.name()).as_bytes());
    for path in checkpoint.files() {
        key.update(folder::digest_of_file(&path)?.sha256.0.as_bytes());
    }
    for question in questions {
        key.update(
            Digest::of(format!("{}\n{}\n{}", question.id, question.puzzle.question, question.puzzle.answer).as_bytes())
                .0
                .as_bytes(),
        );
    }
    Ok(key.finish().0)
}

/// Hears nothing but the wish to stop.
struct Stopper<'a> {
    go_on: &'a mut dyn FnMut() -> bool,
    stopped: bool,
}

impl TextSink for Stopper<'_> {
    fn text(&mut self, _: usize, _: &str) {}

    fn stop(&mut self) -> bool {
        self.stopped |= !(self.go_on)();
        self.stopped
    }
}
