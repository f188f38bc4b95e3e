//! The views there are, by name. What they draw lies in [`views`](crate::views).

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
    /// Many compressed versions of one model.
    Variants,
    /// A format for each matrix under a budget.
    Budget,
    /// What is said of the paper's claims.
    Ledger,
}

impl ViewKind {
    /// All of them, in the order of the tabs.
    pub const ALL: [Self; 12] = [
        Self::Importance,
        Self::Shift,
        Self::Ranking,
        Self::Channels,
        Self::Trace,
        Self::Benchmarks,
        Self::TestTime,
        Self::Validation,
        Self::Compression,
        Self::Variants,
        Self::Budget,
        Self::Ledger,
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
            Self::Variants => "variants",
            Self::Budget => "budget",
            Self::Ledger => "ledger",
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
            Self::Variants => "Variants",
            Self::Budget => "Budget",
            Self::Ledger => "Ledger",
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
}
