//! The benchmark view: scores with their intervals, grouped by model, one's own and published ones side by side.

mod dots;
mod inspect;
mod marks;
mod questions;
mod table;

use cruxscope_selectors::results::{Form, MethodKind, ResultsTable};
use cruxscope_study::Results;
use cruxscope_theme::{sizes, typeface};
use egui::{Align2, RichText, Sense, Ui, vec2};

use super::scene::{ResultsScene, ResultsView};
use super::toolbar;
use crate::action::Action;
use crate::library::OpenResults;
use crate::state::State;
use crate::widgets;

pub use marks::{MARK, mark};

/// The benchmark view.
pub struct BenchmarksView;

/// The results that are on: those that were chosen, or else the first.
pub fn active<'a>(results: &'a [OpenResults], state: &State) -> Option<&'a OpenResults> {
    let chosen = results.iter().find(|open| Some(open.id) == state.results.results);
    chosen.or_else(|| results.first())
}

/// The experiment that is on: the one that was chosen, by its name or by how that begins, or else the first.
pub fn experiment<'a>(open: &'a OpenResults, state: &State) -> &'a str {
    let experiments = open.results.experiments();
    let wanted = state.results.experiment.as_deref();
    let chosen = wanted.and_then(|wanted| experiments.iter().find(|known| **known == wanted));
    let begins = || wanted.and_then(|wanted| experiments.iter().find(|known| known.starts_with(&format!("{wanted}:"))));
    chosen.or_else(begins).or(experiments.first()).copied().unwrap_or_default()
}

/// What the view shows: the results, those that are on first, and their table.
pub(super) struct Content<'a> {
    /// The results that are on, and those beside.
    pub results: Vec<&'a Results>,
    /// The experiment.
    pub experiment: &'a str,
    /// The table.
    pub table: ResultsTable,
}

impl<'a> Content<'a> {
    pub(super) fn of(scene: &ResultsScene<'a>) -> Option<Self> {
        let open = active(scene.results, scene.state)?;
        let mut results: Vec<&Results> = vec![&open.results];
        if scene.state.results.beside {
            results.extend(scene.results.iter().filter(|other| other.id != open.id).map(|other| &*other.results));
        }
        let experiment = experiment(open, scene.state);
        let table = ResultsTable::of(&results, experiment, scene.state.results.model.as_deref());
        Some(Self { results, experiment, table })
    }

    /// The selected row, by its place; the first, where nothing was chosen.
    pub(super) fn row(&self, scene: &ResultsScene<'_>) -> usize {
        let last = self.table.rows().count().saturating_sub(1);
        scene.state.results.row.unwrap_or(0).min(last)
    }

    /// The column in focus: that of the chosen benchmark, or else the first.
    pub(super) fn column(&self, scene: &ResultsScene<'_>) -> usize {
        let wanted = scene.state.results.benchmark.as_deref();
        let at = wanted.and_then(|wanted| self.table.columns.iter().position(|column| column.benchmark == wanted));
        at.unwrap_or(0)
    }
}

impl ResultsView for BenchmarksView {
    fn show(&self, ui: &mut Ui, scene: &ResultsScene<'_>, actions: &mut Vec<Action>) {
        let Some(content) = Content::of(scene) else { return };
        bar(ui, scene, &content, actions);
        ui.add_space(sizes::SMALL);
        if content.table.groups.is_empty() {
            widgets::caption(ui, "These results hold no scores");
            return;
        }
        match scene.state.results.form {
            Form::Dots => dots::show(ui, scene, &content, actions),
            Form::Table => table::show(ui, scene, &content, actions),
            Form::Questions => questions::show(ui, scene, &content, actions),
        }
    }

    fn inspect(&self, ui: &mut Ui, scene: &ResultsScene<'_>, actions: &mut Vec<Action>) {
        if let Some(content) = Content::of(scene) {
            inspect::show(ui, scene, &content, actions);
        }
    }
}

/// The form, the model, and the legend.
fn bar(ui: &mut Ui, scene: &ResultsScene<'_>, content: &Content<'_>, actions: &mut Vec<Action>) {
    ui.horizontal(|ui| {
        let forms = Form::ALL.map(|form| (form, form.title()));
        let pressed = ui.push_id("form", |ui| widgets::segmented(ui, &forms, scene.state.results.form, |_, _, _| false, |_| None));
        if let Some(form) = pressed.inner {
            actions.push(Action::SetForm(form));
        }
        models(ui, scene, content, actions);
        if scene.state.results.form == Form::Dots {
            legend(ui, scene, content);
        } else {
            toolbar::caption(ui, scene.palette, &["intervals at 95 %", ""]);
        }
    });
}

/// The choice of one model, where an experiment has several.
fn models(ui: &mut Ui, scene: &ResultsScene<'_>, content: &Content<'_>, actions: &mut Vec<Action>) {
    let mut models: Vec<&str> = Vec::new();
    for score in content.results[0].of_experiment(content.experiment) {
        if !models.contains(&score.model.as_str()) {
            models.push(&score.model);
        }
    }
    if models.len() < 2 {
        return;
    }
    let chosen = scene.state.results.model.as_deref();
    let text = RichText::new(chosen.unwrap_or("All models")).font(typeface::body());
    let combo = egui::ComboBox::from_id_salt("model").selected_text(text).width(sizes::LARGE * 10.0);
    let shown = combo.show_ui(ui, |ui| {
        if ui.selectable_label(chosen.is_none(), "All models").clicked() {
            actions.push(Action::SetModel(None));
        }
        for model in models {
            if ui.selectable_label(chosen == Some(model), model).clicked() {
                actions.push(Action::SetModel(Some(model.to_owned())));
            }
        }
    });
    let _ = shown.response.accessible_name("Model");
}

/// What marks mean, on the right, as much as there is room for.
fn legend(ui: &mut Ui, scene: &ResultsScene<'_>, content: &Content<'_>) {
    let (rest, _) = ui.allocate_exact_size(vec2(ui.available_width(), sizes::BUTTON), Sense::hover());
    let (painter, palette) = (ui.painter(), scene.palette);
    let mut right = rest.right();
    let mut entry = |text: &str, draw: &dyn Fn(egui::Pos2)| {
        let galley = painter.layout_no_wrap(text.to_owned(), typeface::caption(), palette.faint);
        let left = right - galley.size().x - sizes::LARGE;
        if left < rest.left() {
            return;
        }
        painter.galley(
            egui::pos2(left + sizes::LARGE - 4.0, rest.center().y - galley.size().y / 2.0),
            galley,
            palette.faint,
        );
        draw(egui::pos2(left + 4.0, rest.center().y));
        right = left - sizes::GAP - 2.0;
    };
    let has_interval = content
        .table
        .rows()
        .any(|(_, row)| row.cells.iter().flatten().any(|cell| cell.interval.is_some()));
    if has_interval {
        entry("95 % interval", &|place| {
            painter.hline(place.x - 5.0..=place.x + 5.0, place.y, egui::Stroke::new(1.5, palette.dim));
        });
    }
    entry("not compressed", &|place| marks::reference(painter, place.x, place.y, palette));
    if content.table.has_hollow() {
        entry("under 4 bits", &|place| mark(painter, place, MethodKind::Other, true, palette));
    }
    for kind in content.table.kinds().into_iter().rev() {
        if !matches!(kind, MethodKind::None | MethodKind::Other) {
            entry(kind.title(), &|place| mark(painter, place, kind, false, palette));
        }
    }
}

/// Paints a value right of its dot.
pub(super) fn value(painter: &egui::Painter, place: egui::Pos2, text: &str, colour: egui::Color32) {
    painter.text(place, Align2::RIGHT_CENTER, text, typeface::body(), colour);
}
