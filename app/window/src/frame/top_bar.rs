//! The bar on top: the mark, the views, and what concerns the whole window.

use cruxscope_selectors::compression;
use cruxscope_theme::{Palette, icons, sizes, typeface};
use egui::{Align2, CornerRadius, Rect, Role, Sense, Stroke, Ui, WidgetInfo, pos2, vec2};

use crate::action::Action;
use crate::library::Library;
use crate::open::{Part, PartState};
use crate::state::State;
use crate::view_kind::ViewKind;
use crate::widgets;

/// A command of the whole window: what stands on its button, what it does in words, what it does.
type Command = (&'static str, &'static str, Action);

/// What is left of the bar once everything that must be there has its place.
struct Division {
    left: f32,
    /// Room for the names of the views.
    tabs: f32,
    /// Commands that have a button of their own; the others stand in the menu.
    buttons: usize,
    /// Whether there is room for little more than a name.
    narrow: bool,
}

/// Draws it. `ways` says whether there is a place to go back to, and one to go forward to; `listed` whether the list of what is open has
/// a place of its own.
pub fn show(ui: &mut Ui, state: &State, library: &Library, ways: [bool; 2], listed: bool, actions: &mut Vec<Action>) {
    let palette = Palette::of(ui.ctx());
    let bar = ui.max_rect();
    let middle = bar.center().y;
    let mut left = bar.left() + sizes::LARGE;
    if listed {
        icons::mark(ui.painter(), pos2(left + 7.0, middle), palette);
        left += 22.0;
    } else {
        let place = Rect::from_center_size(pos2(left + 6.0, middle), vec2(sizes::BUTTON, sizes::BUTTON));
        if widgets::icon_button(ui, place, "What is open", state.list, icons::lines).clicked() {
            actions.push(Action::ToggleList);
        }
        left = place.right() + sizes::GAP;
    }
    if bar.width() >= sizes::INSPECTOR_FROM {
        let name = ui
            .painter()
            .text(pos2(left, middle), Align2::LEFT_CENTER, "Cruxscope", typeface::heading(), palette.text);
        left = name.right() + sizes::LARGE;
    }
    let has_study = !library.studies.is_empty();
    let views: Vec<ViewKind> = ViewKind::ALL.into_iter().filter(|view| has_study || view.is_of_results()).collect();
    let widths: Vec<f32> = views.iter().map(|view| width_of(ui, view.title())).collect();
    let commands = commands(has_study);
    let division = divide(ui, bar, left, widths.iter().map(|width| width + sizes::LARGE).sum(), &commands);
    let left = tabs(ui, bar, &division, (&views, &widths), library, state, actions);
    let place = Rect::from_min_max(pos2(left, bar.top()), pos2(bar.right() - sizes::GAP, bar.bottom()));
    let builder = egui::UiBuilder::new().max_rect(place).layout(egui::Layout::right_to_left(egui::Align::Center));
    ui.scope_builder(builder, |ui| {
        let (shown, hidden) = commands.split_at(division.buttons);
        let (rect, _) = ui.allocate_exact_size(vec2(sizes::BUTTON, sizes::BUTTON), Sense::hover());
        let more = widgets::icon_button(ui, rect, "More commands", false, icons::dots);
        egui::Popup::menu(&more).show(|ui| menu(ui, hidden, &division, ways, state, actions));
        if !division.narrow {
            let (rect, _) = ui.allocate_exact_size(vec2(sizes::BUTTON, sizes::BUTTON), Sense::hover());
            let text = format!("Change theme, now {}", state.theme.title().to_lowercase());
            if widgets::icon_button(ui, rect, &text, false, icons::half_circle).clicked() {
                actions.push(Action::NextTheme);
            }
            if widgets::button(ui, palette_key(ui)).on_hover_text("Every command, by name").clicked() {
                actions.push(Action::TogglePalette);
            }
        }
        for (name, hint, action) in shown {
            if widgets::button(ui, name).on_hover_text(*hint).clicked() {
                actions.push(action.clone());
            }
        }
        if division.narrow {
            return;
        }
        for (forward, there) in [(true, ways[1]), (false, ways[0])] {
            let (rect, _) = ui.allocate_exact_size(vec2(sizes::LINE, sizes::BUTTON), Sense::hover());
            let (name, action) = way(forward);
            if there && widgets::icon_button(ui, rect, name, false, |painter, rect, colour| icons::arrow(painter, rect, forward, colour)).clicked() {
                actions.push(action);
            }
        }
    });
}

/// The commands of the whole window, those first that get a button first.
fn commands(has_study: bool) -> Vec<Command> {
    let mut commands = vec![
        ("Export…", "The figure as SVG, PDF, PNG, CSV or LaTeX (E)", Action::ToggleExport),
        ("Share link", "Copy link to this view (L)", Action::CopyLink),
        ("Present", "Full screen (F)", Action::TogglePresenting),
        ("How to read", "What the view shows, and its terms (H)", Action::ToggleReading),
    ];
    if has_study {
        commands.push(("Provenance", "From what, how and with what it was computed (I)", Action::ToggleProvenance));
    }
    commands
}

fn way(forward: bool) -> (&'static str, Action) {
    if forward {
        ("Forward", Action::HistoryForward)
    } else {
        ("Back to where you were", Action::HistoryBack)
    }
}

fn palette_key(ui: &Ui) -> &'static str {
    if ui.ctx().os().is_mac() { "Cmd P" } else { "Ctrl P" }
}

/// Gives the views what they need first, then buttons as many as there is room for.
fn divide(ui: &Ui, bar: Rect, left: f32, all_tabs: f32, commands: &[Command]) -> Division {
    let gap = ui.spacing().item_spacing.x;
    let button = |text: &str| widgets::button_width(ui, text) + gap;
    let narrow = bar.width() < sizes::ONE_COLUMN;
    let icon = sizes::BUTTON + gap;
    let fixed = if narrow {
        icon
    } else {
        2.0 * icon + button(palette_key(ui)) + 2.0 * (sizes::LINE + gap)
    };
    let room = bar.right() - sizes::LARGE - fixed - left;
    let mut rest = room - all_tabs;
    let mut buttons = 0;
    for (name, _, _) in commands.iter().filter(|_| !narrow) {
        rest -= button(name);
        if rest < 0.0 {
            break;
        }
        buttons += 1;
    }
    Division {
        left,
        tabs: room,
        buttons,
        narrow,
    }
}

/// The commands that have no button.
fn menu(ui: &mut Ui, hidden: &[Command], division: &Division, ways: [bool; 2], state: &State, actions: &mut Vec<Action>) {
    ui.set_min_width(sizes::LARGE * 12.0);
    let mut line = |ui: &mut Ui, name: &str, action: Action| {
        if ui.selectable_label(false, name).clicked() {
            actions.push(action);
            ui.close();
        }
    };
    for (name, _, action) in hidden {
        line(ui, name, action.clone());
    }
    if division.narrow {
        for (forward, there) in [(false, ways[0]), (true, ways[1])] {
            let (name, action) = way(forward);
            if there {
                line(ui, name, action);
            }
        }
        line(ui, "Commands…", Action::TogglePalette);
        line(ui, "Next theme", Action::NextTheme);
    }
    if state.can_run {
        line(ui, "Run…", Action::ToggleRuns);
    }
    line(ui, "Open study…", Action::OpenDialog);
    line(ui, "Keys", Action::ToggleKeys);
}

fn width_of(ui: &Ui, text: &str) -> f32 {
    ui.painter()
        .layout_no_wrap(text.to_owned(), typeface::body(), egui::Color32::PLACEHOLDER)
        .size()
        .x
}

/// The names of the views; those that have no room stand in a menu. Gives where they end.
fn tabs(
    ui: &mut Ui,
    bar: Rect,
    division: &Division,
    (views, widths): (&[ViewKind], &[f32]),
    library: &Library,
    state: &State,
    actions: &mut Vec<Action>,
) -> f32 {
    let (mut left, room) = (division.left, division.tabs);
    let fits = |number: usize| widths[..number].iter().map(|width| width + sizes::LARGE).sum::<f32>();
    let number = if fits(views.len()) <= room {
        views.len()
    } else {
        // The menu is called by the longest name that may stand for it.
        let more = |number: usize| {
            let named = views[number..].iter().zip(&widths[number..]).filter(|(view, _)| state.view == **view);
            named.map(|(_, width)| *width).fold(width_of(ui, "More"), f32::max) + sizes::LARGE + sizes::GAP
        };
        (0..views.len()).rev().find(|number| fits(*number) + more(*number) <= room).unwrap_or(0)
    };
    for view in &views[..number] {
        left = tab(ui, bar, left, *view, [state.view == *view, is_blank(*view, library, state)], actions) + sizes::LARGE;
    }
    if number < views.len() {
        // The one that is on is named, though it stands in the menu.
        let on = views[number..].iter().find(|view| state.view == **view);
        let text = on.map_or("More", |view| view.title());
        let rect = Rect::from_min_size(pos2(left, bar.top()), vec2(width_of(ui, text) + sizes::LARGE, bar.height()));
        let response = ui.interact(rect, ui.scope_id().with("more views"), Sense::click());
        response.widget_info(|| WidgetInfo::labeled(Role::Button, true, "More views"));
        let palette = Palette::of(ui.ctx());
        let colour = if on.is_some() || response.hovered() { palette.text } else { palette.dim };
        let placed = ui.painter().text(rect.left_center(), Align2::LEFT_CENTER, text, typeface::body(), colour);
        icons::sort_arrow(ui.painter(), pos2(placed.right() + sizes::GAP, bar.center().y), true, colour);
        if on.is_some() {
            underline(ui, Rect::from_x_y_ranges(placed.x_range(), bar.y_range()));
        }
        egui::Popup::menu(&response).show(|ui| {
            ui.set_min_width(sizes::LARGE * 9.0);
            for view in &views[number..] {
                if ui.selectable_label(state.view == *view, view.title()).clicked() {
                    actions.push(Action::SetView(*view));
                    ui.close();
                }
            }
        });
        left = rect.right() + sizes::GAP;
    }
    left
}

/// Whether a view is known to have nothing to show of what is on.
fn is_blank(view: ViewKind, library: &Library, state: &State) -> bool {
    let Some(open) = library.studies.get(state.active) else { return false };
    let absent = |part: Part| matches!(open.parts().state(part), Some(PartState::Absent));
    match view {
        ViewKind::Shift | ViewKind::Variants => library.studies.len() < 2,
        ViewKind::Channels => Part::Channels.file(&open.study).is_none() && open.parts().channels().is_none(),
        ViewKind::Trace => open.study.manifest.traces.is_empty(),
        ViewKind::Validation => absent(Part::Validation),
        ViewKind::Budget => absent(Part::Sensitivity),
        ViewKind::Ledger => absent(Part::Ledger),
        ViewKind::Compression => absent(Part::Compression) && compression::known(&open.study, None).is_none(),
        ViewKind::Importance | ViewKind::Ranking | ViewKind::Benchmarks | ViewKind::TestTime => false,
    }
}

/// One view's name, underlined when it is on; gives where it ends.
fn tab(ui: &Ui, bar: Rect, left: f32, view: ViewKind, [on, blank]: [bool; 2], actions: &mut Vec<Action>) -> f32 {
    let palette = Palette::of(ui.ctx());
    let width = width_of(ui, view.title());
    let rect = Rect::from_min_size(pos2(left, bar.top()), vec2(width, bar.height()));
    let response = ui.interact(rect, ui.scope_id().with(("tab", view.name())), Sense::click());
    response.widget_info(|| WidgetInfo::selected(Role::Tab, true, on, view.title()));
    let colour = if on || response.hovered() || response.has_focus() {
        palette.text
    } else if blank {
        palette.faint.gamma_multiply(0.65)
    } else {
        palette.dim
    };
    ui.painter()
        .text(rect.left_center(), Align2::LEFT_CENTER, view.title(), typeface::body(), colour);
    let clicked = response.clicked();
    if blank {
        response.on_hover_text("This study has nothing to show here");
    }
    if clicked {
        actions.push(Action::SetView(view));
    }
    if on {
        underline(ui, rect);
    }
    ui.painter()
        .hline(bar.x_range(), bar.bottom() - 0.5, Stroke::new(sizes::HAIRLINE, palette.line));
    rect.right()
}

fn underline(ui: &Ui, rect: Rect) {
    let line = Rect::from_min_max(pos2(rect.left(), rect.bottom() - 2.0), rect.max);
    ui.painter().rect_filled(line, CornerRadius::ZERO, Palette::of(ui.ctx()).accent);
}
