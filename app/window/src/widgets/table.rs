//! A table that is painted rather than laid out: its frame, the columns of a line, the ground of a row.

use cruxscope_theme::{Palette, sizes};
use egui::{CornerRadius, Painter, Rect, Sense, Stroke, StrokeKind, Ui, pos2, vec2};

/// Draws the frame of a table, `height` high and at least two rows, and gives the places of its head and of its rows.
pub fn table(ui: &mut Ui, height: f32, palette: &Palette) -> (Rect, Rect) {
    let least = sizes::TABLE_HEAD + 2.0 * sizes::TABLE_ROW;
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), height.max(least)), Sense::hover());
    let line = Stroke::new(sizes::HAIRLINE, palette.line);
    ui.painter()
        .rect(rect, CornerRadius::same(sizes::RADIUS), palette.panel, line, StrokeKind::Inside);
    let head = Rect::from_min_max(rect.min, pos2(rect.right(), rect.top() + sizes::TABLE_HEAD));
    ui.painter().hline(rect.x_range(), head.bottom(), line);
    let body = Rect::from_min_max(pos2(rect.left() + 1.0, head.bottom() + 1.0), rect.max - vec2(1.0, 2.0));
    (head, body)
}

/// Draws what lies under a row: its colour where it is chosen or pointed at, and the line that ends it.
pub fn row_ground(painter: &Painter, rect: Rect, chosen: bool, pointed: bool, palette: &Palette) {
    if chosen {
        painter.rect_filled(rect, CornerRadius::ZERO, palette.chosen);
    } else if pointed {
        painter.rect_filled(rect, CornerRadius::ZERO, palette.raised);
    }
    painter.hline(rect.x_range(), rect.bottom() - 0.5, Stroke::new(sizes::HAIRLINE, palette.line));
}

/// Gives the columns of a line their places: from the left what is always there, from the right what gives way when there is
/// little room, and one column for what is left over.
pub struct Columns {
    line: Rect,
    left: f32,
    right: f32,
}

impl Columns {
    /// The columns of a line, the first of them `indent` from its left end.
    pub fn of(line: Rect, indent: f32) -> Self {
        Self {
            line,
            left: line.left() + indent,
            right: line.right() - sizes::GAP - sizes::SMALL,
        }
    }

    /// The next column from the left.
    pub fn take(&mut self, width: f32) -> Rect {
        let rect = self.between(self.left, self.left + width);
        self.left += width;
        rect
    }

    /// The next column from the right, with a gap on its left; nothing where there is no room for it.
    pub fn take_right(&mut self, width: f32, gap: f32) -> Option<Rect> {
        if self.right - width < self.left + sizes::LARGE {
            return None;
        }
        let rect = self.between(self.right - width, self.right);
        self.right -= width + gap;
        Some(rect)
    }

    /// What is left in the middle, with room on both sides; nothing where that is not even `least`.
    pub fn rest(&self, least: f32) -> Option<Rect> {
        let from = self.left + 2.0 * sizes::LARGE;
        (self.right - from >= least).then(|| self.between(from, self.right - sizes::LARGE))
    }

    fn between(&self, from: f32, to: f32) -> Rect {
        Rect::from_min_max(pos2(from, self.line.top()), pos2(to, self.line.bottom()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_on_the_right_give_way_and_the_rest_is_between() {
        let line = |width: f32| Rect::from_min_size(pos2(10.0, 0.0), vec2(width, 20.0));
        let mut wide = Columns::of(line(500.0), 4.0);
        assert_eq!(wide.take(40.0).x_range(), egui::Rangef::new(14.0, 54.0));
        let last = wide.take_right(60.0, 5.0).unwrap();
        assert_eq!(last.right(), 510.0 - sizes::GAP - sizes::SMALL);
        let before = wide.take_right(60.0, 5.0).unwrap();
        assert_eq!(before.right(), last.left() - 5.0);
        let rest = wide.rest(100.0).unwrap();
        assert!(rest.left() > 54.0 && rest.right() < before.left() && rest.height() == 20.0);
        let mut narrow = Columns::of(line(100.0), 0.0);
        narrow.take(60.0);
        assert_eq!((narrow.take_right(40.0, 0.0), narrow.rest(100.0)), (None, None));
    }
}
