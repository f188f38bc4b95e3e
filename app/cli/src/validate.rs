//! `cruxscope validate`: importance held against measured damage, one component at a time.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use cruxscope_model::decoder::Residence;
use cruxscope_run::validate::{ValidateSettings, validate};
use cruxscope_run::windows::{Calibration, WindowSource};
use cruxscope_study::{Behaviour, RankCorrelation, Study, Validation, folder};
use serde_json::json;

use crate::compress::calibration::CalibrationArguments;
use crate::compress::method::MethodArguments;
use crate::failure::Failure;
use crate::numbers::{MOST, MOST_THREADS, MOST_TOKENS, whole};
use crate::output::{print_json, print_text, status};
use crate::progress::Progress;

/// Components listed.
const TOP: usize = 10;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The study whose importance is held against the damage; the result is saved in it
    #[arg(long, value_name = "DIR")]
    study: PathBuf,
    /// Its model: a Hugging Face folder, or a GGUF file
    #[arg(long, value_name = "DIR|FILE.gguf")]
    model: PathBuf,
    #[command(flatten)]
    method: MethodArguments,
    #[command(flatten)]
    text: CalibrationArguments,
    /// Other text that damage is measured on: plain text, traces (.jsonl, .jsonl.gz), or token ids (.safetensors) [default: the text above,
    /// which then also calibrates methods that look at inputs]
    #[arg(long, value_name = "FILE")]
    held_out: Option<PathBuf>,
    /// Only this array of a file of token ids
    #[arg(long, value_name = "NAME", requires = "held_out")]
    held_out_array: Option<String>,
    /// Tokens of a window cut from other text than token ids
    #[arg(long, value_name = "N", default_value_t = 512, requires = "held_out", value_parser = whole::<usize>(2, MOST_TOKENS))]
    held_out_length: usize,
    /// Maximum number of its windows
    #[arg(long, value_name = "N", requires = "held_out", value_parser = whole::<usize>(1, MOST))]
    held_out_windows: Option<usize>,
    /// Read weights from disk layer by layer instead of keeping them
    #[arg(long)]
    streamed: bool,
    /// Where to compute: cpu, vulkan, wgpu or cuda, as `cruxscope devices` lists them
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Number of threads [default: number of CPUs]
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1, MOST_THREADS))]
    threads: Option<usize>,
    /// How many components to list
    #[arg(long, default_value_t = TOP, value_parser = whole::<usize>(0, MOST))]
    top: usize,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    crate::settings::prepare_process(arguments.threads)?;
    let text = arguments.text.calibration();
    let text = text.ok_or_else(|| Failure::mistake("give the text to read: --traces, --text or --tokens"))?;
    let (text, calibration) = match &arguments.held_out {
        Some(path) => {
            let held_out = Calibration {
                source: WindowSource::of_file(path, arguments.held_out_array.clone(), arguments.held_out_length),
                windows: arguments.held_out_windows,
                seed: None,
            };
            (held_out, Some(text))
        }
        None => (text, None),
    };
    let settings = ValidateSettings {
        treatment: arguments.method.treatment()?,
        text,
        calibration,
        residence: if arguments.streamed { Residence::Streamed } else { Residence::Resident },
        study: arguments.study,
        model: arguments.model,
        device: arguments.device,
    };
    let mut progress = Progress::new();
    let result = validate(&settings, &mut progress);
    progress.finish();
    let validation = result?;
    let study = folder::load(&settings.study)?;
    status!("validation saved in {}", settings.study.display());
    let correlations = correlations(&study, &validation);
    if arguments.json {
        let correlations: serde_json::Map<_, _> = correlations.into_iter().map(|(name, found)| (name, json!(found))).collect();
        return print_json(&json!({"validation": validation, "rank_correlation": correlations}));
    }
    print_text(&table(&validation, &correlations, arguments.top))
}

/// By behaviour, and for all of them together.
fn correlations(study: &Study, validation: &Validation) -> Vec<(String, Option<RankCorrelation>)> {
    let of = |behaviour| validation.correlation(&study.importance, behaviour);
    let mut all: Vec<_> = Behaviour::ALL
        .into_iter()
        .map(|behaviour| (behaviour.name().to_owned(), of(Some(behaviour))))
        .collect();
    all.push(("all together".into(), of(None)));
    all
}

fn table(validation: &Validation, correlations: &[(String, Option<RankCorrelation>)], top: usize) -> String {
    let mut text = format!(
        "perplexity {:.4} before, {} predictions\n\ncomponent   divergence (nats)  perplexity\n",
        validation.perplexity, validation.predictions
    );
    let mut order: Vec<_> = validation.components.iter().collect();
    order.sort_by(|a, b| b.divergence.total_cmp(&a.divergence));
    for damage in order.iter().take(top) {
        // Writing to a String cannot fail.
        writeln!(text, "{:<10}  {:>17.6}  {:>10.4}", damage.component, damage.divergence, damage.perplexity).ok();
    }
    text.push_str("\nrank correlation of importance with divergence\n");
    for (name, found) in correlations {
        let said = match found {
            Some(found) => format!("{:>6.3}  [{:.3}, {:.3}]  n = {}", found.rho, found.low, found.high, found.n),
            None => "no instance holds it".into(),
        };
        writeln!(text, "{name:<24}  {said}").ok();
    }
    text.trim_end().to_owned()
}
