//! What a person is looking at, and what they asked for: the state of the interface, and the actions that change it.
//!
//! Views read the state and return actions; only [`State::apply`] writes. What an action does beyond the state (opening a
//! file, copying text) is done by the app.

use std::collections::BTreeSet;

use cruxscope_study::{Behaviour, Component, ShiftView};

use crate::figure::Format;
use crate::options::StartupOptions;
use crate::selectors::{Ranking, Scale, SortColumn, panels, shift};
use crate::theme::ThemeChoice;
use crate::views::ViewKind;

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
    /// What the dialog of exports is set to, and whether it is open.
    pub export: ExportSettings,
    /// The theme.
    pub theme: ThemeChoice,
    /// Whether only the figure is shown.
    pub embed: bool,
}

/// What the dialog is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportSettings {
    /// Whether it is open.
    pub open: bool,
    /// Pixels a point, for pictures made of pixels.
    pub pixels: u8,
    /// Whether the selected component is framed.
    pub framed: bool,
    /// Whether title and caption are left out.
    pub bare: bool,
}

impl Default for ExportSettings {
    fn default() -> Self {
        Self {
            open: false,
            pixels: 2,
            framed: false,
            bare: false,
        }
    }
}

/// What a person asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Show a view.
    SetView(ViewKind),
    /// Compare this study as A (0) or B (1).
    Compare(usize, usize),
    /// Let A and B change places.
    SwapCompared,
    /// Show this part of the shift.
    SetShift(ShiftView),
    /// Show the next part of the shift.
    NextShift,
    /// Select a component.
    Select(Component),
    /// Move the selection by so many layers and modules.
    Move(isize, isize),
    /// The pointer is over this cell.
    Hover(Behaviour, Component),
    /// Use this scale.
    SetScale(Scale),
    /// Use the next scale.
    NextScale,
    /// Focus on a behaviour, or on the mean.
    SetBehaviour(Option<Behaviour>),
    /// Focus on the next behaviour.
    NextBehaviour,
    /// Let one panel fill the figure.
    Maximise(Behaviour),
    /// Let the panel in focus fill the figure.
    MaximiseFocus,
    /// Give a panel a scale of its own, or take it away.
    ToggleLock(Behaviour),
    /// Order the list by a column, or turn the order round.
    Sort(SortColumn),
    /// Filter the list.
    Filter(String),
    /// Give the filter the keyboard.
    Search,
    /// Check or uncheck a component for the protection list.
    Check(Component),
    /// Uncheck all.
    Uncheck,
    /// Copy so many where none is checked.
    SetProtected(usize),
    /// Copy the protection list.
    CopyProtectionList,
    /// Copy a text.
    Copy(String),
    /// Use this theme.
    SetTheme(ThemeChoice),
    /// Use the next theme.
    NextTheme,
    /// Open or close the provenance drawer.
    ToggleProvenance,
    /// Open or close the list of keys.
    ToggleKeys,
    /// Open or close the dialog of exports.
    ToggleExport,
    /// Set the dialog of exports.
    SetExport(ExportSettings),
    /// Export what is on screen.
    Export(Format),
    /// One step back: close what is open, or leave what was enlarged.
    Back,
    /// Show an open study.
    Activate(usize),
    /// Close a study.
    Close(usize),
    /// Ask for a study to open.
    OpenDialog,
    /// Take a message away.
    Dismiss(usize),
}

impl State {
    /// How many components are copied unless something else is asked for.
    const PROTECTED: usize = 3;

    /// The state at the start.
    pub fn new(options: &StartupOptions) -> Self {
        Self {
            view: options.view.as_deref().and_then(ViewKind::named).unwrap_or_default(),
            theme: options.theme.unwrap_or_default(),
            scale: options.scale.unwrap_or_default(),
            shift: options.shift.unwrap_or_default(),
            behaviour: options.behaviour,
            selected: options.component,
            ranking: Ranking {
                basis: options.behaviour.into(),
                ..Ranking::default()
            },
            protected: Self::PROTECTED,
            embed: options.embed,
            ..Self::default()
        }
    }

    /// Changes the state as an action asks; `layers` is that of the study that is on.
    pub fn apply(&mut self, action: &Action, layers: usize) {
        match action {
            Action::SetView(view) => self.view = *view,
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
            Action::ToggleLock(behaviour) => self.unlocked[behaviour.index()] ^= true,
            Action::Sort(column) => {
                self.ranking.reversed = self.ranking.column == *column && !self.ranking.reversed;
                self.ranking.column = *column;
            }
            Action::Filter(filter) => self.ranking.filter.clone_from(filter),
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
            Action::ToggleExport => self.export.open ^= true,
            Action::SetExport(settings) => self.export = *settings,
            Action::Export(_) => self.export.open = false,
            Action::Back => self.back(),
            Action::Activate(index) => self.active = *index,
            Action::Compare(..)
            | Action::SwapCompared
            | Action::CopyProtectionList
            | Action::Copy(_)
            | Action::NextTheme
            | Action::Close(_)
            | Action::OpenDialog
            | Action::Dismiss(_) => {}
        }
    }

    fn focus(&mut self, behaviour: Option<Behaviour>) {
        self.behaviour = behaviour;
        self.ranking.basis = behaviour.into();
        if self.maximised.is_some() {
            self.maximised = behaviour;
        }
    }

    fn back(&mut self) {
        if self.export.open {
            self.export.open = false;
        } else if self.keys {
            self.keys = false;
        } else if self.provenance {
            self.provenance = false;
        } else if self.maximised.is_some() {
            self.maximised = None;
        } else if !self.ranking.filter.is_empty() {
            self.ranking.filter.clear();
        } else {
            self.behaviour = None;
            self.ranking.basis = self.behaviour.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use cruxscope_study::Module;

    use super::*;
    use crate::selectors::Basis;

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
