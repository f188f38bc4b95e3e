//! Scores as dots with intervals: a row a compression, a column a benchmark, zero at the left end of each.

use cruxscope_selectors::results::{Column, Group, Row};
use cruxscope_theme::{Palette, sizes, typeface};
use egui::{Align2, Rect, Role, ScrollArea, Sense, Stroke, Ui, WidgetInfo, pos2, vec2};

use super::{Content, MARK, mark, marks};
use crate::action::Action;
use crate::views::scene::ResultsScene;
use crate::widgets;

/// Width of the column of names, where there is room.
const NAMES: f32 = 190.0;
/// Width of a value behind its axis.
const VALUE: f32 = 44.0;
/// Least width of an axis.
const AXIS: f32 = 64.0;

/// Where the columns of a row lie.
struct Places {
    names: Rect,
    axes: Vec<(Rect, Rect)>,
}

impl Places {
    fn of(row: Rect, columns: usize) -> Self {
        let inner = row.shrink2(vec2(sizes::GAP + sizes::SMALL, 0.0));
        let least = columns as f32 * (AXIS + VALUE + sizes::LARGE);
        let names = NAMES.min(inner.width() - least).max(sizes::LARGE * 6.0);
        let left = inner.left() + names + sizes::GAP;
        let pitch = (inner.right() - left) / columns.max(1) as f32;
        let axes = (0..columns)
            .map(|column| {
                let from = left + pitch * column as f32;
                let end = from + pitch - sizes::GAP;
                let axis = Rect::from_min_max(pos2(from, row.top()), pos2((end - VALUE).max(from + 8.0), row.bottom()));
                (axis, Rect::from_min_max(pos2(axis.right(), row.top()), pos2(end, row.bottom())))
            })
            .collect();
        Self {
            names: Rect::from_min_size(pos2(inner.left(), row.top()), vec2(names, row.height())),
            axes,
        }
    }
}

/// Draws them.
pub fn show(ui: &mut Ui, scene: &ResultsScene<'_>, content: &Content<'_>, actions: &mut Vec<Action>) {
    let palette = scene.palette;
    let table = &content.table;
    let rows: usize = table.groups.iter().map(|group| group.rows.len() + 1).sum();
    let wanted = sizes::TABLE_HEAD + rows as f32 * sizes::RESULT_ROW + sizes::GAP;
    let (head, body) = widgets::table(ui, wanted.min(ui.available_height()), palette);
    heads(ui, head, scene, content, actions);
    let selected = content.row(scene);
    ui.scope_builder(egui::UiBuilder::new().max_rect(body), |ui| {
        ui.set_clip_rect(ui.clip_rect().intersect(body));
        ui.spacing_mut().item_spacing.y = 0.0;
        ScrollArea::vertical().id_salt("results").auto_shrink(false).show(ui, |ui| {
            let mut number = 0;
            for group in &table.groups {
                group_head(ui, group, palette);
                for row in &group.rows {
                    show_row(ui, scene, content, group, row, number, number == selected, actions);
                    number += 1;
                }
            }
        });
    });
}

fn heads(ui: &Ui, rect: Rect, scene: &ResultsScene<'_>, content: &Content<'_>, actions: &mut Vec<Action>) {
    let palette = scene.palette;
    let places = Places::of(rect, content.table.columns.len());
    let painter = ui.painter();
    painter.text(
        places.names.left_center(),
        Align2::LEFT_CENTER,
        "Compression",
        typeface::caption_strong(),
        palette.faint,
    );
    for (column, (axis, value)) in content.table.columns.iter().zip(&places.axes) {
        let place = Rect::from_min_max(axis.min, value.max);
        let focused = scene.state.results.benchmark.as_deref() == Some(column.benchmark.as_str());
        let response = ui.interact(place, ui.scope_id().with(("results column", &column.title)), Sense::click());
        response.widget_info(|| WidgetInfo::selected(Role::ColumnHeader, true, focused, &column.title));
        let colour = if focused || response.hovered() { palette.text } else { palette.faint };
        widgets::paint_cut(
            painter,
            place.left_center(),
            Align2::LEFT_CENTER,
            &column.title,
            typeface::caption_strong(),
            colour,
            place.width(),
        );
        let [low, high] = column.range;
        let hint = format!(
            "{}; the axis runs from {} to {}{}",
            column.title,
            column.text(low),
            column.text(high),
            unit(column)
        );
        if response.on_hover_text(hint).clicked() {
            actions.push(Action::SetBenchmark((!focused).then(|| column.benchmark.clone())));
        }
    }
}

fn unit(column: &Column) -> String {
    if column.unit.is_empty() { String::new() } else { format!(" {}", column.unit) }
}

fn group_head(ui: &mut Ui, group: &Group, palette: &Palette) {
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), sizes::RESULT_ROW + sizes::SMALL), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Heading, true, &group.model));
    let place = pos2(rect.left() + sizes::GAP + sizes::SMALL, rect.center().y + 2.0);
    let placed = widgets::paint_cut(
        ui.painter(),
        place,
        Align2::LEFT_CENTER,
        &group.model,
        typeface::body_strong(),
        palette.text,
        rect.width() * 0.5,
    );
    if !group.origin.is_empty() {
        let place = pos2(placed.right() + sizes::GAP, place.y);
        ui.painter().text(place, Align2::LEFT_CENTER, &group.origin, typeface::caption(), palette.faint);
    }
}

fn show_row(ui: &mut Ui, scene: &ResultsScene<'_>, content: &Content<'_>, group: &Group, row: &Row, number: usize, chosen: bool, actions: &mut Vec<Action>) {
    let palette = scene.palette;
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), sizes::RESULT_ROW), Sense::click());
    if chosen && scene.state.results.row.is_some() && scene.state.reveal_wanted {
        response.scroll_to_me(None);
    }
    response.widget_info(|| WidgetInfo::selected(Role::Row, true, chosen, sentence(content, group, row)));
    if response.clicked() {
        actions.push(Action::SelectRow(number));
    }
    if !ui.is_rect_visible(rect) {
        return;
    }
    let fill = if chosen {
        Some(palette.chosen)
    } else {
        response.hovered().then_some(palette.raised)
    };
    if let Some(fill) = fill {
        ui.painter().rect_filled(rect, 0, fill);
    }
    let places = Places::of(rect, content.table.columns.len());
    let painter = ui.painter();
    let names = places.names;
    let placed = widgets::paint_cut(
        painter,
        names.left_center() + vec2(sizes::GAP, 0.0),
        Align2::LEFT_CENTER,
        &row.label,
        typeface::body(),
        if chosen { palette.text } else { palette.dim },
        names.width() - sizes::GAP,
    );
    let left = placed.right() + sizes::GAP;
    if !row.setting.is_empty() && names.right() - left > sizes::LARGE * 2.0 {
        widgets::paint_cut(
            painter,
            pos2(left, rect.center().y),
            Align2::LEFT_CENTER,
            &row.setting,
            typeface::caption(),
            palette.faint,
            names.right() - left,
        );
    }
    for (index, (column, (axis, value))) in content.table.columns.iter().zip(&places.axes).enumerate() {
        let track = axis.shrink2(vec2(MARK, 0.0));
        let [low, high] = column.range;
        let at = |value: f64| track.left() + track.width() * (((value - low) / (high - low).max(f64::MIN_POSITIVE)) as f32).clamp(0.0, 1.0);
        let middle = rect.center().y;
        painter.hline(axis.x_range(), middle, Stroke::new(sizes::HAIRLINE, palette.line));
        if let Some(reference) = group.reference[index] {
            marks::dotted(painter, pos2(at(reference), rect.top()), pos2(at(reference), rect.bottom()), palette.dim);
        }
        let Some(cell) = &row.cells[index] else { continue };
        if let Some([from, to]) = cell.interval {
            let stroke = Stroke::new(1.5, palette.method(row.method.kind).gamma_multiply(0.8));
            painter.hline(at(from)..=at(to), middle, stroke);
        }
        mark(painter, pos2(at(cell.value), middle), row.method.kind, row.method.hollow, palette);
        let ink = if chosen { palette.text } else { palette.dim };
        super::value(painter, pos2(value.right() - sizes::SMALL, middle), &column.text(cell.value), ink);
    }
    response.on_hover_ui_at_pointer(|ui| {
        ui.set_max_width(sizes::TOOLTIP);
        ui.label(egui::RichText::new(format!("{}, {}", group.model, row.label)).font(typeface::body_strong()));
        if !row.setting.is_empty() {
            ui.label(egui::RichText::new(&row.setting).font(typeface::caption()).color(palette.dim));
        }
        for (column, cell) in content.table.columns.iter().zip(&row.cells) {
            if let Some(cell) = cell {
                widgets::fact(ui, &column.title, &with_interval(column, cell.value, cell.interval));
            }
        }
    });
}

/// A value with its unit and its interval.
pub(super) fn with_interval(column: &Column, value: f64, interval: Option<[f64; 2]>) -> String {
    let interval = interval.map_or_else(String::new, |[low, high]| format!(" ({} to {})", column.text(low), column.text(high)));
    format!("{}{}{interval}", column.text(value), unit(column))
}

/// A row in words, for those who cannot see it.
fn sentence(content: &Content<'_>, group: &Group, row: &Row) -> String {
    let values: Vec<String> = (content.table.columns.iter().zip(&row.cells))
        .filter_map(|(column, cell)| {
            let cell = cell.as_ref()?;
            Some(format!("{} {}", column.title, with_interval(column, cell.value, cell.interval)))
        })
        .collect();
    let setting = if row.setting.is_empty() {
        String::new()
    } else {
        format!(", {}", row.setting)
    };
    format!("{}, {}{setting}: {}", group.model, row.label, values.join("; "))
}
