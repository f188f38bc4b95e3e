//! Singular values, through the eigenvalues of the smaller Gram matrix.

use super::eigenvalues::symmetric_eigenvalues;
use super::product_transposed;

/// Singular values of a matrix, descending; `min(rows, columns)` of them, none if the matrix holds values that are not finite.
///
/// `σ = √λ(W Wᵀ)` or `√λ(Wᵀ W)`, whichever is smaller, in float64: cheaper than a decomposition of `W` itself, and exact to about
/// `1e-16 · σ₁²` in `σ²`, which is all that a spectrum of float16 weights can mean. Rounding below zero is cut off at zero. The
/// eigenvalues take one thread; matrices are best taken side by side.
///
/// # Shapes
/// `matrix` `[rows, columns]`.
pub fn singular_values(matrix: &[f32], rows: usize, columns: usize) -> Vec<f64> {
    let n = rows.min(columns);
    if n == 0 || matrix.iter().any(|value| !value.is_finite()) {
        return Vec::new();
    }
    let mut wide = vec![0.0; rows * columns];
    for row in 0..rows {
        for column in 0..columns {
            let place = if rows <= columns { row * columns + column } else { column * rows + row };
            wide[place] = f64::from(matrix[row * columns + column]);
        }
    }
    let mut gram = product_transposed(&wide, &wide, n, rows.max(columns), n);
    drop(wide);
    let Some(eigenvalues) = symmetric_eigenvalues(&mut gram, n) else {
        return Vec::new();
    };
    let mut values: Vec<f64> = eigenvalues.into_iter().map(|value| value.max(0.0).sqrt()).collect();
    values.sort_by(|a, b| b.total_cmp(a));
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_spectra() {
        let close = |found: Vec<f64>, expected: &[f64]| {
            assert_eq!(found.len(), expected.len());
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-7), "{found:?}");
        };
        close(singular_values(&[3.0, 0.0, 0.0, 0.0, -4.0, 0.0], 2, 3), &[4.0, 3.0]);
        close(singular_values(&[3.0, 0.0, 0.0, -4.0, 0.0, 0.0], 3, 2), &[4.0, 3.0]);
        close(singular_values(&[1.0, 1.0, 1.0, 1.0], 2, 2), &[2.0, 0.0]);
        assert!(singular_values(&[f32::NAN], 1, 1).is_empty());
    }
}
