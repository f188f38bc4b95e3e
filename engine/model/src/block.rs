//! One decoder layer, forwards, over all tokens of a sequence.
//!
//! Queries and the feed-forward block go in tiles of tokens, so the wide activations are never held for a whole sequence;
//! keys and values are, since every later token needs them.

use crate::ModelError;
use crate::decoder::{Decoder, Layer, Rotation};
use crate::kernels::{Kernels, Run, Turn};

/// Tokens of a tile.
const TILE: usize = 1024;

/// Positions of the seven weights in [`Layer::weights`].
pub mod place {
    /// q_proj.
    pub const QUERY: usize = 0;
    /// k_proj.
    pub const KEY: usize = 1;
    /// v_proj.
    pub const VALUE: usize = 2;
    /// o_proj.
    pub const OUTPUT: usize = 3;
    /// gate_proj.
    pub const GATE: usize = 4;
    /// up_proj.
    pub const UP: usize = 5;
    /// down_proj.
    pub const DOWN: usize = 6;
}

/// Where an input of linear modules is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// The input of q, k and v.
    Attention,
    /// The input of o.
    Output,
    /// The input of gate and up.
    FeedForward,
    /// The input of down.
    Down,
}

impl Site {
    /// All four, in the order in which a layer reaches them.
    pub const ALL: [Self; 4] = [Self::Attention, Self::Output, Self::FeedForward, Self::Down];

    /// One of the weights of [`place`] that read their input here.
    pub const fn reader(self) -> usize {
        match self {
            Self::Attention => place::QUERY,
            Self::Output => place::OUTPUT,
            Self::FeedForward => place::GATE,
            Self::Down => place::DOWN,
        }
    }

    /// The site at which a weight of [`place`] reads its input.
    pub const fn of(weight: usize) -> Self {
        match weight {
            place::QUERY | place::KEY | place::VALUE => Self::Attention,
            place::OUTPUT => Self::Output,
            place::GATE | place::UP => Self::FeedForward,
            _ => Self::Down,
        }
    }
}

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

/// Runs a layer over the tokens of one sequence from its beginning; `see` is given every input of the linear modules, tile
/// by tile, with the position of its first token.
///
/// # Shapes
/// `hidden` and the result are `[tokens, hidden]`; `rotation` holds as many positions.
///
/// # Errors
/// Whatever `see` returns.
pub fn forward<K: Kernels>(
    decoder: &Decoder<K>,
    layer: &Layer<K>,
    hidden: &K::Matrix,
    rotation: &Rotation<K>,
    mut see: impl FnMut(Site, usize, &K::Matrix) -> Result<(), ModelError>,
) -> Result<(K::Matrix, KeysValues<K>), ModelError> {
    let (kernels, config, heads) = (decoder.kernels(), decoder.config(), decoder.heads());
    let epsilon = config.norm_epsilon;
    let tokens = kernels.rows(hidden);
    let tiles = || (0..tokens).step_by(TILE).map(|first| (first, TILE.min(tokens - first)));
    let take = |matrix: &K::Matrix, first: usize, count: usize| {
        if count == tokens {
            matrix.clone()
        } else {
            kernels.slice(matrix, first, count)
        }
    };

    let normed = kernels.norm(hidden, &layer.attention_norm, config.hidden, epsilon);
    let mut keys = linear(kernels, layer, place::KEY, &normed, None);
    if let Some(weight) = &layer.key_norm {
        keys = kernels.norm(&keys, weight, heads.width, epsilon);
    }
    let keys = kernels.rotate(keys, heads.width, &rotation.cosine, &rotation.sine, Turn::Forward);
    let values = linear(kernels, layer, place::VALUE, &normed, None);

    let mut parts = Vec::new();
    for (first, count) in tiles() {
        let normed = take(&normed, first, count);
        see(Site::Attention, first, &normed)?;
        let mut queries = linear(kernels, layer, place::QUERY, &normed, None);
        if let Some(weight) = &layer.query_norm {
            queries = kernels.norm(&queries, weight, heads.width, epsilon);
        }
        let queries = kernels.rotate(
            queries,
            heads.width,
            &take(&rotation.cosine, first, count),
            &take(&rotation.sine, first, count),
            Turn::Forward,
        );
        let attended = kernels.attention(heads, &queries, &keys, &values, &[Run { position: first, rows: count }]);
        see(Site::Output, first, &attended)?;
        let hidden = linear(kernels, layer, place::OUTPUT, &attended, Some(take(hidden, first, count)));
        let normed = kernels.norm(&hidden, &layer.feed_forward_norm, config.hidden, epsilon);
        see(Site::FeedForward, first, &normed)?;
        let gate = linear(kernels, layer, place::GATE, &normed, None);
        let up = linear(kernels, layer, place::UP, &normed, None);
        let gated = kernels.gated(&gate, &up);
        see(Site::Down, first, &gated)?;
        parts.push(linear(kernels, layer, place::DOWN, &gated, Some(hidden)));
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
        hidden = forward(decoder, &*decoder.layer(layer)?, &hidden, &rotation, |_, _, _| Ok(()))?.0;
    }
    Ok(hidden)
}
