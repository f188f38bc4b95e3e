//! Matrix products over strided slices in main memory, by the `gemm` crate: the one door to it.

use gemm::Parallelism;

/// `f32` or `f64`: what products are taken of.
pub trait Scalar: Copy + Send + Sync + Default + 'static {
    /// One.
    const ONE: Self;
}

impl Scalar for f32 {
    const ONE: Self = 1.0;
}

impl Scalar for f64 {
    const ONE: Self = 1.0;
}

/// A matrix inside a slice: element (row, column) stands at `row · row_stride + column · column_stride`.
#[derive(Debug, Clone, Copy)]
pub struct Operand<'a, T> {
    /// The slice.
    pub values: &'a [T],
    /// From one row to the next.
    pub row_stride: usize,
    /// From one column to the next.
    pub column_stride: usize,
}

impl<'a, T> Operand<'a, T> {
    /// A row-major matrix whose rows start `row_stride` apart.
    pub fn rows(values: &'a [T], row_stride: usize) -> Self {
        Self {
            values,
            row_stride,
            column_stride: 1,
        }
    }

    /// The transpose of a row-major matrix whose rows start `row_stride` apart.
    pub fn transposed(values: &'a [T], row_stride: usize) -> Self {
        Self {
            values,
            row_stride: 1,
            column_stride: row_stride,
        }
    }

    /// Whether every element of a `rows x columns` matrix lies inside the slice.
    pub(crate) fn holds(&self, rows: usize, columns: usize) -> bool {
        rows == 0 || columns == 0 || last(rows, self.row_stride).saturating_add(last(columns, self.column_stride)) < self.values.len()
    }
}

/// Where the last of `count` places stands; saturating, so that no size can wrap around to a place inside a slice.
fn last(count: usize, stride: usize) -> usize {
    (count - 1).saturating_mul(stride)
}

/// `out = keep · out + factor · left · right` on this thread, into rows that start `out_stride` apart.
///
/// With `keep` false, what `out` held is not read.
///
/// # Shapes
/// `[m, k] × [k, n] → [m, n]`. An operand that does not lie inside its slice is a mistake of the caller and ends the program.
pub fn multiply_into<T: Scalar>([m, k, n]: [usize; 3], out: &mut [T], out_stride: usize, keep: bool, left: Operand<'_, T>, right: Operand<'_, T>, factor: T) {
    let room = m == 0 || n == 0 || last(m, out_stride).saturating_add(n) <= out.len();
    assert!(
        room && n <= out_stride.max(n * usize::from(m <= 1)) && left.holds(m, k) && right.holds(k, n),
        "the operands of a matrix product lie inside their slices"
    );
    if m == 0 || n == 0 {
        return;
    }
    // SAFETY: all three matrices lie inside their slices and rows of the result do not overlap, as asserted above.
    unsafe { multiply_raw([m, k, n], out.as_mut_ptr(), out_stride, keep, left, right, factor) }
}

/// The same into memory that need not be initialised.
///
/// # Safety
/// `left` and `right` hold `[m, k]` and `[k, n]`; `out` points to room for `[m, n]` with its stride, initialised if `keep` is set.
pub(crate) unsafe fn multiply_raw<T: Scalar>(
    [m, k, n]: [usize; 3],
    out: *mut T,
    out_stride: usize,
    keep: bool,
    left: Operand<'_, T>,
    right: Operand<'_, T>,
    factor: T,
) {
    // SAFETY: the caller's promise is exactly what `gemm` asks.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out,
            1,
            out_stride as isize,
            keep,
            left.values.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.values.as_ptr(),
            right.column_stride as isize,
            right.row_stride as isize,
            T::ONE,
            factor,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}
