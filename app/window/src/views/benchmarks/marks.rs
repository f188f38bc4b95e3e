//! The marks of scores: a colour and a shape for the kind of compression, and how full a mark is for how far it went.

use cruxscope_selectors::results::{Fill, MethodKind};
use cruxscope_theme::{Palette, marks, sizes};
use egui::{Color32, Painter, Pos2, Shape, Stroke, pos2};

/// Radius of a mark.
pub const MARK: f32 = 4.5;

/// The mark of a kind of compression around a place.
pub fn mark(painter: &Painter, centre: Pos2, kind: MethodKind, fill: Fill, palette: &Palette) {
    let colour = palette.method(kind);
    let at = |corners: Vec<egui::Vec2>| corners.into_iter().map(|corner| centre + corner * MARK).collect::<Vec<_>>();
    // What lies under a mark must not show through it.
    let stroke = Stroke::new(1.5, colour);
    painter.add(Shape::convex_polygon(at(marks::outline(kind)), palette.panel, stroke));
    let filled = at(marks::filled(kind, fill));
    if !filled.is_empty() {
        painter.add(Shape::convex_polygon(filled, colour, Stroke::NONE));
    }
}

/// The dotted line at which the model as it is stands.
pub fn reference(painter: &Painter, x: f32, y: f32, palette: &Palette) {
    dotted(painter, pos2(x, y - sizes::GAP), pos2(x, y + sizes::GAP), palette.dim);
}

/// A dotted upright line.
pub fn dotted(painter: &Painter, from: Pos2, to: Pos2, colour: Color32) {
    painter.extend(Shape::dotted_line(&[from, to], colour, 4.0, 0.8));
}

/// A dashed upright line: the model compressed all over.
pub fn dashed(painter: &Painter, from: Pos2, to: Pos2, colour: Color32) {
    painter.extend(Shape::dashed_line(&[from, to], Stroke::new(1.2, colour), 5.0, 3.0));
}
