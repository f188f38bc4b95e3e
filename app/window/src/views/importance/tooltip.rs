//! What is said about the cell under the pointer: the component, its numbers and ranks, the four behaviours as bars.

use cruxscope_selectors::{component as facts, format, panels};
use cruxscope_study::{Behaviour, Component};
use cruxscope_theme::{icons, sizes, typeface};
use egui::{Align2, Rect, Response, RichText, Sense, Tooltip, Ui, pos2, vec2};

use crate::views::scene::Scene;
use crate::widgets;

/// Shows it beside `cell`.
pub fn show(ui: &Ui, response: &Response, cell: Rect, scene: &Scene<'_>, behaviour: Behaviour, component: Component) {
    let tooltip = Tooltip::always_open(ui.ctx().clone(), ui.layer_id(), response.id, cell.expand(sizes::SMALL));
    tooltip.gap(sizes::GAP).show(|ui| content(ui, scene, behaviour, component));
}

fn content(ui: &mut Ui, scene: &Scene<'_>, behaviour: Behaviour, component: Component) {
    let palette = scene.palette;
    ui.set_width(sizes::TOOLTIP - 2.0 * sizes::GAP);
    ui.spacing_mut().item_spacing.y = 2.0;
    let found = panels::cell_facts(&scene.open.figures, scene.open.stability(), behaviour, component);
    ui.horizontal(|ui| {
        let (sign, _) = ui.allocate_exact_size(vec2(sizes::SIGN, sizes::SIGN), Sense::hover());
        icons::behaviour(ui.painter(), sign, behaviour, palette);
        ui.label(RichText::new(component.to_string()).font(typeface::heading()).color(palette.text));
        ui.label(RichText::new(found.place).font(typeface::caption()).color(palette.faint));
    });
    ui.add_space(sizes::SMALL);
    for (label, value) in found.facts {
        let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), sizes::LINE - sizes::SMALL), Sense::hover());
        ui.painter()
            .text(rect.left_center(), Align2::LEFT_CENTER, label, typeface::caption(), palette.dim);
        ui.painter()
            .text(rect.right_center(), Align2::RIGHT_CENTER, value, typeface::caption_strong(), palette.text);
    }
    ui.add_space(sizes::SMALL);
    widgets::hairline(ui);
    ui.add_space(sizes::SMALL);
    for line in facts::behaviour_lines(&scene.open.figures, component) {
        let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), sizes::LINE - sizes::SMALL), Sense::hover());
        let painter = ui.painter();
        let side = sizes::SIGN - sizes::SMALL;
        icons::behaviour(
            painter,
            Rect::from_min_size(pos2(rect.left(), rect.center().y - side / 2.0), vec2(side, side)),
            line.behaviour,
            palette,
        );
        let track = Rect::from_min_max(
            pos2(rect.left() + side + sizes::GAP, rect.center().y - 3.0),
            pos2(rect.right() - 116.0, rect.center().y + 3.0),
        );
        widgets::bar(painter, track, line.length, palette.behaviour(line.behaviour), palette);
        let (value, rank) = match line.relative {
            Some(relative) => (format::percent(relative), format!("#{}", line.rank)),
            None => ("none".to_owned(), String::new()),
        };
        painter.text(
            pos2(rect.right() - 44.0, rect.center().y),
            Align2::RIGHT_CENTER,
            value,
            typeface::caption_strong(),
            palette.text,
        );
        painter.text(rect.right_center(), Align2::RIGHT_CENTER, rank, typeface::caption(), palette.faint);
    }
}
