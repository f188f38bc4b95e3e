//! Sensitivity against an independent program: every case under `sensitivity/` of the fixtures, at its gates; and the pipeline around
//! it: resuming, sharing, behaviours, menus, bad input.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests, outside their functions

mod fixtures;
mod runs;
