//! A map with a row a layer and many columns, such as channels or experts; where columns have no room of their own, a place is the largest of
//! its neighbours.

use cruxscope_selectors::{ColourScale, format, panels};
use cruxscope_theme::colour_map::ColourMap;
use egui::{Align2, Color32, Rect, pos2, vec2};

use super::drawing::{Line, Paint};
use super::page::{HAIRLINE, INK, LABEL, Page};

/// Room for the numbers of layers on the left.
pub const SIDE: f32 = 30.0;
/// The least width of a column.
const LEAST: f32 = 3.0;
/// Least and greatest height of a row, and the height that all rows share.
const ROW: [f32; 3] = [2.5, 12.0, 320.0];

/// What is drawn.
pub struct Raster<'a> {
    /// The values, `[layer][column]`; no number where there is nothing.
    pub values: &'a [f32],
    /// Columns.
    pub width: usize,
    /// Rows.
    pub layers: usize,
    /// The scale.
    pub scale: &'a ColourScale,
    /// The colours.
    pub map: ColourMap,
    /// What the columns are, for the axis.
    pub axis: &'a str,
    /// The names of the first and the last column.
    pub ends: [String; 2],
}

impl Raster<'_> {
    /// Draws the cells with the numbers of layers and columns; gives how many columns share a place.
    pub fn draw(&self, page: &mut Page) -> usize {
        let (width, layers) = (self.width.max(1), self.layers.max(1));
        let room = page.width() - SIDE;
        let pooled = (width as f32 * LEAST / room).ceil().max(1.0) as usize;
        let columns = width.div_ceil(pooled);
        let wide = (room / columns as f32 * 2.0).floor() / 2.0;
        let wide = wide.min(ROW[1]);
        let high = ((ROW[2] / layers as f32) * 2.0).floor() / 2.0;
        let high = high.clamp(ROW[0], ROW[1]);
        let origin = pos2(page.left() + SIDE, page.bottom);
        let area = Rect::from_min_size(origin, vec2(wide * columns as f32, high * layers as f32));
        let nothing = self.colour(0.0);
        page.drawing.rectangle(area, 0.0, Paint::filled(nothing));
        for (layer, row) in self.values.chunks_exact(width).enumerate() {
            for (column, shared) in row.chunks(pooled).enumerate() {
                let largest = shared
                    .iter()
                    .copied()
                    .filter(|value| value.is_finite())
                    .max_by(|a, b| a.abs().total_cmp(&b.abs()));
                let colour = largest.map_or(INK.missing, |value| self.colour(f64::from(value)));
                // Most places are all but nothing, and the ground shows that already.
                if colour != nothing {
                    let corner = origin + vec2(column as f32 * wide, layer as f32 * high);
                    page.drawing
                        .rectangle(Rect::from_min_size(corner, vec2(wide, high)), 0.0, Paint::filled(colour));
                }
            }
        }
        page.drawing.rectangle(area, 0.0, Paint::stroked(HAIRLINE, INK.dim));
        self.numbers(page, area, high);
        page.bottom = area.bottom() + 5.0 + LABEL;
        pooled
    }

    fn colour(&self, value: f64) -> Color32 {
        self.map.at(self.scale.position(value), false)
    }

    fn numbers(&self, page: &mut Page, area: Rect, high: f32) {
        for layer in panels::layer_ticks(self.layers, area.height(), 12.0) {
            let y = area.top() + (layer as f32 - 0.5) * high;
            page.label(pos2(area.left() - 5.0, y), Align2::RIGHT_CENTER, &layer.to_string());
        }
        for (share, place, name) in [(0.0, Align2::LEFT_TOP, &self.ends[0]), (1.0, Align2::RIGHT_TOP, &self.ends[1])] {
            let x = area.left() + area.width() * share;
            page.drawing
                .line(pos2(x, area.bottom()), pos2(x, area.bottom() + 2.5), Line::solid(HAIRLINE, INK.dim));
            // A single column has one name.
            if share == 0.0 || area.width() > 60.0 {
                page.label(pos2(x, area.bottom() + 5.0), place, name);
            }
        }
        if area.width() > 160.0 {
            page.label(pos2(area.center().x, area.bottom() + 5.0), Align2::CENTER_TOP, self.axis);
        }
    }
}

/// The names of columns that are counted from one.
pub fn counted(width: usize) -> [String; 2] {
    ["1".to_owned(), format::count(width)]
}
