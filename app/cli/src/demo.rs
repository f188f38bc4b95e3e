//! `cruxscope demo`: the whole method on the embedded miniature, and the window on what came out.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use cruxscope_demonstration::{Demonstration, Kind, Row, Summary, title};
use cruxscope_window::open_window;

use crate::failure::Failure;
use crate::numbers::{MOST_THREADS, whole};
use crate::output::{print_json, print_text, status};
use crate::progress::Progress;
use crate::runs::EngineRunner;
use crate::settings;
use crate::view::Look;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Where models, answers, studies and results are put; a run that was stopped goes on there [default: a folder that is
    /// removed at the end]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the results and open no window
    #[arg(long)]
    no_window: bool,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
    /// The seed of the puzzles and of the random sets of components
    #[arg(long, default_value_t = Demonstration::default().seed)]
    seed: u64,
    /// Puzzles of each kind that every model is asked; of facts there are no more than a hundred
    #[arg(long, default_value_t = Demonstration::default().puzzles, value_parser = whole::<usize>(4, 1000))]
    puzzles: usize,
    /// Traces of each kind that are interpreted
    #[arg(long, default_value_t = Demonstration::default().instances, value_parser = whole::<usize>(1, 1000))]
    instances: usize,
    /// Random sets of components beside each chosen one
    #[arg(long, default_value_t = Demonstration::default().controls, value_parser = whole::<usize>(0, 100))]
    controls: usize,
    /// Where it is computed: a name that `cruxscope devices` lists
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Number of threads [default: number of CPUs]
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1, MOST_THREADS))]
    threads: Option<usize>,
    #[command(flatten)]
    look: Look,
}

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut options = arguments.look.options()?;
    settings::prepare_process(arguments.threads)?;
    let temporary;
    let out = match arguments.out.clone() {
        Some(out) => out,
        None => {
            temporary = tempfile::tempdir().map_err(Failure::failed)?;
            temporary.path().to_owned()
        }
    };
    let demonstration = Demonstration {
        out: out.clone(),
        device: arguments.device,
        seed: arguments.seed,
        puzzles: arguments.puzzles,
        instances: arguments.instances,
        controls: arguments.controls,
    };
    let mut progress = Progress::new();
    let result = demonstration.run(&mut progress);
    progress.finish();
    let summary = result?;
    if arguments.json {
        print_json(&summary)?;
    } else {
        print_summary(&summary)?;
    }
    if arguments.out.is_some() {
        status!("everything is in {}; open it again with: cruxscope view {}", out.display(), out.display());
    }
    if arguments.no_window {
        return Ok(());
    }
    status!("opening the window; page up and page down walk through the tour");
    options.studies.push(out.to_string_lossy().into_owned());
    // Whoever named something to look at sees that; others begin with the tour.
    if options.view.is_none() && options.stop.is_none() {
        options.stop = Some(1);
    }
    open_window(options, Vec::new(), Some(Arc::new(EngineRunner)), settings::remembered()).map_err(Failure::failed)
}

/// The shares of right answers, experiment by experiment, and what can be said of them.
fn print_summary(summary: &Summary) -> Result<(), Failure> {
    let kinds: String = Kind::ALL.iter().map(|kind| format!("{:>12}", title(*kind))).collect();
    let mut experiment = "";
    for row in &summary.rows {
        if row.experiment != experiment {
            experiment = &row.experiment;
            print_text(&format!("\n{experiment}\n{:<70}{kinds}{:>22}", "accuracy in %", "together, 95 %"))?;
        }
        print_text(&line_of(row))?;
    }
    print_text("")?;
    if let Some(found) = summary.importance_against_damage {
        print_text(&format!(
            "importance against measured damage: rank correlation {:.2} [{:.2}, {:.2}], n = {}",
            found.rho, found.low, found.high, found.n
        ))?;
    }
    if let Some(found) = summary.predicted_against_measured {
        let rank = found.rank;
        print_text(&format!(
            "predicted against measured divergence of each matrix alone: rank correlation {:.2} [{:.2}, {:.2}], n = {}; sums {:.3} and {:.3} nats",
            rank.rho, rank.low, rank.high, rank.n, found.predicted, found.measured
        ))?;
    }
    let nats = |value: Option<f64>| value.map_or_else(|| "-".into(), |value| format!("{value:.4}"));
    let mut experiment = "";
    for row in &summary.recipes {
        if row.experiment != experiment {
            experiment = &row.experiment;
            print_text(&format!(
                "\n{experiment}\n{:<40}{:>12}{:>12}{:>12}  95 %",
                "divergence in nats", "bits/weight", "predicted", "measured"
            ))?;
        }
        let interval = row.interval.map_or_else(|| "-".into(), |(low, high)| format!("[{low:.4}, {high:.4}]"));
        print_text(&format!(
            "{:<40}{:>12.3}{:>12}{:>12}  {interval}",
            row.rule,
            row.bits_per_weight,
            nats(row.predicted),
            nats(row.measured)
        ))?;
    }
    print_text("")?;
    print_text(&format!(
        "{} instances interpreted; the annotator agrees with the puzzles on {} of {} sentences",
        summary.instances, summary.annotator.same_labels, summary.annotator.sentences
    ))
}

fn line_of(row: &Row) -> String {
    let name = match (row.compression.as_str(), row.setting.as_str()) {
        ("", _) => row.model.clone(),
        (compression, "") => compression.to_owned(),
        (_, setting) => setting.to_owned(),
    };
    let kinds: String = row.kinds.iter().map(|share| format!("{:>12.0}", share.percent)).collect();
    let [low, high] = row.together.interval;
    let together = format!("{:.1} [{low:.1}, {high:.1}]", row.together.percent);
    format!("{name:<70}{kinds}{together:>22}")
}
