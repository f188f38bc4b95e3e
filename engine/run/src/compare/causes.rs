//! Which components of B's change cause the divergence at some positions: the way back through B.
//!
//! With K the sum of KL(p_A || p_B) over the positions, its gradient at B's logits is p_B - p_A there and zero elsewhere. Taken back
//! through B's layers it is g at the output of component c, and `share_c = <g, D_c x> / 2` summed over rows, where x is the component's
//! input in B and D_c what B changes in its weight ([`cruxscope_study::Cause`] says why a half).

use cruxscope_interpret::InterpretError;
use cruxscope_interpret::layer_activations::LayerActivations;
use cruxscope_interpret::packed::Packed;
use cruxscope_model::ModelError;
use cruxscope_model::block::KeysValues;
use cruxscope_model::kernels::{Kernels, SequenceSpan};
use cruxscope_model::module::TokenRows;
use cruxscope_sensitivity::candidate::changes_of;
use cruxscope_sensitivity::outputs::OnDevice;
use cruxscope_study::{ComparedText, Component, Divergence, Module, Positions};

use super::measure::{Carried, Reader, Watch};
use super::part::TextPart;
use super::text::Text;
use crate::RunError;

/// A gradient on its way down, for one set of positions; none where the text holds no such position.
struct Descending<K: Kernels> {
    gradients: Vec<Option<K::Matrix>>,
    packed: Packed,
}

impl<K: Kernels> Reader<'_, K> {
    /// Adds to each part what every component adds at each set of positions.
    pub(super) fn causes_of(
        &self,
        batch: &[&Text],
        carried: &mut [Carried<K>],
        gradients: Vec<Option<K::Matrix>>,
        parts: &mut [TextPart],
        watch: &mut Watch<'_>,
    ) -> Result<(), RunError> {
        let decoder = &self.decoders[1];
        let (kernels, layers) = (decoder.kernels(), decoder.config().layers);
        let mut descending = Vec::new();
        for ((text, gradient), part) in batch.iter().zip(gradients).zip(parts.iter_mut()) {
            part.shares = vec![vec![0.0; layers * Module::ALL.len()]; self.causes.len()];
            descending.push(self.begin(text, gradient, part)?);
        }
        for index in (0..layers).rev() {
            let layer = decoder.layer(index)?;
            let [a, b] = self.checkpoints;
            let changes = changes_of(&b.name(), &b.config().modules(index), index, (&a.layer(index)?, &b.layer(index)?))?;
            [a, b].iter().for_each(|checkpoint| checkpoint.release());
            let changes = OnDevice::bring(kernels, decoder.config(), index, vec![changes]);
            for (((text, carried), descending), part) in batch.iter().zip(carried.iter_mut()).zip(&mut descending).zip(parts.iter_mut()) {
                let Some(kept) = &mut carried.kept else { continue };
                let (Some(values), Some(keys), Some(input)) = (kept.pop(kernels)?, kept.pop(kernels)?, kept.pop(kernels)?) else {
                    continue;
                };
                let cache = KeysValues { keys, values };
                let activations = LayerActivations::of(decoder, &layer, input, &cache, &carried.rotation, &descending.packed, None)?;
                let outputs = changes.outputs(decoder, &layer, &activations, &carried.rotation, &mut |_, _, _| ())?;
                for (gradient, shares) in descending.gradients.iter_mut().zip(&mut part.shares) {
                    let Some(at_output) = gradient.take() else { continue };
                    let observe = |map: usize, _: TokenRows<'_>, gradient: &K::Matrix| {
                        if let Some(module) = changes.module(map) {
                            for (_, output) in &outputs[map] {
                                let products = kernels.row_products(gradient, output)?;
                                shares[Component::new(index, module).index()] += products.sums.iter().sum::<f64>() / 2.0;
                            }
                        }
                        Ok::<_, ModelError>(())
                    };
                    *gradient = Some(activations.backward(decoder, &layer, &cache, &carried.rotation, &descending.packed, at_output, observe)?);
                }
                if !watch((text.ids.len() * (2 + self.causes.len())) as f64) {
                    return Err(InterpretError::Cancelled.into());
                }
            }
        }
        for (text, part) in batch.iter().zip(parts) {
            if part.shares.iter().flatten().any(|value| !value.is_finite()) {
                return Err(InterpretError::NotFinite { id: text.id.clone() }.into());
            }
        }
        Ok(())
    }

    /// The gradient of each set of positions: that of all, without the rows that do not count.
    fn begin(&self, text: &Text, gradient: Option<K::Matrix>, part: &TextPart) -> Result<Descending<K>, RunError> {
        let kernels = self.decoders[1].kernels();
        let (tokens, hidden) = (text.ids.len(), self.decoders[1].config().hidden);
        let mut gradients = Vec::new();
        for positions in self.causes {
            let rows = rows_of(text, part, *positions);
            gradients.push(match &gradient {
                Some(gradient) if rows.len() == text.predictions() => Some(gradient.clone()),
                Some(gradient) if !rows.is_empty() => {
                    let all = kernels.download(gradient)?;
                    let mut values = vec![0.0; all.len()];
                    for row in rows {
                        let range = row * hidden..(row + 1) * hidden;
                        values[range.clone()].copy_from_slice(&all[range]);
                    }
                    Some(kernels.upload(tokens, hidden, values))
                }
                _ => None,
            });
        }
        Ok(Descending {
            gradients,
            packed: Packed {
                positions: (0..tokens).collect(),
                runs: vec![SequenceSpan { position: 0, rows: tokens }],
            },
        })
    }
}

/// The rows of a text that are among some positions: as the study says it.
fn rows_of(text: &Text, part: &TextPart, positions: Positions) -> Vec<usize> {
    let entry: ComparedText = text.entry();
    let alone = Divergence {
        behaviours: text.behaviours.clone(),
        rank: part.rank.clone(),
        ..Divergence::default()
    };
    (0..text.predictions()).filter(|row| alone.holds(positions, &entry, *row, *row)).collect()
}
