//! Tests across crates: goldens, fixtures, end to end, desktop, browser.
//!
//! This library holds what several of them need; the tests themselves stand in `tests/tests`, those of a browser and of a
//! window in `tests/scripts`.

pub mod untrusted;

/// Norm of a - b over the norm of b; the norm itself where b is zero.
pub fn relative_difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "lengths differ");
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let difference = norm(&mut a.iter().zip(b).map(|(a, b)| a - b));
    let size = norm(&mut b.iter().copied());
    if size > 0.0 { difference / size } else { difference }
}
