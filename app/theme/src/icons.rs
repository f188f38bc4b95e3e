//! Signs and icons, drawn by hand with the painter, so that none depends on a glyph that a font may lack.

use cruxscope_study::Behaviour;
use egui::{Align2, Color32, CornerRadius, Painter, Pos2, Rect, Stroke, StrokeKind, pos2, vec2};

use super::{Palette, sizes, typeface};

/// The coloured square with the sign of a behaviour: an arrow that turns back, a question mark, a tick, a plus.
pub fn behaviour(painter: &Painter, rect: Rect, behaviour: Behaviour, palette: &Palette) {
    let scale = rect.width() / sizes::SIGN;
    painter.rect_filled(rect, CornerRadius::same((5.0 * scale) as u8), palette.behaviour(behaviour));
    let stroke = Stroke::new(1.7 * scale, palette.sign());
    let strokes = sign_of(behaviour);
    if strokes.is_empty() {
        let mut font = typeface::body_strong();
        font.size *= scale;
        painter.text(rect.center(), Align2::CENTER_CENTER, "?", font, palette.sign());
    }
    for line in strokes {
        painter.line(line.iter().map(|[x, y]| rect.center() + vec2(*x, *y) * scale).collect(), stroke);
    }
}

/// The strokes of a behaviour's sign around its middle, in a square of [`sizes::SIGN`]; none where the sign is a question mark.
pub const fn sign_of(behaviour: Behaviour) -> &'static [&'static [[f32; 2]]] {
    match behaviour {
        Behaviour::Backtracking => &[
            &[[-4.0, -1.5], [2.0, -1.5], [3.6, -0.6], [4.0, 1.0], [3.6, 2.6], [2.0, 3.5], [-0.5, 3.5]],
            &[[-1.5, -4.2], [-4.3, -1.5], [-1.5, 1.2]],
        ],
        Behaviour::UncertaintyEstimation => &[],
        Behaviour::ExampleTesting => &[&[[-3.8, 0.4], [-1.2, 3.0], [3.9, -3.0]]],
        Behaviour::AddingKnowledge => &[&[[-4.0, 0.0], [4.0, 0.0]], &[[0.0, -4.0], [0.0, 4.0]]],
    }
}

/// The program's mark: a ring with a lit centre.
pub fn mark(painter: &Painter, centre: Pos2, palette: &Palette) {
    painter.circle_stroke(centre, 6.5, Stroke::new(1.8, palette.accent));
    painter.circle_filled(centre, 2.6, palette.accent);
}

/// A chain, closed or open.
pub fn chain(painter: &Painter, rect: Rect, closed: bool, colour: Color32) {
    let stroke = Stroke::new(sizes::ICON_STROKE, colour);
    let centre = rect.center();
    let apart = if closed { 2.6 } else { 4.2 };
    for side in [-1.0, 1.0] {
        let link = Rect::from_center_size(centre + vec2(side * apart, 0.0), vec2(7.0, 5.5));
        painter.rect_stroke(link, CornerRadius::same(3), stroke, StrokeKind::Middle);
    }
    if closed {
        painter.line_segment([centre - vec2(2.0, 0.0), centre + vec2(2.0, 0.0)], stroke);
    }
}

/// Four corners, pointing out (to enlarge) or in (to go back).
pub fn corners(painter: &Painter, rect: Rect, enlarge: bool, colour: Color32) {
    let stroke = Stroke::new(sizes::ICON_STROKE, colour);
    let (outer, leg) = (5.0, 3.0);
    for (x, y) in [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)] {
        let corner = rect.center() + if enlarge { vec2(x, y) * outer } else { vec2(x, y) * (outer - leg) };
        let way = if enlarge { -leg } else { leg };
        painter.line(vec![corner + vec2(x * way, 0.0), corner, corner + vec2(0.0, y * way)], stroke);
    }
}

/// A cross, to close something.
pub fn cross(painter: &Painter, rect: Rect, colour: Color32) {
    let stroke = Stroke::new(sizes::ICON_STROKE, colour);
    let (centre, arm) = (rect.center(), 3.5);
    painter.line_segment([centre + vec2(-arm, -arm), centre + vec2(arm, arm)], stroke);
    painter.line_segment([centre + vec2(-arm, arm), centre + vec2(arm, -arm)], stroke);
}

/// A tick: right.
pub fn tick(painter: &Painter, rect: Rect, colour: Color32) {
    let at = |x: f32, y: f32| rect.center() + vec2(x, y);
    painter.line(vec![at(-4.0, 0.3), at(-1.2, 3.2), at(4.2, -3.2)], Stroke::new(sizes::ICON_STROKE, colour));
}

/// An arrow to the left or to the right: back and forward.
pub fn arrow(painter: &Painter, rect: Rect, forward: bool, colour: Color32) {
    let stroke = Stroke::new(sizes::ICON_STROKE, colour);
    let way = if forward { 1.0 } else { -1.0 };
    let tip = rect.center() + vec2(5.0 * way, 0.0);
    painter.line_segment([tip - vec2(10.0 * way, 0.0), tip], stroke);
    painter.line(vec![tip + vec2(-3.5 * way, -3.5), tip, tip + vec2(-3.5 * way, 3.5)], stroke);
}

/// Three lines: a list that can be opened.
pub fn lines(painter: &Painter, rect: Rect, colour: Color32) {
    let stroke = Stroke::new(sizes::ICON_STROKE, colour);
    for y in [-4.0, 0.0, 4.0] {
        let middle = rect.center() + vec2(0.0, y);
        painter.line_segment([middle - vec2(6.0, 0.0), middle + vec2(6.0, 0.0)], stroke);
    }
}

/// Three dots: more commands.
pub fn dots(painter: &Painter, rect: Rect, colour: Color32) {
    for x in [-5.0, 0.0, 5.0] {
        painter.circle_filled(rect.center() + vec2(x, 0.0), 1.5, colour);
    }
}

/// Two arrows past each other: swap.
pub fn swap(painter: &Painter, rect: Rect, colour: Color32) {
    let stroke = Stroke::new(sizes::ICON_STROKE, colour);
    for way in [-1.0, 1.0] {
        let tip = rect.center() + vec2(5.5 * way, 2.8 * way);
        painter.line_segment([tip - vec2(11.0 * way, 0.0), tip], stroke);
        painter.line(vec![tip + vec2(-3.0 * way, -3.0), tip, tip + vec2(-3.0 * way, 3.0)], stroke);
    }
}

/// A circle, half of it filled: the theme.
pub fn half_circle(painter: &Painter, rect: Rect, colour: Color32) {
    let (centre, radius) = (rect.center(), 5.5);
    painter.circle_stroke(centre, radius, Stroke::new(sizes::ICON_STROKE, colour));
    let arc = (0..=16).map(|step| {
        let angle = std::f32::consts::PI * (step as f32 / 16.0 - 0.5);
        centre + vec2(angle.cos(), angle.sin()) * radius
    });
    painter.add(egui::Shape::convex_polygon(arc.collect(), colour, Stroke::NONE));
}

/// A tick in a square, for the checked rows of a list.
pub fn check_box(painter: &Painter, rect: Rect, checked: bool, palette: &Palette) {
    let square = Rect::from_center_size(rect.center(), vec2(14.0, 14.0));
    let radius = CornerRadius::same(4);
    if checked {
        painter.rect_filled(square, radius, palette.accent);
        let at = |x: f32, y: f32| square.center() + vec2(x, y);
        painter.line(vec![at(-3.2, 0.2), at(-1.0, 2.5), at(3.3, -2.6)], Stroke::new(1.7, palette.on_accent));
    } else {
        painter.rect_stroke(square, radius, Stroke::new(sizes::HAIRLINE, palette.faint), StrokeKind::Inside);
    }
}

/// A small triangle that says which way a column is sorted.
pub fn sort_arrow(painter: &Painter, centre: Pos2, descending: bool, colour: Color32) {
    let way = if descending { 1.0 } else { -1.0 };
    let points = vec![
        pos2(centre.x - 3.5, centre.y - 2.0 * way),
        pos2(centre.x + 3.5, centre.y - 2.0 * way),
        pos2(centre.x, centre.y + 2.5 * way),
    ];
    painter.add(egui::Shape::convex_polygon(points, colour, Stroke::NONE));
}

/// The program's icon in a window's frame: the mark, 64 by 64 pixels.
pub fn window_icon() -> egui::IconData {
    const SIDE: usize = 64;
    let (accent, ground) = (Palette::DARK.accent, Palette::DARK.panel);
    let mut rgba = Vec::with_capacity(SIDE * SIDE * 4);
    for y in 0..SIDE {
        for x in 0..SIDE {
            let (dx, dy) = (x as f32 + 0.5 - SIDE as f32 / 2.0, y as f32 + 0.5 - SIDE as f32 / 2.0);
            let distance = dx.hypot(dy);
            let ring = 1.0 - ((distance - 21.0).abs() - 3.5).clamp(0.0, 1.0);
            let centre = 1.0 - (distance - 9.0).clamp(0.0, 1.0);
            let mixed = ring.max(centre);
            for channel in 0..3 {
                let (from, to) = (f32::from(ground.to_array()[channel]), f32::from(accent.to_array()[channel]));
                rgba.push((from + (to - from) * mixed).round() as u8);
            }
            rgba.push((255.0 * (1.0 - (distance - 31.0).clamp(0.0, 1.0))) as u8);
        }
    }
    egui::IconData {
        rgba,
        width: SIDE as u32,
        height: SIDE as u32,
    }
}
