//! The jobs of the window, carried out by the same pipelines as the commands: a filled form becomes a plan, a plan is computed.

use std::path::PathBuf;

use clap::Parser as _;
use cruxscope_checkpoint::packed::Layout;
use cruxscope_checkpoint::writer::StoredAs;
use cruxscope_compress::recipe::Recipe;
use cruxscope_model::decoder::Residence;
use cruxscope_run::compress::{Basis, CompressSettings, Compression};
use cruxscope_run::instances::TraceSettings;
use cruxscope_run::interpret::{InterpretSettings, PlannedRun};
use cruxscope_run::machine::{format_bytes, format_duration};
use cruxscope_run::placement::WeightsChoice;
use cruxscope_run::windows::{Calibration, WindowSource};
use cruxscope_run::{Event, Observer, Pace, RunError};
use cruxscope_study::Definition;
use cruxscope_window::runs::{Facts, Form, JobObserver, JobRunner, Method, PlannedJob, RunState, Status, Stored, Task};

use crate::compress::method::MethodArguments;
use crate::failure::Failure;
use crate::progress::{rate_line, with_left};

/// Tokens of a calibration window.
const WINDOW: usize = 512;
/// Calibration windows at the most.
const WINDOWS: usize = 128;

/// The engine, as the window's runner of jobs.
pub struct EngineRunner;

impl JobRunner for EngineRunner {
    fn plan(&self, form: &Form, observer: &mut dyn JobObserver) -> Result<(Box<dyn PlannedJob>, Facts), String> {
        let mut forward = Forward::to(observer);
        match form.task {
            Task::Interpret => {
                let planned = PlannedRun::new(interpretation(form)?, &mut forward).map_err(message)?;
                let facts = interpretation_facts(&planned);
                Ok((Box::new(PlannedInterpretation(planned)), facts))
            }
            Task::Compress => {
                let (settings, device) = (compression(form)?, form.device.trim().to_owned());
                let facts = compression_facts(&Compression::prepare_on(&settings, &device).map_err(message)?);
                Ok((Box::new(PlannedCompression { settings, device }), facts))
            }
        }
    }
}

/// An interpretation whose inputs were read.
struct PlannedInterpretation(PlannedRun);

impl PlannedJob for PlannedInterpretation {
    fn run(self: Box<Self>, observer: &mut dyn JobObserver) -> RunState {
        let outcome = self.0.run(&mut Forward::to(observer)).map(drop);
        ended(outcome, observer)
    }
}

/// A compression, which is prepared again when it runs.
struct PlannedCompression {
    settings: CompressSettings,
    device: String,
}

impl PlannedJob for PlannedCompression {
    fn run(self: Box<Self>, observer: &mut dyn JobObserver) -> RunState {
        let outcome = Compression::prepare_on(&self.settings, &self.device).and_then(|prepared| prepared.run(&mut Forward::to(observer)).map(drop));
        ended(outcome, observer)
    }
}

fn ended(outcome: Result<(), RunError>, observer: &dyn JobObserver) -> RunState {
    match outcome {
        Ok(()) => RunState::Done,
        Err(_) if observer.cancelled() => RunState::Cancelled,
        Err(error) => RunState::Failed(message(error)),
    }
}

fn fact(label: &str, value: String) -> (String, String) {
    (label.to_owned(), value)
}

fn interpretation_facts(planned: &PlannedRun) -> Facts {
    let plan = &planned.plan;
    let mut facts = vec![
        fact("Model", planned.model_name()),
        fact("Device", planned.device()),
        fact("Instances", format!("{}, {} tokens", plan.instances, plan.tokens)),
        fact("Segments", format!("{}, {} dropped", plan.segments, plan.dropped)),
        fact("Memory", format!("about {}", format_bytes(plan.memory().machine))),
        fact("Work", format!("{:.2} TFLOP", plan.operations / 1e12)),
    ];
    let weights = match plan.placement.weights {
        Residence::Resident => "stay on the device",
        Residence::Streamed => "read layer by layer",
    };
    facts.insert(5, fact("Weights", weights.to_owned()));
    if plan.memory().device > 0 {
        facts.insert(5, fact("Device memory", format!("about {}", format_bytes(plan.memory().device))));
    }
    if let Some(time) = plan.time {
        facts.push(fact("Time", format!("about {}", format_duration(time))));
    }
    facts
}

fn compression_facts(prepared: &Compression) -> Facts {
    let plan = prepared.plan();
    let mut facts = vec![
        fact("Components", format!("{} of {}", plan.treated, plan.components)),
        fact("Memory", format!("about {}", format_bytes(plan.memory))),
        fact("Disk", format_bytes(plan.disk)),
    ];
    if plan.device_memory > 0 {
        facts.push(fact("Device memory", format!("about {}", format_bytes(plan.device_memory))));
    }
    if plan.windows > 0 {
        facts.push(fact("Calibration", format!("{} windows, {} tokens", plan.windows, plan.tokens)));
    }
    if let Some(time) = plan.time {
        facts.push(fact("Time", format!("about {}", format_duration(time))));
    }
    facts
}

/// An error with all its causes.
fn message(error: RunError) -> String {
    crate::failure::chain(&anyhow::Error::from(error))
}

fn number(text: &str, what: &str) -> Result<Option<usize>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse() {
        Ok(number) if number > 0 => Ok(Some(number)),
        _ => Err(format!("\"{text}\" is no number of {what}; leave it empty for all")),
    }
}

fn interpretation(form: &Form) -> Result<InterpretSettings, String> {
    Ok(InterpretSettings {
        model: PathBuf::from(form.model.trim()),
        traces: TraceSettings {
            traces: PathBuf::from(form.traces.trim()),
            annotations: PathBuf::from(form.annotations.trim()),
            definition: if form.released { Definition::Released } else { Definition::Paper },
            reading: None,
            alignment: None,
            only: Vec::new(),
            first: number(&form.instances, "instances")?,
            max_tokens: number(&form.max_tokens, "tokens")?,
        },
        out: PathBuf::from(form.out.trim()),
        device: form.device.trim().to_owned(),
        weights: WeightsChoice::Automatic,
        device_memory: None,
        simulate_activations: false,
        channels: form.channels,
        texts: true,
        title: None,
    })
}

fn compression(form: &Form) -> Result<CompressSettings, String> {
    let (recipe_file, text) = (form.recipe.trim(), form.calibration.trim());
    let recipe = if recipe_file.is_empty() {
        let words = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let treatment = method(form)?.treatment().map_err(Failure::into_message)?;
        Recipe::of(treatment, words(&form.only).as_deref(), words(&form.protect).as_deref())
    } else {
        crate::compress::read_recipe(std::path::Path::new(recipe_file)).map_err(Failure::into_message)?
    };
    // Whether a recipe needs text is known once it is planned.
    let wanted = if recipe_file.is_empty() { form.method.calibrates() } else { !text.is_empty() };
    let calibration = wanted.then(|| Calibration {
        source: WindowSource::Traces {
            path: PathBuf::from(text),
            length: WINDOW,
        },
        windows: Some(WINDOWS),
        seed: None,
    });
    Ok(CompressSettings {
        model: PathBuf::from(form.model.trim()),
        out: PathBuf::from(form.out.trim()),
        recipe,
        calibration,
        stored_as: match form.stored {
            Stored::Float32 => StoredAs::Float32,
            Stored::BFloat16 | Stored::Packed => StoredAs::BFloat16,
        },
        packed: (form.stored == Stored::Packed).then(|| Layout::CompressedTensors(StoredAs::BFloat16.into())),
        basis: Basis::default(),
    })
}

/// The flags that say what the form says; what the form does not ask has the command line's defaults.
fn method(form: &Form) -> Result<MethodArguments, String> {
    #[derive(clap::Parser)]
    #[command(no_binary_name = true)]
    struct Flags {
        #[command(flatten)]
        method: MethodArguments,
        #[arg(long)]
        recipe: Option<String>,
    }
    let name = match form.method {
        Method::Rtn => "rtn",
        Method::Gptq => "gptq",
        Method::Gptaq => "gptaq",
        Method::Awq => "awq",
        Method::Any => "any",
        Method::Magnitude => "magnitude",
        Method::Wanda => "wanda",
        Method::SparseGpt => "sparsegpt",
    };
    let (bits, group_size) = (form.bits.to_string(), form.group_size.to_string());
    let sparsity = (f64::from(form.sparsity) / 100.0).to_string();
    let mut flags = vec!["--method", name];
    if form.method.prunes() {
        flags.extend(["--sparsity", &sparsity]);
    } else {
        flags.extend(["--bits", &bits, "--group-size", &group_size]);
    }
    let flags = Flags::try_parse_from(flags).map_err(|error| error.to_string())?;
    debug_assert!(flags.recipe.is_none());
    Ok(flags.method)
}

/// Hands the engine's events to the window, and the window's wish to stop to the engine.
struct Forward<'a> {
    observer: &'a mut dyn JobObserver,
    pace: Pace,
    name: String,
}

impl<'a> Forward<'a> {
    fn to(observer: &'a mut dyn JobObserver) -> Self {
        Self {
            observer,
            pace: Pace::default(),
            name: String::new(),
        }
    }
}

impl Observer for Forward<'_> {
    fn event(&mut self, event: Event) {
        let (share, text) = match event {
            Event::Digesting { file, .. } => (0.0, format!("reading {file}")),
            Event::Preparing { what, share } => (share, with_left(&what, self.pace.left(share))),
            Event::Resumed { instances } => (0.0, format!("{instances} finished by an earlier run are kept")),
            Event::Began { id, .. } => {
                self.name = id;
                return;
            }
            Event::Advanced {
                share,
                tokens_per_second,
                left,
            } => (share, rate_line(tokens_per_second, left, &self.name)),
            Event::Note { text } => (0.0, text),
            Event::Finished { .. } => return,
            Event::Merging => (1.0, "saving the study".to_owned()),
        };
        self.observer.report(Status { share, text });
    }

    fn stop(&self) -> bool {
        self.observer.cancelled()
    }
}
