//! The figure of a validation: importance of every component against the damage that compressing it alone does.

use cruxscope_selectors::validation::{self as selected, Axis};
use cruxscope_selectors::{Basis, Figures, format, status};
use cruxscope_study::{Behaviour, Component, RankCorrelation, Study, Validation};
use egui::{Align2, Pos2, Rect, pos2, vec2};

use super::drawing::{Anchor, Line, Paint, Text};
use super::page::{HAIRLINE, INK, LABEL, Page, SMALL};
use super::text_layout::{self, Weight};
use super::{Cell, Column, Figure, FigureOptions, Stamp, Table, file_stem};

/// Height of the plot.
const HEIGHT: f32 = 330.0;
/// Room for the numbers and the name of the upright axis.
const SIDE: f32 = 52.0;
/// Components that are named.
const NAMED: usize = 8;
/// Rows of the table in print.
const PRINTED: usize = 15;

/// The figure.
pub fn figure(study: &Study, figures: &Figures, validation: &Validation, options: &FigureOptions) -> Figure {
    let basis = Basis::from(options.behaviour);
    let what = match basis {
        Basis::Mean => "mean relative importance".to_owned(),
        Basis::Behaviour(behaviour) => format!("relative importance for {}", behaviour.title().to_lowercase()),
    };
    let title = format!("Importance against measured damage, {}", status::title(study));
    let correlation = validation.correlation(&study.importance, options.behaviour);
    let subtitle = format!(
        "{} · each matrix compressed alone · {} · {}",
        study.manifest.model.name,
        format::things(validation.predictions, "prediction", "predictions"),
        correlation.map(rho).unwrap_or_else(|| "no rank correlation".to_owned())
    );
    let mut page = Page::new(&title, &subtitle, options.bare);
    let points: Vec<(Component, f64, f64)> = selected::points(validation, figures, basis)
        .into_iter()
        .map(|point| (point.component, point.importance, point.damage))
        .collect();
    let scales = plot(&mut page, &points, &what, options);
    let caption = format!(
        "Every dot is a weight matrix of {}: to the right its {what}, upwards the divergence of Kullback and Leibler from the original's predictions when this \
         matrix alone is compressed, in nats{scales}. {}",
        study.manifest.model.name,
        correlation.map(|found| format!("Spearman's {}.", rho(found))).unwrap_or_default()
    );
    let drawing = page.finish(&caption);
    let mut stamp = Stamp::of(study);
    stamp.pairs.insert(
        stamp.pairs.len().saturating_sub(1),
        ("validated by".to_owned(), super::stamp::plain(&validation.program)),
    );
    Figure {
        name: format!("validation-{}", file_stem(status::title(study))),
        description: format!(
            "Scatter of {what} against measured damage over {} components. {}",
            format::count(points.len()),
            correlation.map(|found| format!("Spearman's {}.", rho(found))).unwrap_or_default()
        ),
        title,
        drawing,
        table: table(figures, validation),
        stamp,
    }
}

fn rho(found: RankCorrelation) -> String {
    let signed = |value: f64| format!("{value:.2}").replace('-', "−");
    format!("rho = {} [{}, {}], n = {}", signed(found.rho), signed(found.low), signed(found.high), found.n)
}

/// Draws the points on the window's axes; gives what is to be said of their scales.
fn plot(page: &mut Page, points: &[(Component, f64, f64)], what: &str, options: &FigureOptions) -> &'static str {
    let area = Rect::from_min_max(pos2(page.left() + SIDE, page.bottom), pos2(page.right(), page.bottom + HEIGHT));
    let across = Axis::over(points.iter().map(|point| point.1));
    let up = Axis::over(points.iter().map(|point| point.2));
    for value in across.ticks() {
        let x = area.left() + area.width() * across.place(value);
        page.drawing.line(pos2(x, area.top()), pos2(x, area.bottom()), Line::solid(HAIRLINE, INK.line));
        page.label(pos2(x, area.bottom() + 5.0), Align2::CENTER_TOP, &format::percent_tick(value));
    }
    for value in up.ticks() {
        let y = area.bottom() - area.height() * up.place(value);
        page.drawing.line(pos2(area.left(), y), pos2(area.right(), y), Line::solid(HAIRLINE, INK.line));
        page.label(pos2(area.left() - 5.0, y), Align2::RIGHT_CENTER, &format::tick(value));
    }
    page.drawing.rectangle(area, 0.0, Paint::stroked(HAIRLINE, INK.dim));
    let place = |share: f64, damage: f64| {
        pos2(
            area.left() + area.width() * across.place(share),
            area.bottom() - area.height() * up.place(damage),
        )
    };
    let ink = options.behaviour.map_or(INK.accent, |behaviour| INK.behaviour(behaviour));
    for (component, share, damage) in points {
        let at = place(*share, *damage);
        page.drawing.circle(
            at,
            2.4,
            Paint {
                fill: Some(ink),
                line: Some(Line::solid(0.5, INK.panel)),
            },
        );
        if options.component == Some(*component) {
            page.drawing.circle(at, 4.6, Paint::stroked(1.2, INK.selection));
        }
    }
    names(page, area, points, &place, options);
    page.label(pos2(area.center().x, area.bottom() + 18.0), Align2::CENTER_TOP, &capital(what));
    page.drawing.text(Text {
        at: pos2(page.left() + LABEL, area.center().y),
        words: "Divergence when compressed alone, nats".to_owned(),
        size: LABEL,
        weight: Weight::Regular,
        anchor: Anchor::Middle,
        colour: INK.dim,
        turned: true,
    });
    page.bottom = area.bottom() + 18.0 + LABEL;
    match (across.log, up.log) {
        (true, true) => ", both on logarithmic scales",
        (true, false) => "; importance on a logarithmic scale",
        (false, true) => "; divergence on a logarithmic scale",
        (false, false) => "",
    }
}

fn capital(words: &str) -> String {
    let mut characters = words.chars();
    characters
        .next()
        .map(|first| first.to_uppercase().collect::<String>() + characters.as_str())
        .unwrap_or_default()
}

/// Names the components that do most damage, and the framed one, where their names lie on nothing else.
fn names(page: &mut Page, area: Rect, points: &[(Component, f64, f64)], place: &dyn Fn(f64, f64) -> Pos2, options: &FigureOptions) {
    let mut order: Vec<&(Component, f64, f64)> = points.iter().collect();
    order.sort_by(|a, b| b.2.total_cmp(&a.2));
    let framed = points.iter().filter(|point| options.component == Some(point.0));
    let mut taken: Vec<Rect> = points
        .iter()
        .map(|(_, share, damage)| Rect::from_center_size(place(*share, *damage), vec2(4.0, 4.0)))
        .collect();
    for (component, share, damage) in framed.chain(order.into_iter().take(NAMED)) {
        let (at, words) = (place(*share, *damage), component.to_string());
        let size = vec2(text_layout::width(&words, SMALL, Weight::Regular), SMALL);
        let sides = [
            vec2(5.5, -SMALL / 2.0),
            vec2(-5.5 - size.x, -SMALL / 2.0),
            vec2(-size.x / 2.0, -SMALL - 4.5),
            vec2(-size.x / 2.0, 4.5),
        ];
        let free = sides
            .iter()
            .map(|side| Rect::from_min_size(at + *side, size))
            .find(|room| area.shrink(2.0).contains_rect(*room) && !taken.iter().any(|other| other.intersects(*room)));
        if let Some(room) = free {
            page.write(room.left_center(), Align2::LEFT_CENTER, &words, SMALL, Weight::Regular, INK.text);
            taken.push(room.expand(1.0));
        }
    }
}

fn table(figures: &Figures, validation: &Validation) -> Table {
    let mut rows: Vec<(Component, f64, f64)> = Component::all(figures.layers())
        .zip(&validation.components)
        .map(|(component, damage)| (component, damage.divergence, damage.perplexity))
        .collect();
    rows.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.index().cmp(&b.0.index())));
    let mut columns = vec![
        Column::words("component", "Component"),
        Column::numbers("divergence_nats", "Divergence, nats"),
        Column::numbers("perplexity", "Perplexity"),
        Column::numbers("relative_importance_mean", "Mean RI, %"),
        Column::numbers("rank_mean", "Rank"),
    ];
    columns.extend(
        Behaviour::ALL.map(|behaviour| Column::numbers(format!("relative_importance_{}", behaviour.name().replace('-', "_")), behaviour.title()).unprinted()),
    );
    let row = |(component, divergence, perplexity): &(Component, f64, f64)| {
        let mut cells = vec![
            Cell::Words(component.to_string()),
            Cell::Number(*divergence, 4),
            Cell::Number(*perplexity, 3),
            Cell::Share(figures.relative_of(Basis::Mean, *component)),
            Cell::Whole(figures.ranks(Basis::Mean).overall(*component)),
        ];
        cells.extend(Behaviour::ALL.map(|behaviour| {
            let value = figures.has(behaviour).then(|| figures.relative_of(Basis::Behaviour(behaviour), *component));
            Cell::share(value)
        }));
        cells
    };
    Table {
        caption: format!(
            "Components by the damage of compressing each alone, with their importance; {}, perplexity {:.2} without",
            format::things(validation.predictions, "prediction", "predictions"),
            validation.perplexity
        ),
        columns,
        rows: rows.iter().map(row).collect(),
        printed: PRINTED,
    }
}

#[cfg(test)]
mod tests {
    use cruxscope_study::test_data as samples;
    use cruxscope_study::{Degradation, FileDigest};

    use super::*;
    use crate::importance::assert_tidy;

    fn validation(layers: usize) -> Validation {
        Validation {
            program: "cruxscope 0.1.0".into(),
            treatment: Default::default(),
            data: FileDigest::default(),
            model_files: Vec::new(),
            predictions: 1022,
            run: None,
            perplexity: 6.3,
            components: Component::all(layers)
                .map(|component| Degradation {
                    component: component.to_string(),
                    divergence: ((component.index() * 7919) % 101) as f64 / 1e4 - 0.000_1,
                    perplexity: 6.4,
                })
                .collect(),
        }
    }

    #[test]
    fn a_scatter_is_tidy_and_says_its_correlation() {
        for layers in [1, 6, 40] {
            let study = samples::study(layers);
            let figures = Figures::of(&study);
            for behaviour in [None, Some(Behaviour::Backtracking)] {
                let options = FigureOptions {
                    behaviour,
                    component: figures.first(Basis::Mean),
                    ..FigureOptions::default()
                };
                let figure = figure(&study, &figures, &validation(layers), &options);
                assert_tidy(&figure);
                assert!(figure.description.contains("rho = "), "{}", figure.description);
                assert_eq!(figure.table.rows.len(), layers * 7);
            }
        }
    }
}
