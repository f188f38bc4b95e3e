//! `cruxscope reproduce paper`: the whole chain for one pair of models, planned, resumable, ending in a collection.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use cruxscope_benchmark::endpoint::{EndpointSettings, Interface};
use cruxscope_checkpoint::writer::StoredAs;
use cruxscope_compress::quantize::GroupSize;
use cruxscope_run::Observer as _;
use cruxscope_run::machine::{format_bytes, format_duration};
use cruxscope_run::reproduction::{BenchmarkSettings, PaperPlan, PaperSettings, Reproduction, ServedModel};
use cruxscope_run::windows::{Calibration, WindowSource};
use serde_json::{Value, json};

use crate::endpoint::secret_in;
use crate::failure::Failure;
use crate::numbers::{MOST, MOST_TOKENS, whole};
use crate::output::{print_json, print_text, status};
use crate::progress::Progress;
use crate::questions::QuestionArguments;
use crate::reproduce_parallel as parallel;
use crate::settings::Machine;
use crate::shards::signals;
use crate::slurm::Job;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The reasoning model: a Hugging Face folder, or a GGUF file
    #[arg(long, value_name = "DIR|FILE.gguf")]
    model: PathBuf,
    /// The model that it was made from; without it nothing is said of distillation
    #[arg(long, value_name = "DIR|FILE.gguf")]
    base: Option<PathBuf>,
    /// Traces of the reasoning model, one JSON object a line
    #[arg(long, value_name = "FILE.jsonl")]
    traces: PathBuf,
    /// Their annotations, one JSON object a line
    #[arg(long, value_name = "FILE.jsonl")]
    annotations: PathBuf,
    /// Maximum number of traces, from the first
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1, MOST))]
    limit: Option<usize>,
    /// Maximum number of tokens of a trace [default: the model's context]
    #[arg(long = "max-length", value_name = "N", value_parser = whole::<usize>(1, MOST_TOKENS))]
    max_tokens: Option<usize>,
    /// Text that calibrates: plain text, traces (.jsonl, .jsonl.gz), or token ids (.safetensors); other text than the traces
    #[arg(long, value_name = "FILE")]
    calibration: PathBuf,
    /// Only this array of a file of token ids
    #[arg(long, value_name = "NAME")]
    calibration_array: Option<String>,
    /// Tokens of a calibration sequence cut from text or traces
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = whole::<usize>(2, MOST_TOKENS))]
    sequence_length: usize,
    /// Maximum number of calibration sequences
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = whole::<usize>(1, MOST))]
    calibration_samples: usize,
    /// Columns that share a scale, which the paper does not state; -1 for the whole row
    #[arg(long, default_value_t = 128, allow_negative_numbers = true)]
    group_size: i64,
    /// How compressed models are stored while they are needed
    #[arg(long, value_enum, default_value_t)]
    dtype: Dtype,
    /// Scores of benchmarks that are taken into the collection (`cruxscope score … --results`); can be given several times
    #[arg(long, value_name = "results.json")]
    results: Vec<PathBuf>,
    /// A folder for everything; an interrupted run resumes there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Keep every compressed model
    #[arg(long)]
    keep_models: bool,
    #[command(flatten)]
    questions: QuestionArguments,
    /// A model of the chain that an OpenAI-compatible endpoint serves, such as original=deepseek-r1@http://127.0.0.1:8000/v1; the others
    /// answer here; can be given several times
    #[arg(long, value_name = "MODEL=NAME@URL", requires = "benchmark", value_parser = served)]
    endpoint: Vec<Served>,
    /// The environment variable that holds the API key of the endpoints
    #[arg(long, value_name = "VAR", requires = "endpoint")]
    api_key_env: Option<String>,
    #[command(flatten)]
    machine: Machine,
    /// Take steps side by side with a process for every device, such as cuda:0,cuda:1
    #[arg(long, value_name = "DEVICES", value_delimiter = ',', conflicts_with_all = ["device", "slurm"])]
    devices: Vec<String>,
    /// Print a script that sends a job for every step to Slurm; with --submit run it. The folder must be one that all nodes see
    #[arg(long)]
    slurm: bool,
    /// Send the jobs
    #[arg(long, requires = "slurm")]
    submit: bool,
    #[command(flatten)]
    job: Job,
    /// Take this step alone, by its name in the plan, or `collection` after all others; other processes may take others meanwhile
    #[arg(long, value_name = "STEP", conflicts_with_all = ["devices", "slurm"])]
    step: Option<String>,
    /// Print the plan and stop
    #[arg(long)]
    dry_run: bool,
    /// Print the ledger as JSON, or with --dry-run the plan
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Dtype {
    /// 32 bits: no further rounding
    #[default]
    F32,
    /// 16 bits with float32's range, as most checkpoints are stored
    Bf16,
}

/// A model that is served, as it stands in a command.
#[derive(Clone, Debug)]
struct Served {
    subject: String,
    name: String,
    address: String,
}

fn served(text: &str) -> Result<Served, String> {
    let parts = text.split_once('=').and_then(|(subject, rest)| Some((subject, rest.split_once("@http")?)));
    match parts {
        Some((subject, (name, rest))) if !subject.is_empty() && !name.is_empty() => Ok(Served {
            subject: subject.to_owned(),
            name: name.to_owned(),
            address: format!("http{rest}"),
        }),
        _ => Err("it has the form MODEL=NAME@URL, such as original=deepseek-r1@http://127.0.0.1:8000/v1".to_owned()),
    }
}

impl Arguments {
    fn benchmarks(&self) -> Result<Option<BenchmarkSettings>, Failure> {
        let Some(questions) = self.questions.questions() else { return Ok(None) };
        let key = self.api_key_env.as_deref().map(secret_in).transpose()?;
        let served = self.endpoint.iter().map(|served| ServedModel {
            subject: served.subject.clone(),
            endpoint: EndpointSettings {
                key: key.clone(),
                ..EndpointSettings::new(&served.address, Interface::Completions, &served.name)
            },
        });
        Ok(Some(BenchmarkSettings {
            questions,
            served: served.collect(),
        }))
    }
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    arguments.machine.prepare_process()?;
    let source = WindowSource::of_file(&arguments.calibration, arguments.calibration_array.clone(), arguments.sequence_length);
    let mut settings = PaperSettings {
        model: arguments.model.clone(),
        base: arguments.base.clone(),
        traces: arguments.traces.clone(),
        annotations: arguments.annotations.clone(),
        first: arguments.limit,
        max_tokens: arguments.max_tokens,
        calibration: Calibration {
            source,
            windows: Some(arguments.calibration_samples),
            seed: None,
        },
        group_size: GroupSize::new(arguments.group_size).map_err(|error| Failure::Mistake(error.into()))?,
        stored_as: match arguments.dtype {
            Dtype::F32 => StoredAs::Float32,
            Dtype::Bf16 => StoredAs::BFloat16,
        },
        results: arguments.results.clone(),
        benchmarks: arguments.benchmarks()?,
        out: arguments.out.clone(),
        keep_models: arguments.keep_models,
        device: arguments.machine.device.clone(),
        weights: arguments.machine.weights.into(),
        is_elsewhere: arguments.slurm,
    };
    // Processes on several devices compute alike: the first says how.
    if let Some(first) = arguments.devices.first() {
        settings.device.clone_from(first);
    }
    let reproduction = Reproduction::new(settings)?;
    if arguments.dry_run {
        return if arguments.json {
            print_json(&plan_value(&reproduction.plan))
        } else {
            print_text(&plan_text(&reproduction.plan))
        };
    }
    if arguments.slurm {
        return parallel::on_slurm(&reproduction, &arguments.out, &arguments.job, arguments.submit);
    }
    if let Some(step) = &arguments.step {
        let mut progress = Progress::stopped_by(signals::stop_flag());
        let result = reproduction.run_step(step, &mut progress);
        progress.finish();
        return match result {
            Err(error) if progress.stop() => Err(Failure::Stopped(error.into())),
            result => Ok(result?),
        };
    }
    status!("{}", plan_line(&reproduction.plan));
    let ledger = if arguments.devices.is_empty() {
        let mut progress = Progress::new();
        let result = reproduction.run(&mut progress);
        progress.finish();
        result?
    } else {
        parallel::on_devices(&reproduction, &arguments.out, &arguments.devices)?;
        reproduction.ledger()?
    };
    status!("collection saved in {out}; `cruxscope view {out}` opens it", out = arguments.out.display());
    if arguments.json {
        return print_json(&ledger);
    }
    print_text(&crate::ledger::text(&ledger))
}

fn time(time: Option<Duration>) -> String {
    time.map_or_else(|| "unknown".into(), format_duration)
}

fn memory(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "does not fit".into(), format_bytes)
}

fn plan_line(plan: &PaperPlan) -> String {
    format!(
        "{} steps on {}, {} traces of {} tokens: {:.1} TFLOP, about {} here; {} of memory, {} of disk at most",
        plan.steps.len(),
        plan.model,
        plan.traces.0,
        plan.traces.1,
        plan.operations() / 1e12,
        time(plan.times[0]),
        memory(plan.memory()[0]),
        format_bytes(plan.disk())
    )
}

fn plan_text(plan: &PaperPlan) -> String {
    let mut text = plan_line(plan);
    // Writing to a String cannot fail.
    writeln!(text, "\n").ok();
    for (place, setting) in plan.settings.iter().enumerate() {
        let (time, memory) = (time(plan.times[place]), memory(plan.memory()[place]));
        writeln!(text, "{:<36}  {time:>12}  {memory}", setting.words).ok();
    }
    write!(text, "\n{:<34}  {:>10}", "step", "TFLOP").ok();
    for setting in &plan.settings {
        let short = setting.words.split(',').next().unwrap_or_default();
        write!(text, "  {short:>26}").ok();
    }
    for step in &plan.steps {
        write!(text, "\n{:<34}  {:>10.1}", step.name, step.operations / 1e12).ok();
        for (own, bytes) in step.times.iter().zip(&step.memory) {
            write!(text, "  {:>26}", format!("{}, {}", time(*own), memory(*bytes))).ok();
        }
    }
    text
}

fn plan_value(plan: &PaperPlan) -> Value {
    let seconds = |time: &Option<Duration>| time.map(|time| time.as_secs_f64());
    let settings: Vec<Value> = plan
        .settings
        .iter()
        .zip(plan.times.iter().zip(plan.memory()))
        .map(|(setting, (time, memory))| json!({"words": setting.words, "rate": setting.rate, "seconds": seconds(time), "memory": memory}))
        .collect();
    let steps: Vec<Value> = plan
        .steps
        .iter()
        .map(|step| {
            json!({
                "name": step.name,
                "operations": step.operations,
                "disk": step.disk,
                "seconds": step.times.iter().map(seconds).collect::<Vec<_>>(),
                "memory": step.memory,
            })
        })
        .collect();
    json!({"model": plan.model, "parameters": plan.parameters, "traces": plan.traces.0, "tokens": plan.traces.1, "settings": settings, "steps": steps})
}
