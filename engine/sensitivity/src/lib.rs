//! What compressing each weight matrix will cost, and which bits to give it: sketches, allocation under a budget, recipes.
//!
//! Let p_t be the model's next-token distribution at position t, W its weights and D a change of weights. To second order the mean
//! divergence over T positions is `1/(2T) sum over t of E[<grad log p_t(y), D>^2]`, y drawn from p_t. One label drawn at every
//! position and one backward pass of `h = sum over t of log p_t(y_t)` estimate it: labels are independent given the text and each
//! score has mean zero, so that cross terms between positions vanish in the mean. The numbers `s[r, c, f] = <dh_r/dW_c, D_{c,f}>`
//! are kept; every recipe over the menu can be evaluated from them (`cruxscope-study`, [`cruxscope_study::Sensitivity`]).
//!
//! * [`labels`] — labels drawn by an explicit seed.
//! * [`sketch`] — the pass over a batch of windows, layer by layer; [`reference`] — the same by differences and plain loops.
//! * [`outputs`] — what changes of a layer's linear maps change in their outputs, summed over the maps of a component.
//! * [`part`] — what one window gives, on disk; the grain at which work resumes.
//! * [`menu`] — names of formats into methods with settings; what they take on disk.
//! * [`candidate`] — whether a compressed checkpoint stands in the original's basis.
//! * [`ratio`], [`allocate`], [`curve`], [`export`] — from a sketch to a recipe, which stands in `cruxscope-study` since the window does it too.
//! * [`rules`] — recipes of one size by this and by other rules, to be measured side by side; [`subset`] — over part of a menu;
//!   [`together`] — sketches of other draws as one.
//! * [`refine`] — a second round from a chosen recipe, in small steps that are measured.
//! * [`recipe`] — what was chosen, as treatments that can be carried out.
//!
//! What it is not: it reads no text and writes no study (`cruxscope-run`), and it compresses nothing (`cruxscope-compress`).

pub mod candidate;
mod error;
pub mod head;
pub mod labels;
pub mod menu;
pub mod outputs;
pub mod part;
pub mod recipe;
pub mod reference;
pub mod refine;
pub mod rules;
pub mod sketch;
pub mod subset;
pub mod together;

pub use cruxscope_study::allocation::{allocate, curve, export, ratio};
pub use error::SensitivityError;
