//! The panel of runs: the form, and below it what is planned, waits, computes, is done or went wrong.

use cruxscope_theme::{Palette, icons, sizes, typeface};
use egui::{Align2, Label, Rect, RichText, Sense, TextEdit, Ui, pos2, vec2};

use crate::runs::{Field, Form, Method, Run, RunAction, RunState, Runs, Stored, Task};
use crate::widgets;

/// Width of the names of fields.
const NAMES: f32 = 92.0;
/// Width of a button that asks for a file.
const CHOOSE: f32 = 80.0;

/// Draws it; gives whether it is to be closed.
pub fn show(ui: &mut Ui, runs: &mut Runs, actions: &mut Vec<RunAction>) -> bool {
    let palette = Palette::of(ui.ctx());
    let (head, _) = ui.allocate_exact_size(vec2(ui.available_width(), sizes::BUTTON), Sense::hover());
    ui.painter()
        .text(head.left_center(), Align2::LEFT_CENTER, "Runs", typeface::title(), palette.text);
    let close = Rect::from_center_size(pos2(head.right() - sizes::BUTTON, head.center().y), vec2(sizes::BUTTON, sizes::BUTTON));
    let closed = widgets::icon_button(ui, close, "Close the runs", false, icons::cross).clicked();
    ui.set_max_width(ui.available_width() - sizes::LARGE);
    ui.add_space(sizes::GAP);
    form(ui, &mut runs.form, actions);
    ui.add_space(sizes::GAP);
    match runs.form.missing() {
        Some(missing) => {
            ui.label(RichText::new(missing).font(typeface::caption()).color(palette.dim));
        }
        None => {
            let sentence = RichText::new(runs.form.sentence()).font(typeface::caption()).color(palette.dim);
            ui.add(Label::new(sentence).wrap());
            if widgets::primary_button(ui, "Estimate").clicked() {
                actions.push(RunAction::Plan);
            }
        }
    }
    if !runs.runs.is_empty() {
        widgets::section(ui, "Runs");
    }
    for run in runs.runs.iter().rev() {
        ui.push_id(run.id, |ui| card(ui, run, actions));
        ui.add_space(sizes::GAP);
    }
    closed
}

fn form(ui: &mut Ui, form: &mut Form, actions: &mut Vec<RunAction>) {
    if let Some(task) = widgets::segmented(ui, "task", &Task::ALL, form.task, |_, _, _| false, |_| None) {
        form.task = task;
    }
    ui.add_space(sizes::SMALL);
    path(
        ui,
        "Model",
        "a Hugging Face folder or a GGUF file",
        &mut form.model,
        &[Field::Model, Field::ModelFile],
        actions,
    );
    match form.task {
        Task::Interpret => {
            path(ui, "Traces", "JSON lines", &mut form.traces, &[Field::Traces], actions);
            path(ui, "Annotations", "JSON lines", &mut form.annotations, &[Field::Annotations], actions);
            text(ui, "Instances", "all", &mut form.instances);
            text(ui, "Tokens", "the model's context", &mut form.max_tokens);
            choice(ui, "Definition", &[(false, "Paper"), (true, "Reference implementation")], &mut form.released);
            choice(ui, "Channels", &[(true, "Keep"), (false, "Leave out")], &mut form.channels);
            text(ui, "Device", "cpu", &mut form.device);
        }
        Task::Compress => {
            let hint = "none: one method for all";
            path(ui, "Recipe", hint, &mut form.recipe, &[Field::Recipe], actions);
            let by_recipe = !form.recipe.trim().is_empty();
            if !by_recipe {
                methods(ui, &mut form.method);
                if form.method.prunes() {
                    number(ui, "Sparsity, %", 1..=95, &mut form.sparsity);
                } else {
                    let mut bits = u32::from(form.bits);
                    number(ui, "Bits", 2..=8, &mut bits);
                    form.bits = bits as u8;
                    number(ui, "Group size", 8..=4096, &mut form.group_size);
                }
                text(ui, "Only", "all; 32_up, mlp, layers:30-32", &mut form.only);
                text(ui, "Protect", "none; final-mlp, 32_up", &mut form.protect);
            }
            if by_recipe || form.method.calibrates() {
                let hint = if by_recipe { "if the recipe needs it" } else { "traces, JSON lines" };
                path(ui, "Calibration", hint, &mut form.calibration, &[Field::Calibration], actions);
                text(ui, "Device", "cpu", &mut form.device);
            }
            named(ui, "Stored as", |ui| {
                if let Some(pressed) = widgets::segmented(ui, "stored", &Stored::ALL, form.stored, |_, _, _| false, |_| None) {
                    form.stored = pressed;
                }
            });
        }
    }
    path(ui, "Output folder", "a folder that need not be there", &mut form.out, &[Field::Out], actions);
}

fn named(ui: &mut Ui, name: &str, content: impl FnOnce(&mut Ui)) {
    let palette = Palette::of(ui.ctx());
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = sizes::SMALL;
        let (rect, _) = ui.allocate_exact_size(vec2(NAMES, sizes::BUTTON), Sense::hover());
        ui.painter().text(rect.left_center(), Align2::LEFT_CENTER, name, typeface::body(), palette.dim);
        content(ui);
    });
}

fn edit(ui: &mut Ui, name: &str, hint: &str, value: &mut String, width: f32) {
    let palette = Palette::of(ui.ctx());
    let field = TextEdit::singleline(value)
        .hint_text(RichText::new(hint).font(typeface::caption()).color(palette.faint))
        .font(typeface::body())
        .align(Align2::LEFT_CENTER)
        .margin(egui::Margin::symmetric(sizes::GAP as i8, sizes::SMALL as i8))
        .desired_width(width);
    let response = ui.add_sized(vec2(width, sizes::BUTTON), field);
    let _ = response.accessible_name(name);
}

fn text(ui: &mut Ui, name: &str, hint: &str, value: &mut String) {
    named(ui, name, |ui| {
        let width = ui.available_width();
        edit(ui, name, hint, value, width);
    });
}

/// A path that is typed or chosen; a model is a folder or a file, which systems ask for in two dialogs.
fn path(ui: &mut Ui, name: &str, hint: &str, value: &mut String, fields: &[Field], actions: &mut Vec<RunAction>) {
    named(ui, name, |ui| {
        let width = ui.available_width() - (CHOOSE + sizes::SMALL) * fields.len() as f32;
        edit(ui, name, hint, value, width);
        for field in fields {
            let title = match field {
                Field::Model => "Folder…",
                Field::ModelFile => "File…",
                _ => "Choose…",
            };
            if ui.push_id(field, |ui| widgets::button(ui, title)).inner.on_hover_text(field.title()).clicked() {
                actions.push(RunAction::Choose(*field));
            }
        }
    });
}

fn choice(ui: &mut Ui, name: &str, choices: &[(bool, &str)], value: &mut bool) {
    named(ui, name, |ui| {
        if let Some(pressed) = widgets::segmented(ui, name, choices, *value, |_, _, _| false, |_| None) {
            *value = pressed;
        }
    });
}

fn methods(ui: &mut Ui, method: &mut Method) {
    named(ui, "Method", |ui| {
        if let Some(pressed) = widgets::segmented(ui, "method", &Method::ALL, *method, |_, _, _| false, |_| None) {
            *method = pressed;
        }
    });
}

fn number(ui: &mut Ui, name: &str, range: std::ops::RangeInclusive<u32>, value: &mut u32) {
    named(ui, name, |ui| {
        let drag = ui.add(egui::DragValue::new(value).range(range).speed(0.2));
        drag.widget_info(|| egui::WidgetInfo::labeled(egui::Role::SpinButton, true, name));
    });
}

/// One run: its title, how far it is, and what can be asked of it.
fn card(ui: &mut Ui, run: &Run, actions: &mut Vec<RunAction>) {
    let palette = Palette::of(ui.ctx());
    let failed = matches!(run.state, RunState::Failed(_));
    let frame = egui::Frame::new()
        .fill(palette.raised)
        .stroke(egui::Stroke::new(sizes::HAIRLINE, if failed { palette.error } else { palette.line }))
        .corner_radius(sizes::RADIUS)
        .inner_margin(sizes::GAP + sizes::SMALL);
    frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.add(Label::new(RichText::new(&run.title).font(typeface::body_strong()).color(palette.text)).truncate());
        let said = |ui: &mut Ui, text: &str, colour| {
            ui.add(Label::new(RichText::new(text).font(typeface::caption()).color(colour)).wrap().selectable(true));
        };
        match &run.state {
            RunState::Planning(text) => said(ui, text, palette.dim),
            RunState::Planned => {
                for (label, value) in &run.plan {
                    widgets::fact(ui, label, value);
                }
            }
            RunState::Waiting => said(ui, "waiting for the job before it", palette.dim),
            RunState::Running(status) => {
                ui.add_space(sizes::SMALL);
                let (track, response) = ui.allocate_exact_size(vec2(ui.available_width(), sizes::GAP), Sense::hover());
                let percent = format!("{:.0} % done", 100.0 * status.share);
                response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::ProgressIndicator, true, percent.clone()));
                widgets::bar(ui.painter(), track, status.share as f32, palette.accent, palette);
                said(ui, &format!("{percent}, {}", status.text), palette.dim);
            }
            RunState::Done => said(ui, &format!("done, in {}", run.out.display()), palette.dim),
            RunState::Cancelled => said(ui, "interrupted; finished work is kept, re-run to resume", palette.dim),
            RunState::Interrupted => said(ui, "the window was closed before its end; finished work is kept", palette.dim),
            RunState::Failed(why) => said(ui, why, palette.error),
        }
        ui.add_space(sizes::SMALL);
        ui.horizontal(|ui| match &run.state {
            RunState::Planned => {
                if widgets::button(ui, "Start").clicked() {
                    actions.push(RunAction::Start(run.id));
                }
                if widgets::button(ui, "Forget").clicked() {
                    actions.push(RunAction::Forget(run.id));
                }
            }
            RunState::Planning(_) | RunState::Waiting | RunState::Running(_) => {
                if widgets::button(ui, "Cancel").clicked() {
                    actions.push(RunAction::Cancel(run.id));
                }
            }
            RunState::Done => {
                if run.opens && widgets::button(ui, "Open the study").clicked() {
                    actions.push(RunAction::Open(run.id));
                }
                if widgets::button(ui, "Forget").clicked() {
                    actions.push(RunAction::Forget(run.id));
                }
            }
            RunState::Cancelled | RunState::Failed(_) | RunState::Interrupted => {
                if widgets::button(ui, "Plan again").clicked() {
                    actions.push(RunAction::Again(run.id));
                }
                if widgets::button(ui, "Forget").clicked() {
                    actions.push(RunAction::Forget(run.id));
                }
            }
        });
    });
}
