//! `cruxscope benchmark`: outputs of a model on the benchmarks, from an endpoint; what is there; what was published.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use cruxscope_benchmark::datasets::{Benchmark, hub};
use cruxscope_benchmark::endpoint::EndpointSettings;
use cruxscope_benchmark::generator::{FailureKind, SamplingSettings};
use cruxscope_benchmark::published::Published;
use cruxscope_benchmark::samples::Outputs;
use cruxscope_benchmark::sampling::SamplingReport;
use cruxscope_run::RunError;
use cruxscope_run::native::NativeSettings;
use cruxscope_run::sampling::{Answers, DatasetSource, PlannedSampling, PromptChoice, Retrieval, SamplingConfiguration};
use cruxscope_study::folder::write_atomically;
use cruxscope_study::printable;
use serde::Serialize;

use crate::endpoint::{EndpointFlags, InterfaceChoice};
use crate::failure::Failure;
use crate::numbers::{MOST, MOST_THREADS, MOST_TOKENS, number, share, whole};
use crate::output::{print_json, print_text, status};
use crate::progress::Progress;
use crate::settings::prepare_process;

/// What a person can ask of benchmarks.
#[derive(Debug, Subcommand)]
pub enum BenchmarkCommand {
    /// Sample outputs from an endpoint; a run that was stopped goes on with the same command
    Run(Box<Run>),
    /// Print what a file of samples holds
    Status(Status),
    /// Print the paper's tables with intervals, value by value
    Published(PublishedFlags),
}

#[derive(Debug, Args)]
pub struct Run {
    /// A dataset: its publisher's file (JSON, JSON lines or Parquet); may be given several times
    #[arg(long, value_name = "FILE", required_unless_present = "fetch")]
    data: Vec<PathBuf>,
    /// A dataset to fetch from its publisher: aime, temporal, musique or, at a revision, aime@COMMIT
    #[arg(long, value_name = "NAME[@REVISION]")]
    fetch: Vec<String>,
    /// Where fetched datasets are kept
    #[arg(long = "dataset-cache", alias = "keep", value_name = "DIR", default_value = "datasets")]
    keep: PathBuf,
    /// Maximum number of questions of each dataset, from the first
    #[arg(long = "limit", alias = "first", value_name = "N", value_parser = whole::<usize>(1, MOST))]
    first: Option<usize>,
    /// The program's own generation with this checkpoint (a Hugging Face folder or a GGUF file), rather than an endpoint
    #[arg(long, value_name = "PATH", conflicts_with_all = ["endpoint", "model"])]
    checkpoint: Option<PathBuf>,
    /// With --checkpoint: where to compute: cpu, vulkan, wgpu, cuda, or one of several such as cuda:1
    #[arg(long, default_value = "cpu", requires = "checkpoint")]
    device: String,
    /// With --checkpoint: number of threads [default: number of CPUs]
    #[arg(long, value_name = "N", requires = "checkpoint", value_parser = whole::<usize>(1, MOST_THREADS))]
    threads: Option<usize>,
    #[command(flatten)]
    endpoint: EndpointFlags,
    /// Which of the two interfaces
    #[arg(long, value_enum, default_value_t)]
    interface: InterfaceChoice,
    /// How prompts are made [default: raw for completions, messages for chat]
    #[arg(long, value_enum)]
    prompt: Option<PromptFlag>,
    /// With --prompt chat-template: the checkpoint's folder, its tokenizer_config.json or a .jinja file; with --prompt template: a file
    /// of one's own, in which {{ question }}, {{ dataset }}, {{ id }} and {{ passages }} are filled
    #[arg(long, value_name = "PATH")]
    template: Option<PathBuf>,
    /// Samples per question
    #[arg(long = "samples-per-question", alias = "passes", value_name = "N", default_value_t = 1, value_parser = whole::<u32>(1, 10_000))]
    passes: u32,
    /// Temperature
    #[arg(long, default_value_t = 0.6, value_parser = number(0.0, 100.0))]
    temperature: f64,
    /// Nucleus sampling
    #[arg(long, default_value_t = 0.95, value_parser = share(1.0))]
    top_p: f64,
    /// Maximum number of new tokens
    #[arg(long, value_name = "TOKENS", default_value_t = 32_768, value_parser = whole::<usize>(1, MOST_TOKENS))]
    max_new_tokens: usize,
    /// A text that ends an output; may be given several times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// End outputs early that only repeat themselves; recorded with each
    #[arg(long)]
    stop_on_collapse: bool,
    /// Seed of the first sample of each question; each further sample has the next
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Put the nearest passages before each question: of a file of {"title","text"} lines, or "dataset" for the dataset's own
    #[arg(long, value_name = "FILE|dataset")]
    retrieve: Option<PathBuf>,
    /// Passages per question
    #[arg(long = "passages", alias = "top", value_name = "N", default_value_t = 10, requires = "retrieve", value_parser = whole::<usize>(1, 1000))]
    top: usize,
    /// Find passages by this embeddings model of the endpoint rather than by words
    #[arg(long, value_name = "NAME", requires = "retrieve")]
    embeddings_model: Option<String>,
    /// The file of samples
    #[arg(long, value_name = "FILE.jsonl")]
    out: PathBuf,
    /// Print the plan and stop
    #[arg(long = "dry-run", alias = "plan-only")]
    plan_only: bool,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

/// See [`PromptChoice`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PromptFlag {
    /// As in the published outputs, ending in <think>
    Raw,
    /// The task as a message
    Messages,
    /// Through the checkpoint's chat template
    ChatTemplate,
    /// Through a template of one's own
    Template,
}

#[derive(Debug, Args)]
pub struct Status {
    /// The file of samples
    samples: PathBuf,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct PublishedFlags {
    /// Only this table
    #[arg(long, value_name = "NUMBER", value_parser = whole::<u32>(1, 100))]
    table: Option<u32>,
    /// Write them as results, which the window lays beside one's own
    #[arg(long, value_name = "results.json", conflicts_with = "table")]
    results: Option<PathBuf>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Does what a benchmark command says.
pub fn run(command: BenchmarkCommand) -> Result<(), Failure> {
    match command {
        BenchmarkCommand::Run(arguments) => sample(&arguments),
        BenchmarkCommand::Status(arguments) => status(&arguments),
        BenchmarkCommand::Published(arguments) => published(&arguments),
    }
}

impl Run {
    fn configuration(&self) -> Result<SamplingConfiguration, Failure> {
        let files = self.data.iter().cloned().map(DatasetSource::File);
        let fetched = self.fetch.iter().map(|wanted| {
            let (name, revision) = wanted
                .split_once('@')
                .map_or((wanted.as_str(), None), |(name, revision)| (name, Some(revision.to_owned())));
            let benchmark: Benchmark = name.parse().map_err(Failure::mistake)?;
            if benchmark == Benchmark::Folio {
                return Err(Failure::mistake(hub::guide(benchmark)));
            }
            Ok(DatasetSource::Hub {
                benchmark,
                revision,
                folder: self.keep.clone(),
            })
        });
        let datasets = files.map(Ok).chain(fetched).collect::<Result<_, _>>()?;
        let usual = match self.interface {
            InterfaceChoice::Completions => PromptFlag::Raw,
            InterfaceChoice::Chat => PromptFlag::Messages,
        };
        let template = |why: &str| self.template.clone().ok_or_else(|| Failure::mistake(format!("{why} needs --template PATH")));
        let prompt = match self.prompt.unwrap_or(usual) {
            PromptFlag::Raw => PromptChoice::Raw,
            PromptFlag::Messages => PromptChoice::Messages,
            PromptFlag::ChatTemplate => PromptChoice::Chat(template("--prompt chat-template")?),
            PromptFlag::Template => PromptChoice::Custom(template("--prompt template")?),
        };
        let answers = match &self.checkpoint {
            Some(checkpoint) => Answers::Native(NativeSettings {
                checkpoint: checkpoint.clone(),
                device: self.device.clone(),
            }),
            None => Answers::Endpoint(self.endpoint.settings(self.interface)?),
        };
        let embeddings = |model: String| match &answers {
            Answers::Endpoint(settings) => Ok(EndpointSettings { model, ..settings.clone() }),
            Answers::Native(_) => Err(Failure::mistake(
                "--embeddings-model needs an endpoint; without it passages are found by their words",
            )),
        };
        let embeddings = self.embeddings_model.clone().map(embeddings).transpose()?;
        let retrieval = self.retrieve.as_ref().map(|corpus| Retrieval {
            corpus: (corpus.as_os_str() != "dataset").then(|| corpus.clone()),
            count: self.top,
            embeddings,
        });
        Ok(SamplingConfiguration {
            datasets,
            first: self.first,
            retrieval,
            prompt,
            answers,
            sampling: SamplingSettings {
                temperature: self.temperature,
                top_p: self.top_p,
                max_new_tokens: self.max_new_tokens,
                stop: self.stop.clone(),
                stop_on_collapse: self.stop_on_collapse,
            },
            passes: self.passes,
            seed: self.seed,
            parallel: self.endpoint.parallel,
            out: self.out.clone(),
        })
    }
}

fn sample(arguments: &Run) -> Result<(), Failure> {
    prepare_process(arguments.threads)?;
    let mut progress = Progress::new();
    let planned = PlannedSampling::new(&arguments.configuration()?, &mut progress)?;
    let questions: Vec<String> = planned
        .questions
        .iter()
        .map(|(benchmark, count)| format!("{} {count}", benchmark.title()))
        .collect();
    let place = match arguments.endpoint.shown_address() {
        Some(address) if arguments.checkpoint.is_none() => format!("at {address}"),
        _ => format!("by {} {}", planned.plan.engine.name, planned.plan.engine.version),
    };
    status!("model      {} {place}", planned.plan.model.name);
    status!("questions  {}; passes {}", questions.join(", "), arguments.passes);
    let missing = planned.missing();
    status!(
        "samples    {} wanted, {} there, {missing} missing",
        planned.plan.wanted.len(),
        planned.plan.wanted.len() - missing
    );
    let cut = (planned.opened.dropped_bytes, arguments.plan_only);
    for line in oddities(cut, &planned.opened.damaged_lines, &planned.opened.repeated_lines) {
        status!("{line}");
    }
    if arguments.plan_only {
        progress.finish();
        return Ok(());
    }
    let result = planned.run(&mut progress);
    progress.finish();
    let report = result?;
    if arguments.json {
        print_json(&report)?;
    }
    conclude(&report, "samples", &arguments.out.display().to_string())
}

/// What was odd about a file of samples, a line each; `cut` is how many bytes of a last line that was cut short there are, and whether they
/// stay.
fn oddities(cut: (u64, bool), damaged: &[usize], repeated: &[usize]) -> Vec<String> {
    let mut lines = Vec::new();
    match cut {
        (0, _) => {}
        (bytes, true) => lines.push(format!("cut short  a last line of {bytes} bytes; a run drops it")),
        (bytes, false) => lines.push(format!("dropped    {bytes} bytes of a last line that was cut short")),
    }
    for (name, found) in [("damaged", damaged), ("repeated", repeated)] {
        if let Some(first) = found.first() {
            lines.push(format!("{name:<10} {} lines are passed over, the first is line {first}", found.len()));
        }
    }
    lines
}

/// The summary of a run, on stderr; an error where something is missing.
pub fn conclude(report: &SamplingReport, what: &str, place: &str) -> Result<(), Failure> {
    status!(
        "{} of {} {what} are in {place}: {} made now ({} after several tries), {} by earlier runs",
        report.kept + report.made,
        report.wanted,
        report.made,
        report.retried,
        report.kept
    );
    for (kind, (count, message)) in report.failures_by_kind() {
        status!("failed     {count}: {}; the first: {message}", kind.words());
    }
    for (model, count) in &report.other_models {
        status!("note: {count} answers name another model, \"{}\"", printable(model));
    }
    if report.missing() == 0 {
        return Ok(());
    }
    let why = report.ended_early.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
    Err(Failure::failed(anyhow::anyhow!(
        "{} {what} are missing{why}; the same command again makes them",
        report.missing()
    )))
}

/// What a file of samples holds of one model, benchmark and pass.
#[derive(Serialize)]
struct Holding {
    model: String,
    benchmark: String,
    pass: u32,
    samples: usize,
    /// Nothing where an output's tokens were not counted by the server.
    new_tokens: Option<u64>,
    /// Answers that came without usable text, by kind.
    failed: BTreeMap<FailureKind, usize>,
}

fn status(arguments: &Status) -> Result<(), Failure> {
    let outputs = Outputs::read(&arguments.samples).map_err(RunError::from)?;
    let mut counts: BTreeMap<(String, String, u32), Holding> = BTreeMap::new();
    let place = |model: &str, id: &str, pass: u32| {
        let benchmark = Benchmark::of_id(id).map_or("other", Benchmark::title);
        (model.to_owned(), benchmark.to_owned(), pass)
    };
    let begun = |(model, benchmark, pass): &(String, String, u32)| Holding {
        model: model.clone(),
        benchmark: benchmark.clone(),
        pass: *pass,
        samples: 0,
        new_tokens: Some(0),
        failed: BTreeMap::new(),
    };
    for output in &outputs.outputs {
        let place = place(output.model.as_deref().unwrap_or_default(), &output.id, output.pass);
        let empty = begun(&place);
        let holding = counts.entry(place).or_insert(empty);
        holding.samples += 1;
        holding.new_tokens = holding.new_tokens.zip(output.new_tokens).map(|(sum, more)| sum + more);
    }
    for failure in &outputs.failures {
        let place = place(&failure.model.name, &failure.id, failure.pass);
        let empty = begun(&place);
        *counts.entry(place).or_insert(empty).failed.entry(failure.kind).or_default() += 1;
    }
    let holdings: Vec<Holding> = counts.into_values().collect();
    for line in oddities((0, true), &outputs.damaged_lines, &outputs.repeated_lines) {
        status!("{line}");
    }
    if arguments.json {
        return print_json(&holdings);
    }
    let mut lines = vec![format!(
        "{:<28} {:<10} {:>4} {:>8} {:>12} {:>7}",
        "model", "benchmark", "pass", "samples", "new tokens", "failed"
    )];
    lines.extend(holdings.iter().map(|holding| {
        let model = if holding.model.is_empty() { "(not named)" } else { &holding.model };
        format!(
            "{model:<28} {:<10} {:>4} {:>8} {:>12} {:>7}",
            holding.benchmark,
            holding.pass,
            holding.samples,
            holding.new_tokens.map_or_else(|| "not counted".to_owned(), |tokens| tokens.to_string()),
            holding.failed.values().sum::<usize>()
        )
    }));
    let mut kinds: BTreeMap<FailureKind, usize> = BTreeMap::new();
    for (kind, count) in holdings.iter().flat_map(|holding| &holding.failed) {
        *kinds.entry(*kind).or_default() += count;
    }
    lines.extend(
        kinds
            .iter()
            .map(|(kind, count)| format!("failed {count}: {}; the next run asks again", kind.words())),
    );
    print_text(&lines.join("\n"))
}

fn published(arguments: &PublishedFlags) -> Result<(), Failure> {
    let published = Published::load().map_err(Failure::failed)?;
    if let Some(path) = &arguments.results {
        return Ok(write_atomically(path, &published.results().to_json()?)?);
    }
    let tables: Vec<_> = published
        .tables
        .iter()
        .filter(|table| arguments.table.is_none_or(|number| table.number == number))
        .collect();
    if tables.is_empty() {
        return Err(Failure::mistake("the paper's tables are numbered from 1 to 11"));
    }
    let values: Vec<_> = published
        .values()
        .into_iter()
        .filter(|value| tables.iter().any(|table| table.number == value.table))
        .collect();
    if arguments.json {
        return print_json(&serde_json::json!({"source": published.source, "tables": tables, "values": values}));
    }
    let mut lines = vec![format!(
        "{} (arXiv {}v{})",
        published.source.title, published.source.arxiv, published.source.version
    )];
    for table in tables {
        lines.push(String::new());
        lines.push(format!("Table {} ({}): {}. {}", table.number, table.place, table.title, table.note));
        for row in table.rows.iter().filter(|row| !row.facts.is_empty()) {
            let facts: Vec<String> = row.facts.iter().map(|(name, fact)| format!("{name} {fact}")).collect();
            lines.push(format!("  {}: {}", row.words(), facts.join(", ")));
        }
        for value in values.iter().filter(|value| value.table == table.number) {
            let interval = value.interval.map_or_else(String::new, |(low, high)| format!("  {low:.1} to {high:.1}"));
            let n = value.n.map_or_else(String::new, |n| format!("  n = {n}"));
            let passes = value
                .passes
                .filter(|_| value.n.is_some())
                .map_or_else(String::new, |passes| format!(" x {passes}"));
            let off = if value.on_grid == Some(false) { "  (no whole number of answers)" } else { "" };
            lines.push(format!("  {:<70} {:<18} {:>6}{interval}{n}{passes}{off}", value.row, value.metric, value.value));
        }
    }
    print_text(&lines.join("\n"))
}
