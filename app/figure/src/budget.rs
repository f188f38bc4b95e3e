//! The figures of a budget: the map of what each matrix costs in its format, and size against divergence.

use cruxscope_selectors::budget::{self, Budget, CellMeasure, MeasuredPoint, Plan, Series};
use cruxscope_selectors::scale::LegendTick;
use cruxscope_selectors::validation::Axis;
use cruxscope_selectors::{ColourScale, Figures, format, status};
use cruxscope_study::{Component, Study};
use cruxscope_theme::colour_map::ColourMap;
use egui::{Align2, Pos2, Rect, pos2, vec2};

use super::drawing::{Anchor, Line, Paint, Text};
use super::grid::{self, Content, Grid};
use super::markers::{self, Mark};
use super::page::{HAIRLINE, INK, LABEL, Page, SMALL};
use super::text_layout::{self, Weight};
use super::{Cell, Column, Figure, FigureOptions, Stamp, Table, file_stem};

/// Components whose ranks are marked.
const MARKED: usize = 3;
/// Width of the colour bar.
const BAR: f32 = 260.0;
/// Rows of a table in print.
const PRINTED: usize = 15;
/// Height of the plot.
const HEIGHT: f32 = 330.0;
/// Room for the numbers and the name of the upright axis.
const SIDE: f32 = 52.0;
/// Half of a mark.
const MARK: f32 = 3.0;

/// The map of a recipe: what a measure says of every matrix.
pub fn map(study: &Study, figures: &Figures, budget: &Budget, plan: &Plan, measure: CellMeasure, options: &FigureOptions) -> Figure {
    let title = budget.finding(status::title(study), plan);
    let subtitle = format!("{} · {}", study.manifest.model.name, budget::size(&plan.cost));
    let mut page = Page::new(&title, &subtitle, options.bare);
    let scale = plan.scale(measure, options.scale);
    let colours = if measure.is_signed() { ColourMap::Net } else { ColourMap::Decreases };
    let (left, top) = (page.left(), page.bottom);
    let grid = Grid::new(pos2(left + grid::NAMES, top + 4.0), page.width() - grid::NAMES, figures.layers());
    let values = plan.values(measure);
    let first = if measure == CellMeasure::Bits {
        Vec::new()
    } else {
        largest(values, figures.layers())
    };
    grid.draw(
        &mut page,
        &Content {
            value: &|component| values.get(component.index()).copied().unwrap_or(f64::NAN),
            written: &|component| plan.bits.get(component.index()).map(|bits| format!("{bits:.1}")).unwrap_or_default(),
            first: &first,
            framed: options.component,
            scale,
            map: colours,
        },
    );
    grid.names(&mut page);
    grid.numbers(&mut page);
    page.bottom = top + 4.0 + grid.size().y + grid::NUMBERS;
    let bottom = page.bottom;
    grid::axis(&mut page, left + grid::NAMES + grid.size().x / 2.0, bottom + 1.0);
    page.bottom += grid::AXIS + 10.0;
    let at = pos2(left + grid::NAMES, page.bottom);
    let name = format!("{}, {} scale", measure.title(), scale.scale.title().to_lowercase());
    page.colour_bar(at, BAR, &name, &ends(&scale, measure), colours);
    let mut entries = Vec::new();
    if !first.is_empty() {
        entries.push(if grid.ranks_are_written() {
            (Mark::Words("1 2 3"), "the largest three".to_owned())
        } else {
            (Mark::Dot, "the largest".to_owned())
        });
    }
    entries.extend(options.component.map(|component| (Mark::Frame, component.to_string())));
    markers::legend(&mut page, at.y + LABEL + 9.0, &entries);
    let counts: Vec<String> = plan.counts.iter().map(|(name, count)| format!("{count} in {name}")).collect();
    let caption = format!(
        "Matrices by layer and module: {}. {}. {}",
        measure.about(),
        counts.join(", "),
        budget.caveat(plan)
    );
    let said = first.first().map_or_else(String::new, |first| {
        let value = measure.text(values[first.index()]).replace('\u{a0}', " ");
        format!(" The largest is that of {first}, {value}.")
    });
    Figure {
        name: format!("budget-map-{}", file_stem(status::title(study))),
        title,
        description: format!("Heatmap of a recipe: {}.{said}", measure.about()),
        drawing: page.finish(&caption),
        table: table_of_map(budget, plan, figures),
        stamp: Stamp::of(study),
    }
}

fn largest(values: &[f64], layers: usize) -> Vec<Component> {
    let mut order: Vec<Component> = Component::all(layers).collect();
    let size = |component: &Component| values.get(component.index()).copied().unwrap_or(f64::NEG_INFINITY);
    order.sort_by(|a, b| size(b).total_cmp(&size(a)).then(a.index().cmp(&b.index())));
    order.truncate(MARKED);
    order
}

/// The values at both ends of the bar; one, where all are the same.
fn ends(scale: &ColourScale, measure: CellMeasure) -> Vec<LegendTick> {
    let tick = |position: f32, value: f64| LegendTick {
        position,
        text: measure.text(value),
    };
    let low = if scale.centred { -scale.high } else { scale.low };
    let mut ticks = vec![tick(0.0, low)];
    if scale.high > low {
        ticks.push(tick(1.0, scale.high));
    }
    ticks
}

fn table_of_map(budget: &Budget, plan: &Plan, figures: &Figures) -> Table {
    let mut order: Vec<Component> = Component::all(figures.layers()).collect();
    order.sort_by(|a, b| plan.shares[b.index()].total_cmp(&plan.shares[a.index()]).then(a.index().cmp(&b.index())));
    let row = |component: &Component| {
        let at = component.index();
        vec![
            Cell::Words(component.to_string()),
            Cell::Words(budget.name(plan.choice[at])),
            Cell::Number(plan.bits[at], 2),
            Cell::Number(plan.alone[at], 5),
            Cell::Share(plan.shares[at]),
        ]
    };
    Table {
        caption: format!("Matrices by their share of the predicted KL, {}", budget::size(&plan.cost)),
        columns: vec![
            Column::words("component", "Component"),
            Column::words("format", "Format"),
            Column::numbers("bits_per_weight", "Bits/weight"),
            Column::numbers("kl_alone_nats", "KL alone, nats"),
            Column::numbers("share_of_kl", "Share of KL, %"),
        ],
        rows: order.iter().map(row).collect(),
        printed: PRINTED,
    }
}

/// Size against divergence: chosen recipes, whole formats, random permutations, what was measured, and the recipe that is on.
pub fn curve(study: &Study, budget: &Budget, plan: &Plan, measured: &[MeasuredPoint], options: &FigureOptions) -> Figure {
    let title = budget.finding(status::title(study), plan);
    let subtitle = format!("{} · size against KL, {}", study.manifest.model.name, budget::scope(budget.settings().scope()));
    let mut page = Page::new(&title, &subtitle, options.bare);
    let area = Rect::from_min_max(pos2(page.left() + SIDE, page.bottom), pos2(page.right(), page.bottom + HEIGHT));
    let (across, up) = axes(budget, plan, measured);
    frame(&mut page, area, &across, &up);
    let place = |bits: f64, kl: f64| pos2(area.left() + area.width() * across.place(bits), area.bottom() - area.height() * up.place(kl));
    band(&mut page, budget, &place);
    let trusted = place(across.low, Budget::trusted()).y;
    if up.low < Budget::trusted() && up.high > Budget::trusted() {
        let line = Line {
            dashed: true,
            ..Line::solid(HAIRLINE, INK.dim)
        };
        page.drawing.line(pos2(area.left(), trusted), pos2(area.right(), trusted), line);
    }
    let mut taken: Vec<Rect> = Vec::new();
    let path: Vec<Pos2> = budget.points.iter().map(|point| place(point.bits_per_weight, point.kl)).collect();
    for pair in path.windows(2) {
        page.drawing.line(pair[0], pair[1], Line::solid(1.0, INK.accent));
    }
    for point in &budget.points {
        let at = place(point.bits_per_weight, point.kl);
        whisker(&mut page, at.x, point.interval, &|kl| place(across.low, kl).y);
        mark(&mut page, at, Series::Chosen, false);
        taken.push(Rect::from_center_size(at, vec2(MARK, MARK) * 2.0));
    }
    for uniform in &budget.uniforms {
        let at = place(uniform.cost.bits_per_weight, uniform.cost.kl);
        whisker(&mut page, at.x, uniform.cost.interval, &|kl| place(across.low, kl).y);
        mark(&mut page, at, Series::Uniform, false);
        taken.push(Rect::from_center_size(at, vec2(MARK, MARK) * 2.0));
    }
    for point in measured {
        let at = place(point.bits_per_weight, point.kl);
        whisker(&mut page, at.x, point.interval, &|kl| place(across.low, kl).y);
        mark(&mut page, at, point.series, true);
        taken.push(Rect::from_center_size(at, vec2(MARK, MARK) * 2.0));
    }
    let own = place(plan.cost.bits_per_weight, plan.cost.kl);
    page.drawing.circle(own, MARK + 2.0, Paint::stroked(1.4, INK.selection));
    for uniform in &budget.uniforms {
        let at = place(uniform.cost.bits_per_weight, uniform.cost.kl);
        name(&mut page, area, at, &uniform.name, &mut taken);
    }
    page.bottom = area.bottom() + 18.0 + LABEL + 10.0;
    legend(&mut page, measured);
    let caption = format!(
        "Stored bits a weight, scales included, against the divergence of Kullback and Leibler from the original's predictions. Hollow marks are predicted from \
         the sketch, filled ones measured; lines are 95 % intervals by a bootstrap over windows. Grey: what random permutations of the chosen formats cost. The \
         ring is the recipe of the title. Dashed: {} nats, up to which predictions hold. {}",
        Budget::trusted(),
        budget.caveat(plan)
    );
    Figure {
        name: format!("budget-curve-{}", file_stem(status::title(study))),
        description: format!(
            "Size against divergence, {} recipes of every size. {}",
            format::count(budget.points.len()),
            title.replace('\u{a0}', " ")
        ),
        title,
        drawing: page.finish(&caption),
        table: table_of_curve(budget, plan, measured),
        stamp: Stamp::of(study),
    }
}

fn axes(budget: &Budget, plan: &Plan, measured: &[MeasuredPoint]) -> (Axis, Axis) {
    let uniforms = budget.uniforms.iter().map(|uniform| (uniform.cost.bits_per_weight, uniform.cost.kl));
    let points = budget.points.iter().map(|point| (point.bits_per_weight, point.kl));
    let measured = measured.iter().map(|point| (point.bits_per_weight, point.kl));
    let all: Vec<(f64, f64)> = uniforms
        .chain(points)
        .chain(measured)
        .chain([(plan.cost.bits_per_weight, plan.cost.kl)])
        .collect();
    let (low, high) = all
        .iter()
        .fold((f64::INFINITY, 0.0_f64), |(low, high), (bits, _)| (low.min(*bits), high.max(*bits)));
    let room = (high - low).max(0.1) * 0.04;
    let across = Axis {
        low: low - room,
        high: high + room,
        log: false,
    };
    (across, Axis::over(all.iter().map(|(_, kl)| *kl)))
}

fn frame(page: &mut Page, area: Rect, across: &Axis, up: &Axis) {
    let mut bits = across.low.ceil();
    while bits <= across.high {
        let x = area.left() + area.width() * across.place(bits);
        page.drawing.line(pos2(x, area.top()), pos2(x, area.bottom()), Line::solid(HAIRLINE, INK.line));
        page.label(pos2(x, area.bottom() + 5.0), Align2::CENTER_TOP, &format!("{bits:.0}"));
        bits += if across.high - across.low > 20.0 { 4.0 } else { 1.0 };
    }
    for value in up.ticks() {
        let y = area.bottom() - area.height() * up.place(value);
        page.drawing.line(pos2(area.left(), y), pos2(area.right(), y), Line::solid(HAIRLINE, INK.line));
        page.label(pos2(area.left() - 5.0, y), Align2::RIGHT_CENTER, &format::tick(value));
    }
    page.drawing.rectangle(area, 0.0, Paint::stroked(HAIRLINE, INK.dim));
    page.label(pos2(area.center().x, area.bottom() + 18.0), Align2::CENTER_TOP, "Stored bits a weight");
    page.drawing.text(Text {
        at: pos2(page.left() + LABEL, area.center().y),
        words: format!("KL, nats{}", if up.log { ", logarithmic" } else { "" }),
        size: LABEL,
        weight: Weight::Regular,
        anchor: Anchor::Middle,
        colour: INK.dim,
        turned: true,
    });
}

/// What random permutations cost, from the least to the largest.
fn band(page: &mut Page, budget: &Budget, place: &dyn Fn(f64, f64) -> Pos2) {
    let there = budget.band.iter().map(|point| place(point.bits_per_weight, point.ends[0]));
    let back = budget.band.iter().rev().map(|point| place(point.bits_per_weight, point.ends[1]));
    let corners: Vec<Pos2> = there.chain(back).collect();
    if corners.len() > 2 {
        page.drawing.path(corners, Paint::filled(INK.line));
    }
}

fn whisker(page: &mut Page, x: f32, interval: Option<(f64, f64)>, y: &dyn Fn(f64) -> f32) {
    if let Some((low, high)) = interval {
        page.drawing.line(pos2(x, y(low)), pos2(x, y(high)), Line::solid(0.7, INK.dim));
    }
}

/// The marks of the window: a shape a series, filled where it was measured.
fn mark(page: &mut Page, at: Pos2, series: Series, measured: bool) {
    let colour = match series {
        Series::Chosen => INK.accent,
        Series::Uniform => INK.text,
        Series::Random => INK.faint,
        Series::Other => INK.dim,
    };
    let paint = Paint {
        fill: Some(if measured { colour } else { INK.panel }),
        line: Some(Line::solid(1.0, colour)),
    };
    let mut polygon = |corners: &[(f32, f32)]| {
        let mut points: Vec<Pos2> = corners.iter().map(|(x, y)| at + vec2(*x, *y) * MARK).collect();
        points.extend(points.first().copied());
        page.drawing.path(points, paint);
    };
    match series {
        Series::Chosen => page.drawing.circle(at, MARK - 0.4, paint),
        Series::Uniform => polygon(&[(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)]),
        Series::Random => polygon(&[(0.0, -1.1), (1.0, 0.8), (-1.0, 0.8)]),
        Series::Other => polygon(&[(0.0, -1.2), (1.2, 0.0), (0.0, 1.2), (-1.2, 0.0)]),
    }
}

/// A name beside its mark, where it lies on nothing.
fn name(page: &mut Page, area: Rect, at: Pos2, words: &str, taken: &mut Vec<Rect>) {
    let size = vec2(text_layout::width(words, SMALL, Weight::Regular), SMALL);
    let sides = [
        vec2(MARK + 3.0, -SMALL - 1.0),
        vec2(-MARK - 3.0 - size.x, 2.0),
        vec2(MARK + 3.0, 2.0),
        vec2(-MARK - 3.0 - size.x, -SMALL - 1.0),
    ];
    let free = sides
        .iter()
        .map(|side| Rect::from_min_size(at + *side, size))
        .find(|room| area.shrink(2.0).contains_rect(*room) && !taken.iter().any(|other| other.intersects(*room)));
    if let Some(room) = free {
        page.write(room.left_center(), Align2::LEFT_CENTER, words, SMALL, Weight::Regular, INK.text);
        taken.push(room.expand(1.0));
    }
}

/// What the marks mean, in as many lines as they need.
fn legend(page: &mut Page, measured: &[MeasuredPoint]) {
    let known = |series: Series| measured.iter().any(|point| point.series == series);
    let predicted = [Series::Chosen, Series::Uniform].map(|series| (series, false));
    let filled = Series::ALL.into_iter().filter(|series| known(*series)).map(|series| (series, true));
    let mut left = page.left() + SIDE;
    for (series, measured) in predicted.into_iter().chain(filled) {
        let words = format!("{}, {}", series.title(), if measured { "measured" } else { "predicted" });
        let width = text_layout::width(&words, LABEL, Weight::Regular);
        if left + 10.0 + width > page.right() {
            left = page.left() + SIDE;
            page.bottom += LABEL + 6.0;
        }
        let y = page.bottom + LABEL / 2.0;
        mark(page, pos2(left + MARK, y), series, measured);
        page.label(pos2(left + 10.0, y), Align2::LEFT_CENTER, &words);
        left += 10.0 + width + 14.0;
    }
    page.bottom += LABEL;
}

fn table_of_curve(budget: &Budget, plan: &Plan, measured: &[MeasuredPoint]) -> Table {
    let row = |name: String, how: &str, bits: f64, kl: f64, interval: Option<(f64, f64)>| {
        vec![
            Cell::Words(name),
            Cell::Words(how.to_owned()),
            Cell::Number(bits, 3),
            Cell::Number(kl, 5),
            Cell::number(interval.map(|(low, _)| low), 5),
            Cell::number(interval.map(|(_, high)| high), 5),
        ]
    };
    let mut rows = vec![row(
        "the recipe of the map".to_owned(),
        "predicted",
        plan.cost.bits_per_weight,
        plan.cost.kl,
        plan.cost.interval,
    )];
    rows.extend(
        measured
            .iter()
            .map(|point| row(point.name.clone(), "measured", point.bits_per_weight, point.kl, point.interval)),
    );
    rows.extend(budget.uniforms.iter().map(|uniform| {
        row(
            format!("every matrix in {}", uniform.name),
            "predicted",
            uniform.cost.bits_per_weight,
            uniform.cost.kl,
            uniform.cost.interval,
        )
    }));
    rows.extend(
        budget
            .points
            .iter()
            .map(|point| row("chosen".to_owned(), "predicted", point.bits_per_weight, point.kl, point.interval)),
    );
    rows.extend(budget.band.iter().map(|point| {
        row(
            "random permutations".to_owned(),
            "predicted, least and largest",
            point.bits_per_weight,
            (point.ends[0] + point.ends[1]) / 2.0,
            Some((point.ends[0], point.ends[1])),
        )
    }));
    Table {
        caption: format!("Size against divergence, {}", budget::scope(budget.settings().scope())),
        columns: vec![
            Column::words("recipe", "Recipe"),
            Column::words("how", "How"),
            Column::numbers("bits_per_weight", "Bits/weight"),
            Column::numbers("kl_nats", "KL, nats"),
            Column::numbers("kl_low", "from"),
            Column::numbers("kl_high", "to"),
        ],
        printed: rows.len(),
        rows,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use cruxscope_selectors::budget::{BudgetSettings, measured};
    use cruxscope_study::{Module, Scope, test_data as samples};

    use super::*;
    use crate::importance::assert_tidy;

    #[test]
    fn map_and_curve_are_tidy_and_hold_every_number() {
        for layers in [1, 6, 40, 300] {
            let study = samples::study(layers);
            let figures = Figures::of(&study);
            let sensitivity = Arc::new(samples::sensitivity(layers));
            let trial = samples::trial();
            let found = measured(&sensitivity, Some(&trial), Scope::All);
            let mut budget = Budget::new(sensitivity, BudgetSettings::default()).unwrap();
            budget.finish();
            let edits: BTreeMap<Component, Option<usize>> = [(Component::new(0, Module::Up), None)].into();
            for edits in [BTreeMap::new(), edits] {
                let plan = budget.plan(budget.first_target(), &edits).unwrap();
                for measure in CellMeasure::ALL {
                    let figure = map(&study, &figures, &budget, &plan, measure, &FigureOptions::default());
                    assert_tidy(&figure);
                    assert_eq!(figure.table.rows.len(), layers * 7);
                }
                let figure = curve(&study, &budget, &plan, &found, &FigureOptions::default());
                assert_tidy(&figure);
                let rows = 1 + found.len() + budget.uniforms.len() + 2 * budget.points.len();
                assert_eq!(figure.table.rows.len(), rows);
            }
        }
    }
}
