//! Where each weight stands in the one long list of parameters.

use std::ops::Range;

use cruxscope_statistics::SplitMix;

/// The sizes of a Llama model with tied embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Tokens known.
    pub vocabulary: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Decoder layers.
    pub layers: usize,
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and values.
    pub key_heads: usize,
    /// Width inside the feed-forward block.
    pub feed_forward: usize,
}

/// Epsilon of every normalisation.
pub const EPSILON: f32 = 1e-5;
/// Base of the rotary angles.
pub const THETA: f64 = 10_000.0;

/// Where the weights of one decoder layer are.
#[derive(Clone, Debug)]
pub struct LayerPlaces {
    /// Normalisation before attention.
    pub norm: Range<usize>,
    /// Projection to queries.
    pub query: Range<usize>,
    /// Projection to keys.
    pub key: Range<usize>,
    /// Projection to values.
    pub value: Range<usize>,
    /// Projection out of attention.
    pub output: Range<usize>,
    /// Normalisation before the feed-forward block.
    pub second_norm: Range<usize>,
    /// Gate of the feed-forward block.
    pub gate: Range<usize>,
    /// Projection up.
    pub up: Range<usize>,
    /// Projection down.
    pub down: Range<usize>,
}

/// Where all weights are.
#[derive(Clone, Debug)]
pub struct Places {
    /// The embedding, which is the head too.
    pub embedding: Range<usize>,
    /// Layer by layer.
    pub layers: Vec<LayerPlaces>,
    /// The last normalisation.
    pub norm: Range<usize>,
}

/// A weight by its name, with its rows and columns; a vector has no columns.
pub type Named = (String, Range<usize>, usize, Option<usize>);

impl Shape {
    /// The miniature: 1.1 million parameters.
    pub const fn miniature(vocabulary: usize) -> Self {
        Self {
            vocabulary,
            hidden: 128,
            layers: 6,
            heads: 4,
            key_heads: 2,
            feed_forward: 352,
        }
    }

    /// Width of one head.
    pub const fn head(&self) -> usize {
        self.hidden / self.heads
    }

    /// Width of all keys of a token.
    pub const fn keys(&self) -> usize {
        self.key_heads * self.head()
    }

    /// The places of all weights.
    pub fn places(&self) -> Places {
        let mut end = 0;
        let mut take = |count: usize| {
            end += count;
            end - count..end
        };
        let (hidden, wide) = (self.hidden, self.feed_forward);
        let embedding = take(self.vocabulary * hidden);
        let layers = (0..self.layers)
            .map(|_| LayerPlaces {
                norm: take(hidden),
                query: take(hidden * hidden),
                key: take(self.keys() * hidden),
                value: take(self.keys() * hidden),
                output: take(hidden * hidden),
                second_norm: take(hidden),
                gate: take(wide * hidden),
                up: take(wide * hidden),
                down: take(hidden * wide),
            })
            .collect();
        Places {
            embedding,
            layers,
            norm: take(hidden),
        }
    }

    /// How many parameters there are.
    pub fn parameters(&self) -> usize {
        self.places().norm.end
    }

    /// Every weight under its Hugging Face name.
    pub fn named(&self) -> Vec<Named> {
        let places = self.places();
        let (hidden, wide, keys) = (self.hidden, self.feed_forward, self.keys());
        let mut all = vec![("model.embed_tokens.weight".to_owned(), places.embedding, self.vocabulary, Some(hidden))];
        for (index, layer) in places.layers.into_iter().enumerate() {
            let mut add = |name: &str, place, rows, columns| {
                all.push((format!("model.layers.{index}.{name}.weight"), place, rows, columns));
            };
            add("input_layernorm", layer.norm, hidden, None);
            add("self_attn.q_proj", layer.query, hidden, Some(hidden));
            add("self_attn.k_proj", layer.key, keys, Some(hidden));
            add("self_attn.v_proj", layer.value, keys, Some(hidden));
            add("self_attn.o_proj", layer.output, hidden, Some(hidden));
            add("post_attention_layernorm", layer.second_norm, hidden, None);
            add("mlp.gate_proj", layer.gate, wide, Some(hidden));
            add("mlp.up_proj", layer.up, wide, Some(hidden));
            add("mlp.down_proj", layer.down, hidden, Some(wide));
        }
        all.push(("model.norm.weight".to_owned(), places.norm, hidden, None));
        all
    }

    /// Weights to begin with: matrices normal with deviation 0.05, normalisations one.
    pub fn initial(&self, seed: u64) -> Vec<f32> {
        let mut generator = SplitMix::new(seed);
        let mut weights = vec![1.0; self.parameters()];
        for (_, place, _, columns) in self.named() {
            if columns.is_some() {
                for weight in &mut weights[place] {
                    let radius = (-2.0 * (1.0 - generator.share()).ln()).sqrt();
                    *weight = (0.05 * radius * (std::f64::consts::TAU * generator.share()).cos()) as f32;
                }
            }
        }
        weights
    }
}
