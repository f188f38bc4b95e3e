//! A whole training: a number of steps from given weights, saved as it goes, so that a stopped one goes on to the same weights.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{
    Alphabet, Corpus, MiniatureError, Progress, Trainer, accuracy, export,
    layout::Shape,
    puzzles::{Kind, Level, World},
    restore, store,
};

/// The state to go on from, in the folder of a model.
pub const STATE_FILE: &str = "state.safetensors";
/// What was seen on the way, one line of JSON each.
pub const LOG_FILE: &str = "log.jsonl";
/// The settings that give the same weights again.
pub const SETTINGS_FILE: &str = "training.json";
/// Steps from one evaluation to the next, and between states kept.
const STRIDE: usize = 250;

/// What is to be trained.
#[derive(Clone, Debug)]
pub struct Training {
    /// What is learned from.
    pub corpus: Corpus,
    /// How hard the puzzles are.
    pub level: Level,
    /// Steps in all.
    pub steps: usize,
    /// The seed of the texts, and of the first weights.
    pub seed: u64,
    /// The folder of the model; a state in it is gone on from.
    pub out: PathBuf,
    /// The state whose weights are begun at; without one they are drawn.
    pub from: Option<PathBuf>,
    /// Puzzles of each kind in the last evaluation.
    pub puzzles: usize,
}

/// What a training tells on the way.
#[derive(Clone, Debug)]
pub enum Report {
    /// A step was made.
    Step(Progress),
    /// Shares of puzzles solved, by kind.
    Evaluation(Value),
}

impl Training {
    /// Trains to the end, or until `tell` gives false; writes state, log, settings and the model as a Hugging Face folder.
    /// Gives whether the end was reached.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or written, or a state is of another shape.
    pub fn run(&self, mut tell: impl FnMut(Report) -> bool) -> Result<bool, MiniatureError> {
        let (alphabet, world) = (Alphabet::default(), World::of(0, self.level));
        let shape = Shape::miniature(alphabet.size());
        fs::create_dir_all(&self.out)?;
        let state = self.out.join(STATE_FILE);
        let begin = match &self.from {
            Some(file) => fitting(file, &shape)?.0,
            None => shape.initial(self.seed),
        };
        let mut trainer = Trainer::new(shape, self.corpus, world.clone(), begin, self.seed);
        if state.exists() {
            (trainer.weights, trainer.optimiser) = fitting(&state, &shape)?;
        }
        fs::write(self.out.join(SETTINGS_FILE), serde_json::to_string_pretty(&self.settings(&shape))? + "\n")?;
        self.forget_later(trainer.optimiser.steps)?;
        let mut log = fs::File::options().create(true).append(true).open(self.out.join(LOG_FILE))?;
        let evaluate = |weights: &[f32], count: usize, held_out: bool| -> Value {
            let asked = (self.corpus, held_out, count);
            Kind::ALL
                .iter()
                .map(|kind| (kind.name(), accuracy(shape, weights, &world, *kind, asked)))
                .collect()
        };
        while trainer.optimiser.steps < self.steps {
            let progress = trainer.step(trainer.optimiser.steps as f64 / self.steps as f64);
            if progress.step.is_multiple_of(25) {
                let mut line = serde_json::to_value(progress)?;
                line["tokens"] = (progress.step * Trainer::TOKENS).into();
                writeln!(log, "{line}")?;
            }
            let goes_on = tell(Report::Step(progress));
            let ends = progress.step == self.steps;
            if ends || !goes_on || progress.step.is_multiple_of(STRIDE) {
                store(&state, &trainer.weights, &trainer.optimiser)?;
                export(&self.out, &shape, &alphabet, &trainer.weights)?;
            }
            if ends || progress.step.is_multiple_of(STRIDE) {
                let count = if ends { self.puzzles } else { 25 };
                let mut line = json!({"step": progress.step, "held_out": evaluate(&trainer.weights, count, true)});
                if ends {
                    line["trained"] = evaluate(&trainer.weights, count, false);
                }
                writeln!(log, "{line}")?;
                tell(Report::Evaluation(line));
            }
            if !goes_on {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Lines of the log that a stopped training wrote after the state it goes on from would stand there twice.
    fn forget_later(&self, steps: usize) -> Result<(), MiniatureError> {
        let file = self.out.join(LOG_FILE);
        let Ok(text) = fs::read_to_string(&file) else { return Ok(()) };
        let earlier = |line: &&str| {
            let step = serde_json::from_str::<Value>(line).ok().and_then(|line| line["step"].as_u64());
            step.is_some_and(|step| step as usize <= steps)
        };
        let kept: String = text.lines().filter(earlier).map(|line| format!("{line}\n")).collect();
        fs::write(file, kept)?;
        Ok(())
    }

    fn settings(&self, shape: &Shape) -> Value {
        json!({
            "corpus": self.corpus,
            "level": self.level,
            "steps": self.steps,
            "seed": self.seed,
            "tokens_per_step": Trainer::TOKENS,
            "begun_at": self.from.as_ref().map(|_| "the weights of base"),
            "parameters": shape.parameters(),
            "optimiser": "AdamW, rate 0.003 after 100 steps of rise, falling over the last 40 % of the steps, decay 0.05, betas 0.9 and 0.95, gradient at most 1 long",
            "version": env!("CARGO_PKG_VERSION")
        })
    }
}

fn fitting(file: &Path, shape: &Shape) -> Result<(Vec<f32>, crate::Optimiser), MiniatureError> {
    let read = restore(file)?;
    if read.0.len() != shape.parameters() {
        let (found, wanted) = (read.0.len(), shape.parameters());
        return Err(MiniatureError::Misfit(format!("{} holds {found} parameters, not {wanted}", file.display())));
    }
    Ok(read)
}
