//! Score over length: every output of the selected row, in ten groups from the shortest to the longest.

use cruxscope_selectors::format;
use cruxscope_selectors::results::SplitRow;
use cruxscope_study::{Results, Score, wilson};
use cruxscope_theme::{sizes, typeface};
use egui::{Align2, CornerRadius, Rect, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};

use crate::views::scene::ResultsScene;

/// Height of the figure.
pub const HEIGHT: f32 = 230.0;
/// Groups of equal size.
const GROUPS: usize = 10;

/// The score whose outputs are shown: that of the benchmark in focus, or else the first that has outputs.
pub fn behind<'a>(results: &'a Results, row: &SplitRow, scene: &ResultsScene<'_>) -> Option<&'a Score> {
    let wanted = scene.state.results.benchmark.as_deref();
    let scores = || row.cells.iter().filter_map(|cell| results.scores.get(cell.score?));
    scores().find(|score| Some(score.benchmark.as_str()) == wanted).or_else(|| scores().next())
}

/// Draws it.
pub fn show(ui: &mut Ui, score: &Score, row: &SplitRow, scene: &ResultsScene<'_>) {
    let palette = scene.palette;
    let mut outputs: Vec<(u64, f64)> = score.outputs.iter().filter_map(|output| Some((output.length?, output.score))).collect();
    outputs.sort_by_key(|(length, _)| *length);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), HEIGHT), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, format!("Score over length of {} outputs, {}", outputs.len(), row.label)));
    let line = Stroke::new(sizes::HAIRLINE, palette.line);
    ui.painter()
        .rect(rect, CornerRadius::same(sizes::RADIUS), palette.panel, line, StrokeKind::Inside);
    let title = format!(
        "{}, {}: score over length, n = {} outputs",
        score.benchmark,
        row.label,
        format::count(outputs.len())
    );
    let title = ui
        .painter()
        .layout(title, typeface::heading(), palette.text, rect.width() - 2.0 * (sizes::GAP + sizes::SMALL));
    let head = title.size().y.max(sizes::PANEL_HEAD - 2.0 * sizes::SMALL);
    let place = rect.min + vec2(sizes::GAP + sizes::SMALL, sizes::SMALL + (head - title.size().y) / 2.0);
    ui.painter().galley(place, title, palette.text);
    let about = format!(
        "length in {}, groups of equal size; dot: mean score, line: 95 % interval",
        if score.length_unit.is_empty() { "tokens" } else { &score.length_unit }
    );
    let about = ui
        .painter()
        .layout(about, typeface::caption(), palette.faint, rect.width() - sizes::ROW_LABELS - sizes::LARGE);
    let place = pos2(rect.right() - sizes::LARGE - about.size().x, rect.bottom() - about.size().y - sizes::SMALL);
    let foot = about.size().y;
    ui.painter().galley(place, about, palette.faint);
    let plot = Rect::from_min_max(
        rect.min + vec2(sizes::ROW_LABELS, head + sizes::LARGE),
        rect.max - vec2(sizes::LARGE, sizes::COLUMN_LABELS + foot),
    );
    let painter = ui.painter();
    for tick in [0.0, 0.5, 1.0] {
        let y = plot.bottom() - plot.height() * tick;
        painter.hline(plot.x_range(), y, line);
        let text = format!("{:.0} %", 100.0 * tick);
        painter.text(pos2(plot.left() - sizes::GAP, y), Align2::RIGHT_CENTER, text, typeface::tick(), palette.dim);
    }
    let groups = GROUPS.min(outputs.len());
    let pitch = plot.width() / groups.max(1) as f32;
    let colour = palette.method(row.method.kind);
    let mut free = f32::NEG_INFINITY;
    let mut named = String::new();
    for group in 0..groups {
        let (from, to) = (outputs.len() * group / groups, outputs.len() * (group + 1) / groups);
        let members = &outputs[from..to];
        let mean = members.iter().map(|(_, score)| score).sum::<f64>() / members.len() as f64;
        let x = plot.left() + pitch * (group as f32 + 0.5);
        let y = |share: f64| plot.bottom() - plot.height() * share as f32;
        let right = members.iter().filter(|(_, score)| *score == 1.0).count();
        if members.iter().all(|(_, score)| *score == 0.0 || *score == 1.0)
            && let Some((low, high)) = wilson(right, members.len())
        {
            painter.vline(x, y(high)..=y(low), Stroke::new(1.5, colour.gamma_multiply(0.7)));
        }
        painter.circle_filled(pos2(x, y(mean)), sizes::SMALL, colour);
        let [first, last] = [members[0].0, members[members.len() - 1].0].map(|length| format::count(length as usize));
        let text = if first == last { first } else { format!("{first}–{last}") };
        // Neighbours of one length are named once.
        if text == named {
            continue;
        }
        let galley = painter.layout_no_wrap(text.clone(), typeface::tick(), palette.dim);
        let left = x - galley.size().x / 2.0;
        if left > free {
            free = left + galley.size().x + sizes::SMALL;
            painter.galley(pos2(left, plot.bottom() + sizes::SMALL), galley, palette.dim);
            named = text;
        }
    }
}
