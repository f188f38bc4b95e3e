//! The compression view: one number of each matrix, of what compression did to it, beside its importance.

mod list;

use std::sync::Arc;

use cruxscope_selectors::compression::{self, Measure};
use cruxscope_selectors::{ColourScale, Scale, format};
use cruxscope_study::{Component, ComponentCompression, CompressionMap, Module};
use cruxscope_theme::colour_map::ColourMap;
use cruxscope_theme::{sizes, typeface};
use egui::{Align2, CornerRadius, Id, Rect, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};

use super::scene::{Scene, View};
use super::{cells, colour_bar, toolbar};
use crate::action::Action;
use crate::heatmap::{self, Grid, Matrix};
use crate::open::{Part, PartState};
use crate::state::State;
use crate::studies::OpenStudy;
use crate::views::{inspector, missing, problem};
use crate::widgets;

/// Height of the heatmap's panel.
const PANEL: f32 = 250.0;

/// The compression view.
pub struct CompressionView;

/// What the view shows: the map, the measures it knows, the one that is on.
struct Content {
    map: CompressionMap,
    measures: Vec<Measure>,
    measure: Measure,
}

impl Content {
    fn of(scene: &Scene<'_>) -> Option<Self> {
        let map = compression::known(&scene.open.study, scene.open.parts().compression().map(|map| &**map))?;
        let measures = compression::measures(&map);
        let measure = scene.state.measure.filter(|measure| measures.contains(measure)).or(measures.first().copied())?;
        Some(Self { map, measures, measure })
    }
}

impl View for CompressionView {
    fn show(&self, ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
        if let Some(PartState::Failed(problem)) = scene.open.parts().state(Part::Compression) {
            problem::problem(ui, problem);
        }
        let Some(content) = Content::of(scene) else {
            let text = "Its model is not compressed, or what was done to it was not saved. Of a model that Cruxscope compressed a report puts it into the \
                        study's folder; of a GGUF file that mixes types the study itself knows them.";
            let command = "cruxscope compression-report MODEL --study STUDY";
            missing::say(ui, "No compression is known of this study", text, command, actions);
            let has = |other: &OpenStudy| compression::known(&other.study, other.parts().compression().map(|map| &**map)).is_some();
            missing::offer(ui, scene, has, actions);
            return;
        };
        toolbar::row(ui, |ui| {
            let choices: Vec<(Measure, &str)> = content.measures.iter().map(|measure| (*measure, measure.title())).collect();
            if let Some(measure) = widgets::segmented(ui, "measure", &choices, content.measure, |_, _, _| false, |_| None) {
                actions.push(Action::SetMeasure(measure));
            }
            toolbar::behaviours(ui, scene, actions);
            toolbar::caption(ui, scene.palette, &[content.measure.about(), ""]);
        });
        ui.add_space(sizes::SMALL);
        let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), PANEL), Sense::hover());
        panel(ui, rect, scene, &content, actions);
        ui.add_space(sizes::GAP);
        let below = if scene.inspector_below { sizes::TABLE_SCROLLING } else { 0.0 };
        list::show(ui, scene, &content.map, content.measure, ui.available_height() - below, actions);
        if scene.inspector_below {
            egui::ScrollArea::vertical().id_salt("below").show(ui, |ui| self.inspect(ui, scene, actions));
        }
    }

    fn inspect(&self, ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
        if let Some(content) = Content::of(scene) {
            if let Some(selected) = scene.state.selected
                && let Some(entry) = content.map.components.get(selected.index())
            {
                facts(ui, &content, selected, entry);
            }
            let storages = compression::storages(&content.map);
            if storages.len() > 1 {
                widgets::section(ui, "Matrices by storage type");
                for (name, count) in storages {
                    widgets::fact(ui, &name, &format::count(count));
                }
            }
            ui.add_space(sizes::LARGE);
        }
        inspector::content(ui, scene, actions);
    }

    fn needs(&self, _: &OpenStudy, _: &State) -> Vec<Part> {
        vec![Part::Compression]
    }
}

/// What was done to a matrix.
fn facts(ui: &mut Ui, content: &Content, selected: Component, entry: &ComponentCompression) {
    widgets::caption(ui, &format!("Compression of {selected}"));
    if !content.map.summary.is_empty() {
        widgets::fact(ui, "The whole model", &content.map.summary);
    }
    if !entry.method.is_empty() {
        widgets::fact(ui, "Method", &entry.method);
    }
    if !entry.storage.is_empty() {
        widgets::fact(ui, "Stored as", &entry.storage);
    }
    for measure in &content.measures {
        if let Some(value) = measure.of(entry) {
            widgets::fact(ui, measure.title(), &measure.text(value)).on_hover_text(measure.about());
        }
    }
}

/// The cells, kept for as long as the same measure of the same study is shown.
fn matrix(ui: &Ui, scene: &Scene<'_>, content: &Content) -> Arc<Matrix> {
    let layers = scene.open.figures.layers();
    let saved = scene.open.parts().compression().is_some();
    let id = Id::unique("compression matrix").with((scene.open.id, content.measure, saved));
    if let Some(known) = ui.data(|data| data.get_temp::<Arc<Matrix>>(id)) {
        return known;
    }
    let made = Arc::new(Matrix::new(Module::ALL.len(), compression::cells(&content.map, layers, content.measure)));
    ui.data_mut(|data| data.insert_temp(id, Arc::clone(&made)));
    made
}

fn panel(ui: &mut Ui, rect: Rect, scene: &Scene<'_>, content: &Content, actions: &mut Vec<Action>) {
    let palette = scene.palette;
    let line = Stroke::new(sizes::HAIRLINE, palette.line);
    ui.painter()
        .rect(rect, CornerRadius::same(sizes::RADIUS), palette.panel, line, StrokeKind::Inside);
    let middle = rect.top() + sizes::PANEL_HEAD / 2.0 + 1.0;
    let title = format!("{}, {}", content.measure.title(), content.map.summary);
    let left = rect.left() + sizes::GAP + sizes::SMALL;
    let right = rect.right() - sizes::GAP - sizes::SMALL;
    let lines = compression::lines(&content.map, &scene.open.figures, scene.state.ranking.basis, content.measure);
    let mut end = right;
    if let Some(found) = compression::correlation(&lines) {
        let text = format!("rank correlation with importance {}, n = {}", format::correlation(&found), found.n);
        end = ui
            .painter()
            .text(pos2(right, middle), Align2::RIGHT_CENTER, text, typeface::caption(), palette.dim)
            .left();
    }
    widgets::paint_cut(
        ui.painter(),
        pos2(left, middle),
        Align2::LEFT_CENTER,
        &title,
        typeface::heading(),
        palette.text,
        end - left - sizes::GAP,
    );
    let body = Rect::from_min_max(
        rect.min + vec2(sizes::ROW_LABELS, sizes::PANEL_HEAD),
        rect.max - vec2(sizes::GAP + sizes::SMALL, sizes::COLUMN_LABELS + sizes::LINE + sizes::GAP),
    );
    let grid = Grid::fit(body, scene.open.figures.layers(), Module::ALL.len(), ui.pixels_per_point());
    let scale = compression::scale(&content.map, content.measure, scene.state.scale);
    let id = ui.scope_id().with("compression");
    heatmap::paint(ui, id, &grid, &matrix(ui, scene, content), scale, ColourMap::Decreases);
    let marked = cells::marked(scene.state);
    cells::row_labels(ui, &grid, marked, palette);
    cells::column_labels(ui, &grid, marked, palette);
    // Where all matrices are alike none is the largest, and a colour alone would say nothing.
    let uniform = lines.first().zip(lines.last()).is_some_and(|(first, last)| first.value <= last.value);
    if uniform && let Some(first) = lines.first() {
        let colour_of = |_: Component| ColourMap::Decreases.at(scale.position(first.value), palette.dark);
        if grid.cell_size().x >= sizes::CELL_TEXT[0] && grid.cell_size().y >= sizes::CELL_TEXT[1] {
            cells::write(ui, &grid, scene.open.figures.layers(), colour_of, |_| content.measure.text(first.value));
        }
    } else if let Some(first) = lines.first() {
        let cell = cells::place(&grid, first.component);
        let colour = ColourMap::Decreases.at(scale.position(first.value), palette.dark);
        cells::dot(ui, cell, cell.center(), colour);
    }
    cells::crosshair(ui, &grid, scene.state, palette);
    legend(ui, rect, &scale, content.measure, scene);
    let (response, hovered) = cells::pointed(ui, &grid, id);
    let value_of = |component: Component| {
        let entry = content.map.components.get(component.index())?;
        Some((content.measure.of(entry)?, entry.storage.as_str()))
    };
    let said = |component: Component| {
        let (value, storage) = value_of(component)?;
        let storage = if storage.is_empty() { String::new() } else { format!(", {storage}") };
        Some(format!(
            "{component}: {} {}{storage}",
            content.measure.title().to_lowercase(),
            content.measure.text(value)
        ))
    };
    let read = hovered.or(scene.state.selected);
    response.widget_info(|| {
        let said = read.and_then(said).unwrap_or_default();
        WidgetInfo::labeled(Role::Image, true, format!("Heatmap of compression. {said}"))
    });
    let Some(component) = hovered else { return };
    if let Some(behaviour) = scene.state.behaviour {
        actions.push(Action::Hover(behaviour, component));
    }
    if response.clicked() {
        actions.push(Action::Select(component));
    }
    response.on_hover_text_at_pointer(said(component).unwrap_or_else(|| format!("{component}: not known")));
}

fn legend(ui: &Ui, rect: Rect, scale: &ColourScale, measure: Measure, scene: &Scene<'_>) {
    let line = Rect::from_min_max(
        pos2(rect.left() + sizes::ROW_LABELS, rect.bottom() - sizes::LINE - sizes::SMALL),
        pos2(rect.right() - sizes::GAP, rect.bottom() - sizes::SMALL),
    );
    let ends = [measure.text(scale.low), measure.text(scale.high)];
    // Where all matrices are alike there is nothing between two ends.
    let more = if scale.low < scale.high || scale.low == 0.0 {
        format!("{} scale", name(scale.scale))
    } else {
        "every matrix alike".to_owned()
    };
    colour_bar::between(ui, line, [&ends[0], &ends[1]], &more, ColourMap::Decreases, scene.palette);
}

fn name(scale: Scale) -> String {
    scale.title().to_lowercase()
}
