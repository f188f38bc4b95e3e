//! Importance opened into channels: which output features of a matrix carry it.

use crate::{Behaviour, Module, PartLayout};

/// The per-channel terms of the attribution, for drilling down into a component.
///
/// For component (layer, module) and channel j the value is u~_j * (sum of g_j over instances) / divisor: summed over j and
/// taken without its sign, that is the importance I (paper, equation 4, under the definition `paper`; under `released` the
/// absolute value stands inside the sum over segments, so there the channels are the signed mean and need not add up to I).
///
/// Where a component is several linear maps, or none, its row is zeros; the channels of its parts stand in arrays of their own.
///
/// # Shapes
/// Per behaviour and module `[layer, channel]`, row by row, in float32; per behaviour the channels of all parts, one part after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelMaps {
    /// Output features of each module, in the order of [`Module::ALL`].
    pub channels: [usize; 7],
    /// `[behaviour][module]`, each `[layer, channel]`.
    pub values: Vec<Vec<Vec<f32>>>,
    /// `[behaviour]`, each the output features of every part, in the order of [`crate::PartLayout::all`]; empty where there are no parts.
    pub parts: Vec<Vec<f32>>,
}

impl ChannelMaps {
    /// The channels of one component, if its layer exists.
    pub fn of(&self, behaviour: Behaviour, layer: usize, module: Module) -> Option<&[f32]> {
        let width = self.channels[module.index()];
        self.values.get(behaviour.index())?.get(module.index())?.get(layer * width..(layer + 1) * width)
    }

    /// The channels of one part, by its position among all and the layout that it is of.
    pub fn of_part(&self, behaviour: Behaviour, layout: &PartLayout, part: usize) -> Option<&[f32]> {
        let first: usize = layout.all().take(part).map(|(_, entry)| entry.outputs).sum();
        let (_, entry) = layout.all().nth(part)?;
        self.parts.get(behaviour.index())?.get(first..first + entry.outputs)
    }

    /// The name of the array of parts in the file of channel maps.
    pub(crate) fn parts_name(behaviour: Behaviour) -> String {
        format!("channels/{behaviour}/parts")
    }

    /// The name of an array in the file of channel maps.
    pub(crate) fn array_name(behaviour: Behaviour, module: Module) -> String {
        format!("channels/{behaviour}/{module}")
    }
}
