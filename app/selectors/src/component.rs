//! What the inspector says about one component.

use cruxscope_study::{Behaviour, Component, Module, Study};

use super::{Basis, Figures, format};

/// One line of the bars.
#[derive(Clone, Debug, PartialEq)]
pub struct BehaviourLine {
    /// The behaviour.
    pub behaviour: Behaviour,
    /// Relative importance, or nothing where no instance holds the behaviour.
    pub relative: Option<f64>,
    /// The rank among all components.
    pub rank: usize,
    /// Length of the bar, from 0 to 1.
    pub length: f32,
}

/// An instance and what it adds.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceLine {
    /// The instance's id.
    pub id: String,
    /// Its share of all that instances add, without signs; negative where it pulls the other way.
    pub share: f64,
    /// Length of the bar, from 0 to 1; the largest share fills it.
    pub length: f32,
}

/// `layer 30 of 30, gate_proj, 1536 × 576`.
pub fn subtitle(study: &Study, component: Component) -> String {
    let mut text = format!("layer {} of {}, {}", component.layer, study.manifest.model.layers, component.module);
    if let Some(dimensions) = study.manifest.model.modules.get(component.module.index()) {
        text.push_str(&format!(", {} × {}", dimensions.outputs, dimensions.inputs));
    }
    text
}

/// The bars: relative importance and rank for each behaviour, the longest bar filling its track.
pub fn behaviour_lines(figures: &Figures, component: Component) -> Vec<BehaviourLine> {
    let values = Behaviour::ALL.map(|behaviour| figures.relative_of(Basis::Behaviour(behaviour), component));
    let longest = values.iter().copied().fold(0.0, f64::max);
    Behaviour::ALL
        .into_iter()
        .zip(values)
        .map(|(behaviour, value)| BehaviourLine {
            behaviour,
            relative: figures.has(behaviour).then_some(value),
            rank: figures.ranks(Basis::Behaviour(behaviour)).overall(component),
            length: if longest > 0.0 { (value / longest) as f32 } else { 0.0 },
        })
        .collect()
}

/// Label and value of each fact, for the basis.
pub fn facts(study: &Study, figures: &Figures, basis: Basis, component: Component) -> Vec<(String, String)> {
    let ranks = figures.ranks(basis);
    let mut facts = Vec::new();
    if let Some(share) = share_of_weights(study, component) {
        facts.push(("Share of weights".to_owned(), format::percent(share)));
    }
    facts.push(("Rank overall".to_owned(), format!("{} of {}", ranks.overall(component), figures.components())));
    facts.push((
        format!("Rank in column (layer {})", component.layer),
        format!("{} of {}", ranks.in_column(component), Module::ALL.len()),
    ));
    facts.push((
        format!("Rank in row ({})", component.module.short()),
        format!("{} of {}", ranks.in_row(component), figures.layers()),
    ));
    match basis {
        Basis::Mean => facts.push(("Mean relative importance".to_owned(), format::percent(figures.relative_of(basis, component)))),
        Basis::Behaviour(behaviour) => facts.push(("Importance".to_owned(), format::significant(figures.importance(behaviour, component)))),
    }
    facts
}

/// The component's weights as a share of all of the model's parameters.
pub fn share_of_weights(study: &Study, component: Component) -> Option<f64> {
    let model = &study.manifest.model;
    let weights = |dimensions: &cruxscope_study::ModuleDimensions| dimensions.outputs as f64 * dimensions.inputs as f64;
    let own = weights(model.modules.get(component.module.index())?);
    let all = if model.parameters > 0 {
        model.parameters as f64
    } else {
        model.modules.iter().map(weights).sum::<f64>() * model.layers as f64
    };
    (all > 0.0).then(|| own / all)
}

/// The behaviour whose instances are listed: the one in focus, or the one for which the component counts most.
pub fn listed_behaviour(figures: &Figures, basis: Basis, component: Component) -> Option<Behaviour> {
    match basis {
        Basis::Behaviour(behaviour) => figures.has(behaviour).then_some(behaviour),
        Basis::Mean => {
            let value = |behaviour: &Behaviour| figures.relative_of(Basis::Behaviour(*behaviour), component);
            Behaviour::ALL
                .into_iter()
                .filter(|behaviour| figures.has(*behaviour))
                .max_by(|a, b| value(a).total_cmp(&value(b)).then(b.cmp(a)))
        }
    }
}

/// The instances that add most to a component for a behaviour, largest first.
pub fn instances(study: &Study, behaviour: Behaviour, component: Component, number: usize) -> Vec<InstanceLine> {
    let index = behaviour.index() * study.manifest.model.layers * Module::ALL.len() + component.index();
    let values: Vec<f64> = study
        .contributions
        .instances
        .iter()
        .map(|instance| instance.values.get(index).copied().unwrap_or(0.0))
        .collect();
    let total: f64 = values.iter().map(|value| value.abs()).sum();
    if total <= 0.0 {
        return Vec::new();
    }
    let largest = values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    // The importance is the sum without its sign, so what counts is which way the sum goes.
    let way = if values.iter().sum::<f64>() < 0.0 { -1.0 } else { 1.0 };
    let mut lines: Vec<InstanceLine> = study
        .manifest
        .instances
        .iter()
        .zip(values)
        .filter(|(_, value)| *value != 0.0)
        .map(|(entry, value)| InstanceLine {
            id: entry.id.clone(),
            share: way * value / total,
            length: (value.abs() / largest) as f32,
        })
        .collect();
    lines.sort_by(|a, b| b.share.abs().total_cmp(&a.share.abs()).then_with(|| a.id.cmp(&b.id)));
    lines.truncate(number);
    lines
}

/// `Instances that contribute most (backtracking)`, or how many of them.
pub fn instances_title(study: &Study, behaviour: Behaviour, listed: usize) -> String {
    let number = study.manifest.segments[behaviour.index()].instances;
    if number > listed {
        format!("Instances that contribute most, {listed} of {}", format::count(number))
    } else {
        "Instances that contribute".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cruxscope_study::test_data as samples;

    const GATE: Component = Component::new(5, Module::Gate);

    #[test]
    fn a_component_is_placed_and_weighed() {
        let study = samples::study(6);
        assert_eq!(subtitle(&study, GATE), "layer 6 of 6, gate_proj, 96 × 32");
        let share = share_of_weights(&study, GATE).unwrap();
        assert!((share - 96.0 * 32.0 / study.manifest.model.parameters as f64).abs() < 1e-12);
    }

    #[test]
    fn bars_fill_their_track_once_and_a_missing_behaviour_has_no_number() {
        let lines = behaviour_lines(&Figures::of(&samples::study(6)), GATE);
        assert_eq!(lines.iter().filter(|line| line.length == 1.0).count(), 1);
        assert_eq!(lines[3].relative, None);
        assert_eq!(lines[0].rank, 1);
    }

    #[test]
    fn shares_of_instances_sum_to_at_most_one_and_come_largest_first() {
        let study = samples::study(6);
        let lines = instances(&study, Behaviour::Backtracking, GATE, 9);
        assert_eq!(lines.len(), 4);
        let sum: f64 = lines.iter().map(|line| line.share.abs()).sum();
        assert!((sum - 1.0).abs() < 1e-12);
        assert_eq!(lines[0].length, 1.0);
        assert!(lines.windows(2).all(|pair| pair[0].share.abs() >= pair[1].share.abs()));
        assert_eq!(instances(&study, Behaviour::AddingKnowledge, GATE, 9), []);
    }

    #[test]
    fn the_listed_behaviour_is_the_one_in_focus_or_the_strongest() {
        let figures = Figures::of(&samples::study(6));
        let focus = Basis::Behaviour(Behaviour::ExampleTesting);
        assert_eq!(listed_behaviour(&figures, focus, GATE), Some(Behaviour::ExampleTesting));
        assert_eq!(listed_behaviour(&figures, Basis::Behaviour(Behaviour::AddingKnowledge), GATE), None);
        assert!(listed_behaviour(&figures, Basis::Mean, GATE).is_some());
    }

    #[test]
    fn facts_name_column_and_row() {
        let study = samples::study(6);
        let facts = facts(&study, &Figures::of(&study), Basis::Behaviour(Behaviour::Backtracking), GATE);
        assert!(facts.contains(&("Rank in column (layer 6)".to_owned(), "1 of 7".to_owned())), "{facts:?}");
    }
}
