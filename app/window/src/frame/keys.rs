//! The keys: which key is which action, once, for the handler and for the list that `?` shows.

use cruxscope_theme::{Palette, sizes, typeface};
use egui::{Align2, Context, CornerRadius, Event, Key, Modal, Modifiers, RichText, Sense, Stroke, StrokeKind, Ui, vec2};

use crate::action::Action;
use crate::state::State;
use crate::view_kind::ViewKind;
use crate::widgets;

/// What is said of the keys, in the order of the list.
const LIST: &[(&str, &str)] = &[
    ("1 to 9", "the views, from left to right"),
    ("Arrows", "move the selected cell"),
    ("J, K", "next and previous in a list"),
    ("N, P", "in a trace, next and previous section"),
    ("D", "in benchmarks, next of dots, table, questions"),
    ("+, −", "in channels, zoom in and out"),
    ("B", "next behaviour, then all"),
    ("Enter", "enlarge the panel, or shrink it"),
    ("S", "next scale"),
    ("Space", "check for the protection list, or uncheck"),
    ("V", "in the shift, next of decreases, increases, net"),
    ("X", "in the shift, swap A and B"),
    ("Space", "in the shift, hold to flicker between A and B"),
    ("C", "copy the protection list"),
    ("/", "filter the ranking"),
    ("I", "provenance"),
    ("E", "export the figure"),
    ("T", "next theme"),
    ("F", "let the figure fill the screen, or stop"),
    ("L", "copy a link to what is seen"),
    ("Page up, page down", "in a tour, previous and next stop"),
    ("Alt ←, Alt →", "back to where you were, forward again"),
    ("R", "on the desktop, runs: interpret and compress from here"),
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
}

/// Reads the keys that were pressed. While a text is typed, only Esc and the way to open count.
pub fn read(context: &Context, state: &State) -> (Vec<Action>, Vec<Press>) {
    let touring = state.stop.is_some();
    let presenting_tour = touring && state.presenting;
    let typing = context.text_edit_focused();
    let (mut actions, mut presses) = (Vec::new(), Vec::new());
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
                Key::Enter => actions.push(Action::MaximiseFocus),
                Key::S => actions.push(Action::NextScale),
                Key::Space => presses.push(Press::CheckSelected),
                Key::C => actions.push(Action::CopyProtectionList),
                Key::I => actions.push(Action::ToggleProvenance),
                Key::T => actions.push(Action::NextTheme),
                Key::Escape => actions.push(Action::Back),
                _ => {}
            },
            // These depend on the layout of the keyboard, so their text counts rather than their key.
            Event::Text(text) if text == "/" => actions.push(Action::Search),
            Event::Text(text) if text == "?" => actions.push(Action::ToggleKeys),
            _ => {}
        }
    }
    (actions, presses)
}

/// The view whose number a key has.
fn numbered(key: Key) -> Option<ViewKind> {
    const NUMBERS: [Key; 9] = [
        Key::Num1,
        Key::Num2,
        Key::Num3,
        Key::Num4,
        Key::Num5,
        Key::Num6,
        Key::Num7,
        Key::Num8,
        Key::Num9,
    ];
    let place = NUMBERS.iter().position(|number| *number == key)?;
    ViewKind::ALL.get(place).copied()
}

/// Whether the key that lets A and B flicker is held.
pub fn flickers(context: &Context) -> bool {
    !context.text_edit_focused() && context.input(|input| input.key_down(Key::Space))
}

/// The list of keys, over everything else.
pub fn show(context: &Context, actions: &mut Vec<Action>) {
    let frame = egui::Frame::popup(&context.global_style()).inner_margin(sizes::LARGE + sizes::GAP);
    let response = Modal::new(egui::Id::unique("keys")).frame(frame).show(context, |ui| {
        ui.set_width(sizes::INSPECTOR + sizes::LARGE * 6.0);
        ui.label(RichText::new("Keys").font(typeface::title()));
        ui.add_space(sizes::GAP);
        for (key, what) in LIST {
            line(ui, key, what);
        }
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
