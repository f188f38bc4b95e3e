//! The weight matrices of a decoder: seven modules a layer, and their usual names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One of the seven linear maps of a decoder layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Module {
    /// Queries of attention.
    #[serde(rename = "q_proj")]
    Query,
    /// Keys of attention.
    #[serde(rename = "k_proj")]
    Key,
    /// Values of attention.
    #[serde(rename = "v_proj")]
    Value,
    /// Attention's output.
    #[serde(rename = "o_proj")]
    Output,
    /// The gate of the feed-forward block.
    #[serde(rename = "gate_proj")]
    Gate,
    /// The widening map of the feed-forward block.
    #[serde(rename = "up_proj")]
    Up,
    /// The narrowing map of the feed-forward block.
    #[serde(rename = "down_proj")]
    Down,
}

impl Module {
    /// All seven, in the order of every array's module axis.
    pub const ALL: [Self; 7] = [Self::Query, Self::Key, Self::Value, Self::Output, Self::Gate, Self::Up, Self::Down];

    /// Position on the module axis of every array.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name in checkpoints, such as `gate_proj`.
    pub const fn projection(self) -> &'static str {
        match self {
            Self::Query => "q_proj",
            Self::Key => "k_proj",
            Self::Value => "v_proj",
            Self::Output => "o_proj",
            Self::Gate => "gate_proj",
            Self::Up => "up_proj",
            Self::Down => "down_proj",
        }
    }

    /// The name on an axis, such as `gate`.
    pub const fn short(self) -> &'static str {
        match self {
            Self::Query => "q",
            Self::Key => "k",
            Self::Value => "v",
            Self::Output => "o",
            Self::Gate => "gate",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

impl Module {
    /// What GGUF files call it, in `blk.<layer>.<name>.weight`.
    pub const fn gguf_name(self) -> &'static str {
        match self {
            Self::Query => "attn_q",
            Self::Key => "attn_k",
            Self::Value => "attn_v",
            Self::Output => "attn_output",
            Self::Gate => "ffn_gate",
            Self::Up => "ffn_up",
            Self::Down => "ffn_down",
        }
    }
}

impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.projection())
    }
}

/// A decoder layer: counted from 0 in code and files, from 1 in everything that is displayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LayerIndex(pub usize);

impl LayerIndex {
    /// The number for display: 1 for the first layer.
    pub const fn number(self) -> usize {
        self.0 + 1
    }
}

impl fmt::Display for LayerIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number())
    }
}

/// One weight matrix: a module of a layer. Reads and prints as `30_gate`, the layer counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Component {
    /// The decoder layer.
    pub layer: LayerIndex,
    /// The linear map in it.
    pub module: Module,
}

impl Component {
    /// The component at a 0-based layer.
    pub const fn new(layer: usize, module: Module) -> Self {
        Self {
            layer: LayerIndex(layer),
            module,
        }
    }

    /// All components of a model with `layers` layers, layer by layer.
    pub fn all(layers: usize) -> impl Iterator<Item = Self> {
        (0..layers).flat_map(|layer| Module::ALL.into_iter().map(move |module| Self::new(layer, module)))
    }

    /// Position in a `[layer, module]` array laid out row by row.
    pub const fn index(self) -> usize {
        self.layer.0 * Module::ALL.len() + self.module.index()
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.layer.number(), self.module.short())
    }
}

impl FromStr for Component {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let explain = || format!("\"{text}\" is no component; one is written as layer_module with the layer counted from 1, such as 30_gate");
        let (layer, module) = text.split_once('_').ok_or_else(explain)?;
        let layer: usize = layer.parse().map_err(|_| explain())?;
        let module = Module::ALL
            .into_iter()
            .find(|known| known.short() == module || known.projection() == module)
            .ok_or_else(explain)?;
        if layer == 0 {
            return Err(explain());
        }
        Ok(Self::new(layer - 1, module))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_reads_what_it_prints() {
        for component in Component::all(3) {
            assert_eq!(component.to_string().parse::<Component>(), Ok(component));
        }
        assert_eq!("32_up_proj".parse(), Ok(Component::new(31, Module::Up)));
        for wrong in ["", "0_up", "up", "3_", "3_side", "-1_q"] {
            assert!(wrong.parse::<Component>().is_err(), "{wrong}");
        }
    }
}
