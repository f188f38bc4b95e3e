//! Folding scales into a layer and out of it again.
//!
//! Folding multiplies the columns of a group's weights by `s` and divides what feeds them by it: a norm's weights, or the rows of
//! the value or up projection. The layer computes the same function, but the outputs of up (and of value) are in another basis, so
//! importance scores of the folded layer cannot be compared with the original's. Folding back undoes it after rounding:
//! `W' = Q(W s) / s`, norms and biases as they were, the same function as the rounded layer in the original basis.

use cruxscope_checkpoint::{LayerWeights, Matrix, Projection};
use rayon::prelude::*;

use super::AwqSettings;
use super::check::{check_layer, expect, seven, seven_mut};
use super::clip::Clips;
use super::rounding::Rounding;
use super::scale::LayerScales;
use crate::CompressError;

/// The layer with its scales folded in; it computes the same function.
///
/// * norm before attention `/ s`, query, key and value columns `· s`
/// * value rows and bias `/ s`, output columns `· s`, where there is such a scale
/// * norm before the feed-forward block `/ s`, gate and up columns `· s`
/// * up rows and bias `/ s`, down columns `· s`
///
/// # Errors
/// When a scale does not have the length of its input.
pub fn fold(layer: &LayerWeights, scales: &LayerScales) -> Result<LayerWeights, CompressError> {
    check(layer, scales)?;
    let mut folded = layer.clone();
    divide(&mut folded.attention_norm, &scales.attention.values);
    divide(&mut folded.feed_forward_norm, &scales.feed_forward.values);
    let [query, key, value, output, gate, up, down] = seven_mut(&mut folded)?;
    for projection in [query, key, &mut *value] {
        columns(projection, &scales.attention.values, |weight, s| weight * s);
    }
    for projection in [gate, &mut *up] {
        columns(projection, &scales.feed_forward.values, |weight, s| weight * s);
    }
    if let Some(scale) = &scales.output {
        rows(value, &scale.values, |weight, s| weight / s);
        columns(output, &scale.values, |weight, s| weight * s);
    }
    rows(up, &scales.down.values, |weight, s| weight / s);
    columns(down, &scales.down.values, |weight, s| weight * s);
    Ok(folded)
}

/// A folded layer, rounded or not, in the basis of the original: columns `/ s`, rows `· s`, norms and biases of the original.
///
/// # Errors
/// When the two layers or the scales do not have the same shapes.
pub fn fold_back(folded: &LayerWeights, original: &LayerWeights, scales: &LayerScales) -> Result<LayerWeights, CompressError> {
    check(folded, scales)?;
    check(original, scales)?;
    let mut back = folded.clone();
    back.attention_norm.clone_from(&original.attention_norm);
    back.feed_forward_norm.clone_from(&original.feed_forward_norm);
    for (back, original) in back.projections.iter().zip(&original.projections) {
        expect("the folded layer", "rows of a projection", back.weight.rows, original.weight.rows)?;
    }
    let [query, key, value, output, gate, up, down] = seven_mut(&mut back)?;
    for projection in [query, key, &mut *value] {
        columns(projection, &scales.attention.values, |weight, s| weight / s);
    }
    for projection in [gate, &mut *up] {
        columns(projection, &scales.feed_forward.values, |weight, s| weight / s);
    }
    if let Some(scale) = &scales.output {
        rows(value, &scale.values, |weight, s| weight * s);
        columns(output, &scale.values, |weight, s| weight / s);
    }
    rows(up, &scales.down.values, |weight, s| weight * s);
    columns(down, &scales.down.values, |weight, s| weight / s);
    for (back, original) in back.projections.iter_mut().zip(&original.projections) {
        back.bias.clone_from(&original.bias);
    }
    Ok(back)
}

/// Cuts every weight to its group's limit: `clamp(w, −c, c)`.
///
/// # Errors
/// When the limits are not `[out, groups]`.
pub fn clip(layer: &mut LayerWeights, clips: &Clips, settings: &AwqSettings) -> Result<(), CompressError> {
    for (projection, limits) in layer.projections.iter_mut().zip(&clips.limits) {
        if let Some(limits) = limits {
            clip_weight(&mut projection.weight, limits, settings)?;
        }
    }
    Ok(())
}

/// [`clip`] of one weight.
///
/// # Errors
/// When the limits are not `[out, groups]`.
pub fn clip_weight(weight: &mut Matrix, limits: &Matrix, settings: &AwqSettings) -> Result<(), CompressError> {
    let size = settings.group_size.of_row(weight.columns);
    expect("the limits", "rows", limits.rows, weight.rows)?;
    expect("the limits", "columns", limits.columns, weight.columns.div_ceil(size))?;
    let rows = weight.values.par_chunks_mut(weight.columns.max(1));
    rows.enumerate().for_each(|(row, values)| {
        for (group, limit) in values.chunks_mut(size).zip(limits.row(row)) {
            for value in group {
                *value = value.min(*limit).max(-limit);
            }
        }
    });
    Ok(())
}

/// Rounds every projection to the grid, except those that are kept.
pub fn round(layer: &mut LayerWeights, settings: &AwqSettings) {
    for (projection, _) in layer.projections.iter_mut().zip(settings.keep).filter(|(_, keep)| !keep) {
        let width = projection.weight.columns.max(1);
        let rounding = Rounding::new(settings, width);
        projection.weight.values.par_chunks_mut(width).for_each(|row| rounding.round_row(row));
    }
}

/// Whether every scale has the length of its input.
fn check(layer: &LayerWeights, scales: &LayerScales) -> Result<(), CompressError> {
    check_layer(layer)?;
    let [_, _, value, output, .., up, down] = seven(layer)?;
    expect("the attention's scale", "values", scales.attention.values.len(), value.weight.columns)?;
    expect("the feed-forward scale", "values", scales.feed_forward.values.len(), up.weight.columns)?;
    expect("the down scale", "values", scales.down.values.len(), down.weight.columns)?;
    if let Some(scale) = &scales.output {
        expect("the output scale", "values", scale.values.len(), output.weight.columns)?;
        expect("the output scale", "values", scale.values.len(), value.weight.rows)?;
    }
    Ok(())
}

fn divide(values: &mut [f32], scale: &[f32]) {
    for (value, s) in values.iter_mut().zip(scale) {
        *value /= s;
    }
}

/// Every column of a weight with its scale.
fn columns(projection: &mut Projection, scale: &[f32], apply: impl Fn(f32, f32) -> f32 + Sync) {
    projection.weight.values.par_chunks_mut(scale.len().max(1)).for_each(|row| {
        for (weight, s) in row.iter_mut().zip(scale) {
            *weight = apply(*weight, *s);
        }
    });
}

/// Every row of a weight, and its bias, with its scale.
fn rows(projection: &mut Projection, scale: &[f32], apply: impl Fn(f32, f32) -> f32 + Sync) {
    let width = projection.weight.columns.max(1);
    projection.weight.values.par_chunks_mut(width).zip(scale).for_each(|(row, s)| {
        for weight in row {
            *weight = apply(*weight, *s);
        }
    });
    for (bias, s) in projection.bias.iter_mut().flatten().zip(scale) {
        *bias = apply(*bias, *s);
    }
}
