//! `cruxscope annotate`: behaviours in outputs, marked by an endpoint, compared, and checked by people.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use cruxscope_benchmark::annotation::{
    Agreement, AnnotatedOutput, AnnotationSummary, CheckSheet, Repairs, Subject, WINDOW, agreement, annotator_settings, ratings, summarise,
};
use cruxscope_benchmark::prompts::Prompt;
use cruxscope_run::RunError;
use cruxscope_run::annotation::{ANNOTATIONS_FILE, AnnotationConfiguration, PlannedAnnotation, TRACES_FILE, read_annotations, subjects};
use cruxscope_study::folder::write_atomically;
use cruxscope_study::{Bootstrap, Label};
use cruxscope_trace::{Alignment, Reading};

use crate::benchmark::conclude;
use crate::endpoint::{EndpointFlags, InterfaceChoice};
use crate::failure::Failure;
use crate::numbers::{MOST, MOST_TOKENS, number, whole};
use crate::output::{print_json, print_text, status};
use crate::progress::Progress;
use crate::score::{read_datasets, read_outputs};
use crate::settings::{AlignmentChoice, ReadingChoice};

/// What can be done with annotations.
#[derive(Debug, Subcommand)]
pub enum AnnotateCommand {
    /// Have an endpoint annotate outputs into a folder that `interpret` reads; a run that was stopped goes on
    Run(Box<Run>),
    /// Print what annotations hold: sections by label, how many align, what had to be mended
    Summary(Summary),
    /// Compare two annotations of the same outputs, such as those of two annotators or temperatures
    Agreement(AgreementFlags),
    /// Draw a sheet of sections for a person to check
    CheckSheet(CheckSheetFlags),
    /// Compare two filled sheets: mean ratings and rank correlation, as in the paper's table 6
    Ratings(RatingsFlags),
}

/// The outputs that annotations are of.
#[derive(Debug, Args)]
struct Source {
    /// Outputs: a file of samples, or any JSON lines of {"id","output"}, plain or gzip
    outputs: PathBuf,
    /// A dataset with the prompts, for outputs that have none; may be given several times
    #[arg(long, value_name = "FILE")]
    data: Vec<PathBuf>,
    /// Which sample of each question, from 1
    #[arg(long = "sample-index", alias = "pass", value_name = "N", default_value_t = 1, value_parser = whole::<u32>(1, 10_000))]
    pass: u32,
    /// Only the outputs of this model, where a file holds several
    #[arg(long = "output-model", value_name = "NAME")]
    output_model: Option<String>,
}

#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    source: Source,
    /// Maximum number of outputs, from the first
    #[arg(long = "limit", alias = "first", value_name = "N", value_parser = whole::<usize>(1, MOST))]
    first: Option<usize>,
    #[command(flatten)]
    endpoint: EndpointFlags,
    /// Which of the two interfaces
    #[arg(long, value_enum, default_value = "chat")]
    interface: InterfaceChoice,
    /// Temperature of the annotator
    #[arg(long, default_value_t = 1.0, value_parser = number(0.0, 100.0))]
    temperature: f64,
    /// Characters of an output that the annotator sees at once
    #[arg(long = "chunk", alias = "window", value_name = "CHARACTERS", default_value_t = WINDOW, value_parser = whole::<usize>(1, MOST))]
    window: usize,
    /// Maximum number of tokens of an answer
    #[arg(long, value_name = "TOKENS", default_value_t = 16_384, value_parser = whole::<usize>(1, MOST_TOKENS))]
    max_new_tokens: usize,
    /// Seed of the annotator
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The folder: traces.jsonl and annotations.jsonl for `interpret`, windows.jsonl with every answer
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

/// How annotations are read.
#[derive(Debug, Args)]
struct How {
    /// How annotations are parsed
    #[arg(long, value_enum, default_value = "tolerant")]
    reading: ReadingChoice,
    /// How sections are found in the text
    #[arg(long, value_enum, default_value = "forward-search")]
    alignment: AlignmentChoice,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

impl How {
    fn choices(&self) -> (Reading, Alignment) {
        let reading = match self.reading {
            ReadingChoice::Tolerant => Reading::Tolerant,
            ReadingChoice::Strict => Reading::Strict,
        };
        let alignment = match self.alignment {
            AlignmentChoice::ForwardSearch => Alignment::ForwardSearch,
            AlignmentChoice::Published => Alignment::Published,
        };
        (reading, alignment)
    }
}

#[derive(Debug, Args)]
pub struct Summary {
    #[command(flatten)]
    source: Source,
    /// Annotations: JSON lines of {"id","annotated"}, plain or gzip
    #[arg(long, value_name = "FILE.jsonl")]
    annotations: PathBuf,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub struct AgreementFlags {
    #[command(flatten)]
    source: Source,
    /// Annotations: JSON lines of {"id","annotated"}, plain or gzip
    #[arg(long, value_name = "FILE.jsonl")]
    annotations: PathBuf,
    /// The other annotations
    #[arg(long, value_name = "FILE.jsonl")]
    against: PathBuf,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub struct CheckSheetFlags {
    #[command(flatten)]
    source: Source,
    /// Annotations: JSON lines of {"id","annotated"}, plain or gzip
    #[arg(long, value_name = "FILE.jsonl")]
    annotations: PathBuf,
    /// Outputs to draw
    #[arg(long, value_name = "NUMBER", default_value_t = 10, value_parser = whole::<usize>(1, MOST))]
    traces: usize,
    /// Seed of the draw
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The sheet, text with tabs; fill its last column with 1 or 0
    #[arg(long, value_name = "FILE.tsv")]
    out: PathBuf,
}

#[derive(Debug, Args)]
pub struct RatingsFlags {
    /// A filled sheet
    first: PathBuf,
    /// Another
    second: PathBuf,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Does what an annotation command says.
pub fn run(command: AnnotateCommand) -> Result<(), Failure> {
    match command {
        AnnotateCommand::Run(arguments) => annotate(*arguments),
        AnnotateCommand::Summary(arguments) => {
            let (reading, alignment) = arguments.how.choices();
            let subjects = read_subjects(&arguments.source)?;
            let summary = summarise(&subjects, &read_annotations(&arguments.annotations)?, reading, alignment);
            show(&summary, arguments.how.json)
        }
        AnnotateCommand::Agreement(arguments) => compare(&arguments),
        AnnotateCommand::CheckSheet(arguments) => {
            let subjects = read_subjects(&arguments.source)?;
            let sheet = CheckSheet::draw(&subjects, &read_annotations(&arguments.annotations)?, arguments.traces, arguments.seed);
            write_atomically(&arguments.out, sheet.to_text().as_bytes())?;
            status!("{} sections to check are in {}", sheet.rows.len(), arguments.out.display());
            Ok(())
        }
        AnnotateCommand::Ratings(arguments) => rate(&arguments),
    }
}

fn read_subjects(source: &Source) -> Result<Vec<Subject>, Failure> {
    let outputs = read_outputs(&source.outputs, source.output_model.as_deref())?;
    let (found, without) = subjects(&outputs, &read_datasets(&source.data, None)?, source.pass);
    if let Some(id) = without.first() {
        status!("note: {} outputs have no prompt, such as {id}: give their dataset with --data", without.len());
    }
    let of_messages = outputs
        .outputs
        .iter()
        .filter(|output| matches!(output.prompt, Some(Prompt::Messages(_))))
        .count();
    if of_messages > 0 {
        status!("note: {of_messages} outputs answer messages; their traces hold the task without the template that the server put around it");
    }
    if found.is_empty() {
        return Err(Failure::mistake(format!("no output of pass {} with a known prompt is there", source.pass)));
    }
    Ok(found)
}

fn annotate(arguments: Run) -> Result<(), Failure> {
    let mut chosen = read_subjects(&arguments.source)?;
    if let Some(first) = arguments.first {
        let mut counts: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
        chosen.retain(|subject| {
            let benchmark = subject.id.split_once('/').map_or(subject.id.as_str(), |(benchmark, _)| benchmark);
            let count = counts.entry(benchmark.to_owned()).or_default();
            *count += 1;
            *count <= first
        });
    }
    let mut sampling = annotator_settings(arguments.temperature);
    sampling.max_new_tokens = arguments.max_new_tokens;
    let planned = PlannedAnnotation::new(AnnotationConfiguration {
        subjects: chosen.clone(),
        endpoint: arguments.endpoint.settings(arguments.interface)?,
        sampling,
        window: arguments.window,
        seed: arguments.seed,
        parallel: arguments.endpoint.parallel,
        out: arguments.out.clone(),
    })?;
    let wanted = planned.plan.wanted.len();
    let there = wanted - planned.plan.missing(&planned.opened).count();
    let place = arguments.endpoint.shown_address().unwrap_or_default();
    status!("annotator  {} at {place}", planned.plan.model.name);
    status!("outputs    {} in {wanted} windows; {there} windows are there", chosen.len());
    let mut progress = Progress::new();
    let result = planned.run(&mut progress);
    progress.finish();
    let outcome = result?;
    let cut: usize = outcome.annotations.iter().map(|annotation| annotation.windows_cut).sum();
    if cut > 0 {
        status!("note: {cut} windows ran into the limit of tokens; the last sections there may be missing");
    }
    if !outcome.annotations.is_empty() {
        show(
            &summarise(&chosen, &outcome.annotations, Reading::Tolerant, Alignment::ForwardSearch),
            arguments.json,
        )?;
        status!(
            "`cruxscope interpret --traces {} --annotations {}` reads them",
            arguments.out.join(TRACES_FILE).display(),
            arguments.out.join(ANNOTATIONS_FILE).display()
        );
    }
    conclude(&outcome.report, "windows", &arguments.out.display().to_string())
}

fn show(summary: &AnnotationSummary, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(summary);
    }
    let repairs = &summary.repairs;
    let mut lines = vec![
        format!("{} annotations", summary.annotations),
        format!("{:<24} {:>9} {:>9}", "label", "sections", "aligned"),
    ];
    for label in Label::ALL {
        let count = |of: &std::collections::BTreeMap<String, usize>| of.get(label.name()).copied().unwrap_or(0);
        lines.push(format!("{:<24} {:>9} {:>9}", label.name(), count(&summary.sections), count(&summary.aligned)));
    }
    let total = |of: &std::collections::BTreeMap<String, usize>| of.values().sum::<usize>();
    lines.push(format!("{:<24} {:>9} {:>9}", "all", total(&summary.sections), total(&summary.aligned)));
    for (what, of) in [
        ("labels respelled", &repairs.respelled),
        ("sections only the tolerant reading finds", &repairs.tolerated),
        ("sections closed at a nested tag", &repairs.closed_early),
        ("opening tags never closed", &repairs.unclosed),
    ] {
        if !of.is_empty() {
            lines.push(format!("{what}: {} in {} annotations", Repairs::total(of), of.len()));
        }
    }
    for (what, labels) in [("respelled", &repairs.respelled_labels), ("unknown", &repairs.unknown_labels)] {
        let mut sorted: Vec<(&String, &usize)> = labels.iter().collect();
        sorted.sort_by_key(|(label, count)| (std::cmp::Reverse(**count), label.as_str()));
        let shown: Vec<String> = sorted.iter().take(8).map(|(label, count)| format!("\"{label}\" {count}")).collect();
        if !shown.is_empty() {
            let more = sorted.len().saturating_sub(8);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            lines.push(format!("{what} labels: {}{more}", shown.join(", ")));
        }
    }
    if let Some(first) = repairs.empty.first() {
        lines.push(format!("annotations without a section: {}, the first {first}", repairs.empty.len()));
    }
    print_text(&lines.join("\n"))
}

fn compare(arguments: &AgreementFlags) -> Result<(), Failure> {
    let (reading, alignment) = arguments.how.choices();
    let subjects = read_subjects(&arguments.source)?;
    let (first, second): (Vec<AnnotatedOutput>, Vec<AnnotatedOutput>) = (read_annotations(&arguments.annotations)?, read_annotations(&arguments.against)?);
    let found: Agreement =
        agreement(&subjects, &first, &second, reading, alignment, &Bootstrap::default()).ok_or_else(|| Failure::mistake("no output is annotated by both"))?;
    if arguments.how.json {
        return print_json(&found);
    }
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
    let mut lines = vec![
        format!(
            "{} outputs, {} characters: {:.1} % marked alike, kappa {}",
            found.traces,
            found.characters,
            100.0 * found.same,
            number(found.kappa)
        ),
        format!(
            "{:<24} {:>10} {:>10} {:>10} {:>8} {:>9}  95 %",
            "label", "first", "second", "both", "overlap", "Spearman"
        ),
    ];
    lines.extend(found.labels.iter().map(|label| {
        let interval = label.interval.map_or_else(String::new, |(low, high)| format!("{low:.3} to {high:.3}"));
        format!(
            "{:<24} {:>10} {:>10} {:>10} {:>8} {:>9}  {interval}",
            label.label,
            label.first,
            label.second,
            label.both,
            number(label.overlap),
            number(label.spearman)
        )
    }));
    print_text(&lines.join("\n"))
}

fn rate(arguments: &RatingsFlags) -> Result<(), Failure> {
    let read = |path: &Path| -> Result<CheckSheet, Failure> {
        let text = std::fs::read_to_string(path).map_err(|source| RunError::Io {
            attempt: "read",
            path: path.to_owned(),
            source,
        })?;
        Ok(CheckSheet::from_text(&text).map_err(RunError::from)?)
    };
    let found = ratings(&read(&arguments.first)?, &read(&arguments.second)?, &Bootstrap::default());
    if arguments.json {
        return print_json(&found);
    }
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
    let mut lines = vec![format!(
        "{:<24} {:>7} {:>7} {:>7} {:>9}  95 %",
        "behaviour", "outputs", "first", "second", "Spearman"
    )];
    lines.extend(found.iter().map(|of| {
        let interval = of.interval.map_or_else(String::new, |(low, high)| format!("{low:.3} to {high:.3}"));
        format!(
            "{:<24} {:>7} {:>7} {:>7} {:>9}  {interval}",
            of.behaviour,
            of.traces,
            number(of.first),
            number(of.second),
            number(of.spearman)
        )
    }));
    print_text(&lines.join("\n"))
}
