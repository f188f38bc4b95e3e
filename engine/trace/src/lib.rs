//! A reasoning trace: prompt, output, annotated sections, and the token ranges they cover.
//!
//! An *instance* is one prompt with the model's own output. An annotation marks *sections* of the output with the
//! behaviour they show. This crate reads both from JSON lines ([`TraceSet`]), reads sections out of an annotation's text
//! ([`ParsedAnnotation`]), finds each section's text in the instance ([`align`]), and says which tokens hold it
//! ([`TokenSegment`]). Whatever could not be found comes back as a [`DroppedSection`] with its reason.
//!
//! What it is not: it holds no tokenizer (the caller hands over the tokens' character offsets) and it runs no model.

mod alignment;
mod annotation;
mod automaton;
mod block;
mod difflib;
mod dropped;
mod error;
mod files;
pub mod lines;
mod matching;
mod section_tags;
mod token_index;

pub use alignment::{AlignedTrace, Alignment, CharacterAlignment, CharacterSegment, TokenSegment, align, align_characters};
pub use annotation::{ParsedAnnotation, Reading, Section};
pub use block::Block;
pub use dropped::{COVERAGE_THRESHOLD, DropCause, DroppedSection};
pub use error::TraceError;
pub use files::{AnnotatedTrace, Annotation, AnnotationContent, LabelledSpan, Trace, TraceContent, TraceSet};
pub use matching::longest_block;
pub use token_index::TokenIndex;
