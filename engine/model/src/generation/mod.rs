//! A model that writes: tokens after a prompt, one step at a time, for several sequences at once.
//!
//! * [`Request`] — a prompt, how to draw ([`Sampling`]), a seed, where to stop; [`Completion`] — what came of it.
//! * [`Generator`] — the weights as steps read them, and the two passes: a prompt into caches, one more token for each sequence.
//! * [`generate`] — requests through a generator, a bounded number in flight at once, followed and stopped by a [`TokenSink`]; [`serve`] — the same
//!   of a [`Queue`] that may get more of them meanwhile.
//! * [`TextStream`] — tokens into text as they come, never half a character.
//!
//! A sequence depends on its request alone: its own prompt, its own seed. On devices whose rows are independent
//! (`cpu`, `reference`) it is the same token for token whatever else is generated beside it; on others rounding may differ in the last
//! bit with the number of sequences, and now and then a token with it.
//!
//! What it is not: it knows no chat templates and nothing of benchmarks.

mod generator;
mod request;
mod sampler;
mod schedule;
mod text;
mod weights;

pub use generator::{Generator, Sequence};
pub use request::{Completion, Finish, Request, Sampling};
pub use sampler::{pick, pick_reference, uniform};
pub use schedule::{NoSink, Queue, TokenSink, generate, serve};
pub use text::TextStream;
pub use weights::Held;
