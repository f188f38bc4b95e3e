//! The tour at the bottom: what is said of the present stop, the way to the next, and the fields in which it is written.

use cruxscope_study::Collection;
use cruxscope_theme::{Palette, icons, sizes, typeface};
use egui::{Label, RichText, Sense, TextEdit, Ui, vec2};

use super::markdown;
use crate::action::Action;
use crate::widgets;

/// Greatest width of a caption: longer lines are hard to read.
const CAPTION_WIDTH: f32 = 760.0;

/// Draws it.
pub fn show(ui: &mut Ui, collection: &Collection, stop: usize, editing: bool, actions: &mut Vec<Action>) {
    let palette = Palette::of(ui.ctx());
    let Some(present) = collection.tour.get(stop) else { return };
    let of = collection.tour.len();
    ui.horizontal_top(|ui| {
        ui.vertical(|ui| {
            ui.set_width((ui.available_width() - sizes::LARGE * 16.0).clamp(sizes::LARGE * 12.0, CAPTION_WIDTH));
            if editing {
                edit(ui, present, stop, actions);
            } else {
                ui.add(Label::new(RichText::new(&present.title).font(typeface::heading()).color(palette.text)).wrap());
                markdown::show(ui, &present.caption);
            }
        });
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Min), |ui| {
            let (rect, _) = ui.allocate_exact_size(vec2(sizes::BUTTON, sizes::BUTTON), Sense::hover());
            if widgets::icon_button(ui, rect, "Leave the tour", false, icons::cross).clicked() {
                actions.push(Action::SetStop(None));
            }
            let (rect, _) = ui.allocate_exact_size(vec2(sizes::BUTTON, sizes::BUTTON), Sense::hover());
            let next = widgets::icon_button(ui, rect, "Next step", stop + 1 < of, |painter, rect, colour| {
                icons::arrow(painter, rect, true, colour)
            });
            if next.clicked() {
                actions.push(Action::StepStop(1));
            }
            ui.label(RichText::new(format!("{} of {of}", stop + 1)).font(typeface::caption()).color(palette.dim));
            let (rect, _) = ui.allocate_exact_size(vec2(sizes::BUTTON, sizes::BUTTON), Sense::hover());
            let previous = widgets::icon_button(ui, rect, "Previous step", stop > 0, |painter, rect, colour| {
                icons::arrow(painter, rect, false, colour)
            });
            if previous.clicked() {
                actions.push(Action::StepStop(-1));
            }
            if widgets::button(ui, if editing { "Done" } else { "Edit" }).clicked() {
                actions.push(Action::ToggleEditing);
            }
        });
    });
}

fn edit(ui: &mut Ui, present: &cruxscope_study::TourStop, stop: usize, actions: &mut Vec<Action>) {
    let (mut title, mut caption, mut notes) = (present.title.clone(), present.caption.clone(), present.notes.clone());
    let width = ui.available_width();
    let heading = ui.add(TextEdit::singleline(&mut title).hint_text("Heading").desired_width(width));
    let words = ui.add(
        TextEdit::multiline(&mut caption)
            .hint_text("Describe this step, in Markdown")
            .desired_rows(3)
            .desired_width(width),
    );
    let told = ui.add(
        TextEdit::multiline(&mut notes)
            .hint_text("Notes for the presenter, which the audience does not see")
            .desired_rows(2)
            .desired_width(width),
    );
    let changed = heading.accessible_name("Heading").changed() | words.accessible_name("Caption").changed() | told.accessible_name("Notes").changed();
    if changed {
        actions.push(Action::EditStop(stop, title, caption, notes));
    }
    ui.horizontal(|ui| {
        if widgets::button(ui, "Update view").clicked() {
            actions.push(Action::AimStop(stop));
        }
        if widgets::button(ui, "Delete step").clicked() {
            actions.push(Action::RemoveStop(stop));
        }
        if widgets::button(ui, "Save the tour").clicked() {
            actions.push(Action::SaveTour);
        }
    });
}
