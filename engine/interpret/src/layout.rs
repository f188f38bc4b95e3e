//! Where each component's channels stand in one long vector over the whole model.

use std::ops::Range;
use std::sync::Arc;

use cruxscope_checkpoint::{ModelConfig, ModuleRole};
use cruxscope_study::{Component, Module};

/// A linear map whose activations are followed: a component, or one of the parts that a component is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The component.
    pub component: Component,
    /// Its position among the layer's linear maps ([`ModelConfig::modules`]).
    pub module: usize,
    /// Its name among the component's parts, where there are several.
    pub part: Option<String>,
    /// Its channels.
    pub range: Range<usize>,
    /// Of what a router chooses: its number among those of all layers. Its activation exists where tokens were routed to it.
    pub expert: Option<usize>,
}

/// The output channels of all components, layer by layer and linear map by linear map, side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    layers: usize,
    units: Arc<Vec<Unit>>,
    /// Where each layer's units begin.
    starts: Arc<Vec<usize>>,
    experts: usize,
    length: usize,
}

impl Layout {
    /// The layout of a model.
    pub fn of(config: &ModelConfig) -> Self {
        let (mut units, mut starts) = (Vec::new(), Vec::new());
        let (mut length, mut experts) = (0, 0);
        for layer in 0..config.layers {
            starts.push(units.len());
            let of_layer = config.experts(layer);
            let routed = of_layer.map_or(0, |experts| experts.router.experts);
            for (module, shape) in config.modules(layer).into_iter().enumerate() {
                let Some(slot) = shape.slot.and_then(|slot| Module::ALL.get(slot)) else {
                    continue;
                };
                let expert = match shape.role {
                    ModuleRole::FeedForward { place, .. } if place < routed => Some(experts + place),
                    _ => None,
                };
                units.push(Unit {
                    component: Component::new(layer, *slot),
                    module,
                    part: shape.part,
                    range: length..length + shape.rows,
                    expert,
                });
                length += shape.rows;
            }
            experts += routed;
        }
        Self {
            layers: config.layers,
            units: Arc::new(units),
            starts: Arc::new(starts),
            experts,
            length,
        }
    }

    /// Number of layers.
    pub fn layers(&self) -> usize {
        self.layers
    }

    /// All units, layer by layer.
    pub fn units(&self) -> &[Unit] {
        &self.units
    }

    /// Those of a layer.
    pub fn of_layer(&self, layer: usize) -> &[Unit] {
        let end = self.starts.get(layer + 1).copied().unwrap_or(self.units.len());
        &self.units[self.starts[layer]..end]
    }

    /// The unit of a linear map, by its position among the layer's.
    pub fn unit(&self, layer: usize, module: usize) -> Option<&Unit> {
        let units = self.of_layer(layer);
        units
            .get(module)
            .filter(|unit| unit.module == module)
            .or_else(|| units.iter().find(|unit| unit.module == module))
    }

    /// Number of experts that routers choose from, of all layers together.
    pub fn experts(&self) -> usize {
        self.experts
    }

    /// Whether every component is one linear map.
    pub fn is_plain(&self) -> bool {
        self.units.iter().all(|unit| unit.part.is_none())
    }

    /// The most channels that a layer has.
    pub fn layer_length(&self) -> usize {
        let lengths = (0..self.layers).map(|layer| self.of_layer(layer).iter().map(|unit| unit.range.len()).sum());
        lengths.max().unwrap_or(0)
    }

    /// Channels of the whole model.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Where a component's channels stand, of one that is one linear map; of others, those of its first part.
    pub fn range(&self, component: Component) -> Range<usize> {
        let units = self.of_layer(component.layer.0).iter();
        units
            .filter(|unit| unit.component == component)
            .map(|unit| unit.range.clone())
            .next()
            .unwrap_or(0..0)
    }
}
