//! What a pass asks of an instance: spans whose losses go back, how their gradients are grouped, and tokens whose means are taken.

use cruxscope_study::{Behaviour, Definition};

use crate::instance::Instance;
use crate::packed::Packed;
use crate::segment::{Segment, Span, activation_weights};

/// What is asked of one instance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ask {
    /// Rows and targets; a row that stands in several spans is computed for each.
    pub spans: Vec<Span>,
    /// Mean gradients.
    pub groups: Vec<Group>,
    /// Means of activations beside that of all tokens: how much each token counts, adding up to one.
    pub plus: Vec<(Behaviour, Vec<f32>)>,
}

impl Ask {
    /// Everything that a definition needs: means of each behaviour's tokens, and gradients of each behaviour under `paper`, of each segment
    /// under `released`.
    pub fn of(instance: &Instance, definition: Definition) -> Self {
        let spans: Vec<Span> = instance.segments.iter().filter_map(|segment| segment.span(definition).ok()).collect();
        Self {
            groups: Group::of(instance, &spans, definition),
            plus: means(&instance.segments, instance.ids.len(), definition),
            spans,
        }
    }
}

/// How much each token counts in the mean of each behaviour that some segments hold.
pub fn means(segments: &[Segment], tokens: usize, definition: Definition) -> Vec<(Behaviour, Vec<f32>)> {
    let of = |behaviour: Behaviour| {
        let own: Vec<Segment> = segments.iter().copied().filter(|segment| segment.behaviour == behaviour).collect();
        Some((behaviour, activation_weights(&own, tokens, definition)?))
    };
    Behaviour::ALL.into_iter().filter_map(of).collect()
}

/// Spans whose gradients are one mean: under `paper` all of a behaviour (the sum of all its segments' rows over the sum of their
/// row counts), under `released` each alone (the mean over its rows).
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// The behaviour.
    pub behaviour: Behaviour,
    /// Positions among the spans.
    pub members: Vec<usize>,
    /// One over the rows of all members.
    pub per_row: f32,
}

impl Group {
    /// Some spans of a behaviour as one mean.
    pub fn new(behaviour: Behaviour, members: Vec<usize>, spans: &[Span]) -> Self {
        let rows: usize = members.iter().map(|index| spans[*index].rows.len()).sum();
        Self {
            behaviour,
            members,
            per_row: 1.0 / rows as f32,
        }
    }

    fn of(instance: &Instance, spans: &[Span], definition: Definition) -> Vec<Self> {
        let mut groups: Vec<(Behaviour, Vec<usize>)> = Vec::new();
        for (index, segment) in instance.segments.iter().enumerate() {
            let own = |(behaviour, _): &&mut (Behaviour, Vec<usize>)| definition == Definition::Paper && *behaviour == segment.behaviour;
            match groups.iter_mut().find(own) {
                Some((_, members)) => members.push(index),
                None => groups.push((segment.behaviour, vec![index])),
            }
        }
        (groups.into_iter()).map(|(behaviour, members)| Self::new(behaviour, members, spans)).collect()
    }

    /// What each token counts in it: every row of every member, those that can have no gradient included.
    pub(crate) fn token_weights(&self, spans: &[Span], tokens: usize) -> Vec<f32> {
        let mut weights = vec![0.0; tokens];
        for member in &self.members {
            weights[spans[*member].rows.clone()].iter_mut().for_each(|weight| *weight += self.per_row);
        }
        weights
    }

    /// What each packed row counts in it.
    pub(crate) fn row_weights(&self, packed: &Packed) -> Vec<f32> {
        (packed.runs.iter().enumerate())
            .flat_map(|(index, run)| {
                // Segments with the same rows may share a span, which then counts for each of them.
                let times = self.members.iter().filter(|member| **member == index).count();
                vec![times as f32 * self.per_row; run.rows]
            })
            .collect()
    }
}
