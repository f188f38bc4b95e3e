//! Causal attention in tiles of queries, one task a head and tile; nothing of size tokens x tokens is held.

use crate::wide::wide;
use rayon::prelude::*;

use super::super::{Heads, SequenceSpan};
use super::elementwise::dot;
use super::exponential::exp;
use super::nonlinear::{cap_slope, capped};
use super::product::{Operand, multiply_into, turn};

/// Query rows of a tile.
const TILE: usize = 64;

/// The columns of one head in a row-major matrix whose rows hold `stride` values, from row `first` on.
fn head<'a>(values: &'a [f32], stride: usize, first: usize, column: usize) -> Operand<'a> {
    Operand {
        values: &values[first * stride + column..],
        row_stride: stride,
        column_stride: 1,
    }
}

fn transposed(operand: Operand<'_>) -> Operand<'_> {
    Operand {
        row_stride: operand.column_stride,
        column_stride: operand.row_stride,
        ..operand
    }
}

/// Keys or values as the right side of a product with queries' rows, `[width, tokens]` for each of their heads: prepared once, where a
/// product for each tile of queries would prepare them anew. Few queries take them as they stand.
struct Sideways<'a> {
    values: &'a [f32],
    heads: Heads,
    /// The tokens that any query sees.
    first: usize,
    tokens: usize,
    turned: Vec<Vec<f32>>,
}

impl<'a> Sideways<'a> {
    /// For the queries of these runs.
    fn new(heads: Heads, values: &'a [f32], runs: &[SequenceSpan]) -> Self {
        let stride = heads.keys * heads.width;
        let first = runs.iter().map(|run| heads.first_seen(run.position)).min().unwrap_or(0);
        let end = runs.iter().map(|run| run.position + run.rows).max().unwrap_or(0);
        let tokens = end.saturating_sub(first);
        let turned = if runs.iter().map(|run| run.rows).sum::<usize>() < TILE {
            Vec::new()
        } else {
            let of_head = |key_head: usize| turn(&transposed(head(values, stride, first, key_head * heads.width)), heads.width, tokens);
            (0..heads.keys).into_par_iter().map(of_head).collect()
        };
        Self {
            values,
            heads,
            first,
            tokens,
            turned,
        }
    }

    /// Of a head, from a token on.
    fn head(&self, key_head: usize, first: usize) -> Operand<'_> {
        match self.turned.get(key_head) {
            Some(turned) => Operand::rows(&turned[first - self.first..], self.tokens),
            None => transposed(head(self.values, self.heads.keys * self.heads.width, first, key_head * self.heads.width)),
        }
    }
}

/// What q . k is multiplied by.
pub(super) fn scale_of(heads: Heads) -> f32 {
    match heads.scale {
        Some(scale) => scale as f32,
        None => 1.0 / (heads.width as f32).sqrt(),
    }
}

/// Caps scaled scores in place, where they are capped.
pub(super) fn cap(heads: Heads, scores: &mut [f32]) {
    if let Some(cap) = heads.cap.map(|cap| cap as f32) {
        wide(
            #[inline(always)]
            || {
                for score in scores.iter_mut() {
                    *score = capped(*score, cap);
                }
            },
        );
    }
}

/// Turns scaled scores `[rows, seen]` into probabilities in place; row r sees the first `visible + r` columns, without those before
/// `first(r)`. A sink is one score more, whose share is left out.
pub(super) fn softmax(scores: &mut [f32], seen: usize, visible: usize, first: impl Fn(usize) -> usize, sink: Option<f32>) {
    wide(
        #[inline(always)]
        || {
            for (row, scores) in scores.chunks_exact_mut(seen).enumerate() {
                let (scores, hidden) = scores.split_at_mut(visible + row);
                hidden.fill(0.0);
                let (before, scores) = scores.split_at_mut(first(row));
                before.fill(0.0);
                let mut lanes = [f32::NEG_INFINITY; 16];
                let (chunks, rest) = scores.as_chunks::<16>();
                for chunk in chunks {
                    for lane in 0..16 {
                        lanes[lane] = if chunk[lane] > lanes[lane] { chunk[lane] } else { lanes[lane] };
                    }
                }
                let largest = lanes.into_iter().chain(rest.iter().copied()).chain(sink).fold(f32::NEG_INFINITY, f32::max);
                let mut sums = [0.0f32; 16];
                if let Some(sink) = sink {
                    sums[0] = exp(sink - largest);
                }
                let (chunks, rest) = scores.as_chunks_mut::<16>();
                for chunk in chunks {
                    for lane in 0..16 {
                        chunk[lane] = exp(chunk[lane] - largest);
                        sums[lane] += chunk[lane];
                    }
                }
                for value in rest {
                    *value = exp(*value - largest);
                    sums[0] += *value;
                }
                let scale = 1.0 / sums.iter().sum::<f32>();
                for value in scores.iter_mut() {
                    *value *= scale;
                }
            }
        },
    );
}

/// See [`super::Kernels::attention`].
pub(super) fn forward(heads: Heads, queries: &[f32], keys: &[f32], values: &[f32], sinks: Option<&[f32]>, runs: &[SequenceSpan]) -> Vec<f32> {
    let (q_stride, k_stride) = (heads.queries * heads.width, heads.keys * heads.width);
    let scale = scale_of(heads);
    let sideways = Sideways::new(heads, keys, runs);
    let mut output = vec![0.0; queries.len()];
    let mut tiles = Vec::new();
    let mut rest = output.as_mut_slice();
    for (start, run) in SequenceSpan::placed(runs) {
        for first in (0..run.rows).step_by(TILE) {
            let (tile, after) = rest.split_at_mut(TILE.min(run.rows - first) * q_stride);
            tiles.push((start + first, run.position + first, tile));
            rest = after;
        }
    }
    tiles.into_par_iter().for_each(|(row, position, output)| {
        let n = output.len() / q_stride;
        // Keys before the first row's window are seen by no row.
        let lowest = heads.first_seen(position);
        let seen = position + n - lowest;
        let mut scores = vec![0.0; n * seen];
        for query_head in 0..heads.queries {
            let (at, shared) = (query_head * heads.width, query_head / heads.group() * heads.width);
            let q = head(queries, q_stride, row, at);
            multiply_into(
                [n, heads.width, seen],
                &mut scores,
                seen,
                false,
                q,
                sideways.head(query_head / heads.group(), lowest),
                scale,
            );
            cap(heads, &mut scores);
            let first = |row: usize| heads.first_seen(position + row) - lowest;
            softmax(&mut scores, seen, position + 1 - lowest, first, sinks.map(|sinks| sinks[query_head]));
            let p = Operand {
                values: &scores,
                row_stride: seen,
                column_stride: 1,
            };
            multiply_into(
                [n, seen, heads.width],
                &mut output[at..],
                q_stride,
                false,
                p,
                head(values, k_stride, lowest, shared),
                1.0,
            );
        }
    });
    output
}

/// What one task of the backward pass gives: a key head's gradients at queries `[n, group * width]`, keys and values `[n, width]`.
struct HeadGradient {
    queries: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
}

/// See [`super::Kernels::attention_backward`].
pub(super) fn backward(
    heads: Heads,
    queries: &[f32],
    keys: &[f32],
    values: &[f32],
    sinks: Option<&[f32]>,
    runs: &[SequenceSpan],
    output: &[f32],
    gradient: &[f32],
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let (q_stride, k_stride, width) = (heads.queries * heads.width, heads.keys * heads.width, heads.width);
    let rows = queries.len() / q_stride;
    let tasks: Vec<(usize, SequenceSpan, usize)> = SequenceSpan::placed(runs)
        .flat_map(|(first, run)| (0..heads.keys).map(move |key_head| (first, run, key_head)))
        .collect();
    let sideways = [keys, values].map(|matrix| Sideways::new(heads, matrix, runs));
    let parts: Vec<HeadGradient> = tasks
        .par_iter()
        .map(|(first, run, key_head)| {
            let own = first * q_stride..(first + run.rows) * q_stride;
            one_key_head(
                heads,
                *key_head,
                &queries[own.clone()],
                keys,
                &sideways,
                sinks,
                run.position,
                &output[own.clone()],
                &gradient[own],
            )
        })
        .collect();
    let (mut dq, mut dk, mut dv) = (vec![0.0; rows * q_stride], vec![0.0; rows * k_stride], vec![0.0; rows * k_stride]);
    let wide = heads.group() * width;
    for ((first, run, key_head), part) in tasks.iter().zip(&parts) {
        for row in 0..run.rows {
            let place = first + row;
            dq[place * q_stride + key_head * wide..][..wide].copy_from_slice(&part.queries[row * wide..][..wide]);
            dk[place * k_stride + key_head * width..][..width].copy_from_slice(&part.keys[row * width..][..width]);
            dv[place * k_stride + key_head * width..][..width].copy_from_slice(&part.values[row * width..][..width]);
        }
    }
    (dq, dk, dv)
}

fn one_key_head(
    heads: Heads,
    key_head: usize,
    queries: &[f32],
    keys: &[f32],
    [keys_sideways, values_sideways]: &[Sideways<'_>; 2],
    sinks: Option<&[f32]>,
    position: usize,
    output: &[f32],
    gradient: &[f32],
) -> HeadGradient {
    let (q_stride, k_stride, width) = (heads.queries * heads.width, heads.keys * heads.width, heads.width);
    let wide = heads.group() * width;
    let rows = queries.len() / q_stride;
    let shared = key_head * width;
    let scale = scale_of(heads);
    let mut found = HeadGradient {
        queries: vec![0.0; rows * wide],
        keys: vec![0.0; rows * width],
        values: vec![0.0; rows * width],
    };
    for first in (0..rows).step_by(TILE) {
        let n = TILE.min(rows - first);
        let lowest = heads.first_seen(position + first);
        let seen = position + first + n - lowest;
        // Columns of this segment's own tokens, and the row of the segment that the first of them stands for.
        let (own_column, own_row) = (position.saturating_sub(lowest), lowest.saturating_sub(position));
        let inside = first + n - own_row;
        let (mut p, mut ds) = (vec![0.0; n * seen], vec![0.0; n * seen]);
        let mut slopes = Vec::new();
        for in_group in 0..heads.group() {
            let at = (key_head * heads.group() + in_group) * width;
            let (q, g) = (head(queries, q_stride, first, at), head(gradient, q_stride, first, at));
            let k = head(keys, k_stride, lowest, shared);
            multiply_into([n, width, seen], &mut p, seen, false, q, keys_sideways.head(key_head, lowest), scale);
            if let Some(cap) = heads.cap.map(|cap| cap as f32) {
                slopes.clear();
                slopes.extend(p.iter().map(|score| cap_slope(*score, cap)));
            }
            cap(heads, &mut p);
            let sink = sinks.map(|sinks| sinks[key_head * heads.group() + in_group]);
            let begin = |row: usize| heads.first_seen(position + first + row) - lowest;
            softmax(&mut p, seen, position + first + 1 - lowest, begin, sink);
            multiply_into([n, width, seen], &mut ds, seen, false, g, values_sideways.head(key_head, lowest), 1.0);
            for row in 0..n {
                let place = (first + row) * q_stride + at;
                let d = dot(&output[place..][..width], &gradient[place..][..width]);
                score_gradient(&mut ds[row * seen..][..seen], &p[row * seen..][..seen], d, scale);
            }
            for (ds, slope) in ds.iter_mut().zip(&slopes) {
                *ds *= slope;
            }
            let tile = |values| Operand {
                values,
                row_stride: seen,
                column_stride: 1,
            };
            multiply_into(
                [n, seen, width],
                &mut found.queries[first * wide + in_group * width..],
                wide,
                false,
                tile(&ds),
                k,
                1.0,
            );
            // Only the columns of this segment's own tokens go back into keys and values: the prefix is constant.
            let own = |values| {
                transposed(Operand {
                    values,
                    row_stride: seen,
                    column_stride: 1,
                })
            };
            multiply_into(
                [inside, n, width],
                &mut found.keys[own_row * width..],
                width,
                true,
                own(&ds[own_column..]),
                q,
                1.0,
            );
            multiply_into(
                [inside, n, width],
                &mut found.values[own_row * width..],
                width,
                true,
                own(&p[own_column..]),
                g,
                1.0,
            );
        }
    }
    found
}

/// dS = P * (dP - D) * scale, over dP.
fn score_gradient(dp: &mut [f32], p: &[f32], d: f32, scale: f32) {
    wide(
        #[inline(always)]
        || {
            for (dp, p) in dp.iter_mut().zip(p) {
                *dp = p * (*dp - d) * scale;
            }
        },
    );
}
