//! The figure of test-time compute: what the shortest outputs score beside the longest, and how much longer those are.

use cruxscope_selectors::results::{SplitCell, SplitRow, splits};
use cruxscope_study::Results;
use egui::{Align2, pos2};

use super::drawing::{Line, Paint};
use super::page::{HAIRLINE, INK, LABEL, Page, SMALL};
use super::text_layout::{self, Weight};
use super::{Cell, Column, Figure, FigureOptions, Table, benchmarks, file_stem};

/// Height of a row.
const ROW: f32 = 15.0;
/// Between two columns.
const GAP: f32 = 14.0;
/// Room for the ratio of lengths at the end of a column.
const RATIO: f32 = 30.0;
/// Least width of the names of rows, and of a column where names are long.
const NAMES: [f32; 2] = [90.0, 88.0];
/// Columns and rows that are drawn; the table has all.
const MOST: [usize; 2] = [5, 80];

/// The figure of the outputs at both ends, of a share in percent; nothing where the results have none.
pub fn figure(results: &Results, share: u32, options: &FigureOptions) -> Option<Figure> {
    let rows = splits(results, share);
    if rows.is_empty() {
        return None;
    }
    let mut columns: Vec<&str> = Vec::new();
    for cell in rows.iter().flat_map(|row| &row.cells) {
        if !columns.contains(&cell.column.as_str()) {
            columns.push(&cell.column);
        }
    }
    let title = format!("The shortest and the longest {share} % of outputs");
    let mut page = Page::new(&title, &results.title, options.bare);
    let drawn = columns.len().min(MOST[0]);
    let names = rows
        .iter()
        .map(|row| text_layout::width(&name(row), LABEL, Weight::Regular) + 10.0)
        .fold(NAMES[0], f32::max);
    let names = names.min((page.width() - NAMES[1] * drawn as f32).max(NAMES[0]));
    let width = ((page.width() - names) / drawn as f32).min(190.0);
    let start = page.left() + names + GAP;
    let plot = |column: usize| {
        let left = start + width * column as f32;
        [left, left + width - GAP - RATIO]
    };
    let top = page.bottom;
    for (column, head) in columns.iter().enumerate().take(drawn) {
        let words = text_layout::cut(&super::stamp::plain(head), LABEL, Weight::Strong, width - GAP - RATIO);
        page.write(pos2(plot(column)[0], top + LABEL), Align2::LEFT_BOTTOM, &words, LABEL, Weight::Strong, INK.dim);
        let at = pos2(plot(column)[1] + RATIO, top + LABEL);
        page.write(at, Align2::RIGHT_BOTTOM, "length", SMALL, Weight::Regular, INK.dim);
    }
    page.bottom = top + LABEL + 5.0;
    let ends = [pos2(page.left(), page.bottom), pos2(page.right(), page.bottom)];
    page.drawing.line(ends[0], ends[1], Line::solid(HAIRLINE * 1.4, INK.text));
    for row in rows.iter().take(MOST[1]) {
        let middle = page.bottom + ROW / 2.0;
        let words = text_layout::cut(&name(row), LABEL, Weight::Regular, names);
        let left = page.left();
        page.write(pos2(left, middle), Align2::LEFT_CENTER, &words, LABEL, Weight::Regular, INK.text);
        for (column, head) in columns.iter().enumerate().take(drawn) {
            let [from, to] = plot(column);
            page.drawing.line(pos2(from, middle), pos2(to, middle), Line::solid(HAIRLINE, INK.line));
            if let Some(cell) = row.cells.iter().find(|cell| cell.column == *head) {
                ends_of(&mut page, row, cell, [from, to], middle);
            }
        }
        page.bottom += ROW;
    }
    for column in 0..drawn {
        let [from, to] = plot(column);
        let y = page.bottom + 5.0;
        for (x, words, place) in [(from, "0", Align2::LEFT_TOP), (to, "100 %", Align2::RIGHT_TOP)] {
            page.write(pos2(x, y), place, words, SMALL, Weight::Regular, INK.dim);
        }
    }
    page.bottom += 5.0 + SMALL;
    legend(&mut page);
    let caption = format!(
        "Scores of the shortest {share} % of outputs (filled) and of the longest {share} % (hollow), in percent. The number says how many times longer the \
         longest are. {}",
        results.source
    );
    Some(Figure {
        name: format!("test-time-{share}-{}", file_stem(&results.title)),
        description: format!(
            "Scores of the shortest and the longest {share} % of outputs: {} rows by {}.",
            rows.len(),
            columns.join("; ")
        ),
        drawing: page.finish(&caption),
        table: table(&rows, &columns, &title),
        stamp: benchmarks::stamp(&[results], ""),
        title,
    })
}

fn name(row: &SplitRow) -> String {
    super::stamp::plain(&format!("{}, {}", row.model, row.label))
}

/// Both ends of a cell, a line between them, and the ratio of their lengths.
fn ends_of(page: &mut Page, row: &SplitRow, cell: &SplitCell, [from, to]: [f32; 2], middle: f32) {
    let colour = INK.method(row.method.kind);
    let place = |value: f64| from + (to - from) * (value / 100.0).clamp(0.0, 1.0) as f32;
    let (short, long) = (pos2(place(cell.short.0), middle), pos2(place(cell.long.0), middle));
    page.drawing.line(long, short, Line::solid(1.3, colour));
    let hollow = Paint {
        fill: Some(INK.panel),
        line: Some(Line::solid(1.2, colour)),
    };
    page.drawing.circle(long, 2.5, hollow);
    page.drawing.circle(short, 2.9, Paint::filled(colour));
    if let Some(ratio) = cell.ratio {
        let at = pos2(to + RATIO, middle);
        page.write(at, Align2::RIGHT_CENTER, &format!("{ratio:.1}×"), SMALL, Weight::Regular, INK.text);
    }
}

fn legend(page: &mut Page) {
    page.bottom += 15.0;
    let (left, middle) = (page.left() + 4.0, page.bottom);
    page.drawing.circle(pos2(left, middle), 2.9, Paint::filled(INK.text));
    page.label(pos2(left + 8.0, middle), Align2::LEFT_CENTER, "the shortest outputs");
    let left = left + 120.0;
    page.drawing.circle(pos2(left, middle), 2.5, Paint::stroked(1.2, INK.text));
    page.label(pos2(left + 8.0, middle), Align2::LEFT_CENTER, "the longest outputs");
    page.bottom += LABEL / 2.0;
}

fn table(rows: &[SplitRow], columns: &[&str], title: &str) -> Table {
    let mut heads = vec![Column::words("model", "Model"), Column::words("compression", "Compression")];
    for column in columns {
        let key = file_stem(column).replace('-', "_");
        for (part, words) in [("shortest", "shortest"), ("longest", "longest"), ("length_ratio", "length")] {
            heads.push(Column::numbers(format!("{key}_{part}"), words).of(*column));
        }
        heads.push(Column::numbers(format!("{key}_outputs"), "n").of(*column).unprinted());
    }
    let row = |row: &SplitRow| {
        let mut cells = vec![Cell::Words(row.model.clone()), Cell::Words(row.label.clone())];
        for column in columns {
            match row.cells.iter().find(|cell| cell.column == *column) {
                Some(cell) => cells.extend([
                    Cell::Number(cell.short.0, 1),
                    Cell::Number(cell.long.0, 1),
                    Cell::number(cell.ratio, 1),
                    cell.outputs.map_or(Cell::Empty, Cell::Whole),
                ]),
                None => cells.extend([Cell::Empty, Cell::Empty, Cell::Empty, Cell::Empty]),
            }
        }
        cells
    };
    Table {
        caption: title.to_owned(),
        columns: heads,
        rows: rows.iter().map(row).collect(),
        printed: rows.len().min(60),
    }
}

#[cfg(test)]
mod tests {
    use cruxscope_study::Score;

    use super::*;
    use crate::importance::assert_tidy;

    #[test]
    fn ends_are_tidy_and_nothing_has_no_figure() {
        assert_eq!(figure(&Results::default(), 30, &FigureOptions::default()), None);
        for benchmarks in [1, 3, 7] {
            let mut results = Results {
                title: "Published & more".into(),
                source: "Somebody 2025.".into(),
                ..Results::default()
            };
            for (model, benchmark) in (0..4).flat_map(|model| (0..benchmarks).map(move |benchmark| (model, benchmark))) {
                for (setting, value) in [("shortest 30 %", 88.9), ("longest 30 %", 11.1 * model as f64)] {
                    results.scores.push(Score {
                        model: format!("R1-Distill-Qwen {model}"),
                        setting: setting.into(),
                        benchmark: format!("AIME 202{benchmark}"),
                        metric: "accuracy".into(),
                        unit: "%".into(),
                        value,
                        questions: Some(9),
                        ..Score::default()
                    });
                }
            }
            let figure = figure(&results, 30, &FigureOptions::default()).unwrap();
            assert_tidy(&figure);
            assert_eq!(figure.table.rows.len(), 4);
            assert!(figure.table.rows.iter().all(|row| row.len() == figure.table.columns.len()));
        }
    }
}
