//! Attention whose output is gated: one map gives queries and, head by head beside them, a gate; what attention gives is multiplied by the
//! sigmoid of the latter.

use crate::decoder::LayerShape;
use crate::kernels::{ColumnRun, Kernels};

/// Where queries (0), or the gate of what attention gives (1), stand among the outputs of one map that gives both head by head.
fn places(shape: &LayerShape, which: usize) -> Vec<ColumnRun> {
    let width = shape.heads.width;
    let of_head = |head: usize| ColumnRun {
        part: Some(0),
        first: (2 * head + which) * width,
        count: width,
    };
    (0..shape.heads.queries).map(of_head).collect()
}

/// Queries, and the gate of what attention gives, out of one map that gives both head by head; nothing where it gives queries alone.
///
/// # Shapes
/// `x [n, 2 * heads * head_dim]`; out: `[n, heads * head_dim]` each.
pub fn split<K: Kernels>(kernels: &K, shape: &LayerShape, x: &K::Matrix) -> Option<(K::Matrix, K::Matrix)> {
    let half = |which: usize| kernels.arrange(&[x], &places(shape, which));
    shape.block.output_gate.then(|| (half(0), half(1)))
}

/// Gradient at the output of the map of [`split`], given those at queries and gate.
///
/// # Shapes
/// `at_queries` and `at_gate` `[n, heads * head_dim]`; out: `[n, 2 * heads * head_dim]`.
pub fn backward<K: Kernels>(kernels: &K, shape: &LayerShape, at_queries: &K::Matrix, at_gate: &K::Matrix) -> K::Matrix {
    let width = shape.heads.width;
    let both = (0..shape.heads.queries).flat_map(|head| [0, 1].map(|part| (head, part)));
    let runs: Vec<ColumnRun> = both
        .map(|(head, part)| ColumnRun {
            part: Some(part),
            first: head * width,
            count: width,
        })
        .collect();
    kernels.arrange(&[at_queries, at_gate], &runs)
}
