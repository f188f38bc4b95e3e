//! The importance view: four panels on one scale, the legend under them, the ranking list under that.

mod legend;
mod opened;
mod panel;
pub(super) mod ranking;
mod tooltip;

use cruxscope_selectors::{Scale, panels};
use cruxscope_study::Behaviour;
use cruxscope_theme::sizes;
use egui::{Rect, ScrollArea, Sense, Ui, pos2, vec2};

use super::scene::{Scene, View};
use super::toolbar;
use crate::action::Action;
use crate::open::Part;
use crate::state::State;
use crate::studies::OpenStudy;
use crate::views::inspector;

/// The importance view.
pub struct ImportanceView;

/// The least height of a panel over the parts of a module.
const OPENED: f32 = 130.0;

/// How the figure divides the room it has.
struct Division {
    columns: usize,
    panel_height: f32,
    scrolls: bool,
}

impl Division {
    fn of(width: f32, height: f32, scene: &Scene<'_>) -> Self {
        let stage = scene.state.presenting;
        let columns = if width < sizes::ONE_COLUMN && !stage || scene.state.maximised.is_some() {
            1
        } else {
            2
        };
        let rows = if scene.state.maximised.is_some() {
            1
        } else {
            Behaviour::ALL.len().div_ceil(columns)
        };
        let gaps = sizes::GAP * (rows as f32 + 3.0);
        let bars = sizes::BUTTON * 2.0 + sizes::LINE + sizes::LARGE;
        let opened = opened::is_on(scene);
        let list = match (opened, scene.state.is_bare()) {
            (true, _) => sizes::TABLE_MINIMUM + sizes::BUTTON + sizes::GAP,
            (false, true) => 0.0,
            (false, false) => sizes::TABLE_MINIMUM,
        };
        let [least, most] = sizes::PANEL_HEIGHT;
        let room = height - bars - gaps;
        let free = (room - list) / rows as f32;
        // An audience sees all of it at once.
        let least = match (stage, opened) {
            (true, _) => 0.0,
            (false, true) => OPENED,
            (false, false) => least,
        };
        let panel_height = match (scene.state.maximised, scene.state.is_bare()) {
            _ if opened => free.clamp(least, most.max(least)),
            (Some(_), _) | (_, true) => free.max(least),
            // The list gets what is left, and some more as the window grows.
            _ => (room * 0.56 / rows as f32).clamp(least, most),
        };
        let scrolls = scene.inspector_below || free < least || columns == 1 && rows > 1;
        Self {
            columns,
            panel_height,
            scrolls,
        }
    }
}

impl View for ImportanceView {
    fn show(&self, ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
        let division = Division::of(ui.available_width(), ui.available_height(), scene);
        if division.scrolls {
            ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
                // Room for the scroll bar, so that it does not lie on the figure.
                ui.set_max_width(ui.available_width() - sizes::GAP - sizes::SMALL);
                content(ui, scene, &division, actions);
            });
        } else {
            content(ui, scene, &division, actions);
        }
    }

    fn needs(&self, open: &OpenStudy, state: &State) -> Vec<Part> {
        let opened = state.opened && open.study.manifest.model.parts.is_some();
        opened.then_some(Part::Parts).into_iter().collect()
    }

    fn inspect(&self, ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
        inspector::content(ui, scene, actions);
    }
}

fn content(ui: &mut Ui, scene: &Scene<'_>, division: &Division, actions: &mut Vec<Action>) {
    toolbar(ui, scene, actions);
    ui.add_space(sizes::SMALL);
    let shown: Vec<Behaviour> = match scene.state.maximised {
        Some(behaviour) => vec![behaviour],
        None => Behaviour::ALL.to_vec(),
    };
    let scales = panels::scales(&scene.open.figures, scene.state.scale, scene.state.unlocked);
    let rows = shown.len().div_ceil(division.columns);
    let gap = sizes::GAP + sizes::SMALL;
    let size = vec2(ui.available_width(), division.panel_height * rows as f32 + gap * (rows as f32 - 1.0));
    let (area, _) = ui.allocate_exact_size(size, Sense::hover());
    let width = (area.width() - gap * (division.columns as f32 - 1.0)) / division.columns as f32;
    for (position, behaviour) in shown.into_iter().enumerate() {
        let (column, row) = ((position % division.columns) as f32, (position / division.columns) as f32);
        let place = area.min + vec2(column * (width + gap), row * (division.panel_height + gap));
        let rect = Rect::from_min_size(pos2(place.x.round(), place.y.round()), vec2(width.floor(), division.panel_height.floor()));
        panel::show(ui, rect, scene, behaviour, scales[behaviour.index()], actions);
    }
    ui.add_space(sizes::SMALL);
    legend::show(ui, scene, &scales, actions);
    let opened = opened::is_on(scene);
    if opened || !scene.state.is_bare() {
        ui.add_space(sizes::SMALL);
        opened::choice(ui, scene, actions);
        let height = if division.scrolls { sizes::TABLE_SCROLLING } else { ui.available_height() };
        if opened {
            opened::show(ui, scene, height, actions);
        } else {
            ranking::show(ui, scene, height, actions);
        }
    }
    if scene.inspector_below {
        ui.add_space(sizes::LARGE);
        inspector::content(ui, scene, actions);
        ui.add_space(sizes::LARGE);
    }
}

/// Scale and behaviour, and a line that says what is seen.
fn toolbar(ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
    let own = scene.state.unlocked.iter().any(|unlocked| *unlocked) && scene.state.scale != Scale::Rank;
    let caption = match (scene.state.scale, own) {
        (Scale::Rank, _) => ["rank within each panel", "rank in each panel"],
        (_, true) => ["relative importance, not all panels on one scale", "not all on one scale"],
        (_, false) => ["relative importance, one scale for all four panels", "one scale for all"],
    };
    toolbar::row(ui, |ui| {
        toolbar::choices(ui, scene, actions);
        toolbar::caption(ui, scene.palette, &caption);
    });
}
