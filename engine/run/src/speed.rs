//! How fast an interpretation is: the same work repeated, with processor time and peak memory. How fast [`generation`] is
//! stands beside it, and what a whole [`device`] does.

pub mod device;
pub mod generation;

use std::time::{Duration, Instant};

use cruxscope_checkpoint::Checkpoint;
use cruxscope_interpret::Layout;
use cruxscope_interpret::attribution::{Steering, components, contribution};
use cruxscope_interpret::pass::{self, Instance};
use cruxscope_model::decoder::{Decoder, Residence};
use cruxscope_model::kernels::Kernels;
use cruxscope_study::Definition;

use crate::RunError;
use crate::guard::catch_panic;
use crate::machine::{peak_memory, processor_time};
use crate::place::measure_products;

/// What one configuration measured.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Measurement {
    /// Threads that were used.
    pub threads: usize,
    /// Backend and precision.
    pub backend: String,
    /// Tokens of all instances.
    pub tokens: usize,
    /// Segments of all instances.
    pub segments: usize,
    /// Seconds by the clock, for all instances once: the fastest run.
    pub seconds: f64,
    /// The slowest run.
    pub slowest_seconds: f64,
    /// Processor seconds of the run with the fewest.
    pub processor_seconds: Option<f64>,
    /// Tokens a second, by the clock.
    pub tokens_per_second: f64,
    /// The most memory that the process has held, in bytes.
    pub peak_memory: Option<u64>,
    /// What the device's own allocator holds at the end, in bytes, where it has one.
    pub device_memory: Option<u64>,
    /// Share of the measured rate of matrix products that the run reached.
    pub efficiency: f64,
    /// Number of runs.
    pub runs: usize,
}

/// Interprets some works `runs` times, from weights that are on the device to importance, and measures.
///
/// # Errors
/// When the model cannot be run.
pub fn interpret<K: Kernels>(
    checkpoint: std::sync::Arc<Checkpoint>,
    kernels: K,
    residence: Residence,
    weight_bytes: u64,
    instances: &[Instance],
    definition: Definition,
    operations: f64,
    runs: usize,
) -> Result<Measurement, RunError> {
    let backend = kernels.describe();
    let rate = catch_panic("a probe of its speed", || measure_products(&kernels, checkpoint.config(), weight_bytes))?;
    let decoder = Decoder::new(checkpoint, kernels, residence)?;
    let layout = Layout::of(decoder.config());
    if residence == Residence::Resident {
        for layer in 0..decoder.config().layers {
            decoder.layer(layer)?;
        }
        decoder.head()?;
    }
    let mut clock = Vec::new();
    let mut processor: Vec<Duration> = Vec::new();
    for _ in 0..runs.max(1) {
        let (began, began_processor) = (Instant::now(), processor_time());
        let mut parts = Vec::new();
        for instance in instances {
            let found = catch_panic("an instance", || {
                pass::interpret(&decoder, std::slice::from_ref(instance), definition, &mut |_: usize| true)
            })?;
            parts.extend(found);
        }
        let mut steering = Steering::new(layout.clone(), definition);
        for part in &parts {
            steering.add(part)?;
        }
        let steering = steering.finish();
        let units = parts.iter().map(|part| contribution(part, &steering, &layout, definition)).collect();
        components(units, &layout).0.importance(layout.layers())?;
        clock.push(began.elapsed().as_secs_f64());
        if let (Some(before), Some(after)) = (began_processor, processor_time()) {
            processor.push(after.saturating_sub(before));
        }
    }
    let seconds = clock.iter().copied().fold(f64::INFINITY, f64::min);
    let tokens: usize = instances.iter().map(|instance| instance.ids.len()).sum();
    Ok(Measurement {
        threads: rayon::current_num_threads(),
        backend,
        tokens,
        segments: instances.iter().map(|instance| instance.segments.len()).sum(),
        seconds,
        slowest_seconds: clock.iter().copied().fold(0.0, f64::max),
        processor_seconds: processor.iter().min().map(Duration::as_secs_f64),
        tokens_per_second: tokens as f64 / seconds,
        peak_memory: peak_memory(),
        device_memory: decoder.kernels().held(),
        efficiency: operations / seconds / rate,
        runs: clock.len(),
    })
}
