//! What a layer computes at packed rows, and the way of a gradient back through it.
//!
//! The two halves are apart so that several gradients, such as those of several draws of labels, go back through activations
//! that were computed once. A layer needs its input at those rows and its keys and values; everything else is recomputed.

use cruxscope_checkpoint::Activation;
use cruxscope_model::ModelError;
use cruxscope_model::block::{self, KeysValues};
use cruxscope_model::decoder::{Decoder, Layer};
use cruxscope_model::experts::Routes;
use cruxscope_model::kernels::Kernels;
use cruxscope_model::latent::LatentQueries;
use cruxscope_model::module::{ModuleInput, TokenRows, place_modules, projection_index};
use cruxscope_model::rotation::Rotation;

use crate::packed::Packed;

/// Activations of a layer at packed rows, as far as a backward pass needs them.
pub struct LayerActivations<K: Kernels> {
    input: K::Matrix,
    normed: K::Matrix,
    queries: Queries<K>,
    /// What attention gives.
    mixed: K::Matrix,
    /// What its last map reads: the same, where attention is not latent.
    attended: K::Matrix,
    middle: K::Matrix,
    middle_normed: K::Matrix,
    inner: Inner<K>,
    activation: Activation,
}

/// Queries, and what they come out of.
enum Queries<K: Kernels> {
    Plain { raw: K::Matrix, queries: K::Matrix },
    Latent(LatentQueries<K>),
}

impl<K: Kernels> Queries<K> {
    fn turned(&self) -> &K::Matrix {
        match self {
            Self::Plain { queries, .. } => queries,
            Self::Latent(latent) => &latent.queries,
        }
    }
}

/// What the feed-forward block computes first.
enum Inner<K: Kernels> {
    Dense { gate: K::Matrix, up: K::Matrix },
    Mixture(Routes<K>),
}

impl<K: Kernels> LayerActivations<K> {
    /// Computes them.
    ///
    /// `chosen` are the experts that the packed rows were routed to in the forward pass, one row after the other; where they are not
    /// given, the router is asked again.
    ///
    /// # Shapes
    /// `input` (the layer's input at the packed rows) is `[packed rows, hidden]`.
    ///
    /// # Errors
    /// When the device failed.
    pub fn of(
        decoder: &Decoder<K>,
        layer: &Layer<K>,
        input: K::Matrix,
        cache: &KeysValues<K>,
        rotation: &Rotation<K>,
        packed: &Packed,
        chosen: Option<&[usize]>,
    ) -> Result<Self, ModelError> {
        let (kernels, shape) = (decoder.kernels(), decoder.shape());
        let (norms, heads) = (&layer.norms, layer.heads(&shape));
        let normed = block::normed(kernels, &shape, &input, norms.before_attention.as_ref());
        let tables = rotation.queries(layer.kind.rotation);
        let latent = layer.latent(kernels, &shape);
        let queries = match &latent {
            Some(latent) => Queries::Latent(latent.queries(&normed, tables, &layer.maps(kernels), &mut |_, _| Ok(()))?),
            None => {
                let raw = block::linear(kernels, layer, projection_index::QUERY, &normed, None);
                Queries::Plain {
                    queries: block::placed(kernels, &shape, raw.clone(), heads.queries, norms.query.as_ref(), tables),
                    raw,
                }
            }
        };
        let mixed = kernels.attention(heads, queries.turned(), &cache.keys, &cache.values, layer.beside.sinks.as_ref(), &packed.runs);
        let attended = match &latent {
            Some(latent) => latent.output(&mixed),
            None => mixed.clone(),
        };
        let norm = norms.after_attention.as_ref();
        let first_map = shape.block.attention_maps(layer.kind);
        let middle = block::joined(kernels, &shape, layer, first_map - 1, &attended, norm, input.clone());
        let middle_normed = if shape.block.parallel {
            normed.clone()
        } else {
            block::normed(kernels, &shape, &middle, norms.before_feed_forward.as_ref())
        };
        let inner = match layer.mixture(kernels, &shape) {
            Some(mixture) => Inner::Mixture(mixture.route(&middle_normed, chosen.map(<[usize]>::to_vec), &layer.maps(kernels))?),
            None => {
                let (gate, up) = block::gate_and_up(kernels, &shape, layer, &middle_normed);
                Inner::Dense { gate, up }
            }
        };
        Ok(Self {
            input,
            normed,
            queries,
            mixed,
            attended,
            middle,
            middle_normed,
            inner,
            activation: shape.block.activation,
        })
    }

    /// One of the inputs of linear modules, `[packed rows, in]`; those of single experts are not kept, and of a mixture the place of
    /// the input of down is taken by that of the block.
    pub fn input(&self, kernels: &K, input: ModuleInput) -> K::Matrix {
        match input {
            ModuleInput::Attention => self.normed.clone(),
            ModuleInput::Output => self.attended.clone(),
            // Of those that are read inside of attention or by experts, what the block reads.
            ModuleInput::QueryLatent | ModuleInput::KeyValueLatent => self.normed.clone(),
            ModuleInput::FeedForward | ModuleInput::Place(_) | ModuleInput::PlaceDown(_) => self.middle_normed.clone(),
            ModuleInput::Down => match &self.inner {
                Inner::Dense { gate, up } => kernels.gated(self.activation, gate, up),
                Inner::Mixture(_) => self.middle_normed.clone(),
            },
        }
    }

    /// Takes the gradient at the layer's output back to its input; `observe` is given the gradient at the output of each linear map, by
    /// its position among the layer's, with the packed rows that it is of, `[rows, out]`.
    ///
    /// # Shapes
    /// `gradient` and the result are `[packed rows, hidden]`.
    ///
    /// # Errors
    /// Whatever `observe` returns.
    pub fn backward(
        &self,
        decoder: &Decoder<K>,
        layer: &Layer<K>,
        cache: &KeysValues<K>,
        rotation: &Rotation<K>,
        packed: &Packed,
        gradient: K::Matrix,
        mut observe: impl FnMut(usize, TokenRows<'_>, &K::Matrix) -> Result<(), ModelError>,
    ) -> Result<K::Matrix, ModelError> {
        let (kernels, shape) = (decoder.kernels(), decoder.shape());
        let (norms, heads, parallel) = (&layer.norms, layer.heads(&shape), shape.block.parallel);
        let back = |weight: usize, gradient: &K::Matrix, onto: Option<K::Matrix>| kernels.linear_backward(gradient, &layer.weights[weight], onto);
        let at_module = |module: usize, input: ModuleInput, norm: Option<&K::Matrix>, gradient: &K::Matrix| {
            block::joined_backward(kernels, &shape, layer, module, || self.input(kernels, input), norm, gradient)
        };

        // The feed-forward block.
        let (all, first_map) = (TokenRows::From(0), shape.block.attention_maps(layer.kind));
        let at_norm = match &self.inner {
            Inner::Dense { gate, up } => {
                let [gate_map, up_map, down_map] = place_modules(first_map, 0);
                let at_down = at_module(down_map, ModuleInput::Down, norms.after_feed_forward.as_ref(), &gradient);
                let at_down = at_down.as_ref().unwrap_or(&gradient);
                observe(down_map, all, at_down)?;
                let (gate_gradient, up_gradient) = kernels.gated_backward(self.activation, gate, up, &back(down_map, at_down, None));
                if shape.block.ungated {
                    // The output of up stands in the place of a gate's.
                    observe(up_map, all, &gate_gradient)?;
                    back(up_map, &gate_gradient, None)
                } else {
                    observe(up_map, all, &up_gradient)?;
                    observe(gate_map, all, &gate_gradient)?;
                    back(up_map, &up_gradient, Some(back(gate_map, &gate_gradient, None)))
                }
            }
            Inner::Mixture(routes) => {
                // A layer that has routes has a mixture.
                let Some(mixture) = layer.mixture(kernels, &shape) else { return Ok(gradient) };
                let maps = layer.maps(kernels);
                let norm = norms.after_feed_forward.as_ref();
                let given = || mixture.forward(&self.middle_normed, routes, &maps, &mut |_, _, _| Ok(()));
                let at_given = block::given_to_stream_backward(kernels, &shape, given, norm, &gradient)?;
                let at_given = at_given.as_ref().unwrap_or(&gradient);
                let through = |module: usize, gradient: &K::Matrix| back(module, gradient, None);
                mixture.backward(&self.middle_normed, routes, at_given, &maps, &through, &mut observe)?
            }
        };
        // Both blocks of a parallel layer read one norm, whose gradient waits for the other block's.
        let (at_middle, at_shared) = if parallel {
            (gradient, Some(at_norm))
        } else {
            let below = block::normed_backward(kernels, &shape, &self.middle, norms.before_feed_forward.as_ref(), &at_norm);
            (kernels.add(below, &gradient), None)
        };

        // Attention.
        let output_map = first_map - 1;
        let at_output = at_module(output_map, ModuleInput::Output, norms.after_attention.as_ref(), &at_middle);
        let at_output = at_output.as_ref().unwrap_or(&at_middle);
        observe(output_map, all, at_output)?;
        let at_attended = back(output_map, at_output, None);
        let latent = layer.latent(kernels, &shape);
        let at_mixed = match &latent {
            Some(latent) => latent.output_backward(&at_attended).unwrap_or(at_attended),
            None => at_attended,
        };
        let (dq, dk, dv) = kernels.attention_backward(
            heads,
            self.queries.turned(),
            &cache.keys,
            &cache.values,
            layer.beside.sinks.as_ref(),
            &packed.runs,
            &self.mixed,
            &at_mixed,
        );
        let (of_queries, of_keys) = (rotation.queries(layer.kind.rotation), rotation.keys(layer.kind.rotation));
        let at_norm = match (&self.queries, &latent) {
            (Queries::Latent(queries), Some(latent)) => {
                let through = |module: usize, gradient: &K::Matrix| back(module, gradient, None);
                let maps = layer.maps(kernels);
                let own = latent.backward(&self.normed, queries, [dq, dk, dv], [of_queries, of_keys], &maps, &through, &mut observe)?;
                match at_shared {
                    Some(shared) => kernels.add(own, &shared),
                    None => own,
                }
            }
            (queries, _) => {
                let raw_keys = || block::linear(kernels, layer, projection_index::KEY, &self.normed, None);
                let raw_queries = || match queries {
                    Queries::Plain { raw, .. } => raw.clone(),
                    Queries::Latent(latent) => latent.queries.clone(),
                };
                let dq = block::placed_backward(kernels, &shape, raw_queries, heads.queries, norms.query.as_ref(), of_queries, dq);
                let dk = block::placed_backward(kernels, &shape, raw_keys, heads.keys, norms.key.as_ref(), of_keys, dk);
                observe(projection_index::QUERY, all, &dq)?;
                observe(projection_index::KEY, all, &dk)?;
                observe(projection_index::VALUE, all, &dv)?;
                back(
                    projection_index::VALUE,
                    &dv,
                    Some(back(projection_index::KEY, &dk, Some(back(projection_index::QUERY, &dq, at_shared)))),
                )
            }
        };
        let below = block::normed_backward(kernels, &shape, &self.input, norms.before_attention.as_ref(), &at_norm);
        Ok(kernels.add(below, &at_middle))
    }
}
