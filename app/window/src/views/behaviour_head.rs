//! What stands over the heatmaps of a behaviour, whichever view they belong to: its sign and name, the button that enlarges
//! it, and what a press on the head does.

use cruxscope_study::Behaviour;
use cruxscope_theme::{icons, sizes, typeface};
use egui::{Align2, Color32, Rect, Role, Sense, Ui, WidgetInfo, pos2, vec2};

use crate::action::Action;
use crate::state::State;
use crate::views::scene::Scene;
use crate::widgets;

/// The place of an icon's button around its middle.
pub fn icon_place(x: f32, y: f32) -> Rect {
    Rect::from_center_size(pos2(x, y), vec2(sizes::ICON + sizes::SMALL, sizes::ICON + sizes::SMALL))
}

/// The button that lets the behaviour fill the figure, or takes that back.
pub fn enlarge(ui: &mut Ui, place: Rect, state: &State, behaviour: Behaviour, actions: &mut Vec<Action>) {
    if state.presenting {
        return;
    }
    let maximised = state.maximised == Some(behaviour);
    let name = format!("{} {}", if maximised { "Shrink" } else { "Enlarge" }, behaviour.title());
    let draw = |painter: &egui::Painter, rect: Rect, colour| icons::corners(painter, rect, !maximised, colour);
    if widgets::icon_button(ui, place, &name, false, draw).clicked() {
        actions.push(Action::Maximise(behaviour));
    }
}

/// The sign from `left` on and the name up to `right`, both around the height `middle`; gives where the name ends.
pub fn name(ui: &Ui, left: f32, middle: f32, right: f32, scene: &Scene<'_>, behaviour: Behaviour, colour: Color32) -> f32 {
    let sign = Rect::from_center_size(pos2(left + sizes::SIGN / 2.0, middle), vec2(sizes::SIGN, sizes::SIGN));
    icons::behaviour(ui.painter(), sign, behaviour, scene.palette);
    let left = sign.right() + sizes::GAP;
    let place = pos2(left, middle);
    let title = behaviour.title();
    widgets::paint_cut(ui.painter(), place, Align2::LEFT_CENTER, title, typeface::heading(), colour, right - left).right()
}

/// A press on the head focuses on the behaviour or leaves it; two enlarge it. `said` is read out after its name.
pub fn press(ui: &mut Ui, area: Rect, state: &State, behaviour: Behaviour, said: &str, actions: &mut Vec<Action>) {
    let response = ui.interact(area, ui.scope_id().with(("head", behaviour.index())), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Heading, true, format!("{}, {said}", behaviour.title())));
    if response.double_clicked() {
        actions.push(Action::Maximise(behaviour));
    } else if response.clicked() && state.maximised.is_none() {
        let on = state.behaviour == Some(behaviour);
        actions.push(Action::SetBehaviour((!on).then_some(behaviour)));
    }
}
