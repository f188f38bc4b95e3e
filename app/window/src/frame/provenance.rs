//! The provenance drawer: from what, how and with what the study was computed, and what was left out of it.

use cruxscope_selectors::{format, provenance};
use cruxscope_theme::{icons, sizes, typeface};
use egui::{Align2, Label, Rect, RichText, ScrollArea, Sense, Ui, pos2, vec2};

use crate::action::Action;
use crate::views::scene::Scene;
use crate::widgets;

/// Height of the list of drops.
const DROPS: f32 = 240.0;

/// Draws it.
pub fn show(ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
    let palette = scene.palette;
    let (head, _) = ui.allocate_exact_size(vec2(ui.available_width(), sizes::BUTTON), Sense::hover());
    ui.painter()
        .text(head.left_center(), Align2::LEFT_CENTER, "Provenance", typeface::title(), palette.text);
    let close = Rect::from_center_size(pos2(head.right() - sizes::BUTTON / 2.0, head.center().y), vec2(sizes::BUTTON, sizes::BUTTON));
    if widgets::icon_button(ui, close, "Close the provenance", false, icons::cross).clicked() {
        actions.push(Action::ToggleProvenance);
    }
    ui.add_space(sizes::SMALL);
    ScrollArea::vertical().id_salt("provenance").auto_shrink(false).show(ui, |ui| {
        // Room for the scroll bar, so that it does not lie on the numbers.
        ui.set_max_width(ui.available_width() - sizes::GAP - sizes::SMALL);
        content(ui, scene, actions);
    });
}

fn content(ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
    let (palette, study) = (scene.palette, &scene.open.study);
    widgets::section(ui, "Reproduce with");
    let command = provenance::command(study);
    egui::Frame::new()
        .fill(palette.raised)
        .corner_radius(sizes::RADIUS_SMALL)
        .inner_margin(sizes::GAP)
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.add(
                Label::new(RichText::new(&command).font(typeface::code()).color(palette.text))
                    .wrap()
                    .selectable(true),
            );
        });
    ui.add_space(sizes::SMALL);
    if widgets::button(ui, "Copy the command").clicked() {
        actions.push(Action::Copy(command));
    }
    segments(ui, scene);
    for section in provenance::sections(study) {
        widgets::section(ui, section.title);
        for line in section.lines {
            let response = widgets::fact(ui, &line.label, &line.value);
            if let Some(whole) = line.whole {
                let response = response.interact(Sense::click());
                if response.on_hover_text(format!("{whole}\nClick to copy")).clicked() {
                    actions.push(Action::Copy(whole));
                }
            } else if line.value.len() > 40 {
                response.on_hover_text(line.value);
            }
        }
    }
    drops(ui, scene);
    ui.add_space(sizes::LARGE);
}

fn segments(ui: &mut Ui, scene: &Scene<'_>) {
    let palette = scene.palette;
    ui.add_space(sizes::GAP + sizes::SMALL);
    let places = |rect: Rect| [0.0, 84.0, 168.0].map(|from_right| pos2(rect.right() - from_right, rect.center().y));
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), sizes::LINE), Sense::hover());
    let painter = ui.painter();
    painter.text(rect.left_center(), Align2::LEFT_CENTER, "Segments", typeface::caption_strong(), palette.faint);
    for (place, text) in places(rect).into_iter().zip(["dropped", "used", "instances"]) {
        painter.text(place, Align2::RIGHT_CENTER, text, typeface::caption_strong(), palette.faint);
    }
    for line in provenance::segments(&scene.open.study) {
        let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), sizes::LINE + sizes::SMALL), Sense::hover());
        let painter = ui.painter();
        let sign = Rect::from_min_size(pos2(rect.left(), rect.center().y - sizes::SIGN / 2.0), vec2(sizes::SIGN, sizes::SIGN));
        icons::behaviour(painter, sign, line.behaviour, palette);
        let place = pos2(sign.right() + sizes::GAP, rect.center().y);
        let title = line.behaviour.title();
        widgets::paint_cut(painter, place, Align2::LEFT_CENTER, title, typeface::body(), palette.dim, rect.width() - 260.0);
        for (place, text) in places(rect).into_iter().zip(line.numbers.iter().rev()) {
            painter.text(place, Align2::RIGHT_CENTER, text, typeface::body(), palette.text);
        }
        painter.hline(rect.x_range(), rect.bottom(), egui::Stroke::new(sizes::HAIRLINE, palette.line));
    }
}

fn drops(ui: &mut Ui, scene: &Scene<'_>) {
    let (palette, study) = (scene.palette, &scene.open.study);
    let reasons = provenance::reasons(study);
    if reasons.is_empty() {
        return;
    }
    widgets::section(ui, "Dropped, by reason");
    for (reason, number) in reasons {
        widgets::fact(ui, reason, &format::count(number));
    }
    widgets::section(ui, "Dropped, by instance");
    let number = study.manifest.dropped.len();
    let height = 2.0 * sizes::LINE;
    let area = ScrollArea::vertical().id_salt("drops").max_height(DROPS).auto_shrink([false, true]);
    ui.spacing_mut().item_spacing.y = 0.0;
    area.show_rows(ui, height, number, |ui, range| {
        for index in range {
            let Some((place, why)) = provenance::dropped(study, index) else { continue };
            let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::hover());
            response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::ListItem, true, format!("{place}, {why}")));
            let painter = ui.painter();
            let room = rect.width() - sizes::GAP;
            let middle = rect.center().y;
            widgets::paint_cut(
                painter,
                pos2(rect.left(), middle - 8.0),
                Align2::LEFT_CENTER,
                &place,
                typeface::body(),
                palette.text,
                room,
            );
            widgets::paint_cut(
                painter,
                pos2(rect.left(), middle + 9.0),
                Align2::LEFT_CENTER,
                &why,
                typeface::caption(),
                palette.dim,
                room,
            );
            painter.hline(rect.x_range(), rect.bottom() - 0.5, egui::Stroke::new(sizes::HAIRLINE, palette.line));
        }
    });
}
