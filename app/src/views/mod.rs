//! The views of a study, one module each, behind one enum. Adding a view is a module and a line in each match here.
//!
//! A view reads a [`Scene`] and pushes [`Action`]s; it computes nothing and keeps nothing.

mod behaviour_head;
mod cells;
mod colour_bar;
pub mod importance;
pub mod shift;
mod toolbar;

use egui::Ui;

use crate::comparison::OpenComparison;
use crate::frame::inspector;
use crate::state::{Action, State};
use crate::studies::OpenStudy;
use crate::theme::Palette;

/// All that a view may look at.
pub struct Scene<'a> {
    /// The study that is on.
    pub open: &'a OpenStudy,
    /// All open studies.
    pub studies: &'a [OpenStudy],
    /// The comparison that is on, where at least two studies are open.
    pub comparison: Option<&'a OpenComparison>,
    /// The state of the interface.
    pub state: &'a State,
    /// The colours.
    pub palette: &'static Palette,
    /// Whether the inspector has no place of its own and stands under the figure.
    pub inspector_below: bool,
}

/// What a view shows in the middle of the window.
pub trait View {
    /// Draws it.
    fn show(&self, ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>);

    /// Draws what is known of the selected component, beside or under the figure.
    fn inspect(&self, ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
        inspector::content(ui, scene, actions);
    }
}

/// The views there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ViewKind {
    /// Importance of every component, and their ranking.
    #[default]
    Importance,
    /// How relative importance shifts from one study to another.
    Shift,
}

impl ViewKind {
    /// All of them, in the order of the tabs.
    pub const ALL: [Self; 2] = [Self::Importance, Self::Shift];

    /// The name in options and links.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Importance => "importance",
            Self::Shift => "shift",
        }
    }

    /// The name on the tab.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Importance => "Importance",
            Self::Shift => "Shift",
        }
    }

    /// The view of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|view| view.name() == name)
    }

    /// The view itself.
    pub const fn view(self) -> &'static dyn View {
        match self {
            Self::Importance => &importance::ImportanceView,
            Self::Shift => &shift::ShiftFigure,
        }
    }
}
