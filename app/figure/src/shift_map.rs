//! What the figure of a shift and its stage share: a map of one side or of what lies between, and the line over it.

use cruxscope_selectors::shift::{self, Pair};
use cruxscope_selectors::{Basis, ColourScale, Scale, format};
use cruxscope_study::{Behaviour, Component, ShiftView};
use cruxscope_theme::colour_map::ColourMap;

use super::FigureOptions;
use super::grid::{Content, Grid};
use super::importance::panel_head;
use super::page::Page;

/// Components whose ranks are marked in a map.
const MARKED: usize = 3;

/// The colours of a view of the shift.
pub(super) const fn colours(view: ShiftView) -> ColourMap {
    match view {
        ShiftView::Decreases => ColourMap::Decreases,
        ShiftView::Increases => ColourMap::Increases,
        ShiftView::Net => ColourMap::Net,
    }
}

/// What a column of maps shows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    A,
    B,
    Shift,
}

/// A behaviour's line: what shifts most stands at its end.
pub(super) fn head(page: &mut Page, ends: [f32; 2], top: f32, pair: &Pair, behaviour: Behaviour, options: &FigureOptions) {
    let basis = Basis::Behaviour(behaviour);
    let first = shift::first(&pair.comparison, basis, options.shift).filter(|_| shift::empty_reason(pair, behaviour).is_none());
    let asides = first.map_or(Vec::new(), |first| {
        let row = shift::row(&pair.comparison, None, basis, options.shift, first);
        vec![format!("largest {first}, {}", shift::written(options.shift, row.shift))]
    });
    panel_head(page, ends, top, behaviour, &shift::instances(pair, behaviour), &asides);
}

pub(super) fn map(page: &mut Page, grid: &Grid, pair: &Pair, behaviour: Behaviour, part: Part, scales: [ColourScale; 2], options: &FigureOptions) {
    let comparison = &pair.comparison;
    let (view, scale) = (options.shift, options.scale);
    let side = usize::from(part == Part::B);
    let relative = [comparison.from(Some(behaviour)), comparison.to(Some(behaviour))][side];
    let ranks = &comparison.ranks(Some(behaviour))[side];
    let components = relative.len().saturating_sub(1).max(1) as f64;
    let value = |component: Component| match (part, scale) {
        (Part::Shift, _) => shift::cell(comparison, behaviour, component, view, scale),
        (_, Scale::Rank) => 1.0 - (ranks.overall(component) - 1) as f64 / components,
        _ => relative[component.index()],
    };
    let written = |component: Component| {
        let share = match part {
            Part::Shift => view.of(comparison.net(Some(behaviour), component)),
            _ => relative[component.index()],
        };
        let text = format::percent_in_cell(share.abs(), true);
        if share < 0.0 { format!("−{text}") } else { text }
    };
    let order = match part {
        Part::Shift => comparison.shift_ranks(Some(behaviour), view).order(),
        _ => ranks.order(),
    };
    // What does not shift this way has no rank worth a mark.
    let first: Vec<Component> = order.iter().copied().filter(|component| value(*component) != 0.0).take(MARKED).collect();
    grid.draw(
        page,
        &Content {
            value: &value,
            written: &written,
            first: &first,
            framed: options.component,
            scale: scales[usize::from(part == Part::Shift)],
            map: if part == Part::Shift { colours(view) } else { ColourMap::Importance },
        },
    );
}
