//! The figure of where two models part in one text: the divergence token by token, the behaviours under it, and what both models wrote on.

use cruxscope_selectors::divergence::{Apart, TextApart, behaviours};
use cruxscope_selectors::{format, status};
use cruxscope_study::{Behaviour, Study};
use egui::{Align2, Rect, pos2, vec2};

use super::divergence::ticks;
use super::drawing::{Anchor, Line, Paint, Text};
use super::markers;
use super::page::{HAIRLINE, INK, LABEL, Page};
use super::text_layout::{self, Weight};
use super::{Cell, Column, Figure, FigureOptions, Stamp, Table, file_stem};

/// Height of the plot, and of the ribbon of behaviours under it.
const HEIGHT: f32 = 130.0;
const RIBBON: f32 = 6.0;
/// Room for the numbers and the name of the upright axis.
const SIDE: f32 = 50.0;
/// Width of a place.
const PLACE: f32 = 1.5;
/// Lines of a continuation, at the most, and from line to line.
const LINES: usize = 8;
const LEADING: f32 = 1.5;
/// Between the two continuations.
const GAP: f32 = 20.0;
/// Tokens of the table in print.
const PRINTED: usize = 20;

/// The figure of the text of an instance, `output` being what was written after its prompt; nothing where the two models did not read it.
pub fn figure(study: &Study, apart: &Apart, id: &str, output: &str, options: &FigureOptions) -> Option<Figure> {
    let text = apart.text(id)?;
    if text.tokens.is_empty() {
        return None;
    }
    let [a, b] = apart.models();
    let title = format!("Where {b} parts from {a} in {id}");
    let parted = text.tokens.iter().filter(|token| token.rank != 1).count();
    let subtitle = format!(
        "{} · another choice at {}",
        format::things(text.tokens.len(), "token", "tokens"),
        format::things(parted, "token", "tokens")
    );
    let mut page = Page::new(&title, &subtitle, options.bare);
    legend(&mut page, &text);
    plot(&mut page, &text);
    continuations(&mut page, &text, [a, b]);
    let sentence = text.sentence();
    let caption = format!(
        "Divergence of Kullback and Leibler of {b} from {a} at every token of the text, both reading the same tokens, on a square-root scale; a place that several \
         tokens share shows the largest. The ribbon says which behaviour they belong to. {sentence}."
    );
    Some(Figure {
        name: format!("divergence-{}-{}", file_stem(id), file_stem(status::title(study))),
        description: format!("Divergence token by token, at most {} nats. {sentence}.", format::significant(text.largest())),
        drawing: page.finish(&caption),
        table: table(&text, output, [a, b], id),
        title,
        stamp: Stamp::of(study),
    })
}

/// The behaviours that occur.
fn legend(page: &mut Page, text: &TextApart) {
    let claimed = text.tokens.iter().fold(0, |bits, token| bits | token.behaviours);
    let mut left = page.left();
    let middle = page.bottom + markers::SIGN / 2.0;
    let known: Vec<Behaviour> = (Behaviour::ALL.into_iter())
        .filter(|behaviour| claimed & (1 << behaviour.index()) != 0)
        .collect();
    for behaviour in &known {
        markers::behaviour(page, pos2(left + markers::SIGN / 2.0, middle), *behaviour);
        page.label(pos2(left + markers::SIGN + 4.0, middle), Align2::LEFT_CENTER, behaviour.title());
        left += markers::SIGN + 18.0 + text_layout::width(behaviour.title(), LABEL, Weight::Regular);
    }
    if !known.is_empty() {
        page.bottom += markers::SIGN + 8.0;
    }
}

fn plot(page: &mut Page, text: &TextApart) {
    let area = Rect::from_min_max(
        pos2(page.left() + SIDE, page.bottom + LABEL + 4.0),
        pos2(page.right(), page.bottom + LABEL + 4.0 + HEIGHT),
    );
    let high = 1.08 * text.largest().max(1e-6);
    let up = |value: f64| area.bottom() - area.height() * (value.max(0.0) / high).sqrt().min(1.0) as f32;
    let across = |at: usize| area.left() + area.width() * at as f32 / text.tokens.len() as f32;
    let mut free = f32::INFINITY;
    for value in ticks(high) {
        let y = up(value);
        page.drawing.line(pos2(area.left(), y), pos2(area.right(), y), Line::solid(HAIRLINE, INK.line));
        // On this scale the upper numbers draw together.
        if free - y > LABEL + 2.0 {
            page.label(pos2(area.left() - 5.0, y), Align2::RIGHT_CENTER, &format::tick(value));
            free = y;
        }
    }
    let strip = text.strip((area.width() / PLACE) as usize);
    let wide = area.width() / strip.len().max(1) as f32;
    for (place, found) in strip.iter().enumerate() {
        let left = area.left() + place as f32 * wide;
        let bar = Rect::from_min_max(pos2(left, up(found.kl).min(area.bottom() - 0.4)), pos2(left + wide * 0.8, area.bottom()));
        let colour = if found.parts { INK.text } else { INK.faint };
        page.drawing.rectangle(bar, 0.0, Paint::filled(colour));
        if let Some(behaviour) = found.behaviour {
            let under = Rect::from_min_size(pos2(left, area.bottom() + 2.0), vec2(wide + 0.15, RIBBON));
            page.drawing.rectangle(under, 0.0, Paint::filled(INK.behaviour(behaviour)));
        }
    }
    let line = Line {
        width: 1.0,
        colour: INK.accent,
        dashed: true,
    };
    if let Some(at) = text.parting {
        let x = across(at) + 0.5;
        page.drawing.line(pos2(x, area.top() - 4.0), pos2(x, area.bottom()), line);
        let words = "choices first part";
        let late = x + 4.0 + text_layout::width(words, LABEL, Weight::Regular) > area.right();
        let (x, place) = if late {
            (x - 4.0, Align2::RIGHT_BOTTOM)
        } else {
            (x + 4.0, Align2::LEFT_BOTTOM)
        };
        page.write(pos2(x, area.top() - 4.0), place, words, LABEL, Weight::Regular, INK.accent);
    }
    if text.answer < text.tokens.len() {
        let x = across(text.answer);
        page.drawing
            .line(pos2(x, area.top()), pos2(x, area.bottom() + RIBBON + 4.0), Line::solid(HAIRLINE, INK.dim));
    }
    page.drawing.rectangle(area, 0.0, Paint::stroked(HAIRLINE, INK.dim));
    let under = area.bottom() + RIBBON + 6.0;
    page.label(pos2(area.left(), under), Align2::LEFT_TOP, "1");
    page.label(pos2(area.right(), under), Align2::RIGHT_TOP, &format::count(text.tokens.len()));
    let axis = if text.answer < text.tokens.len() {
        format!("Token of what was written; the answer begins at {}", format::count(text.answer + 1))
    } else {
        "Token of what was written".to_owned()
    };
    page.label(pos2(area.center().x, under), Align2::CENTER_TOP, &axis);
    page.drawing.text(Text {
        at: pos2(page.left() + LABEL, area.center().y),
        words: "Divergence, nats".to_owned(),
        size: LABEL,
        weight: Weight::Regular,
        anchor: Anchor::Middle,
        colour: INK.dim,
        turned: true,
    });
    page.bottom = under + LABEL;
}

/// What both models wrote from where choices part, side by side.
fn continuations(page: &mut Page, text: &TextApart, models: [&str; 2]) {
    let Some(both) = &text.continuation else { return };
    let width = (page.width() - GAP) / 2.0;
    let top = page.bottom + 16.0;
    let mut bottom = top;
    for (side, (model, words)) in models.iter().zip([&both.a, &both.b]).enumerate() {
        let left = page.left() + side as f32 * (width + GAP);
        let head = text_layout::cut(&format!("{model} goes on"), LABEL, Weight::Strong, width);
        page.write(pos2(left, top), Align2::LEFT_TOP, &head, LABEL, Weight::Strong, INK.text);
        let mut y = top + LABEL * LEADING;
        let lines = text_layout::wrap(&words.replace('\n', " "), LABEL, Weight::Regular, width);
        for (number, line) in lines.iter().take(LINES).enumerate() {
            let more = number + 1 == LINES && lines.len() > LINES;
            let line = if more {
                text_layout::cut(&format!("{line} …"), LABEL, Weight::Regular, width)
            } else {
                line.clone()
            };
            page.write(pos2(left, y), Align2::LEFT_TOP, &line, LABEL, Weight::Regular, INK.dim);
            y += LABEL * LEADING;
        }
        bottom = f32::max(bottom, y);
    }
    page.bottom = bottom;
}

fn table(text: &TextApart, output: &str, [a, b]: [&str; 2], id: &str) -> Table {
    let row = |token: &cruxscope_selectors::divergence::TokenApart| {
        let words = token.bytes.and_then(|[start, end]| output.get(start..end)).unwrap_or_default();
        vec![
            Cell::Whole(token.token),
            Cell::Words(words.to_owned()),
            Cell::Number(token.kl, 5),
            Cell::Whole(token.rank as usize),
            Cell::Words(behaviours(token.behaviours)),
        ]
    };
    Table {
        caption: format!("Divergence of {b} from {a} in {id}, token by token"),
        columns: vec![
            Column::numbers("token", "Token"),
            Column::words("text", "Text"),
            Column::numbers("divergence_nats", "Divergence, nats"),
            Column::numbers("rank", "Rank of A's choice in B"),
            Column::words("behaviour", "Behaviour"),
        ],
        rows: text.tokens.iter().map(row).collect(),
        printed: PRINTED,
    }
}

#[cfg(test)]
mod tests {
    use cruxscope_study::test_data as samples;

    use super::*;
    use crate::importance::assert_tidy;

    #[test]
    fn texts_of_any_length_are_tidy_and_every_token_is_in_the_table() {
        let study = samples::compressed(2);
        for paragraphs in [1, 3, 80] {
            let trace = samples::trace(paragraphs);
            let apart = Apart::of(samples::divergence(&study.manifest, std::slice::from_ref(&trace)));
            for bare in [false, true] {
                let options = FigureOptions {
                    bare,
                    ..FigureOptions::default()
                };
                let figure = figure(&study, &apart, &trace.id, &trace.output, &options).unwrap();
                assert_tidy(&figure);
                assert_eq!(figure.table.rows.len(), 30 * paragraphs);
                assert!(figure.description.contains("first part after"), "{}", figure.description);
            }
            assert_eq!(figure(&study, &apart, "nobody", "", &FigureOptions::default()), None);
        }
    }

    #[test]
    fn a_parting_at_the_end_and_long_continuations_stay_on_the_page() {
        let study = samples::compressed(2);
        let trace = samples::trace(4);
        let mut found = samples::divergence(&study.manifest, std::slice::from_ref(&trace));
        let last = found.rank.len() - 1;
        found.rank.iter_mut().for_each(|rank| *rank = 1);
        found.rank[last] = 2;
        if let Some(both) = &mut found.facts.texts[0].continuation {
            both.a = "and so on ".repeat(200);
        }
        let figure = figure(&study, &Apart::of(found), &trace.id, &trace.output, &FigureOptions::default()).unwrap();
        assert_tidy(&figure);
    }
}
