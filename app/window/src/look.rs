//! How the dialog of exports and the views of results are set.

use std::collections::BTreeMap;

use cruxscope_selectors::budget::CellMeasure;
use cruxscope_selectors::results::Form;
use cruxscope_selectors::variants::{VariantForm, VariantSort};
use cruxscope_study::Component;

/// What the dialog of exports is set to, and whether it is open.
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

/// What is seen of results.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResultsLook {
    /// The results that are on, by their number; the first, where nothing was chosen.
    pub results: Option<usize>,
    /// The experiment that is on; the first, where nothing was chosen.
    pub experiment: Option<String>,
    /// The benchmark in focus.
    pub benchmark: Option<String>,
    /// The form.
    pub form: Form,
    /// Only this model.
    pub model: Option<String>,
    /// Whether the other open results are laid beside.
    pub beside: bool,
    /// The selected row.
    pub row: Option<usize>,
    /// The share of the shortest and the longest outputs, in percent.
    pub share: Share,
}

/// What is seen of variants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VariantsLook {
    /// By what they are ordered.
    pub sort: VariantSort,
    /// Whether the order is turned round.
    pub reversed: bool,
    /// The one that is looked at, by the number of its study.
    pub variant: Option<usize>,
    /// What stands in a row.
    pub form: VariantForm,
}

/// What is wished of a budget.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BudgetLook {
    /// The target in bits a weight; the size of a uniform format, where nothing was chosen.
    pub target: Option<f64>,
    /// Formats that were given by hand: positions in the menu, or none for a matrix that is left as it is.
    pub edits: BTreeMap<Component, Option<usize>>,
    /// Whether q, k and v of a layer get one format, and gate and up one.
    pub keep_fused: bool,
    /// What the cells say.
    pub measure: CellMeasure,
}

/// A share of outputs, in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share(pub u32);

impl Default for Share {
    /// That of the paper's table 10.
    fn default() -> Self {
        Self(30)
    }
}
