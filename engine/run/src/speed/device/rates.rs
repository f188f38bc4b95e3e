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

    /// The slowest rate forwards of the model's own products with so many rows or the next fewer that were measured; the best where there are none.
    pub fn rate_of_rows(&self, rows: usize) -> f64 {
        let own = || self.products.iter().filter(|product| product.what != "square" && product.rows <= rows);
        let nearest = own().map(|product| product.rows).max();
        let rates = own().filter(|product| Some(product.rows) == nearest).map(|product| product.forward);
        rates.reduce(f64::min).unwrap_or(self.best)
    }
}

/// Measures products; weights lie as the model's own do there. Squares go up to `largest` rows, and they and the rows of tokens as far as one
/// product takes no longer than `most` seconds at the rate of the one before, or a quarter of the best so far where that is more. Says which
/// were left out.
///
/// # Errors
/// When the device failed.
pub fn products<K: Kernels>(kernels: &K, timing: Timing, shape: &Shape, largest: usize, most: f64) -> Result<(Products, Vec<String>), ModelError> {
    let (mut found, mut left_out): (Vec<ProductRate>, Vec<String>) = (Vec::new(), Vec::new());
    let squares = std::iter::successors(Some(256), |size| Some(2 * size)).take_while(|size| *size <= largest);
    let mut groups: Vec<(&str, Vec<[usize; 3]>)> = vec![("square", squares.map(|size| [size; 3]).collect())];
    for (what, inputs, outputs) in modules(shape) {
        let rows = ROWS.into_iter().filter(|rows| *rows <= largest);
        groups.push((what, rows.map(|rows| [rows, inputs, outputs]).collect()));
    }
    for (what, sizes) in groups {
        let mut before = 0.0f64;
        for size in sizes {
            let best = found.iter().fold(0.0, |best, product| product.forward.max(best));
            let expected = before.max(best / 4.0);
            let needed = if expected > 0.0 { operations_of(size) / expected } else { 0.0 };
            if needed > most {
                left_out.push(format!("products of {what} with {} rows: {needed:.0} s each", size[0]));
                continue;
            }
            let rate = product(kernels, timing, what, size)?;
            before = rate.forward.min(rate.backward);
            found.push(rate);
        }
    }
    let best = found.iter().flat_map(|product| [product.forward, product.backward]).fold(0.0, f64::max);
    Ok((Products { best, products: found }, left_out))
}

fn operations_of([rows, inputs, outputs]: [usize; 3]) -> f64 {
    2.0 * rows as f64 * inputs as f64 * outputs as f64
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
    let operations = operations_of([rows, inputs, outputs]);
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
    /// The last rows that this was timed with, before all keys; the others by the number of keys that they see.
    pub forward_rows: usize,
    /// Operations a second of it, 2 H d T^2 in all.
    pub forward_rate: f64,
    /// Rows of segments that the backward pass goes through.
    pub rows: usize,
    /// Seconds of the backward pass.
    pub backward: f64,
}

/// Rows that attention is timed with, so that all timings take no more than `most` seconds at a rate: those of the forward pass, and those of the
/// backward pass. Nothing where even a few take longer.
pub fn rows_in(shape: &Shape, tokens: usize, most: f64, rate: f64) -> Option<[usize; 2]> {
    // Three timings of each at least; the backward pass makes two and a half times as many products, and again the forward's.
    let seconds = |rows: usize| 3.0 * 4.0 * (shape.config().hidden * tokens) as f64 * rows as f64 / rate;
    let back = std::iter::successors(Some(SEGMENT_ROWS.min(tokens)), |rows| (*rows > FEWEST_ROWS).then_some(rows / 2));
    let back = back.into_iter().find(|rows| 3.5 * seconds(*rows) <= 0.6 * most)?;
    let all = 0.5 * seconds(tokens) <= 0.4 * most;
    let some = std::iter::successors(Some(tokens / 2), |rows| (*rows > FEWEST_ROWS).then_some(rows / 2));
    let rows = if all {
        Some(tokens)
    } else {
        some.into_iter().find(|rows| seconds(*rows) <= 0.4 * most)
    };
    Some([rows?, back])
}

/// Rows that attention is timed with at least.
const FEWEST_ROWS: usize = 64;

/// Measures attention over `tokens` tokens: forwards for the last `rows[0]` of them, from which all are carried over by the keys that each sees, and
/// back from the last `rows[1]`, as many as segments have.
///
/// # Errors
/// When the device failed.
pub fn attention<K: Kernels>(kernels: &K, timing: Timing, shape: &Shape, tokens: usize, rows: [usize; 2]) -> Result<AttentionRate, ModelError> {
    let width = shape.config().hidden / shape.config().heads;
    let heads = Heads::plain(shape.config().heads, shape.config().key_value_heads, width);
    let (wide, narrow) = (shape.config().hidden, shape.config().key_value_heads * width);
    let [keys, values] = [1, 2].map(|seed| kernels.upload(tokens, narrow, numbers(tokens * narrow, seed)));
    let queries = kernels.upload(tokens, wide, numbers(tokens * wide, 3));
    let last = |rows: usize| [SequenceSpan { position: tokens - rows, rows }];
    let [forward_rows, rows] = rows.map(|rows| rows.min(tokens));
    let asked = kernels.slice(&queries, tokens - forward_rows, forward_rows);
    let timed = seconds(kernels, timing, || kernels.attention(heads, &asked, &keys, &values, None, &last(forward_rows)))?;
    let seen = |count: usize| count as f64 * (count as f64 + 1.0) / 2.0;
    let forward = timed * seen(tokens) / (seen(tokens) - seen(tokens - forward_rows));
    let asked = kernels.slice(&queries, tokens - rows, rows);
    let output = kernels.attention(heads, &asked, &keys, &values, None, &last(rows));
    let backward = seconds(kernels, timing, || {
        let (at_queries, ..) = kernels.attention_backward(heads, &asked, &keys, &values, None, &last(rows), &output, &asked);
        at_queries
    })?;
    Ok(AttentionRate {
        tokens,
        forward,
        forward_rows,
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
