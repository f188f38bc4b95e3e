//! The segment-local backward pass: gradients of each segment's loss at every module output, over the segment's rows only.
//!
//! The rows of all segments of an instance are packed one below the other; a token that belongs to two segments is packed
//! twice. Keys and values of earlier tokens are constants, so a segment's gradient flows through its own rows alone, and all
//! segments go through a layer as one matrix. A layer needs only its input at those rows and its keys and values: the rest is
//! computed again. No gradient of a weight is ever formed, and logits exist only where a loss reads them.

use cruxscope_model::ModelError;
use cruxscope_model::block::{self, KeysValues};
use cruxscope_model::decoder::{Decoder, Layer, Rotation};
use cruxscope_model::kernels::{Kernels, RopeDirection, SequenceSpan};
use cruxscope_model::module::projection_index;
use cruxscope_study::{Component, Module};

use crate::Layout;
use crate::segment::Span;

/// Rows whose logits exist at the same time.
const HEAD_ROWS: usize = 256;

/// The packed rows of an instance's segments.
pub struct Packed {
    /// Position in the sequence of each packed row.
    pub positions: Vec<usize>,
    /// One run a segment.
    pub runs: Vec<SequenceSpan>,
}

impl Packed {
    /// Packs the live rows of some spans.
    pub fn new(spans: &[Span]) -> Self {
        let runs: Vec<SequenceSpan> = spans
            .iter()
            .map(|span| span.live_rows())
            .map(|rows| SequenceSpan {
                position: rows.start,
                rows: rows.len(),
            })
            .collect();
        let positions = runs.iter().flat_map(|run| run.position..run.position + run.rows).collect();
        Self { positions, runs }
    }

    /// The last position that any run reaches, plus one.
    pub fn end(&self) -> usize {
        self.runs.iter().map(|run| run.position + run.rows).max().unwrap_or(0)
    }
}

/// The mean cross-entropy of every span, and the gradient of their sum at the packed final hidden rows.
///
/// The first target of a span that begins at a row > 0 is predicted one row before the span: it belongs to the loss's value
/// and adds nothing to the gradient inside.
///
/// # Errors
/// When the head cannot be read or the device failed.
pub fn head<K: Kernels>(decoder: &Decoder<K>, hidden: &K::Matrix, ids: &[u32], spans: &[Span], packed: &Packed) -> Result<(Vec<f64>, K::Matrix), ModelError> {
    let (kernels, config) = (decoder.kernels(), decoder.config());
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
            parts.push(kernels.norm_backward(&x, decoder.final_norm(), config.hidden, config.norm_epsilon, &at_norm));
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

/// Adds the losses of some rows, and gives the gradient at their logits, the vocabulary in the head's parts.
fn head_tile<K: Kernels>(decoder: &Decoder<K>, x: &K::Matrix, rows: &[HeadRow], losses: &mut [f64]) -> Result<Vec<K::Matrix>, ModelError> {
    let targets: Vec<u32> = rows.iter().map(|row| row.target).collect();
    let weights: Vec<f32> = rows.iter().map(|row| row.weight).collect();
    let (found, gradients) = decoder.kernels().cross_entropy(block::logits(decoder, x)?, &targets, &weights)?;
    for (row, loss) in rows.iter().zip(found) {
        losses[row.segment] += loss;
    }
    Ok(gradients)
}

/// Takes the gradient at a layer's output back to its input, over the packed rows.
///
/// `observe` is given the gradient at each module's output, `[packed rows, out]`.
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
    gradient: K::Matrix,
    mut observe: impl FnMut(Module, &K::Matrix) -> Result<(), ModelError>,
) -> Result<K::Matrix, ModelError> {
    let (kernels, config, heads) = (decoder.kernels(), decoder.config(), decoder.heads());
    let (epsilon, width) = (config.norm_epsilon, heads.width);
    let back = |weight: usize, gradient: &K::Matrix, onto: Option<K::Matrix>| kernels.linear_backward(gradient, &layer.weights[weight], onto);
    let turned = |x: K::Matrix, turn: RopeDirection| kernels.rotate(x, width, &rotation.cosine, &rotation.sine, turn);

    // The layer again, at the packed rows.
    let normed = kernels.norm(input, &layer.attention_norm, config.hidden, epsilon);
    let raw_queries = block::linear(kernels, layer, projection_index::QUERY, &normed, None);
    let queries = match &layer.query_norm {
        Some(weight) => kernels.norm(&raw_queries, weight, width, epsilon),
        None => raw_queries.clone(),
    };
    let queries = turned(queries, RopeDirection::Forward);
    let attended = kernels.attention(heads, &queries, &cache.keys, &cache.values, &packed.runs);
    let middle = block::linear(kernels, layer, projection_index::OUTPUT, &attended, Some(input.clone()));
    let middle_normed = kernels.norm(&middle, &layer.feed_forward_norm, config.hidden, epsilon);
    let gate = block::linear(kernels, layer, projection_index::GATE, &middle_normed, None);
    let up = block::linear(kernels, layer, projection_index::UP, &middle_normed, None);

    // The feed-forward block backwards.
    observe(Module::Down, &gradient)?;
    let (gate_gradient, up_gradient) = kernels.gated_backward(&gate, &up, &back(projection_index::DOWN, &gradient, None));
    observe(Module::Up, &up_gradient)?;
    observe(Module::Gate, &gate_gradient)?;
    let at_norm = back(projection_index::UP, &up_gradient, Some(back(projection_index::GATE, &gate_gradient, None)));
    let at_middle = kernels.add(
        kernels.norm_backward(&middle, &layer.feed_forward_norm, config.hidden, epsilon, &at_norm),
        &gradient,
    );

    // Attention backwards.
    observe(Module::Output, &at_middle)?;
    let at_attended = back(projection_index::OUTPUT, &at_middle, None);
    let (mut dq, mut dk, dv) = kernels.attention_backward(heads, &queries, &cache.keys, &cache.values, &packed.runs, &attended, &at_attended);
    dq = turned(dq, RopeDirection::Inverse);
    dk = turned(dk, RopeDirection::Inverse);
    if let Some(weight) = &layer.query_norm {
        dq = kernels.norm_backward(&raw_queries, weight, width, epsilon, &dq);
    }
    if let Some(weight) = &layer.key_norm {
        let raw_keys = block::linear(kernels, layer, projection_index::KEY, &normed, None);
        dk = kernels.norm_backward(&raw_keys, weight, width, epsilon, &dk);
    }
    observe(Module::Query, &dq)?;
    observe(Module::Key, &dk)?;
    observe(Module::Value, &dv)?;
    let at_norm = back(
        projection_index::VALUE,
        &dv,
        Some(back(projection_index::KEY, &dk, Some(back(projection_index::QUERY, &dq, None)))),
    );
    Ok(kernels.add(
        kernels.norm_backward(input, &layer.attention_norm, config.hidden, epsilon, &at_norm),
        &at_middle,
    ))
}

/// Adds the weighted sums of a gradient's packed rows to `gradients` `[set]`, each in the model's layout.
///
/// # Errors
/// When the device failed.
pub fn record<K: Kernels>(
    kernels: &K,
    layout: &Layout,
    component: Component,
    gradient: &K::Matrix,
    weights: &[&[f32]],
    gradients: &mut [Vec<f32>],
) -> Result<(), ModelError> {
    let range = layout.range(component);
    let mut sums = vec![vec![0.0; range.len()]; weights.len()];
    kernels.row_sums(gradient, weights, &mut sums)?;
    for (gradients, sums) in gradients.iter_mut().zip(sums) {
        for (place, sum) in gradients[range.clone()].iter_mut().zip(sums) {
            *place = sum as f32;
        }
    }
    Ok(())
}
