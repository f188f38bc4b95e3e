//! `cruxscope reproduce`: the models of the paper's selective experiments, one folder a row; the whole chain as `reproduce paper`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use cruxscope_checkpoint::Checkpoint;
use cruxscope_compress::paper::Experiment;
use cruxscope_compress::quantize::GroupSize;
use cruxscope_run::RunError;
use cruxscope_run::compress::{CompressSettings, Compression, CompressionReport, report_of};
use cruxscope_study::{FileDigest, folder};

use crate::compress::calibration::CalibrationArguments;
use crate::compress::output::{OutputArguments, plan_line, scales_table};
use crate::failure::Failure;
use crate::output::{print_json, print_text, status};
use crate::progress::Progress;
use crate::reproduce_paper;

/// What is reproduced.
#[derive(Debug, Subcommand)]
pub enum Reproduction {
    /// The whole chain for a model and its base model, resumable: importance, distillation shift, AWQ, GPTQ, AlphaPruning, the selective experiments, sensitivity; ends in a collection with a tour and its ledger.
    Paper(Box<reproduce_paper::Arguments>),
    /// 3 bits on one component at a time: the last layer's up, gate and v, the last but one's up, the first's up.
    #[command(name = "table-3")]
    Table3(Box<TableArguments>),
    /// 3-bit AWQ of everything, and of everything but the last layer's feed-forward block.
    #[command(name = "table-4")]
    Table4(Box<TableArguments>),
    /// 4 and 5 bits on the last and the first up.
    #[command(name = "table-9")]
    Table9(Box<TableArguments>),
    /// The scales of 4-bit AWQ, ranked.
    #[command(name = "appendix-m")]
    AppendixM(Box<TableArguments>),
}

#[derive(Debug, Args)]
pub struct TableArguments {
    /// The model: a Hugging Face folder, or a GGUF file
    #[arg(long, value_name = "DIR|FILE.gguf")]
    model: PathBuf,
    /// A folder for the models, one folder a row; rows that are there are kept
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Columns that share a scale, which the paper does not state; -1 for the whole row
    #[arg(long, default_value_t = 128, allow_negative_numbers = true)]
    group_size: i64,
    #[command(flatten)]
    calibration: CalibrationArguments,
    #[command(flatten)]
    output: OutputArguments,
    /// Print the reports as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(reproduction: &Reproduction) -> Result<(), Failure> {
    match reproduction {
        Reproduction::Paper(arguments) => reproduce_paper::run(arguments),
        Reproduction::Table3(arguments) => models(Experiment::Table3, arguments),
        Reproduction::Table4(arguments) => models(Experiment::Table4, arguments),
        Reproduction::Table9(arguments) => models(Experiment::Table9, arguments),
        Reproduction::AppendixM(arguments) => models(Experiment::AppendixM, arguments),
    }
}

fn models(experiment: Experiment, arguments: &TableArguments) -> Result<(), Failure> {
    let checkpoint = Checkpoint::open(&arguments.model).map_err(RunError::from)?;
    let layers = checkpoint.config().layers;
    let group_size = GroupSize::new(arguments.group_size).map_err(|error| Failure::Mistake(error.into()))?;
    let rows = experiment.rows(layers, group_size).map_err(Failure::mistake)?;
    std::fs::create_dir_all(&arguments.out).map_err(Failure::failed)?;
    let mut progress = Progress::new();
    let mut reports = Vec::new();
    let mut files = Vec::new();
    if arguments.out.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        // Rows of an earlier run may be there: whether they are of the same model is decided by its files.
        for path in checkpoint.files() {
            files.push(folder::digest_of_file(&path)?);
        }
    }
    for (name, recipe) in rows {
        let settings = CompressSettings {
            recipe,
            calibration: arguments.calibration.calibration(),
            stored_as: arguments.output.stored_as(),
            packed: arguments.output.packed(),
            basis: arguments.output.basis(),
            model: arguments.model.clone(),
            out: arguments.out.join(&name),
        };
        let report = match kept(&settings, &files)? {
            Some(report) => report,
            None => {
                let compression = Compression::prepare(&settings)?;
                status!("{name}: {}", plan_line(compression.plan()));
                compression.run(&mut progress)?
            }
        };
        reports.push((name, report));
    }
    progress.finish();
    status!("models saved in {}", arguments.out.display());
    if arguments.json {
        let by_name: std::collections::BTreeMap<_, _> = reports.into_iter().collect();
        return print_json(&by_name);
    }
    let width = reports.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    print_text(&format!("{:<width$}  treated  mean weight error  mean output error", "row"))?;
    for (name, report) in &reports {
        let treated: Vec<_> = report.components.iter().filter(|component| component.method.is_some()).collect();
        let mean = |values: Vec<f64>| {
            let count = values.len();
            if count == 0 {
                "-".to_owned()
            } else {
                format!("{:.3} %", 100.0 * values.iter().sum::<f64>() / count as f64)
            }
        };
        let weights = mean(treated.iter().map(|component| component.weight_error).collect());
        let outputs = mean(treated.iter().filter_map(|component| component.output_error).collect());
        print_text(&format!("{name:<width$}  {:>7}  {weights:>17}  {outputs:>17}", treated.len()))?;
    }
    if experiment == Experiment::AppendixM
        && let Some(table) = reports.iter().find_map(|(_, report)| scales_table(report))
    {
        print_text(&table)?;
    }
    Ok(())
}

/// What an earlier run made of a row, if it is the same.
fn kept(settings: &CompressSettings, files: &[FileDigest]) -> Result<Option<CompressionReport>, Failure> {
    if !settings.out.exists() {
        return Ok(None);
    }
    match report_of(&settings.out) {
        Some(report) if report.recipe == settings.recipe && report.source_files == *files => Ok(Some(report)),
        _ => Err(Failure::mistake(format!(
            "{} holds something else already; choose another folder with --out, or delete it",
            settings.out.display()
        ))),
    }
}
