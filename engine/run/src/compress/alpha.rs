//! AlphaPruning's first half: the sparsity of every matrix, from the tails of all spectra.

use cruxscope_checkpoint::Checkpoint;
use cruxscope_checkpoint::writer::FolderWriter;
use cruxscope_compress::method::MethodConfig;
use cruxscope_compress::prune::alpha::{fit_tail, spectrum};
use cruxscope_compress::prune::{AlphaPruningSettings, pruning_ratios};
use cruxscope_interpret::InterpretError;
use rayon::prelude::*;

use super::plan::{Planned, of_layer};
use crate::{Event, Observer, RunError};

/// The note that keeps exponents for a run that goes on.
const NOTE: &str = "exponents";

/// Turns AlphaPruning into SparseGPT with a sparsity for each matrix that it is to treat.
pub fn resolve(checkpoint: &Checkpoint, writer: &FolderWriter<'_>, key: &str, planned: &mut [Planned], observer: &mut dyn Observer) -> Result<(), RunError> {
    let asked = |planned: &Planned| match &planned.treatment {
        Some(MethodConfig::AlphaPruning(settings)) => Some(*settings),
        _ => None,
    };
    let Some(settings) = planned.iter().find_map(asked) else { return Ok(()) };
    if let Some(other) = planned.iter().find(|planned| asked(planned).is_some_and(|found| found != settings)) {
        let why = format!(
            "{} is to be treated by AlphaPruning with other settings: its sparsities are those of one whole",
            other.component
        );
        return Err(RunError::Recipe { why });
    }
    let layers = checkpoint.config().layers;
    let kept = writer.note(NOTE).and_then(|note| serde_json::from_slice::<(String, Vec<Vec<f64>>)>(&note).ok());
    let exponents = match kept {
        Some((noted, exponents)) if noted == key && exponents.len() == layers => exponents,
        _ => {
            let mut exponents = Vec::new();
            for layer in 0..layers {
                if observer.stop() {
                    return Err(InterpretError::Cancelled.into());
                }
                observer.event(Event::Preparing {
                    what: "spectra of weights".into(),
                    share: layer as f64 / layers as f64,
                });
                let treated: Vec<&Planned> = of_layer(planned, layer).iter().filter(|planned| asked(planned).is_some()).collect();
                exponents.push(exponents_of(checkpoint, layer, &settings, &treated)?);
            }
            writer.write_note(NOTE, &super::to_json(&(key, &exponents))?)?;
            exponents
        }
    };
    let mut places = Vec::new();
    let (mut alphas, mut sizes) = (Vec::new(), Vec::new());
    for (layer, found) in exponents.iter().enumerate() {
        let is_treated = |index: &usize| planned[*index].component.layer.0 == layer && asked(&planned[*index]).is_some();
        let treated: Vec<usize> = (0..planned.len()).filter(is_treated).collect();
        if treated.is_empty() {
            continue;
        }
        alphas.push(found.clone());
        sizes.push(
            treated
                .iter()
                .map(|index| planned[*index].shape)
                .map(|(rows, columns)| rows * columns)
                .collect(),
        );
        places.push(treated);
    }
    let ratios = pruning_ratios(&alphas, &sizes, settings.sparsity, settings.epsilon, settings.mapping).map_err(|source| RunError::Compress {
        component: "the model".into(),
        source,
    })?;
    for (place, ratio) in places.into_iter().flatten().zip(ratios.into_iter().flatten()) {
        planned[place].treatment = Some(MethodConfig::SparseGpt(settings.at(ratio)));
    }
    Ok(())
}

/// The exponents of the treated matrices of a layer.
fn exponents_of(checkpoint: &Checkpoint, layer: usize, settings: &AlphaPruningSettings, treated: &[&Planned]) -> Result<Vec<f64>, RunError> {
    let weights = checkpoint.layer(layer)?;
    treated
        .into_par_iter()
        .map(|planned| {
            let weight = &weights.projections[planned.module].weight;
            let found = spectrum(&weight.values, weight.rows, weight.columns).and_then(|eigenvalues| fit_tail(&eigenvalues, settings.tail));
            found.map(|tail| tail.alpha).map_err(|source| RunError::Compress {
                component: planned.name(),
                source,
            })
        })
        .collect()
}
