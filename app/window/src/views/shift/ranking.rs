//! The list of shifts, the largest first: interval, both studies' numbers and ranks.

use cruxscope_selectors::shift::{self, ShiftRow};
use cruxscope_selectors::{Basis, format};
use cruxscope_study::ShiftView;
use cruxscope_theme::{sizes, typeface};
use egui::{Align2, Rect, Role, ScrollArea, Sense, Stroke, Ui, WidgetInfo, vec2};

use crate::action::Action;
use crate::comparison::Compared;
use crate::views::scene::Scene;
use crate::views::{importance, toolbar};
use crate::widgets;

/// Where the columns lie. Some give way when there is little room.
struct Columns {
    rank: Rect,
    component: Rect,
    shift: Rect,
    interval: Option<Rect>,
    sides: [Option<Rect>; 2],
    ranks: Option<Rect>,
}

const RANK: f32 = 40.0;
const COMPONENT: f32 = 84.0;
const SHIFT: f32 = 80.0;
const SIDE: f32 = 68.0;
const RANKS: f32 = 92.0;
const INTERVAL_LEAST: f32 = 100.0;

impl Columns {
    fn of(row: Rect) -> Self {
        let mut columns = widgets::Columns::of(row, sizes::GAP + sizes::SMALL);
        Self {
            rank: columns.take(RANK),
            component: columns.take(COMPONENT),
            shift: columns.take(SHIFT),
            ranks: columns.take_right(RANKS, 0.0),
            // One side without the other would say nothing.
            sides: columns.take_right(2.0 * SIDE, 0.0).map_or([None, None], |both| {
                let (a, b) = both.split_left_right_at_x(both.center().x);
                [Some(a), Some(b)]
            }),
            interval: columns.rest(INTERVAL_LEAST),
        }
    }
}

/// Draws the list, `height` high.
pub fn show(ui: &mut Ui, scene: &Scene<'_>, compared: &Compared, height: f32, actions: &mut Vec<Action>) {
    let (basis, view, palette) = (scene.state.ranking.basis, scene.state.shift, scene.palette);
    let mut rows = shift::rows(compared.comparison(), compared.intervals(), basis, view);
    let of = rows.len();
    let asked = &scene.state.ranking;
    rows.retain(|row| asked.keeps(row.component, row.interval));
    let top = ui.cursor().top();
    toolbar::row(ui, |ui| {
        importance::ranking::filter(ui, scene, sizes::LARGE * 11.0, actions);
        let choices = [(false, "All intervals"), (true, "Without zero")];
        if let Some(certain) = widgets::segmented(ui, "certain", &choices, asked.certain, |_, _, _| false, |_| None)
            && certain != asked.certain
        {
            actions.push(Action::ToggleCertain);
        }
        let text = if asked.is_filtered() {
            format!("{} of {}", rows.len(), of)
        } else {
            String::new()
        };
        toolbar::caption(ui, palette, &[&text]);
    });
    ui.add_space(sizes::SMALL);
    let (head, body) = widgets::table(ui, height - (ui.cursor().top() - top), palette);
    heads(ui, head, scene, basis, view);
    let reach = shift::reach(&rows);
    ui.scope_builder(egui::UiBuilder::new().max_rect(body), |ui| {
        ui.set_clip_rect(ui.clip_rect().intersect(body));
        ui.spacing_mut().item_spacing.y = 0.0;
        let mut area = ScrollArea::vertical().id_salt("shifts").auto_shrink(false);
        let at = rows.iter().position(|row| Some(row.component) == scene.state.selected);
        if let Some(at) = at.filter(|_| scene.state.reveal_wanted) {
            // The selected row comes to the middle, or as near to it as the ends allow.
            area = area.vertical_scroll_offset((sizes::TABLE_ROW * (at as f32 + 0.5) - body.height() / 2.0).max(0.0));
        }
        area.show_rows(ui, sizes::TABLE_ROW, rows.len(), |ui, range| {
            for row in &rows[range] {
                show_row(ui, scene, row, reach, actions);
            }
        });
    });
}

fn heads(ui: &Ui, rect: Rect, scene: &Scene<'_>, basis: Basis, view: ShiftView) {
    let columns = Columns::of(rect);
    let write = |rect: Rect, text: &str, anchor: Align2| {
        let (painter, colour) = (ui.painter(), scene.palette.faint);
        widgets::paint_cut(
            painter,
            anchor.pos_in_rect(&rect),
            anchor,
            text,
            typeface::caption_strong(),
            colour,
            rect.width(),
        );
    };
    write(columns.rank, "#", Align2::LEFT_CENTER);
    write(columns.component, "Component", Align2::LEFT_CENTER);
    let name = match view {
        ShiftView::Decreases => "Decrease",
        ShiftView::Increases => "Increase",
        ShiftView::Net => "Shift",
    };
    write(columns.shift, name, Align2::RIGHT_CENTER);
    if let Some(rect) = columns.interval {
        let of = match basis {
            Basis::Mean => "mean over behaviours".to_owned(),
            Basis::Behaviour(behaviour) => behaviour.title().to_lowercase(),
        };
        write(rect, &format!("95 % interval over instances, {of}"), Align2::LEFT_CENTER);
    }
    for (rect, text) in columns.sides.into_iter().zip(["RI in A", "RI in B"]) {
        if let Some(rect) = rect {
            write(rect, text, Align2::RIGHT_CENTER);
        }
    }
    if let Some(rect) = columns.ranks {
        write(rect, "Rank A → B", Align2::RIGHT_CENTER);
    }
}

fn show_row(ui: &mut Ui, scene: &Scene<'_>, row: &ShiftRow, reach: f64, actions: &mut Vec<Action>) {
    let (palette, view) = (scene.palette, scene.state.shift);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), sizes::TABLE_ROW), Sense::click());
    let chosen = scene.state.selected == Some(row.component);
    response.widget_info(|| WidgetInfo::selected(Role::Row, true, chosen, shift::sentence(row, view)));
    let columns = Columns::of(rect);
    let painter = ui.painter();
    let under_pointer = scene.state.hovered.is_some_and(|(_, component)| component == row.component);
    widgets::row_ground(painter, rect, chosen, response.hovered() || under_pointer, palette);
    let right = |rect: Rect, text: String, colour| {
        painter.text(rect.right_center(), Align2::RIGHT_CENTER, text, typeface::body(), colour);
    };
    painter.text(columns.rank.left_center(), Align2::LEFT_CENTER, row.rank, typeface::body(), palette.dim);
    painter.text(
        columns.component.left_center(),
        Align2::LEFT_CENTER,
        row.component,
        typeface::body_strong(),
        palette.text,
    );
    right(columns.shift, shift::written(view, row.shift), palette.text);
    if let Some(rect) = columns.interval {
        let track = rect.shrink2(vec2(4.0, 0.0));
        let place = |value: f64| shift::place(view, value, reach);
        if view == ShiftView::Net {
            painter.vline(track.center().x, rect.y_range(), Stroke::new(sizes::HAIRLINE, palette.line));
        }
        widgets::interval(painter, track, place(row.shift), row.interval.map(|ends| ends.map(place)), palette);
    }
    for (rect, value) in columns.sides.into_iter().zip(row.relative) {
        if let Some(rect) = rect {
            right(rect, format::percent(value), palette.dim);
        }
    }
    if let Some(rect) = columns.ranks {
        right(rect, format!("{} → {}", row.ranks[0], row.ranks[1]), palette.dim);
    }
    if response.clicked() {
        actions.push(Action::Select(row.component));
    }
}
