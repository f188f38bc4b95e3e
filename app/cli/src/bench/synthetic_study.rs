//! `cruxscope bench synthetic-study`: a pair of studies with random numbers, to measure how long comparing takes.

use std::path::PathBuf;

use clap::Args;
use cruxscope_run::synthetic_study::write_pair;

use crate::failure::Failure;
use crate::numbers::whole;
use crate::output::status;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The folder for the two studies, a and b
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Instances of each
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = whole::<usize>(1, 1_000_000))]
    instances: usize,
    /// Decoder layers
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = whole::<usize>(1, 1000))]
    layers: usize,
    /// The seed of the numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    write_pair(arguments.instances, arguments.layers, arguments.seed, &arguments.out)?;
    let (a, b) = (arguments.out.join("a"), arguments.out.join("b"));
    status!(
        "two studies whose numbers are random; `cruxscope shift --from {} --to {}` compares them",
        a.display(),
        b.display()
    );
    Ok(())
}
