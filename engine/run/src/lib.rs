//! The pipelines: what the command line and the window start, monitor and stop.
//!
//! A pipeline goes from a configuration to a validated plan to a run. The plan says what will be read, how much memory and
//! time it takes; the run reports to an [`Observer`], can be stopped at any time, and resumes when it is
//! started again.
//!
//! * [`instances`] — traces, annotations and a tokenizer into instances with segments; what was dropped, and why.
//! * [`plan`] — what a run will cost; [`place`] — what there is to run on; [`placement`] — how a run keeps inside that.
//! * [`interpret`] — the run itself: parts, resume, the study.
//! * [`shards`] — the same run in parts that many processes share.
//! * [`compress`] — a checkpoint into a compressed one, layer by layer.
//! * [`validate`] — one component at a time compressed, its degradation compared with its importance.
//! * [`compare`] — where two models part, position by position, and which components cause it.
//! * [`definitions`] — the method under both definitions, and with each departure of the published code alone.
//! * [`sensitivity`] — what compressing each matrix will cost, for every format of a menu at once.
//! * [`evidence`] — studies and results with what stands beside them, for the paper's claims; [`reproduction`] — the paper's whole chain for
//!   a pair of models.
//! * [`perplexity`] — a quick proxy for compression loss, over [`windows`] of tokens.
//! * [`generate`] — texts out of a model: prompts in words, samples by seed, text as it comes.
//! * [`native`] — the program's own model as a generator of samples, beside endpoints.
//! * [`sampling`] — datasets and an endpoint or a model into samples; [`annotation`] — outputs and an endpoint into annotations.
//! * [`synthetic`] — checkpoints of a real model's shape with random weights, to measure what runs take.
//! * [`speed`] — tokens per second and peak memory of the same work, repeatedly.
//!
//! What it is not: it prints nothing and draws nothing.

pub mod activations;
pub mod annotation;
pub mod compare;
pub mod compress;
pub mod definitions;
mod digests;
mod distribution;
mod error;
pub mod evidence;
pub mod generate;
mod guard;
pub mod instances;
pub mod interpret;
pub mod machine;
mod manifest;
mod memory_limits;
pub mod native;
pub mod perplexity;
pub mod place;
pub mod placement;
pub mod plan;
mod progress;
pub mod questions;
pub mod reproduction;
pub mod sampling;
pub mod sensitivity;
pub mod shards;
pub mod speed;
pub mod synthetic;
pub mod synthetic_study;
pub mod trial;
pub mod validate;
pub mod windows;

pub use error::RunError;
pub use progress::{Event, Observer, Pace, Silent};
