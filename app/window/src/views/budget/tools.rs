//! What is set: what cells say, whose positions count, the target; and the ways out for the recipe.

use cruxscope_selectors::budget::{self, CellMeasure};
use cruxscope_study::allocation::export::Tool;
use cruxscope_theme::{sizes, typeface};
use egui::{DragValue, RichText, Role, Slider, Ui, WidgetInfo, vec2};

use super::Shown;
use crate::action::Action;
use crate::views::scene::Scene;
use crate::views::toolbar;
use crate::widgets;

/// What cells say, whose positions count, whether fused matrices go together.
pub fn choices(ui: &mut Ui, shown: &Shown<'_>, actions: &mut Vec<Action>) {
    let scene = shown.scene;
    toolbar::row(ui, |ui| {
        let measures = CellMeasure::ALL.map(|measure| (measure, measure.title()));
        if let Some(measure) = widgets::segmented(ui, "cells", &measures, scene.state.budget.measure, |_, _, _| false, |_| None) {
            actions.push(Action::SetCellMeasure(measure));
        }
        toolbar::choices(ui, scene, actions);
        let kept = [(false, "Each matrix"), (true, "Fused alike")];
        if let Some(fused) = widgets::segmented(ui, "fused", &kept, scene.state.budget.keep_fused, |_, _, _| false, |_| None)
            && fused != scene.state.budget.keep_fused
        {
            actions.push(Action::ToggleFused);
        }
        toolbar::caption(ui, scene.palette, &[scene.state.budget.measure.about()]);
    });
}

/// Whose positions count, alone.
pub fn scopes(ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
    toolbar::row(ui, |ui| toolbar::behaviours(ui, scene, actions));
}

/// The slider, and the number for those who know it.
pub fn target(ui: &mut Ui, shown: &Shown<'_>, actions: &mut Vec<Action>) {
    let (low, high) = shown.budget.range();
    let mut target = shown.open.target().clamp(low, high);
    toolbar::row(ui, |ui| {
        ui.label(RichText::new("Target").color(shown.scene.palette.dim));
        let drag = ui.add(
            DragValue::new(&mut target)
                .range(low..=high)
                .speed(0.01)
                .fixed_decimals(3)
                .suffix(" bits/weight"),
        );
        drag.widget_info(|| WidgetInfo::labeled(Role::SpinButton, true, "Target in bits a weight"));
        let mut changed = drag.changed();
        ui.spacing_mut().slider_width = (ui.available_size_before_wrap().x - sizes::LARGE).clamp(sizes::LARGE * 8.0, sizes::LARGE * 26.0);
        let slider = ui.add(Slider::new(&mut target, low..=high).show_value(false));
        slider.widget_info(|| WidgetInfo::slider(true, target, "Target"));
        changed |= slider.changed();
        if changed {
            actions.push(Action::SetTarget(target));
        }
    });
    let counts: Vec<String> = shown.plan.counts.iter().map(|(name, count)| format!("{count} × {name}")).collect();
    let text = format!("{}: {}", budget::size(&shown.plan.cost), counts.join(", "));
    ui.add(egui::Label::new(RichText::new(text).font(typeface::body()).color(shown.scene.palette.text)).wrap());
}

/// What is done with the recipe.
pub fn ways_out(ui: &mut Ui, shown: &Shown<'_>, actions: &mut Vec<Action>) {
    let state = shown.scene.state;
    toolbar::row(ui, |ui| {
        let room = vec2(sizes::LARGE * 8.0, sizes::BUTTON);
        let export = ui.allocate_ui(room, |ui| widgets::primary_button(ui, "Export recipe…")).inner;
        egui::Popup::menu(&export).show(|ui| {
            ui.set_min_width(sizes::LARGE * 11.0);
            for tool in Tool::ALL {
                if ui.selectable_label(false, tool.name()).clicked() {
                    actions.push(Action::ExportRecipe(tool));
                    ui.close();
                }
            }
        });
        if state.can_run && widgets::button(ui, "Compress with it").clicked() {
            actions.push(Action::CompressByRecipe);
        }
        if widgets::button(ui, "Copy command").clicked() {
            let study = study_place(shown.scene);
            actions.push(Action::Copy(shown.budget.command(&study, shown.plan, shown.open.target())));
        }
        if !state.budget.edits.is_empty() && widgets::button(ui, "Take changes back").clicked() {
            actions.push(Action::TakeFormatsBack);
        }
    });
}

/// Where the study lies, for a command; a word for it where it lies nowhere that a command reaches.
fn study_place(scene: &Scene<'_>) -> String {
    #[cfg(not(target_arch = "wasm32"))]
    if let crate::open::Source::Folder(folder) = scene.open.source() {
        return folder.display().to_string();
    }
    let _ = scene;
    "STUDY".to_owned()
}
