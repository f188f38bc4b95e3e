//! The figure of variants: many compressed versions of one model on one page on its side, a row each, their shifts on one scale.

use cruxscope_selectors::format;
use cruxscope_selectors::variants::{Facts, Variant, VariantSort, Variants};
use cruxscope_study::{Behaviour, Component, Study};
use cruxscope_theme::colour_map::ColourMap;
use cruxscope_theme::marks;
use egui::{Align2, Pos2, pos2, vec2};

use super::drawing::{Line, Paint};
use super::grid::{Content, Grid};
use super::markers::{self, Mark, SIGN};
use super::page::{HAIRLINE, INK, LABEL, Page, SMALL};
use super::text_layout::{self, Weight};
use super::{Cell, Column, Figure, FigureOptions, Stamp, Table, file_stem};

/// Width of the column of names.
const NAMES: f32 = 130.0;
/// Height of a row, and of its maps.
const ROW: [f32; 2] = [40.0, 33.0];
/// Between two maps.
const GAP: f32 = 12.0;
/// What stands at a row's end, with its width.
const ENDS: [(VariantSort, f32); 5] = [
    (VariantSort::Moved, 50.0),
    (VariantSort::Bits, 34.0),
    (VariantSort::Size, 56.0),
    (VariantSort::Divergence, 44.0),
    (VariantSort::Accuracy, 112.0),
];
/// Room for the number before the axis of a score.
const SCORE: f32 = 44.0;
/// Half of a mark.
const MARK: f32 = 3.0;
/// Rows that are drawn; the table has all.
const MOST: usize = 36;

/// The figure of versions of a model in an order; `original` is the study that they are compared with.
pub fn figure(found: &Variants, original: &Study, sort: VariantSort, reversed: bool, options: &FigureOptions) -> Figure {
    let order = found.order(sort, reversed, options.behaviour);
    let scale = found.scale(options.scale);
    let shown = options.behaviours();
    let subtitle = format!(
        "Shift of relative importance from {}, one scale for all maps{}",
        found.title,
        found.benchmark.as_ref().map_or_else(String::new, |name| format!(" · accuracy on {name}"))
    );
    let mut page = Page::landscape(&found.finding(), &subtitle, options.bare);
    let ends: Vec<(VariantSort, f32)> = ENDS.into_iter().filter(|(sort, _)| found.knows(*sort)).collect();
    let last = page.right() - ends.iter().map(|(_, width)| width + 8.0).sum::<f32>();
    let first = page.left() + NAMES;
    let pitch = ((last - first) / shown.len().max(1) as f32).min(240.0);
    let left = |map: usize| first + pitch * map as f32;
    heads(&mut page, &shown, &left, pitch, &ends);
    let middle = page.bottom + 8.0;
    name(&mut page, &found.original, middle);
    page.label(pos2(first, middle), Align2::LEFT_CENTER, "the original, which all others are compared with");
    numbers(&mut page, &found.original, None, &ends, middle);
    page.bottom += 17.0;
    for at in order.iter().take(MOST) {
        let Some(row) = found.rows.get(*at) else { continue };
        let top = page.bottom;
        rule(&mut page, top);
        let middle = top + ROW[0] / 2.0;
        name(&mut page, &row.facts, middle);
        for (map, behaviour) in shown.iter().enumerate() {
            let origin = pos2(left(map), top + (ROW[0] - ROW[1]) / 2.0);
            let Some(shifts) = row.shifts[behaviour.index()].as_ref() else {
                page.label(pos2(origin.x, middle), Align2::LEFT_CENTER, "not in both");
                continue;
            };
            let grid = Grid::small(origin, vec2(pitch - GAP, ROW[1]), found.layers);
            let moved: Vec<Component> = row.first[behaviour.index()].into_iter().collect();
            grid.draw(
                &mut page,
                &Content {
                    value: &|component| shifts.get(component.index()).copied().unwrap_or(f64::NAN),
                    written: &|_| String::new(),
                    first: &moved,
                    framed: options.component,
                    scale,
                    map: ColourMap::Net,
                },
            );
        }
        numbers(&mut page, &row.facts, row.moved(options.behaviour), &ends, middle);
        page.bottom += ROW[0];
    }
    let bottom = page.bottom;
    rule(&mut page, bottom);
    page.bottom += 12.0;
    let (at, width) = (pos2(page.left(), page.bottom), 260.0);
    let components = found.layers * cruxscope_study::Module::ALL.len();
    page.colour_bar(
        at,
        width,
        &format!("Shift, {} scale", scale.scale.title().to_lowercase()),
        &scale.ticks(components, width),
        ColourMap::Net,
    );
    markers::legend(&mut page, at.y + LABEL, &[(Mark::Dot, "what moved most in a map".to_owned())]);
    let drawing = page.finish(&caption(found, order.len()));
    Figure {
        name: format!("variants-{}", file_stem(&found.title)),
        title: found.finding(),
        description: description(found),
        drawing,
        table: table(found, &order),
        stamp: Stamp::of(original),
    }
}

fn rule(page: &mut Page, y: f32) {
    let (from, to) = (pos2(page.left(), y), pos2(page.right(), y));
    page.drawing.line(from, to, Line::solid(HAIRLINE, INK.line));
}

fn heads(page: &mut Page, shown: &[Behaviour], left: &dyn Fn(usize) -> f32, pitch: f32, ends: &[(VariantSort, f32)]) {
    let middle = page.bottom + SIGN / 2.0;
    for (map, behaviour) in shown.iter().enumerate() {
        markers::behaviour(page, pos2(left(map) + SIGN / 2.0, middle), *behaviour);
        let room = pitch - GAP - SIGN - 4.0;
        let words = text_layout::cut(behaviour.title(), LABEL, Weight::Strong, room);
        page.write(
            pos2(left(map) + SIGN + 4.0, middle),
            Align2::LEFT_CENTER,
            &words,
            LABEL,
            Weight::Strong,
            INK.text,
        );
    }
    let mut right = page.right();
    for (sort, width) in ends.iter().rev() {
        page.write(pos2(right, middle), Align2::RIGHT_CENTER, sort.title(), LABEL, Weight::Strong, INK.dim);
        right -= width + 8.0;
    }
    page.bottom += SIGN + 6.0;
}

fn name(page: &mut Page, facts: &Facts, middle: f32) {
    let centre = pos2(page.left() + MARK + 1.0, middle);
    let colour = INK.method(facts.method.kind);
    let at = |corners: Vec<egui::Vec2>| -> Vec<Pos2> {
        let mut points: Vec<Pos2> = corners.into_iter().map(|corner| centre + corner * MARK).collect();
        points.extend(points.first().copied());
        points
    };
    let outline = Paint {
        fill: Some(INK.panel),
        line: Some(Line::solid(1.1, colour)),
    };
    page.drawing.path(at(marks::outline(facts.method.kind)), outline);
    let filled = marks::filled(facts.method.kind, facts.method.fill);
    if !filled.is_empty() {
        page.drawing.path(at(filled), Paint::filled(colour));
    }
    let left = page.left() + 12.0;
    let words = super::stamp::plain(&facts.label);
    let mut lines = text_layout::wrap(&words, LABEL, Weight::Regular, NAMES - 20.0);
    lines.truncate(3);
    let first = middle - (lines.len() as f32 - 1.0) * (LABEL + 2.0) / 2.0;
    for (line, words) in lines.iter().enumerate() {
        let at = pos2(left, first + line as f32 * (LABEL + 2.0));
        page.write(at, Align2::LEFT_CENTER, words, LABEL, Weight::Regular, INK.text);
    }
}

fn numbers(page: &mut Page, facts: &Facts, moved: Option<f64>, ends: &[(VariantSort, f32)], middle: f32) {
    let mut right = page.right();
    for (sort, width) in ends.iter().rev() {
        let text = match sort {
            VariantSort::Moved => moved.map(format::percent),
            _ => facts.text(*sort),
        };
        let text = text.unwrap_or_else(|| "–".to_owned());
        let score = facts.accuracy.filter(|_| *sort == VariantSort::Accuracy);
        let end = if *sort == VariantSort::Accuracy { right - width + SCORE } else { right };
        page.write(pos2(end, middle), Align2::RIGHT_CENTER, &text, SMALL, Weight::Regular, INK.text);
        if let Some(score) = score {
            let (from, to) = (end + 8.0, right);
            // Accuracies lie on one axis from nothing to all.
            let place = |value: f64| from + (to - from) * (value / 100.0).clamp(0.0, 1.0) as f32;
            page.drawing.line(pos2(from, middle), pos2(to, middle), Line::solid(HAIRLINE, INK.line));
            if let Some([low, high]) = score.interval {
                page.drawing
                    .line(pos2(place(low), middle), pos2(place(high), middle), Line::solid(1.2, INK.dim));
            }
            page.drawing.circle(pos2(place(score.value), middle), 2.2, Paint::filled(INK.accent));
        }
        right -= width + 8.0;
    }
}

fn caption(found: &Variants, rows: usize) -> String {
    let mut text = format!(
        "Every row is one compressed version of {}; every map shows how the relative importance of each weight matrix changed, modules from top to bottom \
         (q, k, v, o, gate, up, down), layers from left to right, zero in the middle of the scale. Moved is {}.",
        found.title,
        VariantSort::Moved.about()
    );
    if found.knows(VariantSort::Accuracy) {
        text.push_str(" Accuracies lie on an axis from 0 to 100 %, with intervals at 95 %.");
    }
    if rows > MOST {
        text.push_str(&format!(" Of {rows} rows the first {MOST} are drawn."));
    }
    if !found.refused.is_empty() {
        let left_out = format::things(found.refused.len(), "study", "studies");
        text.push_str(&format!(" {left_out} cannot be compared with it and are left out."));
    }
    text
}

fn description(found: &Variants) -> String {
    let rows: Vec<String> = found.rows.iter().map(Variant::sentence).collect();
    format!("{}. {}.", found.finding(), rows.join("; ")).replace('\u{a0}', " ")
}

/// A row for every version; its shifts, component by component, stand in columns for programs.
fn table(found: &Variants, order: &[usize]) -> Table {
    let mut columns = vec![
        Column::words("variant", "Variant"),
        Column::numbers("bits", "Bits"),
        Column::numbers("bytes", "Bytes").unprinted(),
        Column::numbers("kl_nats", "KL, nats"),
        Column::numbers("accuracy_percent", "Accuracy, %"),
        Column::numbers("accuracy_low", "low"),
        Column::numbers("accuracy_high", "high"),
    ];
    for behaviour in Behaviour::ALL {
        columns.push(Column::numbers(format!("moved_{}", key(behaviour)), "moved, %").of(behaviour.title()));
        columns.push(Column::words(format!("first_{}", key(behaviour)), "most").of(behaviour.title()));
    }
    for behaviour in Behaviour::ALL {
        for component in Component::all(found.layers) {
            columns.push(Column::numbers(format!("shift_{}_{component}", key(behaviour)), component.to_string()).unprinted());
        }
    }
    let original = std::iter::once((&found.original, None));
    let others = order.iter().filter_map(|at| found.rows.get(*at)).map(|row| (&row.facts, Some(row)));
    let rows = original.chain(others).map(|(facts, row)| cells(facts, row, found.layers)).collect::<Vec<_>>();
    Table {
        caption: format!("{}, with shares in percent", found.finding()),
        columns,
        printed: rows.len().min(60),
        rows,
    }
}

fn key(behaviour: Behaviour) -> String {
    behaviour.name().replace('-', "_")
}

fn cells(facts: &Facts, row: Option<&Variant>, layers: usize) -> Vec<Cell> {
    let accuracy = facts.accuracy;
    let interval = accuracy.and_then(|found| found.interval);
    let mut cells = vec![
        Cell::Words(facts.label.clone()),
        Cell::number(facts.bits, 2),
        Cell::number(facts.size, 0),
        Cell::number(facts.divergence.map(|found| found.value), 4),
        Cell::number(accuracy.map(|found| found.value), 1),
        Cell::number(interval.map(|[low, _]| low), 1),
        Cell::number(interval.map(|[_, high]| high), 1),
    ];
    for behaviour in Behaviour::ALL {
        cells.push(Cell::share(row.and_then(|row| row.moved(Some(behaviour)))));
        let first = row.and_then(|row| row.first[behaviour.index()]);
        cells.push(first.map_or(Cell::Empty, |first| Cell::Words(first.to_string())));
    }
    for behaviour in Behaviour::ALL {
        for component in Component::all(layers) {
            cells.push(Cell::share(row.and_then(|row| row.shift(behaviour, component))));
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use cruxscope_selectors::variants::{Candidate, Measured};
    use cruxscope_study::test_data as samples;

    use super::*;
    use crate::importance::assert_tidy;

    fn variants(layers: usize, number: usize) -> (Study, Variants) {
        let original = samples::study(layers);
        let studies: Vec<Study> = (0..number)
            .map(|at| {
                let mut study = samples::compressed(layers);
                study.manifest.title = format!("Sample, a version with a rather long name, RTN, {} bits", 2 + at % 3);
                study
            })
            .collect();
        let all: Vec<Candidate<'_>> = std::iter::once(&original)
            .chain(&studies)
            .enumerate()
            .map(|(id, study)| Candidate { id, study, compression: None })
            .collect();
        let mut found = Variants::of(&all, 0, &[], None).unwrap();
        for (at, row) in found.rows.iter_mut().enumerate() {
            row.facts.bits = Some(2.0 + (at % 3) as f64);
            row.facts.accuracy = (at % 2 == 0).then_some(Measured {
                value: 100.0,
                interval: Some([71.2, 100.0]),
            });
        }
        (original, found)
    }

    #[test]
    fn variants_are_tidy_however_many_and_however_deep() {
        for (layers, number) in [(1, 1), (6, 17), (32, 4), (80, 50)] {
            let (original, found) = variants(layers, number);
            for behaviour in [None, Some(Behaviour::Backtracking)] {
                let options = FigureOptions {
                    behaviour,
                    component: Some(Component::new(0, cruxscope_study::Module::Up)),
                    ..FigureOptions::default()
                };
                let figure = figure(&found, &original, VariantSort::Bits, false, &options);
                assert_tidy(&figure);
                assert!(figure.drawing.size.x > figure.drawing.size.y || number > 12, "{:?}", figure.drawing.size);
                assert_eq!(figure.table.rows.len(), number + 1);
                assert!(figure.table.rows.iter().all(|row| row.len() == figure.table.columns.len()));
            }
        }
    }
}
