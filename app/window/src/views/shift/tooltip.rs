//! What is said about the cell under the pointer: both studies' numbers, the difference, its interval, the ranks.

use cruxscope_selectors::{Basis, shift};
use cruxscope_study::{Behaviour, Component};
use cruxscope_theme::{icons, sizes, typeface};
use egui::{Align2, Rect, Response, RichText, Sense, Tooltip, Ui, vec2};

use crate::comparison::Compared;
use crate::views::scene::Scene;

/// Shows it beside `cell`.
pub fn show(ui: &Ui, response: &Response, cell: Rect, scene: &Scene<'_>, compared: &Compared, behaviour: Behaviour, component: Component) {
    let tooltip = Tooltip::always_open(ui.ctx().clone(), ui.layer_id(), response.id, cell.expand(sizes::SMALL));
    tooltip.gap(sizes::GAP).show(|ui| content(ui, scene, compared, behaviour, component));
}

fn content(ui: &mut Ui, scene: &Scene<'_>, compared: &Compared, behaviour: Behaviour, component: Component) {
    let (palette, view, comparison) = (scene.palette, scene.state.shift, compared.comparison());
    ui.set_width(sizes::TOOLTIP - 2.0 * sizes::GAP);
    ui.spacing_mut().item_spacing.y = 2.0;
    ui.horizontal(|ui| {
        let (sign, _) = ui.allocate_exact_size(vec2(sizes::SIGN, sizes::SIGN), Sense::hover());
        icons::behaviour(ui.painter(), sign, behaviour, palette);
        ui.label(RichText::new(component.to_string()).font(typeface::heading()).color(palette.text));
        let place = format!("layer {}, {}", component.layer, component.module);
        ui.label(RichText::new(place).font(typeface::caption()).color(palette.faint));
    });
    ui.add_space(sizes::SMALL);
    let row = shift::row(comparison, compared.intervals(), Basis::Behaviour(behaviour), view, component);
    for (label, value) in shift::facts(&row, view, comparison.from(None).len()) {
        let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), sizes::LINE - sizes::SMALL), Sense::hover());
        let painter = ui.painter();
        painter.text(rect.left_center(), Align2::LEFT_CENTER, label, typeface::caption(), palette.dim);
        painter.text(rect.right_center(), Align2::RIGHT_CENTER, value, typeface::caption_strong(), palette.text);
    }
}
