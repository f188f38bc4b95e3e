//! AlphaPruning's first half: the sparsity of every matrix, from the tails of all spectra.

use cruxscope_checkpoint::Checkpoint;
use cruxscope_checkpoint::writer::FolderWriter;
use cruxscope_compress::method::MethodConfig;
use cruxscope_compress::prune::alpha::{fit_tail, spectrum};
use cruxscope_compress::prune::{AlphaPruningSettings, pruning_ratios};
use cruxscope_interpret::InterpretError;
use cruxscope_study::Module;
use rayon::prelude::*;

use super::plan::Planned;
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
                exponents.push(of_layer(checkpoint, layer, &settings, |index| {
                    asked(&planned[layer * Module::ALL.len() + index]).is_some()
                })?);
            }
            writer.write_note(NOTE, &super::to_json(&(key, &exponents))?)?;
            exponents
        }
    };
    let mut places = Vec::new();
    let (mut alphas, mut sizes) = (Vec::new(), Vec::new());
    for (layer, found) in exponents.iter().enumerate() {
        let treated: Vec<usize> = (0..Module::ALL.len())
            .filter(|index| asked(&planned[layer * Module::ALL.len() + index]).is_some())
            .collect();
        if treated.is_empty() {
            continue;
        }
        alphas.push(found.clone());
        sizes.push(
            treated
                .iter()
                .map(|index| checkpoint.config().dimensions(*index))
                .map(|(rows, columns)| rows * columns)
                .collect(),
        );
        places.push(treated.into_iter().map(|index| layer * Module::ALL.len() + index).collect::<Vec<_>>());
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
fn of_layer(checkpoint: &Checkpoint, layer: usize, settings: &AlphaPruningSettings, treated: impl Fn(usize) -> bool) -> Result<Vec<f64>, RunError> {
    let weights = checkpoint.layer(layer)?;
    let indices: Vec<usize> = (0..Module::ALL.len()).filter(|index| treated(*index)).collect();
    indices
        .into_par_iter()
        .map(|index| {
            let weight = &weights.projections[index].weight;
            let found = spectrum(&weight.values, weight.rows, weight.columns).and_then(|eigenvalues| fit_tail(&eigenvalues, settings.tail));
            found.map(|tail| tail.alpha).map_err(|source| RunError::Compress {
                component: cruxscope_study::Component::new(layer, Module::ALL[index]).to_string(),
                source,
            })
        })
        .collect()
}
