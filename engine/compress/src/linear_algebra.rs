//! The dense linear algebra that the methods share: products, Gram matrices, Cholesky factors, inverses, eigenvalues, singular values.
//!
//! Matrices are row-major slices. Everything is cut into tiles of fixed sizes, one thread to a tile, and every tile is summed in
//! one order: results are the same bits whatever the number of threads. What it is not: a general library; no pivoting, no
//! complex numbers, no sparse matrices.

pub use cruxscope_model::product::{Operand, Scalar, multiply_into};

mod cholesky;
mod eigenvalues;
mod products;
mod spectrum;

pub use cholesky::{cholesky_lower, cholesky_lower_plain, inverse_from_cholesky, lower_triangular_inverse, upper_cholesky_of_inverse};
pub use eigenvalues::{symmetric_eigenvalues, symmetric_eigenvalues_plain};
pub use products::{
    accumulate_cross_gram, accumulate_gram_lower, dot, gram, mirror_lower, product, product_here, product_transposed, quadratic_form, squared_distance,
};
pub use spectrum::singular_values;

/// Rows of one tile. Fixed, because results must not depend on the number of threads.
const TILE: usize = 128;
