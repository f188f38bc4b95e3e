//! The formats of the selected matrix: what each takes and costs, and a press gives it.

use cruxscope_selectors::format;
use cruxscope_theme::{sizes, typeface};
use egui::{Align2, Role, Sense, Ui, WidgetInfo, vec2};

use super::Shown;
use crate::action::Action;
use crate::views::inspector;
use crate::views::scene::Scene;
use crate::widgets;

/// Draws it, and under it what else is known of the matrix.
pub fn show(ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
    if let Some(shown) = Shown::of(scene)
        && let Some(selected) = scene.state.selected.filter(|component| scene.open.figures.holds(*component))
    {
        let palette = scene.palette;
        widgets::caption(ui, &format!("Formats of {selected}"));
        let now = shown.plan.choice.get(selected.index()).copied().flatten();
        for line in shown.budget.formats(selected) {
            let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), sizes::TABLE_ROW), Sense::click());
            let on = line.format == now;
            let said = format!("{}, {:.2} bits, {} nats alone", line.name, line.bits, format::significant(line.cost));
            response.widget_info(|| WidgetInfo::selected(Role::RadioButton, true, on, said.as_str()));
            widgets::row_ground(ui.painter(), rect, on, response.hovered(), palette);
            let painter = ui.painter();
            let (left, right) = (rect.left_center() + vec2(sizes::SMALL, 0.0), rect.right_center() - vec2(sizes::SMALL, 0.0));
            let cost = painter.text(right, Align2::RIGHT_CENTER, format::significant(line.cost), typeface::body(), palette.text);
            let bits = right - vec2((cost.width() + sizes::GAP).max(sizes::LARGE * 4.0), 0.0);
            let placed = painter.text(bits, Align2::RIGHT_CENTER, format!("{:.2}", line.bits), typeface::body(), palette.dim);
            let colour = if on { palette.text } else { palette.dim };
            widgets::paint_cut(
                painter,
                left,
                Align2::LEFT_CENTER,
                &line.name,
                typeface::body(),
                colour,
                placed.left() - left.x - sizes::GAP,
            );
            if response
                .on_hover_text("Name, stored bits a weight, KL in nats that it is estimated to cause alone")
                .clicked()
            {
                actions.push(Action::GiveFormats(shown.budget.give(selected, line.format)));
            }
        }
        widgets::section(ui, "What it does in this recipe");
        for measure in cruxscope_selectors::budget::CellMeasure::ALL {
            let value = shown.plan.values(measure).get(selected.index()).copied().unwrap_or_default();
            widgets::fact(ui, measure.title(), &measure.text(value)).on_hover_text(measure.about());
        }
        ui.add_space(sizes::LARGE);
    }
    inspector::content(ui, scene, actions);
}
