//! Running one decoder layer, as far as the scale search needs it.
//!
//! llm-awq and AutoAWQ judge the scales of query, key and value by the output of the whole attention module and those of gate and
//! up by the output of the whole feed-forward block. Both are evaluated again for every candidate, with some projections of the
//! layer replaced and no others run, so the pieces of [`block`] are called here rather than [`block::forward`] as a whole; what
//! calibration sees of a layer comes from `forward` itself.

use cruxscope_checkpoint::{Activation, LayerWeights, Matrix};
use cruxscope_model::block;
use cruxscope_model::decoder::{Layer, LayerShape};
use cruxscope_model::kernels::{Kernels, SequenceSpan};
use cruxscope_model::module::{ModuleInput, projection_index};
use cruxscope_model::rotation::Rotation;

use super::check::{check_layer, expect};
use super::evidence::LayerInputs;
use super::shape::BlockShape;
use crate::CompressError;

/// Tokens that go through the feed-forward block together: its inner width is several times the layer's.
const TOKENS_AT_ONCE: usize = 1024;

/// What one run of a layer gives.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerRun {
    /// The inputs of its projections.
    pub inputs: LayerInputs,
    /// The hidden states after it, `[tokens, hidden]`: the next layer's input.
    pub hidden: Matrix,
}

/// Runs a layer on hidden states, keeping the inputs of every projection.
///
/// # Shapes
/// `hidden` is `[tokens, hidden]`, `lengths` its sequences, each from position 0.
///
/// # Errors
/// When the layer's arrays, the shape and the hidden states do not fit together, or the device fails.
pub fn run_layer<K: Kernels>(kernels: &K, weights: &LayerWeights, shape: &BlockShape, hidden: &Matrix, lengths: &[usize]) -> Result<LayerRun, CompressError> {
    check_layer(weights)?;
    shape.check(weights)?;
    expect("the hidden states", "columns", hidden.columns, weights.attention_norm.len())?;
    expect("the hidden states", "values", hidden.values.len(), hidden.rows * hidden.columns)?;
    expect("the hidden states", "rows", hidden.rows, lengths.iter().sum())?;
    let layer = Layer::new(kernels, &shape.block, weights.clone());
    let layer_shape = shape.layer(hidden.columns);
    let mut inputs: [Vec<f32>; 4] = [const { Vec::new() }; 4];
    let mut after = Vec::with_capacity(hidden.values.len());
    let mut first = 0;
    for rows in lengths.iter().copied().filter(|rows| *rows > 0) {
        let own = hidden.values[first * hidden.columns..][..rows * hidden.columns].to_vec();
        let own = kernels.upload(rows, hidden.columns, own);
        let rotation = Rotation::new(kernels, &shape.ropes(), (0..rows).map(|position| (position, rows)));
        let (next, _) = block::forward(kernels, &layer_shape, &layer, &own, &rotation, |input, _, x| {
            if let Some(own) = inputs.get_mut(input.index()) {
                own.extend(kernels.download(x)?);
            }
            Ok(())
        })?;
        after.extend(kernels.download(&next)?);
        first += rows;
    }
    let of = |input: ModuleInput, values: Vec<f32>| Matrix {
        rows: hidden.rows,
        columns: weights.projections[input.reader()].weight.columns,
        values,
    };
    let [attention, output, feed_forward, down] = inputs;
    Ok(LayerRun {
        inputs: LayerInputs {
            attention: of(ModuleInput::Attention, attention),
            output: of(ModuleInput::Output, output),
            feed_forward: of(ModuleInput::FeedForward, feed_forward),
            down: of(ModuleInput::Down, down),
            lengths: lengths.to_vec(),
        },
        hidden: Matrix {
            rows: hidden.rows,
            columns: hidden.columns,
            values: after,
        },
    })
}

/// A matrix where the kernels work.
pub(super) fn upload<K: Kernels>(kernels: &K, matrix: &Matrix) -> K::Matrix {
    kernels.upload(matrix.rows, matrix.columns, matrix.values.clone())
}

/// Maps rows to rows, [`TOKENS_AT_ONCE`] at a time.
pub(super) fn in_parts<K: Kernels>(kernels: &K, x: &K::Matrix, map: impl Fn(&K::Matrix) -> K::Matrix) -> K::Matrix {
    let tokens = kernels.rows(x);
    if tokens <= TOKENS_AT_ONCE {
        return map(x);
    }
    let parts = (0..tokens).step_by(TOKENS_AT_ONCE);
    kernels.stack(parts.map(|first| map(&kernels.slice(x, first, TOKENS_AT_ONCE.min(tokens - first)))).collect())
}

/// The attention module of a layer over whole sequences, one below the other.
pub(super) struct Attention<K: Kernels> {
    shape: LayerShape,
    lengths: Vec<usize>,
    /// Of every row, `[tokens, head_dim / 2]`.
    rotation: Rotation<K>,
}

impl<K: Kernels> Attention<K> {
    /// For sequences of these lengths, of hidden states of this width.
    pub(super) fn new(kernels: &K, shape: &BlockShape, hidden: usize, lengths: &[usize]) -> Self {
        let places = lengths.iter().flat_map(|length| (0..*length).map(move |position| (position, *length)));
        Self {
            shape: shape.layer(hidden),
            lengths: lengths.to_vec(),
            rotation: Rotation::new(kernels, &shape.ropes(), places),
        }
    }

    /// The module's output without what was there before: `O · softmax(q kᵀ / √d + causal mask) v`, head by head.
    ///
    /// # Shapes
    /// `x` is all sequences, `[tokens, hidden]`, as is the result.
    pub(super) fn output(&self, kernels: &K, layer: &Layer<K>, x: &K::Matrix) -> K::Matrix {
        let (shape, heads, rotation) = (&self.shape, layer.heads(&self.shape), layer.kind.rotation);
        let queries = block::linear(kernels, layer, projection_index::QUERY, x, None);
        let queries = block::placed(
            kernels,
            shape,
            queries,
            heads.queries,
            layer.norms.query.as_ref(),
            self.rotation.queries(rotation),
        );
        let keys = block::linear(kernels, layer, projection_index::KEY, x, None);
        let keys = block::placed(kernels, shape, keys, heads.keys, layer.norms.key.as_ref(), self.rotation.keys(rotation));
        let values = block::linear(kernels, layer, projection_index::VALUE, x, None);
        let mut mixed = Vec::with_capacity(self.lengths.len());
        let mut first = 0;
        for rows in self.lengths.iter().copied() {
            let of = |matrix: &K::Matrix| kernels.slice(matrix, first, rows);
            mixed.push(kernels.attention(
                heads,
                &of(&queries),
                &of(&keys),
                &of(&values),
                layer.beside.sinks.as_ref(),
                &[SequenceSpan { position: 0, rows }],
            ));
            first += rows;
        }
        let mixed = if mixed.is_empty() { queries } else { kernels.stack(mixed) };
        block::linear(kernels, layer, projection_index::OUTPUT, &mixed, None)
    }
}

/// The feed-forward block without what was there before: `D · (f(G x) · U x)`.
pub(super) fn feed_forward<K: Kernels>(kernels: &K, activation: Activation, layer: &Layer<K>, x: &K::Matrix) -> K::Matrix {
    in_parts(kernels, x, |x| {
        let gate = block::linear(kernels, layer, projection_index::GATE, x, None);
        let up = block::linear(kernels, layer, projection_index::UP, x, None);
        block::linear(kernels, layer, projection_index::DOWN, &kernels.gated(activation, &gate, &up), None)
    })
}
