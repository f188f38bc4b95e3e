//! The marks of scores: a shape and a colour for each kind of compression, and how full a mark is for how far it went.
//!
//! The same outlines are drawn in the window and for print. Shape repeats what colour says, so that a mark is known without colour.

use cruxscope_selectors::results::{Fill, MethodKind};
use egui::{Vec2, vec2};

/// Corners of what is drawn as a circle.
const ROUND: usize = 24;

/// The outline of a kind's mark around its middle, convex, in a square from -1 to 1; `y` grows downwards.
pub fn outline(kind: MethodKind) -> Vec<Vec2> {
    match kind {
        // An upright bar, as the line at which the model as it is stands.
        MethodKind::None => vec![vec2(-0.4, -1.15), vec2(0.4, -1.15), vec2(0.4, 1.15), vec2(-0.4, 1.15)],
        MethodKind::Awq => regular(ROUND, 0.0, 1.0),
        MethodKind::Gptq => vec![vec2(0.0, -1.15), vec2(1.1, 0.85), vec2(-1.1, 0.85)],
        MethodKind::Gptaq => vec![vec2(-1.1, -0.85), vec2(1.1, -0.85), vec2(0.0, 1.15)],
        MethodKind::Any => regular(5, -std::f32::consts::FRAC_PI_2, 1.15),
        MethodKind::Nearest => vec![vec2(-0.8, -1.1), vec2(1.15, 0.0), vec2(-0.8, 1.1)],
        MethodKind::Pruning => vec![vec2(-0.9, -0.9), vec2(0.9, -0.9), vec2(0.9, 0.9), vec2(-0.9, 0.9)],
        MethodKind::Other => vec![vec2(0.0, -1.2), vec2(1.2, 0.0), vec2(0.0, 1.2), vec2(-1.2, 0.0)],
    }
}

/// The part of an outline that is filled: all of it, its lower half, or nothing.
pub fn filled(kind: MethodKind, fill: Fill) -> Vec<Vec2> {
    match fill {
        Fill::Full => outline(kind),
        Fill::Half => lower_half(&outline(kind)),
        Fill::Hollow => Vec::new(),
    }
}

fn regular(corners: usize, from: f32, radius: f32) -> Vec<Vec2> {
    let corner = |at: usize| Vec2::angled(from + std::f32::consts::TAU * at as f32 / corners as f32) * radius;
    (0..corners).map(corner).collect()
}

/// What of a convex outline lies below its middle.
fn lower_half(outline: &[Vec2]) -> Vec<Vec2> {
    let mut half = Vec::new();
    for (at, from) in outline.iter().enumerate() {
        let to = outline[(at + 1) % outline.len()];
        if from.y >= 0.0 {
            half.push(*from);
        }
        if (from.y < 0.0) != (to.y < 0.0) {
            let share = from.y / (from.y - to.y);
            half.push(*from + (to - *from) * share);
        }
    }
    half
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(points: &[Vec2]) -> f32 {
        let cross = |at: usize| points[at].x * points[(at + 1) % points.len()].y - points[at].y * points[(at + 1) % points.len()].x;
        (0..points.len()).map(cross).sum::<f32>() / 2.0
    }

    #[test]
    fn marks_are_of_one_size_and_half_of_one_is_less_than_all() {
        for kind in MethodKind::ALL {
            let whole = area(&outline(kind)).abs();
            let half = area(&filled(kind, Fill::Half)).abs();
            assert!((1.5..3.5).contains(&whole), "{kind:?}: {whole}");
            assert!((0.3..0.7).contains(&(half / whole)), "{kind:?}: {half} of {whole}");
            assert!(filled(kind, Fill::Hollow).is_empty());
            let reach = outline(kind).iter().map(|corner| corner.length()).fold(0.0, f32::max);
            assert!(reach < 1.45, "{kind:?}: {reach}");
        }
    }

    #[test]
    fn no_two_kinds_share_a_shape() {
        for (at, kind) in MethodKind::ALL.iter().enumerate() {
            for other in &MethodKind::ALL[at + 1..] {
                assert_ne!(outline(*kind), outline(*other), "{kind:?} and {other:?}");
            }
        }
    }
}
