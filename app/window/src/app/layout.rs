//! Where everything stands in the window: bars, the list of what is open, the figure, the inspector.

use cruxscope_theme::{Palette, sizes, typeface};
use egui::{CentralPanel, Frame, Label, Margin, Panel, RichText, Ui};

use super::CruxscopeApp;
use crate::action::Action;
use crate::frame::{empty, headline, provenance, scrolling, sidebar, status_bar, top_bar, tour};
use crate::studies::OpenStudy;
use crate::views::dispatch;
use crate::views::scene::{ResultsScene, Scene, Shown};

impl CruxscopeApp {
    /// Draws one frame.
    pub(super) fn frame(&self, ui: &mut Ui, actions: &mut Vec<Action>) {
        let palette = Palette::of(ui.ctx());
        let width = ui.available_width();
        let open = self.library.studies.get(self.state.active);
        let bare = self.state.embed;
        if !bare {
            self.bars(ui, open, width, actions);
        }
        if self.state.list && !bare && !self.has_sidebar(open, width) {
            let ground = ground(palette).fill(palette.panel);
            CentralPanel::no_frame()
                .frame(ground)
                .show(ui, |ui| scrolling(ui, |ui| sidebar::show(ui, &self.library, &self.state, actions)));
            return;
        }
        if let (Some(stop), Some(collection)) = (self.state.stop, &self.library.collection) {
            let bar = Panel::bottom("tour").frame(panel(palette, sizes::LARGE, sizes::GAP)).resizable(false);
            bar.show(ui, |ui| tour::show(ui, &collection.collection, stop, self.editing(), actions));
        }
        match (dispatch::view(self.state.view), open) {
            (Shown::Results(view), _) => {
                let mut scene = ResultsScene {
                    results: &self.library.results,
                    state: &self.state,
                    palette,
                    inspector_below: false,
                };
                let beside = !bare && width >= sizes::INSPECTOR_FROM;
                if beside {
                    inspector_panel(palette).show(ui, |ui| scrolling(ui, |ui| view.inspect(ui, &scene, actions)));
                }
                scene.inspector_below = !bare && !beside;
                central(ui, palette, |ui| {
                    empty::problems(ui, &self.library.problems, actions);
                    view.show(ui, &scene, actions);
                });
            }
            (Shown::Study(_), None) => {
                let names: Vec<String> = self.library.opening.iter().map(|(_, name)| name.clone()).collect();
                central(ui, palette, |ui| empty::show(ui, &names, &self.library.problems, self.state.can_run, actions));
            }
            (Shown::Study(view), Some(open)) => {
                let mut scene = Scene {
                    open,
                    studies: &self.library.studies,
                    coming: self.library.opening.len(),
                    comparison: self.comparison.as_ref(),
                    variants: self.variants.as_ref(),
                    budget: self.budget.as_ref(),
                    state: &self.state,
                    palette,
                    inspector_below: false,
                };
                let beside = width >= sizes::INSPECTOR_FROM;
                if self.state.provenance && !beside {
                    let ground = ground(palette).fill(palette.panel);
                    CentralPanel::no_frame().frame(ground).show(ui, |ui| provenance::show(ui, &scene, actions));
                    return;
                }
                if self.state.provenance {
                    let drawer = Panel::right("provenance")
                        .exact_size(sizes::DRAWER)
                        .frame(panel(palette, sizes::LARGE, sizes::LARGE))
                        .resizable(false);
                    drawer.show(ui, |ui| provenance::show(ui, &scene, actions));
                } else if !bare && beside {
                    inspector_panel(palette).show(ui, |ui| scrolling(ui, |ui| view.inspect(ui, &scene, actions)));
                }
                scene.inspector_below = !bare && !beside;
                central(ui, palette, |ui| {
                    empty::problems(ui, &self.library.problems, actions);
                    self.headline(ui, palette);
                    view.show(ui, &scene, actions);
                });
            }
        }
    }

    /// What the figure says, over it. Variants say it themselves.
    fn headline(&self, ui: &mut Ui, palette: &Palette) {
        let said = headline::text(&self.state, &self.library, self.comparison.as_ref(), None, self.budget.as_ref());
        if let Some(said) = said {
            ui.add(Label::new(RichText::new(said).font(typeface::heading()).color(palette.text)).wrap());
            ui.add_space(sizes::SMALL);
        }
    }

    /// Whether the list of what is open stands on the left.
    fn has_sidebar(&self, open: Option<&OpenStudy>, width: f32) -> bool {
        let several = self.library.studies.len() > 1 || self.library.collection.is_some();
        let listed = open.is_some() || self.state.view.is_of_results();
        listed && (width >= sizes::SIDEBAR_FROM || several && width >= sizes::INSPECTOR_FROM)
    }

    /// The bars on top and at the bottom, and the list on the left where there is room.
    fn bars(&self, ui: &mut Ui, open: Option<&OpenStudy>, width: f32, actions: &mut Vec<Action>) {
        let palette = Palette::of(ui.ctx());
        let sidebar = self.has_sidebar(open, width);
        let listed = sidebar || open.is_none() && !self.state.view.is_of_results();
        let bar = Panel::top("top bar")
            .exact_size(sizes::TOP_BAR)
            .frame(panel(palette, 0.0, 0.0))
            .resizable(false)
            .show_separator_line(false);
        bar.show(ui, |ui| {
            top_bar::show(ui, &self.state, &self.library, self.history.ways(), listed, actions);
            let line = egui::Stroke::new(sizes::HAIRLINE, palette.line);
            ui.painter().hline(ui.max_rect().x_range(), ui.max_rect().bottom() - 0.5, line);
        });
        let bar = Panel::bottom("status bar")
            .exact_size(sizes::STATUS_BAR)
            .frame(panel(palette, 0.0, 0.0))
            .resizable(false);
        bar.show(ui, |ui| {
            let notice = self.notice.as_ref().map(|(text, _)| text.as_str());
            status_bar::show(ui, open, &self.library, notice, &self.state);
        });
        if sidebar {
            let side = Panel::left("studies")
                .exact_size(sizes::SIDEBAR)
                .frame(panel(palette, sizes::GAP + sizes::SMALL, sizes::LARGE))
                .resizable(false);
            side.show(ui, |ui| scrolling(ui, |ui| sidebar::show(ui, &self.library, &self.state, actions)));
        }
    }
}

fn panel(palette: &Palette, horizontal: f32, vertical: f32) -> Frame {
    Frame::new()
        .fill(palette.panel)
        .inner_margin(Margin::symmetric(horizontal as i8, vertical as i8))
}

fn inspector_panel(palette: &Palette) -> Panel {
    Panel::right("inspector")
        .exact_size(sizes::INSPECTOR)
        .frame(panel(palette, sizes::LARGE, sizes::LARGE))
        .resizable(false)
}

fn ground(palette: &Palette) -> Frame {
    Frame::new()
        .fill(palette.ground)
        .inner_margin(Margin::symmetric(sizes::LARGE as i8, (sizes::GAP + sizes::SMALL) as i8))
}

fn central(ui: &mut Ui, palette: &Palette, content: impl FnOnce(&mut Ui)) {
    CentralPanel::no_frame().frame(ground(palette)).show(ui, content);
}
