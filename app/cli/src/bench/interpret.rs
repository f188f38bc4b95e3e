//! `cruxscope bench interpret`: an interpretation, beside PyTorch in the same run where it is there.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use clap::Args;
use cruxscope_checkpoint::Checkpoint;
use cruxscope_model::device::{self, ChosenDevice};
use cruxscope_model::with_kernels;
use cruxscope_run::RunError;
use cruxscope_run::instances::Instances;
use cruxscope_run::machine::format_bytes;
use cruxscope_run::place::Place;
use cruxscope_run::plan::Plan;
use cruxscope_run::speed::{self, Measurement};
use serde_json::{Value, json};

use super::process::{output_of, this_command_alone};
use super::rounds::{ROUNDS, Rounds};
use crate::failure::Failure;
use crate::numbers::{MOST_THREADS, whole};
use crate::output::{print_json, status};
use crate::settings::{Machine, Source};

/// The race against PyTorch, given to Python on standard input.
const RACE: &str = include_str!("interpret_race.py");

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    machine: Machine,
    /// Rounds in which every configuration is measured once, in a process of its own; medians count
    #[arg(long, default_value_t = ROUNDS, value_parser = whole::<usize>(1, 10_000))]
    runs: usize,
    /// Folder of PyTorch programs to race against (model.py, fast.py, reference.py)
    #[arg(long, value_name = "DIR")]
    reference: Option<PathBuf>,
    /// The same model as a Hugging Face folder, for them [default: --model]
    #[arg(long, value_name = "DIR")]
    reference_model: Option<PathBuf>,
    /// The Python that has torch
    #[arg(long, default_value = "python3")]
    python: String,
    /// Leave out the published procedure (one full backward pass a segment), which takes minutes
    #[arg(long)]
    skip_published: bool,
    /// Print as JSON
    #[arg(long)]
    json: bool,
    /// One configuration, in this process, with so many threads
    #[arg(long, hide = true, value_parser = whole::<usize>(1, MOST_THREADS))]
    alone: Option<usize>,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    if let Some(threads) = arguments.alone {
        Machine {
            threads: Some(threads),
            ..arguments.machine.clone()
        }
        .prepare_process()?;
        return print_json(&measure(arguments)?);
    }
    let of_threads = |threads: usize| Ok(vec![own_row(&this_command_alone(threads)?)]);
    let beside = || {
        arguments
            .reference
            .as_ref()
            .map_or_else(|| Ok(Vec::new()), |reference| race(arguments, reference))
    };
    let rounds = Rounds::measure(arguments.runs, arguments.machine.threads, of_threads, beside)?;
    rounds.print(FIGURES, arguments.json, |rows| table(&rounds, rows))
}

/// What differs from run to run.
const FIGURES: &[&str] = &[
    "seconds",
    "processor_seconds",
    "tokens_per_second",
    "efficiency",
    "peak_memory",
    "device_memory",
];

/// Runs of the same work in one process, of which the fastest counts: a device compiles its kernels in the first.
fn runs_of(device: &ChosenDevice) -> usize {
    if matches!(device, ChosenDevice::Cpu | ChosenDevice::Reference) {
        1
    } else {
        2
    }
}

/// The model and the instances to interpret, read but not yet computed on.
fn load(source: &Source) -> Result<(Arc<Checkpoint>, Instances), Failure> {
    let checkpoint = Arc::new(Checkpoint::open(&source.model).map_err(RunError::from)?);
    let instances = Instances::read(&checkpoint, &source.settings())?;
    Ok((checkpoint, instances))
}

fn measure(arguments: &Arguments) -> Result<Measurement, Failure> {
    let device = device::find(&arguments.machine.device).map_err(RunError::from)?;
    let (checkpoint, instances) = load(&arguments.source)?;
    let definition = arguments.source.settings().definition;
    let machine = &arguments.machine;
    let place = Place::of(Some(&device), &machine.device, &checkpoint, None)?;
    let plan = Plan::new(checkpoint.config(), &instances, definition, machine.weights.into(), &place)?;
    let (works, runs) = (&instances.items, runs_of(&device));
    let measured = with_kernels!(device, |kernels| speed::interpret(
        checkpoint,
        kernels,
        plan.placement.weights,
        place.weight_bytes,
        works,
        definition,
        plan.operations,
        runs
    ));
    Ok(measured?)
}

/// A row of the table out of what another process of this program measured.
fn own_row(measured: &Value) -> Value {
    let number = |name: &str| measured.get(name).cloned().unwrap_or(Value::Null);
    json!({
        "what": "cruxscope", "threads": number("threads"), "backend": number("backend"), "tokens": number("tokens"), "segments": number("segments"),
        "seconds": number("seconds"), "processor_seconds": number("processor_seconds"), "tokens_per_second": number("tokens_per_second"),
        "peak_memory": number("peak_memory"), "device_memory": number("device_memory"), "efficiency": number("efficiency"), "runs": number("runs"),
    })
}

/// PyTorch on the same instances: its segment-local form, and the published procedure.
fn race(arguments: &Arguments, reference: &Path) -> Result<Vec<Value>, Failure> {
    let (_, instances) = load(&arguments.source)?;
    let works: Vec<Value> = instances
        .items
        .iter()
        .map(|work| {
            let segments: Vec<Value> = work
                .segments
                .iter()
                .map(|segment| json!({"label": segment.behaviour.name(), "start": segment.start, "last": segment.last}))
                .collect();
            json!({"id": work.id, "ids": work.ids, "segments": segments})
        })
        .collect();
    let file = tempfile::NamedTempFile::new().map_err(Failure::failed)?;
    serde_json::to_writer(&file, &works).map_err(Failure::failed)?;
    let model = arguments.reference_model.as_ref().unwrap_or(&arguments.source.model);
    let definition = arguments.source.settings().definition.name();
    // A card that PyTorch knows too is raced on; everything else on one thread.
    let (place, precision) = arguments.machine.device.split_once('@').unwrap_or((&arguments.machine.device, "float32"));
    let (place, precision) = if place.starts_with("cuda") { (place, precision) } else { ("cpu", "float32") };
    let mut rows = Vec::new();
    for form in ["segment-local", "published"] {
        if form == "published" && arguments.skip_published {
            continue;
        }
        status!("measuring PyTorch, {form}, with 1 thread, on {place}");
        let mut command = Command::new(&arguments.python);
        command
            .arg("-")
            .arg(reference)
            .arg(model)
            .arg(file.path())
            .args([form, definition, place, precision])
            .env("OMP_NUM_THREADS", "1");
        rows.push(output_of(command, RACE)?);
    }
    Ok(rows)
}

/// The table, and what stands below it.
fn table(rounds: &Rounds, rows: &[Value]) -> (Vec<String>, Vec<String>) {
    let mut lines = vec![format!(
        "{:<24} {:>7} {:>24} {:>24} {:>9} {:>12} {:>20}",
        "", "threads", "seconds", "CPU seconds", "tokens/s", "peak memory", "efficiency"
    )];
    for (place, row) in rows.iter().enumerate() {
        let spread = |name: &str| rounds.spread(place, name).map_or_else(String::new, |spread| format!("{spread:.2}"));
        // On a device with memory of its own that is what counts, as in PyTorch's rows.
        let memory = row["device_memory"].as_f64().or_else(|| row["peak_memory"].as_f64());
        lines.push(format!(
            "{:<24} {:>7} {:>24} {:>24} {:>9} {:>12} {:>20}",
            row["what"].as_str().unwrap_or(""),
            row["threads"].to_string(),
            spread("seconds"),
            spread("processor_seconds"),
            row["tokens_per_second"].as_f64().map_or_else(String::new, |rate| format!("{rate:.0}")),
            memory.map_or_else(String::new, |bytes| format_bytes(bytes as u64)),
            spread("efficiency"),
        ));
    }
    let is_own = |row: &Value| row["what"] == "cruxscope";
    let Some(one) = rows.iter().position(|row| is_own(row) && row["threads"] == 1) else {
        return (lines, Vec::new());
    };
    let mut below = Vec::new();
    for (place, row) in rows.iter().enumerate().filter(|(place, _)| *place != one) {
        below.extend(if is_own(row) {
            let times = rounds.ratio(one, place, "seconds");
            times.map(|times| format!("{} threads: {times:.2} times as fast as one", row["threads"]))
        } else {
            let what = row["what"].as_str().unwrap_or("");
            let share = rounds.ratio(one, place, "processor_seconds");
            share.map(|share| format!("cruxscope on one thread takes {share:.2} of the CPU time of {what}"))
        });
    }
    (lines, below)
}
