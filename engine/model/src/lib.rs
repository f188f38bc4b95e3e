//! Inference: devices, kernels, the forward pass and generation.
//!
//! * [`kernels`] — the operations that a decoder is made of, forwards and backwards, behind one trait. Three
//!   implementations stand side by side: plain float64 loops (the reference), vectorised and threaded float32 on the CPU,
//!   and burn tensors for every accelerator (feature `tensors`).
//! * [`product`] — matrix products on slices, for the CPU kernels and for other crates.
//! * [`decoder`] — a checkpoint's layers brought to a device, one at a time or all at once.
//! * [`rotation`] — the rotary tables of its layers for some positions.
//! * [`block`] — one decoder layer, forwards, over all tokens of a sequence.
//! * [`module`] — the seven linear modules of a layer, and the four inputs that they read.
//! * [`experts`] — the feed-forward block of a mixture of experts; [`routing`] — how a router chooses, in float64.
//! * [`delta`] — the gated delta rule.
//! * [`latent`] — attention through narrow vectors.
//! * [`generation`] — tokens after a prompt, with caches of keys and values, for several sequences at once.
//! * [`device`] — what this machine offers, and why the rest is missing.
//!
//! What it is not: it reads no files itself (that is `cruxscope-checkpoint`) and knows nothing of behaviours or segments
//! (that is `cruxscope-interpret`).

pub mod block;
pub mod decoder;
pub mod delta;
pub mod device;
mod error;
pub mod experts;
pub mod generation;
pub mod head;
pub mod kernels;
pub mod latent;
pub mod module;
pub mod output_gate;
pub mod precision;
pub mod product;
pub mod rotation;
pub mod routing;
pub mod wide;

pub use error::ModelError;
