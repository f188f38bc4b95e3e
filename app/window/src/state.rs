//! What a person is looking at, and what they asked for: the state of the interface, and the actions that change it.
//!
//! Views read the state and return actions; only [`State::apply`] writes. What an action does beyond the state (opening a
//! file, copying text) is done by the app.

use std::collections::BTreeSet;

use cruxscope_selectors::compression::Measure;
use cruxscope_selectors::results::Form;
use cruxscope_selectors::trace_look::TraceLook;
use cruxscope_selectors::{Ranking, Scale, panels, shift};
use cruxscope_study::{Behaviour, Component, ShiftView};
use cruxscope_theme::ThemeChoice;

use crate::action::Action;
use crate::look::{BudgetLook, ExportSettings, ResultsLook, Share, VariantsLook};
use crate::options::StartupOptions;
use crate::view_kind::ViewKind;

/// The state of the interface. Nothing in it is computed.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The view that is on.
    pub view: ViewKind,
    /// The study that is on, by its position among the open ones.
    pub active: usize,
    /// The studies that were chosen for the shift, A and B, by their numbers.
    pub compared: [Option<usize>; 2],
    /// Which part of the shift is shown.
    pub shift: ShiftView,
    /// The side that is shown in A's place while A and B flicker: 0 or 1.
    pub flicker: Option<usize>,
    /// The selected component.
    pub selected: Option<Component>,
    /// The cell under the pointer.
    pub hovered: Option<(Behaviour, Component)>,
    /// The scale of the colours.
    pub scale: Scale,
    /// Panels that have a scale of their own.
    pub unlocked: [bool; 4],
    /// The behaviour in focus; none for the mean over all.
    pub behaviour: Option<Behaviour>,
    /// The panel that fills the figure.
    pub maximised: Option<Behaviour>,
    /// Whether parts of components, such as experts, are shown in place of the ranking, where the study has any.
    pub opened: bool,
    /// The order and the filter of the ranking list.
    pub ranking: Ranking,
    /// Components that were checked for a protection list.
    pub checked: BTreeSet<Component>,
    /// How many components are copied where none is checked.
    pub protected: usize,
    /// Whether the filter wants the keyboard.
    pub search_wanted: bool,
    /// Whether the list should scroll to the selected row.
    pub reveal_wanted: bool,
    /// Whether the provenance drawer is open.
    pub provenance: bool,
    /// Whether the list of keys is open.
    pub keys: bool,
    /// Whether it is said how the view that is on is read.
    pub reading: bool,
    /// The step of the introduction that is on.
    pub welcome: Option<usize>,
    /// Whether the list of what is open lies over the figure, where it has no place of its own.
    pub list: bool,
    /// The theme.
    pub theme: ThemeChoice,
    /// Whether only the figure is shown.
    pub embed: bool,
    /// What is seen of results.
    pub results: ResultsLook,
    /// What is seen of variants.
    pub variants: VariantsLook,
    /// What is wished of a budget.
    pub budget: BudgetLook,
    /// What is seen of traces.
    pub trace: TraceLook,
    /// What the view of compression shows; the first that the study has, where nothing was chosen.
    pub measure: Option<Measure>,
    /// The stop of the tour that is on.
    pub stop: Option<usize>,
    /// Whether the words of the stop are being written.
    pub editing: bool,
    /// Whether the figure fills the screen.
    pub presenting: bool,
    /// Whether the presenter's notes stand beside the stage.
    pub notes: bool,
    /// What is typed into the list of commands, and which of them is chosen, where it is open.
    pub palette: Option<(String, usize)>,
    /// Whether somebody is there who computes: without, there is no panel of runs.
    pub can_run: bool,
    /// Whether the panel of runs is open.
    pub runs: bool,
    /// The dialog of exports.
    pub export: ExportSettings,
}

impl State {
    /// How many components are copied unless something else is asked for.
    const PROTECTED: usize = 3;

    /// The state at the start.
    pub fn new(options: &StartupOptions) -> Self {
        let mut state = Self {
            theme: options.theme.unwrap_or_default(),
            protected: Self::PROTECTED,
            embed: options.embed,
            ..Self::default()
        };
        state.take(options);
        state
    }

    /// Shows what some options name; the theme stays as it is, and so does what is open.
    pub fn take(&mut self, options: &StartupOptions) {
        self.view = options.view.as_deref().and_then(ViewKind::named).unwrap_or_default();
        self.scale = options.scale.unwrap_or_default();
        self.shift = options.shift.unwrap_or_default();
        self.maximised = None;
        self.focus(options.behaviour);
        if options.component.is_some() {
            self.selected = options.component;
            self.reveal_wanted = true;
        }
        self.opened = options.opened;
        self.results.experiment.clone_from(&options.experiment);
        self.results.benchmark.clone_from(&options.benchmark);
        self.results.form = options.form.unwrap_or_default();
        self.results.row = None;
        self.trace.instance.clone_from(&options.instance);
        self.trace.section = options.section.map(|section| section - 1);
        self.trace.reveal = options.section.is_some();
        self.measure = options.measure;
        self.variants.sort = options.sort.unwrap_or_default();
        self.variants.reversed = false;
        self.budget.target = options.target;
        self.budget.edits = options.formats.iter().copied().collect();
        self.budget.keep_fused = options.fused;
        self.stop = options.stop.map(|stop| stop - 1);
    }

    /// Changes the state as an action asks; `layers` is that of the study that is on.
    pub fn apply(&mut self, action: &Action, layers: usize) {
        match action {
            Action::SetView(view) => {
                self.view = *view;
                self.list = false;
            }
            Action::OpenPair(a, b) => {
                self.view = ViewKind::Shift;
                self.compared = [Some(*a), Some(*b)];
                self.shift = ShiftView::Net;
            }
            Action::PointVariant(id) => self.variants.variant = Some(*id),
            Action::SetVariantForm(form) => self.variants.form = *form,
            Action::SortVariants(sort) => {
                self.variants.reversed = self.variants.sort == *sort && !self.variants.reversed;
                self.variants.sort = *sort;
            }
            Action::SetTarget(target) => {
                self.budget.target = Some(*target);
                // Changes by hand were made to another recipe.
                self.budget.edits.clear();
            }
            Action::GiveFormats(given) => self.budget.edits.extend(given.iter().copied()),
            Action::TakeFormatsBack => self.budget.edits.clear(),
            Action::ToggleFused => {
                self.budget.keep_fused ^= true;
                self.budget.edits.clear();
            }
            Action::SetCellMeasure(measure) => self.budget.measure = *measure,
            Action::SetShift(shift) => self.shift = *shift,
            Action::NextShift => self.shift = shift::next(self.shift),
            Action::Select(component) => {
                self.selected = Some(*component);
                self.reveal_wanted = true;
            }
            Action::Move(layer_step, module_step) => {
                if let Some(component) = self.selected {
                    self.selected = Some(panels::neighbour(layers, component, *layer_step, *module_step));
                    self.reveal_wanted = true;
                }
            }
            Action::Hover(behaviour, component) => self.hovered = Some((*behaviour, *component)),
            Action::SetScale(scale) => self.scale = *scale,
            Action::NextScale => self.scale = self.scale.next(),
            Action::SetBehaviour(behaviour) => self.focus(*behaviour),
            Action::NextBehaviour => {
                let next = self.behaviour.map_or(0, |behaviour| behaviour.index() + 1);
                // An enlarged panel always shows some behaviour, so there the step through the mean is left out.
                let first = self.maximised.and(Behaviour::ALL.first().copied());
                self.focus(Behaviour::ALL.get(next).copied().or(first));
            }
            Action::Maximise(behaviour) => {
                if self.maximised == Some(*behaviour) {
                    self.maximised = None;
                } else {
                    self.maximised = Some(*behaviour);
                    self.focus(Some(*behaviour));
                }
            }
            Action::MaximiseFocus => {
                let behaviour = self.maximised.or(self.behaviour).unwrap_or(Behaviour::Backtracking);
                self.apply(&Action::Maximise(behaviour), layers);
            }
            Action::SetOpened(opened) => self.opened = *opened,
            Action::OpenModule(module) => {
                self.opened = true;
                let layer = self.selected.map_or(0, |component| component.layer.0);
                self.selected = Some(Component::new(layer, *module));
            }
            Action::ToggleLock(behaviour) => self.unlocked[behaviour.index()] ^= true,
            Action::Sort(column) => {
                self.ranking.reversed = self.ranking.column == *column && !self.ranking.reversed;
                self.ranking.column = *column;
            }
            Action::Filter(filter) => self.ranking.filter.clone_from(filter),
            Action::ToggleCertain => self.ranking.certain ^= true,
            Action::Brush(components) => self.ranking.brushed.clone_from(components),
            Action::Search => self.search_wanted = true,
            Action::Check(component) => {
                if !self.checked.remove(component) {
                    self.checked.insert(*component);
                }
            }
            Action::Uncheck => self.checked.clear(),
            Action::SetProtected(number) => self.protected = (*number).max(1),
            Action::SetTheme(theme) => self.theme = *theme,
            Action::ToggleProvenance => self.provenance ^= true,
            Action::ToggleKeys => self.keys ^= true,
            Action::ToggleReading => self.reading ^= true,
            Action::ShowWelcome(step) => self.welcome = Some(*step),
            Action::EndWelcome => self.welcome = None,
            Action::ToggleList => self.list ^= true,
            Action::ToggleExport => self.export.open ^= true,
            Action::SetExport(settings) => self.export = *settings,
            Action::Export(_) => self.export.open = false,
            Action::Back => self.back(),
            Action::Activate(index) => {
                self.active = *index;
                self.list = false;
            }
            Action::SetResults(number) => {
                self.results.results = Some(*number);
                self.results.experiment = None;
                self.results.model = None;
                self.results.row = None;
            }
            Action::SetExperiment(experiment) => {
                self.list = false;
                self.results.experiment = Some(experiment.clone());
                self.results.model = None;
                self.results.row = None;
            }
            Action::SetBenchmark(benchmark) => self.results.benchmark.clone_from(benchmark),
            Action::SetForm(form) => self.results.form = *form,
            Action::SetModel(model) => {
                self.results.model.clone_from(model);
                self.results.row = None;
            }
            Action::ToggleBeside => self.results.beside ^= true,
            Action::SelectRow(row) => self.results.row = Some(*row),
            Action::SetShare(share) => self.results.share = Share((*share).clamp(1, 50)),
            Action::SelectInstance(id) => {
                if self.trace.instance.as_ref() != Some(id) {
                    self.trace.section = None;
                }
                self.trace.instance = Some(id.clone());
            }
            Action::ReadInstance(id) => {
                self.view = ViewKind::Trace;
                self.apply(&Action::SelectInstance(id.clone()), layers);
            }
            Action::ReadInstanceOf(position, id) => {
                self.active = *position;
                self.apply(&Action::ReadInstance(id.clone()), layers);
            }
            Action::ShowExperiment(number, experiment) => {
                self.view = ViewKind::Benchmarks;
                self.apply(&Action::SetResults(*number), layers);
                self.results.experiment = Some(experiment.clone());
            }
            Action::NextForm => {
                let at = Form::ALL.iter().position(|form| *form == self.results.form).unwrap_or_default();
                self.results.form = Form::ALL[(at + 1) % Form::ALL.len()];
            }
            Action::SelectSection(section) => {
                self.trace.section = Some(*section);
                self.trace.reveal = true;
            }
            Action::RevealByte(byte) => self.trace.byte = Some(*byte),
            Action::ToggleApart => self.trace.alone ^= true,
            Action::ToggleLabel(label) => {
                if !self.trace.hidden.remove(label) {
                    self.trace.hidden.insert(*label);
                }
            }
            Action::SetMeasure(measure) => self.measure = Some(*measure),
            Action::TogglePresenting => self.presenting ^= true,
            Action::TogglePalette => self.palette = if self.palette.is_some() { None } else { Some(Default::default()) },
            Action::TypeCommand(text) => self.palette = Some((text.clone(), 0)),
            Action::StepCommand(step) => {
                if let Some((_, chosen)) = &mut self.palette {
                    *chosen = chosen.saturating_add_signed(*step);
                }
            }
            Action::ToggleNotes => self.notes ^= true,
            Action::ToggleEditing => self.editing ^= true,
            Action::ToggleRuns => self.runs ^= true,
            Action::SetStop(_) => self.list = false,
            Action::StepStop(_)
            | Action::StepSection(_)
            | Action::AddStop
            | Action::EditStop(..)
            | Action::AimStop(_)
            | Action::RemoveStop(_)
            | Action::SaveTour
            | Action::HistoryBack
            | Action::HistoryForward
            | Action::CopyLink
            | Action::ExportRecipe(_)
            | Action::CompressByRecipe
            | Action::FollowLink(_)
            | Action::Compare(..)
            | Action::SwapCompared
            | Action::CopyProtectionList
            | Action::Look(_)
            | Action::Copy(_)
            | Action::NextTheme
            | Action::Fetch(_)
            | Action::Close(_)
            | Action::OpenDialog
            | Action::Dismiss(_) => {}
        }
    }

    /// Whether only the figure is shown: in a frame of another page, or on a stage.
    pub const fn is_bare(&self) -> bool {
        self.embed || self.presenting
    }

    /// Whether a dialog lies over everything else, so that keys are its own.
    pub const fn has_dialog(&self) -> bool {
        self.keys || self.reading || self.welcome.is_some() || self.export.open || self.palette.is_some()
    }

    fn focus(&mut self, behaviour: Option<Behaviour>) {
        self.behaviour = behaviour;
        self.ranking.basis = behaviour.into();
        if self.maximised.is_some() {
            self.maximised = behaviour;
        }
    }

    fn back(&mut self) {
        if self.palette.is_some() {
            self.palette = None;
        } else if self.export.open {
            self.export.open = false;
        } else if self.reading {
            self.reading = false;
        } else if self.keys {
            self.keys = false;
        } else if self.list {
            self.list = false;
        } else if self.runs {
            self.runs = false;
        } else if self.presenting {
            self.presenting = false;
        } else if self.stop.is_some() {
            self.stop = None;
        } else if self.provenance {
            self.provenance = false;
        } else if self.maximised.is_some() {
            self.maximised = None;
        } else if self.ranking.is_filtered() {
            self.ranking.filter.clear();
            self.ranking.certain = false;
            self.ranking.brushed.clear();
        } else {
            self.behaviour = None;
            self.ranking.basis = self.behaviour.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use cruxscope_selectors::{Basis, SortColumn};
    use cruxscope_study::Module;

    use super::*;

    #[test]
    fn the_behaviour_key_walks_through_all_four_and_the_mean() {
        let mut state = State::new(&StartupOptions::default());
        let mut seen = Vec::new();
        for _ in 0..5 {
            state.apply(&Action::NextBehaviour, 6);
            seen.push(state.behaviour);
        }
        assert_eq!(seen[..4], Behaviour::ALL.map(Some));
        assert_eq!(seen[4], None);
        assert_eq!(state.ranking.basis, Basis::Mean);
    }

    #[test]
    fn an_enlarged_panel_follows_the_behaviour_and_back_leaves_it() {
        let mut state = State::new(&StartupOptions::default());
        state.apply(&Action::Maximise(Behaviour::AddingKnowledge), 6);
        state.apply(&Action::NextBehaviour, 6);
        assert_eq!(state.maximised, Some(Behaviour::Backtracking));
        state.apply(&Action::ToggleProvenance, 6);
        state.apply(&Action::Back, 6);
        assert!(!state.provenance && state.maximised.is_some());
        state.apply(&Action::Back, 6);
        assert_eq!(state.maximised, None);
    }

    #[test]
    fn back_closes_the_panel_of_runs_and_the_list() {
        let mut state = State::new(&StartupOptions::default());
        for action in [Action::ToggleRuns, Action::ToggleList] {
            state.apply(&action, 6);
            assert!(state.runs || state.list);
            state.apply(&Action::Back, 6);
            assert!(!state.runs && !state.list, "{action:?}");
        }
    }

    #[test]
    fn sorting_twice_by_a_column_turns_the_order_round() {
        let mut state = State::new(&StartupOptions::default());
        state.apply(&Action::Sort(SortColumn::Component), 6);
        assert!(!state.ranking.reversed);
        state.apply(&Action::Sort(SortColumn::Component), 6);
        assert!(state.ranking.reversed);
        state.apply(&Action::Sort(SortColumn::First), 6);
        assert!(!state.ranking.reversed);
    }

    #[test]
    fn options_set_the_state_at_the_start() {
        let options = StartupOptions {
            component: Some(Component::new(2, Module::Up)),
            behaviour: Some(Behaviour::ExampleTesting),
            scale: Some(Scale::Log),
            ..StartupOptions::default()
        };
        let mut state = State::new(&options);
        assert_eq!(state.ranking.basis, Basis::Behaviour(Behaviour::ExampleTesting));
        state.apply(&Action::Move(5, -1), 6);
        assert_eq!(state.selected, Some(Component::new(5, Module::Gate)));
    }
}
