//! The text of a trace: the pieces in sight, the signs of sections left of them, the map on the right.

use std::sync::Arc;

use cruxscope_selectors::divergence::TextApart;
use cruxscope_selectors::trace::{is_shown, title};
use cruxscope_study::TraceText;
use cruxscope_theme::{Palette, sizes, typeface};
use egui::{Color32, CornerRadius, Rect, Role, ScrollArea, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};

use super::measure::{self, Measured, measured};
use super::{colour, minimap, sign};
use crate::action::Action;
use crate::views::scene::Scene;

/// Width left of the text, for signs and bars.
const GUTTER: f32 = 40.0;
/// Width of the map.
const MAP: f32 = 18.0;
/// Greatest width of the text: longer lines are hard to read.
const TEXT_WIDTH: f32 = 860.0;
/// Room over a section that was jumped to.
const ROOM_ABOVE: f32 = 60.0;

/// Draws it.
pub fn show(ui: &mut Ui, scene: &Scene<'_>, text: &Arc<TraceText>, apart: Option<&TextApart>, actions: &mut Vec<Action>) {
    let palette = scene.palette;
    let outer = ui.available_rect_before_wrap();
    let line = Stroke::new(sizes::HAIRLINE, palette.line);
    ui.painter()
        .rect(outer, CornerRadius::same(sizes::RADIUS), palette.panel, line, StrokeKind::Inside);
    let inner = outer.shrink2(vec2(sizes::GAP, sizes::GAP));
    let map = Rect::from_min_max(pos2(inner.right() - MAP, inner.top()), inner.max);
    let place = Rect::from_min_max(inner.min, pos2(map.left() - sizes::GAP, inner.bottom()));
    let width = (place.width() - GUTTER - sizes::LARGE).min(TEXT_WIDTH);
    let measures = measured(ui, text, width, palette);
    let mut area = ScrollArea::vertical().id_salt(("trace", &text.id)).auto_shrink(false);
    if scene.state.trace.reveal
        && let Some([top, _]) = scene.state.trace.section.and_then(|section| *measures.sections.get(section)?)
    {
        area = area.vertical_scroll_offset((top - ROOM_ABOVE).max(0.0));
    }
    if let Some(byte) = scene.state.trace.byte
        && let Some(place) = measure::place(ui, text, &measures, byte, width, scene)
    {
        area = area.vertical_scroll_offset((place.top() - ROOM_ABOVE).max(0.0));
    }
    if let Some(offset) = minimap::wanted(ui, map, &measures, place.height()) {
        area = area.vertical_scroll_offset(offset);
    }
    let output = ui
        .scope_builder(egui::UiBuilder::new().max_rect(place), |ui| {
            area.show_viewport(ui, |ui, viewport| {
                let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), measures.height.max(1.0)), Sense::hover());
                pieces(ui, scene, text, &measures, rect, viewport, width);
                signs(ui, scene, text, &measures, rect, viewport, actions);
                let parting = apart.and_then(|apart| apart.tokens[apart.parting?].bytes);
                if let Some(place) = parting.and_then(|[start, _]| measure::place(ui, text, &measures, start, width, scene)) {
                    part(ui, rect, place, palette);
                }
            })
        })
        .inner;
    minimap::show(ui, map, scene, text, &measures, output.state.clamped_offset().y, place.height());
}

/// The thin line at the token at which the choices of two models first part, reaching to the signs on the left.
fn part(ui: &Ui, rect: Rect, place: Rect, palette: &Palette) {
    let at = place.translate(rect.min.to_vec2() + vec2(GUTTER, 0.0));
    if !ui.is_rect_visible(at) {
        return;
    }
    let line = Stroke::new(1.5, palette.accent);
    ui.painter().vline(at.left(), at.y_range(), line);
    ui.painter().hline(
        rect.left() + GUTTER - sizes::SMALL..=at.left(),
        at.top(),
        Stroke::new(sizes::HAIRLINE, palette.accent),
    );
    let response = ui.interact(at.expand2(vec2(3.0, 0.0)), ui.scope_id().with("choices part"), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, "Here greedy choices first part"));
    response.on_hover_text("Here greedy choices first part");
}

fn pieces(ui: &Ui, scene: &Scene<'_>, text: &TraceText, measures: &Measured, rect: Rect, viewport: Rect, width: f32) {
    let painter = ui.painter();
    let first = measures.pieces.partition_point(|piece| piece.top + piece.height < viewport.top());
    for piece in &measures.pieces[first..] {
        if piece.top > viewport.bottom() {
            break;
        }
        let job = measure::job(text, &measures.runs, piece, width, &scene.state.trace, scene.palette);
        let galley = painter.layout_job(job);
        painter.galley(rect.min + vec2(GUTTER, piece.top), galley, scene.palette.text);
    }
}

/// The bars along sections, their signs, and what a press on them does.
fn signs(ui: &Ui, scene: &Scene<'_>, text: &TraceText, measures: &Measured, rect: Rect, viewport: Rect, actions: &mut Vec<Action>) {
    let palette = scene.palette;
    let mut free = f32::NEG_INFINITY;
    for (place, (section, ends)) in text.sections.iter().zip(&measures.sections).enumerate() {
        let Some([top, bottom]) = *ends else { continue };
        if bottom < viewport.top() || top > viewport.bottom() || !is_shown(section, &scene.state.trace) {
            continue;
        }
        let chosen = scene.state.trace.section == Some(place);
        let ink = colour(section.label, palette);
        let bar = Rect::from_min_max(
            pos2(rect.left() + GUTTER - sizes::GAP - 3.0, rect.top() + top + 2.0),
            pos2(rect.left() + GUTTER - sizes::GAP, rect.top() + bottom - 2.0),
        );
        let fill = if section.dropped.is_some() { Color32::TRANSPARENT } else { ink };
        ui.painter()
            .rect(bar, CornerRadius::same(1), fill, Stroke::new(sizes::HAIRLINE, ink), StrokeKind::Inside);
        // A sign stays in sight for as long as its section is, and gives way to the one above it.
        let y = (rect.top() + top).max(rect.top() + viewport.top() + 2.0).max(free);
        let square = Rect::from_min_size(pos2(rect.left() + 2.0, y + 1.0), vec2(sizes::SIGN, sizes::SIGN));
        if square.top() > bar.bottom() {
            continue;
        }
        free = square.bottom() + 2.0;
        sign(ui.painter(), square, section.label, section.dropped.is_some(), palette);
        if chosen {
            let line = Stroke::new(1.5, palette.selection);
            ui.painter()
                .rect_stroke(square.expand(2.0), CornerRadius::same(sizes::RADIUS_SMALL), line, StrokeKind::Inside);
        }
        let handle = Rect::from_min_max(square.min, pos2(bar.right() + 2.0, bar.bottom().max(square.bottom())));
        let response = ui.interact(handle, ui.scope_id().with(("section", place)), Sense::click());
        let name = format!("{}, section {} of {}", title(section.label), place + 1, text.sections.len());
        response.widget_info(|| WidgetInfo::selected(Role::Button, true, chosen, name.clone()));
        if response.clicked() {
            actions.push(Action::SelectSection(place));
        }
        let fate = cruxscope_selectors::trace::fate(section);
        response.on_hover_ui_at_pointer(|ui| {
            ui.set_max_width(sizes::TOOLTIP);
            ui.label(egui::RichText::new(name).font(typeface::body_strong()));
            ui.label(egui::RichText::new(fate).color(palette.dim));
        });
    }
}
