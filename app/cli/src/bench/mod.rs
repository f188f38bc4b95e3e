//! `cruxscope bench`: speed and memory, beside other programs in the same run where they are there.

mod compress;
mod device;
mod device_table;
mod generate;
mod interpret;
mod process;
mod rounds;
mod sensitivity;
mod synthetic;
mod synthetic_study;

use clap::Subcommand;

use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Tokens a second, seconds and peak memory of an interpretation
    Interpret(Box<interpret::Arguments>),
    /// Seconds, peak memory and perplexity of every compression method on one model
    Compress(Box<compress::Arguments>),
    /// Everything that a device does: kernels against the reference, rates, and the work itself on a model of a real shape
    Device(Box<device::Arguments>),
    /// How well a sensitivity predicts, and what its recipes win beside every other rule
    Sensitivity(Box<sensitivity::Arguments>),
    /// New tokens a second, one sequence and several side by side
    Generate(Box<generate::Arguments>),
    /// Write a checkpoint of a real model's shape with random weights, to measure on
    #[command(name = "synthetic-checkpoint", alias = "checkpoint")]
    Checkpoint(synthetic::Arguments),
    /// Write a pair of studies with random numbers, to measure on
    SyntheticStudy(synthetic_study::Arguments),
}

pub fn run(bench: Bench) -> Result<(), Failure> {
    match bench {
        Bench::Interpret(arguments) => interpret::run(&arguments),
        Bench::Compress(arguments) => compress::run(&arguments),
        Bench::Device(arguments) => device::run(&arguments),
        Bench::Sensitivity(arguments) => sensitivity::run(&arguments),
        Bench::Generate(arguments) => generate::run(&arguments),
        Bench::Checkpoint(arguments) => synthetic::run(&arguments),
        Bench::SyntheticStudy(arguments) => synthetic_study::run(&arguments),
    }
}
