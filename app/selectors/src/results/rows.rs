//! What the table of an experiment is made of: groups of rows, and their cells.

use cruxscope_study::Score;

use super::methods::{Method, is_none};

/// A column: one metric of one benchmark.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// The benchmark.
    pub benchmark: String,
    /// The metric.
    pub metric: String,
    /// `%` or nothing.
    pub unit: String,
    /// `AIME 2024, n = 30`, the metric named where the benchmark has several.
    pub title: String,
    /// The values at both ends of the axis.
    pub range: [f64; 2],
    /// What pure chance gives.
    pub chance: Option<f64>,
}

/// A score in the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// The score, by its place in its results.
    pub score: usize,
    /// Its value.
    pub value: f64,
    /// Its interval.
    pub interval: Option<[f64; 2]>,
    /// What it is above the model compressed all over, where that is a row of its group and this row is another.
    pub gain: Option<f64>,
}

/// A row: one compression of one model.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What sets it apart in its group.
    pub label: String,
    /// What else is said of it.
    pub setting: String,
    /// How it is drawn.
    pub method: Method,
    /// Its compression, as its score says it.
    pub compression: String,
    /// Whether it was taken from another experiment, to compare with.
    pub borrowed: bool,
    /// Which of the given results it comes from.
    pub source: usize,
    /// Its scores, column by column.
    pub cells: Vec<Option<Cell>>,
}

/// The rows of one model.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// The model.
    pub model: String,
    /// The title of its results, where several are laid beside each other.
    pub origin: String,
    /// Its rows.
    pub rows: Vec<Row>,
    /// The values of the model as it is, column by column.
    pub reference: Vec<Option<f64>>,
    /// The values of the model compressed all over, column by column, where other rows spare some of it.
    pub compressed: Vec<Option<f64>>,
}

impl Column {
    pub(super) fn holds(&self, score: &Score) -> bool {
        self.benchmark == score.benchmark && self.metric == score.metric && self.unit == score.unit
    }

    /// A value with its unit.
    pub fn text(&self, value: f64) -> String {
        if self.unit == "%" { format!("{value:.1}") } else { format!("{value:.2}") }
    }
}

/// The name of a compression in its row.
pub(super) fn label(compression: &str) -> String {
    if is_none(compression) {
        return "not compressed".to_owned();
    }
    compression.strip_prefix("Distillation & ").unwrap_or(compression).to_owned()
}
