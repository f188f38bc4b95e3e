//! What is known of the variant that is looked at, and the way to its pair.

use cruxscope_selectors::format;
use cruxscope_selectors::variants::VariantSort;
use cruxscope_study::Behaviour;
use cruxscope_theme::{sizes, typeface};
use egui::{Label, RichText, Ui};

use crate::action::Action;
use crate::views::scene::Scene;
use crate::widgets;

/// Studies that cannot be compared, of which so many are named.
const NAMED: usize = 4;

/// Draws it.
pub fn show(ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
    let palette = scene.palette;
    widgets::caption(ui, "Variant");
    let Some(found) = scene.variants.and_then(|open| open.variants.as_ref()) else {
        ui.add(Label::new(RichText::new("Open compressed versions of one model to see them side by side").color(palette.dim)).wrap());
        return;
    };
    let pointed = found.rows.iter().find(|row| Some(row.facts.id) == scene.state.variants.variant);
    let Some(row) = pointed.or(found.rows.first()) else { return };
    ui.add(Label::new(RichText::new(&row.facts.label).font(typeface::title()).color(palette.text)).wrap());
    let subtitle = format!("beside {}", found.title);
    ui.add(Label::new(RichText::new(subtitle).font(typeface::caption()).color(palette.dim)).wrap());
    for sort in [VariantSort::Bits, VariantSort::Size, VariantSort::Divergence, VariantSort::Accuracy] {
        if let Some(text) = row.facts.text(sort) {
            let of = found.original.text(sort).map_or_else(String::new, |text| format!(", original {text}"));
            widgets::fact(ui, sort.title(), &format!("{text}{of}")).on_hover_text(sort.about());
        }
    }
    if let Some([low, high]) = row.facts.accuracy.and_then(|found| found.interval) {
        widgets::fact(ui, "95 % interval", &format!("{low:.1} to {high:.1} %"));
    }
    widgets::section(ui, "Importance that moved");
    for behaviour in Behaviour::ALL {
        let Some(moved) = row.moved(Some(behaviour)) else { continue };
        widgets::fact(ui, behaviour.title(), &format::percent(moved)).on_hover_text(VariantSort::Moved.about());
    }
    widgets::section(ui, "Moved most");
    for behaviour in Behaviour::ALL {
        let Some(first) = row.first[behaviour.index()] else { continue };
        let shift = row.shift(behaviour, first).map_or_else(String::new, format::signed_share);
        widgets::fact(ui, behaviour.title(), &format!("{first}  {shift}"));
    }
    ui.add_space(sizes::GAP + sizes::SMALL);
    if widgets::primary_button(ui, "Open the pair").clicked() {
        actions.push(Action::OpenPair(found.original.id, row.facts.id));
    }
    if !found.refused.is_empty() {
        widgets::section(ui, "Cannot be put beside it");
        for (_, title, why) in found.refused.iter().take(NAMED) {
            ui.add(Label::new(RichText::new(title).color(palette.text)).wrap()).on_hover_text(why);
        }
    }
    ui.add_space(sizes::LARGE);
}
