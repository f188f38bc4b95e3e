//! Which study is A and which is B: two lists to choose from, and the button that swaps them.

use cruxscope_selectors::{shift, status};
use cruxscope_theme::{icons, sizes, typeface};
use egui::{Align2, ComboBox, Rect, RichText, Ui, WidgetInfo, vec2};

use crate::action::Action;
use crate::comparison::OpenComparison;
use crate::views::scene::Scene;
use crate::widgets;

/// The names of the sides.
pub const SIDES: [&str; 2] = ["A", "B"];

/// Both choices on a line of their own, for where the figure has no heads for them.
pub fn choices(ui: &mut Ui, scene: &Scene<'_>, open: &OpenComparison, actions: &mut Vec<Action>) {
    let (area, _) = ui.allocate_exact_size(vec2(ui.available_width(), sizes::BUTTON), egui::Sense::hover());
    let gap = sizes::BUTTON + 2.0 * sizes::SMALL;
    let width = ((area.width() - gap) / 2.0).min(sizes::INSPECTOR);
    for side in 0..2 {
        let left = area.left() + (width + gap) * side as f32;
        choice(
            ui,
            Rect::from_min_size(egui::pos2(left, area.top()), vec2(width, area.height())),
            scene,
            open,
            side,
            actions,
        );
    }
    let middle = egui::pos2(area.left() + width + gap / 2.0, area.center().y);
    swap(ui, Rect::from_center_size(middle, vec2(sizes::BUTTON, sizes::BUTTON)), actions);
}

/// One side: its letter and the list of studies.
pub fn choice(ui: &mut Ui, rect: Rect, scene: &Scene<'_>, open: &OpenComparison, side: usize, actions: &mut Vec<Action>) {
    let letter = ui
        .painter()
        .text(rect.left_center(), Align2::LEFT_CENTER, SIDES[side], typeface::heading(), scene.palette.text);
    let place = Rect::from_min_max(egui::pos2(letter.right() + sizes::GAP, rect.top()), rect.max);
    if widgets::stage::is_on(ui.ctx()) {
        let (title, ink) = (&open.titles[side], scene.palette.text);
        widgets::paint_cut(
            ui.painter(),
            place.left_center(),
            Align2::LEFT_CENTER,
            title,
            typeface::body(),
            ink,
            place.width(),
        );
        return;
    }
    let builder = egui::UiBuilder::new().max_rect(place).layout(egui::Layout::left_to_right(egui::Align::Center));
    // A child that is placed, not laid out: the figure goes on where it was.
    let ui = &mut ui.new_child(builder);
    let text = RichText::new(&open.titles[side]).font(typeface::body());
    let list = ComboBox::from_id_salt(("compared", side)).selected_text(text).width(place.width()).truncate();
    let response = list.show_ui(ui, |ui| {
        let other = scene.studies.iter().find(|study| study.id == open.ids[1 - side.min(1)]);
        for study in scene
            .studies
            .iter()
            .filter(|study| study.id == open.ids[side] || other.is_none_or(|other| shift::offered(&study.study, &other.study)))
        {
            let name = RichText::new(status::title(&study.study)).font(typeface::body());
            if ui.selectable_label(study.id == open.ids[side], name).clicked() {
                actions.push(Action::Compare(side, study.id));
            }
        }
    });
    let name = format!("{} is {}", SIDES[side], open.titles[side]);
    response.response.widget_info(|| WidgetInfo::labeled(egui::Role::ComboBox, true, &name));
    response.response.on_hover_text(name);
}

/// The button that lets A and B change places.
pub fn swap(ui: &mut Ui, rect: Rect, actions: &mut Vec<Action>) {
    if widgets::stage::is_on(ui.ctx()) {
        return;
    }
    if widgets::icon_button(ui, rect, "Swap A and B", false, icons::swap).clicked() {
        actions.push(Action::SwapCompared);
    }
}
