//! A heatmap: cells of one matrix, coloured by a scale, drawn on the GPU.
//!
//! It draws cells and nothing else: labels, crosshairs and read-outs belong to the views that hold it.

pub mod gpu;
mod grid;
mod large;
mod tiles;

use std::sync::Arc;

use egui::{Id, Ui};

pub use grid::Grid;
pub use large::LargeMap;
pub use tiles::{Pointed, Window, show_large};

use cruxscope_selectors::ColourScale;
use cruxscope_theme::Palette;
use cruxscope_theme::colour_map::ColourMap;

/// The values of a heatmap, row by row. A value that is not finite is missing.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// Number of columns.
    pub columns: usize,
    /// Number of rows.
    pub rows: usize,
    /// The values.
    pub values: Vec<f32>,
}

impl Matrix {
    /// A matrix of so many rows out of `values`, row by row.
    pub fn new(rows: usize, values: Vec<f32>) -> Self {
        Self {
            columns: values.len() / rows.max(1),
            rows,
            values,
        }
    }
}

/// Paints the cells. The texture is kept under `id` for as long as the same matrix is drawn.
pub fn paint(ui: &Ui, id: Id, grid: &Grid, matrix: &Arc<Matrix>, scale: ColourScale, map: ColourMap) {
    let palette = Palette::of(ui.ctx());
    let callback = gpu::Callback {
        id,
        matrix: Arc::clone(matrix),
        scale,
        colours: (map, palette.dark),
        rect: grid.rect,
        gaps: grid.gaps,
        missing: palette.missing,
        frame: ui.ctx().cumulative_frame_nr(),
    };
    ui.painter().add(egui_wgpu::Callback::new_paint_callback(grid.rect, callback));
}
