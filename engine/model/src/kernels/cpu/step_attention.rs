//! Attention for a step of generation: one row a sequence, over the keys and values of that sequence.
//!
//! One task a sequence and key head. Every sum runs in one order, as in [`step`](super::step).

use pulp::{Arch, NullaryFnOnce};
use rayon::prelude::*;

use super::attention::{cap, scale_of, softmax};
use super::cache::CpuCache;
use super::lanes::{LANES, Lanes, Plain};
use crate::kernels::{Heads, SequenceSpan};

/// Vectors of values that are summed side by side.
const TOGETHER: usize = 4;

/// See [`GenerationKernels::attend`](crate::kernels::generation::GenerationKernels::attend); every run has one row.
///
/// # Shapes
/// `queries [n, heads * width]`, as `output`, which is written over.
pub(super) fn attention(heads: Heads, queries: &[f32], sinks: Option<&[f32]>, runs: &[(SequenceSpan, &CpuCache, &CpuCache)], output: &mut [f32]) {
    let wide = heads.group() * heads.width;
    let tasks = output.par_chunks_mut(wide).zip(queries.par_chunks(wide)).enumerate();
    tasks.for_each(|(task, (output, queries))| {
        let (run, keys, values) = runs[task / heads.keys];
        let (width, head, seen) = (heads.width, task % heads.keys, run.position + 1);
        let lowest = heads.first_seen(run.position);
        let of_window = lowest * width..seen * width;
        let (keys, values) = (&keys.head(head)[of_window.clone()], &values.head(head)[of_window]);
        let seen = seen - lowest;
        let mut scores = vec![0.0; heads.group() * seen];
        let all = Scores {
            width,
            scale: scale_of(heads),
            queries,
            keys,
        };
        on_best(&all, &mut scores);
        cap(heads, &mut scores);
        for (in_group, scores) in scores.chunks_exact_mut(seen).enumerate() {
            softmax(scores, seen, seen, |_| 0, sinks.map(|sinks| sinks[head * heads.group() + in_group]));
        }
        let all = Outputs {
            width,
            scores: &scores,
            values,
        };
        on_best(&all, output);
    });
}

/// Something that is computed in lanes.
trait InLanes {
    fn compute<L: Lanes>(&self, lanes: L, out: &mut [f32]);
}

/// Not a closure: one as large as this is not inlined into the function that may use the wide instructions.
struct With<'a, L, W> {
    lanes: L,
    what: &'a W,
    out: &'a mut [f32],
}

impl<L: Lanes, W: InLanes> NullaryFnOnce for With<'_, L, W> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.what.compute(self.lanes, self.out);
    }
}

/// Computes with the best instruction set that is there.
fn on_best<W: InLanes>(what: &W, out: &mut [f32]) {
    match Arch::new() {
        #[cfg(target_arch = "x86_64")]
        Arch::V4(lanes) => pulp::Simd::vectorize(lanes, With { lanes, what, out }),
        #[cfg(target_arch = "x86_64")]
        Arch::V3(lanes) => pulp::Simd::vectorize(lanes, With { lanes, what, out }),
        other => other.dispatch(With { lanes: Plain, what, out }),
    }
}

/// Scaled products of the queries that share a key head, `[group, width]`, with its keys, `[seen, width]`: `[group, seen]`.
struct Scores<'a> {
    width: usize,
    scale: f32,
    queries: &'a [f32],
    keys: &'a [f32],
}

impl InLanes for Scores<'_> {
    #[inline(always)]
    fn compute<L: Lanes>(&self, lanes: L, out: &mut [f32]) {
        let scale = self.scale;
        let seen = self.keys.len() / self.width;
        for (s, key) in self.keys.chunks_exact(self.width).enumerate() {
            let (key, key_rest) = key.as_chunks::<LANES>();
            for (head, query) in self.queries.chunks_exact(self.width).enumerate() {
                let (query, query_rest) = query.as_chunks::<LANES>();
                let mut sum = lanes.splat(0.0);
                for (query, key) in query.iter().zip(key) {
                    sum = lanes.add(sum, lanes.multiply(lanes.load(query), lanes.load(key)));
                }
                let rest: f32 = query_rest.iter().zip(key_rest).map(|(query, key)| query * key).sum();
                out[head * seen + s] = scale * (lanes.sum(sum) + rest);
            }
        }
    }
}

/// Sums of the values of a key head, `[seen, width]`, weighted for each of its queries, `[group, seen]`: `[group, width]`.
struct Outputs<'a> {
    width: usize,
    scores: &'a [f32],
    values: &'a [f32],
}

impl Outputs<'_> {
    /// `N` vectors of one query's output, from column `from` on.
    #[inline(always)]
    fn vectors<L: Lanes, const N: usize>(&self, lanes: L, scores: &[f32], from: usize, out: &mut [[f32; LANES]]) {
        let mut sums = [lanes.splat(0.0); N];
        for (p, value) in scores.iter().zip(self.values.chunks_exact(self.width)) {
            let p = lanes.splat(*p);
            let value = value[from..][..N * LANES].as_chunks::<LANES>().0;
            for n in 0..N {
                sums[n] = lanes.add(sums[n], lanes.multiply(p, lanes.load(&value[n])));
            }
        }
        for n in 0..N {
            out[n] = lanes.store(sums[n]);
        }
    }
}

impl InLanes for Outputs<'_> {
    #[inline(always)]
    fn compute<L: Lanes>(&self, lanes: L, out: &mut [f32]) {
        for (out, scores) in out.chunks_exact_mut(self.width).zip(self.scores.chunks_exact(self.values.len() / self.width)) {
            let (vectors, rest) = out.as_chunks_mut::<LANES>();
            let many = vectors.len() / TOGETHER * TOGETHER;
            for first in (0..many).step_by(TOGETHER) {
                self.vectors::<L, TOGETHER>(lanes, scores, first * LANES, &mut vectors[first..][..TOGETHER]);
            }
            for first in many..vectors.len() {
                self.vectors::<L, 1>(lanes, scores, first * LANES, &mut vectors[first..][..1]);
            }
            let from = self.width / LANES * LANES;
            for (place, out) in rest.iter_mut().enumerate() {
                let values = self.values.chunks_exact(self.width).map(|value| value[from + place]);
                *out = scores.iter().zip(values).map(|(p, value)| p * value).sum();
            }
        }
    }
}
