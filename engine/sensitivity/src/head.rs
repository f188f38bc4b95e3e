//! The head of the pass: labels drawn from the model's own distribution, and the gradients of their log-probability at the final hidden
//! states. The product with the whole vocabulary is taken once for all draws. With capped logits `c tanh(z / c)` the gradient at z is that at the
//! logits times `1 - tanh(z / c)^2`.

use cruxscope_model::decoder::Decoder;
use cruxscope_model::head;
use cruxscope_model::kernels::Kernels;

use crate::SensitivityError;
use crate::labels::{self, Labels};

/// Rows whose logits exist at the same time.
const HEAD_ROWS: usize = 256;

/// Gradients of `sum over t of log p(y_t)` at the final hidden states, one a draw: `[draw]`, each `[tokens, hidden]`; with the window's
/// own tokens `actual`, one more for y_t the token that follows, in whose last row nothing is meant.
pub(crate) fn gradients<K: Kernels>(
    decoder: &Decoder<K>,
    hidden: &K::Matrix,
    id: &str,
    labels: &Labels,
    actual: Option<&[u32]>,
) -> Result<Vec<K::Matrix>, SensitivityError> {
    let kernels = decoder.kernels();
    let cap = decoder.config().ends.logit_cap;
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
        let outputs = head::head_outputs(decoder, &x)?;
        let logits = match cap {
            None => outputs.clone(),
            Some(cap) => outputs.iter().map(|part| kernels.capped(part.clone(), cap)).collect(),
        };
        // One-hot of token 0 less the distribution.
        let (_, at_logits) = kernels.cross_entropy(logits, &vec![0; count], &vec![-1.0; count])?;
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
        let mut slopes = Vec::new();
        for ((gradient, output), weight) in at_logits.into_iter().zip(outputs).zip(weights.iter()) {
            let at_output = match cap {
                None => gradient,
                Some(cap) => {
                    slopes.push(Slopes::of(kernels, &output, count, cap)?);
                    kernels.capped_backward(&output, cap, gradient)
                }
            };
            base = Some(kernels.linear_backward(&at_output, weight, base));
        }
        let Some(base) = base else { continue };
        for (labels, gradients) in labels.iter().zip(&mut gradients) {
            let at_norm = with_labels(kernels, &weights, labels, &slopes, base.clone());
            gradients.push(head::head_input_backward(decoder, &x, &at_norm));
        }
    }
    Ok(gradients.into_iter().map(|parts| kernels.stack(parts)).collect())
}

/// Derivatives of capped logits by what the head gave for some rows and part of the vocabulary: 1 - tanh(z / c)^2.
struct Slopes {
    outputs: Vec<f64>,
    width: usize,
    cap: f64,
}

impl Slopes {
    fn of<K: Kernels>(kernels: &K, output: &K::Matrix, rows: usize, cap: f64) -> Result<Self, SensitivityError> {
        let outputs = kernels.wide(output)?;
        let width = outputs.len() / rows.max(1);
        Ok(Self { outputs, width, cap })
    }

    fn at(&self, row: usize, column: usize) -> f64 {
        1.0 - (self.outputs[row * self.width + column] / self.cap).tanh().powi(2)
    }
}

/// Adds `s[y_t] W[y_t] - s[0] W[0]` to each row, s being the slopes of a cap in parts as the head has them, or ones where there are
/// none: the head's rows that labels name are gathered part by part and brought to their places by a product with a selection matrix,
/// which every kind of kernels can do whatever the weights are kept in.
///
/// # Shapes
/// `base` and the result `[labels, hidden]`.
fn with_labels<K: Kernels>(kernels: &K, head: &[K::Matrix], labels: &[u32], slopes: &[Slopes], base: K::Matrix) -> K::Matrix {
    let mut sum = base;
    let mut first = 0usize;
    for (place, part) in head.iter().enumerate() {
        let count = kernels.rows(part);
        let slope = |row: usize, column: usize| slopes.get(place).map_or(1.0, |slopes| slopes.at(row, column));
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
            let mut selection = vec![0.0; labels.len() * needed.len()];
            for (row, label) in labels.iter().enumerate() {
                let mut add = |token: usize, sign: f64| {
                    let column = token.checked_sub(first);
                    if let Some((column, place)) = column.and_then(|column| Some((column, needed.binary_search(&column).ok()?))) {
                        selection[row * needed.len() + place] += sign * slope(row, column);
                    }
                };
                add(*label as usize, 1.0);
                add(0, -1.0);
            }
            let selection = kernels.upload_wide(labels.len(), needed.len(), selection);
            sum = kernels.linear_backward(&selection, &kernels.gather(part, &needed), Some(sum));
        }
        first += count;
    }
    sum
}
