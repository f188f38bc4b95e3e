//! The comparison that is on: two open studies, the matrices of their shift, and its intervals once they are ready.

use std::sync::Arc;

use cruxscope_selectors::Job;
use cruxscope_selectors::shift::{self, Pair, ShiftIntervals};
use cruxscope_selectors::{Scale, status};
use cruxscope_study::{Behaviour, Comparison, DifferenceKind, Module, ShiftView, StudyError};

use crate::heatmap::Matrix;
use crate::studies::OpenStudy;

/// Matrices of the four behaviours.
type Panels = [Arc<Matrix>; 4];

/// Two studies side by side, where they may be compared.
pub struct Compared {
    /// The studies and their comparison.
    pub pair: Arc<Pair>,
    /// For each view of the shift, by value and by rank.
    matrices: [[Panels; 2]; 3],
    intervals: Job<ShiftIntervals>,
}

impl Compared {
    fn new(pair: Pair) -> Self {
        let panels =
            |view, scale| Behaviour::ALL.map(|behaviour| Arc::new(Matrix::new(Module::ALL.len(), shift::cells(&pair.comparison, behaviour, view, scale))));
        Self {
            matrices: ShiftView::ALL.map(|view| [panels(view, Scale::Linear), panels(view, Scale::Rank)]),
            pair: Arc::new(pair),
            intervals: Job::Waiting,
        }
    }

    /// The comparison.
    pub fn comparison(&self) -> &Comparison {
        &self.pair.comparison
    }

    /// The cells of a behaviour's shift.
    pub fn matrix(&self, behaviour: Behaviour, view: ShiftView, scale: Scale) -> &Arc<Matrix> {
        let view = ShiftView::ALL.iter().position(|known| *known == view).unwrap_or_default();
        &self.matrices[view][usize::from(scale == Scale::Rank)][behaviour.index()]
    }

    /// The intervals, once they are ready.
    pub fn intervals(&self) -> Option<&ShiftIntervals> {
        self.intervals.result()
    }
}

/// The comparison of two open studies, or why there is none.
pub struct OpenComparison {
    /// The studies' numbers, A and B.
    pub ids: [usize; 2],
    /// Their titles.
    pub titles: [String; 2],
    /// The comparison, or the reasons against it.
    pub outcome: Result<Compared, StudyError>,
}

impl OpenComparison {
    /// Compares two open studies. What differs is allowed here, for the view says it beside the figure.
    pub fn new(a: &OpenStudy, b: &OpenStudy) -> Self {
        let compared = Comparison::between(&a.study, &b.study, &DifferenceKind::ALL);
        Self {
            ids: [a.id, b.id],
            titles: [a, b].map(|open| status::title(&open.study).to_owned()),
            outcome: compared.map(|comparison| {
                Compared::new(Pair {
                    a: Arc::clone(&a.study),
                    b: Arc::clone(&b.study),
                    comparison,
                })
            }),
        }
    }

    /// Gets the intervals a step further; `wake` is called when another step is due.
    pub fn advance(&mut self, wake: impl FnOnce() + Send + 'static) {
        if let Ok(compared) = &mut self.outcome {
            compared.intervals.advance(&compared.pair, wake);
        }
    }
}
