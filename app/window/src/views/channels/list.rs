//! The channels of the selected component that carry most.

use cruxscope_selectors::format;
use cruxscope_study::{Behaviour, ChannelMaps, Component};
use cruxscope_theme::{sizes, typeface};
use egui::{Align2, Rect, Role, ScrollArea, Sense, Ui, WidgetInfo, pos2, vec2};

use crate::views::scene::Scene;
use crate::widgets;

/// Draws them, `height` high; gives the channel that was pressed.
pub fn show(ui: &mut Ui, scene: &Scene<'_>, maps: &ChannelMaps, behaviour: Behaviour, component: Component, height: f32) -> Option<usize> {
    let palette = scene.palette;
    let ranked = super::kept::ranked(ui, scene, maps, behaviour, component);
    let lines = &ranked.lines;
    let (head, body) = widgets::table(ui, height, palette);
    let half = ranked.half.map_or_else(String::new, |number| {
        format!("; half of it lies in {} of {} channels", format::count(number), format::count(ranked.of))
    });
    let title = format!("Largest channels of {component}{half}");
    let place = head.left_center() + vec2(sizes::GAP + sizes::SMALL, 0.0);
    widgets::paint_cut(
        ui.painter(),
        place,
        Align2::LEFT_CENTER,
        &title,
        typeface::caption_strong(),
        palette.faint,
        head.width() - sizes::LARGE,
    );
    let reach = lines.first().map_or(1.0, |line| line.share).max(f64::MIN_POSITIVE);
    let mut pressed = None;
    ui.scope_builder(egui::UiBuilder::new().max_rect(body), |ui| {
        ui.set_clip_rect(ui.clip_rect().intersect(body));
        ui.spacing_mut().item_spacing.y = 0.0;
        let area = ScrollArea::vertical().id_salt("largest channels").auto_shrink(false);
        area.show_rows(ui, sizes::TABLE_ROW, lines.len(), |ui, range| {
            for place in range {
                let line = &lines[place];
                let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), sizes::TABLE_ROW), Sense::click());
                let value = format::signed(line.value);
                response.widget_info(|| {
                    let said = format!("{}, channel {}, {value}, {}", place + 1, line.channel + 1, format::percent(line.share));
                    WidgetInfo::labeled(Role::Row, true, said)
                });
                widgets::row_ground(ui.painter(), rect, false, response.hovered(), palette);
                let mut columns = widgets::Columns::of(rect, sizes::GAP + sizes::SMALL);
                let (number, channel, term) = (columns.take(44.0), columns.take(120.0), columns.take(110.0));
                let share = columns.take_right(72.0, sizes::SMALL);
                let painter = ui.painter();
                painter.text(number.left_center(), Align2::LEFT_CENTER, place + 1, typeface::body(), palette.dim);
                painter.text(
                    channel.left_center(),
                    Align2::LEFT_CENTER,
                    format!("channel {}", format::count(line.channel + 1)),
                    typeface::body_strong(),
                    palette.text,
                );
                painter.text(term.right_center(), Align2::RIGHT_CENTER, value, typeface::body(), palette.text);
                if let Some(share) = share {
                    let text = format::percent(line.share);
                    painter.text(share.right_center(), Align2::RIGHT_CENTER, text, typeface::body(), palette.dim);
                }
                if let Some(rest) = columns.rest(60.0) {
                    let track = Rect::from_min_max(pos2(rest.left(), rect.center().y - 3.0), pos2(rest.right(), rect.center().y + 3.0));
                    let colour = if line.value < 0.0 { palette.faint } else { palette.behaviour(behaviour) };
                    widgets::bar(painter, track, (line.share / reach) as f32, colour, palette);
                }
                if response.on_hover_text("Show channel").clicked() {
                    pressed = Some(line.channel);
                }
            }
        });
    });
    pressed
}
