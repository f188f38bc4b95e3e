//! `cruxscope compare`: where two models part, position by position, on texts that both read.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use cruxscope_model::decoder::Residence;
use cruxscope_run::compare::{CompareOutcome, CompareSettings, CompareText, PlannedCompare};
use cruxscope_run::instances::TraceSettings;
use cruxscope_run::machine::{format_bytes, format_duration, peak_memory};
use cruxscope_run::windows::{Calibration, WindowSource};
use cruxscope_study::{Definition, Divergence, Measured, Place, Positions};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::numbers::{MOST, MOST_TOKENS, whole};
use crate::output::{print_json, print_text, status};
use crate::progress::Progress;
use crate::settings::Machine;

/// Components listed for each set of positions.
const TOP: usize = 10;
/// Pieces of the curve along the thought.
const PIECES: usize = 10;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The models, A then B: Hugging Face folders or GGUF files of the same vocabulary; A is the one that wrote the texts, or from which B was made
    #[arg(long, value_name = "DIR|FILE.gguf", required = true, num_args = 1, action = clap::ArgAction::Append)]
    model: Vec<PathBuf>,
    #[command(flatten)]
    text: TextArguments,
    /// The folder of B's study; an interrupted run resumes there
    #[arg(long, value_name = "STUDY")]
    out: PathBuf,
    /// Which components of B's change cause the divergence at these positions, separated by commas: all, a behaviour, rest, prompt, thought-start, thought-middle, thought-end, answer, parted
    #[arg(long, value_name = "LIST", num_args = 0..=1, value_delimiter = ',', default_missing_value = "all,parted")]
    attribute: Vec<Positions>,
    /// Let both models write on from the first token at which their choices part, so many tokens each
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "64", value_parser = whole::<usize>(1, MOST_TOKENS))]
    generate: Option<usize>,
    /// Round what linear maps read as an FP8, INT8 or NVFP4 checkpoint asks for (compressed-tensors, fp8), in whichever of the two asks for it
    #[arg(long)]
    simulate_activations: bool,
    #[command(flatten)]
    machine: Machine,
    /// Print the plan and stop
    #[arg(long)]
    dry_run: bool,
    /// How many components to list
    #[arg(long, default_value_t = TOP, value_parser = whole::<usize>(0, MOST))]
    top: usize,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// The texts that are read.
#[derive(Clone, Debug, Args)]
struct TextArguments {
    /// Traces, one JSON object a line (plain or gzip), each read whole
    #[arg(long, value_name = "FILE.jsonl", conflicts_with_all = ["text", "tokens"], required_unless_present_any = ["text", "tokens"])]
    traces: Option<PathBuf>,
    /// Annotations of the traces, one JSON object a line: divergence is told for each behaviour too
    #[arg(long, value_name = "FILE.jsonl", requires = "traces")]
    annotations: Option<PathBuf>,
    /// Only these traces: ids separated by commas
    #[arg(long, value_name = "IDS", value_delimiter = ',', requires = "traces")]
    instances: Vec<String>,
    /// Maximum number of traces, from the first, or of windows
    #[arg(long, alias = "windows", value_name = "N", value_parser = whole::<usize>(1, MOST))]
    limit: Option<usize>,
    /// Maximum number of tokens of a trace; what lies beyond is cut [default: the models' context]
    #[arg(long = "max-length", value_name = "N", requires = "traces", value_parser = whole::<usize>(2, MOST_TOKENS))]
    max_tokens: Option<usize>,
    /// Plain text, in windows
    #[arg(long, value_name = "FILE", conflicts_with = "tokens")]
    text: Option<PathBuf>,
    /// A safetensors file with arrays [windows, length] of token ids
    #[arg(long, value_name = "FILE.safetensors")]
    tokens: Option<PathBuf>,
    /// Only this array of the file
    #[arg(long, value_name = "NAME", requires = "tokens")]
    array: Option<String>,
    /// Cut text, and traces without annotations, into windows of so many tokens, as `trial` and `validate` do [default: 512 for text; traces are read whole]
    #[arg(long = "sequence-length", value_name = "N", conflicts_with_all = ["annotations", "max_tokens", "instances"], value_parser = whole::<usize>(2, MOST_TOKENS))]
    length: Option<usize>,
}

impl TextArguments {
    fn source(&self) -> Result<CompareText, Failure> {
        let windows = |source| {
            Ok(CompareText::Windows(Calibration {
                source,
                windows: self.limit,
                seed: None,
            }))
        };
        let length = self.length.unwrap_or(512);
        match (&self.traces, &self.annotations, &self.text, &self.tokens) {
            (Some(traces), Some(annotations), ..) => Ok(CompareText::Annotated(TraceSettings {
                traces: traces.clone(),
                annotations: annotations.clone(),
                definition: Definition::Paper,
                reading: None,
                alignment: None,
                only: self.instances.clone(),
                first: self.limit,
                max_tokens: self.max_tokens,
            })),
            (Some(path), None, ..) if self.length.is_some() => windows(WindowSource::Traces { path: path.clone(), length }),
            (Some(traces), None, ..) => Ok(CompareText::Traces {
                traces: traces.clone(),
                only: self.instances.clone(),
                first: self.limit,
                max_tokens: self.max_tokens,
            }),
            (None, _, Some(path), _) => windows(WindowSource::Text { path: path.clone(), length }),
            (None, _, None, Some(path)) => windows(WindowSource::Tokens {
                path: path.clone(),
                array: self.array.clone(),
            }),
            _ => Err(Failure::mistake("give the texts to read: --traces, --text or --tokens")),
        }
    }
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    arguments.machine.prepare_process()?;
    let [a, b] = arguments.model.as_slice() else {
        let given = arguments.model.len();
        return Err(Failure::mistake(format!("two models are compared, and {given} given: --model A --model B")));
    };
    let settings = CompareSettings {
        a: a.clone(),
        b: b.clone(),
        text: arguments.text.source()?,
        out: arguments.out.clone(),
        causes: arguments.attribute.clone(),
        generate: arguments.generate,
        simulate_activations: arguments.simulate_activations,
        device: arguments.machine.device.clone(),
        weights: arguments.machine.weights.into(),
    };
    let mut progress = Progress::new();
    let planned = PlannedCompare::new(settings, &mut progress)?;
    print_plan(&planned);
    if arguments.dry_run {
        progress.finish();
        return Ok(());
    }
    let planned_memory = planned.plan.memory;
    let result = planned.run(&mut progress);
    progress.finish();
    let outcome = result?;
    print_cost(&outcome, planned_memory);
    status!("divergence saved in {}", arguments.out.display());
    if arguments.json {
        return print_json(&summary(&outcome.divergence));
    }
    print_text(&table(&outcome.divergence, arguments.top))
}

fn print_plan(planned: &PlannedCompare) {
    let plan = &planned.plan;
    let [a, b] = planned.names();
    status!("models        A {a}, B {b} on {}", planned.device());
    status!("text          {} texts of {} tokens in all", plan.texts, plan.tokens);
    if !planned.causes().is_empty() {
        let names: Vec<&str> = planned.causes().iter().map(|positions| positions.name()).collect();
        status!("causes        at {}", names.join(", "));
    }
    let weights = match plan.weights {
        Residence::Resident => "in memory",
        Residence::Streamed => "read layer by layer",
    };
    status!("weights       {weights}; {} texts go through the layers together", plan.batch);
    status!(
        "memory        about {}; {} of disk until the result is put together",
        format_bytes(plan.memory),
        format_bytes(plan.disk)
    );
    let time = plan.time.map_or_else(|| "unknown".to_owned(), format_duration);
    status!(
        "work          {:.2} TFLOP, {:.1} forward passes of A plus B, about {time}",
        plan.operations / 1e12,
        plan.operations / plan.forward.max(1.0)
    );
}

fn print_cost(outcome: &CompareOutcome, planned_memory: u64) {
    if outcome.was_complete {
        status!("the comparison was complete already");
        return;
    }
    if let Some(peak) = peak_memory() {
        status!("peak memory {}, planned {}", format_bytes(peak), format_bytes(planned_memory));
    }
    let seconds = outcome.seconds;
    if let Some(passes) = seconds.passes() {
        let causes = if seconds.causes > 0.0 {
            format!("; causes {:.2} more", seconds.causes / seconds.forward)
        } else {
            String::new()
        };
        status!("took {passes:.2} forward passes of A plus B, which are {:.1} s{causes}", seconds.forward);
    }
}

fn interval(measured: Measured, digits: usize) -> String {
    let ends = measured
        .interval
        .map_or_else(String::new, |(low, high)| format!(" [{low:.digits$}, {high:.digits$}]"));
    format!("{:.digits$}{ends}", measured.value)
}

fn percent(measured: Measured) -> String {
    let scaled = |value: f64| 100.0 * value;
    interval(
        Measured {
            value: scaled(measured.value),
            interval: measured.interval.map(|(low, high)| (scaled(low), scaled(high))),
        },
        1,
    )
}

/// The sets of positions that are listed: those of the prompt are where there is one.
fn listed(divergence: &Divergence) -> impl Iterator<Item = Positions> {
    let has_text = divergence.facts.texts.iter().any(|text| text.thought > 0);
    let has_behaviours = !divergence.facts.behaviours.is_empty();
    Positions::every().filter(move |positions| match positions {
        Positions::All | Positions::Parted => true,
        Positions::Behaviour(_) | Positions::Rest => has_behaviours,
        Positions::At(Place::Prompt) => has_text,
        Positions::At(_) => true,
    })
}

fn table(divergence: &Divergence, top: usize) -> String {
    let facts = &divergence.facts;
    let mut text = format!(
        "A  {}\nB  {}\n{} texts, {} predictions\n",
        facts.models[0].name,
        facts.models[1].name,
        facts.texts.len(),
        divergence.kl.len()
    );
    // Writing to a String cannot fail.
    writeln!(
        text,
        "\n{:<22}  {:>11}  {:<28}  {:<26}  loss of B - A",
        "positions", "predictions", "KL(A || B), nats", "same choice, %"
    )
    .ok();
    for positions in listed(divergence) {
        let Some(found) = divergence.summary(positions) else { continue };
        writeln!(
            text,
            "{:<22}  {:>11}  {:<28}  {:<26}  {}",
            positions.name(),
            found.count,
            interval(found.kl, 5),
            percent(found.agreement),
            interval(found.excess_loss, 4)
        )
        .ok();
    }
    if !facts.behaviours.is_empty() {
        writeln!(text, "\n{:<22}  {:<28}  share of the whole, %", "the whole, by part", "adds, nats").ok();
        for part in divergence.partition() {
            writeln!(text, "{:<22}  {:<28}  {}", part.positions.name(), interval(part.adds, 5), percent(part.share)).ok();
        }
    }
    writeln!(
        text,
        "\n{:<22}  {:>11}  {:<28}  same choice, %",
        "along the thought, %", "predictions", "KL(A || B), nats"
    )
    .ok();
    for point in divergence.curve(PIECES) {
        let range = format!("{:.0} to {:.0}", 100.0 * point.from, 100.0 * point.to);
        writeln!(
            text,
            "{range:<22}  {:>11}  {:<28}  {}",
            point.count,
            interval(point.kl, 5),
            percent(point.agreement)
        )
        .ok();
    }
    let partings = divergence.partings();
    let parted = partings.iter().filter(|parting| parting.token.is_some()).count();
    let median = divergence.median_parting().map_or_else(String::new, |median| {
        format!("; median over texts after {} tokens of the model's own", interval(median, 0))
    });
    writeln!(text, "\ngreedy choices part in {parted} of {} texts{median}", partings.len()).ok();
    for positions in &facts.caused {
        let Some(causes) = divergence.causes(*positions) else { continue };
        let Some(whole) = divergence.mean_kl(*positions) else { continue };
        let explained: f64 = causes.iter().map(|cause| cause.adds.value).sum();
        writeln!(
            text,
            "\ncauses at {positions}: {:.5} of {:.5} nats are explained to second order; component  adds, nats  %",
            explained, whole.value
        )
        .ok();
        for cause in causes.iter().take(top) {
            let share = 100.0 * cause.adds.value / whole.value.max(f64::MIN_POSITIVE);
            writeln!(text, "  {:<8}  {:<32}  {share:>5.1}", cause.component.to_string(), interval(cause.adds, 6)).ok();
        }
    }
    let written = facts.texts.iter().filter_map(|text| Some((text, text.continuation.as_ref()?)));
    for (of, continuation) in written {
        let line = |words: &str| words.replace('\n', "\\n");
        writeln!(
            text,
            "\n{} parts at token {}\n  A  {}\n  B  {}",
            of.id,
            continuation.token,
            line(&continuation.a),
            line(&continuation.b)
        )
        .ok();
    }
    text.trim_end().to_owned()
}

fn value_of(measured: Measured) -> Value {
    json!({"value": measured.value, "interval": measured.interval})
}

/// Everything as JSON, means and intervals worked out.
fn summary(divergence: &Divergence) -> Value {
    let facts = &divergence.facts;
    let positions: serde_json::Map<String, Value> = listed(divergence)
        .filter_map(|positions| {
            let found = divergence.summary(positions)?;
            let value = json!({
                "predictions": found.count,
                "texts": found.texts,
                "kl": value_of(found.kl),
                "same_choice": value_of(found.agreement),
                "excess_loss": value_of(found.excess_loss),
            });
            Some((positions.name().to_owned(), value))
        })
        .collect();
    let parts: Vec<Value> = divergence
        .partition()
        .into_iter()
        .map(|part| json!({"positions": part.positions, "predictions": part.count, "adds": value_of(part.adds), "share": value_of(part.share)}))
        .collect();
    let curve: Vec<Value> = divergence
        .curve(2 * PIECES)
        .into_iter()
        .map(
            |point| json!({"from": point.from, "to": point.to, "predictions": point.count, "kl": value_of(point.kl), "same_choice": value_of(point.agreement)}),
        )
        .collect();
    let partings: Vec<Value> = divergence
        .partings()
        .into_iter()
        .map(|parting| {
            let text = &facts.texts[parting.text];
            json!({"id": text.id, "token": parting.token, "written_before": parting.written_before(text), "continuation": text.continuation})
        })
        .collect();
    let causes: serde_json::Map<String, Value> = facts
        .caused
        .iter()
        .filter_map(|positions| {
            let causes = divergence.causes(*positions)?;
            let explained: f64 = causes.iter().map(|cause| cause.adds.value).sum();
            let components: Vec<Value> = causes
                .iter()
                .map(|cause| json!({"component": cause.component.to_string(), "adds": value_of(cause.adds)}))
                .collect();
            Some((positions.name().to_owned(), json!({"explained": explained, "components": components})))
        })
        .collect();
    json!({
        "a": facts.models[0].name,
        "b": facts.models[1].name,
        "texts": facts.texts.len(),
        "predictions": divergence.kl.len(),
        "positions": positions,
        "parts": parts,
        "curve": curve,
        "median_parting": divergence.median_parting().map(value_of),
        "partings": partings,
        "causes": causes,
    })
}
