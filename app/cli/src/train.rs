//! `cruxscope train`: the miniature once more from scratch, as the models that `demo` carries were trained.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use cruxscope_miniature::puzzles::Level;
use cruxscope_miniature::{Corpus, Report, Training};
use cruxscope_run::machine::format_duration;

use crate::failure::Failure;
use crate::numbers::{MOST, MOST_THREADS, whole};
use crate::output::{print_text, status};
use crate::progress;
use crate::settings;

/// Time between lines on the way.
const BETWEEN: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Stage {
    /// Answers without reasoning, and sentences that state facts
    Base,
    /// Answers with reasoning, begun at the weights of base
    Distilled,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Puzzles {
    /// Smaller numbers, shorter deductions, emptier days, fewer people
    Standard,
    /// As the models that `demo` carries were trained
    Hard,
}

#[derive(Debug, Args)]
pub struct Arguments {
    /// What is learned
    stage: Stage,
    /// How hard the puzzles are
    #[arg(long, value_enum, default_value_t = Puzzles::Hard)]
    puzzles: Puzzles,
    /// The folder of the model; a training that was stopped goes on there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The folder of a model that was trained here, whose weights are begun at
    #[arg(long, value_name = "DIR", required_if_eq("stage", "distilled"))]
    from: Option<PathBuf>,
    /// Steps of 3,072 tokens [default: 1000 for base, 2200 for distilled]
    #[arg(long, value_parser = whole::<usize>(1, MOST))]
    steps: Option<usize>,
    /// The seed of the texts, and of the first weights [default: 11 for base, 12 for distilled]
    #[arg(long)]
    seed: Option<u64>,
    /// Number of threads [default: number of CPUs]
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1, MOST_THREADS))]
    threads: Option<usize>,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    settings::prepare_process(arguments.threads)?;
    let (corpus, steps, seed) = match arguments.stage {
        Stage::Base => (Corpus::Base, 1000, 11),
        Stage::Distilled => (Corpus::Distilled, 2200, 12),
    };
    let training = Training {
        corpus,
        level: match arguments.puzzles {
            Puzzles::Standard => Level::Standard,
            Puzzles::Hard => Level::Hard,
        },
        steps: arguments.steps.unwrap_or(steps),
        seed: arguments.seed.unwrap_or(seed),
        out: arguments.out.clone(),
        from: arguments.from.as_ref().map(|folder| folder.join(cruxscope_miniature::STATE_FILE)),
        puzzles: 200,
    };
    let stopped = progress::interrupted("stopping; the training goes on from here with the same command");
    let (began, mut first, mut last) = (Instant::now(), None, Instant::now());
    let mut told = |report: Report| {
        match report {
            Report::Step(step) => {
                let first = *first.get_or_insert(step.step);
                if last.elapsed() > BETWEEN && step.step > first {
                    last = Instant::now();
                    let each = began.elapsed().as_secs_f64() / (step.step - first) as f64;
                    let left = Duration::from_secs_f64(each * (training.steps - step.step) as f64);
                    let rate = cruxscope_miniature::Trainer::TOKENS as f64 / each;
                    status!(
                        "step {} of {}, loss {:.3}, {rate:.0} tokens/s, {} left",
                        step.step,
                        training.steps,
                        step.loss,
                        format_duration(left)
                    );
                }
            }
            Report::Evaluation(shares) => {
                print_text(&shares.to_string()).ok();
            }
        }
        !stopped.load(Ordering::SeqCst)
    };
    let finished = training.run(&mut told).map_err(Failure::failed)?;
    if !finished {
        return Err(Failure::failed(anyhow::anyhow!("stopped; run the same command to go on")));
    }
    status!(
        "the model is in {}, its log in {}",
        training.out.display(),
        training.out.join(cruxscope_miniature::LOG_FILE).display()
    );
    Ok(())
}
