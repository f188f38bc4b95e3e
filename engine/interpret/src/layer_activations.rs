//! What a layer computes at packed rows, and the way of a gradient back through it.
//!
//! The two halves are apart so that several gradients, such as those of several draws of labels, go back through activations
//! that were computed once. A layer needs its input at those rows and its keys and values; everything else is recomputed.

use cruxscope_checkpoint::Activation;
use cruxscope_model::ModelError;
use cruxscope_model::block::{self, KeysValues};
use cruxscope_model::decoder::{Decoder, Layer};
use cruxscope_model::delta::{self, DeltaRows, DeltaState};
use cruxscope_model::experts::{AtInput, AtModule, Routes};
use cruxscope_model::kernels::Kernels;
use cruxscope_model::latent::LatentQueries;
use cruxscope_model::module::{ModuleInput, TokenRows, place_modules, projection_index};
use cruxscope_model::output_gate;
use cruxscope_model::rotation::Rotation;

use crate::packed::Packed;

/// Activations of a layer at packed rows, as far as a backward pass needs them.
pub struct LayerActivations<K: Kernels> {
    input: K::Matrix,
    normed: K::Matrix,
    mixing: Mixing<K>,
    /// What attention's last map reads.
    attended: K::Matrix,
    middle: K::Matrix,
    middle_normed: K::Matrix,
    inner: Inner<K>,
    activation: Activation,
}

/// What attention, or what stands in its place, computes before its last map.
enum Mixing<K: Kernels> {
    /// Queries before and after norm and rotation, what attention gives, and the gate that it is multiplied by the sigmoid of.
    Plain {
        raw: K::Matrix,
        queries: K::Matrix,
        mixed: K::Matrix,
        gate: Option<K::Matrix>,
    },
    /// Queries and what they come out of, and what attention gives.
    Latent { queries: LatentQueries<K>, mixed: K::Matrix },
    /// What the maps of a delta rule give, and the states before each run.
    Delta { rows: DeltaRows, states: Vec<DeltaState> },
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
        let (maps, sinks) = (layer.maps(kernels), layer.beside.sinks.as_ref());
        let attention = |queries: &K::Matrix| kernels.attention(heads, queries, &cache.keys, &cache.values, sinks, &packed.runs);
        let (mixing, attended) = match (layer.recurrent(&shape), layer.latent(kernels, &shape)) {
            (Some((rule, weights)), _) => {
                let rows = delta::rows(kernels, rule, &normed, &maps)?;
                let states = DeltaState::kept(kernels, rule, &cache.keys, &cache.values)?;
                let mut running = states.clone();
                let mut running: Vec<&mut DeltaState> = running.iter_mut().collect();
                let runs = packed.lengths();
                let attended = delta::mix(kernels, rule, weights, shape.norm_epsilon, &rows, &runs, &mut running, &mut |_, _| ());
                (Mixing::Delta { rows, states }, attended)
            }
            (None, Some(latent)) => {
                let queries = latent.queries(&normed, tables, &maps, &mut |_, _| Ok(()))?;
                let mixed = attention(&queries.queries);
                let attended = latent.output(&mixed);
                (Mixing::Latent { queries, mixed }, attended)
            }
            (None, None) => {
                let raw = block::linear(kernels, layer, projection_index::QUERY, &normed, None);
                let (raw, gate) = match output_gate::split(kernels, &shape, &raw) {
                    Some((queries, gate)) => (queries, Some(gate)),
                    None => (raw, None),
                };
                let queries = block::placed(kernels, &shape, raw.clone(), heads.queries, norms.query.as_ref(), tables);
                let mixed = attention(&queries);
                let attended = match &gate {
                    Some(gate) => kernels.gated(Activation::Sigmoid, gate, &mixed),
                    None => mixed.clone(),
                };
                (Mixing::Plain { raw, queries, mixed, gate }, attended)
            }
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
            mixing,
            attended,
            middle,
            middle_normed,
            inner,
            activation: shape.block.activation,
        })
    }

    /// Gives every wanted input of the layer's linear maps to `observe`, with the packed rows that it is of, `[rows, in]`.
    ///
    /// # Errors
    /// Whatever `observe` returns; when the device failed.
    pub fn inputs(
        &self,
        decoder: &Decoder<K>,
        layer: &Layer<K>,
        rotation: &Rotation<K>,
        wanted: &dyn Fn(ModuleInput) -> bool,
        observe: &mut AtInput<'_, K::Matrix>,
    ) -> Result<(), ModelError> {
        let (kernels, shape, all) = (decoder.kernels(), decoder.shape(), TokenRows::From(0));
        let maps = layer.maps(kernels);
        let mut give = |input: ModuleInput, rows: TokenRows<'_>, x: &K::Matrix| if wanted(input) { observe(input, rows, x) } else { Ok(()) };
        give(ModuleInput::Attention, all, &self.normed)?;
        if let Some(latent) = layer.latent(kernels, &shape).filter(|_| matches!(self.mixing, Mixing::Latent { .. })) {
            let (of_queries, of_keys) = (rotation.queries(layer.kind.rotation), rotation.keys(layer.kind.rotation));
            latent.queries(&self.normed, of_queries, &maps, &mut |input, x| give(input, all, x))?;
            latent.keys_values(&self.normed, of_keys, &maps, &mut |input, x| give(input, all, x))?;
        }
        give(ModuleInput::Output, all, &self.attended)?;
        give(ModuleInput::FeedForward, all, &self.middle_normed)?;
        match (&self.inner, layer.mixture(kernels, &shape)) {
            (Inner::Mixture(routes), Some(mixture)) => mixture.forward(&self.middle_normed, routes, &maps, &mut give).map(drop),
            _ if wanted(ModuleInput::Down) => give(ModuleInput::Down, all, &self.down_input(kernels)),
            _ => Ok(()),
        }
    }

    /// What the last map of a dense feed-forward block reads, `[packed rows, in]`; of a mixture what the block reads.
    fn down_input(&self, kernels: &K) -> K::Matrix {
        match &self.inner {
            Inner::Dense { gate, up } => kernels.gated(self.activation, gate, up),
            Inner::Mixture(_) => self.middle_normed.clone(),
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
        let (norms, parallel) = (&layer.norms, shape.block.parallel);
        let back = |weight: usize, gradient: &K::Matrix, onto: Option<K::Matrix>| kernels.linear_backward(gradient, &layer.weights[weight], onto);
        let at_module = |module: usize, input: &dyn Fn() -> K::Matrix, norm: Option<&K::Matrix>, gradient: &K::Matrix| {
            block::joined_backward(kernels, &shape, layer, module, input, norm, gradient)
        };

        // The feed-forward block.
        let (all, first_map) = (TokenRows::From(0), shape.block.attention_maps(layer.kind));
        let at_norm = match &self.inner {
            Inner::Dense { gate, up } => {
                let [gate_map, up_map, down_map] = place_modules(first_map, 0);
                let at_down = at_module(down_map, &|| self.down_input(kernels), norms.after_feed_forward.as_ref(), &gradient);
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
        let at_output = at_module(output_map, &|| self.attended.clone(), norms.after_attention.as_ref(), &at_middle);
        let at_output = at_output.as_ref().unwrap_or(&at_middle);
        observe(output_map, all, at_output)?;
        let at_attended = back(output_map, at_output, None);
        let at_norm = self.mixing_backward(decoder, layer, cache, rotation, packed, at_attended, at_shared, &mut observe)?;
        let below = block::normed_backward(kernels, &shape, &self.input, norms.before_attention.as_ref(), &at_norm);
        Ok(kernels.add(below, &at_middle))
    }
    /// Takes the gradient at what attention's last map reads to what its first maps read, where `at_read` is that of others.
    fn mixing_backward(
        &self,
        decoder: &Decoder<K>,
        layer: &Layer<K>,
        cache: &KeysValues<K>,
        rotation: &Rotation<K>,
        packed: &Packed,
        gradient: K::Matrix,
        at_read: Option<K::Matrix>,
        observe: &mut AtModule<'_, K::Matrix>,
    ) -> Result<K::Matrix, ModelError> {
        let (kernels, shape) = (decoder.kernels(), decoder.shape());
        let (norms, heads, all) = (&layer.norms, layer.heads(&shape), TokenRows::From(0));
        let back = |weight: usize, gradient: &K::Matrix, onto: Option<K::Matrix>| kernels.linear_backward(gradient, &layer.weights[weight], onto);
        let (of_queries, of_keys) = (rotation.queries(layer.kind.rotation), rotation.keys(layer.kind.rotation));
        let attention = |queries: &K::Matrix, mixed: &K::Matrix, at_mixed: &K::Matrix| {
            let sinks = layer.beside.sinks.as_ref();
            kernels.attention_backward(heads, queries, &cache.keys, &cache.values, sinks, &packed.runs, mixed, at_mixed)
        };
        match &self.mixing {
            Mixing::Delta { rows, states } => {
                // A layer that has such rows has a delta rule.
                let Some((rule, weights)) = layer.recurrent(&shape) else {
                    return Ok(gradient);
                };
                let runs = packed.lengths();
                let at_maps = delta::backward(kernels, rule, weights, shape.norm_epsilon, rows, &runs, states, &gradient)?;
                let mut below = at_read;
                for (module, at_map) in at_maps.iter().enumerate() {
                    observe(module, all, at_map)?;
                    below = Some(back(module, at_map, below));
                }
                // A delta rule has several maps.
                Ok(below.unwrap_or(gradient))
            }
            Mixing::Latent { queries, mixed } => {
                let Some(latent) = layer.latent(kernels, &shape) else { return Ok(gradient) };
                let at_mixed = latent.output_backward(&gradient).unwrap_or(gradient);
                let (dq, dk, dv) = attention(&queries.queries, mixed, &at_mixed);
                let through = |module: usize, gradient: &K::Matrix| back(module, gradient, None);
                let maps = layer.maps(kernels);
                let own = latent.backward(&self.normed, queries, [dq, dk, dv], [of_queries, of_keys], &maps, &through, observe)?;
                Ok(match at_read {
                    Some(at_read) => kernels.add(own, &at_read),
                    None => own,
                })
            }
            Mixing::Plain { raw, queries, mixed, gate } => {
                let (at_gate, at_mixed) = match gate {
                    Some(gate) => {
                        let (at_gate, at_mixed) = kernels.gated_backward(Activation::Sigmoid, gate, mixed, &gradient);
                        (Some(at_gate), at_mixed)
                    }
                    None => (None, gradient),
                };
                let (dq, dk, dv) = attention(queries, mixed, &at_mixed);
                let raw_keys = || block::linear(kernels, layer, projection_index::KEY, &self.normed, None);
                let dq = block::placed_backward(kernels, &shape, || raw.clone(), heads.queries, norms.query.as_ref(), of_queries, dq);
                let dk = block::placed_backward(kernels, &shape, raw_keys, heads.keys, norms.key.as_ref(), of_keys, dk);
                let dq = match at_gate {
                    Some(at_gate) => output_gate::backward(kernels, &shape, &dq, &at_gate),
                    None => dq,
                };
                observe(projection_index::QUERY, all, &dq)?;
                observe(projection_index::KEY, all, &dk)?;
                observe(projection_index::VALUE, all, &dv)?;
                let through = back(projection_index::KEY, &dk, Some(back(projection_index::QUERY, &dq, at_read)));
                Ok(back(projection_index::VALUE, &dv, Some(through)))
            }
        }
    }
}
