//! What is seen when nothing is open, while something opens, and when something could not be opened.

use cruxscope_theme::{Palette, icons, sizes, typeface};
use egui::{Align, Layout, RichText, ScrollArea, Ui, vec2};

use crate::action::Action;
use crate::open::Problem;
use crate::views::problem;
use crate::widgets;

/// Width of the text.
const WIDTH: f32 = 560.0;

/// Nothing is open: what this is, and the ways in.
pub fn show(ui: &mut Ui, opening: &[String], problems: &[Problem], can_run: bool, actions: &mut Vec<Action>) {
    let palette = Palette::of(ui.ctx());
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        ui.with_layout(Layout::top_down(Align::Center), |ui| {
            ui.add_space((ui.available_height() * 0.16).max(sizes::LARGE));
            ui.set_max_width(WIDTH.min(ui.available_width()));
            let (rect, _) = ui.allocate_exact_size(vec2(sizes::BUTTON, sizes::BUTTON), egui::Sense::hover());
            icons::mark(ui.painter(), rect.center(), palette);
            ui.add_space(sizes::SMALL);
            ui.label(
                RichText::new("Find the weights behind a model's reasoning")
                    .font(typeface::title())
                    .color(palette.text),
            );
            ui.add_space(sizes::SMALL);
            let text = "A study holds one number for every behaviour, layer and module of a model: how much the behaviour depends on that weight matrix.";
            ui.add(egui::Label::new(RichText::new(text).color(palette.dim)).wrap());
            ui.add_space(sizes::LARGE);
            self::problems(ui, problems, actions);
            for name in opening {
                ui.horizontal(|ui| {
                    ui.spinner();
                    ui.label(RichText::new(format!("Opening {name}")).color(palette.dim));
                });
            }
            if opening.is_empty() {
                ui.allocate_ui(vec2(sizes::INSPECTOR * 0.7, sizes::BUTTON), |ui| {
                    if widgets::primary_button(ui, "Open a study…").clicked() {
                        actions.push(Action::OpenDialog);
                    }
                });
                if can_run && widgets::button(ui, "Run: interpret or compress a model…").clicked() {
                    actions.push(Action::ToggleRuns);
                }
                ui.add_space(sizes::GAP);
                ways(ui);
            }
        });
    });
}

fn ways(ui: &mut Ui) {
    let palette = Palette::of(ui.ctx());
    let (drop, other) = if cfg!(target_arch = "wasm32") {
        (
            "Drop study.json and importance.safetensors here, together",
            "or name an address in the link, as in ?study=studies/mine",
        )
    } else {
        (
            "Drop a study's folder here",
            "or name one when you start the program, as in cruxscope view my-study",
        )
    };
    for text in [drop, other] {
        ui.add(egui::Label::new(RichText::new(text).font(typeface::caption()).color(palette.faint)).wrap());
    }
}

/// The cards of what could not be opened, each with what was tried, why it failed and what can be done.
pub fn problems(ui: &mut Ui, problems: &[Problem], actions: &mut Vec<Action>) {
    let palette = Palette::of(ui.ctx());
    for (position, problem) in problems.iter().enumerate() {
        let frame = egui::Frame::new()
            .fill(palette.panel)
            .stroke(egui::Stroke::new(sizes::HAIRLINE, palette.error))
            .corner_radius(sizes::RADIUS)
            .inner_margin(sizes::LARGE);
        frame.show(ui, |ui| {
            ui.set_width(ui.available_width().min(WIDTH * 1.3));
            ui.with_layout(Layout::top_down(Align::Min), |ui| {
                problem::problem(ui, problem);
                ui.add_space(sizes::SMALL);
                if ui.push_id(position, |ui| widgets::button(ui, "Dismiss")).inner.clicked() {
                    actions.push(Action::Dismiss(position));
                }
            });
        });
        ui.add_space(sizes::GAP);
    }
}

/// The veil while a file hangs over the window.
pub fn drop_target(ui: &Ui) {
    let palette = Palette::of(ui.ctx());
    let rect = ui.ctx().content_rect();
    let painter = ui.ctx().layer_painter(egui::LayerId::new(egui::Order::Foreground, egui::Id::unique("drop")));
    painter.rect_filled(rect, egui::CornerRadius::ZERO, palette.ground.gamma_multiply(0.85));
    let inner = rect.shrink(sizes::LARGE);
    let line = egui::Stroke::new(2.0, palette.accent);
    painter.rect_stroke(inner, egui::CornerRadius::same(sizes::RADIUS), line, egui::StrokeKind::Inside);
    painter.text(rect.center(), egui::Align2::CENTER_CENTER, "Drop to open", typeface::title(), palette.text);
}
