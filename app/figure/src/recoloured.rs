//! A drawing in the colours of the dark theme. Figures are drawn for print; on a dark stage the same drawing has the dark theme's ground, inks and
//! maps.
//!
//! Colours of the light theme have their counterparts by name. Steps of a colour map have theirs by place, and what is written on a cell
//! takes the ink that is read on its new colour.

use std::collections::HashMap;

use cruxscope_selectors::results::MethodKind;
use cruxscope_study::{Behaviour, Module};
use cruxscope_theme::Palette;
use cruxscope_theme::colour_map::ColourMap;
use egui::{Color32, Pos2, Rect};

use super::drawing::{Drawing, Item, Line, Paint};

/// The dark theme's colour for every colour of the light one.
struct Counterparts {
    known: HashMap<[u8; 4], Color32>,
}

impl Counterparts {
    fn new() -> Self {
        let (light, dark) = (&Palette::LIGHT, &Palette::DARK);
        let mut known = HashMap::new();
        // Maps first: a colour that is an ink too is that.
        for map in [ColourMap::Decreases, ColourMap::Increases, ColourMap::Net] {
            for (from, to) in map.steps(false).iter().zip(map.steps(true)) {
                known.insert(from.to_array(), *to);
            }
        }
        let mut pair = |from: Color32, to: Color32| {
            known.insert(from.to_array(), to);
        };
        for behaviour in Behaviour::ALL {
            pair(light.behaviour(behaviour), dark.behaviour(behaviour));
            let tint = |palette: &Palette| palette.tint(palette.behaviour(behaviour));
            pair(tint(light), tint(dark));
        }
        for module in Module::ALL {
            pair(light.module(module), dark.module(module));
        }
        for kind in MethodKind::ALL {
            pair(light.method(kind), dark.method(kind));
        }
        let inks = |palette: &Palette| {
            [
                palette.missing,
                palette.crosshair,
                palette.selection,
                palette.accent,
                palette.error,
                palette.chosen,
                palette.raised,
                palette.line,
                palette.ground,
                palette.panel,
                palette.faint,
                palette.dim,
                palette.text,
            ]
        };
        for (from, to) in inks(light).into_iter().zip(inks(dark)) {
            pair(from, to);
        }
        Self { known }
    }

    fn of(&self, colour: Color32) -> Color32 {
        self.known.get(&colour.to_array()).copied().unwrap_or(colour)
    }

    fn paint(&self, paint: Paint) -> Paint {
        Paint {
            fill: paint.fill.map(|fill| self.of(fill)),
            line: paint.line.map(|line| Line {
                colour: self.of(line.colour),
                ..line
            }),
        }
    }
}

/// The drawing in the dark theme.
pub fn dark(drawing: &Drawing) -> Drawing {
    let counterparts = Counterparts::new();
    // What is filled so far, to know what a text is written on: cells lie one after another, so the last one that holds it counts.
    let mut filled: Vec<(Rect, Color32)> = Vec::new();
    let items = drawing.items.iter().map(|item| match item {
        Item::Rectangle(rect, radius, paint) => {
            let paint = counterparts.paint(*paint);
            filled.extend(paint.fill.map(|fill| (*rect, fill)));
            Item::Rectangle(*rect, *radius, paint)
        }
        Item::Circle(centre, radius, paint) => {
            // A dot on a cell is as dark or as light as what is written there.
            let fill = paint.fill.map(|fill| on(&filled, *centre, fill).unwrap_or_else(|| counterparts.of(fill)));
            Item::Circle(
                *centre,
                *radius,
                Paint {
                    fill,
                    ..counterparts.paint(*paint)
                },
            )
        }
        Item::Path(points, paint) => Item::Path(points.clone(), counterparts.paint(*paint)),
        Item::Text(text) => {
            let mut text = text.clone();
            let middle = text.at - egui::vec2(0.0, text.size * 0.3);
            text.colour = on(&filled, middle, text.colour).unwrap_or_else(|| counterparts.of(text.colour));
            Item::Text(text)
        }
    });
    Drawing {
        items: items.collect(),
        size: drawing.size,
    }
}

/// The ink on what is filled at a place, for an ink that was chosen by what lay under it.
fn on(filled: &[(Rect, Color32)], at: Pos2, ink: Color32) -> Option<Color32> {
    let chosen = [Palette::ink_on(Color32::BLACK), Palette::ink_on(Color32::WHITE)];
    let (_, ground) = filled.iter().rev().find(|(rect, _)| rect.contains(at)).filter(|_| chosen.contains(&ink))?;
    Some(Palette::ink_on(*ground))
}

#[cfg(test)]
mod tests {
    use cruxscope_selectors::Figures;
    use cruxscope_study::test_data as samples;
    use cruxscope_theme::contrast;

    use super::*;
    use crate::{FigureOptions, importance};

    #[test]
    fn nothing_is_lost_and_every_text_is_read_on_the_dark_ground() {
        let study = samples::study(6);
        let figure = importance::figure(&study, &Figures::of(&study), &FigureOptions::default());
        let found = dark(&figure.drawing);
        assert_eq!(found.items.len(), figure.drawing.items.len());
        let mut filled: Vec<(Rect, Color32)> = Vec::new();
        for item in &found.items {
            match item {
                Item::Rectangle(rect, _, paint) => filled.extend(paint.fill.map(|fill| (*rect, fill))),
                Item::Text(text) => {
                    let middle = text.at - egui::vec2(0.0, text.size * 0.3);
                    let ground = filled.iter().rev().find(|(rect, _)| rect.contains(middle));
                    let ground = ground.map_or(Palette::DARK.panel, |(_, colour)| *colour);
                    assert!(contrast(text.colour, ground) >= 3.0, "{} on {ground:?}", text.words);
                }
                _ => {}
            }
        }
    }
}
