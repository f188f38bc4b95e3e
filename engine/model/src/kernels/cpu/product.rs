//! Matrix products that make a fresh matrix, in fixed parts that threads share.
//!
//! Large products are cut into panels of columns, and tiles of rows where panels are few. The cut depends on the shape alone, and every
//! part is computed on one thread, so results are the same on any number of threads; and no thread waits for another to prepare operands, as it
//! does where one product is shared.

use rayon::prelude::*;

use crate::product::multiply_raw;
use crate::wide::wide;

pub(super) use crate::product::multiply_into;

/// A float32 matrix inside a slice.
pub(super) type Operand<'a> = crate::product::Operand<'a, f32>;

/// Multiply-adds from which a product is worth more than one part.
const CUT: usize = 1 << 20;
/// Columns of a panel: a multiple of the vectors that products are made of.
const PANEL: (usize, usize) = (64, 256);
/// Panels that are enough for many threads, so that rows need not be cut too.
const ENOUGH: usize = 16;
/// Rows of a tile: less, and preparing a panel costs more than a thirtieth of the product.
const TILE: usize = 512;
/// Rows from which a transposed panel is worth what it costs.
const WORTH: usize = 128;
/// Columns that are transposed at a time.
const SQUARE: usize = 16;

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
    if m > 0 && n > 0 {
        let place = Place(out.as_mut_ptr());
        let part = |part: &Part| {
            let left = Operand {
                values: &left.values[part.row * left.row_stride..],
                ..left
            };
            let right = Operand {
                values: &right.values[part.column * right.column_stride..],
                ..right
            };
            let turned;
            let right = if part.rows >= WORTH && right.row_stride == 1 && right.column_stride > 1 {
                turned = turn(&right, k, part.columns);
                Operand::rows(&turned, part.columns)
            } else {
                right
            };
            // SAFETY: parts lie inside the result and do not overlap. The operands lie inside their slices and the result inside its
            // allocation, as asserted above; without `accumulate` the result is written and never read.
            unsafe {
                let out = place.at(part.row * n + part.column);
                multiply_raw([part.rows, k, part.columns], out, n, accumulate, left, right, 1.0);
            }
        };
        match parts(shape).as_slice() {
            [alone] => part(alone),
            parts => parts.par_iter().for_each(part),
        }
        // SAFETY: every part was written.
        unsafe { out.set_len(m * n) }
    }
    out
}

/// Where a result begins, for threads that write different parts of it.
struct Place(*mut f32);

// SAFETY: the pointer is only used to write parts that do not overlap.
unsafe impl Sync for Place {}

impl Place {
    /// A place further on.
    ///
    /// # Safety
    /// It lies inside the result's allocation.
    unsafe fn at(&self, offset: usize) -> *mut f32 {
        // SAFETY: the caller's promise.
        unsafe { self.0.add(offset) }
    }
}

/// Rows and columns of the result.
struct Part {
    row: usize,
    rows: usize,
    column: usize,
    columns: usize,
}

/// How a product is cut.
fn parts([m, k, n]: [usize; 3]) -> Vec<Part> {
    let (mut tile, mut panel) = (m, n);
    if m.saturating_mul(k).saturating_mul(n) >= CUT {
        panel = (n / 8).next_multiple_of(PANEL.0).clamp(PANEL.0, PANEL.1);
        if n.div_ceil(panel) < ENOUGH {
            tile = m.div_ceil(m.div_ceil(TILE));
        }
    }
    let columns = || (0..n).step_by(panel).map(|column| (column, panel.min(n - column)));
    (0..m)
        .step_by(tile)
        .flat_map(|row| {
            columns().map(move |(column, columns)| Part {
                row,
                rows: tile.min(m - row),
                column,
                columns,
            })
        })
        .collect()
}

/// A transposed matrix `[k, columns]` as a row-major one. The library prepares columns that lie apart one number at a time, which takes three
/// times as long.
pub(super) fn turn(right: &Operand<'_>, k: usize, columns: usize) -> Vec<f32> {
    let mut turned = vec![0.0; k * columns];
    wide(
        #[inline(always)]
        || {
            for first in (0..columns).step_by(SQUARE) {
                let count = SQUARE.min(columns - first);
                let mut sources: [&[f32]; SQUARE] = [&[]; SQUARE];
                for (column, source) in sources.iter_mut().enumerate() {
                    *source = &right.values[(first + column.min(count - 1)) * right.column_stride..][..k];
                }
                let whole = if count == SQUARE { k / SQUARE * SQUARE } else { 0 };
                for row in (0..whole).step_by(SQUARE) {
                    let mut square = [[0.0; SQUARE]; SQUARE];
                    for (line, source) in square.iter_mut().zip(&sources) {
                        line.copy_from_slice(&source[row..row + SQUARE]);
                    }
                    for r in 0..SQUARE {
                        let line = &mut turned[(row + r) * columns + first..][..SQUARE];
                        for column in 0..SQUARE {
                            line[column] = square[column][r];
                        }
                    }
                }
                for row in whole..k {
                    for column in 0..count {
                        turned[row * columns + first + column] = sources[column][row];
                    }
                }
            }
        },
    );
    turned
}

/// The same for few rows.
pub(super) fn multiply_rows(shape: [usize; 3], left: Operand<'_>, right: Operand<'_>) -> Vec<f32> {
    multiply(shape, left, right, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0).collect()
    }

    #[test]
    fn parts_give_the_product_on_any_number_of_threads() {
        for [m, k, n] in [
            [3, 5, 7],
            [200, 512, 130],
            [1100, 512, 192],
            [130, 1024, 600],
            [1, 1024, 2000],
            [140, 520, 5000],
        ] {
            let (x, w) = (numbers(m * k, 1), numbers(n * k, 2));
            let of = |threads: usize, turned: bool, onto: Option<Vec<f32>>| {
                let right = if turned { Operand::transposed(&w, k) } else { Operand::rows(&w, n) };
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| multiply([m, k, n], Operand::rows(&x, k), right, onto))
            };
            for turned in [true, false] {
                let found = of(1, turned, None);
                assert_eq!(found, of(5, turned, None), "{m} {k} {n}");
                let added = of(3, turned, Some(vec![1.0; m * n]));
                for place in (0..m * n).step_by(1 + m * n / 700) {
                    let (row, column) = (place / n, place % n);
                    let weight = |i: usize| if turned { w[column * k + i] } else { w[i * n + column] };
                    let terms = (0..k).map(|i| f64::from(x[row * k + i]) * f64::from(weight(i)));
                    let (wanted, size) = terms.fold((0.0, 1.0), |(sum, size), term| (sum + term, size + term.abs()));
                    // Float32 sums of any processor, whatever their order.
                    let allowed = 1.5e-6 * size;
                    assert!((f64::from(found[place]) - wanted).abs() < allowed, "{m} {k} {n}: {} {wanted}", found[place]);
                    assert!((f64::from(added[place]) - 1.0 - wanted).abs() < allowed);
                }
            }
        }
    }

    #[test]
    fn parts_cover_the_result_once() {
        for [m, k, n] in [[1, 1, 1], [900, 576, 576], [900, 576, 192], [3000, 64, 100], [7, 4096, 14_337]] {
            let mut covered = vec![0u8; m * n];
            for part in parts([m, k, n]) {
                for row in part.row..part.row + part.rows {
                    covered[row * n + part.column..][..part.columns].iter_mut().for_each(|count| *count += 1);
                }
            }
            assert!(covered.iter().all(|count| *count == 1), "{m} {k} {n}");
        }
    }
}
