//! How sure a share of right answers is.

/// The standard normal distribution's 97.5 % point: intervals are at 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// Wilson's score interval of a share at 95 % (Wilson, 1927); see [`wilson_share`]. It holds for one answer a question; `None`
/// for no question.
pub fn wilson(successes: usize, of: usize) -> Option<(f64, f64)> {
    if successes > of {
        return None;
    }
    wilson_share(successes as f64 / of as f64, of as f64)
}

/// The interval of a share `p` of `n` questions, with `z = 1.96`:
/// `(p + z²/2n ± z sqrt(p (1 - p) / n + z²/4n²)) / (1 + z²/n)`.
pub fn wilson_share(p: f64, n: f64) -> Option<(f64, f64)> {
    if n <= 0.0 || !(0.0..=1.0).contains(&p) {
        return None;
    }
    let z2 = Z * Z;
    let middle = p + z2 / (2.0 * n);
    let half = Z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    // Rounding may leave the range of shares by an ulp.
    Some((((middle - half) / scale).max(0.0), ((middle + half) / scale).min(1.0)))
}
