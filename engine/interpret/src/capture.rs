//! Means of every linear map's output, taken at its input, and which experts tokens were routed to.
//!
//! A module is linear, so the mean of its output over some tokens is the module applied to the mean of its input:
//! mean(W x + b) = W mean(x) + b. Four inputs a layer serve seven modules, and no output has to be summed. The activation of an expert
//! exists where tokens were routed to it, and its mean runs over those: sum(w x) / sum(w), with w the tokens' weights. Where what a module
//! reads is rounded, x is what comes out of the rounding.

use cruxscope_checkpoint::{InputRounding, ModelConfig, ModuleRole};
use cruxscope_model::ModelError;
use cruxscope_model::decoder::{Decoder, Layer};
use cruxscope_model::kernels::Kernels;
use cruxscope_model::module::{ModuleInput, TokenRows};

use crate::Layout;

/// Weighted sums of a layer's module inputs over the tokens of one instance.
pub struct Capture {
    /// `[set][token]`, each set adding up to one: those of means, then those of gradients.
    weights: Vec<Vec<f32>>,
    /// How many sets are those of means.
    means: usize,
    /// By [`ModuleInput::index`], of each way that modules round it; empty where nothing came by.
    sums: Vec<Vec<Sums>>,
    /// By place of a mixture, the weight of the tokens that passed, `[set]`.
    masses: Vec<Vec<f64>>,
    /// For each token, the experts that it was routed to in this layer.
    chosen: Vec<Vec<usize>>,
}

/// Weighted sums of an input that modules round in one way, `[set][column]`.
type Sums = (Option<InputRounding>, Vec<Vec<f64>>);

/// In which ways the modules of a layer round each of their inputs, by [`ModuleInput::index`].
pub struct Readings(Vec<Vec<Option<InputRounding>>>);

impl Readings {
    /// Those of a layer.
    pub fn of<K: Kernels>(config: &ModelConfig, layer: &Layer<K>, index: usize) -> Self {
        let mut ways: Vec<Vec<Option<InputRounding>>> = Vec::new();
        for (module, rounding) in config.modules(index).into_iter().zip(&layer.inputs) {
            let input = ModuleInput::of_role(module.role, layer.kind.experts).index();
            if ways.len() <= input {
                ways.resize(input + 1, Vec::new());
            }
            if !ways[input].contains(rounding) {
                ways[input].push(*rounding);
            }
        }
        Self(ways)
    }

    fn of_input(&self, input: ModuleInput) -> &[Option<InputRounding>] {
        self.0.get(input.index()).map_or(&[None], Vec::as_slice)
    }
}

impl Capture {
    /// A capture for sets of token weights `[set][token]`, each adding up to one: of `means`, and of gradients, of which only the share
    /// that is routed to each expert is wanted.
    pub fn new(means: Vec<Vec<f32>>, gradients: Vec<Vec<f32>>) -> Self {
        Self {
            means: means.len(),
            weights: means.into_iter().chain(gradients).collect(),
            sums: Vec::new(),
            masses: Vec::new(),
            chosen: Vec::new(),
        }
    }

    /// Takes in the rows of an input.
    ///
    /// # Errors
    /// When the device failed.
    pub fn observe<K: Kernels>(
        &mut self,
        kernels: &K,
        readings: &Readings,
        input: ModuleInput,
        rows: TokenRows<'_>,
        columns: usize,
        x: &K::Matrix,
    ) -> Result<(), ModelError> {
        let place = input.index();
        if self.sums.len() <= place {
            self.sums.resize(place + 1, Vec::new());
        }
        if self.sums[place].is_empty() {
            let none = vec![vec![0.0; columns]; self.means];
            self.sums[place] = readings.of_input(input).iter().map(|rounding| (*rounding, none.clone())).collect();
        }
        let (count, sums) = (kernels.rows(x), &mut self.sums[place]);
        let mut add = |weights: &[&[f32]]| {
            sums.iter_mut().try_for_each(|(rounding, sums)| match rounding {
                None => kernels.row_sums(x, weights, sums),
                Some(rounding) => kernels.row_sums(&kernels.rounded(x, rounding), weights, sums),
            })
        };
        match rows {
            TokenRows::From(first) => {
                let weights: Vec<&[f32]> = self.weights[..self.means].iter().map(|weights| &weights[first..first + count]).collect();
                add(&weights)
            }
            TokenRows::At(tokens) => {
                let of_tokens = |weights: &Vec<f32>| tokens.iter().map(|token| weights[*token]).collect::<Vec<f32>>();
                let weights: Vec<Vec<f32>> = self.weights.iter().map(of_tokens).collect();
                if let ModuleInput::Place(expert) = input {
                    if self.masses.len() <= expert {
                        self.masses.resize(expert + 1, Vec::new());
                    }
                    self.masses[expert].resize(self.weights.len(), 0.0);
                    for (mass, weights) in self.masses[expert].iter_mut().zip(&weights) {
                        *mass += weights.iter().map(|weight| f64::from(*weight)).sum::<f64>();
                    }
                    self.chosen.resize(self.weights.first().map_or(0, Vec::len), Vec::new());
                    tokens.iter().for_each(|token| self.chosen[*token].push(expert));
                }
                let weights: Vec<&[f32]> = weights[..self.means].iter().map(Vec::as_slice).collect();
                add(&weights)
            }
        }
    }

    /// The experts that tokens at `positions` were routed to, one after the other; nothing where the layer has none.
    pub fn chosen_at(&self, positions: &[usize]) -> Option<Vec<usize>> {
        (!self.chosen.is_empty()).then(|| positions.iter().flat_map(|position| self.chosen[*position].clone()).collect())
    }

    /// Maps the gathered means through the layer's linear maps, writes them into `means` `[set]`, each in the model's layout, and into
    /// `shares` `[set]` the weight of the tokens that were routed to each expert of the model; and starts afresh for the next layer.
    ///
    /// # Errors
    /// When the device failed.
    pub fn finish_layer<K: Kernels>(
        &mut self,
        decoder: &Decoder<K>,
        layer: &Layer<K>,
        index: usize,
        layout: &Layout,
        means: &mut [Vec<f32>],
        shares: &mut [Vec<f32>],
    ) -> Result<(), ModelError> {
        let kernels = decoder.kernels();
        let mixture = layer.kind.experts;
        let roles: Vec<ModuleRole> = decoder.config().modules(index).into_iter().map(|module| module.role).collect();
        for unit in layout.of_layer(index).iter().filter(|unit| !unit.range.is_empty()) {
            let input = ModuleInput::of_role(roles[unit.module], mixture).index();
            let rounding = &layer.inputs[unit.module];
            let sums = self.sums.get(input).and_then(|ways| ways.iter().find(|(own, _)| own == rounding));
            // Nothing where no token of the instance came by.
            let Some(mut inputs) = sums.map(|(_, sums)| sums.clone()) else { continue };
            if let (Some(expert), ModuleRole::FeedForward { place, .. }) = (unit.expert, roles[unit.module]) {
                let masses = self.masses.get(place).cloned().unwrap_or_default();
                for (shares, mass) in shares.iter_mut().zip(&masses) {
                    shares[expert] = *mass as f32;
                }
                for (sums, mass) in inputs.iter_mut().zip(&masses) {
                    sums.iter_mut().for_each(|sum| *sum = if *mass > 0.0 { *sum / mass } else { 0.0 });
                }
            }
            let outputs = kernels.linear_vectors(&inputs, &layer.weights[unit.module], layer.biases[unit.module].as_ref())?;
            for (set, (mean, outputs)) in means.iter_mut().zip(outputs).enumerate() {
                let is_there = unit.expert.is_none_or(|expert| shares[set][expert] > 0.0);
                for (mean, output) in mean[unit.range.clone()].iter_mut().zip(outputs) {
                    *mean = if is_there { output as f32 } else { 0.0 };
                }
            }
        }
        self.sums.clear();
        self.masses.clear();
        self.chosen.clear();
        Ok(())
    }
}
