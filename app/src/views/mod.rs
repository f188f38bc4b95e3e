//! The views, one module each, behind one enum. Adding a view is a module and a line in each match here.
//!
//! A view of a study reads a [`Scene`], a view of results a [`ResultsScene`]; both push [`Action`]s, compute nothing and keep nothing.

mod behaviour_head;
pub mod benchmarks;
mod cells;
pub mod channels;
mod colour_bar;
pub mod compression;
pub mod importance;
pub mod ranking;
pub mod shift;
pub mod test_time;
mod toolbar;
pub mod trace;
pub mod validation;

use egui::Ui;

use crate::comparison::OpenComparison;
use crate::frame::inspector;
use crate::library::OpenResults;
use crate::open::Part;
use crate::state::{Action, State};
use crate::studies::OpenStudy;
use crate::theme::Palette;

/// All that a view of a study may look at.
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
    fn inspect(&self, ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
        inspector::content(ui, scene, actions);
    }

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

/// The views there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ViewKind {
    /// Importance of every component, and their ranking.
    #[default]
    Importance,
    /// How relative importance shifts from one study to another.
    Shift,
    /// Every component in order, with intervals.
    Ranking,
    /// Importance opened into channels.
    Channels,
    /// A trace with its behaviours.
    Trace,
    /// Scores on benchmarks.
    Benchmarks,
    /// How the length of outputs goes with their scores.
    TestTime,
    /// Importance against measured damage.
    Validation,
    /// What compression did to each matrix.
    Compression,
}

impl ViewKind {
    /// All of them, in the order of the tabs.
    pub const ALL: [Self; 9] = [
        Self::Importance,
        Self::Shift,
        Self::Ranking,
        Self::Channels,
        Self::Trace,
        Self::Benchmarks,
        Self::TestTime,
        Self::Validation,
        Self::Compression,
    ];

    /// The name in options and links.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Importance => "importance",
            Self::Shift => "shift",
            Self::Ranking => "ranking",
            Self::Channels => "channels",
            Self::Trace => "trace",
            Self::Benchmarks => "benchmarks",
            Self::TestTime => "test-time",
            Self::Validation => "validation",
            Self::Compression => "compression",
        }
    }

    /// The name on the tab.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Importance => "Importance",
            Self::Shift => "Shift",
            Self::Ranking => "Ranking",
            Self::Channels => "Channels",
            Self::Trace => "Trace",
            Self::Benchmarks => "Benchmarks",
            Self::TestTime => "Test-time compute",
            Self::Validation => "Validation",
            Self::Compression => "Compression",
        }
    }

    /// The view of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|view| view.name() == name)
    }

    /// Whether it is of results rather than of a study.
    pub const fn is_of_results(self) -> bool {
        matches!(self, Self::Benchmarks | Self::TestTime)
    }

    /// The view itself.
    pub const fn view(self) -> Shown {
        match self {
            Self::Importance => Shown::Study(&importance::ImportanceView),
            Self::Shift => Shown::Study(&shift::ShiftFigure),
            Self::Ranking => Shown::Study(&ranking::RankingView),
            Self::Channels => Shown::Study(&channels::ChannelsView),
            Self::Trace => Shown::Study(&trace::TraceView),
            Self::Benchmarks => Shown::Results(&benchmarks::BenchmarksView),
            Self::TestTime => Shown::Results(&test_time::TestTimeView),
            Self::Validation => Shown::Study(&validation::ValidationView),
            Self::Compression => Shown::Study(&compression::CompressionView),
        }
    }
}
