//! `cruxscope bench generate`: new tokens a second, beside transformers and llama.cpp in the same run where they are there.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use clap::Args;
use cruxscope_checkpoint::Checkpoint;
use cruxscope_model::{device, with_kernels};
use cruxscope_run::RunError;
use cruxscope_run::machine::format_bytes;
use cruxscope_run::speed::generation;
use serde_json::Value;

use super::process::{output_of, this_command_alone};
use super::rounds::{ROUNDS, Rounds};
use crate::failure::Failure;
use crate::numbers::{MOST_THREADS, MOST_TOKENS, whole};
use crate::output::{print_json, status};
use crate::settings::prepare_process;

/// The race against other programs, given to Python on standard input.
const RACE: &str = include_str!("generate_race.py");

#[derive(Debug, Args)]
pub struct Arguments {
    /// The model: a Hugging Face folder, or a GGUF file
    #[arg(long, value_name = "DIR|FILE.gguf")]
    model: PathBuf,
    /// The text to continue
    #[arg(long, default_value = "Let me think about this step by step. The first thing to notice is that")]
    prompt: String,
    /// New tokens of each sequence
    #[arg(long = "max-new-tokens", alias = "new-tokens", default_value_t = 64, value_parser = whole::<usize>(2, MOST_TOKENS))]
    new_tokens: usize,
    /// Sequences side by side; several numbers are measured one after the other
    #[arg(long, value_delimiter = ',', default_value = "1,4", value_parser = whole::<usize>(1, 65_536))]
    sequences: Vec<usize>,
    /// Rounds in which every configuration is measured once, after a few tokens to warm up; medians count
    #[arg(long, default_value_t = ROUNDS, value_parser = whole::<usize>(1, 10_000))]
    runs: usize,
    /// Where to compute; `cruxscope devices` lists what there is
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Number of threads [default: one, then all]
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1, MOST_THREADS))]
    threads: Option<usize>,
    /// Compare with transformers and llama.cpp, run by this Python
    #[arg(long = "compare-python", alias = "race", value_name = "PYTHON")]
    race: Option<String>,
    /// Compare with llama.cpp, run by this Python, which has llama-cpp-python [default: that of --compare-python]
    #[arg(long = "compare-llama-cpp", value_name = "PYTHON")]
    llama_cpp: Option<String>,
    /// The same model as a Hugging Face folder, for transformers [default: --model, where it is one]
    #[arg(long, value_name = "DIR")]
    reference_model: Option<PathBuf>,
    /// The same model as a GGUF file, for llama.cpp [default: --model, where it is one]
    #[arg(long, value_name = "FILE.gguf")]
    reference_gguf: Option<PathBuf>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
    /// One configuration, in this process, with so many threads
    #[arg(long, hide = true, value_parser = whole::<usize>(1, MOST_THREADS))]
    alone: Option<usize>,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.new_tokens < 2 || arguments.sequences.contains(&0) {
        return Err(Failure::mistake("--new-tokens must be at least 2, and --sequences at least 1"));
    }
    if let Some(threads) = arguments.alone {
        return measure(arguments, threads);
    }
    let mut missing = Vec::new();
    let of_threads = |threads: usize| {
        let Value::Array(measured) = this_command_alone(threads)? else {
            return Err(Failure::failed(anyhow::Error::msg("a measurement printed no rows")));
        };
        let own: Vec<Value> = measured.into_iter().map(named).collect();
        let mut rows = Vec::new();
        race(arguments, threads, &own, &mut rows, &mut missing)?;
        rows.extend(own);
        Ok(rows)
    };
    let rounds = Rounds::measure(arguments.runs, arguments.threads, of_threads, || Ok(Vec::new()))?;
    missing.sort();
    missing.dedup();
    missing.iter().for_each(|why| status!("left out: {why}"));
    rounds.print(FIGURES, arguments.json, |rows| table(&rounds, rows))
}

/// What differs from run to run.
const FIGURES: &[&str] = &[
    "load_seconds",
    "prompt_rate",
    "seconds",
    "processor_seconds",
    "tokens_per_second",
    "tokens_per_processor_second",
    "peak_memory",
];

/// Measures in this process and prints rows.
fn measure(arguments: &Arguments, threads: usize) -> Result<(), Failure> {
    prepare_process(Some(threads))?;
    let device = device::find(&arguments.device).map_err(RunError::from)?;
    let checkpoint = Arc::new(Checkpoint::open(&arguments.model).map_err(RunError::from)?);
    let prompt = checkpoint
        .tokenizer()
        .and_then(|tokenizer| tokenizer.encode_sequence(&arguments.prompt))
        .map_err(RunError::from)?
        .ids;
    let counts: Vec<(usize, usize)> = arguments.sequences.iter().map(|count| (*count, arguments.new_tokens)).collect();
    let measured = with_kernels!(device, |kernels| generation::generation(checkpoint, kernels, &prompt, &counts))?;
    let mut rows = serde_json::to_value(measured).map_err(Failure::failed)?;
    for row in rows.as_array_mut().into_iter().flatten() {
        row["prompt"] = prompt.clone().into();
    }
    print_json(&rows)
}

fn named(mut row: Value) -> Value {
    row["what"] = "cruxscope".into();
    row
}

/// Other programs on the prompt and the numbers of sequences of our own rows.
fn race(arguments: &Arguments, threads: usize, own: &[Value], rows: &mut Vec<Value>, missing: &mut Vec<String>) -> Result<(), Failure> {
    let is_folder = arguments.model.is_dir();
    let folder = arguments.reference_model.clone().or_else(|| is_folder.then(|| arguments.model.clone()));
    let gguf = arguments.reference_gguf.clone().or_else(|| (!is_folder).then(|| arguments.model.clone()));
    let llama_cpp = arguments.llama_cpp.as_ref().or(arguments.race.as_ref());
    let others = [
        ("transformers", arguments.race.as_ref(), folder, "--reference-model"),
        ("llama.cpp", llama_cpp, gguf, "--reference-gguf"),
    ];
    for (which, python, model, flag) in others {
        let Some(python) = python else { continue };
        let Some(model) = model else {
            missing.push(format!("{which}: it needs the model in another form; name it with {flag}"));
            continue;
        };
        for row in own {
            status!("measuring {which}, {} side by side, with {threads} threads", row["sequences"]);
            let mut command = Command::new(python);
            command.args(["-", which]).arg(&model).args([
                row["prompt"].to_string(),
                arguments.new_tokens.to_string(),
                row["sequences"].to_string(),
                threads.to_string(),
            ]);
            command.env("OMP_NUM_THREADS", threads.to_string());
            let measured = output_of(command, RACE)?;
            match measured["missing"].as_str() {
                Some(why) => missing.push(format!("{which}: {why}")),
                None => rows.push(measured),
            }
        }
    }
    Ok(())
}

/// The table, and what stands below it.
fn table(rounds: &Rounds, rows: &[Value]) -> (Vec<String>, Vec<String>) {
    let mut lines = vec![format!(
        "{:<14} {:>7} {:>9} {:>24} {:>24} {:>15} {:>12}",
        "", "threads", "sequences", "tokens/s", "tokens/CPU s", "prompt tokens/s", "peak memory"
    )];
    for (place, row) in rows.iter().enumerate() {
        let spread = |name: &str| rounds.spread(place, name).map_or_else(String::new, |spread| format!("{spread:.1}"));
        lines.push(format!(
            "{:<14} {:>7} {:>9} {:>24} {:>24} {:>15} {:>12}",
            row["what"].as_str().unwrap_or(""),
            row["threads"].to_string(),
            row["sequences"].to_string(),
            spread("tokens_per_second"),
            spread("tokens_per_processor_second"),
            row["prompt_rate"].as_f64().map_or_else(String::new, |rate| format!("{rate:.1}")),
            row["peak_memory"].as_f64().map_or_else(String::new, |bytes| format_bytes(bytes as u64)),
        ));
    }
    let mut below = Vec::new();
    let is_own = |row: &Value| row["what"] == "cruxscope";
    for (place, own) in rows.iter().enumerate().filter(|(_, row)| is_own(row)) {
        let is_same = |row: &Value| row["threads"] == own["threads"] && row["sequences"] == own["sequences"] && !is_own(row);
        for (other_place, other) in rows.iter().enumerate().filter(|(_, row)| is_same(row)) {
            let Some(times) = rounds.ratio(place, other_place, "tokens_per_second") else {
                continue;
            };
            let tokens = |row: &Value| row["tokens"].as_array().cloned().unwrap_or_default();
            let agreed = tokens(own).iter().zip(&tokens(other)).take_while(|(a, b)| a == b).count();
            let by_processor = rounds.ratio(place, other_place, "tokens_per_processor_second");
            let by_processor = by_processor.map_or_else(String::new, |times| format!(", {times:.2} by processor time"));
            below.push(format!(
                "{} threads, {} sequences: {times:.2} times the speed of {} ({}){by_processor}; the first {agreed} of {} tokens are the same",
                own["threads"],
                own["sequences"],
                other["what"].as_str().unwrap_or(""),
                other["backend"].as_str().unwrap_or(""),
                tokens(own).len(),
            ));
        }
    }
    if let Some(first) = rows.iter().find(|row| is_own(row)) {
        let bytes = first["weight_bytes"].as_u64().map(format_bytes).unwrap_or_default();
        below.push(format!("weights: {}, {bytes}", first["weights"].as_str().unwrap_or("")));
    }
    (lines, below)
}
