//! Pruning: weights set to zero, by four methods, and how much of each block to prune.
//!
//! [`magnitude`] and [`wanda`] only choose which weights go; [`sparse_gpt`] chooses and moves the weights that stay, so that the
//! output changes least. AlphaPruning is SparseGPT with a sparsity of its own for each matrix: [`alpha`] measures how heavy the
//! tail of a matrix's spectrum is, [`pruning_ratios`] turns that into sparsities.

pub mod alpha;
mod check;
mod magnitude;
mod mask;
mod pattern;
mod ratios;
mod sparse_gpt;
mod sparse_gpt_reference;
mod wanda;

pub use magnitude::magnitude;
pub use mask::Mask;
pub use pattern::{Pattern, Sparsity, Window};
pub use ratios::{AlphaPruningSettings, Mapping, pruning_ratios};
pub use sparse_gpt::{SparseGptReport, SparseGptSettings, sparse_gpt, sparse_gpt_with_factor};
pub use sparse_gpt_reference::sparse_gpt_reference;
pub use wanda::{input_norms_of_hessian, wanda};
