//! Size against divergence: recipes of every size, whole formats, random permutations, what was measured, and the point that is on.

use cruxscope_selectors::budget::{self, Budget, Series};
use cruxscope_selectors::format;
use cruxscope_selectors::validation::Axis;
use cruxscope_theme::{Palette, sizes, typeface};
use egui::{Align2, Color32, CornerRadius, Mesh, Painter, Pos2, Rect, RichText, Role, Sense, Shape, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};

use super::Shown;
use crate::action::Action;
use crate::views::toolbar;
use crate::widgets;

/// Room for the numbers left of the figure.
const LEFT: f32 = 58.0;
/// Room for the numbers and the name under it.
const BOTTOM: f32 = 44.0;
/// How near the pointer must be to a mark.
const REACH: f32 = 12.0;
/// Half of a mark.
const MARK: f32 = 4.0;

/// A mark that can be read: where it is and what it says.
struct Read {
    at: Pos2,
    name: String,
    facts: Vec<(&'static str, String)>,
}

/// Draws it; a press chooses the size under the pointer.
pub fn show(ui: &mut Ui, rect: Rect, shown: &Shown<'_>, actions: &mut Vec<Action>) {
    let (budget, plan, palette) = (shown.budget, shown.plan, shown.scene.palette);
    let line = Stroke::new(sizes::HAIRLINE, palette.line);
    ui.painter()
        .rect(rect, CornerRadius::same(sizes::RADIUS), palette.panel, line, StrokeKind::Inside);
    let (across, up) = axes(shown);
    let scale = if up.log { ", logarithmic" } else { "" };
    let name = format!("↑ KL in nats{scale}");
    let placed = ui.painter().text(
        pos2(rect.left() + sizes::GAP + sizes::SMALL, rect.top() + sizes::GAP),
        Align2::LEFT_TOP,
        name,
        typeface::caption(),
        palette.dim,
    );
    let plot = Rect::from_min_max(pos2(rect.left() + LEFT, placed.bottom() + sizes::GAP), rect.max - vec2(sizes::LARGE, BOTTOM));
    grid(ui, plot, &across, &up, palette);
    let place = |bits: f64, kl: f64| pos2(plot.left() + plot.width() * across.place(bits), plot.bottom() - plot.height() * up.place(kl));
    let painter = ui.painter().with_clip_rect(plot.expand(MARK));
    band(&painter, shown, &place, palette);
    let trusted = place(0.0, Budget::trusted()).y;
    if up.low < Budget::trusted() && up.high > Budget::trusted() {
        painter.extend(Shape::dashed_line(
            &[pos2(plot.left(), trusted), pos2(plot.right(), trusted)],
            Stroke::new(1.0, palette.faint),
            4.0,
            4.0,
        ));
    }
    let mut reads = Vec::new();
    let path: Vec<Pos2> = budget.points.iter().map(|point| place(point.bits_per_weight, point.kl)).collect();
    painter.add(Shape::line(path, Stroke::new(1.5, palette.accent)));
    for point in &budget.points {
        let at = place(point.bits_per_weight, point.kl);
        whisker(&painter, at.x, point.interval, &|kl| place(0.0, kl).y, palette.accent.gamma_multiply(0.5));
        mark(&painter, at, Series::Chosen, false, palette);
        reads.push(Read {
            at,
            name: "Chosen by the sketch".to_owned(),
            facts: vec![
                ("Size", format!("{:.3} bits/weight", point.bits_per_weight)),
                ("Predicted KL", budget::nats(point.kl, point.interval)),
            ],
        });
    }
    let points = budget.points.iter().map(|point| place(point.bits_per_weight, point.kl));
    let measured = shown.open.measured.iter().map(|point| place(point.bits_per_weight, point.kl));
    let own = [place(plan.cost.bits_per_weight, plan.cost.kl)];
    // Names lie on no mark.
    let mut taken: Vec<Rect> = points
        .chain(measured)
        .chain(own)
        .map(|at| Rect::from_center_size(at, vec2(MARK, MARK) * 2.5))
        .collect();
    for uniform in &budget.uniforms {
        let at = place(uniform.cost.bits_per_weight, uniform.cost.kl);
        whisker(&painter, at.x, uniform.cost.interval, &|kl| place(0.0, kl).y, palette.faint);
        mark(&painter, at, Series::Uniform, false, palette);
        label(&painter, plot, at, &uniform.name, &mut taken, palette);
        reads.push(Read {
            at,
            name: format!("Every matrix in {}", uniform.name),
            facts: vec![
                ("Size", format!("{:.3} bits/weight", uniform.cost.bits_per_weight)),
                ("Predicted KL", budget::nats(uniform.cost.kl, uniform.cost.interval)),
            ],
        });
    }
    for point in &shown.open.measured {
        let at = place(point.bits_per_weight, point.kl);
        whisker(&painter, at.x, point.interval, &|kl| place(0.0, kl).y, palette.dim);
        mark(&painter, at, point.series, true, palette);
        reads.push(Read {
            at,
            name: point.name.clone(),
            facts: vec![
                ("Size", format!("{:.3} bits/weight", point.bits_per_weight)),
                ("Measured KL", budget::nats(point.kl, point.interval)),
                ("Measured on", point.on.clone()),
            ],
        });
    }
    let own = place(plan.cost.bits_per_weight, plan.cost.kl);
    let hair = Stroke::new(sizes::HAIRLINE, palette.crosshair);
    painter.hline(plot.left()..=own.x, own.y, hair);
    painter.vline(own.x, own.y..=plot.bottom(), hair);
    whisker(&painter, own.x, plan.cost.interval, &|kl| place(0.0, kl).y, palette.selection);
    painter.circle(own, MARK + 2.0, palette.panel, Stroke::new(2.0, palette.selection));
    reads.push(Read {
        at: own,
        name: if plan.is_edited { "Yours" } else { "On the map" }.to_owned(),
        facts: vec![
            ("Size", format!("{:.3} bits/weight", plan.cost.bits_per_weight)),
            ("Predicted KL", budget::nats(plan.cost.kl, plan.cost.interval)),
        ],
    });
    let response = ui.interact(plot, ui.scope_id().with("curve"), Sense::click_and_drag());
    response.widget_info(|| {
        let text = format!(
            "Size against divergence, {} points. On the map {:.2} bits a weight, {} nats",
            budget.points.len(),
            plan.cost.bits_per_weight,
            format::significant(plan.cost.kl)
        );
        WidgetInfo::labeled(Role::Image, true, text)
    });
    if let Some(pointer) = response.interact_pointer_pos()
        && (response.clicked() || response.dragged())
    {
        let share = f64::from(((pointer.x - plot.left()) / plot.width()).clamp(0.0, 1.0));
        let (low, high) = budget.range();
        actions.push(Action::SetTarget((across.low + share * (across.high - across.low)).clamp(low, high)));
        return;
    }
    let near = response.hover_pos().and_then(|pointer| {
        let distance = |read: &&Read| (read.at - pointer).length();
        let nearest = reads.iter().min_by(|a, b| distance(a).total_cmp(&distance(b)))?;
        (distance(&nearest) <= REACH).then_some(nearest)
    });
    if let Some(read) = near {
        response.on_hover_ui_at_pointer(|ui| {
            ui.set_max_width(sizes::TOOLTIP);
            ui.label(RichText::new(&read.name).font(typeface::body_strong()));
            for (name, value) in &read.facts {
                widgets::fact(ui, name, value);
            }
        });
    }
}

/// Bits from the smallest recipe to the largest, and divergences over everything that is drawn.
fn axes(shown: &Shown<'_>) -> (Axis, Axis) {
    let budget = shown.budget;
    let bits = budget.uniforms.iter().map(|uniform| uniform.cost.bits_per_weight);
    let measured = &shown.open.measured;
    let bits: Vec<f64> = bits
        .chain([budget.range().0, budget.range().1, shown.plan.cost.bits_per_weight])
        .chain(measured.iter().map(|point| point.bits_per_weight))
        .collect();
    let (low, high) = bits
        .iter()
        .fold((f64::INFINITY, 0.0_f64), |(low, high), bits| (low.min(*bits), high.max(*bits)));
    let room = (high - low).max(0.1) * 0.04;
    let across = Axis {
        low: low - room,
        high: high + room,
        log: false,
    };
    let kl = budget
        .points
        .iter()
        .map(|point| point.kl)
        .chain(budget.uniforms.iter().map(|uniform| uniform.cost.kl));
    let kl: Vec<f64> = kl.chain(measured.iter().map(|point| point.kl)).chain([shown.plan.cost.kl]).collect();
    (across, Axis::over(kl.iter().copied()))
}

fn grid(ui: &Ui, plot: Rect, across: &Axis, up: &Axis, palette: &Palette) {
    let painter = ui.painter();
    let line = Stroke::new(sizes::HAIRLINE, palette.line);
    let mut bits = across.low.ceil();
    // Whole bits, or every second one where there are many.
    let step = if across.high - across.low > 9.0 { 2.0 } else { 1.0 };
    while bits <= across.high {
        let x = plot.left() + plot.width() * across.place(bits);
        painter.vline(x, plot.y_range(), line);
        painter.text(
            pos2(x, plot.bottom() + sizes::SMALL),
            Align2::CENTER_TOP,
            format!("{bits:.0}"),
            typeface::tick(),
            palette.dim,
        );
        bits += step;
    }
    for tick in up.ticks() {
        let y = plot.bottom() - plot.height() * up.place(tick);
        painter.hline(plot.x_range(), y, line);
        painter.text(
            pos2(plot.left() - sizes::GAP, y),
            Align2::RIGHT_CENTER,
            format::tick(tick),
            typeface::tick(),
            palette.dim,
        );
    }
    let name = "Stored bits a weight, scales included";
    let place = pos2(plot.center().x, plot.bottom() + sizes::LINE);
    painter.text(place, Align2::CENTER_TOP, name, typeface::caption(), palette.dim);
}

/// What random permutations cost: a surface from the least to the largest.
fn band(painter: &Painter, shown: &Shown<'_>, place: &dyn Fn(f64, f64) -> Pos2, palette: &Palette) {
    let colour = palette.faint.gamma_multiply(0.28);
    let mut mesh = Mesh::default();
    for (at, point) in shown.budget.band.iter().enumerate() {
        for end in point.ends {
            mesh.colored_vertex(place(point.bits_per_weight, end), colour);
        }
        if at > 0 {
            let last = 2 * at as u32;
            mesh.add_triangle(last - 2, last - 1, last);
            mesh.add_triangle(last - 1, last, last + 1);
        }
    }
    painter.add(mesh);
}

fn whisker(painter: &Painter, x: f32, interval: Option<(f64, f64)>, y: &dyn Fn(f64) -> f32, colour: Color32) {
    let Some((low, high)) = interval else { return };
    let (from, to) = (y(low), y(high));
    painter.vline(x, to..=from, Stroke::new(1.0, colour));
    for end in [from, to] {
        painter.hline(x - 2.5..=x + 2.5, end, Stroke::new(1.0, colour));
    }
}

/// A shape and a colour a series; filled where it was measured.
fn mark(painter: &Painter, at: Pos2, series: Series, measured: bool, palette: &Palette) {
    let colour = match series {
        Series::Chosen => palette.accent,
        Series::Uniform => palette.text,
        Series::Random => palette.faint,
        Series::Other => palette.dim,
    };
    let fill = if measured { colour } else { palette.panel };
    let line = Stroke::new(1.5, colour);
    let polygon = |corners: &[(f32, f32)]| {
        let points = corners.iter().map(|(x, y)| at + vec2(*x, *y) * MARK).collect();
        painter.add(Shape::convex_polygon(points, fill, line));
    };
    match series {
        Series::Chosen => {
            painter.circle(at, MARK - 0.5, fill, line);
        }
        Series::Uniform => polygon(&[(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)]),
        Series::Random => polygon(&[(0.0, -1.1), (1.0, 0.8), (-1.0, 0.8)]),
        Series::Other => polygon(&[(0.0, -1.2), (1.2, 0.0), (0.0, 1.2), (-1.2, 0.0)]),
    }
}

/// A name beside its mark, where it lies on no other.
fn label(painter: &Painter, plot: Rect, at: Pos2, name: &str, taken: &mut Vec<Rect>, palette: &Palette) {
    let galley = painter.layout_no_wrap(name.to_owned(), typeface::tick(), palette.dim);
    let size = galley.size();
    let sides = [
        vec2(MARK + 3.0, -size.y - 1.0),
        vec2(-MARK - 3.0 - size.x, 0.0),
        vec2(MARK + 3.0, 0.0),
        vec2(-MARK - 3.0 - size.x, -size.y),
    ];
    let free = sides
        .into_iter()
        .map(|side| Rect::from_min_size(at + side, size))
        .find(|room| plot.contains_rect(*room) && !taken.iter().any(|other| other.expand(1.0).intersects(*room)));
    if let Some(room) = free {
        painter.galley(room.min, galley, palette.dim);
        taken.push(room);
    }
}

/// What the marks mean.
pub fn legend(ui: &mut Ui, shown: &Shown<'_>) {
    let palette = shown.scene.palette;
    let measured = |series: Series| shown.open.measured.iter().any(|point| point.series == series);
    toolbar::row(ui, |ui| {
        toolbar::entry(ui, palette, "on the map", |painter, at| {
            painter.circle(at, MARK, palette.panel, Stroke::new(2.0, palette.selection));
        });
        for series in [Series::Chosen, Series::Uniform] {
            toolbar::entry(ui, palette, &format!("{}, predicted", series.title()), |painter, at| {
                mark(painter, at, series, false, palette)
            });
        }
        toolbar::entry(ui, palette, "random permutations, predicted", |painter, at| {
            let area = Rect::from_center_size(at, vec2(MARK * 2.5, MARK * 2.0));
            painter.rect_filled(area, CornerRadius::ZERO, palette.faint.gamma_multiply(0.28));
        });
        for series in Series::ALL.into_iter().filter(|series| measured(*series)) {
            toolbar::entry(ui, palette, &format!("{}, measured", series.title()), |painter, at| {
                mark(painter, at, series, true, palette)
            });
        }
        toolbar::entry(ui, palette, "predictions hold below", |painter, at| {
            let ends = [at - vec2(MARK, 0.0), at + vec2(MARK, 0.0)];
            painter.extend(Shape::dashed_line(&ends, Stroke::new(1.0, palette.faint), 2.0, 2.0));
        });
    });
}
