//! Benchmarks: what a model writes, whether it is right, and how it got there.
//!
//! The way of a benchmark is the order of these modules:
//!
//! * [`datasets`] — questions with their answers, as their publishers ship them.
//! * [`prompts`] — questions into what a model is given.
//! * [`generator`] — whoever turns a prompt into text; [`endpoint`] is one, for servers that speak OpenAI's language.
//! * [`sampling`] — every question, every pass, exactly once, into [`samples`]: one JSON line each, appended and synced.
//! * [`answers`] — a number, letter, truth value or phrase, read strictly out of a text.
//! * [`scoring`] — outputs into verdicts and scores, by rules that have names and can be switched afterwards.
//! * [`annotation`] — outputs into behaviours, by an endpoint.
//! * [`analyses`] — test-time compute, collapse, skipped thinking, knowledge against reasoning.
//! * [`published`] — the paper's tables, value by value.
//! * [`claims`] — the paper's claims, and what studies, results and the published numbers say of each.
//! * [`results`] — scores as a study shows them, one's own and the published ones.
//!
//! What it is not: it runs no model of its own, and it prints nothing.

pub mod analyses;
pub mod annotation;
pub mod answers;
pub mod claims;
pub mod datasets;
pub mod endpoint;
mod error;
pub mod generator;
pub mod prompts;
pub mod published;
pub mod results;
pub mod samples;
pub mod sampling;
pub mod scoring;

pub use error::BenchmarkError;
