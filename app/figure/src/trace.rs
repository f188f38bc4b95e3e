//! The figure of a trace: what the model wrote, from its first marked stretch on, each stretch on its behaviour's colour.

use cruxscope_selectors::{format, status, trace};
use cruxscope_study::{Label, Study, TraceText};
use egui::{Align2, Color32, Rect, pos2, vec2};

use super::drawing::Paint;
use super::markers;
use super::page::{INK, LABEL, Page};
use super::text_layout::{self, Weight};
use super::{Cell, Column, Figure, FigureOptions, Stamp, Table, file_stem};

/// Type of the text, and from line to line.
const TEXT: f32 = 10.0;
const LINE: f32 = 17.0;
/// Lines at the most; the table has every section.
const MOST: usize = 34;
/// Rows of the table in print.
const PRINTED: usize = 20;

/// The figure.
pub fn figure(study: &Study, text: &TraceText, options: &FigureOptions) -> Figure {
    let title = format!("{}: {}", status::title(study), text.id);
    let counts = trace::counts(text);
    let used = text.sections.iter().filter(|section| section.dropped.is_none()).count();
    let subtitle = format!(
        "{} · {} of {}",
        format::things(text.tokens, "token", "tokens"),
        format::count(used),
        format::things(text.sections.len(), "section", "sections")
    );
    let mut page = Page::new(&title, &subtitle, options.bare);
    legend(&mut page, &counts);
    let lines = body(&mut page, text);
    let more = if lines > MOST { " The text goes on." } else { "" };
    let caption = format!("What {} wrote, each marked stretch on its behaviour's colour.{more}", study.manifest.model.name);
    let said: Vec<String> = (trace::LABELS.iter().zip(counts))
        .filter(|(_, count)| *count > 0)
        .map(|(label, count)| format!("{count} {}", trace::title(*label).to_lowercase()))
        .collect();
    Figure {
        name: format!("trace-{}-{}", file_stem(&text.id), file_stem(status::title(study))),
        title,
        description: format!("A reasoning trace with marked sections: {}.", said.join(", ")),
        drawing: page.finish(&caption),
        table: table(text),
        stamp: Stamp::of(study),
    }
}

fn tint(label: Label) -> Option<Color32> {
    label.behaviour().map(|behaviour| INK.tint(INK.behaviour(behaviour)))
}

/// The behaviours with how often each is marked.
fn legend(page: &mut Page, counts: &[usize; 6]) {
    let mut left = page.left();
    let middle = page.bottom + markers::SIGN / 2.0;
    for (label, count) in trace::LABELS.iter().zip(counts) {
        let Some(behaviour) = label.behaviour().filter(|_| *count > 0) else {
            continue;
        };
        let words = format!("{} {count}", trace::title(*label));
        let width = text_layout::width(&words, LABEL, Weight::Regular);
        if left + markers::SIGN + 4.0 + width > page.right() {
            break;
        }
        markers::behaviour(page, pos2(left + markers::SIGN / 2.0, middle), behaviour);
        page.label(pos2(left + markers::SIGN + 4.0, middle), Align2::LEFT_CENTER, &words);
        left += markers::SIGN + 4.0 + width + 14.0;
    }
    page.bottom += markers::SIGN + 10.0;
}

/// The text word by word; gives the number of lines that all of it would take, or one more than are drawn.
fn body(page: &mut Page, text: &TraceText) -> usize {
    let runs = trace::runs(text);
    let first = runs
        .iter()
        .position(|run| run.section.is_some_and(|at| tint(text.sections[at].label).is_some()));
    let space = text_layout::width("n n", TEXT, Weight::Regular) - 2.0 * text_layout::width("n", TEXT, Weight::Regular);
    let (mut left, mut line) = (page.left(), 0);
    let top = page.bottom;
    for run in &runs[first.unwrap_or(0)..] {
        let ground = run.section.and_then(|at| tint(text.sections[at].label));
        let words = text.output.get(run.start..run.end).unwrap_or_default();
        for word in words.split_whitespace() {
            let word = text_layout::cut(word, TEXT, Weight::Regular, page.width());
            let width = text_layout::width(&word, TEXT, Weight::Regular);
            if left + width > page.right() {
                line += 1;
                left = page.left();
            }
            if line >= MOST {
                page.bottom = top + MOST as f32 * LINE;
                return MOST + 1;
            }
            let y = top + line as f32 * LINE;
            if let Some(ground) = ground {
                let place = Rect::from_min_size(pos2(left - space / 2.0, y + 1.0), vec2(width + space, LINE - 2.0));
                page.drawing.rectangle(place, 0.0, Paint::filled(ground));
            }
            page.write(pos2(left, y + LINE / 2.0), Align2::LEFT_CENTER, &word, TEXT, Weight::Regular, INK.text);
            left += width + space;
        }
    }
    page.bottom = top + (line + 1) as f32 * LINE;
    line + 1
}

fn table(text: &TraceText) -> Table {
    let row = |(number, section): (usize, &cruxscope_study::TraceSection)| {
        let words = section.bytes.and_then(|[start, end]| text.output.get(start..end)).or(section.text.as_deref());
        vec![
            Cell::Whole(number + 1),
            Cell::Words(trace::title(section.label).to_owned()),
            section.tokens.map_or(Cell::Empty, |[first, _]| Cell::Whole(first)),
            section.tokens.map_or(Cell::Empty, |[_, last]| Cell::Whole(last)),
            Cell::Words(trace::fate(section)),
            Cell::Words(words.unwrap_or_default().to_owned()),
        ]
    };
    Table {
        caption: format!("Sections of {}", text.id),
        columns: vec![
            Column::numbers("section", "#"),
            Column::words("label", "Behaviour"),
            Column::numbers("first_token", "First token"),
            Column::numbers("last_token", "Last token"),
            Column::words("fate", "Fate"),
            Column::words("text", "Text").unprinted(),
        ],
        rows: text.sections.iter().enumerate().map(row).collect(),
        printed: PRINTED,
    }
}

#[cfg(test)]
mod tests {
    use cruxscope_study::test_data as samples;

    use super::*;
    use crate::importance::assert_tidy;

    #[test]
    fn a_trace_is_tidy_and_every_section_is_in_the_table() {
        let study = samples::study(2);
        for sections in [1, 40] {
            let text = samples::trace(sections);
            let figure = figure(&study, &text, &FigureOptions::default());
            assert_tidy(&figure);
            assert_eq!(figure.table.rows.len(), text.sections.len());
            assert!(figure.description.contains("backtracking"), "{}", figure.description);
        }
    }
}
