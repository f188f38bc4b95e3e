//! The sections of an annotation that do not become segments, and why, as a message.
//!
//! Nothing disappears in silence: whoever drops a section makes one of these. Segments that a definition later finds to
//! have no row or no loss are not among them.

use std::fmt;

use cruxscope_study::{DropReason, Label};

/// A section is kept if one block covers at least this share of its characters.
pub const COVERAGE_THRESHOLD: f64 = 0.9;

/// Why a section is not a segment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DropCause {
    /// No piece of the instance covers enough of its text.
    NotFound {
        /// The share of its text that the best piece covers.
        coverage: f64,
    },
    /// It holds no text.
    Empty,
    /// No token holds its first or its last character.
    NoToken,
}

impl DropCause {
    /// The reason as a study's manifest names it.
    pub const fn reason(self) -> DropReason {
        match self {
            Self::NotFound { .. } => DropReason::NotFound,
            Self::Empty => DropReason::Empty,
            Self::NoToken => DropReason::NoToken,
        }
    }
}

impl fmt::Display for DropCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Rounded down: 89.96 % must not read as the 90 % that would have been enough.
            Self::NotFound { coverage } => write!(
                f,
                "the trace holds only {:.1} % of its text in one piece, and {:.0} % are needed",
                (coverage * 1000.0).floor() / 10.0,
                COVERAGE_THRESHOLD * 100.0
            ),
            Self::Empty => f.write_str("it holds no text"),
            Self::NoToken => f.write_str("no token holds its first or last character"),
        }
    }
}

/// A section that was dropped. Its `Display` is a sentence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DroppedSection {
    /// Position of the section in the annotation, from 0.
    pub section: usize,
    /// Its label.
    pub label: Label,
    /// Why it was dropped.
    pub reason: DropCause,
    /// The share of its text that was found, 0 to 1.
    pub coverage: f64,
}

impl fmt::Display for DroppedSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "section {} ({}) was dropped: {}", self.section + 1, self.label, self.reason)
    }
}
