//! Time of work that a device does in its own time.

use std::time::{Duration, Instant};

use cruxscope_model::ModelError;
use cruxscope_model::kernels::Kernels;

/// Timings of which the median counts.
const TIMINGS: usize = 5;

/// How long things are timed.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// What is timed together takes at least so long.
    pub least: Duration,
    /// After so long no further timing of a piece of work is begun.
    pub most: Duration,
}

/// Seconds that one repetition takes: the median of five timings, each of as many repetitions as fill `timing.least`. Work that takes long is
/// timed fewer times, at least once after one to warm up.
///
/// # Errors
/// When the device failed.
pub fn seconds<K: Kernels>(kernels: &K, timing: Timing, mut once: impl FnMut() -> K::Matrix) -> Result<f64, ModelError> {
    let began = Instant::now();
    let mut timed = |times: usize| -> Result<Duration, ModelError> {
        let began = Instant::now();
        let mut last = None;
        for _ in 0..times {
            last = Some(once());
        }
        if let Some(last) = last {
            // Reading a row back waits for the device.
            kernels.download(&kernels.slice(&last, 0, 1))?;
        }
        Ok(began.elapsed())
    };
    timed(1)?;
    let mut times = 1;
    let first = loop {
        let took = timed(times)?;
        if took >= timing.least || times >= 1 << 16 {
            break took.as_secs_f64() / times as f64;
        }
        times *= 2;
    };
    let mut all = vec![first];
    while all.len() < TIMINGS && began.elapsed() < timing.most {
        all.push(timed(times)?.as_secs_f64() / times as f64);
    }
    all.sort_by(f64::total_cmp);
    Ok(all[all.len() / 2])
}
