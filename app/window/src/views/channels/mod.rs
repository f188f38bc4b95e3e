//! The view of channels: the selected module opened into its output features, a row a layer, and the largest of them in a list.

mod kept;
mod list;

use std::sync::Arc;

use cruxscope_selectors::{ColourScale, Scale, channels, format};
use cruxscope_study::{Behaviour, ChannelMaps, Component, Module};
use cruxscope_theme::colour_map::ColourMap;
use cruxscope_theme::{sizes, typeface};
use egui::{Align2, CornerRadius, Id, Rect, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};

use super::scene::{Scene, View};
use super::{colour_bar, toolbar};
use crate::action::Action;
use crate::heatmap::{LargeMap, Pointed, Window, show_large};
use crate::open::{Part, PartState};
use crate::state::State;
use crate::studies::OpenStudy;
use crate::views::{inspector, missing, problem};
use crate::widgets;

/// Columns in sight when one looks at a channel of the list.
const NEAR: usize = 48;

/// The view of channels.
pub struct ChannelsView;

impl View for ChannelsView {
    fn show(&self, ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
        match (scene.open.parts().channels(), scene.open.parts().state(Part::Channels)) {
            (Some(maps), _) => figure(ui, scene, maps, actions),
            (None, Some(PartState::Failed(problem))) => {
                problem::problem(ui, problem);
            }
            (None, Some(PartState::Absent)) => {
                let text = "Importance was kept by matrix only. A run that keeps channels opens every matrix into its output features.";
                let command = "cruxscope interpret --model MODEL --traces traces.jsonl --annotations annotations.jsonl --channels --out study";
                missing::say(ui, "This study keeps no channels", text, command, actions);
                missing::offer(ui, scene, |other| Part::Channels.file(&other.study).is_some(), actions);
            }
            (None, _) => {
                ui.spinner();
            }
        }
    }

    fn inspect(&self, ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
        inspector::content(ui, scene, actions);
    }

    fn needs(&self, _: &OpenStudy, _: &State) -> Vec<Part> {
        vec![Part::Channels]
    }
}

/// The behaviour that is shown: the one in focus, or else the first that the study has.
fn behaviour(scene: &Scene<'_>) -> Behaviour {
    let has = |behaviour: &Behaviour| scene.open.figures.has(*behaviour);
    let focused = scene.state.behaviour.filter(has);
    focused.or_else(|| Behaviour::ALL.into_iter().find(has)).unwrap_or(Behaviour::Backtracking)
}

fn figure(ui: &mut Ui, scene: &Scene<'_>, maps: &Arc<ChannelMaps>, actions: &mut Vec<Action>) {
    let selected = scene.state.selected.filter(|component| scene.open.figures.holds(*component));
    let selected = selected.unwrap_or(Component::new(0, Module::Query));
    let behaviour = behaviour(scene);
    toolbar::row(ui, |ui| {
        let modules = Module::ALL.map(|module| (module, module.short()));
        if let Some(module) = widgets::segmented(ui, "module", &modules, selected.module, |_, _, _| false, |_| None) {
            actions.push(Action::Select(Component::new(selected.layer.0, module)));
        }
        toolbar::scales(ui, scene, actions);
        toolbar::one_behaviour(ui, scene, behaviour, actions);
        toolbar::caption(
            ui,
            scene.palette,
            &["signed terms of the importance: drag or scroll to move, ctrl and wheel or + and − to zoom", ""],
        );
    });
    ui.add_space(sizes::SMALL);
    let below = if scene.inspector_below { sizes::TABLE_SCROLLING } else { 0.0 };
    let height = ((ui.available_height() - below) * 0.62).clamp(220.0, 900.0);
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::hover());
    let wanted = panel(ui, rect, scene, maps, behaviour, selected, actions);
    ui.add_space(sizes::GAP);
    if let Some(channel) = list::show(ui, scene, maps, behaviour, selected, ui.available_height() - below) {
        ui.data_mut(|data| data.insert_temp(wanted, channel));
        ui.ctx().request_repaint();
    }
    if scene.inspector_below {
        egui::ScrollArea::vertical()
            .id_salt("below")
            .show(ui, |ui| inspector::content(ui, scene, actions));
    }
}

/// Draws the map with its head, axes and legend; gives the place in which a channel is kept that is to be looked at.
fn panel(ui: &mut Ui, rect: Rect, scene: &Scene<'_>, maps: &Arc<ChannelMaps>, behaviour: Behaviour, selected: Component, actions: &mut Vec<Action>) -> Id {
    let palette = scene.palette;
    let line = Stroke::new(sizes::HAIRLINE, palette.line);
    ui.painter()
        .rect(rect, CornerRadius::same(sizes::RADIUS), palette.panel, line, StrokeKind::Inside);
    let id = ui.scope_id().with("channels");
    let wanted_id = id.with("wanted");
    let Some(map) = kept::map(ui, scene, maps, behaviour, selected.module) else {
        let place = Rect::from_center_size(rect.center(), vec2(sizes::LARGE, sizes::LARGE));
        ui.put(place, egui::Spinner::new());
        return wanted_id;
    };
    let largest = f64::from(map.largest());
    let scale = match scene.state.scale {
        Scale::Rank => Scale::Linear,
        scale => scale,
    };
    let scale = ColourScale::centred_over(scale, &[largest]);
    let body = Rect::from_min_max(
        rect.min + vec2(sizes::ROW_LABELS, sizes::PANEL_HEAD),
        rect.max - vec2(sizes::GAP + sizes::SMALL, sizes::COLUMN_LABELS + sizes::LINE + sizes::GAP),
    );
    let wanted = ui.data_mut(|data| data.remove_temp::<usize>(wanted_id));
    let wanted = wanted.map(|channel| Window::whole(&map, body.size()).around(channel, NEAR.min(map.columns), body.size()));
    let pointed = show_large(ui, id, body, &map, scale, ColourMap::Net, false, wanted);
    head(ui, rect, scene, &map, &pointed, behaviour, selected);
    axes(ui, body, &map, &pointed.window, selected, scene);
    legend(ui, rect, &scale, scene);
    let place = pointed.cell.and_then(|[row, column]| {
        let [down, across] = pointed.block;
        let (top, left) = (row / down * down, column / across * across);
        map.strongest(top..top + down, left..left + across)
    });
    let cells = pointed.block[0] * pointed.block[1];
    let sentence = |row: usize, column: usize| channels::sentence(maps, behaviour, Component::new(row, selected.module), column, cells);
    pointed.response.widget_info(|| {
        let said = place.map(|(_, row, column)| sentence(row, column));
        let text = format!(
            "Channels of {}, {}. {}",
            selected.module.short(),
            behaviour.title().to_lowercase(),
            said.unwrap_or_default()
        );
        WidgetInfo::labeled(Role::Image, true, text)
    });
    if let Some((_, row, column)) = place {
        if pointed.response.clicked() {
            actions.push(Action::Select(Component::new(row, selected.module)));
        }
        pointed.response.on_hover_ui_at_pointer(|ui| {
            ui.set_max_width(sizes::TOOLTIP);
            ui.label(sentence(row, column));
        });
    }
    wanted_id
}

fn head(ui: &Ui, rect: Rect, scene: &Scene<'_>, map: &LargeMap, pointed: &Pointed, behaviour: Behaviour, selected: Component) {
    let palette = scene.palette;
    let middle = rect.top() + sizes::PANEL_HEAD / 2.0 + 1.0;
    let cells = pointed.block[0] * pointed.block[1];
    let told = if cells > 1 {
        format!("each place shows the largest of {} channels", format::count(cells))
    } else {
        "every channel is in sight by itself".to_owned()
    };
    let right = ui.painter().text(
        pos2(rect.right() - sizes::GAP - sizes::SMALL, middle),
        Align2::RIGHT_CENTER,
        told,
        typeface::caption(),
        palette.dim,
    );
    let title = format!(
        "{}, {}: {} layers of {} channels",
        behaviour.title(),
        selected.module,
        map.rows,
        format::count(map.columns)
    );
    let left = rect.left() + sizes::GAP + sizes::SMALL;
    widgets::paint_cut(
        ui.painter(),
        pos2(left, middle),
        Align2::LEFT_CENTER,
        &title,
        typeface::heading(),
        palette.text,
        right.left() - left - sizes::GAP,
    );
}

/// The numbers of layers on the left and of channels underneath, and the frame of the selected layer.
fn axes(ui: &Ui, body: Rect, map: &LargeMap, window: &Window, selected: Component, scene: &Scene<'_>) {
    let palette = scene.palette;
    let painter = ui.painter();
    let pitch = window.cell[1] as f32;
    let step = (sizes::LARGE / pitch).ceil().max(1.0) as usize;
    for layer in (0..map.rows).filter(|layer| *layer == selected.layer.0 || layer % step == 0) {
        let near = layer != selected.layer.0 && layer.abs_diff(selected.layer.0) < step;
        let y = window.corner(body, layer as f64 + 0.5, 0.0).y;
        if !near && body.y_range().contains(y) {
            let ink = if layer == selected.layer.0 { palette.text } else { palette.dim };
            painter.text(pos2(body.left() - sizes::GAP, y), Align2::RIGHT_CENTER, layer + 1, typeface::tick(), ink);
        }
    }
    let row = Rect::from_min_max(
        pos2(body.left(), window.corner(body, selected.layer.0 as f64, 0.0).y),
        pos2(body.right(), window.corner(body, selected.layer.0 as f64 + 1.0, 0.0).y),
    );
    painter.rect_stroke(
        row.intersect(body),
        CornerRadius::ZERO,
        Stroke::new(1.5, palette.selection),
        StrokeKind::Outside,
    );
    let seen = f64::from(body.width()) / window.cell[0];
    let rough = seen / f64::from(body.width() / 90.0);
    let magnitude = 10f64.powf(rough.max(1.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * magnitude)
        .find(|step| *step >= rough)
        .unwrap_or(rough)
        .max(1.0);
    let mut tick = (window.origin[0] / step).ceil() * step;
    while tick < window.origin[0] + seen && tick < map.columns as f64 {
        let x = window.corner(body, 0.0, tick + 0.5).x;
        if tick >= 1.0 {
            painter.text(
                pos2(x, body.bottom() + sizes::SMALL),
                Align2::CENTER_TOP,
                format::count(tick as usize),
                typeface::tick(),
                palette.dim,
            );
        }
        tick += step;
    }
}

fn legend(ui: &Ui, rect: Rect, scale: &ColourScale, scene: &Scene<'_>) {
    let line = Rect::from_min_max(
        pos2(rect.left() + sizes::ROW_LABELS, rect.bottom() - sizes::LINE - sizes::SMALL),
        pos2(rect.right() - sizes::GAP, rect.bottom() - sizes::SMALL),
    );
    let ends = [format::signed(-scale.high), format::signed(scale.high)];
    let more = format!("nats, {} scale around zero", scale.scale.title().to_lowercase());
    colour_bar::between(ui, line, [&ends[0], &ends[1]], &more, ColourMap::Net, scene.palette);
}
