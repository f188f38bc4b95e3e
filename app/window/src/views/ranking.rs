//! The ranking view: the list of every component, as high as the window.

use cruxscope_selectors::Basis;
use cruxscope_theme::sizes;
use egui::Ui;

use super::importance::ranking;
use super::scene::{Scene, View};
use super::toolbar;
use crate::action::Action;
use crate::views::inspector;

/// The ranking view.
pub struct RankingView;

impl View for RankingView {
    fn show(&self, ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
        toolbar::row(ui, |ui| {
            toolbar::behaviours(ui, scene, actions);
            let text = match scene.state.ranking.basis {
                Basis::Mean => "intervals over instances at 95 %, mean over behaviours",
                Basis::Behaviour(_) => "intervals over instances at 95 %",
            };
            toolbar::caption(ui, scene.palette, &[text]);
        });
        ui.add_space(sizes::SMALL);
        let below = if scene.inspector_below { sizes::TABLE_SCROLLING } else { 0.0 };
        let height = (ui.available_height() - below).max(sizes::TABLE_MINIMUM);
        ranking::show(ui, scene, height, actions);
        if scene.inspector_below {
            egui::ScrollArea::vertical()
                .id_salt("below")
                .show(ui, |ui| inspector::content(ui, scene, actions));
        }
    }

    fn inspect(&self, ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
        inspector::content(ui, scene, actions);
    }
}
