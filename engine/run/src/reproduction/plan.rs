//! What the chain takes, step by step: here, on a card of 24 GB, on one of 80 GB, and on eight of these with a step on each.
//!
//! Operations follow from the models' shapes and the traces. The rate of this machine is measured; those of cards are assumed, and said.

use std::time::Duration;

use cruxscope_checkpoint::{Checkpoint, ModelConfig};
use cruxscope_model::device;
use cruxscope_study::{Definition, Module};

use super::steps::Step;
use super::{DRAWS, PaperSettings, VALIDATION_WINDOWS, order};
use crate::RunError;
use crate::compress::{CompressPlan, planned};
use crate::instances::Instances;
use crate::place::Place;
use crate::plan::Plan;

/// Share of a device's rate of matrix products that a whole run is expected to reach.
const EXPECTED_EFFICIENCY: f64 = 0.6;
/// Cards of the cluster.
const CARDS: usize = 8;

/// Where a chain is planned for.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// In words, with what is assumed.
    pub words: String,
    /// Operations a second of matrix products, of one device.
    pub rate: Option<f64>,
    /// Bytes of a weight there.
    pub weight_bytes: u64,
    /// Memory of a device, where it is not the machine's.
    pub memory: Option<u64>,
    /// How many devices there are; each takes a step at a time.
    pub devices: usize,
}

/// A step in numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedStep {
    /// Its name.
    pub name: String,
    /// Floating-point operations.
    pub operations: f64,
    /// Bytes of models and studies on the disk while it runs, the original models not counted.
    pub disk: u64,
    /// Time in each setting, where its rate is known.
    pub times: Vec<Option<Duration>>,
    /// Memory of the device in each setting; none where the step does not fit.
    pub memory: Vec<Option<u64>>,
}

/// The whole chain in numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct PaperPlan {
    /// The model.
    pub model: String,
    /// Its weights.
    pub parameters: u64,
    /// Traces, and their tokens.
    pub traces: (usize, usize),
    /// The settings.
    pub settings: Vec<Setting>,
    /// The steps.
    pub steps: Vec<PlannedStep>,
    /// Time of all steps in each setting, where its rate is known.
    pub times: Vec<Option<Duration>>,
}

impl PaperPlan {
    /// Plans all steps.
    pub(super) fn new(settings: &PaperSettings, checkpoint: &Checkpoint, steps: &[Step]) -> Result<Self, RunError> {
        let config = checkpoint.config();
        let traces = settings.traces(Definition::Paper);
        let instances = Instances::read(checkpoint, &traces)?;
        let windows = settings.calibration.read(checkpoint)?;
        let lengths: Vec<usize> = windows.iter().map(Vec::len).collect();
        let here = match device::find(&settings.device) {
            _ if settings.is_elsewhere => Place::of(None, &settings.device, checkpoint, None)?,
            Ok(device) => Place::of(Some(&device), &settings.device, checkpoint, None)?.measured(&device, checkpoint)?,
            Err(error) => return Err(error.into()),
        };
        let card = |words: &str, gigabytes: u64, rate: f64, devices: usize| Setting {
            words: words.into(),
            rate: Some(rate),
            weight_bytes: 2,
            memory: Some(gigabytes << 30),
            devices,
        };
        let all = vec![
            Setting {
                words: "here".into(),
                rate: here.products,
                weight_bytes: here.weight_bytes,
                memory: here.device_memory,
                devices: 1,
            },
            card("a 24 GB card, 30 TFLOP/s assumed", 24, 30e12, 1),
            card("an 80 GB card, 60 TFLOP/s assumed", 80, 60e12, 1),
            card("8 cards of 80 GB, a step on each", 80, 60e12, CARDS),
        ];
        let places: Vec<Place> = all
            .iter()
            .map(|setting| Place {
                weight_bytes: setting.weight_bytes,
                device_memory: setting.memory,
                products: setting.rate,
                ..here.clone()
            })
            .collect();
        let mut planned_steps = Vec::new();
        let mut models = 0;
        for step in steps {
            let operations = operations(step, config, &instances, &lengths, settings)?;
            if let Step::Compress { recipe, .. } = step {
                let plan = CompressPlan::new(config, &planned(recipe, config)?, &lengths, settings.stored_as, None);
                models = if settings.keep_models { models + plan.disk } else { plan.disk };
            }
            let times = all
                .iter()
                .map(|setting| Some(Duration::from_secs_f64(operations / (setting.rate? * EXPECTED_EFFICIENCY))));
            let memory = places.iter().map(|place| memory(step, config, &instances, &lengths, settings, place));
            planned_steps.push(PlannedStep {
                name: step.name(),
                operations,
                disk: models,
                times: times.collect(),
                memory: memory.collect(),
            });
        }
        let times = all.iter().enumerate().map(|(place, setting)| {
            let own: Vec<Duration> = planned_steps.iter().map(|step: &PlannedStep| step.times[place]).collect::<Option<_>>()?;
            Some(order::makespan(steps, &own, setting.devices))
        });
        Ok(Self {
            times: times.collect(),
            model: checkpoint.name(),
            parameters: config.parameters() as u64,
            traces: (instances.items.len(), instances.tokens()),
            settings: all,
            steps: planned_steps,
        })
    }

    /// The most memory that any step takes in each setting; none where one does not fit.
    pub fn memory(&self) -> Vec<Option<u64>> {
        (0..self.settings.len())
            .map(|place| self.steps.iter().map(|step| step.memory[place]).try_fold(0, |most, own| Some(most.max(own?))))
            .collect()
    }

    /// Operations of all steps.
    pub fn operations(&self) -> f64 {
        self.steps.iter().map(|step| step.operations).sum()
    }

    /// The most disk that any step takes.
    pub fn disk(&self) -> u64 {
        self.steps.iter().map(|step| step.disk).max().unwrap_or(0)
    }
}

/// Weights of the layers that a token passes through.
fn weights(config: &ModelConfig) -> f64 {
    (0..config.layers).map(|layer| config.active_weights(layer)).sum::<usize>() as f64
}

fn operations(step: &Step, config: &ModelConfig, instances: &Instances, lengths: &[usize], settings: &PaperSettings) -> Result<f64, RunError> {
    let pass = |tokens: usize| 2.0 * weights(config) * tokens as f64;
    let head = |tokens: usize| 2.0 * (config.vocabulary * config.hidden) as f64 * tokens as f64;
    let tokens = instances.tokens();
    Ok(match step {
        Step::Interpret { definition, .. } => {
            let rows: usize = instances.items.iter().map(|instance| instance.packed_rows(*definition)).sum();
            pass(tokens) + 2.0 * pass(rows) + 2.0 * head(rows)
        }
        Step::Compress { recipe, .. } => CompressPlan::new(config, &planned(recipe, config)?, lengths, settings.stored_as, None).operations,
        Step::Compare { causes, .. } => {
            let reading = 2.0 * (pass(tokens) + head(tokens));
            // Two sets of positions.
            if *causes { reading + 4.0 * pass(tokens) + head(tokens) } else { reading }
        }
        Step::Validate => {
            let read: usize = lengths.iter().take(VALIDATION_WINDOWS).sum();
            // A layer's variants run through the layers from it on: half of the model in the mean.
            let variants = (config.layers * Module::ALL.len()) as f64;
            variants * (pass(read) / 2.0 + head(read))
        }
        Step::Benchmark { .. } => match &settings.benchmarks {
            // At the most: an output may end early.
            Some(benchmarks) => pass(benchmarks.questions.count()? * benchmarks.questions.sampling.max_new_tokens),
            None => 0.0,
        },
        Step::Sensitivity => {
            let scopes = 1 + cruxscope_study::Behaviour::ALL.len();
            let formats = 2.0;
            (2.0 + (DRAWS * scopes) as f64 + formats) * pass(tokens) + 2.0 * head(tokens)
        }
    })
}

fn memory(step: &Step, config: &ModelConfig, instances: &Instances, lengths: &[usize], settings: &PaperSettings, place: &Place) -> Option<u64> {
    match step {
        Step::Interpret { definition, .. } => {
            let plan = Plan::new(config, instances, *definition, settings.weights, place).ok()?;
            let memory = plan.memory();
            Some(if place.device_memory.is_some() { memory.device } else { memory.machine })
        }
        Step::Compress { recipe, .. } => {
            let plan = CompressPlan::new(config, &planned(recipe, config).ok()?, lengths, settings.stored_as, None);
            let needed = if place.device_memory.is_some() { plan.device_memory } else { plan.memory };
            place.device_memory.is_none_or(|free| needed <= free).then_some(needed)
        }
        Step::Compare { causes, .. } => {
            let longest = instances.items.iter().map(|instance| instance.ids.len()).max().unwrap_or(0) as u64;
            crate::compare::ComparePlan::least(config, longest, *causes, place)
        }
        Step::Benchmark { .. } => {
            let questions = &settings.benchmarks.as_ref()?.questions;
            let kept = (8 * config.layers * config.key_value_heads * config.head_dim) as u64;
            let needed = config.parameters() as u64 * place.weight_bytes + kept * (questions.parallel * questions.sampling.max_new_tokens) as u64;
            place.device_memory.is_none_or(|free| needed <= free).then_some(needed)
        }
        Step::Validate | Step::Sensitivity => {
            let layers = config.layers as u64;
            let longest = instances.items.iter().map(|instance| instance.ids.len()).max().unwrap_or(0) as u64;
            let kept = 4 * longest * layers * (config.hidden + 2 * config.key_value_heads * config.head_dim) as u64;
            let layer = weights(config) as u64 / layers.max(1);
            let needed = (500 << 20) + 20 * layer + kept + (config.vocabulary * config.hidden) as u64 * place.weight_bytes;
            place.device_memory.is_none_or(|free| needed <= free).then_some(needed)
        }
    }
}
