//! Means of every module's output, taken at its input.
//!
//! A module is linear, so the mean of its output over some tokens is the module applied to the mean of its input:
//! mean(W x + b) = W mean(x) + b. Four inputs a layer serve seven modules, and no output has to be summed.

use cruxscope_model::ModelError;
use cruxscope_model::decoder::{Decoder, Layer};
use cruxscope_model::kernels::Kernels;
use cruxscope_model::module::ModuleInput;
use cruxscope_study::{Component, Module};

use crate::Layout;

/// Weighted sums of a layer's module inputs over the tokens of one instance.
pub struct Capture {
    weights: Vec<Vec<f32>>,
    sums: [Vec<Vec<f64>>; 4],
}

impl Capture {
    /// A capture for sets of token weights `[set][token]`, each adding up to one.
    pub fn new(weights: Vec<Vec<f32>>) -> Self {
        Self {
            weights,
            sums: std::array::from_fn(|_| Vec::new()),
        }
    }

    /// Takes in a tile of inputs whose first token stands at `first`.
    ///
    /// # Errors
    /// When the device failed.
    pub fn observe<K: Kernels>(&mut self, kernels: &K, input: ModuleInput, first: usize, columns: usize, x: &K::Matrix) -> Result<(), ModelError> {
        let count = kernels.rows(x);
        let sums = &mut self.sums[input as usize];
        if sums.is_empty() {
            *sums = vec![vec![0.0; columns]; self.weights.len()];
        }
        let weights: Vec<&[f32]> = self.weights.iter().map(|weights| &weights[first..first + count]).collect();
        kernels.row_sums(x, &weights, sums)
    }

    /// Maps the gathered means through the layer's modules, writes them into `means` `[set]`, each in the model's layout, and
    /// starts afresh for the next layer.
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
    ) -> Result<(), ModelError> {
        let kernels = decoder.kernels();
        for module in Module::ALL {
            let weight = module.index();
            let outputs = kernels.linear_vectors(
                &self.sums[ModuleInput::of(weight) as usize],
                &layer.weights[weight],
                layer.biases[weight].as_ref(),
            )?;
            let range = layout.range(Component::new(index, module));
            for (mean, outputs) in means.iter_mut().zip(outputs) {
                for (mean, output) in mean[range.clone()].iter_mut().zip(outputs) {
                    *mean = output as f32;
                }
            }
        }
        self.sums = std::array::from_fn(|_| Vec::new());
        Ok(())
    }
}
