//! Matrix products that make a fresh matrix, on as many threads as they are worth.

use gemm::Parallelism;

use crate::product::multiply_raw;

pub(super) use crate::product::multiply_into;

/// A float32 matrix inside a slice.
pub(super) type Operand<'a> = crate::product::Operand<'a, f32>;

/// Multiply-adds from which a product is worth more than one thread.
const THREADED: usize = 1 << 20;

/// `onto + left * right`, or `left * right`, as a fresh row-major matrix. Shapes: `[m, k] x [k, n]`.
pub(super) fn multiply(shape: [usize; 3], left: Operand<'_>, right: Operand<'_>, onto: Option<Vec<f32>>) -> Vec<f32> {
    let [m, k, n] = shape;
    let accumulate = onto.is_some();
    let mut out = onto.unwrap_or_else(|| Vec::with_capacity(m * n));
    assert!(!accumulate || out.len() == m * n, "a matrix product is added to a matrix of its own shape");
    assert!(
        out.capacity() >= m * n && left.holds(m, k) && right.holds(k, n),
        "the operands of a matrix product lie inside their slices"
    );
    let threads = if m * k * n < THREADED || rayon::current_num_threads() == 1 {
        Parallelism::None
    } else {
        Parallelism::Rayon(0)
    };
    if m > 0 && n > 0 {
        // SAFETY: the operands lie inside their slices and the result inside its allocation, as asserted above; without
        // `accumulate` the result is written and never read.
        unsafe {
            multiply_raw(shape, out.as_mut_ptr(), n, accumulate, left, right, 1.0, threads);
            out.set_len(m * n);
        }
    }
    out
}

/// The same for few rows: the product is threaded over columns by `gemm` alone when it is large.
pub(super) fn multiply_rows(shape: [usize; 3], left: Operand<'_>, right: Operand<'_>) -> Vec<f32> {
    multiply(shape, left, right, None)
}
