//! `cruxscope sensitivity`: what compressing each matrix will cost.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use cruxscope_model::decoder::Residence;
use cruxscope_run::instances::TraceSettings;
use cruxscope_run::machine::{format_bytes, format_duration, peak_memory};
use cruxscope_run::sensitivity::{PlannedSensitivity, SensitivitySettings, SketchText};
use cruxscope_run::shards::Shard;
use cruxscope_run::windows::{Calibration, WindowSource};
use cruxscope_sensitivity::menu::read_menu;
use cruxscope_statistics::Bootstrap;
use cruxscope_study::{Component, Definition, RecipeCost, Scope, Sensitivity};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::numbers::{MOST, MOST_TOKENS, whole};
use crate::output::{print_json, print_text, status};
use crate::progress::Progress;
use crate::settings::{DeviceMemory, Machine};

/// Components listed.
const TOP: usize = 10;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The model: a Hugging Face folder, or a GGUF file
    #[arg(long, value_name = "DIR|FILE.gguf")]
    model: PathBuf,
    #[command(flatten)]
    text: TextArguments,
    /// Formats to compare, separated by commas: rtn-3-g64, gptq-4-g128, awq-4, any-4, magnitude-30, …
    #[arg(long, value_name = "LIST", required_unless_present = "candidate")]
    formats: Option<String>,
    /// A compressed checkpoint of the same model, as a folder or a GGUF file; can be given several times
    #[arg(long, value_name = "DIR|FILE.gguf")]
    candidate: Vec<PathBuf>,
    /// Text for methods that have to know a matrix's inputs: a safetensors file with arrays [windows, length] of token ids [default: the windows themselves, on which such methods look better than they are]
    #[arg(long, value_name = "FILE.safetensors")]
    calibration_tokens: Option<PathBuf>,
    /// Only this array of the file
    #[arg(long, value_name = "NAME", requires = "calibration_tokens")]
    calibration_array: Option<String>,
    /// Likewise plain text
    #[arg(long, value_name = "FILE", conflicts_with = "calibration_tokens")]
    calibration_text: Option<PathBuf>,
    /// The folder of the study; an interrupted run resumes there
    #[arg(long, value_name = "STUDY")]
    out: PathBuf,
    /// Draws of labels for each window
    #[arg(long, default_value_t = 4, value_parser = whole::<usize>(1, 1024))]
    draws: usize,
    /// Seed of the labels
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Measure the divergence of every format too, on the same windows; that of a candidate always is
    #[arg(long)]
    measure: bool,
    /// Compute the gradient score of other tools and the first order of the loss too, which `cruxscope trial` and `bench` compare with; costs as much as a draw
    #[arg(long)]
    gradient_score: bool,
    #[command(flatten)]
    machine: Machine,
    #[command(flatten)]
    device_memory: DeviceMemory,
    /// Compute only this share of the windows, such as 2/4, and leave them in the folder; a run without it puts all together
    #[arg(long, value_name = "K/N")]
    shard: Option<Shard>,
    /// Print the plan and stop
    #[arg(long, alias = "plan-only")]
    dry_run: bool,
    /// The format whose most hurt components are listed [default: the smallest]
    #[arg(long, value_name = "NAME")]
    format: Option<String>,
    /// How many components to list
    #[arg(long, default_value_t = TOP, value_parser = whole::<usize>(0, MOST))]
    top: usize,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// The text that is read.
#[derive(Clone, Debug, Args)]
struct TextArguments {
    /// Traces, one JSON object a line (plain or gzip); with --annotations each is one window, and costs are told for each behaviour
    #[arg(long, value_name = "FILE.jsonl", conflicts_with_all = ["text", "tokens"], required_unless_present_any = ["text", "tokens"])]
    traces: Option<PathBuf>,
    /// Annotations of the traces, one JSON object a line
    #[arg(long, value_name = "FILE.jsonl", requires = "traces")]
    annotations: Option<PathBuf>,
    /// Plain text
    #[arg(long, value_name = "FILE", conflicts_with = "tokens")]
    text: Option<PathBuf>,
    /// A safetensors file with arrays [windows, length] of token ids
    #[arg(long, value_name = "FILE.safetensors")]
    tokens: Option<PathBuf>,
    /// Only this array of the file
    #[arg(long, value_name = "NAME", requires = "tokens")]
    array: Option<String>,
    /// Tokens of a window of text, or of traces without annotations
    #[arg(long = "sequence-length", alias = "length", value_name = "N", default_value_t = 512, value_parser = whole::<usize>(2, MOST_TOKENS))]
    length: usize,
    /// Maximum number of windows, or of annotated traces
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1, MOST))]
    windows: Option<usize>,
    /// Draw the windows from the whole text by this seed [default: the first ones]
    #[arg(long, value_name = "SEED")]
    draw_windows: Option<u64>,
    /// Maximum number of tokens of an annotated trace; what lies beyond is cut [default: the model's context]
    #[arg(long = "max-length", alias = "max-tokens", value_name = "N", requires = "annotations", value_parser = whole::<usize>(1, MOST_TOKENS))]
    max_tokens: Option<usize>,
}

impl TextArguments {
    fn source(&self) -> Result<SketchText, Failure> {
        if let (Some(traces), Some(annotations)) = (&self.traces, &self.annotations) {
            return Ok(SketchText::Traces(TraceSettings {
                traces: traces.clone(),
                annotations: annotations.clone(),
                definition: Definition::Paper,
                reading: None,
                alignment: None,
                only: Vec::new(),
                first: self.windows,
                max_tokens: self.max_tokens,
            }));
        }
        let length = self.length;
        let source = match (&self.traces, &self.text, &self.tokens) {
            (Some(path), _, _) => WindowSource::Traces { path: path.clone(), length },
            (_, Some(path), _) => WindowSource::Text { path: path.clone(), length },
            (_, _, Some(path)) => WindowSource::Tokens {
                path: path.clone(),
                array: self.array.clone(),
            },
            _ => return Err(Failure::mistake("give the text to read: --traces, --text or --tokens")),
        };
        Ok(SketchText::Windows(Calibration {
            source,
            windows: self.windows,
            seed: self.draw_windows,
        }))
    }
}

impl Arguments {
    fn settings(&self) -> Result<SensitivitySettings, Failure> {
        let menu = match &self.formats {
            Some(formats) => read_menu(formats).map_err(cruxscope_run::RunError::from)?,
            None => Vec::new(),
        };
        let source = match (&self.calibration_tokens, &self.calibration_text) {
            (Some(path), _) => Some(WindowSource::Tokens {
                path: path.clone(),
                array: self.calibration_array.clone(),
            }),
            (None, Some(path)) => Some(WindowSource::Text {
                path: path.clone(),
                length: self.text.length,
            }),
            (None, None) => None,
        };
        Ok(SensitivitySettings {
            model: self.model.clone(),
            text: self.text.source()?,
            calibration: source.map(|source| Calibration {
                source,
                windows: None,
                seed: None,
            }),
            menu,
            candidates: self.candidate.clone(),
            out: self.out.clone(),
            draws: self.draws,
            seed: self.seed,
            device: self.machine.device.clone(),
            weights: self.machine.weights.into(),
            device_memory: self.device_memory.bytes(),
            measure: self.measure,
            gradient_score: self.gradient_score,
            changes: None,
        })
    }
}

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    arguments.machine.prepare_process()?;
    let settings = arguments.settings()?;
    let mut progress = Progress::new();
    let planned = PlannedSensitivity::new(settings, &mut progress)?;
    print_plan(&planned);
    if arguments.dry_run {
        progress.finish();
        return Ok(());
    }
    if let Some(shard) = arguments.shard {
        let result = planned.compute(Some(shard), &mut progress);
        progress.finish();
        return Ok(result?);
    }
    let planned_memory = planned.plan.memory;
    let result = planned.run(&mut progress);
    progress.finish();
    let outcome = result?;
    if outcome.was_complete {
        status!("the sketch was complete already");
    } else if let Some(peak) = peak_memory() {
        status!("peak memory {}, planned {}", format_bytes(peak), format_bytes(planned_memory));
    }
    status!("sensitivity saved in {}", arguments.out.display());
    let sensitivity = outcome.sensitivity;
    let listed = match &arguments.format {
        Some(name) => {
            let known = || {
                sensitivity
                    .facts
                    .formats
                    .iter()
                    .map(|format| format.name.as_str())
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            (sensitivity.facts.format(name)).ok_or_else(|| Failure::mistake(format!("\"{name}\" is no format of this menu, which has {}", known())))?
        }
        None => smallest(&sensitivity),
    };
    if arguments.json {
        return print_json(&summary(&sensitivity));
    }
    print_text(&table(&sensitivity, listed, arguments.top))
}

fn print_plan(planned: &PlannedSensitivity) {
    let plan = &planned.plan;
    status!("model         {} on {}", planned.model_name(), planned.device());
    status!(
        "text          {} windows of {} tokens in all, {} draws of labels each",
        plan.windows,
        plan.tokens,
        plan.draws
    );
    let scopes: Vec<&str> = plan.scopes.iter().map(|scope| scope.name()).collect();
    status!("menu          {} formats; positions: {}", plan.formats, scopes.join(", "));
    let weights = match plan.weights {
        Residence::Resident => "in memory",
        Residence::Streamed => "read layer by layer",
    };
    status!("weights       {weights}; {} windows go through the layers together", plan.batch);
    status!(
        "memory        about {}; {} of disk until the sketch is put together",
        format_bytes(plan.memory),
        format_bytes(plan.disk)
    );
    let time = plan.time.map_or_else(|| "unknown".to_owned(), format_duration);
    status!("work          {:.2} TFLOP, about {time}", plan.operations / 1e12);
}

/// The format of the fewest bits.
fn smallest(sensitivity: &Sensitivity) -> usize {
    let formats = sensitivity.facts.formats.len();
    let bits = |format: usize| sensitivity.bits.iter().skip(format).step_by(formats).sum::<f64>();
    (0..formats).min_by(|a, b| bits(*a).total_cmp(&bits(*b))).unwrap_or(0)
}

/// What every uniform format costs in a scope.
fn uniform(sensitivity: &Sensitivity, scope: Scope, format: usize) -> Option<RecipeCost> {
    let recipe = vec![Some(format); sensitivity.facts.components()];
    sensitivity.cost(scope, &recipe, Bootstrap::default())
}

fn measured(sensitivity: &Sensitivity, scope: Scope, format: usize) -> Option<f64> {
    let all = &sensitivity.facts.formats[format].measured;
    all.iter().find(|measured| measured.scope == scope).map(|measured| measured.kl)
}

fn table(sensitivity: &Sensitivity, listed: usize, top: usize) -> String {
    let facts = &sensitivity.facts;
    let mut text = String::new();
    let width = facts.formats.iter().map(|format| format.name.len()).max().unwrap_or(0).max(6);
    for scope in &facts.scopes {
        // Writing to a String cannot fail.
        writeln!(
            text,
            "{scope}: {:<width$}  bits/weight  predicted KL  95 % interval         measured",
            "",
            width = width.saturating_sub(scope.name().len())
        )
        .ok();
        for (format, own) in facts.formats.iter().enumerate() {
            let Some(cost) = uniform(sensitivity, *scope, format) else { continue };
            let interval = cost.interval.map_or_else(|| "-".into(), |(low, high)| format!("[{low:.5}, {high:.5}]"));
            let measured = measured(sensitivity, *scope, format).map_or_else(|| "-".into(), |kl| format!("{kl:.5}"));
            let beyond = if cost.is_beyond_trust { "  beyond the second order" } else { "" };
            writeln!(
                text,
                "  {:<width$}  {:>11.3}  {:>12.5}  {interval:<20}  {measured:>8}{beyond}",
                own.name, cost.bits_per_weight, cost.kl
            )
            .ok();
        }
    }
    let recipe = vec![Some(listed); facts.components()];
    let (Some(alone), Some(shares)) = (sensitivity.alone(Scope::All, listed), sensitivity.shares(Scope::All, &recipe)) else {
        return text;
    };
    let total: f64 = shares.iter().sum();
    let behaviours: Vec<(Scope, Vec<f64>)> = facts.scopes[1..]
        .iter()
        .filter_map(|scope| Some((*scope, sensitivity.shares(*scope, &recipe)?)))
        .collect();
    write!(
        text,
        "\nmost hurt by {}: component  alone (nats)  share of the whole",
        facts.formats[listed].name
    )
    .ok();
    for (scope, _) in &behaviours {
        write!(text, "  {scope}").ok();
    }
    writeln!(text).ok();
    let mut order: Vec<Component> = Component::all(facts.layers).collect();
    order.sort_by(|a, b| shares[b.index()].total_cmp(&shares[a.index()]));
    for component in order.into_iter().take(top) {
        let index = component.index();
        let share = |share: f64, total: f64| 100.0 * share / total.max(f64::MIN_POSITIVE);
        let component = component.to_string();
        write!(text, "  {component:<10}  {:>10.6}  {:>16.2} %", alone[index], share(shares[index], total)).ok();
        for (scope, own) in &behaviours {
            write!(
                text,
                "  {:>width$.2} %",
                share(own[index], own.iter().sum()),
                width = scope.name().len().saturating_sub(2)
            )
            .ok();
        }
        writeln!(text).ok();
    }
    text.trim_end().to_owned()
}

/// Everything as JSON: every format's cost in every scope, and every component's part in it.
fn summary(sensitivity: &Sensitivity) -> Value {
    let facts = &sensitivity.facts;
    let components: Vec<String> = Component::all(facts.layers).map(|component| component.to_string()).collect();
    let formats: Vec<Value> = (facts.formats.iter().enumerate())
        .map(|(format, own)| {
            let recipe = vec![Some(format); facts.components()];
            let scopes: serde_json::Map<String, Value> = facts
                .scopes
                .iter()
                .filter_map(|scope| {
                    let cost = uniform(sensitivity, *scope, format)?;
                    let value = json!({
                        "predicted_kl": cost.kl,
                        "interval": cost.interval,
                        "beyond_second_order": cost.is_beyond_trust,
                        "measured_kl": measured(sensitivity, *scope, format),
                        "alone": sensitivity.alone(*scope, format),
                        "shares": sensitivity.shares(*scope, &recipe),
                    });
                    Some((scope.name().to_owned(), value))
                })
                .collect();
            let bits = sensitivity.size(&recipe);
            json!({"name": own.name, "bits_per_weight": bits.map(|(bits, weights)| bits / weights), "scopes": scopes})
        })
        .collect();
    json!({
        "model": facts.model,
        "windows": facts.windows.len(),
        "draws": facts.draws,
        "seed": facts.seed,
        "components": components,
        "formats": formats,
    })
}
