//! The ledger: what the paper claims, what the data say of each claim, and the way to the views that show it.

use cruxscope_selectors::ledger::{self, ClaimRow};
use cruxscope_study::{Ledger, LedgerEntry, LedgerVerdict};
use cruxscope_theme::{Palette, sizes, typeface};
use egui::text::{LayoutJob, TextFormat};
use egui::{Color32, Label, RichText, ScrollArea, Ui};

use super::scene::{Scene, View};
use crate::action::Action;
use crate::open::{Part, PartState};
use crate::state::State;
use crate::studies::OpenStudy;
use crate::views::{inspector, missing, problem};
use crate::widgets;

/// Greatest width of the words.
const WIDTH: f32 = 880.0;
/// How far what is said of a claim stands in from it.
const INDENT: f32 = 14.0;

/// The view of the ledger.
pub struct LedgerView;

impl View for LedgerView {
    fn show(&self, ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
        match (scene.open.parts().ledger(), scene.open.parts().state(Part::Ledger)) {
            (Some(found), _) => {
                let shown = ScrollArea::vertical().id_salt("ledger").auto_shrink([false, false]);
                shown.show(ui, |ui| {
                    ui.set_max_width(WIDTH.min(ui.available_width()));
                    claims(ui, found, scene.palette, actions);
                    if scene.inspector_below {
                        self.inspect(ui, scene, actions);
                    }
                });
            }
            (None, Some(PartState::Failed(problem))) => {
                problem::problem(ui, problem);
            }
            (None, Some(PartState::Absent)) => {
                let text = "The paper's claims were not put to this study. A ledger says of each whether the studies and results at hand confirm it, \
                            refute it, or cannot tell, with numbers and intervals.";
                let command = "cruxscope ledger STUDY BASE_STUDY COMPRESSED_STUDY results.json --save STUDY";
                missing::say(ui, "No ledger in this study", text, command, actions);
                missing::offer(ui, scene, |other| other.parts().ledger().is_some(), actions);
            }
            (None, _) => {
                ui.spinner();
            }
        }
    }

    fn inspect(&self, ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
        if let Some(found) = scene.open.parts().ledger() {
            widgets::caption(ui, "What is said");
            for (verdict, count) in found.counts() {
                widgets::fact(ui, verdict.words(), &count.to_string());
            }
            if !found.source.is_empty() {
                widgets::section(ui, "Claims of");
                ui.add(Label::new(RichText::new(&found.source).font(typeface::caption()).color(scene.palette.dim)).wrap());
            }
            ui.add_space(sizes::LARGE);
        }
        inspector::content(ui, scene, actions);
    }

    fn needs(&self, _: &OpenStudy, _: &State) -> Vec<Part> {
        vec![Part::Ledger]
    }
}

fn claims(ui: &mut Ui, found: &Ledger, palette: &Palette, actions: &mut Vec<Action>) {
    for ClaimRow { claim, entries } in ledger::rows(found) {
        ui.add_space(sizes::GAP);
        let title = format!("{}, {}", claim.id, claim.place);
        ui.add(Label::new(RichText::new(title).font(typeface::caption_strong()).color(palette.faint)).wrap());
        ui.add(Label::new(RichText::new(&claim.words).color(palette.text)).wrap());
        let rule = format!("Holds where {}; fails where {}.", claim.confirms, claim.refutes);
        ui.add(Label::new(RichText::new(rule).font(typeface::caption()).color(palette.dim)).wrap());
        for entry in entries {
            said(ui, entry, palette, actions);
        }
        ui.add_space(sizes::SMALL);
        widgets::hairline(ui);
    }
}

fn colour(verdict: LedgerVerdict, palette: &Palette) -> Color32 {
    match verdict {
        LedgerVerdict::Holds => palette.accent,
        LedgerVerdict::Fails => palette.text,
        LedgerVerdict::CannotBeTold => palette.faint,
    }
}

/// One entry: the verdict in words, the numbers, why it cannot be told, and the way to the view that shows it.
fn said(ui: &mut Ui, entry: &LedgerEntry, palette: &Palette, actions: &mut Vec<Action>) {
    ui.add_space(sizes::SMALL);
    ui.horizontal(|ui| {
        ui.add_space(INDENT);
        ui.vertical(|ui| {
            let mut head = LayoutJob::default();
            for (text, colour) in [
                (entry.verdict.words().to_owned() + "   ", colour(entry.verdict, palette)),
                (ledger::subject(entry), palette.text),
            ] {
                head.append(&text, 0.0, TextFormat::simple(typeface::caption_strong(), colour));
            }
            ui.add(Label::new(head).wrap());
            let mut line = |text: String, colour: Color32| {
                ui.add(Label::new(RichText::new(text).font(typeface::caption()).color(colour)).wrap());
            };
            line(ledger::finding(entry), palette.dim);
            if !entry.why.is_empty() {
                line(entry.why.clone(), palette.faint);
            }
            if !entry.command.is_empty() {
                line(format!("To tell: {}", entry.command), palette.faint);
            }
            if !entry.seen.is_empty() && widgets::button(ui, "Show").clicked() {
                actions.push(Action::Look(entry.seen.clone()));
            }
        });
    });
}
