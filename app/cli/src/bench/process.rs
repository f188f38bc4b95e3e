//! Measurements in processes of their own: peak memory belongs to a process, and threads are fixed once in it.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::Context as _;
use serde_json::Value;

use crate::failure::Failure;

/// Thread counts to measure: the one that was asked for, or one and all.
pub fn thread_counts(threads: Option<usize>) -> Vec<usize> {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    match threads {
        Some(threads) => vec![threads],
        None if all > 1 => vec![1, all],
        None => vec![1],
    }
}

/// This command again, in a process of its own with a number of threads; gives the JSON that it prints.
///
/// # Errors
/// When the process cannot be started, fails, or prints no JSON.
pub fn this_command_alone(threads: usize) -> Result<Value, Failure> {
    let program = std::env::current_exe().map_err(Failure::failed)?;
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1)).arg("--alone").arg(threads.to_string());
    output_of(command, "")
}

/// Runs a program that prints one JSON value, with `input` on its standard input and its talk passed through.
///
/// # Errors
/// When it cannot be started, fails, or prints no JSON.
pub fn output_of(mut command: Command, input: &str) -> Result<Value, Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut run = || -> anyhow::Result<Value> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        anyhow::ensure!(output.status.success(), "it ended with {}", output.status);
        serde_json::from_slice(&output.stdout).context("it printed no JSON")
    };
    run().with_context(|| format!("could not measure with {name}")).map_err(Failure::Failed)
}
