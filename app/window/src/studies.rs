//! The studies that are open: each with its figures, its matrices for drawing, and its intervals once they are ready.

use std::sync::Arc;

use cruxscope_selectors::Job;
use cruxscope_selectors::{Figures, Scale, Stability, panels};
use cruxscope_study::{Behaviour, Module, Study, StudyError};

use crate::heatmap::Matrix;
use crate::open::{Arrived, Part, PartState, Parts, Source};

/// An open study.
pub struct OpenStudy {
    /// Its number, which no other study had since the start; later ones were asked for later.
    pub id: usize,
    /// The study.
    pub study: Arc<Study>,
    /// Its figures.
    pub figures: Figures,
    values: [Arc<Matrix>; 4],
    ranks: [Arc<Matrix>; 4],
    stability: Job<Stability>,
    source: Source,
    parts: Parts,
}

impl OpenStudy {
    /// Opens a study: its figures are computed now, its intervals later.
    pub fn new(id: usize, mut study: Study, source: Source) -> Self {
        let (channels, maps) = (study.channels.take(), study.parts.take());
        let figures = Figures::of(&study);
        let matrices = |scale| Behaviour::ALL.map(|behaviour| Arc::new(Matrix::new(Module::ALL.len(), panels::cells(&figures, behaviour, scale))));
        Self {
            id,
            values: matrices(Scale::Linear),
            ranks: matrices(Scale::Rank),
            study: Arc::new(study),
            figures,
            stability: Job::Waiting,
            source,
            parts: Parts::with(
                (channels.map(|maps| (Part::Channels, Arrived::Channels(Arc::new(maps)))))
                    .into_iter()
                    .chain(maps.map(|maps| (Part::Parts, Arrived::Parts(Arc::new(maps))))),
            ),
        }
    }

    /// Where its other files lie.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The parts of it that somebody has looked for.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Notes how far a part is.
    pub fn receive(&mut self, part: Part, state: PartState) {
        self.parts.set(part, state);
    }

    /// The cells of a panel.
    pub fn matrix(&self, behaviour: Behaviour, scale: Scale) -> &Arc<Matrix> {
        match scale {
            Scale::Rank => &self.ranks[behaviour.index()],
            _ => &self.values[behaviour.index()],
        }
    }

    /// The intervals, once they are ready.
    pub fn stability(&self) -> Option<&Stability> {
        self.stability.result()
    }

    /// Why there are no intervals, if they failed.
    pub fn stability_error(&self) -> Option<&StudyError> {
        self.stability.error()
    }

    /// Gets the intervals a step further; `wake` is called when another step is due.
    pub fn advance(&mut self, wake: impl FnOnce() + Send + 'static) {
        self.stability.advance(&self.study, wake);
    }
}
