//! The shift view: every behaviour in A, in B and what lies between them, side by side; the list of shifts under that.
//!
//! A and B have one scale, the shift has its own colours and its own scale, and neither changes with what is selected.

mod heads;
mod inspector;
mod maps;
mod messages;
mod ranking;
mod tooltip;

use cruxscope_selectors::shift;
use cruxscope_study::ShiftView;
use cruxscope_theme::colour_map::ColourMap;
use cruxscope_theme::{sizes, typeface};
use egui::{Align2, Rect, ScrollArea, Sense, Ui, pos2, vec2};

use super::scene::{Scene, View};
use super::{colour_bar, toolbar};
use crate::action::Action;
use crate::comparison::{Compared, OpenComparison};
use crate::widgets;

/// The shift view.
pub struct ShiftFigure;

/// The colours of a view of the shift.
const fn colours(view: ShiftView) -> ColourMap {
    match view {
        ShiftView::Decreases => ColourMap::Decreases,
        ShiftView::Increases => ColourMap::Increases,
        ShiftView::Net => ColourMap::Net,
    }
}

impl View for ShiftFigure {
    fn show(&self, ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
        let Some(open) = scene.comparison else {
            if scene.coming > 0 {
                messages::coming(ui, scene);
            } else {
                messages::alone(ui, scene, actions);
            }
            return;
        };
        match &open.outcome {
            Err(error) => {
                heads::choices(ui, scene, open, actions);
                ui.add_space(sizes::GAP);
                messages::refused(ui, scene, error);
            }
            Ok(compared) => {
                let height = ui.available_height();
                let bars = 2.0 * sizes::BUTTON + sizes::LINE + sizes::LARGE + 4.0 * sizes::GAP;
                // No choices stand over it on a stage.
                let bars = if scene.state.presenting { bars - sizes::BUTTON - sizes::LARGE } else { bars };
                let [least, most] = sizes::SHIFT_HEIGHT;
                // An audience sees all of it at once.
                let least = if scene.state.presenting { 0.0 } else { least };
                let list = if scene.state.is_bare() { 0.0 } else { sizes::TABLE_MINIMUM * 0.75 };
                let free = height - bars - list;
                let figure = free.clamp(least, if scene.state.is_bare() { f32::INFINITY } else { most });
                let scrolls = free < least || scene.inspector_below;
                if scrolls {
                    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
                        // Room for the scroll bar, so that it does not lie on the figure.
                        ui.set_max_width(ui.available_width() - sizes::GAP - sizes::SMALL);
                        content(ui, scene, open, compared, figure, true, actions);
                    });
                } else {
                    content(ui, scene, open, compared, figure, false, actions);
                }
            }
        }
    }

    fn inspect(&self, ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
        inspector::content(ui, scene, actions);
    }
}

fn content(ui: &mut Ui, scene: &Scene<'_>, open: &OpenComparison, compared: &Compared, height: f32, scrolls: bool, actions: &mut Vec<Action>) {
    let narrow = ui.available_width() < sizes::ONE_COLUMN && !scene.state.presenting;
    toolbar::row(ui, |ui| {
        toolbar::choices(ui, scene, actions);
        views(ui, scene, actions);
    });
    // Enlarged maps have the choices in their heads.
    if narrow && scene.state.maximised.is_none() {
        heads::choices(ui, scene, open, actions);
    }
    messages::differences(ui, scene, compared);
    ui.add_space(sizes::SMALL);
    let (area, _) = ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::hover());
    maps::show(ui, area, scene, open, compared, narrow, actions);
    ui.add_space(sizes::SMALL);
    legend(ui, scene, compared, actions);
    if !scene.state.is_bare() {
        let height = if scrolls { sizes::TABLE_SCROLLING } else { ui.available_height() };
        ranking::show(ui, scene, compared, height, actions);
    }
    if scene.inspector_below {
        ui.add_space(sizes::LARGE);
        inspector::content(ui, scene, actions);
        ui.add_space(sizes::LARGE);
    }
}

/// Decreases, increases, net; and what is seen.
fn views(ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
    let choices = ShiftView::ALL.map(|view| (view, shift::title(view)));
    if let Some(view) = widgets::segmented(ui, "shift", &choices, scene.state.shift, |_, _, _| false, |_| None) {
        actions.push(Action::SetShift(view));
    }
    toolbar::caption(ui, scene.palette, &["relative importance", ""]);
}

/// The two scales, the one of A and B on the left, the one of the shift on the right.
fn legend(ui: &mut Ui, scene: &Scene<'_>, compared: &Compared, actions: &mut Vec<Action>) {
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), sizes::LINE + sizes::LARGE), Sense::hover());
    let (comparison, view, scale) = (compared.comparison(), scene.state.shift, scene.state.scale);
    let components = scene.studies.first().map_or(0, |open| open.figures.components());
    let scales = [
        ("A and B", shift::importance_scale(comparison, scale), ColourMap::Importance),
        (shift::title(view), shift::shift_scale(comparison, view, scale), colours(view)),
    ];
    let half = rect.width() / 2.0;
    for (side, (name, scale, map)) in scales.iter().enumerate() {
        let left = rect.left() + half * side as f32 + if side == 1 { sizes::LARGE } else { sizes::SMALL };
        let label = pos2(left, rect.top() + sizes::SMALL + sizes::COLOUR_BAR / 2.0);
        let colour = scene.palette.dim;
        let placed = widgets::paint(ui.painter(), label, Align2::LEFT_CENTER, name, typeface::caption(), colour);
        let bar_left = placed.right() + sizes::GAP + sizes::SMALL;
        let width = (rect.left() + half * (side as f32 + 1.0) - bar_left - sizes::SMALL).min(sizes::COLOUR_BAR_WIDTH);
        let bar = Rect::from_min_size(pos2(bar_left, rect.top() + sizes::SMALL), vec2(width, sizes::COLOUR_BAR));
        colour_bar::show(ui, bar, scale, *map, components, scene.palette, actions);
    }
}
