//! Weight quantization on integer grids: round-to-nearest, GPTQ and GPTAQ.
//!
//! A matrix `[out, in]` becomes codes of 2 to 8 bits with a scale and an integer zero for every group of columns in a row
//! ([`Quantized`]). [`grid`] holds the named grids, which differ between the original programs and must not be mixed;
//! [`reference`] the plain float64 form of the column loop, against which the fast one is tested.

mod bits;
mod column_order;
mod columns;
mod compatibility;
mod gptaq;
mod gptq;
pub mod grid;
mod hessian;
mod nearest;
mod quantized;
pub mod reference;
mod settings;

pub use bits::{Bits, GroupSize};
pub use column_order::ColumnOrder;
pub use compatibility::Compatibility;
pub use gptaq::{AsymmetryFactor, GptaqSettings, gptaq, gptaq_with_factors};
pub use gptq::{Compensated, GptqSettings, gptq, gptq_with_factor};
pub use grid::{Clipping, Grid, ScaleZero, fake_quantize_group, quantize_group};
pub use hessian::{Damping, HessianFactor};
pub use nearest::round_to_nearest;
pub use quantized::Quantized;
pub use settings::GridSettings;
