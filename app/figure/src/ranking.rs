//! The figure of a ranking: the first components with their intervals over instances, behaviour by behaviour.

use cruxscope_selectors::ranking::{self, Ranking, RankingRow};
use cruxscope_selectors::{Basis, Figures, Stability, format, provenance, status};
use cruxscope_study::{Behaviour, Study};
use egui::{Align2, Rect, pos2, vec2};

use super::drawing::{Line, Paint};
use super::page::{HAIRLINE, INK, LABEL, Page};
use super::text_layout::Weight;
use super::{Cell, Column, Figure, FigureOptions, Stamp, Table, file_stem, markers};

/// Rows that are drawn.
const DRAWN: usize = 20;
/// Rows of the table in print.
const PRINTED: usize = 20;
/// Height of a row.
const ROW: f32 = 17.0;
/// Where columns end or begin, from the left of the page.
const RANK: f32 = 34.0;
const COMPONENT: f32 = 46.0;
const SHARE: f32 = 148.0;
const INTERVAL: [f32; 2] = [164.0, 352.0];
const BARS: f32 = 374.0;
const BAR: f32 = 50.0;

/// The figure; intervals and shares of first ranks stand in it where they are known.
pub fn figure(study: &Study, figures: &Figures, stability: Option<&Stability>, options: &FigureOptions) -> Figure {
    let basis = Basis::from(options.behaviour);
    let asked = Ranking { basis, ..Ranking::default() };
    let rows = ranking::rows(figures, stability, &asked);
    let what = match basis {
        Basis::Mean => "mean relative importance".to_owned(),
        Basis::Behaviour(behaviour) => format!("relative importance for {}", behaviour.title().to_lowercase()),
    };
    let title = format!("Ranking by {what}, {}", status::title(study));
    let subtitle = [
        study.manifest.model.name.clone(),
        format!("definition {}", provenance::definition(study)),
        format::things(study.manifest.instances.len(), "instance", "instances"),
    ];
    let mut page = Page::new(&title, &subtitle.join(" · "), options.bare);
    let drawn = &rows[..rows.len().min(DRAWN)];
    let reach = ranking::interval_reach(drawn).max(f64::MIN_POSITIVE);
    heads(&mut page);
    let top = page.bottom;
    for row in drawn {
        draw_row(&mut page, row, [reach, ranking::behaviour_reach(figures).max(f64::MIN_POSITIVE)], options);
    }
    axis(&mut page, top, reach);
    let caption = format!(
        "The {} components with the highest {what} of {}. Lines: 95 % intervals over instances, by bootstrap; P(rank 1) is the share of resamples in which a \
         component ranks first. Bars: relative importance behaviour by behaviour, on one scale.",
        drawn.len(),
        format::count(figures.components())
    );
    let first = drawn
        .first()
        .map(|row| format!(" The first is {} with {}.", row.component, format::percent(row.relative).replace('\u{a0}', " ")));
    let description = format!(
        "The components of {} in the order of {what}.{}",
        study.manifest.model.name,
        first.unwrap_or_default()
    );
    let drawing = page.finish(&caption);
    let table = table(study, &rows, &what);
    Figure {
        name: format!("ranking-{}", file_stem(status::title(study))),
        title,
        description,
        drawing,
        table,
        stamp: Stamp::of(study),
    }
}

fn heads(page: &mut Page) {
    let middle = page.bottom + 6.0;
    let left = page.left();
    let mut head = |x: f32, place: Align2, words: &str| page.write(pos2(x, middle), place, words, LABEL, Weight::Strong, INK.dim);
    head(RANK, Align2::RIGHT_CENTER, "#");
    head(COMPONENT, Align2::LEFT_CENTER, "Component");
    head(SHARE, Align2::RIGHT_CENTER, "RI");
    head(INTERVAL[0], Align2::LEFT_CENTER, "95 % interval over instances");
    let right = page.right();
    page.write(pos2(right, middle), Align2::RIGHT_CENTER, "P(rank 1)", LABEL, Weight::Strong, INK.dim);
    for behaviour in Behaviour::ALL {
        let x = BARS + BAR * behaviour.index() as f32 + markers::SIGN / 2.0;
        markers::behaviour(page, pos2(x, middle), behaviour);
    }
    page.bottom += 16.0;
    page.drawing
        .line(pos2(left, page.bottom), pos2(right, page.bottom), Line::solid(HAIRLINE * 1.4, INK.text));
}

fn draw_row(page: &mut Page, row: &RankingRow, reach: [f64; 2], options: &FigureOptions) {
    let (top, middle) = (page.bottom, page.bottom + ROW / 2.0);
    let (left, right) = (page.left(), page.right());
    if options.component == Some(row.component) {
        let ground = Rect::from_min_max(pos2(left, top + 0.5), pos2(right, top + ROW - 0.5));
        page.drawing.rectangle(ground, 0.0, Paint::filled(INK.chosen));
    }
    let regular = Weight::Regular;
    page.write(pos2(RANK, middle), Align2::RIGHT_CENTER, &row.rank.to_string(), LABEL, regular, INK.dim);
    page.write(
        pos2(COMPONENT, middle),
        Align2::LEFT_CENTER,
        &row.component.to_string(),
        LABEL,
        Weight::Strong,
        INK.text,
    );
    page.write(
        pos2(SHARE, middle),
        Align2::RIGHT_CENTER,
        &format::percent(row.relative),
        LABEL,
        regular,
        INK.text,
    );
    let place = |value: f64| INTERVAL[0] + (INTERVAL[1] - INTERVAL[0]) * (value / reach[0]).clamp(0.0, 1.0) as f32;
    if let Some([low, high]) = row.interval {
        page.drawing
            .line(pos2(place(low), middle), pos2(place(high), middle), Line::solid(1.4, INK.accent));
    }
    page.drawing.circle(pos2(place(row.relative), middle), 2.6, Paint::filled(INK.accent));
    for behaviour in Behaviour::ALL {
        let from = pos2(BARS + BAR * behaviour.index() as f32, middle);
        match row.behaviours[behaviour.index()] {
            Some(value) => {
                let length = ((BAR - 8.0) * (value / reach[1]) as f32).max(0.6);
                let bar = Rect::from_min_size(from - vec2(0.0, 3.0), vec2(length, 6.0));
                page.drawing.rectangle(bar, 0.0, Paint::filled(INK.behaviour(behaviour)));
            }
            None => page.label(from, Align2::LEFT_CENTER, "–"),
        }
    }
    let first = row.first.map(format::probability).unwrap_or_default();
    page.write(pos2(right, middle), Align2::RIGHT_CENTER, &first, LABEL, regular, INK.text);
    page.bottom += ROW;
    page.drawing
        .line(pos2(left, page.bottom), pos2(right, page.bottom), Line::solid(HAIRLINE, INK.line));
}

/// The axis of the intervals: zero and the largest.
fn axis(page: &mut Page, top: f32, reach: f64) {
    let bottom = page.bottom;
    for (share, place) in [(0.0, Align2::LEFT_TOP), (1.0, Align2::RIGHT_TOP)] {
        let x = INTERVAL[0] + (INTERVAL[1] - INTERVAL[0]) * share as f32;
        page.drawing.line(pos2(x, top), pos2(x, bottom + 2.5), Line::solid(HAIRLINE, INK.line));
        page.label(pos2(x, bottom + 5.0), place, &format::percent_tick(reach * share));
    }
    page.bottom += 5.0 + LABEL;
}

fn table(study: &Study, rows: &[RankingRow], what: &str) -> Table {
    let mut columns = vec![
        Column::numbers("rank", "Rank"),
        Column::words("component", "Component"),
        Column::numbers("relative_importance", "RI, %"),
        Column::numbers("low", "low").of("95 % interval"),
        Column::numbers("high", "high").of("95 % interval"),
        Column::numbers("probability_of_rank_one", "P(rank 1)"),
    ];
    columns.extend(
        Behaviour::ALL.map(|behaviour| Column::numbers(format!("relative_importance_{}", behaviour.name().replace('-', "_")), behaviour.title()).unprinted()),
    );
    let row = |row: &RankingRow| {
        let mut cells = vec![
            Cell::Whole(row.rank),
            Cell::Words(row.component.to_string()),
            Cell::Share(row.relative),
            Cell::share(row.interval.map(|[low, _]| low)),
            Cell::share(row.interval.map(|[_, high]| high)),
            Cell::number(row.first, 2),
        ];
        cells.extend(row.behaviours.map(Cell::share));
        cells
    };
    Table {
        caption: format!(
            "Components of {} by {what}, in percent, with intervals over instances",
            study.manifest.model.name
        ),
        columns,
        rows: rows.iter().map(row).collect(),
        printed: PRINTED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cruxscope_selectors::BackgroundJob as _;
    use cruxscope_study::test_data as samples;

    use crate::importance::assert_tidy;

    #[test]
    fn rankings_are_tidy_with_and_without_intervals() {
        for layers in [1, 6, 40] {
            let study = samples::study(layers);
            let figures = Figures::of(&study);
            let stability = Stability::all(&study).unwrap();
            for (behaviour, stability) in [(None, Some(&stability)), (Some(Behaviour::Backtracking), None)] {
                let options = FigureOptions {
                    behaviour,
                    ..FigureOptions::default()
                };
                let figure = figure(&study, &figures, stability, &options);
                assert_tidy(&figure);
                assert_eq!(figure.table.rows.len(), layers * 7);
                assert_eq!(figure.table.rows[0][0], Cell::Whole(1));
            }
        }
    }
}
