//! `cruxscope bench sensitivity`: how well a sketch predicts, and what its recipes win, measured beside every other rule in one run.
//!
//! Sketches with several seeds of labels on one set of windows; recipes of several sizes by every rule from each of them; all measured
//! on another set; and every matrix compressed alone, for the rank correlations. Everything is kept in the folder, so that a run that
//! was stopped goes on, and one with more seeds or sizes measures what is new: sketches by window, recipes one by one, each once however
//! many rules choose it.

mod measure;
mod summary;
mod table;

use std::path::PathBuf;
use std::process::Command;

use clap::Args;
use cruxscope_run::RunError;
use cruxscope_run::windows::{Calibration, WindowSource};
use cruxscope_sensitivity::rules::Rule;
use cruxscope_study::folder;
use serde_json::{Value, json};

use super::process::output_of;
use crate::failure::Failure;
use crate::numbers::{MOST, MOST_THREADS, number, share, whole};
use crate::output::{print_json, print_text, status};
use crate::progress::Progress;

/// The same sketch in PyTorch, given to Python on standard input.
const RACE: &str = include_str!("race.py");

#[derive(Debug, Args)]
pub struct Arguments {
    /// The model: a Hugging Face folder, or a GGUF file
    #[arg(long, value_name = "DIR|FILE.gguf")]
    model: PathBuf,
    /// Token ids: a safetensors file with arrays [windows, length]
    #[arg(long, value_name = "FILE.safetensors")]
    tokens: PathBuf,
    /// The array that is sketched, and that calibrates if there is no other
    #[arg(long, default_value = "calib")]
    calibration_array: String,
    /// The array that calibrates methods of the menu that have to know the inputs of a matrix [default: the sketched one]
    #[arg(long, value_name = "NAME")]
    methods_array: Option<String>,
    /// The array that recipes are measured on
    #[arg(long, default_value = "eval_reasoning")]
    evaluation_array: String,
    /// Windows that recipes are measured on
    #[arg(long, default_value_t = 2, value_parser = whole::<usize>(1, MOST))]
    evaluation_windows: usize,
    /// Windows that uniform formats, and recipes of the sizes of --precise, are measured on
    #[arg(long, default_value_t = 8, value_parser = whole::<usize>(1, MOST))]
    precise_windows: usize,
    /// Those of the sizes whose recipes are measured on --precise-windows
    #[arg(long, value_name = "BITS", value_delimiter = ',', num_args = 0.., default_value = "4.5", value_parser = share(64.0))]
    precise: Vec<f64>,
    /// The menu
    #[arg(long, default_value = "rtn-3-g64,rtn-4-g64,rtn-5-g64,rtn-6-g64,rtn-7-g64,rtn-8-g64")]
    formats: String,
    /// A compressed checkpoint of the same model, as a format of the menu; can be given several times
    #[arg(long, value_name = "DIR|FILE.gguf")]
    candidate: Vec<PathBuf>,
    /// Sizes of recipes, in stored bits a weight
    #[arg(long, value_name = "BITS", value_delimiter = ',', num_args = 0.., default_value = "4.0,4.5,5.0", value_parser = share(64.0))]
    sizes: Vec<f64>,
    /// Shares of the weights, in percent, in the largest format over the smallest
    #[arg(long, value_name = "PERCENT", value_delimiter = ',', num_args = 0.., default_value = "2,10", value_parser = number(0.0, 100.0))]
    protected: Vec<f64>,
    /// Recipes of each method alone too, where the menu holds several
    #[arg(long)]
    each_method: bool,
    /// Rules that choose recipes, separated by commas [default: all, without the first order of the loss]
    #[arg(long, value_name = "RULES", value_delimiter = ',')]
    rules: Vec<Rule>,
    /// Draws of labels for each window
    #[arg(long, default_value_t = 24, value_parser = whole::<usize>(1, 1024))]
    draws: usize,
    /// Sketches, each with a seed of its own
    #[arg(long, default_value_t = 3, value_parser = whole::<u64>(1, 10_000))]
    seeds: u64,
    /// Random permutations for each size and seed
    #[arg(long, default_value_t = 1, value_parser = whole::<usize>(0, 10_000))]
    controls: usize,
    /// Windows on which every matrix is compressed alone, by the first format; 0 leaves that out
    #[arg(long, default_value_t = 2, value_parser = whole::<usize>(0, MOST))]
    alone_windows: usize,
    /// Windows of the sketched array on which a second round goes from the first seed's recipes, in measured steps; 0 leaves that out
    #[arg(long, default_value_t = 0, value_parser = whole::<usize>(0, MOST))]
    second_round_windows: usize,
    /// A study of `cruxscope interpret` with the model's importance, for the paper's rule
    #[arg(long, value_name = "STUDY")]
    importance: Option<PathBuf>,
    /// The folder of what is finished, with bench.json and bench.txt at the end
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Where to compute
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Number of threads [default: number of CPUs]
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1, MOST_THREADS))]
    threads: Option<usize>,
    /// Sketch in PyTorch too, run by this Python, as often as one seed here; for a menu of rtn formats
    #[arg(long = "compare-python", value_name = "PYTHON")]
    python: Option<String>,
    /// The same model as a Hugging Face folder, for it [default: --model]
    #[arg(long, value_name = "DIR")]
    reference_model: Option<PathBuf>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// The sketch in PyTorch.
fn race(arguments: &Arguments, python: &str) -> Result<Value, Failure> {
    let menu = cruxscope_sensitivity::menu::read_menu(&arguments.formats).map_err(RunError::from)?;
    let rounded = |name: &str| -> Option<[u64; 2]> {
        let (bits, group) = name.strip_prefix("rtn-")?.split_once("-g")?;
        Some([bits.parse().ok()?, group.parse().ok()?])
    };
    let formats: Option<Vec<[u64; 2]>> = menu.iter().map(|format| rounded(&format.name)).collect();
    let Some(formats) = formats else {
        return Err(Failure::mistake(
            "--compare-python sketches formats of round-to-nearest alone, such as rtn-4-g64",
        ));
    };
    let threads = rayon::current_num_threads();
    status!("the sketch in PyTorch, with {threads} threads");
    let asked = json!({
        "model": arguments.reference_model.as_ref().unwrap_or(&arguments.model),
        "tokens": arguments.tokens,
        "array": arguments.calibration_array,
        "draws": arguments.draws,
        "formats": formats,
        "threads": threads,
    });
    let mut command = Command::new(python);
    command.arg("-").arg(asked.to_string()).env("OMP_NUM_THREADS", threads.to_string());
    output_of(command, RACE)
}

impl Arguments {
    fn windows(&self, array: &str, windows: Option<usize>) -> Calibration {
        Calibration {
            source: WindowSource::Tokens {
                path: self.tokens.clone(),
                array: Some(array.into()),
            },
            windows,
            seed: None,
        }
    }

    fn study(&self, seed: u64) -> PathBuf {
        self.out.join(format!("seed-{seed}"))
    }

    fn rules(&self) -> Vec<Rule> {
        if self.rules.is_empty() {
            Rule::ALL.into_iter().filter(|rule| *rule != Rule::FirstOrder).collect()
        } else {
            self.rules.clone()
        }
    }
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    crate::settings::prepare_process(arguments.threads)?;
    let mut progress = Progress::new();
    let found = measure::measure(arguments, &mut progress);
    progress.finish();
    let found = found?;
    let mut summary = summary::summary(arguments, &found)?;
    if let Some(python) = &arguments.python {
        summary["pytorch"] = race(arguments, python)?;
    }
    let mut json = serde_json::to_vec_pretty(&summary).map_err(Failure::failed)?;
    json.push(b'\n');
    let text = table::table(&summary);
    folder::write_atomically(&arguments.out.join("bench.json"), &json)?;
    folder::write_atomically(&arguments.out.join("bench.txt"), format!("{text}\n").as_bytes())?;
    if arguments.json {
        return print_json(&summary);
    }
    print_text(&text)
}
