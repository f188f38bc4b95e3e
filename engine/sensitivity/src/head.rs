//! The head of the pass: labels drawn from the model's own distribution, and the gradients of their log-probability at the final hidden
//! states. The product with the whole vocabulary is taken once for all draws.

use cruxscope_checkpoint::ModelConfig;
use cruxscope_model::block;
use cruxscope_model::decoder::Decoder;
use cruxscope_model::kernels::Kernels;

use crate::SensitivityError;
use crate::labels::{self, Labels};

/// Rows whose logits exist at the same time.
const HEAD_ROWS: usize = 256;

/// Refuses a model through whose logits gradients of single labels are not known.
///
/// # Errors
/// [`SensitivityError::Capped`].
pub fn check(config: &ModelConfig) -> Result<(), SensitivityError> {
    match config.ends.logit_cap {
        None => Ok(()),
        Some(_) => Err(SensitivityError::Capped {
            architecture: config.architecture.name().into(),
        }),
    }
}

/// Gradients of `sum over t of log p(y_t)` at the final hidden states, one a draw: `[draw]`, each `[tokens, hidden]`; with the window's
/// own tokens `actual`, one more for y_t the token that follows, in whose last row nothing is meant.
pub(crate) fn gradients<K: Kernels>(
    decoder: &Decoder<K>,
    hidden: &K::Matrix,
    id: &str,
    labels: &Labels,
    actual: Option<&[u32]>,
) -> Result<Vec<K::Matrix>, SensitivityError> {
    check(decoder.config())?;
    let kernels = decoder.kernels();
    let tokens = kernels.rows(hidden);
    let uniforms = match labels {
        Labels::Drawn { seed, draws } => labels::uniforms(*seed, id, *draws, tokens),
        Labels::Given(_) => Vec::new(),
    };
    let weights = decoder.head()?;
    let mut gradients: Vec<Vec<K::Matrix>> = vec![Vec::new(); labels.draws() + usize::from(actual.is_some())];
    for first in (0..tokens).step_by(HEAD_ROWS) {
        let count = HEAD_ROWS.min(tokens - first);
        let x = kernels.slice(hidden, first, count);
        // One-hot of token 0 less the distribution.
        let (_, at_logits) = kernels.cross_entropy(block::logits(decoder, &x)?, &vec![0; count], &vec![-1.0; count])?;
        let mut labels: Vec<Vec<u32>> = match labels {
            Labels::Given(labels) => labels.iter().map(|labels| labels[first..first + count].to_vec()).collect(),
            Labels::Drawn { .. } => {
                let uniforms: Vec<&[f64]> = uniforms.iter().map(|uniforms| &uniforms[first..first + count]).collect();
                labels::draw(kernels, &at_logits, &uniforms)?
            }
        };
        if let Some(ids) = actual {
            let next = |row: usize| ids.get(row + 1).copied().unwrap_or(0);
            labels.push((first..first + count).map(next).collect());
        }
        let mut base = None;
        for (gradient, weight) in at_logits.iter().zip(weights.iter()) {
            base = Some(kernels.linear_backward(gradient, weight, base));
        }
        drop(at_logits);
        let Some(base) = base else { continue };
        for (labels, gradients) in labels.iter().zip(&mut gradients) {
            let at_norm = with_labels(kernels, &weights, labels, base.clone());
            gradients.push(block::head_input_backward(decoder, &x, &at_norm));
        }
    }
    Ok(gradients.into_iter().map(|parts| kernels.stack(parts)).collect())
}

/// Adds `W[y_t] - W[0]` to each row: the head's rows that labels name are gathered part by part and brought to their places by a
/// product with a selection matrix, which every kind of kernels can do whatever the weights are kept in.
///
/// # Shapes
/// `base` and the result `[labels, hidden]`.
fn with_labels<K: Kernels>(kernels: &K, head: &[K::Matrix], labels: &[u32], base: K::Matrix) -> K::Matrix {
    let mut sum = base;
    let mut first = 0usize;
    for part in head {
        let count = kernels.rows(part);
        // Rows of this part that are needed, each once, and who needs them.
        let mut needed: Vec<usize> = labels
            .iter()
            .map(|label| *label as usize)
            .chain([0])
            .filter_map(|token| token.checked_sub(first))
            .filter(|row| *row < count)
            .collect();
        needed.sort_unstable();
        needed.dedup();
        if !needed.is_empty() {
            let mut selection = vec![0.0f32; labels.len() * needed.len()];
            for (row, label) in labels.iter().enumerate() {
                let mut add = |token: usize, value: f32| {
                    let place = token.checked_sub(first).and_then(|row| needed.binary_search(&row).ok());
                    if let Some(place) = place {
                        selection[row * needed.len() + place] += value;
                    }
                };
                add(*label as usize, 1.0);
                add(0, -1.0);
            }
            let selection = kernels.upload(labels.len(), needed.len(), selection);
            sum = kernels.linear_backward(&selection, &kernels.gather(part, &needed), Some(sum));
        }
        first += count;
    }
    sum
}
