//! `cruxscope compress`: a checkpoint into a compressed one.

pub mod calibration;
pub mod method;
pub mod output;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use cruxscope_checkpoint::gguf_writer::GgufSummary;
use cruxscope_compress::recipe::Recipe;
use cruxscope_run::compress::{CompressSettings, Compression, gguf};
use cruxscope_study::folder;

use self::calibration::CalibrationArguments;
use self::method::MethodArguments;
use self::output::{OutputArguments, components_table, gguf_line, plan_line, scales_table};
use crate::failure::Failure;
use crate::numbers::{MOST_THREADS, whole};
use crate::output::{print_json, print_text, status};
use crate::progress::Progress;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The model: a Hugging Face folder, or a GGUF file
    #[arg(long, value_name = "DIR|FILE.gguf")]
    model: PathBuf,
    /// The Hugging Face folder to write, where a run that was stopped goes on, or with --format gguf the file
    #[arg(long, value_name = "DIR|FILE.gguf")]
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
    crate::settings::prepare_process(arguments.threads)?;
    let gguf = arguments.output.gguf()?;
    let recipe = match &arguments.recipe {
        Some(path) => read_recipe(path)?,
        None if arguments.method.method.is_none() && gguf.is_some() => Recipe { rules: Vec::new() },
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
        out: match gguf {
            Some(_) => gguf::folder_beside(&arguments.out),
            None => arguments.out.clone(),
        },
    };
    if let (Some(numbers), true) = (gguf, settings.recipe.rules.is_empty()) {
        // Nothing is treated: the model itself goes into the file.
        if arguments.plan {
            return print_text("no component is treated; the model's own matrices are stored in the file");
        }
        let summary = gguf::write(&settings.model, &arguments.out, numbers)?;
        return done(&arguments.out, &summary, arguments.json);
    }
    if gguf.is_some() && arguments.out.exists() {
        return Err(Failure::mistake(format!("{} exists already; give another --out", arguments.out.display())));
    }
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
    if let Some(numbers) = gguf {
        let summary = gguf::write(&settings.out, &arguments.out, numbers)?;
        gguf::remove(&settings.out)?;
        return done(&arguments.out, &summary, arguments.json);
    }
    status!("compressed model saved in {}", settings.out.display());
    if arguments.json {
        return print_json(&report);
    }
    print_text(&components_table(&report))?;
    scales_table(&report).map_or(Ok(()), |table| print_text(&table))
}

/// Says what a GGUF file holds.
fn done(file: &std::path::Path, summary: &GgufSummary, json: bool) -> Result<(), Failure> {
    status!("compressed model saved in {}", file.display());
    if !json {
        return print_text(&gguf_line(summary));
    }
    let matrices: BTreeMap<&str, usize> = summary.matrices.iter().map(|(numbers, count)| (numbers.name(), *count)).collect();
    print_json(&serde_json::json!({"file": file, "bytes": summary.bytes, "matrices": matrices}))
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
