//! Flags that several commands share.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use cruxscope_run::instances::TraceSettings;
use cruxscope_run::interpret::InterpretSettings;
use cruxscope_run::placement::WeightsChoice;
use cruxscope_study::Definition;
use cruxscope_trace::{Alignment, Reading};

use crate::numbers::{MOST, MOST_THREADS, MOST_TOKENS, whole};

/// A model and its annotated traces.
#[derive(Clone, Debug, Args)]
pub struct Source {
    /// The model: a Hugging Face folder, or a GGUF file
    #[arg(long, value_name = "DIR|FILE.gguf")]
    pub model: PathBuf,
    /// Traces, one JSON object a line (plain or gzip): {"id","prompt","output"} or {"id","input_ids":[…]}
    #[arg(long, value_name = "FILE.jsonl")]
    pub traces: PathBuf,
    /// Annotations, one JSON object a line: {"id","annotated"} or {"id","segments":[{"label","start","last"}]} (token positions, last inclusive)
    #[arg(long, value_name = "FILE.jsonl")]
    pub annotations: PathBuf,
    /// The definition of importance: the paper's formulas, or what its reference implementation computes
    #[arg(long, value_enum, default_value_t)]
    pub definition: DefinitionChoice,
    /// Only these instances: ids separated by commas
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    pub instances: Vec<String>,
    /// Maximum number of instances, from the first
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1, MOST))]
    pub limit: Option<usize>,
    /// Maximum number of tokens of an instance; what lies beyond is cut [default: the model's context]
    #[arg(long = "max-length", alias = "max-tokens", value_name = "N", value_parser = whole::<usize>(1, MOST_TOKENS))]
    pub max_tokens: Option<usize>,
    /// How annotations are parsed [default: tolerant under paper, strict under reference]
    #[arg(long, value_enum)]
    pub reading: Option<ReadingChoice>,
    /// How sections are found in the text [default: forward-search under paper, published under reference]
    #[arg(long, value_enum)]
    pub alignment: Option<AlignmentChoice>,
}

impl Source {
    /// The settings of the engine.
    pub fn settings(&self) -> TraceSettings {
        let only = self.instances.iter().filter(|id| !id.is_empty()).cloned().collect();
        TraceSettings {
            traces: self.traces.clone(),
            annotations: self.annotations.clone(),
            definition: match self.definition {
                DefinitionChoice::Paper => Definition::Paper,
                DefinitionChoice::Released => Definition::Released,
            },
            reading: self.reading.map(|reading| match reading {
                ReadingChoice::Tolerant => Reading::Tolerant,
                ReadingChoice::Strict => Reading::Strict,
            }),
            alignment: self.alignment.map(|alignment| match alignment {
                AlignmentChoice::ForwardSearch => Alignment::ForwardSearch,
                AlignmentChoice::Published => Alignment::Published,
            }),
            only,
            first: self.limit,
            max_tokens: self.max_tokens,
        }
    }
}

/// See [`Definition`].
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum DefinitionChoice {
    /// The paper's formulas
    #[default]
    Paper,
    /// What the published code computes, its quirks included
    #[value(name = "reference", alias = "released")]
    Released,
}

/// See [`Reading`].
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ReadingChoice {
    /// Numbered and capitalised labels too; a nested opening tag closes the section around it
    Tolerant,
    /// As the published parser
    Strict,
}

/// See [`Alignment`].
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum AlignmentChoice {
    /// Forward from the last match, output before prompt
    ForwardSearch,
    /// The longest common block anywhere, as the published code finds it
    Published,
}

/// Where a model runs.
#[derive(Clone, Debug, Args)]
pub struct Machine {
    /// Where to compute: cpu, vulkan, wgpu, cuda, or one of several such as cuda:1; `cruxscope devices` lists them; cuda@bfloat16 takes products in bfloat16
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// Where weights live: in memory if they fit, or read layer by layer
    #[arg(long, value_enum, default_value_t)]
    pub weights: WeightsFlag,
    /// Number of threads [default: number of CPUs]
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1, MOST_THREADS))]
    pub threads: Option<usize>,
}

/// The memory of a card, also of one that is not here.
#[derive(Clone, Copy, Debug, Args)]
pub struct DeviceMemory {
    /// Device memory in GiB [default: queried from the NVIDIA driver]
    #[arg(long, value_name = "GIB", value_parser = gibibytes)]
    device_memory: Option<f64>,
}

impl DeviceMemory {
    /// The same in bytes.
    pub fn bytes(self) -> Option<u64> {
        self.device_memory.map(|gibibytes| (gibibytes * f64::from(1 << 30)) as u64)
    }
}

/// A number of GiB.
fn gibibytes(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number < 1e6 => Ok(number),
        _ => Err(format!("\"{text}\" is no number of GiB")),
    }
}

impl Machine {
    /// See [`prepare_process`].
    pub fn prepare_process(&self) -> Result<(), crate::failure::Failure> {
        prepare_process(self.threads)
    }
}

/// Makes this process one that computes, once, before anything runs: fixes the number of threads and how memory is kept.
pub fn prepare_process(threads: Option<usize>) -> Result<(), crate::failure::Failure> {
    crate::memory::keep_freed();
    match threads {
        None => Ok(()),
        Some(0) => Err(crate::failure::Failure::mistake("--threads is 0, but at least one is needed")),
        Some(threads) => rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build_global()
            .map_err(crate::failure::Failure::failed),
    }
}

/// An interpretation: of what, where, into which folder.
#[derive(Clone, Debug, Args)]
pub struct Interpretation {
    #[command(flatten)]
    pub source: Source,
    /// The folder of the study; a run that was stopped goes on there
    #[arg(long, value_name = "STUDY")]
    pub out: PathBuf,
    #[command(flatten)]
    pub machine: Machine,
    #[command(flatten)]
    pub device_memory: DeviceMemory,
    /// Keep the per-channel maps as well (4 bytes a channel and behaviour)
    #[arg(long)]
    pub channels: bool,
    /// Leave the texts of the traces out of the study
    #[arg(long = "omit-trace-text", alias = "no-texts")]
    pub no_texts: bool,
    /// A title for people [default: the model's name]
    #[arg(long)]
    pub title: Option<String>,
    /// Round what linear maps read as an FP8, INT8 or NVFP4 checkpoint asks for (compressed-tensors, fp8); gradients go through the rounding as if it were not there
    #[arg(long)]
    pub simulate_activations: bool,
}

impl Interpretation {
    /// The settings of the engine.
    pub fn settings(&self) -> InterpretSettings {
        InterpretSettings {
            model: self.source.model.clone(),
            traces: self.source.settings(),
            out: self.out.clone(),
            device: self.machine.device.clone(),
            weights: self.machine.weights.into(),
            device_memory: self.device_memory.bytes(),
            channels: self.channels,
            texts: !self.no_texts,
            title: self.title.clone(),
            simulate_activations: self.simulate_activations,
        }
    }
}

/// See [`WeightsChoice`].
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum WeightsFlag {
    /// In memory if they fit
    #[default]
    Auto,
    /// In memory, or not at all
    Resident,
    /// Read layer by layer, twice a batch of instances
    Streamed,
}

impl From<WeightsFlag> for WeightsChoice {
    fn from(flag: WeightsFlag) -> Self {
        match flag {
            WeightsFlag::Auto => Self::Automatic,
            WeightsFlag::Resident => Self::Resident,
            WeightsFlag::Streamed => Self::Streamed,
        }
    }
}

/// What the window remembers: in `CRUXSCOPE_STATE`, or where the system keeps what programs remember.
pub fn remembered() -> cruxscope_window::remembered::Remembered {
    let of = |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = |rest: &[&str]| of("HOME").map(|home| rest.iter().fold(home, |path, part| path.join(part)));
    let base = if cfg!(windows) {
        of("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        home(&["Library", "Application Support"])
    } else {
        of("XDG_STATE_HOME").or_else(|| home(&[".local", "state"]))
    };
    let folder = of("CRUXSCOPE_STATE").or_else(|| base.map(|base| base.join("cruxscope")));
    folder.map_or_else(Default::default, cruxscope_window::remembered::Remembered::within)
}
