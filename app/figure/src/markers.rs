//! The markers of behaviours and the marks of legends, as the window draws them.

use cruxscope_study::Behaviour;
use cruxscope_theme::{icons, sizes};
use egui::{Align2, Color32, Pos2, Rect, Vec2, pos2, vec2};

use super::drawing::{Line, Paint};
use super::page::{INK, Page};
use super::text_layout::Weight;

/// Side of a behaviour's sign.
pub const SIGN: f32 = 12.0;

/// Draws the sign of a behaviour around a point.
pub fn behaviour(page: &mut Page, centre: Pos2, behaviour: Behaviour) {
    let scale = SIGN / sizes::SIGN;
    let square = Rect::from_center_size(centre, Vec2::splat(SIGN));
    page.drawing.rectangle(square, 5.0 * scale, Paint::filled(INK.behaviour(behaviour)));
    let strokes = icons::sign_of(behaviour);
    if strokes.is_empty() {
        page.write(centre, Align2::CENTER_CENTER, "?", 13.0 * scale, Weight::Strong, INK.sign());
    }
    for stroke in strokes {
        let points: Vec<Pos2> = stroke.iter().map(|[x, y]| centre + vec2(*x, *y) * scale).collect();
        let line = Line::solid(1.7 * scale, INK.sign());
        page.drawing.path(points, Paint { fill: None, line: Some(line) });
    }
}

/// Frames a cell so that it is seen on every colour.
pub fn frame(page: &mut Page, cell: Rect) {
    page.drawing.rectangle(cell.expand(1.0), 0.0, Paint::stroked(2.4, Color32::WHITE));
    page.drawing.rectangle(cell.expand(1.0), 0.0, Paint::stroked(1.2, INK.selection));
}

/// Writes marks and their meanings from the right end of the page to the left, around a height.
pub fn legend(page: &mut Page, middle: f32, entries: &[(Mark, String)]) {
    let mut right = page.right();
    for (mark, words) in entries {
        let width = super::text_layout::width(words, super::page::LABEL, Weight::Regular);
        page.label(pos2(right, middle), Align2::RIGHT_CENTER, words);
        right -= width + 5.0;
        match mark {
            Mark::Dot => {
                page.drawing.circle(pos2(right - 2.5, middle), 2.2, Paint::filled(INK.text));
                right -= 5.0;
            }
            Mark::Frame => {
                let square = Rect::from_center_size(pos2(right - 4.0, middle), Vec2::splat(7.0));
                page.drawing.rectangle(square, 0.0, Paint::stroked(1.2, INK.selection));
                right -= 8.0;
            }
            Mark::Words(mark) => {
                page.write(pos2(right, middle), Align2::RIGHT_CENTER, mark, super::page::LABEL, Weight::Strong, INK.text);
                right -= super::text_layout::width(mark, super::page::LABEL, Weight::Strong);
            }
        }
        right -= 14.0;
    }
}

/// A mark whose meaning a legend says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A dot.
    Dot,
    /// A frame.
    Frame,
    /// Letters or digits.
    Words(&'static str),
}
