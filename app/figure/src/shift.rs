//! The figure of a shift: every behaviour in A, in B and what lies between them, on two scales.

use cruxscope_selectors::shift::{self, Pair, ShiftIntervals};
use cruxscope_selectors::{Basis, ColourScale, Scale, format, provenance, status};
use cruxscope_study::{Behaviour, Component, ShiftView};
use cruxscope_theme::colour_map::ColourMap;
use egui::{Align2, pos2};

use super::grid::{self, Grid};
use super::markers::{self, Mark};
use super::page::{HEAD, INK, LABEL, Page};
use super::shift_map::{Part, colours, head, map};
use super::text_layout::{self, Weight};
use super::{Cell, Column, Drawing, Figure, FigureOptions, Stamp, Table, file_stem, shift_stage};

/// Between two maps.
const GAP: f32 = 14.0;
/// Height of the heads over the columns.
const HEADS: f32 = 22.0;
/// Height of a behaviour's line.
const LINE: f32 = 19.0;
/// Rows of the table in print.
const PRINTED: usize = 15;

/// The figure; intervals stand in its table where they are known.
pub fn figure(pair: &Pair, intervals: Option<&ShiftIntervals>, options: &FigureOptions) -> Figure {
    let comparison = &pair.comparison;
    let [a, b] = [&pair.a, &pair.b].map(|study| status::title(study).to_owned());
    let title = format!("Shift of relative importance, {}", lower(options.shift));
    let subtitle = [
        format!("definition {}", provenance::definition(&pair.a)),
        format!("{} in both", format::things(comparison.shared_instances(), "instance", "instances")),
    ];
    let mut page = Page::new(&title, &subtitle.join(" · "), options.bare);
    if options.stage {
        let drawing = shift_stage::drawing(page, pair, [&a, &b], options);
        return finished(pair, intervals, options, [a, b], drawing);
    }
    let left = page.left() + grid::NAMES;
    let width = ((page.right() - left - 2.0 * GAP) / 3.0).floor();
    let column = |position: usize| left + (width + GAP) * position as f32;
    let heads = [format!("A  {a}"), format!("B  {b}"), shift::head(options.shift).to_owned()];
    for (position, head) in heads.iter().enumerate() {
        let words = text_layout::cut(&super::stamp::plain(head), HEAD, Weight::Strong, width);
        let at = pos2(column(position), page.bottom + HEAD / 2.0);
        page.write(at, Align2::LEFT_CENTER, &words, HEAD, Weight::Strong, INK.text);
    }
    page.bottom += HEADS;
    let scales = [
        shift::importance_scale(comparison, options.scale),
        shift::shift_scale(comparison, options.shift, options.scale),
    ];
    let shown = options.behaviours();
    let (mut pooled, mut ranked) = (1, false);
    for (position, behaviour) in shown.iter().enumerate() {
        let top = page.bottom;
        let ends = [page.left(), page.right()];
        head(&mut page, ends, top, pair, *behaviour, options);
        let origin = |position: usize| pos2(column(position), top + LINE);
        let grids = [0, 1, 2].map(|position| Grid::new(origin(position), width, comparison.layers()));
        (pooled, ranked) = (grids[0].pooled, grids[0].ranks_are_written());
        page.bottom = top + LINE + grids[0].size().y + 4.0;
        let last = position + 1 == shown.len();
        if let Some(reason) = shift::empty_reason(pair, *behaviour) {
            page.label(pos2(left, top + LINE + grids[0].size().y / 2.0), Align2::LEFT_CENTER, reason);
        } else {
            grids[0].names(&mut page);
            for (grid, part) in grids.iter().zip([Part::A, Part::B, Part::Shift]) {
                map(&mut page, grid, pair, *behaviour, part, scales, options);
            }
        }
        if last {
            for grid in grids {
                grid.numbers(&mut page);
            }
            page.bottom += grid::NUMBERS - 4.0;
            for position in 0..3 {
                let (middle, bottom) = (column(position) + grids[0].size().x / 2.0, page.bottom);
                grid::axis(&mut page, middle, bottom + 1.0);
            }
            page.bottom += grid::AXIS;
        } else {
            page.bottom += 6.0;
        }
    }
    page.bottom += 10.0;
    legend(&mut page, pair, options, scales, [left, width], ranked);
    let drawing = page.finish(&caption(pair, [&a, &b], options, pooled));
    finished(pair, intervals, options, [a, b], drawing)
}

/// The figure around what was drawn.
fn finished(pair: &Pair, intervals: Option<&ShiftIntervals>, options: &FigureOptions, [a, b]: [String; 2], drawing: Drawing) -> Figure {
    Figure {
        name: format!("shift-{}-from-{}-to-{}", options.shift.name(), file_stem(&a), file_stem(&b)),
        title: format!("Shift of relative importance, {}, from {a} to {b}", lower(options.shift)),
        description: description(pair, [&a, &b], &options.behaviours(), options),
        drawing,
        table: table(pair, intervals, options),
        stamp: Stamp::of_pair(&pair.a, &pair.b),
    }
}

fn lower(view: ShiftView) -> &'static str {
    match view {
        ShiftView::Decreases => "decreases from A to B",
        ShiftView::Increases => "increases from A to B",
        ShiftView::Net => "B minus A",
    }
}

fn legend(page: &mut Page, pair: &Pair, options: &FigureOptions, scales: [ColourScale; 2], [left, width]: [f32; 2], ranked: bool) {
    let top = page.bottom;
    let components = pair.comparison.layers() * cruxscope_study::Module::ALL.len();
    let spread = match options.scale {
        Scale::Rank => "rank".to_owned(),
        scale => format!("{} scale", scale.title().to_lowercase()),
    };
    let bars = [
        (
            left,
            2.0 * width + GAP - 40.0,
            format!("Relative importance in A and B, {spread}"),
            ColourMap::Importance,
        ),
        (
            left + 2.0 * (width + GAP),
            width,
            format!("{}, {spread}", shift::title(options.shift)),
            colours(options.shift),
        ),
    ];
    for ((left, width, name, map), scale) in bars.into_iter().zip(scales) {
        let width = width.min(250.0);
        page.colour_bar(pos2(left, top), width, &name, &scale.ticks(components, width), map);
    }
    let highest = if ranked {
        (Mark::Words("1 2 3"), "the largest three of a map".to_owned())
    } else {
        (Mark::Dot, "the largest of a map".to_owned())
    };
    let mut entries = vec![highest];
    if let Some(component) = options.component {
        entries.insert(0, (Mark::Frame, component.to_string()));
    }
    page.bottom += 12.0;
    let middle = page.bottom;
    markers::legend(page, middle, &entries);
    page.bottom += LABEL / 2.0;
}

fn caption(pair: &Pair, [a, b]: [&str; 2], options: &FigureOptions, pooled: usize) -> String {
    let what = match options.shift {
        ShiftView::Decreases => "how far it falls from A to B, zero where it rises",
        ShiftView::Increases => "how far it rises from A to B, zero where it falls",
        ShiftView::Net => "B minus A",
    };
    let mut text = format!(
        "Relative importance of every weight matrix in A ({a}) and in B ({b}), and its shift: {what}. A and B have one scale, the shift has its own. \
         n counts the instances that show a behaviour."
    );
    for difference in &pair.comparison.differences {
        text.push(' ');
        text.push_str(difference.sentence.trim_end_matches('.'));
        text.push('.');
    }
    if pooled > 1 {
        text.push_str(&format!(" Each column stands for {pooled} layers and shows the largest of them."));
    }
    text
}

fn description(pair: &Pair, [a, b]: [&str; 2], shown: &[Behaviour], options: &FigureOptions) -> String {
    let largest: Vec<String> = shown
        .iter()
        .map(|behaviour| {
            let basis = Basis::Behaviour(*behaviour);
            match shift::first(&pair.comparison, basis, options.shift) {
                Some(first) => {
                    let row = shift::row(&pair.comparison, None, basis, options.shift, first);
                    format!("{}: {first}, {}", behaviour.title(), shift::written(options.shift, row.shift))
                }
                None => format!("{}: none", behaviour.title()),
            }
        })
        .collect();
    format!(
        "Heatmaps of relative importance by layer and module in A, {a}, in B, {b}, and of its shift, {}. The largest are, {}.",
        lower(options.shift),
        largest.join("; ").replace('\u{a0}', " ")
    )
}

/// Every component, the largest mean shift first: the shift, and relative importance and ranks on both sides.
pub fn table(pair: &Pair, intervals: Option<&ShiftIntervals>, options: &FigureOptions) -> Table {
    let (comparison, view) = (&pair.comparison, options.shift);
    let bases: Vec<(String, &str, Basis)> = [("mean".to_owned(), "Mean", Basis::Mean)]
        .into_iter()
        .chain(Behaviour::ALL.map(|behaviour| (behaviour.name().replace('-', "_"), behaviour.title(), Basis::Behaviour(behaviour))))
        .collect();
    let mut columns = vec![
        Column::numbers("rank_mean", "Rank"),
        Column::words("component", "Component"),
        Column::numbers("layer", "Layer").unprinted(),
        Column::words("module", "Module").unprinted(),
    ];
    for (name, title, basis) in &bases {
        let there = comparison.has(basis.behaviour());
        let mean = *basis == Basis::Mean;
        let column = |key: &str, head: &str, printed: bool| Column {
            printed: printed && there,
            ..Column::numbers(format!("{key}_{name}"), head).of(*title)
        };
        columns.extend([
            column("shift", "%", true),
            column("low", "low", mean && intervals.is_some()),
            column("high", "high", mean && intervals.is_some()),
            column("relative_importance_a", "A", mean),
            column("relative_importance_b", "B", mean),
            column("rank_a", "Rank in A", false),
            column("rank_b", "Rank in B", false),
        ]);
    }
    let row = |component: &Component| {
        let mut cells = vec![
            Cell::Whole(comparison.shift_ranks(None, view).overall(*component)),
            Cell::Words(component.to_string()),
            Cell::Whole(component.layer.number()),
            Cell::Words(component.module.projection().to_owned()),
        ];
        for (_, _, basis) in &bases {
            if !comparison.has(basis.behaviour()) {
                cells.extend(std::iter::repeat_n(Cell::Empty, 7));
                continue;
            }
            let row = shift::row(comparison, intervals, *basis, view, *component);
            cells.extend([
                Cell::Share(row.shift),
                Cell::share(row.interval.map(|[low, _]| low)),
                Cell::share(row.interval.map(|[_, high]| high)),
                Cell::Share(row.relative[0]),
                Cell::Share(row.relative[1]),
                Cell::Whole(row.ranks[0]),
                Cell::Whole(row.ranks[1]),
            ]);
        }
        cells
    };
    Table {
        caption: format!(
            "Shift of relative importance from A ({}) to B ({}), {}, in percent, by size of the mean over behaviours",
            status::title(&pair.a),
            status::title(&pair.b),
            lower(view)
        ),
        columns,
        rows: comparison.shift_ranks(None, view).order().iter().map(row).collect(),
        printed: PRINTED,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cruxscope_selectors::BackgroundJob as _;
    use cruxscope_study::test_data as samples;
    use cruxscope_study::{Comparison, DifferenceKind};

    use super::*;
    use crate::importance::assert_tidy;

    fn pair(layers: usize) -> Pair {
        let (a, b) = (samples::study(layers), samples::compressed(layers));
        let comparison = Comparison::between(&a, &b, &DifferenceKind::ALL).unwrap();
        Pair {
            a: Arc::new(a),
            b: Arc::new(b),
            comparison,
        }
    }

    #[test]
    fn every_view_and_scale_makes_a_tidy_figure() {
        for layers in [2, 6, 30, 80, 300] {
            let pair = pair(layers);
            for shift in ShiftView::ALL {
                for scale in Scale::ALL {
                    let options = FigureOptions {
                        scale,
                        shift,
                        ..FigureOptions::default()
                    };
                    assert_tidy(&figure(&pair, None, &options));
                }
            }
        }
    }

    #[test]
    fn the_table_holds_the_shift_with_its_interval() {
        let pair = pair(6);
        let intervals = ShiftIntervals::all(&pair).unwrap();
        let figure = figure(&pair, Some(&intervals), &FigureOptions::default());
        assert_eq!(figure.name, "shift-decreases-from-sample-study-to-sample-compressed");
        assert_eq!(figure.table.rows[0][1], Cell::Words("6_gate".into()));
        let place = |key: &str| figure.table.columns.iter().position(|column| column.key == key).unwrap();
        let share = |key: &str| match figure.table.rows[0][place(key)] {
            Cell::Share(share) => share,
            _ => panic!("{key} is no share"),
        };
        let [low, shift, high] = ["low_mean", "shift_mean", "high_mean"].map(share);
        assert!(low <= shift && shift <= high && shift > 0.0);
        assert!(figure.table.rows.iter().all(|row| row.len() == figure.table.columns.len()));
        assert!(figure.description.contains("Backtracking: 6_gate"), "{}", figure.description);
    }
}
