//! The divergence that a format really causes, beside the predicted one: every component in that format at once, on the windows of
//! the sketch, position by position, so that it can be said for each behaviour too.
//!
//! Embedding, norms and head stay the original's: what is measured is what the sketch predicts.

use cruxscope_interpret::InterpretError;
use cruxscope_model::block;
use cruxscope_model::decoder::{Decoder, Layer};
use cruxscope_model::head;
use cruxscope_model::kernels::Kernels;
use cruxscope_model::kernels::calibration::CalibrationKernels;
use cruxscope_model::rotation::Rotation;
use cruxscope_study::{MeasuredDivergence, folder};
use serde::{Deserialize, Serialize};

use super::PlannedSensitivity;
use crate::distribution::Distribution;
use crate::guard::catch_panic;
use crate::{Event, Observer, RunError};

/// Rows whose logits exist at the same time, for the model and for a format in turn.
const ROWS: usize = 256;

/// What an earlier run measured of a format.
#[derive(Serialize, Deserialize)]
struct Kept {
    key: String,
    measured: Vec<MeasuredDivergence>,
}

impl PlannedSensitivity {
    /// Measures what is asked for: every format, or candidates only. One list a format, empty where it was not measured.
    pub(super) fn measured<K: CalibrationKernels>(&self, kernels: K, observer: &mut dyn Observer) -> Result<Vec<Vec<MeasuredDivergence>>, RunError> {
        let formats = self.menu.formats();
        let mut measured: Vec<Vec<MeasuredDivergence>> = vec![Vec::new(); formats];
        let mut todo = Vec::new();
        for format in (0..formats).filter(|format| self.settings.measure || self.menu.is_candidate(*format)) {
            match self.kept(format) {
                Some(known) => measured[format] = known,
                None => todo.push(format),
            }
        }
        if todo.is_empty() {
            return Ok(measured);
        }
        let decoder = Decoder::new(self.checkpoint.clone(), kernels, self.plan.weights)?;
        self.menu.calibrate(&decoder, &self.checkpoint, &self.changes_folder()?, observer)?;
        let preparing = |observer: &mut dyn Observer, share: f64| {
            observer.event(Event::Preparing {
                what: "measured divergence".into(),
                share,
            });
            if observer.stop() { Err(InterpretError::Cancelled) } else { Ok(()) }
        };
        preparing(observer, 0.0)?;
        let own = catch_panic("the model itself", || self.final_hidden(&decoder, None))?;
        for (place, format) in todo.iter().enumerate() {
            preparing(observer, place as f64 / todo.len() as f64)?;
            let found = catch_panic("a format", || {
                let other = self.final_hidden(&decoder, Some(*format))?;
                self.divergence(&decoder, &own, &other)
            })?;
            let kept = Kept {
                key: self.measured_key(*format),
                measured: found,
            };
            let text = serde_json::to_vec(&kept).map_err(|error| RunError::Recipe { why: error.to_string() })?;
            folder::write_atomically(&self.measured_file(*format), &text)?;
            measured[*format] = kept.measured;
        }
        Ok(measured)
    }

    /// Final hidden states of every window, with every component in a format, or in none.
    fn final_hidden<K: Kernels>(&self, decoder: &Decoder<K>, format: Option<usize>) -> Result<Vec<K::Matrix>, RunError> {
        let mut hidden = self.windows.iter().map(|window| decoder.embed(&window.ids)).collect::<Result<Vec<_>, _>>()?;
        let rotations: Vec<Rotation<K>> = self
            .windows
            .iter()
            .map(|window| decoder.rotation(&(0..window.ids.len()).collect::<Vec<_>>()))
            .collect();
        let through = |layer: &Layer<K>, hidden: &mut [K::Matrix]| -> Result<(), RunError> {
            for (hidden, rotation) in hidden.iter_mut().zip(&rotations) {
                *hidden = block::forward(decoder.kernels(), &decoder.shape(), layer, hidden, rotation, |_, _, _| Ok(()))?.0;
            }
            Ok(())
        };
        for index in 0..decoder.config().layers {
            match format {
                None => through(&*decoder.layer(index)?, &mut hidden)?,
                Some(format) => {
                    let mut weights = self.checkpoint.layer(index)?;
                    let changes = self.menu.change(&self.checkpoint, index, &self.changes_folder()?, format)?;
                    for (projection, change) in weights.projections.iter_mut().zip(changes) {
                        let Some(change) = change else { continue };
                        projection
                            .weight
                            .values
                            .iter_mut()
                            .zip(change.values)
                            .for_each(|(value, change)| *value += change);
                    }
                    through(&decoder.bring(weights), &mut hidden)?;
                }
            }
        }
        Ok(hidden)
    }

    /// The mean divergence for each scope.
    fn divergence<K: Kernels>(&self, decoder: &Decoder<K>, own: &[K::Matrix], other: &[K::Matrix]) -> Result<Vec<MeasuredDivergence>, RunError> {
        let kernels = decoder.kernels();
        let mut sums = vec![(0.0, 0usize); self.scopes.len()];
        for ((window, own), other) in self.windows.iter().zip(own).zip(other) {
            let tokens = window.ids.len();
            let mut rows = Vec::with_capacity(tokens);
            for first in (0..tokens).step_by(ROWS) {
                let count = ROWS.min(tokens - first);
                let of = |hidden: &K::Matrix| -> Result<Distribution, RunError> {
                    let logits = head::logits(decoder, &kernels.slice(hidden, first, count))?;
                    // Any token serves to find the distribution: the divergence is over all of them.
                    Distribution::of(kernels, logits, &vec![0; count])
                };
                rows.extend(of(own)?.divergences(&of(other)?));
            }
            for ((sum, count), (_, own)) in sums.iter_mut().zip(&window.scopes) {
                *sum += own.iter().map(|row| rows[*row]).sum::<f64>();
                *count += own.len();
            }
        }
        let of_scope = |(scope, (sum, positions)): (&cruxscope_study::Scope, (f64, usize))| MeasuredDivergence {
            scope: *scope,
            kl: sum / positions.max(1) as f64,
            positions,
        };
        Ok(self.scopes.iter().zip(sums).map(of_scope).collect())
    }

    fn measured_file(&self, format: usize) -> std::path::PathBuf {
        self.parts().join(format!("measured-{format}.json"))
    }

    fn measured_key(&self, format: usize) -> String {
        format!("{} {format}", self.run_key())
    }

    fn kept(&self, format: usize) -> Option<Vec<MeasuredDivergence>> {
        let kept: Kept = serde_json::from_slice(&std::fs::read(self.measured_file(format)).ok()?).ok()?;
        (kept.key == self.measured_key(format)).then_some(kept.measured)
    }
}
