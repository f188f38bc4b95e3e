//! The heatmaps of a shift: a row for each behaviour, a column each for A, B and what lies between them.
//!
//! Where there is no room for three columns only the shift is shown; one enlarged behaviour has its three maps one under
//! the other. While A and B flicker, the first of the columns shows either in turn.

use cruxscope_selectors::{Basis, ColourScale, format, panels, shift};
use cruxscope_study::{Behaviour, Component, Module};
use cruxscope_theme::colour_map::ColourMap;
use cruxscope_theme::{sizes, typeface};
use egui::{Align2, CornerRadius, Rect, Role, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};

use super::{colours, heads, tooltip};
use crate::action::Action;
use crate::comparison::{Compared, OpenComparison};
use crate::heatmap::{self, Grid};
use crate::studies::OpenStudy;
use crate::views::scene::Scene;
use crate::views::{behaviour_head, cells};
use crate::widgets;

/// What a map shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Part {
    /// Relative importance in A (0) or B (1).
    Side(usize),
    /// The shift.
    Shift,
}

/// All that the maps of one frame share.
struct Figure<'a> {
    scene: &'a Scene<'a>,
    compared: &'a Compared,
    sides: [&'a OpenStudy; 2],
    importance: ColourScale,
    shift: ColourScale,
}

/// Draws the figure into `area`.
pub fn show(ui: &mut Ui, area: Rect, scene: &Scene<'_>, open: &OpenComparison, compared: &Compared, narrow: bool, actions: &mut Vec<Action>) {
    let find = |id: usize| scene.studies.iter().find(|study| study.id == id);
    let [Some(a), Some(b)] = open.ids.map(find) else { return };
    let comparison = compared.comparison();
    let figure = Figure {
        scene,
        compared,
        sides: [a, b],
        importance: shift::importance_scale(comparison, scene.state.scale),
        shift: shift::shift_scale(comparison, scene.state.shift, scene.state.scale),
    };
    let palette = scene.palette;
    let line = Stroke::new(sizes::HAIRLINE, palette.line);
    ui.painter()
        .rect(area, CornerRadius::same(sizes::RADIUS), palette.panel, line, StrokeKind::Inside);
    let inner = area.shrink2(vec2(sizes::GAP + sizes::SMALL, sizes::SMALL));
    let flickering = scene.state.flicker.map(Part::Side);
    let parts = match (narrow, scene.state.maximised, flickering) {
        (true, None, held) => vec![held.unwrap_or(Part::Shift)],
        (_, _, Some(held)) => vec![held, Part::Side(1), Part::Shift],
        _ => vec![Part::Side(0), Part::Side(1), Part::Shift],
    };
    match scene.state.maximised {
        Some(behaviour) => enlarged(ui, inner, &figure, open, behaviour, &parts, actions),
        None => table(ui, inner, &figure, open, &parts, actions),
    }
}

/// Behaviours below each other, parts side by side.
fn table(ui: &mut Ui, inner: Rect, figure: &Figure<'_>, open: &OpenComparison, parts: &[Part], actions: &mut Vec<Action>) {
    let left = inner.left() + sizes::ROW_LABELS - sizes::GAP;
    let gap = sizes::LARGE;
    let width = (inner.right() - left - gap * (parts.len() as f32 - 1.0)) / parts.len() as f32;
    let column = |position: usize| {
        let from = left + (width + gap) * position as f32;
        from..=from + width
    };
    let head = if parts.len() > 1 { sizes::PANEL_HEAD } else { 0.0 };
    for (position, part) in parts.iter().enumerate().filter(|_| parts.len() > 1) {
        let (from, to) = column(position).into_inner();
        let rect = Rect::from_min_max(pos2(from, inner.top()), pos2(to, inner.top() + head));
        part_head(ui, rect, figure, open, position, *part, actions);
    }
    let rows = Behaviour::ALL.len() as f32;
    let height = (inner.height() - head - sizes::COLUMN_LABELS) / rows;
    for behaviour in Behaviour::ALL {
        let top = inner.top() + head + height * behaviour.index() as f32;
        let title = Rect::from_min_max(pos2(inner.left(), top), pos2(inner.right(), top + sizes::SHIFT_ROW_HEAD));
        behaviour_head(ui, title, figure, behaviour, actions);
        for (position, part) in parts.iter().enumerate() {
            let (from, to) = column(position).into_inner();
            let place = Rect::from_min_max(pos2(from, title.bottom()), pos2(to, top + height - sizes::SMALL));
            let last = behaviour.index() + 1 == Behaviour::ALL.len();
            map(ui, place, figure, behaviour, *part, position, [position == 0, last], actions);
        }
    }
}

/// One behaviour, its parts below each other.
fn enlarged(ui: &mut Ui, inner: Rect, figure: &Figure<'_>, open: &OpenComparison, behaviour: Behaviour, parts: &[Part], actions: &mut Vec<Action>) {
    let title = Rect::from_min_size(inner.min, vec2(inner.width(), sizes::PANEL_HEAD));
    behaviour_head(ui, title, figure, behaviour, actions);
    let height = (inner.bottom() - title.bottom() - sizes::COLUMN_LABELS) / parts.len() as f32;
    for (position, part) in parts.iter().enumerate() {
        let top = title.bottom() + height * position as f32;
        let left = inner.left() + sizes::ROW_LABELS - sizes::GAP;
        let head = Rect::from_min_max(pos2(left, top), pos2((left + sizes::INSPECTOR).min(inner.right()), top + sizes::PANEL_HEAD));
        part_head(ui, head, figure, open, position, *part, actions);
        let place = Rect::from_min_max(pos2(left, head.bottom()), pos2(inner.right(), top + height - sizes::SMALL));
        map(ui, place, figure, behaviour, *part, position, [true, position + 1 == parts.len()], actions);
    }
}

/// What a column shows; where it is a study, which one.
fn part_head(ui: &mut Ui, rect: Rect, figure: &Figure<'_>, open: &OpenComparison, position: usize, part: Part, actions: &mut Vec<Action>) {
    let palette = figure.scene.palette;
    let rect = rect.shrink2(vec2(0.0, (rect.height() - sizes::BUTTON) / 2.0));
    match part {
        Part::Shift => {
            let text = shift::head(figure.scene.state.shift);
            let painter = ui.painter();
            widgets::paint_cut(
                painter,
                rect.left_center(),
                Align2::LEFT_CENTER,
                text,
                typeface::heading(),
                palette.text,
                rect.width(),
            );
        }
        Part::Side(side) if side != position => {
            let text = format!("{} for a moment", heads::SIDES[side]);
            let painter = ui.painter();
            widgets::paint_cut(
                painter,
                rect.left_center(),
                Align2::LEFT_CENTER,
                &text,
                typeface::heading(),
                palette.accent,
                rect.width(),
            );
        }
        Part::Side(side) => {
            let room = if side == 0 { sizes::BUTTON + sizes::SMALL } else { 0.0 };
            let place = Rect::from_min_max(rect.min, pos2(rect.right() - room, rect.bottom()));
            heads::choice(ui, place, figure.scene, open, side, actions);
            if side == 0 {
                let middle = pos2(rect.right() - sizes::BUTTON / 2.0 + sizes::GAP, rect.center().y);
                heads::swap(ui, Rect::from_center_size(middle, vec2(sizes::BUTTON, sizes::BUTTON)), actions);
            }
        }
    }
}

/// A behaviour's sign, name and number of instances, and what shifts most.
fn behaviour_head(ui: &mut Ui, rect: Rect, figure: &Figure<'_>, behaviour: Behaviour, actions: &mut Vec<Action>) {
    let (scene, palette) = (figure.scene, figure.scene.palette);
    let middle = rect.center().y;
    let icon = behaviour_head::icon_place(rect.right() - sizes::ICON / 2.0, middle);
    behaviour_head::enlarge(ui, icon, scene.state, behaviour, actions);
    let painter = ui.painter();
    let mut right = icon.left() - sizes::GAP;
    let (comparison, view) = (figure.compared.comparison(), scene.state.shift);
    if let Some(first) = shift::first(comparison, Basis::Behaviour(behaviour), view) {
        let row = shift::row(comparison, None, Basis::Behaviour(behaviour), view, first);
        let text = format!("largest {first}, {}", shift::written(view, row.shift));
        let galley = painter.layout_no_wrap(text, typeface::caption(), palette.dim);
        let name = painter.layout_no_wrap(behaviour.title().to_owned(), typeface::heading(), palette.text);
        // The name goes before it.
        if galley.size().x + name.size().x + sizes::SIGN + 3.0 * sizes::GAP < right - rect.left() {
            right -= galley.size().x;
            painter.galley(pos2(right, middle - galley.size().y / 2.0), galley, palette.dim);
        }
    }
    let focused = scene.state.behaviour == Some(behaviour);
    let colour = if focused { palette.accent } else { palette.text };
    let left = behaviour_head::name(ui, rect.left(), middle, right, scene, behaviour, colour) + sizes::GAP;
    let number = shift::instances(&figure.compared.pair, behaviour);
    let galley = painter.layout_no_wrap(number.clone(), typeface::caption(), palette.faint);
    if left + galley.size().x + sizes::GAP <= right {
        painter.galley(pos2(left, middle - galley.size().y / 2.0), galley, palette.faint);
    }
    let area = Rect::from_min_max(rect.min, pos2(right, rect.bottom()));
    behaviour_head::press(ui, area, scene.state, behaviour, &number, actions);
}

/// One heatmap; `labels` says whether modules are named on its left and layers under it.
fn map(ui: &mut Ui, place: Rect, figure: &Figure<'_>, behaviour: Behaviour, part: Part, position: usize, labels: [bool; 2], actions: &mut Vec<Action>) {
    let (scene, palette) = (figure.scene, figure.scene.palette);
    let comparison = figure.compared.comparison();
    let (state, view) = (scene.state, scene.state.shift);
    let grid = Grid::fit(place, comparison.layers(), Module::ALL.len(), ui.pixels_per_point());
    let marked = cells::marked(state);
    if labels[1] {
        cells::column_labels(ui, &grid, marked, palette);
    }
    if let Some(reason) = shift::empty_reason(&figure.compared.pair, behaviour) {
        // Once, over all columns.
        if position == 0 {
            let (painter, middle) = (ui.painter(), pos2(place.left(), place.center().y));
            let width = ui.max_rect().right() - place.left() - sizes::LARGE;
            widgets::paint_cut(painter, middle, Align2::LEFT_CENTER, reason, typeface::body(), palette.dim, width);
        }
        return;
    }
    // What flickers keeps its place, so that it is the same map to the pointer.
    let id = ui.scope_id().with(("shift map", behaviour.index(), position));
    let (matrix, scale, colours) = match part {
        Part::Side(side) => (figure.sides[side].matrix(behaviour, state.scale), figure.importance, ColourMap::Importance),
        Part::Shift => (figure.compared.matrix(behaviour, view, state.scale), figure.shift, colours(view)),
    };
    heatmap::paint(ui, id.with(part), &grid, matrix, scale, colours);
    if labels[0] {
        cells::row_labels(ui, &grid, marked, palette);
    }
    let colour_of = |component: Component| {
        let value = match part {
            Part::Side(side) => panels::cell(&figure.sides[side].figures, Basis::Behaviour(behaviour), component, state.scale),
            Part::Shift => shift::cell(comparison, behaviour, component, view, state.scale),
        };
        colours.at(scale.position(value), palette.dark)
    };
    let written = grid.cell_size().x >= sizes::CELL_TEXT_WIDE && grid.cell_size().y >= sizes::CELL_TEXT[1];
    if written {
        cells::write(ui, &grid, comparison.layers(), colour_of, |component| {
            let share = match part {
                Part::Side(side) => figure.sides[side].figures.relative_of(Basis::Behaviour(behaviour), component),
                Part::Shift => view.of(comparison.net(Some(behaviour), component)),
            };
            let text = format::percent_in_cell(share.abs(), true);
            if share < 0.0 { format!("−{text}") } else { text }
        });
    }
    let first = match part {
        Part::Side(side) => figure.sides[side].figures.first(Basis::Behaviour(behaviour)),
        Part::Shift => shift::first(comparison, Basis::Behaviour(behaviour), view),
    };
    if let Some(first) = first.filter(|_| !written) {
        let cell = cells::place(&grid, first);
        cells::dot(ui, cell, cell.center(), colour_of(first));
    }
    cells::crosshair(ui, &grid, state, palette);
    interact(ui, &grid, id, figure, behaviour, part, actions);
}

fn interact(ui: &mut Ui, grid: &Grid, id: egui::Id, figure: &Figure<'_>, behaviour: Behaviour, part: Part, actions: &mut Vec<Action>) {
    let (response, hovered) = cells::pointed(ui, grid, id);
    let (scene, comparison) = (figure.scene, figure.compared.comparison());
    let read = hovered.or(scene.state.selected).filter(|component| component.layer.0 < comparison.layers());
    let view = scene.state.shift;
    response.widget_info(|| {
        let said = read.map(|component| shift::sentence(&shift::row(comparison, None, Basis::Behaviour(behaviour), view, component), view));
        let what = match part {
            Part::Side(side) => format!("{} in {}", behaviour.title(), heads::SIDES[side]),
            Part::Shift => format!("Shift of {}", behaviour.title().to_lowercase()),
        };
        WidgetInfo::labeled(Role::Image, true, format!("{what}. {}", said.unwrap_or_default()))
    });
    let Some(component) = hovered else { return };
    actions.push(Action::Hover(behaviour, component));
    tooltip::show(ui, &response, cells::place(grid, component), scene, figure.compared, behaviour, component);
    cells::press(&response, behaviour, component, actions);
}
