//! The keys: which key is which action, once, for the handler and for the list that `?` shows.

use cruxscope_theme::{Palette, sizes, typeface};
use egui::{Align2, Context, CornerRadius, Event, Key, Modal, Modifiers, RichText, Sense, Stroke, StrokeKind, Ui, vec2};

use crate::action::Action;
use crate::frame::welcome;
use crate::link;
use crate::state::State;
use crate::view_kind::ViewKind;
use crate::widgets;

/// What is said of the keys, in the order of the list.
const LIST: &[(&str, &str)] = &[
    ("1 to 9, 0", "the views, from left to right"),
    ("Arrows", "move the selected cell"),
    ("J, K", "next and previous in a list"),
    ("N, P", "in a trace, next and previous section"),
    ("N", "on a stage with a tour, the presenter's notes"),
    ("D", "in benchmarks, next of dots, table, questions"),
    ("+, −", "in channels, zoom in and out"),
    ("B", "next behaviour, then all"),
    ("Enter", "enlarge the panel, or shrink it; among variants, open the pair"),
    ("S", "next scale"),
    ("Space", "check for the protection list, or uncheck"),
    ("V", "in the shift, next of decreases, increases, net"),
    ("X", "in the shift, swap A and B"),
    ("Space", "in the shift, hold to flicker A and B"),
    ("C", "copy the protection list"),
    ("/", "filter the ranking"),
    ("H", "how to read the view that is on"),
    ("I", "provenance"),
    ("E", "export the figure"),
    ("T", "next theme"),
    ("F", "let the figure fill the screen, or stop"),
    ("L", "copy a link to what is seen"),
    ("Ctrl V", "follow a link that was copied"),
    ("Page up, page down", "in a tour, previous and next stop"),
    ("Alt ←, Alt →", "back to where you were, forward again"),
    ("R", "on the desktop, runs"),
    ("Ctrl O", "open a study"),
    ("Ctrl P", "every command, by name"),
    ("Esc", "one step back"),
    ("?", "these keys"),
];

/// A key press that is more than a change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Press {
    /// One further or one back in the ranking list.
    Step(isize),
    /// Check or uncheck the selected component.
    CheckSelected,
    /// Enlarge the panel in focus, or open what is looked at.
    Enter,
}

/// Reads the keys that were pressed. While a text is typed, only Esc and the way to open count.
pub fn read(context: &Context, state: &State) -> (Vec<Action>, Vec<Press>) {
    let touring = state.stop.is_some();
    let presenting_tour = touring && state.presenting;
    let typing = context.text_edit_focused();
    let (mut actions, mut presses) = (Vec::new(), Vec::new());
    if state.has_dialog() {
        return (in_dialog(context, state), presses);
    }
    if context.input_mut(|input| input.consume_key(Modifiers::COMMAND, Key::O)) {
        actions.push(Action::OpenDialog);
    }
    if context.input_mut(|input| input.consume_key(Modifiers::COMMAND, Key::P)) {
        actions.push(Action::TogglePalette);
    }
    for (key, button, action) in [
        (Key::ArrowLeft, egui::PointerButton::Extra1, Action::HistoryBack),
        (Key::ArrowRight, egui::PointerButton::Extra2, Action::HistoryForward),
    ] {
        let pressed = context.input_mut(|input| input.consume_key(Modifiers::ALT, key) || input.pointer.button_clicked(button));
        actions.extend(pressed.then_some(action));
    }
    if typing {
        return (actions, presses);
    }
    let events = context.input(|input| input.events.clone());
    for event in events {
        match event {
            Event::Key {
                key, pressed: true, modifiers, ..
            } if !modifiers.command && !modifiers.alt => match key {
                Key::PageDown if touring => actions.push(Action::StepStop(1)),
                Key::PageUp if touring => actions.push(Action::StepStop(-1)),
                Key::ArrowLeft if presenting_tour => actions.push(Action::StepStop(-1)),
                Key::ArrowRight if presenting_tour => actions.push(Action::StepStop(1)),
                Key::ArrowLeft => actions.push(Action::Move(-1, 0)),
                Key::ArrowRight => actions.push(Action::Move(1, 0)),
                Key::ArrowUp => actions.push(Action::Move(0, -1)),
                Key::ArrowDown => actions.push(Action::Move(0, 1)),
                Key::J => presses.push(Press::Step(1)),
                Key::K => presses.push(Press::Step(-1)),
                _ if numbered(key).is_some() => actions.extend(numbered(key).map(Action::SetView)),
                Key::N if presenting_tour => actions.push(Action::ToggleNotes),
                Key::N => actions.push(Action::StepSection(1)),
                Key::P => actions.push(Action::StepSection(-1)),
                Key::D => actions.push(Action::NextForm),
                Key::F => actions.push(Action::TogglePresenting),
                Key::R if state.can_run => actions.push(Action::ToggleRuns),
                Key::L => actions.push(Action::CopyLink),
                Key::E => actions.push(Action::ToggleExport),
                Key::V => actions.push(Action::NextShift),
                Key::X => actions.push(Action::SwapCompared),
                Key::B => actions.push(Action::NextBehaviour),
                Key::Enter => presses.push(Press::Enter),
                Key::S => actions.push(Action::NextScale),
                Key::Space => presses.push(Press::CheckSelected),
                Key::C => actions.push(Action::CopyProtectionList),
                Key::H => actions.push(Action::ToggleReading),
                Key::I => actions.push(Action::ToggleProvenance),
                Key::T => actions.push(Action::NextTheme),
                Key::Escape => actions.push(Action::Back),
                _ => {}
            },
            // These depend on the layout of the keyboard, so their text counts rather than their key.
            Event::Paste(text) if link::is_link(&text) => actions.push(Action::FollowLink(text)),
            Event::Text(text) if text == "/" => actions.push(Action::Search),
            Event::Text(text) if text == "?" => actions.push(Action::ToggleKeys),
            _ => {}
        }
    }
    (actions, presses)
}

/// What keys do while a dialog is open: only what opens or closes it. The list of commands reads its own.
fn in_dialog(context: &Context, state: &State) -> Vec<Action> {
    if context.input_mut(|input| input.consume_key(Modifiers::COMMAND, Key::P)) {
        return vec![Action::TogglePalette];
    }
    if state.palette.is_some() {
        return Vec::new();
    }
    let mut actions = Vec::new();
    context.input(|input| {
        for event in &input.events {
            match event {
                Event::Key {
                    key: Key::Escape,
                    pressed: true,
                    ..
                } => actions.push(if state.welcome.is_some() { Action::EndWelcome } else { Action::Back }),
                Event::Key {
                    key: Key::H,
                    pressed: true,
                    modifiers,
                    ..
                } if state.reading && modifiers.is_none() => actions.push(Action::ToggleReading),
                Event::Key {
                    key: Key::E,
                    pressed: true,
                    modifiers,
                    ..
                } if state.export.open && modifiers.is_none() => actions.push(Action::ToggleExport),
                Event::Key {
                    key: Key::Enter | Key::ArrowRight,
                    pressed: true,
                    ..
                } if state.welcome.is_some() => actions.push(welcome::next(state.welcome.unwrap_or_default())),
                Event::Key {
                    key: Key::ArrowLeft,
                    pressed: true,
                    ..
                } if state.welcome.is_some_and(|step| step > 0) => {
                    actions.extend(state.welcome.map(|step| Action::ShowWelcome(step - 1)));
                }
                Event::Text(text) if text == "?" && state.keys => actions.push(Action::ToggleKeys),
                _ => {}
            }
        }
    });
    actions
}

/// The view whose number a key has.
fn numbered(key: Key) -> Option<ViewKind> {
    const NUMBERS: [Key; 10] = [
        Key::Num1,
        Key::Num2,
        Key::Num3,
        Key::Num4,
        Key::Num5,
        Key::Num6,
        Key::Num7,
        Key::Num8,
        Key::Num9,
        Key::Num0,
    ];
    let place = NUMBERS.iter().position(|number| *number == key)?;
    ViewKind::ALL.get(place).copied()
}

/// Whether the key that lets A and B flicker is held.
pub fn flickers(context: &Context, state: &State) -> bool {
    !state.has_dialog() && !context.text_edit_focused() && context.input(|input| input.key_down(Key::Space))
}

/// The list of keys, over everything else: in two columns where there is room, and scrolled where it is higher than the window.
pub fn show(context: &Context, actions: &mut Vec<Action>) {
    let frame = egui::Frame::popup(&context.global_style()).inner_margin(sizes::LARGE + sizes::GAP);
    let window = context.content_rect();
    let column = sizes::INSPECTOR + sizes::LARGE * 4.0;
    let columns = if window.width() > 2.0 * column + sizes::LARGE * 6.0 { 2 } else { 1 };
    let width = (column * columns as f32).min(window.width() - sizes::LARGE * 4.0);
    let response = Modal::new(egui::Id::unique("keys")).frame(frame).show(context, |ui| {
        ui.set_width(width);
        ui.label(RichText::new("Keys").font(typeface::title()));
        ui.add_space(sizes::GAP);
        let room = window.height() - sizes::LARGE * 12.0;
        egui::ScrollArea::vertical().max_height(room.max(sizes::LARGE * 6.0)).show(ui, |ui| {
            ui.columns(columns, |parts| {
                let each = LIST.len().div_ceil(columns);
                for (part, lines) in parts.iter_mut().zip(LIST.chunks(each)) {
                    for (key, what) in lines {
                        line(part, key, what);
                    }
                }
            });
        });
        ui.add_space(sizes::GAP);
        widgets::button(ui, "Close").clicked()
    });
    if response.inner || response.backdrop_response.clicked() {
        actions.push(Action::ToggleKeys);
    }
}

fn line(ui: &mut Ui, key: &str, what: &str) {
    let palette = Palette::of(ui.ctx());
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), sizes::LINE + sizes::SMALL), Sense::hover());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Label, true, format!("{key}: {what}")));
    let key = if ui.ctx().os().is_mac() { key.replace("Ctrl", "Cmd") } else { key.to_owned() };
    let galley = ui.painter().layout_no_wrap(key, typeface::caption_strong(), palette.text);
    let cap = egui::Rect::from_min_size(
        egui::pos2(rect.left(), rect.center().y - sizes::LINE / 2.0),
        vec2((galley.size().x + 2.0 * sizes::GAP).max(sizes::LINE), sizes::LINE),
    );
    let line = Stroke::new(sizes::HAIRLINE, palette.line);
    ui.painter()
        .rect(cap, CornerRadius::same(sizes::RADIUS_SMALL), palette.raised, line, StrokeKind::Inside);
    ui.painter().galley(cap.center() - galley.size() / 2.0, galley, palette.text);
    let place = egui::pos2(rect.left() + sizes::LARGE * 5.0, rect.center().y);
    widgets::paint_cut(
        ui.painter(),
        place,
        Align2::LEFT_CENTER,
        what,
        typeface::body(),
        palette.dim,
        rect.right() - place.x,
    );
}
