//! The compression view: one number of each matrix, of what compression did to it, beside its importance.

mod list;

use std::sync::Arc;

use cruxscope_selectors::compression::{self, Measure};
use cruxscope_selectors::{ColourScale, Scale, format};
use cruxscope_study::{Component, ComponentCompression, CompressionMap, Module};
use cruxscope_theme::colour_map::ColourMap;
use cruxscope_theme::{sizes, typeface};
use egui::{Align2, CornerRadius, Id, Rect, RichText, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};

use super::scene::{Scene, View};
use super::{cells, colour_bar, toolbar};
use crate::action::Action;
use crate::heatmap::{self, Grid, Matrix};
use crate::open::{Part, PartState};
use crate::state::State;
use crate::studies::OpenStudy;
use crate::views::{inspector, problem};
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
            let text = "Nothing is known of how this study's model was compressed. For a model that `cruxscope compress` made, `cruxscope compression-report MODEL \
                        --study STUDY` puts what it did into the study's folder; of a GGUF file that mixes types the study itself knows them.";
            ui.add(egui::Label::new(RichText::new(text).color(scene.palette.dim)).wrap());
            return;
        };
        ui.horizontal(|ui| {
            let choices: Vec<(Measure, &str)> = content.measures.iter().map(|measure| (*measure, measure.title())).collect();
            let pressed = ui.push_id("measure", |ui| widgets::segmented(ui, &choices, content.measure, |_, _, _| false, |_| None));
            if let Some(measure) = pressed.inner {
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
    if let Some(first) = lines.first() {
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
    let palette = scene.palette;
    let width = sizes::COLOUR_BAR_WIDTH.min(rect.width() * 0.4);
    let middle = rect.bottom() - sizes::LINE / 2.0 - sizes::SMALL;
    let painter = ui.painter();
    let low = painter.text(
        pos2(rect.left() + sizes::ROW_LABELS, middle),
        Align2::LEFT_CENTER,
        measure.text(scale.low),
        typeface::tick(),
        palette.dim,
    );
    let bar = Rect::from_center_size(pos2(low.right() + sizes::GAP + width / 2.0, middle), vec2(width, sizes::COLOUR_BAR));
    colour_bar::paint(ui, bar, ColourMap::Decreases, palette);
    let high = format!("{}, {} scale", measure.text(scale.high), name(scale.scale));
    ui.painter()
        .text(pos2(bar.right() + sizes::GAP, middle), Align2::LEFT_CENTER, high, typeface::tick(), palette.dim);
}

fn name(scale: Scale) -> String {
    scale.title().to_lowercase()
}
