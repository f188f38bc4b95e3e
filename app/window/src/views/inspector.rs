//! The inspector: all that is known of the selected component.

use cruxscope_selectors::{Basis, component, format, provenance};
use cruxscope_theme::{icons, sizes, typeface};
use egui::{Align2, Rect, RichText, Sense, Ui, pos2, vec2};

use crate::action::Action;
use crate::views::scene::Scene;
use crate::widgets;

/// Instances that are listed at the most.
const INSTANCES: usize = 6;
/// Room for a rank at the end of a line.
const RANK_WIDTH: f32 = 38.0;

/// Draws it where it is, without scrolling.
pub fn content(ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
    let (palette, study, figures) = (scene.palette, &scene.open.study, &scene.open.figures);
    widgets::caption(ui, "Component");
    let Some(selected) = scene.state.selected.filter(|component| figures.holds(*component)) else {
        ui.add(egui::Label::new(RichText::new("Select a cell for details").color(palette.dim)).wrap());
        return;
    };
    ui.label(RichText::new(selected.to_string()).font(typeface::title()).color(palette.text));
    let subtitle = RichText::new(component::subtitle(study, selected)).font(typeface::caption()).color(palette.dim);
    ui.add(egui::Label::new(subtitle).wrap());

    widgets::section(ui, "Relative importance and overall rank");
    for line in component::behaviour_lines(figures, selected) {
        behaviour_line(ui, scene, &line, actions);
    }

    let basis = scene.state.ranking.basis;
    let title = match basis {
        Basis::Mean => "Details, mean over behaviours".to_owned(),
        Basis::Behaviour(behaviour) => format!("Details, {}", behaviour.title().to_lowercase()),
    };
    widgets::section(ui, &title);
    for (label, value) in component::facts(study, figures, basis, selected) {
        widgets::fact(ui, &label, &value);
    }
    if let Some(found) = scene.open.stability().and_then(|stability| stability.of(basis, selected)) {
        widgets::fact(ui, "95 % interval", &cruxscope_selectors::panels::interval_text(found.low, found.high))
            .on_hover_text("95 % bootstrap interval over instances (percentile method)");
        widgets::fact(ui, "P(rank 1)", &format::probability(found.probability_of_rank_one));
    } else if let Some(error) = scene.open.stability_error() {
        ui.label(RichText::new(error.to_string()).font(typeface::caption()).color(palette.error));
    }

    ui.add_space(sizes::GAP + sizes::SMALL);
    let checked = scene.state.checked.contains(&selected);
    let text = if checked { "Take off the protection list" } else { "Add to protection list" };
    if widgets::primary_button(ui, text).clicked() {
        actions.push(Action::Check(selected));
    }

    if let Some(behaviour) = component::listed_behaviour(figures, basis, selected) {
        let lines = component::instances(study, behaviour, selected, INSTANCES);
        if !lines.is_empty() {
            widgets::section(ui, &component::instances_title(study, behaviour, lines.len()));
        }
        for line in lines {
            instance_line(ui, scene, behaviour, &line);
        }
    }

    widgets::section(ui, "Made by");
    let command = provenance::command(study);
    let text = RichText::new(&command).font(typeface::code()).color(palette.dim);
    let response = ui.add(egui::Label::new(text).wrap().sense(Sense::click()));
    if response.on_hover_text("Copy the command").clicked() {
        actions.push(Action::Copy(command));
    }
}

fn behaviour_line(ui: &mut Ui, scene: &Scene<'_>, line: &component::BehaviourLine, actions: &mut Vec<Action>) {
    let palette = scene.palette;
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), sizes::LINE + sizes::LARGE), Sense::click());
    let (value, rank) = match line.relative {
        Some(relative) => (format::percent(relative), format!("#{}", line.rank)),
        None => ("none".to_owned(), String::new()),
    };
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, format!("{} {value} {rank}", line.behaviour.title())));
    let (painter, middle) = (ui.painter(), rect.top() + sizes::LINE / 2.0 + 2.0);
    let sign = Rect::from_min_size(pos2(rect.left(), rect.center().y - sizes::SIGN / 2.0), vec2(sizes::SIGN, sizes::SIGN));
    icons::behaviour(painter, sign, line.behaviour, palette);
    let focused = scene.state.behaviour == Some(line.behaviour);
    let (left, right) = (sign.right() + sizes::GAP + 2.0, rect.right());
    painter.text(pos2(right, middle), Align2::RIGHT_CENTER, rank, typeface::caption(), palette.faint);
    let value = painter.text(
        pos2(right - RANK_WIDTH, middle),
        Align2::RIGHT_CENTER,
        value,
        typeface::body_strong(),
        palette.text,
    );
    let colour = if focused || response.hovered() { palette.text } else { palette.dim };
    let title = line.behaviour.title();
    widgets::paint_cut(
        painter,
        pos2(left, middle),
        Align2::LEFT_CENTER,
        title,
        typeface::body(),
        colour,
        value.left() - left - sizes::SMALL,
    );
    // The name has the line to itself; the bar lies under it.
    let track = Rect::from_min_max(pos2(left, middle + 11.0), pos2(right, middle + 16.0));
    widgets::bar(painter, track, line.length, palette.behaviour(line.behaviour), palette);
    if response.clicked() {
        actions.push(Action::SetBehaviour((!focused).then_some(line.behaviour)));
    }
}

fn instance_line(ui: &mut Ui, scene: &Scene<'_>, behaviour: cruxscope_study::Behaviour, line: &component::InstanceLine) {
    let palette = scene.palette;
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), sizes::LINE), Sense::hover());
    let value = format::signed_percent(line.share);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Label, true, format!("{} {value}", line.id)));
    let (painter, middle) = (ui.painter(), rect.center().y);
    painter.text(pos2(rect.right(), middle), Align2::RIGHT_CENTER, &value, typeface::body(), palette.text);
    let track_right = rect.right() - 58.0;
    let track = Rect::from_min_max(
        pos2(track_right - 58.0_f32.max(rect.width() * 0.2), middle - 3.0),
        pos2(track_right, middle + 3.0),
    );
    // What pulls the other way is hollow: paler, and its number carries the minus.
    let colour = if line.share < 0.0 { palette.faint } else { palette.behaviour(behaviour) };
    widgets::bar(painter, track, line.length, colour, palette);
    let room = track.left() - rect.left() - sizes::GAP;
    widgets::paint_cut(painter, rect.left_center(), Align2::LEFT_CENTER, &line.id, typeface::body(), palette.dim, room);
    let way = if line.share < 0.0 { "against the sum" } else { "with the sum" };
    response.on_hover_text(format!("{}: {value} of what all instances add, {way}", line.id));
}
