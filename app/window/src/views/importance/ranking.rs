//! The ranking list: every component in the order of a column, filtered, checked for a protection list.
//!
//! Rows are painted rather than laid out, so that only those in sight cost anything.

use cruxscope_selectors::{Basis, RankingRow, SortColumn, format, ranking};
use cruxscope_study::Behaviour;
use cruxscope_theme::{icons, sizes, typeface};
use egui::{Align2, Id, Rect, Role, ScrollArea, Sense, TextEdit, Ui, WidgetInfo, pos2, vec2};

use crate::action::Action;
use crate::views::scene::Scene;
use crate::widgets;

/// Where the columns lie. Some give way when there is little room.
struct Columns {
    check: Rect,
    rank: Rect,
    component: Rect,
    relative: Rect,
    interval: Option<Rect>,
    behaviours: Option<Rect>,
    first: Option<Rect>,
}

const CHECK: f32 = 34.0;
const RANK: f32 = 36.0;
const COMPONENT: f32 = 104.0;
const RELATIVE: f32 = 84.0;
const BEHAVIOURS: f32 = 104.0;
const FIRST: f32 = 76.0;
const INTERVAL_LEAST: f32 = 120.0;

impl Columns {
    fn of(row: Rect) -> Self {
        let mut columns = widgets::Columns::of(row, 0.0);
        Self {
            check: columns.take(CHECK),
            rank: columns.take(RANK),
            component: columns.take(COMPONENT),
            relative: columns.take(RELATIVE),
            first: columns.take_right(FIRST, sizes::LARGE),
            behaviours: columns.take_right(BEHAVIOURS, sizes::LARGE),
            interval: columns.rest(INTERVAL_LEAST),
        }
    }
}

/// The id of the filter's text field.
pub fn filter_id() -> Id {
    Id::unique("ranking filter")
}

/// Draws the list, `height` high.
pub fn show(ui: &mut Ui, scene: &Scene<'_>, height: f32, actions: &mut Vec<Action>) {
    let rows = ranking::rows(&scene.open.figures, scene.open.stability(), &scene.state.ranking);
    let top = ui.cursor().top();
    if !scene.state.presenting {
        tools(ui, scene, rows.len(), actions);
        ui.add_space(sizes::SMALL);
    }
    let (head, body) = widgets::table(ui, height - (ui.cursor().top() - top), scene.palette);
    heads(ui, head, scene, actions);
    if rows.is_empty() {
        let text = format!("No matching components for {}", scene.state.ranking.said());
        ui.painter()
            .text(body.center(), Align2::CENTER_CENTER, text, typeface::body(), scene.palette.dim);
        return;
    }
    body_rows(ui, body, scene, &rows, actions);
}

/// The field of the filter, and what takes a brush away.
pub fn filter(ui: &mut Ui, scene: &Scene<'_>, width: f32, actions: &mut Vec<Action>) {
    let (state, palette) = (scene.state, scene.palette);
    let mut filter = state.ranking.filter.clone();
    let hint = egui::RichText::new(if width < sizes::LARGE * 8.0 { "Filter" } else { "Filter: gate, layers:20-30" });
    let field = TextEdit::singleline(&mut filter)
        .id(filter_id())
        .hint_text(hint.font(typeface::caption()).color(palette.faint))
        .font(typeface::body())
        .align(Align2::LEFT_CENTER)
        .margin(egui::Margin::symmetric(sizes::GAP as i8, sizes::SMALL as i8))
        .background_color(palette.panel)
        .desired_width(width);
    let response = ui.add_sized(vec2(width, sizes::BUTTON), field);
    let response = response.accessible_name("Filter components");
    let response = response.on_hover_text("Parts of names, such as gate or 30_up; layer:30, layers:20-30, attention, mlp. Several must all hold.");
    if response.changed() {
        actions.push(Action::Filter(filter));
    }
    if state.search_wanted {
        response.request_focus();
    }
    let brushed = state.ranking.brushed.len();
    if brushed > 0 && widgets::button(ui, &format!("{brushed} brushed ×")).on_hover_text("Show all again").clicked() {
        actions.push(Action::Brush(Default::default()));
    }
}

fn tools(ui: &mut Ui, scene: &Scene<'_>, shown: usize, actions: &mut Vec<Action>) {
    let (state, palette) = (scene.state, scene.palette);
    let narrow = ui.available_width() < sizes::ONE_COLUMN;
    let title = match state.ranking.basis {
        Basis::Mean => "Ranking by mean relative importance".to_owned(),
        Basis::Behaviour(behaviour) => format!("Ranking, {}", behaviour.title().to_lowercase()),
    };
    ui.horizontal(|ui| {
        let copied = ranking::protected(&scene.open.figures, state.ranking.basis, &state.checked, state.protected);
        let text = if state.checked.is_empty() {
            format!("Copy first {} as protection list", copied.len())
        } else {
            format!("Copy {} checked as protection list", copied.len())
        };
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            let response = widgets::button(ui, if narrow { "Copy" } else { &text });
            let response = if narrow { response.on_hover_text(&text) } else { response };
            if response.on_hover_text(ranking::protection_list(&copied)).clicked() {
                actions.push(Action::CopyProtectionList);
            }
            if state.checked.is_empty() {
                let mut number = state.protected;
                let most = scene.open.figures.components();
                let drag = ui.add(egui::DragValue::new(&mut number).range(1..=most).speed(0.1));
                drag.widget_info(|| WidgetInfo::labeled(Role::SpinButton, true, "How many to protect"));
                if drag.on_hover_text("How many to protect").changed() {
                    actions.push(Action::SetProtected(number));
                }
            } else if widgets::button(ui, "Uncheck all").clicked() {
                actions.push(Action::Uncheck);
            }
            filter(ui, scene, if narrow { sizes::LARGE * 6.0 } else { sizes::LARGE * 11.0 }, actions);
            if state.ranking.is_filtered() {
                let text = format!("{} of {}", format::count(shown), format::count(scene.open.figures.components()));
                ui.label(egui::RichText::new(text).font(typeface::caption()).color(palette.faint));
            }
            let rest = ui.available_rect_before_wrap();
            widgets::paint_cut(
                ui.painter(),
                rest.left_center(),
                Align2::LEFT_CENTER,
                &title,
                typeface::heading(),
                palette.text,
                rest.width(),
            );
        });
    });
}

fn heads(ui: &mut Ui, rect: Rect, scene: &Scene<'_>, actions: &mut Vec<Action>) {
    let columns = Columns::of(rect);
    let relative = match scene.state.ranking.basis {
        Basis::Mean => "Mean RI",
        Basis::Behaviour(_) => "RI",
    };
    let mut head = |rect: Rect, text: &str, column: SortColumn, anchor: Align2, hint: &str| {
        let (state, palette) = (scene.state, scene.palette);
        let on = state.ranking.column == column;
        let response = ui.interact(rect, ui.scope_id().with(("column", column)), Sense::click());
        response.widget_info(|| WidgetInfo::selected(Role::ColumnHeader, true, on, hint));
        let colour = if on || response.hovered() { palette.text } else { palette.faint };
        if let SortColumn::Behaviour(behaviour) = column {
            let side = sizes::SIGN - sizes::SMALL;
            icons::behaviour(ui.painter(), Rect::from_center_size(rect.center(), vec2(side, side)), behaviour, palette);
            if on {
                icons::sort_arrow(ui.painter(), rect.center() + vec2(0.0, side / 2.0 + 4.0), !state.ranking.reversed, palette.text);
            }
        } else {
            let place = anchor.pos_in_rect(&rect);
            let placed = ui.painter().text(place, anchor, text, typeface::caption_strong(), colour);
            if on {
                // Ranks and names grow downwards, numbers shrink.
                let falls = !matches!(column, SortColumn::Rank | SortColumn::Component);
                let side = if anchor.x() == egui::Align::Max {
                    placed.left() - 9.0
                } else {
                    placed.right() + 9.0
                };
                icons::sort_arrow(ui.painter(), pos2(side, placed.center().y), falls != state.ranking.reversed, palette.text);
            }
        }
        if response.on_hover_text(hint).clicked() {
            actions.push(Action::Sort(column));
        }
    };
    head(columns.rank, "#", SortColumn::Rank, Align2::LEFT_CENTER, "Sort by rank");
    head(columns.component, "Component", SortColumn::Component, Align2::LEFT_CENTER, "Sort by component");
    head(
        columns.relative,
        relative,
        SortColumn::Relative,
        Align2::RIGHT_CENTER,
        "Sort by relative importance",
    );
    if let Some(rect) = columns.interval {
        head(
            rect,
            "95 % interval over instances",
            SortColumn::Interval,
            Align2::LEFT_CENTER,
            "Sort by width of the interval",
        );
    }
    if let Some(rect) = columns.behaviours {
        for behaviour in Behaviour::ALL {
            let pitch = rect.width() / Behaviour::ALL.len() as f32;
            let place = Rect::from_min_size(rect.min + vec2(pitch * behaviour.index() as f32, 0.0), vec2(pitch, rect.height()));
            let hint = format!("Sort by {}", behaviour.title().to_lowercase());
            head(place, "", SortColumn::Behaviour(behaviour), Align2::CENTER_CENTER, &hint);
        }
    }
    if let Some(rect) = columns.first {
        head(
            rect,
            "P(rank 1)",
            SortColumn::First,
            Align2::RIGHT_CENTER,
            "Sort by the share of resamples in which it ranks first",
        );
    }
}

fn body_rows(ui: &mut Ui, body: Rect, scene: &Scene<'_>, rows: &[RankingRow], actions: &mut Vec<Action>) {
    let reach = [ranking::interval_reach(rows), ranking::behaviour_reach(&scene.open.figures)].map(|reach| reach.max(f64::MIN_POSITIVE));
    ui.scope_builder(egui::UiBuilder::new().max_rect(body), |ui| {
        ui.set_clip_rect(ui.clip_rect().intersect(body));
        ui.spacing_mut().item_spacing.y = 0.0;
        let mut area = ScrollArea::vertical().id_salt("ranking").auto_shrink(false);
        if scene.state.reveal_wanted
            && let Some(position) = rows.iter().position(|row| Some(row.component) == scene.state.selected)
        {
            area = reveal(area, ui, position, body.height());
        }
        let output = area.show_rows(ui, sizes::TABLE_ROW, rows.len(), |ui, range| {
            for row in &rows[range] {
                show_row(ui, scene, row, reach, actions);
            }
        });
        ui.data_mut(|data| data.insert_temp(scroll_id(), output.state.clamped_offset().y));
    });
}

fn scroll_id() -> Id {
    Id::unique("ranking scroll")
}

/// Scrolls just as far as the row at `position` needs to be in sight.
fn reveal(area: ScrollArea, ui: &Ui, position: usize, height: f32) -> ScrollArea {
    let offset: f32 = ui.data(|data| data.get_temp(scroll_id())).unwrap_or(0.0);
    let top = position as f32 * sizes::TABLE_ROW;
    let bottom = top + sizes::TABLE_ROW;
    if top < offset {
        area.vertical_scroll_offset(top)
    } else if bottom > offset + height {
        area.vertical_scroll_offset(bottom - height)
    } else {
        area
    }
}

fn show_row(ui: &mut Ui, scene: &Scene<'_>, row: &RankingRow, reach: [f64; 2], actions: &mut Vec<Action>) {
    let palette = scene.palette;
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), sizes::TABLE_ROW), Sense::click());
    let chosen = scene.state.selected == Some(row.component);
    response.widget_info(|| WidgetInfo::selected(Role::Row, true, chosen, ranking::row_sentence(row)));
    let columns = Columns::of(rect);
    let painter = ui.painter().clone();
    let under_pointer = scene.state.hovered.is_some_and(|(_, component)| component == row.component);
    widgets::row_ground(&painter, rect, chosen, response.hovered() || under_pointer, palette);
    let checked = scene.state.checked.contains(&row.component);
    let check = ui.interact(columns.check, response.id.with("check"), Sense::click());
    check.widget_info(|| WidgetInfo::selected(Role::CheckBox, true, checked, format!("Protect {}", row.component)));
    if checked || check.hovered() || response.hovered() || chosen {
        icons::check_box(&painter, columns.check, checked, palette);
    }
    if check.clicked() {
        actions.push(Action::Check(row.component));
    } else if response.clicked() {
        actions.push(Action::Select(row.component));
    }
    painter.text(columns.rank.left_center(), Align2::LEFT_CENTER, row.rank, typeface::body(), palette.dim);
    painter.text(
        columns.component.left_center(),
        Align2::LEFT_CENTER,
        row.component,
        typeface::body_strong(),
        palette.text,
    );
    painter.text(
        columns.relative.right_center(),
        Align2::RIGHT_CENTER,
        format::percent(row.relative),
        typeface::body(),
        palette.text,
    );
    if let Some(rect) = columns.interval {
        let share = |value: f64| (value / reach[0]) as f32;
        widgets::interval(
            &painter,
            rect.shrink2(vec2(4.0, 0.0)),
            share(row.relative),
            row.interval.map(|ends| ends.map(share)),
            palette,
        );
    }
    if let Some(rect) = columns.behaviours {
        let bars = Behaviour::ALL.map(|behaviour| {
            let height = row.behaviours[behaviour.index()].map(|value| (value / reach[1]) as f32);
            (height, palette.behaviour(behaviour))
        });
        widgets::mini_bars(&painter, rect.shrink2(vec2(0.0, 6.0)), &bars, palette);
    }
    if let Some(rect) = columns.first {
        let text = row.first.map(format::probability).unwrap_or_default();
        painter.text(rect.right_center(), Align2::RIGHT_CENTER, text, typeface::body(), palette.dim);
    }
}
