//! The commands of the list that Ctrl-P opens: every view, study, behaviour, component, instance and setting, by name.

use cruxscope_selectors::Scale;
use cruxscope_selectors::{parts, status};
use cruxscope_study::{Behaviour, Component, ShiftView};

use crate::action::Action;
use crate::library::Library;
use crate::link;
use crate::state::State;
use crate::view_kind::ViewKind;

/// Commands that are listed at the most.
const MOST: usize = 12;

/// One command.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// What it is called.
    pub name: String,
    /// Its key, or what kind of thing it is.
    pub hint: String,
    /// What it does.
    pub action: Action,
}

/// The commands that answer to a query: each of its words must stand in the name, and names that begin with it come first.
pub fn matching(library: &Library, state: &State, query: &str) -> Vec<Command> {
    if link::is_link(query) {
        return vec![command("Follow this link", "", Action::FollowLink(query.trim().to_owned()))];
    }
    let query = query.to_lowercase();
    let words: Vec<&str> = query.split_whitespace().collect();
    let mut found: Vec<(usize, Command)> = Vec::new();
    let mut consider = |command: Command| {
        let name = command.name.to_lowercase();
        if words.iter().all(|word| name.contains(word)) {
            let begins = words.first().is_none_or(|word| name.starts_with(word) || name.contains(&format!(" {word}")));
            found.push((usize::from(!begins), command));
        }
    };
    for command in settled(library, state) {
        consider(command);
    }
    if !words.is_empty() {
        for command in places(library, state) {
            consider(command);
        }
    }
    found.sort_by_key(|(order, _)| *order);
    found.into_iter().map(|(_, command)| command).take(MOST).collect()
}

fn command(name: impl Into<String>, hint: &str, action: Action) -> Command {
    Command {
        name: name.into(),
        hint: hint.to_owned(),
        action,
    }
}

/// Commands that do not depend on what a study holds.
fn settled(library: &Library, state: &State) -> Vec<Command> {
    let mut commands = Vec::new();
    for (position, view) in ViewKind::ALL.into_iter().enumerate() {
        if !library.studies.is_empty() || view.is_of_results() {
            commands.push(command(
                format!("View: {}", view.title().to_lowercase()),
                &if position < 10 { ((position + 1) % 10).to_string() } else { String::new() },
                Action::SetView(view),
            ));
        }
    }
    for (position, open) in library.studies.iter().enumerate() {
        commands.push(command(format!("Study: {}", status::title(&open.study)), "", Action::Activate(position)));
    }
    for shelved in library.shelved.iter().filter(|shelved| !shelved.results) {
        commands.push(command(format!("Study: {}", shelved.name()), "fetch", Action::Fetch(shelved.id)));
    }
    for open in &library.results {
        commands.push(command(format!("Results: {}", open.results.title), "", Action::SetResults(open.id)));
    }
    for behaviour in Behaviour::ALL {
        commands.push(command(
            format!("Behaviour: {}", behaviour.title().to_lowercase()),
            "B",
            Action::SetBehaviour(Some(behaviour)),
        ));
    }
    commands.push(command("Behaviour: all", "B", Action::SetBehaviour(None)));
    for scale in Scale::ALL {
        commands.push(command(format!("Scale: {}", scale.title().to_lowercase()), "S", Action::SetScale(scale)));
    }
    for shift in ShiftView::ALL {
        commands.push(command(format!("Shift: {}", shift.name()), "V", Action::SetShift(shift)));
    }
    commands.extend([
        command("Open a study…", "Ctrl O", Action::OpenDialog),
        command("Copy link to this view", "L", Action::CopyLink),
        command("Filter: only intervals that exclude zero, or all", "", Action::ToggleCertain),
        command("Copy the protection list", "C", Action::CopyProtectionList),
        command("Export the figure…", "E", Action::ToggleExport),
        command("Provenance", "I", Action::ToggleProvenance),
        command("Next theme", "T", Action::NextTheme),
        command("Full screen", "F", Action::TogglePresenting),
        command("Tour: add this view", "", Action::AddStop),
        command("How to read this view", "H", Action::ToggleReading),
        command("Introduction", "", Action::ShowWelcome(0)),
        command("Keys", "?", Action::ToggleKeys),
        command("Back to where you were", "Alt ←", Action::HistoryBack),
        command("Forward again", "Alt →", Action::HistoryForward),
    ]);
    let layout = library.studies.get(state.active).and_then(|open| open.study.manifest.model.parts.as_ref());
    for module in layout.map(parts::modules).unwrap_or_default() {
        commands.push(command(format!("Open into parts: {}", module.short()), "", Action::OpenModule(module)));
    }
    if state.can_run {
        commands.push(command("Runs: interpret or compress a model", "R", Action::ToggleRuns));
    }
    if let Some(open) = &library.collection {
        for (position, stop) in open.collection.tour.iter().enumerate() {
            commands.push(command(format!("Tour: {}", stop.title), "", Action::SetStop(Some(position))));
        }
        if state.stop.is_some() {
            commands.push(command("Tour: save", "", Action::SaveTour));
        }
    }
    commands
}

/// Components, instances and experiments, of which there are many.
fn places(library: &Library, state: &State) -> Vec<Command> {
    let mut commands = Vec::new();
    if let Some(open) = library.studies.get(state.active) {
        for component in Component::all(open.figures.layers()) {
            commands.push(command(component.to_string(), "component", Action::Select(component)));
        }
        for instance in &open.study.manifest.instances {
            commands.push(command(
                format!("Instance: {}", instance.id),
                "trace",
                Action::ReadInstance(instance.id.clone()),
            ));
        }
    }
    for (position, open) in library.studies.iter().enumerate().filter(|(position, _)| *position != state.active) {
        let title = status::title(&open.study);
        for instance in &open.study.manifest.instances {
            commands.push(command(
                format!("Instance: {}, {title}", instance.id),
                "trace",
                Action::ReadInstanceOf(position, instance.id.clone()),
            ));
        }
    }
    for open in &library.results {
        for experiment in open.results.experiments() {
            if !experiment.is_empty() {
                let action = Action::ShowExperiment(open.id, experiment.to_owned());
                commands.push(command(format!("Experiment: {experiment}"), "", action));
            }
        }
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;
    use cruxscope_study::test_data as samples;

    use crate::open::{Inbox, Source};

    #[test]
    fn commands_are_found_by_their_words() {
        let mut library = Library::new(Inbox::new(egui::Context::default()));
        library.add(samples::study(6), Source::Memory);
        let state = State::default();
        let names = |query: &str| matching(&library, &state, query).into_iter().map(|command| command.name).collect::<Vec<_>>();
        assert_eq!(names("view: imp"), ["View: importance"]);
        assert_eq!(names("6_GATE"), ["6_gate"]);
        assert!(names("instance 2").contains(&"Instance: instance-2".to_owned()));
        assert!(names("table 3").iter().any(|name| name.starts_with("Experiment: Table 3")));
        assert_eq!(names("https://x.org/#study=a&view=shift"), ["Follow this link"]);
        assert_eq!(names("nothing like this"), Vec::<String>::new());
        assert!(names("").len() == MOST && names("")[0].starts_with("View:"));
    }
}
