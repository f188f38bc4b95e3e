//! What stands over every figure of behaviours: the choice of scale and of behaviour, and a line that says what is seen.

use cruxscope_selectors::Scale;
use cruxscope_study::Behaviour;
use cruxscope_theme::{Palette, icons, sizes, typeface};
use egui::{Align2, Painter, Rect, Sense, Ui, vec2};

use super::scene::Scene;
use crate::action::Action;
use crate::widgets;

/// A row of choices that goes on in further rows where there is little room.
pub fn row(ui: &mut Ui, content: impl FnOnce(&mut Ui)) {
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing = vec2(sizes::GAP, sizes::SMALL);
        content(ui);
    });
}

/// Begins the next row unless something of this width has room in the present one.
pub fn break_before(ui: &mut Ui, width: f32) {
    if ui.layout().main_wrap() && ui.available_size_before_wrap().x < width {
        ui.end_row();
    }
}

/// Scale and behaviour.
pub fn choices(ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
    scales(ui, scene, actions);
    behaviours(ui, scene, actions);
}

/// The scale.
pub fn scales(ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
    let scales = Scale::ALL.map(|scale| (scale, scale.title()));
    if let Some(scale) = widgets::segmented(ui, "scale", &scales, scene.state.scale, |_, _, _| false, |_| None) {
        actions.push(Action::SetScale(scale));
    }
}

/// The behaviour in focus, or all.
pub fn behaviours(ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
    let mut choices = vec![(None, "All")];
    choices.extend(Behaviour::ALL.map(|behaviour| (Some(behaviour), behaviour.title())));
    signs(ui, scene, &choices, scene.state.behaviour, actions);
}

/// The behaviour that is drawn, where a view draws one at a time: one of those that the study has.
pub fn one_behaviour(ui: &mut Ui, scene: &Scene<'_>, drawn: Behaviour, actions: &mut Vec<Action>) {
    let known = Behaviour::ALL.into_iter().filter(|behaviour| scene.open.figures.has(*behaviour));
    let choices: Vec<(Option<Behaviour>, &str)> = known.map(|behaviour| (Some(behaviour), behaviour.title())).collect();
    signs(ui, scene, &choices, Some(drawn), actions);
}

fn signs(ui: &mut Ui, scene: &Scene<'_>, choices: &[(Option<Behaviour>, &str)], chosen: Option<Behaviour>, actions: &mut Vec<Action>) {
    let draw = |choice: Option<Behaviour>, painter: &Painter, rect: Rect| {
        if let Some(behaviour) = choice {
            let sign = Rect::from_center_size(rect.center(), vec2(sizes::SIGN, sizes::SIGN));
            icons::behaviour(painter, sign, behaviour, scene.palette);
        }
        choice.is_some()
    };
    let width_of_drawn = |choice: Option<Behaviour>| choice.map(|_| sizes::SIGN + 2.0 * sizes::GAP);
    if let Some(behaviour) = widgets::segmented(ui, "behaviour", choices, chosen, draw, width_of_drawn) {
        actions.push(Action::SetBehaviour(behaviour));
    }
}

/// The first of the texts that fits into what room is left of the row, on the right; else the last of them on a row of its own.
pub fn caption(ui: &mut Ui, palette: &Palette, texts: &[&str]) {
    let room = ui.available_size_before_wrap().x - 1.0;
    let width_of = |text: &str| ui.painter().layout_no_wrap(text.to_owned(), typeface::caption(), palette.faint).size().x;
    let texts = || texts.iter().filter(|text| !text.is_empty());
    if let Some(text) = texts().find(|text| width_of(text) <= room) {
        let (rest, _) = ui.allocate_exact_size(vec2(room, sizes::BUTTON), Sense::hover());
        ui.painter()
            .text(rest.right_center(), Align2::RIGHT_CENTER, *text, typeface::caption(), palette.faint);
    } else if let Some(text) = texts().next_back() {
        if ui.layout().main_wrap() {
            ui.end_row();
        }
        let text = egui::RichText::new(*text).font(typeface::caption()).color(palette.faint);
        ui.add(egui::Label::new(text).wrap());
    }
}

/// An entry of a legend: its mark, drawn around a place, and what it means. Entries stand in a [`row`] and none is left out.
pub fn entry(ui: &mut Ui, palette: &Palette, text: &str, draw: impl FnOnce(&Painter, egui::Pos2)) {
    let galley = ui.painter().layout_no_wrap(text.to_owned(), typeface::caption(), palette.dim);
    let size = vec2(galley.size().x + sizes::LARGE, sizes::LINE);
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Label, true, format!("Legend: {text}")));
    draw(ui.painter(), rect.left_center() + vec2(sizes::GAP - 1.0, 0.0));
    let place = egui::pos2(rect.left() + sizes::LARGE, rect.center().y - galley.size().y / 2.0);
    ui.painter().galley(place, galley, palette.dim);
}
