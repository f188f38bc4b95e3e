//! The benchmark view: scores with their intervals, grouped by model, one's own and published ones side by side.

mod dots;
mod inspect;
mod marks;
mod questions;
mod table;

use cruxscope_selectors::results::{Fill, Form, MethodKind, ResultsTable};
use cruxscope_study::Results;
use cruxscope_theme::{sizes, typeface};
use egui::{Align2, RichText, Ui, vec2};

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
    toolbar::row(ui, |ui| {
        let forms = Form::ALL.map(|form| (form, form.title()));
        if let Some(form) = widgets::segmented(ui, "form", &forms, scene.state.results.form, |_, _, _| false, |_| None) {
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
    if models.len() < 2 || scene.state.presenting {
        return;
    }
    let chosen = scene.state.results.model.as_deref();
    toolbar::break_before(ui, sizes::LARGE * 11.0);
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

/// What marks mean.
fn legend(ui: &mut Ui, scene: &ResultsScene<'_>, content: &Content<'_>) {
    let palette = scene.palette;
    for kind in content.table.kinds() {
        if kind != MethodKind::None {
            toolbar::entry(ui, palette, kind.title(), |painter, place| mark(painter, place, kind, Fill::Full, palette));
        }
    }
    for (fill, text) in content.table.fills() {
        toolbar::entry(ui, palette, text, |painter, place| mark(painter, place, MethodKind::Other, fill, palette));
    }
    toolbar::entry(ui, palette, "not compressed", |painter, place| {
        marks::reference(painter, place.x - sizes::SMALL, place.y, palette);
        mark(painter, place + vec2(sizes::SMALL - 1.0, 0.0), MethodKind::None, Fill::Full, palette);
    });
    if content.table.groups.iter().any(|group| group.compressed.iter().any(Option::is_some)) {
        toolbar::entry(ui, palette, "compressed all over; ± points from there", |painter, place| {
            marks::dashed(painter, place - vec2(0.0, sizes::GAP), place + vec2(0.0, sizes::GAP), palette.faint);
        });
    }
    let has_interval = content
        .table
        .rows()
        .any(|(_, row)| row.cells.iter().flatten().any(|cell| cell.interval.is_some()));
    if has_interval {
        toolbar::entry(ui, palette, "95 % interval", |painter, place| {
            painter.hline(place.x - 5.0..=place.x + 5.0, place.y, egui::Stroke::new(1.5, palette.dim));
        });
    }
}

/// The choice of a benchmark, where a form shows them one at a time.
fn choose_benchmark(ui: &mut Ui, scene: &ResultsScene<'_>, content: &Content<'_>, column: usize, actions: &mut Vec<Action>) {
    let choices: Vec<(usize, &str)> = content.table.columns.iter().map(|column| column.title.as_str()).enumerate().collect();
    if choices.len() < 2 || scene.state.is_bare() {
        return;
    }
    if let Some(at) = widgets::segmented(ui, "benchmark", &choices, column, |_, _, _| false, |_| None) {
        actions.push(Action::SetBenchmark(Some(content.table.columns[at].benchmark.clone())));
    }
}

/// Paints a value right of its dot.
pub(super) fn value(painter: &egui::Painter, place: egui::Pos2, text: &str, colour: egui::Color32) {
    painter.text(place, Align2::RIGHT_CENTER, text, typeface::body(), colour);
}
