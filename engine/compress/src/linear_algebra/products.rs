//! Matrix products in fixed tiles, each on one thread.

use cruxscope_model::product::{Operand, Scalar, multiply_into};
use cruxscope_model::wide::wide;
use rayon::prelude::*;

use super::TILE;

fn tiled<T: Scalar>([rows, inner, columns]: [usize; 3], left: &[T], right: Operand<'_, T>) -> Vec<T> {
    let mut out = vec![T::default(); rows * columns];
    if columns > 0 {
        out.par_chunks_mut(TILE * columns).enumerate().for_each(|(tile, out)| {
            let tile_rows = out.len() / columns;
            let left = Operand::rows(&left[tile * TILE * inner..], inner);
            multiply_into([tile_rows, inner, columns], out, columns, false, left, right, T::ONE);
        });
    }
    out
}

/// `A · B` on this thread; `A` is row-major.
///
/// # Shapes
/// `[m, k] × [k, n] → [m, n]`, as in [`multiply_into`].
pub fn product_here<T: Scalar>(left: &[T], right: Operand<'_, T>, [m, k, n]: [usize; 3]) -> Vec<T> {
    let mut out = vec![T::default(); m * n];
    multiply_into([m, k, n], &mut out, n, false, Operand::rows(left, k), right, T::ONE);
    out
}

/// Numbers that are summed side by side.
const LANES: usize = 16;

/// The sum of what `term` makes of pairs, in lanes of float64.
#[inline(always)]
fn sum_of_pairs(left: &[f32], right: &[f32], term: impl Fn(f32, f32) -> f64) -> f64 {
    let mut lanes = [0.0f64; LANES];
    let ((left, left_rest), (right, right_rest)) = (left.as_chunks::<LANES>(), right.as_chunks::<LANES>());
    for (left, right) in left.iter().zip(right) {
        for lane in 0..LANES {
            lanes[lane] += term(left[lane], right[lane]);
        }
    }
    let rest = left_rest.iter().zip(right_rest).map(|(left, right)| term(*left, *right));
    lanes.iter().sum::<f64>() + rest.sum::<f64>()
}

/// `Σ a b`, summed in float64.
pub fn dot(left: &[f32], right: &[f32]) -> f64 {
    wide(
        #[inline(always)]
        || sum_of_pairs(left, right, |a, b| f64::from(a) * f64::from(b)),
    )
}

/// `Σ (a − b)²`, summed in float64 in parts of a fixed length.
pub fn squared_distance(left: &[f32], right: &[f32]) -> f64 {
    const PART: usize = 1 << 16;
    let of_part = |(left, right): (&[f32], &[f32])| {
        wide(
            #[inline(always)]
            || sum_of_pairs(left, right, |a, b| f64::from(a - b) * f64::from(a - b)),
        )
    };
    let parts: Vec<f64> = left.par_chunks(PART).zip(right.par_chunks(PART)).map(of_part).collect();
    parts.iter().sum()
}

/// `tr(A H Aᵀ)` for a symmetric `H`, of which one triangle is read: half the work of `A H`.
///
/// With column blocks J: `Σ_J ⟨A_J, A_J H_JJ + 2 A_{<J} H_{<J,J}⟩`.
///
/// # Shapes
/// `matrix` `[rows, columns]`, `symmetric` `[columns, columns]`.
pub fn quadratic_form(matrix: &[f32], symmetric: &[f32], columns: usize) -> f64 {
    if columns == 0 {
        return 0.0;
    }
    let parts: Vec<f64> = matrix
        .par_chunks(2 * TILE * columns)
        .map(|matrix| {
            let rows = matrix.len() / columns;
            let mut sum = 0.0;
            let (mut products, mut own) = (Vec::new(), Vec::new());
            for first in (0..columns).step_by(2 * TILE) {
                let width = (2 * TILE).min(columns - first);
                products.resize(rows * width, 0.0);
                own.clear();
                for row in matrix.chunks_exact(columns) {
                    own.extend_from_slice(&row[first..first + width]);
                }
                for (start, length, factor) in [(first, width, 1.0), (0, first, 2.0)] {
                    if length > 0 {
                        let left = Operand::rows(&matrix[start..], columns);
                        let right = Operand::rows(&symmetric[start * columns + first..], columns);
                        multiply_into([rows, length, width], &mut products[..rows * width], width, false, left, right, 1.0);
                        sum += factor * dot(&products[..rows * width], &own);
                    }
                }
            }
            sum
        })
        .collect();
    parts.iter().sum()
}

/// `A · B`, over threads.
///
/// # Shapes
/// `left` `[rows, inner]`, `right` `[inner, columns]`, result `[rows, columns]`.
pub fn product<T: Scalar>(left: &[T], right: &[T], rows: usize, inner: usize, columns: usize) -> Vec<T> {
    tiled([rows, inner, columns], left, Operand::rows(right, columns))
}

/// `A · Bᵀ`, over threads: what a linear layer computes.
///
/// # Shapes
/// `left` `[rows, inner]`, `right` `[columns, inner]`, result `[rows, columns]`.
pub fn product_transposed<T: Scalar>(left: &[T], right: &[T], rows: usize, inner: usize, columns: usize) -> Vec<T> {
    tiled([rows, inner, columns], left, Operand::transposed(right, inner))
}

/// Tokens that are summed in float32 before the sum goes on in float64.
const TOKENS_AT_ONCE: usize = 512;

fn accumulate(sum: &mut [f64], left: &[f32], right: &[f32], columns: usize, lower_only: bool) {
    if columns == 0 {
        return;
    }
    let tokens = left.len().min(right.len()) / columns;
    // Tall tiles: every one of them prepares the inputs anew.
    let height = if columns >= 16 * TILE { 4 * TILE } else { TILE };
    sum.par_chunks_mut(height * columns).enumerate().for_each(|(tile, sum)| {
        let first = tile * height;
        let tile_rows = sum.len() / columns;
        let width = if lower_only { first + tile_rows } else { columns };
        let mut part = vec![0.0f32; tile_rows * width];
        for start in (0..tokens).step_by(TOKENS_AT_ONCE) {
            let count = TOKENS_AT_ONCE.min(tokens - start);
            let left = Operand::transposed(&left[start * columns + first..], columns);
            let right = Operand::rows(&right[start * columns..], columns);
            multiply_into([tile_rows, count, width], &mut part, width, false, left, right, 1.0);
            wide(
                #[inline(always)]
                || {
                    for (sum, part) in sum.chunks_mut(columns).zip(part.chunks(width)) {
                        for (sum, &part) in sum.iter_mut().zip(part) {
                            *sum += f64::from(part);
                        }
                    }
                },
            );
        }
    });
}

/// Adds the lower triangle of `XᵀX` to `sum`; [`mirror_lower`] fills the rest when all is added. Float32 products of 512 tokens
/// at a time, summed in float64.
///
/// # Shapes
/// `sum` `[columns, columns]`, `inputs` `[tokens, columns]`.
pub fn accumulate_gram_lower(sum: &mut [f64], inputs: &[f32], columns: usize) {
    accumulate(sum, inputs, inputs, columns, true);
}

/// Adds `AᵀB` to `sum`, for two sets of inputs of the same tokens.
///
/// # Shapes
/// `sum` `[columns, columns]`, `left` and `right` `[tokens, columns]`.
pub fn accumulate_cross_gram(sum: &mut [f64], left: &[f32], right: &[f32], columns: usize) {
    accumulate(sum, left, right, columns, false);
}

/// Copies the strict lower triangle over the upper one, square by square: a whole column at a time would miss every cache.
pub fn mirror_lower(matrix: &mut [f64], n: usize) {
    for top in (0..n).step_by(TILE) {
        for left in (top..n).step_by(TILE) {
            for row in top..(top + TILE).min(n) {
                for column in left.max(row + 1)..(left + TILE).min(n) {
                    matrix[row * n + column] = matrix[column * n + row];
                }
            }
        }
    }
}

/// `XᵀX` of `[tokens, columns]` inputs.
pub fn gram(inputs: &[f32], columns: usize) -> Vec<f64> {
    let mut sum = vec![0.0; columns * columns];
    accumulate_gram_lower(&mut sum, inputs, columns);
    mirror_lower(&mut sum, columns);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_distances_agree_with_plain_loops() {
        let value = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 504.5 - 1.0;
        for (rows, columns) in [(1, 1), (5, 300), (300, 257), (40, 700)] {
            let inputs: Vec<f32> = (0..50 * columns).map(value).collect();
            let hessian: Vec<f32> = gram(&inputs, columns).iter().map(|value| *value as f32).collect();
            let matrix: Vec<f32> = (0..rows * columns).map(|i| value(i + 31)).collect();
            let mut plain = 0.0;
            for row in matrix.chunks(columns) {
                for (i, a) in row.iter().enumerate() {
                    plain += f64::from(*a) * row.iter().zip(&hessian[i * columns..]).map(|(b, h)| f64::from(*b) * f64::from(*h)).sum::<f64>();
                }
            }
            let found = quadratic_form(&matrix, &hessian, columns);
            assert!((found / plain - 1.0).abs() < 2e-5, "{rows} {columns}: {found} {plain}");
            let other: Vec<f32> = matrix.iter().rev().copied().collect();
            let plain: f64 = matrix.iter().zip(&other).map(|(a, b)| f64::from(a - b).powi(2)).sum();
            assert!((squared_distance(&matrix, &other) - plain).abs() <= 1e-9 * plain);
            let plain: f64 = matrix.iter().zip(&other).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            assert!((dot(&matrix, &other) - plain).abs() < 1e-9 * (rows * columns) as f64);
        }
        assert_eq!(quadratic_form(&[], &[], 0), 0.0);
    }

    #[test]
    fn products_and_grams_agree_with_plain_loops() {
        let (tokens, columns) = (700, 150);
        let value = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 504.5 - 1.0;
        let x: Vec<f32> = (0..tokens * columns).map(value).collect();
        let y: Vec<f32> = (0..tokens * columns).map(|i| value(i + 31)).collect();
        let mut cross = vec![0.0; columns * columns];
        accumulate_cross_gram(&mut cross, &x, &y, columns);
        let own = gram(&x, columns);
        for i in 0..columns {
            for j in 0..columns {
                let plain = |a: &[f32], b: &[f32]| (0..tokens).map(|t| f64::from(a[t * columns + i]) * f64::from(b[t * columns + j])).sum::<f64>();
                assert!((plain(&x, &x) - own[i * columns + j]).abs() < 1e-2 && own[i * columns + j] == own[j * columns + i]);
                assert!((plain(&x, &y) - cross[i * columns + j]).abs() < 1e-2);
            }
        }
        let left: Vec<f64> = x.iter().take(200 * 30).map(|&x| f64::from(x)).collect();
        let right: Vec<f64> = y.iter().take(30 * 40).map(|&x| f64::from(x)).collect();
        let plain = product(&left, &right, 200, 30, 40);
        let transposed = product_transposed(&left, &right, 200, 30, 40);
        for row in 0..200 {
            for column in 0..40 {
                let expected: f64 = (0..30).map(|k| left[row * 30 + k] * right[k * 40 + column]).sum();
                assert!((plain[row * 40 + column] - expected).abs() < 1e-12);
                let expected: f64 = (0..30).map(|k| left[row * 30 + k] * right[column * 30 + k]).sum();
                assert!((transposed[row * 40 + column] - expected).abs() < 1e-12);
            }
        }
    }
}
