//! Eigenvalues of symmetric matrices in float64, on one thread, in one order of sums on every instruction set.

use cruxscope_model::wide::wide;

/// Sums that run side by side in a product of rows, so that the compiler can keep them in one register.
const LANES: usize = 8;
/// Steps of the QL iteration for one eigenvalue; two or three are usual.
const STEPS: usize = 60;

/// Eigenvalues of a symmetric matrix, ascending, by Jacobi's rotations; the reference of [`symmetric_eigenvalues`].
///
/// Each rotation by θ with cot 2θ = (a_qq − a_pp) / 2 a_pq makes a_pq zero; sweeps over all pairs go on until what stands beside the
/// diagonal is nothing beside the whole matrix. `None` if the matrix is not finite.
///
/// # Shapes
/// `a` `[n, n]`, of which both triangles are read.
///
/// Source: Golub and Van Loan, Matrix Computations, section 8.5.
pub fn symmetric_eigenvalues_plain(a: &[f64], n: usize) -> Option<Vec<f64>> {
    let mut a = a.to_vec();
    let total: f64 = a.iter().map(|value| value * value).sum();
    if !total.is_finite() {
        return None;
    }
    let beside = |a: &[f64]| -> f64 { (0..n * n).filter(|index| index / n != index % n).map(|index| a[index] * a[index]).sum() };
    while beside(&a) > 1e-32 * total {
        for p in 0..n {
            for q in p + 1..n {
                let apq = a[p * n + q];
                if apq == 0.0 {
                    continue;
                }
                let cotangent = (a[q * n + q] - a[p * n + p]) / (2.0 * apq);
                let tangent = 1f64.copysign(cotangent) / (cotangent.abs() + cotangent.hypot(1.0));
                let cosine = 1.0 / tangent.hypot(1.0);
                let sine = tangent * cosine;
                for k in 0..n {
                    let (x, y) = (a[k * n + p], a[k * n + q]);
                    (a[k * n + p], a[k * n + q]) = (cosine * x - sine * y, sine * x + cosine * y);
                }
                for k in 0..n {
                    let (x, y) = (a[p * n + k], a[q * n + k]);
                    (a[p * n + k], a[q * n + k]) = (cosine * x - sine * y, sine * x + cosine * y);
                }
                (a[p * n + q], a[q * n + p]) = (0.0, 0.0);
            }
        }
    }
    let mut eigenvalues: Vec<f64> = (0..n).map(|i| a[i * n + i]).collect();
    eigenvalues.sort_by(f64::total_cmp);
    Some(eigenvalues)
}

/// Eigenvalues of a symmetric matrix, ascending: reflections make it tridiagonal, implicit QL steps make that diagonal. Exact to a
/// small multiple of 2⁻⁵² of the largest eigenvalue, as [`symmetric_eigenvalues_plain`] is.
///
/// Only the lower triangle is read, and it is overwritten. `None` if the matrix is not finite. Takes 4/3 n³ operations.
///
/// # Shapes
/// `a` `[n, n]`.
///
/// Source: Golub and Van Loan, Matrix Computations, sections 8.3.1 and 8.3.3.
pub fn symmetric_eigenvalues(a: &mut [f64], n: usize) -> Option<Vec<f64>> {
    let largest = (0..n)
        .flat_map(|row| &a[row * n..=row * n + row])
        .fold(0f64, |largest, value| if value.is_nan() { f64::INFINITY } else { largest.max(value.abs()) });
    if !largest.is_finite() {
        return None;
    }
    if n == 0 || largest == 0.0 {
        return Some(vec![0.0; n]);
    }
    // Squares of the entries neither overflow nor vanish beside the largest; a power of two rounds nothing.
    let scale = 2f64.powi((largest.log2().floor() as i32).max(-1000));
    a.iter_mut().for_each(|value| *value /= scale);
    let (mut diagonal, mut beside) = tridiagonal(a, n);
    diagonalise(&mut diagonal, &mut beside)?;
    diagonal.iter_mut().for_each(|value| *value *= scale);
    diagonal.sort_by(f64::total_cmp);
    Some(diagonal)
}

/// What a reflection of the rows above takes from them: `A − u qᵀ − q uᵀ`.
struct Update {
    u: Vec<f64>,
    q: Vec<f64>,
}

/// The diagonal of `QᵀAQ`, and what stands below it (element i belongs to rows i and i + 1).
///
/// From the last row up, the reflection `I − u uᵀ / h` takes row i, left of its diagonal, to its last element alone. It turns the
/// rows above into `A − u qᵀ − q uᵀ` with `p = A u / h` and `q = p − (uᵀp / 2h) u`. That is subtracted only when the next product
/// comes by, so that a row is read and written once a reflection.
fn tridiagonal(a: &mut [f64], n: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut diagonal, mut beside) = (vec![0.0; n], vec![0.0; n - 1]);
    let mut pending = Update {
        u: vec![0.0; n],
        q: vec![0.0; n],
    };
    for i in (1..n).rev() {
        let Update { u: last_u, q: last_q } = &pending;
        let (above, row) = a.split_at_mut(i * n);
        let row = &mut row[..=i];
        for (k, value) in row.iter_mut().enumerate() {
            *value -= last_u[i] * last_q[k] + last_q[i] * last_u[k];
        }
        diagonal[i] = row[i];
        let mut u = row[..i].to_vec();
        let length = u[..i - 1].iter().fold(0.0, |sum, value| sum + value * value);
        let h = if length == 0.0 {
            // Nothing to reflect: the row has its shape already.
            beside[i - 1] = u[i - 1];
            u.fill(0.0);
            1.0
        } else {
            let end = u[i - 1];
            let norm = (length + end * end).sqrt().copysign(-end);
            beside[i - 1] = norm;
            u[i - 1] = end - norm;
            norm * (norm - end)
        };
        let mut p = wide(
            #[inline(always)]
            || {
                let mut p = vec![0.0; i];
                for (j, row) in above.chunks_exact_mut(n).enumerate() {
                    let (factors, last) = ([last_u[j], last_q[j]], [&last_q[..j], &last_u[..j]]);
                    row[j] -= factors[0] * last_q[j] + factors[1] * last_u[j];
                    p[j] += row[j] * u[j] + pass(&mut row[..j], factors, last, &u[..j], u[j], &mut p[..j]);
                }
                p
            },
        );
        p.iter_mut().for_each(|value| *value /= h);
        let half = p.iter().zip(&u).fold(0.0, |sum, (p, u)| sum + p * u) / (2.0 * h);
        for (p, u) in p.iter_mut().zip(&u) {
            *p -= half * u;
        }
        pending = Update { u, q: p };
    }
    diagonal[0] = a[0] - 2.0 * pending.u[0] * pending.q[0];
    (diagonal, beside)
}

/// One row left of its diagonal: subtracts what the last reflection takes, adds `weight · row` to `out` (a row below the diagonal is a
/// column above it too), and gives `Σ row · u`.
#[inline(always)]
fn pass(row: &mut [f64], factors: [f64; 2], last: [&[f64]; 2], u: &[f64], weight: f64, out: &mut [f64]) -> f64 {
    let [f, g] = factors;
    let mut sums = [0.0; LANES];
    let (rows, row_rest) = row.as_chunks_mut::<LANES>();
    let (xs, x_rest) = last[0].as_chunks::<LANES>();
    let (ys, y_rest) = last[1].as_chunks::<LANES>();
    let (us, u_rest) = u.as_chunks::<LANES>();
    let (outs, out_rest) = out.as_chunks_mut::<LANES>();
    for ((((row, x), y), u), out) in rows.iter_mut().zip(xs).zip(ys).zip(us).zip(outs) {
        for lane in 0..LANES {
            let value = row[lane] - (f * x[lane] + g * y[lane]);
            row[lane] = value;
            sums[lane] += value * u[lane];
            out[lane] += weight * value;
        }
    }
    let mut sum: f64 = sums.iter().sum();
    for ((((row, x), y), u), out) in row_rest.iter_mut().zip(x_rest).zip(y_rest).zip(u_rest).zip(out_rest) {
        *row -= f * x + g * y;
        sum += *row * u;
        *out += weight * *row;
    }
    sum
}

/// Makes a tridiagonal matrix diagonal by QL steps with Wilkinson's shift; `None` if one does not converge.
///
/// # Shapes
/// `diagonal` `[n]`, `beside` `[n − 1]`.
fn diagonalise(diagonal: &mut [f64], beside: &mut [f64]) -> Option<()> {
    let n = diagonal.len();
    let is_zero = |d: &[f64], e: &[f64], m: usize| e[m].abs() <= f64::EPSILON * (d[m].abs() + d[m + 1].abs());
    for l in 0..n {
        for step in 0.. {
            let m = (l..n - 1).find(|m| is_zero(diagonal, beside, *m)).unwrap_or(n - 1);
            if m == l {
                break;
            }
            if step == STEPS {
                return None;
            }
            // The shift: the eigenvalue of the leading 2 × 2 block that is nearer to its first element.
            let half = (diagonal[l + 1] - diagonal[l]) / (2.0 * beside[l]);
            let mut g = diagonal[m] - diagonal[l] + beside[l] / (half + half.hypot(1.0).copysign(half));
            let (mut sine, mut cosine, mut shift) = (1.0, 1.0, 0.0);
            let mut ended_early = false;
            for i in (l..m).rev() {
                let (f, b) = (sine * beside[i], cosine * beside[i]);
                let r = f.hypot(g);
                if i + 1 < m {
                    beside[i + 1] = r;
                }
                if r == 0.0 {
                    // The matrix has come apart here.
                    diagonal[i + 1] -= shift;
                    ended_early = true;
                    break;
                }
                (sine, cosine) = (f / r, g / r);
                let g_before = diagonal[i + 1] - shift;
                let turned = (diagonal[i] - g_before) * sine + 2.0 * cosine * b;
                shift = sine * turned;
                diagonal[i + 1] = g_before + shift;
                g = cosine * turned - b;
            }
            if m < n - 1 {
                beside[m] = 0.0;
            }
            if !ended_early {
                diagonal[l] -= shift;
                beside[l] = g;
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::gram;
    use super::*;

    fn compare(a: &[f64], n: usize) -> f64 {
        let plain = symmetric_eigenvalues_plain(a, n).unwrap();
        let found = symmetric_eigenvalues(&mut a.to_vec(), n).unwrap();
        let largest = plain.iter().fold(f64::MIN_POSITIVE, |largest, value| largest.max(value.abs()));
        plain
            .iter()
            .zip(&found)
            .map(|(plain, found)| (plain - found).abs() / largest)
            .fold(0.0, f64::max)
    }

    #[test]
    fn known_eigenvalues() {
        assert_eq!(symmetric_eigenvalues(&mut [], 0), Some(vec![]));
        assert_eq!(symmetric_eigenvalues(&mut [-3.0], 1), Some(vec![-3.0]));
        assert_eq!(symmetric_eigenvalues(&mut [0.0; 9], 3), Some(vec![0.0; 3]));
        assert_eq!(symmetric_eigenvalues(&mut [1.0, f64::NAN, f64::NAN, 1.0], 2), None);
        assert_eq!(symmetric_eigenvalues_plain(&[f64::INFINITY], 1), None);
        // 2 on the diagonal, −1 beside it: 2 − 2 cos(kπ / (n + 1)).
        let n = 50;
        let mut a = vec![0.0; n * n];
        for i in 0..n {
            a[i * n + i] = 2.0;
            if i > 0 {
                (a[i * n + i - 1], a[(i - 1) * n + i]) = (-1.0, -1.0);
            }
        }
        for found in [symmetric_eigenvalues_plain(&a, n).unwrap(), symmetric_eigenvalues(&mut a, n).unwrap()] {
            for (k, found) in found.iter().enumerate() {
                let expected = 2.0 - 2.0 * ((k + 1) as f64 * std::f64::consts::PI / (n + 1) as f64).cos();
                assert!((found - expected).abs() < 1e-13, "{k}: {found} {expected}");
            }
        }
    }

    #[test]
    fn the_fast_way_agrees_with_rotations() {
        let value = |i: usize| ((i * 7919 + 13) % 1009) as f64 / 504.5 - 1.0 + ((i * i) % 97) as f64 / 97.0;
        let mut worst = 0f64;
        for n in [2, 3, 7, 8, 9, 64, 101] {
            let indefinite: Vec<f64> = (0..n * n)
                .map(|index| value((index / n).max(index % n) * n + (index / n).min(index % n)))
                .collect();
            // Fewer rows than columns: most eigenvalues are zero.
            let rows = (n / 3).max(1);
            let singular = gram(&(0..rows * n).map(|i| value(i) as f32).collect::<Vec<_>>(), n);
            // Entries from 1 down to 1e-300, as in the tail of a spectrum that falls fast.
            let graded: Vec<f64> = (0..n * n)
                .map(|i| indefinite[i] * 10f64.powf(-150.0 * ((i / n + i % n) as f64 / n as f64)))
                .collect();
            let tiny: Vec<f64> = indefinite.iter().map(|value| value * 1e-120).collect();
            let mut blocks = indefinite.clone();
            (0..n * n).filter(|i| (i / n < n / 2) != (i % n < n / 2)).for_each(|i| blocks[i] = 0.0);
            for (name, a) in [
                ("indefinite", indefinite),
                ("singular", singular),
                ("graded", graded),
                ("blocks", blocks),
                ("tiny", tiny),
            ] {
                let off = compare(&a, n);
                assert!(off < 1e-14 * n as f64, "{name} of {n}: {off:.2e}");
                worst = worst.max(off);
            }
        }
        println!("eigenvalues: largest difference {worst:.2e} of the largest");
    }
}
