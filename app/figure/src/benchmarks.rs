//! The figure of benchmarks: a dot with its interval for every score, models below each other, benchmarks side by side.

use cruxscope_selectors::format;
use cruxscope_selectors::results::{Fill, MethodKind, ResultsTable, Row};
use cruxscope_study::Results;
use cruxscope_theme::marks;
use egui::{Align2, Pos2, Vec2, pos2, vec2};

use super::drawing::{Line, Paint};
use super::page::{HAIRLINE, HEAD, INK, LABEL, Page, SMALL};
use super::text_layout::{self, Weight};
use super::{Cell, Column, Figure, FigureOptions, Stamp, Table, file_stem};

/// Height of a row.
const ROW: f32 = 14.5;
/// Least width of the names of rows.
const NAMES: f32 = 70.0;
/// Width that a column has at least, where names are long.
const COLUMN: f32 = 74.0;
/// Width of the place of marks in a column, at least, where a page lies on its side.
const TRACK: f32 = 48.0;
/// The same on a stage, where type counts for more.
const STAGE_TRACK: f32 = 32.0;
/// Between two columns.
const GAP: f32 = 13.0;
/// Room for the values at the end of a column, and for what they gain.
const VALUES: [f32; 2] = [30.0, 58.0];
/// Lines of a row's name at the most.
const LINES: usize = 3;
/// Half of a mark.
const MARK: f32 = 2.9;
/// The line at which the model as it is stands.
const PLAIN: Line = Line {
    width: 0.8,
    colour: INK.dim,
    dashed: true,
};
/// The line at which the model stands that is compressed all over.
const ALL_OVER: Line = Line::solid(0.8, INK.faint);
/// Columns and rows that are drawn; the table has all.
const MOST: [usize; 2] = [6, 90];

/// The figure of an experiment of the first of the results, with what the others say of the same columns beneath it.
pub fn figure(all: &[&Results], experiment: &str, model: Option<&str>, options: &FigureOptions) -> Figure {
    let found = ResultsTable::of(all, experiment, model);
    let (title, source) = all.first().map_or(("Results", ""), |first| (first.title.as_str(), first.source.as_str()));
    let name = if experiment.is_empty() { title } else { experiment };
    let columns = found.columns.len().min(MOST[0]);
    let gains = found.groups.iter().any(|group| group.compressed.iter().any(Option::is_some));
    let values = VALUES[usize::from(gains)];
    let longest = found
        .rows()
        .map(|(_, row)| text_layout::width(&label(row, options.stage), LABEL, Weight::Regular) + 20.0);
    let longest = longest.fold(NAMES, f32::max);
    // Names and columns divide the width of a page; where that leaves no room for marks, the page lies on its side.
    let divided = |page: &Page, column: f32| {
        let names = longest.min((page.width() - column * columns as f32).max(NAMES));
        (names, ((page.width() - names) / columns.max(1) as f32).min(190.0))
    };
    let under = if experiment.is_empty() { source } else { title };
    let mut page = Page::new(name, under, options.bare);
    let (mut names, mut width) = divided(&page, COLUMN);
    if options.stage && width < GAP + values + TRACK {
        page = Page::stage(name, under, options.bare);
        (names, width) = divided(&page, GAP + values + STAGE_TRACK);
    } else if width < GAP + values + TRACK {
        page = Page::landscape(name, under, options.bare);
        (names, width) = divided(&page, GAP + values + TRACK);
    }
    let sheet_left = page.left();
    let left = |column: usize| sheet_left + names + GAP + width * column as f32;
    let plot = |column: usize| [left(column), (left(column) + width - GAP - values).max(left(column) + 8.0)];
    heads(&mut page, &found, columns, &left, width);
    let mut drawn = 0;
    for group in &found.groups {
        if drawn >= MOST[1] {
            break;
        }
        let head = match group.origin.as_str() {
            "" => group.model.clone(),
            origin => format!("{} · {origin}", group.model),
        };
        page.bottom += HEAD + 5.0;
        let at = pos2(page.left(), page.bottom);
        let words = text_layout::cut(&super::stamp::plain(&head), HEAD, Weight::Strong, page.width());
        page.write(at, Align2::LEFT_BOTTOM, &words, HEAD, Weight::Strong, INK.text);
        page.bottom += 4.0;
        let top = page.bottom;
        let rows = &group.rows[..group.rows.len().min(MOST[1] - drawn)];
        // Where the model stands as it is, through all its rows and under their marks.
        let bottom = top + rows.iter().map(|row| height(lines(row, names, options.stage).len())).sum::<f32>();
        for (values, line) in [(&group.reference, PLAIN), (&group.compressed, ALL_OVER)] {
            for (column, value) in values.iter().enumerate().take(columns) {
                if let Some(value) = value {
                    let x = at_value(plot(column), found.columns[column].range, *value);
                    page.drawing.line(pos2(x, top + 1.0), pos2(x, bottom - 1.0), line);
                }
            }
        }
        for row in rows {
            let words = lines(row, names, options.stage);
            draw_row(&mut page, &found, row, columns, &words, &plot);
        }
        drawn += rows.len();
    }
    axes(&mut page, &found, columns, &plot);
    legend(&mut page, &found);
    let rows = found.rows().count();
    let drawing = page.finish(&caption(&found, source, [rows, drawn]));
    Figure {
        name: format!("benchmarks-{}", file_stem(name)),
        title: name.to_owned(),
        description: description(&found, name),
        drawing,
        table: table(all, &found, name),
        stamp: stamp(all, experiment),
    }
}

fn at_value([from, to]: [f32; 2], [low, high]: [f64; 2], value: f64) -> f32 {
    let share = if high > low { (value - low) / (high - low) } else { 0.0 };
    from + (to - from) * share.clamp(0.0, 1.0) as f32
}

fn heads(page: &mut Page, found: &ResultsTable, columns: usize, left: &dyn Fn(usize) -> f32, width: f32) {
    let top = page.bottom;
    let mut lines = 1;
    for (column, head) in found.columns.iter().enumerate().take(columns) {
        // The number of questions stays in one piece.
        let title = super::stamp::plain(&head.title).replace(" = ", "\u{a0}=\u{a0}");
        let words = text_layout::wrap(&title, LABEL, Weight::Strong, width - GAP);
        for (line, words) in words.iter().take(3).enumerate() {
            let at = pos2(left(column), top + LABEL + line as f32 * (LABEL + 2.5));
            page.write(at, Align2::LEFT_BOTTOM, words, LABEL, Weight::Strong, INK.dim);
        }
        lines = lines.max(words.len().min(3));
    }
    page.bottom = top + lines as f32 * (LABEL + 2.5) + 3.0;
    let (from, to) = (pos2(page.left(), page.bottom), pos2(page.right(), page.bottom));
    page.drawing.line(from, to, Line::solid(HAIRLINE * 1.4, INK.text));
}

/// What a row is called. On a stage a list that its setting ends in is left to the table.
fn label(row: &Row, stage: bool) -> String {
    let borrowed = if row.borrowed { " °" } else { "" };
    let setting = match row.setting.split_once(": ") {
        Some((words, _)) if stage => words,
        _ => row.setting.as_str(),
    };
    super::stamp::plain(&match setting {
        "" => format!("{}{borrowed}", row.label),
        setting => format!("{}{borrowed}, {setting}", row.label),
    })
}

/// The lines of a row's name.
fn lines(row: &Row, names: f32, stage: bool) -> Vec<String> {
    let mut lines = text_layout::wrap(&label(row, stage), LABEL, Weight::Regular, names - 8.0);
    if lines.len() > LINES {
        let rest = lines.split_off(LINES - 1).join(" ");
        lines.push(text_layout::cut(&rest, LABEL, Weight::Regular, names - 8.0));
    }
    lines
}

/// The height of a row whose name has so many lines.
fn height(lines: usize) -> f32 {
    ROW + (lines.max(1) - 1) as f32 * (LABEL + 1.5)
}

fn draw_row(page: &mut Page, found: &ResultsTable, row: &Row, columns: usize, words: &[String], plot: &dyn Fn(usize) -> [f32; 2]) {
    let tall = height(words.len());
    let middle = page.bottom + tall / 2.0;
    let left = page.left();
    let first = middle - (words.len() as f32 - 1.0) * (LABEL + 1.5) / 2.0;
    for (line, words) in words.iter().enumerate() {
        let at = pos2(left + 6.0, first + line as f32 * (LABEL + 1.5));
        page.write(at, Align2::LEFT_CENTER, words, LABEL, Weight::Regular, INK.text);
    }
    let colour = INK.method(row.method.kind);
    for (column, cell) in row.cells.iter().enumerate().take(columns) {
        let ends = plot(column);
        page.drawing.line(pos2(ends[0], middle), pos2(ends[1], middle), Line::solid(HAIRLINE, INK.line));
        let Some(cell) = cell else { continue };
        let head = &found.columns[column];
        let place = |value: f64| at_value(ends, head.range, value);
        if let Some([low, high]) = cell.interval {
            page.drawing.line(pos2(place(low), middle), pos2(place(high), middle), Line::solid(1.3, colour));
        }
        mark(page, pos2(place(cell.value), middle), row.method.kind, row.method.fill);
        let at = pos2(ends[1] + VALUES[0], middle);
        page.write(at, Align2::RIGHT_CENTER, &head.text(cell.value), SMALL, Weight::Regular, INK.text);
        if let Some(gain) = cell.gain {
            let at = pos2(ends[1] + VALUES[1], middle);
            let words = format::signed_points(gain, &head.unit);
            let words = words.trim_end_matches("\u{a0}pp");
            page.write(at, Align2::RIGHT_CENTER, words, SMALL, Weight::Strong, INK.text);
        }
    }
    page.bottom += tall;
}

/// The mark of a kind of compression, as full as its weights were left.
fn mark(page: &mut Page, centre: Pos2, kind: MethodKind, fill: Fill) {
    let colour = INK.method(kind);
    let at = |corners: Vec<Vec2>| -> Vec<Pos2> { corners.into_iter().map(|corner| centre + corner * MARK).collect() };
    let outline = Paint {
        fill: Some(INK.panel),
        line: Some(Line::solid(1.1, colour)),
    };
    page.drawing.path(closed(at(marks::outline(kind))), outline);
    let filled = at(marks::filled(kind, fill));
    if !filled.is_empty() {
        page.drawing.path(closed(filled), Paint::filled(colour));
    }
}

/// An outline that ends where it began.
fn closed(mut points: Vec<Pos2>) -> Vec<Pos2> {
    points.extend(points.first().copied());
    points
}

/// The numbers at both ends of every axis.
fn axes(page: &mut Page, found: &ResultsTable, columns: usize, plot: &dyn Fn(usize) -> [f32; 2]) {
    page.bottom += 3.0;
    let top = page.bottom;
    for (column, head) in found.columns.iter().enumerate().take(columns) {
        let [from, to] = plot(column);
        let unit = if head.unit == "%" { " %" } else { "" };
        let words = [head.range[0].to_string(), format!("{}{unit}", head.range[1])];
        let room = words.iter().map(|words| text_layout::width(words, SMALL, Weight::Regular)).sum::<f32>() + 3.0;
        for (end, (x, place)) in [(from, Align2::LEFT_TOP), (to, Align2::RIGHT_TOP)].into_iter().enumerate() {
            page.drawing.line(pos2(x, top - 2.0), pos2(x, top + 1.5), Line::solid(HAIRLINE, INK.dim));
            // Two numbers that would run together are one too many.
            if end == 1 || room <= to - from {
                page.write(pos2(x, top + 4.0), place, &words[end], SMALL, Weight::Regular, INK.dim);
            }
        }
    }
    page.bottom = top + 4.0 + SMALL;
}

fn legend(page: &mut Page, found: &ResultsTable) {
    page.bottom += 16.0;
    let start = page.left() + 2.0;
    let mut left = start;
    let mut entry = |page: &mut Page, words: &str, draw: &dyn Fn(&mut Page, Pos2)| {
        let width = 13.0 + text_layout::width(words, LABEL, Weight::Regular);
        if left > start && left + width > page.right() {
            left = start;
            page.bottom += LABEL + 6.0;
        }
        let middle = page.bottom;
        draw(page, pos2(left + 4.0, middle));
        page.label(pos2(left + 13.0, middle), Align2::LEFT_CENTER, words);
        left += width + 14.0;
    };
    for kind in found.kinds() {
        if kind != MethodKind::None {
            entry(page, kind.title(), &|page, at| mark(page, at, kind, Fill::Full));
        }
    }
    for (fill, words) in found.fills() {
        entry(page, words, &|page, at| mark(page, at, MethodKind::Other, fill));
    }
    if found.groups.iter().any(|group| group.reference.iter().any(Option::is_some)) {
        entry(page, "not compressed", &|page, at| {
            page.drawing.line(at - vec2(0.0, 5.0), at + vec2(0.0, 5.0), PLAIN);
        });
    }
    if found.groups.iter().any(|group| group.compressed.iter().any(Option::is_some)) {
        entry(page, "compressed all over; ± points from there", &|page, at| {
            page.drawing.line(at - vec2(0.0, 5.0), at + vec2(0.0, 5.0), ALL_OVER);
        });
    }
    if found.rows().any(|(_, row)| row.cells.iter().flatten().any(|cell| cell.interval.is_some())) {
        entry(page, "95 % interval", &|page, at| {
            page.drawing.line(at - vec2(5.0, 0.0), at + vec2(5.0, 0.0), Line::solid(1.3, INK.dim));
        });
    }
    page.bottom += LABEL / 2.0;
}

fn caption(found: &ResultsTable, source: &str, [rows, drawn]: [usize; 2]) -> String {
    let mut text = source.trim_end_matches('.').to_owned();
    if !text.is_empty() {
        text.push_str(". ");
    }
    text.push_str("n counts questions; marks lie on one axis a column.");
    if found.rows().any(|(_, row)| row.borrowed) {
        text.push_str(" ° from another experiment of the same results.");
    }
    if found.columns.len() > MOST[0] || rows > drawn {
        text.push_str(&format!(
            " Of {} columns and {rows} rows the first {} and {drawn} are drawn.",
            found.columns.len(),
            found.columns.len().min(MOST[0])
        ));
    }
    text
}

fn description(found: &ResultsTable, name: &str) -> String {
    let heads: Vec<&str> = found.columns.iter().map(|column| column.title.as_str()).collect();
    format!("Scores of {name}: {} rows by {}.", found.rows().count(), heads.join("; "))
}

/// Where the numbers of some results come from.
pub(super) fn stamp(all: &[&Results], experiment: &str) -> Stamp {
    let mut pairs = vec![("experiment", experiment.to_owned())];
    for results in all {
        pairs.push(("results", results.title.clone()));
        pairs.push(("source", results.source.clone()));
        pairs.push(("scored by", results.program.clone()));
        if let Ok(bytes) = results.to_json() {
            pairs.push(("results sha256", cruxscope_study::Digest::of(&bytes).0));
        }
    }
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(key, value)| (*key, value.as_str())).collect();
    Stamp::from_pairs(&pairs)
}

/// Every score in its row; intervals, questions and passes stand in columns of their own for programs.
fn table(all: &[&Results], found: &ResultsTable, name: &str) -> Table {
    let mut columns = vec![
        Column::words("model", "Model"),
        Column::words("compression", "Compression"),
        Column::words("setting", "Setting"),
    ];
    columns[2].printed = found.rows().any(|(_, row)| !row.setting.is_empty());
    for head in &found.columns {
        let key = file_stem(&format!("{} {}", head.benchmark, head.metric)).replace('-', "_");
        columns.push(Column::numbers(key.clone(), head.title.clone()));
        for (part, words) in [("low", "low"), ("high", "high"), ("questions", "n"), ("passes", "passes")] {
            columns.push(Column::numbers(format!("{key}_{part}"), words).unprinted());
        }
    }
    let rows = found.rows().map(|(group, row)| {
        let mut cells = vec![
            Cell::Words(group.model.clone()),
            Cell::Words(row.label.clone()),
            Cell::Words(row.setting.clone()),
        ];
        for (head, cell) in found.columns.iter().zip(&row.cells) {
            let digits = if head.unit == "%" { 1 } else { 2 };
            let Some(cell) = cell else {
                cells.extend(std::iter::repeat_n(Cell::Empty, 5));
                continue;
            };
            let score = all.get(row.source).and_then(|results| results.scores.get(cell.score));
            cells.extend([
                Cell::Number(cell.value, digits),
                Cell::number(cell.interval.map(|[low, _]| low), digits),
                Cell::number(cell.interval.map(|[_, high]| high), digits),
                score.and_then(|score| score.questions).map_or(Cell::Empty, Cell::Whole),
                score.and_then(|score| score.passes).map_or(Cell::Empty, |passes| Cell::Whole(passes as usize)),
            ]);
        }
        cells
    });
    let rows: Vec<_> = rows.collect();
    Table {
        caption: format!("Scores, {name}"),
        columns,
        printed: rows.len().min(60),
        rows,
    }
}

/// The experiment that is meant by its name or by how that begins, or else the first.
pub fn experiment<'a>(results: &'a Results, wanted: Option<&str>) -> &'a str {
    let experiments = results.experiments();
    let Some(wanted) = wanted else {
        return experiments.first().copied().unwrap_or_default();
    };
    let exact = experiments.iter().find(|known| **known == wanted);
    let begins = || experiments.iter().find(|known| known.starts_with(&format!("{wanted}:")));
    exact.or_else(begins).or(experiments.first()).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use cruxscope_study::Score;

    use super::*;
    use crate::importance::assert_tidy;

    fn results(models: usize, benchmarks: usize) -> Results {
        let mut scores = Vec::new();
        for model in 0..models {
            for compression in ["", "4-bit AWQ", "3-bit GPTQ", "50% SparseGPT", "2.51-bit"] {
                for benchmark in 0..benchmarks {
                    let value = 30.0 + ((model * 7 + benchmark * 13 + compression.len() * 5) % 60) as f64;
                    scores.push(Score {
                        experiment: "Table 1: overall".into(),
                        model: format!("R1-Distill-Qwen {model}"),
                        compression: compression.into(),
                        setting: if model == 1 { "only the last block" } else { "" }.into(),
                        benchmark: format!("Temporal sequences {benchmark}"),
                        metric: "accuracy".into(),
                        unit: "%".into(),
                        value,
                        interval: Some([value - 8.0, value + 5.0]),
                        questions: Some(250),
                        passes: Some(3),
                        ..Score::default()
                    });
                }
            }
        }
        Results {
            schema: 1,
            title: "Results & more".into(),
            source: "Somebody 2025.".into(),
            scores,
            ..Results::default()
        }
    }

    #[test]
    fn scores_are_tidy_however_many_there_are() {
        for (models, benchmarks) in [(1, 1), (2, 3), (3, 5), (40, 9)] {
            let results = results(models, benchmarks);
            let figure = figure(&[&results], "Table 1: overall", None, &FigureOptions::default());
            assert_tidy(&figure);
            assert_eq!(figure.table.rows.len(), models * 5);
            assert!(figure.table.rows.iter().all(|row| row.len() == figure.table.columns.len()));
        }
        let nothing = Results::default();
        assert_tidy(&figure(&[&nothing], "", None, &FigureOptions::default()));
        assert_tidy(&figure(&[], "", None, &FigureOptions::default()));
    }

    #[test]
    fn experiments_are_found_by_how_they_begin() {
        let results = results(1, 1);
        for wanted in [None, Some("Table 1"), Some("Table 1: overall"), Some("Table 9")] {
            assert_eq!(experiment(&results, wanted), "Table 1: overall");
        }
    }
}
