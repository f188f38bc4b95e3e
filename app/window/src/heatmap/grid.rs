//! Where the cells of a heatmap lie: every cell begins at a whole pixel, so that every gap is as wide as the next.

use cruxscope_theme::sizes;
use egui::{Pos2, Rect, Vec2, pos2, vec2};

/// A grid of cells, equal but for the pixel by which whole pixels make some wider.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// Where it lies, in points.
    pub rect: Rect,
    /// Number of columns.
    pub columns: usize,
    /// Number of rows.
    pub rows: usize,
    /// Whether there is a gap of one pixel between columns, and between rows.
    pub gaps: [bool; 2],
    pixels_per_point: f32,
}

impl Grid {
    /// The grid that fills `available`.
    pub fn fit(available: Rect, columns: usize, rows: usize, pixels_per_point: f32) -> Self {
        let (columns, rows) = (columns.max(1), rows.max(1));
        let snap = |point: Pos2| pos2((point.x * pixels_per_point).round(), (point.y * pixels_per_point).round()) / pixels_per_point;
        let min = snap(available.min);
        let rect = Rect::from_min_max(min, snap(available.max).max(min + Vec2::splat(1.0 / pixels_per_point)));
        let cell = rect.size() * pixels_per_point / vec2(columns as f32, rows as f32);
        Self {
            rect,
            columns,
            rows,
            gaps: [cell.x, cell.y].map(|length| length >= sizes::GAP_FROM_PIXELS),
            pixels_per_point,
        }
    }

    /// The size of a cell on average, its gap included.
    pub fn cell_size(&self) -> Vec2 {
        self.rect.size() / vec2(self.columns as f32, self.rows as f32)
    }

    /// Where a cell lies, its gap left out.
    pub fn cell(&self, column: usize, row: usize) -> Rect {
        let [x, y] = self.gaps.map(|gap| if gap { 1.0 / self.pixels_per_point } else { 0.0 });
        Rect::from_min_max(self.corner(column, row), self.corner(column + 1, row + 1) - vec2(x, y))
    }

    /// The cell under a point: column and row.
    pub fn at(&self, point: Pos2) -> Option<(usize, usize)> {
        if !self.rect.contains(point) {
            return None;
        }
        let place = (point - self.rect.min) / self.cell_size();
        let find = |guess: usize, number: usize, begins_by: &dyn Fn(usize) -> bool| {
            let guess = guess.min(number - 1);
            if !begins_by(guess) {
                guess.saturating_sub(1)
            } else if guess + 1 < number && begins_by(guess + 1) {
                guess + 1
            } else {
                guess
            }
        };
        let column = find(place.x as usize, self.columns, &|column| self.corner(column, 0).x <= point.x);
        let row = find(place.y as usize, self.rows, &|row| self.corner(0, row).y <= point.y);
        Some((column, row))
    }

    /// The corner at which a cell begins: a whole pixel, unless cells are smaller than one. The shader has the same.
    fn corner(&self, column: usize, row: usize) -> Pos2 {
        let size = self.cell_size() * self.pixels_per_point;
        let whole = |size: f32, number: usize| {
            let offset = size * number as f32;
            if size >= 1.0 { (offset + 0.5).floor() } else { offset }
        };
        self.rect.min + vec2(whole(size.x, column), whole(size.y, row)) / self.pixels_per_point
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(width: f32, height: f32) -> Rect {
        Rect::from_min_size(pos2(10.3, 20.0), vec2(width, height))
    }

    #[test]
    fn cells_begin_at_whole_pixels_and_fill_the_room() {
        for pixels_per_point in [1.0, 1.25, 2.0] {
            let grid = Grid::fit(room(370.0, 120.0), 30, 7, pixels_per_point);
            assert_eq!(grid.gaps, [true, true]);
            assert!((grid.rect.width() - 370.0).abs() <= 1.0);
            for column in 0..30 {
                let left = grid.cell(column, 0).left() * pixels_per_point;
                assert!((left - left.round()).abs() < 1e-3, "{column} begins at {left}");
            }
            assert!((grid.cell(29, 6).right() - grid.rect.right()).abs() <= 1.0 / pixels_per_point + 1e-3);
        }
    }

    #[test]
    fn many_layers_fill_the_width_without_gaps() {
        let grid = Grid::fit(room(370.0, 120.0), 128, 7, 1.0);
        assert_eq!(grid.gaps, [false, true]);
        assert_eq!(grid.rect.width(), 370.0);
    }

    #[test]
    fn every_cell_is_found_at_its_own_centre_and_edges() {
        for columns in [1, 30, 128] {
            let grid = Grid::fit(room(401.0, 121.0), columns, 7, 1.5);
            for column in 0..columns {
                for row in 0..7 {
                    let cell = grid.cell(column, row);
                    assert_eq!(grid.at(cell.center()), Some((column, row)));
                    assert_eq!(grid.at(cell.min + Vec2::splat(0.01)), Some((column, row)));
                }
            }
            assert_eq!(grid.at(grid.rect.min - vec2(1.0, 1.0)), None);
        }
    }
}
