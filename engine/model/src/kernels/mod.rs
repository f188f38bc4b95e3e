//! The operations a decoder is made of, forwards and backwards, behind one trait.
//!
//! The algorithm above (a layer's forward pass, the segment-local backward pass) is written once, over [`Kernels`]; what
//! differs from device to device is only here. [`reference`] is the meaning: float64, loops, nothing clever. [`cpu`] and
//! `tensors` are compared with it, operation by operation and as a whole model.
//!
//! All matrices are row-major `[rows, columns]`; a row is a token. Heads lie side by side in a row: `[rows, heads * head_dim]`.

pub mod calibration;
pub mod cpu;
pub mod generation;
pub mod reference;
#[cfg(feature = "tensors")]
pub mod tensors;

use crate::ModelError;

/// How many heads there are, and how wide each is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Query heads.
    pub queries: usize,
    /// Key and value heads; a divisor of `queries`.
    pub keys: usize,
    /// Features of one head.
    pub width: usize,
}

impl Heads {
    /// Query heads that share one key head.
    pub fn group(self) -> usize {
        self.queries / self.keys
    }
}

/// Consecutive tokens inside a packed matrix: `rows` of its rows, standing at `position ..` of their sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceSpan {
    /// Position of the first token in the sequence.
    pub position: usize,
    /// Number of tokens.
    pub rows: usize,
}

impl SequenceSpan {
    /// The runs with the packed row at which each begins.
    pub fn placed(runs: &[Self]) -> impl Iterator<Item = (usize, Self)> {
        runs.iter().scan(0, |next, run| {
            let first = *next;
            *next += run.rows;
            Some((first, *run))
        })
    }
}

/// Which way a rotary embedding turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopeDirection {
    /// As in the forward pass.
    Forward,
    /// The transpose, by which gradients go back.
    Inverse,
}

/// What a device must be able to do.
pub trait Kernels: Send + Sync {
    /// A matrix `[rows, columns]` on the device.
    type Matrix: Clone + Send + Sync;

    /// A few words for manifests: backend and precision.
    fn describe(&self) -> String;

    /// Brings a matrix to the device.
    fn upload(&self, rows: usize, columns: usize, values: Vec<f32>) -> Self::Matrix;

    /// Brings a weight to the device, in the shortest form there that gives back each value exactly.
    fn keep(&self, rows: usize, columns: usize, values: Vec<f32>) -> Self::Matrix {
        self.upload(rows, columns, values)
    }

    /// Bytes that a number of a kept weight takes (see [`Self::keep`]), by whether bfloat16 holds all of them exactly.
    fn weight_bytes(&self, exact: bool) -> u64 {
        let _ = exact;
        4
    }

    /// Memory that the device's allocator holds, in bytes, pages kept for reuse included; nothing where it is the process's own.
    fn held(&self) -> Option<u64> {
        None
    }

    /// Brings a matrix back.
    ///
    /// # Errors
    /// When the device failed.
    fn download(&self, matrix: &Self::Matrix) -> Result<Vec<f32>, ModelError>;

    /// Number of rows.
    fn rows(&self, matrix: &Self::Matrix) -> usize;

    /// The rows at `indices`, in that order, repeats allowed.
    fn gather(&self, matrix: &Self::Matrix, indices: &[usize]) -> Self::Matrix;

    /// `count` rows from `first` on.
    fn slice(&self, matrix: &Self::Matrix, first: usize, count: usize) -> Self::Matrix;

    /// The rows of all parts, one below the other; there is at least one part.
    fn stack(&self, parts: Vec<Self::Matrix>) -> Self::Matrix;

    /// x + y.
    fn add(&self, x: Self::Matrix, y: &Self::Matrix) -> Self::Matrix;

    /// Root-mean-square norm over groups of `width` columns: y = w * x / sqrt(mean(x^2) + epsilon).
    ///
    /// # Shapes
    /// `x [n, k * width]`, `weight [1, width]`; the norm of whole rows has k = 1, that of heads k = heads.
    fn norm(&self, x: &Self::Matrix, weight: &Self::Matrix, width: usize, epsilon: f64) -> Self::Matrix;

    /// Gradient of [`Self::norm`] at its input, given that at its output:
    /// dx = r * (w g) - x * r^3 * mean(w g x), with r = 1 / sqrt(mean(x^2) + epsilon).
    fn norm_backward(&self, x: &Self::Matrix, weight: &Self::Matrix, width: usize, epsilon: f64, gradient: &Self::Matrix) -> Self::Matrix;

    /// y = x W^T + b, added to `onto` where that is given.
    ///
    /// # Shapes
    /// `x [n, in]`, `weight [out, in]`, `bias [1, out]`, `y [n, out]`.
    fn linear(&self, x: &Self::Matrix, weight: &Self::Matrix, bias: Option<&Self::Matrix>, onto: Option<Self::Matrix>) -> Self::Matrix;

    /// dx = g W, added to `onto` where that is given: the gradient of [`Self::linear`] at its input.
    ///
    /// # Shapes
    /// `gradient [n, out]`, `weight [out, in]`, `dx [n, in]`.
    fn linear_backward(&self, gradient: &Self::Matrix, weight: &Self::Matrix, onto: Option<Self::Matrix>) -> Self::Matrix;

    /// Rotary position embedding, the halves of each head turned against each other:
    /// (a, b) -> (a cos - b sin, b cos + a sin), with a the first and b the second half.
    ///
    /// # Shapes
    /// `x [n, k * width]`, `cosine` and `sine` `[n, width / 2]`.
    fn rotate(&self, x: Self::Matrix, width: usize, cosine: &Self::Matrix, sine: &Self::Matrix, turn: RopeDirection) -> Self::Matrix;

    /// Causal attention of packed runs of tokens over keys and values from the beginning of their sequence:
    /// o_t = sum over s <= t of softmax(q_t . k_s / sqrt(width)) v_s.
    ///
    /// # Shapes
    /// `queries [n, heads * width]`, the runs one below the other; `keys` and `values` `[tokens, key heads * width]` hold every
    /// token up to the last one of a run; out as `queries`.
    fn attention(&self, heads: Heads, queries: &Self::Matrix, keys: &Self::Matrix, values: &Self::Matrix, runs: &[SequenceSpan]) -> Self::Matrix;

    /// Gradients of [`Self::attention`] at the queries, and at the keys and values of the same run's tokens only: everything
    /// else is held constant, other runs too. With D = rowsum(dO * O), dS = P * (dO V^T - D) / sqrt(width):
    /// dQ = dS K, dK = dS^T Q, dV = P^T dO.
    ///
    /// # Shapes
    /// `output` and `gradient` as `queries`; out: `dQ` as `queries`, `dK` and `dV` `[n, key heads * width]`.
    fn attention_backward(
        &self,
        heads: Heads,
        queries: &Self::Matrix,
        keys: &Self::Matrix,
        values: &Self::Matrix,
        runs: &[SequenceSpan],
        output: &Self::Matrix,
        gradient: &Self::Matrix,
    ) -> (Self::Matrix, Self::Matrix, Self::Matrix);

    /// The gated activation silu(gate) * up, with silu(x) = x / (1 + exp(-x)).
    fn gated(&self, gate: &Self::Matrix, up: &Self::Matrix) -> Self::Matrix;

    /// Gradients of [`Self::gated`] at gate and up.
    fn gated_backward(&self, gate: &Self::Matrix, up: &Self::Matrix, gradient: &Self::Matrix) -> (Self::Matrix, Self::Matrix);

    /// Cross-entropy of logits against one target a row, times that row's weight: the losses, and the gradient at the logits,
    /// weight * (softmax(logits) - one_hot(target)). A row of weight zero has no loss and no gradient.
    ///
    /// # Shapes
    /// `logits`: the vocabulary in parts side by side, each `[n, part]`; `targets [n]`, `weights [n]`; out: losses `[n]`, and
    /// the gradient in the same parts.
    ///
    /// # Errors
    /// When the device failed.
    fn cross_entropy(&self, logits: Vec<Self::Matrix>, targets: &[u32], weights: &[f32]) -> Result<(Vec<f64>, Vec<Self::Matrix>), ModelError>;

    /// Weighted sums of rows, in float64 from one tile of rows to the next: s_k = sum over t of weights_kt x_t.
    ///
    /// # Shapes
    /// `x [n, d]`, `weights [k][n]`; `sums [k][d]` are added to.
    ///
    /// # Errors
    /// When the device failed.
    fn row_sums(&self, x: &Self::Matrix, weights: &[&[f32]], sums: &mut [Vec<f64>]) -> Result<(), ModelError>;

    /// y = W x + b for vectors kept in float64, such as means, in float64 where the device has it: differences of means are
    /// an order of magnitude smaller than the means themselves.
    ///
    /// # Shapes
    /// `vectors [k][in]`, `weight [out, in]`, `bias [1, out]`; out: `[k][out]`.
    ///
    /// # Errors
    /// When the device failed.
    fn linear_vectors(&self, vectors: &[Vec<f64>], weight: &Self::Matrix, bias: Option<&Self::Matrix>) -> Result<Vec<Vec<f64>>, ModelError>;
}
