//! The figure of channels: a module opened into its output features, a row a layer; what has no room for a column of its own is
//! drawn by the largest of its neighbours.

use cruxscope_selectors::scale::LegendTick;
use cruxscope_selectors::{Basis, ColourScale, Figures, Scale, channels, format, provenance, status};
use cruxscope_study::{Behaviour, ChannelMaps, Component, Module, Study};
use cruxscope_theme::colour_map::ColourMap;
use egui::{Align2, pos2};

use super::page::{LABEL, Page};
use super::raster::{self, Raster, SIDE};
use super::{Cell, Column, Figure, FigureOptions, Stamp, Table, file_stem, importance};

/// Channels that the table lists of each layer.
const LISTED: usize = 5;
/// Rows of the table in print.
const PRINTED: usize = 20;
/// Width of the colour bar.
const BAR: f32 = 260.0;

/// The figure of the module of `options.component`, or of the one that ranks first, for `options.behaviour`, or the first that
/// occurs; nothing where the study has no channels.
pub fn figure(study: &Study, figures: &Figures, maps: &ChannelMaps, options: &FigureOptions) -> Option<Figure> {
    let behaviour = options.behaviour.filter(|behaviour| figures.has(*behaviour));
    let behaviour = behaviour.or_else(|| Behaviour::ALL.into_iter().find(|behaviour| figures.has(*behaviour)))?;
    let chosen = options.component.filter(|component| figures.holds(*component));
    let module = chosen.or_else(|| figures.first(Basis::Behaviour(behaviour)))?.module;
    let (width, layers) = (maps.channels[module.index()], figures.layers());
    let values = channels::values(maps, behaviour, module);
    if width == 0 || values.len() != width * layers {
        return None;
    }
    let title = format!("Channels of {}, {}", module, status::title(study));
    let subtitle = [
        study.manifest.model.name.clone(),
        format!("definition {}", provenance::definition(study)),
        format!("{} by {} channels", format::things(layers, "layer", "layers"), format::count(width)),
    ];
    let mut page = Page::new(&title, &subtitle.join(" · "), options.bare);
    let (left, right, top) = (page.left(), page.right(), page.bottom);
    let count = study.manifest.segments[behaviour.index()].instances;
    importance::panel_head(&mut page, [left, right], top, behaviour, &format!("n = {}", format::count(count)), &[]);
    page.bottom += 20.0;
    let scale = if options.scale == Scale::Rank { Scale::Linear } else { options.scale };
    let sizes: Vec<f64> = values.iter().map(|value| f64::from(*value)).filter(|value| value.is_finite()).collect();
    let scale = ColourScale::centred_over(scale, &sizes);
    let raster = Raster {
        values,
        width,
        layers,
        scale: &scale,
        map: ColourMap::Net,
        axis: "Channel",
        ends: raster::counted(width),
    };
    let pooled = raster.draw(&mut page);
    page.bottom += 12.0;
    let at = pos2(left + SIDE, page.bottom);
    let tick = |position: f32, text: String| LegendTick { position, text };
    let ticks = [
        tick(0.0, format::signed(-scale.high)),
        tick(0.5, "0".to_owned()),
        tick(1.0, format::signed(scale.high)),
    ];
    let name = format!("Term of the importance, {} scale on both sides", scale.scale.title().to_lowercase());
    page.colour_bar(at, BAR, &name, &ticks, ColourMap::Net);
    if pooled > 1 {
        let words = format!("a place is the largest of {pooled} channels");
        page.label(pos2(right, at.y + LABEL + 9.0), Align2::RIGHT_CENTER, &words);
    }
    let mut caption = format!(
        "Signed terms of the importance of {module} for {}, output feature by output feature: their sum over a row, without its sign, is the importance \
         of the layer's matrix under the definition paper.",
        behaviour.title().to_lowercase()
    );
    if pooled > 1 {
        caption.push_str(&format!(
            " {pooled} neighbouring channels share a place and show the largest of them, so that no outlier vanishes."
        ));
    }
    Some(Figure {
        name: format!("channels-{}-{}-{}", module.short(), behaviour.name(), file_stem(status::title(study))),
        description: description(maps, behaviour, module, layers),
        title,
        drawing: page.finish(&caption),
        table: table(maps, behaviour, module, layers),
        stamp: Stamp::of(study),
    })
}

fn description(maps: &ChannelMaps, behaviour: Behaviour, module: Module, layers: usize) -> String {
    let all = (0..layers).flat_map(|layer| {
        let component = Component::new(layer, module);
        channels::largest(maps, behaviour, component, 1).into_iter().map(move |line| (component, line))
    });
    let first = all.max_by(|a, b| a.1.value.abs().total_cmp(&b.1.value.abs()));
    let first = first.map(|(component, line)| {
        let value = format::signed(line.value);
        format!(" The largest is channel {} of {component}, {value}.", format::count(line.channel + 1))
    });
    format!(
        "Map of the channels of {module} for {}, layer by layer.{}",
        behaviour.title().to_lowercase(),
        first.unwrap_or_default()
    )
}

/// The largest channels of every layer, the layer with the largest first.
fn table(maps: &ChannelMaps, behaviour: Behaviour, module: Module, layers: usize) -> Table {
    let mut rows: Vec<_> = (0..layers)
        .map(|layer| Component::new(layer, module))
        .flat_map(|component| {
            let lines = channels::largest(maps, behaviour, component, LISTED);
            lines.into_iter().map(move |line| (component, line))
        })
        .collect();
    rows.sort_by(|a, b| b.1.value.abs().total_cmp(&a.1.value.abs()).then(a.0.index().cmp(&b.0.index())));
    Table {
        caption: format!(
            "The {LISTED} largest channels of {module} in each layer for {}",
            behaviour.title().to_lowercase()
        ),
        columns: vec![
            Column::words("component", "Component"),
            Column::numbers("channel", "Channel"),
            Column::numbers("value", "Term"),
            Column::numbers("share_of_sizes", "Share of sizes, %"),
        ],
        rows: rows
            .into_iter()
            .map(|(component, line)| {
                vec![
                    Cell::Words(component.to_string()),
                    Cell::Whole(line.channel + 1),
                    Cell::Number(line.value, 4),
                    Cell::Share(line.share),
                ]
            })
            .collect(),
        printed: PRINTED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cruxscope_study::test_data as samples;

    use crate::importance::assert_tidy;

    fn maps(layers: usize, width: usize) -> ChannelMaps {
        let of = |_| {
            let value = |index: usize| if index == width + 1 { -9.0 } else { ((index * 31) % 7) as f32 / 7.0 - 0.4 };
            vec![(0..layers * width).map(value).collect(); 7]
        };
        ChannelMaps {
            channels: [width; 7],
            values: (0..4).map(of).collect(),
            parts: Vec::new(),
        }
    }

    #[test]
    fn channels_are_tidy_however_many_there_are() {
        for (layers, width) in [(2, 3), (6, 96), (32, 1500), (120, 40)] {
            let study = samples::study(layers);
            let figures = Figures::of(&study);
            let figure = figure(&study, &figures, &maps(layers, width), &FigureOptions::default()).unwrap();
            assert_tidy(&figure);
            assert_eq!(figure.table.rows.len(), layers * LISTED.min(width));
            assert_eq!(figure.table.rows[0][1], Cell::Whole(2));
            assert!(figure.description.contains("channel 2 of 2_gate, −9.00"), "{}", figure.description);
        }
        let study = samples::study(3);
        assert_eq!(
            figure(&study, &Figures::of(&study), &maps(2, 4), &FigureOptions::default()),
            None,
            "another model's"
        );
    }
}
