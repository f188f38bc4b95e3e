//! `cruxscope bench device`: everything that a device does, in one command that needs no model and no data.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use clap::{Args, ValueEnum};
use cruxscope_demonstration::sample;
use cruxscope_run::instances::TraceSettings;
use cruxscope_run::interpret::InterpretSettings;
use cruxscope_run::placement::WeightsChoice;
use cruxscope_run::speed::device::{DeviceSettings, Job, measure};
use cruxscope_run::synthetic::{Published, Shape};
use cruxscope_study::{Definition, folder};
use serde_json::{Value, json};

use super::device_table::table;
use super::process::output_of;
use crate::failure::Failure;
use crate::numbers::{MOST_THREADS, MOST_TOKENS, number, whole};
use crate::output::{print_json, print_text, status};
use crate::progress::Progress;

/// PyTorch's products and attention, given to Python on standard input.
const RACE: &str = include_str!("device_race.py");
/// Puzzles of each kind that the small model's map is drawn from, where no model is given.
const PUZZLES: usize = 4;

/// Whose shape the checkpoint of random weights has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ShapeFlag {
    /// Llama 3.1 8B
    #[value(name = "llama-8b")]
    Llama8b,
    /// Llama 3.3 70B
    #[value(name = "llama-70b")]
    Llama70b,
    /// A model of half a million weights, to see that everything works
    Tiny,
}

#[derive(Debug, Args)]
pub struct Arguments {
    /// What to measure; `cruxscope devices` lists what there is
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Whose shape the checkpoint of random weights has
    #[arg(long, value_enum, default_value = "llama-8b")]
    shape: ShapeFlag,
    /// Layers of the checkpoint; times are carried over to the whole model
    #[arg(long, default_value_t = 2, value_parser = whole::<usize>(1, 1000))]
    layers: usize,
    /// Lengths of traces
    #[arg(long, value_delimiter = ',', default_value = "1200,8000,30000", value_parser = whole::<usize>(128, MOST_TOKENS))]
    tokens: Vec<usize>,
    /// Numbers of sequences that are generated side by side
    #[arg(long, value_delimiter = ',', default_value = "1,8,32", value_parser = whole::<usize>(1, 4096))]
    sequences: Vec<usize>,
    /// New tokens of each
    #[arg(long, default_value_t = 32, value_parser = whole::<usize>(2, MOST_TOKENS))]
    max_new_tokens: usize,
    /// Minutes for all of it; what would not end in time is left out
    #[arg(long, default_value_t = 20.0, value_parser = number(0.0, 10_000.0))]
    minutes: f64,
    /// A small model whose map is computed here and on the processors [default: the model of the demonstration, on its puzzles]
    #[arg(long, value_name = "DIR|FILE.gguf", requires_all = ["traces", "annotations"])]
    model: Option<PathBuf>,
    /// Its traces
    #[arg(long, value_name = "FILE.jsonl", requires = "model")]
    traces: Option<PathBuf>,
    /// Their annotations
    #[arg(long, value_name = "FILE.jsonl", requires = "model")]
    annotations: Option<PathBuf>,
    /// Maximum number of its instances
    #[arg(long, value_name = "N", requires = "model", value_parser = whole::<usize>(1, 100_000))]
    limit: Option<usize>,
    /// Measure PyTorch beside, run by this Python
    #[arg(long = "compare-python", value_name = "PYTHON")]
    python: Option<String>,
    /// Where the checkpoint of random weights is written meanwhile: 3 GB for two layers of llama-8b [default: the system's folder for
    /// temporary files]
    #[arg(long, value_name = "DIR")]
    work_dir: Option<PathBuf>,
    /// Write everything into this file too
    #[arg(long, value_name = "FILE.json")]
    out: Option<PathBuf>,
    /// Number of threads [default: number of CPUs]
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1, MOST_THREADS))]
    threads: Option<usize>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// The whole model's shape, and the size of the largest square product.
    fn whole(&self) -> Result<(Shape, usize), Failure> {
        let (model, largest) = match self.shape {
            ShapeFlag::Llama8b => (Published::Llama8b, 8192),
            ShapeFlag::Llama70b => (Published::Llama70b, 8192),
            ShapeFlag::Tiny => (Published::Tiny, 512),
        };
        Ok((Shape::of(model, None)?, largest))
    }

    /// The small model; the demonstration's own is written into the folder.
    fn small(&self, folder: &std::path::Path) -> Result<InterpretSettings, Failure> {
        let (model, traces, annotations) = match (&self.model, &self.traces, &self.annotations) {
            (Some(model), Some(traces), Some(annotations)) => (model.clone(), traces.clone(), annotations.clone()),
            _ => {
                let sample = sample::write(folder, PUZZLES)?;
                (sample.model, sample.traces, sample.annotations)
            }
        };
        Ok(InterpretSettings {
            model,
            traces: TraceSettings {
                traces,
                annotations,
                definition: Definition::Paper,
                reading: None,
                alignment: None,
                only: Vec::new(),
                first: self.limit,
                max_tokens: None,
            },
            out: folder.join("small"),
            device: self.device.clone(),
            weights: WeightsChoice::Automatic,
            device_memory: None,
            simulate_activations: false,
            channels: false,
            texts: false,
            title: None,
        })
    }
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    crate::settings::prepare_process(arguments.threads)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix("cruxscope-bench-");
    let folder = match &arguments.work_dir {
        Some(place) => builder.tempdir_in(place),
        None => builder.tempdir(),
    };
    let folder = folder.map_err(Failure::failed)?;
    let (whole, largest) = arguments.whole()?;
    let whole_layers = whole.config().layers;
    let is_tiny = arguments.shape == ShapeFlag::Tiny;
    let settings = DeviceSettings {
        device: arguments.device.clone(),
        shape: whole.with_layers(arguments.layers.min(whole_layers))?,
        whole_layers,
        tokens: arguments.tokens.clone(),
        sequences: arguments.sequences.clone(),
        new_tokens: arguments.max_new_tokens,
        windows: if is_tiny { (2, 64) } else { (4, 512) },
        draws: 4,
        largest,
        timing: Duration::from_millis(80),
        time: Duration::from_secs_f64(60.0 * arguments.minutes),
        small: Some(arguments.small(folder.path())?),
        job: Job::PUBLISHED,
        folder: folder.path().to_owned(),
    };
    status!("measuring {} for at most {} minutes", arguments.device, arguments.minutes);
    let mut progress = Progress::new();
    let report = measure(&settings, &mut progress);
    progress.finish();
    let report = report?;
    let pytorch = arguments.python.as_ref().map(|python| race(arguments, &settings, python)).transpose()?;
    let found = json!({
        "date": chrono::Utc::now().format("%Y-%m-%d").to_string(),
        "machine": crate::doctor::machine(),
        "shape": settings.shape.json(),
        "job": settings.job,
        "report": report,
        "pytorch": pytorch,
    });
    if let Some(out) = &arguments.out {
        let mut bytes = serde_json::to_vec_pretty(&found).map_err(Failure::failed)?;
        bytes.push(b'\n');
        folder::write_atomically(out, &bytes)?;
    }
    if arguments.json {
        print_json(&found)?;
    } else {
        print_text(&table(&found, &report))?;
    }
    if report.agrees() {
        Ok(())
    } else {
        Err(Failure::failed(anyhow::Error::msg(format!(
            "{} does not agree with the reference: its numbers cannot be trusted. The rows that say so are marked; please report them with \
             `cruxscope doctor`",
            arguments.device
        ))))
    }
}

/// PyTorch's rates at the same shapes.
fn race(arguments: &Arguments, settings: &DeviceSettings, python: &str) -> Result<Value, Failure> {
    let (place, precision) = arguments.device.split_once('@').unwrap_or((&arguments.device, "float32"));
    let place = if place.starts_with("cuda") { place } else { "cpu" };
    status!("measuring PyTorch on {place}");
    let shape = settings.shape.config();
    let asked = json!({
        "device": place,
        "precision": precision,
        "largest": settings.largest,
        "hidden": shape.hidden,
        "intermediate": shape.intermediate,
        "heads": shape.heads,
        "key_value_heads": shape.key_value_heads,
        "tokens": settings.tokens,
    });
    let mut command = Command::new(python);
    command.arg("-").arg(asked.to_string());
    if let Some(threads) = arguments.threads {
        command.env("OMP_NUM_THREADS", threads.to_string());
    }
    output_of(command, RACE)
}
