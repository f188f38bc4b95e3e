//! The marks of scores: a colour for the kind of compression, a shape for how far it went.

use cruxscope_selectors::results::MethodKind;
use cruxscope_theme::{Palette, sizes};
use egui::{Color32, CornerRadius, Painter, Pos2, Rect, Shape, Stroke, StrokeKind, pos2, vec2};

/// Radius of a mark.
pub const MARK: f32 = 4.5;

/// A dot, hollow under four bits; a square for pruning, hollow from half of the weights on; a diamond for anything else.
pub fn mark(painter: &Painter, centre: Pos2, kind: MethodKind, hollow: bool, palette: &Palette) {
    let colour = palette.method(kind);
    let stroke = Stroke::new(2.0, colour);
    // What lies under a hollow mark must not show through it.
    let fill = if hollow { palette.panel } else { colour };
    match kind {
        MethodKind::Pruning => {
            let square = Rect::from_center_size(centre, vec2(2.0 * MARK - 1.0, 2.0 * MARK - 1.0));
            painter.rect(square, CornerRadius::same(1), fill, stroke, StrokeKind::Inside);
        }
        MethodKind::Other => {
            let reach = MARK + 0.5;
            let corners = [vec2(0.0, -reach), vec2(reach, 0.0), vec2(0.0, reach), vec2(-reach, 0.0)];
            let points = corners.into_iter().map(|corner| centre + corner).collect();
            painter.add(Shape::convex_polygon(points, fill, Stroke::new(1.5, colour)));
        }
        _ => {
            painter.circle(centre, if hollow { MARK - 1.0 } else { MARK }, fill, if hollow { stroke } else { Stroke::NONE });
        }
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
