//! What the four panels of the importance view show: their heads, their cells, the one scale over all of them.

use cruxscope_study::{Behaviour, Component, Module, Study};

use super::{Basis, ColourScale, Figures, Scale, Stability, format};

/// The head of a panel.
#[derive(Clone, Debug, PartialEq)]
pub struct PanelHead {
    /// `n = 4 instances`.
    pub instances: String,
    /// `n = 4`, where there is little room.
    pub instances_short: String,
    /// The component that ranks first.
    pub first: Option<Component>,
}

/// The head of a behaviour's panel.
pub fn head(study: &Study, figures: &Figures, behaviour: Behaviour) -> PanelHead {
    let number = study.manifest.segments[behaviour.index()].instances;
    PanelHead {
        instances: format!("n = {}", format::things(number, "instance", "instances")),
        instances_short: format!("n = {}", format::count(number)),
        first: figures.first(Basis::Behaviour(behaviour)),
    }
}

/// Why a panel is empty, if it is.
pub fn empty_reason(study: &Study, figures: &Figures, behaviour: Behaviour) -> Option<String> {
    if figures.first(Basis::Behaviour(behaviour)).is_some() {
        return None;
    }
    let counts = study.manifest.segments[behaviour.index()];
    Some(if counts.used > 0 {
        "Every importance is zero.".to_owned()
    } else if counts.dropped > 0 {
        format!(
            "No segment could be used. {} dropped; the provenance says why.",
            if counts.dropped == 1 {
                "One was".to_owned()
            } else {
                format!("All {} were", format::count(counts.dropped))
            }
        )
    } else {
        "No instance of this study shows this behaviour.".to_owned()
    })
}

/// The scale of every panel: one over all four, except where a panel was unlocked.
pub fn scales(figures: &Figures, scale: Scale, unlocked: [bool; 4]) -> [ColourScale; 4] {
    let shared = shared_scale(figures, scale, unlocked);
    Behaviour::ALL.map(|behaviour| {
        if unlocked[behaviour.index()] && scale != Scale::Rank {
            ColourScale::over(scale, figures.relative(Basis::Behaviour(behaviour)))
        } else {
            shared
        }
    })
}

/// The one scale over all panels that are locked.
pub fn shared_scale(figures: &Figures, scale: Scale, unlocked: [bool; 4]) -> ColourScale {
    if scale == Scale::Rank {
        return ColourScale::over(scale, &[0.0, 1.0]);
    }
    let locked = Behaviour::ALL
        .into_iter()
        .filter(|behaviour| !unlocked[behaviour.index()] && figures.has(*behaviour));
    ColourScale::over(scale, locked.flat_map(|behaviour| figures.relative(Basis::Behaviour(behaviour))))
}

/// The cells of a panel as the heatmap draws them, row by row: a row is a module, a column a layer.
///
/// Relative importance, or, on the scale of ranks, how far up the order a component stands (0 for the last, 1 for the first).
pub fn cells(figures: &Figures, behaviour: Behaviour, scale: Scale) -> Vec<f32> {
    let basis = Basis::Behaviour(behaviour);
    let mut cells = Vec::with_capacity(figures.components());
    for module in Module::ALL {
        for layer in 0..figures.layers() {
            cells.push(cell(figures, basis, Component::new(layer, module), scale) as f32);
        }
    }
    cells
}

/// One cell, as in [`cells`].
pub fn cell(figures: &Figures, basis: Basis, component: Component, scale: Scale) -> f64 {
    match scale {
        Scale::Rank => {
            let last = figures.components().saturating_sub(1).max(1) as f64;
            1.0 - (figures.ranks(basis).overall(component) - 1) as f64 / last
        }
        _ => figures.relative_of(basis, component),
    }
}

/// The layers that carry a number under the figure: the first, and every so many, such as 1, 5, 10, up to the last.
pub fn layer_ticks(layers: usize, room: f32, least: f32) -> Vec<usize> {
    const NAMED_ONE_BY_ONE: usize = 12;
    let steps = [1, 5, 10, 20, 50, 100];
    let step = steps
        .into_iter()
        .skip(usize::from(layers > NAMED_ONE_BY_ONE))
        .find(|step| room / layers.max(1) as f32 * *step as f32 >= least)
        .unwrap_or(layers.max(1));
    let mut ticks: Vec<usize> = (1..=layers).filter(|layer| *layer == 1 || layer.is_multiple_of(step)).collect();
    // 1 and 5 would touch where layers are narrow.
    if step > 1 && ticks.get(1).is_some_and(|second| room / layers as f32 * (*second as f32 - 1.0) < least * 0.8) {
        ticks.remove(1);
    }
    ticks
}

/// What one cell says in words: for the accessibility tree, which has no colours.
pub fn cell_sentence(figures: &Figures, behaviour: Behaviour, component: Component) -> String {
    let basis = Basis::Behaviour(behaviour);
    format!(
        "{}, {component}: {}, rank {} of {}",
        behaviour.title(),
        format::percent(figures.relative_of(basis, component)).replace('\u{a0}', " "),
        figures.ranks(basis).overall(component),
        figures.components()
    )
}

/// What stands in the tooltip of a cell.
#[derive(Clone, Debug, PartialEq)]
pub struct CellFacts {
    /// `layer 30, gate_proj`.
    pub place: String,
    /// Label and value, in order.
    pub facts: Vec<(&'static str, String)>,
}

/// The facts of a cell.
pub fn cell_facts(figures: &Figures, stability: Option<&Stability>, behaviour: Behaviour, component: Component) -> CellFacts {
    let basis = Basis::Behaviour(behaviour);
    let ranks = figures.ranks(basis);
    let mut facts = vec![
        ("Relative importance", format::percent(figures.relative_of(basis, component))),
        ("Importance", format::significant(figures.importance(behaviour, component))),
    ];
    if let Some(interval) = stability.and_then(|stability| stability.of(basis, component)) {
        facts.push(("95 % interval", interval_text(interval.low, interval.high)));
    }
    facts.push(("Rank overall", format!("{} of {}", ranks.overall(component), figures.components())));
    facts.push(("Rank in its layer", format!("{} of {}", ranks.in_column(component), Module::ALL.len())));
    facts.push(("Rank in its row", format!("{} of {}", ranks.in_row(component), figures.layers())));
    CellFacts {
        place: format!("layer {}, {}", component.layer, component.module),
        facts,
    }
}

/// An interval of shares: `2.10 to 5.30 %`.
pub fn interval_text(low: f64, high: f64) -> String {
    format!("{:.2} to {}", low * 100.0, format::percent(high))
}

/// The component one step away, staying within the model.
pub fn neighbour(layers: usize, component: Component, layer_step: isize, module_step: isize) -> Component {
    let clamp = |position: usize, step: isize, length: usize| position.saturating_add_signed(step).min(length.saturating_sub(1));
    let module = clamp(component.module.index(), module_step, Module::ALL.len());
    Component::new(clamp(component.layer.0, layer_step, layers), Module::ALL[module])
}

#[cfg(test)]
mod tests {
    use super::*;
    use cruxscope_study::test_data as samples;

    #[test]
    fn heads_name_the_number_of_instances_and_the_first() {
        let study = samples::study(6);
        let figures = Figures::of(&study);
        let head = head(&study, &figures, Behaviour::Backtracking);
        assert_eq!(head.instances, "n = 4 instances");
        assert_eq!(head.first, Some(Component::new(5, Module::Gate)));
    }

    #[test]
    fn an_empty_panel_says_why() {
        let study = samples::study(6);
        let figures = Figures::of(&study);
        assert_eq!(empty_reason(&study, &figures, Behaviour::Backtracking), None);
        let reason = empty_reason(&study, &figures, Behaviour::AddingKnowledge).unwrap();
        assert!(reason.contains("All 2 were dropped"), "{reason}");
    }

    #[test]
    fn one_scale_reaches_the_largest_of_all_and_unlocking_frees_one_panel() {
        let figures = Figures::of(&samples::study(6));
        let all = Behaviour::ALL
            .into_iter()
            .flat_map(|behaviour| figures.relative(Basis::Behaviour(behaviour)).to_vec());
        let largest = all.fold(0.0, f64::max);
        let locked = scales(&figures, Scale::Linear, [false; 4]);
        assert!(locked.iter().all(|scale| scale.high == largest));
        let freed = scales(&figures, Scale::Linear, [true, false, false, false]);
        let own = figures.relative(Basis::Behaviour(Behaviour::Backtracking)).iter().copied().fold(0.0, f64::max);
        assert_eq!(freed[0].high, own);
    }

    #[test]
    fn cells_lie_row_by_row_and_ranks_run_from_zero_to_one() {
        let figures = Figures::of(&samples::study(6));
        let cells_of = |scale| cells(&figures, Behaviour::Backtracking, scale);
        let gate_of_last = Module::Gate.index() * 6 + 5;
        let expected = figures.relative_of(Basis::Behaviour(Behaviour::Backtracking), Component::new(5, Module::Gate));
        assert!((f64::from(cells_of(Scale::Linear)[gate_of_last]) - expected).abs() < 1e-6);
        let ranks = cells_of(Scale::Rank);
        assert_eq!(ranks[gate_of_last], 1.0);
        assert_eq!(ranks.iter().copied().fold(1.0, f32::min), 0.0);
    }

    #[test]
    fn layers_are_numbered_from_one_without_crowding() {
        assert_eq!(layer_ticks(30, 370.0, 28.0), [1, 5, 10, 15, 20, 25, 30]);
        assert_eq!(layer_ticks(30, 900.0, 28.0), [1, 5, 10, 15, 20, 25, 30]);
        assert_eq!(layer_ticks(4, 370.0, 28.0), [1, 2, 3, 4]);
        assert_eq!(layer_ticks(80, 370.0, 28.0), [1, 10, 20, 30, 40, 50, 60, 70, 80]);
        assert_eq!(layer_ticks(1, 370.0, 28.0), [1]);
    }

    #[test]
    fn arrows_stay_within_the_model() {
        let corner = Component::new(0, Module::Query);
        assert_eq!(neighbour(6, corner, -1, -1), corner);
        assert_eq!(neighbour(6, corner, 1, 1), Component::new(1, Module::Key));
        assert_eq!(neighbour(6, Component::new(5, Module::Down), 1, 1), Component::new(5, Module::Down));
    }

    #[test]
    fn a_cell_in_words_holds_its_value_and_rank() {
        let figures = Figures::of(&samples::study(6));
        let sentence = cell_sentence(&figures, Behaviour::Backtracking, Component::new(5, Module::Gate));
        assert!(
            sentence.starts_with("Backtracking, 6_gate: ") && sentence.ends_with("rank 1 of 42"),
            "{sentence}"
        );
    }
}
