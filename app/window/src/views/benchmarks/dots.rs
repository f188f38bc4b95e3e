//! Scores as dots with intervals: a row a compression, a column a benchmark, zero at the left end of each.

use std::sync::Arc;

use cruxscope_selectors::format;
use cruxscope_selectors::results::{Column, Group, Row};
use cruxscope_theme::{Palette, sizes, typeface};
use egui::text::LayoutJob;
use egui::{Align2, Color32, Galley, Painter, Rect, Role, ScrollArea, Sense, Stroke, Ui, WidgetInfo, pos2, vec2};

use super::{Content, MARK, mark, marks};
use crate::action::Action;
use crate::views::scene::ResultsScene;
use crate::widgets;

/// Width of the column of names, where there is room, and at least.
const NAMES: [f32; 2] = [230.0, 104.0];
/// Width of a value behind its axis.
const VALUE: f32 = 46.0;
/// Height of a row that says what it gains under its value.
const GAIN_ROW: f32 = 38.0;
/// Least width of an axis.
const AXIS: f32 = 54.0;
/// Lines of a setting under the name of its row.
const SETTING_LINES: usize = 2;

/// Where the columns of a row lie.
struct Places {
    names: Rect,
    axes: Vec<(Rect, Rect)>,
}

/// Which columns there is room for.
struct Division {
    columns: Vec<usize>,
    names: f32,
}

impl Division {
    fn of(width: f32, scene: &ResultsScene<'_>, content: &Content<'_>) -> Self {
        let inner = width - 2.0 * (sizes::GAP + sizes::SMALL);
        let each = AXIS + VALUE + sizes::LARGE;
        let fit = (((inner - NAMES[1]) / each) as usize).max(1);
        let all = content.table.columns.len();
        // Where not all have room, those from the one in focus on.
        let from = if fit >= all { 0 } else { content.column(scene).min(all - fit) };
        let columns: Vec<usize> = (from..all.min(from + fit)).collect();
        let names = (inner - columns.len() as f32 * each).clamp(NAMES[1], NAMES[0]);
        Self { columns, names }
    }

    fn places(&self, row: Rect) -> Places {
        let inner = row.shrink2(vec2(sizes::GAP + sizes::SMALL, 0.0));
        let left = inner.left() + self.names + sizes::GAP;
        let pitch = (inner.right() - left) / self.columns.len().max(1) as f32;
        let axes = (0..self.columns.len())
            .map(|column| {
                let from = left + pitch * column as f32;
                let end = from + pitch - sizes::GAP;
                let axis = Rect::from_min_max(pos2(from, row.top()), pos2((end - VALUE).max(from + 8.0), row.bottom()));
                (axis, Rect::from_min_max(pos2(axis.right(), row.top()), pos2(end, row.bottom())))
            })
            .collect();
        Places {
            names: Rect::from_min_size(pos2(inner.left(), row.top()), vec2(self.names, row.height())),
            axes,
        }
    }
}

/// The name of a row with its setting, in as many lines as they need.
struct Name {
    label: Arc<Galley>,
    setting: Option<Arc<Galley>>,
    beside: bool,
    least: f32,
}

impl Name {
    fn of(ui: &Ui, row: &Row, width: f32, ink: Color32, palette: &Palette) -> Self {
        let room = width - sizes::GAP;
        let mut words = row.label.clone();
        if row.borrowed {
            words.push_str(" °");
        }
        let label = ui.painter().layout(words, typeface::body(), ink, room);
        let mut job = LayoutJob::simple(row.setting.clone(), typeface::caption(), palette.faint, room);
        job.wrap.max_rows = SETTING_LINES;
        let setting = (!row.setting.is_empty()).then(|| ui.painter().layout_job(job));
        let beside = setting
            .as_ref()
            .is_some_and(|setting| label.rows.len() == 1 && setting.rows.len() == 1 && label.size().x + sizes::GAP + setting.size().x <= room);
        let gains = row.cells.iter().flatten().any(|cell| cell.gain.is_some());
        let least = if gains { GAIN_ROW } else { sizes::RESULT_ROW };
        Self { label, setting, beside, least }
    }

    fn height(&self) -> f32 {
        let below = self.setting.as_ref().filter(|_| !self.beside).map_or(0.0, |setting| setting.size().y);
        (self.label.size().y + below + sizes::GAP).max(self.least)
    }

    fn paint(self, painter: &Painter, names: Rect) {
        let left = names.left() + sizes::GAP;
        let tall = self.label.size().y + self.setting.as_ref().filter(|_| !self.beside).map_or(0.0, |setting| setting.size().y);
        let top = names.center().y - tall / 2.0;
        let (width, height) = (self.label.size().x, self.label.size().y);
        painter.galley(pos2(left, top), self.label, Color32::PLACEHOLDER);
        if let Some(setting) = self.setting {
            let place = if self.beside {
                pos2(left + width + sizes::GAP, names.center().y - setting.size().y / 2.0)
            } else {
                pos2(left, top + height)
            };
            painter.galley(place, setting, Color32::PLACEHOLDER);
        }
    }
}

/// Draws them.
pub fn show(ui: &mut Ui, scene: &ResultsScene<'_>, content: &Content<'_>, actions: &mut Vec<Action>) {
    let palette = scene.palette;
    let table = &content.table;
    let division = Division::of(ui.available_width(), scene, content);
    if division.columns.len() < table.columns.len() {
        super::choose_benchmark(ui, scene, content, content.column(scene), actions);
        ui.add_space(sizes::SMALL);
    }
    let heights: f32 = table
        .rows()
        .map(|(_, row)| Name::of(ui, row, division.names, palette.dim, palette).height())
        .sum();
    let wanted = sizes::TABLE_HEAD + heights + table.groups.len() as f32 * (sizes::RESULT_ROW + sizes::SMALL) + sizes::GAP;
    let note = if table.rows().any(|(_, row)| row.borrowed) { sizes::LINE } else { 0.0 };
    let (head, body) = widgets::table(ui, wanted.min(ui.available_height() - note), palette);
    heads(ui, head, scene, content, &division, actions);
    let selected = content.row(scene);
    ui.scope_builder(egui::UiBuilder::new().max_rect(body), |ui| {
        ui.set_clip_rect(ui.clip_rect().intersect(body));
        ui.spacing_mut().item_spacing.y = 0.0;
        ScrollArea::vertical().id_salt("results").auto_shrink(false).show(ui, |ui| {
            let mut number = 0;
            for group in &table.groups {
                group_head(ui, group, palette);
                for row in &group.rows {
                    show_row(ui, scene, content, &division, (group, row), number, number == selected, actions);
                    number += 1;
                }
            }
        });
    });
    if note > 0.0 {
        widgets::caption(ui, "° from another experiment of the same results");
    }
}

fn heads(ui: &Ui, rect: Rect, scene: &ResultsScene<'_>, content: &Content<'_>, division: &Division, actions: &mut Vec<Action>) {
    let palette = scene.palette;
    let places = division.places(rect);
    let painter = ui.painter();
    painter.text(
        places.names.left_center(),
        Align2::LEFT_CENTER,
        "Compression",
        typeface::caption_strong(),
        palette.faint,
    );
    for (column, (axis, value)) in division.columns.iter().zip(&places.axes) {
        let column = &content.table.columns[*column];
        let place = Rect::from_min_max(axis.min, value.max);
        let focused = scene.state.results.benchmark.as_deref() == Some(column.benchmark.as_str());
        let response = ui.interact(place, ui.scope_id().with(("results column", &column.title)), Sense::click());
        response.widget_info(|| WidgetInfo::selected(Role::ColumnHeader, true, focused, &column.title));
        let colour = if focused || response.hovered() { palette.text } else { palette.faint };
        let mut job = LayoutJob::simple(column.title.clone(), typeface::caption_strong(), colour, place.width());
        job.wrap.max_rows = 2;
        let galley = painter.layout_job(job);
        painter.galley(place.left_center() - vec2(0.0, galley.size().y / 2.0), galley, colour);
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

#[expect(clippy::too_many_arguments, reason = "a row is drawn out of all of them")]
fn show_row(
    ui: &mut Ui,
    scene: &ResultsScene<'_>,
    content: &Content<'_>,
    division: &Division,
    (group, row): (&Group, &Row),
    number: usize,
    chosen: bool,
    actions: &mut Vec<Action>,
) {
    let palette = scene.palette;
    let ink = if chosen { palette.text } else { palette.dim };
    let name = Name::of(ui, row, division.names, ink, palette);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), name.height()), Sense::click());
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
    let places = division.places(rect);
    let painter = ui.painter();
    name.paint(painter, places.names);
    for (index, (axis, value)) in division.columns.iter().zip(&places.axes) {
        let column = &content.table.columns[*index];
        let track = axis.shrink2(vec2(MARK, 0.0));
        let [low, high] = column.range;
        let at = |value: f64| track.left() + track.width() * (((value - low) / (high - low).max(f64::MIN_POSITIVE)) as f32).clamp(0.0, 1.0);
        let middle = rect.center().y;
        painter.hline(axis.x_range(), middle, Stroke::new(sizes::HAIRLINE, palette.line));
        if let Some(reference) = group.reference[*index] {
            marks::dotted(painter, pos2(at(reference), rect.top()), pos2(at(reference), rect.bottom()), palette.dim);
        }
        if let Some(compressed) = group.compressed[*index] {
            marks::dashed(painter, pos2(at(compressed), rect.top()), pos2(at(compressed), rect.bottom()), palette.faint);
        }
        let Some(cell) = &row.cells[*index] else { continue };
        if let Some([from, to]) = cell.interval {
            let stroke = Stroke::new(1.5, palette.method(row.method.kind).gamma_multiply(0.8));
            painter.hline(at(from)..=at(to), middle, stroke);
        }
        mark(painter, pos2(at(cell.value), middle), row.method.kind, row.method.fill, palette);
        let end = value.right() - sizes::SMALL;
        let aside = if cell.gain.is_some() { sizes::GAP } else { 0.0 };
        super::value(painter, pos2(end, middle - aside), &column.text(cell.value), ink);
        if let Some(gain) = cell.gain {
            let text = format::signed_points(gain, &column.unit);
            let text = text.trim_end_matches("\u{a0}pp");
            painter.text(pos2(end, middle + aside), Align2::RIGHT_CENTER, text, typeface::caption_strong(), palette.text);
        }
    }
    response.on_hover_ui_at_pointer(|ui| {
        ui.set_max_width(sizes::TOOLTIP);
        ui.label(egui::RichText::new(format!("{}, {}", group.model, row.label)).font(typeface::body_strong()));
        if !row.setting.is_empty() {
            ui.add(egui::Label::new(egui::RichText::new(&row.setting).font(typeface::caption()).color(palette.dim)).wrap());
        }
        if row.borrowed {
            widgets::caption(ui, "from another experiment of the same results");
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
            let gain = cell.gain.map_or_else(String::new, |gain| {
                format!(", {} against compressed all over", format::signed_points(gain, &column.unit))
            });
            Some(format!("{} {}{gain}", column.title, with_interval(column, cell.value, cell.interval)))
        })
        .collect();
    let setting = if row.setting.is_empty() {
        String::new()
    } else {
        format!(", {}", row.setting)
    };
    format!("{}, {}{setting}: {}", group.model, row.label, values.join("; "))
}
