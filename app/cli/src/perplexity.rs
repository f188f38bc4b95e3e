//! `cruxscope perplexity`: the cheap yardstick, on every model that can be loaded.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use cruxscope_checkpoint::Checkpoint;
use cruxscope_model::decoder::{Decoder, Residence};
use cruxscope_model::kernels::Kernels;
use cruxscope_model::{device, with_kernels};
use cruxscope_run::perplexity::{Perplexity, perplexity};
use cruxscope_run::windows::{WindowSets, WindowSource};
use cruxscope_run::{RunError, activations};

use crate::failure::Failure;
use crate::numbers::{MOST, MOST_TOKENS, whole};
use crate::output::{print_json, print_text};
use crate::progress::Progress;
use crate::settings::{Machine, WeightsFlag};

#[derive(Debug, Args)]
pub struct Arguments {
    /// The model: a Hugging Face folder, or a GGUF file
    #[arg(long, value_name = "DIR|FILE.gguf")]
    model: PathBuf,
    /// Token ids: a safetensors file with arrays [windows, length] of int32 or int64
    #[arg(long, value_name = "FILE.safetensors", conflicts_with = "text", required_unless_present = "text")]
    tokens: Option<PathBuf>,
    /// Only this array of the file
    #[arg(long, requires = "tokens")]
    array: Option<String>,
    /// Plain text, tokenized as the model reads it and cut into windows
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// Tokens of a window of text
    #[arg(long = "sequence-length", alias = "length", value_name = "N", default_value_t = 512, requires = "text", value_parser = whole::<usize>(2, MOST_TOKENS))]
    length: usize,
    /// Maximum number of windows of each set
    #[arg(long = "limit", alias = "windows", value_name = "N", value_parser = whole::<usize>(1, MOST))]
    windows: Option<usize>,
    /// Round what linear maps read as an FP8, INT8 or NVFP4 checkpoint asks for (compressed-tensors, fp8)
    #[arg(long)]
    simulate_activations: bool,
    #[command(flatten)]
    machine: Machine,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    arguments.machine.prepare_process()?;
    let device = device::find(&arguments.machine.device).map_err(RunError::from)?;
    let checkpoint = Arc::new(activations::open(&arguments.model, arguments.simulate_activations)?);
    checkpoint.notes().iter().for_each(|note| eprintln!("note: {note}"));
    let source = match (&arguments.tokens, &arguments.text) {
        (Some(path), _) => WindowSource::Tokens {
            path: path.clone(),
            array: arguments.array.clone(),
        },
        (None, Some(path)) => WindowSource::Text {
            path: path.clone(),
            length: arguments.length,
        },
        (None, None) => return Err(Failure::mistake("give --tokens or --text")),
    };
    let sets = source.read(&checkpoint, arguments.windows)?;
    let residence = match arguments.machine.weights {
        WeightsFlag::Streamed => Residence::Streamed,
        WeightsFlag::Auto | WeightsFlag::Resident => Residence::Resident,
    };
    let found = with_kernels!(device, |kernels| measure(checkpoint, kernels, residence, &sets))?;
    if arguments.json {
        return print_json(&found);
    }
    let width = found.keys().map(String::len).max().unwrap_or(0);
    let mut lines = vec![format!("{:<width$}  perplexity  predictions  windows", "")];
    lines.extend(
        found
            .iter()
            .map(|(name, found)| format!("{name:<width$}  {:>10.4}  {:>11}  {:>7}", found.perplexity, found.predictions, found.windows)),
    );
    print_text(&lines.join("\n"))
}

fn measure<K: Kernels>(checkpoint: Arc<Checkpoint>, kernels: K, residence: Residence, sets: &WindowSets) -> Result<BTreeMap<String, Perplexity>, Failure> {
    let decoder = Decoder::new(checkpoint, kernels, residence).map_err(RunError::from)?;
    let mut progress = Progress::new();
    let found = sets
        .iter()
        .map(|(name, windows)| Ok((name.clone(), perplexity(&decoder, windows, &mut progress)?)))
        .collect::<Result<_, RunError>>();
    progress.finish();
    Ok(found?)
}
