//! The view of variants: many compressed versions of one model, a row each, with a small map of the shift for every behaviour on one
//! scale, and at the row's end what it weighs and what it scores. A click opens the pair.

mod inspect;
mod row;

use cruxscope_selectors::variants::{VariantForm, VariantSort, Variants};
use cruxscope_study::{Behaviour, Component};
use cruxscope_theme::colour_map::ColourMap;
use cruxscope_theme::{icons, sizes, typeface};
use egui::{Align2, Label, Rect, RichText, Role, ScrollArea, Sense, Ui, WidgetInfo, pos2, vec2};

use super::scene::{Scene, View};
use super::{colour_bar, toolbar};
use crate::action::Action;
use crate::open::Part;
use crate::state::State;
use crate::studies::OpenStudy;
use crate::variants::OpenVariants;
use crate::widgets;

/// Width of the column of names.
const NAMES: f32 = 150.0;
/// Widths of the columns at the end, in the order of [`ENDS`].
const WIDTHS: [f32; 5] = [62.0, 46.0, 72.0, 56.0, 116.0];
/// What stands at a row's end.
const ENDS: [VariantSort; 5] = [
    VariantSort::Moved,
    VariantSort::Bits,
    VariantSort::Size,
    VariantSort::Divergence,
    VariantSort::Accuracy,
];
/// Least and greatest height of a map.
const MAP: [f32; 2] = [35.0, 84.0];
/// Width of the cell of a matrix, and how many there are at the most.
const MATRIX: f32 = 58.0;
const MATRICES: usize = 12;
/// Least width of a map.
const MAP_WIDTH: f32 = 72.0;

/// The view of variants.
pub struct VariantsView;

/// All that rows share.
struct Figure<'a> {
    scene: &'a Scene<'a>,
    open: &'a OpenVariants,
    found: &'a Variants,
    scale: cruxscope_selectors::ColourScale,
    ends: Vec<(VariantSort, f32)>,
    behaviours: Vec<Behaviour>,
    /// The matrices that have a column, where rows show matrices rather than maps.
    matrices: Vec<Component>,
}

/// Where the columns of a row lie.
struct Places {
    name: Rect,
    maps: Vec<Rect>,
    ends: Vec<Rect>,
}

impl View for VariantsView {
    fn show(&self, ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
        let Some((open, found)) = scene.variants.and_then(|open| Some((open, open.variants.as_ref()?))) else {
            alone(ui, scene, actions);
            return;
        };
        let narrow = ui.available_width() < sizes::ONE_COLUMN && !scene.state.presenting;
        let scale = found.scale(scene.state.scale);
        let behaviours: Vec<Behaviour> = match scene.state.behaviour {
            Some(behaviour) => vec![behaviour],
            None => Behaviour::ALL.to_vec(),
        };
        let ends = ends(ui.available_width(), found, behaviours.len());
        let of_matrices = scene.state.variants.form == VariantForm::Matrices && !narrow;
        let taken: f32 = ends.iter().map(|(_, width)| width + sizes::GAP).sum();
        let room = ui.available_width() - NAMES - taken - sizes::ROW_LABELS - sizes::LARGE;
        let number = ((room / MATRIX).floor().max(1.0) as usize).min(MATRICES);
        let matrices = if of_matrices {
            found.most_moved(scene.state.behaviour, number)
        } else {
            Vec::new()
        };
        let figure = Figure {
            scene,
            open,
            found,
            scale,
            ends,
            behaviours,
            matrices,
        };
        tools(ui, &figure, narrow, actions);
        ui.add_space(sizes::SMALL);
        legend(ui, &figure, actions);
        let order = found.order(scene.state.variants.sort, scene.state.variants.reversed, scene.state.behaviour);
        let below = if scene.inspector_below && !narrow { sizes::TABLE_SCROLLING } else { 0.0 };
        if narrow {
            ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
                ui.set_max_width(ui.available_width() - sizes::GAP - sizes::SMALL);
                for row in order {
                    row::card(ui, &figure, row, actions);
                    ui.add_space(sizes::GAP);
                }
                inspect::show(ui, scene, actions);
            });
            return;
        }
        let (head, body) = widgets::table(ui, ui.available_height() - below, scene.palette);
        heads(ui, head, &figure, actions);
        let map = ((body.height() / (order.len() as f32 + 1.0)).floor() - sizes::GAP).clamp(MAP[0], MAP[1]);
        ui.scope_builder(egui::UiBuilder::new().max_rect(body), |ui| {
            ui.set_clip_rect(ui.clip_rect().intersect(body));
            ui.spacing_mut().item_spacing.y = 0.0;
            ScrollArea::vertical().id_salt("variants").auto_shrink(false).show(ui, |ui| {
                row::original(ui, &figure);
                for row in order {
                    row::line(ui, &figure, row, map, actions);
                }
            });
        });
        if scene.inspector_below {
            ScrollArea::vertical().id_salt("below").show(ui, |ui| inspect::show(ui, scene, actions));
        }
    }

    fn inspect(&self, ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
        inspect::show(ui, scene, actions);
    }

    fn needs(&self, _: &OpenStudy, _: &State) -> Vec<Part> {
        vec![Part::Compression]
    }
}

/// The columns at a row's end that have something to show and room; maps come first.
fn ends(width: f32, found: &Variants, maps: usize) -> Vec<(VariantSort, f32)> {
    let mut room = width - NAMES - maps as f32 * (MAP_WIDTH + sizes::GAP) - sizes::ROW_LABELS - 2.0 * sizes::LARGE;
    let known = ENDS.into_iter().zip(WIDTHS).filter(|(sort, _)| found.knows(*sort));
    // What matters most of them is what moved and what is scored.
    let mut chosen: Vec<(VariantSort, f32)> = known.collect();
    chosen.sort_by_key(|(sort, _)| match sort {
        VariantSort::Accuracy => 0,
        VariantSort::Moved => 1,
        VariantSort::Bits => 2,
        VariantSort::Divergence => 3,
        _ => 4,
    });
    chosen.retain(|(_, width)| {
        room -= width + sizes::GAP;
        room >= 0.0
    });
    chosen.sort_by_key(|(sort, _)| ENDS.iter().position(|end| end == sort));
    chosen
}

impl Figure<'_> {
    fn places(&self, row: Rect) -> Places {
        let mut right = row.right() - sizes::GAP - sizes::SMALL;
        let mut ends = Vec::new();
        for (_, width) in self.ends.iter().rev() {
            ends.push(Rect::from_min_max(pos2(right - width, row.top()), pos2(right, row.bottom())));
            right -= width + sizes::GAP;
        }
        ends.reverse();
        let left = row.left() + sizes::GAP + sizes::SMALL;
        let name = Rect::from_min_max(pos2(left, row.top()), pos2(left + NAMES, row.bottom()));
        let from = name.right() + sizes::ROW_LABELS - sizes::LARGE;
        let columns = if self.matrices.is_empty() {
            self.behaviours.len()
        } else {
            self.matrices.len()
        };
        let pitch = (right - from) / columns.max(1) as f32;
        let map = |at: usize| {
            let left = from + pitch * at as f32;
            Rect::from_min_max(pos2(left, row.top()), pos2(left + pitch - sizes::GAP, row.bottom()))
        };
        Places {
            name,
            maps: (0..columns).map(map).collect(),
            ends,
        }
    }
}

/// Scale and behaviour, the order where rows have no heads, and what is seen.
fn tools(ui: &mut Ui, figure: &Figure<'_>, narrow: bool, actions: &mut Vec<Action>) {
    let (scene, found) = (figure.scene, figure.found);
    // On a stage it is the title.
    if !scene.state.presenting {
        ui.add(Label::new(RichText::new(found.finding()).font(typeface::heading()).color(scene.palette.text)).wrap());
    }
    toolbar::row(ui, |ui| {
        toolbar::choices(ui, scene, actions);
        if !narrow && let Some(form) = widgets::segmented(ui, "form", &VariantForm::ALL, scene.state.variants.form, |_, _, _| false, |_| None) {
            actions.push(Action::SetVariantForm(form));
        }
        if narrow {
            let sorts: Vec<(VariantSort, &str)> = VariantSort::ALL
                .into_iter()
                .filter(|sort| found.knows(*sort))
                .map(|sort| (sort, sort.title()))
                .collect();
            if let Some(sort) = widgets::segmented(ui, "sort", &sorts, scene.state.variants.sort, |_, _, _| false, |_| None) {
                actions.push(Action::SortVariants(sort));
            }
        }
        let benchmark = found.benchmark.as_ref().map_or_else(String::new, |name| format!("; accuracy on {name}"));
        let text = format!("shift of relative importance from {}, one scale for all maps{benchmark}", found.title);
        toolbar::caption(ui, scene.palette, &[&text]);
    });
}

/// The one scale.
fn legend(ui: &mut Ui, figure: &Figure<'_>, actions: &mut Vec<Action>) {
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), sizes::LINE + sizes::LARGE), Sense::hover());
    let width = sizes::COLOUR_BAR_WIDTH.min(rect.width() - 2.0 * sizes::LARGE);
    let bar = Rect::from_min_size(pos2(rect.left() + sizes::SMALL, rect.top() + sizes::SMALL), vec2(width, sizes::COLOUR_BAR));
    let components = figure.found.layers * cruxscope_study::Module::ALL.len();
    colour_bar::show(ui, bar, &figure.scale, ColourMap::Net, components, figure.scene.palette, actions);
    let text = "← less important than before, more →";
    let galley = ui.painter().layout_no_wrap(text.to_owned(), typeface::caption(), figure.scene.palette.dim);
    if bar.right() + sizes::LARGE + galley.size().x < rect.right() {
        let place = pos2(bar.right() + sizes::LARGE, bar.center().y - galley.size().y / 2.0);
        ui.painter().galley(place, galley, figure.scene.palette.dim);
    }
}

fn heads(ui: &Ui, rect: Rect, figure: &Figure<'_>, actions: &mut Vec<Action>) {
    let (scene, palette) = (figure.scene, figure.scene.palette);
    let places = figure.places(rect);
    sort_head(ui, places.name, VariantSort::Given, Align2::LEFT_CENTER, figure, actions);
    for (component, place) in figure.matrices.iter().zip(&places.maps) {
        let name = component.to_string();
        widgets::paint_cut(
            ui.painter(),
            place.left_center(),
            Align2::LEFT_CENTER,
            &name,
            typeface::caption_strong(),
            palette.dim,
            place.width() + sizes::GAP,
        );
    }
    let maps = if figure.matrices.is_empty() { figure.behaviours.as_slice() } else { &[] };
    for (behaviour, place) in maps.iter().zip(&places.maps) {
        let response = ui.interact(*place, ui.scope_id().with(("variants of", behaviour.index())), Sense::click());
        response.widget_info(|| WidgetInfo::labeled(Role::ColumnHeader, true, behaviour.title()));
        let sign = Rect::from_min_size(
            pos2(place.left(), place.center().y - sizes::SIGN / 2.0 + 1.0),
            vec2(sizes::SIGN - 2.0, sizes::SIGN - 2.0),
        );
        icons::behaviour(ui.painter(), sign, *behaviour, palette);
        let left = sign.right() + sizes::SMALL;
        let galley = ui
            .painter()
            .layout_no_wrap(behaviour.title().to_owned(), typeface::caption_strong(), palette.dim);
        // A name that has no room is left to its sign.
        if galley.size().x <= place.right() - left {
            ui.painter().galley(pos2(left, place.center().y - galley.size().y / 2.0), galley, palette.dim);
        }
        let on = scene.state.behaviour == Some(*behaviour);
        if response.on_hover_text(behaviour.title()).clicked() {
            actions.push(Action::SetBehaviour((!on).then_some(*behaviour)));
        }
    }
    for ((sort, _), place) in figure.ends.iter().zip(&places.ends) {
        sort_head(ui, *place, *sort, Align2::RIGHT_CENTER, figure, actions);
    }
}

fn sort_head(ui: &Ui, rect: Rect, sort: VariantSort, anchor: Align2, figure: &Figure<'_>, actions: &mut Vec<Action>) {
    let (look, palette) = (figure.scene.state.variants, figure.scene.palette);
    let on = look.sort == sort;
    let response = ui.interact(rect, ui.scope_id().with(("sort variants", sort)), Sense::click());
    response.widget_info(|| WidgetInfo::selected(Role::ColumnHeader, true, on, format!("Sort by {}", sort.title().to_lowercase())));
    let colour = if on || response.hovered() { palette.text } else { palette.faint };
    let placed = ui
        .painter()
        .text(anchor.pos_in_rect(&rect), anchor, sort.title(), typeface::caption_strong(), colour);
    if on {
        let x = if anchor == Align2::LEFT_CENTER {
            placed.right() + 9.0
        } else {
            placed.left() - 9.0
        };
        let falls = matches!(sort, VariantSort::Moved | VariantSort::Accuracy);
        icons::sort_arrow(ui.painter(), pos2(x, placed.center().y), falls != look.reversed, palette.text);
    }
    if response.on_hover_text(sort.about()).clicked() {
        actions.push(Action::SortVariants(sort));
    }
}

/// Nothing to put beside each other.
fn alone(ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
    ui.with_layout(egui::Layout::top_down(egui::Align::Center), |ui| {
        ui.add_space((ui.available_height() * 0.25).max(sizes::LARGE));
        ui.set_max_width((sizes::INSPECTOR * 1.6).min(ui.available_width()));
        let title = RichText::new("Variants stand beside their original").font(typeface::title());
        ui.add(Label::new(title.color(scene.palette.text)).wrap());
        ui.add_space(sizes::SMALL);
        let text = "Open the study of a model as it is and those of its compressed versions, all on the same traces. Every version is then a row: what shifted, what it weighs, what it scores.";
        ui.add(Label::new(RichText::new(text).color(scene.palette.dim)).wrap());
        ui.add_space(sizes::LARGE);
        ui.allocate_ui(vec2((sizes::INSPECTOR * 0.7).min(ui.available_width()), sizes::BUTTON), |ui| {
            if widgets::primary_button(ui, "Open another study…").clicked() {
                actions.push(Action::OpenDialog);
            }
        });
    });
}
