//! The command line: flags defined once, each command in a file of its own.

mod analyse;
mod annotate;
mod bench;
mod benchmark;
mod compress;
mod demo;
mod devices;
mod draw;
mod endpoint;
mod export;
mod generate;
mod interpret;
mod perplexity;
mod progress;
mod publish;
mod report;
mod reproduce;
mod score;
mod settings;
mod shards;
mod shift;
mod show;
mod train;
mod validate;
mod view;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use cruxscope_run::RunError;
use cruxscope_study::{StudyError, printable, printable_json};

/// Finds the weights that a model's reasoning hangs on, and shows what compression did to them.
#[derive(Debug, Parser)]
#[command(name = "cruxscope", version, arg_required_else_help = true, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole method on a small embedded model, and open the window on the result.
    Demo(demo::Arguments),
    /// Importance of every weight matrix, out of a model and its annotated reasoning traces.
    Interpret(interpret::Arguments),
    /// Plan an interpretation in shards, for several cards or a cluster: what it takes, and who computes what.
    Plan(Box<shards::plan::Arguments>),
    /// Compute a shard of a plan, or all of them with a process for every card.
    Run(shards::run::Arguments),
    /// How far the shards of a plan are: states, last errors, time left.
    Status(shards::status::Arguments),
    /// Put the shards of a plan together into its study.
    Merge(shards::merge::Arguments),
    /// Hand a plan to a scheduler.
    #[command(subcommand)]
    Submit(shards::submit::Scheduler),
    /// Print a study: counts, importance, top components.
    Show(show::Arguments),
    /// Print how relative importance shifts from one study to another, such as from a model to its compressed self.
    Shift(shift::Arguments),
    /// Open the window on studies.
    View(view::Arguments),
    /// Draw figures of studies into files: SVG, PDF, PNG, CSV, LaTeX.
    Export(export::Arguments),
    /// Write a site out of studies that any static server serves.
    Publish(publish::Arguments),
    /// Quantize or prune a model, whole or in parts, into a new folder.
    Compress(Box<compress::Arguments>),
    /// Print what was done to each component of a compressed model, AWQ's scales too.
    Report(report::Arguments),
    /// Make the models of the paper's selective experiments: Tables 3, 4 and 9, Appendix M.
    Reproduce(Box<reproduce::Arguments>),
    /// Compress one component at a time, measure the damage, and hold it against a study's importance.
    Validate(Box<validate::Arguments>),
    /// Perplexity of a model on token windows or text: the cheap yardstick of what compression cost.
    Perplexity(perplexity::Arguments),
    /// Continue prompts: texts out of a model, as they come.
    Generate(Box<generate::Arguments>),
    /// Outputs of a model on the paper's benchmarks, from an endpoint; the paper's own results.
    #[command(subcommand)]
    Benchmark(benchmark::BenchmarkCommand),
    /// Scores of outputs, by rules that can be switched without generating again.
    Score(score::Arguments),
    /// Behaviours in outputs: have an endpoint mark them, compare annotators, prepare checks by people.
    #[command(subcommand)]
    Annotate(annotate::AnnotateCommand),
    /// What outputs say beyond their scores: test-time compute, collapse, skipped thinking.
    #[command(subcommand)]
    Analyse(analyse::Analysis),
    /// List what this machine can compute on, and why the rest is missing.
    Devices(devices::Arguments),
    /// Train the embedded miniature again, from scratch.
    Train(train::Arguments),
    /// Measure speed and memory.
    #[command(subcommand)]
    Bench(bench::Bench),
}

/// Why a command ended before its time.
#[derive(Debug)]
enum Failure {
    /// The input or the command is wrong: exit code 2.
    Mistake(anyhow::Error),
    /// It failed, and may work another time: exit code 1.
    Failed(anyhow::Error),
    /// A scheduler should not try again: exit code 3.
    Hopeless(anyhow::Error),
    /// It was told to stop, and goes on when it is run again: exit code 75, as sysexits has it for "try later".
    Stopped(anyhow::Error),
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        if error.is_users_mistake() {
            Self::Mistake(error.into())
        } else {
            Self::Failed(error.into())
        }
    }
}

impl From<StudyError> for Failure {
    fn from(error: StudyError) -> Self {
        RunError::from(error).into()
    }
}

impl Failure {
    fn mistake(text: impl Into<String>) -> Self {
        Self::Mistake(anyhow::Error::msg(text.into()))
    }

    fn failed(error: impl Into<anyhow::Error>) -> Self {
        Self::Failed(error.into())
    }
}

/// Reads the command line and does what it says.
pub fn run() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Demo(arguments) => demo::run(arguments),
        Command::Interpret(arguments) => interpret::run(arguments),
        Command::Plan(arguments) => shards::plan::run(&arguments),
        Command::Run(arguments) => shards::run::run(&arguments),
        Command::Status(arguments) => shards::status::run(&arguments),
        Command::Merge(arguments) => shards::merge::run(&arguments),
        Command::Submit(scheduler) => shards::submit::run(&scheduler),
        Command::Show(arguments) => show::run(&arguments),
        Command::Shift(arguments) => shift::run(&arguments),
        Command::View(arguments) => view::run(arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Publish(arguments) => publish::run(arguments),
        Command::Compress(arguments) => compress::run(*arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Reproduce(arguments) => reproduce::run(&arguments),
        Command::Validate(arguments) => validate::run(*arguments),
        Command::Perplexity(arguments) => perplexity::run(&arguments),
        Command::Generate(arguments) => generate::run(&arguments),
        Command::Benchmark(command) => benchmark::run(command),
        Command::Score(arguments) => score::run(&arguments),
        Command::Annotate(command) => annotate::run(command),
        Command::Analyse(analysis) => analyse::run(analysis),
        Command::Devices(arguments) => devices::run(&arguments),
        Command::Train(arguments) => train::run(&arguments),
        Command::Bench(arguments) => bench::run(arguments),
    };
    let (error, code) = match result {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Failed(error)) => (error, 1),
        Err(Failure::Mistake(error)) => (error, 2),
        Err(Failure::Hopeless(error)) => (error, 3),
        Err(Failure::Stopped(error)) => (error, 75),
    };
    eprintln!("cruxscope: {}", printable(&format!("{error:#}")));
    ExitCode::from(code)
}

/// Prints data for another program: JSON on stdout. A reader that closes the pipe early is no failure.
fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::failed)?;
    write_line(&printable_json(&text))
}

/// Prints text on stdout, without what a terminal would obey in texts of others.
fn print_text(text: &str) -> Result<(), Failure> {
    write_line(&printable(text))
}

fn write_line(text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::failed(error)),
        _ => Ok(()),
    }
}
