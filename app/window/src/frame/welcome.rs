//! The first start: what a cell is, what the four behaviours are, what is blue, and where to go from here. Four steps that can be left at
//! any time and come once.

use cruxscope_study::Behaviour;
use cruxscope_theme::colour_map::ColourMap;
use cruxscope_theme::{Palette, icons, sizes, typeface};
use egui::{Align2, Context, CornerRadius, Label, Modal, Rect, RichText, Sense, Stroke, StrokeKind, Ui, pos2, vec2};

use crate::action::Action;
use crate::widgets;

/// The name under which it is remembered that it was seen.
pub const REMEMBERED: &str = "welcome";
/// Number of steps.
pub const STEPS: usize = 4;
/// Width of the text.
const WIDTH: f32 = 460.0;
/// Height of what is drawn.
const PICTURE: f32 = 116.0;

/// Draws a step over everything else.
pub fn show(context: &Context, step: usize, actions: &mut Vec<Action>) {
    let frame = egui::Frame::popup(&context.global_style()).inner_margin(sizes::LARGE + sizes::GAP);
    let response = Modal::new(egui::Id::unique("welcome")).frame(frame).show(context, |ui| {
        ui.set_width(WIDTH.min(context.content_rect().width() - sizes::LARGE * 5.0));
        let palette = Palette::of(ui.ctx());
        widgets::caption(ui, &format!("{} of {STEPS}", step + 1));
        let (title, text) = words(step);
        ui.add(Label::new(RichText::new(title).font(typeface::title()).color(palette.text)).wrap());
        ui.add_space(sizes::SMALL);
        let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), PICTURE), Sense::hover());
        match step {
            0 => cells(ui, rect, palette),
            1 => behaviours(ui, rect, palette),
            2 => blue(ui, rect, palette),
            _ => keys(ui, rect, palette),
        }
        ui.add_space(sizes::SMALL);
        ui.add(Label::new(RichText::new(text).color(palette.dim)).wrap());
        ui.add_space(sizes::GAP + sizes::SMALL);
        ui.horizontal_wrapped(|ui| {
            let last = step + 1 >= STEPS;
            if widgets::primary_button(ui, if last { "Begin" } else { "Next" }).clicked() {
                actions.push(next(step));
            }
            if step > 0 && widgets::button(ui, "Back").clicked() {
                actions.push(Action::ShowWelcome(step - 1));
            }
            if !last && widgets::button(ui, "Skip").clicked() {
                actions.push(Action::EndWelcome);
            }
        });
    });
    if response.backdrop_response.clicked() {
        actions.push(Action::EndWelcome);
    }
}

/// What comes after a step.
pub const fn next(step: usize) -> Action {
    if step + 1 >= STEPS {
        Action::EndWelcome
    } else {
        Action::ShowWelcome(step + 1)
    }
}

const fn words(step: usize) -> (&'static str, &'static str) {
    match step {
        0 => (
            "A cell is a weight matrix",
            "A column is a layer of the model, a row one of its seven linear maps: q, k, v, o, gate, up, down. The brighter a cell, the more the model's reasoning depends \
             on that matrix. The dot marks the first of all.",
        ),
        1 => (
            "Four behaviours of reasoning",
            "Every reasoning trace was marked by what it does. Each behaviour has one colour and one sign, the same in every view, and a map of its own.",
        ),
        2 => (
            "What is blue is yours",
            "Blue is what you chose and what you can press: the view that is on, the main button, a value you look at. A white frame is the cell that is selected, in every \
             map at once.",
        ),
        _ => (
            "Where to go from here",
            "The tabs are the views, from left to right on the keys 1 to 9 and 0. \"How to read\" explains the one that is on, with every term; hover over a fact's name for \
             its meaning. Ctrl P finds every command, matrix and study.",
        ),
    }
}

fn cells(ui: &Ui, rect: Rect, palette: &Palette) {
    let painter = ui.painter();
    let (columns, rows) = (14, 7);
    let names = ["q", "k", "v", "o", "gate", "up", "down"];
    let body = Rect::from_min_max(rect.min + vec2(sizes::ROW_LABELS, 0.0), rect.max - vec2(0.0, sizes::LARGE));
    let size = vec2(body.width() / columns as f32, body.height() / rows as f32);
    for row in 0..rows {
        for column in 0..columns {
            // A made-up picture: more in late layers, most in the last up.
            let depth = (column + 1) as f32 / columns as f32;
            let own = ((row * 5 + column * 3) % 7) as f32 / 7.0;
            let most = row == 5 && column + 1 == columns;
            let value = if most { 1.0 } else { 0.75 * depth * depth * (0.3 + 0.7 * own) };
            let cell = Rect::from_min_size(body.min + vec2(column as f32, row as f32) * size, size - vec2(1.5, 1.5));
            let colour = ColourMap::Importance.at(value, palette.dark);
            painter.rect_filled(cell, CornerRadius::same(1), colour);
            if most {
                painter.circle_filled(cell.center(), sizes::DOT, Palette::ink_on(colour));
                painter.rect_stroke(cell.expand(1.0), CornerRadius::same(2), Stroke::new(2.0, palette.selection), StrokeKind::Middle);
            }
        }
        let y = body.top() + (row as f32 + 0.5) * size.y;
        painter.text(
            pos2(body.left() - sizes::SMALL, y),
            Align2::RIGHT_CENTER,
            names[row],
            typeface::tick(),
            palette.dim,
        );
    }
    painter.text(
        pos2(body.center().x, rect.bottom()),
        Align2::CENTER_BOTTOM,
        "layer",
        typeface::tick(),
        palette.dim,
    );
}

fn behaviours(ui: &Ui, rect: Rect, palette: &Palette) {
    let says = [
        "\"Wait, that is not right.\"",
        "\"I am not sure about this.\"",
        "\"Take 3 as an example.\"",
        "\"A triangle has three sides.\"",
    ];
    let pitch = rect.height() / Behaviour::ALL.len() as f32;
    for (row, behaviour) in Behaviour::ALL.into_iter().enumerate() {
        let middle = rect.top() + (row as f32 + 0.5) * pitch;
        let sign = Rect::from_center_size(pos2(rect.left() + sizes::SIGN / 2.0, middle), vec2(sizes::SIGN, sizes::SIGN));
        icons::behaviour(ui.painter(), sign, behaviour, palette);
        let left = sign.right() + sizes::GAP;
        let placed = ui.painter().text(
            pos2(left, middle),
            Align2::LEFT_CENTER,
            behaviour.title(),
            typeface::body_strong(),
            palette.text,
        );
        let room = rect.right() - placed.right() - sizes::LARGE;
        widgets::paint_cut(
            ui.painter(),
            pos2(rect.right(), middle),
            Align2::RIGHT_CENTER,
            says[behaviour.index()],
            typeface::caption(),
            palette.dim,
            room,
        );
    }
}

fn blue(ui: &Ui, rect: Rect, palette: &Palette) {
    let painter = ui.painter();
    let middle = rect.center().y;
    let tab = painter.text(
        pos2(rect.left() + sizes::GAP, middle),
        Align2::LEFT_CENTER,
        "Importance",
        typeface::body(),
        palette.text,
    );
    let line = Rect::from_min_max(
        pos2(tab.left(), tab.bottom() + sizes::SMALL),
        pos2(tab.right(), tab.bottom() + sizes::SMALL + 2.0),
    );
    painter.rect_filled(line, CornerRadius::ZERO, palette.accent);
    let galley = painter.layout_no_wrap("Export…".to_owned(), typeface::body_strong(), palette.on_accent);
    let button = Rect::from_center_size(rect.center(), galley.size() + vec2(2.0 * sizes::GAP, sizes::GAP));
    painter.rect_filled(button, CornerRadius::same(sizes::RADIUS_SMALL), palette.accent);
    painter.galley(button.center() - galley.size() / 2.0, galley, palette.on_accent);
    let track = Rect::from_center_size(pos2(rect.right() - rect.width() / 6.0, middle), vec2(rect.width() / 4.0, sizes::LINE));
    widgets::interval(painter, track, 0.5, Some([0.25, 0.8]), palette);
}

fn keys(ui: &Ui, rect: Rect, palette: &Palette) {
    let lines = [
        ("H", "how to read this view"),
        ("Ctrl P", "every command, by name"),
        ("?", "all keys"),
        ("F", "the figure on a stage"),
    ];
    let pitch = rect.height() / lines.len() as f32;
    for (row, (key, what)) in lines.into_iter().enumerate() {
        let middle = rect.top() + (row as f32 + 0.5) * pitch;
        let galley = ui.painter().layout_no_wrap(key.to_owned(), typeface::caption_strong(), palette.text);
        let cap = Rect::from_min_size(
            pos2(rect.left(), middle - sizes::LINE / 2.0),
            vec2(galley.size().x + 2.0 * sizes::GAP, sizes::LINE),
        );
        let line = Stroke::new(sizes::HAIRLINE, palette.line);
        ui.painter()
            .rect(cap, CornerRadius::same(sizes::RADIUS_SMALL), palette.raised, line, StrokeKind::Inside);
        ui.painter().galley(cap.center() - galley.size() / 2.0, galley, palette.text);
        let place = pos2(rect.left() + sizes::LARGE * 5.0, middle);
        ui.painter().text(place, Align2::LEFT_CENTER, what, typeface::body(), palette.dim);
    }
}
