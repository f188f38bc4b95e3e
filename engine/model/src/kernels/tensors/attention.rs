//! Attention in burn tensors, in tiles of queries.

use burn::tensor::activation::softmax;
use burn::tensor::{Bool, Tensor, TensorData};

use super::TensorKernels;
use crate::kernels::{Heads, SequenceSpan};

/// Scores held at once in one tile of attention; 4 bytes each, and a handful of arrays of this size live at a time.
const SCORES: usize = 8 << 20;

/// The keys that a tile of query rows sees.
#[derive(Clone, Copy)]
struct Seen {
    /// Position of the first row.
    position: usize,
    /// Rows of the tile.
    rows: usize,
    /// The first key that any of them sees.
    first: usize,
    /// Keys from there up to the last row's own.
    keys: usize,
}

impl Seen {
    fn of(heads: Heads, position: usize, rows: usize) -> Self {
        let first = heads.first_seen(position);
        Self {
            position,
            rows,
            first,
            keys: position + rows - first,
        }
    }
}

impl TensorKernels {
    /// [`Kernels::attention`](crate::kernels::Kernels::attention).
    pub(super) fn attended(
        &self,
        heads: Heads,
        queries: &Tensor<2>,
        keys: &Tensor<2>,
        values: &Tensor<2>,
        sinks: Option<&Tensor<2>>,
        runs: &[SequenceSpan],
    ) -> Tensor<2> {
        let mut parts = Vec::new();
        for (start, run) in SequenceSpan::placed(runs) {
            let tile = Self::tile(heads, run.position + run.rows);
            for first in (0..run.rows).step_by(tile) {
                let n = tile.min(run.rows - first);
                let seen = Seen::of(heads, run.position + first, n);
                let q = Self::by_key_head(heads, queries.clone().narrow(0, start + first, n));
                let (p, _) = self.probabilities(heads, q, Self::prefix(heads, keys, seen), sinks, seen);
                let o = p.reshape([heads.keys, heads.group() * n, seen.keys]).matmul(Self::prefix(heads, values, seen));
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
        sinks: Option<&Tensor<2>>,
        runs: &[SequenceSpan],
        output: &Tensor<2>,
        gradient: &Tensor<2>,
    ) -> (Tensor<2>, Tensor<2>, Tensor<2>) {
        let (mut dq, mut dk, mut dv) = (Vec::new(), Vec::new(), Vec::new());
        for (first, run) in SequenceSpan::placed(runs) {
            let own = |x: &Tensor<2>| x.clone().narrow(0, first, run.rows);
            let (q, k, v) = self.run_backward(heads, own(queries), keys, values, sinks, run, own(output), own(gradient));
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

    /// The keys or values that a tile sees as `[key heads, keys, width]`.
    fn prefix(heads: Heads, x: &Tensor<2>, seen: Seen) -> Tensor<3> {
        x.clone()
            .narrow(0, seen.first, seen.keys)
            .reshape([seen.keys, heads.keys, heads.width])
            .permute([1, 0, 2])
    }

    /// Attention probabilities of the tile's rows, `[key heads, group, n, keys]`, and the slopes of a cap at their scores,
    /// `[key heads, group * n, keys]`, where there is one.
    fn probabilities(&self, heads: Heads, queries: Tensor<3>, keys: Tensor<3>, sinks: Option<&Tensor<2>>, seen: Seen) -> (Tensor<4>, Option<Tensor<3>>) {
        let Seen { rows: n, keys: count, .. } = seen;
        let mut scores = queries.matmul(keys.transpose()).mul_scalar(heads.scale());
        let slopes = heads.cap.map(|cap| {
            let share = scores.clone().div_scalar(cap);
            scores = share.clone().tanh().mul_scalar(cap);
            Self::slope_of_tanh(share)
        });
        let scores = scores.reshape([heads.keys, heads.group(), n, count]);
        let everywhere = |mask: Tensor<2, Bool>| mask.reshape([1, 1, n, count]).expand([heads.keys, heads.group(), n, count]);
        let after = (seen.position - seen.first) as i64;
        let mut scores = scores.mask_fill(everywhere(Tensor::tril_mask([n, count], after, &self.device)), -1e30);
        if let Some(window) = heads.window {
            let before = after - window as i64 + 1;
            scores = scores.mask_fill(everywhere(Tensor::triu_mask([n, count], before, &self.device)), -1e30);
        }
        if heads.chunk.is_some() {
            let begins = (seen.position..seen.position + n).map(|position| heads.first_seen(position));
            let hidden: Vec<bool> = begins.flat_map(|begin| (seen.first..seen.first + count).map(move |key| key < begin)).collect();
            let mask = Tensor::from_data(TensorData::new(hidden, [n, count]), &self.device);
            scores = scores.mask_fill(everywhere(mask), -1e30);
        }
        let Some(sinks) = sinks else { return (softmax(scores, 3), slopes) };
        let sinks = sinks
            .clone()
            .reshape([heads.keys, heads.group(), 1, 1])
            .expand([heads.keys, heads.group(), n, 1]);
        (softmax(Tensor::cat(vec![scores, sinks], 3), 3).narrow(3, 0, count), slopes)
    }

    /// [`Self::attended_backward`] for one run.
    fn run_backward(
        &self,
        heads: Heads,
        queries: Tensor<2>,
        keys: &Tensor<2>,
        values: &Tensor<2>,
        sinks: Option<&Tensor<2>>,
        run: SequenceSpan,
        output: Tensor<2>,
        gradient: Tensor<2>,
    ) -> (Tensor<2>, Tensor<2>, Tensor<2>) {
        let SequenceSpan { position, rows } = run;
        let tile = Self::tile(heads, position + rows);
        let zeros = || Tensor::<3>::zeros([heads.keys, rows, heads.width], &self.device);
        let (mut dk, mut dv) = (zeros(), zeros());
        let mut dq = Vec::new();
        for first in (0..rows).step_by(tile) {
            let n = tile.min(rows - first);
            let seen = Seen::of(heads, position + first, n);
            let slice = |x: &Tensor<2>| Self::by_key_head(heads, x.clone().narrow(0, first, n));
            let (q, o, g) = (slice(&queries), slice(&output), slice(&gradient));
            let (k, v) = (Self::prefix(heads, keys, seen), Self::prefix(heads, values, seen));
            let (p, slopes) = self.probabilities(heads, q.clone(), k.clone(), sinks, seen);
            let p = p.reshape([heads.keys, heads.group() * n, seen.keys]);
            let dp = g.clone().matmul(v.transpose());
            let d = (g.clone() * o).sum_dim(2);
            let mut ds = (p.clone() * (dp - d)).mul_scalar(heads.scale());
            if let Some(slopes) = slopes {
                ds = ds * slopes;
            }
            dq.push(Self::by_token(heads, ds.clone().matmul(k)));
            // Only the columns of this run's own tokens go back into keys and values: the prefix is constant.
            let own = position.max(seen.first);
            let columns = |x: Tensor<3>| x.slice([0..heads.keys, 0..heads.group() * n, own - seen.first..seen.keys]).transpose();
            let inside = [0..heads.keys, own - position..first + n, 0..heads.width];
            let dk_here = dk.clone().slice(inside.clone()) + columns(ds).matmul(q);
            let dv_here = dv.clone().slice(inside.clone()) + columns(p).matmul(g);
            dk = dk.slice_assign(inside.clone(), dk_here);
            dv = dv.slice_assign(inside, dv_here);
        }
        let by_token = |x: Tensor<3>| x.permute([1, 0, 2]).reshape([rows, heads.keys * heads.width]);
        (Tensor::cat(dq, 0), by_token(dk), by_token(dv))
    }
}
