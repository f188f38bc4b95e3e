//! The parts that a component is made of, where it is not one linear map: the experts of a mixture, and the like.
//!
//! The arrays of a study hold one number for each of seven modules of a layer. Where such a module is several linear maps, the number is
//! the sum of theirs, I = sum over p of I_p, and this says what they are: `12_gate.e37` is expert 37 of layer 12's gates.

use std::fmt;

use safetensors::tensor::Dtype;
use serde::{Deserialize, Serialize};

use crate::arrays::{array, bytes_of, floats, parse, serialise};
use crate::{Behaviour, Component, Contributions, Module, StudyError};

/// Importance and contributions of parts; larger than those of components, so a page fetches them only when they are looked at.
pub const PARTS_FILE: &str = "parts.safetensors";
/// Parts that a study may have.
const MOST: usize = 4_000_000;

/// One linear map among several of a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartEntry {
    /// The module that it is a part of.
    pub module: Module,
    /// Its name, such as `e37` or `shared`.
    pub name: String,
    /// Output features.
    pub outputs: usize,
    /// Input features.
    pub inputs: usize,
    /// Whether a router chooses the tokens that pass through it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub routed: bool,
}

/// Which parts the layers of a model have: a few kinds of layers, and the kind of each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartLayout {
    /// The parts of a layer of each kind, in the order of every array of them.
    pub kinds: Vec<Vec<PartEntry>>,
    /// The kind of each layer.
    pub layers: Vec<usize>,
}

/// A part of a component. Prints as `12_gate.e37`, the layer counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComponentPart {
    /// The component.
    pub component: Component,
    /// Its name among the component's parts.
    pub name: String,
}

impl fmt::Display for ComponentPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.component, self.name)
    }
}

impl std::str::FromStr for ComponentPart {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let explain = || format!("\"{text}\" is no part of a component; one is written as 12_gate.e37");
        let (component, name) = text.split_once('.').ok_or_else(explain)?;
        let is_name = !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        Ok(Self {
            component: component.parse().map_err(|_| explain())?,
            name: if is_name { name.to_owned() } else { return Err(explain()) },
        })
    }
}

impl PartLayout {
    /// A layout out of the parts of every layer, kinds in the order in which they are met.
    pub fn of_layers(layers: impl IntoIterator<Item = Vec<PartEntry>>) -> Self {
        let mut layout = Self::default();
        for parts in layers {
            let kind = layout.kinds.iter().position(|kind| *kind == parts).unwrap_or(layout.kinds.len());
            if kind == layout.kinds.len() {
                layout.kinds.push(parts);
            }
            layout.layers.push(kind);
        }
        layout
    }

    /// The parts of a layer.
    pub fn of_layer(&self, layer: usize) -> &[PartEntry] {
        self.layers.get(layer).and_then(|kind| self.kinds.get(*kind)).map_or(&[], Vec::as_slice)
    }

    /// All parts with their components, layer by layer: the order of every array of parts.
    pub fn all(&self) -> impl Iterator<Item = (Component, &PartEntry)> + '_ {
        (0..self.layers.len()).flat_map(move |layer| self.of_layer(layer).iter().map(move |part| (Component::new(layer, part.module), part)))
    }

    /// How many parts there are.
    pub fn count(&self) -> usize {
        (0..self.layers.len()).map(|layer| self.of_layer(layer).len()).sum()
    }

    /// What makes the layout impossible for a model of `layers`, if anything.
    pub(crate) fn fault(&self, layers: usize) -> Option<String> {
        if self.layers.len() != layers {
            return Some(format!("parts of {} layers in a model of {layers}", self.layers.len()));
        }
        if let Some(kind) = self.layers.iter().find(|kind| **kind >= self.kinds.len()) {
            return Some(format!("a layer of kind {kind}, of which there are {}", self.kinds.len()));
        }
        let largest = self.kinds.iter().map(Vec::len).max().unwrap_or(0);
        if largest.saturating_mul(layers) > MOST {
            return Some(format!("{largest} parts in each of {layers} layers"));
        }
        let mut all = self.kinds.iter().flatten();
        let part = all.find(|part| part.outputs == 0 || part.inputs == 0 || part.outputs > 10_000_000 || part.name.is_empty() || part.name.len() > 64)?;
        Some(format!(
            "a part {} of {} by {}",
            part.name.chars().take(64).collect::<String>(),
            part.outputs,
            part.inputs
        ))
    }
}

/// Numbers of parts, in the order of [`PartLayout::all`].
#[derive(Clone, Debug, PartialEq)]
pub struct PartMaps {
    /// The importance of every part, `[behaviour][part]`.
    pub importance: Vec<Vec<f64>>,
    /// What every instance added, `[instance][behaviour, part]`, as [`crate::InstanceContribution::values`].
    pub contributions: Vec<Vec<f64>>,
    /// What share of the tokens was routed to each part, 1 where all pass: over all tokens, and over those of each behaviour.
    /// `[1 + behaviour][part]`.
    pub shares: Vec<Vec<f64>>,
}

impl PartMaps {
    /// Numbers of `count` parts out of what instances added; importance follows from them as that of components does.
    ///
    /// # Errors
    /// When an array has the wrong length or holds a value that is not finite.
    pub fn new(count: usize, components: &Contributions, contributions: Vec<Vec<f64>>, shares: Vec<Vec<f64>>) -> Result<Self, StudyError> {
        let behaviours = Behaviour::ALL.len();
        let shape = |array: &str, found: String| StudyError::Shape {
            array: array.into(),
            expected: vec![behaviours, count],
            found,
        };
        if contributions.len() != components.instances.len() || contributions.iter().any(|own| own.len() != behaviours * count) {
            return Err(shape("contributions", format!("of {} instances", contributions.len())));
        }
        if shares.len() != 1 + behaviours || shares.iter().any(|own| own.len() != count) {
            return Err(shape("shares", format!("{} sets", shares.len())));
        }
        let every = contributions.iter().chain(&shares).flatten();
        if let Some((position, value)) = every.enumerate().find(|(_, value)| !value.is_finite()) {
            return Err(StudyError::Value {
                array: "contributions".into(),
                position,
                value: *value,
            });
        }
        let importance = (0..behaviours)
            .map(|behaviour| {
                let divisor: f64 = components.instances.iter().map(|instance| instance.weights[behaviour]).sum();
                (0..count)
                    .map(|part| {
                        let sum: f64 = contributions.iter().map(|own| own[behaviour * count + part]).sum();
                        if divisor > 0.0 { sum.abs() / divisor } else { 0.0 }
                    })
                    .collect()
            })
            .collect();
        Ok(Self {
            importance,
            contributions,
            shares,
        })
    }

    /// Reads the file of a study whose components have these contributions.
    ///
    /// # Errors
    /// When it is damaged or contradicts the study.
    pub fn from_bytes(layout: &PartLayout, components: &Contributions, bytes: &[u8]) -> Result<Self, StudyError> {
        let arrays = parse(PARTS_FILE, bytes)?;
        let (count, instances, behaviours) = (layout.count(), components.instances.len(), Behaviour::ALL.len());
        let read = |name: &str, shape: &[usize]| -> Result<Vec<f64>, StudyError> { Ok(floats(array(&arrays, PARTS_FILE, name, Dtype::F64, shape)?)) };
        let rows = |values: Vec<f64>, width: usize| values.chunks_exact(width.max(1)).map(<[f64]>::to_vec).collect();
        let contributions = rows(read("contributions", &[instances, behaviours, count])?, behaviours * count);
        let shares = rows(read("shares", &[1 + behaviours, count])?, count);
        Self::new(count, components, contributions, shares)
    }

    /// The bytes of its file.
    ///
    /// # Errors
    /// When an array cannot be written.
    pub fn to_bytes(&self, layout: &PartLayout) -> Result<Vec<u8>, StudyError> {
        let (count, behaviours) = (layout.count(), Behaviour::ALL.len());
        let flat = |rows: &[Vec<f64>]| rows.iter().flat_map(|row| bytes_of(row)).collect::<Vec<u8>>();
        let (contributions, importance, shares) = (flat(&self.contributions), flat(&self.importance), flat(&self.shares));
        serialise(
            PARTS_FILE,
            [
                ("contributions", Dtype::F64, vec![self.contributions.len(), behaviours, count], &contributions),
                ("importance", Dtype::F64, vec![behaviours, count], &importance),
                ("shares", Dtype::F64, vec![1 + behaviours, count], &shares),
            ],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::InstanceContribution;

    fn layout() -> PartLayout {
        let part = |module, name: &str| PartEntry {
            module,
            name: name.into(),
            outputs: 4,
            inputs: 8,
            routed: true,
        };
        let experts = vec![part(Module::Gate, "e0"), part(Module::Gate, "e1")];
        PartLayout::of_layers([Vec::new(), experts.clone(), experts])
    }

    #[test]
    fn a_layout_lists_its_parts_layer_by_layer() {
        let layout = layout();
        assert_eq!((layout.layers.as_slice(), layout.kinds.len(), layout.count()), ([0, 1, 1].as_slice(), 2, 4));
        let names: Vec<String> = (layout.all())
            .map(|(component, part)| {
                ComponentPart {
                    component,
                    name: part.name.clone(),
                }
                .to_string()
            })
            .collect();
        assert_eq!(names, ["2_gate.e0", "2_gate.e1", "3_gate.e0", "3_gate.e1"]);
        for name in names {
            assert_eq!(name.parse::<ComponentPart>().unwrap().to_string(), name);
        }
        for wrong in ["2_gate", "2_gate.", "2_gate.e 1", "gate.e1", "2_gate.../x"] {
            assert!(wrong.parse::<ComponentPart>().is_err(), "{wrong}");
        }
        assert_eq!(layout.fault(3), None);
        assert!(layout.fault(2).unwrap().contains("3 layers"));
    }

    #[test]
    fn the_importance_of_parts_is_what_instances_added_and_comes_back_from_the_file() {
        let layout = layout();
        let instance = InstanceContribution {
            values: vec![0.0; 4 * 3 * 7],
            weights: [1.0, 0.0, 0.0, 0.0],
        };
        let components = Contributions {
            instances: vec![instance.clone(), instance],
        };
        let mut own = vec![vec![0.0; 16]; 2];
        (own[0][1], own[1][1], own[1][3]) = (-3.0, 1.0, 5.0);
        let shares = vec![vec![0.25; 4]; 5];
        let maps = PartMaps::new(4, &components, own, shares).unwrap();
        assert_eq!(maps.importance[0], [0.0, 1.0, 0.0, 2.5]);
        assert_eq!(PartMaps::from_bytes(&layout, &components, &maps.to_bytes(&layout).unwrap()).unwrap(), maps);
        assert!(PartMaps::new(4, &components, vec![vec![0.0; 15]; 2], vec![vec![0.0; 4]; 5]).is_err());
        assert!(PartMaps::new(4, &components, vec![vec![f64::NAN; 16]; 2], vec![vec![0.0; 4]; 5]).is_err());
    }
}
