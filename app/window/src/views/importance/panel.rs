//! One panel: the heatmap of a behaviour with its head, its axes, the crosshair and the marks on cells.

use cruxscope_selectors::{Basis, ColourScale, Scale, format, panels};
use cruxscope_study::{Behaviour, Component, Module};
use cruxscope_theme::colour_map::ColourMap;
use cruxscope_theme::{icons, sizes, typeface};
use egui::{Align2, CornerRadius, Rect, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};

use super::{opened, tooltip};
use crate::action::Action;
use crate::heatmap::{self, Grid};
use crate::views::scene::Scene;
use crate::views::{behaviour_head, cells};
use crate::widgets;

/// Draws the panel into `rect`.
pub fn show(ui: &mut Ui, rect: Rect, scene: &Scene<'_>, behaviour: Behaviour, scale: ColourScale, actions: &mut Vec<Action>) {
    let palette = scene.palette;
    let focused = scene.state.behaviour == Some(behaviour);
    let line = Stroke::new(sizes::HAIRLINE, if focused { palette.accent } else { palette.line });
    ui.painter()
        .rect(rect, CornerRadius::same(sizes::RADIUS), palette.panel, line, StrokeKind::Inside);
    head(ui, rect, scene, behaviour, actions);
    if let Some(reason) = panels::empty_reason(&scene.open.study, &scene.open.figures, behaviour) {
        empty(ui, rect, scene, behaviour, &reason);
        return;
    }
    let body = Rect::from_min_max(
        rect.min + vec2(sizes::ROW_LABELS, sizes::PANEL_HEAD),
        rect.max - vec2(sizes::GAP + sizes::SMALL, sizes::COLUMN_LABELS),
    );
    let grid = Grid::fit(body, scene.open.figures.layers(), Module::ALL.len(), ui.pixels_per_point());
    let id = ui.scope_id().with(("panel", behaviour.index()));
    heatmap::paint(ui, id, &grid, scene.open.matrix(behaviour, scene.state.scale), scale, ColourMap::Importance);
    let marked = cells::marked(scene.state);
    cells::row_labels(ui, &grid, marked, palette);
    cells::column_labels(ui, &grid, marked, palette);
    opened::doors(ui, &grid, scene, actions);
    marks(ui, &grid, scene, behaviour, scale);
    interact(ui, &grid, id, scene, behaviour, actions);
}

fn head(ui: &mut Ui, rect: Rect, scene: &Scene<'_>, behaviour: Behaviour, actions: &mut Vec<Action>) {
    let palette = scene.palette;
    let head = panels::head(&scene.open.study, &scene.open.figures, behaviour);
    let middle = rect.top() + sizes::PANEL_HEAD / 2.0 + 1.0;
    // Icons first, from the right; then what ranks first; then the title with what room is left.
    let mut right = rect.right() - sizes::GAP;
    let mut next_icon = || {
        right -= sizes::ICON + sizes::SMALL;
        behaviour_head::icon_place(right + (sizes::ICON + sizes::SMALL) / 2.0, middle)
    };
    // An empty panel has nothing to enlarge and no scale.
    let full = !scene.state.presenting && (head.first.is_some() || scene.state.maximised == Some(behaviour));
    if full {
        behaviour_head::enlarge(ui, next_icon(), scene.state, behaviour, actions);
    }
    let unlocked = scene.state.unlocked[behaviour.index()];
    let name = if unlocked {
        format!("{} has a scale of its own; back to the one scale", behaviour.title())
    } else {
        format!("Independent color scale for {}", behaviour.title().to_lowercase())
    };
    let draw = |painter: &egui::Painter, rect: Rect, colour| icons::chain(painter, rect, !unlocked, colour);
    if full && scene.state.scale != Scale::Rank && widgets::icon_button(ui, next_icon(), &name, unlocked, draw).clicked() {
        actions.push(Action::ToggleLock(behaviour));
    }
    right -= sizes::SMALL;
    let painter = ui.painter();
    if let Some(first) = head.first {
        let name = painter.layout_no_wrap(first.to_string(), typeface::caption_strong(), palette.dim);
        let lead = painter.layout_no_wrap("rank 1 ".to_owned(), typeface::caption(), palette.faint);
        let width = name.size().x + lead.size().x;
        let place = pos2(right - width, middle - name.size().y / 2.0);
        let offset = vec2(lead.size().x, 0.0);
        painter.galley(place, lead, palette.faint);
        painter.galley(place + offset, name, palette.dim);
        right -= width + sizes::GAP;
    }
    let left = rect.left() + sizes::GAP + 2.0;
    let left = behaviour_head::name(ui, left, middle, right, scene, behaviour, palette.text) + sizes::GAP;
    let width_of = |text: &str| painter.layout_no_wrap(text.to_owned(), typeface::caption(), palette.faint).size().x;
    if let Some(text) = [&head.instances, &head.instances_short].into_iter().find(|text| width_of(text) <= right - left) {
        painter.text(pos2(left, middle), Align2::LEFT_CENTER, text, typeface::caption(), palette.faint);
    }
    let area = Rect::from_min_max(rect.min, pos2(right, rect.top() + sizes::PANEL_HEAD));
    behaviour_head::press(ui, area, scene.state, behaviour, &head.instances, actions);
}

fn empty(ui: &mut Ui, rect: Rect, scene: &Scene<'_>, behaviour: Behaviour, reason: &str) {
    let place = Rect::from_min_max(rect.min + vec2(0.0, sizes::PANEL_HEAD), rect.max);
    let response = ui.interact(place, ui.scope_id().with(("empty", behaviour.index())), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, format!("{} is empty. {reason}", behaviour.title())));
    let painter = ui.painter();
    let width = place.width() - 2.0 * sizes::LARGE;
    let mut job = egui::text::LayoutJob::simple(reason.to_owned(), typeface::body(), scene.palette.dim, width);
    job.halign = egui::Align::Center;
    let galley = painter.layout_job(job);
    // Centred lines hang from the middle of their galley.
    painter.galley(place.center() - vec2(0.0, galley.size().y / 2.0), galley, scene.palette.dim);
}

fn marks(ui: &Ui, grid: &Grid, scene: &Scene<'_>, behaviour: Behaviour, scale: ColourScale) {
    let (palette, figures) = (scene.palette, &scene.open.figures);
    let basis = Basis::Behaviour(behaviour);
    let colour_of = |component: Component| ColourMap::Importance.at(scale.position(panels::cell(figures, basis, component, scale.scale)), palette.dark);
    let size = grid.cell_size();
    let written = size.x >= sizes::CELL_TEXT[0] && size.y >= sizes::CELL_TEXT[1];
    if written {
        cells::write(ui, grid, figures.layers(), colour_of, |component| match scale.scale {
            Scale::Rank => figures.ranks(basis).overall(component).to_string(),
            _ => format::percent_in_cell(figures.relative_of(basis, component), size.x < sizes::CELL_TEXT_WIDE),
        });
    }
    if let Some(first) = figures.first(basis) {
        let cell = cells::place(grid, first);
        // Beside the number where there is one.
        let aside = cell.right_top() + vec2(-2.0 * sizes::DOT, 2.0 * sizes::DOT);
        cells::dot(ui, cell, if written { aside } else { cell.center() }, colour_of(first));
    }
    cells::crosshair(ui, grid, scene.state, palette);
}

fn interact(ui: &mut Ui, grid: &Grid, id: egui::Id, scene: &Scene<'_>, behaviour: Behaviour, actions: &mut Vec<Action>) {
    let (response, hovered) = cells::pointed(ui, grid, id);
    let figures = &scene.open.figures;
    let read = hovered.or(scene.state.selected).filter(|component| figures.holds(*component));
    response.widget_info(|| {
        let said = read.map(|component| panels::cell_sentence(figures, behaviour, component)).unwrap_or_default();
        WidgetInfo::labeled(Role::Image, true, format!("Heatmap of {}. {said}", behaviour.title().to_lowercase()))
    });
    let Some(component) = hovered else { return };
    actions.push(Action::Hover(behaviour, component));
    tooltip::show(ui, &response, cells::place(grid, component), scene, behaviour, component);
    cells::press(&response, behaviour, component, actions);
}
