//! A batch of texts through both models: layers are read once for all texts, and logits of both exist for one tile of rows at a time.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use cruxscope_checkpoint::Checkpoint;
use cruxscope_interpret::InterpretError;
use cruxscope_interpret::activations::{ActivationCache, ActivationStorage};
use cruxscope_model::block::{self, KeysValues};
use cruxscope_model::decoder::Decoder;
use cruxscope_model::head;
use cruxscope_model::kernels::Kernels;
use cruxscope_model::rotation::Rotation;
use cruxscope_study::Positions;

use super::Seconds;
use super::part::TextPart;
use super::text::Text;
use crate::RunError;
use crate::distribution::Distribution;

/// Rows whose logits exist at the same time, for each model.
pub(super) const ROWS: usize = 256;

/// Told how many steps were made; says whether to go on.
pub(super) type Watch<'a> = dyn FnMut(f64) -> bool + 'a;

/// Two models that read.
pub(super) struct Reader<'a, K: Kernels> {
    pub decoders: &'a [Decoder<K>; 2],
    pub checkpoints: &'a [Arc<Checkpoint>; 2],
    pub causes: &'a [Positions],
    pub storage: ActivationStorage,
    pub folder: &'a Path,
}

/// A text behind some layers of a model.
pub(super) struct Carried<K: Kernels> {
    pub hidden: K::Matrix,
    pub rotation: Rotation<K>,
    /// Block inputs, keys and values of every layer, where there is a way back.
    pub kept: Option<ActivationCache<K>>,
}

impl<K: Kernels> Reader<'_, K> {
    /// Steps of a text: layers by tokens, both models and the way back.
    pub fn steps(&self, text: &Text) -> f64 {
        let layers = |side: usize| self.decoders[side].config().layers;
        let back = if self.causes.is_empty() { 0 } else { (2 + self.causes.len()) * layers(1) };
        (text.ids.len() * (layers(0) + layers(1) + back)) as f64
    }

    /// Reads a batch; what it took is added to `seconds`.
    pub fn read(&self, batch: &[&Text], seconds: &mut Seconds, watch: &mut Watch<'_>) -> Result<Vec<TextPart>, RunError> {
        let mut began = Instant::now();
        let a = self.carried(0, batch, false, watch)?;
        let mut b = self.carried(1, batch, !self.causes.is_empty(), watch)?;
        seconds.forward += began.elapsed().as_secs_f64();
        let mut parts = Vec::new();
        let mut gradients = Vec::new();
        for ((text, a), b) in batch.iter().zip(a).zip(&b) {
            let (part, gradient) = self.compared(text, &a.hidden, &b.hidden, seconds)?;
            parts.push(part);
            gradients.push(gradient);
        }
        began = Instant::now();
        if !self.causes.is_empty() {
            self.causes_of(batch, &mut b, gradients, &mut parts, watch)?;
        }
        seconds.causes += began.elapsed().as_secs_f64();
        Ok(parts)
    }

    fn carried(&self, side: usize, batch: &[&Text], keep: bool, watch: &mut Watch<'_>) -> Result<Vec<Carried<K>>, RunError> {
        let decoder = &self.decoders[side];
        let kernels = decoder.kernels();
        let mut carried = Vec::new();
        for text in batch {
            carried.push(Carried {
                hidden: decoder.embed(&text.ids)?,
                rotation: decoder.rotation(&(0..text.ids.len()).collect::<Vec<_>>()),
                kept: if keep { Some(ActivationCache::new(self.storage, self.folder)?) } else { None },
            });
        }
        for index in 0..decoder.config().layers {
            let layer = decoder.layer(index)?;
            for (text, carried) in batch.iter().zip(&mut carried) {
                let (next, KeysValues { keys, values }) =
                    block::forward(kernels, &decoder.shape(), &*layer, &carried.hidden, &carried.rotation, |_, _, _| Ok(()))?;
                let input = std::mem::replace(&mut carried.hidden, next);
                if let Some(kept) = &mut carried.kept {
                    for matrix in [input, keys, values] {
                        kept.push(kernels, matrix)?;
                    }
                }
                if !watch(text.ids.len() as f64) {
                    return Err(InterpretError::Cancelled.into());
                }
            }
        }
        Ok(carried)
    }

    /// Both distributions of every prediction of a text; where there is a way back, also the gradient of the divergence at B's final
    /// hidden states, `[tokens, hidden]`, zero in the last row.
    fn compared(&self, text: &Text, a: &K::Matrix, b: &K::Matrix, seconds: &mut Seconds) -> Result<(TextPart, Option<K::Matrix>), RunError> {
        let mut part = TextPart::default();
        let mut gradients = Vec::new();
        let kernels = self.decoders[1].kernels();
        for first in (0..text.predictions()).step_by(ROWS) {
            let count = ROWS.min(text.predictions() - first);
            let targets = &text.ids[first + 1..first + 1 + count];
            let mut began = Instant::now();
            let logits = |decoder: &Decoder<K>, hidden: &K::Matrix| head::logits(decoder, &decoder.kernels().slice(hidden, first, count));
            let (own, other) = (logits(&self.decoders[0], a)?, logits(&self.decoders[1], b)?);
            seconds.forward += began.elapsed().as_secs_f64();
            began = Instant::now();
            let (own, other) = (Distribution::of(kernels, own, targets)?, Distribution::of(kernels, other, targets)?);
            let choices = own.choices();
            part.kl.extend(own.divergences(&other).into_iter().map(|kl| kl as f32));
            part.rank.extend(other.ranks(&choices));
            part.choices[0].extend(choices);
            part.choices[1].extend(other.choices());
            for (losses, distribution) in part.losses.iter_mut().zip([&own, &other]) {
                losses.extend(distribution.losses().iter().map(|loss| *loss as f32));
            }
            seconds.comparing += began.elapsed().as_secs_f64();
            if !self.causes.is_empty() {
                began = Instant::now();
                let at_logits = own.gradient_at(&other);
                let x = kernels.slice(b, first, count);
                let cap = self.decoders[1].config().ends.logit_cap;
                let outputs = cap.map(|_| head::head_outputs(&self.decoders[1], &x)).transpose()?;
                let mut at_norm = None;
                for (place, (gradient, weight)) in at_logits.into_iter().zip(self.decoders[1].head()?.iter()).enumerate() {
                    let width = gradient.len() / count;
                    let mut gradient = kernels.upload(count, width, gradient);
                    if let (Some(cap), Some(outputs)) = (cap, &outputs) {
                        gradient = kernels.capped_backward(&outputs[place], cap, gradient);
                    }
                    at_norm = Some(kernels.linear_backward(&gradient, weight, at_norm));
                }
                if let Some(at_norm) = at_norm {
                    gradients.push(head::head_input_backward(&self.decoders[1], &x, &at_norm));
                }
                seconds.causes += began.elapsed().as_secs_f64();
            }
        }
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        if !finite(&part.kl) || !part.losses.iter().all(|losses| finite(losses)) {
            return Err(InterpretError::NotFinite { id: text.id.clone() }.into());
        }
        if gradients.is_empty() {
            return Ok((part, None));
        }
        let hidden = self.decoders[1].config().hidden;
        gradients.push(kernels.upload(1, hidden, vec![0.0; hidden]));
        Ok((part, Some(kernels.stack(gradients))))
    }
}
