//! A layer by AWQ, which treats its matrices together and from the inputs that the original model gives.

use cruxscope_checkpoint::writer::PackedLayer;
use cruxscope_checkpoint::{LayerWeights, Matrix};
use cruxscope_compress::awq::{self, AwqSettings, BlockShape, InputGram, LayerCalibration, LayerGrams, LayerInputs, LayerScales, Search};
use cruxscope_compress::evidence::{CalibrationStats, Statistics};
use cruxscope_compress::linear_algebra::gram;
use cruxscope_compress::method::{CompressedMatrix, MethodConfig};
use cruxscope_compress::quantize::{Clipping, GridSettings, round_to_nearest};
use cruxscope_model::decoder::Decoder;
use cruxscope_model::kernels::calibration::CalibrationKernels;
use cruxscope_model::module::ModuleInput;

use super::Basis;
use super::layer::CompressedLayer;
use super::plan::Planned;
use super::report::{ComponentReport, ScaleReport};
use super::statistics::statistics;
use super::storage::{Storage, check_groups};
use crate::RunError;

/// The settings of AWQ in a layer, if it is treated so; components without a treatment are scaled along and kept.
pub fn settings_of(planned: &[Planned]) -> Result<Option<AwqSettings>, RunError> {
    let all = || {
        planned
            .iter()
            .filter_map(|planned| planned.treatment.as_ref().map(|treatment| (planned.component, treatment)))
    };
    let Some(first) = all().find_map(|(_, treatment)| match treatment {
        MethodConfig::Awq(settings) => Some(*settings),
        _ => None,
    }) else {
        return Ok(None);
    };
    if let Some((component, _)) = all().find(|(_, treatment)| **treatment != MethodConfig::Awq(first)) {
        let why = format!("{component} is in a layer with AWQ under other settings or another method: AWQ scales the matrices of a layer together");
        return Err(RunError::Recipe { why });
    }
    Ok(Some(AwqSettings {
        keep: std::array::from_fn(|index| planned[index].treatment.is_none()),
        ..first
    }))
}

/// Treats a layer.
pub fn layer<K: CalibrationKernels>(
    decoder: &Decoder<K>,
    original: &LayerWeights,
    settings: &AwqSettings,
    planned: &[Planned],
    hidden: &[K::Matrix],
    basis: Basis,
    storage: Storage,
) -> Result<CompressedLayer, RunError> {
    let refuse = |source| RunError::Compress {
        component: format!("layer {}", planned[0].component.layer),
        source,
    };
    let (shape, kernels) = (BlockShape::from(decoder.config()), decoder.kernels());
    let (layer, known) = match settings.search {
        Search::Outputs => {
            let inputs = inputs(kernels, original, &shape, hidden).map_err(refuse)?;
            let layer = awq::compress_layer(kernels, original, LayerCalibration::Inputs(&inputs, &shape), settings).map_err(refuse)?;
            (layer, Known::Inputs(inputs))
        }
        Search::Grams => {
            let known = statistics(decoder, original, hidden, &ModuleInput::ALL, None)?;
            let grams = LayerGrams {
                attention: gram_of(&known[ModuleInput::Attention as usize]),
                output: gram_of(&known[ModuleInput::Output as usize]),
                feed_forward: gram_of(&known[ModuleInput::FeedForward as usize]),
                down: gram_of(&known[ModuleInput::Down as usize]),
            };
            let layer = awq::compress_layer(kernels, original, LayerCalibration::Grams(&grams), settings).map_err(refuse)?;
            (layer, Known::Sums(known.into_iter()))
        }
    };
    let mut packed: PackedLayer = [const { None }; 7];
    let mut weights = match basis {
        Basis::Original => layer.rounded_back(original, settings).map_err(refuse)?,
        Basis::Folded => layer.rounded(settings),
    };
    for (index, (projection, planned)) in weights.projections.iter_mut().zip(planned).enumerate() {
        let codes = match basis {
            Basis::Folded if !settings.keep[index] => {
                let ready = &layer.ready.projections[index].weight;
                Some(round_to_nearest(&ready.values, ready.rows, ready.columns, &grid_of(settings)).map_err(refuse)?)
            }
            _ => None,
        };
        let component = planned.component.to_string();
        (projection.weight.values, packed[index]) = storage.keep(&component, &projection.weight, codes.as_ref())?;
    }
    // What is read back, in the basis of the source.
    let mut back = match basis {
        Basis::Original => weights.clone(),
        Basis::Folded => awq::fold_back(&weights, original, &layer.scales).map_err(refuse)?,
    };
    for (index, planned) in planned.iter().enumerate() {
        let (before, after) = (&original.projections[index].weight, &mut back.projections[index].weight);
        match &planned.treatment {
            Some(treatment) => check_groups(&planned.component.to_string(), before, &after.values, treatment, |_| false)?,
            None if basis == Basis::Folded => after.clone_from(before),
            None => {}
        }
    }
    let reports = reports(original, &back, &layer.scales, settings, planned, known);
    Ok(CompressedLayer { weights, packed, reports })
}

/// The grid of weights that are ready to be rounded.
fn grid_of(settings: &AwqSettings) -> GridSettings {
    GridSettings {
        grid: settings.grid,
        bits: settings.bits,
        group_size: settings.group_size,
        clipping: Clipping::None,
    }
}

/// What is known of the inputs, for the reports.
enum Known {
    Inputs(LayerInputs),
    /// In the order of [`ModuleInput::ALL`].
    Sums(std::vec::IntoIter<Statistics>),
}

impl Known {
    /// Of an input; asked in the order of [`ModuleInput::ALL`], and worked out only then: four Gram matrices at a time are much memory.
    fn next(&mut self, input: ModuleInput) -> Option<CalibrationStats> {
        let statistics = match self {
            Self::Sums(all) => all.next()?,
            Self::Inputs(inputs) => of_inputs(match input {
                ModuleInput::Attention => &inputs.attention,
                ModuleInput::Output => &inputs.output,
                ModuleInput::FeedForward => &inputs.feed_forward,
                ModuleInput::Down => &inputs.down,
            }),
        };
        Some(CalibrationStats::new(statistics))
    }
}

fn inputs<K: CalibrationKernels>(
    kernels: &K,
    original: &LayerWeights,
    shape: &BlockShape,
    hidden: &[K::Matrix],
) -> Result<LayerInputs, cruxscope_compress::CompressError> {
    let lengths: Vec<usize> = hidden.iter().map(|window| kernels.rows(window)).collect();
    let mut values = Vec::new();
    for window in hidden {
        values.extend(kernels.download(window)?);
    }
    let all = Matrix {
        rows: lengths.iter().sum(),
        columns: original.attention_norm.len(),
        values,
    };
    Ok(awq::run_layer(kernels, original, shape, &all, &lengths)?.inputs)
}

/// `XᵀX / tokens` out of the Hessian, `2 XᵀX / sequences`.
fn gram_of(statistics: &Statistics) -> InputGram {
    let factor = statistics.sequences as f64 / (2.0 * statistics.tokens.max(1) as f64);
    let width = statistics.means.len();
    InputGram {
        mean_absolute: statistics.mean_magnitudes.clone(),
        gram: Matrix {
            rows: width,
            columns: width,
            values: statistics.hessian.iter().map(|value| (value * factor) as f32).collect(),
        },
    }
}

/// Errors are those in the original basis, so that they can be compared with other methods'.
fn reports(
    original: &LayerWeights,
    back: &LayerWeights,
    scales: &LayerScales,
    settings: &AwqSettings,
    planned: &[Planned],
    mut known: Known,
) -> Vec<ComponentReport> {
    let mut reports: Vec<ComponentReport> = Vec::new();
    for input in ModuleInput::ALL {
        let evidence = known.next(input);
        let scale = match input {
            ModuleInput::Attention => Some(&scales.attention),
            ModuleInput::Output => scales.output.as_ref(),
            ModuleInput::FeedForward => Some(&scales.feed_forward),
            ModuleInput::Down => Some(&scales.down),
        };
        for (index, planned) in planned.iter().enumerate().filter(|(index, _)| ModuleInput::of(*index) == input) {
            let (before, after) = (&original.projections[index].weight, &back.projections[index].weight);
            let scale = scale.map(ScaleReport::of);
            reports.push(match planned.treatment {
                None => ComponentReport {
                    scale,
                    ..ComponentReport::untouched(planned, before, &after.values)
                },
                Some(_) => {
                    let mut treated = CompressedMatrix::measured(before, after.values.clone(), evidence.as_ref());
                    treated.bits = Some(settings.bits.get());
                    ComponentReport {
                        scale,
                        ..ComponentReport::of(planned, &treated)
                    }
                }
            });
        }
    }
    reports
}

fn of_inputs(inputs: &Matrix) -> Statistics {
    Statistics {
        hessian: gram(&inputs.values, inputs.columns),
        cross: None,
        means: vec![0.0; inputs.columns],
        mean_magnitudes: Vec::new(),
        sequences: 2,
        tokens: inputs.rows,
    }
}
