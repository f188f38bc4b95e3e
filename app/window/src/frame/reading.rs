//! How to read the view that is on, and the terms that are met in it, a card each.

use cruxscope_selectors::terms::{self, Term};
use cruxscope_theme::{Palette, sizes, typeface};
use egui::{Context, Label, Modal, RichText, ScrollArea, Ui};

use crate::action::Action;
use crate::state::State;
use crate::widgets;

/// Width of the text.
const WIDTH: f32 = 560.0;

/// Draws it over everything else.
pub fn show(context: &Context, state: &State, actions: &mut Vec<Action>) {
    let frame = egui::Frame::popup(&context.global_style()).inner_margin(sizes::LARGE + sizes::GAP);
    let window = context.content_rect();
    let response = Modal::new(egui::Id::unique("reading")).frame(frame).show(context, |ui| {
        ui.set_width(WIDTH.min(window.width() - sizes::LARGE * 5.0));
        let palette = Palette::of(ui.ctx());
        let title = format!("How to read: {}", state.view.title().to_lowercase());
        ui.add(Label::new(RichText::new(title).font(typeface::title()).color(palette.text)).wrap());
        ui.add_space(sizes::GAP);
        let room = (window.height() - sizes::LARGE * 12.0).max(sizes::LARGE * 6.0);
        ScrollArea::vertical().max_height(room).auto_shrink([false, true]).show(ui, |ui| {
            ui.set_max_width(ui.available_width() - sizes::LARGE);
            for sentence in terms::reading(state.view.name()) {
                ui.add(Label::new(RichText::new(*sentence).color(palette.text)).wrap());
                ui.add_space(sizes::SMALL);
            }
            widgets::section(ui, "Terms");
            for term in terms::of_view(state.view.name()) {
                card(ui, term);
                ui.add_space(sizes::GAP);
            }
        });
        ui.add_space(sizes::GAP);
        ui.horizontal_wrapped(|ui| {
            let closed = widgets::button(ui, "Close").clicked();
            if widgets::button(ui, "Introduction").clicked() {
                actions.push(Action::ToggleReading);
                actions.push(Action::ShowWelcome(0));
            }
            closed
        })
        .inner
    });
    if response.inner || response.backdrop_response.clicked() {
        actions.push(Action::ToggleReading);
    }
}

/// A term: its name and symbol, what it means, where it stands in the paper.
fn card(ui: &mut Ui, term: &Term) {
    widgets::term_card(ui, term);
}
