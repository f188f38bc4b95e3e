//! The forward pass and the gradients of a Llama model, in 32-bit floats, written out by hand.

use cruxscope_model::product::{Operand, multiply_into};

use crate::{
    layout::{LayerPlaces, Places, Shape},
    linear::{linear, linear_back},
    pointwise::{Rotation, causal_softmax, causal_softmax_back, cross_entropy, gated, gated_back, normalise, normalise_back},
};

/// What a layer keeps from forward for back.
#[derive(Clone, Default)]
struct Kept {
    input: Vec<f32>,
    normal: Vec<f32>,
    factors: Vec<f32>,
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    shares: Vec<f32>,
    mixed: Vec<f32>,
    middle: Vec<f32>,
    second_normal: Vec<f32>,
    second_factors: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    active: Vec<f32>,
}

/// Room for one pass over a few sequences, used again and again.
pub struct Workspace {
    shape: Shape,
    places: Places,
    sequences: usize,
    length: usize,
    rotation: Rotation,
    layers: Vec<Kept>,
    last: Kept,
    logits: Vec<f32>,
    stream: Vec<f32>,
    wide: Vec<f32>,
    second_wide: Vec<f32>,
    narrow: Vec<f32>,
    turned: Kept,
    square: Vec<f32>,
}

impl Workspace {
    /// Room for `sequences` sequences of one length.
    pub fn new(shape: Shape, sequences: usize, length: usize) -> Self {
        let rows = sequences * length;
        let room = |width: usize| vec![0.0; rows * width];
        let (hidden, keys, wide) = (shape.hidden, shape.keys(), shape.feed_forward);
        let kept = Kept {
            input: room(hidden),
            normal: room(hidden),
            factors: room(1),
            query: room(hidden),
            key: room(keys),
            value: room(keys),
            shares: room(shape.heads * length),
            mixed: room(hidden),
            middle: room(hidden),
            second_normal: room(hidden),
            second_factors: room(1),
            gate: room(wide),
            up: room(wide),
            active: room(wide),
        };
        Self {
            shape,
            places: shape.places(),
            sequences,
            length,
            rotation: Rotation::new(length, shape.head()),
            last: Kept {
                input: room(hidden),
                normal: room(hidden),
                factors: room(1),
                ..Kept::default()
            },
            turned: Kept {
                query: room(hidden),
                key: room(keys),
                value: room(keys),
                ..Kept::default()
            },
            layers: vec![kept; shape.layers],
            logits: room(shape.vocabulary),
            stream: room(hidden),
            wide: room(wide),
            second_wide: room(wide),
            narrow: room(hidden),
            square: vec![0.0; length * length],
        }
    }

    /// The weighted sum of cross-entropies, with its gradient added to `slopes`.
    pub fn learn(&mut self, weights: &[f32], slopes: &mut [f32], tokens: &[u32], targets: &[u32], emphasis: &[f32]) -> f64 {
        self.forward(weights, tokens);
        let loss = cross_entropy(&mut self.logits, targets, emphasis);
        self.back(weights, slopes, tokens);
        loss
    }

    /// The logits of every token.
    pub fn logits(&mut self, weights: &[f32], tokens: &[u32]) -> &[f32] {
        self.forward(weights, tokens);
        &self.logits
    }

    fn forward(&mut self, weights: &[f32], tokens: &[u32]) {
        assert_eq!(tokens.len(), self.sequences * self.length);
        let (hidden, vocabulary) = (self.shape.hidden, self.shape.vocabulary);
        let embedding = &weights[self.places.embedding.clone()];
        for (row, token) in self.stream.chunks_exact_mut(hidden).zip(tokens) {
            row.copy_from_slice(&embedding[*token as usize * hidden..][..hidden]);
        }
        for index in 0..self.shape.layers {
            self.layer_forward(weights, index);
        }
        let last = &mut self.last;
        last.input.copy_from_slice(&self.stream);
        normalise(&mut last.normal, &mut last.factors, &last.input, &weights[self.places.norm.clone()]);
        linear(&mut self.logits, &last.normal, embedding, hidden, vocabulary);
    }

    fn layer_forward(&mut self, weights: &[f32], index: usize) {
        let shape = self.shape;
        let (hidden, keys, wide) = (shape.hidden, shape.keys(), shape.feed_forward);
        let place = &self.places.layers[index];
        let weight = |range: &std::ops::Range<usize>| &weights[range.clone()];
        let kept = &mut self.layers[index];
        kept.input.copy_from_slice(&self.stream);
        normalise(&mut kept.normal, &mut kept.factors, &kept.input, weight(&place.norm));
        linear(&mut kept.query, &kept.normal, weight(&place.query), hidden, hidden);
        linear(&mut kept.key, &kept.normal, weight(&place.key), hidden, keys);
        linear(&mut kept.value, &kept.normal, weight(&place.value), hidden, keys);
        self.rotation.turn_all(&mut kept.query, hidden, self.length, 1.0);
        self.rotation.turn_all(&mut kept.key, keys, self.length, 1.0);
        attend(&shape, self.sequences, self.length, kept);
        linear(&mut kept.middle, &kept.mixed, weight(&place.output), hidden, hidden);
        add(&mut kept.middle, &kept.input);
        normalise(&mut kept.second_normal, &mut kept.second_factors, &kept.middle, weight(&place.second_norm));
        linear(&mut kept.gate, &kept.second_normal, weight(&place.gate), hidden, wide);
        linear(&mut kept.up, &kept.second_normal, weight(&place.up), hidden, wide);
        gated(&mut kept.active, &kept.gate, &kept.up);
        linear(&mut self.stream, &kept.active, weight(&place.down), wide, hidden);
        add(&mut self.stream, &kept.middle);
    }

    /// Back from the gradient of the logits, which stands in their place.
    fn back(&mut self, weights: &[f32], slopes: &mut [f32], tokens: &[u32]) {
        let (hidden, vocabulary) = (self.shape.hidden, self.shape.vocabulary);
        let (embedding, norm) = (self.places.embedding.clone(), self.places.norm.clone());
        let sizes = (hidden, vocabulary);
        linear_back(
            &self.logits,
            &self.last.normal,
            &weights[embedding.clone()],
            &mut self.narrow,
            &mut slopes[embedding.clone()],
            false,
            sizes,
        );
        self.stream.fill(0.0);
        normalise_back(
            &self.narrow,
            &self.last.factors,
            &self.last.input,
            &weights[norm.clone()],
            &mut self.stream,
            &mut slopes[norm],
        );
        for index in (0..self.shape.layers).rev() {
            let place = self.places.layers[index].clone();
            self.feed_forward_back(weights, slopes, index, &place);
            self.attention_back(weights, slopes, index, &place);
        }
        let slopes = &mut slopes[embedding];
        for (row, token) in self.stream.chunks_exact(hidden).zip(tokens) {
            add(&mut slopes[*token as usize * hidden..][..hidden], row);
        }
    }

    fn feed_forward_back(&mut self, weights: &[f32], slopes: &mut [f32], index: usize, place: &LayerPlaces) {
        let (hidden, wide) = (self.shape.hidden, self.shape.feed_forward);
        let kept = &self.layers[index];
        let (gate, up, down) = (place.gate.clone(), place.up.clone(), place.down.clone());
        let weight = &weights[down.clone()];
        linear_back(&self.stream, &kept.active, weight, &mut self.wide, &mut slopes[down], false, (wide, hidden));
        gated_back(&mut self.wide, &mut self.second_wide, &kept.gate, &kept.up);
        let (input, sizes) = (&kept.second_normal, (hidden, wide));
        linear_back(&self.wide, input, &weights[gate.clone()], &mut self.narrow, &mut slopes[gate], false, sizes);
        linear_back(&self.second_wide, input, &weights[up.clone()], &mut self.narrow, &mut slopes[up], true, sizes);
        let norm = place.second_norm.clone();
        let weight = &weights[norm.clone()];
        let slope = &mut slopes[norm];
        normalise_back(&self.narrow, &kept.second_factors, &kept.middle, weight, &mut self.stream, slope);
    }

    fn attention_back(&mut self, weights: &[f32], slopes: &mut [f32], index: usize, place: &LayerPlaces) {
        let shape = self.shape;
        let (hidden, keys) = (shape.hidden, shape.keys());
        let kept = &self.layers[index];
        let (output, norm) = (place.output.clone(), place.norm.clone());
        let (weight, sizes) = (&weights[output.clone()], (hidden, hidden));
        linear_back(&self.stream, &kept.mixed, weight, &mut self.narrow, &mut slopes[output], false, sizes);
        attend_back(&shape, self.sequences, self.length, kept, &self.narrow, &mut self.turned, &mut self.square);
        self.rotation.turn_all(&mut self.turned.query, hidden, self.length, -1.0);
        self.rotation.turn_all(&mut self.turned.key, keys, self.length, -1.0);
        let parts = [
            (&self.turned.query, place.query.clone(), hidden),
            (&self.turned.key, place.key.clone(), keys),
            (&self.turned.value, place.value.clone(), keys),
        ];
        for (part, (slope, range, outputs)) in parts.into_iter().enumerate() {
            let weight = &weights[range.clone()];
            let (weight_slope, sizes) = (&mut slopes[range], (hidden, outputs));
            linear_back(slope, &kept.normal, weight, &mut self.narrow, weight_slope, part > 0, sizes);
        }
        let weight = &weights[norm.clone()];
        normalise_back(&self.narrow, &kept.factors, &kept.input, weight, &mut self.stream, &mut slopes[norm]);
    }
}

/// Attention of every head of every sequence.
fn attend(shape: &Shape, sequences: usize, length: usize, kept: &mut Kept) {
    let (hidden, keys, head) = (shape.hidden, shape.keys(), shape.head());
    let scale = 1.0 / (head as f32).sqrt();
    for sequence in 0..sequences {
        for index in 0..shape.heads {
            let at = sequence * length * hidden + index * head;
            let key_at = sequence * length * keys + index * shape.key_heads / shape.heads * head;
            let shares = &mut kept.shares[(sequence * shape.heads + index) * length * length..][..length * length];
            let query = Operand::rows(&kept.query[at..], hidden);
            let key = Operand::transposed(&kept.key[key_at..], keys);
            multiply_into([length, head, length], shares, length, false, query, key, scale);
            causal_softmax(shares, length);
            let (left, value) = (Operand::rows(shares, length), Operand::rows(&kept.value[key_at..], keys));
            multiply_into([length, length, head], &mut kept.mixed[at..], hidden, false, left, value, 1.0);
        }
    }
}

/// The gradients of [`attend`] for queries, keys and values, into `turned`.
fn attend_back(shape: &Shape, sequences: usize, length: usize, kept: &Kept, slope: &[f32], turned: &mut Kept, square: &mut [f32]) {
    let (hidden, keys, head) = (shape.hidden, shape.keys(), shape.head());
    let scale = 1.0 / (head as f32).sqrt();
    turned.key.fill(0.0);
    turned.value.fill(0.0);
    for sequence in 0..sequences {
        for index in 0..shape.heads {
            let at = sequence * length * hidden + index * head;
            let key_at = sequence * length * keys + index * shape.key_heads / shape.heads * head;
            let shares = &kept.shares[(sequence * shape.heads + index) * length * length..][..length * length];
            let slope = &slope[at..];
            let value = Operand::transposed(&kept.value[key_at..], keys);
            multiply_into([length, head, length], square, length, false, Operand::rows(slope, hidden), value, 1.0);
            let (left, right) = (Operand::transposed(shares, length), Operand::rows(slope, hidden));
            multiply_into([length, length, head], &mut turned.value[key_at..], keys, true, left, right, 1.0);
            causal_softmax_back(square, shares, length);
            let (left, key) = (Operand::rows(square, length), Operand::rows(&kept.key[key_at..], keys));
            multiply_into([length, length, head], &mut turned.query[at..], hidden, false, left, key, scale);
            let (left, query) = (Operand::transposed(square, length), Operand::rows(&kept.query[at..], hidden));
            multiply_into([length, length, head], &mut turned.key[key_at..], keys, true, left, query, scale);
        }
    }
}

/// Adds one row to another.
fn add(out: &mut [f32], other: &[f32]) {
    for (out, other) in out.iter_mut().zip(other) {
        *out += other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cruxscope_statistics::SplitMix;

    #[test]
    fn gradients_agree_with_finite_differences() {
        let shape = Shape {
            vocabulary: 11,
            hidden: 16,
            layers: 2,
            heads: 4,
            key_heads: 2,
            feed_forward: 24,
        };
        let mut generator = SplitMix::new(4);
        let mut weights: Vec<f32> = shape.initial(3).iter().map(|weight| if *weight == 1.0 { 1.0 } else { weight * 4.0 }).collect();
        let mut draw = |count: usize| -> Vec<u32> { (0..count).map(|_| generator.below(11) as u32).collect() };
        let (tokens, targets) = (draw(14), draw(14));
        let emphasis: Vec<f32> = (0..14).map(|at| if at % 3 == 0 { 0.2 } else { 1.0 }).collect();
        let mut workspace = Workspace::new(shape, 2, 7);
        let mut slopes = vec![0.0; shape.parameters()];
        workspace.learn(&weights, &mut slopes, &tokens, &targets, &emphasis);
        for (name, place, ..) in shape.named() {
            for _ in 0..6 {
                let at = place.start + generator.below(place.len());
                let kept = weights[at];
                let step = 4e-3;
                let mut losses = [1.0, -1.0].map(|sign| {
                    weights[at] = kept + sign * step;
                    let mut unused = vec![0.0; shape.parameters()];
                    workspace.learn(&weights, &mut unused, &tokens, &targets, &emphasis)
                });
                losses[0] -= losses[1];
                weights[at] = kept;
                let measured = losses[0] / f64::from(2.0 * step);
                let error = (measured - f64::from(slopes[at])).abs();
                assert!(error < 1e-2 * measured.abs().max(0.5), "{name}: {measured} {}", slopes[at]);
            }
        }
    }
}
