//! What a view may look at, and what a view is: the traits between the frame and the views.
//!
//! A view of a study reads a [`Scene`], a view of results a [`ResultsScene`]; both push [`Action`]s, compute nothing and keep nothing.

use cruxscope_theme::Palette;
use egui::Ui;

use crate::action::Action;
use crate::budget::OpenBudget;
use crate::comparison::OpenComparison;
use crate::library::OpenResults;
use crate::open::Part;
use crate::state::State;
use crate::studies::OpenStudy;
use crate::variants::OpenVariants;

/// All that a view of a study may look at.
pub struct Scene<'a> {
    /// The study that is on.
    pub open: &'a OpenStudy,
    /// All open studies.
    pub studies: &'a [OpenStudy],
    /// Studies that are being opened.
    pub coming: usize,
    /// The comparison that is on, where at least two studies are open.
    pub comparison: Option<&'a OpenComparison>,
    /// The variants that are on, where their view is.
    pub variants: Option<&'a OpenVariants>,
    /// The budget that is on, where its view is.
    pub budget: Option<&'a OpenBudget>,
    /// The state of the interface.
    pub state: &'a State,
    /// The colours.
    pub palette: &'static Palette,
    /// Whether the inspector has no place of its own and stands under the figure.
    pub inspector_below: bool,
}

/// All that a view of results may look at.
pub struct ResultsScene<'a> {
    /// All open results; the published ones come last.
    pub results: &'a [OpenResults],
    /// The state of the interface.
    pub state: &'a State,
    /// The colours.
    pub palette: &'static Palette,
    /// Whether the inspector has no place of its own and stands under the figure.
    pub inspector_below: bool,
}

/// A view of a study, in the middle of the window.
pub trait View {
    /// Draws it.
    fn show(&self, ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>);

    /// Draws what is known of the selected component, beside or under the figure.
    fn inspect(&self, ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>);

    /// The parts of the study that it shows beyond importance; they are read when it is looked at.
    fn needs(&self, _open: &OpenStudy, _state: &State) -> Vec<Part> {
        Vec::new()
    }
}

/// A view of results, in the middle of the window.
pub trait ResultsView {
    /// Draws it.
    fn show(&self, ui: &mut Ui, scene: &ResultsScene<'_>, actions: &mut Vec<Action>);

    /// Draws what is known of the selected row, beside or under the figure.
    fn inspect(&self, ui: &mut Ui, scene: &ResultsScene<'_>, actions: &mut Vec<Action>);
}

/// A view, by what it is of.
pub enum Shown {
    /// Of a study.
    Study(&'static dyn View),
    /// Of results.
    Results(&'static dyn ResultsView),
}
