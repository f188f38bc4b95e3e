//! Every component as a mark: how important it is, and how much compressing it alone hurts.

use cruxscope_selectors::validation::{self, Axis, Point};
use cruxscope_selectors::{Basis, format};
use cruxscope_study::{Component, Module, Validation};
use cruxscope_theme::{Palette, sizes, typeface};
use egui::{Align2, CornerRadius, Painter, Pos2, Rect, Role, Sense, Shape, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};

use crate::action::Action;
use crate::views::scene::Scene;
use crate::widgets;

/// Room for the numbers left of the figure.
const LEFT: f32 = 74.0;
/// Room for the numbers and the name under it.
const BOTTOM: f32 = 48.0;
/// How near the pointer must be to a mark.
const REACH: f32 = 14.0;

/// Draws it.
pub fn show(ui: &mut Ui, scene: &Scene<'_>, found: &Validation, height: f32, actions: &mut Vec<Action>) {
    let (palette, basis) = (scene.palette, scene.state.ranking.basis);
    let figures = &scene.open.figures;
    let points = validation::points(found, figures, basis);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), height.max(260.0)), Sense::click_and_drag());
    let line = Stroke::new(sizes::HAIRLINE, palette.line);
    ui.painter()
        .rect(rect, CornerRadius::same(sizes::RADIUS), palette.panel, line, StrokeKind::Inside);
    head(ui, rect, scene, &points, basis);
    let across = Axis::over(points.iter().map(|point| point.importance));
    let up = Axis::over(points.iter().map(|point| point.damage));
    // The name of the upright axis stands over it, in as many lines as it needs.
    let name = format!("↑ divergence in nats when only this matrix is compressed{}", scale_of(&up));
    let name = ui
        .painter()
        .layout(name, typeface::caption(), palette.faint, rect.width() - LEFT - sizes::LARGE);
    let top = sizes::PANEL_HEAD + sizes::LARGE + name.size().y;
    let plot = Rect::from_min_max(rect.min + vec2(LEFT, top), rect.max - vec2(sizes::LARGE, BOTTOM));
    axes(ui, plot, &across, &up, palette);
    let place = pos2(plot.right() - name.size().x, plot.top() - sizes::SMALL - name.size().y);
    ui.painter().galley(place, name, palette.faint);
    let place = |point: &Point| {
        pos2(
            plot.left() + plot.width() * across.place(point.importance),
            plot.bottom() - plot.height() * up.place(point.damage),
        )
    };
    let painter = ui.painter();
    for point in &points {
        mark(painter, place(point), point.component.module, palette);
    }
    for point in points.iter().filter(|point| scene.state.ranking.brushed.contains(&point.component)) {
        painter.circle_stroke(place(point), 7.0, Stroke::new(1.0, palette.accent));
    }
    brush(ui, &response, plot, &points, &place, palette, actions);
    let near = response.hover_pos().and_then(|pointer| {
        let distance = |point: &&Point| (place(point) - pointer).length();
        let nearest = points.iter().min_by(|a, b| distance(a).total_cmp(&distance(b)))?;
        (distance(&nearest) <= REACH).then_some(nearest)
    });
    let selected = scene.state.selected.and_then(|component| points.get(component.index()));
    for (point, strong) in [(selected, true), (near, false)] {
        let Some(point) = point else { continue };
        let centre = place(point);
        let hair = Stroke::new(sizes::HAIRLINE, palette.crosshair);
        if strong {
            painter.hline(plot.left()..=centre.x, centre.y, hair);
            painter.vline(centre.x, centre.y..=plot.bottom(), hair);
        }
        painter.circle_stroke(centre, sizes::GAP, Stroke::new(1.5, palette.selection));
        let to_left = centre.x > plot.center().x;
        let (anchor, aside) = if to_left {
            (Align2::RIGHT_CENTER, -sizes::GAP - sizes::SMALL)
        } else {
            (Align2::LEFT_CENTER, sizes::GAP + sizes::SMALL)
        };
        painter.text(
            centre + vec2(aside, -sizes::GAP),
            anchor,
            point.component.to_string(),
            typeface::caption_strong(),
            palette.text,
        );
    }
    let read = near.or(selected).copied();
    response.widget_info(|| {
        let said = read
            .map(|point| sentence(&point, figures.ranks(basis).overall(point.component)))
            .unwrap_or_default();
        WidgetInfo::labeled(
            Role::Image,
            true,
            format!("Importance against degradation, {} components. {said}", points.len()),
        )
    });
    if let Some(point) = near {
        if response.clicked() {
            actions.push(Action::Select(point.component));
        }
        let rank = figures.ranks(basis).overall(point.component);
        let (point, of) = (*point, points.len());
        response.on_hover_ui_at_pointer(|ui| {
            ui.set_max_width(sizes::TOOLTIP);
            ui.label(egui::RichText::new(point.component.to_string()).font(typeface::body_strong()));
            widgets::fact(ui, "Relative importance", &format::percent(point.importance));
            widgets::fact(ui, "KL divergence", &format!("{} nats", format::significant(point.damage)));
            widgets::fact(ui, "Rank by importance", &format!("{rank} of {of}"));
            widgets::fact(ui, "Rank by degradation", &format!("{} of {of}", point.rank));
        });
    }
}

/// A drag over the figure selects the marks within it, for every map and list; one that holds none selects all again.
fn brush(ui: &Ui, response: &egui::Response, plot: Rect, points: &[Point], place: &dyn Fn(&Point) -> Pos2, palette: &Palette, actions: &mut Vec<Action>) {
    let start = ui.input(|input| input.pointer.press_origin());
    let (Some(start), Some(now)) = (start, response.interact_pointer_pos()) else {
        return;
    };
    if !(response.dragged() || response.drag_stopped()) || !plot.contains(start) {
        return;
    }
    let area = Rect::from_two_pos(start, now).intersect(plot);
    let line = Stroke::new(sizes::HAIRLINE, palette.accent);
    ui.painter()
        .rect(area, CornerRadius::ZERO, palette.accent.gamma_multiply(0.12), line, StrokeKind::Inside);
    if response.drag_stopped() {
        let within = points.iter().filter(|point| area.contains(place(point)));
        actions.push(Action::Brush(within.map(|point| point.component).collect()));
    }
}

fn sentence(point: &Point, rank: usize) -> String {
    format!(
        "{}: relative importance {}, rank {rank}; divergence {} nats, rank {}",
        point.component,
        format::percent(point.importance).replace('\u{a0}', " "),
        format::significant(point.damage),
        point.rank
    )
}

/// What the figure says in numbers, and what its marks mean.
fn head(ui: &Ui, rect: Rect, scene: &Scene<'_>, points: &[Point], basis: Basis) {
    let palette = scene.palette;
    let painter = ui.painter();
    let middle = rect.top() + sizes::PANEL_HEAD / 2.0 + 1.0;
    let left = rect.left() + sizes::GAP + sizes::SMALL;
    let (both, number) = validation::overlap(points, &scene.open.figures, basis);
    let found = validation::correlation(points).map_or_else(
        || "no rank correlation".to_owned(),
        |found| format!("Rank correlation {}, n = {} components", format::correlation(&found), found.n),
    );
    let text = format!("{found}; {both} of the {number} most important are among the {number} that hurt most");
    widgets::paint_cut(
        painter,
        pos2(left, middle),
        Align2::LEFT_CENTER,
        &text,
        typeface::heading(),
        palette.text,
        rect.width() - 2.0 * sizes::LARGE,
    );
    let mut x = rect.left() + LEFT;
    let y = rect.top() + sizes::PANEL_HEAD + sizes::SMALL;
    for module in Module::ALL {
        mark(painter, pos2(x + 4.0, y), module, palette);
        let placed = painter.text(
            pos2(x + sizes::GAP + sizes::SMALL, y),
            Align2::LEFT_CENTER,
            module.short(),
            typeface::caption(),
            palette.dim,
        );
        x = placed.right() + sizes::LARGE;
    }
}

fn axes(ui: &Ui, plot: Rect, across: &Axis, up: &Axis, palette: &Palette) {
    let painter = ui.painter();
    let line = Stroke::new(sizes::HAIRLINE, palette.line);
    for tick in across.ticks() {
        let x = plot.left() + plot.width() * across.place(tick);
        painter.vline(x, plot.y_range(), line);
        let text = format::percent_tick(tick);
        painter.text(pos2(x, plot.bottom() + sizes::SMALL), Align2::CENTER_TOP, text, typeface::tick(), palette.dim);
    }
    for tick in up.ticks() {
        let y = plot.bottom() - plot.height() * up.place(tick);
        painter.hline(plot.x_range(), y, line);
        let text = format::tick(tick);
        painter.text(pos2(plot.left() - sizes::GAP, y), Align2::RIGHT_CENTER, text, typeface::tick(), palette.dim);
    }
    painter.text(
        pos2(plot.center().x, plot.bottom() + sizes::LINE + sizes::SMALL),
        Align2::CENTER_TOP,
        format!("Relative importance{}", scale_of(across)),
        typeface::caption(),
        palette.faint,
    );
}

const fn scale_of(axis: &Axis) -> &'static str {
    if axis.log { ", logarithmic" } else { "" }
}

/// The mark of a module: attention filled, feed-forward hollow, each module with its own shape and colour.
fn mark(painter: &Painter, centre: Pos2, module: Module, palette: &Palette) {
    const REACH: f32 = 4.2;
    let colour = palette.module(module);
    let (fill, stroke) = if Component::new(0, module).module.index() < 4 {
        (colour, Stroke::NONE)
    } else {
        (palette.panel, Stroke::new(1.6, colour))
    };
    let polygon = |corners: &[(f32, f32)]| {
        let points = corners.iter().map(|(x, y)| centre + vec2(*x, *y) * REACH).collect();
        painter.add(Shape::convex_polygon(points, fill, stroke));
    };
    match module {
        Module::Query | Module::Gate => {
            painter.circle(centre, REACH * 0.9, fill, stroke);
        }
        Module::Key | Module::Up => polygon(&[(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)]),
        Module::Value | Module::Down => polygon(&[(0.0, -1.15), (1.05, 0.8), (-1.05, 0.8)]),
        Module::Output => polygon(&[(0.0, -1.2), (1.2, 0.0), (0.0, 1.2), (-1.2, 0.0)]),
    }
}
