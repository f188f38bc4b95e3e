//! What is known of the selected section and of the instance: tokens, fate, the components to which the instance adds most.

use cruxscope_selectors::{format, trace};
use cruxscope_study::Behaviour;
use cruxscope_theme::{sizes, typeface};
use egui::{Label, RichText, Sense, Ui};

use super::chosen;
use crate::action::Action;
use crate::views::scene::Scene;
use crate::widgets;

/// Components that are listed.
const COMPONENTS: usize = 8;
/// Characters of a section's text that are shown.
const CHARACTERS: usize = 400;

/// Draws it.
pub fn show(ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
    let palette = scene.palette;
    let Some(instance) = chosen::instance(scene.open, scene.state) else { return };
    let Some(entry) = scene.open.study.manifest.instances.get(instance) else {
        return;
    };
    let text = scene.open.parts().trace(instance);
    let selected = scene.state.trace.section.and_then(|place| Some((place, text?.sections.get(place)?)));
    let mut behaviour = scene.state.behaviour;
    if let Some((place, section)) = selected {
        behaviour = behaviour.or(section.label.behaviour());
        widgets::caption(ui, &format!("Section {} of {}", place + 1, text.map_or(0, |text| text.sections.len())));
        ui.label(RichText::new(trace::title(section.label)).font(typeface::title()).color(palette.text));
        if let Some([first, last]) = section.tokens {
            widgets::fact(ui, "Tokens", &format!("{} to {}", format::count(first), format::count(last)));
            widgets::fact(ui, "Length", &format::things(last + 1 - first, "token", "tokens"));
        }
        widgets::fact(ui, "Fate", &trace::fate(section));
        let words = match (section.bytes, &section.text) {
            (Some([start, end]), _) => text.and_then(|text| text.output.get(start..end)),
            (None, Some(written)) => Some(written.as_str()),
            _ => None,
        };
        if let Some(words) = words {
            let title = if section.bytes.is_some() {
                "Its text"
            } else {
                "What the annotator wrote, not found in the output"
            };
            widgets::section(ui, title);
            let mut short: String = words.chars().take(CHARACTERS).collect();
            if short.len() < words.len() {
                short.push('…');
            }
            ui.add(Label::new(RichText::new(short).color(palette.dim)).wrap().selectable(true));
        }
    } else {
        widgets::caption(ui, "Instance");
        ui.add(Label::new(RichText::new(&entry.id).font(typeface::title()).color(palette.text)).wrap());
    }
    if let Some(apart) = scene.open.parts().divergence().filter(|_| !scene.state.trace.alone) {
        widgets::section(ui, "Divergence");
        let [a, _] = apart.models();
        let words = format!("from {a}, mean over {}", format::things(apart.divergence.facts.texts.len(), "text", "texts"));
        ui.add(Label::new(RichText::new(words).font(typeface::caption()).color(palette.dim)).wrap());
        for fact in &apart.facts {
            widgets::fact(ui, &fact.label, &fact.value).on_hover_text(&fact.whole);
        }
    }
    widgets::section(ui, "The instance");
    widgets::fact(ui, "Tokens read", &format::count(entry.tokens));
    if entry.tokens_cut > 0 {
        widgets::fact(ui, "Tokens truncated", &format::count(entry.tokens_cut));
    }
    for known in Behaviour::ALL {
        widgets::fact(ui, known.title(), &format::things(entry.segments[known.index()], "segment", "segments"));
    }
    if let Some(loss) = entry.loss {
        widgets::fact(ui, "Mean loss of its segments", &format!("{loss:.3} nats"));
    }
    if let Some(text) = text {
        let dropped = text.sections.iter().filter(|section| section.dropped.is_some()).count();
        if dropped > 0 {
            widgets::fact(ui, "Dropped sections", &format::count(dropped));
        }
        if let Some(score) = text.score {
            widgets::fact(ui, "Score of the output", &format!("{:.0} %", 100.0 * score));
        }
    }
    let held = |behaviour: &Behaviour| entry.segments[behaviour.index()] > 0;
    let behaviour = behaviour.filter(held).or_else(|| Behaviour::ALL.into_iter().find(held));
    if let Some(behaviour) = behaviour {
        let title = format!("Top contributing components, {}", behaviour.title().to_lowercase());
        widgets::section(ui, &title);
        for line in trace::components(&scene.open.study, &scene.open.figures, instance, behaviour, COMPONENTS) {
            let value = format!("{}, #{} of all", format::percent(line.share), line.rank);
            let response = widgets::fact(ui, &line.component.to_string(), &value).interact(Sense::click());
            if response.on_hover_text("Select the component").clicked() {
                actions.push(Action::Select(line.component));
            }
        }
    }
    ui.add_space(sizes::LARGE);
}
