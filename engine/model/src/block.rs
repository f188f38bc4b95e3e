//! One decoder layer, forwards, over all tokens of a sequence, and the pieces of it that a backward pass and others go through again.
//!
//! Queries and the feed-forward block go in tiles of tokens, so the wide activations are never held for a whole sequence;
//! keys and values are, since every later token needs them.

use cruxscope_checkpoint::{Activation, DeltaRule, DeltaWeights, QueryKeyNorm};

use crate::ModelError;
use crate::decoder::{Decoder, Layer, LayerShape};
use crate::delta::{self, DeltaState};
use crate::experts::Mixture;
use crate::kernels::{Heads, Kernels, RopeDirection, SequenceSpan};
use crate::latent::LatentAttention;
use crate::module::{ModuleInput, TokenRows, place_modules, projection_index};
use crate::output_gate;
use crate::rotation::{Rotation, Tables};

/// Tokens of a tile.
const TILE: usize = 1024;

/// Keys (after norm and rotation) and values of all tokens of a layer, `[tokens, key heads * head_dim]` each. Of a delta rule in the place
/// of attention the states before marked tokens, and what the convolution saw before them; see [`DeltaState::keep`].
#[derive(Clone)]
pub struct KeysValues<K: Kernels> {
    /// Keys.
    pub keys: K::Matrix,
    /// Values.
    pub values: K::Matrix,
}

impl<K: Kernels> Layer<K> {
    /// Its heads, with its own window.
    pub fn heads(&self, shape: &LayerShape) -> Heads {
        Heads {
            window: self.kind.window,
            chunk: self.kind.chunk,
            ..shape.heads
        }
    }

    /// Its mixture of experts, if it has one.
    pub fn mixture<'a>(&'a self, kernels: &'a K, shape: &'a LayerShape) -> Option<Mixture<'a, K>> {
        let experts = shape.block.experts.as_ref().filter(|_| self.kind.experts)?;
        Some(Mixture {
            kernels,
            shape,
            experts,
            choice_bias: self.beside.choice_bias.as_deref(),
            first: shape.block.attention_maps(self.kind),
        })
    }

    /// Its latent attention, if it has one.
    pub fn latent<'a>(&'a self, kernels: &'a K, shape: &'a LayerShape) -> Option<LatentAttention<'a, K>> {
        Some(LatentAttention {
            kernels,
            shape,
            latent: shape.block.latent?,
            norms: &self.norms,
        })
    }

    /// The delta rule that stands in the place of its attention, if one does.
    pub fn recurrent<'a>(&'a self, shape: &'a LayerShape) -> Option<(&'a DeltaRule, &'a DeltaWeights)> {
        Some((shape.block.delta.as_ref()?, self.beside.delta.as_ref()?))
    }

    /// Its linear maps, to be applied to one matrix.
    pub fn maps<'a>(&'a self, kernels: &'a K) -> impl Fn(&[usize], &K::Matrix) -> Vec<K::Matrix> + 'a {
        |places, x| places.iter().map(|place| linear(kernels, self, *place, x, None)).collect()
    }
}

/// A weight's output for an input, bias included, added to `onto` where that is given. Where quantized activations are simulated the input is
/// rounded before; gradients go through that as if it were not there.
pub fn linear<K: Kernels>(kernels: &K, layer: &Layer<K>, weight: usize, x: &K::Matrix, onto: Option<K::Matrix>) -> K::Matrix {
    let rounded = layer.inputs[weight].as_ref().map(|rounding| kernels.rounded(x, rounding));
    kernels.linear(rounded.as_ref().unwrap_or(x), &layer.weights[weight], layer.biases[weight].as_ref(), onto)
}

/// Rows of the stream after a norm; as they are where there is none.
///
/// # Shapes
/// `x` and the result `[n, hidden]`.
pub fn normed<K: Kernels>(kernels: &K, shape: &LayerShape, x: &K::Matrix, weight: Option<&K::Matrix>) -> K::Matrix {
    match weight {
        Some(weight) => kernels.norm_of(shape.block.norms.kind, x, weight, shape.hidden, shape.norm_epsilon),
        None => x.clone(),
    }
}

/// Gradient of [`normed`] at its input `x`.
pub fn normed_backward<K: Kernels>(kernels: &K, shape: &LayerShape, x: &K::Matrix, weight: Option<&K::Matrix>, gradient: &K::Matrix) -> K::Matrix {
    match weight {
        Some(weight) => kernels.norm_of_backward(shape.block.norms.kind, x, weight, shape.hidden, shape.norm_epsilon, gradient),
        None => gradient.clone(),
    }
}

/// Columns that the norm of queries or keys takes together.
fn norm_width(shape: &LayerShape, heads: usize) -> usize {
    match shape.block.query_key_norm {
        QueryKeyNorm::Rows => heads * shape.heads.width,
        _ => shape.heads.width,
    }
}

fn turned<K: Kernels>(kernels: &K, shape: &LayerShape, x: K::Matrix, tables: Option<&Tables<K>>, direction: RopeDirection) -> K::Matrix {
    match tables {
        Some(Tables { cosine, sine }) => kernels.rotate(x, shape.heads.width, shape.block.rope_pairs, cosine, sine, direction),
        None => x,
    }
}

/// Queries or keys after their norm, where there is one, and their rotary embedding, in the order of the model; `heads` is how many.
///
/// # Shapes
/// `x` and the result `[n, heads * head_dim]`, `tables` of as many positions.
pub fn placed<K: Kernels>(kernels: &K, shape: &LayerShape, x: K::Matrix, heads: usize, norm: Option<&K::Matrix>, tables: Option<&Tables<K>>) -> K::Matrix {
    let normed = |x: K::Matrix| match norm {
        Some(weight) => kernels.norm(&x, weight, norm_width(shape, heads), shape.norm_epsilon),
        None => x,
    };
    if shape.block.query_key_norm.is_after_rotation() {
        return normed(turned(kernels, shape, x, tables, RopeDirection::Forward));
    }
    turned(kernels, shape, normed(x), tables, RopeDirection::Forward)
}

/// Gradient of [`placed`] at its input; `raw` gives that input, and is asked only where there is a norm.
pub fn placed_backward<K: Kernels>(
    kernels: &K,
    shape: &LayerShape,
    raw: impl FnOnce() -> K::Matrix,
    heads: usize,
    norm: Option<&K::Matrix>,
    tables: Option<&Tables<K>>,
    mut gradient: K::Matrix,
) -> K::Matrix {
    let (width, epsilon) = (norm_width(shape, heads), shape.norm_epsilon);
    let back = |gradient: K::Matrix| turned(kernels, shape, gradient, tables, RopeDirection::Inverse);
    if let (Some(weight), true) = (norm, shape.block.query_key_norm.is_after_rotation()) {
        let input = turned(kernels, shape, raw(), tables, RopeDirection::Forward);
        return back(kernels.norm_backward(&input, weight, width, epsilon, &gradient));
    }
    gradient = back(gradient);
    match norm {
        Some(weight) => kernels.norm_backward(&raw(), weight, width, epsilon, &gradient),
        None => gradient,
    }
}

/// What a block gives to the stream: the output of its last module, after its norm and factor, added to `stream`.
///
/// # Shapes
/// `x [n, in]`, `stream` and the result `[n, hidden]`.
pub fn joined<K: Kernels>(
    kernels: &K,
    shape: &LayerShape,
    layer: &Layer<K>,
    module: usize,
    x: &K::Matrix,
    norm: Option<&K::Matrix>,
    stream: K::Matrix,
) -> K::Matrix {
    let factor = shape.block.residual_factor;
    if norm.is_none() && factor == 1.0 {
        return linear(kernels, layer, module, x, Some(stream));
    }
    let given = linear(kernels, layer, module, x, None);
    kernels.add(given_to_stream(kernels, shape, given, norm), &stream)
}

/// The output of a block's last module after its norm and factor.
///
/// # Shapes
/// `given` and the result `[n, hidden]`.
pub fn given_to_stream<K: Kernels>(kernels: &K, shape: &LayerShape, given: K::Matrix, norm: Option<&K::Matrix>) -> K::Matrix {
    let given = match norm {
        Some(_) => normed(kernels, shape, &given, norm),
        None => given,
    };
    match shape.block.residual_factor {
        1.0 => given,
        factor => kernels.scaled(given, factor),
    }
}

/// Gradient at the output of a block's last module, given that at the stream; see [`joined`]. Nothing where they are one.
///
/// # Shapes
/// `gradient` and the result `[n, hidden]`, `x [n, in]`.
pub fn joined_backward<K: Kernels>(
    kernels: &K,
    shape: &LayerShape,
    layer: &Layer<K>,
    module: usize,
    x: impl FnOnce() -> K::Matrix,
    norm: Option<&K::Matrix>,
    gradient: &K::Matrix,
) -> Option<K::Matrix> {
    let factor = shape.block.residual_factor;
    if norm.is_none() && factor == 1.0 {
        return None;
    }
    let scaled = kernels.scaled(gradient.clone(), factor);
    Some(match norm {
        Some(_) => normed_backward(kernels, shape, &linear(kernels, layer, module, &x(), None), norm, &scaled),
        None => scaled,
    })
}

/// Gradient at what a block gives, given that at the stream; see [`given_to_stream`], which is asked of `given`. Nothing where they are
/// one.
///
/// # Errors
/// Whatever `given` returns.
pub fn given_to_stream_backward<K: Kernels>(
    kernels: &K,
    shape: &LayerShape,
    given: impl FnOnce() -> Result<K::Matrix, ModelError>,
    norm: Option<&K::Matrix>,
    gradient: &K::Matrix,
) -> Result<Option<K::Matrix>, ModelError> {
    let factor = shape.block.residual_factor;
    if norm.is_none() && factor == 1.0 {
        return Ok(None);
    }
    let scaled = kernels.scaled(gradient.clone(), factor);
    Ok(Some(match norm {
        Some(_) => normed_backward(kernels, shape, &given()?, norm, &scaled),
        None => scaled,
    }))
}

/// What the gated activation of a dense block takes: the outputs of gate and up; where there is no gate, that of up in its place, and
/// ones.
///
/// # Shapes
/// `x [n, hidden]`; out: `[n, intermediate]` each.
pub fn gate_and_up<K: Kernels>(kernels: &K, shape: &LayerShape, layer: &Layer<K>, x: &K::Matrix) -> (K::Matrix, K::Matrix) {
    let [gate_map, up_map, _] = place_modules(shape.block.attention_maps(layer.kind), 0);
    let up = linear(kernels, layer, up_map, x, None);
    if shape.block.ungated {
        let ones = ones_like(kernels, &up, shape.intermediate);
        return (up, ones);
    }
    (linear(kernels, layer, gate_map, x, None), up)
}

/// Ones, as many rows as a matrix has.
pub(crate) fn ones_like<K: Kernels>(kernels: &K, matrix: &K::Matrix, columns: usize) -> K::Matrix {
    let rows = kernels.rows(matrix);
    kernels.upload(rows, columns, vec![1.0; rows * columns])
}

/// As [`forward_marked`], of a sequence whose later tokens alone read what a delta rule keeps.
///
/// # Errors
/// Whatever `observe` returns.
pub fn forward<K: Kernels>(
    kernels: &K,
    shape: &LayerShape,
    layer: &Layer<K>,
    hidden: &K::Matrix,
    rotation: &Rotation<K>,
    observe: impl FnMut(ModuleInput, TokenRows<'_>, &K::Matrix) -> Result<(), ModelError>,
) -> Result<(K::Matrix, KeysValues<K>), ModelError> {
    forward_marked(kernels, shape, layer, hidden, rotation, &[0], observe)
}

/// As [`forward`], for the inputs of linear modules alone: of a layer of the usual seven matrices nothing is computed that stands behind the last of
/// `inputs`.
///
/// # Errors
/// Whatever `observe` returns.
pub fn observe_inputs<K: Kernels>(
    kernels: &K,
    shape: &LayerShape,
    layer: &Layer<K>,
    hidden: &K::Matrix,
    rotation: &Rotation<K>,
    inputs: &[ModuleInput],
    observe: impl FnMut(ModuleInput, TokenRows<'_>, &K::Matrix) -> Result<(), ModelError>,
) -> Result<(), ModelError> {
    let is_usual = inputs.iter().all(|input| ModuleInput::ALL.contains(input)) && layer.mixture(kernels, shape).is_none();
    let last = inputs.iter().copied().max_by_key(|input| input.index()).filter(|_| is_usual);
    through(kernels, shape, layer, hidden, rotation, &[0], last, observe).map(|_| ())
}

/// Runs a layer over the tokens of one sequence from its beginning; `observe` is given every input of the linear modules, tile
/// by tile, with the tokens that it is of. The states of a delta rule are kept as they are before each of `marks`.
///
/// # Shapes
/// `hidden` and the result are `[tokens, hidden]`; `rotation` holds as many positions.
///
/// # Errors
/// Whatever `observe` returns.
pub fn forward_marked<K: Kernels>(
    kernels: &K,
    shape: &LayerShape,
    layer: &Layer<K>,
    hidden: &K::Matrix,
    rotation: &Rotation<K>,
    marks: &[usize],
    observe: impl FnMut(ModuleInput, TokenRows<'_>, &K::Matrix) -> Result<(), ModelError>,
) -> Result<(K::Matrix, KeysValues<K>), ModelError> {
    let (parts, kept) = through(kernels, shape, layer, hidden, rotation, marks, None, observe)?;
    Ok((kernels.stack(parts), kept))
}

/// The layer's outputs tile by tile, as far as they are computed: not beyond the input `last`, where that is given.
fn through<K: Kernels>(
    kernels: &K,
    shape: &LayerShape,
    layer: &Layer<K>,
    hidden: &K::Matrix,
    rotation: &Rotation<K>,
    marks: &[usize],
    last: Option<ModuleInput>,
    mut observe: impl FnMut(ModuleInput, TokenRows<'_>, &K::Matrix) -> Result<(), ModelError>,
) -> Result<(Vec<K::Matrix>, KeysValues<K>), ModelError> {
    let tokens = kernels.rows(hidden);
    let tiles = || (0..tokens).step_by(TILE).map(|first| (first, TILE.min(tokens - first)));
    let take = |matrix: &K::Matrix, first: usize, count: usize| {
        if count == tokens {
            matrix.clone()
        } else {
            kernels.slice(matrix, first, count)
        }
    };
    let (norms, heads) = (&layer.norms, layer.heads(shape));

    let whole = normed(kernels, shape, hidden, norms.before_attention.as_ref());
    let (latent, maps, first_map) = (layer.latent(kernels, shape), layer.maps(kernels), shape.block.attention_maps(layer.kind));
    // A delta rule takes the place of attention.
    let mut recurrent = None;
    let mut kept = None;
    if let Some((rule, weights)) = layer.recurrent(shape) {
        let (mut state, mut states) = (DeltaState::new(rule), vec![None; marks.len()]);
        let mut keep = |row: usize, state: &DeltaState| {
            let marked = states.iter_mut().zip(marks).filter(|(_, mark)| **mark == row);
            marked.for_each(|(place, _)| *place = Some(state.clone()));
        };
        let given = delta::rows(kernels, rule, &whole, &maps)?;
        let mixed = delta::mix(kernels, rule, weights, shape.norm_epsilon, &given, &[tokens], &mut [&mut state], &mut keep);
        let states: Vec<DeltaState> = states.into_iter().map(|state| state.unwrap_or_else(|| DeltaState::new(rule))).collect();
        kept = Some(DeltaState::keep(kernels, rule, &states));
        recurrent = Some(mixed);
    }
    let (keys, values) = match (kept, &latent) {
        (Some([states, tails]), _) => (states, tails),
        (None, Some(latent)) => latent.keys_values(&whole, rotation.keys(layer.kind.rotation), &maps, &mut |input, x| {
            observe(input, TokenRows::From(0), x)
        })?,
        (None, None) => {
            let keys = linear(kernels, layer, projection_index::KEY, &whole, None);
            let keys = placed(kernels, shape, keys, heads.keys, norms.key.as_ref(), rotation.keys(layer.kind.rotation));
            (keys, linear(kernels, layer, projection_index::VALUE, &whole, None))
        }
    };

    let mut parts = Vec::new();
    for (first, count) in tiles() {
        let read = take(&whole, first, count);
        let rows = TokenRows::From(first);
        observe(ModuleInput::Attention, rows, &read)?;
        if last == Some(ModuleInput::Attention) {
            continue;
        }
        let tables = rotation.queries(layer.kind.rotation).map(|tables| tables.slice(kernels, first, count));
        let attended = match (&recurrent, &latent) {
            (Some(recurrent), _) => take(recurrent, first, count),
            (None, latent) => {
                let mut gate = None;
                let queries = match latent {
                    Some(latent) => latent.queries(&read, tables.as_ref(), &maps, &mut |input, x| observe(input, rows, x))?.queries,
                    None => {
                        let queries = linear(kernels, layer, projection_index::QUERY, &read, None);
                        let queries = match output_gate::split(kernels, shape, &queries) {
                            Some((queries, of_output)) => {
                                gate = Some(of_output);
                                queries
                            }
                            None => queries,
                        };
                        placed(kernels, shape, queries, heads.queries, norms.query.as_ref(), tables.as_ref())
                    }
                };
                let attended = kernels.attention(
                    heads,
                    &queries,
                    &keys,
                    &values,
                    layer.beside.sinks.as_ref(),
                    &[SequenceSpan { position: first, rows: count }],
                );
                match (latent, gate) {
                    (Some(latent), _) => latent.output(&attended),
                    (None, Some(gate)) => kernels.gated(Activation::Sigmoid, &gate, &attended),
                    (None, None) => attended,
                }
            }
        };
        observe(ModuleInput::Output, rows, &attended)?;
        if last == Some(ModuleInput::Output) {
            continue;
        }
        let stream = take(hidden, first, count);
        let hidden = joined(kernels, shape, layer, first_map - 1, &attended, norms.after_attention.as_ref(), stream);
        let read = if shape.block.parallel {
            read
        } else {
            normed(kernels, shape, &hidden, norms.before_feed_forward.as_ref())
        };
        observe(ModuleInput::FeedForward, rows, &read)?;
        if last == Some(ModuleInput::FeedForward) {
            continue;
        }
        if let Some(mixture) = layer.mixture(kernels, shape) {
            let routes = mixture.route(&read, None, &maps)?;
            // Rows of a tile become tokens of the sequence.
            let mut of_tile = |input: ModuleInput, rows: TokenRows<'_>, x: &K::Matrix| match rows {
                TokenRows::From(_) => observe(input, TokenRows::From(first), x),
                TokenRows::At(rows) if first == 0 => observe(input, TokenRows::At(rows), x),
                TokenRows::At(rows) => observe(input, TokenRows::At(&rows.iter().map(|row| first + row).collect::<Vec<_>>()), x),
            };
            let given = mixture.forward(&read, &routes, &maps, &mut of_tile)?;
            parts.push(kernels.add(given_to_stream(kernels, shape, given, norms.after_feed_forward.as_ref()), &hidden));
            continue;
        }
        let [.., down_map] = place_modules(first_map, 0);
        let (gate, up) = gate_and_up(kernels, shape, layer, &read);
        let gated = kernels.gated(shape.block.activation, &gate, &up);
        observe(ModuleInput::Down, rows, &gated)?;
        if last == Some(ModuleInput::Down) {
            continue;
        }
        let norm = norms.after_feed_forward.as_ref();
        parts.push(joined(kernels, shape, layer, down_map, &gated, norm, hidden));
    }
    Ok((parts, KeysValues { keys, values }))
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
