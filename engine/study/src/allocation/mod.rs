//! From a sketch to a recipe: which format each matrix gets under a budget, what that is predicted to cost, and how other tools say it.
//!
//! * [`ratio`] — scores of low variance brought to the scale of the divergence, and the draws: the estimate that recipes are chosen by.
//! * [`allocate`] — formats under a budget; [`curve`] — size against divergence, reported by windows that did not choose.
//! * [`recipe`] — the file that says what was chosen; [`export`] — the same for other tools.
//!
//! All of it is pure and runs in a browser, so that the command line and the window choose alike.

pub mod allocate;
pub mod curve;
pub mod export;
mod pooling;
pub mod ratio;
pub mod recipe;

use crate::SketchedFormat;

/// Why there is no recipe.
#[derive(Debug, thiserror::Error)]
pub enum AllocationError {
    /// A recipe does not fit the menu.
    #[error("\"{name}\" is no format: {why}")]
    Menu {
        /// The name.
        name: String,
        /// Why, and what is known.
        why: String,
    },
    /// No recipe fulfils what was asked.
    #[error("{why}")]
    Budget {
        /// Why, and what can be had.
        why: String,
    },
    /// The sketch says too little.
    #[error("{why}")]
    TooLittle {
        /// Why, and what to give.
        why: String,
    },
    /// A recipe cannot be said in another tool's words.
    #[error("this recipe cannot be written for {tool}: {why}")]
    Export {
        /// The tool.
        tool: &'static str,
        /// Why.
        why: String,
    },
}

impl SketchedFormat {
    /// What its errors have in common with those of other formats: the method, or the candidate's name.
    pub fn method(&self) -> &str {
        let method = self.treatment.as_ref().and_then(|treatment| treatment.get("method"));
        method.and_then(serde_json::Value::as_str).unwrap_or(&self.name)
    }
}
