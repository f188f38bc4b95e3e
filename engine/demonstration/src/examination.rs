//! A model is asked all puzzles; what it answered is kept, so that a run that was stopped does not ask again.

use std::path::Path;
use std::sync::Arc;

use cruxscope_checkpoint::Checkpoint;
use cruxscope_miniature::puzzles::{CLOSE, Kind, Puzzle};
use cruxscope_miniature::{Corpus, world};
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
    let world = world();
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

impl Examination {
    /// Reads a file of answers, if it is there and has this key.
    pub fn read(file: &Path, key: &str) -> Option<Self> {
        let found: Self = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
        (found.key == key).then_some(found)
    }
}

/// Asks a model all questions, most probable token by most probable token; the answers carry the key.
///
/// # Errors
/// When the model cannot be run, or `go_on` gives false.
pub fn examine(
    (model, corpus): (&Path, Corpus),
    key: String,
    device: &ChosenDevice,
    questions: &[Question],
    go_on: &mut dyn FnMut() -> bool,
) -> Result<Examination, RunError> {
    let checkpoint = Arc::new(Checkpoint::open(model)?);
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
    Ok(Examination {
        key,
        answers: answers.collect(),
    })
}

/// Which model it is, by the digests of its files.
///
/// # Errors
/// When it cannot be read.
pub fn identity(model: &Path) -> Result<String, RunError> {
    let mut identity = DigestBuilder::default();
    for path in Checkpoint::open(model)?.files() {
        identity.update(folder::digest_of_file(&path)?.sha256.0.as_bytes());
    }
    Ok(identity.finish().0)
}

/// Covers which model it is, the questions and how they are asked.
pub fn examination_key(identity: &str, corpus: Corpus, questions: &[Question]) -> String {
    let mut key = DigestBuilder::default();
    key.update(format!("{} {} {MOST_TOKENS} {identity}", env!("CARGO_PKG_VERSION"), corpus.name()).as_bytes());
    for question in questions {
        key.update(
            Digest::of(format!("{}\n{}\n{}", question.id, question.puzzle.question, question.puzzle.answer).as_bytes())
                .0
                .as_bytes(),
        );
    }
    key.finish().0
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
