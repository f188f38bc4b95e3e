//! What a run will cost, and how it keeps inside the machine.
//!
//! Cost, with P parameters in the layers, T tokens and S packed segment rows: 2 P T for the forward pass, about 2 P S for
//! computing the layers again at segment rows and 2 P S for going back, 4 S V H for a head of V rows.

use std::time::{Duration, Instant};

use cruxscope_checkpoint::ModelConfig;
use cruxscope_interpret::Layout;
use cruxscope_model::ModelError;
use cruxscope_model::decoder::Residence;
use cruxscope_model::kernels::Kernels;
use cruxscope_study::Definition;

use crate::RunError;
use crate::instances::Instances;
use crate::machine::{available_memory, bytes_in_words};

/// Share of a device's rate of matrix products that a whole run is expected to reach.
const EXPECTED_EFFICIENCY: f64 = 0.7;
/// Share of the free memory that a plan may fill.
const FILL: f64 = 0.8;
/// Bytes of working memory besides weights and what instances keep: tiles, logits, the program itself.
const WORKING: u64 = 160 << 20;

/// Where the weights live, if the person chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WeightsChoice {
    /// On the device if they fit.
    #[default]
    Automatic,
    /// On the device.
    Resident,
    /// Read layer by layer.
    Streamed,
}

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
    /// Whether weights stay on the device.
    pub residence: Residence,
    /// Instances that go through the layers together.
    pub batches: Vec<usize>,
    /// Expected peak memory in bytes.
    pub memory: u64,
    /// Bytes of finished parts on disk until the study is put together.
    pub disk: u64,
    /// Floating-point operations in all.
    pub operations: f64,
    /// Expected time, where the device's rate was measured.
    pub time: Option<Duration>,
}

/// Operations of a forward pass over a token, attention not counted.
fn forward_operations(config: &ModelConfig) -> f64 {
    let weights: usize = (0..7).map(|weight| config.dimensions(weight)).map(|(rows, columns)| rows * columns).sum();
    2.0 * (weights * config.layers) as f64
}

/// Bytes that an instance keeps between the two directions, and that its tiles take.
fn instance_memory(config: &ModelConfig, layout: &Layout, tokens: usize, rows: usize, gradients: usize) -> u64 {
    let key_value = config.key_value_heads * config.head_dim;
    let kept = config.layers * (2 * tokens * key_value + rows * config.hidden);
    let hidden = 4 * tokens * (config.hidden + key_value);
    let vectors = (5 + gradients) * layout.length();
    let back = rows * (6 * config.hidden + 5 * config.intermediate);
    4 * (kept + hidden + vectors + back) as u64
}

impl Plan {
    /// Plans a run. `measured` is the device's rate in operations a second, if known.
    ///
    /// # Errors
    /// When the run cannot fit into memory.
    pub fn new(config: &ModelConfig, instances: &Instances, definition: Definition, weights: WeightsChoice, measured: Option<f64>) -> Result<Self, RunError> {
        let layout = Layout::of(config);
        let rows: Vec<usize> = instances.works.iter().map(|work| work.packed_rows(definition)).collect();
        let gradients = |index: usize| match definition {
            Definition::Paper => 4,
            Definition::Released => instances.works[index].segments.len(),
        };
        let needs: Vec<u64> = instances
            .works
            .iter()
            .enumerate()
            .map(|(index, work)| instance_memory(config, &layout, work.ids.len(), rows[index], gradients(index)))
            .collect();
        let largest = needs.iter().copied().max().unwrap_or(0);
        let forward = forward_operations(config);
        let head = 4.0 * (config.vocabulary * config.hidden) as f64;
        let attention: f64 = instances
            .works
            .iter()
            .map(|work| 2.0 * (config.layers * config.heads * config.head_dim) as f64 * (work.ids.len() as f64).powi(2))
            .sum();
        let tokens = instances.tokens();
        let all_rows: usize = rows.iter().sum();
        let operations = forward * tokens as f64 + (2.0 * forward + head) * all_rows as f64 + attention;

        let all_weights = 4 * config.parameters() as u64;
        let budget = available_memory().map_or(u64::MAX, |free| (free as f64 * FILL) as u64);
        let resident = all_weights + largest + WORKING;
        let layer = 4 * (forward / 2.0 / config.layers as f64) as u64;
        let head_bytes = 4 * (config.vocabulary * config.hidden) as u64;
        let streamed = 2 * layer + head_bytes + largest + WORKING;
        let residence = match weights {
            WeightsChoice::Resident => Residence::Resident,
            WeightsChoice::Streamed => Residence::Streamed,
            WeightsChoice::Automatic if resident <= budget => Residence::Resident,
            WeightsChoice::Automatic => Residence::Streamed,
        };
        let base = match residence {
            Residence::Resident => resident,
            Residence::Streamed => streamed,
        };
        if base > budget {
            return Err(RunError::Memory {
                needed: bytes_in_words(base),
                available: bytes_in_words(available_memory().unwrap_or(0)),
                hint: if residence == Residence::Resident {
                    "try --weights streamed, or a smaller --max-tokens"
                } else {
                    "a smaller --max-tokens needs less"
                }
                .into(),
            });
        }
        // Streaming reads every layer twice a batch, so it takes as many instances at once as fit into a quarter of what is
        // left; with resident weights one instance is a batch, the finest grain to resume at.
        let room = (budget - base) / 4;
        let mut batches = Vec::new();
        let (mut count, mut filled) = (0, 0);
        for need in &needs {
            if count > 0 && (residence == Residence::Resident || filled + need > room) {
                batches.push(count);
                (count, filled) = (0, 0);
            }
            count += 1;
            filled += need;
        }
        if count > 0 {
            batches.push(count);
        }
        let mut at = 0;
        let mut peak = 0;
        for count in &batches {
            peak = peak.max(needs[at..at + count].iter().sum::<u64>());
            at += count;
        }
        let vectors: usize = (0..instances.works.len()).map(|index| 5 + gradients(index)).sum();
        Ok(Self {
            instances: instances.works.len(),
            tokens,
            longest: instances.works.iter().map(|work| work.ids.len()).max().unwrap_or(0),
            segments: instances.segments(),
            rows: all_rows,
            dropped: instances.dropped.len(),
            residence,
            batches,
            memory: base - largest + peak,
            disk: 4 * (vectors * layout.length()) as u64,
            operations,
            time: measured.map(|rate| Duration::from_secs_f64(operations / (rate * EXPECTED_EFFICIENCY))),
        })
    }
}

/// Measures a device's rate of matrix products of a model's size, in operations a second; takes about a tenth of a second.
///
/// # Errors
/// When the device failed.
pub fn measure_rate<K: Kernels>(kernels: &K, config: &ModelConfig) -> Result<f64, ModelError> {
    let (outputs, inputs) = (config.intermediate.min(4096), config.hidden.min(4096));
    let rows = 512;
    let x = kernels.upload(rows, inputs, vec![0.5; rows * inputs]);
    let weight = kernels.upload(outputs, inputs, vec![0.25; outputs * inputs]);
    let once = |times: usize| -> Result<Duration, ModelError> {
        let began = Instant::now();
        let mut y = None;
        for _ in 0..times {
            y = Some(kernels.linear(&x, &weight, None, y.take()));
        }
        // Reading one row back waits for a device that works in its own time.
        if let Some(y) = y {
            kernels.download(&kernels.slice(&y, 0, 1))?;
        }
        Ok(began.elapsed())
    };
    once(1)?;
    let mut times = 1;
    loop {
        let took = once(times)?;
        if took > Duration::from_millis(60) || times > 1 << 16 {
            return Ok(2.0 * (rows * outputs * inputs * times) as f64 / took.as_secs_f64().max(1e-9));
        }
        times *= 2;
    }
}
