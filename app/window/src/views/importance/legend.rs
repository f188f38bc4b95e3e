//! The legend: the colour bar with its numbers, and what the marks on cells mean.

use cruxscope_selectors::{ColourScale, Scale, panels};
use cruxscope_study::Behaviour;
use cruxscope_theme::colour_map::ColourMap;
use cruxscope_theme::{sizes, typeface};
use egui::{CornerRadius, Painter, Rect, Sense, Stroke, StrokeKind, Ui, pos2, vec2};

use crate::action::Action;
use crate::views::colour_bar;
use crate::views::scene::Scene;

/// Draws it: the bar of the one scale, or of the panel that is enlarged and has its own.
pub fn show(ui: &mut Ui, scene: &Scene<'_>, scales: &[ColourScale; 4], actions: &mut Vec<Action>) {
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), sizes::LINE + sizes::LARGE), Sense::hover());
    let shared = panels::shared_scale(&scene.open.figures, scene.state.scale, scene.state.unlocked);
    let scale = scene.state.maximised.map_or(shared, |behaviour: Behaviour| scales[behaviour.index()]);
    let width = sizes::COLOUR_BAR_WIDTH.min(rect.width() * 0.55);
    let bar = Rect::from_min_size(pos2(rect.left() + sizes::SMALL, rect.top() + sizes::SMALL), vec2(width, sizes::COLOUR_BAR));
    colour_bar::show(ui, bar, &scale, ColourMap::Importance, scene.open.figures.components(), scene.palette, actions);
    marks(ui.painter(), rect, bar, scene);
}

fn marks(painter: &Painter, rect: Rect, bar: Rect, scene: &Scene<'_>) {
    let palette = scene.palette;
    let middle = bar.center().y;
    let mut right = rect.right();
    let mut write = |text: String, least: f32| {
        let galley = painter.layout_no_wrap(text, typeface::caption(), palette.dim);
        let left = right - galley.size().x;
        if left - least < bar.right() + sizes::LARGE {
            return None;
        }
        painter.galley(pos2(left, middle - galley.size().y / 2.0), galley, palette.dim);
        right = left - sizes::LARGE - least;
        Some(left - sizes::GAP)
    };
    if let Some(component) = scene.state.selected
        && let Some(x) = write(format!("selected {component}"), sizes::LARGE)
    {
        let square = Rect::from_center_size(pos2(x - 3.0, middle), vec2(9.0, 9.0));
        painter.rect_stroke(square, CornerRadius::same(1), Stroke::new(1.5, palette.selection), StrokeKind::Middle);
    }
    let highest = if scene.state.scale == Scale::Rank {
        "first in panel"
    } else {
        "highest in panel"
    };
    if let Some(x) = write(highest.to_owned(), sizes::LARGE) {
        painter.circle_filled(pos2(x - 3.0, middle), sizes::DOT + 0.5, palette.text);
    }
}
