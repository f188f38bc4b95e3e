//! The clipping search: how far the largest weights of a group may be cut so that its rounded weights serve its inputs best.
//!
//! Per row and group, with `m = max |w|`, ten limits `c = m (1 − k/20)`, `k = 0 … 9`, are tried, and the first of the smallest
//! `mean_t (x_t · (Q(clamp(w, −c, c)) − w))²` is kept. That mean is `δ G δᵀ` with `G = X_gᵀ X_g / tokens` of the group's inputs alone, so
//! each step costs `group²` instead of `group · tokens`. Query and key are not clipped: their product feeds a softmax, and an error
//! per projection says little about it.

use cruxscope_checkpoint::{LayerWeights, Matrix};
use cruxscope_model::module::ModuleInput;
use rayon::prelude::*;

use super::check::{check_weight, expect};
use super::evidence::{InputCalibration, LayerCalibration, mean_gram};
use super::rounding::Rounding;
use super::scale::LayerScales;
use super::{AwqSettings, METHOD};
use crate::CompressError;
use crate::linear_algebra::{Operand, dot, product_here};

/// Rows of one task, for which the products of a group are one call.
const ROWS_A_TASK: usize = 128;
/// Limits that are tried.
const STEPS: usize = 10;
/// Tokens that the search looks at, evenly spaced.
const TOKENS: usize = 512;

/// Largest magnitudes of a layer's scaled weights.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Clips {
    /// `[out, groups]` of query, key, value, output, gate, up, down; nothing for those that are not clipped.
    pub limits: [Option<Matrix>; 7],
}

/// Searches the limits of a folded layer: of value, output, gate, up and down, except those that stay as they are.
///
/// The evidence is that of the original layer; the inputs that folding divides are divided here. With inputs, every
/// `⌊tokens/512⌋`-th token is looked at, as in both dialects; a Gram matrix speaks for all of its tokens.
///
/// Source: llm-awq `auto_clip_block`, AutoAWQ `_search_best_clip`.
///
/// # Errors
/// When evidence, scales and layer do not belong together.
pub fn search_clips(folded: &LayerWeights, evidence: LayerCalibration<'_>, scales: &LayerScales, settings: &AwqSettings) -> Result<Clips, CompressError> {
    evidence.check(folded)?;
    let mut limits: [Option<Matrix>; 7] = Default::default();
    for (projection, limit) in limits.iter_mut().enumerate().skip(2) {
        if settings.keep[projection] {
            continue;
        }
        let input = ModuleInput::of(projection);
        let scale = match input {
            ModuleInput::Attention => Some(&scales.attention),
            ModuleInput::Output => scales.output.as_ref(),
            ModuleInput::FeedForward => Some(&scales.feed_forward),
            _ => Some(&scales.down),
        };
        let scale = scale.map(|scale| scale.values.as_slice());
        *limit = Some(search_clip(&folded.projections[projection].weight, evidence.input(input), scale, settings)?);
    }
    Ok(Clips { limits })
}

/// Searches the limits of one scaled weight, given the inputs before scaling.
///
/// # Shapes
/// `weight` is `[out, in]` and `scale`, what its columns were multiplied by, is `[in]`; the result is `[out, groups]`.
///
/// # Errors
/// When the shapes do not fit or something is not finite.
pub fn search_clip(weight: &Matrix, evidence: InputCalibration<'_>, scale: Option<&[f32]>, settings: &AwqSettings) -> Result<Matrix, CompressError> {
    let width = weight.columns;
    check_weight("a weight", weight)?;
    evidence.check(width)?;
    expect("the scale", "values", scale.map_or(width, <[f32]>::len), width)?;
    if let Some(values) = scale
        && !values.iter().all(|value| value.is_finite() && *value > 0.0)
    {
        return Err(CompressError::NotFinite {
            method: METHOD,
            what: "the scale",
        });
    }
    let rounding = Rounding::new(settings, width);
    let size = rounding.group();
    let groups = width.div_ceil(size);
    let grams: Vec<Matrix> = (0..groups)
        .into_par_iter()
        .map(|group| {
            let first = group * size;
            let columns = first..width.min(first + size);
            scaled_gram(evidence, scale.map(|scale| &scale[columns.clone()]), columns)
        })
        .collect();
    let blocks: Vec<Vec<f32>> = weight
        .values
        .par_chunks(ROWS_A_TASK * width)
        .map(|rows| limits_of_rows(rows, width, &grams, &rounding))
        .collect();
    Ok(Matrix {
        rows: weight.rows,
        columns: groups,
        values: blocks.concat(),
    })
}

/// `Xᵀ X / tokens` of one group's columns, as the scaled weight sees them: `G_jk / (s_j s_k)`.
fn scaled_gram(evidence: InputCalibration<'_>, scale: Option<&[f32]>, columns: std::ops::Range<usize>) -> Matrix {
    let size = columns.len();
    let mut group = match evidence {
        InputCalibration::Gram(whole) => Matrix {
            rows: size,
            columns: size,
            values: columns.clone().flat_map(|row| whole.gram.row(row)[columns.clone()].to_vec()).collect(),
        },
        InputCalibration::Inputs(inputs) => {
            let stride = (inputs.rows / TOKENS).max(1);
            let values: Vec<f32> = (0..inputs.rows)
                .step_by(stride)
                .flat_map(|token| inputs.row(token)[columns.clone()].to_vec())
                .collect();
            mean_gram(&Matrix {
                rows: values.len() / size,
                columns: size,
                values,
            })
        }
    };
    if let Some(scale) = scale {
        for (row, s) in group.values.chunks_exact_mut(size).zip(scale) {
            for (value, t) in row.iter_mut().zip(scale) {
                *value /= s * t;
            }
        }
    }
    group
}

/// The limits of a block of rows, `[rows, groups]`.
fn limits_of_rows(rows: &[f32], width: usize, grams: &[Matrix], rounding: &Rounding) -> Vec<f32> {
    let (count, groups, size) = (rows.len() / width, grams.len(), rounding.group());
    let mut limits = vec![0.0f32; count * groups];
    let (mut part, mut delta) = (Vec::new(), Vec::new());
    for (group, gram) in grams.iter().enumerate() {
        let length = gram.columns;
        part.clear();
        for row in rows.chunks_exact(width) {
            part.extend_from_slice(&row[group * size..][..length]);
        }
        delta.resize(part.len(), 0.0);
        let largest: Vec<f32> = part.chunks_exact(length).map(|row| row.iter().fold(0.0f32, |m, w| m.max(w.abs()))).collect();
        // Where no error is a number, nothing is cut.
        (0..count).for_each(|row| limits[row * groups + group] = largest[row]);
        let mut best = vec![f64::INFINITY; count];
        for step in 0..STEPS {
            let share = (1.0 - step as f64 / 20.0) as f32;
            for ((delta, row), largest) in delta.chunks_exact_mut(length).zip(part.chunks_exact(length)).zip(&largest) {
                let limit = largest * share;
                for (delta, weight) in delta.iter_mut().zip(row) {
                    *delta = weight.clamp(-limit, limit);
                }
                rounding.round_group(delta);
                for (delta, weight) in delta.iter_mut().zip(row) {
                    *delta -= weight;
                }
            }
            let product = product_here(&delta, Operand::rows(&gram.values, length), [count, length, length]);
            for row in 0..count {
                let here = row * length..(row + 1) * length;
                let error = dot(&product[here.clone()], &delta[here]);
                if error < best[row] {
                    best[row] = error;
                    limits[row * groups + group] = largest[row] * share;
                }
            }
        }
    }
    limits
}
