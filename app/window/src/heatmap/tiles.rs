//! A large map in a window that is moved and zoomed: tiles of it, made when they come into sight and kept while they are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use cruxscope_selectors::ColourScale;
use cruxscope_theme::colour_map::ColourMap;
use egui::{Id, Key, PointerButton, Pos2, Rect, Response, Sense, Ui, Vec2, pos2, vec2};

use super::{Grid, LargeMap, Matrix, paint};

/// Places of a tile in each direction.
const SIDE: usize = 256;
/// Cells that are read for new tiles in one frame, but for the last tile of it; other tiles follow in the next frames.
const A_FRAME: usize = 400_000;
/// By how much a key zooms.
const BY_KEY: f32 = 1.5;
/// Points of a cell at the largest.
const LARGEST_CELL: f32 = 40.0;

/// What of a map is in sight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// The cell at the left and at the top, with fractions.
    pub origin: [f64; 2],
    /// Points of a cell, across and down.
    pub cell: [f64; 2],
}

/// What the pointer does on a map.
pub struct Pointed {
    /// The response of the map.
    pub response: Response,
    /// Row and column under the pointer.
    pub cell: Option<[usize; 2]>,
    /// Rows and columns that share a place.
    pub block: [usize; 2],
    /// What is in sight.
    pub window: Window,
}

type Place = ([usize; 2], [usize; 2]);

/// Tiles that were made of one map.
#[derive(Default)]
struct Tiles {
    /// Which map; held weakly, so that no other one gets its address meanwhile.
    map: Weak<LargeMap>,
    kept: HashMap<Place, (Arc<Matrix>, u64)>,
}

impl Window {
    /// All of a map within some points.
    pub fn whole(map: &LargeMap, size: Vec2) -> Self {
        Self {
            origin: [0.0, 0.0],
            cell: [f64::from(size.x) / map.columns.max(1) as f64, f64::from(size.y) / map.rows.max(1) as f64],
        }
    }

    /// So many columns around one in the middle, every row as it is.
    #[must_use]
    pub fn around(self, column: usize, columns: usize, size: Vec2) -> Self {
        let across = f64::from(size.x) / columns.max(1) as f64;
        Self {
            origin: [column as f64 + 0.5 - columns as f64 / 2.0, self.origin[1]],
            cell: [across, self.cell[1]],
        }
    }

    /// Moved and zoomed by what the pointer did; nothing of it leaves the map.
    fn moved(mut self, map: &LargeMap, rect: Rect, drag: Vec2, zoom: f32, about: Pos2, rows_too: bool) -> Self {
        let (size, totals) = (rect.size(), [map.columns, map.rows]);
        let whole = Self::whole(map, size);
        for axis in 0..2 {
            let (length, drag, about) = if axis == 0 {
                (size.x, drag.x, about.x - rect.left())
            } else {
                (size.y, drag.y, about.y - rect.top())
            };
            if zoom != 1.0 && (axis == 0 || rows_too) {
                let under = self.origin[axis] + f64::from(about) / self.cell[axis];
                let most = f64::from(LARGEST_CELL).max(whole.cell[axis]);
                self.cell[axis] = (self.cell[axis] * f64::from(zoom)).clamp(whole.cell[axis], most);
                self.origin[axis] = under - f64::from(about) / self.cell[axis];
            }
            self.cell[axis] = self.cell[axis].max(whole.cell[axis]);
            self.origin[axis] -= f64::from(drag) / self.cell[axis];
            let seen = f64::from(length) / self.cell[axis];
            self.origin[axis] = self.origin[axis].clamp(0.0, (totals[axis] as f64 - seen).max(0.0));
        }
        self
    }

    /// Where a cell's left upper corner lies.
    pub fn corner(&self, rect: Rect, row: f64, column: f64) -> Pos2 {
        let x = (column - self.origin[0]) * self.cell[0];
        let y = (row - self.origin[1]) * self.cell[1];
        rect.min + vec2(x as f32, y as f32)
    }

    /// Row and column under a point.
    fn at(&self, map: &LargeMap, rect: Rect, point: Pos2) -> Option<[usize; 2]> {
        if !rect.contains(point) {
            return None;
        }
        let column = self.origin[0] + f64::from(point.x - rect.left()) / self.cell[0];
        let row = self.origin[1] + f64::from(point.y - rect.top()) / self.cell[1];
        let inside = row >= 0.0 && column >= 0.0 && (row as usize) < map.rows && (column as usize) < map.columns;
        inside.then_some([row as usize, column as usize])
    }

    /// Rows and columns that share a place of the screen: powers of two.
    fn block(&self, pixels_per_point: f32) -> [usize; 2] {
        let of = |points: f64| {
            let cells = 1.0 / (points * f64::from(pixels_per_point));
            1usize << (cells.max(1.0).log2().floor() as u32).min(20)
        };
        [of(self.cell[1]), of(self.cell[0])]
    }
}

/// Draws a map into `rect` and lets it be dragged, scrolled and zoomed; `rows_too` lets rows be zoomed as well as columns. The window is
/// kept under `id`; `wanted` sets it.
pub fn show_large(
    ui: &mut Ui,
    id: Id,
    rect: Rect,
    map: &Arc<LargeMap>,
    scale: ColourScale,
    colours: ColourMap,
    rows_too: bool,
    wanted: Option<Window>,
) -> Pointed {
    let response = ui.interact(rect, id, Sense::click_and_drag());
    let whole = Window::whole(map, rect.size());
    // Maps of one size are compared at one place: another behaviour leaves what is in sight as it is.
    let size = [map.rows, map.columns];
    let kept: Option<([usize; 2], Window)> = ui.data(|data| data.get_temp(id));
    let known = kept.filter(|(known, _)| *known == size).map(|(_, window)| window);
    let (zoom, scroll, pointer) = ui.input(|input| {
        let hovered = response.hovered();
        let zoom = if hovered { input.zoom_delta() } else { 1.0 };
        let scroll = if hovered { input.smooth_scroll_delta() } else { Vec2::ZERO };
        (zoom, scroll, input.pointer.hover_pos())
    });
    let zoom = zoom * keys(ui);
    let pointer = pointer.filter(|point| rect.contains(*point));
    let drag = if response.dragged_by(PointerButton::Primary) {
        response.drag_delta()
    } else {
        Vec2::ZERO
    };
    // A wheel that only turns up and down moves a map along its length.
    let scroll = if rows_too || scroll.x != 0.0 { scroll } else { vec2(scroll.y, 0.0) };
    let mut window = wanted.or(known).unwrap_or(whole);
    window = window.moved(map, rect, drag + scroll, zoom, pointer.unwrap_or(rect.center()), rows_too);
    if response.double_clicked() {
        window = whole;
    }
    ui.data_mut(|data| data.insert_temp(id, (size, window)));
    let block = window.block(ui.pixels_per_point());
    tiles(ui, id, rect, map, scale, colours, &window, block);
    let cell = response.hover_pos().and_then(|point| window.at(map, rect, point));
    Pointed { response, cell, block, window }
}

/// By how much the keys zoom.
fn keys(ui: &Ui) -> f32 {
    if ui.ctx().text_edit_focused() {
        return 1.0;
    }
    ui.input(|input| {
        // With ctrl they zoom the whole interface.
        let pressed = |key| !input.modifiers.command && input.key_pressed(key);
        if pressed(Key::Plus) || pressed(Key::Equals) {
            BY_KEY
        } else if pressed(Key::Minus) {
            1.0 / BY_KEY
        } else {
            1.0
        }
    })
}

fn tiles(ui: &mut Ui, id: Id, rect: Rect, map: &Arc<LargeMap>, scale: ColourScale, colours: ColourMap, window: &Window, block: [usize; 2]) {
    let cache: Arc<Mutex<Tiles>> = ui.data_mut(|data| data.get_temp_mut_or_default::<Arc<Mutex<Tiles>>>(id.with("tiles")).clone());
    // A frame that panicked while it drew leaves tiles that are still tiles.
    let mut cache = cache.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !std::ptr::eq(cache.map.as_ptr(), Arc::as_ptr(map)) {
        *cache = Tiles {
            map: Arc::downgrade(map),
            kept: HashMap::new(),
        };
    }
    let frame = ui.ctx().cumulative_frame_nr();
    let span = [block[0] * SIDE, block[1] * SIDE];
    let first = [window.origin[1].max(0.0) as usize / span[0], window.origin[0].max(0.0) as usize / span[1]];
    let reach = |origin: f64, length: f32, cell: f64| (origin + f64::from(length) / cell).ceil().max(0.0) as usize;
    let last = [
        reach(window.origin[1], rect.height(), window.cell[1]).min(map.rows).saturating_sub(1) / span[0],
        reach(window.origin[0], rect.width(), window.cell[0]).min(map.columns).saturating_sub(1) / span[1],
    ];
    let mut read = 0;
    let clip = ui.clip_rect();
    ui.set_clip_rect(clip.intersect(rect));
    for row in first[0]..=last[0] {
        for column in first[1]..=last[1] {
            let key = (block, [row, column]);
            let matrix = match cache.kept.get_mut(&key) {
                Some((matrix, seen)) => {
                    *seen = frame;
                    Arc::clone(matrix)
                }
                None if read >= A_FRAME => {
                    ui.ctx().request_repaint();
                    continue;
                }
                None => {
                    read += map.cost(block, SIDE);
                    let matrix = Arc::new(map.tile(block, SIDE, [row * SIDE, column * SIDE]));
                    cache.kept.insert(key, (Arc::clone(&matrix), frame));
                    matrix
                }
            };
            let (top, left) = (row * span[0], column * span[1]);
            let min = window.corner(rect, top as f64, left as f64);
            let max = window.corner(rect, (top + matrix.rows * block[0]) as f64, (left + matrix.columns * block[1]) as f64);
            let place = Rect::from_min_max(pos2(min.x, min.y), pos2(max.x, max.y));
            let mut grid = Grid::fit(place, matrix.columns, matrix.rows, ui.pixels_per_point());
            // Gaps between cells would come and go while one zooms.
            grid.gaps = [false, false];
            paint(ui, id.with(key), &grid, &matrix, scale, colours);
        }
    }
    ui.set_clip_rect(clip);
    cache.kept.retain(|_, (_, seen)| *seen + 2 >= frame);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting() -> (LargeMap, Rect) {
        (LargeMap::new(8, &[0.5; 8 * 1000]), Rect::from_min_size(pos2(10.0, 20.0), vec2(500.0, 80.0)))
    }

    #[test]
    fn zooming_keeps_what_is_under_the_pointer_and_stays_on_the_map() {
        let (map, rect) = setting();
        let whole = Window::whole(&map, rect.size());
        assert_eq!(whole.cell, [0.5, 10.0]);
        let about = pos2(260.0, 60.0);
        let before = whole.at(&map, rect, about);
        let near = whole.moved(&map, rect, Vec2::ZERO, 8.0, about, false);
        assert_eq!(near.cell, [4.0, 10.0], "rows keep their height");
        assert_eq!(near.at(&map, rect, about), before);
        let far = near.moved(&map, rect, vec2(1e6, 0.0), 1.0, about, false);
        assert_eq!(far.origin, [0.0, 0.0]);
        let out = near.moved(&map, rect, Vec2::ZERO, 0.001, about, false);
        assert_eq!(out.cell, whole.cell);
        assert_eq!(
            near.around(700, 50, rect.size()).at(&map, rect, rect.center()).map(|[_, column]| column),
            Some(700)
        );
    }

    #[test]
    fn cells_that_share_a_pixel_are_counted_in_powers_of_two() {
        let (map, rect) = setting();
        let whole = Window::whole(&map, rect.size());
        assert_eq!(whole.block(1.0), [1, 2]);
        assert_eq!(whole.block(2.0), [1, 1]);
        let wide = Window { cell: [0.04, 10.0], ..whole };
        assert_eq!(wide.block(1.0), [1, 16]);
    }
}
