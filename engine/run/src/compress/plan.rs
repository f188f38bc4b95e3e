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

/// Share of the rate of matrix products that a whole run reaches, as measured over several methods.
const EXPECTED_EFFICIENCY: f64 = 0.5;
/// Work in float64, against float32.
const DOUBLE: f64 = 2.0;
/// Bytes besides what is counted: the program, tiles of the forward pass, a part of the embedding on its way to disk.
const WORKING: u64 = 200 << 20;
/// Tokens whose inner features exist at the same time in a forward pass.
const TILE: usize = 1024;

/// What is done to a component.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The component.
    pub component: Component,
    /// What is done to it; what a recipe says for whole models is resolved to what that means for this matrix.
    pub treatment: Option<MethodConfig>,
    /// The name of what the recipe asks for.
    pub method: Option<&'static str>,
}

/// Every component, layer by layer.
pub fn planned(recipe: &Recipe, layers: usize) -> Result<Vec<Planned>, RunError> {
    let plan = recipe.plan(layers).map_err(|why| RunError::Recipe { why })?;
    let of = |(component, treatment): (Component, Option<&MethodConfig>)| Planned {
        component,
        treatment: treatment.cloned(),
        method: treatment.map(MethodConfig::name),
    };
    Ok(plan.into_iter().map(of).collect())
}

/// The components of a layer.
pub fn of_layer(planned: &[Planned], layer: usize) -> &[Planned] {
    &planned[layer * Module::ALL.len()..][..Module::ALL.len()]
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
            planned.iter().rposition(asks).map(|index| index / Module::ALL.len())
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
        let weights = |index: usize| {
            let (rows, columns) = config.dimensions(index);
            (rows * columns) as f64
        };
        let layer: f64 = (0..Module::ALL.len()).map(weights).sum();
        let attention: f64 = 2.0 * (config.heads * config.head_dim) as f64 * lengths.iter().map(|length| (*length as f64).powi(2)).sum::<f64>();
        let forward = 2.0 * layer * tokens as f64 + attention;
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
        let treatments = |input: ModuleInput| {
            let readers = planned.iter().enumerate().filter(move |(index, _)| ModuleInput::of(*index) == input);
            readers.filter_map(|(index, planned)| planned.treatment.as_ref().map(|treatment| (index, treatment)))
        };
        let sequential = planned
            .iter()
            .any(|planned| planned.treatment.as_ref().is_some_and(MethodConfig::is_sequential));
        let (mut sums, mut factors, mut asking) = (0.0, 0.0f64, 0);
        let mut awq = None;
        for input in ModuleInput::ALL {
            let width = config.dimensions(input.reader()).1 as f64;
            let square = width * width;
            let (mut needed, mut both, mut hessian) = (false, false, false);
            for (index, treatment) in treatments(input) {
                let rows = config.dimensions(index).0 as f64;
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
            if needed {
                asking += 1;
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
        let passes = if sequential { asking } else { usize::from(asking > 0) };
        work.calibrating += forward * passes as f64;
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
                let products: f64 = (0..7)
                    .map(|index| config.dimensions(index))
                    .map(|(rows, columns)| 2.0 * (rows * columns) as f64 * columns as f64)
                    .sum();
                work.treating += RATIOS as f64 * products;
            }
            None => {}
        }
        work
    }
}
