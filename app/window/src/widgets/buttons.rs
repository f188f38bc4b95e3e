//! Buttons: plain, primary, with an icon, and a row of which one is chosen.

use cruxscope_theme::{Palette, sizes, typeface};
use egui::{Align2, Color32, CornerRadius, Painter, Rect, Response, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, vec2};

use super::stage;

/// A button with a hairline, as wide as its text.
pub fn button(ui: &mut Ui, text: &str) -> Response {
    sized(ui, text, None, false)
}

/// The one button that matters, in the accent colour, as wide as there is room.
pub fn primary_button(ui: &mut Ui, text: &str) -> Response {
    let width = ui.available_width();
    sized(ui, text, Some(width), true)
}

/// The width that [`button`] takes with a text.
pub fn button_width(ui: &Ui, text: &str) -> f32 {
    let galley = ui.painter().layout_no_wrap(text.to_owned(), typeface::body(), Color32::PLACEHOLDER);
    galley.size().x + 2.0 * (sizes::GAP + 2.0)
}

fn sized(ui: &mut Ui, text: &str, width: Option<f32>, primary: bool) -> Response {
    let palette = Palette::of(ui.ctx());
    let font = if primary { typeface::body_strong() } else { typeface::body() };
    let galley = ui.painter().layout_no_wrap(text.to_owned(), font, Color32::PLACEHOLDER);
    let size = vec2(width.unwrap_or(galley.size().x + 2.0 * (sizes::GAP + 2.0)), sizes::BUTTON);
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, text));
    let radius = CornerRadius::same(sizes::RADIUS_SMALL);
    let on = response.hovered() || response.has_focus();
    let (fill, line, ink) = if primary {
        (palette.accent, if on { palette.text } else { palette.accent }, palette.on_accent)
    } else if on {
        (palette.raised, palette.faint, palette.text)
    } else {
        (palette.panel, palette.line, palette.text)
    };
    ui.painter().rect(rect, radius, fill, Stroke::new(sizes::HAIRLINE, line), StrokeKind::Inside);
    ui.painter().galley(rect.center() - galley.size() / 2.0, galley, ink);
    response
}

/// A button that is a drawn icon; `name` is what it does, for the tooltip and for readers of the screen.
pub fn icon_button(ui: &mut Ui, rect: Rect, name: &str, on: bool, draw: impl FnOnce(&Painter, Rect, Color32)) -> Response {
    let palette = Palette::of(ui.ctx());
    let response = ui.interact(rect, ui.scope_id().with(("icon", name)), Sense::click());
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, on, name));
    if response.hovered() || response.has_focus() {
        ui.painter().rect_filled(rect, CornerRadius::same(sizes::RADIUS_SMALL), palette.raised);
    }
    let colour = if response.hovered() {
        palette.text
    } else if on {
        palette.accent
    } else {
        palette.faint
    };
    draw(ui.painter(), rect, colour);
    response.on_hover_text(name)
}

/// A row of choices of which one is on; gives the one that was pressed. A choice may be drawn instead of written. Where the row is
/// wider than there is room, it goes on in further rows. `salt` tells it from other rows of the same place.
pub fn segmented<T: Copy + PartialEq>(
    ui: &mut Ui,
    salt: &str,
    choices: &[(T, &str)],
    chosen: T,
    mut draw: impl FnMut(T, &Painter, Rect) -> bool,
    width_of_drawn: impl Fn(T) -> Option<f32>,
) -> Option<T> {
    if stage::is_on(ui.ctx()) {
        return None;
    }
    let padding = sizes::GAP + 3.0;
    let widths: Vec<f32> = choices
        .iter()
        .map(|(choice, name)| {
            width_of_drawn(*choice).unwrap_or_else(|| {
                let galley = ui.painter().layout_no_wrap((*name).to_owned(), typeface::body(), Color32::PLACEHOLDER);
                galley.size().x + 2.0 * padding
            })
        })
        .collect();
    let room = if ui.layout().main_wrap() {
        ui.max_rect().width()
    } else {
        ui.available_width()
    };
    let rows = rows_of(&widths, room);
    let size = vec2(
        rows.iter().map(|row| widths[row.clone()].iter().sum::<f32>()).fold(0.0, f32::max),
        rows.len() as f32 * (sizes::BUTTON + sizes::SMALL) - sizes::SMALL,
    );
    let (outer, _) = ui.allocate_exact_size(size, Sense::hover());
    let mut pressed = None;
    for (number, row) in rows.into_iter().enumerate() {
        let top = outer.top() + number as f32 * (sizes::BUTTON + sizes::SMALL);
        let width = widths[row.clone()].iter().sum();
        let rect = Rect::from_min_size(egui::pos2(outer.left(), top), vec2(width, sizes::BUTTON));
        pressed = segments(ui, salt, rect, &choices[row.clone()], &widths[row], chosen, &mut draw).or(pressed);
    }
    pressed
}

/// Which choices stand in which row, as many in each as there is room for.
fn rows_of(widths: &[f32], room: f32) -> Vec<std::ops::Range<usize>> {
    let mut rows: Vec<std::ops::Range<usize>> = std::iter::once(0..0).collect();
    let mut left = room;
    for (at, width) in widths.iter().enumerate() {
        if *width > left
            && let Some(row) = rows.last()
            && !row.is_empty()
        {
            rows.push(at..at);
            left = room;
        }
        left -= width;
        if let Some(row) = rows.last_mut() {
            row.end = at + 1;
        }
    }
    rows
}

/// The choices of one row, within its frame.
fn segments<T: Copy + PartialEq>(
    ui: &mut Ui,
    salt: &str,
    outer: Rect,
    choices: &[(T, &str)],
    widths: &[f32],
    chosen: T,
    draw: &mut impl FnMut(T, &Painter, Rect) -> bool,
) -> Option<T> {
    let palette = Palette::of(ui.ctx());
    let radius = CornerRadius::same(sizes::RADIUS_SMALL);
    let line = Stroke::new(sizes::HAIRLINE, palette.line);
    ui.painter().rect_filled(outer, radius, palette.panel);
    let (mut left, mut pressed) = (outer.left(), None);
    for (position, ((choice, name), width)) in choices.iter().zip(widths).enumerate() {
        let rect = Rect::from_min_size(egui::pos2(left, outer.top()), vec2(*width, outer.height()));
        left += width;
        let response = ui.interact(rect, ui.scope_id().with((salt, "segment", *name)), Sense::click());
        let on = *choice == chosen;
        response.widget_info(|| WidgetInfo::selected(Role::RadioButton, true, on, *name));
        if on || response.hovered() || response.has_focus() {
            let first = if position == 0 { sizes::RADIUS_SMALL } else { 0 };
            let last = if position + 1 == choices.len() { sizes::RADIUS_SMALL } else { 0 };
            let corners = CornerRadius {
                nw: first,
                sw: first,
                ne: last,
                se: last,
            };
            ui.painter().rect_filled(rect, corners, if on { palette.chosen } else { palette.raised });
        }
        if position > 0 {
            ui.painter().vline(rect.left(), rect.y_range(), line);
        }
        let clicked = response.clicked();
        if draw(*choice, ui.painter(), rect) {
            response.on_hover_text(*name);
        } else {
            let colour = if on { palette.text } else { palette.dim };
            ui.painter().text(rect.center(), Align2::CENTER_CENTER, *name, typeface::body(), colour);
        }
        if clicked {
            pressed = Some(*choice);
        }
    }
    ui.painter().rect_stroke(outer, radius, line, StrokeKind::Inside);
    pressed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_go_on_in_further_rows_where_one_has_no_room() {
        assert_eq!(rows_of(&[30.0, 30.0, 30.0], 100.0).len(), 1);
        assert_eq!(rows_of(&[30.0, 30.0, 30.0, 30.0], 70.0), [0..2, 2..4]);
        assert_eq!(rows_of(&[80.0, 30.0], 70.0), [0..1, 1..2], "one that is wider than all stands alone");
    }
}
