//! What products are rounded to.

/// What the operands of the modules' products are rounded to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Not at all.
    #[default]
    Float32,
    /// To bfloat16, weights that need more included; what a product gives is rounded to it too.
    BFloat16,
}
