//! Rates of single operations at a model's shapes: matrix products beside the device's own best, attention, copies.

use cruxscope_model::ModelError;
use cruxscope_model::kernels::{Heads, Kernels, SequenceSpan};
use cruxscope_statistics::SplitMix;
use serde::Serialize;

use super::clock::{Timing, seconds};
use crate::synthetic::Shape;

/// Rows of tokens that products are measured with: a step of generation, a batch of steps, a prompt.
const ROWS: [usize; 4] = [1, 32, 512, 2048];
/// Rows of segments that a backward pass through attention is measured with, at most.
const SEGMENT_ROWS: usize = 512;

/// A matrix product `[rows, inputs] x [inputs, outputs]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProductRate {
    /// The module whose shape it is, or "square".
    pub what: String,
    /// Rows of tokens.
    pub rows: usize,
    /// Inputs of the matrix.
    pub inputs: usize,
    /// Outputs of the matrix.
    pub outputs: usize,
    /// Operations a second forwards, y = x W^T.
    pub forward: f64,
    /// Operations a second backwards, dx = g W.
    pub backward: f64,
}

/// Products of square matrices and of the model's modules.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Products {
    /// The best rate of all, which stands for the device's own.
    pub best: f64,
    /// Each product.
    pub products: Vec<ProductRate>,
}

impl Products {
    /// The share of the best rate that a product reaches forwards.
    pub fn share(&self, product: &ProductRate) -> f64 {
        product.forward / self.best
    }
}

/// Measures products; weights lie as the model's own do there. Squares go up to `largest` rows.
///
/// # Errors
/// When the device failed.
pub fn products<K: Kernels>(kernels: &K, timing: Timing, shape: &Shape, largest: usize) -> Result<Products, ModelError> {
    let mut found = Vec::new();
    let mut size = 256;
    while size <= largest {
        found.push(product(kernels, timing, "square", [size, size, size])?);
        size *= 2;
    }
    for (what, inputs, outputs) in modules(shape) {
        for rows in ROWS.into_iter().filter(|rows| *rows <= largest) {
            found.push(product(kernels, timing, what, [rows, inputs, outputs])?);
        }
    }
    let best = found.iter().flat_map(|product| [product.forward, product.backward]).fold(0.0, f64::max);
    Ok(Products { best, products: found })
}

fn modules(shape: &Shape) -> [(&'static str, usize, usize); 4] {
    let keys = shape.config().hidden / shape.config().heads * shape.config().key_value_heads;
    [
        ("q", shape.config().hidden, shape.config().hidden),
        ("k", shape.config().hidden, keys),
        ("up", shape.config().hidden, shape.config().intermediate),
        ("down", shape.config().intermediate, shape.config().hidden),
    ]
}

fn product<K: Kernels>(kernels: &K, timing: Timing, what: &str, [rows, inputs, outputs]: [usize; 3]) -> Result<ProductRate, ModelError> {
    let weight = kernels.keep(outputs, inputs, numbers(outputs * inputs, 1));
    let (x, gradient) = (
        kernels.upload(rows, inputs, numbers(rows * inputs, 2)),
        kernels.upload(rows, outputs, numbers(rows * outputs, 3)),
    );
    let operations = 2.0 * rows as f64 * inputs as f64 * outputs as f64;
    Ok(ProductRate {
        what: what.into(),
        rows,
        inputs,
        outputs,
        forward: operations / seconds(kernels, timing, || kernels.linear(&x, &weight, None, None))?,
        backward: operations / seconds(kernels, timing, || kernels.linear_backward(&gradient, &weight, None))?,
    })
}

/// Numbers that bfloat16 holds exactly, so that weights lie in it where the device has it.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut random = SplitMix::new(seed);
    (0..count.div_ceil(8))
        .flat_map(|_| random.bits().to_le_bytes())
        .map(|byte| (f32::from(byte) - 127.5) / 128.0)
        .take(count)
        .collect()
}

/// Attention of one layer over a sequence.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AttentionRate {
    /// Tokens of the sequence.
    pub tokens: usize,
    /// Seconds of the forward pass over all tokens.
    pub forward: f64,
    /// Operations a second of it, 2 H d T^2 in all.
    pub forward_rate: f64,
    /// Rows of segments that the backward pass goes through.
    pub rows: usize,
    /// Seconds of the backward pass.
    pub backward: f64,
}

/// Measures attention over `tokens` tokens, back from as many of the last as segments have.
///
/// # Errors
/// When the device failed.
pub fn attention<K: Kernels>(kernels: &K, timing: Timing, shape: &Shape, tokens: usize) -> Result<AttentionRate, ModelError> {
    let width = shape.config().hidden / shape.config().heads;
    let heads = Heads::plain(shape.config().heads, shape.config().key_value_heads, width);
    let (wide, narrow) = (shape.config().hidden, shape.config().key_value_heads * width);
    let [keys, values] = [1, 2].map(|seed| kernels.upload(tokens, narrow, numbers(tokens * narrow, seed)));
    let queries = kernels.upload(tokens, wide, numbers(tokens * wide, 3));
    let whole = [SequenceSpan { position: 0, rows: tokens }];
    let forward = seconds(kernels, timing, || kernels.attention(heads, &queries, &keys, &values, None, &whole))?;
    let rows = SEGMENT_ROWS.min(tokens);
    let last = [SequenceSpan { position: tokens - rows, rows }];
    let asked = kernels.slice(&queries, tokens - rows, rows);
    let output = kernels.attention(heads, &asked, &keys, &values, None, &last);
    let backward = seconds(kernels, timing, || {
        let (at_queries, ..) = kernels.attention_backward(heads, &asked, &keys, &values, None, &last, &output, &asked);
        at_queries
    })?;
    Ok(AttentionRate {
        tokens,
        forward,
        forward_rate: 2.0 * wide as f64 * (tokens as f64).powi(2) / forward,
        rows,
        backward,
    })
}

/// How fast numbers move.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Copies {
    /// Bytes a second that adding two matrices reads and writes on the device.
    pub on_device: f64,
    /// Bytes a second from the machine to the device.
    pub to_device: f64,
    /// Bytes a second back.
    pub from_device: f64,
}

/// Measures copies of matrices of `rows` rows.
///
/// # Errors
/// When the device failed.
pub fn copies<K: Kernels>(kernels: &K, timing: Timing, rows: usize) -> Result<Copies, ModelError> {
    let columns = 4096;
    let values = numbers(rows * columns, 1);
    let bytes = 4.0 * values.len() as f64;
    let x = kernels.upload(rows, columns, values.clone());
    let up = seconds(kernels, timing, || kernels.upload(rows, columns, values.clone()))?;
    let began = std::time::Instant::now();
    kernels.download(&x)?;
    let down = began.elapsed().as_secs_f64();
    Ok(Copies {
        on_device: 3.0 * bytes / seconds(kernels, timing, || kernels.add(x.clone(), &x))?,
        to_device: bytes / up,
        from_device: bytes / down.max(1e-9),
    })
}
