//! The program as a person meets it: what it prints, what it writes, how it ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests, outside their functions

mod activations;
mod bad_input;
mod benches;
mod compression;
mod doctor;
mod evidence;
mod export;
mod generation;
mod gguf;
mod inputs;
mod interpretation;
mod numbers;
mod sensitivity;
mod shards;
mod shift;
