//! A heatmap on a page: a cell for every component, modules named on the left, layers numbered under it.

use cruxscope_selectors::{ColourScale, panels};
use cruxscope_study::{Component, Module};
use cruxscope_theme::Palette;
use cruxscope_theme::colour_map::ColourMap;
use egui::{Align2, Color32, Pos2, Rect, Vec2, pos2, vec2};

use super::drawing::{Line, Paint};
use super::markers;
use super::page::{HAIRLINE, INK, LABEL, Page, SMALL};
use super::text_layout::Weight;

/// Room for the names of modules on the left.
pub const NAMES: f32 = 30.0;
/// Room for the numbers of layers under a grid.
pub const NUMBERS: f32 = 15.0;
/// The least width of a column; where there are more layers than that has room for, a column stands for several.
const LEAST: f32 = 2.0;
/// The greatest width and height of a cell.
const MOST: Vec2 = vec2(38.0, 15.0);
/// A cell from this size on has its value written into it.
const WRITTEN: Vec2 = vec2(20.0, 11.0);
/// A cell from this size on has its rank written into it, where it is among the first.
const RANKED: Vec2 = vec2(6.5, 8.5);

/// Where the cells lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    origin: Pos2,
    cell: Vec2,
    layers: usize,
    /// How many layers a column stands for.
    pub pooled: usize,
}

/// What a grid shows.
pub struct Content<'a> {
    /// The value of a component, as the scale reads it; no number where it is not known.
    pub value: &'a dyn Fn(Component) -> f64,
    /// What is written into its cell, where cells are large enough.
    pub written: &'a dyn Fn(Component) -> String,
    /// The first components by rank, whose ranks are marked.
    pub first: &'a [Component],
    /// The component that is framed.
    pub framed: Option<Component>,
    /// The scale.
    pub scale: ColourScale,
    /// The colours.
    pub map: ColourMap,
}

impl Grid {
    /// The grid of a model with so many layers whose cells begin at `origin` and fill `width` as far as whole cells do.
    pub fn new(origin: Pos2, width: f32, layers: usize) -> Self {
        let pooled = (layers as f32 * LEAST / width).ceil().max(1.0) as usize;
        let columns = layers.div_ceil(pooled).max(1);
        // Cells of halves of points have sharp edges in pictures of two and four pixels a point.
        let wide = (width / columns as f32 * 2.0).floor() / 2.0;
        let wide = wide.min(MOST.x);
        let high = if wide >= WRITTEN.x { MOST.y } else { (wide * 1.25).clamp(9.0, 12.0).floor() };
        Self {
            origin,
            cell: vec2(wide, high),
            layers,
            pooled,
        }
    }

    /// The grid of a small map, without room for words in its cells.
    pub fn small(origin: Pos2, size: Vec2, layers: usize) -> Self {
        let grid = Self::new(origin, size.x, layers);
        Self {
            cell: vec2(grid.cell.x, (size.y / Module::ALL.len() as f32).min(WRITTEN.y - 3.0)),
            ..grid
        }
    }

    /// Width and height of all cells.
    pub fn size(&self) -> Vec2 {
        vec2(self.cell.x * self.layers.div_ceil(self.pooled) as f32, self.cell.y * Module::ALL.len() as f32)
    }

    /// Whether ranks are written as numbers; where they are not, a dot marks the first.
    pub fn ranks_are_written(&self) -> bool {
        self.pooled == 1 && self.cell.x >= RANKED.x && self.cell.y >= RANKED.y && !self.values_are_written()
    }

    fn values_are_written(&self) -> bool {
        self.pooled == 1 && self.cell.x >= WRITTEN.x && self.cell.y >= WRITTEN.y
    }

    /// The place of a component.
    fn place(&self, component: Component) -> Rect {
        let column = (component.layer.0 / self.pooled) as f32;
        let corner = self.origin + vec2(column, component.module.index() as f32) * self.cell;
        let gap = match self.cell.x {
            wide if wide >= 6.0 => 1.0,
            wide if wide >= 3.0 => 0.5,
            // Cells that touch reach under their neighbours, so that no viewer draws a line between them.
            _ => -0.15,
        };
        Rect::from_min_size(corner, self.cell - vec2(gap, 1.0))
    }

    /// The component of those in a column whose value is largest, with or without its sign: outliers never vanish.
    fn largest(&self, module: Module, column: usize, value: &dyn Fn(Component) -> f64) -> Component {
        let first = column * self.pooled;
        let layers = first..(first + self.pooled).min(self.layers);
        let components = layers.map(|layer| Component::new(layer, module));
        components
            .max_by(|a, b| {
                // What is not known is smaller than anything that is.
                let size = |component: Component| Some(value(component).abs()).filter(|size| size.is_finite()).unwrap_or(-1.0);
                size(*a).total_cmp(&size(*b))
            })
            .unwrap_or_else(|| Component::new(first, module))
    }

    /// Draws the cells with what is marked in them.
    pub fn draw(&self, page: &mut Page, content: &Content<'_>) {
        let colour_of = |component: Component| match (content.value)(component) {
            value if value.is_finite() => content.map.at(content.scale.position(value), false),
            _ => INK.missing,
        };
        for module in Module::ALL {
            for column in 0..self.layers.div_ceil(self.pooled) {
                let component = self.largest(module, column, content.value);
                let (place, colour) = (self.place(component), colour_of(component));
                page.drawing.rectangle(place, 0.0, Paint::filled(colour));
                if self.values_are_written() {
                    let ink = Palette::ink_on(colour);
                    page.write(
                        place.center(),
                        Align2::CENTER_CENTER,
                        &(content.written)(component),
                        SMALL,
                        Weight::Regular,
                        ink,
                    );
                }
            }
        }
        for (position, component) in content.first.iter().enumerate() {
            let (place, colour) = (self.place(*component), colour_of(*component));
            self.mark(page, place, colour, position);
        }
        if let Some(framed) = content.framed.filter(|framed| framed.layer.0 < self.layers) {
            markers::frame(page, self.place(framed));
        }
    }

    /// Marks a rank in its cell.
    fn mark(&self, page: &mut Page, place: Rect, colour: Color32, position: usize) {
        let ink = Palette::ink_on(colour);
        if self.ranks_are_written() {
            let size = SMALL.min(self.cell.x * 0.95).min(self.cell.y * 0.85);
            page.write(place.center(), Align2::CENTER_CENTER, &(position + 1).to_string(), size, Weight::Strong, ink);
        } else if position == 0 {
            let radius = (self.cell.x * 0.28).clamp(0.8, 1.8);
            let at = if self.values_are_written() {
                place.right_top() + vec2(-3.0, 3.0)
            } else {
                place.center()
            };
            page.drawing.circle(at, radius, Paint::filled(ink));
        }
    }

    /// Names the modules on the left.
    pub fn names(&self, page: &mut Page) {
        for module in Module::ALL {
            let y = self.origin.y + (module.index() as f32 + 0.5) * self.cell.y - 0.5;
            page.label(pos2(self.origin.x - 5.0, y), Align2::RIGHT_CENTER, module.short());
        }
    }

    /// Numbers the layers under the grid.
    pub fn numbers(&self, page: &mut Page) {
        let size = self.size();
        let bottom = self.origin.y + size.y;
        // What a layer takes, where a column stands for several.
        let each = self.cell.x / self.pooled as f32;
        for layer in panels::layer_ticks(self.layers, each * self.layers as f32, 22.0) {
            let x = self.origin.x + ((layer - 1) / self.pooled) as f32 * self.cell.x + (self.cell.x - 1.0) / 2.0;
            page.drawing.line(pos2(x, bottom), pos2(x, bottom + 2.0), Line::solid(HAIRLINE, INK.dim));
            page.label(pos2(x, bottom + 4.5), Align2::CENTER_TOP, &layer.to_string());
        }
    }
}

/// What the axes are called, under the grids of one column of panels.
pub fn axis(page: &mut Page, middle: f32, top: f32) {
    page.label(pos2(middle, top), Align2::CENTER_TOP, "Layer");
}

/// Height of the name of the axis.
pub const AXIS: f32 = LABEL + 4.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_whole_and_fit_their_room() {
        for layers in [1, 3, 12, 30, 32, 64, 80, 128, 500, 10_000] {
            let grid = Grid::new(pos2(0.0, 0.0), 250.0, layers);
            assert!(grid.size().x <= 250.0 && grid.size().x > 0.0, "{layers}: {grid:?}");
            assert!(grid.cell.x * 2.0 == (grid.cell.x * 2.0).floor(), "{layers}: {grid:?}");
            assert!(layers > 125 || grid.pooled == 1, "{layers}: {grid:?}");
        }
        assert!(Grid::new(pos2(0.0, 0.0), 250.0, 30).ranks_are_written());
        assert!(Grid::new(pos2(0.0, 0.0), 250.0, 3).values_are_written());
    }

    #[test]
    fn a_column_of_several_layers_shows_the_largest() {
        let grid = Grid::new(pos2(0.0, 0.0), 100.0, 200);
        assert_eq!(grid.pooled, 4);
        let value = |component: Component| if component.layer.0 == 6 { -9.0 } else { 1.0 };
        assert_eq!(grid.largest(Module::Up, 1, &value), Component::new(6, Module::Up));
    }
}
