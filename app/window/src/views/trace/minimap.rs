//! The map of a whole trace: every section in its colour, and the part that is in sight.

use cruxscope_selectors::trace::is_shown;
use cruxscope_study::TraceText;
use cruxscope_theme::sizes;
use egui::{CornerRadius, Id, Rect, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};

use super::{Measured, colour};
use crate::views::scene::Scene;

fn id() -> Id {
    Id::unique("map of the trace")
}

/// Where the pointer on the map wants to be, as an offset of the text.
pub fn wanted(ui: &Ui, map: Rect, measures: &Measured, height: f32) -> Option<f32> {
    let response = ui.interact(map, id(), Sense::click_and_drag());
    response.widget_info(|| WidgetInfo::labeled(Role::ScrollBar, true, "Map of the trace"));
    let pointed = response.interact_pointer_pos()?;
    let share = ((pointed.y - map.top()) / map.height()).clamp(0.0, 1.0);
    Some((share * measures.height - height / 2.0).clamp(0.0, (measures.height - height).max(0.0)))
}

/// Draws it.
pub fn show(ui: &Ui, map: Rect, scene: &Scene<'_>, text: &TraceText, measures: &Measured, offset: f32, height: f32) {
    let palette = scene.palette;
    let painter = ui.painter();
    painter.rect_filled(map, CornerRadius::same(2), palette.raised);
    // A trace that does not fill its place has a map that is no longer than it.
    let scale = map.height() / measures.height.max(height).max(1.0);
    for (place, (section, ends)) in text.sections.iter().zip(&measures.sections).enumerate() {
        let Some([top, bottom]) = *ends else { continue };
        if section.label.behaviour().is_none() || !is_shown(section, &scene.state.trace) {
            continue;
        }
        let chosen = scene.state.trace.section == Some(place);
        let (from, to) = (map.top() + top * scale, map.top() + bottom * scale);
        let ink = colour(section.label, palette);
        let rect = Rect::from_min_max(pos2(map.left() + 2.0, from), pos2(map.right() - 2.0, to.max(from + 1.5)));
        if section.dropped.is_some() {
            painter.rect_stroke(rect, CornerRadius::ZERO, Stroke::new(sizes::HAIRLINE, ink), StrokeKind::Inside);
        } else {
            painter.rect_filled(rect, CornerRadius::ZERO, ink);
        }
        if chosen {
            painter.rect_filled(
                Rect::from_min_size(pos2(map.left(), from), vec2(map.width(), 2.0)),
                CornerRadius::ZERO,
                palette.selection,
            );
        }
    }
    let seen = Rect::from_min_max(
        pos2(map.left(), map.top() + offset * scale),
        pos2(map.right(), (map.top() + (offset + height) * scale).min(map.bottom())),
    );
    painter.rect(
        seen,
        CornerRadius::same(2),
        palette.text.gamma_multiply(0.08),
        Stroke::new(sizes::HAIRLINE, palette.dim),
        StrokeKind::Inside,
    );
}
