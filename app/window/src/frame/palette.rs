//! The list of commands: typed into, moved through with the arrows, carried out with Enter.

use cruxscope_theme::{Palette, sizes, typeface};
use egui::{Align2, Context, CornerRadius, Key, Modal, Modifiers, Role, Sense, TextEdit, Ui, WidgetInfo, vec2};

use crate::action::Action;
use crate::frame::commands::{self, Command};
use crate::state::State;
use crate::widgets;

/// Width of the list.
const WIDTH: f32 = 520.0;

/// Draws it over everything else.
pub fn show(context: &Context, library: &crate::library::Library, state: &State, actions: &mut Vec<Action>) {
    let Some((query, chosen)) = &state.palette else { return };
    let found = commands::matching(library, state, query);
    let chosen = (*chosen).min(found.len().saturating_sub(1));
    let keys = context.input_mut(|input| [Key::ArrowDown, Key::ArrowUp, Key::Enter, Key::Escape].map(|key| input.consume_key(Modifiers::NONE, key)));
    match keys {
        [true, ..] if chosen + 1 < found.len() => actions.push(Action::StepCommand(1)),
        [_, true, ..] if chosen > 0 => actions.push(Action::StepCommand(-1)),
        [_, _, true, _] => carry_out(found.get(chosen), actions),
        [_, _, _, true] => actions.push(Action::TogglePalette),
        _ => {}
    }
    let frame = egui::Frame::popup(&context.global_style()).inner_margin(sizes::GAP);
    let response = Modal::new(egui::Id::unique("palette")).frame(frame).show(context, |ui| {
        ui.set_width(WIDTH.min(context.content_rect().width() - 2.0 * sizes::LARGE));
        let mut text = query.clone();
        let field = TextEdit::singleline(&mut text)
            .hint_text("A view, a component, an instance, a setting…")
            .font(typeface::body())
            .margin(egui::Margin::same(sizes::GAP as i8))
            .desired_width(ui.available_width());
        let field = ui.add(field);
        field.request_focus();
        if field.accessible_name("Command").changed() {
            actions.push(Action::TypeCommand(text));
        }
        ui.add_space(sizes::SMALL);
        ui.spacing_mut().item_spacing.y = 0.0;
        for (position, command) in found.iter().enumerate() {
            if line(ui, command, position == chosen) {
                carry_out(Some(command), actions);
            }
        }
        if found.is_empty() {
            widgets::caption(ui, "No matching commands");
        }
    });
    if response.backdrop_response.clicked() {
        actions.push(Action::TogglePalette);
    }
}

fn carry_out(command: Option<&Command>, actions: &mut Vec<Action>) {
    if let Some(command) = command {
        actions.push(Action::TogglePalette);
        actions.push(command.action.clone());
    }
}

fn line(ui: &mut Ui, command: &Command, chosen: bool) -> bool {
    let palette = Palette::of(ui.ctx());
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), sizes::TABLE_ROW), Sense::click());
    response.widget_info(|| WidgetInfo::selected(Role::ListItem, true, chosen, &command.name));
    if chosen || response.hovered() {
        let fill = if chosen { palette.chosen } else { palette.raised };
        ui.painter().rect_filled(rect, CornerRadius::same(sizes::RADIUS_SMALL), fill);
    }
    let inner = rect.shrink2(vec2(sizes::GAP, 0.0));
    let hint = widgets::paint(
        ui.painter(),
        inner.right_center(),
        Align2::RIGHT_CENTER,
        &command.hint,
        typeface::caption(),
        palette.faint,
    );
    widgets::paint_cut(
        ui.painter(),
        inner.left_center(),
        Align2::LEFT_CENTER,
        &command.name,
        typeface::body(),
        palette.text,
        hint.left() - inner.left() - sizes::GAP,
    );
    response.clicked()
}
