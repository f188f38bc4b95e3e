//! How the view of traces is set: which instance, which section, what is hidden.

use std::collections::BTreeSet;

use cruxscope_study::Label;

/// What is seen of traces.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TraceLook {
    /// The instance that is read, by its id; the first, where nothing was chosen.
    pub instance: Option<String>,
    /// The selected section.
    pub section: Option<usize>,
    /// A byte of the output that is to be brought into sight, for one frame.
    pub byte: Option<usize>,
    /// Whether where the study's model parts from another is left out.
    pub alone: bool,
    /// Labels that are not shown.
    pub hidden: BTreeSet<Label>,
    /// Whether the selected section is to be brought into sight.
    pub reveal: bool,
}
