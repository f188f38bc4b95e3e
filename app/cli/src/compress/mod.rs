//! `cruxscope compress`: a checkpoint into a compressed one.

pub mod calibration;
pub mod method;
pub mod output;

use std::path::PathBuf;

use clap::Args;
use cruxscope_compress::recipe::Recipe;
use cruxscope_run::compress::{CompressSettings, Compression};
use cruxscope_study::folder;

use self::calibration::CalibrationArguments;
use self::method::MethodArguments;
use self::output::{OutputArguments, components_table, plan_line, scales_table};
use crate::failure::Failure;
use crate::numbers::{MOST_THREADS, whole};
use crate::output::{print_json, print_text, status};
use crate::progress::Progress;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The model: a Hugging Face folder, or a GGUF file
    #[arg(long, value_name = "DIR|FILE.gguf")]
    model: PathBuf,
    /// The Hugging Face folder to write; a run that was stopped goes on there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    method: MethodArguments,
    /// Only these components: 32_up, up, layers:30-32, attention, mlp, final-mlp; several separated by commas
    #[arg(long, value_name = "COMPONENTS", conflicts_with = "recipe")]
    only: Option<String>,
    /// All but these components
    #[arg(long, value_name = "COMPONENTS", conflicts_with = "recipe")]
    protect: Option<String>,
    /// A recipe instead: a JSON file that says which treatment each component gets
    #[arg(long, value_name = "FILE", conflicts_with = "method")]
    recipe: Option<PathBuf>,
    /// Save what the flags say as a recipe
    #[arg(long, value_name = "FILE")]
    save_recipe: Option<PathBuf>,
    #[command(flatten)]
    calibration: CalibrationArguments,
    #[command(flatten)]
    output: OutputArguments,
    /// Where calibration text runs: cpu, vulkan, wgpu or cuda, as `cruxscope devices` lists them; rounding stays with the processors
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Number of threads [default: number of CPUs]
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1, MOST_THREADS))]
    threads: Option<usize>,
    /// Print the plan and stop
    #[arg(long = "dry-run", alias = "plan")]
    plan: bool,
    /// Print the report (or the plan) as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    crate::settings::set_threads(arguments.threads)?;
    let recipe = match &arguments.recipe {
        Some(path) => read_recipe(path)?,
        None => Recipe::of(arguments.method.treatment()?, arguments.only.as_deref(), arguments.protect.as_deref()),
    };
    if let Some(path) = &arguments.save_recipe {
        let text = serde_json::to_vec_pretty(&recipe).map_err(Failure::failed)?;
        folder::write_atomically(path, &text)?;
    }
    let settings = CompressSettings {
        recipe,
        calibration: arguments.calibration.calibration(),
        stored_as: arguments.output.stored_as(),
        packed: arguments.output.packed(),
        basis: arguments.output.basis(),
        model: arguments.model,
        out: arguments.out,
    };
    let compression = Compression::prepare_on(&settings, &arguments.device)?;
    if arguments.plan {
        return if arguments.json {
            print_json(compression.plan())
        } else {
            print_text(&plan_line(compression.plan()))
        };
    }
    status!("{}", plan_line(compression.plan()));
    let mut progress = Progress::new();
    let result = compression.run(&mut progress);
    progress.finish();
    let report = result?;
    status!("compressed model saved in {}", settings.out.display());
    if arguments.json {
        return print_json(&report);
    }
    print_text(&components_table(&report))?;
    scales_table(&report).map_or(Ok(()), |table| print_text(&table))
}

pub fn read_recipe(path: &std::path::Path) -> Result<Recipe, Failure> {
    let text = std::fs::read(path).map_err(|error| Failure::mistake(format!("could not read the recipe {}: {error}", path.display())))?;
    let refuse = |why: String| Failure::mistake(format!("{} is no recipe: {why}", path.display()));
    let value: serde_json::Value = serde_json::from_slice(&text).map_err(|error| refuse(error.to_string()))?;
    if value.get("rules").is_none() && value.get("components").is_some() {
        let why = "it takes matrices from checkpoints that other programs made, which that program has to write: export it with `cruxscope allocate --export llama.cpp`";
        return Err(refuse(why.into()));
    }
    serde_json::from_value(value).map_err(|error| refuse(error.to_string()))
}
