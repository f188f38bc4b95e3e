//! Windows of text or whole annotated traces, with the positions that count for each scope.

use std::collections::BTreeSet;
use std::path::PathBuf;

use cruxscope_checkpoint::Checkpoint;
use cruxscope_interpret::pass::Instance;
use cruxscope_sensitivity::sketch::SketchWindow;
use cruxscope_study::{Behaviour, Definition, Scope};

use crate::RunError;
use crate::instances::{Instances, TraceSettings};
use crate::windows::Calibration;

/// Where windows come from.
#[derive(Clone, Debug, PartialEq)]
pub enum SketchText {
    /// Windows of text, tokens or traces, every position counted.
    Windows(Calibration),
    /// Whole annotated traces: every position, and those of each behaviour.
    Traces(TraceSettings),
}

impl SketchText {
    /// The files it is read from.
    pub fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Windows(calibration) => vec![calibration.source.path().to_owned()],
            Self::Traces(settings) => vec![settings.traces.clone(), settings.annotations.clone()],
        }
    }

    /// Reads the windows, and says which scopes any of them holds.
    ///
    /// # Errors
    /// When a file cannot be read, or no annotated segment is left.
    pub(super) fn read(&self, checkpoint: &Checkpoint) -> Result<(Vec<SketchWindow>, Vec<Scope>), RunError> {
        match self {
            Self::Windows(calibration) => {
                let windows = calibration.read(checkpoint)?;
                let named = windows.into_iter().enumerate();
                let windows = named.map(|(index, ids)| SketchWindow::whole(format!("{index:06}"), ids)).collect();
                Ok((windows, vec![Scope::All]))
            }
            Self::Traces(settings) => {
                let works = Instances::read(checkpoint, settings)?.items;
                let held = |behaviour: Behaviour| works.iter().flat_map(|work| &work.segments).any(|segment| segment.behaviour == behaviour);
                let behaviours: Vec<Behaviour> = Behaviour::ALL.into_iter().filter(|behaviour| held(*behaviour)).collect();
                let windows = works.iter().map(|work| window_of(work, &behaviours, settings.definition)).collect();
                let scopes = [Scope::All].into_iter().chain(behaviours.iter().copied().map(Scope::Behaviour));
                Ok((windows, scopes.collect()))
            }
        }
    }
}

/// A trace as a window. A behaviour's positions are the rows that predict a token of its segments: target t is predicted at row t - 1.
fn window_of(work: &Instance, behaviours: &[Behaviour], definition: Definition) -> SketchWindow {
    let mut window = SketchWindow::whole(work.id.clone(), work.ids.clone());
    for behaviour in behaviours {
        let spans = work.segments.iter().filter(|segment| segment.behaviour == *behaviour);
        let rows: BTreeSet<usize> = spans
            .filter_map(|segment| segment.span(definition).ok())
            .flat_map(|span| span.targets)
            .map(|target| target - 1)
            .collect();
        window.scopes.push((Scope::Behaviour(*behaviour), rows.into_iter().collect()));
    }
    window
}

#[cfg(test)]
mod tests {
    use cruxscope_interpret::segment::Segment;

    use super::*;

    #[test]
    fn a_behaviours_positions_predict_its_tokens_and_count_once() {
        let segment = |behaviour, start, last| Segment { behaviour, start, last };
        let work = Instance {
            id: "a".into(),
            ids: (0..30).collect(),
            segments: vec![
                segment(Behaviour::Backtracking, 10, 12),
                segment(Behaviour::Backtracking, 14, 15),
                segment(Behaviour::ExampleTesting, 2, 3),
            ],
        };
        let behaviours = [Behaviour::Backtracking, Behaviour::ExampleTesting, Behaviour::AddingKnowledge];
        let window = window_of(&work, &behaviours, Definition::Paper);
        assert_eq!(window.scopes[0], (Scope::All, (0..30).collect()));
        // From five tokens before the first segment to the last token of the second, each predicted one row before.
        assert_eq!(window.scopes[1].1, (4..15).collect::<Vec<_>>());
        assert_eq!(window.scopes[2].1, (0..3).collect::<Vec<_>>());
        assert!(window.scopes[3].1.is_empty());
    }
}
