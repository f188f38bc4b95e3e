//! A colour bar with its numbers, in the legends of all views.

use cruxscope_selectors::ColourScale;
use cruxscope_theme::colour_map::ColourMap;
use cruxscope_theme::{Palette, sizes, typeface};
use egui::{Align2, Mesh, Rect, Role, Sense, Stroke, Ui, WidgetInfo, pos2};

use crate::action::Action;

/// Draws the bar into `bar` and its numbers under it; a press asks for the next scale.
pub fn show(ui: &Ui, bar: Rect, scale: &ColourScale, map: ColourMap, components: usize, palette: &Palette, actions: &mut Vec<Action>) {
    paint(ui, bar, map, palette);
    let response = ui.interact(bar.expand(sizes::SMALL), ui.scope_id().with(("legend", map.row(true))), Sense::click());
    let ticks = scale.ticks(components, bar.width());
    response.widget_info(|| {
        let texts: Vec<&str> = ticks.iter().map(|tick| tick.text.as_str()).collect();
        let text = format!("Colour scale, {}, {}", scale.scale.title().to_lowercase(), texts.join(", "));
        WidgetInfo::labeled(Role::Button, true, text)
    });
    if response.on_hover_text("Next scale").clicked() {
        actions.push(Action::NextScale);
    }
    let painter = ui.painter();
    for tick in &ticks {
        let x = bar.left() + bar.width() * tick.position;
        let anchor = match tick.position {
            position if position <= 0.0 => Align2::LEFT_TOP,
            position if position >= 1.0 => Align2::RIGHT_TOP,
            _ => Align2::CENTER_TOP,
        };
        if tick.position > 0.0 && tick.position < 1.0 {
            painter.vline(x, bar.bottom()..=bar.bottom() + 3.0, Stroke::new(sizes::HAIRLINE, palette.faint));
        }
        painter.text(pos2(x, bar.bottom() + sizes::SMALL), anchor, &tick.text, typeface::tick(), palette.dim);
    }
    if scale.clipped_below && !scale.centred {
        // An arrow head at the end says that smaller values share its colour.
        let tip = pos2(bar.left() - 7.0, bar.center().y);
        let points = vec![tip, pos2(bar.left() - 1.0, bar.top()), pos2(bar.left() - 1.0, bar.bottom())];
        let line = Stroke::new(sizes::HAIRLINE, palette.faint);
        painter.add(egui::Shape::convex_polygon(points, map.at(0.0, palette.dark), line));
    }
}

/// Draws a bar on one line between its ends' numbers, which begins at the left of `line`. What else is said of the scale follows where it
/// has room beside a bar of some length.
pub fn between(ui: &Ui, line: Rect, [low, high]: [&str; 2], more: &str, map: ColourMap, palette: &Palette) {
    const LEAST: f32 = 48.0;
    let painter = ui.painter();
    let layout = |text: &str| painter.layout_no_wrap(text.to_owned(), typeface::tick(), palette.dim);
    let from = painter.text(line.left_center(), Align2::LEFT_CENTER, low, typeface::tick(), palette.dim);
    let left = from.right() + sizes::GAP;
    let room = |end: f32| line.right() - left - end - sizes::GAP;
    let whole = layout(&format!("{high}, {more}"));
    let end = if room(whole.size().x) >= LEAST { whole } else { layout(high) };
    let width = room(end.size().x).clamp(0.0, sizes::COLOUR_BAR_WIDTH.min(line.width() * 0.5));
    let bar = Rect::from_min_size(pos2(left, line.center().y - sizes::COLOUR_BAR / 2.0), egui::vec2(width, sizes::COLOUR_BAR));
    paint(ui, bar, map, palette);
    let place = pos2(bar.right() + sizes::GAP, line.center().y - end.size().y / 2.0);
    painter.galley(place, end, palette.dim);
}

/// Paints the bar alone.
pub fn paint(ui: &Ui, rect: Rect, map: ColourMap, palette: &Palette) {
    let steps = 64;
    let mut mesh = Mesh::default();
    for step in 0..=steps {
        let share = step as f32 / steps as f32;
        let (x, colour) = (rect.left() + rect.width() * share, map.at(share, palette.dark));
        mesh.colored_vertex(pos2(x, rect.top()), colour);
        mesh.colored_vertex(pos2(x, rect.bottom()), colour);
        if step > 0 {
            let last = step * 2;
            mesh.add_triangle(last - 2, last - 1, last);
            mesh.add_triangle(last - 1, last, last + 1);
        }
    }
    ui.painter().add(mesh);
}
