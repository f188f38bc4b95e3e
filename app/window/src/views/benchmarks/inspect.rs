//! What is known of the selected row: its scores, what they rest on, and how far they are from the model as it is.

use cruxscope_selectors::format;
use cruxscope_theme::{sizes, typeface};
use egui::{Label, RichText, Ui};

use super::{Content, dots};
use crate::action::Action;
use crate::views::scene::ResultsScene;
use crate::widgets;

/// Questions that are listed.
const QUESTIONS: usize = 6;

/// Draws it.
pub fn show(ui: &mut Ui, scene: &ResultsScene<'_>, content: &Content<'_>, actions: &mut Vec<Action>) {
    let palette = scene.palette;
    widgets::caption(ui, "Selected row");
    let Some((group, row)) = content.table.rows().nth(content.row(scene)) else {
        return;
    };
    ui.add(Label::new(RichText::new(&row.label).font(typeface::title()).color(palette.text)).wrap());
    let subtitle = if row.setting.is_empty() {
        group.model.clone()
    } else {
        format!("{}, {}", group.model, row.setting)
    };
    ui.add(Label::new(RichText::new(subtitle).font(typeface::caption()).color(palette.dim)).wrap());
    widgets::section(ui, "Scores");
    for (column, cell) in content.table.columns.iter().zip(&row.cells) {
        if let Some(cell) = cell {
            widgets::fact(ui, &column.title, &dots::with_interval(column, cell.value, cell.interval));
        }
    }
    let differences: Vec<(String, String)> = (content.table.columns.iter().zip(&row.cells).zip(&group.reference))
        .filter_map(|((column, cell), reference)| {
            let difference = cell.as_ref()?.value - (*reference)?;
            let sign = if difference < 0.0 { "−" } else { "+" };
            (difference != 0.0).then(|| (column.title.clone(), format!("{sign}{}", column.text(difference.abs()))))
        })
        .collect();
    if !differences.is_empty() {
        widgets::section(ui, "vs. uncompressed");
        for (title, difference) in differences {
            widgets::fact(ui, &title, &difference);
        }
    }
    let column = content.column(scene);
    let score = row.cells[column]
        .as_ref()
        .or_else(|| row.cells.iter().flatten().next())
        .and_then(|cell| content.results.get(row.source)?.scores.get(cell.score));
    if let Some(score) = score {
        widgets::section(ui, &format!("Based on, {}", score.benchmark));
        if let Some(n) = score.questions {
            widgets::fact(ui, "Questions", &format::count(n));
        }
        if let Some(passes) = score.passes {
            widgets::fact(ui, "Passes", &passes.to_string());
        }
        let counts = [
            ("Without a readable answer", score.unparsed),
            ("Thoughts never closed", score.unclosed),
            ("Missing outputs", score.missing),
        ];
        for (name, count) in counts {
            if let Some(count) = count {
                widgets::fact(ui, name, &format::count(count));
            }
        }
        for (kind, count) in &score.failed {
            widgets::fact(ui, &format!("Missing: {}", kind.replace('_', " ")), &format::count(*count));
        }
        if let Some(chance) = score.chance {
            widgets::fact(ui, "Chance level", &format!("{chance:.1} %"));
        }
        if !score.rule.is_empty() {
            widgets::fact(ui, "Scoring rule / source", &score.rule);
        }
        let mut wrong: Vec<&str> = score
            .outputs
            .iter()
            .filter(|output| output.score < 0.5)
            .map(|output| output.id.as_str())
            .collect();
        if !wrong.is_empty() {
            widgets::section(ui, &format!("Wrong, {} of {} outputs", wrong.len(), score.outputs.len()));
            // A question that several passes answered wrongly is listed once.
            wrong.dedup();
            for id in wrong.iter().take(QUESTIONS) {
                ui.add(Label::new(RichText::new(*id).color(palette.dim)).truncate());
            }
            if wrong.len() > QUESTIONS {
                widgets::caption(ui, &format!("and {} more", wrong.len() - QUESTIONS));
            }
        }
    }
    if let Some(results) = content.results.get(row.source) {
        widgets::section(ui, "Source");
        let source = if results.source.is_empty() { &results.title } else { &results.source };
        let response = ui.add(
            Label::new(RichText::new(source).font(typeface::caption()).color(palette.dim))
                .wrap()
                .sense(egui::Sense::click()),
        );
        if response.on_hover_text("Copy the source").clicked() {
            actions.push(Action::Copy(source.clone()));
        }
    }
    ui.add_space(sizes::LARGE);
}
