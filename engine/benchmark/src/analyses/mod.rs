//! What outputs say beyond their scores: test-time compute, collapse, skipped thinking, knowledge against reasoning.

mod collapse_point;
pub mod knowledge;
mod repetition;
mod thoughts;

pub use cruxscope_study::{Response, Split, TestTime, test_time};

pub use collapse_point::{CollapsePoint, Level, collapse_point};
pub use repetition::{Collapse, repeated_chunk};
pub use thoughts::{Ending, endings};
