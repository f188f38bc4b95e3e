//! Every component by the measure that is on, beside its importance.

use cruxscope_selectors::compression::{self, CompressionLine, Measure};
use cruxscope_selectors::format;
use cruxscope_study::CompressionMap;
use cruxscope_theme::{sizes, typeface};
use egui::{Align2, Rect, Role, ScrollArea, Sense, Ui, WidgetInfo, vec2};

use crate::action::Action;
use crate::views::scene::Scene;
use crate::widgets;

struct Columns {
    place: Rect,
    component: Rect,
    value: Rect,
    storage: Option<Rect>,
    importance: Option<Rect>,
    rank: Option<Rect>,
}

impl Columns {
    fn of(line: Rect) -> Self {
        let mut columns = widgets::Columns::of(line, sizes::GAP + sizes::SMALL);
        let (place, component, value) = (columns.take(44.0), columns.take(110.0), columns.take(96.0));
        let rank = columns.take_right(130.0, sizes::LARGE);
        let importance = columns.take_right(110.0, sizes::LARGE);
        Self {
            place,
            component,
            value,
            rank,
            importance,
            storage: columns.rest(80.0),
        }
    }
}

/// Draws it.
pub fn show(ui: &mut Ui, scene: &Scene<'_>, map: &CompressionMap, measure: Measure, height: f32, actions: &mut Vec<Action>) {
    let palette = scene.palette;
    let lines = compression::lines(map, &scene.open.figures, scene.state.ranking.basis, measure);
    let (head, body) = widgets::table(ui, height, palette);
    let columns = Columns::of(head);
    let write = |rect: Option<Rect>, text: &str, anchor: Align2| {
        if let Some(rect) = rect {
            ui.painter()
                .text(anchor.pos_in_rect(&rect), anchor, text, typeface::caption_strong(), palette.faint);
        }
    };
    write(Some(columns.place), "#", Align2::LEFT_CENTER);
    write(Some(columns.component), "Component", Align2::LEFT_CENTER);
    write(Some(columns.value), measure.title(), Align2::RIGHT_CENTER);
    write(columns.storage, "Method / dtype", Align2::LEFT_CENTER);
    write(columns.importance, "Importance", Align2::RIGHT_CENTER);
    write(columns.rank, "Rank by importance", Align2::RIGHT_CENTER);
    ui.scope_builder(egui::UiBuilder::new().max_rect(body), |ui| {
        ui.set_clip_rect(ui.clip_rect().intersect(body));
        ui.spacing_mut().item_spacing.y = 0.0;
        let area = ScrollArea::vertical().id_salt("compression").auto_shrink(false);
        area.show_rows(ui, sizes::TABLE_ROW, lines.len(), |ui, range| {
            for place in range {
                row(ui, scene, &lines[place], place + 1, measure, actions);
            }
        });
    });
}

fn row(ui: &mut Ui, scene: &Scene<'_>, line: &CompressionLine, place: usize, measure: Measure, actions: &mut Vec<Action>) {
    let palette = scene.palette;
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), sizes::TABLE_ROW), Sense::click());
    let chosen = scene.state.selected == Some(line.component);
    let value = measure.text(line.value);
    response.widget_info(|| {
        let said = format!("{place}, {}, {} {value}, rank {} by importance", line.component, measure.title(), line.rank);
        WidgetInfo::selected(Role::Row, true, chosen, said)
    });
    widgets::row_ground(ui.painter(), rect, chosen, response.hovered(), palette);
    let columns = Columns::of(rect);
    let painter = ui.painter();
    let write = |rect: Option<Rect>, text: &str, anchor: Align2, strong: bool| {
        let Some(rect) = rect else { return };
        let (font, ink) = if strong {
            (typeface::body_strong(), palette.text)
        } else {
            (typeface::body(), palette.dim)
        };
        widgets::paint_cut(painter, anchor.pos_in_rect(&rect), anchor, text, font, ink, rect.width());
    };
    write(Some(columns.place), &place.to_string(), Align2::LEFT_CENTER, false);
    write(Some(columns.component), &line.component.to_string(), Align2::LEFT_CENTER, true);
    write(Some(columns.value), &value, Align2::RIGHT_CENTER, true);
    write(columns.storage, &line.storage, Align2::LEFT_CENTER, false);
    write(columns.importance, &format::percent(line.relative), Align2::RIGHT_CENTER, false);
    write(columns.rank, &format!("#{}", line.rank), Align2::RIGHT_CENTER, false);
    if response.clicked() {
        actions.push(Action::Select(line.component));
    }
}
