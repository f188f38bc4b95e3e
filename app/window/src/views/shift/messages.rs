//! What is said instead of a figure, or over one: a second study is wanting, two cannot be compared, something differs.

use cruxscope_selectors::format::things;
use cruxscope_study::StudyError;
use cruxscope_theme::{sizes, typeface};
use egui::{Align, Frame, Label, Layout, Rect, RichText, Stroke, Ui, vec2};

use crate::action::Action;
use crate::comparison::Compared;
use crate::views::scene::Scene;
use crate::widgets;

/// The others are on their way.
pub fn coming(ui: &mut Ui, scene: &Scene<'_>) {
    ui.add_space(sizes::LARGE);
    ui.horizontal_wrapped(|ui| {
        ui.spinner();
        let words = format!("Opening {}; a shift lies between two", things(scene.coming, "study", "studies"));
        ui.label(RichText::new(words).color(scene.palette.dim));
    });
}

/// Only one study is open.
pub fn alone(ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
    let palette = scene.palette;
    ui.with_layout(Layout::top_down(Align::Center), |ui| {
        ui.add_space((ui.available_height() * 0.25).max(sizes::LARGE));
        ui.set_max_width((sizes::INSPECTOR * 1.6).min(ui.available_width()));
        let title = RichText::new("A shift lies between two studies").font(typeface::title());
        ui.label(title.color(palette.text));
        ui.add_space(sizes::SMALL);
        let text = "Open a second one, of the same model after compression or of the base model, with the same traces. The shift then shows which weights the reasoning depends on less, and which more.";
        ui.add(Label::new(RichText::new(text).color(palette.dim)).wrap());
        ui.add_space(sizes::LARGE);
        ui.allocate_ui(vec2(sizes::INSPECTOR * 0.7, sizes::BUTTON), |ui| {
            if widgets::primary_button(ui, "Open a second study…").clicked() {
                actions.push(Action::OpenDialog);
            }
        });
    });
}

/// The two studies cannot be compared.
pub fn refused(ui: &mut Ui, scene: &Scene<'_>, error: &StudyError) {
    let palette = scene.palette;
    let frame = Frame::new()
        .fill(palette.panel)
        .stroke(Stroke::new(sizes::HAIRLINE, palette.line))
        .corner_radius(sizes::RADIUS)
        .inner_margin(sizes::LARGE);
    frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.label(RichText::new("These studies cannot be compared").font(typeface::heading()).color(palette.text));
        let why = match error {
            StudyError::Incomparable { why } => why.clone(),
            other => other.to_string(),
        };
        ui.add(Label::new(RichText::new(why).color(palette.text)).wrap().selectable(true));
        let advice = "A shift compares one network with itself before and after a change, both computed by one definition. Choose another A or B.";
        ui.add(Label::new(RichText::new(advice).color(palette.dim)).wrap());
    });
}

/// What differs between the two besides their models, on one quiet line each.
pub fn differences(ui: &mut Ui, scene: &Scene<'_>, compared: &Compared) {
    let palette = scene.palette;
    for difference in &compared.comparison().differences {
        let frame = Frame::new().fill(palette.raised).corner_radius(sizes::RADIUS_SMALL);
        let frame = frame.inner_margin(egui::Margin::symmetric((sizes::GAP + sizes::SMALL) as i8, sizes::SMALL as i8 + 1));
        frame.show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.horizontal_top(|ui| {
                let height = ui.text_style_height(&egui::TextStyle::Small);
                let (mark, _) = ui.allocate_exact_size(vec2(sizes::SMALL, height), egui::Sense::hover());
                let bar = Rect::from_center_size(mark.center(), vec2(2.0, height));
                ui.painter().rect_filled(bar, 1.0, palette.accent);
                let text = RichText::new(&difference.sentence).font(typeface::caption()).color(palette.dim);
                ui.add(Label::new(text).wrap().selectable(true));
            });
        });
    }
}
