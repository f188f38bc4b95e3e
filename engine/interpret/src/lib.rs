//! Capture, steering vectors and segment-local attribution: importance out of a model and its annotated traces.
//!
//! The paper's procedure (section 2.2): read the output of every linear module while the model reads its own reasoning,
//! build a steering vector for each behaviour by difference of means, and score each weight matrix by attribution patching,
//! that is, by the product of the steering vector with the gradient of the loss at the module's output.
//!
//! What makes it cheap is that attention is causal: the loss of a segment reaches the segment's own rows only through those
//! rows, the prefix being constant. So one forward pass an instance serves all its segments and the steering vectors too,
//! and the backward pass touches segment rows only ([`backward`]). Means of a module's output are taken of its input and
//! mapped once, since the module is linear ([`capture`]).
//!
//! * [`segment`] — from annotated token ranges to gradient rows and loss targets, under both definitions.
//! * [`pass`] — forward and backward over a batch of instances, layer by layer.
//! * [`activations`] — where an instance's block inputs, keys and values wait between the two directions.
//! * [`layer_activations`] — what a layer computes at packed rows, and a gradient's way back through it.
//! * [`part`] — what one instance gives, on disk; the grain at which work resumes and is merged.
//! * [`attribution`] — parts into steering vectors, importance and contributions, in a fixed order.
//!
//! The whole of it on a tiny model stands in `examples/importance.rs`. Segments alone need no model:
//!
//! ```
//! use cruxscope_interpret::segment::Segment;
//! use cruxscope_study::{Behaviour, Definition};
//!
//! let segment = Segment { behaviour: Behaviour::Backtracking, start: 12, last: 20 };
//! // The paper reads the gradient from five tokens before the segment on.
//! let span = segment.span(Definition::Paper).unwrap();
//! assert_eq!(span.rows, 7..21);
//! ```
//!
//! What it is not: it reads no traces (that is `cruxscope-trace`) and plans, resumes and reports nothing (`cruxscope-run`).

pub mod activations;
pub mod ask;
pub mod attribution;
pub mod backward;
pub mod capture;
mod error;
pub mod instance;
pub mod layer_activations;
mod layout;
pub mod packed;
pub mod part;
pub mod part_file;
pub mod pass;
pub mod segment;

pub use error::InterpretError;
pub use layout::{Layout, Unit};
