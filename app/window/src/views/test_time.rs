//! Test-time compute: what the shortest outputs score beside the longest, and how score goes with length.

mod lengths;

use cruxscope_selectors::results::{SplitCell, SplitRow, splits};
use cruxscope_theme::{Palette, sizes, typeface};
use egui::text::LayoutJob;
use egui::{Align2, Rect, Role, ScrollArea, Sense, Stroke, Ui, WidgetInfo, pos2, vec2};

use super::benchmarks::{MARK, active};
use super::scene::{ResultsScene, ResultsView};
use super::{missing, toolbar};
use crate::action::Action;
use crate::widgets;

/// The shares that can be compared, in percent: those of the paper's tables 10 and 11.
const SHARES: [(u32, &str); 2] = [(30, "30 %"), (20, "20 %")];
/// Width of the column of names.
const NAMES: f32 = 250.0;
/// Width of the ratio behind an axis.
const RATIO: f32 = 52.0;
/// Least width of an axis.
const AXIS: f32 = 44.0;

/// The view of test-time compute.
pub struct TestTimeView;

impl ResultsView for TestTimeView {
    fn show(&self, ui: &mut Ui, scene: &ResultsScene<'_>, actions: &mut Vec<Action>) {
        let Some(open) = active(scene.results, scene.state) else { return };
        let share = scene.state.results.share.0;
        toolbar::row(ui, |ui| {
            if let Some(share) = widgets::segmented(ui, "share", &SHARES, share, |_, _, _| false, |_| None) {
                actions.push(Action::SetShare(share));
            }
            let palette = scene.palette;
            toolbar::entry(ui, palette, &format!("the shortest {share} % of outputs"), |painter, place| {
                painter.circle_filled(place, MARK, palette.dim);
            });
            toolbar::entry(ui, palette, "the longest", |painter, place| {
                painter.circle(place, MARK - 1.0, palette.panel, Stroke::new(2.0, palette.dim));
            });
            toolbar::entry(ui, palette, "95 % interval", |painter, place| {
                painter.hline(place.x - 5.0..=place.x + 5.0, place.y, Stroke::new(sizes::HAIRLINE, palette.dim));
            });
            toolbar::caption(ui, palette, &["score from 0 to 100 %; × is how many times longer the longest are"]);
        });
        ui.add_space(sizes::SMALL);
        let rows = splits(&open.results, share);
        if rows.is_empty() {
            let text = "They were saved without the lengths of outputs, and hold no table of the shortest and the longest.";
            let command = "cruxscope score samples.jsonl --data DATASET --results results.json";
            missing::say(ui, "No lengths in these results", text, command, actions);
            return;
        }
        let selected = scene.state.results.row.unwrap_or(0).min(rows.len() - 1);
        let behind = lengths::behind(&open.results, &rows[selected], scene);
        let below = if behind.is_some() { lengths::HEIGHT + sizes::LARGE } else { 0.0 };
        figure(ui, scene, &rows, selected, below, actions);
        if let Some(score) = behind {
            ui.add_space(sizes::GAP);
            lengths::show(ui, score, &rows[selected], scene);
        }
    }

    fn inspect(&self, ui: &mut Ui, scene: &ResultsScene<'_>, _: &mut Vec<Action>) {
        let Some(open) = active(scene.results, scene.state) else { return };
        let rows = splits(&open.results, scene.state.results.share.0);
        widgets::caption(ui, "Selected row");
        let Some(row) = rows.get(scene.state.results.row.unwrap_or(0).min(rows.len().saturating_sub(1))) else {
            return;
        };
        let palette = scene.palette;
        ui.add(egui::Label::new(egui::RichText::new(&row.label).font(typeface::title()).color(palette.text)).wrap());
        ui.add(egui::Label::new(egui::RichText::new(&row.model).font(typeface::caption()).color(palette.dim)).wrap());
        for cell in &row.cells {
            let n = cell.outputs.map_or_else(String::new, |n| format!(", n = {n} at each end"));
            widgets::section(ui, &format!("{}{n}", cell.column));
            widgets::fact(ui, "Shortest", &text_of(cell.short));
            widgets::fact(ui, "Longest", &text_of(cell.long));
            if let Some(ratio) = cell.ratio {
                widgets::fact(ui, "Length, longest over shortest", &format!("{ratio:.1}"));
            }
        }
        if !open.results.source.is_empty() {
            widgets::section(ui, "Source");
            ui.add(egui::Label::new(egui::RichText::new(&open.results.source).font(typeface::caption()).color(palette.dim)).wrap());
        }
    }
}

fn text_of((value, interval): (f64, Option<[f64; 2]>)) -> String {
    let interval = interval.map_or_else(String::new, |[low, high]| format!(" ({low:.0} to {high:.0})"));
    format!("{value:.1} %{interval}")
}

/// The columns of some rows, each once.
fn columns(rows: &[SplitRow]) -> Vec<&str> {
    let mut columns: Vec<&str> = Vec::new();
    for cell in rows.iter().flat_map(|row| &row.cells) {
        if !columns.contains(&cell.column.as_str()) {
            columns.push(&cell.column);
        }
    }
    columns
}

/// The columns that have room: all, or those from the one in focus on.
fn in_sight<'a>(all: &[&'a str], width: f32, scene: &ResultsScene<'_>) -> Vec<&'a str> {
    let names = NAMES.min(width * 0.35);
    let fit = ((width - names - 2.0 * sizes::LARGE) / (AXIS + RATIO + sizes::GAP)) as usize;
    let fit = fit.clamp(1, all.len().max(1));
    let wanted = scene.state.results.benchmark.as_deref();
    let on = all
        .iter()
        .position(|column| wanted.is_some_and(|wanted| *column == wanted || column.starts_with(&format!("{wanted} "))));
    let from = on.unwrap_or(0).min(all.len().saturating_sub(fit));
    all.iter().skip(from).take(fit).copied().collect()
}

fn figure(ui: &mut Ui, scene: &ResultsScene<'_>, rows: &[SplitRow], selected: usize, below: f32, actions: &mut Vec<Action>) {
    let palette = scene.palette;
    let all = columns(rows);
    let columns = in_sight(&all, ui.available_width(), scene);
    if columns.len() < all.len() {
        let choices: Vec<(usize, &str)> = all.iter().copied().enumerate().collect();
        let on = all.iter().position(|column| columns.first() == Some(column)).unwrap_or_default();
        if let Some(at) = widgets::segmented(ui, "column", &choices, on, |_, _, _| false, |_| None) {
            actions.push(Action::SetBenchmark(Some(all[at].to_owned())));
        }
        ui.add_space(sizes::SMALL);
    }
    let height = ui.available_height() - below;
    let wanted = sizes::TABLE_HEAD + (rows.len() as f32) * sizes::TABLE_ROW + sizes::GAP;
    let (head, body) = widgets::table(ui, wanted.min(height), palette);
    let painter = ui.painter();
    let (names, axes) = places(head, columns.len());
    let head = |place: Rect, text: &str, right: bool| {
        let mut job = LayoutJob::simple(text.to_owned(), typeface::caption_strong(), palette.faint, place.width());
        job.wrap.max_rows = 2;
        let galley = painter.layout_job(job);
        let left = if right { place.right() - galley.size().x } else { place.left() };
        painter.galley(pos2(left, place.center().y - galley.size().y / 2.0), galley, palette.faint);
    };
    head(names, "Model and compression", false);
    for (column, axis) in columns.iter().zip(&axes) {
        head(*axis, column, false);
        let ratio = Rect::from_min_max(pos2(axis.right(), axis.top()), pos2(axis.right() + RATIO - sizes::SMALL, axis.bottom()));
        head(ratio, "length ×", true);
    }
    ui.scope_builder(egui::UiBuilder::new().max_rect(body), |ui| {
        ui.set_clip_rect(ui.clip_rect().intersect(body));
        ui.spacing_mut().item_spacing.y = 0.0;
        let area = ScrollArea::vertical().id_salt("splits").auto_shrink(false);
        area.show_rows(ui, sizes::TABLE_ROW, rows.len(), |ui, range| {
            for number in range {
                if show_row(ui, &rows[number], &columns, number == selected, palette) {
                    actions.push(Action::SelectRow(number));
                }
            }
        });
    });
}

fn places(row: Rect, columns: usize) -> (Rect, Vec<Rect>) {
    let inner = row.shrink2(vec2(sizes::GAP + sizes::SMALL, 0.0));
    let names = NAMES.min(inner.width() * 0.35);
    let left = inner.left() + names + sizes::GAP;
    let pitch = (inner.right() - left) / columns.max(1) as f32;
    let axis = |column: usize| {
        let from = left + pitch * column as f32;
        Rect::from_min_max(pos2(from, row.top()), pos2((from + pitch - RATIO - sizes::GAP).max(from + 8.0), row.bottom()))
    };
    (
        Rect::from_min_size(pos2(inner.left(), row.top()), vec2(names, row.height())),
        (0..columns).map(axis).collect(),
    )
}

fn show_row(ui: &mut Ui, row: &SplitRow, columns: &[&str], chosen: bool, palette: &Palette) -> bool {
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), sizes::TABLE_ROW), Sense::click());
    response.widget_info(|| WidgetInfo::selected(Role::Row, true, chosen, sentence(row)));
    widgets::row_ground(ui.painter(), rect, chosen, response.hovered(), palette);
    let (names, axes) = places(rect, columns.len());
    let painter = ui.painter();
    let name = if row.label == "not compressed" {
        row.model.clone()
    } else {
        format!("{}, {}", row.model, row.label)
    };
    let ink = if chosen { palette.text } else { palette.dim };
    // A name that is too long for a line has two of smaller type.
    let one = painter.layout_no_wrap(name.clone(), typeface::body(), ink);
    let galley = if one.size().x <= names.width() {
        one
    } else {
        let mut job = LayoutJob::simple(name.clone(), typeface::caption(), ink, names.width());
        job.wrap.max_rows = 2;
        painter.layout_job(job)
    };
    painter.galley(pos2(names.left(), names.center().y - galley.size().y / 2.0), galley, ink);
    let middle = rect.center().y;
    for (column, axis) in columns.iter().zip(&axes) {
        let Some(cell) = row.cells.iter().find(|cell| cell.column == *column) else {
            continue;
        };
        dumbbell(ui, cell, row, axis.shrink2(vec2(MARK, 0.0)), middle, palette);
        if let Some(ratio) = cell.ratio {
            let place = pos2(axis.right() + RATIO - sizes::SMALL, middle);
            painter.text(place, Align2::RIGHT_CENTER, format!("{ratio:.1}"), typeface::body(), ink);
        }
    }
    let clicked = response.clicked();
    response.on_hover_ui_at_pointer(|ui| {
        ui.set_max_width(sizes::TOOLTIP);
        ui.label(egui::RichText::new(&name).font(typeface::body_strong()));
        for cell in &row.cells {
            widgets::fact(ui, &format!("{}, shortest", cell.column), &text_of(cell.short));
            widgets::fact(ui, &format!("{}, longest", cell.column), &text_of(cell.long));
        }
    });
    clicked
}

/// Both ends on one axis from 0 to 100 %, joined by a line.
fn dumbbell(ui: &Ui, cell: &SplitCell, row: &SplitRow, track: Rect, middle: f32, palette: &Palette) {
    let painter = ui.painter();
    let at = |value: f64| track.left() + track.width() * ((value / 100.0) as f32).clamp(0.0, 1.0);
    let colour = palette.method(row.method.kind);
    painter.hline(track.x_range(), middle, Stroke::new(sizes::HAIRLINE, palette.line));
    for ((_, interval), offset) in [(cell.short, -7.0), (cell.long, 7.0)] {
        if let Some([low, high]) = interval {
            painter.hline(at(low)..=at(high), middle + offset, Stroke::new(sizes::HAIRLINE, colour.gamma_multiply(0.6)));
        }
    }
    let (short, long) = (pos2(at(cell.short.0), middle), pos2(at(cell.long.0), middle));
    painter.line_segment([short, long], Stroke::new(2.0, colour.gamma_multiply(0.55)));
    painter.circle(long, MARK - 1.0, palette.panel, Stroke::new(2.0, colour));
    painter.circle_filled(short, MARK, colour);
}

fn sentence(row: &SplitRow) -> String {
    let cells: Vec<String> = row
        .cells
        .iter()
        .map(|cell| format!("{}: shortest {:.1} %, longest {:.1} %", cell.column, cell.short.0, cell.long.0))
        .collect();
    format!("{}, {}: {}", row.model, row.label, cells.join("; "))
}
