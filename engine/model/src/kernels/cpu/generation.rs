//! Generation on the CPU: weights in their shortest form, products for few rows, caches in plain vectors.

use super::attention;
use super::held::HeldWeight;
use super::product::{Operand, multiply};
use super::{CpuKernels, CpuMatrix, rows, step};
use crate::kernels::generation::{GenerationKernels, Projection};
use crate::kernels::{Heads, Run};

/// Rows of a weight that are turned into float32 at a time for a prompt.
const READ_ROWS: usize = 512;
/// Rows by which a cache grows at least.
const GROWTH: usize = 256;

/// Keys or values of one layer of a sequence, row-major `[tokens, width]`.
#[derive(Clone, Debug)]
pub struct CpuCache {
    width: usize,
    values: Vec<f32>,
}

impl CpuCache {
    /// The keys or values of one token.
    #[inline(always)]
    pub(super) fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.width..][..self.width]
    }
}

impl GenerationKernels for CpuKernels {
    type Weight = HeldWeight;
    type Cache = CpuCache;

    fn hold(&self, rows: usize, columns: usize, values: Vec<f32>) -> HeldWeight {
        HeldWeight::new(rows, columns, values)
    }

    fn held_as(&self, weight: &HeldWeight) -> (&'static str, usize) {
        weight.held_as()
    }

    fn rows_are_independent(&self) -> bool {
        true
    }

    fn together<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        rayon::scope(|_| work())
    }

    fn project_prompt(&self, x: &CpuMatrix, (weight, bias): Projection<'_, Self>) -> CpuMatrix {
        let mut y = CpuMatrix::new(x.rows, weight.rows, vec![0.0; x.rows * weight.rows]);
        for first in (0..weight.rows).step_by(READ_ROWS) {
            let count = READ_ROWS.min(weight.rows - first);
            let read = rows::read_rows(weight, first, count);
            let transposed = Operand {
                values: &read,
                row_stride: 1,
                column_stride: weight.columns,
            };
            let part = multiply([x.rows, x.columns, count], x.operand(), transposed, None);
            for (y, part) in y.values.chunks_exact_mut(weight.rows).zip(part.chunks_exact(count)) {
                y[first..first + count].copy_from_slice(part);
            }
        }
        add_bias(&mut y, bias);
        y
    }

    fn project_step(&self, x: &CpuMatrix, projections: &[Projection<'_, Self>]) -> Vec<CpuMatrix> {
        let weights: Vec<&HeldWeight> = projections.iter().map(|(weight, _)| *weight).collect();
        let products = step::products(&x.values, x.rows, &weights);
        (products.into_iter().zip(projections))
            .map(|(values, (weight, bias))| {
                let mut y = CpuMatrix::new(x.rows, weight.rows, values);
                add_bias(&mut y, *bias);
                y
            })
            .collect()
    }

    fn cache(&self, width: usize) -> CpuCache {
        CpuCache { width, values: Vec::new() }
    }

    fn extend(&self, cache: &mut CpuCache, x: &CpuMatrix, first: usize, count: usize) {
        let added = &x.values[first * x.columns..][..count * x.columns];
        if cache.values.capacity() - cache.values.len() < added.len() {
            // By a quarter rather than to the double: caches are what fills the memory in long generations.
            let more = added.len().max(cache.values.len() / 4).max(GROWTH * cache.width);
            cache.values.reserve_exact(more);
        }
        cache.values.extend_from_slice(added);
    }

    fn attend(&self, heads: Heads, queries: &CpuMatrix, runs: &[(Run, &CpuCache, &CpuCache)]) -> CpuMatrix {
        if runs.iter().all(|(run, _, _)| run.rows == 1) {
            return CpuMatrix::new(queries.rows, queries.columns, step::attention(heads, &queries.values, runs));
        }
        let mut output = Vec::with_capacity(queries.values.len());
        for (run, keys, values) in runs {
            let own = &queries.values[output.len()..][..run.rows * queries.columns];
            output.extend(attention::forward(heads, own, &keys.values, &values.values, &[*run]));
        }
        CpuMatrix::new(queries.rows, queries.columns, output)
    }
}

fn add_bias(y: &mut CpuMatrix, bias: Option<&CpuMatrix>) {
    let Some(bias) = bias else { return };
    for row in y.values.chunks_exact_mut(bias.columns) {
        for (value, bias) in row.iter_mut().zip(&bias.values) {
            *value += bias;
        }
    }
}
