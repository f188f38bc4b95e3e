//! Trains the miniature: `train base --minutes 4 --out DIR`, then `train distilled --from DIR/state.safetensors …`.

use std::{fs, io::Write, path::PathBuf, time::Instant};

use clap::{Parser, ValueEnum};
use cruxscope_miniature::{
    Alphabet, Corpus, Shape, Trainer, accuracy, continue_all, export,
    puzzles::{Kind, World},
    restore, store,
};
use cruxscope_study::SplitMix;
use serde_json::json;

#[derive(Clone, Copy, ValueEnum)]
enum Stage {
    /// Answers without reasoning.
    Base,
    /// Answers with reasoning.
    Distilled,
}

/// Trains the miniature.
#[derive(Parser)]
struct Arguments {
    /// What is learned.
    stage: Stage,
    /// How long, evaluation apart.
    #[arg(long)]
    minutes: f64,
    /// The folder of the model; a state in it is gone on from.
    #[arg(long)]
    out: PathBuf,
    /// The state whose weights are begun at.
    #[arg(long)]
    from: Option<PathBuf>,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Puzzles of each kind in the last evaluation.
    #[arg(long, default_value_t = 200)]
    puzzles: usize,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    rayon::ThreadPoolBuilder::new().num_threads(arguments.threads).build_global()?;
    let (corpus, seed) = match arguments.stage {
        Stage::Base => (Corpus::Base, 11),
        Stage::Distilled => (Corpus::Distilled, 12),
    };
    let (alphabet, world) = (Alphabet::default(), World::new(0));
    let shape = Shape::miniature(alphabet.size());
    fs::create_dir_all(&arguments.out)?;
    let state = arguments.out.join("state.safetensors");
    let begin = match &arguments.from {
        Some(file) => restore(file)?.0,
        None => shape.initial(0),
    };
    let mut trainer = Trainer::new(shape, corpus, world.clone(), begin, seed);
    let mut seconds = 0.0;
    if state.exists() {
        (trainer.weights, trainer.optimiser, seconds) = restore(&state)?;
    }
    let mut log = fs::File::options().create(true).append(true).open(arguments.out.join("log.jsonl"))?;
    let total = arguments.minutes * 60.0;
    let evaluate = |weights: &[f32], count: usize, held_out: bool| -> serde_json::Value {
        let asked = (corpus, held_out, count);
        Kind::ALL
            .iter()
            .map(|kind| (kind.name(), accuracy(shape, weights, &world, *kind, asked)))
            .collect()
    };
    loop {
        let finished = seconds >= total;
        if !finished {
            let start = Instant::now();
            let progress = trainer.step((seconds / total).min(1.0));
            // A step that takes longer was paused with its process, which is no training.
            seconds += start.elapsed().as_secs_f64().min(10.0);
            if progress.step.is_multiple_of(20) {
                let mut line = serde_json::to_value(progress)?;
                line["seconds"] = seconds.into();
                line["tokens"] = (progress.step * Trainer::TOKENS).into();
                writeln!(log, "{line}")?;
            }
        }
        let step = trainer.optimiser.steps;
        if finished || step.is_multiple_of(200) {
            store(&state, &trainer.weights, &trainer.optimiser, seconds)?;
            export(&arguments.out, &shape, &alphabet, &trainer.weights)?;
            let count = if finished { arguments.puzzles } else { 25 };
            let mut line = json!({"step": step, "held_out": evaluate(&trainer.weights, count, true)});
            if finished {
                line["trained"] = evaluate(&trainer.weights, count, false);
            }
            writeln!(log, "{line}")?;
        }
        if finished {
            break;
        }
    }
    let mut generator = SplitMix::new(5);
    let opening = if corpus == Corpus::Base { "<>" } else { "<" };
    let prompts: Vec<String> = Kind::ALL
        .iter()
        .map(|kind| kind.draw(&world, &mut generator, true).question + opening)
        .collect();
    for text in continue_all(shape, &trainer.weights, &prompts, 220) {
        print!("{text}");
    }
    Ok(())
}
