//! The validation view: importance against what compressing each matrix alone did to the model.

mod scatter;

use cruxscope_selectors::{Basis, format, validation};
use cruxscope_theme::sizes;
use egui::Ui;

use super::scene::{Scene, View};
use super::toolbar;
use crate::action::Action;
use crate::open::{Part, PartState};
use crate::state::State;
use crate::studies::OpenStudy;
use crate::views::{inspector, missing, problem};
use crate::widgets;

/// The validation view.
pub struct ValidationView;

impl View for ValidationView {
    fn show(&self, ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
        let palette = scene.palette;
        match (scene.open.parts().validation(), scene.open.parts().state(Part::Validation)) {
            (Some(found), _) => {
                toolbar::row(ui, |ui| {
                    toolbar::behaviours(ui, scene, actions);
                    let text = match scene.state.ranking.basis {
                        Basis::Mean => "importance is the mean over behaviours".to_owned(),
                        Basis::Behaviour(behaviour) => format!("importance for {}", behaviour.title().to_lowercase()),
                    };
                    toolbar::caption(ui, palette, &[&text, ""]);
                });
                ui.add_space(sizes::SMALL);
                let below = if scene.inspector_below { sizes::TABLE_SCROLLING } else { 0.0 };
                scatter::show(ui, scene, found, ui.available_height() - below, actions);
                if scene.inspector_below {
                    egui::ScrollArea::vertical().id_salt("below").show(ui, |ui| self.inspect(ui, scene, actions));
                }
            }
            (None, Some(PartState::Failed(problem))) => {
                problem::problem(ui, problem);
            }
            (None, Some(PartState::Absent)) => {
                let text = "Nothing was measured to hold the importance against. A validation compresses one matrix at a time, measures what that does \
                            to the model, and puts it into the study's folder.";
                let command = "cruxscope validate --study STUDY --model MODEL --traces traces.jsonl";
                missing::say(ui, "This study was not validated", text, command, actions);
                missing::offer(ui, scene, |other| other.parts().validation().is_some(), actions);
            }
            (None, _) => {
                ui.spinner();
            }
        }
    }

    fn inspect(&self, ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
        if let Some(found) = scene.open.parts().validation() {
            if let Some(selected) = scene.state.selected
                && let Some(damage) = found.components.get(selected.index())
            {
                let basis = scene.state.ranking.basis;
                let points = validation::points(found, &scene.open.figures, basis);
                widgets::caption(ui, &format!("Compressing only {selected}"));
                widgets::fact(ui, "KL divergence", &format!("{} nats", format::significant(damage.divergence)));
                widgets::fact(ui, "Perplexity", &format!("{:.3}", damage.perplexity));
                widgets::fact(ui, "of the model as it is", &format!("{:.3}", found.perplexity));
                if let Some(point) = points.get(selected.index()) {
                    widgets::fact(ui, "Rank by degradation", &format!("{} of {}", point.rank, points.len()));
                    let rank = scene.open.figures.ranks(basis).overall(selected);
                    widgets::fact(ui, "Rank by importance", &format!("{rank} of {}", points.len()));
                }
            }
            widgets::section(ui, "How it was measured");
            widgets::fact(ui, "Predictions", &format::count(found.predictions));
            widgets::fact(ui, "Text", &found.data.name);
            if let Some(treatment) = found.treatment.as_object() {
                for (name, value) in treatment {
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    widgets::fact(ui, &name.replace('_', " "), &text);
                }
            }
            ui.add_space(sizes::LARGE);
        }
        inspector::content(ui, scene, actions);
    }

    fn needs(&self, _: &OpenStudy, _: &State) -> Vec<Part> {
        vec![Part::Validation]
    }
}
