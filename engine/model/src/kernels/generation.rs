//! What generation asks of a device beyond the forward pass: weights that are held for many products with few rows, and
//! caches of keys and values that grow token by token.
//!
//! A step of generation reads every weight once for a handful of rows, one a sequence, so on the CPU its time is that of
//! reading memory. Kernels may therefore hold weights in another form than [`Kernels::Matrix`], as long as every weight keeps
//! its value.
//!
//! The rows of a step belong to different sequences. What a row gives must not depend on the rows beside it, so that a
//! sequence is the same in whatever company it is generated; how far a device keeps that is said by
//! [`GenerationKernels::rows_are_independent`].

use super::{Heads, Kernels, SequenceSpan};

/// A weight and its bias, `[out, in]` and `[1, out]`.
pub type Projection<'a, K> = (&'a <K as GenerationKernels>::Weight, Option<&'a <K as Kernels>::Matrix>);

/// What a device must be able to do to generate.
pub trait GenerationKernels: Kernels {
    /// A weight `[out, in]` as generation reads it.
    type Weight: Send + Sync;
    /// The keys or the values of one layer and one sequence, `[tokens, key heads * head_dim]`.
    type Cache: Clone + Send + Sync;

    /// Holds a weight `[rows, columns]` for many products.
    fn hold(&self, rows: usize, columns: usize, values: Vec<f32>) -> Self::Weight;

    /// The form in which a weight is held, in a word or two, and the bytes that it takes.
    fn held_as(&self, weight: &Self::Weight) -> (&'static str, usize);

    /// Whether a row of a step gives the same bits whatever other rows there are.
    fn rows_are_independent(&self) -> bool;

    /// y = x W^T + b for the many rows of a prompt.
    ///
    /// # Shapes
    /// `x [n, in]`, `y [n, out]`.
    fn project_prompt(&self, x: &Self::Matrix, projection: Projection<'_, Self>) -> Self::Matrix;

    /// y = x W^T + b for the few rows of a step, for several weights that read the same rows.
    ///
    /// # Shapes
    /// `x [n, in]`; each `y [n, out]`, with an `out` of its own.
    fn project_step(&self, x: &Self::Matrix, projections: &[Projection<'_, Self>]) -> Vec<Self::Matrix>;

    /// An empty cache for the keys or the values of these heads.
    fn cache(&self, heads: Heads) -> Self::Cache;

    /// Adds `count` rows of `x` to a cache, from row `first` on.
    fn extend(&self, cache: &mut Self::Cache, x: &Self::Matrix, first: usize, count: usize);

    /// Causal attention as [`Kernels::attention`], every run of rows over the keys and values of a sequence of its own.
    ///
    /// # Shapes
    /// `queries [n, heads * head_dim]`, the runs one below the other; each run's keys and values hold every token up to its
    /// last; out as `queries`.
    fn attend(&self, heads: Heads, queries: &Self::Matrix, sinks: Option<&Self::Matrix>, runs: &[(SequenceSpan, &Self::Cache, &Self::Cache)]) -> Self::Matrix;
}
