//! Keys and values of a sequence while it is generated.

use super::CpuMatrix;
use crate::kernels::Heads;

/// Rows by which a cache grows at least.
const GROWTH: usize = 256;

/// Keys or values of one layer of a sequence: for each key head `[tokens, width]`, so that a step reads each in one go.
#[derive(Clone, Debug)]
pub struct CpuCache {
    width: usize,
    heads: Vec<Vec<f32>>,
}

impl CpuCache {
    /// An empty one.
    pub(super) fn new(heads: Heads) -> Self {
        Self {
            width: heads.width,
            heads: vec![Vec::new(); heads.keys],
        }
    }

    /// The keys or values of one head, `[tokens, width]`.
    pub(super) fn head(&self, head: usize) -> &[f32] {
        &self.heads[head]
    }

    /// Adds `count` rows of `x`, `[tokens, key heads * width]`, from row `first` on.
    pub(super) fn extend(&mut self, x: &CpuMatrix, first: usize, count: usize) {
        let width = self.width;
        for (head, values) in self.heads.iter_mut().enumerate() {
            if values.capacity() - values.len() < count * width {
                // By a quarter rather than to the double: caches are what fills the memory in long generations.
                values.reserve_exact((count * width).max(values.len() / 4).max(GROWTH * width));
            }
            for row in first..first + count {
                values.extend_from_slice(&x.values[row * x.columns + head * width..][..width]);
            }
        }
    }
}
