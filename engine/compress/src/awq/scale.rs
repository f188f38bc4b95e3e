//! The scale search: which power of the mean activation makes the rounded weights reproduce the layer best.
//!
//! Every group of projections that reads one input is searched on the unscaled layer, twenty ratios each. For a candidate `s` the
//! weights become `W' = Q(W s) / s`, column by column, and the loss is the mean squared error of an output:
//!
//! * output and down: of the projection itself, `mean (x Δᵀ)²` with `Δ = W − W'`. That is `tr(Δ H Δᵀ) / out` with `H = XᵀX / tokens`,
//!   so the inputs are needed only through `H`, and the cheaper of the two forms is computed;
//! * query, key, value: of the whole attention module, when the inputs are given;
//! * gate, up: of the whole feed-forward block, when the inputs are given.
//!
//! When only Gram matrices are given, the last two fall back to the sum of their projections' own errors: a different loss (it sees
//! neither the softmax nor the product of gate and up) at a fraction of the work, which does not grow with the number of tokens.
//! Of the 36 such groups in the fixtures' layers it finds the same ratio in 15 and one within two steps in 29; the rounded layer's
//! error stays within 5 % of the original's, on either side. Over 8192 tokens it is more than ten times faster, Gram matrices included.

use cruxscope_checkpoint::{LayerWeights, Matrix};
use cruxscope_model::block;
use cruxscope_model::decoder::Layer;
use cruxscope_model::kernels::Kernels;
use cruxscope_model::module::{ModuleInput, projection_index};
use rayon::prelude::*;

use super::check::{check_weight, expect, seven};
use super::evaluation::{Attention, feed_forward, upload};
use super::evidence::{InputCalibration, InputGram, LayerCalibration, LayerInputs};
use super::rounding::Rounding;
use super::shape::BlockShape;
use super::{AwqSettings, Dialect, METHOD};
use crate::CompressError;
use crate::linear_algebra::{Operand, dot, product_here, squared_distance};

/// Rows of one task: enough to keep a product busy, few enough to share among threads.
const ROWS_A_TASK: usize = 128;

/// Ratios that are tried: `0/20 … 19/20`.
pub const RATIOS: usize = 20;

/// What the search found for one group of projections.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Scale {
    /// The best ratio is `index / 20`.
    pub index: usize,
    /// What each column is multiplied by before rounding, `[in]`.
    pub values: Vec<f32>,
    /// `√(max s · min s)` of the raw scale, which was divided by this.
    pub normaliser: f32,
    /// The loss of every ratio; of one that was worse than the best before all was looked at, what it had come to by then.
    pub losses: Vec<f64>,
    /// For every ratio whether all was looked at.
    pub whole: Vec<bool>,
}

impl Scale {
    /// The best ratio.
    pub fn ratio(&self) -> f32 {
        self.index as f32 / RATIOS as f32
    }

    /// The scale before it was normalised, which can be compared between layers: what the paper ranks in Appendix M.
    pub fn raw(&self) -> Vec<f32> {
        self.values.iter().map(|value| value * self.normaliser).collect()
    }

    /// The loss of the best ratio.
    pub fn loss(&self) -> f64 {
        self.losses.get(self.index).copied().unwrap_or(f64::NAN)
    }
}

/// The scales of one layer.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LayerScales {
    /// Of query, key and value; folded into the norm before attention.
    pub attention: Scale,
    /// Of the output projection; folded into the value projection. Only where value and output have one shape: with grouped-query
    /// attention a value channel feeds several output columns, which would need one common scale, and both dialects skip it.
    pub output: Option<Scale>,
    /// Of gate and up; folded into the norm before the feed-forward block.
    pub feed_forward: Scale,
    /// Of down; folded into the up projection.
    pub down: Scale,
}

/// Searches the scales of a layer's groups, all on the unscaled layer.
///
/// Source: llm-awq `auto_scale_block`, AutoAWQ `_search_best_scale`.
///
/// # Errors
/// When the evidence does not belong to the layer, something is not finite, the group size is not possible, or the device that
/// the outputs of whole modules are computed on fails.
pub fn search_scales<K: Kernels>(
    kernels: &K,
    layer: &LayerWeights,
    evidence: LayerCalibration<'_>,
    settings: &AwqSettings,
) -> Result<LayerScales, CompressError> {
    evidence.check(layer)?;
    let [query, key, value, output, gate, up, down] = seven(layer)?;
    let attention = [query, key, value].map(|projection| &projection.weight);
    let feed_forward = [gate, up].map(|projection| &projection.weight);
    let one_shape = (value.weight.rows, value.weight.columns) == (output.weight.rows, output.weight.columns);
    let own = |weights: &[&Matrix], input| search_scale(weights, evidence.input(input), settings);

    let (attention, feed_forward) = match evidence {
        LayerCalibration::Grams(_) => (own(&attention, ModuleInput::Attention)?, own(&feed_forward, ModuleInput::FeedForward)?),
        LayerCalibration::Inputs(inputs, shape) => (
            search_attention(kernels, layer, inputs, shape, settings)?,
            search_feed_forward(kernels, layer, inputs, shape, settings)?,
        ),
    };
    Ok(LayerScales {
        attention,
        output: one_shape.then(|| own(&[&output.weight], ModuleInput::Output)).transpose()?,
        feed_forward,
        down: own(&[&down.weight], ModuleInput::Down)?,
    })
}

/// Searches one scale for projections that share an input, judged by the mean squared error of their own outputs.
///
/// `loss(s) = Σ_W tr(Δ H Δᵀ) / Σ_W out`, `Δ = W − Q(W s)/s`.
///
/// # Shapes
/// Each weight is `[out, in]` with the same `in`; the scale is `[in]`.
///
/// # Errors
/// When the shapes do not fit, something is not finite, or there is no weight.
pub fn search_scale(weights: &[&Matrix], evidence: InputCalibration<'_>, settings: &AwqSettings) -> Result<Scale, CompressError> {
    let width = weights.first().map_or(0, |weight| weight.columns);
    for weight in weights {
        expect("a weight", "columns", weight.columns, width)?;
        check_weight("a weight", weight)?;
    }
    evidence.check(width)?;
    let candidates = Candidates::new(weights, &evidence.mean_absolute(), settings);
    // With more tokens than inputs the Gram matrix is the smaller factor of the two.
    let made;
    let error = match evidence {
        InputCalibration::Gram(gram) => QuadraticError::Gram(&gram.gram),
        InputCalibration::Inputs(inputs) if inputs.rows > width => {
            made = InputGram::of(inputs);
            QuadraticError::Gram(&made.gram)
        }
        InputCalibration::Inputs(inputs) => QuadraticError::Inputs(transposed(inputs), inputs.rows),
    };
    let rounding = &candidates.rounding;
    let outputs: usize = weights.iter().map(|weight| weight.rows).sum();
    let tasks: Vec<&[f32]> = weights.iter().flat_map(|weight| weight.values.chunks(ROWS_A_TASK * width)).collect();
    let of_task = |rows: &[f32], scale: &[f32]| {
        let mut delta = rows.to_vec();
        for (delta, row) in delta.chunks_exact_mut(width).zip(rows.chunks_exact(width)) {
            rounding.through_scale(row, scale, delta);
            for (delta, weight) in delta.iter_mut().zip(row) {
                *delta = weight - *delta;
            }
        }
        error.of(&delta, width)
    };
    // The first part of all ratios at once: it may be too small for more than one thread.
    let cuts = cuts(tasks.len(), 1);
    let scales: Vec<Vec<f32>> = (0..RATIOS).map(|index| candidates.scale(index).0).collect();
    let firsts: Vec<f64> = scales
        .par_iter()
        .map(|scale| tasks[..cuts[0]].iter().map(|rows| of_task(rows, scale)).sum())
        .collect();
    candidates.best(cuts.len(), outputs as f64, |index, scale, part| {
        if part == 0 {
            return Ok(firsts[index]);
        }
        let parts: Vec<f64> = tasks[cuts[part - 1]..cuts[part]].par_iter().map(|rows| of_task(rows, scale)).collect();
        Ok(parts.iter().sum())
    })
}

/// Where the parts of a search end: an eighth, a third, two thirds and all of `count`, each at least `least` beyond the one before.
fn cuts(count: usize, least: usize) -> Vec<usize> {
    let mut cuts: Vec<usize> = Vec::new();
    for end in [count / 8, count / 3, 2 * count / 3] {
        let end = end.max(cuts.last().copied().unwrap_or(0) + least);
        if end + least <= count {
            cuts.push(end);
        }
    }
    cuts.push(count);
    cuts
}

/// `Σ_rows δ H δᵀ`, by whichever factor of `H = XᵀX / tokens` is at hand.
enum QuadraticError<'a> {
    Gram(&'a Matrix),
    /// `Xᵀ`, as products read it fastest, and the number of tokens.
    Inputs(Vec<f32>, usize),
}

impl QuadraticError<'_> {
    /// Of rows `[rows, width]`.
    fn of(&self, delta: &[f32], width: usize) -> f64 {
        let rows = delta.len() / width;
        match self {
            Self::Gram(gram) => dot(&product_here(delta, Operand::rows(&gram.values, width), [rows, width, width]), delta),
            Self::Inputs(inputs, tokens) => {
                let outputs = product_here(delta, Operand::rows(inputs, *tokens), [rows, width, *tokens]);
                dot(&outputs, &outputs) / *tokens as f64
            }
        }
    }
}

/// One scale for query, key and value, judged by the output of the attention module.
fn search_attention<K: Kernels>(
    kernels: &K,
    layer: &LayerWeights,
    inputs: &LayerInputs,
    shape: &BlockShape,
    settings: &AwqSettings,
) -> Result<Scale, CompressError> {
    let [query, key, value, ..] = seven(layer)?;
    let evidence = InputCalibration::Inputs(&inputs.attention);
    let candidates = Candidates::new(&[&query.weight, &key.weight, &value.weight], &evidence.mean_absolute(), settings);
    let attention = Attention::new(kernels, shape, inputs.attention.columns, &inputs.lengths);
    let mut rounded = Layer::new(kernels, &shape.block, layer.clone());
    let x = upload(kernels, &inputs.attention);
    let original = block::linear(kernels, &rounded, projection_index::OUTPUT, &upload(kernels, &inputs.output), None);
    let original = kernels.download(&original)?;
    candidates.best(1, original.len() as f64, |_, scale, _| {
        for index in [projection_index::QUERY, projection_index::KEY, projection_index::VALUE] {
            rounded.weights[index] = upload(kernels, &candidates.rounded(&layer.projections[index].weight, scale));
        }
        let output = kernels.download(&attention.output(kernels, &rounded, &x))?;
        Ok(squared_distance(&output, &original))
    })
}

/// One scale for gate and up, judged by the output of the feed-forward block.
fn search_feed_forward<K: Kernels>(
    kernels: &K,
    layer: &LayerWeights,
    inputs: &LayerInputs,
    shape: &BlockShape,
    settings: &AwqSettings,
) -> Result<Scale, CompressError> {
    let [.., gate, up, _] = seven(layer)?;
    let evidence = InputCalibration::Inputs(&inputs.feed_forward);
    let candidates = Candidates::new(&[&gate.weight, &up.weight], &evidence.mean_absolute(), settings);
    let mut rounded = Layer::new(kernels, &shape.block, layer.clone());
    let original = block::linear(kernels, &rounded, projection_index::DOWN, &upload(kernels, &inputs.down), None);
    let original = kernels.download(&original)?;
    // Tokens with large outputs first: most of the error is theirs.
    let width = original.len() / inputs.feed_forward.rows.max(1);
    let order = by_size(&original, width);
    let cuts = cuts(order.len(), TOKENS_A_PART);
    let parts: Vec<(K::Matrix, Vec<f32>)> = (0..cuts.len())
        .map(|part| {
            let tokens = &order[if part == 0 { 0 } else { cuts[part - 1] }..cuts[part]];
            (upload(kernels, &rows_of(&inputs.feed_forward, tokens)), gathered(&original, width, tokens))
        })
        .collect();
    let mut present = None;
    candidates.best(parts.len(), original.len() as f64, |index, scale, part| {
        if present != Some(index) {
            for index in [projection_index::GATE, projection_index::UP] {
                rounded.weights[index] = upload(kernels, &candidates.rounded(&layer.projections[index].weight, scale));
            }
            present = Some(index);
        }
        let (x, original) = &parts[part];
        let output = kernels.download(&feed_forward(kernels, shape.block.activation, &rounded, x))?;
        Ok(squared_distance(&output, original))
    })
}

/// Tokens of a part at least: with fewer, preparing the weights costs as much as the products.
const TOKENS_A_PART: usize = 128;

/// Rows of a matrix of `width` columns by falling size; of equals the first.
fn by_size(values: &[f32], width: usize) -> Vec<usize> {
    let sizes: Vec<f64> = values.chunks_exact(width.max(1)).map(|row| dot(row, row)).collect();
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by(|left, right| sizes[*right].total_cmp(&sizes[*left]).then(left.cmp(right)));
    order
}

fn gathered(values: &[f32], width: usize, rows: &[usize]) -> Vec<f32> {
    rows.iter().flat_map(|row| &values[row * width..][..width]).copied().collect()
}

fn rows_of(matrix: &Matrix, rows: &[usize]) -> Matrix {
    Matrix {
        rows: rows.len(),
        columns: matrix.columns,
        values: gathered(&matrix.values, matrix.columns, rows),
    }
}

/// `[columns, rows]` of a row-major matrix.
fn transposed(matrix: &Matrix) -> Vec<f32> {
    let mut values = vec![0.0; matrix.values.len()];
    values.par_chunks_mut(matrix.rows.max(1)).enumerate().for_each(|(column, values)| {
        for (row, value) in values.iter_mut().enumerate() {
            *value = matrix.values[row * matrix.columns + column];
        }
    });
    values
}

/// The scales that are tried on one group.
struct Candidates {
    mean_absolute: Vec<f32>,
    /// AutoAWQ's `w̄`; absent in llm-awq.
    mean_weight: Option<Vec<f32>>,
    rounding: Rounding,
}

impl Candidates {
    fn new(weights: &[&Matrix], mean_absolute: &[f32], settings: &AwqSettings) -> Self {
        let width = mean_absolute.len();
        let rounding = Rounding::new(settings, width);
        let mean_weight = match settings.dialect {
            Dialect::LlmAwq => None,
            Dialect::AutoAwq => Some(mean_relative_weight(weights, &rounding, width)),
        };
        Self {
            mean_absolute: mean_absolute.to_vec(),
            mean_weight,
            rounding,
        }
    }

    /// Scale and normaliser of ratio `r = index / 20`.
    ///
    /// llm-awq: `s = max(x̄^r, 1e-4)`; AutoAWQ: `s = max(x̄^r / (w̄^(1−r) + 1e-4), 1e-4)`; then `s / √(max s · min s)`. A scale that is not
    /// finite becomes 1, as in AutoAWQ.
    fn scale(&self, index: usize) -> (Vec<f32>, f32) {
        let ratio = (index as f64 / RATIOS as f64) as f32;
        let rest = (1.0 - index as f64 / RATIOS as f64) as f32;
        let raw: Vec<f32> = match &self.mean_weight {
            None => self.mean_absolute.iter().map(|x| x.powf(ratio).max(1e-4)).collect(),
            Some(mean_weight) => {
                let pairs = self.mean_absolute.iter().zip(mean_weight);
                pairs.map(|(x, w)| (x.powf(ratio) / (w.powf(rest) + 1e-4)).max(1e-4)).collect()
            }
        };
        let (mut largest, mut smallest) = (0.0f32, f32::INFINITY);
        for value in &raw {
            (largest, smallest) = (largest.max(*value), smallest.min(*value));
        }
        let normaliser = (largest * smallest).sqrt();
        let finite = |value: f32| if value.is_finite() { value } else { 1.0 };
        (raw.iter().map(|value| finite(value / normaliser)).collect(), normaliser)
    }

    /// The first ratio of the smallest loss, which comes in parts that only add to it.
    ///
    /// The first part is asked of every ratio, and the others of the most promising first: a ratio that is worse than another's whole before
    /// it has seen everything cannot be the best any more. What is found is what it would be without this.
    fn best(&self, parts: usize, divisor: f64, mut loss: impl FnMut(usize, &[f32], usize) -> Result<f64, CompressError>) -> Result<Scale, CompressError> {
        let scales: Vec<(Vec<f32>, f32)> = (0..RATIOS).map(|index| self.scale(index)).collect();
        let mut losses = Vec::with_capacity(RATIOS);
        for (index, (scale, _)) in scales.iter().enumerate() {
            losses.push(loss(index, scale, 0)?);
        }
        let mut promising: Vec<usize> = (0..RATIOS).collect();
        promising.sort_by(|left, right| losses[*left].total_cmp(&losses[*right]).then(left.cmp(right)));
        let (mut whole, mut smallest) = (vec![false; RATIOS], f64::INFINITY);
        for index in promising {
            let mut part = 1;
            while part < parts && losses[index] <= smallest {
                losses[index] += loss(index, &scales[index].0, part)?;
                part += 1;
            }
            whole[index] = part >= parts;
            if whole[index] && losses[index].is_finite() {
                smallest = smallest.min(losses[index]);
            }
        }
        let index = (0..RATIOS)
            .find(|index| whole[*index] && losses[*index].is_finite() && losses[*index] == smallest)
            .ok_or(CompressError::NotFinite {
                method: METHOD,
                what: "every loss of the scale search",
            })?;
        losses.iter_mut().for_each(|loss| *loss /= divisor);
        let (values, normaliser) = scales[index].clone();
        Ok(Scale {
            index,
            values,
            normaliser,
            losses,
            whole,
        })
    }

    /// The weight with `W' = Q(W s) / s`.
    fn rounded(&self, weight: &Matrix, scale: &[f32]) -> Matrix {
        let mut rounded = weight.clone();
        let width = scale.len();
        let rows = weight.values.par_chunks(width);
        rounded
            .values
            .par_chunks_mut(width)
            .zip(rows)
            .for_each(|(rounded, row)| self.rounding.through_scale(row, scale, rounded));
        rounded
    }
}

/// AutoAWQ's `w̄_j`: the mean over all rows of `|w_j| / (max of its group + 1e-6)`, `[in]`.
fn mean_relative_weight(weights: &[&Matrix], rounding: &Rounding, width: usize) -> Vec<f32> {
    let size = rounding.group();
    let of_block = |rows: &[f32]| {
        let mut sums = vec![0.0f64; width];
        for row in rows.chunks_exact(width) {
            for (group, sums) in row.chunks(size).zip(sums.chunks_mut(size)) {
                let largest = group.iter().fold(0.0f32, |largest, weight| largest.max(weight.abs())) + 1e-6;
                for (sum, weight) in sums.iter_mut().zip(group) {
                    *sum += f64::from(weight.abs() / largest);
                }
            }
        }
        sums
    };
    let mut sums = vec![0.0f64; width];
    for weight in weights {
        for block in weight.values.par_chunks(ROWS_A_TASK * width).map(of_block).collect::<Vec<_>>() {
            for (sum, part) in sums.iter_mut().zip(&block) {
                *sum += part;
            }
        }
    }
    let count: usize = weights.iter().map(|weight| weight.rows).sum();
    sums.iter().map(|sum| (sum / count as f64) as f32).collect()
}
