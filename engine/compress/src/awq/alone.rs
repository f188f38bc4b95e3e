//! Matrices that read one input, without the rest of their layer: `W' = Q(W s) / s`, which stands in the original basis and needs no norm
//! or other matrix to fold a scale into. For layers that are not the usual seven matrices, or whose norms hold no scale.

use cruxscope_checkpoint::Matrix;
use rayon::prelude::*;

use super::AwqSettings;
use super::clip::search_clip;
use super::evidence::{InputCalibration, InputGram};
use super::fold::clip_weight;
use super::rounding::Rounding;
use super::scale::{Scale, search_scale};
use crate::CompressError;

/// One scale for matrices that share an input, judged by their own outputs, and each of them through it: scaled, clipped where settings
/// say so, rounded, and scaled back. `is_clipped` says of which.
///
/// # Errors
/// When a weight does not fit the evidence, or something is not finite.
pub fn compress_group(
    weights: &[&Matrix],
    gram: &InputGram,
    is_clipped: impl Fn(usize) -> bool,
    settings: &AwqSettings,
) -> Result<(Scale, Vec<Matrix>), CompressError> {
    let evidence = InputCalibration::Gram(gram);
    let scale = search_scale(weights, evidence, settings)?;
    let mut treated = Vec::with_capacity(weights.len());
    for (index, weight) in weights.iter().enumerate() {
        let mut scaled = (*weight).clone();
        let width = scaled.columns.max(1);
        scaled
            .values
            .par_chunks_mut(width)
            .for_each(|row| row.iter_mut().zip(&scale.values).for_each(|(value, s)| *value *= s));
        if settings.clip && is_clipped(index) {
            let limits = search_clip(&scaled, evidence, Some(&scale.values), settings)?;
            clip_weight(&mut scaled, &limits, settings)?;
        }
        let rounding = Rounding::new(settings, width);
        scaled.values.par_chunks_mut(width).for_each(|row| {
            rounding.round_row(row);
            row.iter_mut().zip(&scale.values).for_each(|(value, s)| *value /= s);
        });
        treated.push(scaled);
    }
    Ok((scale, treated))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize::{Bits, GroupSize};

    fn noise(rows: usize, columns: usize, seed: usize) -> Matrix {
        let values = (0..rows * columns)
            .map(|i| (((i * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0).powi(3))
            .collect();
        Matrix { rows, columns, values }
    }

    /// tr(Δ G Δᵀ) in float64, by loops.
    fn error(weight: &Matrix, treated: &Matrix, gram: &Matrix) -> f64 {
        let mut sum = 0.0;
        for row in 0..weight.rows {
            let delta: Vec<f64> = weight.row(row).iter().zip(treated.row(row)).map(|(a, b)| f64::from(a - b)).collect();
            for (i, a) in delta.iter().enumerate() {
                for (j, b) in delta.iter().enumerate() {
                    sum += a * b * f64::from(gram.row(i)[j]);
                }
            }
        }
        sum
    }

    #[test]
    fn scales_lessen_the_error_of_the_outputs_and_leave_grids_behind() {
        let mut inputs = noise(256, 32, 1);
        for row in inputs.values.chunks_exact_mut(32) {
            (row[3], row[17]) = (row[3] * 40.0, row[17] * 25.0);
        }
        let gram = InputGram::of(&inputs);
        let (gate, up) = (noise(24, 32, 2), noise(24, 32, 3));
        let settings = AwqSettings {
            clip: false,
            ..AwqSettings::new(Bits::new(3).unwrap(), GroupSize::new(16).unwrap())
        };
        let (scale, treated) = compress_group(&[&gate, &up], &gram, |_| true, &settings).unwrap();
        let rounded = |weight: &Matrix| {
            let mut values = weight.values.clone();
            values.chunks_mut(32).for_each(|row| Rounding::new(&settings, 32).round_row(row));
            Matrix { values, ..*weight }
        };
        for (weight, treated) in [&gate, &up].into_iter().zip(&treated) {
            let (own, plain) = (error(weight, treated, &gram.gram), error(weight, &rounded(weight), &gram.gram));
            println!("ratio {}: error {own:.4} with scales, {plain:.4} without", scale.ratio());
            assert!(own < plain, "{own} {plain}");
            // Scaled again, the weights stand on the grid: rounding moves none of them by more than float32 does.
            let mut again = treated.clone();
            again
                .values
                .chunks_mut(32)
                .for_each(|row| row.iter_mut().zip(&scale.values).for_each(|(value, s)| *value *= s));
            let moved = rounded(&again).values.iter().zip(&again.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(moved < 1e-5, "{moved}");
        }
        let clipped = AwqSettings { clip: true, ..settings };
        let (_, cut) = compress_group(&[&gate, &up], &gram, |index| index == 1, &clipped).unwrap();
        assert_eq!(cut[0], treated[0], "the one that is not clipped");
        assert!(error(&up, &cut[1], &gram.gram) <= 1.05 * error(&up, &treated[1], &gram.gram));
    }
}
