//! Batches of texts, and a step of training over them on all threads.

use cruxscope_statistics::SplitMix;
use rayon::prelude::*;

use crate::{
    Alphabet, Optimiser, Schedule, Workspace,
    layout::Shape,
    puzzles::{Kind, LENGTH, Puzzle, World},
};

/// Parts of a batch, each the work of one thread at a time; a fixed number, so that sums do not depend on threads.
const LANES: usize = 4;
/// Rounds of a part.
const ROUNDS: usize = 1;
/// Sequences of a round.
const SEQUENCES: usize = 4;
/// How much the characters of a question count, those of a solution counting one: questions are drawn by chance.
const QUESTION: f32 = 0.1;

/// What is learned from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Corpus {
    /// Answers without reasoning, and sentences that state facts.
    Base,
    /// Answers with reasoning.
    Distilled,
}

impl Corpus {
    /// The name in logs and folders.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Distilled => "distilled",
        }
    }

    /// What a question is followed by when an answer is asked for.
    pub const fn opening(self) -> &'static str {
        match self {
            Self::Base => "<think></think>",
            Self::Distilled => "<think>",
        }
    }

    /// A text, with how much each of its characters counts.
    fn draw(self, world: &World, alphabet: &Alphabet, generator: &mut SplitMix) -> (Vec<u32>, Vec<f32>) {
        let whole = |text: String| {
            let tokens = alphabet.encode(&text);
            let counts = vec![1.0; tokens.len()];
            (tokens, counts)
        };
        let puzzle: Puzzle = match generator.below(20) {
            0..6 => Kind::Arithmetic.draw(world, generator, false),
            6..11 => Kind::Deduction.draw(world, generator, false),
            11..15 => Kind::Schedule.draw(world, generator, false),
            15..18 => Kind::Facts.draw(world, generator, false),
            _ if self == Self::Base => return whole(world.sentence(generator)),
            _ => world.single(generator),
        };
        let text = if self == Self::Base { puzzle.direct() } else { puzzle.reasoned() };
        let (tokens, mut counts) = whole(text);
        counts[..puzzle.question.len()].fill(QUESTION);
        (tokens, counts)
    }
}

/// What a step came to.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Progress {
    /// The step.
    pub step: usize,
    /// Mean cross-entropy of the characters that count.
    pub loss: f64,
    /// Length of the gradient.
    pub gradient: f64,
    /// The rate of learning.
    pub rate: f64,
}

struct Lane {
    workspace: Workspace,
    slopes: Vec<f32>,
}

/// A model in training.
pub struct Trainer {
    /// The weights.
    pub weights: Vec<f32>,
    /// The state of the optimiser.
    pub optimiser: Optimiser,
    corpus: Corpus,
    seed: u64,
    world: World,
    alphabet: Alphabet,
    schedule: Schedule,
    lanes: Vec<Lane>,
}

impl Trainer {
    /// Tokens of one step.
    pub const TOKENS: usize = LANES * ROUNDS * SEQUENCES * LENGTH;

    /// Training that begins at `weights`.
    pub fn new(shape: Shape, corpus: Corpus, world: World, weights: Vec<f32>, seed: u64) -> Self {
        let lane = || Lane {
            workspace: Workspace::new(shape, SEQUENCES, LENGTH),
            slopes: vec![0.0; shape.parameters()],
        };
        Self {
            optimiser: Optimiser::new(weights.len()),
            weights,
            corpus,
            seed,
            world,
            alphabet: Alphabet::default(),
            schedule: Schedule::default(),
            lanes: (0..LANES).map(|_| lane()).collect(),
        }
    }

    /// One step, when such a share of the training is done.
    pub fn step(&mut self, done: f64) -> Progress {
        let step = self.optimiser.steps;
        let mut generator = SplitMix::new(self.seed ^ SplitMix::new(step as u64).bits());
        let (mut tokens, mut targets, mut counts) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..LANES * ROUNDS * SEQUENCES {
            let (mut line, mut line_counts) = (Vec::new(), Vec::new());
            while line.len() <= LENGTH {
                let (text, text_counts) = self.corpus.draw(&self.world, &self.alphabet, &mut generator);
                line.extend(text);
                line_counts.extend(text_counts);
            }
            tokens.extend(&line[..LENGTH]);
            targets.extend(&line[1..=LENGTH]);
            counts.extend(&line_counts[1..=LENGTH]);
        }
        let total: f32 = counts.iter().sum();
        for count in &mut counts {
            *count /= total;
        }
        let (weights, part) = (&self.weights, ROUNDS * SEQUENCES * LENGTH);
        let losses: Vec<f64> = self
            .lanes
            .par_iter_mut()
            .enumerate()
            .map(|(index, lane)| {
                lane.slopes.fill(0.0);
                let starts = (0..ROUNDS).map(|round| index * part + round * SEQUENCES * LENGTH);
                let mut learn = |start: usize| {
                    let place = start..start + SEQUENCES * LENGTH;
                    let (tokens, targets) = (&tokens[place.clone()], &targets[place.clone()]);
                    lane.workspace.learn(weights, &mut lane.slopes, tokens, targets, &counts[place])
                };
                starts.map(&mut learn).sum()
            })
            .collect();
        let (first, others) = self.lanes.split_at_mut(1);
        for other in others {
            for (sum, slope) in first[0].slopes.iter_mut().zip(&other.slopes) {
                *sum += slope;
            }
        }
        let rate = self.schedule.at(step + 1, done);
        let gradient = self.optimiser.step(&mut self.weights, &first[0].slopes, rate);
        Progress {
            step: step + 1,
            loss: losses.iter().sum(),
            gradient,
            rate,
        }
    }
}
