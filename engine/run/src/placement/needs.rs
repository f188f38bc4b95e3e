//! How much an instance and a model are, before anything is put anywhere.

use cruxscope_checkpoint::ModelConfig;
use cruxscope_interpret::Layout;

/// Rows of a tile of logits, as `cruxscope_interpret::backward` takes them.
const LOGIT_ROWS: u64 = 256;

/// Bytes that one instance takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Of the device, from the first layer to the last and back.
    pub carried: u64,
    /// Of the device, while its turn lasts.
    pub passing: u64,
    /// Block inputs, wherever they are kept.
    pub inputs: u64,
    /// Keys and values, and of delta rules the states before every segment, likewise.
    pub keys_values: u64,
    /// Of the machine's memory: means and gradients.
    pub vectors: u64,
}

impl Needs {
    /// Of an instance, by its tokens, segments, packed rows and sets of gradients.
    pub fn of(config: &ModelConfig, layout: &Layout, tokens: usize, segments: usize, rows: usize, gradients: usize) -> Self {
        let key_value = config.key_value_heads * config.head_dim;
        let recurrent = (0..config.layers).filter_map(|layer| config.delta(layer));
        let states: usize = recurrent
            .clone()
            .map(|rule| rule.state() + rule.kernel.saturating_sub(1) * rule.channels())
            .sum();
        let attending = config.layers - recurrent.count();
        let floats = |count: usize| 4 * count as u64;
        // Keys and values, their gradients, and on the processors both once more, transposed.
        let around_attention = 6 * key_value;
        Self {
            carried: floats((tokens + rows) * config.hidden),
            passing: floats(tokens * (3 * config.hidden + around_attention) + rows * (5 * config.hidden + 5 * config.intermediate)),
            inputs: floats(config.layers * rows * config.hidden),
            keys_values: floats(attending * 2 * tokens * key_value + segments * states),
            vectors: floats((5 + gradients) * layout.length()),
        }
    }

    /// What waits between the two directions.
    pub(super) fn kept(self) -> u64 {
        self.inputs + self.keys_values
    }
}

/// Memory that something takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The machine's.
    pub machine: u64,
    /// The device's own; zero where it has none, or it is not known.
    pub device: u64,
    /// Of the disk, beyond finished parts.
    pub disk: u64,
}

/// Numbers of a model's weights.
pub(super) struct Sizes {
    /// Layers.
    pub layers: u64,
    /// Of all layers.
    pub all: u64,
    /// Of the largest layer.
    pub layer: u64,
    /// Of the vocabulary head.
    pub head: u64,
    /// Of the largest matrix of a layer.
    pub largest: u64,
    /// Numbers of a tile of logits.
    pub logits: u64,
}

impl Sizes {
    /// Of a model.
    pub fn of(config: &ModelConfig) -> Self {
        let of_layers = (0..config.layers).map(|layer| config.layer_weights(layer) as u64);
        let matrices = (0..config.layers)
            .flat_map(|layer| config.modules(layer))
            .map(|module| (module.rows * module.columns) as u64);
        Self {
            layers: config.layers as u64,
            all: of_layers.clone().sum(),
            layer: of_layers.max().unwrap_or(0),
            head: (config.vocabulary * config.hidden) as u64,
            largest: matrices.max().unwrap_or(0),
            logits: LOGIT_ROWS * config.vocabulary as u64,
        }
    }
}
