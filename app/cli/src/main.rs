//! The program: a thin command line over the engine and the window.
//!
//! stdout carries data, stderr everything else. Exit codes: 0, done; 1, it failed and may work another time; 2, the input or
//! the command is wrong. `run`, which schedulers start, has two more: 3, as 2, so that nobody tries again; 75, it was told to stop
//! and goes on when it is run again.

mod allocate;
mod analyse;
mod annotate;
mod bench;
mod benchmark;
mod command;
mod compare;
mod compress;
mod definitions;
mod demo;
mod devices;
mod doctor;
mod draw;
mod endpoint;
mod export;
mod failure;
mod generate;
mod interpret;
mod ledger;
mod memory;
mod numbers;
mod output;
mod page;
mod perplexity;
mod progress;
mod publish;
mod questions;
mod reference;
mod report;
mod reproduce;
mod reproduce_paper;
mod reproduce_parallel;
mod runs;
#[cfg(test)]
mod runs_tests;
mod score;
mod sensitivity;
mod settings;
mod shards;
mod shift;
mod shift_divergence;
mod show;
mod slurm;
mod stability;
mod tour;
mod train;
mod trial;
mod validate;
mod view;

use std::process::ExitCode;

fn main() -> ExitCode {
    number_cards_by_bus();
    command::run()
}

/// CUDA numbers cards by speed unless it is told otherwise, while the driver's tools, whose free memory a plan goes by, number them by
/// their place on the bus: `cuda:1` shall be the same card for both. Whoever set an order keeps it.
fn number_cards_by_bus() {
    const ORDER: &str = "CUDA_DEVICE_ORDER";
    if cfg!(feature = "cuda") && std::env::var_os(ORDER).is_none() {
        // SAFETY: nothing else runs yet that could read the environment at the same time.
        unsafe { std::env::set_var(ORDER, "PCI_BUS_ID") };
    }
}
