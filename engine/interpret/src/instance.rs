//! One text that the model wrote, in tokens, with its annotated segments.

use cruxscope_study::Definition;

use crate::segment::Segment;

/// One instance to interpret.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Its id.
    pub id: String,
    /// Its tokens.
    pub ids: Vec<u32>,
    /// Its segments, every one with a span under the definition asked for (see [`Segment::span`]).
    pub segments: Vec<Segment>,
}

impl Instance {
    /// Rows that its backward pass packs.
    pub fn packed_rows(&self, definition: Definition) -> usize {
        self.segments
            .iter()
            .filter_map(|segment| segment.span(definition).ok())
            .map(|span| span.live_rows().len())
            .sum()
    }
}
