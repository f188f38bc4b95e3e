//! What is open: the studies, the results with their experiments, the tour; and the ways to open another.

use cruxscope_selectors::{status, variants};
use cruxscope_theme::{Palette, icons, sizes, typeface};
use egui::{Align2, CornerRadius, Rect, Role, Sense, Ui, WidgetInfo, pos2, vec2};

use crate::action::Action;
use crate::library::Library;
use crate::state::State;
use crate::studies::OpenStudy;
use crate::views::benchmarks;
use crate::widgets;

/// From so many studies on each has one line.
const MANY: usize = 6;

/// Draws it.
pub fn show(ui: &mut Ui, library: &Library, state: &State, actions: &mut Vec<Action>) {
    let palette = Palette::of(ui.ctx());
    if state.view.is_of_results() {
        results(ui, library, state, actions);
    } else {
        let studies = &library.studies;
        widgets::caption(ui, if studies.len() == 1 { "Study" } else { "Studies" });
        ui.add_space(sizes::SMALL);
        let titles: Vec<&str> = studies.iter().map(|open| status::title(&open.study)).collect();
        let many = studies.len() + library.shelved.len() > MANY;
        for ((position, open), short) in studies.iter().enumerate().zip(variants::short_titles(&titles)) {
            // Many have a line each, without the words that all of them share.
            let short = many.then_some(short.as_str());
            entry(ui, open, position, short, position == state.active, actions);
        }
        for shelved in library.shelved.iter().filter(|shelved| !shelved.results) {
            if line(ui, ("shelved", shelved.id), shelved.name(), false) {
                actions.push(Action::Fetch(shelved.id));
            }
        }
    }
    if let Some(open) = library.collection.as_ref().filter(|open| !open.collection.tour.is_empty()) {
        widgets::section(ui, "Tour");
        for (position, stop) in open.collection.tour.iter().enumerate() {
            let name = format!("{} {}", position + 1, stop.title);
            if line(ui, ("stop", position), &name, state.stop == Some(position)) {
                actions.push(Action::SetStop(Some(position)));
            }
        }
    }
    ui.add_space(sizes::GAP);
    if state.can_run
        && widgets::button(ui, "Run…")
            .on_hover_text("Interpret or compress a model from here (R)")
            .clicked()
    {
        actions.push(Action::ToggleRuns);
    }
    if widgets::button(ui, "Open study…").clicked() {
        actions.push(Action::OpenDialog);
    }
    ui.add_space(sizes::SMALL);
    let text = if cfg!(target_arch = "wasm32") {
        "or drop study.json and importance.safetensors anywhere"
    } else {
        "or drop a study's folder anywhere"
    };
    ui.add(egui::Label::new(egui::RichText::new(text).font(typeface::caption()).color(palette.faint)).wrap());
}

fn results(ui: &mut Ui, library: &Library, state: &State, actions: &mut Vec<Action>) {
    widgets::caption(ui, "Results");
    ui.add_space(sizes::SMALL);
    let active = benchmarks::active(&library.results, state);
    for (position, open) in library.results.iter().enumerate() {
        let on = active.is_some_and(|active| active.id == open.id);
        if line(ui, ("results", position), &open.results.title, on) {
            actions.push(Action::SetResults(open.id));
        }
    }
    let Some(active) = active else { return };
    if state.view == crate::view_kind::ViewKind::TestTime {
        return;
    }
    let experiments = active.results.experiments();
    if experiments.iter().any(|experiment| !experiment.is_empty()) {
        widgets::section(ui, "Experiments");
        let on = benchmarks::experiment(active, state);
        for (position, experiment) in experiments.iter().enumerate() {
            let name = if experiment.is_empty() { "Other scores" } else { experiment };
            if line(ui, ("experiment", position), name, *experiment == on) {
                actions.push(Action::SetExperiment((*experiment).to_owned()));
            }
        }
    }
    widgets::section(ui, "Show");
    if line(ui, ("beside", 0), "Other results beside", state.results.beside) {
        actions.push(Action::ToggleBeside);
    }
}

/// A line of a list that can be chosen, in as many lines of text as it needs; gives whether it was pressed.
fn line(ui: &mut Ui, id: (&str, usize), text: &str, on: bool) -> bool {
    let palette = Palette::of(ui.ctx());
    let width = ui.available_width();
    let inner = width - 2.0 * sizes::GAP;
    let galley = ui
        .painter()
        .layout(text.to_owned(), typeface::body(), if on { palette.text } else { palette.dim }, inner);
    let (rect, response) = ui.allocate_exact_size(vec2(width, galley.size().y + sizes::GAP + 2.0), Sense::click());
    let response = ui.interact(rect, response.id.with(id), Sense::click()).union(response);
    response.widget_info(|| WidgetInfo::selected(Role::Tab, true, on, text));
    if on || response.hovered() || response.has_focus() {
        let fill = if on { palette.chosen } else { palette.raised };
        ui.painter().rect_filled(rect, CornerRadius::same(sizes::RADIUS_SMALL), fill);
    }
    ui.painter()
        .galley(pos2(rect.left() + sizes::GAP, rect.center().y - galley.size().y / 2.0), galley, palette.text);
    response.clicked()
}

/// A study: its title, model and definition; where `short` is given that alone.
fn entry(ui: &mut Ui, open: &OpenStudy, position: usize, short: Option<&str>, on: bool, actions: &mut Vec<Action>) {
    let palette = Palette::of(ui.ctx());
    let height = match short {
        Some(_) => sizes::LINE + sizes::SMALL,
        None => sizes::LINE * 2.0 + sizes::LARGE + sizes::SMALL,
    };
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::click());
    let (title, [model, definition]) = (status::title(&open.study), status::subtitles(&open.study));
    let subtitle = format!("{model}, {definition}");
    response.widget_info(|| WidgetInfo::selected(Role::Tab, true, on, format!("{title}, {subtitle}")));
    let fill = if on {
        palette.chosen
    } else if response.hovered() {
        palette.raised
    } else {
        palette.panel
    };
    ui.painter().rect_filled(rect, CornerRadius::same(sizes::RADIUS_SMALL), fill);
    let close = Rect::from_center_size(pos2(rect.right() - sizes::LARGE, rect.center().y), vec2(sizes::LINE, sizes::LINE));
    let hovered = response.hovered() || ui.rect_contains_pointer(rect);
    let room = rect.width() - 2.0 * (sizes::GAP + 2.0) - if hovered { sizes::LINE } else { 0.0 };
    let left = rect.left() + sizes::GAP + 2.0;
    let painter = ui.painter();
    let lines = [
        (title, -18.0, typeface::body_strong(), palette.text),
        (&model, 1.0, typeface::caption(), palette.dim),
        (&definition, 18.0, typeface::caption(), palette.dim),
    ];
    if let Some(short) = short {
        let ink = if on { palette.text } else { palette.dim };
        widgets::paint_cut(painter, pos2(left, rect.center().y), Align2::LEFT_CENTER, short, typeface::body(), ink, room);
    }
    for (text, offset, font, colour) in lines.into_iter().filter(|_| short.is_none()) {
        widgets::paint_cut(painter, pos2(left, rect.center().y + offset), Align2::LEFT_CENTER, text, font, colour, room);
    }
    if hovered {
        let name = format!("Close {title}");
        if ui
            .push_id(position, |ui| widgets::icon_button(ui, close, &name, false, icons::cross))
            .inner
            .clicked()
        {
            actions.push(Action::Close(position));
            return;
        }
    }
    if response.on_hover_text(format!("{title}\n{subtitle}")).clicked() {
        actions.push(Action::Activate(position));
    }
}
