//! `cruxscope bench`: speed and memory, beside other programs in the same run where they are there.

mod compress;
mod interpret;
mod process;

use clap::Subcommand;

use super::Failure;

#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Tokens a second, seconds and peak memory of an interpretation
    Interpret(Box<interpret::Arguments>),
    /// Seconds, peak memory and perplexity of every compression method on one model
    Compress(Box<compress::Arguments>),
}

pub fn run(bench: Bench) -> Result<(), Failure> {
    match bench {
        Bench::Interpret(arguments) => interpret::run(&arguments),
        Bench::Compress(arguments) => compress::run(&arguments),
    }
}
