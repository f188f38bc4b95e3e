//! The bar on top: the mark, the views, and what concerns the whole window.

use cruxscope_theme::{Palette, icons, sizes, typeface};
use egui::{Align2, CornerRadius, Rect, Role, Sense, Stroke, Ui, WidgetInfo, pos2, vec2};

use crate::action::Action;
use crate::library::Library;
use crate::state::State;
use crate::view_kind::ViewKind;
use crate::widgets;

/// Room that the buttons on the right take with all their words, and with only the most needed.
const BUTTONS: [f32; 2] = [440.0, 190.0];

/// Draws it. `ways` says whether there is a place to go back to, and one to go forward to.
pub fn show(ui: &mut Ui, state: &State, library: &Library, ways: [bool; 2], offers_open: bool, actions: &mut Vec<Action>) {
    let palette = Palette::of(ui.ctx());
    let bar = ui.max_rect();
    let middle = bar.center().y;
    let mut left = bar.left() + sizes::LARGE;
    icons::mark(ui.painter(), pos2(left + 7.0, middle), palette);
    left += 22.0;
    if bar.width() >= sizes::ONE_COLUMN {
        let name = ui
            .painter()
            .text(pos2(left, middle), Align2::LEFT_CENTER, "Cruxscope", typeface::heading(), palette.text);
        left = name.right() + sizes::LARGE;
    }
    let has_study = !library.studies.is_empty();
    let views: Vec<ViewKind> = ViewKind::ALL.into_iter().filter(|view| has_study || view.is_of_results()).collect();
    let widths: Vec<f32> = views.iter().map(|view| width_of(ui, view.title())).collect();
    let all: f32 = widths.iter().map(|width| width + sizes::LARGE).sum();
    let roomy = bar.right() - left - all >= BUTTONS[0];
    let room = bar.right() - left - if roomy { BUTTONS[0] } else { BUTTONS[1] };
    left = tabs(ui, bar, left, room, &views, &widths, state, actions);
    let place = Rect::from_min_max(pos2(left, bar.top()), pos2(bar.right() - sizes::LARGE, bar.bottom()));
    let builder = egui::UiBuilder::new().max_rect(place).layout(egui::Layout::right_to_left(egui::Align::Center));
    ui.scope_builder(builder, |ui| {
        let (rect, _) = ui.allocate_exact_size(vec2(sizes::BUTTON, sizes::BUTTON), Sense::hover());
        let text = format!("Change theme, now {}", state.theme.title().to_lowercase());
        if widgets::icon_button(ui, rect, &text, false, icons::half_circle).clicked() {
            actions.push(Action::NextTheme);
        }
        let ctrl = if ui.ctx().os().is_mac() { "Cmd P" } else { "Ctrl P" };
        if roomy {
            if widgets::button(ui, "Export…")
                .on_hover_text("The figure as SVG, PDF, PNG, CSV or LaTeX (E)")
                .clicked()
            {
                actions.push(Action::ToggleExport);
            }
            if widgets::button(ui, "Present").on_hover_text("Full screen (F)").clicked() {
                actions.push(Action::TogglePresenting);
            }
            if widgets::button(ui, "Share link").on_hover_text("Copy link to this view (L)").clicked() {
                actions.push(Action::CopyLink);
            }
        }
        if widgets::button(ui, ctrl).on_hover_text("Every command, by name").clicked() {
            actions.push(Action::TogglePalette);
        }
        if has_study && roomy && widgets::button(ui, "Provenance").clicked() {
            actions.push(Action::ToggleProvenance);
        }
        if offers_open && !roomy && place.width() > sizes::LARGE * 12.0 && widgets::button(ui, "Open…").clicked() {
            actions.push(Action::OpenDialog);
        }
        for (forward, there) in [(true, ways[1]), (false, ways[0])] {
            let (rect, _) = ui.allocate_exact_size(vec2(sizes::LINE, sizes::BUTTON), Sense::hover());
            let (name, action) = if forward {
                ("Forward", Action::HistoryForward)
            } else {
                ("Back to where you were", Action::HistoryBack)
            };
            if there && widgets::icon_button(ui, rect, name, false, |painter, rect, colour| icons::arrow(painter, rect, forward, colour)).clicked() {
                actions.push(action);
            }
        }
    });
}

fn width_of(ui: &Ui, text: &str) -> f32 {
    ui.painter()
        .layout_no_wrap(text.to_owned(), typeface::body(), egui::Color32::PLACEHOLDER)
        .size()
        .x
}

/// The names of the views; those that have no room stand in a menu. Gives where they end.
fn tabs(ui: &mut Ui, bar: Rect, mut left: f32, room: f32, views: &[ViewKind], widths: &[f32], state: &State, actions: &mut Vec<Action>) -> f32 {
    let more = width_of(ui, "More") + sizes::LARGE + sizes::GAP;
    let fits = |number: usize| widths[..number].iter().map(|width| width + sizes::LARGE).sum::<f32>();
    let number = if fits(views.len()) <= room {
        views.len()
    } else {
        (0..views.len()).rev().find(|number| fits(*number) + more <= room).unwrap_or(0)
    };
    for view in &views[..number] {
        left = tab(ui, bar, left, *view, state.view == *view, actions) + sizes::LARGE;
    }
    if number < views.len() {
        // The one that is on is named, though it stands in the menu.
        let on = views[number..].iter().find(|view| state.view == **view);
        let text = on.map_or("More", |view| view.title());
        let rect = Rect::from_min_size(pos2(left, bar.top()), vec2(width_of(ui, text) + sizes::LARGE, bar.height()));
        let response = ui.interact(rect, ui.scope_id().with("more views"), Sense::click());
        response.widget_info(|| WidgetInfo::labeled(Role::Button, true, "More views"));
        let palette = Palette::of(ui.ctx());
        let colour = if on.is_some() || response.hovered() { palette.text } else { palette.dim };
        let placed = ui.painter().text(rect.left_center(), Align2::LEFT_CENTER, text, typeface::body(), colour);
        icons::sort_arrow(ui.painter(), pos2(placed.right() + sizes::GAP, bar.center().y), true, colour);
        if on.is_some() {
            underline(ui, Rect::from_x_y_ranges(placed.x_range(), bar.y_range()));
        }
        egui::Popup::menu(&response).show(|ui| {
            ui.set_min_width(sizes::LARGE * 9.0);
            for view in &views[number..] {
                if ui.selectable_label(state.view == *view, view.title()).clicked() {
                    actions.push(Action::SetView(*view));
                    ui.close();
                }
            }
        });
        left = rect.right() + sizes::GAP;
    }
    left
}

/// One view's name, underlined when it is on; gives where it ends.
fn tab(ui: &Ui, bar: Rect, left: f32, view: ViewKind, on: bool, actions: &mut Vec<Action>) -> f32 {
    let palette = Palette::of(ui.ctx());
    let width = width_of(ui, view.title());
    let rect = Rect::from_min_size(pos2(left, bar.top()), vec2(width, bar.height()));
    let response = ui.interact(rect, ui.scope_id().with(("tab", view.name())), Sense::click());
    response.widget_info(|| WidgetInfo::selected(Role::Tab, true, on, view.title()));
    let colour = if on || response.hovered() || response.has_focus() {
        palette.text
    } else {
        palette.dim
    };
    ui.painter()
        .text(rect.left_center(), Align2::LEFT_CENTER, view.title(), typeface::body(), colour);
    if response.clicked() {
        actions.push(Action::SetView(view));
    }
    if on {
        underline(ui, rect);
    }
    ui.painter()
        .hline(bar.x_range(), bar.bottom() - 0.5, Stroke::new(sizes::HAIRLINE, palette.line));
    rect.right()
}

fn underline(ui: &Ui, rect: Rect) {
    let line = Rect::from_min_max(pos2(rect.left(), rect.bottom() - 2.0), rect.max);
    ui.painter().rect_filled(line, CornerRadius::ZERO, Palette::of(ui.ctx()).accent);
}
