//! Attention in burn tensors, in tiles of queries.

use burn::tensor::activation::softmax;
use burn::tensor::{Bool, Tensor};

use super::TensorKernels;
use crate::kernels::{Heads, SequenceSpan};

/// Scores held at once in one tile of attention; 4 bytes each, and a handful of arrays of this size live at a time.
const SCORES: usize = 8 << 20;

impl TensorKernels {
    /// [`Kernels::attention`](crate::kernels::Kernels::attention).
    pub(super) fn attended(&self, heads: Heads, queries: &Tensor<2>, keys: &Tensor<2>, values: &Tensor<2>, runs: &[SequenceSpan]) -> Tensor<2> {
        let mut parts = Vec::new();
        for (start, run) in SequenceSpan::placed(runs) {
            let tile = Self::tile(heads, run.position + run.rows);
            for first in (0..run.rows).step_by(tile) {
                let n = tile.min(run.rows - first);
                let seen = run.position + first + n;
                let q = Self::by_key_head(heads, queries.clone().narrow(0, start + first, n));
                let p = self.probabilities(heads, q, Self::prefix(heads, keys, seen), n, run.position + first);
                let o = p.reshape([heads.keys, heads.group() * n, seen]).matmul(Self::prefix(heads, values, seen));
                parts.push(Self::by_token(heads, o));
            }
        }
        Tensor::cat(parts, 0)
    }

    /// [`Kernels::attention_backward`](crate::kernels::Kernels::attention_backward).
    pub(super) fn attended_backward(
        &self,
        heads: Heads,
        queries: &Tensor<2>,
        keys: &Tensor<2>,
        values: &Tensor<2>,
        runs: &[SequenceSpan],
        output: &Tensor<2>,
        gradient: &Tensor<2>,
    ) -> (Tensor<2>, Tensor<2>, Tensor<2>) {
        let (mut dq, mut dk, mut dv) = (Vec::new(), Vec::new(), Vec::new());
        for (first, run) in SequenceSpan::placed(runs) {
            let own = |x: &Tensor<2>| x.clone().narrow(0, first, run.rows);
            let (q, k, v) = self.run_backward(heads, own(queries), keys, values, run, own(output), own(gradient));
            dq.push(q);
            dk.push(k);
            dv.push(v);
        }
        (Tensor::cat(dq, 0), Tensor::cat(dk, 0), Tensor::cat(dv, 0))
    }

    /// Query rows of a tile, given the keys that its last row sees.
    fn tile(heads: Heads, keys: usize) -> usize {
        (SCORES / (heads.queries * keys.max(1))).clamp(8, 512)
    }

    /// `[n, heads * width]` as `[key heads, group * n, width]`.
    fn by_key_head(heads: Heads, x: Tensor<2>) -> Tensor<3> {
        let n = x.dims()[0];
        x.reshape([n, heads.keys, heads.group(), heads.width])
            .permute([1, 2, 0, 3])
            .reshape([heads.keys, heads.group() * n, heads.width])
    }

    /// The reverse of [`Self::by_key_head`].
    fn by_token(heads: Heads, x: Tensor<3>) -> Tensor<2> {
        let n = x.dims()[1] / heads.group();
        x.reshape([heads.keys, heads.group(), n, heads.width])
            .permute([2, 0, 1, 3])
            .reshape([n, heads.queries * heads.width])
    }

    /// The first `count` keys or values as `[key heads, count, width]`.
    fn prefix(heads: Heads, x: &Tensor<2>, count: usize) -> Tensor<3> {
        x.clone().narrow(0, 0, count).reshape([count, heads.keys, heads.width]).permute([1, 0, 2])
    }

    /// Attention probabilities of the tile's rows, `[key heads, group, n, seen]`, the tile starting at `position`.
    fn probabilities(&self, heads: Heads, queries: Tensor<3>, keys: Tensor<3>, n: usize, position: usize) -> Tensor<4> {
        let seen = position + n;
        let scale = 1.0 / (heads.width as f64).sqrt();
        let scores = queries.matmul(keys.transpose()).mul_scalar(scale).reshape([heads.keys, heads.group(), n, seen]);
        let hidden = Tensor::<2, Bool>::tril_mask([n, seen], position as i64, &self.device)
            .reshape([1, 1, n, seen])
            .expand([heads.keys, heads.group(), n, seen]);
        softmax(scores.mask_fill(hidden, -1e30), 3)
    }

    /// [`Self::attended_backward`] for one run.
    fn run_backward(
        &self,
        heads: Heads,
        queries: Tensor<2>,
        keys: &Tensor<2>,
        values: &Tensor<2>,
        run: SequenceSpan,
        output: Tensor<2>,
        gradient: Tensor<2>,
    ) -> (Tensor<2>, Tensor<2>, Tensor<2>) {
        let SequenceSpan { position, rows } = run;
        let tile = Self::tile(heads, position + rows);
        let scale = 1.0 / (heads.width as f64).sqrt();
        let zeros = || Tensor::<3>::zeros([heads.keys, rows, heads.width], &self.device);
        let (mut dk, mut dv) = (zeros(), zeros());
        let mut dq = Vec::new();
        for first in (0..rows).step_by(tile) {
            let n = tile.min(rows - first);
            let seen = position + first + n;
            let slice = |x: &Tensor<2>| Self::by_key_head(heads, x.clone().narrow(0, first, n));
            let (q, o, g) = (slice(&queries), slice(&output), slice(&gradient));
            let (k, v) = (Self::prefix(heads, keys, seen), Self::prefix(heads, values, seen));
            let p = self
                .probabilities(heads, q.clone(), k.clone(), n, position + first)
                .reshape([heads.keys, heads.group() * n, seen]);
            let dp = g.clone().matmul(v.transpose());
            let d = (g.clone() * o).sum_dim(2);
            let ds = (p.clone() * (dp - d)).mul_scalar(scale);
            dq.push(Self::by_token(heads, ds.clone().matmul(k)));
            // Only the columns of this run's own tokens go back into keys and values: the prefix is constant.
            let columns = |x: Tensor<3>| x.slice([0..heads.keys, 0..heads.group() * n, position..seen]).transpose();
            let inside = [0..heads.keys, 0..first + n, 0..heads.width];
            let dk_here = dk.clone().slice(inside.clone()) + columns(ds).matmul(q);
            let dv_here = dv.clone().slice(inside.clone()) + columns(p).matmul(g);
            dk = dk.slice_assign(inside.clone(), dk_here);
            dv = dv.slice_assign(inside, dv_here);
        }
        let by_token = |x: Tensor<3>| x.permute([1, 0, 2]).reshape([rows, heads.keys * heads.width]);
        (Tensor::cat(dq, 0), by_token(dk), by_token(dv))
    }
}
