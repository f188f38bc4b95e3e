//! The figure of a module opened into its parts, such as the experts of a mixture: a row a layer, a column a part.

use cruxscope_selectors::parts::{self, ModuleParts};
use cruxscope_selectors::{Basis, Figures, format, provenance, status};
use cruxscope_study::{Behaviour, Component, PartMaps, Study};
use cruxscope_theme::colour_map::ColourMap;
use egui::{Align2, pos2};

use super::page::{LABEL, Page};
use super::raster::{Raster, SIDE};
use super::{Cell, Column, Figure, FigureOptions, Stamp, Table, file_stem, importance};

/// Rows of the table in print.
const PRINTED: usize = 20;
/// Width of the colour bar.
const BAR: f32 = 260.0;

/// The figure of the module of `options.component`, or else the first that has parts, for `options.behaviour`, or else the first that occurs; nothing
/// where no component is made of parts.
pub fn figure(study: &Study, figures: &Figures, maps: &PartMaps, options: &FigureOptions) -> Option<Figure> {
    let layout = study.manifest.model.parts.as_ref()?;
    let opened = ModuleParts::wanted(layout, options.component.map(|component| component.module))?;
    let behaviour = parts::behaviour(study, options.behaviour);
    let values = opened.values(figures, maps, behaviour);
    let things = opened.title();
    let title = format!("{things} of {}, {}", opened.module, status::title(study));
    let subtitle = [
        study.manifest.model.name.clone(),
        format!("definition {}", provenance::definition(study)),
        format!(
            "{} by {} {}",
            format::things(opened.layers, "layer", "layers"),
            format::count(opened.names.len()),
            things.to_lowercase()
        ),
    ];
    let mut page = Page::new(&title, &subtitle.join(" · "), options.bare);
    let (left, right, top) = (page.left(), page.right(), page.bottom);
    let count = study.manifest.segments[behaviour.index()].instances;
    importance::panel_head(&mut page, [left, right], top, behaviour, &format!("n = {}", format::count(count)), &[]);
    page.bottom += 20.0;
    let scale = ModuleParts::scale(options.scale, &values);
    let drawn: Vec<f32> = values.iter().map(|value| *value as f32).collect();
    let ends = [opened.names.first(), opened.names.last()].map(|name| name.cloned().unwrap_or_default());
    let raster = Raster {
        values: &drawn,
        width: opened.names.len(),
        layers: opened.layers,
        scale: &scale,
        map: ColourMap::Importance,
        axis: if opened.routed { "Expert" } else { "Part" },
        ends,
    };
    let pooled = raster.draw(&mut page);
    page.bottom += 12.0;
    let at = pos2(left + SIDE, page.bottom);
    let name = format!("Relative importance, {} scale", scale.scale.title().to_lowercase());
    page.colour_bar(at, BAR, &name, &scale.ticks(opened.count(), BAR), ColourMap::Importance);
    if pooled > 1 {
        let words = format!("a place is the largest of {pooled}");
        page.label(pos2(right, at.y + LABEL + 9.0), Align2::RIGHT_CENTER, &words);
    }
    let caption = format!(
        "{}, for {}. I of a component is the sum over its parts, so a row adds up to the component's relative importance{}.{}",
        opened.finding(figures, maps, behaviour),
        behaviour.title().to_lowercase(),
        if values.iter().any(|value| value.is_nan()) {
            "; grey where a layer has no such part"
        } else {
            ""
        },
        if opened.routed {
            " The activation of an expert exists for the tokens that were routed to it."
        } else {
            ""
        }
    );
    Some(Figure {
        name: format!("parts-{}-{}-{}", opened.module.short(), behaviour.name(), file_stem(status::title(study))),
        description: format!("Map of {}, layer by layer. {}.", title, opened.finding(figures, maps, behaviour)),
        title,
        drawing: page.finish(&caption),
        table: table(&opened, figures, maps, behaviour),
        stamp: Stamp::of(study),
    })
}

/// A behaviour in the names of columns.
fn key(behaviour: Behaviour) -> String {
    behaviour.name().replace('-', "_")
}

/// Every part, the one with the largest importance for the drawn behaviour first; all behaviours that occur.
fn table(opened: &ModuleParts, figures: &Figures, maps: &PartMaps, drawn: Behaviour) -> Table {
    let known: Vec<Behaviour> = Behaviour::ALL.into_iter().filter(|behaviour| figures.has(*behaviour)).collect();
    let values: Vec<Vec<f64>> = known.iter().map(|behaviour| opened.values(figures, maps, *behaviour)).collect();
    let width = opened.names.len();
    let first = known.iter().position(|behaviour| *behaviour == drawn).unwrap_or_default();
    let mut cells: Vec<usize> = (0..width * opened.layers)
        .filter(|cell| opened.place(cell / width, cell % width).is_some())
        .collect();
    let value = |behaviour: usize, cell: usize| values.get(behaviour).map_or(0.0, |values| values[cell]);
    cells.sort_by(|a, b| value(first, *b).total_cmp(&value(first, *a)).then(a.cmp(b)));
    let mut columns = vec![Column::words("part", "Part"), Column::words("component", "Component").unprinted()];
    for behaviour in &known {
        let column = Column::numbers(format!("relative_importance_{}", key(*behaviour)), "RI, %").of(behaviour.title());
        columns.push(if *behaviour == drawn { column } else { column.unprinted() });
    }
    let component_head = format!("of_component_{}", key(drawn));
    columns.push(Column::numbers(component_head, "Of its component, %").of(drawn.title()));
    columns.push(Column::numbers("tokens_routed", "Tokens, %"));
    columns.push(Column::numbers(format!("tokens_routed_{}", key(drawn)), "Tokens, %").of(drawn.title()));
    let row = |cell: usize| {
        let (layer, column) = (cell / width, cell % width);
        let component = Component::new(layer, opened.module);
        let whole = figures.relative_of(Basis::Behaviour(drawn), component);
        let place = opened.place(layer, column).unwrap_or_default();
        let share = |scope: usize| maps.shares.get(scope).and_then(|shares| shares.get(place)).copied();
        let share = |scope: usize| share(scope).map_or(Cell::Empty, Cell::Share);
        let mut cells = vec![Cell::Words(format!("{component}.{}", opened.names[column])), Cell::Words(component.to_string())];
        cells.extend((0..known.len()).map(|behaviour| Cell::Share(value(behaviour, cell))));
        cells.push(Cell::Share(if whole > 0.0 { value(first, cell) / whole } else { 0.0 }));
        cells.push(share(0));
        cells.push(share(1 + drawn.index()));
        cells
    };
    Table {
        caption: format!(
            "{} of {} by relative importance for {}",
            opened.title(),
            opened.module,
            drawn.title().to_lowercase()
        ),
        columns,
        rows: cells.iter().map(|cell| row(*cell)).collect(),
        printed: PRINTED,
    }
}

#[cfg(test)]
mod tests {
    use cruxscope_study::test_data as samples;

    use super::*;
    use crate::importance::assert_tidy;

    #[test]
    fn experts_are_tidy_however_many_there_are() {
        for (layers, experts) in [(2, 4), (6, 8), (24, 128), (61, 384)] {
            let study = samples::mixture(layers, experts);
            let figures = Figures::of(&study);
            let maps = study.parts.as_ref().unwrap();
            for component in [None, Some(Component::new(1, cruxscope_study::Module::Down))] {
                let options = FigureOptions {
                    component,
                    ..FigureOptions::default()
                };
                let figure = figure(&study, &figures, maps, &options).unwrap();
                assert_tidy(&figure);
                assert_eq!(figure.table.rows.len(), (layers - 1) * (experts + 1));
                let sum: f64 = figure
                    .table
                    .rows
                    .iter()
                    .filter_map(|row| if let Cell::Share(value) = row[2] { Some(value) } else { None })
                    .sum();
                assert!(sum > 0.0 && sum < 1.0, "{sum}");
            }
        }
    }

    #[test]
    fn a_dense_model_has_no_such_figure() {
        let study = samples::study(3);
        let maps = samples::mixture(3, 4).parts.unwrap();
        assert_eq!(figure(&study, &Figures::of(&study), &maps, &FigureOptions::default()), None);
    }
}
