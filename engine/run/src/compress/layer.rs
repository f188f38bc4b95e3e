//! One layer of a checkpoint: its treatment, and what is said of it.

use cruxscope_checkpoint::writer::PackedLayer;
use cruxscope_checkpoint::{LayerWeights, Matrix};
use cruxscope_compress::awq::AwqSettings;
use cruxscope_compress::evidence::CalibrationStats;
use cruxscope_compress::method::{CompressedMatrix, Inputs, MethodConfig};
use cruxscope_model::decoder::Decoder;
use cruxscope_model::kernels::calibration::CalibrationKernels;
use cruxscope_model::module::ModuleInput;

use super::compressed_layer::CompressedLayer;
use super::plan::{PLACES, Planned, by_input};
use super::report::ComponentReport;
use super::statistics::{Streams, statistics};
use super::storage::Storage;
use super::{Basis, awq};
use crate::RunError;

/// Treats a layer, from the calibration text's hidden states at its input. Its weights are those that will be read back.
pub fn treat<K: CalibrationKernels>(
    decoder: &Decoder<K>,
    original: LayerWeights,
    planned: &[Planned],
    streams: &Streams<K>,
    basis: Basis,
    storage: Storage,
) -> Result<CompressedLayer, RunError> {
    if awq::is_by_groups(decoder.config()) {
        awq::check(planned, decoder.config(), basis)?;
        let mut rest = planned.to_vec();
        for planned in &mut rest {
            if matches!(planned.treatment, Some(MethodConfig::Awq(_))) {
                planned.treatment = None;
            }
        }
        let mut layer = one_by_one(decoder, original.clone(), &rest, streams, storage)?;
        awq::by_groups(decoder, &original, planned, &streams.original, storage, &mut layer)?;
        return Ok(layer);
    }
    if basis == Basis::Original && is_mixed(planned) {
        return mixed(decoder, &original, planned, streams, storage);
    }
    match awq::settings_of(planned)? {
        Some(settings) => awq::layer(decoder, &original, &settings, planned, &streams.original, basis, storage),
        None => one_by_one(decoder, original, planned, streams, storage),
    }
}

/// Whether a layer has AWQ beside other methods, or under several settings.
fn is_mixed(planned: &[Planned]) -> bool {
    let mut treatments = planned.iter().filter_map(|planned| planned.treatment.as_ref());
    let Some(first) = treatments.next() else { return false };
    let is_awq = |treatment: &MethodConfig| matches!(treatment, MethodConfig::Awq(_));
    let (mut has_awq, mut differs) = (is_awq(first), false);
    for treatment in treatments {
        has_awq |= is_awq(treatment);
        differs |= treatment != first;
    }
    has_awq && differs
}

/// A layer in which some matrices are treated by AWQ and others differently, as recipes ask for that chose matrix by matrix.
///
/// With the scales folded back every matrix stands in the original basis, `W' = Q(W s) / s`, and depends on no other. So each AWQ of
/// the layer is run over all of it, as it would be alone, and gives the matrices that asked for it; the rest are treated one by one.
fn mixed<K: CalibrationKernels>(
    decoder: &Decoder<K>,
    original: &LayerWeights,
    planned: &[Planned],
    streams: &Streams<K>,
    storage: Storage,
) -> Result<CompressedLayer, RunError> {
    let mut settings: Vec<AwqSettings> = Vec::new();
    let mut rest = planned.to_vec();
    for planned in &mut rest {
        if let Some(MethodConfig::Awq(own)) = planned.treatment {
            planned.treatment = None;
            if !settings.contains(&own) {
                settings.push(own);
            }
        }
    }
    let mut layer = one_by_one(decoder, original.clone(), &rest, streams, storage)?;
    for settings in settings {
        let treatment = MethodConfig::Awq(settings);
        let mut all = planned.to_vec();
        for planned in &mut all {
            (planned.treatment, planned.method) = (Some(treatment.clone()), Some(treatment.name()));
        }
        let mut by_awq = awq::layer(decoder, original, &settings, &all, &streams.original, Basis::Original, storage)?;
        for (index, projection) in by_awq.weights.projections.into_iter().enumerate() {
            if planned[index].treatment.as_ref() != Some(&treatment) {
                continue;
            }
            layer.weights.projections[index] = projection;
            layer.packed[index] = by_awq.packed[index].take();
            let component = &layer.reports[index].component;
            if let Some(report) = by_awq.reports.iter().find(|report| report.component == *component) {
                layer.reports[index] = report.clone();
            }
        }
    }
    Ok(layer)
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
    let groups = by_input(planned);
    let inputs_of = |members: &[usize]| {
        let treatments = members.iter().filter_map(|index| planned[*index].treatment.as_ref());
        treatments
            .map(|treatment| treatment.inputs())
            .filter(|inputs| *inputs != Inputs::None)
            .max_by_key(|inputs| *inputs == Inputs::Both)
    };
    let is_routed = |group: &&(ModuleInput, Vec<usize>)| planned[group.1[0]].is_routed();
    let together: Vec<&(ModuleInput, Vec<usize>)> = groups.iter().filter(|group| !is_routed(group)).collect();
    let routed: Vec<&(ModuleInput, Vec<usize>)> = groups.iter().filter(is_routed).collect();
    // Of experts some at a time: every one has Hessians of its own.
    let stages = if sequential {
        together.chunks(1)
    } else {
        together.chunks(together.len().max(1))
    }
    .chain(routed.chunks(2 * PLACES));
    // The layer as it was is asked for only where both models' inputs are compared.
    let is_compared = |planned: &Planned| planned.treatment.as_ref().is_some_and(|treatment| treatment.inputs() == Inputs::Both);
    let compared = planned.iter().any(is_compared).then(|| original.clone());
    let mut weights = original;
    let count = weights.projections.len();
    let mut outcomes: Vec<Option<CompressedMatrix>> = (0..count).map(|_| None).collect();
    let mut packed: PackedLayer = vec![None; count];
    let mut reached: Vec<Option<usize>> = vec![None; count];
    for stage in stages {
        let asking: Vec<ModuleInput> = stage
            .iter()
            .filter(|(_, members)| inputs_of(members).is_some())
            .map(|(input, _)| *input)
            .collect();
        let both = stage.iter().any(|(_, members)| inputs_of(members) == Some(Inputs::Both));
        let mut known = if asking.is_empty() {
            Vec::new()
        } else {
            let other = compared.as_ref().filter(|_| both).map(|original| (original, streams.original.as_slice()));
            statistics(decoder, &weights, &streams.compressed, &asking, other)?
        }
        .into_iter();
        for (input, members) in stage {
            // CalibrationStats lives no longer than the matrices that read this input: its factors are as large as itself.
            let of_input = if asking.contains(input) { known.next() } else { None };
            let tokens = of_input.as_ref().and_then(|known| known.routed);
            let mut evidence = of_input.map(|known| CalibrationStats::new(known.statistics));
            let mut nth = 0;
            for index in members.iter().copied() {
                let (planned, module) = (&planned[index], planned[index].module);
                let Some(treatment) = &planned.treatment else { continue };
                let weight = &mut weights.projections[module].weight;
                let component = planned.name();
                let treated = treatment.apply(weight, evidence.as_mut(), nth).map_err(|source| RunError::Compress {
                    component: component.clone(),
                    source,
                })?;
                let (mut stored, arrays) = storage.stored(&component, weight, treated, treatment, evidence.as_ref())?;
                std::mem::swap(weight, &mut stored.weight);
                (outcomes[module], packed[module], reached[module]) = (Some(stored), arrays, tokens);
                nth += 1;
            }
        }
    }
    let mut reports = Vec::new();
    for planned in planned {
        let module = planned.module;
        reports.push(match &outcomes[module] {
            Some(treated) => ComponentReport {
                routed_tokens: reached[module],
                ..ComponentReport::of(planned, treated)
            },
            None => untouched(planned, &mut weights.projections[module].weight, storage)?,
        });
    }
    // What only decides where tokens go is stored as it is.
    for (module, projection) in weights.projections.iter_mut().enumerate() {
        if !planned.iter().any(|planned| planned.module == module) {
            projection.weight.values = storage.keep("a router", &projection.weight, None)?.0;
        }
    }
    Ok(CompressedLayer { weights, packed, reports })
}

/// A matrix that was left as it is, and is stored all the same.
fn untouched(planned: &Planned, weight: &mut Matrix, storage: Storage) -> Result<ComponentReport, RunError> {
    if storage.is_exact() {
        storage.stored_as.check(&planned.name(), &weight.values)?;
        return Ok(ComponentReport::untouched(planned, weight, &weight.values));
    }
    let (values, _) = storage.keep(&planned.name(), weight, None)?;
    let report = ComponentReport::untouched(planned, weight, &values);
    weight.values = values;
    Ok(report)
}
