//! The budget that is on: the curve of the study that is on, a point a frame, and the recipe for the target and the changes by hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use cruxscope_selectors::budget::{self, Budget, BudgetSettings, CellMeasure, MeasuredPoint, Plan};
use cruxscope_study::Component;

use crate::heatmap::Matrix;
use crate::state::State;
use crate::studies::OpenStudy;

/// What the curve was made of: the study, whether its trial is there, the settings.
type Key = (usize, bool, BudgetSettings);
/// What the recipe was made of.
type Wish = (u64, BTreeMap<Component, Option<usize>>);

/// The budget of an open study.
pub struct OpenBudget {
    key: Key,
    /// The curve, or why there is none.
    pub budget: Result<Budget, String>,
    /// What was measured.
    pub measured: Vec<MeasuredPoint>,
    wish: Option<Wish>,
    plan: Option<(Plan, [Arc<Matrix>; 3])>,
}

impl OpenBudget {
    /// Follows what is on, and gets the curve a point further; whether there is more to come. Nothing is left where the study has no
    /// sketch.
    pub fn follow(kept: &mut Option<Self>, open: Option<&OpenStudy>, state: &State) -> bool {
        let Some((open, sensitivity)) = open.and_then(|open| Some((open, open.parts().sensitivity()?))) else {
            *kept = None;
            return false;
        };
        let settings = BudgetSettings {
            behaviour: state.behaviour,
            keep_fused: state.budget.keep_fused,
        };
        let trial = open.parts().trial();
        let key = (open.id, trial.is_some(), settings);
        if kept.as_ref().is_none_or(|known| known.key != key) {
            *kept = Some(Self {
                key,
                budget: Budget::new(Arc::clone(sensitivity), settings).map_err(|error| error.to_string()),
                measured: budget::measured(sensitivity, trial.map(|trial| &**trial), settings.scope()),
                wish: None,
                plan: None,
            });
        }
        let Some(own) = kept else { return false };
        let Ok(budget) = &mut own.budget else { return false };
        let target = state.budget.target.unwrap_or_else(|| budget.first_target());
        let wish = (target.to_bits(), state.budget.edits.clone());
        if own.wish.as_ref() != Some(&wish) {
            own.plan = budget.plan(target, &wish.1).map(|plan| {
                let matrices = CellMeasure::ALL.map(|measure| Arc::new(Matrix::new(cruxscope_study::Module::ALL.len(), plan.cells(measure))));
                (plan, matrices)
            });
            own.wish = Some(wish);
            // What was asked for comes before the rest of the curve.
            return true;
        }
        budget.advance()
    }

    /// Whether no point of the curve is left to work out.
    #[cfg(test)]
    pub(crate) fn is_whole(&self) -> bool {
        self.plan.is_some() && self.budget.as_ref().is_ok_and(|budget| !budget.is_growing()) || self.budget.is_err()
    }

    /// The recipe that is on.
    pub fn plan(&self) -> Option<(&Budget, &Plan)> {
        Some((self.budget.as_ref().ok()?, &self.plan.as_ref()?.0))
    }

    /// The target that is on, in bits a weight.
    pub fn target(&self) -> f64 {
        self.wish.as_ref().map_or(0.0, |(bits, _)| f64::from_bits(*bits))
    }

    /// The cells of the map.
    pub fn matrix(&self, measure: CellMeasure) -> Option<&Arc<Matrix>> {
        let at = CellMeasure::ALL.iter().position(|known| *known == measure)?;
        self.plan.as_ref()?.1.get(at)
    }
}
