//! The sketch by its definition, in float64: differences of h instead of gradients, and plain loops for what is summed.
//!
//! For tiny models only: every number is two runs of the whole model.

use cruxscope_checkpoint::Checkpoint;
use cruxscope_model::ModelError;
use cruxscope_model::block;
use cruxscope_model::decoder::Decoder;
use cruxscope_model::head;
use cruxscope_model::kernels::Kernels as _;
use cruxscope_model::kernels::reference::{Matrix64, ReferenceKernels};

use crate::SensitivityError;
use crate::sketch::LayerChanges;

/// Share of a change by which weights are moved either way; a power of two, so that moving is exact.
const STEP: f32 = 1.0 / 1024.0;

/// `s = d/de h(W + e D)` at e = 0 for one linear map of a layer, by a central difference: `[h(W + e D) - h(W - e D)] / 2 e`, whose error falls with
/// e^2. `counts` is one for positions that count in h and zero for others.
///
/// # Errors
/// When the model cannot be run.
pub fn sketch_by_differences(
    decoder: &Decoder<ReferenceKernels>,
    checkpoint: &Checkpoint,
    ids: &[u32],
    labels: &[u32],
    counts: &[f32],
    (layer, map): (usize, usize),
    changes: &LayerChanges,
    format: usize,
) -> Result<f64, SensitivityError> {
    let Some(change) = changes.get(format).and_then(|maps| maps.get(map)?.as_ref()) else {
        return Ok(0.0);
    };
    let kernels = decoder.kernels();
    let moved = |step: f32| -> Result<f64, SensitivityError> {
        let weights = checkpoint.layer(layer).map_err(ModelError::from)?;
        let mut own = decoder.bring(weights);
        let by = change.values.iter().map(|value| value * step).collect();
        let weight = std::mem::replace(&mut own.weights[map], kernels.upload(0, 0, Vec::new()));
        own.weights[map] = kernels.add(weight, &kernels.upload(change.rows, change.columns, by));
        let rotation = decoder.rotation(&(0..ids.len()).collect::<Vec<_>>());
        let mut hidden = decoder.embed(ids)?;
        for index in 0..decoder.config().layers {
            hidden = if index == layer {
                block::forward(decoder.kernels(), &decoder.shape(), &own, &hidden, &rotation, |_, _, _| Ok(()))?.0
            } else {
                block::forward(decoder.kernels(), &decoder.shape(), &*decoder.layer(index)?, &hidden, &rotation, |_, _, _| {
                    Ok(())
                })?
                .0
            };
        }
        let logits = head::logits(decoder, &hidden)?;
        let (losses, _) = kernels.cross_entropy(logits, labels, counts)?;
        Ok(-losses.iter().sum::<f64>())
    };
    Ok((moved(STEP)? - moved(-STEP)?) / (2.0 * f64::from(STEP)))
}

/// `sum over t of g_t . D x_t`, `sum over t of (g_t . D x_t)^2` and `sum over t and o of (g_to (D x_t)_o)^2`, by loops.
///
/// # Shapes
/// `gradients` `[rows][out]`, `change` `[out][in]`, `inputs` `[rows][in]`.
pub fn sums(gradients: &[Vec<f64>], change: &[Vec<f64>], inputs: &[Vec<f64>]) -> (f64, f64, f64) {
    let (mut total, mut squares, mut by_output) = (0.0, 0.0, 0.0);
    for (gradient, input) in gradients.iter().zip(inputs) {
        let mut product = 0.0;
        for (g, row) in gradient.iter().zip(change) {
            let mut output = 0.0;
            for (d, x) in row.iter().zip(input) {
                output += d * x;
            }
            product += g * output;
            by_output += (g * output) * (g * output);
        }
        total += product;
        squares += product * product;
    }
    (total, squares, by_output)
}

/// Mean over rows of `sum over v of p (log p - log q)`, by loops.
///
/// # Shapes
/// Logits `[rows, vocabulary]` of both models, the vocabulary in parts side by side.
pub fn mean_divergence(own: &[Matrix64], other: &[Matrix64], rows: usize) -> f64 {
    let row_of = |parts: &[Matrix64], row: usize| -> Vec<f64> {
        let mut logits = Vec::new();
        for part in parts {
            let width = part.values().len() / rows.max(1);
            logits.extend_from_slice(&part.values()[row * width..][..width]);
        }
        let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = logits.iter().map(|logit| (logit - largest).exp()).sum();
        logits.iter().map(|logit| logit - largest - total.ln()).collect()
    };
    let mut sum = 0.0;
    for row in 0..rows {
        for (p, q) in row_of(own, row).into_iter().zip(row_of(other, row)) {
            sum += p.exp() * (p - q);
        }
    }
    sum / rows.max(1) as f64
}

#[cfg(test)]
mod tests {
    use cruxscope_model::kernels::cpu::CpuKernels;
    use cruxscope_statistics::SplitMix;

    use super::*;

    #[test]
    fn products_of_rows_add_up_to_what_loops_give() {
        let (rows, inputs, outputs) = (7, 33, 70);
        let mut random = SplitMix::new(2);
        let mut matrix = |rows: usize, columns: usize| -> Vec<Vec<f64>> {
            let row = |_| (0..columns).map(|_| f64::from(random.share() as f32) - 0.5).collect();
            (0..rows).map(row).collect()
        };
        let (gradients, change, x) = (matrix(rows, outputs), matrix(outputs, inputs), matrix(rows, inputs));
        let flat = |matrix: &[Vec<f64>]| matrix.iter().flatten().map(|value| *value as f32).collect::<Vec<f32>>();
        let wanted = sums(&gradients, &change, &x);
        let k = CpuKernels;
        let output = k.linear(&k.upload(rows, inputs, flat(&x)), &k.upload(outputs, inputs, flat(&change)), None, None);
        let found = k.row_products(&k.upload(rows, outputs, flat(&gradients)), &output).unwrap();
        let total = |values: &[f64]| values.iter().sum::<f64>();
        let squares: f64 = found.sums.iter().map(|sum| sum * sum).sum();
        for (found, wanted) in [(total(&found.sums), wanted.0), (squares, wanted.1), (total(&found.squares), wanted.2)] {
            println!("{found} by kernels, {wanted} by loops");
            assert!((found - wanted).abs() < 1e-5 * wanted.abs().max(1.0));
        }
    }
}
