//! What changes of a layer's linear maps change in the maps' outputs, at the rows that reach each of them.
//!
//! A component is one linear map or, of mixtures of experts, latent attention and delta rules, several: all of them change together, and
//! what is said of a component is the sum over its maps. An expert that no row reaches changes nothing.

use cruxscope_checkpoint::{Matrix, ModelConfig};
use cruxscope_interpret::layer_activations::LayerActivations;
use cruxscope_model::decoder::{Decoder, Layer};
use cruxscope_model::kernels::Kernels;
use cruxscope_model::module::ModuleInput;
use cruxscope_model::rotation::Rotation;
use cruxscope_study::Module;

use crate::SensitivityError;

/// What a format changes in a layer: compressed minus original, by position among the layer's linear maps ([`ModelConfig::modules`]);
/// nothing where it leaves a matrix as it is.
pub type MapChanges = Vec<Option<Matrix>>;

/// What every format changes in a layer.
pub type LayerChanges = Vec<MapChanges>;

/// The components that a layer's linear maps are, or are parts of; nothing for those that only decide where tokens go.
pub fn modules_of(config: &ModelConfig, layer: usize) -> Vec<Option<Module>> {
    let slot = |slot: Option<usize>| slot.and_then(|slot| Module::ALL.get(slot).copied());
    config.modules(layer).into_iter().map(|map| slot(map.slot)).collect()
}

/// Of each linear map of a layer, formats with a matrix each.
pub type ByFormat<M> = Vec<Vec<(usize, M)>>;

/// What every format changes in a layer, on the device.
pub struct OnDevice<K: Kernels> {
    /// Of each linear map, formats with their changes.
    changes: ByFormat<K::Matrix>,
    /// Of each linear map, formats with the sums over rows of D_ij^2, `[in]`.
    squares: ByFormat<Vec<f64>>,
    inputs: Vec<ModuleInput>,
    modules: Vec<Option<Module>>,
}

impl<K: Kernels> OnDevice<K> {
    /// Brings the changes of a layer to the device.
    pub fn bring(kernels: &K, config: &ModelConfig, layer: usize, changes: LayerChanges) -> Self {
        let (maps, mixture) = (config.modules(layer), config.experts(layer).is_some());
        let mut brought = Self {
            changes: maps.iter().map(|_| Vec::new()).collect(),
            squares: vec![Vec::new(); maps.len()],
            inputs: maps.iter().map(|map| ModuleInput::of_role(map.role, mixture)).collect(),
            modules: modules_of(config, layer),
        };
        for (format, of_maps) in changes.into_iter().enumerate() {
            for (map, change) in of_maps.into_iter().enumerate().take(maps.len()) {
                let Some(change) = change else { continue };
                brought.squares[map].push((format, column_squares(&change.values, change.columns)));
                brought.changes[map].push((format, kernels.upload(change.rows, change.columns, change.values)));
            }
        }
        brought
    }

    /// The component that a linear map is, or is a part of.
    pub fn module(&self, map: usize) -> Option<Module> {
        self.modules.get(map).copied().flatten()
    }

    /// What every format changes in the output of every linear map, `[map]`, each a list of formats with `[rows that reach it, out]`.
    /// `weighted` is given, for each map's component and format, the sum over i, j and rows of D_ij^2 x_j^2.
    ///
    /// # Errors
    /// When the device failed.
    pub fn outputs(
        &self,
        decoder: &Decoder<K>,
        layer: &Layer<K>,
        activations: &LayerActivations<K>,
        rotation: &Rotation<K>,
        weighted: &mut dyn FnMut(Module, usize, f64),
    ) -> Result<ByFormat<K::Matrix>, SensitivityError> {
        let kernels = decoder.kernels();
        let mut outputs: ByFormat<K::Matrix> = self.changes.iter().map(|_| Vec::new()).collect();
        let readers = |input: ModuleInput| (0..self.changes.len()).filter(move |map| self.inputs[*map] == input && !self.changes[*map].is_empty());
        let wanted = |input: ModuleInput| readers(input).next().is_some();
        activations.inputs(decoder, layer, rotation, &wanted, &mut |input, _, x| {
            let values = kernels.download(x)?;
            let squares = column_squares(&values, values.len() / kernels.rows(x).max(1));
            for map in readers(input) {
                for (format, change) in &self.changes[map] {
                    outputs[map].push((*format, kernels.linear(x, change, None, None)));
                }
                for (format, change) in &self.squares[map] {
                    let error: f64 = change.iter().zip(&squares).map(|(change, x)| change * x).sum();
                    if let Some(module) = self.module(map) {
                        weighted(module, *format, error);
                    }
                }
            }
            Ok(())
        })?;
        Ok(outputs)
    }
}

/// Sums over rows of squares, `[columns]`.
fn column_squares(values: &[f32], columns: usize) -> Vec<f64> {
    let mut sums = vec![0.0; columns];
    for row in values.chunks_exact(columns.max(1)) {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += f64::from(*value).powi(2);
        }
    }
    sums
}
