//! Quantization and pruning: weight matrices in, compressed ones out, by every method that the paper studies.
//!
//! Each method works on one matrix (or, for AWQ, on the matrices of one layer) and on statistics of its inputs; a whole model
//! is the pipeline's business (`cruxscope-run`). Weights are `[out, in]`, as in checkpoints.
//!
//! * [`quantize`] — grids, round-to-nearest, GPTQ and GPTAQ.
//! * [`awq`] — activation-aware scales and clipping, in both of their dialects.
//! * [`any`] — ANY4 and ANY3: a codebook for every row.
//! * [`prune`] — magnitude, Wanda, SparseGPT, AlphaPruning.
//! * [`evidence`] — statistics of inputs, from one pass over calibration text, that all of them share.
//! * [`paper`] — its Tables 3, 4 and 9 and Appendix M as recipes.
//! * [`method`], [`selection`], [`recipe`] — what is done to a matrix, to which ones, and the file that says so.
//!
//! What it is not: it runs no model and reads no files.
//!
//! ```
//! use cruxscope_compress::method::MethodConfig;
//! use cruxscope_compress::quantize::{Bits, GptqSettings, GroupSize};
//! use cruxscope_compress::recipe::Recipe;
//!
//! # fn main() -> Result<(), cruxscope_compress::CompressError> {
//! let gptq = MethodConfig::Gptq(GptqSettings::new(Bits::new(4)?, GroupSize::new(128)?));
//! // GPTQ everywhere but in the last feed-forward block, in a model of 30 layers.
//! let recipe = Recipe::of(gptq, None, Some("final-mlp"));
//! let kept = recipe.plan(30).map(|plan| plan.iter().filter(|(_, method)| method.is_none()).count());
//! assert_eq!(kept, Ok(3));
//! # Ok(())
//! # }
//! ```

pub mod any;
pub mod awq;
mod error;
pub mod evidence;
pub mod linear_algebra;
pub mod method;
pub mod paper;
pub mod prune;
pub mod quantize;
pub mod recipe;
pub mod selection;

pub use error::CompressError;
