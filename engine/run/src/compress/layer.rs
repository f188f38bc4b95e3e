//! One layer of a checkpoint: its treatment, and what is said of it.

use cruxscope_checkpoint::writer::PackedLayer;
use cruxscope_checkpoint::{LayerWeights, Matrix};
use cruxscope_compress::evidence::CalibrationStats;
use cruxscope_compress::method::{CompressedMatrix, Inputs};
use cruxscope_model::decoder::Decoder;
use cruxscope_model::kernels::calibration::CalibrationKernels;
use cruxscope_model::module::{ModuleInput, projection_index};

use super::plan::Planned;
use super::report::ComponentReport;
use super::statistics::{Streams, statistics};
use super::storage::Storage;
use super::{Basis, awq};
use crate::RunError;

/// A layer as it will be written, and what is said of it.
pub struct CompressedLayer {
    /// Its weights.
    pub weights: LayerWeights,
    /// Those of its projections that are written packed; `weights` holds what they are read back as.
    pub packed: PackedLayer,
    /// One for each component.
    pub reports: Vec<ComponentReport>,
}

/// The order in which the original programs take the matrices that share an input; it matters to GPTAQ's damping only.
const ORDER: [&[usize]; 4] = [
    &[projection_index::KEY, projection_index::VALUE, projection_index::QUERY],
    &[projection_index::OUTPUT],
    &[projection_index::UP, projection_index::GATE],
    &[projection_index::DOWN],
];

/// Treats a layer, from the calibration text's hidden states at its input. Its weights are those that will be read back.
pub fn treat<K: CalibrationKernels>(
    decoder: &Decoder<K>,
    original: LayerWeights,
    planned: &[Planned],
    streams: &Streams<K>,
    basis: Basis,
    storage: Storage,
) -> Result<CompressedLayer, RunError> {
    match awq::settings_of(planned)? {
        Some(settings) => awq::layer(decoder, &original, &settings, planned, &streams.original, basis, storage),
        None => one_by_one(decoder, original, planned, streams, storage),
    }
}

/// Every matrix by its own treatment. Where a method asks for it, later matrices see what was done to earlier ones.
fn one_by_one<K: CalibrationKernels>(
    decoder: &Decoder<K>,
    original: LayerWeights,
    planned: &[Planned],
    streams: &Streams<K>,
    storage: Storage,
) -> Result<CompressedLayer, RunError> {
    let sequential = planned
        .iter()
        .any(|planned| planned.treatment.as_ref().is_some_and(|treatment| treatment.is_sequential()));
    let inputs_of = |input: ModuleInput| {
        let treatments = ORDER[input as usize].iter().filter_map(|index| planned[*index].treatment.as_ref());
        treatments
            .map(|treatment| treatment.inputs())
            .filter(|inputs| *inputs != Inputs::None)
            .max_by_key(|inputs| *inputs == Inputs::Both)
    };
    let stages: Vec<Vec<ModuleInput>> = if sequential {
        ModuleInput::ALL.map(|input| vec![input]).to_vec()
    } else {
        vec![ModuleInput::ALL.to_vec()]
    };
    let mut weights = original.clone();
    let mut outcomes: [Option<CompressedMatrix>; 7] = [const { None }; 7];
    let mut packed: PackedLayer = [const { None }; 7];
    for stage in stages {
        let asking: Vec<ModuleInput> = stage.iter().copied().filter(|input| inputs_of(*input).is_some()).collect();
        let both = asking.iter().any(|input| inputs_of(*input) == Some(Inputs::Both));
        let mut known = if asking.is_empty() {
            Vec::new()
        } else {
            let other = both.then_some((&original, streams.original.as_slice()));
            statistics(decoder, &weights, &streams.compressed, &asking, other)?
        }
        .into_iter();
        for input in stage {
            // CalibrationStats lives no longer than the matrices that read this input: its factors are as large as itself.
            let mut evidence = if asking.contains(&input) {
                known.next().map(CalibrationStats::new)
            } else {
                None
            };
            let mut nth = 0;
            for index in ORDER[input as usize].iter().copied() {
                let Some(treatment) = &planned[index].treatment else { continue };
                let weight = &mut weights.projections[index].weight;
                let component = planned[index].component.to_string();
                let treated = treatment.apply(weight, evidence.as_mut(), nth).map_err(|source| RunError::Compress {
                    component: component.clone(),
                    source,
                })?;
                let (mut stored, arrays) = storage.stored(&component, weight, treated, treatment, evidence.as_ref())?;
                std::mem::swap(weight, &mut stored.weight);
                (outcomes[index], packed[index]) = (Some(stored), arrays);
                nth += 1;
            }
        }
    }
    let mut reports = Vec::new();
    for ((planned, outcome), projection) in planned.iter().zip(&outcomes).zip(&mut weights.projections) {
        reports.push(match outcome {
            Some(treated) => ComponentReport::of(planned, treated),
            None => untouched(planned, &mut projection.weight, storage)?,
        });
    }
    Ok(CompressedLayer { weights, packed, reports })
}

/// A matrix that was left as it is, and is stored all the same.
fn untouched(planned: &Planned, weight: &mut Matrix, storage: Storage) -> Result<ComponentReport, RunError> {
    let (values, _) = storage.keep(&planned.component.to_string(), weight, None)?;
    let report = ComponentReport::untouched(planned, weight, &values);
    weight.values = values;
    Ok(report)
}
