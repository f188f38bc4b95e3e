//! What a run will cost, and how it keeps inside the machine (where everything is put: [`crate::placement`]).
//!
//! Cost, with P parameters in the layers, T tokens and S packed segment rows: 2 P T for the forward pass, about 2 P S for
//! computing the layers again at segment rows and 2 P S for going back, 4 S V H for a head of V rows.

use std::time::Duration;

use cruxscope_checkpoint::ModelConfig;
use cruxscope_interpret::Layout;
use cruxscope_interpret::pass::Instance;
use cruxscope_study::Definition;

use crate::RunError;
use crate::instances::Instances;
use crate::place::Place;
use crate::placement::{Memory, Needs, Placement, WeightsChoice};

/// Share of a device's rate of matrix products that a whole run is expected to reach.
const EXPECTED_EFFICIENCY: f64 = 0.7;

/// What a run will do and take.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Instances.
    pub instances: usize,
    /// Tokens in all.
    pub tokens: usize,
    /// Tokens of the longest instance.
    pub longest: usize,
    /// Segments in all.
    pub segments: usize,
    /// Rows that the backward pass packs, in all.
    pub rows: usize,
    /// Sections and segments that were dropped.
    pub dropped: usize,
    /// Where weights, and what instances keep, are put; instances that go through the layers together; expected peaks.
    pub placement: Placement,
    /// Bytes on disk until the study is put together: finished parts, and what is put there for want of memory.
    pub disk: u64,
    /// Floating-point operations in all.
    pub operations: f64,
    /// Expected time, where the device's rate was measured.
    pub time: Option<Duration>,
}

/// What an instance asks of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    /// Spans whose losses go back.
    pub spans: usize,
    /// Rows of all of them.
    pub rows: usize,
    /// Vectors of the model's length that it gives.
    pub vectors: usize,
}

/// Operations of a forward pass over a token, attention not counted.
fn forward_operations(config: &ModelConfig) -> f64 {
    2.0 * (0..config.layers).map(|layer| config.active_weights(layer)).sum::<usize>() as f64
}

/// Operations of an instance.
pub(crate) fn operations(config: &ModelConfig, tokens: usize, rows: usize) -> f64 {
    let forward = forward_operations(config);
    let head = 4.0 * (config.vocabulary * config.hidden) as f64;
    let attention = 2.0 * (config.layers * config.heads * config.head_dim) as f64 * (tokens as f64).powi(2);
    forward * tokens as f64 + (2.0 * forward + head) * rows as f64 + attention
}

impl Plan {
    /// Plans a run at a place.
    ///
    /// # Errors
    /// When the run cannot fit into memory.
    pub fn new(config: &ModelConfig, instances: &Instances, definition: Definition, weights: WeightsChoice, place: &Place) -> Result<Self, RunError> {
        let gradients = |instance: &Instance| match definition {
            Definition::Paper => 4,
            Definition::Released => instance.segments.len(),
        };
        let work: Vec<Work> = (instances.items.iter())
            .map(|instance| Work {
                spans: instance.segments.len(),
                rows: instance.packed_rows(definition),
                vectors: 5 + gradients(instance),
            })
            .collect();
        Self::of_rows(config, instances, &work, weights, place)
    }

    /// Plans a run in which each instance is so much work.
    ///
    /// # Errors
    /// When the run cannot fit into memory.
    pub(crate) fn of_rows(config: &ModelConfig, instances: &Instances, work: &[Work], weights: WeightsChoice, place: &Place) -> Result<Self, RunError> {
        let layout = Layout::of(config);
        let rows: Vec<usize> = work.iter().map(|work| work.rows).collect();
        let tokens: Vec<usize> = instances.items.iter().map(|instance| instance.ids.len()).collect();
        let each = tokens.iter().zip(&rows);
        let needs: Vec<Needs> = (each.clone().zip(work))
            .map(|((tokens, rows), work)| Needs::of(config, &layout, *tokens, work.spans, *rows, work.vectors.saturating_sub(5)))
            .collect();
        let operations: Vec<f64> = each.map(|(tokens, rows)| operations(config, *tokens, *rows)).collect();
        let placement = Placement::choose(config, &needs, &operations, weights, place)?;
        let vectors: usize = work.iter().map(|work| work.vectors).sum();
        let all: f64 = operations.iter().sum();
        Ok(Self {
            instances: tokens.len(),
            tokens: instances.tokens(),
            longest: tokens.iter().copied().max().unwrap_or(0),
            segments: instances.segments(),
            rows: rows.iter().sum(),
            dropped: instances.dropped.len(),
            disk: 4 * (vectors * layout.length()) as u64 + placement.memory.disk,
            operations: all,
            time: place.products.map(|products| {
                let computing = all / (products * EXPECTED_EFFICIENCY);
                // Layers are read while others are computed, so the slower of the two counts.
                Duration::from_secs_f64(computing.max(placement.reading(config, place)))
            }),
            placement,
        })
    }

    /// Expected peaks of memory.
    pub fn memory(&self) -> Memory {
        self.placement.memory
    }
}
