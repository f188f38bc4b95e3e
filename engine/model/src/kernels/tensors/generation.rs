//! Generation in burn tensors.

use burn::tensor::Tensor;

use super::TensorKernels;
use crate::kernels::generation::{GenerationKernels, Projection};
use crate::kernels::{Heads, Kernels as _, SequenceSpan};

/// Rows by which a cache grows at least.
const GROWTH: usize = 256;

/// Keys or values in a tensor with room to spare: `[capacity, width]`, of which the first `rows` are filled.
#[derive(Clone, Debug)]
pub struct TensorCache {
    /// None while nothing is in it.
    filled: Option<Tensor<2>>,
    rows: usize,
}

impl GenerationKernels for TensorKernels {
    type Weight = Tensor<2>;
    type Cache = TensorCache;

    fn hold(&self, rows: usize, columns: usize, values: Vec<f32>) -> Tensor<2> {
        self.upload(rows, columns, values)
    }

    fn held_as(&self, weight: &Tensor<2>) -> (&'static str, usize) {
        ("float32", 4 * weight.shape().num_elements())
    }

    /// Libraries choose another way to multiply for another number of rows.
    fn rows_are_independent(&self) -> bool {
        false
    }

    fn project_prompt(&self, x: &Tensor<2>, (weight, bias): Projection<'_, Self>) -> Tensor<2> {
        self.linear(x, weight, bias, None)
    }

    fn project_step(&self, x: &Tensor<2>, projections: &[Projection<'_, Self>]) -> Vec<Tensor<2>> {
        projections.iter().map(|(weight, bias)| self.linear(x, weight, *bias, None)).collect()
    }

    fn cache(&self, _: Heads) -> TensorCache {
        TensorCache { filled: None, rows: 0 }
    }

    fn extend(&self, cache: &mut TensorCache, x: &Tensor<2>, first: usize, count: usize) {
        if count == 0 {
            return;
        }
        let width = x.dims()[1];
        let added = x.clone().narrow(0, first, count);
        let needed = cache.rows + count;
        // Taken out, so that the tensor has one owner and may be written in place.
        let filled = match cache.filled.take() {
            Some(filled) if filled.dims()[0] >= needed => filled,
            Some(filled) => {
                let more = (needed - filled.dims()[0]).max(filled.dims()[0] / 2).max(GROWTH);
                Tensor::cat(vec![filled, self.floats(vec![0.0; more * width], [more, width])], 0)
            }
            None => {
                let capacity = needed + GROWTH;
                self.floats(vec![0.0; capacity * width], [capacity, width])
            }
        };
        cache.filled = Some(filled.slice_assign([cache.rows..needed, 0..width], added));
        cache.rows = needed;
    }

    fn attend(&self, heads: Heads, queries: &Tensor<2>, sinks: Option<&Tensor<2>>, runs: &[(SequenceSpan, &TensorCache, &TensorCache)]) -> Tensor<2> {
        let mut parts = Vec::new();
        let mut next = 0;
        for (run, keys, values) in runs {
            if let (Some(keys), Some(values)) = (&keys.filled, &values.filled) {
                let own = queries.clone().narrow(0, next, run.rows);
                parts.push(self.attention(heads, &own, keys, values, sinks, &[*run]));
            }
            next += run.rows;
        }
        Tensor::cat(parts, 0)
    }
}
