//! One variant: its name and mark, its maps, and the numbers at its end; as a line of the table, or as a card where there is little room.

use cruxscope_selectors::format;
use cruxscope_selectors::variants::{Facts, Variant, VariantSort};
use cruxscope_study::{Behaviour, Component, Module};
use cruxscope_theme::colour_map::ColourMap;
use cruxscope_theme::{icons, sizes, typeface};
use egui::{Align2, Color32, CornerRadius, Rect, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};

use super::{Figure, MAP};
use crate::action::Action;
use crate::heatmap::{self, Grid};
use crate::views::benchmarks::mark;
use crate::views::cells;
use crate::widgets;

/// Height of the line of a card over its maps.
const CARD_HEAD: f32 = 22.0;

/// The original, as the first line: it has no shift.
pub fn original(ui: &mut Ui, figure: &Figure<'_>) {
    let facts = &figure.found.original;
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), sizes::TABLE_ROW), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Row, true, format!("{}, the original", facts.label)));
    widgets::row_ground(ui.painter(), rect, false, false, figure.scene.palette);
    let places = figure.places(rect);
    name(ui, places.name, facts, figure.scene.palette.text, figure);
    if let Some(first) = places.maps.first() {
        let place = first.left_center();
        let text = "the original, which all others are compared with";
        let width = places.maps.last().map_or(0.0, |last| last.right() - first.left());
        let colour = figure.scene.palette.faint;
        widgets::paint_cut(ui.painter(), place, Align2::LEFT_CENTER, text, typeface::caption(), colour, width);
    }
    for ((sort, _), place) in figure.ends.iter().zip(&places.ends) {
        end(ui, *place, *sort, facts, None, figure);
    }
}

/// A line of the table, with maps so high.
pub fn line(ui: &mut Ui, figure: &Figure<'_>, at: usize, map: f32, actions: &mut Vec<Action>) {
    let Some(row) = figure.found.rows.get(at) else { return };
    let palette = figure.scene.palette;
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), map + sizes::GAP), Sense::click());
    let chosen = figure.scene.state.variants.variant == Some(row.facts.id);
    press(&response, figure, row, chosen, actions);
    if !ui.is_rect_visible(rect) {
        return;
    }
    widgets::row_ground(ui.painter(), rect, chosen, response.hovered(), palette);
    let places = figure.places(rect);
    name(ui, places.name, &row.facts, if chosen { palette.text } else { palette.dim }, figure);
    for (component, place) in figure.matrices.iter().zip(&places.maps) {
        matrix(ui, place.shrink2(vec2(0.0, sizes::SMALL)), figure, row, *component, actions);
    }
    let maps = if figure.matrices.is_empty() { figure.behaviours.as_slice() } else { &[] };
    for (position, (behaviour, place)) in maps.iter().zip(&places.maps).enumerate() {
        let place = place.shrink2(vec2(0.0, sizes::SMALL));
        cell(ui, place, figure, at, *behaviour, position == 0, actions);
    }
    for ((sort, _), place) in figure.ends.iter().zip(&places.ends) {
        end(ui, *place, *sort, &row.facts, row.moved(figure.scene.state.behaviour), figure);
    }
}

/// A card for where there is no room for a table: name and numbers, under them the maps, two beside each other.
pub fn card(ui: &mut Ui, figure: &Figure<'_>, at: usize, actions: &mut Vec<Action>) {
    let Some(row) = figure.found.rows.get(at) else { return };
    let palette = figure.scene.palette;
    let width = ui.available_width();
    let inner = width - 2.0 * (sizes::GAP + sizes::SMALL);
    let said: Vec<String> = numbers(row, figure)
        .into_iter()
        .map(|(sort, text)| format!("{} {text}", sort.title()))
        .collect();
    let words = ui.painter().layout(said.join("  ·  "), typeface::caption(), palette.dim, inner);
    let columns = figure.behaviours.len().min(2);
    let rows = figure.behaviours.len().div_ceil(columns.max(1));
    let height = sizes::PANEL_HEAD + words.size().y + rows as f32 * (CARD_HEAD + MAP[1] + sizes::SMALL) + sizes::GAP + sizes::SMALL;
    let (rect, response) = ui.allocate_exact_size(vec2(width, height), Sense::click());
    let chosen = figure.scene.state.variants.variant == Some(row.facts.id);
    press(&response, figure, row, chosen, actions);
    if !ui.is_rect_visible(rect) {
        return;
    }
    let line = Stroke::new(sizes::HAIRLINE, if chosen { palette.accent } else { palette.line });
    ui.painter()
        .rect(rect, CornerRadius::same(sizes::RADIUS), palette.panel, line, StrokeKind::Inside);
    let left = rect.left() + sizes::GAP + sizes::SMALL;
    let head = Rect::from_min_size(pos2(left, rect.top()), vec2(inner, sizes::PANEL_HEAD));
    name(ui, head, &row.facts, palette.text, figure);
    let top = head.bottom() + words.size().y + sizes::SMALL;
    ui.painter().galley(pos2(left, head.bottom() - sizes::SMALL), words, palette.dim);
    let pitch = inner / columns as f32;
    for (position, behaviour) in figure.behaviours.iter().enumerate() {
        let x = left + (position % columns) as f32 * pitch;
        let y = top + (position / columns) as f32 * (CARD_HEAD + MAP[1] + sizes::SMALL);
        let sign = Rect::from_min_size(pos2(x, y + 2.0), vec2(sizes::SIGN - 2.0, sizes::SIGN - 2.0));
        icons::behaviour(ui.painter(), sign, *behaviour, palette);
        if let Some(moved) = row.moved(Some(*behaviour)) {
            let text = format!("moved {}", format::percent(moved));
            let place = pos2(sign.right() + sizes::SMALL, sign.center().y);
            ui.painter().text(place, Align2::LEFT_CENTER, text, typeface::caption(), palette.dim);
        }
        let place = Rect::from_min_size(pos2(x, y + CARD_HEAD), vec2(pitch - sizes::GAP, MAP[1]));
        cell(ui, place, figure, at, *behaviour, false, actions);
    }
}

/// What a press on a row does, and what is read out of it.
fn press(response: &egui::Response, figure: &Figure<'_>, row: &Variant, chosen: bool, actions: &mut Vec<Action>) {
    response.widget_info(|| WidgetInfo::selected(Role::Row, true, chosen, row.sentence()));
    if response.hovered() && !chosen {
        actions.push(Action::PointVariant(row.facts.id));
    }
    if response.clicked() {
        actions.push(Action::OpenPair(figure.found.original.id, row.facts.id));
    }
}

fn name(ui: &Ui, place: Rect, facts: &Facts, colour: Color32, figure: &Figure<'_>) {
    let palette = figure.scene.palette;
    mark(
        ui.painter(),
        pos2(place.left() + sizes::SMALL, place.center().y),
        facts.method.kind,
        facts.method.fill,
        palette,
    );
    let left = place.left() + sizes::LARGE;
    let galley = ui
        .painter()
        .layout(facts.label.clone(), typeface::body(), colour, place.right() - left - sizes::SMALL);
    ui.painter().galley(pos2(left, place.center().y - galley.size().y / 2.0), galley, colour);
}

/// The numbers of a row, in the order of the columns.
fn numbers(row: &Variant, figure: &Figure<'_>) -> Vec<(VariantSort, String)> {
    let text = |sort: VariantSort| match sort {
        VariantSort::Moved => row.moved(figure.scene.state.behaviour).map(format::percent),
        _ => row.facts.text(sort),
    };
    super::ENDS.into_iter().filter_map(|sort| Some((sort, text(sort)?))).collect()
}

/// A number at a row's end, with its interval under it.
fn end(ui: &Ui, place: Rect, sort: VariantSort, facts: &Facts, moved: Option<f64>, figure: &Figure<'_>) {
    let palette = figure.scene.palette;
    let (text, interval) = match sort {
        VariantSort::Moved => (moved.map(format::percent), None),
        VariantSort::Accuracy => (facts.text(sort), facts.accuracy.and_then(|found| found.interval)),
        _ => (facts.text(sort), None),
    };
    let Some(text) = text else {
        ui.painter()
            .text(place.right_center(), Align2::RIGHT_CENTER, "–", typeface::body(), palette.faint);
        return;
    };
    let Some([low, high]) = interval.filter(|_| place.height() >= MAP[0]) else {
        ui.painter()
            .text(place.right_center(), Align2::RIGHT_CENTER, text, typeface::body(), palette.text);
        return;
    };
    let up = vec2(0.0, sizes::GAP + 2.0);
    ui.painter()
        .text(place.right_center() - up, Align2::RIGHT_CENTER, text, typeface::body(), palette.text);
    let track = Rect::from_min_max(
        pos2(place.left() + sizes::GAP, place.center().y + sizes::SMALL),
        pos2(place.right(), place.center().y + sizes::GAP + sizes::SMALL),
    );
    // Accuracies lie on one axis from nothing to all.
    let value = facts.accuracy.map_or(0.0, |found| found.value / 100.0) as f32;
    ui.painter()
        .hline(track.x_range(), track.center().y, Stroke::new(sizes::HAIRLINE, palette.line));
    widgets::interval(ui.painter(), track, value, Some([low, high].map(|end| (end / 100.0) as f32)), palette);
}

/// The map of a behaviour.
fn cell(ui: &Ui, place: Rect, figure: &Figure<'_>, at: usize, behaviour: Behaviour, named: bool, actions: &mut Vec<Action>) {
    let (scene, palette) = (figure.scene, figure.scene.palette);
    let Some(row) = figure.found.rows.get(at) else { return };
    let Some(matrix) = figure.open.matrix(at, behaviour) else {
        let text = "not in both";
        widgets::paint_cut(
            ui.painter(),
            place.left_center(),
            Align2::LEFT_CENTER,
            text,
            typeface::caption(),
            palette.faint,
            place.width(),
        );
        return;
    };
    let grid = Grid::fit(place, figure.found.layers, Module::ALL.len(), ui.pixels_per_point());
    let id = ui.scope_id().with(("variant", row.facts.id, behaviour.index()));
    heatmap::paint(ui, id, &grid, matrix, figure.scale, ColourMap::Net);
    let height = grid.cell_size().y;
    // Names of modules where their rows are as high as letters.
    if named && height >= typeface::tick().size {
        cells::row_labels(ui, &grid, cells::marked(scene.state), palette);
    }
    if let Some(first) = row.first[behaviour.index()] {
        let cell = cells::place(&grid, first);
        let value = row.shift(behaviour, first).unwrap_or_default();
        cells::dot(ui, cell, cell.center(), ColourMap::Net.at(figure.scale.position(value), palette.dark));
    }
    cells::crosshair(ui, &grid, scene.state, palette);
    let (response, hovered) = cells::pointed(ui, &grid, id);
    let read = hovered.or(row.first[behaviour.index()]);
    response.widget_info(|| {
        let said = read.map(|component| sentence(row, behaviour, component)).unwrap_or_default();
        let text = format!("Shift of {} in {}. {said}", behaviour.title().to_lowercase(), row.facts.label);
        WidgetInfo::labeled(Role::Image, true, text)
    });
    let Some(component) = hovered else { return };
    actions.push(Action::Hover(behaviour, component));
    if scene.state.variants.variant != Some(row.facts.id) {
        actions.push(Action::PointVariant(row.facts.id));
    }
    if response.clicked() {
        actions.push(Action::Select(component));
        actions.push(Action::OpenPair(figure.found.original.id, row.facts.id));
    }
    response.on_hover_ui_at_pointer(|ui| {
        ui.set_max_width(sizes::TOOLTIP);
        ui.label(egui::RichText::new(format!("{}, {}", row.facts.label, behaviour.title().to_lowercase())).font(typeface::body_strong()));
        ui.label(sentence(row, behaviour, component));
        ui.label(egui::RichText::new("Click to open the pair").font(typeface::caption()).color(palette.dim));
    });
}

/// The shift of one matrix, as a cell with its number.
fn matrix(ui: &Ui, place: Rect, figure: &Figure<'_>, row: &Variant, component: Component, actions: &mut Vec<Action>) {
    let (scene, palette) = (figure.scene, figure.scene.palette);
    let Some(shift) = row.mean_shift(scene.state.behaviour, component) else {
        ui.painter()
            .text(place.left_center(), Align2::LEFT_CENTER, "–", typeface::body(), palette.faint);
        return;
    };
    let colour = ColourMap::Net.at(figure.scale.position(shift), palette.dark);
    ui.painter().rect_filled(place, CornerRadius::same(2), colour);
    let text = format::signed_share(shift).replace("\u{a0}pp", "");
    ui.painter().text(
        place.center(),
        Align2::CENTER_CENTER,
        text,
        typeface::tick(),
        cruxscope_theme::Palette::ink_on(colour),
    );
    let id = ui.scope_id().with(("variant's matrix", row.facts.id, component.index()));
    let response = ui.interact(place, id, Sense::click());
    response.widget_info(|| {
        let said = format!(
            "{component} in {}: shift {}",
            row.facts.label,
            format::signed_share(shift).replace('\u{a0}', " ")
        );
        WidgetInfo::labeled(Role::Image, true, said)
    });
    if scene.state.selected == Some(component) {
        let line = Stroke::new(2.0, palette.selection);
        ui.painter().rect_stroke(place, CornerRadius::same(2), line, StrokeKind::Outside);
    }
    if response.clicked() {
        actions.push(Action::Select(component));
        actions.push(Action::OpenPair(figure.found.original.id, row.facts.id));
    }
}

fn sentence(row: &Variant, behaviour: Behaviour, component: Component) -> String {
    let shift = row.shift(behaviour, component).map_or_else(|| "not known".to_owned(), format::signed_share);
    format!("{component} {shift}").replace('\u{a0}', " ")
}
