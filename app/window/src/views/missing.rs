//! What is said where a view has nothing to show: what is missing, which open study has it, and the run that makes it.

use cruxscope_selectors::status;
use cruxscope_theme::{Palette, sizes, typeface};
use egui::{Frame, Label, RichText, Ui};

use super::scene::Scene;
use crate::action::Action;
use crate::studies::OpenStudy;
use crate::widgets;

/// Greatest width of the words.
const WIDTH: f32 = 620.0;
/// Studies that are offered.
const OFFERED: usize = 6;

/// What is missing and the command that makes it, which can be copied.
pub fn say(ui: &mut Ui, title: &str, text: &str, command: &str, actions: &mut Vec<Action>) {
    let palette = Palette::of(ui.ctx());
    ui.set_max_width(WIDTH.min(ui.available_width()));
    ui.add_space(sizes::LARGE);
    ui.add(Label::new(RichText::new(title).font(typeface::title()).color(palette.text)).wrap());
    ui.add(Label::new(RichText::new(text).color(palette.dim)).wrap());
    if command.is_empty() {
        return;
    }
    ui.add_space(sizes::SMALL);
    Frame::new()
        .fill(palette.raised)
        .corner_radius(sizes::RADIUS_SMALL)
        .inner_margin(sizes::GAP)
        .show(ui, |ui| {
            let text = RichText::new(command).font(typeface::code()).color(palette.text);
            ui.add(Label::new(text).wrap().selectable(true));
        });
    ui.add_space(sizes::SMALL);
    if widgets::button(ui, "Copy the command").clicked() {
        actions.push(Action::Copy(command.to_owned()));
    }
}

/// The open studies that have what this one lacks, each with a button that shows it.
pub fn offer(ui: &mut Ui, scene: &Scene<'_>, has: impl Fn(&OpenStudy) -> bool, actions: &mut Vec<Action>) {
    let others = scene.studies.iter().enumerate().filter(|(_, other)| other.id != scene.open.id && has(other));
    let others: Vec<(usize, &str)> = others.map(|(position, other)| (position, status::title(&other.study))).collect();
    if others.is_empty() {
        return;
    }
    ui.add_space(sizes::GAP);
    ui.add(Label::new(RichText::new("Other open studies have it").color(scene.palette.dim)).wrap());
    ui.horizontal_wrapped(|ui| {
        for (position, title) in others.into_iter().take(OFFERED) {
            if widgets::button(ui, &format!("Show {title}")).clicked() {
                actions.push(Action::Activate(position));
            }
        }
    });
}
