//! The stage: the figure for an audience, under its finding and beside its caption, and nothing else until the pointer moves.

use cruxscope_study::TourStop;
use cruxscope_theme::{Palette, icons, sizes, typeface};
use egui::{Align2, Area, CentralPanel, Context, CursorIcon, Frame, Label, Order, Rect, RichText, Sense, Ui, UiBuilder, pos2, vec2};

use super::CruxscopeApp;
use crate::action::Action;
use crate::frame::{headline, markdown};
use crate::views::dispatch;
use crate::views::scene::{ResultsScene, Scene, Shown};
use crate::widgets::{self, stage};

/// The share of the height that notes take.
const NOTES: f32 = 0.24;
/// The share of the width that a caption takes, and its least and greatest width.
const CAPTION: (f32, [f32; 2]) = (0.24, [170.0, 320.0]);

impl CruxscopeApp {
    /// Raises or leaves the stage, as the state says.
    pub(super) fn set_stage(&self, context: &Context) {
        let on = self.state.presenting;
        if stage::is_on(context) != on {
            context.send_viewport_cmd(egui::ViewportCommand::Fullscreen(on));
        }
        stage::set(context, on, typeface::tick().size);
        if on {
            if stage::is_pointed_at(context) {
                context.request_repaint_after_secs(stage::REST_SECONDS);
            } else {
                context.set_cursor_icon(CursorIcon::None);
            }
        }
    }

    /// Draws one frame of it.
    pub(super) fn stage(&self, ui: &mut Ui, actions: &mut Vec<Action>) {
        let palette = Palette::of(ui.ctx());
        CentralPanel::no_frame().frame(Frame::new().fill(palette.ground)).show(ui, |ui| {
            let inner = stage::frame(ui.max_rect()).shrink2(vec2(sizes::LARGE, sizes::GAP + sizes::SMALL));
            let stop = self.state.stop.and_then(|stop| self.library.collection.as_ref()?.collection.tour.get(stop));
            let finding = headline::text(
                &self.state,
                &self.library,
                self.comparison.as_ref(),
                self.variants.as_ref(),
                self.budget.as_ref(),
            );
            let title = stop.map(|stop| stop.title.clone()).or(finding.clone());
            let title = title.unwrap_or_else(|| self.state.view.title().to_owned());
            let galley = ui.painter().layout(title, typeface::title(), palette.text, inner.width());
            let mut top = inner.top() + galley.size().y;
            ui.painter().galley(inner.min, galley, palette.text);
            // Under a title that a person wrote stands what the figure says by itself.
            if let Some(finding) = finding.filter(|_| stop.is_some()) {
                let galley = ui.painter().layout(finding, typeface::body(), palette.dim, inner.width());
                ui.painter().galley(pos2(inner.left(), top), galley.clone(), palette.dim);
                top += galley.size().y;
            }
            let mut figure = Rect::from_min_max(pos2(inner.left(), top + sizes::GAP), inner.max);
            if let Some(stop) = stop.filter(|_| self.state.notes) {
                let height = (inner.height() * NOTES).floor();
                let notes = Rect::from_min_max(pos2(inner.left(), inner.bottom() - height), inner.max);
                figure.max.y = notes.top() - sizes::GAP;
                self.notes(ui, notes, stop);
            }
            if let Some(stop) = stop.filter(|stop| !stop.caption.trim().is_empty()) {
                let (share, [least, most]) = CAPTION;
                let width = (inner.width() * share).clamp(least, most);
                let beside = Rect::from_min_max(pos2(figure.right() - width, figure.top()), figure.max);
                figure.max.x = beside.left() - sizes::LARGE;
                ui.scope_builder(UiBuilder::new().max_rect(beside), |ui| markdown::show(ui, &stop.caption));
            }
            ui.scope_builder(UiBuilder::new().max_rect(figure), |ui| {
                ui.set_clip_rect(figure.expand(sizes::SMALL).intersect(ui.clip_rect()));
                self.figure_on_stage(ui, actions);
            });
        });
        if stage::is_pointed_at(ui.ctx()) {
            self.controls(ui.ctx(), actions);
        }
    }

    /// What the presenter is told, and what comes next.
    fn notes(&self, ui: &mut Ui, rect: Rect, stop: &TourStop) {
        let palette = Palette::of(ui.ctx());
        let line = egui::Stroke::new(sizes::HAIRLINE, palette.line);
        ui.painter()
            .rect(rect, egui::CornerRadius::same(sizes::RADIUS), palette.panel, line, egui::StrokeKind::Inside);
        let tour = self.library.collection.as_ref().map(|open| open.collection.tour.as_slice()).unwrap_or_default();
        let next = self.state.stop.and_then(|at| tour.get(at + 1));
        ui.scope_builder(UiBuilder::new().max_rect(rect.shrink(sizes::GAP + sizes::SMALL)), |ui| {
            egui::ScrollArea::vertical().id_salt("notes").auto_shrink(false).show(ui, |ui| {
                let head = next.map_or_else(|| "Notes, last stop".to_owned(), |next| format!("Notes, next: {}", next.title));
                widgets::caption(ui, &head);
                let text = if stop.notes.trim().is_empty() {
                    "No notes were written for this stop."
                } else {
                    &stop.notes
                };
                markdown::show(ui, text);
            });
        });
    }

    fn figure_on_stage(&self, ui: &mut Ui, actions: &mut Vec<Action>) {
        let palette = Palette::of(ui.ctx());
        match (dispatch::view(self.state.view), self.library.studies.get(self.state.active)) {
            (Shown::Results(view), _) => {
                let scene = ResultsScene {
                    results: &self.library.results,
                    state: &self.state,
                    palette,
                    inspector_below: false,
                };
                view.show(ui, &scene, actions);
            }
            (Shown::Study(view), Some(open)) => {
                let scene = Scene {
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
                view.show(ui, &scene, actions);
            }
            (Shown::Study(_), None) => {
                ui.add(Label::new(RichText::new("Nothing is open").color(palette.dim)));
            }
        }
    }

    /// What is seen while the pointer moves: the way through the tour, and off the stage.
    fn controls(&self, context: &Context, actions: &mut Vec<Action>) {
        let palette = Palette::of(context);
        let area = Area::new(egui::Id::unique("stage controls"))
            .order(Order::Foreground)
            .anchor(Align2::RIGHT_BOTTOM, vec2(-sizes::LARGE, -sizes::LARGE));
        area.show(context, |ui| {
            Frame::popup(&context.global_style()).show(ui, |ui| {
                ui.horizontal(|ui| {
                    let mut icon = |ui: &mut Ui, name: &str, draw: &dyn Fn(&egui::Painter, Rect, egui::Color32), action: Action| {
                        let (rect, _) = ui.allocate_exact_size(vec2(sizes::BUTTON, sizes::BUTTON), Sense::hover());
                        if widgets::icon_button(ui, rect, name, false, draw).clicked() {
                            actions.push(action);
                        }
                    };
                    if let Some(stop) = self.state.stop {
                        icon(
                            ui,
                            "Previous step",
                            &|painter, rect, colour| icons::arrow(painter, rect, false, colour),
                            Action::StepStop(-1),
                        );
                        let text = format!("{} of {}", stop + 1, self.stops());
                        ui.label(RichText::new(text).font(typeface::body()).color(palette.dim));
                        icon(
                            ui,
                            "Next step",
                            &|painter, rect, colour| icons::arrow(painter, rect, true, colour),
                            Action::StepStop(1),
                        );
                    }
                    if self.state.stop.is_some() {
                        icon(ui, "Notes", &icons::lines, Action::ToggleNotes);
                    }
                    icon(ui, "Leave the stage", &icons::cross, Action::TogglePresenting);
                });
            });
        });
    }
}
