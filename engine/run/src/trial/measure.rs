//! Divergence and loss of several recipes at once: layers are read once for all of them, and the model's own distributions are
//! computed once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use cruxscope_checkpoint::LayerWeights;
use cruxscope_model::decoder::{Decoder, Residence};
use cruxscope_model::head;
use cruxscope_model::kernels::Kernels;
use cruxscope_model::kernels::calibration::CalibrationKernels;
use cruxscope_sensitivity::candidate::same_model;
use cruxscope_sensitivity::outputs::{MapChanges, modules_of};
use cruxscope_study::{Module, WindowLoss};

use super::{OpenTrial, Subject};
use crate::distribution::Distribution;
use crate::sensitivity::through;
use crate::{RunError, activations};

/// Rows whose logits exist at the same time.
const ROWS: usize = 256;
/// The share of the work that the layers are; the rest is the head.
const LAYERS: f64 = 0.7;

/// What was measured of a batch.
pub(super) struct MeasuredBatch {
    /// The model's own losses, window by window.
    pub original: Vec<WindowLoss>,
    /// Those of each subject.
    pub subjects: Vec<Vec<WindowLoss>>,
}

/// A subject on its way: final hidden states of every window, and the decoder whose head it uses where that is its own.
struct Carried<K: Kernels> {
    hidden: Vec<K::Matrix>,
    own: Option<Decoder<K>>,
}

impl OpenTrial {
    /// Measures a batch; nothing where the watch, which is told the share that is done, says stop.
    pub(super) fn measure<K: CalibrationKernels + Clone>(
        &self,
        decoder: &Decoder<K>,
        subjects: &[&Subject],
        folder: &Path,
        watch: &mut dyn FnMut(f64) -> bool,
    ) -> Result<Option<MeasuredBatch>, RunError> {
        let layers = decoder.config().layers;
        let mut original = self.windows.iter().map(|window| decoder.embed(window)).collect::<Result<Vec<_>, _>>()?;
        let mut carried = Vec::new();
        for subject in subjects {
            carried.push(match subject {
                Subject::Recipe(_) => Carried {
                    hidden: original.clone(),
                    own: None,
                },
                Subject::Checkpoint(path) => {
                    let other = activations::open_any(path, self.settings.simulate_activations)?;
                    same_model(&other.name(), self.checkpoint.config(), other.config())?;
                    let own = Decoder::new(Arc::new(other), decoder.kernels().clone(), Residence::Streamed)?;
                    Carried {
                        hidden: self.windows.iter().map(|window| own.embed(window)).collect::<Result<Vec<_>, _>>()?,
                        own: Some(own),
                    }
                }
            });
        }
        for index in 0..layers {
            if !watch(LAYERS * index as f64 / layers as f64) {
                return Ok(None);
            }
            let weights = self.checkpoint.layer(index)?;
            let mut changes: BTreeMap<usize, MapChanges> = BTreeMap::new();
            for (subject, carried) in subjects.iter().zip(&mut carried) {
                let layer = match (subject, &carried.own) {
                    (Subject::Recipe(choice), _) => {
                        let formats = &choice[index * 7..][..7];
                        for format in formats.iter().flatten() {
                            if !changes.contains_key(format) {
                                changes.insert(*format, self.menu.change(&self.checkpoint, index, folder, *format)?);
                            }
                        }
                        Arc::new(decoder.bring(changed(&weights, formats, &modules_of(decoder.config(), index), &changes)))
                    }
                    (Subject::Checkpoint(_), Some(own)) => own.layer(index)?,
                    (Subject::Checkpoint(_), None) => continue,
                };
                carried.hidden = through(decoder, &layer, &carried.hidden)?;
            }
            original = through(decoder, &decoder.bring(weights), &original)?;
            self.checkpoint.release();
        }
        let mut found = MeasuredBatch {
            original: Vec::new(),
            subjects: vec![Vec::new(); subjects.len()],
        };
        for (place, window) in self.windows.iter().enumerate() {
            if !watch(LAYERS + (1.0 - LAYERS) * place as f64 / self.windows.len() as f64) {
                return Ok(None);
            }
            let rows = window.len().saturating_sub(1);
            let mut own = WindowLoss {
                predictions: rows,
                ..WindowLoss::default()
            };
            let mut others = vec![own; subjects.len()];
            for first in (0..rows).step_by(ROWS) {
                let count = ROWS.min(rows - first);
                let targets = &window[first + 1..first + 1 + count];
                let of = |decoder: &Decoder<K>, hidden: &K::Matrix| -> Result<Distribution, RunError> {
                    let logits = head::logits(decoder, &decoder.kernels().slice(hidden, first, count))?;
                    Distribution::of(decoder.kernels(), logits, targets)
                };
                let distribution = of(decoder, &original[place])?;
                own.loss += distribution.loss();
                for (carried, loss) in carried.iter().zip(&mut others) {
                    let other = of(carried.own.as_ref().unwrap_or(decoder), &carried.hidden[place])?;
                    loss.loss += other.loss();
                    loss.kl += distribution.divergences(&other).iter().sum::<f64>();
                }
            }
            found.original.push(own);
            for (losses, loss) in found.subjects.iter_mut().zip(others) {
                losses.push(loss);
            }
        }
        Ok(Some(found))
    }
}

/// A layer with some components changed, all linear maps of each.
fn changed(weights: &LayerWeights, formats: &[Option<usize>], modules: &[Option<Module>], changes: &BTreeMap<usize, MapChanges>) -> LayerWeights {
    let mut weights = weights.clone();
    for ((projection, module), map) in weights.projections.iter_mut().zip(modules).zip(0..) {
        let change = module.and_then(|module| changes.get(&formats[module.index()]?)?.get(map)?.as_ref());
        if let Some(change) = change {
            let pairs = projection.weight.values.iter_mut().zip(&change.values);
            pairs.for_each(|(value, change)| *value += change);
        }
    }
    weights
}
