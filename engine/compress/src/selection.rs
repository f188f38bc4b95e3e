//! Which components are meant: the words of `--only` and `--protect`.

use std::collections::BTreeSet;

use cruxscope_study::{Component, Module};

/// A set of components, written as items separated by commas.
///
/// | item | means |
/// | --- | --- |
/// | `32_up` | one component, its layer counted from 1 |
/// | `up` | that module in every layer |
/// | `layers:30-32`, `layers:7` | every module of those layers, counted from 1 |
/// | `attention`, `mlp` | q, k, v, o; gate, up, down, in every layer |
/// | `final-mlp` | gate, up and down of the last layer (paper, Table 4) |
/// | `all` | everything |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    components: BTreeSet<Component>,
}

const ATTENTION: [Module; 4] = [Module::Query, Module::Key, Module::Value, Module::Output];
const MLP: [Module; 3] = [Module::Gate, Module::Up, Module::Down];

impl Selection {
    /// Parses a selection for a model with `layers` layers.
    ///
    /// # Errors
    /// A sentence, when an item means nothing or lies outside the model.
    pub fn read(text: &str, layers: usize) -> Result<Self, String> {
        let mut components = BTreeSet::new();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            components.extend(read_item(item, layers)?);
        }
        if components.is_empty() {
            return Err(format!("\"{text}\" selects nothing"));
        }
        Ok(Self { components })
    }

    /// Whether a component is in it.
    pub fn contains(&self, component: Component) -> bool {
        self.components.contains(&component)
    }

    /// All of them, layer by layer.
    pub fn components(&self) -> impl Iterator<Item = Component> {
        self.components.iter().copied()
    }
}

fn read_item(item: &str, layers: usize) -> Result<Vec<Component>, String> {
    let of = |modules: &[Module]| {
        Component::all(layers)
            .filter(|component| modules.contains(&component.module))
            .collect::<Vec<_>>()
    };
    if let Some(range) = item.strip_prefix("layers:") {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| text.trim().parse::<usize>().ok().filter(|number| (1..=layers).contains(number));
        return match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Component::all(layers)
                .filter(|component| (first..=last).contains(&component.layer.number()))
                .collect()),
            _ => Err(format!("\"{item}\" is no range of layers of this model, which has layers 1 to {layers}")),
        };
    }
    match item {
        "all" => return Ok(Component::all(layers).collect()),
        "attention" => return Ok(of(&ATTENTION)),
        "mlp" => return Ok(of(&MLP)),
        "final-mlp" => return Ok(of(&MLP).into_iter().filter(|component| component.layer.number() == layers).collect()),
        _ => {}
    }
    if let Some(module) = Module::ALL.into_iter().find(|module| module.short() == item || module.projection() == item) {
        return Ok(of(&[module]));
    }
    let component: Component = item.parse().map_err(|_| {
        format!("\"{item}\" is no component; write 32_up, a module such as up, layers:30-32, attention, mlp, final-mlp or all, separated by commas")
    })?;
    if component.layer.0 >= layers {
        return Err(format!("\"{item}\" lies outside this model, which has layers 1 to {layers}"));
    }
    Ok(vec![component])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        Selection::read(text, 4).unwrap().components().map(|component| component.to_string()).collect()
    }

    #[test]
    fn items_mean_what_the_table_says() {
        assert_eq!(names("3_up"), ["3_up"]);
        assert_eq!(names("gate"), ["1_gate", "2_gate", "3_gate", "4_gate"]);
        assert_eq!(names("final-mlp"), ["4_gate", "4_up", "4_down"]);
        assert_eq!(names("layers:2-3, 4_q").len(), 15);
        assert_eq!(names("attention,mlp"), names("all"));
        assert_eq!(names("q_proj").len(), 4);
    }

    #[test]
    fn what_means_nothing_is_refused_with_what_would() {
        for wrong in ["", ",", "5_up", "0_up", "layers:3-2", "layers:1-9", "layers:x", "side", "up_3"] {
            let why = Selection::read(wrong, 4).unwrap_err();
            assert!(!why.is_empty(), "{wrong}");
        }
        assert!(Selection::read("side", 4).unwrap_err().contains("final-mlp"));
    }
}
