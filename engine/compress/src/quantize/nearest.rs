//! Round-to-nearest: every group on its own grid, nothing made up for.

use cruxscope_model::wide::wide;
use rayon::prelude::*;

use super::bits::check_weight;
use super::quantized::Quantized;
use super::settings::GridSettings;
use crate::CompressError;

/// Quantizes a matrix by rounding every weight to the nearest point of its group's grid.
///
/// # Shapes
/// `weight` `[rows, columns]`, that is `[out, in]`.
///
/// # Errors
/// [`CompressError::Shape`] if the weight has another size, [`CompressError::NotFinite`] if it holds an infinity or NaN.
pub fn round_to_nearest(weight: &[f32], rows: usize, columns: usize, settings: &GridSettings) -> Result<Quantized, CompressError> {
    check_weight("round-to-nearest", weight, rows, columns)?;
    let size = settings.group_size.of_row(columns);
    let groups = settings.group_size.groups(columns);
    let mut quantized = Quantized::empty(rows, columns, settings);
    weight
        .par_chunks(columns.max(1))
        .zip(quantized.codes.par_chunks_mut(columns.max(1)))
        .zip(
            quantized
                .scales
                .par_chunks_mut(groups.max(1))
                .zip(quantized.zeros.par_chunks_mut(groups.max(1))),
        )
        .for_each(|((weight, codes), (scales, zeros))| {
            wide(
                #[inline(always)]
                || {
                    for (group, (weight, codes)) in weight.chunks(size).zip(codes.chunks_mut(size)).enumerate() {
                        let fitted = settings.grid.fit(weight, settings.bits, settings.clipping);
                        for (code, &weight) in codes.iter_mut().zip(weight) {
                            *code = fitted.code(weight, settings.bits);
                        }
                        (scales[group], zeros[group]) = (fitted.scale, fitted.zero);
                    }
                },
            );
        });
    Ok(quantized)
}
