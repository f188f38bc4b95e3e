//! Where the study's model parts from another in the text that is read: the divergence token by token, beside it the curve along the thought
//! over all texts, and under both what each model wrote on from where their choices part.

use std::sync::Arc;

use cruxscope_selectors::divergence::{Apart, TextApart, behaviours};
use cruxscope_selectors::format;
use cruxscope_study::{CurvePoint, TraceText};
use cruxscope_theme::{Palette, sizes, typeface};
use egui::{Align2, Color32, CornerRadius, Id, Mesh, Painter, Rect, RichText, Role, ScrollArea, Sense, Shape, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};

use crate::action::Action;
use crate::views::scene::Scene;
use crate::widgets;

/// Height of the strip and of the curve.
const HEIGHT: f32 = 128.0;
/// Height of what a model wrote on.
const WRITTEN: f32 = 84.0;
/// Share of the width that the strip has beside the curve.
const STRIP: f32 = 0.62;
/// Room for the numbers left of a plot, and under it.
const SIDE: f32 = 44.0;
/// Height of the ribbon of behaviours.
const RIBBON: f32 = 5.0;
/// Width of a place of the strip.
const PLACE: f32 = 2.0;

type Key = (usize, String);

/// The text of an instance, worked out once; nothing where the other model did not read it.
pub fn kept(ui: &Ui, apart: &Arc<Apart>, id: &str) -> Option<Arc<TextApart>> {
    let place = Id::unique("text apart");
    let key: Key = (Arc::as_ptr(apart) as usize, id.to_owned());
    if let Some((known, text)) = ui.data(|data| data.get_temp::<(Key, Arc<TextApart>)>(place))
        && known == key
    {
        return Some(text);
    }
    let text = Arc::new(apart.text(id).filter(|text| !text.tokens.is_empty())?);
    ui.data_mut(|data| data.insert_temp(place, (key, Arc::clone(&text))));
    Some(text)
}

/// Draws it over the text.
pub fn show(ui: &mut Ui, scene: &Scene<'_>, apart: &Apart, own: &TextApart, text: &TraceText, actions: &mut Vec<Action>) {
    let narrow = ui.available_width() < sizes::ONE_COLUMN;
    let gap = sizes::GAP;
    let has_curve = !apart.curve.is_empty();
    let rows = if narrow && has_curve { 2.0 } else { 1.0 };
    let (area, _) = ui.allocate_exact_size(vec2(ui.available_width(), rows * HEIGHT + (rows - 1.0) * gap), Sense::hover());
    let (first, second) = match (has_curve, narrow) {
        (false, _) => (area, None),
        (true, true) => {
            let (first, second) = area.split_top_bottom_at_y(area.top() + HEIGHT + gap / 2.0);
            (first.with_max_y(first.bottom() - gap / 2.0), Some(second.with_min_y(second.top() + gap / 2.0)))
        }
        (true, false) => {
            let x = (area.left() + area.width() * STRIP).round();
            (area.with_max_x(x - gap / 2.0), Some(area.with_min_x(x + gap / 2.0)))
        }
    };
    strip(ui, first, scene, own, text, actions);
    if let Some(second) = second {
        curve(ui, second, apart, scene.palette);
    }
    ui.add_space(gap);
    if own.continuation.is_some() {
        continuations(ui, apart, own, narrow, scene.palette);
        ui.add_space(gap);
    }
}

/// The ground of a plot with its head; gives the place of the plot itself.
fn ground(ui: &Ui, rect: Rect, title: &str, palette: &Palette) -> Rect {
    let line = Stroke::new(sizes::HAIRLINE, palette.line);
    ui.painter()
        .rect(rect, CornerRadius::same(sizes::RADIUS), palette.panel, line, StrokeKind::Inside);
    let head = pos2(rect.left() + sizes::GAP, rect.top() + sizes::GAP + 5.0);
    let room = rect.width() - 2.0 * sizes::GAP;
    widgets::paint_cut(ui.painter(), head, Align2::LEFT_CENTER, title, typeface::caption_strong(), palette.text, room);
    Rect::from_min_max(
        pos2(rect.left() + SIDE, rect.top() + sizes::LARGE + sizes::GAP + 2.0),
        pos2(rect.right() - sizes::GAP, rect.bottom() - sizes::LARGE - RIBBON),
    )
}

/// Numbers at both ends of the upright axis.
fn heights(painter: &Painter, plot: Rect, high: f64, palette: &Palette) {
    for (y, value) in [(plot.top(), high), (plot.bottom(), 0.0)] {
        let align = if value > 0.0 { Align2::RIGHT_TOP } else { Align2::RIGHT_BOTTOM };
        painter.text(pos2(plot.left() - sizes::SMALL, y), align, format::tick(value), typeface::tick(), palette.dim);
    }
    painter.hline(plot.x_range(), plot.bottom(), Stroke::new(sizes::HAIRLINE, palette.line));
}

fn strip(ui: &Ui, rect: Rect, scene: &Scene<'_>, own: &TextApart, text: &TraceText, actions: &mut Vec<Action>) {
    let palette = scene.palette;
    let plot = ground(ui, rect, "Divergence of this text, nats (square-root scale)", palette);
    let painter = ui.painter();
    let high = own.largest().max(1e-9);
    let places = own.strip((plot.width() / PLACE).max(1.0) as usize);
    let wide = plot.width() / places.len().max(1) as f32;
    let mut bars = Mesh::default();
    for (number, place) in places.iter().enumerate() {
        let left = plot.left() + number as f32 * wide;
        let up = plot.height() * (place.kl.max(0.0) / high).sqrt() as f32;
        let bar = Rect::from_min_max(pos2(left, plot.bottom() - up.max(0.5)), pos2(left + (wide - 0.5).max(0.5), plot.bottom()));
        bars.add_colored_rect(bar, if place.parts { palette.text } else { palette.faint });
        if let Some(behaviour) = place.behaviour {
            let under = Rect::from_min_size(pos2(left, plot.bottom() + 2.0), vec2(wide, RIBBON));
            bars.add_colored_rect(under, palette.behaviour(behaviour));
        }
    }
    painter.add(bars);
    heights(painter, plot, high, palette);
    let across = |at: usize| plot.left() + plot.width() * at as f32 / own.tokens.len().max(1) as f32;
    if own.answer < own.tokens.len() {
        let x = across(own.answer);
        painter.vline(x, plot.y_range(), Stroke::new(sizes::HAIRLINE, palette.dim));
    }
    if let Some(at) = own.parting {
        painter.vline(
            across(at),
            plot.top() - sizes::SMALL..=plot.bottom() + RIBBON + 2.0,
            Stroke::new(1.5, palette.accent),
        );
    }
    feet(painter, plot, own, palette);
    let response = ui.interact(plot.expand2(vec2(0.0, sizes::SMALL)), ui.scope_id().with("strip"), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, format!("Divergence token by token. {}", own.sentence())));
    let Some(pointed) = response.hover_pos() else { return };
    let number = (((pointed.x - plot.left()) / wide).max(0.0) as usize).min(places.len().saturating_sub(1));
    let Some(place) = places.get(number) else { return };
    painter.vline(
        plot.left() + (number as f32 + 0.5) * wide,
        plot.y_range(),
        Stroke::new(sizes::HAIRLINE, palette.crosshair),
    );
    if response.clicked()
        && let Some([start, _]) = own.tokens.get(place.at).and_then(|token| token.bytes)
    {
        actions.push(Action::RevealByte(start));
    }
    response.on_hover_ui_at_pointer(|ui| {
        ui.set_width(sizes::TOOLTIP - 2.0 * sizes::GAP);
        let title = format!("Token {} of {}", format::count(place.at + 1), format::count(own.tokens.len()));
        ui.label(RichText::new(title).font(typeface::body_strong()));
        for (label, value) in own.token_facts(place.at, &text.output) {
            widgets::fact(ui, label, &value);
        }
    });
}

/// What stands under the strip: its first and last token, where the answer begins, and in which behaviour the choices part.
fn feet(painter: &Painter, plot: Rect, own: &TextApart, palette: &Palette) {
    let y = plot.bottom() + RIBBON + sizes::SMALL;
    let last = painter.text(
        pos2(plot.right(), y),
        Align2::RIGHT_TOP,
        format::count(own.tokens.len()),
        typeface::tick(),
        palette.dim,
    );
    let first = painter.text(pos2(plot.left(), y), Align2::LEFT_TOP, "token 1", typeface::tick(), palette.dim);
    let mut free = (first.right() + sizes::GAP, last.left() - sizes::GAP);
    let mut put = |x: f32, words: String, colour: Color32| {
        let galley = painter.layout_no_wrap(words, typeface::tick(), colour);
        let width = galley.size().x;
        if free.1 - free.0 < width {
            return;
        }
        let left = (x - width / 2.0).clamp(free.0, free.1 - width);
        painter.galley(pos2(left, y), galley, colour);
        // What follows takes the larger side that is left.
        if left - free.0 > free.1 - left - width {
            free.1 = left - sizes::GAP;
        } else {
            free.0 = left + width + sizes::GAP;
        }
    };
    let across = |at: usize| plot.left() + plot.width() * at as f32 / own.tokens.len().max(1) as f32;
    if let Some(at) = own.parting {
        let words = format!("parts at {}, in {}", format::count(at + 1), behaviours(own.tokens[at].behaviours));
        put(across(at), words, palette.accent);
    }
    if own.answer < own.tokens.len() {
        put(across(own.answer), "answer".to_owned(), palette.dim);
    }
}

/// The mean divergence along the thought with its band, the mean over all positions dashed.
fn curve(ui: &Ui, rect: Rect, apart: &Apart, palette: &Palette) {
    let count = apart.divergence.facts.texts.len();
    let title = format!("Mean over {}, by place in the thought", format::things(count, "text", "texts"));
    let plot = ground(ui, rect, &title, palette);
    let painter = ui.painter();
    let end = |point: &CurvePoint| point.kl.interval.map_or(point.kl.value, |(_, high)| high);
    let high = apart.curve.iter().map(end).fold(0.0, f64::max).max(1e-9);
    let up = |value: f64| plot.bottom() - plot.height() * (value.max(0.0) / high).min(1.0) as f32;
    let middle = |point: &CurvePoint| plot.left() + plot.width() * ((point.from + point.to) / 2.0) as f32;
    let mut band = Mesh::default();
    for point in &apart.curve {
        let Some((low, high)) = point.kl.interval else { continue };
        let colour = palette.accent.gamma_multiply(0.22);
        band.colored_vertex(pos2(middle(point), up(high)), colour);
        band.colored_vertex(pos2(middle(point), up(low)), colour);
        let last = band.vertices.len() as u32;
        if last >= 4 {
            band.add_triangle(last - 4, last - 3, last - 2);
            band.add_triangle(last - 3, last - 2, last - 1);
        }
    }
    painter.add(band);
    if let Some(mean) = apart.mean.filter(|mean| mean.value <= high) {
        let points = [pos2(plot.left(), up(mean.value)), pos2(plot.right(), up(mean.value))];
        painter.add(Shape::dashed_line(&points, Stroke::new(sizes::HAIRLINE, palette.dim), 4.0, 3.0));
    }
    let points = apart.curve.iter().map(|point| pos2(middle(point), up(point.kl.value))).collect();
    painter.line(points, Stroke::new(1.5, palette.accent));
    heights(painter, plot, high, palette);
    let y = plot.bottom() + RIBBON + sizes::SMALL;
    for (x, align, words) in [
        (plot.left(), Align2::LEFT_TOP, "0 %"),
        (plot.center().x, Align2::CENTER_TOP, "50 %"),
        (plot.right(), Align2::RIGHT_TOP, "100 %"),
    ] {
        painter.text(pos2(x, y), align, words, typeface::tick(), palette.dim);
    }
    let response = ui.interact(plot, ui.scope_id().with("curve"), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, format!("Divergence along the thought, {}", title.to_lowercase())));
    let Some(pointed) = response.hover_pos() else { return };
    let near = |point: &&CurvePoint| (middle(point) - pointed.x).abs();
    let Some(point) = apart.curve.iter().min_by(|a, b| near(a).total_cmp(&near(b))) else {
        return;
    };
    painter.circle_filled(pos2(middle(point), up(point.kl.value)), 3.0, palette.accent);
    let said = [
        ("Place in the thought", format!("{:.0} to {:.0} %", 100.0 * point.from, 100.0 * point.to)),
        ("Divergence", cruxscope_selectors::divergence::nats(point.kl)),
        ("Same choice", format::percent(point.agreement.value)),
        ("Predictions", format::count(point.count)),
    ];
    response.on_hover_ui_at_pointer(|ui| {
        ui.set_width(sizes::TOOLTIP - 2.0 * sizes::GAP);
        for (label, value) in said {
            widgets::fact(ui, label, &value);
        }
    });
}

/// What both models wrote on, side by side, or one over the other where there is little room.
fn continuations(ui: &mut Ui, apart: &Apart, own: &TextApart, narrow: bool, palette: &Palette) {
    let Some(both) = &own.continuation else { return };
    let columns = if narrow { 1 } else { 2 };
    let width = (ui.available_width() - sizes::GAP * (columns as f32 - 1.0)) / columns as f32;
    let height = if narrow { 2.0 * WRITTEN + sizes::GAP } else { WRITTEN };
    let (area, _) = ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::hover());
    for (side, (model, words)) in apart.models().into_iter().zip([&both.a, &both.b]).enumerate() {
        let (column, row) = (side % columns, side / columns);
        let corner = area.min + vec2(column as f32 * (width + sizes::GAP), row as f32 * (WRITTEN + sizes::GAP));
        let rect = Rect::from_min_size(corner, vec2(width, WRITTEN));
        let line = Stroke::new(sizes::HAIRLINE, palette.line);
        ui.painter()
            .rect(rect, CornerRadius::same(sizes::RADIUS), palette.panel, line, StrokeKind::Inside);
        let letter = if side == 0 { "A" } else { "B" };
        let head = pos2(rect.left() + sizes::GAP, rect.top() + sizes::GAP + 5.0);
        let room = rect.width() - 2.0 * sizes::GAP;
        let title = format!("{letter}, {model}, goes on");
        widgets::paint_cut(ui.painter(), head, Align2::LEFT_CENTER, &title, typeface::caption_strong(), palette.text, room);
        let inner = Rect::from_min_max(
            pos2(rect.left() + sizes::GAP, head.y + sizes::GAP + 2.0),
            rect.max - vec2(sizes::SMALL, sizes::SMALL),
        );
        ui.scope_builder(egui::UiBuilder::new().max_rect(inner), |ui| {
            ScrollArea::vertical().id_salt(("goes on", side)).auto_shrink(false).show(ui, |ui| {
                let text = RichText::new(words).font(typeface::body()).color(palette.dim);
                ui.add(egui::Label::new(text).wrap().selectable(true));
            });
        });
    }
}
