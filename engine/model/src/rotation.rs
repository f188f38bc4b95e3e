//! Rotary tables on the device: those that the layers of a model need for some positions.

use cruxscope_checkpoint::{LayerRotation, ModelConfig, Rope, Temperature};

use crate::kernels::Kernels;

/// The rotary embeddings of a model, and what goes into their tables.
#[derive(Clone, Debug, PartialEq)]
pub struct Ropes {
    /// The usual one.
    pub usual: Rope,
    /// That of layers with a window, where it is another.
    pub local: Option<Rope>,
    /// Features of a head that turn.
    pub turned: usize,
    /// Features of a head.
    pub width: usize,
    /// Whether angles are rounded to float32.
    pub float32_angles: bool,
    /// A factor of queries, which goes into tables of their own.
    pub temperature: Option<Temperature>,
}

impl Ropes {
    /// Those of a model.
    pub fn of(config: &ModelConfig) -> Self {
        Self {
            usual: config.rope.clone(),
            local: config.local_rope.clone(),
            turned: config.block.rotary_dim,
            width: config.head_dim,
            float32_angles: config.block.float32_angles,
            temperature: config.block.temperature,
        }
    }
}

/// Cosines and sines, `[positions, turned features / 2]` each.
pub struct Tables<K: Kernels> {
    /// Cosines.
    pub cosine: K::Matrix,
    /// Sines.
    pub sine: K::Matrix,
}

impl<K: Kernels> Clone for Tables<K> {
    fn clone(&self) -> Self {
        Self {
            cosine: self.cosine.clone(),
            sine: self.sine.clone(),
        }
    }
}

impl<K: Kernels> Tables<K> {
    fn new(kernels: &K, ropes: &Ropes, rope: &Rope, places: impl Iterator<Item = (usize, usize)> + Clone, factor: impl Fn(usize) -> f64) -> Self {
        let rows = places.clone().count();
        let tables = rope.tables(ropes.turned, ropes.float32_angles, places, factor);
        Self {
            cosine: kernels.upload(rows, ropes.turned / 2, tables.cos),
            sine: kernels.upload(rows, ropes.turned / 2, tables.sin),
        }
    }

    /// Those of `count` positions from the `first` on.
    pub fn slice(&self, kernels: &K, first: usize, count: usize) -> Self {
        Self {
            cosine: kernels.slice(&self.cosine, first, count),
            sine: kernels.slice(&self.sine, first, count),
        }
    }
}

/// Tables of queries and keys by the rotations that layers have.
pub struct Rotation<K: Kernels> {
    usual: OfRope<K>,
    local: Option<OfRope<K>>,
    /// Of queries that grow without turning: cosines that are the factor, and sines of zero.
    still: Option<Tables<K>>,
}

struct OfRope<K: Kernels> {
    keys: Tables<K>,
    /// Only where they differ.
    queries: Option<Tables<K>>,
}

impl<K: Kernels> Rotation<K> {
    /// The tables for some places: positions, each with the number of tokens of its text.
    pub fn new(kernels: &K, ropes: &Ropes, places: impl Iterator<Item = (usize, usize)> + Clone) -> Self {
        let of_turning = ropes.temperature.filter(|temperature| !temperature.of_still_layers);
        let of = |rope: &Rope| OfRope {
            keys: Tables::new(kernels, ropes, rope, places.clone(), |_| 1.0),
            queries: of_turning.map(|temperature| Tables::new(kernels, ropes, rope, places.clone(), |position| temperature.at(position))),
        };
        let of_still = ropes.temperature.filter(|temperature| temperature.of_still_layers);
        let still = of_still.map(|temperature| {
            let pairs = ropes.width / 2;
            let factors: Vec<f32> = places
                .clone()
                .flat_map(|(position, _)| std::iter::repeat_n(temperature.at(position) as f32, pairs))
                .collect();
            let rows = factors.len() / pairs;
            Tables {
                sine: kernels.upload(rows, pairs, vec![0.0; factors.len()]),
                cosine: kernels.upload(rows, pairs, factors),
            }
        });
        Self {
            usual: of(&ropes.usual),
            local: ropes.local.as_ref().map(of),
            still,
        }
    }

    /// Those of queries in a layer; nothing where they stay as they are.
    pub fn queries(&self, layer: LayerRotation) -> Option<&Tables<K>> {
        if layer == LayerRotation::Still {
            return self.still.as_ref();
        }
        self.of(layer).map(|tables| tables.queries.as_ref().unwrap_or(&tables.keys))
    }

    /// Those of keys in a layer, likewise.
    pub fn keys(&self, layer: LayerRotation) -> Option<&Tables<K>> {
        self.of(layer).map(|tables| &tables.keys)
    }

    fn of(&self, layer: LayerRotation) -> Option<&OfRope<K>> {
        match layer {
            LayerRotation::Usual => Some(&self.usual),
            LayerRotation::Local => Some(self.local.as_ref().unwrap_or(&self.usual)),
            LayerRotation::None | LayerRotation::Still => None,
        }
    }
}
