//! What the views of results show: scores of an experiment as a table of rows and columns, each cell a score with its interval.

mod baselines;
mod methods;
mod rows;
mod table;
mod test_time;

pub use methods::{Fill, Method, MethodKind, is_none};
pub use rows::{Cell, Column, Group, Row};
pub use table::ResultsTable;
pub use test_time::{SplitCell, SplitRow, splits};

/// The paper's tables as results (schema as [`cruxscope_study::Results`]): always at hand to be shown beside one's own.
pub const PUBLISHED: &[u8] = include_bytes!("../../studies/published/results.json");

/// How results are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Form {
    /// A dot with its interval for each score.
    #[default]
    Dots,
    /// The numbers.
    Table,
    /// Every question of a benchmark, row by row.
    Questions,
}

impl Form {
    /// All of them, in the order of the choices.
    pub const ALL: [Self; 3] = [Self::Dots, Self::Table, Self::Questions];

    /// The name in options and links.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dots => "dots",
            Self::Table => "table",
            Self::Questions => "questions",
        }
    }

    /// The name on a button.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Dots => "Dots",
            Self::Table => "Table",
            Self::Questions => "Questions",
        }
    }
}
