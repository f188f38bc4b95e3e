//! Cholesky factors and triangular inverses in float64, in fixed tiles over threads.
//!
//! GPTQ and SparseGPT want `U` with `H⁻¹ = UᵀU`, upper triangular. It comes without an explicit inverse: with `J` the reversal of
//! all indices, `J H J = L Lᵀ` gives `U = J L⁻¹ J`, one factorisation and one triangular inverse.

use cruxscope_model::wide::wide;
use rayon::prelude::*;

use super::TILE;
use super::{Operand, multiply_into};

/// `A = L Lᵀ` for a symmetric positive definite matrix, by the textbook's loop; the reference of [`cholesky_lower`].
///
/// `L_jj = √(A_jj − Σ_k L_jk²)`, `L_ij = (A_ij − Σ_k L_ik L_jk) / L_jj`. Only the lower triangle of `a` is read. `None` if the
/// matrix is not positive definite, or not finite.
///
/// # Shapes
/// `[n, n]` in and out; above the diagonal of the result stand zeros.
pub fn cholesky_lower_plain(a: &[f64], n: usize) -> Option<Vec<f64>> {
    let mut l = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..=i {
            let sum: f64 = (0..j).map(|k| l[i * n + k] * l[j * n + k]).sum();
            let rest = a[i * n + j] - sum;
            l[i * n + j] = if i == j { positive_root(rest)? } else { rest / l[j * n + j] };
        }
    }
    Some(l)
}

fn positive_root(pivot: f64) -> Option<f64> {
    (pivot > 0.0 && pivot.is_finite()).then(|| pivot.sqrt())
}

/// `A = L Lᵀ` for a symmetric positive definite matrix, in tiles over threads. Same contract as [`cholesky_lower_plain`].
pub fn cholesky_lower(a: &[f64], n: usize) -> Option<Vec<f64>> {
    let mut l = vec![0.0; n * n];
    for row in 0..n {
        l[row * n..=row * n + row].copy_from_slice(&a[row * n..=row * n + row]);
    }
    for start in (0..n).step_by(TILE) {
        let end = (start + TILE).min(n);
        let size = end - start;
        let (done, below) = l.split_at_mut(end * n);
        // The diagonal tile, and its transpose: the substitution below then runs along rows.
        let mut tile = vec![0.0; size * size];
        for row in 0..size {
            tile[row * size..(row + 1) * size].copy_from_slice(&done[(start + row) * n + start..][..size]);
        }
        let tile = cholesky_lower_plain(&tile, size)?;
        let mut tile_transposed = vec![0.0; size * size];
        for row in 0..size {
            done[(start + row) * n + start..][..size].copy_from_slice(&tile[row * size..][..size]);
            for column in 0..size {
                tile_transposed[column * size + row] = tile[row * size + column];
            }
        }
        // The panel below it: x Lᵀ = a, one row of x after another; kept aside for the update that follows.
        let mut panel = vec![0.0; (n - end) * size];
        panel.par_chunks_mut(size * TILE).zip(below.par_chunks_mut(n * TILE)).for_each(|(panel, rows)| {
            for (x, row) in panel.chunks_mut(size).zip(rows.chunks_mut(n)) {
                x.copy_from_slice(&row[start..end]);
                wide(
                    #[inline(always)]
                    || {
                        for t in 0..size {
                            let pivot = x[t] / tile[t * size + t];
                            x[t] = pivot;
                            for (x, l) in x[t + 1..].iter_mut().zip(&tile_transposed[t * size + t + 1..(t + 1) * size]) {
                                *x -= pivot * l;
                            }
                        }
                    },
                );
                row[start..end].copy_from_slice(x);
            }
        });
        // What remains of the matrix, up to each tile's own diagonal.
        below.par_chunks_mut(n * TILE).enumerate().for_each(|(index, rows)| {
            let first = index * TILE;
            let count = rows.len() / n;
            let left = Operand::rows(&panel[first * size..], size);
            let right = Operand::transposed(&panel, size);
            multiply_into([count, size, first + count], &mut rows[end..], n, true, left, right, -1.0);
        });
    }
    // The tiles on the diagonal were updated as whole squares.
    for row in 0..n {
        l[row * n + row + 1..(row + 1) * n].fill(0.0);
    }
    Some(l)
}

/// `L⁻¹` of a lower triangular matrix with a diagonal that is nowhere zero, in tiles of columns over threads.
///
/// # Shapes
/// `[n, n]` in and out.
pub fn lower_triangular_inverse(l: &[f64], n: usize) -> Vec<f64> {
    let strips: Vec<Vec<f64>> = (0..n.div_ceil(TILE)).into_par_iter().map(|tile| inverse_strip(l, n, tile * TILE)).collect();
    let mut inverse = vec![0.0; n * n];
    inverse.par_chunks_mut(n.max(1)).enumerate().for_each(|(row, out)| {
        for (tile, strip) in strips.iter().enumerate().take(row / TILE + 1) {
            let first = tile * TILE;
            let width = TILE.min(n - first);
            out[first..first + width].copy_from_slice(&strip[(row - first) * width..][..width]);
        }
    });
    inverse
}

/// Columns `first..first + TILE` of `L⁻¹`, from row `first` down: forward substitution against unit vectors.
fn inverse_strip(l: &[f64], n: usize, first: usize) -> Vec<f64> {
    let width = TILE.min(n - first);
    let mut strip = vec![0.0; (n - first) * width];
    for start in (first..n).step_by(TILE) {
        let size = TILE.min(n - start);
        let (known, open) = strip.split_at_mut((start - first) * width);
        if start == first {
            for i in 0..width {
                open[i * width + i] = 1.0;
            }
        } else {
            let left = Operand::rows(&l[start * n + first..], n);
            multiply_into([size, start - first, width], open, width, false, left, Operand::rows(known, width), -1.0);
        }
        for row in 0..size {
            let (above, own) = open.split_at_mut(row * width);
            let own = &mut own[..width];
            let l_row = &l[(start + row) * n + start..];
            wide(
                #[inline(always)]
                || {
                    for (t, above) in above.chunks(width).enumerate() {
                        for (own, above) in own.iter_mut().zip(above) {
                            *own -= l_row[t] * above;
                        }
                    }
                    for own in own.iter_mut() {
                        *own /= l_row[row];
                    }
                },
            );
        }
    }
    strip
}

/// `A⁻¹ = L⁻ᵀ L⁻¹` from `A`'s Cholesky factor `L`.
///
/// # Shapes
/// `[n, n]` in and out.
pub fn inverse_from_cholesky(l: &[f64], n: usize) -> Vec<f64> {
    let inverse = lower_triangular_inverse(l, n);
    let mut out = vec![0.0; n * n];
    out.par_chunks_mut(TILE * n.max(1)).enumerate().for_each(|(tile, out)| {
        let first = tile * TILE;
        let count = out.len() / n;
        // Column i of L⁻¹ starts at row i: rows above the tile's first add nothing.
        let left = Operand::transposed(&inverse[first * n + first..], n);
        multiply_into([count, n - first, n], out, n, false, left, Operand::rows(&inverse[first * n..], n), 1.0);
    });
    out
}

/// `U`, upper triangular with a positive diagonal, such that `H⁻¹ = Uᵀ U`. `None` if `H` is not positive definite.
///
/// # Shapes
/// `[n, n]` in and out; below the diagonal of the result stand zeros.
///
/// Source: GPTQ (Frantar et al. 2022), section 3.3, step 3; the originals take the inverse and factor it again.
pub fn upper_cholesky_of_inverse(h: &[f64], n: usize) -> Option<Vec<f64>> {
    let mut reversed = vec![0.0; n * n];
    for (index, value) in reversed.iter_mut().enumerate() {
        *value = h[n * n - 1 - index];
    }
    let factor = cholesky_lower(&reversed, n)?;
    drop(reversed);
    let mut upper = lower_triangular_inverse(&factor, n);
    upper.reverse();
    upper.iter().all(|value| value.is_finite()).then_some(upper)
}

#[cfg(test)]
mod tests {
    use super::super::{gram, product};
    use super::*;

    fn positive_definite(n: usize) -> Vec<f64> {
        let x: Vec<f32> = (0..2 * n * n)
            .map(|i| ((i * 7919 + 13) % 1009) as f32 / 504.5 - 1.0 + ((i * i) % 97) as f32 / 97.0)
            .collect();
        let mut a = gram(&x, n);
        (0..n).for_each(|i| a[i * n + i] += 1.0);
        a
    }

    fn furthest(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn tiles_agree_with_the_plain_loop() {
        for n in [1, 2, 127, 128, 129, 300] {
            let a = positive_definite(n);
            let (fast, plain) = (cholesky_lower(&a, n).unwrap(), cholesky_lower_plain(&a, n).unwrap());
            assert!(furthest(&fast, &plain) < 1e-10, "{n}");
            let inverse = inverse_from_cholesky(&fast, n);
            let mut identity = vec![0.0; n * n];
            (0..n).for_each(|i| identity[i * n + i] = 1.0);
            assert!(furthest(&product(&a, &inverse, n, n, n), &identity) < 1e-8, "{n}");
            let upper = upper_cholesky_of_inverse(&a, n).unwrap();
            let transposed: Vec<f64> = (0..n * n).map(|i| upper[i % n * n + i / n]).collect();
            assert!(furthest(&product(&transposed, &upper, n, n, n), &inverse) < 1e-10, "{n}");
            assert!((0..n).all(|i| upper[i * n + i] > 0.0 && (0..i).all(|j| upper[i * n + j] == 0.0)));
        }
    }

    #[test]
    fn indefinite_matrices_have_no_factor() {
        assert_eq!(cholesky_lower(&[1.0, 2.0, 2.0, 1.0], 2), None);
        assert_eq!(cholesky_lower(&[f64::NAN], 1), None);
        assert_eq!(upper_cholesky_of_inverse(&[0.0], 1), None);
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let a = positive_definite(400);
        let with = |threads| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap()
                .install(|| upper_cholesky_of_inverse(&a, 400))
        };
        assert_eq!(with(1), with(5));
    }
}
