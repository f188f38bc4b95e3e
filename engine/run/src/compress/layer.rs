//! One layer of a checkpoint: its statistics, its treatment, and what is said of it.

use cruxscope_checkpoint::{LayerWeights, Matrix, ModelConfig};
use cruxscope_compress::awq::{self, AwqSettings, BlockShape};
use cruxscope_compress::linear_algebra::{accumulate_gram_lower, gram, mirror_lower};
use cruxscope_compress::treatment::{Statistics, Treated, Treatment};
use cruxscope_model::block::{self, Site};
use cruxscope_model::decoder::Decoder;
use cruxscope_model::kernels::Kernels as _;
use cruxscope_model::kernels::cpu::{CpuKernels, CpuMatrix};
use cruxscope_study::Component;

use super::{Basis, ComponentReport};
use crate::RunError;

/// The treatments of a layer's seven components, in the order of its projections.
pub type Treatments<'a> = [(Component, Option<&'a Treatment>)];

/// Treats a layer, from the calibration text's hidden states at its input.
pub fn treat(
    decoder: &Decoder<CpuKernels>,
    original: LayerWeights,
    treatments: &Treatments<'_>,
    hidden: &[CpuMatrix],
    basis: Basis,
) -> Result<(LayerWeights, Vec<ComponentReport>), RunError> {
    if let Some(settings) = awq_of(treatments)? {
        return awq_layer(&original, &settings, treatments, hidden, decoder.config(), basis);
    }
    let needed = treatments.iter().any(|(_, treatment)| treatment.is_some_and(Treatment::needs_statistics));
    let statistics = if needed { Some(statistics(decoder, &original, hidden)?) } else { None };
    let mut weights = original;
    let mut reports = Vec::new();
    for (component, treatment) in treatments {
        let index = component.module.index();
        let place = &mut weights.projections[index].weight;
        let of_input = statistics.as_ref().map(|statistics| &statistics[Site::of(index) as usize]);
        let treated = match treatment {
            Some(treatment) => treatment.apply(place, of_input).map_err(|source| RunError::Compress {
                component: component.to_string(),
                source,
            })?,
            None => Treated::measured(place, place.values.clone(), None, None),
        };
        reports.push(report(*component, *treatment, &treated));
        *place = treated.weight;
    }
    Ok((weights, reports))
}

fn report(component: Component, treatment: Option<&Treatment>, treated: &Treated) -> ComponentReport {
    ComponentReport {
        component: component.to_string(),
        method: treatment.map(|treatment| treatment.name().into()),
        bits: treated.bits,
        sparsity: treated.sparsity,
        output_error: treatment.and(treated.output_error),
        weight_error: treated.weight_error,
    }
}

/// Runs the calibration text through a layer.
pub fn advance(decoder: &Decoder<CpuKernels>, weights: LayerWeights, hidden: &mut [CpuMatrix]) -> Result<(), RunError> {
    let on_device = decoder.bring(weights);
    for hidden in hidden {
        let rotation = decoder.rotation(&(0..decoder.kernels().rows(hidden)).collect::<Vec<_>>());
        *hidden = block::forward(decoder, &on_device, hidden, &rotation, |_, _, _| Ok(()))?.0;
    }
    Ok(())
}

/// The settings of AWQ in a layer, if it is treated so; components without a treatment are scaled along and kept.
fn awq_of(treatments: &[(Component, Option<&Treatment>)]) -> Result<Option<AwqSettings>, RunError> {
    let mut found: Option<AwqSettings> = None;
    for (component, treatment) in treatments {
        match treatment {
            Some(Treatment::Awq(settings)) if found.is_none_or(|found| found == *settings) => found = Some(*settings),
            None => {}
            Some(_) if found.is_none() && !treatments.iter().any(|(_, other)| matches!(other, Some(Treatment::Awq(_)))) => {}
            Some(_) => {
                let why = format!("{component} is in a layer with AWQ under other settings or another method: AWQ scales the matrices of a layer together");
                return Err(RunError::Recipe { why });
            }
        }
    }
    let keep = std::array::from_fn(|index| treatments[index].1.is_none());
    Ok(found.map(|settings| AwqSettings { keep, ..settings }))
}

/// A layer by AWQ, from the inputs that the original model gives.
fn awq_layer(
    original: &LayerWeights,
    settings: &AwqSettings,
    treatments: &[(Component, Option<&Treatment>)],
    hidden: &[CpuMatrix],
    config: &ModelConfig,
    basis: Basis,
) -> Result<(LayerWeights, Vec<ComponentReport>), RunError> {
    let refuse = |source| RunError::Compress {
        component: format!("layer {}", treatments[0].0.layer),
        source,
    };
    let lengths: Vec<usize> = hidden.iter().map(|window| window.values().len() / config.hidden).collect();
    let all = Matrix {
        rows: lengths.iter().sum(),
        columns: config.hidden,
        values: hidden.iter().flat_map(|window| window.values().to_vec()).collect(),
    };
    let shape = BlockShape::from(config);
    let run = awq::run_layer(original, &shape, &all, &lengths).map_err(refuse)?;
    let layer = awq::compress_layer(original, awq::LayerEvidence::Inputs(&run.inputs, &shape), settings).map_err(refuse)?;
    let back = layer.rounded_back(original, settings).map_err(refuse)?;
    let reports = treatments
        .iter()
        .map(|(component, treatment)| {
            let index = component.module.index();
            let before = &original.projections[index].weight;
            let inputs = match Site::of(index) {
                Site::Attention => &run.inputs.attention,
                Site::Output => &run.inputs.output,
                Site::FeedForward => &run.inputs.feed_forward,
                Site::Down => &run.inputs.down,
            };
            let statistics = Statistics {
                hessian: gram(&inputs.values, inputs.columns),
                means: Vec::new(),
            };
            let treated = Treated::measured(
                before,
                back.projections[index].weight.values.clone(),
                treatment.map(|_| settings.bits.get()),
                Some(&statistics),
            );
            report(*component, *treatment, &treated)
        })
        .collect();
    let weights = match basis {
        Basis::Original => back,
        Basis::Folded => layer.rounded(settings),
    };
    Ok((weights, reports))
}

/// Statistics of a layer's four inputs over the calibration text.
fn statistics(decoder: &Decoder<CpuKernels>, weights: &LayerWeights, hidden: &[CpuMatrix]) -> Result<[Statistics; 4], RunError> {
    let on_device = decoder.bring(weights.clone());
    let kernels = decoder.kernels();
    let widths = Site::ALL.map(|site| decoder.width(site));
    let mut grams = widths.map(|width| vec![0.0f64; width * width]);
    let mut sums = widths.map(|width| vec![vec![0.0f64; width]]);
    let mut tokens = 0;
    for hidden in hidden {
        let count = kernels.rows(hidden);
        let rotation = decoder.rotation(&(0..count).collect::<Vec<_>>());
        block::forward(decoder, &on_device, hidden, &rotation, |site, _, x| {
            accumulate_gram_lower(&mut grams[site as usize], x.values(), widths[site as usize]);
            kernels.row_sums(x, &[&vec![1.0; kernels.rows(x)]], &mut sums[site as usize])
        })?;
        tokens += count;
    }
    let scale = 2.0 / hidden.len().max(1) as f64;
    let mut all = grams.into_iter().zip(sums).zip(widths).map(|((mut gram, sums), width)| {
        mirror_lower(&mut gram, width);
        gram.iter_mut().for_each(|value| *value *= scale);
        Statistics {
            hessian: gram,
            means: sums[0].iter().map(|sum| (sum / tokens.max(1) as f64) as f32).collect(),
        }
    });
    let mut next = || {
        all.next().unwrap_or(Statistics {
            hessian: Vec::new(),
            means: Vec::new(),
        })
    };
    Ok([next(), next(), next(), next()])
}
