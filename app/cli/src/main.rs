//! The program: a thin command line over the engine and the window.
//!
//! stdout carries data, stderr everything else. Exit codes: 0, done; 1, it failed and may work another time; 2, the input or
//! the command is wrong. `run`, which schedulers start, has two more: 3, as 2, so that nobody tries again; 75, it was told to stop
//! and goes on when it is run again.

mod analyse;
mod annotate;
mod bench;
mod benchmark;
mod command;
mod compress;
mod demo;
mod devices;
mod draw;
mod endpoint;
mod export;
mod failure;
mod generate;
mod interpret;
mod output;
mod perplexity;
mod progress;
mod publish;
mod reference;
mod report;
mod reproduce;
mod runs;
#[cfg(test)]
mod runs_tests;
mod score;
mod settings;
mod shards;
mod shift;
mod show;
mod train;
mod validate;
mod view;

use std::process::ExitCode;

fn main() -> ExitCode {
    command::run()
}
