//! What is known of the selected component in both studies.

use cruxscope_selectors::{Basis, component, format, shift, status};
use cruxscope_study::Behaviour;
use cruxscope_theme::{icons, sizes, typeface};
use egui::{Align2, Label, Rect, RichText, Sense, Ui, pos2, vec2};

use crate::action::Action;
use crate::views::scene::Scene;
use crate::widgets;

/// Draws it.
pub fn content(ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
    let palette = scene.palette;
    widgets::caption(ui, "Component");
    let compared = scene.comparison.and_then(|comparison| comparison.outcome.as_ref().ok());
    let Some((compared, selected)) = compared
        .zip(scene.state.selected)
        .filter(|(compared, component)| component.layer.0 < compared.comparison().layers())
    else {
        ui.add(Label::new(RichText::new("Select a cell for details of its shift").color(palette.dim)).wrap());
        return;
    };
    let (comparison, view) = (compared.comparison(), scene.state.shift);
    ui.label(RichText::new(selected.to_string()).font(typeface::title()).color(palette.text));
    let subtitle = RichText::new(component::subtitle(&compared.pair.a, selected));
    ui.add(Label::new(subtitle.font(typeface::caption()).color(palette.dim)).wrap());

    widgets::section(ui, "Relative importance in A and B, and the shift");
    for behaviour in Behaviour::ALL {
        let row = shift::row(comparison, None, Basis::Behaviour(behaviour), view, selected);
        behaviour_line(ui, scene, behaviour, comparison.has(Some(behaviour)).then_some(&row), actions);
    }

    let basis = scene.state.ranking.basis;
    let title = match basis {
        Basis::Mean => "Details, mean over behaviours".to_owned(),
        Basis::Behaviour(behaviour) => format!("Details, {}", behaviour.title().to_lowercase()),
    };
    widgets::section(ui, &title);
    let row = shift::row(comparison, compared.intervals(), basis, view, selected);
    for (label, value) in shift::facts(&row, view, comparison.from(None).len()) {
        // The label would be cut where the value is long; there the line has the interval alone.
        let label = if label.starts_with("95 %") { "95 % interval" } else { label };
        widgets::fact(ui, label, &value);
    }

    ui.add_space(sizes::GAP + sizes::SMALL);
    let checked = scene.state.checked.contains(&selected);
    let text = if checked { "Take off the protection list" } else { "Add to protection list" };
    if widgets::primary_button(ui, text).clicked() {
        actions.push(Action::Check(selected));
    }

    widgets::section(ui, "Studies");
    for (side, study) in [("A", &compared.pair.a), ("B", &compared.pair.b)] {
        widgets::fact(ui, side, status::title(study));
    }
    widgets::fact(ui, "Instances in both", &format::count(comparison.shared_instances()));
}

fn behaviour_line(ui: &mut Ui, scene: &Scene<'_>, behaviour: Behaviour, row: Option<&shift::ShiftRow>, actions: &mut Vec<Action>) {
    let palette = scene.palette;
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), sizes::LINE + sizes::LARGE), Sense::click());
    let sign = Rect::from_min_size(pos2(rect.left(), rect.center().y - sizes::SIGN / 2.0), vec2(sizes::SIGN, sizes::SIGN));
    let painter = ui.painter();
    icons::behaviour(painter, sign, behaviour, palette);
    let focused = scene.state.behaviour == Some(behaviour);
    let (left, upper, lower) = (sign.right() + sizes::GAP + 2.0, rect.center().y - 8.0, rect.center().y + 9.0);
    let (values, shift) = match row {
        Some(row) => {
            let [a, b] = row.relative.map(format::percent);
            (format!("{a} → {b}"), format::signed_share(row.relative[1] - row.relative[0]))
        }
        None => ("not in both studies".to_owned(), String::new()),
    };
    let placed = painter.text(pos2(rect.right(), upper), Align2::RIGHT_CENTER, &shift, typeface::body_strong(), palette.text);
    let colour = if focused || response.hovered() { palette.text } else { palette.dim };
    let room = placed.left() - left - sizes::SMALL;
    widgets::paint_cut(
        painter,
        pos2(left, upper),
        Align2::LEFT_CENTER,
        behaviour.title(),
        typeface::body(),
        colour,
        room,
    );
    painter.text(pos2(left, lower), Align2::LEFT_CENTER, &values, typeface::caption(), palette.faint);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, format!("{} {values} {shift}", behaviour.title())));
    if response.clicked() {
        actions.push(Action::SetBehaviour((!focused).then_some(behaviour)));
    }
}
