//! `cruxscope bench checkpoint`: random weights in a real model's shape.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use cruxscope_run::machine::format_bytes;
use cruxscope_run::synthetic::{Shape, write};

use crate::failure::Failure;
use crate::numbers::whole;
use crate::output::status;
use crate::progress::Progress;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ShapeFlag {
    /// Llama 3.1 8B: 16 GB
    #[value(name = "llama-8b")]
    Llama8b,
    /// Llama 3.3 70B: 141 GB
    #[value(name = "llama-70b")]
    Llama70b,
}

#[derive(Debug, Args)]
pub struct Arguments {
    /// Whose shape
    #[arg(long, value_enum)]
    shape: ShapeFlag,
    /// The Hugging Face folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Only so many layers
    #[arg(long, value_parser = whole::<usize>(1, 10_000))]
    layers: Option<usize>,
    /// The seed of the weights
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let shape = match arguments.shape {
        ShapeFlag::Llama8b => Shape::LLAMA_8B,
        ShapeFlag::Llama70b => Shape::LLAMA_70B,
    };
    let shape = Shape {
        layers: arguments.layers.unwrap_or(shape.layers),
        ..shape
    };
    if shape.layers == 0 {
        return Err(Failure::mistake("--layers is 0, but a model needs at least one"));
    }
    status!("{} in bf16", format_bytes(shape.bytes()));
    let mut progress = Progress::new();
    let written = write(&shape, &arguments.out, arguments.seed, &mut progress);
    progress.finish();
    written?;
    status!(
        "checkpoint in {}; its weights are random, so only speed and memory mean anything",
        arguments.out.display()
    );
    Ok(())
}
