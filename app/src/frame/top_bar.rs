//! The bar on top: the mark, the views, and what concerns the whole window.

use egui::{Align2, CornerRadius, Rect, Role, Sense, Stroke, Ui, WidgetInfo, pos2, vec2};

use crate::state::{Action, State};
use crate::theme::{Palette, icons, sizes, typeface};
use crate::views::ViewKind;
use crate::widgets;

/// Draws it.
pub fn show(ui: &mut Ui, state: &State, has_study: bool, offers_open: bool, actions: &mut Vec<Action>) {
    let palette = Palette::of(ui.ctx());
    let bar = ui.max_rect();
    let middle = bar.center().y;
    let mut left = bar.left() + sizes::LARGE;
    icons::mark(ui.painter(), pos2(left + 7.0, middle), palette);
    left += 22.0;
    let name = ui
        .painter()
        .text(pos2(left, middle), Align2::LEFT_CENTER, "Cruxscope", typeface::heading(), palette.text);
    left = name.right() + sizes::LARGE + sizes::SMALL;
    if has_study {
        for view in ViewKind::ALL {
            left = tab(ui, bar, left, view, state.view == view, actions) + sizes::LARGE;
        }
    }
    let place = Rect::from_min_max(pos2(left, bar.top()), pos2(bar.right() - sizes::LARGE, bar.bottom()));
    let builder = egui::UiBuilder::new().max_rect(place).layout(egui::Layout::right_to_left(egui::Align::Center));
    ui.scope_builder(builder, |ui| {
        let wide = place.width() > sizes::LARGE * 24.0;
        let (rect, _) = ui.allocate_exact_size(vec2(sizes::BUTTON, sizes::BUTTON), Sense::hover());
        let text = format!("Change theme, now {}", state.theme.title().to_lowercase());
        if widgets::icon_button(ui, rect, &text, false, icons::half_circle).clicked() {
            actions.push(Action::NextTheme);
        }
        if wide && widgets::button(ui, "Keys").clicked() {
            actions.push(Action::ToggleKeys);
        }
        if has_study && widgets::button(ui, "Provenance").clicked() {
            actions.push(Action::ToggleProvenance);
        }
        if has_study && wide && widgets::button(ui, "Export…").clicked() {
            actions.push(Action::ToggleExport);
        }
        if offers_open && place.width() > sizes::LARGE * 12.0 && widgets::button(ui, "Open…").clicked() {
            actions.push(Action::OpenDialog);
        }
    });
}

/// One view's name, underlined when it is on; gives where it ends.
fn tab(ui: &Ui, bar: Rect, left: f32, view: ViewKind, on: bool, actions: &mut Vec<Action>) -> f32 {
    let palette = Palette::of(ui.ctx());
    let colour = if on { palette.text } else { palette.dim };
    let text = ui
        .painter()
        .text(pos2(left, bar.center().y), Align2::LEFT_CENTER, view.title(), typeface::body(), colour);
    let rect = Rect::from_x_y_ranges(text.x_range(), bar.y_range());
    let response = ui.interact(rect, ui.scope_id().with(("tab", view.name())), Sense::click());
    response.widget_info(|| WidgetInfo::selected(Role::Tab, true, on, view.title()));
    if response.clicked() {
        actions.push(Action::SetView(view));
    }
    if on {
        let line = Rect::from_min_max(pos2(rect.left(), rect.bottom() - 2.0), rect.max);
        ui.painter().rect_filled(line, CornerRadius::ZERO, palette.accent);
    }
    ui.painter()
        .hline(bar.x_range(), bar.bottom() - 0.5, Stroke::new(sizes::HAIRLINE, palette.line));
    rect.right()
}
