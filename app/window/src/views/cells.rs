//! What stands beside and over the cells of every heatmap of layers and modules: labels, numbers, the dot on the first, the
//! crosshair, the selected cell; and what the pointer does there.

use cruxscope_selectors::panels;
use cruxscope_study::{Behaviour, Component, Module};
use cruxscope_theme::{Palette, sizes, typeface};
use egui::{Align2, Color32, CornerRadius, Id, Pos2, Rect, Response, Sense, Stroke, StrokeKind, Ui, pos2};

use crate::action::Action;
use crate::heatmap::Grid;
use crate::state::State;

/// The component whose row and column are named: the one under the pointer, or else the selected one.
pub fn marked(state: &State) -> Option<Component> {
    state.hovered.map(|(_, component)| component).or(state.selected)
}

/// The names of the modules, left of the cells; where rows are lower than letters, as many as there is room for, the marked one first.
pub fn row_labels(ui: &Ui, grid: &Grid, marked: Option<Component>, palette: &Palette) {
    let step = ((typeface::tick().size - 2.0) / grid.cell_size().y).ceil().max(1.0) as usize;
    let named = marked.map(|component| component.module.index());
    for module in Module::ALL {
        let on = marked.is_some_and(|component| component.module == module);
        let gives_way = named.is_some_and(|named| named.abs_diff(module.index()) < step);
        if !on && (module.index() % step != 0 || gives_way && step > 1) {
            continue;
        }
        let place = pos2(grid.rect.left() - sizes::GAP, grid.cell(0, module.index()).center().y);
        let colour = if on { palette.text } else { palette.dim };
        ui.painter().text(place, Align2::RIGHT_CENTER, module.short(), typeface::tick(), colour);
    }
}

/// The numbers of the layers, under the cells.
pub fn column_labels(ui: &Ui, grid: &Grid, marked: Option<Component>, palette: &Palette) {
    let painter = ui.painter();
    let top = grid.rect.bottom() + sizes::SMALL;
    let mut free = f32::NEG_INFINITY;
    let named = marked.map(|component| component.layer.number()).filter(|layer| *layer <= grid.columns);
    let middle = |layer: usize| grid.cell(layer - 1, 0).center().x;
    // The layer under the crosshair is always named; its neighbours give way.
    for layer in panels::layer_ticks(grid.columns, grid.rect.width(), sizes::LARGE * 1.75) {
        let gives_way = named.is_some_and(|named| named != layer && (middle(named) - middle(layer)).abs() < sizes::LARGE * 1.25);
        if named == Some(layer) || gives_way || middle(layer) < free {
            continue;
        }
        let rect = painter.text(pos2(middle(layer), top), Align2::CENTER_TOP, layer, typeface::tick(), palette.dim);
        free = rect.right() + sizes::SMALL;
    }
    if let Some(layer) = named {
        painter.text(pos2(middle(layer), top), Align2::CENTER_TOP, layer, typeface::tick(), palette.text);
    }
}

/// The lines along the row and the column of the marked component, and the frame of the selected one.
pub fn crosshair(ui: &Ui, grid: &Grid, state: &State, palette: &Palette) {
    let painter = ui.painter();
    let place = |component: Component| place(grid, component);
    // What was brushed elsewhere is framed thinly.
    for component in state.ranking.brushed.iter().filter(|component| component.layer.0 < grid.columns) {
        painter.rect_stroke(place(*component), CornerRadius::same(1), Stroke::new(1.0, palette.accent), StrokeKind::Inside);
    }
    let within = |component: &Component| component.layer.0 < grid.columns;
    let selected = state.selected.filter(within);
    let crossed = state.hovered.map(|(_, component)| component).filter(within).or(selected);
    if let Some(component) = crossed {
        let (cell, line) = (place(component), Stroke::new(sizes::HAIRLINE, palette.crosshair));
        let column = Rect::from_x_y_ranges(cell.x_range(), grid.rect.y_range()).expand(1.0);
        let row = Rect::from_x_y_ranges(grid.rect.x_range(), cell.y_range()).expand(1.0);
        for band in [column, row] {
            painter.rect_stroke(band, CornerRadius::ZERO, line, StrokeKind::Outside);
        }
        if selected != Some(component) {
            let line = Stroke::new(sizes::HAIRLINE, palette.selection);
            painter.rect_stroke(cell, CornerRadius::same(1), line, StrokeKind::Outside);
        }
    }
    if let Some(component) = selected {
        let cell = place(component);
        painter.rect_stroke(cell.expand(1.0), CornerRadius::same(2), Stroke::new(2.0, palette.selection), StrokeKind::Middle);
    }
}

/// The cell of a component.
pub fn place(grid: &Grid, component: Component) -> Rect {
    grid.cell(component.layer.0, component.module.index())
}

/// A number in every cell, in the ink that is read on the cell's colour.
pub fn write(ui: &Ui, grid: &Grid, layers: usize, colour_of: impl Fn(Component) -> Color32, text_of: impl Fn(Component) -> String) {
    for component in Component::all(layers) {
        let (centre, ink) = (place(grid, component).center(), Palette::ink_on(colour_of(component)));
        ui.painter().text(centre, Align2::CENTER_CENTER, text_of(component), typeface::tick(), ink);
    }
}

/// The dot on the component that ranks first, at `centre` within its cell.
pub fn dot(ui: &Ui, cell: Rect, centre: Pos2, colour: Color32) {
    let radius = sizes::DOT.min(cell.width() * 0.36);
    ui.painter().circle_filled(centre, radius, Palette::ink_on(colour));
}

/// The response of a heatmap to the pointer, and the component under it.
pub fn pointed(ui: &Ui, grid: &Grid, id: Id) -> (Response, Option<Component>) {
    let response = ui.interact(grid.rect, id, Sense::click());
    let under = response.hover_pos().and_then(|point| grid.at(point));
    (response, under.map(|(column, row)| Component::new(column, Module::ALL[row])))
}

/// What a press on a component's cell does: one selects it, two enlarge its behaviour.
pub fn press(response: &Response, behaviour: Behaviour, component: Component, actions: &mut Vec<Action>) {
    if response.double_clicked() {
        actions.push(Action::Maximise(behaviour));
    } else if response.clicked() {
        actions.push(Action::Select(component));
    }
}
