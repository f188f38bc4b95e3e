//! One decoder layer, forwards, over all tokens of a sequence.
//!
//! Queries and the feed-forward block go in tiles of tokens, so the wide activations are never held for a whole sequence;
//! keys and values are, since every later token needs them.

use crate::ModelError;
use crate::decoder::{Decoder, Layer, LayerShape, Rotation};
use crate::kernels::{Kernels, RopeDirection, SequenceSpan};
use crate::module::{ModuleInput, projection_index};

/// Tokens of a tile.
const TILE: usize = 1024;

/// Keys (after rotation) and values of all tokens of a layer, `[tokens, key heads * head_dim]` each.
#[derive(Clone)]
pub struct KeysValues<K: Kernels> {
    /// Keys.
    pub keys: K::Matrix,
    /// Values.
    pub values: K::Matrix,
}

/// A weight's output for an input, bias included, added to `onto` where that is given.
pub fn linear<K: Kernels>(kernels: &K, layer: &Layer<K>, weight: usize, x: &K::Matrix, onto: Option<K::Matrix>) -> K::Matrix {
    kernels.linear(x, &layer.weights[weight], layer.biases[weight].as_ref(), onto)
}

/// Queries or keys of every head after their norm, where the architecture has one, and their rotary embedding.
///
/// # Shapes
/// `x` and the result `[n, k * head_dim]`, `cosine` and `sine` `[n, head_dim / 2]`.
pub fn rotated<K: Kernels>(kernels: &K, shape: &LayerShape, mut x: K::Matrix, norm: Option<&K::Matrix>, cosine: &K::Matrix, sine: &K::Matrix) -> K::Matrix {
    if let Some(weight) = norm {
        x = kernels.norm(&x, weight, shape.heads.width, shape.norm_epsilon);
    }
    kernels.rotate(x, shape.heads.width, cosine, sine, RopeDirection::Forward)
}

/// Runs a layer over the tokens of one sequence from its beginning; `observe` is given every input of the linear modules, tile
/// by tile, with the position of its first token.
///
/// # Shapes
/// `hidden` and the result are `[tokens, hidden]`; `rotation` holds as many positions.
///
/// # Errors
/// Whatever `observe` returns.
pub fn forward<K: Kernels>(
    kernels: &K,
    shape: &LayerShape,
    layer: &Layer<K>,
    hidden: &K::Matrix,
    rotation: &Rotation<K>,
    mut observe: impl FnMut(ModuleInput, usize, &K::Matrix) -> Result<(), ModelError>,
) -> Result<(K::Matrix, KeysValues<K>), ModelError> {
    let tokens = kernels.rows(hidden);
    let tiles = || (0..tokens).step_by(TILE).map(|first| (first, TILE.min(tokens - first)));
    let take = |matrix: &K::Matrix, first: usize, count: usize| {
        if count == tokens {
            matrix.clone()
        } else {
            kernels.slice(matrix, first, count)
        }
    };
    let norm = |x: &K::Matrix, weight: &K::Matrix| kernels.norm(x, weight, shape.hidden, shape.norm_epsilon);

    let normed = norm(hidden, &layer.attention_norm);
    let keys = linear(kernels, layer, projection_index::KEY, &normed, None);
    let keys = rotated(kernels, shape, keys, layer.key_norm.as_ref(), &rotation.cosine, &rotation.sine);
    let values = linear(kernels, layer, projection_index::VALUE, &normed, None);

    let mut parts = Vec::new();
    for (first, count) in tiles() {
        let normed = take(&normed, first, count);
        observe(ModuleInput::Attention, first, &normed)?;
        let queries = linear(kernels, layer, projection_index::QUERY, &normed, None);
        let (cosine, sine) = (take(&rotation.cosine, first, count), take(&rotation.sine, first, count));
        let queries = rotated(kernels, shape, queries, layer.query_norm.as_ref(), &cosine, &sine);
        let attended = kernels.attention(shape.heads, &queries, &keys, &values, &[SequenceSpan { position: first, rows: count }]);
        observe(ModuleInput::Output, first, &attended)?;
        let hidden = linear(kernels, layer, projection_index::OUTPUT, &attended, Some(take(hidden, first, count)));
        let normed = norm(&hidden, &layer.feed_forward_norm);
        observe(ModuleInput::FeedForward, first, &normed)?;
        let gate = linear(kernels, layer, projection_index::GATE, &normed, None);
        let up = linear(kernels, layer, projection_index::UP, &normed, None);
        let gated = kernels.gated(&gate, &up);
        observe(ModuleInput::Down, first, &gated)?;
        parts.push(linear(kernels, layer, projection_index::DOWN, &gated, Some(hidden)));
    }
    Ok((kernels.stack(parts), KeysValues { keys, values }))
}

/// Logits of some final hidden rows, the vocabulary in parts side by side.
///
/// # Errors
/// When the head cannot be read.
pub fn logits<K: Kernels>(decoder: &Decoder<K>, hidden: &K::Matrix) -> Result<Vec<K::Matrix>, ModelError> {
    let (kernels, config) = (decoder.kernels(), decoder.config());
    let normed = kernels.norm(hidden, decoder.final_norm(), config.hidden, config.norm_epsilon);
    Ok(decoder.head()?.iter().map(|part| kernels.linear(&normed, part, None, None)).collect())
}

/// Final hidden rows of a whole sequence, `[tokens, hidden]`, before the last norm.
///
/// # Errors
/// When the checkpoint cannot be read or a token is beyond the vocabulary.
pub fn run<K: Kernels>(decoder: &Decoder<K>, ids: &[u32]) -> Result<K::Matrix, ModelError> {
    let rotation = decoder.rotation(&(0..ids.len()).collect::<Vec<_>>());
    let mut hidden = decoder.embed(ids)?;
    for layer in 0..decoder.config().layers {
        hidden = forward(decoder.kernels(), &decoder.shape(), &*decoder.layer(layer)?, &hidden, &rotation, |_, _, _| {
            Ok(())
        })?
        .0;
    }
    Ok(hidden)
}
