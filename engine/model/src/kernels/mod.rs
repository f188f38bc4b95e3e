//! The operations a decoder is made of, forwards and backwards, behind one trait.
//!
//! The algorithm above (a layer's forward pass, the segment-local backward pass) is written once, over [`Kernels`]; what
//! differs from device to device is only here. [`reference`] is the meaning: float64, loops, nothing clever. [`cpu`] and
//! `tensors` are compared with it, operation by operation and as a whole model.
//!
//! All matrices are row-major `[rows, columns]`; a row is a token. Heads lie side by side in a row: `[rows, heads * head_dim]`.

pub mod agreement;
pub mod calibration;
pub mod cpu;
pub mod generation;
pub mod reference;
#[cfg(feature = "tensors")]
pub mod tensors;

use cruxscope_checkpoint::{Activation, InputRounding, NormKind, RopePairs, Router};

use crate::ModelError;
use crate::routing;

/// How many heads there are, how wide each is, and how their scores come about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heads {
    /// Query heads.
    pub queries: usize,
    /// Key and value heads; a divisor of `queries`.
    pub keys: usize,
    /// Features of one head.
    pub width: usize,
    /// What q . k is multiplied by; `None` for 1 / sqrt(width).
    pub scale: Option<f64>,
    /// c of scores that are capped as c tanh(s / c).
    pub cap: Option<f64>,
    /// A token sees itself and the tokens before it, so many together; `None` for all. At least one.
    pub window: Option<usize>,
    /// Texts fall into chunks of so many tokens, and a token sees none of the chunks before its own. At least one.
    pub chunk: Option<usize>,
}

impl Heads {
    /// Heads that see all tokens before, their scores scaled by 1 / sqrt(width).
    pub fn plain(queries: usize, keys: usize, width: usize) -> Self {
        Self {
            queries,
            keys,
            width,
            scale: None,
            cap: None,
            window: None,
            chunk: None,
        }
    }

    /// What q . k is multiplied by.
    pub fn scale(self) -> f64 {
        self.scale.unwrap_or_else(|| 1.0 / (self.width as f64).sqrt())
    }

    /// The first token that the one at a position sees.
    pub fn first_seen(self, position: usize) -> usize {
        let of_window = self.window.map_or(0, |window| (position + 1).saturating_sub(window));
        let of_chunk = self.chunk.map_or(0, |chunk| position / chunk * chunk);
        of_window.max(of_chunk)
    }

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

/// Products of two matrices' rows, summed over columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowProducts {
    /// d_t = sum over i of x_ti y_ti.
    pub sums: Vec<f64>,
    /// q_t = sum over i of (x_ti y_ti)^2.
    pub squares: Vec<f64>,
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

fn narrow(values: Vec<f64>) -> Vec<f32> {
    values.into_iter().map(|value| value as f32).collect()
}

/// Columns of one of several matrices, or of zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnRun {
    /// Which of the matrices; `None` for zeros.
    pub part: Option<usize>,
    /// The first column.
    pub first: usize,
    /// How many.
    pub count: usize,
}

/// What a device must be able to do.
pub trait Kernels: Send + Sync {
    /// A matrix `[rows, columns]` on the device.
    type Matrix: Clone + Send + Sync;

    /// A few words for manifests: backend and precision.
    fn describe(&self) -> String;

    /// Runs work that is made of calls of these kernels. Where threads share the kernels' work it runs on one of them, so that no kernel
    /// need wake another thread first. The work waits for nobody: it holds no lock that other work of the same threads may want.
    fn together<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        work()
    }

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

    /// Brings a matrix back in float64, which rounds nothing where the device computes in it.
    ///
    /// # Errors
    /// When the device failed.
    fn wide(&self, matrix: &Self::Matrix) -> Result<Vec<f64>, ModelError> {
        Ok(wide(&self.download(matrix)?))
    }

    /// Brings a matrix of float64 to the device, which rounds it where it computes in float32.
    fn upload_wide(&self, rows: usize, columns: usize, values: Vec<f64>) -> Self::Matrix {
        self.upload(rows, columns, narrow(values))
    }

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

    /// factor x.
    fn scaled(&self, x: Self::Matrix, factor: f64) -> Self::Matrix;

    /// What a linear map reads, rounded as a checkpoint asks for; see [`InputRounding`].
    ///
    /// # Shapes
    /// `x` and the result `[n, in]`; groups of columns divide `in`.
    fn rounded(&self, x: &Self::Matrix, rounding: &InputRounding) -> Self::Matrix;

    /// The soft cap c tanh(x / c).
    fn capped(&self, x: Self::Matrix, cap: f64) -> Self::Matrix;

    /// Gradient of [`Self::capped`] at its input x: g (1 - tanh(x / c)^2).
    fn capped_backward(&self, x: &Self::Matrix, cap: f64, gradient: Self::Matrix) -> Self::Matrix;

    /// The norm of whole rows that a description asks for: [`Self::norm`] or [`Self::layer_norm`].
    fn norm_of(&self, kind: NormKind, x: &Self::Matrix, weight: &Self::Matrix, width: usize, epsilon: f64) -> Self::Matrix {
        match kind {
            NormKind::Rms => self.norm(x, weight, width, epsilon),
            NormKind::Layer => self.layer_norm(x, weight, epsilon),
        }
    }

    /// Gradient of [`Self::norm_of`] at its input.
    fn norm_of_backward(&self, kind: NormKind, x: &Self::Matrix, weight: &Self::Matrix, width: usize, epsilon: f64, gradient: &Self::Matrix) -> Self::Matrix {
        match kind {
            NormKind::Rms => self.norm_backward(x, weight, width, epsilon, gradient),
            NormKind::Layer => self.layer_norm_backward(x, weight, epsilon, gradient),
        }
    }

    /// Norm of whole rows about their mean: y = w (x - m) / sqrt(mean((x - m)^2) + epsilon) + b, with m = mean(x).
    ///
    /// # Shapes
    /// `x [n, width]`, `weight [1, width]`, or `[2, width]` with b below w.
    fn layer_norm(&self, x: &Self::Matrix, weight: &Self::Matrix, epsilon: f64) -> Self::Matrix;

    /// Gradient of [`Self::layer_norm`] at its input: with z = (x - m) r, r = 1 / sqrt(mean((x - m)^2) + epsilon) and h = w g,
    /// dx = r (h - mean(h) - z mean(h z)).
    fn layer_norm_backward(&self, x: &Self::Matrix, weight: &Self::Matrix, epsilon: f64, gradient: &Self::Matrix) -> Self::Matrix;

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

    /// Rotary position embedding: (a, b) -> (a cos - b sin, b cos + a sin) for pairs of the first 2 p features of each head; what is
    /// beyond them stays. With [`RopePairs::Halves`] a is among the first p of them and b as far among the next p; with
    /// [`RopePairs::Neighbours`] they stand side by side.
    ///
    /// # Shapes
    /// `x [n, k * width]`, `cosine` and `sine` `[n, p]` with 2 p <= width.
    fn rotate(&self, x: Self::Matrix, width: usize, pairs: RopePairs, cosine: &Self::Matrix, sine: &Self::Matrix, turn: RopeDirection) -> Self::Matrix;

    /// Causal attention of packed runs of tokens over keys and values from the beginning of their sequence:
    /// o_t = sum over s <= t of softmax(q_t . k_s / sqrt(width)) v_s, the scores scaled, capped and within a window or
    /// chunk as `heads` says.
    ///
    /// Where `sinks` are given, each head has one score more, which takes its share of the softmax and has no value.
    ///
    /// # Shapes
    /// `queries [n, heads * width]`, the runs one below the other; `keys` and `values` `[tokens, key heads * width]` hold every
    /// token up to the last one of a run; `sinks [1, heads]`; out as `queries`.
    fn attention(
        &self,
        heads: Heads,
        queries: &Self::Matrix,
        keys: &Self::Matrix,
        values: &Self::Matrix,
        sinks: Option<&Self::Matrix>,
        runs: &[SequenceSpan],
    ) -> Self::Matrix;

    /// Gradients of [`Self::attention`] at the queries, and at the keys and values of the same run's tokens only: everything
    /// else is held constant, other runs too. With D = rowsum(dO * O), dS = P * (dO V^T - D) / sqrt(width):
    /// dQ = dS K, dK = dS^T Q, dV = P^T dO; a cap multiplies dS by 1 - tanh(s / c)^2.
    ///
    /// # Shapes
    /// `output` and `gradient` as `queries`; out: `dQ` as `queries`, `dK` and `dV` `[n, key heads * width]`.
    fn attention_backward(
        &self,
        heads: Heads,
        queries: &Self::Matrix,
        keys: &Self::Matrix,
        values: &Self::Matrix,
        sinks: Option<&Self::Matrix>,
        runs: &[SequenceSpan],
        output: &Self::Matrix,
        gradient: &Self::Matrix,
    ) -> (Self::Matrix, Self::Matrix, Self::Matrix);

    /// Columns of matrices side by side, in the order of `runs`; they may come by several times.
    ///
    /// # Shapes
    /// `parts` each `[n, d]` with a `d` of its own; out: `[n, sum of the runs' counts]`.
    fn arrange(&self, parts: &[&Self::Matrix], runs: &[ColumnRun]) -> Self::Matrix;

    /// Gradients of [`Self::arrange`] at its parts, `widths` columns wide: sums over all places at which a column stands.
    ///
    /// # Shapes
    /// `gradient` as the result of [`Self::arrange`]; out: `[n, width]` each.
    fn arrange_backward(&self, gradient: &Self::Matrix, widths: &[usize], runs: &[ColumnRun]) -> Vec<Self::Matrix>;

    /// `onto` with the rows of `x` added to those at `rows`, each of which stands there once.
    ///
    /// # Shapes
    /// `onto [n, d]`, `x [rows, d]`.
    fn add_rows(&self, onto: Self::Matrix, rows: &[usize], x: &Self::Matrix) -> Self::Matrix;

    /// Rows times a number each.
    ///
    /// # Shapes
    /// `x [n, d]`, `factors [n, 1]`.
    fn scaled_rows(&self, x: Self::Matrix, factors: &Self::Matrix) -> Self::Matrix;

    /// Products of rows with the same rows of another matrix, summed over columns, on the device.
    ///
    /// # Shapes
    /// `x` and `y` `[n, d]`; out: `[n, 1]`.
    fn row_dots(&self, x: &Self::Matrix, y: &Self::Matrix) -> Self::Matrix;

    /// Which experts a router chooses for each token, by its outputs; see [`Router`].
    ///
    /// # Shapes
    /// `outputs [n, experts]`, `bias [experts]`; out: `[n * chosen]`, one token after the other.
    ///
    /// # Errors
    /// When the device failed.
    fn choose(&self, router: &Router, outputs: &Self::Matrix, bias: Option<&[f32]>) -> Result<Vec<usize>, ModelError> {
        let values = self.download(outputs)?;
        Ok(values
            .chunks_exact(router.experts)
            .flat_map(|row| routing::choose(router, &wide(row), bias))
            .collect())
    }

    /// The weights of chosen experts, by the router's outputs.
    ///
    /// # Shapes
    /// `outputs [n, experts]`, `experts [n * chosen]`; out: `[n * chosen, 1]`.
    ///
    /// # Errors
    /// When the device failed.
    fn choice_weights(&self, router: &Router, outputs: &Self::Matrix, experts: &[usize]) -> Result<Self::Matrix, ModelError> {
        let values = self.download(outputs)?;
        let rows = values.chunks_exact(router.experts).zip(experts.chunks_exact(router.chosen));
        let weights: Vec<f32> = rows.flat_map(|(row, experts)| narrow(routing::weights(router, &wide(row), experts))).collect();
        Ok(self.upload(experts.len(), 1, weights))
    }

    /// Gradient at a router's outputs, given that at the weights of the chosen; which are chosen is held constant.
    ///
    /// # Shapes
    /// `outputs [n, experts]`, `experts [n * chosen]`, `gradient [n * chosen, 1]`; out as `outputs`.
    ///
    /// # Errors
    /// When the device failed.
    fn choice_weights_backward(&self, router: &Router, outputs: &Self::Matrix, experts: &[usize], gradient: &Self::Matrix) -> Result<Self::Matrix, ModelError> {
        let (values, gradient) = (self.download(outputs)?, self.download(gradient)?);
        let chosen = experts.chunks_exact(router.chosen).zip(gradient.chunks_exact(router.chosen));
        let back = (values.chunks_exact(router.experts).zip(chosen))
            .flat_map(|(row, (experts, gradient))| narrow(routing::weights_backward(router, &wide(row), experts, &wide(gradient))))
            .collect();
        Ok(self.upload(self.rows(outputs), router.experts, back))
    }

    /// The gated activation f(gate) * up; see [`Activation`] for f.
    fn gated(&self, activation: Activation, gate: &Self::Matrix, up: &Self::Matrix) -> Self::Matrix;

    /// Gradients of [`Self::gated`] at gate and up.
    fn gated_backward(&self, activation: Activation, gate: &Self::Matrix, up: &Self::Matrix, gradient: &Self::Matrix) -> (Self::Matrix, Self::Matrix);

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

    /// Products of rows with the same rows of another matrix, summed over columns as they are and squared ([`RowProducts`]).
    ///
    /// # Shapes
    /// `x` and `y` `[n, d]`; out: `[n]` each.
    ///
    /// # Errors
    /// When the device failed.
    fn row_products(&self, x: &Self::Matrix, y: &Self::Matrix) -> Result<RowProducts, ModelError>;
}
