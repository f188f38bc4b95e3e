//! A recipe over a sketch as the map of a budget shows it: what each matrix gets, what it costs, and the values of the cells.
//!
//! How a recipe is chosen is said in [`super::Budget`].

use cruxscope_study::allocation::allocate::Choice;
use cruxscope_study::{Component, Module, RecipeCost, Scope};

use crate::{ColourScale, Scale};

/// What the cells of the map say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CellMeasure {
    /// The divergence that a matrix is estimated to cause alone in its format.
    #[default]
    Cost,
    /// What of the recipe's divergence comes from it.
    Share,
    /// Stored bits of a weight.
    Bits,
}

impl CellMeasure {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Cost, Self::Share, Self::Bits];

    /// The name on a button.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Cost => "Cost",
            Self::Share => "Share of KL",
            Self::Bits => "Bits",
        }
    }

    /// What it is.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Cost => "KL in nats that a matrix is estimated to cause alone in its format",
            Self::Share => "what of the recipe's predicted KL comes from a matrix; below zero where it makes up for others",
            Self::Bits => "stored bits of a weight in its format, scales and zeros included",
        }
    }

    /// Whether values have signs.
    pub const fn is_signed(self) -> bool {
        matches!(self, Self::Share)
    }

    /// A value with its unit.
    pub fn text(self, value: f64) -> String {
        match self {
            Self::Cost => format!("{}\u{a0}nats", crate::format::significant(value)),
            Self::Share => crate::format::signed_percent(value),
            Self::Bits => format!("{value:.2}"),
        }
    }
}

/// A recipe for a target, or one of one's own.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// For every component the position of its format in the menu, or none where it is left as it is.
    pub choice: Choice,
    /// What it is predicted to cost: by windows that did not choose it, unless it was changed by hand.
    pub cost: RecipeCost,
    /// Whether formats were changed by hand.
    pub is_edited: bool,
    /// The divergence that each component is estimated to cause alone.
    pub alone: Vec<f64>,
    /// What of the divergence comes from each component; they add up to the whole on the windows that chose.
    pub shares: Vec<f64>,
    /// Stored bits of a weight of each component.
    pub bits: Vec<f64>,
    /// What it costs every scope of the sketch.
    pub by_scope: Vec<(Scope, RecipeCost)>,
    /// How many components have each format.
    pub counts: Vec<(String, usize)>,
}

/// A format of a component.
#[derive(Clone, Debug, PartialEq)]
pub struct FormatLine {
    /// Its position in the menu, or none for the component as it is.
    pub format: Option<usize>,
    /// Its name.
    pub name: String,
    /// Stored bits of a weight.
    pub bits: f64,
    /// The divergence that it is estimated to cause alone.
    pub cost: f64,
}

impl Plan {
    /// The values of the map, component by component.
    pub fn values(&self, measure: CellMeasure) -> &[f64] {
        match measure {
            CellMeasure::Cost => &self.alone,
            CellMeasure::Share => &self.shares,
            CellMeasure::Bits => &self.bits,
        }
    }

    /// The scale of the map.
    pub fn scale(&self, measure: CellMeasure, scale: Scale) -> ColourScale {
        let scale = if scale == Scale::Rank { Scale::SquareRoot } else { scale };
        match measure {
            CellMeasure::Share => ColourScale::centred_over(scale, &self.shares),
            CellMeasure::Cost => ColourScale::over(scale, &self.alone),
            CellMeasure::Bits => ColourScale::over(Scale::Linear, &self.bits),
        }
    }

    /// The cells of the map, row by row: a row is a module, a column a layer.
    pub fn cells(&self, measure: CellMeasure) -> Vec<f32> {
        let values = self.values(measure);
        let layers = values.len() / Module::ALL.len();
        let components = Module::ALL
            .into_iter()
            .flat_map(|module| (0..layers).map(move |layer| Component::new(layer, module)));
        components.map(|component| values[component.index()] as f32).collect()
    }

    /// The components that cost most alone, the largest first.
    pub fn dearest(&self, number: usize) -> Vec<Component> {
        let mut order: Vec<Component> = Component::all(self.alone.len() / Module::ALL.len()).collect();
        order.sort_by(|a, b| self.alone[b.index()].total_cmp(&self.alone[a.index()]).then(a.index().cmp(&b.index())));
        order.truncate(number);
        order
    }
}
