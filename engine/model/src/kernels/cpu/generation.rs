//! Generation on the CPU: weights in their shortest form, products for few rows, caches in plain vectors.

use rayon::prelude::*;

use super::attention;
use super::cache::CpuCache;
use super::held::HeldWeight;
use super::product::{Operand, multiply};
use super::{CpuKernels, CpuMatrix, rows, step, step_attention};
use crate::kernels::generation::{GenerationKernels, Projection};
use crate::kernels::{Heads, SequenceSpan};

/// Rows of a weight that are turned into float32 at a time for a prompt.
const READ_ROWS: usize = 512;
/// Rows and weights up to which a prompt goes the way of a step: packing a small matrix for a product costs more than the product.
/// The miniature reads prompts of twenty tokens 2.5 times as fast for it.
const FEW_ROWS: usize = 32;
const FEW_WEIGHTS: usize = 1 << 17;

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

    fn project_prompt(&self, x: &CpuMatrix, (weight, bias): Projection<'_, Self>) -> CpuMatrix {
        if x.rows <= FEW_ROWS && weight.rows * weight.columns <= FEW_WEIGHTS {
            let values = step::products(&x.values, x.rows, &[weight]).pop().unwrap_or_default();
            let mut y = CpuMatrix::new(x.rows, weight.rows, values);
            add_bias(&mut y, bias);
            return y;
        }
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

    fn cache(&self, heads: Heads) -> CpuCache {
        CpuCache::new(heads)
    }

    fn extend(&self, cache: &mut CpuCache, x: &CpuMatrix, first: usize, count: usize) {
        cache.extend(x, first, count);
    }

    fn attend(&self, heads: Heads, queries: &CpuMatrix, sinks: Option<&CpuMatrix>, runs: &[(SequenceSpan, &CpuCache, &CpuCache)]) -> CpuMatrix {
        let sinks = sinks.map(CpuMatrix::values);
        let mut output = CpuMatrix::new(queries.rows, queries.columns, vec![0.0; queries.values.len()]);
        if runs.iter().all(|(run, _, _)| run.rows == 1) {
            step_attention::attention(heads, &queries.values, sinks, runs, &mut output.values);
            return output;
        }
        // The queries of one key head after the other, as the keys lie.
        let wide = heads.group() * heads.width;
        let alone = Heads {
            queries: heads.group(),
            keys: 1,
            ..heads
        };
        let mut next = 0;
        for (run, keys, values) in runs {
            let rows = next..next + run.rows;
            next = rows.end;
            let parts: Vec<Vec<f32>> = (0..heads.keys)
                .into_par_iter()
                .map(|head| {
                    let own: Vec<f32> = (rows.clone())
                        .flat_map(|row| &queries.values[row * queries.columns + head * wide..][..wide])
                        .copied()
                        .collect();
                    let sinks = sinks.map(|sinks| &sinks[head * heads.group()..][..heads.group()]);
                    attention::forward(alone, &own, keys.head(head), values.head(head), sinks, &[*run])
                })
                .collect();
            for (head, part) in parts.iter().enumerate() {
                for (row, part) in rows.clone().zip(part.chunks_exact(wide)) {
                    output.values[row * queries.columns + head * wide..][..wide].copy_from_slice(part);
                }
            }
        }
        output
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
