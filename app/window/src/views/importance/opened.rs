//! A module opened into its parts, such as the experts of a mixture: a map under the panels, a row a layer, a column a part, in place of the
//! ranking.

use std::sync::Arc;

use cruxscope_selectors::parts::{self, ModuleParts};
use cruxscope_selectors::{ColourScale, format, panels};
use cruxscope_study::{Behaviour, Component, Module, PartMaps};
use cruxscope_theme::colour_map::ColourMap;
use cruxscope_theme::{icons, sizes, typeface};
use egui::{Align2, CornerRadius, Id, Rect, Role, Sense, Shape, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};

use crate::action::Action;
use crate::heatmap::{Grid, LargeMap, Pointed, show_large};
use crate::open::{Part, PartState};
use crate::views::scene::Scene;
use crate::views::{colour_bar, problem, toolbar};
use crate::widgets;

/// The least height of a row whose module has a door.
const DOOR: f32 = 9.0;

/// Whether parts are shown: they are wanted, and the study has some.
pub fn is_on(scene: &Scene<'_>) -> bool {
    scene.state.opened && scene.open.study.manifest.model.parts.is_some()
}

/// What stands under the panels: the ranking, or the parts of a module. Nothing of it where every component is one linear map.
pub fn choice(ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
    let Some(layout) = &scene.open.study.manifest.model.parts else { return };
    let wanted = scene.state.selected.map(|component| component.module);
    let Some(module) = parts::opened(layout, wanted).filter(|_| !scene.state.presenting) else {
        return;
    };
    toolbar::row(ui, |ui| {
        let choices = [(false, "Ranking"), (true, parts::title(layout, module))];
        if let Some(opened) = widgets::segmented(ui, "opened", &choices, is_on(scene), |_, _, _| false, |_| None) {
            actions.push(Action::SetOpened(opened));
        }
        if is_on(scene) {
            let modules: Vec<(Module, &str)> = parts::modules(layout).into_iter().map(|module| (module, module.short())).collect();
            if let Some(module) = widgets::segmented(ui, "opened module", &modules, module, |_, _, _| false, |_| None) {
                actions.push(Action::OpenModule(module));
            }
            toolbar::one_behaviour(ui, scene, parts::behaviour(&scene.open.study, scene.state.behaviour), actions);
        }
    });
    ui.add_space(sizes::SMALL);
}

/// Beside the names of modules that are made of parts: a press opens them.
pub fn doors(ui: &Ui, grid: &Grid, scene: &Scene<'_>, actions: &mut Vec<Action>) {
    let Some(layout) = &scene.open.study.manifest.model.parts else { return };
    if scene.state.presenting || grid.cell_size().y < DOOR {
        return;
    }
    for module in parts::modules(layout) {
        let row = grid.cell(0, module.index());
        let place = Rect::from_x_y_ranges(grid.rect.left() - sizes::ROW_LABELS + 2.0..=grid.rect.left() - 1.0, row.y_range());
        let response = ui.interact(
            place,
            ui.scope_id().with(("door", module.index(), grid.rect.left() as i32, grid.rect.top() as i32)),
            Sense::click(),
        );
        let name = format!("Open {} into {}", module.short(), parts::title(layout, module).to_lowercase());
        response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &name));
        let colour = if response.hovered() { scene.palette.text } else { scene.palette.faint };
        let (left, middle) = (place.left() + 3.0, row.center().y);
        let triangle = vec![pos2(left, middle - 3.0), pos2(left + 4.0, middle), pos2(left, middle + 3.0)];
        ui.painter().add(Shape::convex_polygon(triangle, colour, Stroke::NONE));
        if response.on_hover_text(name).clicked() {
            actions.push(Action::OpenModule(module));
        }
    }
}

/// A map that is kept from frame to frame.
#[derive(Clone)]
struct Opened {
    parts: ModuleParts,
    map: Arc<LargeMap>,
    scale: ColourScale,
}

type Key = (usize, usize, usize, &'static str);

/// Draws it, `height` high.
pub fn show(ui: &mut Ui, scene: &Scene<'_>, height: f32, actions: &mut Vec<Action>) {
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::hover());
    let line = Stroke::new(sizes::HAIRLINE, scene.palette.line);
    ui.painter()
        .rect(rect, CornerRadius::same(sizes::RADIUS), scene.palette.panel, line, StrokeKind::Inside);
    match (scene.open.parts().parts(), scene.open.parts().state(Part::Parts)) {
        (Some(maps), _) => panel(ui, rect, scene, maps, actions),
        (None, Some(PartState::Failed(found))) => {
            ui.scope_builder(egui::UiBuilder::new().max_rect(rect.shrink(sizes::GAP)), |ui| problem::problem(ui, found));
        }
        (None, _) => {
            let place = Rect::from_center_size(rect.center(), vec2(sizes::LARGE, sizes::LARGE));
            ui.put(place, egui::Spinner::new());
        }
    }
}

fn kept(ui: &Ui, scene: &Scene<'_>, maps: &PartMaps, behaviour: Behaviour) -> Option<Arc<Opened>> {
    let layout = scene.open.study.manifest.model.parts.as_ref()?;
    let wanted = scene.state.selected.map_or(usize::MAX, |component| component.module.index());
    let id = Id::unique("opened module");
    let key: Key = (scene.open.id, wanted, behaviour.index(), scene.state.scale.name());
    if let Some((known, opened)) = ui.data(|data| data.get_temp::<(Key, Arc<Opened>)>(id))
        && known == key
    {
        return Some(opened);
    }
    let shown = ModuleParts::wanted(layout, scene.state.selected.map(|component| component.module))?;
    let values = shown.values(&scene.open.figures, maps, behaviour);
    let scale = ModuleParts::scale(scene.state.scale, &values);
    let cells: Vec<f32> = values.iter().map(|value| *value as f32).collect();
    let opened = Arc::new(Opened {
        map: Arc::new(LargeMap::new(shown.layers, &cells)),
        scale,
        parts: shown,
    });
    ui.data_mut(|data| data.insert_temp(id, (key, Arc::clone(&opened))));
    Some(opened)
}

fn panel(ui: &mut Ui, rect: Rect, scene: &Scene<'_>, maps: &PartMaps, actions: &mut Vec<Action>) {
    let behaviour = parts::behaviour(&scene.open.study, scene.state.behaviour);
    let Some(opened) = kept(ui, scene, maps, behaviour) else { return };
    let (shown, figures) = (&opened.parts, &scene.open.figures);
    head(ui, rect, scene, shown, behaviour);
    let body = Rect::from_min_max(
        rect.min + vec2(sizes::ROW_LABELS, sizes::PANEL_HEAD),
        rect.max - vec2(sizes::GAP + sizes::SMALL, sizes::COLUMN_LABELS + sizes::LINE + sizes::GAP),
    );
    if body.height() < sizes::LINE {
        return;
    }
    let id = ui.scope_id().with("opened");
    let pointed = show_large(ui, id, body, &opened.map, opened.scale, ColourMap::Importance, false, None);
    axes(ui, body, scene, shown, &pointed);
    let line = Rect::from_min_max(
        pos2(rect.left() + sizes::ROW_LABELS, rect.bottom() - sizes::LINE - sizes::SMALL),
        pos2(rect.right() - sizes::GAP, rect.bottom() - sizes::SMALL),
    );
    let ends = [opened.scale.low, opened.scale.high].map(format::percent_tick);
    let more = format!("relative importance, {} scale", opened.scale.scale.title().to_lowercase());
    colour_bar::between(ui, line, [&ends[0], &ends[1]], &more, ColourMap::Importance, scene.palette);
    let place = pointed.cell.and_then(|[row, column]| {
        let [down, across] = pointed.block;
        let (top, left) = (row / down * down, column / across * across);
        opened.map.strongest(top..top + down, left..left + across)
    });
    pointed.response.widget_info(|| {
        let said = place.map(|(_, layer, column)| shown.sentence(figures, maps, behaviour, layer, column));
        let said = said.unwrap_or_else(|| shown.finding(figures, maps, behaviour));
        let text = format!(
            "Map of {} of {}, {}. {said}",
            shown.title().to_lowercase(),
            shown.module.short(),
            behaviour.title().to_lowercase()
        );
        WidgetInfo::labeled(Role::Image, true, text)
    });
    let Some((_, layer, column)) = place else { return };
    if pointed.response.clicked() {
        actions.push(Action::Select(Component::new(layer, shown.module)));
    }
    let among = pointed.block[0] * pointed.block[1];
    pointed.response.on_hover_ui_at_pointer(|ui| {
        ui.set_width(sizes::TOOLTIP - 2.0 * sizes::GAP);
        let name = shown.part(layer, column).map(|part| part.to_string()).unwrap_or_default();
        ui.label(egui::RichText::new(name).font(typeface::heading()).color(scene.palette.text));
        for (label, value) in shown.facts(figures, maps, behaviour, layer, column) {
            widgets::fact(ui, &label, &value);
        }
        if among > 1 {
            ui.label(format!("the largest of {} that share this place", format::count(among)));
        }
    });
}

fn head(ui: &Ui, rect: Rect, scene: &Scene<'_>, shown: &ModuleParts, behaviour: Behaviour) {
    let palette = scene.palette;
    let middle = rect.top() + sizes::PANEL_HEAD / 2.0 + 1.0;
    let sign = Rect::from_center_size(pos2(rect.left() + sizes::GAP + sizes::SIGN / 2.0, middle), vec2(sizes::SIGN, sizes::SIGN));
    icons::behaviour(ui.painter(), sign, behaviour, palette);
    let left = sign.right() + sizes::GAP;
    let room = rect.right() - left - sizes::GAP;
    let lead = format!("{} of {}", shown.title(), shown.module.short());
    let size = format!("{} by {}", format::things(shown.layers, "layer", "layers"), format::count(shown.names.len()));
    // The sign says the behaviour where its name has no room.
    let texts = [format!("{lead}, {}: {size}", behaviour.title().to_lowercase()), format!("{lead}: {size}")];
    let width = |text: &str| ui.painter().layout_no_wrap(text.to_owned(), typeface::heading(), palette.text).size().x;
    let text = if width(&texts[0]) <= room { &texts[0] } else { &texts[1] };
    widgets::paint_cut(
        ui.painter(),
        pos2(left, middle),
        Align2::LEFT_CENTER,
        text,
        typeface::heading(),
        palette.text,
        room,
    );
}

/// The numbers of layers on the left, the names of parts underneath, the frame of the selected layer.
fn axes(ui: &Ui, body: Rect, scene: &Scene<'_>, shown: &ModuleParts, pointed: &Pointed) {
    let (palette, painter, window) = (scene.palette, ui.painter(), &pointed.window);
    let selected = scene
        .state
        .selected
        .filter(|component| component.module == shown.module)
        .map(|component| component.layer.0);
    for layer in panels::layer_ticks(shown.layers, body.height(), sizes::LARGE) {
        let y = window.corner(body, layer as f64 - 0.5, 0.0).y;
        if body.y_range().contains(y) {
            painter.text(pos2(body.left() - sizes::GAP, y), Align2::RIGHT_CENTER, layer, typeface::tick(), palette.dim);
        }
    }
    if let Some(layer) = selected {
        let row = Rect::from_min_max(
            pos2(body.left(), window.corner(body, layer as f64, 0.0).y),
            pos2(body.right(), window.corner(body, layer as f64 + 1.0, 0.0).y),
        );
        let frame = Stroke::new(1.5, palette.selection);
        painter.rect_stroke(row.intersect(body), CornerRadius::ZERO, frame, StrokeKind::Outside);
    }
    let mut free = body.left() - sizes::LARGE;
    for (column, name) in shown.names.iter().enumerate() {
        let x = window.corner(body, 0.0, column as f64 + 0.5).x;
        let galley = painter.layout_no_wrap(name.clone(), typeface::tick(), palette.dim);
        let left = x - galley.size().x / 2.0;
        // Names stand far enough apart to be told from each other.
        if body.x_range().contains(x) && left >= free && left + galley.size().x <= body.right() + sizes::GAP {
            free = left + galley.size().x + sizes::LARGE;
            painter.galley(pos2(left, body.bottom() + sizes::SMALL), galley, palette.dim);
        }
    }
}
