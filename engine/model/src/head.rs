//! From final hidden rows to logits: the last norm, the head and its factor and cap, and the way back.

use crate::ModelError;
use crate::block::{normed, normed_backward};
use crate::decoder::Decoder;
use crate::kernels::Kernels;

/// What the head gives for some final hidden rows, factor included and before a cap, the vocabulary in parts side by side.
///
/// # Errors
/// When the head cannot be read.
pub fn head_outputs<K: Kernels>(decoder: &Decoder<K>, hidden: &K::Matrix) -> Result<Vec<K::Matrix>, ModelError> {
    let read = head_input(decoder, hidden);
    Ok(decoder.head()?.iter().map(|part| decoder.kernels().linear(&read, part, None, None)).collect())
}

/// What the head reads: final hidden rows after the last norm, times the logits' factor.
///
/// # Shapes
/// `hidden` and the result `[n, hidden]`.
pub fn head_input<K: Kernels>(decoder: &Decoder<K>, hidden: &K::Matrix) -> K::Matrix {
    let read = normed(decoder.kernels(), &decoder.shape(), hidden, Some(decoder.final_norm()));
    match decoder.config().ends.logit_factor {
        1.0 => read,
        factor => decoder.kernels().scaled(read, factor),
    }
}

/// Gradient of [`head_input`] at the final hidden rows.
pub fn head_input_backward<K: Kernels>(decoder: &Decoder<K>, hidden: &K::Matrix, gradient: &K::Matrix) -> K::Matrix {
    let (kernels, shape, norm) = (decoder.kernels(), decoder.shape(), Some(decoder.final_norm()));
    match decoder.config().ends.logit_factor {
        1.0 => normed_backward(kernels, &shape, hidden, norm, gradient),
        factor => normed_backward(kernels, &shape, hidden, norm, &kernels.scaled(gradient.clone(), factor)),
    }
}

/// Logits of some final hidden rows, the vocabulary in parts side by side.
///
/// # Errors
/// When the head cannot be read.
pub fn logits<K: Kernels>(decoder: &Decoder<K>, hidden: &K::Matrix) -> Result<Vec<K::Matrix>, ModelError> {
    let outputs = head_outputs(decoder, hidden)?;
    Ok(match decoder.config().ends.logit_cap {
        None => outputs,
        Some(cap) => outputs.into_iter().map(|part| decoder.kernels().capped(part, cap)).collect(),
    })
}
