//! Generation in plain float64 loops.

use super::{Matrix64, ReferenceKernels, probabilities};
use crate::kernels::generation::{GenerationKernels, Projection};
use crate::kernels::{Heads, Kernels as _, SequenceSpan};

impl GenerationKernels for ReferenceKernels {
    type Weight = Matrix64;
    type Cache = Matrix64;

    fn hold(&self, rows: usize, columns: usize, values: Vec<f32>) -> Matrix64 {
        self.upload(rows, columns, values)
    }

    fn held_as(&self, weight: &Matrix64) -> (&'static str, usize) {
        ("float64", 8 * weight.values.len())
    }

    fn rows_are_independent(&self) -> bool {
        true
    }

    fn project_prompt(&self, x: &Matrix64, (weight, bias): Projection<'_, Self>) -> Matrix64 {
        self.linear(x, weight, bias, None)
    }

    fn project_step(&self, x: &Matrix64, projections: &[Projection<'_, Self>]) -> Vec<Matrix64> {
        projections.iter().map(|(weight, bias)| self.linear(x, weight, *bias, None)).collect()
    }

    fn cache(&self, heads: Heads) -> Matrix64 {
        Matrix64::zeros(0, heads.keys * heads.width)
    }

    fn extend(&self, cache: &mut Matrix64, x: &Matrix64, first: usize, count: usize) {
        for row in first..first + count {
            cache.values.extend_from_slice(x.row(row));
        }
        cache.rows += count;
    }

    fn attend(&self, heads: Heads, queries: &Matrix64, sinks: Option<&Matrix64>, runs: &[(SequenceSpan, &Matrix64, &Matrix64)]) -> Matrix64 {
        let mut output = Matrix64::zeros(queries.rows, queries.columns);
        let mut next = 0;
        for (run, keys, values) in runs {
            for row in 0..run.rows {
                for head in 0..heads.queries {
                    let (at, shared) = (head * heads.width, head / heads.group() * heads.width);
                    let p = probabilities(
                        heads,
                        &queries.row(next)[at..][..heads.width],
                        keys,
                        shared,
                        sinks.map(|sinks| sinks.values[head]),
                        run.position + row + 1,
                    );
                    for (s, p) in p.into_iter().enumerate() {
                        for i in 0..heads.width {
                            output.row_mut(next)[at + i] += p * values.row(s)[shared + i];
                        }
                    }
                }
                next += 1;
            }
        }
        output
    }
}
