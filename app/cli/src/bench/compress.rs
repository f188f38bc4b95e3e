//! `cruxscope bench compress`: every method on one model: seconds, peak memory, and the perplexity of what comes out.
//!
//! Every row is a command line of `cruxscope compress`, so that any of them can be run alone. Each run is a process of its own; another
//! build of the program can take turns with this one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use clap::{Args, FromArgMatches as _};
use cruxscope_checkpoint::Checkpoint;
use cruxscope_checkpoint::writer::StoredAs;
use cruxscope_compress::recipe::Recipe;
use cruxscope_model::decoder::{Decoder, Residence};
use cruxscope_model::kernels::cpu::CpuKernels;
use cruxscope_run::compress::{Basis, CompressSettings, Compression};
use cruxscope_run::machine::{format_bytes, peak_memory, processor_time};
use cruxscope_run::perplexity::perplexity;
use cruxscope_run::windows::{Calibration, WindowSource};
use cruxscope_run::{RunError, Silent};
use serde::{Deserialize, Serialize};

use super::process::output_of;
use super::rounds::Spread;
use crate::compress::method::{Method, MethodArguments};
use crate::failure::Failure;
use crate::numbers::{MOST_THREADS, whole};
use crate::output::{print_json, print_text, status};

/// The rows: a name, and what stands after `cruxscope compress`. AWQ reads two calibration windows, the others all.
const JOBS: &[(&str, &str)] = &[
    ("original", ""),
    ("rtn5_g64_asym", "--method rtn --bits 5 --group-size 64"),
    ("rtn4_g32_asym", "--method rtn --bits 4 --group-size 32"),
    ("rtn4_g64_asym", "--method rtn --bits 4 --group-size 64"),
    ("rtn4_g128ragged_asym", "--method rtn --bits 4 --group-size 128 --grid gptq-asym"),
    ("rtn4_row_asym", "--method rtn --bits 4 --group-size -1"),
    ("rtn3_g64_asym", "--method rtn --bits 3 --group-size 64"),
    ("rtn3_g128ragged_asym", "--method rtn --bits 3 --group-size 128 --grid gptq-asym"),
    ("rtn3_row_asym", "--method rtn --bits 3 --group-size -1"),
    ("sel_29up_rtn3_g64", "--method rtn --bits 3 --group-size 64 --only 30_up"),
    ("sel_0up_rtn3_g64", "--method rtn --bits 3 --group-size 64 --only 1_up"),
    ("sel_29up_rtn3_row", "--method rtn --bits 3 --group-size -1 --only 30_up"),
    ("sel_0up_rtn3_row", "--method rtn --bits 3 --group-size -1 --only 1_up"),
    (
        "gptq4_g64_asym",
        "--method gptq --bits 4 --group-size 64 --act-order none --compatibility original",
    ),
    (
        "gptq3_g64_asym",
        "--method gptq --bits 3 --group-size 64 --act-order none --compatibility original",
    ),
    (
        "gptq3_g64_asym_act_static",
        "--method gptq --bits 3 --group-size 64 --act-order descending --static-groups --compatibility original",
    ),
    (
        "gptaq3_g64_asym",
        "--method gptaq --bits 3 --group-size 64 --act-order none --compatibility original",
    ),
    ("awq4_g64", "--method awq --bits 4 --group-size 64"),
    ("awq3_g64", "--method awq --bits 3 --group-size 64"),
    ("awq3_g64_protect_last_mlp", "--method awq --bits 3 --group-size 64 --protect final-mlp"),
    ("sparsegpt30", "--method sparsegpt --sparsity 0.3"),
    ("sparsegpt50", "--method sparsegpt --sparsity 0.5"),
    ("wanda50", "--method wanda --sparsity 0.5"),
    ("alphapruning50_eps0.2", "--method alphapruning --sparsity 0.5 --epsilon 0.2"),
    ("awq3_g64_grams", "--method awq --bits 3 --group-size 64 --objective grams"),
    ("gptq3_g64_group_aware", "--method gptq --bits 3 --group-size 64"),
    ("any3_g64", "--method any --bits 3 --group-size 64"),
    ("any4_g64", "--method any --bits 4 --group-size 64"),
    ("magnitude50", "--method magnitude --sparsity 0.5"),
];

/// Windows that AWQ calibrates on.
const AWQ_WINDOWS: usize = 2;
/// Windows of each set that perplexity is measured on.
const WINDOWS: usize = 4;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The model: a Hugging Face folder, or a GGUF file
    #[arg(long, value_name = "DIR|FILE.gguf")]
    model: PathBuf,
    /// Token ids: a safetensors file with arrays [windows, length]; one calibrates, and perplexity is measured on the others
    #[arg(long, value_name = "FILE.safetensors")]
    tokens: PathBuf,
    /// The array that calibrates
    #[arg(long, default_value = "calib")]
    calibration_array: String,
    /// Only these rows, separated by commas
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Other programs' results to hold against these: JSON, a list of {"job", "ppl_<set>", "seconds_compress"}
    #[arg(long, value_name = "FILE.json")]
    reference: Option<PathBuf>,
    /// Number of threads
    #[arg(long, default_value_t = 1, value_parser = whole::<usize>(1, MOST_THREADS))]
    threads: usize,
    /// Timed runs of every row; medians count
    #[arg(long, default_value_t = 1, value_parser = whole::<usize>(1, 10_000))]
    runs: usize,
    /// Another build of this program, whose runs take turns with this one's
    #[arg(long, value_name = "PROGRAM")]
    beside: Option<PathBuf>,
    /// Versions of every row that factors a Hessian, with a damping that differs in its last places: a layer's rounding decides what
    /// the next one sees, so results that ought to be the same are not, and their range is printed
    #[arg(long = "repeats", alias = "draws", default_value_t = 1, value_parser = whole::<usize>(1, 10_000))]
    draws: usize,
    /// Print as JSON
    #[arg(long)]
    json: bool,
    /// One row, in this process
    #[arg(long, hide = true)]
    alone: Option<String>,
    /// Of that row the time alone, without perplexity
    #[arg(long, hide = true, requires = "alone")]
    timed: bool,
}

/// A row, measured.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    job: String,
    command: String,
    seconds: f64,
    processor_seconds: Option<f64>,
    /// What the plan said before, where the method reads text.
    planned_seconds: Option<f64>,
    peak_memory: Option<u64>,
    zeros: f64,
    perplexity: BTreeMap<String, f64>,
    /// The lowest and the highest of all draws.
    range: BTreeMap<String, [f64; 2]>,
    /// What all runs took, once there were several: this program's, and of another build's.
    #[serde(default)]
    timing: Option<Timing>,
}

/// Processor seconds of runs in turn, or seconds where the system tells no others.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Timing {
    /// Of this program.
    own: Spread,
    /// Of the other build.
    beside: Option<Spread>,
    /// Times as fast as the other build, run by run.
    faster: Option<Spread>,
}

impl Row {
    /// What counts of a run.
    fn took(&self) -> f64 {
        self.processor_seconds.unwrap_or(self.seconds)
    }
}

/// What a draw adds to the damping, as a share of it.
const NUDGE: f64 = 1e-6;

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    if let Some(job) = &arguments.alone {
        crate::settings::prepare_process(Some(arguments.threads))?;
        return print_json(&measure(arguments, job)?);
    }
    if let Some(unknown) = arguments.rows.iter().find(|row| !JOBS.iter().any(|(job, _)| job == row)) {
        let known: Vec<&str> = JOBS.iter().map(|(job, _)| *job).collect();
        return Err(Failure::mistake(format!("there is no row {unknown}; there are {}", known.join(", "))));
    }
    let references = references(arguments)?;
    let wanted: Vec<&str> = JOBS
        .iter()
        .map(|(job, _)| *job)
        .filter(|job| arguments.rows.is_empty() || arguments.rows.iter().any(|row| row == job))
        .collect();
    let mut rows = Vec::new();
    let program = std::env::current_exe().map_err(Failure::failed)?;
    for (done, job) in wanted.iter().enumerate() {
        status!("{} of {}: {job}", done + 1, wanted.len());
        let (mut first, mut own, mut others) = (None, Vec::new(), Vec::new());
        for run in 0..arguments.runs {
            let row = one_run(arguments, &program, job, (run == 0).then_some(arguments.draws))?;
            own.push(row.took());
            first.get_or_insert(row);
            if let Some(other) = &arguments.beside {
                others.push(one_run(arguments, other, job, Some(1))?.took());
            }
        }
        let Some(mut row) = first else { continue };
        row.timing = Spread::of(own.iter().copied()).map(|spread| Timing {
            own: spread,
            beside: Spread::of(others.iter().copied()),
            faster: Spread::of(own.iter().zip(&others).map(|(own, other)| other / own.max(0.01))),
        });
        if !arguments.json {
            if rows.is_empty() {
                print_text(&head(&row))?;
            }
            print_text(&line(&row, references.get(*job)))?;
        }
        rows.push(row);
    }
    if arguments.json {
        return print_json(&rows);
    }
    Ok(())
}

/// A row in a process of its own, by this program or another build of it: with the perplexity of so many draws, or the time alone, which
/// an earlier build may not know.
fn one_run(arguments: &Arguments, program: &Path, job: &str, draws: Option<usize>) -> Result<Row, Failure> {
    let mut command = Command::new(program);
    command
        .args(["--quiet", "bench", "compress", "--json", "--alone", job, "--model"])
        .arg(&arguments.model);
    command
        .arg("--tokens")
        .arg(&arguments.tokens)
        .args(["--calibration-array", &arguments.calibration_array]);
    command.args(["--threads", &arguments.threads.to_string()]);
    match draws {
        Some(draws) => command.args(["--repeats", &draws.to_string()]),
        None => command.arg("--timed"),
    };
    serde_json::from_value(output_of(command, "")?).map_err(Failure::failed)
}

/// Measures a row: compresses into a folder that is removed after, and reads the sets with what came out.
fn measure(arguments: &Arguments, job: &str) -> Result<Row, Failure> {
    let Some((_, words)) = JOBS.iter().find(|(known, _)| *known == job) else {
        return Err(Failure::mistake(format!("there is no row {job}")));
    };
    let folder = tempfile::tempdir().map_err(Failure::failed)?;
    let (began, processor) = (Instant::now(), processor_time());
    let Compressed { model, zeros, planned } = compressed(arguments, words, 0, folder.path())?;
    let seconds = began.elapsed().as_secs_f64();
    let processor_seconds = processor
        .zip(processor_time())
        .map(|(before, after)| after.saturating_sub(before).as_secs_f64());
    let peak_memory = peak_memory();
    let found = if arguments.timed { BTreeMap::new() } else { perplexities(arguments, &model)? };
    let mut range: BTreeMap<String, [f64; 2]> = found.iter().map(|(name, value)| (name.clone(), [*value; 2])).collect();
    let damped = ["gptq ", "gptaq ", "sparsegpt ", "alphapruning "]
        .iter()
        .any(|method| words.contains(&format!("--method {method}")));
    for draw in 1..if damped && !arguments.timed { arguments.draws } else { 1 } {
        let folder = tempfile::tempdir().map_err(Failure::failed)?;
        let model = compressed(arguments, words, draw, folder.path())?.model;
        for (name, value) in perplexities(arguments, &model)? {
            if let Some([low, high]) = range.get_mut(&name) {
                (*low, *high) = (low.min(value), high.max(value));
            }
        }
    }
    Ok(Row {
        job: job.into(),
        command: format!("cruxscope compress {words}"),
        seconds,
        processor_seconds,
        planned_seconds: planned,
        peak_memory,
        zeros,
        perplexity: found,
        range,
        timing: None,
    })
}

/// What comes out of a row.
struct Compressed {
    /// The model; the one given where nothing is done to it.
    model: PathBuf,
    /// The share of its weights that are zero.
    zeros: f64,
    /// The seconds that the plan expected, where the method reads text.
    planned: Option<f64>,
}

fn compressed(arguments: &Arguments, words: &str, draw: usize, folder: &Path) -> Result<Compressed, Failure> {
    if words.is_empty() {
        return Ok(Compressed {
            model: arguments.model.clone(),
            zeros: 0.0,
            planned: None,
        });
    }
    let RowArguments { mut method, only, protect, .. } = parse(words)?;
    method.damping *= 1.0 + draw as f64 * NUDGE;
    let awq = matches!(method.method, Some(Method::Awq));
    let settings = CompressSettings {
        model: arguments.model.clone(),
        out: folder.join("model"),
        recipe: Recipe::of(method.treatment()?, only.as_deref(), protect.as_deref()),
        calibration: Some(Calibration {
            source: WindowSource::Tokens {
                path: arguments.tokens.clone(),
                array: Some(arguments.calibration_array.clone()),
            },
            windows: awq.then_some(AWQ_WINDOWS),
            seed: None,
        }),
        stored_as: StoredAs::Float32,
        packed: None,
        basis: Basis::Original,
    };
    let compression = Compression::prepare(&settings)?;
    let planned = compression.plan().time.map(|time| time.as_secs_f64());
    let report = compression.run(&mut Silent)?;
    let count = report.components.len().max(1) as f64;
    Ok(Compressed {
        zeros: report.components.iter().map(|component| component.sparsity).sum::<f64>() / count,
        model: settings.out,
        planned,
    })
}

/// Perplexity on every array but the one that calibrates.
fn perplexities(arguments: &Arguments, model: &Path) -> Result<BTreeMap<String, f64>, Failure> {
    let checkpoint = Arc::new(Checkpoint::open(model).map_err(RunError::from)?);
    let all = WindowSource::Tokens {
        path: arguments.tokens.clone(),
        array: None,
    };
    let mut sets = all.read(&checkpoint, Some(WINDOWS))?;
    sets.remove(&arguments.calibration_array);
    let decoder = Decoder::new(checkpoint, CpuKernels, Residence::Resident).map_err(RunError::from)?;
    let mut found = BTreeMap::new();
    for (name, windows) in sets {
        found.insert(name, perplexity(&decoder, &windows, &mut Silent)?.perplexity);
    }
    Ok(found)
}

/// The flags of `cruxscope compress` that rows use.
#[derive(Debug, Args)]
struct RowArguments {
    #[command(flatten)]
    method: MethodArguments,
    #[arg(long)]
    only: Option<String>,
    #[arg(long)]
    protect: Option<String>,
    /// What `--method` may stand in for elsewhere.
    #[arg(long)]
    recipe: Option<PathBuf>,
}

fn parse(words: &str) -> Result<RowArguments, Failure> {
    let command = RowArguments::augment_args(clap::Command::new("compress").no_binary_name(true));
    let matches = command.try_get_matches_from(words.split_whitespace()).map_err(Failure::failed)?;
    RowArguments::from_arg_matches(&matches).map_err(Failure::failed)
}

/// What another program measured, by row.
fn references(arguments: &Arguments) -> Result<BTreeMap<String, serde_json::Value>, Failure> {
    let Some(path) = &arguments.reference else { return Ok(BTreeMap::new()) };
    let unusable = |why: String| Failure::mistake(format!("{} cannot be used: {why}", path.display()));
    let text = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&text).map_err(|error| unusable(error.to_string()))?;
    Ok(rows.into_iter().filter_map(|row| Some((row.get("job")?.as_str()?.to_owned(), row))).collect())
}

fn head(row: &Row) -> String {
    let sets: String = row.perplexity.keys().map(|name| format!(" {:>21}", name.trim_start_matches("eval_"))).collect();
    format!(
        "{:<27}{sets} {:>24} {:>9} {:>9} {:>14}  {:<6} {}",
        "row", "CPU seconds", "", "planned", "peak memory", "zeros", "beside it"
    )
}

fn line(row: &Row, reference: Option<&serde_json::Value>) -> String {
    let number = |name: &str| reference.and_then(|reference| reference.get(name)?.as_f64());
    let mut text = format!("{:<27}", row.job);
    for (name, found) in &row.perplexity {
        let other = number(&format!("ppl_{}", name.trim_start_matches("eval_")));
        let compared = other.map_or_else(String::new, |other| format!("({:+.2} %)", 100.0 * (found / other - 1.0)));
        text += &format!(" {found:>10.4} {compared:>10}");
        if let Some([low, high]) = row.range.get(name).filter(|[low, high]| low < high) {
            text += &format!(" [{low:.2}, {high:.2}]");
        }
    }
    let seconds = row.timing.map_or(row.took(), |timing| timing.own.median);
    let spread = row.timing.map_or_else(|| format!("{seconds:.1}"), |timing| format!("{:.1}", timing.own));
    let faster = number("seconds_compress").map_or_else(String::new, |other| format!("({:.1}x)", other / seconds.max(0.01)));
    let planned = row.planned_seconds.map_or_else(String::new, |planned| format!("{planned:.1}"));
    let memory = row.peak_memory.map_or_else(String::new, format_bytes);
    let beside = row.timing.and_then(|timing| timing.beside.zip(timing.faster));
    let beside = beside.map_or_else(String::new, |(beside, faster)| format!("{beside:.1}, {faster:.2} times as long"));
    text += &format!(" {spread:>24} {faster:>9} {planned:>9} {memory:>14}  {:.4} {beside}", row.zeros);
    text.trim_end().into()
}
