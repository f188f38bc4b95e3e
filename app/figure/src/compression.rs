//! The figure of a compression: one number of each matrix, of what compression did to it.

use cruxscope_selectors::compression::{self, Measure};
use cruxscope_selectors::scale::LegendTick;
use cruxscope_selectors::{Basis, ColourScale, Figures, status};
use cruxscope_study::{Component, CompressionMap, Study};
use cruxscope_theme::colour_map::ColourMap;
use egui::{Align2, pos2};

use super::grid::{self, Content, Grid};
use super::markers::{self, Mark};
use super::page::{HEAD, INK, LABEL, Page};
use super::text_layout::Weight;
use super::{Cell, Column, Figure, FigureOptions, Stamp, Table, file_stem};

/// Components whose ranks are marked.
const MARKED: usize = 3;
/// Width of the colour bar.
const BAR: f32 = 260.0;
/// Rows of the table in print.
const PRINTED: usize = 15;

/// The figure of a measure, or of the first that is known; nothing where none is.
pub fn figure(study: &Study, figures: &Figures, saved: Option<&CompressionMap>, wanted: Option<Measure>, options: &FigureOptions) -> Option<Figure> {
    let map = compression::known(study, saved)?;
    let known = compression::measures(&map);
    let measure = wanted.filter(|measure| known.contains(measure)).or(known.first().copied())?;
    let basis = Basis::from(options.behaviour);
    let lines = compression::lines(&map, figures, basis, measure);
    let title = format!("{}, {}", measure.title(), status::title(study));
    let mut subtitle = vec![map.model.clone(), map.summary.clone()];
    subtitle.retain(|part| !part.is_empty());
    let mut page = Page::new(&title, &subtitle.join(" · "), options.bare);
    let scale = compression::scale(&map, measure, options.scale);
    let (left, top) = (page.left(), page.bottom);
    if let Some(found) = compression::correlation(&lines) {
        let signed = |value: f64| format!("{value:.2}").replace('-', "−");
        let words = format!(
            "rank correlation with importance {} [{}, {}], n = {}",
            signed(found.rho),
            signed(found.low),
            signed(found.high),
            found.n
        );
        let right = page.right();
        page.label(pos2(right, top + HEAD / 2.0), Align2::RIGHT_CENTER, &words);
    }
    if options.bare {
        let at = pos2(left, top + HEAD / 2.0);
        page.write(at, Align2::LEFT_CENTER, measure.title(), HEAD, Weight::Strong, INK.text);
    }
    let grid = Grid::new(pos2(left + grid::NAMES, top + 20.0), page.width() - grid::NAMES, figures.layers());
    let value = |component: Component| map.components.get(component.index()).and_then(|entry| measure.of(entry));
    let first: Vec<Component> = match measure {
        // Many matrices share their bits, so no three of them are the first.
        Measure::Bits | Measure::Sparsity => Vec::new(),
        _ => lines.iter().map(|line| line.component).take(MARKED).collect(),
    };
    grid.draw(
        &mut page,
        &Content {
            value: &|component| value(component).unwrap_or(f64::NAN),
            written: &|component| value(component).map(|value| measure.text(value).replace('\u{a0}', "")).unwrap_or_default(),
            first: &first,
            framed: options.component,
            scale,
            map: ColourMap::Decreases,
        },
    );
    grid.names(&mut page);
    grid.numbers(&mut page);
    page.bottom = top + 20.0 + grid.size().y + grid::NUMBERS;
    let bottom = page.bottom;
    grid::axis(&mut page, left + grid::NAMES + grid.size().x / 2.0, bottom + 1.0);
    page.bottom += grid::AXIS + 10.0;
    let at = pos2(left + grid::NAMES, page.bottom);
    let name = format!("{}, {} scale", measure.title(), scale.scale.title().to_lowercase());
    let ticks = match measure {
        Measure::Bits | Measure::AwqScale => ends(&scale, measure),
        _ => scale.ticks(figures.components(), BAR),
    };
    page.colour_bar(at, BAR, &name, &ticks, ColourMap::Decreases);
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
    let whole = lines.len() == figures.components();
    let unknown = if whole { "" } else { " Grey: not known." };
    let caption = format!("{}: {}, by layer and module.{unknown}", measure.title(), measure.about());
    let description = format!(
        "Heatmap of {}, {}.{}",
        measure.title().to_lowercase(),
        measure.about(),
        lines
            .first()
            .map(|line| format!(
                " The largest is that of {}, {}.",
                line.component,
                measure.text(line.value).replace('\u{a0}', " ")
            ))
            .unwrap_or_default()
    );
    Some(Figure {
        name: format!("compression-{}-{}", measure.name(), file_stem(status::title(study))),
        title,
        description,
        drawing: page.finish(&caption),
        table: table(&map, figures, measure),
        stamp: Stamp::of(study),
    })
}

/// The values at both ends of the bar; one, where all are the same.
fn ends(scale: &ColourScale, measure: Measure) -> Vec<LegendTick> {
    let tick = |position: f32, value: f64| LegendTick {
        position,
        text: measure.text(value),
    };
    let mut ticks = vec![tick(0.0, scale.low)];
    if scale.high > scale.low {
        ticks.push(tick(1.0, scale.high));
    }
    ticks
}

/// Every component, the largest first, with all that is known of it.
fn table(map: &CompressionMap, figures: &Figures, measure: Measure) -> Table {
    let known = compression::measures(map);
    let mut columns = vec![
        Column::words("component", "Component"),
        Column::words("method", "Method"),
        Column::words("storage", "Stored as"),
        Column::numbers("relative_importance_mean", "Mean RI, %"),
    ];
    columns.extend(known.iter().map(|measure| Column::numbers(measure.name().replace('-', "_"), measure.title())));
    let mut order: Vec<Component> = Component::all(figures.layers()).collect();
    let size = |component: &Component| {
        map.components
            .get(component.index())
            .and_then(|entry| measure.of(entry))
            .unwrap_or(f64::NEG_INFINITY)
    };
    order.sort_by(|a, b| size(b).total_cmp(&size(a)).then(a.index().cmp(&b.index())));
    let row = |component: &Component| {
        let entry = map.components.get(component.index()).cloned().unwrap_or_default();
        let mut cells = vec![
            Cell::Words(component.to_string()),
            Cell::Words(entry.method.clone()),
            Cell::Words(entry.storage.clone()),
            Cell::Share(figures.relative_of(Basis::Mean, *component)),
        ];
        cells.extend(known.iter().map(|measure| match measure {
            Measure::Bits | Measure::AwqScale => Cell::number(measure.of(&entry), 2),
            _ => Cell::share(measure.of(&entry)),
        }));
        cells
    };
    Table {
        caption: format!("What compression did to each matrix, by {}", measure.title().to_lowercase()),
        columns,
        rows: order.iter().map(row).collect(),
        printed: PRINTED,
    }
}

#[cfg(test)]
mod tests {
    use cruxscope_study::ComponentCompression;
    use cruxscope_study::test_data as samples;

    use super::*;
    use crate::importance::assert_tidy;

    #[test]
    fn every_measure_makes_a_tidy_figure_and_none_makes_none() {
        for layers in [1, 6, 40, 400] {
            let study = samples::study(layers);
            let figures = Figures::of(&study);
            assert_eq!(figure(&study, &figures, None, None, &FigureOptions::default()), None);
            let map = CompressionMap {
                model: "small".into(),
                summary: "3-bit rounding in groups of 64".into(),
                components: Component::all(layers)
                    .map(|component| ComponentCompression {
                        component: component.to_string(),
                        bits: (component.index() % 5 > 0).then_some(3.0 + (component.index() % 3) as f64),
                        weight_error: Some(0.01 * (component.index() % 11) as f64),
                        ..ComponentCompression::default()
                    })
                    .collect(),
                ..CompressionMap::default()
            };
            for measure in [None, Some(Measure::Bits), Some(Measure::AwqScale)] {
                let figure = figure(&study, &figures, Some(&map), measure, &FigureOptions::default()).unwrap();
                assert_tidy(&figure);
                assert_eq!(figure.table.rows.len(), layers * 7);
            }
        }
    }
}
