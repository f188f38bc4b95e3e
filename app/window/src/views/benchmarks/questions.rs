//! Every question of a benchmark: a cell each, row by row, so that one sees whether compressions fail at the same questions.

use std::collections::BTreeMap;

use cruxscope_study::Score;
use cruxscope_theme::{Palette, sizes, typeface};
use egui::{Align2, Color32, Rect, Role, ScrollArea, Sense, Ui, WidgetInfo, pos2, vec2};

use super::Content;
use crate::action::Action;
use crate::views::missing;
use crate::views::scene::ResultsScene;
use crate::widgets;

/// Width of the column of names.
const NAMES: f32 = 220.0;
/// Greatest and least width of a cell.
const CELL: [f32; 2] = [14.0, 2.0];

/// The mean score of each question of a score.
fn questions(score: &Score) -> BTreeMap<&str, f64> {
    let mut sums: BTreeMap<&str, (f64, usize)> = BTreeMap::new();
    for output in &score.outputs {
        let entry = sums.entry(output.id.as_str()).or_default();
        entry.0 += output.score;
        entry.1 += 1;
    }
    sums.into_iter().map(|(id, (sum, count))| (id, sum / count as f64)).collect()
}

/// Draws them, the questions that most rows answer first.
pub fn show(ui: &mut Ui, scene: &ResultsScene<'_>, content: &Content<'_>, actions: &mut Vec<Action>) {
    let palette = scene.palette;
    let column = content.column(scene);
    super::choose_benchmark(ui, scene, content, column, actions);
    ui.add_space(sizes::SMALL);
    let mut rows = Vec::new();
    for (number, (group, row)) in content.table.rows().enumerate() {
        let score = row.cells[column]
            .as_ref()
            .and_then(|cell| content.results.get(row.source)?.scores.get(cell.score))
            .filter(|score| !score.outputs.is_empty());
        if let Some(score) = score {
            rows.push((number, group, row, questions(score)));
        }
    }
    if rows.is_empty() {
        let text = "These scores come without their outputs, so single questions are not known.";
        missing::say(
            ui,
            "No single questions",
            text,
            "cruxscope score samples.jsonl --data DATASET --results results.json",
            actions,
        );
        return;
    }
    let mut totals: BTreeMap<&str, f64> = BTreeMap::new();
    for (_, _, _, of_row) in &rows {
        for (id, score) in of_row {
            *totals.entry(id).or_default() += score;
        }
    }
    let mut order: Vec<(&str, f64)> = totals.into_iter().collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
    let selected = content.row(scene);
    ScrollArea::both().id_salt("questions").auto_shrink(false).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        let room = ui.available_width() - NAMES - sizes::LARGE;
        let width = (room / order.len() as f32).clamp(CELL[1], CELL[0]);
        for (number, group, row, of_row) in &rows {
            let (rect, response) = ui.allocate_exact_size(vec2(NAMES + width * order.len() as f32, sizes::RESULT_ROW), Sense::click());
            let name = format!("{}, {}", group.model, row.label);
            let right = of_row.values().filter(|score| **score >= 0.5).count();
            response.widget_info(|| WidgetInfo::selected(Role::Row, true, *number == selected, format!("{name}: {right} of {} right", of_row.len())));
            if *number == selected {
                ui.painter().rect_filled(rect, 0, palette.chosen);
            }
            widgets::paint_cut(
                ui.painter(),
                rect.left_center() + vec2(sizes::GAP, 0.0),
                Align2::LEFT_CENTER,
                &name,
                typeface::body(),
                palette.dim,
                NAMES - sizes::LARGE,
            );
            let cells = Rect::from_min_max(pos2(rect.left() + NAMES, rect.top() + 4.0), pos2(rect.right(), rect.bottom() - 4.0));
            paint(ui, cells, width, &order, of_row, palette);
            let pointed = response.hover_pos().filter(|place| cells.contains(*place));
            let under = pointed.and_then(|place| order.get(((place.x - cells.left()) / width) as usize));
            if response.clicked() {
                actions.push(Action::SelectRow(*number));
            }
            if let Some((id, total)) = under {
                let mine = of_row
                    .get(id)
                    .map_or_else(|| "not asked".to_owned(), |score| format!("{:.0} % of passes", 100.0 * score));
                let text = format!("{id}\n{name}: {mine}\nall rows: {:.0} %", 100.0 * total / rows.len() as f64);
                response.on_hover_text_at_pointer(text);
            }
        }
        ui.add_space(sizes::GAP);
        let caption = format!(
            "{} questions; a full cell is right, an empty one wrong, in between the share of passes; those most rows answer stand first",
            order.len()
        );
        widgets::caption(ui, &caption);
    });
}

fn paint(ui: &Ui, cells: Rect, width: f32, order: &[(&str, f64)], of_row: &BTreeMap<&str, f64>, palette: &Palette) {
    let gap = if width >= 5.0 { 1.0 } else { 0.0 };
    let mix = |share: f64| {
        let (under, over) = (palette.raised.to_array(), palette.accent.to_array());
        let channel = |index: usize| (f64::from(under[index]) * (1.0 - share) + f64::from(over[index]) * share).round() as u8;
        Color32::from_rgb(channel(0), channel(1), channel(2))
    };
    let mut mesh = egui::Mesh::default();
    for (place, (id, _)) in order.iter().enumerate() {
        let Some(score) = of_row.get(id) else { continue };
        let left = cells.left() + width * place as f32;
        let rect = Rect::from_min_max(pos2(left, cells.top()), pos2(left + width - gap, cells.bottom()));
        mesh.add_colored_rect(rect, mix(*score));
    }
    ui.painter().add(mesh);
}
