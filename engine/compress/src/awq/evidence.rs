//! What is known about the inputs of a layer's projections: the inputs themselves, or their means and Gram matrices.
//!
//! Inputs are those of the original, uncompressed layer: activation-aware quantization always calibrates on full-precision
//! activations. Which of the two is given decides what loss the scale search has (see [`super::search_scales`]).

use cruxscope_checkpoint::{LayerWeights, Matrix};
use cruxscope_model::module::ModuleInput;
use rayon::prelude::*;

use super::check::{check_layer, expect, finite, shape};
use super::shape::BlockShape;
use crate::CompressError;
use crate::linear_algebra::gram;

/// The inputs that the projections of a layer read. Query, key and value share one, and so do gate and up.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerInputs {
    /// After the norm before attention, `[tokens, hidden]`.
    pub attention: Matrix,
    /// The mixed values, before the output projection, `[tokens, heads · head_dim]`.
    pub output: Matrix,
    /// After the norm before the feed-forward block, `[tokens, hidden]`.
    pub feed_forward: Matrix,
    /// `silu(gate) · up`, before the down projection, `[tokens, intermediate]`.
    pub down: Matrix,
    /// Lengths of the sequences that the rows are, one after the other; each starts at position 0.
    pub lengths: Vec<usize>,
}

impl LayerInputs {
    /// The means and Gram matrices of these inputs.
    pub fn grams(&self) -> LayerGrams {
        LayerGrams {
            attention: InputGram::of(&self.attention),
            output: InputGram::of(&self.output),
            feed_forward: InputGram::of(&self.feed_forward),
            down: InputGram::of(&self.down),
        }
    }
}

/// Mean magnitudes and second moments of one projection's inputs `X`.
#[derive(Debug, Clone, PartialEq)]
pub struct InputGram {
    /// `mean_t |x_tj|`, `[in]`.
    pub mean_absolute: Vec<f32>,
    /// `Xᵀ X / tokens`, `[in, in]`. Any positive multiple finds the same scales and clips; only the losses that are reported scale with it.
    pub gram: Matrix,
}

impl InputGram {
    /// Both, of inputs `[tokens, in]`.
    pub fn of(inputs: &Matrix) -> Self {
        Self {
            mean_absolute: mean_absolute(inputs),
            gram: mean_gram(inputs),
        }
    }
}

/// [`InputGram`] of the four inputs of [`LayerInputs`].
#[derive(Debug, Clone, PartialEq)]
pub struct LayerGrams {
    /// Of query, key and value.
    pub attention: InputGram,
    /// Of the attention's output projection.
    pub output: InputGram,
    /// Of gate and up.
    pub feed_forward: InputGram,
    /// Of down.
    pub down: InputGram,
}

/// What is known about a whole layer's inputs.
#[derive(Debug, Clone, Copy)]
pub enum LayerCalibration<'a> {
    /// Every token's inputs, and what it takes to run the layer on them.
    Inputs(&'a LayerInputs, &'a BlockShape),
    /// Means and Gram matrices.
    Grams(&'a LayerGrams),
}

/// What is known about one projection's inputs.
#[derive(Debug, Clone, Copy)]
pub enum InputCalibration<'a> {
    /// Every token's input, `[tokens, in]`.
    Inputs(&'a Matrix),
    /// Means and Gram matrix.
    Gram(&'a InputGram),
}

impl<'a> LayerCalibration<'a> {
    /// What is known about one of the four inputs.
    pub(super) fn input(self, input: ModuleInput) -> InputCalibration<'a> {
        match self {
            Self::Inputs(inputs, _) => InputCalibration::Inputs(match input {
                ModuleInput::Attention => &inputs.attention,
                ModuleInput::Output => &inputs.output,
                ModuleInput::FeedForward => &inputs.feed_forward,
                _ => &inputs.down,
            }),
            Self::Grams(grams) => InputCalibration::Gram(match input {
                ModuleInput::Attention => &grams.attention,
                ModuleInput::Output => &grams.output,
                ModuleInput::FeedForward => &grams.feed_forward,
                _ => &grams.down,
            }),
        }
    }

    /// Whether everything belongs to this layer.
    pub(super) fn check(self, layer: &LayerWeights) -> Result<(), CompressError> {
        check_layer(layer)?;
        for (projection, weight) in layer.projections.iter().enumerate() {
            self.input(ModuleInput::of(projection)).check(weight.weight.columns)?;
        }
        if let Self::Inputs(inputs, shape) = self {
            let tokens: usize = inputs.lengths.iter().sum();
            for (what, rows) in [
                ("the attention's inputs", inputs.attention.rows),
                ("the output projection's inputs", inputs.output.rows),
                ("the feed-forward block's inputs", inputs.feed_forward.rows),
                ("the down projection's inputs", inputs.down.rows),
            ] {
                expect(what, "tokens", rows, tokens)?;
            }
            shape.check(layer)?;
        }
        Ok(())
    }
}

impl InputCalibration<'_> {
    /// `mean_t |x_tj|`, `[in]`.
    pub(super) fn mean_absolute(&self) -> Vec<f32> {
        match self {
            Self::Inputs(inputs) => mean_absolute(inputs),
            Self::Gram(gram) => gram.mean_absolute.clone(),
        }
    }

    /// Whether this belongs to a projection with `width` inputs.
    pub(super) fn check(&self, width: usize) -> Result<(), CompressError> {
        match self {
            Self::Inputs(inputs) => {
                expect("the inputs", "columns", inputs.columns, width)?;
                expect("the inputs", "values", inputs.values.len(), inputs.rows * inputs.columns)?;
                if inputs.rows == 0 {
                    return Err(shape("the inputs", "no tokens".to_string(), "at least one".to_string()));
                }
                finite("the inputs", &inputs.values)
            }
            Self::Gram(gram) => {
                expect("the mean magnitudes", "values", gram.mean_absolute.len(), width)?;
                expect("the Gram matrix", "rows", gram.gram.rows, width)?;
                expect("the Gram matrix", "columns", gram.gram.columns, width)?;
                expect("the Gram matrix", "values", gram.gram.values.len(), width * width)?;
                finite("the mean magnitudes", &gram.mean_absolute)?;
                finite("the Gram matrix", &gram.gram.values)
            }
        }
    }
}

/// `Xᵀ X / tokens`, summed in float64.
pub(super) fn mean_gram(inputs: &Matrix) -> Matrix {
    let tokens = inputs.rows.max(1) as f64;
    Matrix {
        rows: inputs.columns,
        columns: inputs.columns,
        values: gram(&inputs.values, inputs.columns).iter().map(|sum| (sum / tokens) as f32).collect(),
    }
}

/// `mean_t |x_tj|`, summed in float64.
fn mean_absolute(inputs: &Matrix) -> Vec<f32> {
    const PANEL: usize = 256;
    let mut sums = vec![0.0f64; inputs.columns];
    sums.par_chunks_mut(PANEL).enumerate().for_each(|(panel, sums)| {
        for token in 0..inputs.rows {
            for (sum, value) in sums.iter_mut().zip(&inputs.row(token)[panel * PANEL..]) {
                *sum += f64::from(value.abs());
            }
        }
    });
    sums.iter().map(|sum| (sum / inputs.rows as f64) as f32).collect()
}
