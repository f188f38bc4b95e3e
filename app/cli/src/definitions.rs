//! `cruxscope definitions`: the paper's formulas, the published code, and each of its departures alone, from one pass.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use cruxscope_run::definitions::{PlannedDefinitions, Variant};
use cruxscope_run::instances::TraceSettings;
use cruxscope_run::interpret::InterpretSettings;
use cruxscope_run::machine::{format_bytes, format_duration};
use cruxscope_study::robustness::{behaviours_agree, studies_agree};
use cruxscope_study::{Behaviour, Bootstrap, Definition, MapStatistic, Study};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::numbers::{MOST, MOST_TOKENS, whole};
use crate::output::{print_json, print_text, status};
use crate::progress::Progress;
use crate::settings::Machine;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The model: a Hugging Face folder, or a GGUF file
    #[arg(long, value_name = "DIR|FILE.gguf")]
    model: PathBuf,
    /// Traces, one JSON object a line (plain or gzip)
    #[arg(long, value_name = "FILE.jsonl")]
    traces: PathBuf,
    /// Annotations, one JSON object a line; they are read as the paper has it and as the published code does
    #[arg(long, value_name = "FILE.jsonl")]
    annotations: PathBuf,
    /// Only these instances: ids separated by commas
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    instances: Vec<String>,
    /// Maximum number of instances, from the first
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1, MOST))]
    limit: Option<usize>,
    /// Maximum number of tokens of an instance; what lies beyond is cut [default: the model's context]
    #[arg(long = "max-length", value_name = "N", value_parser = whole::<usize>(1, MOST_TOKENS))]
    max_tokens: Option<usize>,
    /// The folder of the collection, with a study for each; an interrupted run resumes there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    machine: Machine,
    /// How many of the most important components are compared
    #[arg(long, default_value_t = 10, value_parser = whole::<usize>(1, MOST))]
    top: usize,
    /// Print the plan and stop
    #[arg(long)]
    dry_run: bool,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// How a variant's maps stand to the paper's.
struct Row {
    variant: Variant,
    /// By behaviour, the mean over behaviours first: rank correlation and overlap with the paper's; none for the paper itself.
    agreement: Vec<(Option<Behaviour>, MapStatistic, MapStatistic)>,
    /// Rank correlation of its own behaviours' maps, mean over pairs.
    between: Option<f64>,
    /// Segments that count, by behaviour.
    segments: [usize; 4],
    /// Its most important components, mean over behaviours.
    first: Vec<String>,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    arguments.machine.prepare_process()?;
    let settings = InterpretSettings {
        model: arguments.model.clone(),
        traces: TraceSettings {
            traces: arguments.traces.clone(),
            annotations: arguments.annotations.clone(),
            definition: Definition::Paper,
            reading: None,
            alignment: None,
            only: arguments.instances.iter().filter(|id| !id.is_empty()).cloned().collect(),
            first: arguments.limit,
            max_tokens: arguments.max_tokens,
        },
        out: arguments.out.clone(),
        device: arguments.machine.device.clone(),
        weights: arguments.machine.weights.into(),
        device_memory: None,
        simulate_activations: false,
        channels: false,
        texts: false,
        title: None,
    };
    let mut progress = Progress::new();
    let planned = PlannedDefinitions::new(settings, &mut progress)?;
    let plan = &planned.plan;
    status!("model         {} on {}", planned.model_name(), planned.device());
    status!("instances     {} of {} tokens, {} rows go back", plan.instances, plan.tokens, plan.rows);
    let memory = plan.memory();
    status!("memory        about {}", format_bytes(memory.machine + memory.device));
    status!("disk          {} until the studies are put together", format_bytes(plan.disk));
    status!(
        "work          {:.2} TFLOP, about {}",
        plan.operations / 1e12,
        plan.time.map_or_else(|| "an unknown time".to_owned(), format_duration)
    );
    if arguments.dry_run {
        progress.finish();
        return Ok(());
    }
    let result = planned.run(&mut progress);
    progress.finish();
    let outcome = result?;
    if outcome.was_complete {
        status!("the studies were complete already");
    }
    status!("{} studies saved in {}", outcome.studies.len(), arguments.out.display());
    let rows = rows(&outcome.studies, arguments.top)?;
    if arguments.json {
        return print_json(&summary(&rows, arguments.top));
    }
    print_text(&table(&rows, arguments.top))
}

fn rows(studies: &[Study], top: usize) -> Result<Vec<Row>, Failure> {
    let bootstrap = Bootstrap::default();
    let Some(paper) = studies.first() else { return Ok(Vec::new()) };
    let mut rows = Vec::new();
    for (variant, study) in Variant::ALL.into_iter().zip(studies) {
        let mut agreement = Vec::new();
        for behaviour in [None].into_iter().chain(Behaviour::ALL.map(Some)) {
            let both = behaviour.is_none_or(|behaviour| paper.importance.has(behaviour) && study.importance.has(behaviour));
            if both
                && variant.name != "paper"
                && let Some((correlation, overlap)) = studies_agree(paper, study, behaviour, top, &bootstrap)?
            {
                agreement.push((behaviour, correlation, overlap));
            }
        }
        let held: Vec<Behaviour> = Behaviour::ALL.into_iter().filter(|behaviour| study.importance.has(*behaviour)).collect();
        let mut between = Vec::new();
        for (place, first) in held.iter().enumerate() {
            for second in &held[place + 1..] {
                between.extend(behaviours_agree(study, *first, *second, &bootstrap)?.map(|found| found.value));
            }
        }
        let ranks = cruxscope_study::Ranks::of(&study.importance.relative_mean());
        rows.push(Row {
            variant,
            agreement,
            between: (!between.is_empty()).then(|| between.iter().sum::<f64>() / between.len() as f64),
            segments: study.manifest.segments.map(|counts| counts.used),
            first: ranks.order().iter().take(top).map(ToString::to_string).collect(),
        });
    }
    Ok(rows)
}

fn interval(found: &MapStatistic) -> String {
    let ends = found.interval.map_or_else(String::new, |(low, high)| format!(" [{low:.2}, {high:.2}]"));
    format!("{:.2}{ends}", found.value)
}

fn table(rows: &[Row], top: usize) -> String {
    let mut text = format!(
        "{:<17} {:>9}  {:<20} {:<20} {:<16} first",
        "against paper",
        "segments",
        "rank correlation",
        format!("of the first {top}"),
        "own behaviours"
    );
    for row in rows {
        let mean = row.agreement.iter().find(|(behaviour, ..)| behaviour.is_none());
        let (correlation, overlap) = mean.map_or_else(Default::default, |(_, correlation, overlap)| (interval(correlation), interval(overlap)));
        write!(
            text,
            "\n{:<17} {:>9}  {correlation:<20} {overlap:<20} {:<16} {}",
            row.variant.name,
            row.segments.iter().sum::<usize>(),
            row.between.map_or_else(String::new, |between| format!("{between:.2}")),
            row.first.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(" ")
        )
        .ok();
    }
    text.push_str("\n\nrank correlation with the paper's map, by behaviour");
    for row in rows.iter().filter(|row| !row.agreement.is_empty()) {
        let each = row.agreement.iter().filter_map(|(behaviour, correlation, _)| {
            let behaviour = (*behaviour)?;
            Some(format!("{} {}", behaviour.name(), interval(correlation)))
        });
        write!(text, "\n{:<17} {}", row.variant.name, each.collect::<Vec<_>>().join("  ")).ok();
    }
    for row in rows {
        write!(text, "\n{:<17} {}", row.variant.name, row.variant.words).ok();
    }
    text
}

fn summary(rows: &[Row], top: usize) -> Value {
    let statistic = |found: &MapStatistic| json!({"value": found.value, "interval": found.interval, "instances": found.instances});
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            let agreement: Vec<Value> = (row.agreement.iter())
                .map(|(behaviour, correlation, overlap)| {
                    json!({
                        "behaviour": behaviour.map_or("mean", Behaviour::name),
                        "rank_correlation": statistic(correlation),
                        "overlap": statistic(overlap),
                    })
                })
                .collect();
            json!({
                "name": row.variant.name,
                "words": row.variant.words,
                "segments": row.segments,
                "agreement": agreement,
                "between_behaviours": row.between,
                "first": row.first,
            })
        })
        .collect();
    json!({"top": top, "variants": rows})
}
