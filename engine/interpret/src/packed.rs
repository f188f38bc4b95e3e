//! The rows that a backward pass goes over: those of all segments of an instance, one below the other.

use cruxscope_model::kernels::SequenceSpan;

use crate::segment::Span;

/// The packed rows of an instance's segments.
pub struct Packed {
    /// Position in the sequence of each packed row.
    pub positions: Vec<usize>,
    /// One run a segment.
    pub runs: Vec<SequenceSpan>,
}

impl Packed {
    /// Packs the live rows of some spans.
    pub fn new(spans: &[Span]) -> Self {
        let runs: Vec<SequenceSpan> = spans
            .iter()
            .map(|span| span.live_rows())
            .map(|rows| SequenceSpan {
                position: rows.start,
                rows: rows.len(),
            })
            .collect();
        let positions = runs.iter().flat_map(|run| run.position..run.position + run.rows).collect();
        Self { positions, runs }
    }

    /// The position at which each run begins.
    pub fn starts(&self) -> Vec<usize> {
        self.runs.iter().map(|run| run.position).collect()
    }

    /// Rows of each run.
    pub fn lengths(&self) -> Vec<usize> {
        self.runs.iter().map(|run| run.rows).collect()
    }

    /// The last position that any run reaches, plus one.
    pub fn end(&self) -> usize {
        self.runs.iter().map(|run| run.position + run.rows).max().unwrap_or(0)
    }
}
