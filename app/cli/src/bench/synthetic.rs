//! `cruxscope bench checkpoint`: random weights in a real model's shape, or what interpreting such a model would take.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use cruxscope_run::machine::format_bytes;
use cruxscope_run::place::{Place, found_or_planned};
use cruxscope_run::synthetic::{Published, Shape, write};

use crate::failure::Failure;
use crate::numbers::whole;
use crate::output::status;
use crate::progress::Progress;
use crate::settings::DeviceMemory;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ShapeFlag {
    /// Llama 3.1 8B: 16 GB
    #[value(name = "llama-8b")]
    Llama8b,
    /// Llama 3.3 70B: 141 GB
    #[value(name = "llama-70b")]
    Llama70b,
    /// Qwen3-30B-A3B, 128 experts: 61 GB
    #[value(name = "qwen3-30b-a3b")]
    Qwen3A3b,
    /// gpt-oss-20b, 32 experts, in bfloat16: 42 GB
    #[value(name = "gpt-oss-20b")]
    GptOss20b,
    /// DeepSeek-R1, 256 experts: 1.3 TB
    #[value(name = "deepseek-r1")]
    DeepSeekR1,
}

impl ShapeFlag {
    fn published(self) -> Published {
        match self {
            Self::Llama8b => Published::Llama8b,
            Self::Llama70b => Published::Llama70b,
            Self::Qwen3A3b => Published::Qwen3A3b,
            Self::GptOss20b => Published::GptOss20b,
            Self::DeepSeekR1 => Published::DeepSeekR1,
        }
    }
}

#[derive(Debug, Args)]
pub struct Arguments {
    /// Whose shape
    #[arg(long, value_enum)]
    shape: ShapeFlag,
    /// The Hugging Face folder to write
    #[arg(long, value_name = "DIR", required_unless_present = "dry_run")]
    out: Option<PathBuf>,
    /// Only so many layers
    #[arg(long, value_parser = whole::<usize>(1, 10_000))]
    layers: Option<usize>,
    /// The seed of the weights
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print what `interpret` would take, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: instances
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = whole::<usize>(1, 1_000_000), requires = "dry_run")]
    instances: usize,
    /// With --dry-run: tokens of an instance, of which a third are in one of its segments of 50
    #[arg(long, value_name = "N", default_value_t = 3600, value_parser = whole::<usize>(1, 1_000_000), requires = "dry_run")]
    tokens: usize,
    /// With --dry-run: the device
    #[arg(long, default_value = "cpu", requires = "dry_run")]
    device: String,
    #[command(flatten)]
    device_memory: DeviceMemory,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let shape = Shape::of(arguments.shape.published(), arguments.layers)?;
    status!("{} in bf16", format_bytes(shape.bytes()));
    if arguments.dry_run {
        return plan(&shape, arguments);
    }
    let Some(out) = &arguments.out else {
        return Err(Failure::mistake("--out says where to write the checkpoint; it is missing"));
    };
    let mut progress = Progress::new();
    let written = write(&shape, out, arguments.seed, &mut progress);
    progress.finish();
    written?;
    status!(
        "checkpoint in {}; its weights are random, so only speed and memory mean anything",
        out.display()
    );
    Ok(())
}

/// What interpreting instances with this model takes, without the model.
fn plan(shape: &Shape, arguments: &Arguments) -> Result<(), Failure> {
    let memory = arguments.device_memory.bytes();
    let device = found_or_planned(&arguments.device, memory)?;
    let place = Place::of_weights(device.as_ref(), &arguments.device, true, memory)?;
    let rows = (arguments.tokens / 3).max(1);
    let placement = shape.placed(arguments.instances, arguments.tokens, rows.div_ceil(50), rows, &place)?;
    for placed in &placement.words {
        status!("{:<13} {}", placed.what, placed.place);
    }
    if placement.memory.device > 0 {
        status!("memory        about {} of the device's own", format_bytes(placement.memory.device));
    }
    status!("memory        about {} of the machine's", format_bytes(placement.memory.machine));
    Ok(())
}
