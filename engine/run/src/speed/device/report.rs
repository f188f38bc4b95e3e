//! What was measured of a device.

use cruxscope_model::kernels::agreement::Agreement;
use serde::Serialize;

use super::rates::{AttentionRate, Copies, Products};
use super::work::{InterpretationRate, Whole};
use crate::speed::generation::GenerationMeasurement;
use crate::synthetic::Shape;

/// One kernel beside the reference.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KernelRow {
    /// The kernel.
    pub kernel: String,
    /// The largest difference as a share of the largest value.
    pub difference: f64,
    /// What it may be.
    pub bound: f64,
    /// Whether it is within.
    pub holds: bool,
}

impl From<Agreement> for KernelRow {
    fn from(row: Agreement) -> Self {
        Self {
            kernel: row.kernel.into(),
            difference: row.difference,
            bound: row.bound,
            holds: row.holds(),
        }
    }
}

/// A small model's map on the device beside that of the processors.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SameMap {
    /// The model.
    pub model: String,
    /// Instances.
    pub instances: usize,
    /// The largest difference of relative importance, over behaviours and components.
    pub difference: f64,
    /// The ten components with the most relative importance in the mean over behaviours: on the device, and on the processors.
    pub top_ten: [Vec<String>; 2],
}

impl SameMap {
    /// Whether the ten are the same, in the same order.
    pub fn same_ten(&self) -> bool {
        self.top_ten[0] == self.top_ten[1]
    }
}

/// Everything that was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeviceReport {
    /// The device, in words.
    pub device: String,
    /// Layers of the checkpoint.
    pub layers: usize,
    /// Layers of the whole model.
    pub whole_layers: usize,
    /// Kernels against the reference.
    pub kernels: Vec<KernelRow>,
    /// A small model's map.
    pub small: Option<SameMap>,
    /// Matrix products.
    pub products: Products,
    /// Copies.
    pub copies: Copies,
    /// Attention by length.
    pub attention: Vec<AttentionRate>,
    /// Interpretations by length.
    pub interpretation: Vec<InterpretationRate>,
    /// A sketch of sensitivities.
    pub sketch: Option<Whole>,
    /// GPTQ of one layer.
    pub gptq: Option<Whole>,
    /// Generation by number of sequences.
    pub generation: Vec<GenerationMeasurement>,
    /// New tokens a second of the whole model, for each row of `generation`: a step reads all weights once, so by their bytes.
    pub generation_whole: Vec<f64>,
    /// Seconds of a job on the whole model, see [`Job::seconds`].
    pub job_seconds: Option<f64>,
    /// What was measured on less than was asked for, and how its number comes of it.
    pub scaled: Vec<String>,
    /// What was left out, and why.
    pub left_out: Vec<String>,
    /// Seconds that all took.
    pub seconds: f64,
}

impl DeviceReport {
    /// Whether every kernel is within its bound, and the small model's ten are the same.
    pub fn agrees(&self) -> bool {
        self.kernels.iter().all(|row| row.holds) && self.small.as_ref().is_none_or(SameMap::same_ten)
    }
}

/// Traces to interpret, as far as operations depend on them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Job {
    /// Traces.
    pub traces: f64,
    /// Their tokens.
    pub tokens: f64,
    /// Rows that the backward pass goes through.
    pub rows: f64,
    /// Their squared lengths, summed.
    pub squares: f64,
}

impl Job {
    /// The 120 published traces of DeepSeek-R1-Distill-Llama-8B with their annotations, as SmolLM2's tokenizer counts them:
    /// tokens as `cruxscope interpret --dry-run --max-length 100000` prints them for SmolLM2, squares of the same lengths, and the rows that
    /// are left of the operations that it prints.
    pub const PUBLISHED: Self = Self {
        traces: 120.0,
        tokens: 798_020.0,
        rows: 93_300.0,
        squares: 2.0958e10,
    };

    /// Floating-point operations on a model: 2 P a token forwards, 4 P and 4 V H a row of a segment, 2 L H T^2 for attention.
    pub fn operations(&self, shape: &Shape) -> f64 {
        let head = 2.0 * (shape.config().vocabulary * shape.config().hidden) as f64;
        let layers = shape.bytes() as f64 / 2.0 - head;
        let attention = 2.0 * (shape.config().layers * shape.config().hidden) as f64 * self.squares;
        2.0 * layers * self.tokens + (4.0 * layers + 2.0 * head) * self.rows + attention
    }

    /// Seconds at the rate that the interpretation reached whose length is nearest to this job's mean.
    pub fn seconds(&self, shape: &Shape, measured: &[InterpretationRate]) -> Option<f64> {
        let mean = self.tokens / self.traces;
        let distance = |row: &InterpretationRate| (row.measured.tokens as f64 / mean).ln().abs();
        let measured = measured.iter().filter(|row| row.carried_from.is_none());
        let nearest = measured.min_by(|a, b| distance(a).total_cmp(&distance(b)))?;
        Some(self.operations(shape) * nearest.measured.seconds / nearest.operations)
    }
}
