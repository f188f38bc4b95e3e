//! The figure of a study's importance: a panel for each behaviour on one scale, the three highest components marked.

use cruxscope_selectors::{Basis, Figures, Scale, format, panels, provenance, status};
use cruxscope_study::{Behaviour, Component, Study};
use cruxscope_theme::colour_map::ColourMap;
use egui::{Align2, pos2};

use super::grid::{self, Content, Grid};
use super::markers::{self, Mark};
use super::page::{HEAD, INK, LABEL, Page};
use super::text_layout::{self, Weight};
use super::{Cell, Column, Figure, FigureOptions, Stamp, Table, file_stem};

/// Components whose ranks are marked in a panel.
const MARKED: usize = 3;
/// From so many layers on, panels stand below each other rather than in two columns.
const ONE_COLUMN_FROM: usize = 49;
/// Between two columns of panels.
const GAP: f32 = 20.0;
/// Height of a panel's head.
const PANEL_HEAD: f32 = 20.0;
/// Width from which on a panel's head ends where its grid does.
const LEAST_HEAD: f32 = 260.0;
/// Between two rows of panels.
const ROW_GAP: f32 = 14.0;
/// Width of the colour bar.
const BAR: f32 = 260.0;
/// Rows of the table in print.
const PRINTED: usize = 15;

/// The figure.
pub fn figure(study: &Study, figures: &Figures, options: &FigureOptions) -> Figure {
    let manifest = &study.manifest;
    let shown = options.behaviours();
    let title = match options.behaviour {
        Some(behaviour) => format!("Importance for {}, {}", behaviour.title().to_lowercase(), status::title(study)),
        None => format!("Importance, {}", status::title(study)),
    };
    let subtitle = [
        manifest.model.name.clone(),
        format!("definition {}", provenance::definition(study)),
        format::things(manifest.instances.len(), "instance", "instances"),
        format::things(manifest.segments_used(), "segment", "segments"),
    ];
    let mut page = Page::new(&title, &subtitle.join(" · "), options.bare);
    let columns = if shown.len() > 1 && figures.layers() < ONE_COLUMN_FROM { 2 } else { 1 };
    let width = (page.width() - GAP * (columns as f32 - 1.0)) / columns as f32;
    let scales = panels::scales(figures, options.scale, options.unlocked);
    let (mut pooled, mut ranked) = (1, false);
    for row in shown.chunks(columns) {
        let top = page.bottom;
        for (column, behaviour) in row.iter().enumerate() {
            let left = page.left() + (width + GAP) * column as f32;
            let origin = pos2(left + grid::NAMES, top + PANEL_HEAD);
            let grid = Grid::new(origin, width - grid::NAMES, figures.layers());
            (pooled, ranked) = (grid.pooled, grid.ranks_are_written());
            panel(
                &mut page,
                &grid,
                [left, left + width],
                top,
                study,
                figures,
                *behaviour,
                scales[behaviour.index()],
                options,
            );
            page.bottom = page.bottom.max(top + PANEL_HEAD + grid.size().y + grid::NUMBERS);
        }
        page.bottom += ROW_GAP;
    }
    page.bottom -= ROW_GAP;
    for column in 0..columns.min(shown.len()) {
        let left = page.left() + (width + GAP) * column as f32 + grid::NAMES;
        let grid = Grid::new(pos2(left, 0.0), width - grid::NAMES, figures.layers());
        let bottom = page.bottom;
        grid::axis(&mut page, left + grid.size().x / 2.0, bottom + 1.0);
    }
    page.bottom += grid::AXIS + 10.0;
    legend(&mut page, figures, options, ranked, pooled);
    let drawing = page.finish(&caption(study, figures, options, pooled));
    Figure {
        name: format!("importance-{}", file_stem(status::title(study))),
        title,
        description: description(study, figures, &shown),
        drawing,
        table: table(study, figures),
        stamp: Stamp::of(study),
    }
}

/// One panel: its head, and its grid or why it has none.
fn panel(
    page: &mut Page,
    grid: &Grid,
    [left, right]: [f32; 2],
    top: f32,
    study: &Study,
    figures: &Figures,
    behaviour: Behaviour,
    scale: cruxscope_selectors::ColourScale,
    options: &FigureOptions,
) {
    let basis = Basis::Behaviour(behaviour);
    let head = panels::head(study, figures, behaviour);
    // The head ends where the grid does, unless that leaves it no room.
    let end = left + grid::NAMES + grid.size().x;
    let right = if end - left > LEAST_HEAD { right.min(end) } else { right };
    let own = options.unlocked[behaviour.index()] && scale.scale != Scale::Rank;
    let asides = head.first.map_or(Vec::new(), |first| {
        let value = format::percent(figures.relative_of(basis, first));
        let own = if own { "own scale · " } else { "" };
        vec![
            format!("{own}highest {first}, {value}"),
            format!("{own}{first}, {value}"),
            format!("{own}{first}"),
        ]
    });
    panel_head(page, [left, right], top, behaviour, &head.instances_short, &asides);
    if let Some(reason) = panels::empty_reason(study, figures, behaviour) {
        let middle = top + PANEL_HEAD + grid.size().y / 2.0;
        for (line, words) in text_layout::wrap(&reason, LABEL, Weight::Regular, right - left - grid::NAMES)
            .iter()
            .enumerate()
        {
            page.label(pos2(left + grid::NAMES, middle + line as f32 * 13.0), Align2::LEFT_CENTER, words);
        }
        return;
    }
    let marked: Vec<Component> = figures.ranks(basis).order().iter().copied().take(MARKED).collect();
    let content = Content {
        value: &|component| panels::cell(figures, basis, component, options.scale),
        written: &|component| match options.scale {
            Scale::Rank => figures.ranks(basis).overall(component).to_string(),
            _ => format::percent_in_cell(figures.relative_of(basis, component), false),
        },
        first: &marked,
        framed: options.component,
        scale,
        map: ColourMap::Importance,
    };
    grid.draw(page, &content);
    grid.names(page);
    grid.numbers(page);
}

/// The head of a panel: the behaviour's sign and name, the number of instances, and on the right the first of some texts that fits.
pub fn panel_head(page: &mut Page, [left, right]: [f32; 2], top: f32, behaviour: Behaviour, number: &str, asides: &[String]) {
    let width = |words: &str| text_layout::width(words, LABEL, Weight::Regular);
    let middle = top + markers::SIGN / 2.0;
    markers::behaviour(page, pos2(left + markers::SIGN / 2.0, middle), behaviour);
    let at = pos2(left + markers::SIGN + 6.0, middle);
    page.write(at, Align2::LEFT_CENTER, behaviour.title(), HEAD, Weight::Strong, INK.text);
    let mut free = at.x + text_layout::width(behaviour.title(), HEAD, Weight::Strong) + 7.0;
    if width(number) < right - free {
        page.label(pos2(free, middle), Align2::LEFT_CENTER, number);
        free += width(number) + 10.0;
    }
    if let Some(words) = asides.iter().find(|words| width(words) <= right - free) {
        page.label(pos2(right, middle), Align2::RIGHT_CENTER, words);
    }
}

fn legend(page: &mut Page, figures: &Figures, options: &FigureOptions, ranked: bool, pooled: usize) {
    let scale = match options.behaviour {
        Some(behaviour) => panels::scales(figures, options.scale, options.unlocked)[behaviour.index()],
        None => panels::shared_scale(figures, options.scale, options.unlocked),
    };
    let top = page.bottom;
    let name = match options.scale {
        Scale::Rank => "Rank of relative importance within a panel".to_owned(),
        scale => format!("Relative importance, {} scale", scale.title().to_lowercase()),
    };
    let at = pos2(page.left() + grid::NAMES, top);
    page.colour_bar(at, BAR, &name, &scale.ticks(figures.components(), BAR), ColourMap::Importance);
    let highest = if ranked {
        (Mark::Words("1 2 3"), "the highest three of a panel".to_owned())
    } else {
        (Mark::Dot, "the highest of a panel".to_owned())
    };
    let mut entries = vec![highest];
    if let Some(component) = options.component {
        entries.insert(0, (Mark::Frame, component.to_string()));
    }
    markers::legend(page, at.y + LABEL + 9.0, &entries);
    if pooled > 1 {
        let words = format!("a column is the largest of {pooled} layers");
        page.label(pos2(page.right(), at.y + LABEL + 22.0), Align2::RIGHT_CENTER, &words);
    }
}

fn caption(study: &Study, figures: &Figures, options: &FigureOptions, pooled: usize) -> String {
    let model = &study.manifest.model;
    let which = match options.behaviour {
        Some(behaviour) => format!("while the model shows {}", behaviour.title().to_lowercase()),
        None => "for four reasoning behaviours".to_owned(),
    };
    let mut text = format!(
        "Relative importance of every weight matrix of {} {which}: the share of a matrix in the importance of all {}, by layer and module.",
        model.name,
        format::count(figures.components())
    );
    let own = options.unlocked.iter().any(|own| *own) && options.scale != Scale::Rank;
    text.push_str(match (options.scale, own, options.behaviour) {
        (Scale::Rank, ..) => " Colours say how far up the order of its panel a matrix stands.",
        (_, true, None) => " Panels marked so have a scale of their own; the colour bar is that of the others.",
        (_, _, None) => " All panels have one scale.",
        _ => "",
    });
    text.push_str(" n counts the instances that show a behaviour.");
    if pooled > 1 {
        text.push_str(&format!(" Each column stands for {pooled} layers and shows the largest of them."));
    }
    text
}

fn description(study: &Study, figures: &Figures, shown: &[Behaviour]) -> String {
    let highest: Vec<String> = shown
        .iter()
        .map(|behaviour| {
            let basis = Basis::Behaviour(*behaviour);
            match figures.first(basis) {
                Some(first) => format!("{}: {first} with {}", behaviour.title(), format::percent(figures.relative_of(basis, first))),
                None => format!("{}: no instance", behaviour.title()),
            }
        })
        .collect();
    format!(
        "Heatmaps of relative importance of the weight matrices of {} by layer and module. The highest are, {}.",
        study.manifest.model.name,
        highest.join("; ").replace('\u{a0}', " ")
    )
}

/// Every component, the highest mean first: relative importance, its rank and the importance itself for each behaviour.
pub fn table(study: &Study, figures: &Figures) -> Table {
    let mut columns = vec![
        Column::numbers("rank_mean", "Rank"),
        Column::words("component", "Component"),
        Column::numbers("layer", "Layer").unprinted(),
        Column::words("module", "Module").unprinted(),
        Column::numbers("relative_importance_mean", "Mean, %"),
    ];
    for behaviour in Behaviour::ALL {
        let (name, printed) = (behaviour.name().replace('-', "_"), figures.has(behaviour));
        let relative = Column::numbers(format!("relative_importance_{name}"), "%").of(behaviour.title());
        let rank = Column::numbers(format!("rank_{name}"), "Rank").of(behaviour.title());
        let importance = Column::numbers(format!("importance_{name}"), "I").of(behaviour.title()).unprinted();
        columns.extend([relative, rank, importance].map(|column| Column {
            printed: column.printed && printed,
            ..column
        }));
    }
    let row = |component: &Component| {
        let mut cells = vec![
            Cell::Whole(figures.ranks(Basis::Mean).overall(*component)),
            Cell::Words(component.to_string()),
            Cell::Whole(component.layer.number()),
            Cell::Words(component.module.projection().to_owned()),
            Cell::Share(figures.relative_of(Basis::Mean, *component)),
        ];
        for behaviour in Behaviour::ALL {
            let basis = Basis::Behaviour(behaviour);
            cells.extend(if figures.has(behaviour) {
                [
                    Cell::Share(figures.relative_of(basis, *component)),
                    Cell::Whole(figures.ranks(basis).overall(*component)),
                    Cell::Number(figures.importance(behaviour, *component), 4),
                ]
            } else {
                [Cell::Empty, Cell::Empty, Cell::Empty]
            });
        }
        cells
    };
    Table {
        caption: format!(
            "Components of {} by mean relative importance over behaviours, in percent, with ranks among all {}",
            study.manifest.model.name,
            format::count(figures.components())
        ),
        columns,
        rows: figures.ranks(Basis::Mean).order().iter().map(row).collect(),
        printed: PRINTED,
    }
}

#[cfg(test)]
pub(crate) use tests::assert_tidy;

#[cfg(test)]
mod tests {
    use super::*;
    use cruxscope_study::test_data as samples;
    use egui::Rect;

    /// Nothing may leave the page, and no text may lie on another.
    pub(crate) fn assert_tidy(figure: &Figure) {
        let page = Rect::from_min_size(pos2(0.0, 0.0), figure.drawing.size);
        let boxes = figure.drawing.text_boxes();
        for (words, place) in &boxes {
            assert!(page.shrink(4.0).contains_rect(*place), "\"{words}\" leaves the page at {place:?}");
        }
        for (position, (words, place)) in boxes.iter().enumerate() {
            for (other, covered) in &boxes[position + 1..] {
                assert!(!place.shrink(0.3).intersects(covered.shrink(0.3)), "\"{words}\" lies on \"{other}\"");
            }
        }
    }

    #[test]
    fn every_number_of_layers_makes_a_tidy_figure() {
        for layers in [1, 2, 6, 12, 30, 48, 49, 80, 126, 700] {
            let study = samples::study(layers);
            let figures = Figures::of(&study);
            for scale in Scale::ALL {
                let options = FigureOptions {
                    scale,
                    component: figures.first(Basis::Mean),
                    ..FigureOptions::default()
                };
                assert_tidy(&figure(&study, &figures, &options));
            }
            let options = FigureOptions {
                behaviour: Some(Behaviour::Backtracking),
                bare: true,
                unlocked: [true, false, true, false],
                ..FigureOptions::default()
            };
            assert_tidy(&figure(&study, &figures, &options));
        }
    }

    #[test]
    fn long_names_are_cut_and_words_wrapped() {
        let mut study = samples::study(30);
        study.manifest.title = "a very long title ".repeat(40);
        study.manifest.model.name = "DeepSeek-R1-Distill-Llama-8B-with-a-name-that-does-not-end-".repeat(6);
        let figure = figure(&study, &Figures::of(&study), &FigureOptions::default());
        assert_tidy(&figure);
        assert!(figure.name.len() <= 80);
    }

    #[test]
    fn the_description_names_what_stands_out() {
        let study = samples::study(6);
        let figure = figure(&study, &Figures::of(&study), &FigureOptions::default());
        assert!(figure.description.contains("Backtracking: 6_gate with ") && figure.description.contains("Adding knowledge: no instance"));
        assert_eq!(figure.table.rows.len(), 42);
    }
}
