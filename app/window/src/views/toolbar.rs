//! What stands over every figure of behaviours: the choice of scale and of behaviour, and a line that says what is seen.

use cruxscope_selectors::Scale;
use cruxscope_study::Behaviour;
use cruxscope_theme::{Palette, icons, sizes, typeface};
use egui::{Align2, Painter, Rect, Sense, Ui, vec2};

use super::scene::Scene;
use crate::action::Action;
use crate::widgets;

/// Scale and behaviour.
pub fn choices(ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
    ui.spacing_mut().item_spacing.x = sizes::GAP;
    let scales = Scale::ALL.map(|scale| (scale, scale.title()));
    let pressed = ui.push_id("scale", |ui| widgets::segmented(ui, &scales, scene.state.scale, |_, _, _| false, |_| None));
    if let Some(scale) = pressed.inner {
        actions.push(Action::SetScale(scale));
    }
    behaviours(ui, scene, actions);
}

/// The behaviour in focus.
pub fn behaviours(ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
    let mut choices = vec![(None, "All")];
    choices.extend(Behaviour::ALL.map(|behaviour| (Some(behaviour), behaviour.title())));
    let draw = |choice: Option<Behaviour>, painter: &Painter, rect: Rect| {
        if let Some(behaviour) = choice {
            let sign = Rect::from_center_size(rect.center(), vec2(sizes::SIGN, sizes::SIGN));
            icons::behaviour(painter, sign, behaviour, scene.palette);
        }
        choice.is_some()
    };
    let width_of_drawn = |choice: Option<Behaviour>| choice.map(|_| sizes::SIGN + 2.0 * sizes::GAP);
    let pressed = ui.push_id("behaviour", |ui| widgets::segmented(ui, &choices, scene.state.behaviour, draw, width_of_drawn));
    if let Some(behaviour) = pressed.inner {
        actions.push(Action::SetBehaviour(behaviour));
    }
}

/// The first of the texts that fits into what room is left, on the right.
pub fn caption(ui: &mut Ui, palette: &Palette, texts: &[&str]) {
    let (rest, _) = ui.allocate_exact_size(vec2(ui.available_width(), sizes::BUTTON), Sense::hover());
    let width_of = |text: &str| ui.painter().layout_no_wrap(text.to_owned(), typeface::caption(), palette.faint).size().x;
    if let Some(text) = texts.iter().find(|text| width_of(text) <= rest.width()) {
        ui.painter()
            .text(rest.right_center(), Align2::RIGHT_CENTER, *text, typeface::caption(), palette.faint);
    }
}
