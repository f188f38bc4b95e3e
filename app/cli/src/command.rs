//! The command line: flags defined once, each command in a file of its own.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::failure::{self, Failure};
use crate::{
    allocate, analyse, annotate, bench, benchmark, compare, compress, definitions, demo, devices, doctor, export, generate, interpret, ledger, output,
    perplexity, publish, reference, report, reproduce, score, sensitivity, shards, shift, show, stability, train, trial, validate, view,
};

/// Finds the weights that a model's reasoning depends on, and shows what compression did to them.
#[derive(Debug, Parser)]
#[command(name = "cruxscope", version, arg_required_else_help = true, max_term_width = 110)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Print results and errors only
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Print more diagnostics
    #[arg(long, short, global = true)]
    verbose: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole method on a small embedded model, and open the window on the result.
    Demo(demo::Arguments),
    /// Importance of every weight matrix, from a model and its annotated reasoning traces.
    Interpret(interpret::Arguments),
    /// An interpretation in shards, for several GPUs or a cluster: plan, run, status, merge, submit.
    #[command(subcommand)]
    Shard(Box<shards::ShardCommand>),
    // Names of before 0.2, without the group; hidden, and gone with the next release.
    #[command(hide = true)]
    Plan(Box<shards::plan::Arguments>),
    #[command(hide = true)]
    Run(shards::run::Arguments),
    #[command(hide = true)]
    Status(shards::status::Arguments),
    #[command(hide = true)]
    Merge(shards::merge::Arguments),
    #[command(hide = true, subcommand)]
    Submit(shards::submit::Scheduler),
    /// Print a study: counts, importance, top components.
    Show(show::Arguments),
    /// Print how relative importance shifts from one study to another, such as from a model to its compressed self.
    Shift(shift::Arguments),
    /// Where two models part: their next-token distributions at every position of texts that both read, by behaviour and place, and which components cause it.
    Compare(Box<compare::Arguments>),
    /// What studies and results say of each of the paper's claims: holds, fails, or cannot be told.
    Ledger(ledger::Arguments),
    /// How far a map would be another with other traces, another annotator, another cap on length or another definition.
    Stability(stability::Arguments),
    /// The method under both definitions, and with each departure of the published code alone, from one pass; how far the maps agree.
    Definitions(Box<definitions::Arguments>),
    /// Open the window on studies.
    View(view::Arguments),
    /// Draw figures of studies into files: SVG, PDF, PNG, CSV, LaTeX.
    Export(export::Arguments),
    /// Write a static site from studies, for any web server.
    Publish(publish::Arguments),
    /// Quantize or prune a model, whole or in parts, into a new folder.
    Compress(Box<compress::Arguments>),
    /// Print what was done to each component of a compressed model, with AWQ's scales.
    #[command(name = "compression-report", alias = "report")]
    Report(report::Arguments),
    /// The paper's whole chain for a pair of models, or the models of its selective experiments: Tables 3, 4 and 9, Appendix M.
    #[command(subcommand)]
    Reproduce(reproduce::Reproduction),
    /// Compress one component at a time, measure the degradation, and correlate it with a study's importance.
    Validate(Box<validate::Arguments>),
    /// Predict what compressing each matrix costs, for every format of a menu at once; which matrices a compressed model is hurt in.
    Sensitivity(Box<sensitivity::Arguments>),
    /// Choose a format for each matrix under a budget, from a study's sensitivity, and write the recipe for this or another tool.
    Allocate(Box<allocate::Arguments>),
    /// Measure recipes on held-out text beside every other rule at the same size, and say which is best.
    Trial(Box<trial::Arguments>),
    /// Perplexity of a model on token windows or text: a quick proxy for what compression cost.
    Perplexity(perplexity::Arguments),
    /// Continue prompts: text from a model, streamed.
    Generate(Box<generate::Arguments>),
    /// Outputs of a model on the paper's benchmarks, from an endpoint; the paper's own results.
    #[command(subcommand)]
    Benchmark(benchmark::BenchmarkCommand),
    /// Scores of outputs, by rules that can be switched without generating again.
    Score(score::Arguments),
    /// Behaviours in outputs: have an endpoint mark them, compare annotators, prepare sheets for human review.
    #[command(subcommand)]
    Annotate(annotate::AnnotateCommand),
    /// What outputs say beyond their scores: test-time compute, collapse, skipped thinking.
    #[command(subcommand, name = "analyze", alias = "analyse")]
    Analyse(analyse::Analysis),
    /// List what this machine can compute on, and why the rest is missing.
    Devices(devices::Arguments),
    /// Print what is here and what is missing: versions, devices, memory, page, Python; for a report of a fault.
    Doctor(doctor::Arguments),
    /// Train the embedded miniature again, from scratch.
    Train(train::Arguments),
    /// Measure speed and memory.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Print a completion script for a shell: bash, zsh, fish, elvish or powershell.
    Completions(reference::CompletionArguments),
    /// Write the manual pages, one per command, into a folder.
    Man(reference::ManArguments),
}

/// Reads the command line and does what it says.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    output::set_verbosity(arguments.quiet, arguments.verbose);
    let result = match arguments.command {
        Command::Demo(arguments) => demo::run(arguments),
        Command::Interpret(arguments) => interpret::run(arguments),
        Command::Shard(command) => shards::dispatch(*command),
        Command::Plan(arguments) => shards::plan::run(&arguments),
        Command::Run(arguments) => shards::run::run(&arguments),
        Command::Status(arguments) => shards::status::run(&arguments),
        Command::Merge(arguments) => shards::merge::run(&arguments),
        Command::Submit(scheduler) => shards::submit::run(&scheduler),
        Command::Show(arguments) => show::run(&arguments),
        Command::Shift(arguments) => shift::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Ledger(arguments) => ledger::run(&arguments),
        Command::Stability(arguments) => stability::run(&arguments),
        Command::Definitions(arguments) => definitions::run(&arguments),
        Command::View(arguments) => view::run(arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Publish(arguments) => publish::run(arguments),
        Command::Compress(arguments) => compress::run(*arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Reproduce(reproduction) => reproduce::run(&reproduction),
        Command::Validate(arguments) => validate::run(*arguments),
        Command::Sensitivity(arguments) => sensitivity::run(*arguments),
        Command::Allocate(arguments) => allocate::run(&arguments),
        Command::Trial(arguments) => trial::run(&arguments),
        Command::Perplexity(arguments) => perplexity::run(&arguments),
        Command::Generate(arguments) => generate::run(&arguments),
        Command::Benchmark(command) => benchmark::run(command),
        Command::Score(arguments) => score::run(&arguments),
        Command::Annotate(command) => annotate::run(command),
        Command::Analyse(analysis) => analyse::run(analysis),
        Command::Devices(arguments) => devices::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Train(arguments) => train::run(&arguments),
        Command::Bench(arguments) => bench::run(arguments),
        Command::Completions(arguments) => reference::completions(&arguments, &mut Arguments::command()),
        Command::Man(arguments) => reference::man(&arguments, Arguments::command()),
    };
    let (error, code) = match result {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Failed(error)) => (error, 1),
        Err(Failure::Mistake(error)) => (error, 2),
        Err(Failure::Hopeless(error)) => (error, 3),
        Err(Failure::Stopped(error)) => (error, 75),
    };
    output::print_error(&format!("cruxscope: {}", failure::chain(&error)));
    ExitCode::from(code)
}
