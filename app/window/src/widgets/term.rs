//! A term's card: its name and symbol, what it means, where it stands in the paper; and the card under the pointer where a label is a term.

use cruxscope_selectors::terms::{self, Term};
use cruxscope_theme::{Palette, sizes, typeface};
use egui::{Label, Response, RichText, Ui};

/// Draws the card.
pub fn term_card(ui: &mut Ui, term: &Term) {
    let palette = Palette::of(ui.ctx());
    let name = if term.symbol.is_empty() {
        term.name.to_owned()
    } else {
        format!("{}   {}", term.name, term.symbol)
    };
    ui.add(Label::new(RichText::new(name).font(typeface::body_strong()).color(palette.text)).wrap());
    ui.add(Label::new(RichText::new(term.definition).font(typeface::caption()).color(palette.dim)).wrap());
    ui.add(Label::new(RichText::new(term.place).font(typeface::caption()).color(palette.faint)).wrap());
}

/// The card of the term that a label stands for, under the pointer; nothing where it is no term.
pub fn explained(response: Response, label: &str) -> Response {
    match terms::named(label) {
        Some(term) => response.on_hover_ui(|ui| {
            ui.set_max_width(sizes::TOOLTIP);
            term_card(ui, term);
        }),
        None => response,
    }
}
