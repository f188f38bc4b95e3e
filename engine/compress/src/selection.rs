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
/// | `12_gate.e37`, `12_up.shared` | one of the parts that a component is made of: an expert, the shared one |
/// | `12_e37`, `e37` | all of an expert, in one layer or in every |
/// | `experts`, `shared` | all experts that a router chooses from; the shared ones |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    components: BTreeSet<Component>,
    parts: Vec<PartPattern>,
}

/// Parts of components: those that agree in whatever is given.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PartPattern {
    /// As it was written.
    item: String,
    layer: Option<usize>,
    module: Option<Module>,
    /// Its name; `None` for all experts.
    name: Option<String>,
}

impl PartPattern {
    fn read(item: &str, layers: usize) -> Option<Self> {
        let is_part = |name: &str| {
            name == "shared"
                || name
                    .strip_prefix('e')
                    .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let of = |layer: Option<usize>, module: Option<Module>, name: Option<&str>| Self {
            item: item.to_owned(),
            layer,
            module,
            name: name.map(str::to_owned),
        };
        if item == "experts" {
            return Some(of(None, None, None));
        }
        if is_part(item) {
            return Some(of(None, None, Some(item)));
        }
        if let Some((component, name)) = item.split_once('.') {
            // Names of other parts, such as those of latent attention, have no form of their own.
            let component: Component = component.parse().ok()?;
            return (component.layer.0 < layers && !name.is_empty()).then(|| of(Some(component.layer.0), Some(component.module), Some(name)));
        }
        let (layer, name) = item.split_once('_')?;
        let layer = layer.parse::<usize>().ok().filter(|layer| (1..=layers).contains(layer))?;
        is_part(name).then(|| of(Some(layer - 1), None, Some(name)))
    }

    fn holds(&self, component: Component, part: &str) -> bool {
        let is_expert = || part.strip_prefix('e').is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
        self.layer.is_none_or(|layer| layer == component.layer.0)
            && self.module.is_none_or(|module| module == component.module)
            && self.name.as_ref().map_or_else(is_expert, |name| name == part)
    }
}

const ATTENTION: [Module; 4] = [Module::Query, Module::Key, Module::Value, Module::Output];
const MLP: [Module; 3] = [Module::Gate, Module::Up, Module::Down];

impl Selection {
    /// Parses a selection for a model with `layers` layers.
    ///
    /// # Errors
    /// A sentence, when an item means nothing or lies outside the model.
    pub fn read(text: &str, layers: usize) -> Result<Self, String> {
        let (mut components, mut parts) = (BTreeSet::new(), Vec::new());
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            match PartPattern::read(item, layers) {
                Some(part) => parts.push(part),
                None => components.extend(read_item(item, layers)?),
            }
        }
        if components.is_empty() && parts.is_empty() {
            return Err(format!("\"{text}\" selects nothing"));
        }
        Ok(Self { components, parts })
    }

    /// Whether a part of a component is in it; where the component is one linear map it has none.
    pub fn contains_part(&self, component: Component, part: Option<&str>) -> bool {
        self.contains(component) || part.is_some_and(|part| self.parts.iter().any(|pattern| pattern.holds(component, part)))
    }

    /// An item of it that means none of a model's parts.
    pub fn unmatched<'a>(&self, all: impl Iterator<Item = (Component, Option<&'a str>)> + Clone) -> Option<&str> {
        let of_none = |pattern: &&PartPattern| !all.clone().any(|(component, part)| part.is_some_and(|part| pattern.holds(component, part)));
        self.parts.iter().find(of_none).map(|pattern| pattern.item.as_str())
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
    fn parts_are_chosen_by_layer_module_and_name() {
        let all: Vec<(Component, Option<&str>)> = (0..2)
            .flat_map(|layer| [Module::Gate, Module::Up].map(|module| Component::new(layer, module)))
            .flat_map(|component| [(component, Some("e1")), (component, Some("e12")), (component, Some("shared"))])
            .collect();
        let chosen = |text: &str| -> Vec<String> {
            let selection = Selection::read(text, 2).unwrap();
            assert_eq!(selection.unmatched(all.iter().copied()), None, "{text}");
            let held = all.iter().filter(|(component, part)| selection.contains_part(*component, *part));
            held.map(|(component, part)| format!("{component}.{}", part.unwrap())).collect()
        };
        assert_eq!(chosen("2_gate.e12"), ["2_gate.e12"]);
        assert_eq!(chosen("1_e1"), ["1_gate.e1", "1_up.e1"]);
        assert_eq!(chosen("shared").len(), 4);
        assert_eq!(chosen("experts").len(), 8);
        assert_eq!(chosen("1_up, e12").len(), 3 + 3);
        let missing = Selection::read("1_gate.e7", 2).unwrap();
        assert_eq!(missing.unmatched(all.iter().copied()), Some("1_gate.e7"));
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
