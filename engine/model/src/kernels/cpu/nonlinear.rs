//! Soft caps and GELU in float32 without branches, so that loops over them become vector instructions.

use super::exponential::exp;

/// c tanh(x / c), as exact as float32 allows.
///
/// Where x is small beside c, the cap takes little away: what it takes is a polynomial in (x / c)^2 (Cephes' `tanhf`, largest relative
/// error 1e-7), and is added to x itself, which stays as it is. Beyond, tanh(y) = 1 - 2 / (exp(2y) + 1).
#[inline(always)]
pub(super) fn capped(x: f32, cap: f32) -> f32 {
    let y = x / cap;
    let z = y * y;
    let mut p = -5.704_988_7e-3;
    p = p * z + 0.020_639_09;
    p = p * z - 5.373_971_6e-2;
    p = p * z + 1.333_144_2e-1;
    p = p * z - 0.333_332_8;
    let near = x + x * (p * z);
    let far = (cap * (1.0 - 2.0 / (exp(2.0 * y.abs()) + 1.0))).copysign(x);
    if y.abs() < 0.625 { near } else { far }
}

/// 1 - tanh(x / c)^2 = 4 e / (1 + e)^2 with e = exp(-2 |x / c|): nothing cancels, however near the cap.
#[inline(always)]
pub(super) fn cap_slope(x: f32, cap: f32) -> f32 {
    let e = exp(-2.0 * (x / cap).abs());
    let above = 1.0 + e;
    4.0 * e / (above * above)
}

/// 2 sqrt(2 / pi).
const ROOT: f32 = 1.595_769;
const CUBE: f32 = 0.044_715;

/// GELU by its approximation, 0.5 x (1 + tanh(v / 2)) = x / (1 + exp(-v)) with v = 2 sqrt(2 / pi) (x + 0.044715 x^3), and its slope
/// s + x s (1 - s) v' with s = 1 / (1 + exp(-v)). Written with exp, nothing cancels for large negative x.
#[inline(always)]
pub(super) fn gelu_tanh(x: f32) -> (f32, f32) {
    let square = x * x;
    let e = exp(-ROOT * x * (1.0 + CUBE * square));
    let s = 1.0 / (1.0 + e);
    let slope = ROOT * (1.0 + 3.0 * CUBE * square);
    (x * s, s + x * s * (e * s) * slope)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_and_gelu_are_as_exact_as_float32_allows() {
        let (mut of_cap, mut of_slope, mut of_gelu) = (0.0f64, 0.0f64, 0.0f64);
        for i in 0..400_000 {
            let x = -40.0 + 80.0 * (i as f32 / 400_000.0);
            let wide = f64::from(x);
            for cap in [5.0f32, 30.0, 50.0] {
                let y = wide / f64::from(cap);
                let wanted = f64::from(cap) * y.tanh();
                of_cap = of_cap.max((f64::from(capped(x, cap)) - wanted).abs() / wanted.abs().max(1e-30));
                let wanted = y.cosh().powi(-2);
                of_slope = of_slope.max((f64::from(cap_slope(x, cap)) - wanted).abs() / wanted);
            }
            let v = 2.0 * (2.0 / std::f64::consts::PI).sqrt() * (wide + 0.044715 * wide.powi(3));
            let s = 1.0 / (1.0 + (-v).exp());
            let slope = s + wide * s * (1.0 - s) * 2.0 * (2.0 / std::f64::consts::PI).sqrt() * (1.0 + 3.0 * 0.044715 * wide * wide);
            let (value, found) = gelu_tanh(x);
            of_gelu = of_gelu.max((f64::from(value) - wide * s).abs() / (wide * s).abs().max(1e-3));
            of_gelu = of_gelu.max((f64::from(found) - slope).abs() / slope.abs().max(1e-2));
        }
        println!("largest relative differences: cap {of_cap:.1e}, its slope {of_slope:.1e}, GELU {of_gelu:.1e}");
        // exp is good to 1.2e-7, and rounding its argument costs as much as the argument is large: 16 in slopes, 60 in GELU's tail.
        assert!(of_cap < 3e-7 && of_slope < 3e-6 && of_gelu < 2e-5);
    }
}
