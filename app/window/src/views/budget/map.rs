//! The map: a cell for every matrix, coloured by what its format costs; a click gives it the next format.

use cruxscope_selectors::budget::CellMeasure;
use cruxscope_study::{Behaviour, Component, Module};
use cruxscope_theme::colour_map::ColourMap;
use cruxscope_theme::{sizes, typeface};
use egui::{Align2, CornerRadius, Rect, RichText, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};

use super::Shown;
use crate::action::Action;
use crate::heatmap::{self, Grid};
use crate::views::{cells, colour_bar};
use crate::widgets;

/// Components that cost most, which are named over the map.
const NAMED: usize = 3;

/// Draws it.
pub fn show(ui: &mut Ui, rect: Rect, shown: &Shown<'_>, actions: &mut Vec<Action>) {
    let (scene, plan) = (shown.scene, shown.plan);
    let (palette, state) = (scene.palette, scene.state);
    let measure = state.budget.measure;
    let line = Stroke::new(sizes::HAIRLINE, palette.line);
    ui.painter()
        .rect(rect, CornerRadius::same(sizes::RADIUS), palette.panel, line, StrokeKind::Inside);
    let dearest = plan.dearest(NAMED);
    let names: Vec<String> = dearest.iter().map(ToString::to_string).collect();
    widgets::paint_cut(
        ui.painter(),
        pos2(rect.left() + sizes::GAP + sizes::SMALL, rect.top() + sizes::PANEL_HEAD / 2.0 + 1.0),
        Align2::LEFT_CENTER,
        &format!("{}, dearest {}", measure.title(), names.join(", ")),
        typeface::heading(),
        palette.text,
        rect.width() - 2.0 * sizes::LARGE,
    );
    let body = Rect::from_min_max(
        rect.min + vec2(sizes::ROW_LABELS, sizes::PANEL_HEAD),
        rect.max - vec2(sizes::GAP + sizes::SMALL, sizes::COLUMN_LABELS + sizes::LINE + sizes::GAP),
    );
    let layers = scene.open.figures.layers();
    let grid = Grid::fit(body, layers, Module::ALL.len(), ui.pixels_per_point());
    let scale = plan.scale(measure, state.scale);
    let colours = if measure.is_signed() { ColourMap::Net } else { ColourMap::Decreases };
    let id = ui.scope_id().with("budget");
    if let Some(matrix) = shown.open.matrix(measure) {
        heatmap::paint(ui, id, &grid, matrix, scale, colours);
    }
    let marked = cells::marked(state);
    cells::row_labels(ui, &grid, marked, palette);
    cells::column_labels(ui, &grid, marked, palette);
    let value = |component: Component| plan.values(measure).get(component.index()).copied().unwrap_or_default();
    let colour_of = |component: Component| colours.at(scale.position(value(component)), palette.dark);
    if grid.cell_size().x >= sizes::CELL_TEXT[0] && grid.cell_size().y >= sizes::CELL_TEXT[1] {
        // The format's bits stand in the cell, whatever its colour says.
        cells::write(ui, &grid, layers, colour_of, |component| format!("{:.1}", plan.bits[component.index()]));
    } else if let Some(first) = dearest.first() {
        let cell = cells::place(&grid, *first);
        cells::dot(ui, cell, cell.center(), colour_of(*first));
    }
    for component in state.budget.edits.keys().filter(|component| component.layer.0 < layers) {
        // A corner says that a hand was here.
        let cell = cells::place(&grid, *component);
        let side = (cell.width().min(cell.height()) * 0.45).min(7.0);
        let corner = cell.right_top();
        let points = vec![corner, corner - vec2(side, 0.0), corner + vec2(0.0, side)];
        ui.painter().add(egui::Shape::convex_polygon(points, palette.selection, Stroke::NONE));
    }
    cells::crosshair(ui, &grid, state, palette);
    let legend = Rect::from_min_max(
        pos2(rect.left() + sizes::ROW_LABELS, rect.bottom() - sizes::LINE - sizes::SMALL),
        pos2(rect.right() - sizes::GAP, rect.bottom() - sizes::SMALL),
    );
    let ends = if measure.is_signed() {
        [measure.text(-scale.high), measure.text(scale.high)]
    } else {
        [measure.text(scale.low), measure.text(scale.high)]
    };
    let more = format!("{} scale", scale.scale.title().to_lowercase());
    colour_bar::between(ui, legend, [&ends[0], &ends[1]], &more, colours, palette);
    let response = ui.interact(grid.rect, id, Sense::click());
    let hovered = response
        .hover_pos()
        .and_then(|point| grid.at(point))
        .map(|(column, row)| Component::new(column, Module::ALL[row]));
    let read = hovered.or(state.selected.filter(|component| component.layer.0 < layers));
    response.widget_info(|| {
        let said = read.map(|component| sentence(shown, component)).unwrap_or_default();
        WidgetInfo::labeled(Role::Image, true, format!("Map of the budget. {said}"))
    });
    let Some(component) = hovered else { return };
    actions.push(Action::Hover(state.behaviour.unwrap_or(Behaviour::Backtracking), component));
    let step = if response.clicked() {
        Some(1)
    } else if response.secondary_clicked() {
        Some(-1)
    } else {
        None
    };
    if let Some(step) = step {
        actions.push(Action::Select(component));
        actions.push(Action::GiveFormats(shown.budget.step(plan, component, step)));
    }
    response.on_hover_ui_at_pointer(|ui| {
        ui.set_max_width(sizes::TOOLTIP);
        ui.label(RichText::new(format!("{component}, {}", shown.budget.name(plan.choice[component.index()]))).font(typeface::body_strong()));
        for measure in CellMeasure::ALL {
            let value = plan.values(measure).get(component.index()).copied().unwrap_or_default();
            widgets::fact(ui, measure.title(), &measure.text(value));
        }
        let text = "Click for the next format by size, right click for the one before";
        ui.label(RichText::new(text).font(typeface::caption()).color(palette.dim));
    });
}

fn sentence(shown: &Shown<'_>, component: Component) -> String {
    let at = component.index();
    let name = shown.budget.name(shown.plan.choice.get(at).copied().flatten());
    let cost = CellMeasure::Cost.text(shown.plan.alone.get(at).copied().unwrap_or_default());
    format!("{component} in {name} costs {cost}").replace('\u{a0}', " ")
}
