//! What a compression will do, and what it will take.

use std::time::Duration;

use cruxscope_checkpoint::ModelConfig;
use cruxscope_checkpoint::writer::StoredAs;
use cruxscope_compress::awq::{RATIOS, Search};
use cruxscope_compress::method::{Inputs, MethodConfig};
use cruxscope_compress::recipe::Recipe;
use cruxscope_model::module::ModuleInput;
use cruxscope_study::{Component, Module};

use crate::RunError;

/// Share of the rate of matrix products that a whole run reaches: that of GPTQ and of AWQ on SmolLM2 on one thread.
const EXPECTED_EFFICIENCY: f64 = 0.7;
/// Work in float64, against float32.
const DOUBLE: f64 = 2.0;
/// Bytes besides what is counted: the program, tiles of the forward pass, a part of the embedding on its way to disk.
const WORKING: u64 = 200 << 20;
/// Tokens whose inner features exist at the same time in a forward pass.
const TILE: usize = 1024;

/// Places of a mixture whose statistics are gathered at the same time: a Hessian each for its two inputs.
pub const PLACES: usize = 16;

/// What is done to a linear map.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The component that it is, or is a part of.
    pub component: Component,
    /// Its name among the component's parts, where there are several.
    pub part: Option<String>,
    /// Its position among the layer's linear maps.
    pub module: usize,
    /// What it reads.
    pub input: ModuleInput,
    /// Outputs and inputs.
    pub shape: (usize, usize),
    /// What is done to it; what a recipe says for whole models is resolved to what that means for this matrix.
    pub treatment: Option<MethodConfig>,
    /// The name of what the recipe asks for.
    pub method: Option<&'static str>,
}

impl Planned {
    /// Its short name, such as `30_gate` or `12_gate.e37`.
    pub fn name(&self) -> String {
        match &self.part {
            Some(part) => format!("{}.{part}", self.component),
            None => self.component.to_string(),
        }
    }

    /// Whether a router chooses the tokens that it reads.
    pub fn is_routed(&self) -> bool {
        matches!(self.input, ModuleInput::Place(_) | ModuleInput::PlaceDown(_))
    }
}

/// Every linear map that is a component or a part of one, untreated, layer by layer.
pub fn untreated(config: &ModelConfig) -> Vec<Planned> {
    let of_layer = |layer: usize| {
        let mixture = config.experts(layer).is_some();
        let modules = config.modules(layer).into_iter().enumerate();
        modules.filter_map(move |(module, shape)| {
            if shape.rows == 0 {
                return None;
            }
            Some(Planned {
                component: Component::new(layer, *Module::ALL.get(shape.slot?)?),
                part: shape.part,
                module,
                input: ModuleInput::of_role(shape.role, mixture),
                shape: (shape.rows, shape.columns),
                treatment: None,
                method: None,
            })
        })
    };
    (0..config.layers).flat_map(of_layer).collect()
}

/// Every linear map with its treatment, layer by layer.
pub fn planned(recipe: &Recipe, config: &ModelConfig) -> Result<Vec<Planned>, RunError> {
    let mut all = untreated(config);
    let names: Vec<(Component, Option<&str>)> = all.iter().map(|planned| (planned.component, planned.part.as_deref())).collect();
    let plan = recipe.plan_parts(config.layers, &names).map_err(|why| RunError::Recipe { why })?;
    let plan: Vec<Option<MethodConfig>> = plan.into_iter().map(|treatment| treatment.cloned()).collect();
    for (planned, treatment) in all.iter_mut().zip(plan) {
        planned.method = treatment.as_ref().map(MethodConfig::name);
        planned.treatment = treatment;
    }
    refuse_crossed(&all)?;
    Ok(all)
}

/// Refuses methods that compare what the same tokens give in two models, where routers may send them elsewhere.
///
/// # Errors
/// [`RunError::Recipe`].
pub fn refuse_crossed(all: &[Planned]) -> Result<(), RunError> {
    let crossed = |planned: &&Planned| planned.is_routed() && planned.treatment.as_ref().is_some_and(|treatment| treatment.inputs() == Inputs::Both);
    match all.iter().find(crossed) {
        Some(planned) => Err(RunError::Recipe {
            why: format!(
                "{} is one of several experts, and {} compares what the same tokens give in two models, whose routers may send them elsewhere: take GPTQ",
                planned.name(),
                planned.method.unwrap_or("the method")
            ),
        }),
        None => Ok(()),
    }
}

/// The linear maps of a layer.
pub fn of_layer(planned: &[Planned], layer: usize) -> &[Planned] {
    let first = planned.partition_point(|planned| planned.component.layer.0 < layer);
    let end = planned.partition_point(|planned| planned.component.layer.0 <= layer);
    &planned[first..end]
}

/// Positions in a layer's list of the maps that share an input, in the order in which inputs are reached and matrices are taken: that
/// of the original programs, which matters to GPTAQ's damping only.
pub fn by_input(planned: &[Planned]) -> Vec<(ModuleInput, Vec<usize>)> {
    let mut groups: Vec<(ModuleInput, Vec<usize>)> = Vec::new();
    for (index, planned) in planned.iter().enumerate() {
        match groups.iter_mut().find(|(input, _)| *input == planned.input) {
            Some((_, members)) => members.push(index),
            None => groups.push((planned.input, vec![index])),
        }
    }
    for (_, members) in &mut groups {
        // Key, value, query; up, gate.
        members.sort_by_key(|index| match planned[*index].component.module {
            Module::Query => 3,
            Module::Up => 0,
            module => module.index(),
        });
    }
    groups
}

/// Up to which layers inputs have to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The last layer whose inputs in the uncompressed model are asked for.
    pub last_original: Option<usize>,
    /// The last layer whose inputs behind compressed layers are asked for.
    pub last_compressed: Option<usize>,
}

impl Needs {
    /// Of a plan.
    pub fn of(planned: &[Planned]) -> Self {
        let last = |wanted: fn(Inputs) -> bool| {
            let asks = |planned: &Planned| planned.treatment.as_ref().is_some_and(|treatment| wanted(treatment.inputs()));
            planned.iter().rfind(|planned| asks(planned)).map(|planned| planned.component.layer.0)
        };
        Self {
            last_original: last(|inputs| matches!(inputs, Inputs::Original | Inputs::Both)),
            last_compressed: last(|inputs| matches!(inputs, Inputs::Compressed | Inputs::Both)),
        }
    }

    /// Whether any text has to be read.
    pub fn any(&self) -> bool {
        self.last_original.is_some() || self.last_compressed.is_some()
    }
}

/// Rates of matrix products in float32, in operations a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Of the device that runs the text.
    pub device: f64,
    /// Of the processors.
    pub processors: f64,
}

/// What a compression will take.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct CompressPlan {
    /// Components that are treated.
    pub treated: usize,
    /// Of this number.
    pub components: usize,
    /// Calibration windows.
    pub windows: usize,
    /// Their tokens.
    pub tokens: usize,
    /// Expected peak memory in bytes.
    pub memory: u64,
    /// Expected peak of a device's memory in bytes; zero where the processors run the text.
    pub device_memory: u64,
    /// Bytes that will be written.
    pub disk: u64,
    /// Floating-point operations in all.
    pub operations: f64,
    /// Expected time, where the rate of matrix products was measured.
    #[serde(serialize_with = "in_seconds", rename = "seconds")]
    pub time: Option<Duration>,
}

fn in_seconds<S: serde::Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    serde::Serialize::serialize(&time.map(|time| time.as_secs_f64()), serializer)
}

impl CompressPlan {
    /// Of a recipe on a model.
    pub fn new(config: &ModelConfig, planned: &[Planned], lengths: &[usize], stored_as: StoredAs, rates: Option<Rates>) -> Self {
        let needs = Needs::of(planned);
        let tokens: usize = lengths.iter().sum();
        let layer = (0..config.layers).map(|layer| config.layer_weights(layer)).max().unwrap_or(0) as f64;
        let active = (0..config.layers).map(|layer| config.active_weights(layer)).max().unwrap_or(0) as f64;
        let attention: f64 = 2.0 * (config.heads * config.head_dim) as f64 * lengths.iter().map(|length| (*length as f64).powi(2)).sum::<f64>();
        let forward = 2.0 * active * tokens as f64 + attention;
        let (mut calibrating, mut treating) = (0.0, 0.0);
        let (mut most, mut most_on_device) = (0.0f64, 0.0f64);
        for index in 0..config.layers {
            let work = LayerWork::of(config, of_layer(planned, index), tokens, forward);
            calibrating += work.calibrating;
            treating += work.treating;
            most = most.max(work.memory);
            most_on_device = most_on_device.max(work.device_memory);
            for last in [needs.last_original, needs.last_compressed].into_iter().flatten() {
                calibrating += if index < last { forward } else { 0.0 };
            }
        }
        let streams = [needs.last_original, needs.last_compressed].into_iter().flatten().count();
        let hidden = streams * tokens * config.hidden * 4;
        // The layer as it was, as it becomes, at the kernels, and its bytes on their way to disk and back.
        let resident = 4.0 * 4.0 * layer + hidden as f64 + most;
        // At the end the embedding goes to disk: a part in float32, the whole as it is stored.
        let size = if stored_as == StoredAs::Float32 { 4.0 } else { 2.0 };
        let resident = resident.max(size * (config.vocabulary * config.hidden) as f64);
        Self {
            treated: planned.iter().filter(|planned| planned.treatment.is_some()).count(),
            components: planned.len(),
            windows: lengths.len(),
            tokens,
            memory: resident as u64 + WORKING,
            // The layer as it was and as it becomes, a copy in float32 of what is multiplied with.
            device_memory: (3.0 * 4.0 * layer + hidden as f64 + most_on_device) as u64 + WORKING,
            disk: (config.parameters() as f64 * size) as u64,
            operations: calibrating + treating,
            time: rates.map(|rates| Duration::from_secs_f64((calibrating / rates.device + treating / rates.processors) / EXPECTED_EFFICIENCY)),
        }
    }
}

/// What one layer takes.
struct LayerWork {
    /// Operations of running and summing up the text.
    calibrating: f64,
    /// Operations of treating the matrices.
    treating: f64,
    /// Bytes besides the layer's weights and the hidden states.
    memory: f64,
    /// Of these, bytes that are on the device where one runs the text.
    device_memory: f64,
}

impl LayerWork {
    fn of(config: &ModelConfig, planned: &[Planned], tokens: usize, forward: f64) -> Self {
        let mut work = Self {
            calibrating: 0.0,
            treating: 0.0,
            memory: 0.0,
            device_memory: 0.0,
        };
        let sequential = planned
            .iter()
            .any(|planned| planned.treatment.as_ref().is_some_and(MethodConfig::is_sequential));
        let share = config
            .block
            .experts
            .map_or(1.0, |experts| experts.router.chosen as f64 / experts.router.experts as f64);
        let (mut sums, mut factors, mut asking, mut places) = (0.0, 0.0f64, Vec::new(), 0);
        let mut awq = None;
        for (input, members) in by_input(planned) {
            let width = planned[members[0]].shape.1 as f64;
            let square = width * width;
            let (mut needed, mut both, mut hessian) = (false, false, false);
            for (planned, treatment) in members.iter().filter_map(|index| Some((&planned[*index], planned[*index].treatment.as_ref()?))) {
                let rows = planned.shape.0 as f64;
                needed |= treatment.inputs() != Inputs::None;
                both |= treatment.inputs() == Inputs::Both;
                hessian |= matches!(
                    treatment,
                    MethodConfig::Gptq(_) | MethodConfig::Gptaq(_) | MethodConfig::SparseGpt(_) | MethodConfig::AlphaPruning(_)
                );
                // The column loop and the trailing products are a triangle of rows by columns; the report's two forms a square each.
                work.treating += 4.0 * rows * square + if hessian { 2.0 * rows * square } else { 0.0 };
                if let MethodConfig::Awq(settings) = treatment {
                    awq = Some(settings.search);
                }
            }
            let routed = matches!(input, ModuleInput::Place(_) | ModuleInput::PlaceDown(_));
            if needed && routed {
                // Some places at a time, each with the tokens that reach it.
                places += 1;
                sums += if places <= 2 * PLACES { 8.0 * square } else { 0.0 };
                work.calibrating += share * tokens as f64 * square;
                factors = factors.max(if hessian { 28.0 } else { 4.0 } * square);
                work.treating += if hessian { DOUBLE * square * width } else { 0.0 };
                continue;
            }
            if needed {
                asking.push(input);
                let crossed = if both { 3.0 } else { 1.0 };
                sums += 8.0 * square * if both { 2.0 } else { 1.0 };
                work.calibrating += tokens as f64 * square * crossed;
                // A factor: the permuted copy and its inverse in float64, and what is kept in float32.
                factors = factors.max(if hessian {
                    (8.0 + 8.0 + 8.0 + 4.0 * if both { 2.0 } else { 1.0 }) * square
                } else {
                    4.0 * square
                });
                work.treating += if hessian { DOUBLE * square * width } else { 0.0 };
            }
        }
        // A pass over a layer of the usual matrices ends at the last input that is asked for.
        let is_usual = planned.iter().all(|planned| ModuleInput::ALL.contains(&planned.input)) && config.block.experts.is_none();
        let behind = |input: ModuleInput| -> f64 {
            let unused = planned.iter().filter(|planned| is_usual && planned.input.index() >= input.index());
            2.0 * tokens as f64 * unused.map(|planned| (planned.shape.0 * planned.shape.1) as f64).sum::<f64>()
        };
        let passes = if sequential { &asking[..] } else { &asking[asking.len().saturating_sub(1)..] };
        work.calibrating += passes.iter().map(|input| (forward - behind(*input)).max(0.0)).sum::<f64>();
        work.calibrating += forward * places.div_ceil(2 * PLACES) as f64;
        let inner = (config.intermediate * 3 + config.hidden * 4) as f64;
        let tile = 4.0 * inner * tokens.min(TILE) as f64;
        work.memory = sums + factors + tile;
        // Sums are float32 there.
        work.device_memory = sums / 2.0 + tile;
        match awq {
            Some(Search::Outputs) => {
                work.calibrating += forward * (RATIOS + 1) as f64;
                let kept = (config.intermediate + 5 * config.hidden + 2 * config.heads * config.head_dim) as f64;
                work.memory += 2.0 * 4.0 * tokens as f64 * kept;
                work.device_memory += 4.0 * tokens as f64 * kept;
            }
            Some(Search::Grams) => {
                let products: f64 = (planned.iter())
                    .map(|planned| 2.0 * (planned.shape.0 * planned.shape.1) as f64 * planned.shape.1 as f64)
                    .sum();
                work.treating += RATIOS as f64 * products;
            }
            None => {}
        }
        work
    }
}
