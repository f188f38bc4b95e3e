//! Text: painted at a place, cut with an ellipsis where room ends, and the two kinds of lines that panels are made of.

use cruxscope_theme::{Palette, sizes, typeface};
use egui::text::{LayoutJob, TextFormat, TextWrapping};
use egui::{Align, Align2, Color32, FontId, Painter, Pos2, Rect, RichText, Sense, Stroke, Ui, vec2};

/// Paints one line at a place, and gives where it lies.
pub fn paint(painter: &Painter, place: Pos2, anchor: Align2, text: &str, font: FontId, colour: Color32) -> Rect {
    painter.text(place, anchor, text, font, colour)
}

/// Paints one line within `width`, cut with an ellipsis if need be, and gives where it lies.
pub fn paint_cut(painter: &Painter, place: Pos2, anchor: Align2, text: &str, font: FontId, colour: Color32, width: f32) -> Rect {
    let format = TextFormat {
        font_id: font,
        color: colour,
        ..TextFormat::default()
    };
    let mut job = LayoutJob::single_section(text.to_owned(), format);
    job.wrap = TextWrapping::truncate_at_width(width.max(0.0));
    let galley = painter.layout_job(job);
    let rect = anchor.anchor_size(place, galley.size());
    painter.galley(rect.min, galley, colour);
    rect
}

/// A caption over a group.
pub fn caption(ui: &mut Ui, text: &str) {
    let colour = Palette::of(ui.ctx()).faint;
    let response = ui.label(RichText::new(text).font(typeface::caption_strong()).color(colour));
    super::explained(response, text);
}

/// A caption with room above it.
pub fn section(ui: &mut Ui, text: &str) {
    ui.add_space(sizes::GAP + sizes::SMALL);
    caption(ui, text);
    ui.add_space(sizes::SMALL / 2.0);
}

/// A hairline across the width.
pub fn hairline(ui: &mut Ui) {
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), sizes::HAIRLINE), Sense::hover());
    ui.painter()
        .hline(rect.x_range(), rect.center().y, Stroke::new(sizes::HAIRLINE, Palette::of(ui.ctx()).line));
}

/// A label on the left, a value on the right, a hairline under both. The value is cut last.
pub fn fact(ui: &mut Ui, label: &str, value: &str) -> egui::Response {
    let palette = Palette::of(ui.ctx());
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), sizes::LINE + sizes::SMALL), Sense::hover());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Label, true, format!("{label} {value}")));
    let painter = ui.painter();
    let value_width = paint_cut(
        painter,
        rect.right_center(),
        Align2([Align::Max, Align::Center]),
        value,
        typeface::body_strong(),
        palette.text,
        rect.width() * 0.68,
    )
    .width();
    let room = rect.width() - value_width - sizes::GAP;
    paint_cut(painter, rect.left_center(), Align2::LEFT_CENTER, label, typeface::body(), palette.dim, room);
    painter.hline(rect.x_range(), rect.bottom(), Stroke::new(sizes::HAIRLINE, palette.line));
    super::explained(response, label)
}
