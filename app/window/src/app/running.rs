//! The panel of runs beside everything else: shown where it is open, and what is asked of it carried out.

use std::sync::Arc;

use cruxscope_theme::{Palette, sizes};
use egui::{Context, Frame, Key, Margin, Modifiers, Panel, Ui};

use super::CruxscopeApp;
use crate::frame::{self, scrolling};
use crate::runs::{Form, JobRunner, RunAction, Runs};

impl CruxscopeApp {
    /// Opens the panel with a form that is filled in already.
    pub fn prepare_run(&mut self, form: Form) {
        if let Some(runs) = &mut self.runs {
            runs.form = form;
            self.state.runs = true;
            self.state.welcome = None;
        }
    }

    /// The same, with somebody who computes: without one there is no panel of jobs.
    #[must_use]
    pub fn with_runner(mut self, context: &Context, runner: Arc<dyn JobRunner>) -> Self {
        self.runs = Some(Runs::new(context.clone(), runner).remembering(self.remembered.clone()));
        self.state.can_run = true;
        self
    }

    /// Draws the panel on the right.
    pub(super) fn show_runs(&mut self, ui: &mut Ui) {
        if !self.state.runs || self.state.embed || self.state.presenting {
            return;
        }
        let Some(runs) = &mut self.runs else { return };
        let palette = Palette::of(ui.ctx());
        let panel = Panel::right("runs")
            .exact_size(sizes::DRAWER.min(ui.available_width()))
            .frame(Frame::new().fill(palette.panel).inner_margin(Margin::same(sizes::LARGE as i8)))
            .resizable(false);
        let mut asked = Vec::new();
        let mut closed = false;
        panel.show(ui, |ui| scrolling(ui, |ui| closed = frame::runs::show(ui, runs, &mut asked)));
        if closed {
            self.state.runs = false;
        }
        for action in asked {
            self.carry_out(&action);
        }
    }

    /// The keys of the panel: one plans or starts, one stops.
    pub(super) fn press_runs(&mut self, context: &Context) {
        let Some(runs) = self.runs.as_ref().filter(|_| self.state.runs) else { return };
        let (planned, missing, running) = (runs.newest_planned(), runs.form.missing(), runs.running());
        if context.input_mut(|input| input.consume_key(Modifiers::COMMAND, Key::Enter)) {
            let action = planned.map_or(RunAction::Plan, RunAction::Start);
            if action != RunAction::Plan || missing.is_none() {
                self.carry_out(&action);
            }
        }
        if context.input_mut(|input| input.consume_key(Modifiers::COMMAND, Key::Period))
            && let Some(run) = running
        {
            self.carry_out(&RunAction::Cancel(run));
        }
    }

    fn carry_out(&mut self, action: &RunAction) {
        if let Some(folder) = self.runs.as_mut().and_then(|runs| runs.perform(action)) {
            let place = folder.to_string_lossy().into_owned();
            if let Some(position) = self.library.want(&place) {
                self.activate(position);
            }
        }
    }
}
