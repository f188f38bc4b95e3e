//! What could not be read, where it would have been shown.

use cruxscope_theme::{Palette, typeface};
use egui::{RichText, Ui};

use crate::open::Problem;

/// What was tried, why it failed and what can be done, where it is.
pub fn problem(ui: &mut Ui, problem: &Problem) {
    let palette = Palette::of(ui.ctx());
    ui.add(egui::Label::new(RichText::new(&problem.attempted).font(typeface::heading()).color(palette.error)).wrap());
    ui.add(egui::Label::new(RichText::new(&problem.why).color(palette.text)).wrap().selectable(true));
    ui.add(egui::Label::new(RichText::new(&problem.advice).color(palette.dim)).wrap());
}
