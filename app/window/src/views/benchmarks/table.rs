//! Scores as numbers: every score a line, with its interval, what it rests on and where it comes from.

use cruxscope_selectors::results::Cell;
use cruxscope_study::Score;
use cruxscope_theme::{sizes, typeface};
use egui::{Align2, Rect, Role, ScrollArea, Sense, Ui, WidgetInfo, vec2};

use super::Content;
use crate::action::Action;
use crate::views::scene::ResultsScene;
use crate::widgets;

/// Where the columns of a line lie.
struct Columns {
    model: Rect,
    compression: Rect,
    benchmark: Rect,
    value: Rect,
    interval: Option<Rect>,
    n: Option<Rect>,
    unparsed: Option<Rect>,
    rule: Option<Rect>,
}

impl Columns {
    fn of(line: Rect) -> Self {
        let mut columns = widgets::Columns::of(line, sizes::GAP + sizes::SMALL);
        let wide = line.width() > 900.0;
        let name = if wide { 180.0 } else { line.width() * 0.2 };
        let (model, compression) = (columns.take(name), columns.take(name));
        let (benchmark, value) = (columns.take(if wide { 150.0 } else { line.width() * 0.18 }), columns.take(56.0));
        let interval = columns.take_right(104.0, sizes::LARGE);
        Self {
            model,
            compression,
            benchmark,
            value,
            interval,
            n: columns.take_right(76.0, sizes::LARGE),
            unparsed: columns.take_right(68.0, sizes::LARGE),
            rule: columns.rest(110.0),
        }
    }
}

/// Draws them.
pub fn show(ui: &mut Ui, scene: &ResultsScene<'_>, content: &Content<'_>, actions: &mut Vec<Action>) {
    let palette = scene.palette;
    let mut lines: Vec<(usize, &Score)> = Vec::new();
    for (number, (_, row)) in content.table.rows().enumerate() {
        let score = |cell: &Cell| content.results.get(row.source).and_then(|results| results.scores.get(cell.score));
        lines.extend(row.cells.iter().flatten().filter_map(score).map(|score| (number, score)));
    }
    let (head, body) = widgets::table(ui, ui.available_height(), palette);
    let columns = Columns::of(head);
    let write = |rect: Option<Rect>, text: &str, right: bool| {
        if let Some(rect) = rect {
            let anchor = if right { Align2::RIGHT_CENTER } else { Align2::LEFT_CENTER };
            ui.painter()
                .text(anchor.pos_in_rect(&rect), anchor, text, typeface::caption_strong(), palette.faint);
        }
    };
    write(Some(columns.model), "Model", false);
    write(Some(columns.compression), "Compression", false);
    write(Some(columns.benchmark), "Benchmark", false);
    write(Some(columns.value), "Value", true);
    write(columns.rule, "Scoring rule / source", false);
    write(columns.unparsed, "Unparsed", true);
    write(columns.n, "n × passes", true);
    write(columns.interval, "95 % interval", true);
    let selected = content.row(scene);
    ui.scope_builder(egui::UiBuilder::new().max_rect(body), |ui| {
        ui.set_clip_rect(ui.clip_rect().intersect(body));
        ui.spacing_mut().item_spacing.y = 0.0;
        let area = ScrollArea::vertical().id_salt("result lines").auto_shrink(false);
        area.show_rows(ui, sizes::TABLE_ROW, lines.len(), |ui, range| {
            for (number, score) in &lines[range] {
                line(ui, scene, score, *number == selected, || actions.push(Action::SelectRow(*number)));
            }
        });
    });
}

fn line(ui: &mut Ui, scene: &ResultsScene<'_>, score: &Score, chosen: bool, pressed: impl FnOnce()) {
    let palette = scene.palette;
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), sizes::TABLE_ROW), Sense::click());
    let what = if score.setting.is_empty() {
        score.compression.clone()
    } else {
        format!("{} {}", score.compression, score.setting)
    };
    let value = number(score, score.value);
    let interval = score.interval.map(|[low, high]| format!("{} to {}", number(score, low), number(score, high)));
    let benchmark = format!("{} {}", score.benchmark, score.metric);
    response.widget_info(|| {
        let said = format!("{}, {what}, {benchmark} {value} {}", score.model, interval.as_deref().unwrap_or_default());
        WidgetInfo::selected(Role::Row, true, chosen, said)
    });
    widgets::row_ground(ui.painter(), rect, chosen, response.hovered(), palette);
    let columns = Columns::of(rect);
    let painter = ui.painter();
    let write = |rect: Option<Rect>, text: &str, right: bool, strong: bool| {
        let Some(rect) = rect else { return };
        let anchor = if right { Align2::RIGHT_CENTER } else { Align2::LEFT_CENTER };
        let (font, ink) = if strong {
            (typeface::body_strong(), palette.text)
        } else {
            (typeface::body(), palette.dim)
        };
        widgets::paint_cut(painter, anchor.pos_in_rect(&rect), anchor, text, font, ink, rect.width() - sizes::SMALL);
    };
    write(Some(columns.model), &score.model, false, false);
    write(Some(columns.compression), if what.is_empty() { "not compressed" } else { &what }, false, false);
    write(Some(columns.benchmark), &benchmark, false, false);
    write(Some(columns.value), &value, true, true);
    write(columns.interval, interval.as_deref().unwrap_or("–"), true, false);
    let n = match (score.questions, score.passes) {
        (Some(n), Some(passes)) => format!("{n} × {passes}"),
        (Some(n), None) => n.to_string(),
        _ => "–".to_owned(),
    };
    write(columns.n, &n, true, false);
    write(
        columns.unparsed,
        &score.unparsed.map_or_else(|| "–".to_owned(), |count| count.to_string()),
        true,
        false,
    );
    write(columns.rule, &score.rule, false, false);
    if response.clicked() {
        pressed();
    }
}

/// A value of a score, as its column writes it.
pub(super) fn number(score: &Score, value: f64) -> String {
    if score.unit == "%" { format!("{value:.1}") } else { format!("{value:.2}") }
}
