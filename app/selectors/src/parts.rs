//! What is shown of a module that is opened into its parts, such as the experts of a mixture: a row a layer, a column a part.
//!
//! I of a component is the sum of its parts', so a part's relative importance is on the same scale as the component's.

use cruxscope_study::{Behaviour, Component, ComponentPart, Module, PartLayout, PartMaps, Study};

use super::{ColourScale, Figures, Scale, format};

/// Parts that a sentence about a component names.
const NAMED: usize = 3;

/// The parts of one module, and where they stand.
#[derive(Clone, Debug, PartialEq)]
pub struct ModuleParts {
    /// The module.
    pub module: Module,
    /// The names of the columns, in the order of the layout; a layer need not have all.
    pub names: Vec<String>,
    /// Decoder layers: rows.
    pub layers: usize,
    /// Whether a router chooses tokens for any of them.
    pub routed: bool,
    /// For each row and column the place in the arrays of parts, `[layer][column]`.
    places: Vec<Option<usize>>,
}

/// A part of a component.
#[derive(Clone, Debug, PartialEq)]
pub struct PartLine {
    /// Its column.
    pub column: usize,
    /// Its name, such as `e37`.
    pub name: String,
    /// Its importance, as a share of that of all components.
    pub relative: f64,
    /// Its importance, as a share of its component's.
    pub of_component: f64,
}

/// The modules of a study that are made of parts.
pub fn modules(layout: &PartLayout) -> Vec<Module> {
    let has = |module: &Module| layout.kinds.iter().flatten().any(|part| part.module == *module);
    Module::ALL.into_iter().filter(has).collect()
}

/// The module that is opened: the wanted one, or else the first that has parts.
pub fn opened(layout: &PartLayout, wanted: Option<Module>) -> Option<Module> {
    let known = modules(layout);
    wanted.filter(|module| known.contains(module)).or(known.first().copied())
}

/// What the parts of a module are called.
pub fn title(layout: &PartLayout, module: Module) -> &'static str {
    let routed = layout.kinds.iter().flatten().any(|part| part.module == module && part.routed);
    if routed { "Experts" } else { "Parts" }
}

impl ModuleParts {
    /// Of a module; nothing where it has no parts in any layer.
    pub fn of(layout: &PartLayout, module: Module) -> Option<Self> {
        let mut names: Vec<String> = Vec::new();
        let own = || layout.kinds.iter().flatten().filter(|part| part.module == module);
        for part in own() {
            if !names.contains(&part.name) {
                names.push(part.name.clone());
            }
        }
        if names.is_empty() {
            return None;
        }
        let columns: std::collections::BTreeMap<&str, usize> = names.iter().enumerate().map(|(column, name)| (name.as_str(), column)).collect();
        let layers = layout.layers.len();
        let mut places = vec![None; layers * names.len()];
        for (place, (component, part)) in layout.all().enumerate() {
            if let (true, Some(column)) = (component.module == module, columns.get(part.name.as_str())) {
                places[component.layer.0 * columns.len() + column] = Some(place);
            }
        }
        let routed = own().any(|part| part.routed);
        Some(Self {
            module,
            layers,
            routed,
            places,
            names,
        })
    }

    /// The module that is opened: the wanted one, or else the first that has parts.
    pub fn wanted(layout: &PartLayout, wanted: Option<Module>) -> Option<Self> {
        Self::of(layout, opened(layout, wanted)?)
    }

    /// What its parts are called.
    pub fn title(&self) -> &'static str {
        if self.routed { "Experts" } else { "Parts" }
    }

    /// How many parts there are over all layers.
    pub fn count(&self) -> usize {
        self.places.iter().flatten().count()
    }

    /// The place of a part in the arrays; nothing where the layer has no such part.
    pub fn place(&self, layer: usize, column: usize) -> Option<usize> {
        if column >= self.names.len() {
            return None;
        }
        self.places.get(layer * self.names.len() + column).copied().flatten()
    }

    /// The name of a part, such as `12_gate.e37`; nothing where the layer has no such part.
    pub fn part(&self, layer: usize, column: usize) -> Option<ComponentPart> {
        self.place(layer, column)?;
        Some(ComponentPart {
            component: Component::new(layer, self.module),
            name: self.names.get(column)?.clone(),
        })
    }

    /// The relative importance of every part, `[layer][column]`; no number where a layer has no such part.
    pub fn values(&self, figures: &Figures, maps: &PartMaps, behaviour: Behaviour) -> Vec<f64> {
        let all = whole(figures, behaviour);
        let value = |place: &Option<usize>| {
            let own = place.and_then(|place| maps.importance.get(behaviour.index())?.get(place).copied());
            own.map_or(f64::NAN, |own| if all > 0.0 { own / all } else { 0.0 })
        };
        self.places.iter().map(value).collect()
    }

    /// The scale of a map of them; ranks are not counted among thousands of parts.
    pub fn scale(scale: Scale, values: &[f64]) -> ColourScale {
        let scale = if scale == Scale::Rank { Scale::SquareRoot } else { scale };
        ColourScale::over(scale, values.iter().filter(|value| value.is_finite()))
    }

    /// The parts of a layer, the largest first.
    pub fn largest(&self, figures: &Figures, maps: &PartMaps, behaviour: Behaviour, layer: usize) -> Vec<PartLine> {
        let width = self.names.len();
        let values = self.values(figures, maps, behaviour);
        let own = values.get(layer * width..(layer + 1) * width).unwrap_or_default();
        let sum: f64 = own.iter().filter(|value| value.is_finite()).sum();
        let mut lines: Vec<PartLine> = own
            .iter()
            .enumerate()
            .filter(|(_, value)| value.is_finite())
            .map(|(column, value)| PartLine {
                column,
                name: self.names[column].clone(),
                relative: *value,
                of_component: if sum > 0.0 { value / sum } else { 0.0 },
            })
            .collect();
        lines.sort_by(|a, b| b.relative.total_cmp(&a.relative).then(a.column.cmp(&b.column)));
        lines
    }

    /// How many parts of all layers, the largest first, carry half of the module's importance; nothing where there is none.
    pub fn half(&self, figures: &Figures, maps: &PartMaps, behaviour: Behaviour) -> Option<usize> {
        let mut values = self.values(figures, maps, behaviour);
        values.retain(|value| value.is_finite());
        values.sort_by(|a, b| b.total_cmp(a));
        let all: f64 = values.iter().sum();
        let mut sum = 0.0;
        let reaches = |value: &f64| {
            sum += value;
            sum >= 0.5 * all
        };
        if all > 0.0 { values.iter().position(reaches).map(|at| at + 1) } else { None }
    }

    /// What the map says: `Half of the importance of gate lies in 14 of 3,072 experts`.
    pub fn finding(&self, figures: &Figures, maps: &PartMaps, behaviour: Behaviour) -> String {
        let things = self.title().to_lowercase();
        match self.half(figures, maps, behaviour) {
            Some(half) => format!(
                "Half of the importance of {} lies in {} of {} {things}",
                self.module.short(),
                format::count(half),
                format::count(self.count())
            ),
            None => format!("No importance of {} for {}", self.module.short(), behaviour.title().to_lowercase()),
        }
    }

    /// What is known of a part: label and value, in order.
    pub fn facts(&self, figures: &Figures, maps: &PartMaps, behaviour: Behaviour, layer: usize, column: usize) -> Vec<(String, String)> {
        let Some(place) = self.place(layer, column) else { return Vec::new() };
        let lines = self.largest(figures, maps, behaviour, layer);
        let Some(rank) = lines.iter().position(|line| line.column == column) else {
            return Vec::new();
        };
        let line = &lines[rank];
        let mut facts = vec![
            ("Relative importance".to_owned(), format::percent(line.relative)),
            ("Of its component".to_owned(), format::percent(line.of_component)),
            ("Rank in its component".to_owned(), format!("{} of {}", rank + 1, lines.len())),
        ];
        let share = |scope: usize| maps.shares.get(scope)?.get(place).copied();
        if let Some(all) = share(0) {
            facts.push(("Tokens routed to it".to_owned(), format::percent(all)));
        }
        if let Some(own) = share(1 + behaviour.index()) {
            facts.push((format!("of {}", behaviour.title().to_lowercase()), format::percent(own)));
        }
        facts
    }

    /// The same in one sentence, for the accessibility tree.
    pub fn sentence(&self, figures: &Figures, maps: &PartMaps, behaviour: Behaviour, layer: usize, column: usize) -> String {
        let Some(part) = self.part(layer, column) else {
            return format!("layer {} has no {}", layer + 1, self.names.get(column).map_or("such part", String::as_str));
        };
        let facts = self.facts(figures, maps, behaviour, layer, column);
        let said: Vec<String> = facts.iter().map(|(label, value)| format!("{} {value}", label.to_lowercase())).collect();
        format!("{part}: {}", said.join(", ")).replace('\u{a0}', " ")
    }

    /// The largest parts of a component in words: `e37 12.1 %, e4 9.0 %, e101 7.7 %`.
    pub fn first(&self, figures: &Figures, maps: &PartMaps, behaviour: Behaviour, layer: usize) -> String {
        let lines = self.largest(figures, maps, behaviour, layer);
        let said = lines
            .iter()
            .take(NAMED)
            .map(|line| format!("{} {}", line.name, format::percent(line.of_component)));
        said.collect::<Vec<_>>().join(", ")
    }
}

/// The sum of the importance of all components.
fn whole(figures: &Figures, behaviour: Behaviour) -> f64 {
    Component::all(figures.layers()).map(|component| figures.importance(behaviour, component)).sum()
}

/// The behaviour that is drawn: the one in focus, or else the first that the study has.
pub fn behaviour(study: &Study, focused: Option<Behaviour>) -> Behaviour {
    let has = |behaviour: &Behaviour| study.importance.has(*behaviour);
    let focused = focused.filter(has);
    focused.or_else(|| Behaviour::ALL.into_iter().find(has)).unwrap_or(Behaviour::Backtracking)
}

#[cfg(test)]
mod tests {
    use cruxscope_study::test_data as samples;

    use super::*;

    #[test]
    fn parts_stand_in_their_rows_and_add_up_to_their_components() {
        let study = samples::mixture(4, 16);
        let figures = Figures::of(&study);
        let (layout, maps) = (study.manifest.model.parts.as_ref().unwrap(), study.parts.as_ref().unwrap());
        assert_eq!(modules(layout), [Module::Gate, Module::Up, Module::Down]);
        for module in modules(layout) {
            let own = ModuleParts::of(layout, module).unwrap();
            assert_eq!((own.names.len(), own.layers, own.count()), (17, 4, 51), "the first layer is dense");
            assert_eq!(own.part(0, 3), None);
            assert_eq!(own.part(2, 3).unwrap().to_string(), format!("3_{}.e3", module.short()));
            for behaviour in &Behaviour::ALL[..3] {
                let values = own.values(&figures, maps, *behaviour);
                for layer in 1..4 {
                    let sum: f64 = values[layer * 17..(layer + 1) * 17].iter().sum();
                    let component = Component::new(layer, module);
                    let expected = figures.relative_of(crate::Basis::Behaviour(*behaviour), component);
                    assert!((sum - expected).abs() < 1e-9, "{component}: {sum} and {expected}");
                }
                assert!(values[..17].iter().all(|value| value.is_nan()));
            }
        }
        assert_eq!(ModuleParts::of(layout, Module::Query), None);
        assert_eq!(ModuleParts::wanted(layout, Some(Module::Query)).unwrap().module, Module::Gate);
    }

    #[test]
    fn lines_and_the_half_are_those_of_a_plain_count() {
        let study = samples::mixture(5, 24);
        let figures = Figures::of(&study);
        let (layout, maps) = (study.manifest.model.parts.as_ref().unwrap(), study.parts.as_ref().unwrap());
        let own = ModuleParts::of(layout, Module::Down).unwrap();
        let lines = own.largest(&figures, maps, Behaviour::ExampleTesting, 3);
        assert!(lines.len() == 25 && lines.windows(2).all(|pair| pair[0].relative >= pair[1].relative));
        assert!((lines.iter().map(|line| line.of_component).sum::<f64>() - 1.0).abs() < 1e-12);
        let mut values: Vec<f64> = own.values(&figures, maps, Behaviour::ExampleTesting);
        values.retain(|value| value.is_finite());
        values.sort_by(f64::total_cmp);
        let all: f64 = values.iter().sum();
        let half = own.half(&figures, maps, Behaviour::ExampleTesting).unwrap();
        let of_last = |count: usize| values[values.len() - count..].iter().sum::<f64>();
        assert!(of_last(half) >= 0.5 * all && of_last(half - 1) < 0.5 * all);
        assert_eq!(own.half(&figures, maps, Behaviour::AddingKnowledge), None);
        let said = own.finding(&figures, maps, Behaviour::ExampleTesting);
        assert_eq!(said, format!("Half of the importance of down lies in {half} of 100 experts"));
    }

    #[test]
    fn a_part_is_read_out_with_its_tokens() {
        let study = samples::mixture(3, 8);
        let figures = Figures::of(&study);
        let (layout, maps) = (study.manifest.model.parts.as_ref().unwrap(), study.parts.as_ref().unwrap());
        let own = ModuleParts::of(layout, Module::Up).unwrap();
        let shared = own.names.iter().position(|name| name == "shared").unwrap();
        let said = own.sentence(&figures, maps, Behaviour::Backtracking, 2, shared);
        assert!(
            said.starts_with("3_up.shared: relative importance ") && said.contains("tokens routed to it 100"),
            "{said}"
        );
        assert_eq!(own.sentence(&figures, maps, Behaviour::Backtracking, 0, shared), "layer 1 has no shared");
        assert_eq!(own.facts(&figures, maps, Behaviour::Backtracking, 0, 99), []);
        assert!(own.first(&figures, maps, Behaviour::Backtracking, 1).matches('%').count() == 3);
    }
}
