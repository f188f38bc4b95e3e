//! The segment-local backward pass: gradients of each segment's loss at every module output, over the segment's rows only.
//!
//! The rows of all segments of an instance are packed one below the other; a token that belongs to two segments is packed
//! twice. Keys and values of earlier tokens are constants, so a segment's gradient flows through its own rows alone, and all
//! segments go through a layer as one matrix. A layer needs only its input at those rows and its keys and values: the rest is
//! computed again. No gradient of a weight is ever formed, and logits exist only where a loss reads them.

use cruxscope_model::ModelError;
use cruxscope_model::block::KeysValues;
use cruxscope_model::decoder::{Decoder, Layer};
use cruxscope_model::head;
use cruxscope_model::kernels::Kernels;
use cruxscope_model::module::TokenRows;
use cruxscope_model::rotation::Rotation;

use crate::layer_activations::LayerActivations;
use crate::layout::Unit;
use crate::packed::Packed;
use crate::segment::Span;

/// Rows whose logits exist at the same time.
const HEAD_ROWS: usize = 256;

/// The mean cross-entropy of every span, and the gradient of their sum at the packed final hidden rows.
///
/// The first target of a span that begins at a row > 0 is predicted one row before the span: it belongs to the loss's value
/// and adds nothing to the gradient inside.
///
/// # Errors
/// When the head cannot be read or the device failed.
pub fn head<K: Kernels>(decoder: &Decoder<K>, hidden: &K::Matrix, ids: &[u32], spans: &[Span], packed: &Packed) -> Result<(Vec<f64>, K::Matrix), ModelError> {
    let kernels = decoder.kernels();
    let mut losses = vec![0.0; spans.len()];

    // Every packed row, with what it predicts and how much that counts; weight zero where it predicts no target of its span.
    let mut rows = Vec::new();
    for ((index, span), run) in spans.iter().enumerate().zip(&packed.runs) {
        for row in 0..run.rows {
            let target = run.position + row + 1;
            let counts = span.targets.contains(&target);
            rows.push(HeadRow {
                segment: index,
                target: if counts { ids[target] } else { 0 },
                weight: if counts { 1.0 / span.targets.len() as f32 } else { 0.0 },
            });
        }
    }
    let mut parts = Vec::new();
    for (tile, positions) in rows.chunks(HEAD_ROWS).zip(packed.positions.chunks(HEAD_ROWS)) {
        let x = kernels.gather(hidden, positions);
        let at_logits = head_tile(decoder, &x, tile, &mut losses)?;
        let mut at_norm = None;
        for (gradient, weight) in at_logits.iter().zip(decoder.head()?.iter()) {
            at_norm = Some(kernels.linear_backward(gradient, weight, at_norm));
        }
        // A head has at least one part, since a vocabulary has at least one token.
        if let Some(at_norm) = at_norm {
            parts.push(head::head_input_backward(decoder, &x, &at_norm));
        }
    }

    let outside: Vec<(usize, HeadRow)> = spans
        .iter()
        .enumerate()
        .filter(|(_, span)| span.targets.start == span.rows.start)
        .map(|(segment, span)| {
            let target = span.targets.start;
            (
                target - 1,
                HeadRow {
                    segment,
                    target: ids[target],
                    weight: 1.0 / span.targets.len() as f32,
                },
            )
        })
        .collect();
    for tile in outside.chunks(HEAD_ROWS) {
        let (positions, rows): (Vec<usize>, Vec<HeadRow>) = tile.iter().copied().unzip();
        head_tile(decoder, &kernels.gather(hidden, &positions), &rows, &mut losses)?;
    }
    Ok((losses, kernels.stack(parts)))
}

/// What one row's logits predict, and how much that counts.
#[derive(Clone, Copy)]
struct HeadRow {
    segment: usize,
    target: u32,
    weight: f32,
}

/// Adds the losses of some rows, and gives the gradient at what the head gave for them, the vocabulary in the head's parts.
fn head_tile<K: Kernels>(decoder: &Decoder<K>, x: &K::Matrix, rows: &[HeadRow], losses: &mut [f64]) -> Result<Vec<K::Matrix>, ModelError> {
    let targets: Vec<u32> = rows.iter().map(|row| row.target).collect();
    let weights: Vec<f32> = rows.iter().map(|row| row.weight).collect();
    let kernels = decoder.kernels();
    let outputs = head::head_outputs(decoder, x)?;
    let (found, gradients) = match decoder.config().ends.logit_cap {
        None => kernels.cross_entropy(outputs, &targets, &weights)?,
        Some(cap) => {
            let logits = outputs.iter().map(|part| kernels.capped(part.clone(), cap)).collect();
            let (found, gradients) = kernels.cross_entropy(logits, &targets, &weights)?;
            let through = gradients.into_iter().zip(&outputs);
            (
                found,
                through.map(|(gradient, output)| kernels.capped_backward(output, cap, gradient)).collect(),
            )
        }
    };
    for (row, loss) in rows.iter().zip(found) {
        losses[row.segment] += loss;
    }
    Ok(gradients)
}

/// Takes the gradient at a layer's output back to its input, over the packed rows.
///
/// `observe` is given the gradient at the output of each linear map, by its position among the layer's, `[rows, out]`; `chosen` are the
/// experts that the rows were routed to in the forward pass.
///
/// # Shapes
/// `input` (the layer's input at the packed rows) and `gradient` are `[packed rows, hidden]`, as is the result.
///
/// # Errors
/// Whatever `observe` returns.
pub fn layer<K: Kernels>(
    decoder: &Decoder<K>,
    layer: &Layer<K>,
    input: &K::Matrix,
    cache: &KeysValues<K>,
    rotation: &Rotation<K>,
    packed: &Packed,
    chosen: Option<&[usize]>,
    gradient: K::Matrix,
    observe: impl FnMut(usize, TokenRows<'_>, &K::Matrix) -> Result<(), ModelError>,
) -> Result<K::Matrix, ModelError> {
    let activations = LayerActivations::of(decoder, layer, input.clone(), cache, rotation, packed, chosen)?;
    activations.backward(decoder, layer, cache, rotation, packed, gradient, observe)
}

/// Writes the weighted sums of a gradient's packed rows into `gradients` `[set]`, each in the model's layout. Of an expert they are
/// divided by the weight of the tokens that were routed to it, `shares` `[set][expert]`: a mean over those.
///
/// # Errors
/// When the device failed.
pub fn record<K: Kernels>(
    kernels: &K,
    unit: &Unit,
    rows: TokenRows<'_>,
    gradient: &K::Matrix,
    weights: &[&[f32]],
    shares: &[Vec<f32>],
    gradients: &mut [Vec<f32>],
) -> Result<(), ModelError> {
    let mut sums = vec![vec![0.0; unit.range.len()]; weights.len()];
    match rows {
        TokenRows::From(_) => kernels.row_sums(gradient, weights, &mut sums)?,
        TokenRows::At(rows) => {
            let own: Vec<Vec<f32>> = weights.iter().map(|weights| rows.iter().map(|row| weights[*row]).collect()).collect();
            kernels.row_sums(gradient, &own.iter().map(Vec::as_slice).collect::<Vec<_>>(), &mut sums)?;
        }
    }
    for (set, (gradients, sums)) in gradients.iter_mut().zip(sums).enumerate() {
        let share = unit.expert.map_or(1.0, |expert| f64::from(shares[set][expert]));
        for (place, sum) in gradients[unit.range.clone()].iter_mut().zip(sums) {
            *place = if share == 1.0 {
                sum as f32
            } else if share > 0.0 {
                (sum / share) as f32
            } else {
                0.0
            };
        }
    }
    Ok(())
}
