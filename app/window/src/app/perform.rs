//! What actions do beyond the state: opening and closing, copying, going back, stops of the tour.

use cruxscope_figure::{self, Figure, Format, Writing};
use cruxscope_selectors::results::{ResultsTable, splits};
use cruxscope_selectors::{ranking, shift, trace};
use cruxscope_study::Component;
use egui::Context;

use super::CruxscopeApp;
use crate::action::Action;
use crate::frame::{export, keys, welcome};
use crate::open;
use crate::view_kind::ViewKind;
use crate::views::benchmarks;

impl CruxscopeApp {
    /// Carries out what was asked for.
    pub(super) fn perform(&mut self, context: &Context, actions: Vec<Action>) {
        for action in actions {
            let layers = match (self.state.view, self.compared()) {
                (ViewKind::Shift, Some(compared)) => compared.comparison().layers(),
                _ => self.library.studies.get(self.state.active).map_or(1, |open| open.figures.layers()),
            };
            self.state.apply(&action, layers);
            match action {
                Action::NextTheme => {
                    self.state.theme = self.state.theme.next(context.theme());
                    context.set_theme(self.state.theme.preference());
                }
                Action::EndWelcome => self.remembered.write(welcome::REMEMBERED, "seen"),
                Action::SetTheme(theme) => context.set_theme(theme.preference()),
                Action::Copy(text) => {
                    context.copy_text(text);
                    self.note(context, "Copied".to_owned());
                }
                Action::CopyProtectionList => {
                    if let Some(open) = self.library.studies.get(self.state.active) {
                        let components = ranking::protected(&open.figures, self.state.ranking.basis, &self.state.checked, self.state.protected);
                        let list = ranking::protection_list(&components);
                        self.note(context, format!("Copied {list}"));
                        context.copy_text(list);
                    }
                }
                Action::Compare(side, id) => {
                    if let Some(comparison) = &self.comparison {
                        self.state.compared = shift::choose(comparison.ids, side, id);
                    }
                }
                Action::SwapCompared => {
                    if let Some(comparison) = &self.comparison {
                        let [a, b] = comparison.ids;
                        self.state.compared = [Some(b), Some(a)];
                    }
                }
                Action::Activate(position) | Action::ReadInstanceOf(position, _) => self.activate(position),
                Action::SetStop(stop) => self.go_to_stop(stop),
                Action::Look(seen) => self.look(seen, "an entry of the ledger"),
                Action::StepStop(step) => {
                    let next = self.state.stop.map_or(0, |stop| stop.saturating_add_signed(step));
                    if next < self.stops() {
                        self.go_to_stop(Some(next));
                    }
                }
                Action::AddStop | Action::EditStop(..) | Action::AimStop(_) | Action::RemoveStop(_) | Action::SaveTour => self.author(context, &action),
                Action::StepSection(step) => self.step_section(step),
                Action::HistoryBack => {
                    if let Some(options) = self.history.back(self.options()) {
                        self.show(&options);
                    }
                }
                Action::HistoryForward => {
                    if let Some(options) = self.history.forward(self.options()) {
                        self.show(&options);
                    }
                }
                Action::CopyLink => {
                    context.copy_text(self.whole_link());
                    self.note(context, "Copied a link to what is seen".to_owned());
                }
                Action::FollowLink(link) => self.follow(context, &link),
                Action::ExportRecipe(tool) => self.export_recipe(context, tool),
                Action::CompressByRecipe => self.compress_by_recipe(context),
                Action::Export(format) => self.export(context, format),
                Action::OpenDialog => open::dialog(self.library.inbox()),
                Action::Dismiss(position) if position < self.library.problems.len() => {
                    self.library.problems.remove(position);
                }
                Action::Fetch(id) => {
                    self.state.list = false;
                    if let Some(place) = self.library.place_of(id).cloned() {
                        self.library.want(&place);
                    }
                }
                Action::Close(position) => self.close(position),
                _ => {}
            }
        }
    }

    /// What is on screen, drawn for print; nothing where there is no figure.
    pub(crate) fn figures(&self) -> Vec<Figure> {
        export::figures(
            &self.state,
            &self.library,
            self.comparison.as_ref(),
            self.variants.as_ref(),
            self.budget.as_ref(),
        )
    }

    /// The first of them.
    #[cfg(test)]
    pub(crate) fn figure(&self) -> Option<Figure> {
        self.figures().into_iter().next()
    }

    /// Draws what is on screen for print and begins to save it.
    fn export(&mut self, context: &Context, format: Format) {
        let figures = self.figures();
        if figures.is_empty() {
            return self.note(context, "There is no figure to export".to_owned());
        }
        let writing = Writing {
            pixels: self.state.export.pixels,
            ..Writing::default()
        };
        for figure in figures {
            let name = format!("{}.{}", figure.name, format.extension());
            match cruxscope_figure::write(&figure, format, writing) {
                Ok(bytes) => open::save(self.library.inbox(), None, &name, bytes),
                Err(error) => self.note(context, error.to_string()),
            }
        }
    }

    fn close(&mut self, position: usize) {
        if !self.library.close(position) {
            return;
        }
        if self.state.active > position || self.state.active >= self.library.studies.len() {
            self.state.active = self.state.active.saturating_sub(1);
        }
        self.state.checked.clear();
    }

    /// Key presses that need more than the state.
    pub(super) fn press(&self, press: keys::Press, actions: &mut Vec<Action>) {
        if let (keys::Press::Step(step), true) = (press, self.state.view.is_of_results()) {
            // The first row counts as selected from the start.
            let at = self.state.results.row.unwrap_or(0).saturating_add_signed(step);
            let last = self.result_rows().saturating_sub(1);
            actions.push(Action::SelectRow(at.min(last)));
            return;
        }
        if self.state.view == ViewKind::Variants {
            return self.press_in_variants(press, actions);
        }
        let Some(open) = self.library.studies.get(self.state.active) else { return };
        match press {
            keys::Press::Enter => actions.push(Action::MaximiseFocus),
            // In the shift this key lets A and B flicker.
            keys::Press::CheckSelected if self.state.view == ViewKind::Shift => {}
            keys::Press::CheckSelected => actions.extend(self.state.selected.map(Action::Check)),
            keys::Press::Step(step) => {
                let basis = self.state.ranking.basis;
                let order: Vec<Component> = match (self.state.view, self.compared()) {
                    (ViewKind::Shift, Some(compared)) => compared.comparison().shift_ranks(basis.behaviour(), self.state.shift).order().to_vec(),
                    _ => {
                        let rows = ranking::rows(&open.figures, open.stability(), &self.state.ranking);
                        rows.into_iter().map(|row| row.component).collect()
                    }
                };
                let at = order.iter().position(|component| Some(*component) == self.state.selected);
                let next = at.map_or(0, |at| at.saturating_add_signed(step).min(order.len().saturating_sub(1)));
                actions.extend(order.get(next).copied().map(Action::Select));
            }
        }
    }

    /// Key presses among variants: the next row, and the pair of the row that is looked at.
    fn press_in_variants(&self, press: keys::Press, actions: &mut Vec<Action>) {
        let Some(found) = self.variants.as_ref().and_then(|open| open.variants.as_ref()) else {
            return;
        };
        let look = self.state.variants;
        let order = found.order(look.sort, look.reversed, self.state.behaviour);
        let ids: Vec<usize> = order.into_iter().filter_map(|row| Some(found.rows.get(row)?.facts.id)).collect();
        let at = ids.iter().position(|id| Some(*id) == look.variant);
        match press {
            keys::Press::Step(step) => {
                let next = at.map_or(0, |at| at.saturating_add_signed(step).min(ids.len().saturating_sub(1)));
                actions.extend(ids.get(next).copied().map(Action::PointVariant));
            }
            keys::Press::Enter => actions.extend(look.variant.filter(|_| at.is_some()).map(|id| Action::OpenPair(found.original.id, id))),
            keys::Press::CheckSelected => {}
        }
    }

    /// Rows of the view of results that is on.
    fn result_rows(&self) -> usize {
        let Some(open) = benchmarks::active(&self.library.results, &self.state) else {
            return 0;
        };
        let look = &self.state.results;
        match self.state.view {
            ViewKind::TestTime => splits(&open.results, look.share.0).len(),
            _ => {
                let experiment = benchmarks::experiment(open, &self.state);
                let others = self.library.results.iter().filter(|other| look.beside && other.id != open.id);
                let results: Vec<_> = [open].into_iter().chain(others).map(|open| &*open.results).collect();
                ResultsTable::of(&results, experiment, look.model.as_deref()).rows().count()
            }
        }
    }

    /// Selects the section of the trace that comes so many further, among those that are shown.
    fn step_section(&mut self, step: isize) {
        let Some(open) = self.library.studies.get(self.state.active) else { return };
        let Some(text) = crate::views::trace::chosen::instance(open, &self.state).and_then(|instance| open.parts().trace(instance)) else {
            return;
        };
        if let Some(next) = trace::step(text, &self.state.trace, step) {
            self.state.apply(&Action::SelectSection(next), open.figures.layers());
        }
    }
}
