//! What happens on the threads of runs: a form becomes a plan of the engine, a plan is carried out.

use std::path::PathBuf;

use cruxscope_compress::any::AnySettings;
use cruxscope_compress::awq::AwqSettings;
use cruxscope_compress::method::MethodConfig;
use cruxscope_compress::prune::{Pattern, SparseGptSettings, Sparsity};
use cruxscope_compress::quantize::{Bits, GptaqSettings, GptqSettings, Grid, GridSettings, GroupSize};
use cruxscope_compress::recipe::Recipe;
use cruxscope_model::decoder::Residence;
use cruxscope_run::compress::{Basis, CompressSettings, Compression};
use cruxscope_run::instances::TraceSettings;
use cruxscope_run::interpret::{InterpretSettings, PlannedRun};
use cruxscope_run::machine::{format_bytes, format_duration};
use cruxscope_run::placement::WeightsChoice;
use cruxscope_run::windows::{Calibration, WindowSource};
use cruxscope_run::{Event, Observer, RunError};
use cruxscope_study::Definition;

use super::{Form, Message, Method, RunState, Status, Task, Teller};

/// Tokens of a calibration window.
const WINDOW: usize = 512;
/// Calibration windows at the most.
const WINDOWS: usize = 128;

/// A plan of the engine.
pub enum Planned {
    /// Of an interpretation.
    Interpret(Box<PlannedRun>),
    /// Of a compression, which is prepared again when it runs.
    Compress {
        /// What is compressed, and how.
        settings: Box<CompressSettings>,
        /// Where calibration text runs.
        device: String,
    },
}

impl std::fmt::Debug for Planned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Interpret(_) => "interpretation",
            Self::Compress { .. } => "compression",
        })
    }
}

/// What it takes, label and value.
type Facts = Vec<(String, String)>;

/// Reads the inputs of a form.
pub fn plan(form: &Form, observer: &mut Teller) -> Result<(Planned, Facts), String> {
    let fact = |label: &str, value: String| (label.to_owned(), value);
    match form.task {
        Task::Interpret => {
            let planned = PlannedRun::new(interpretation(form)?, observer).map_err(words)?;
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
            Ok((Planned::Interpret(Box::new(planned)), facts))
        }
        Task::Compress => {
            let (settings, device) = (Box::new(compression(form)?), form.device.trim().to_owned());
            let facts = {
                let prepared = Compression::prepare_on(&settings, &device).map_err(words)?;
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
            };
            Ok((Planned::Compress { settings, device }, facts))
        }
    }
}

/// Carries a plan out; gives how it ended.
pub fn run(planned: Planned, observer: &mut Teller) -> RunState {
    observer.computing = true;
    let outcome = match planned {
        Planned::Interpret(planned) => planned.run(observer).map(drop),
        Planned::Compress { settings, device } => Compression::prepare_on(&settings, &device).and_then(|prepared| prepared.run(observer).map(drop)),
    };
    match outcome {
        Ok(()) => RunState::Done,
        Err(_) if observer.cancelled() => RunState::Cancelled,
        Err(error) => RunState::Failed(words(error)),
    }
}

/// An error with everything behind it.
fn words(error: RunError) -> String {
    format!("{:#}", anyhow::Error::from(error))
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
        channels: form.channels,
        texts: true,
        title: None,
    })
}

fn compression(form: &Form) -> Result<CompressSettings, String> {
    let refuse = |error: cruxscope_compress::CompressError| error.to_string();
    let bits = Bits::new(form.bits).map_err(refuse)?;
    let group_size = GroupSize::new(i64::from(form.group_size)).map_err(refuse)?;
    let pattern = || Ok::<_, String>(Pattern::Unstructured(Sparsity::new(f64::from(form.sparsity) / 100.0).map_err(refuse)?));
    let treatment = match form.method {
        Method::Rtn => MethodConfig::Rtn(GridSettings::new(Grid::AwqAsym, bits, group_size)),
        Method::Gptq => MethodConfig::Gptq(GptqSettings::new(bits, group_size)),
        Method::Gptaq => MethodConfig::Gptaq(GptaqSettings::new(bits, group_size)),
        Method::Awq => MethodConfig::Awq(AwqSettings::new(bits, group_size)),
        Method::Any => MethodConfig::Any(AnySettings::new(bits, group_size)),
        Method::Magnitude => MethodConfig::Magnitude { pattern: pattern()? },
        Method::Wanda => MethodConfig::Wanda { pattern: pattern()? },
        Method::SparseGpt => MethodConfig::SparseGpt(SparseGptSettings::new(pattern()?)),
    };
    let calibration = form.method.calibrates().then(|| Calibration {
        source: WindowSource::Traces {
            path: PathBuf::from(form.calibration.trim()),
            length: WINDOW,
        },
        windows: Some(WINDOWS),
        seed: None,
    });
    Ok(CompressSettings {
        model: PathBuf::from(form.model.trim()),
        out: PathBuf::from(form.out.trim()),
        recipe: Recipe::of(treatment, None, None),
        calibration,
        stored_as: cruxscope_checkpoint::writer::StoredAs::Float32,
        packed: None,
        basis: Basis::default(),
    })
}

impl Observer for Teller {
    fn event(&mut self, event: Event) {
        let say = |teller: &Self, share: f64, text: String| {
            if teller.computing {
                teller.send(Message::Status(teller.id, Status { share, text }));
            } else {
                teller.send(Message::Planning(teller.id, text));
            }
        };
        match event {
            Event::Digesting { file, .. } => say(self, 0.0, format!("reading {file}")),
            Event::Preparing { what, share } => say(self, share, what),
            Event::Resumed { instances } => say(self, 0.0, format!("{instances} finished by an earlier run are kept")),
            Event::Began { id, .. } => self.name = id,
            Event::Advanced {
                share,
                tokens_per_second,
                left,
            } => {
                let left = left.map_or_else(String::new, |left| format!(", {} left", format_duration(left)));
                say(self, share, format!("{tokens_per_second:.0} tokens/s{left}, {}", self.name));
            }
            Event::Note { text } => say(self, 0.0, text),
            Event::Finished { .. } => {}
            Event::Merging => say(self, 1.0, "putting the study together".to_owned()),
        }
    }

    fn stop(&self) -> bool {
        self.cancelled()
    }
}
