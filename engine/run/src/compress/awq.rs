//! A layer by AWQ, which treats its matrices together and from the inputs that the original model gives.

use cruxscope_checkpoint::writer::PackedLayer;
use cruxscope_checkpoint::{LayerWeights, Matrix, ModelConfig};
use cruxscope_compress::awq::{self, AwqSettings, BlockShape, InputGram, LayerCalibration, LayerGrams, LayerInputs, LayerScales, Search};
use cruxscope_compress::evidence::{CalibrationStats, Statistics};
use cruxscope_compress::linear_algebra::gram;
use cruxscope_compress::method::{CompressedMatrix, MethodConfig};
use cruxscope_compress::quantize::{Clipping, GridSettings, round_to_nearest};
use cruxscope_model::decoder::Decoder;
use cruxscope_model::kernels::calibration::CalibrationKernels;
use cruxscope_model::module::ModuleInput;
use cruxscope_study::Module;

use super::Basis;
use super::compressed_layer::CompressedLayer;
use super::plan::{PLACES, Planned, by_input};
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
        let why = format!(
            "{component} is in a layer with AWQ under other settings or another method: AWQ scales the matrices of a layer together, and only in the original basis (--basis original) does each stand alone"
        );
        return Err(RunError::Recipe { why });
    }
    Ok(Some(AwqSettings {
        keep: std::array::from_fn(|index| planned[index].treatment.is_none()),
        ..first
    }))
}

/// Whether AWQ takes the matrices of a model group by group, each alone: where its layers are not the usual seven, or their norms hold
/// no scales.
pub fn is_by_groups(config: &ModelConfig) -> bool {
    config.beyond_seven_modules().is_some() || config.block.unfoldable().is_some()
}

/// Refuses AWQ's scales in the folded basis where the model has nothing into which they can be folded.
///
/// # Errors
/// [`RunError::Recipe`], which says why, and what to use instead.
pub fn check(planned: &[Planned], config: &ModelConfig, basis: Basis) -> Result<(), RunError> {
    let asked = planned.iter().any(|planned| matches!(planned.treatment, Some(MethodConfig::Awq(_))));
    if basis == Basis::Original {
        return Ok(());
    }
    if let (true, Some(why)) = (asked, config.beyond_seven_modules()) {
        return Err(RunError::Beyond {
            what: "AWQ with its scales folded in (--basis folded)",
            architecture: config.architecture.name(),
            why,
        });
    }
    match config.block.unfoldable() {
        Some(why) if asked => Err(RunError::Recipe {
            why: format!(
                "AWQ folds its scales into the norms before the two blocks of a layer, and in a {} model {why}; leave them out (--basis original), or use \
                 GPTQ, which folds nothing, or RTN",
                config.architecture.name()
            ),
        }),
        _ => Ok(()),
    }
}

/// Treats the matrices of a layer that AWQ is asked for, group by group: those that share an input have one scale, judged by their own
/// outputs, and stand in the original basis. What each becomes is put into `layer`, in which everything else is done already.
pub fn by_groups<K: CalibrationKernels>(
    decoder: &Decoder<K>,
    original: &LayerWeights,
    planned: &[Planned],
    hidden: &[K::Matrix],
    storage: Storage,
    layer: &mut CompressedLayer,
) -> Result<(), RunError> {
    let settings_of = |index: &usize| match &planned[*index].treatment {
        Some(MethodConfig::Awq(settings)) => Some(*settings),
        _ => None,
    };
    let mut groups: Vec<(ModuleInput, AwqSettings, Vec<usize>)> = Vec::new();
    for (input, members) in by_input(planned) {
        for index in members {
            let Some(settings) = settings_of(&index) else { continue };
            match groups.iter_mut().find(|(other, own, _)| *other == input && *own == settings) {
                Some((_, _, members)) => members.push(index),
                None => groups.push((input, settings, vec![index])),
            }
        }
    }
    for stage in groups.chunks(2 * PLACES) {
        let mut inputs: Vec<ModuleInput> = Vec::new();
        for (input, _, _) in stage {
            if !inputs.contains(input) {
                inputs.push(*input);
            }
        }
        let known = statistics(decoder, original, hidden, &inputs, None)?;
        for (input, settings, members) in stage {
            let Some(known) = inputs.iter().position(|other| other == input).map(|place| &known[place]) else {
                continue;
            };
            let refuse = |source| RunError::Compress {
                component: planned[members[0]].name(),
                source,
            };
            let weights: Vec<&Matrix> = members.iter().map(|index| &original.projections[planned[*index].module].weight).collect();
            // Queries and keys are not clipped, by the original programs neither.
            let is_clipped = |place: usize| !matches!(planned[members[place]].component.module, Module::Query | Module::Key);
            let (scale, treated) = awq::compress_group(&weights, &gram_of(&known.statistics), is_clipped, settings).map_err(refuse)?;
            let evidence = CalibrationStats::new(known.statistics.clone());
            for ((index, before), after) in members.iter().zip(&weights).zip(treated) {
                let planned = &planned[*index];
                let (values, _) = storage.keep(&planned.name(), &after, None)?;
                if let Some(treatment) = &planned.treatment {
                    check_groups(&planned.name(), before, &values, treatment, |_| false)?;
                }
                let mut measured = CompressedMatrix::measured(before, values, Some(&evidence));
                measured.bits = Some(settings.bits.get());
                layer.reports[*index] = ComponentReport {
                    scale: Some(ScaleReport::of(&scale)),
                    routed_tokens: known.routed,
                    ..ComponentReport::of(planned, &measured)
                };
                layer.weights.projections[planned.module].weight = measured.weight;
            }
        }
    }
    Ok(())
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
            let known: Vec<Statistics> = known.into_iter().map(|known| known.statistics).collect();
            let grams = LayerGrams {
                attention: gram_of(&known[ModuleInput::Attention.index()]),
                output: gram_of(&known[ModuleInput::Output.index()]),
                feed_forward: gram_of(&known[ModuleInput::FeedForward.index()]),
                down: gram_of(&known[ModuleInput::Down.index()]),
            };
            let layer = awq::compress_layer(kernels, original, LayerCalibration::Grams(&grams), settings).map_err(refuse)?;
            (layer, Known::Sums(known.into_iter()))
        }
    };
    let mut packed: PackedLayer = vec![None; 7];
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
        let component = planned.name();
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
            Some(treatment) => check_groups(&planned.name(), before, &after.values, treatment, |_| false)?,
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
                _ => &inputs.down,
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
            _ => Some(&scales.down),
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
