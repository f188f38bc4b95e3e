//! The trace view: what a model wrote, its behaviours marked where they stand, with a map of the whole beside it.
//!
//! A trace may hold tens of thousands of tokens. It is cut into pieces whose heights are measured once for each width; a frame lays out
//! only the pieces that are in sight, which egui keeps from frame to frame.

mod apart;
mod body;
pub mod chosen;
mod inspect;
mod measure;
mod minimap;

use cruxscope_selectors::trace::{self, LABELS};
use cruxscope_study::{Label, TraceText};
use cruxscope_theme::{Palette, icons, sizes, typeface};
use egui::{Align2, Color32, CornerRadius, Painter, Rect, RichText, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};

use super::scene::{Scene, View};
use super::toolbar;
use crate::action::Action;
use crate::open::{Part, PartState};
use crate::state::State;
use crate::studies::OpenStudy;
use crate::views::{missing, problem};
use crate::widgets;

pub use measure::{Measured, measured};

/// The trace view.
pub struct TraceView;

impl View for TraceView {
    fn show(&self, ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
        let Some(instance) = chosen::instance(scene.open, scene.state) else {
            let text = "It was computed without keeping the texts of its traces.";
            let command = "cruxscope interpret --model MODEL --traces traces.jsonl --annotations annotations.jsonl --out study";
            missing::say(ui, "No trace text in this study", text, command, actions);
            missing::offer(ui, scene, |other| !other.study.manifest.traces.is_empty(), actions);
            return;
        };
        let part = Part::Trace(instance);
        let text = scene.open.parts().trace(instance).cloned();
        bar(ui, scene, instance, text.as_deref(), actions);
        ui.add_space(sizes::SMALL);
        match (text, scene.open.parts().state(part)) {
            (Some(text), _) => {
                if let Some(PartState::Failed(problem)) = scene.open.parts().state(Part::Divergence) {
                    problem::problem(ui, problem);
                }
                let found = scene
                    .open
                    .parts()
                    .divergence()
                    .and_then(|found| apart::kept(ui, found, &text.id).map(|own| (found, own)));
                match found.filter(|_| !scene.state.trace.alone) {
                    Some((found, own)) => {
                        apart::show(ui, scene, found, &own, &text, actions);
                        body::show(ui, scene, &text, Some(&own), actions);
                    }
                    None => body::show(ui, scene, &text, None, actions),
                }
            }
            (None, Some(PartState::Failed(problem))) => {
                problem::problem(ui, problem);
            }
            (None, Some(PartState::Absent)) => {
                widgets::caption(ui, "The text of this instance was not kept");
            }
            (None, _) => {
                ui.spinner();
            }
        }
    }

    fn inspect(&self, ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
        inspect::show(ui, scene, actions);
    }

    fn needs(&self, open: &OpenStudy, state: &State) -> Vec<Part> {
        let text = chosen::instance(open, state).map(Part::Trace);
        text.into_iter().flat_map(|text| [text, Part::Divergence]).collect()
    }
}

/// The instance, the ways to the next one, and the labels with their counts.
fn bar(ui: &mut Ui, scene: &Scene<'_>, instance: usize, text: Option<&TraceText>, actions: &mut Vec<Action>) {
    let manifest = &scene.open.study.manifest;
    let palette = scene.palette;
    let known: Vec<&str> = manifest.traces.iter().map(|entry| entry.id.as_str()).collect();
    let id = manifest.instances.get(instance).map(|entry| entry.id.as_str()).unwrap_or_default();
    let at = known.iter().position(|known| *known == id).unwrap_or(0);
    toolbar::row(ui, |ui| {
        let steps = !scene.state.presenting;
        for (forward, next) in [(false, at.checked_sub(1)), (true, Some(at + 1).filter(|next| *next < known.len()))]
            .into_iter()
            .filter(|_| steps)
        {
            let (rect, _) = ui.allocate_exact_size(vec2(sizes::LINE, sizes::BUTTON), Sense::hover());
            let name = if forward { "Next instance" } else { "Previous instance" };
            let pressed = widgets::icon_button(ui, rect, name, false, |painter, rect, colour| icons::arrow(painter, rect, forward, colour));
            if let (true, Some(next)) = (pressed.clicked(), next) {
                actions.push(Action::SelectInstance(known[next].to_owned()));
            }
        }
        if steps {
            choose(ui, &known, id, actions);
        }
        if let Some(text) = text {
            labels(ui, scene, text, actions);
            if let Some(verdict) = trace::verdict(text) {
                mark_verdict(ui, verdict, palette);
            }
            apart_button(ui, scene, &text.id, actions);
            let line = trace::line(text);
            toolbar::caption(ui, palette, &[&line, ""]);
        }
    });
}

/// The choice of an instance.
fn choose(ui: &mut Ui, known: &[&str], id: &str, actions: &mut Vec<Action>) {
    toolbar::break_before(ui, sizes::LARGE * 12.0);
    let combo = egui::ComboBox::from_id_salt("instance")
        .selected_text(RichText::new(id).font(typeface::body()))
        .width(sizes::LARGE * 11.0)
        .height(sizes::LARGE * 24.0);
    let shown = combo.show_ui(ui, |ui| {
        for other in known {
            if ui.selectable_label(*other == id, *other).clicked() {
                actions.push(Action::SelectInstance((*other).to_owned()));
            }
        }
    });
    let _ = shown.response.accessible_name("Instance");
}

/// Whether the answer was right: a tick or a cross, and the word.
fn mark_verdict(ui: &mut Ui, verdict: &str, palette: &Palette) {
    let (right, colour) = (verdict == "right", if verdict == "wrong" { palette.error } else { palette.text });
    let galley = ui.painter().layout_no_wrap(format!("answer {verdict}"), typeface::body_strong(), colour);
    let size = vec2(galley.size().x + sizes::LARGE + sizes::SMALL, sizes::BUTTON);
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, format!("Answer {verdict}")));
    let square = Rect::from_center_size(pos2(rect.left() + sizes::GAP, rect.center().y), vec2(sizes::ICON, sizes::ICON));
    if right {
        icons::tick(ui.painter(), square, colour);
    } else if verdict == "wrong" {
        icons::cross(ui.painter(), square, colour);
    }
    let place = pos2(rect.left() + sizes::LARGE + sizes::SMALL, rect.center().y - galley.size().y / 2.0);
    ui.painter().galley(place, galley, colour);
}

/// What shows and hides where the study's model parts from another; nothing where no other model has read this text.
fn apart_button(ui: &mut Ui, scene: &Scene<'_>, id: &str, actions: &mut Vec<Action>) {
    let Some(found) = scene.open.parts().divergence().filter(|_| !scene.state.presenting) else {
        return;
    };
    if !found.divergence.facts.texts.iter().any(|text| text.id == id) {
        return;
    }
    let words = if scene.state.trace.alone { "Compare" } else { "Text alone" };
    let [a, b] = found.models();
    if widgets::button(ui, words).on_hover_text(format!("Where {b} parts from {a}")).clicked() {
        actions.push(Action::ToggleApart);
    }
}

/// The labels: pressed to hide and show their sections.
fn labels(ui: &mut Ui, scene: &Scene<'_>, text: &TraceText, actions: &mut Vec<Action>) {
    let palette = scene.palette;
    for (label, count) in LABELS.into_iter().zip(trace::counts(text)) {
        let hidden = scene.state.trace.hidden.contains(&label);
        let galley = ui.painter().layout_no_wrap(count.to_string(), typeface::body(), palette.dim);
        let (rect, response) = ui.allocate_exact_size(vec2(sizes::SIGN + galley.size().x + 3.0 * sizes::SMALL + 2.0, sizes::BUTTON), Sense::click());
        let name = format!("{}, {count}, {}", trace::title(label), if hidden { "hidden" } else { "shown" });
        response.widget_info(|| WidgetInfo::selected(Role::CheckBox, true, !hidden, name.clone()));
        let focused = label.behaviour().is_some() && label.behaviour() == scene.state.behaviour;
        let line = Stroke::new(sizes::HAIRLINE, if focused { palette.accent } else { palette.line });
        let fill = if response.hovered() { palette.raised } else { palette.panel };
        ui.painter().rect(rect, CornerRadius::same(sizes::RADIUS_SMALL), fill, line, StrokeKind::Inside);
        let square = Rect::from_min_size(
            pos2(rect.left() + sizes::SMALL, rect.center().y - sizes::SIGN / 2.0),
            vec2(sizes::SIGN, sizes::SIGN),
        );
        sign(ui.painter(), square, label, hidden, palette);
        ui.painter().galley(
            pos2(square.right() + sizes::SMALL, rect.center().y - galley.size().y / 2.0),
            galley,
            if hidden { palette.faint } else { palette.text },
        );
        if response.on_hover_text(name).clicked() {
            actions.push(Action::ToggleLabel(label));
        }
    }
}

/// The colour of a label: that of its behaviour, or grey.
pub(super) fn colour(label: Label, palette: &Palette) -> Color32 {
    label.behaviour().map_or(palette.faint, |behaviour| palette.behaviour(behaviour))
}

/// The sign of a label; hollow where it is hidden or dropped.
pub(super) fn sign(painter: &Painter, rect: Rect, label: Label, hollow: bool, palette: &Palette) {
    match label.behaviour() {
        Some(behaviour) if !hollow => icons::behaviour(painter, rect, behaviour, palette),
        Some(behaviour) => {
            let radius = CornerRadius::same(sizes::RADIUS_SMALL);
            let line = Stroke::new(sizes::ICON_STROKE, palette.behaviour(behaviour));
            painter.rect_stroke(rect.shrink(1.0), radius, line, StrokeKind::Inside);
        }
        None => {
            let letter = if label == Label::Deduction { "D" } else { "I" };
            let line = Stroke::new(sizes::HAIRLINE, palette.faint);
            painter.rect_stroke(rect.shrink(1.0), CornerRadius::same(sizes::RADIUS_SMALL), line, StrokeKind::Inside);
            let ink = if hollow { palette.faint } else { palette.dim };
            painter.text(rect.center(), Align2::CENTER_CENTER, letter, typeface::tick(), ink);
        }
    }
}
