//! The program's own work on a checkpoint of a real shape: interpretation, a sketch of sensitivities, GPTQ of a layer, generation.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use cruxscope_checkpoint::Checkpoint;
use cruxscope_checkpoint::writer::StoredAs;
use cruxscope_compress::recipe::Recipe;
use cruxscope_interpret::pass::Instance;
use cruxscope_interpret::segment::Segment;
use cruxscope_model::device::ChosenDevice;
use cruxscope_model::with_kernels;
use cruxscope_sensitivity::menu::{read_format, read_menu};
use cruxscope_statistics::SplitMix;
use cruxscope_study::{Behaviour, Definition};
use safetensors::tensor::{Dtype, TensorView};
use serde::Serialize;

use crate::compress::{Basis, CompressSettings, Compression};
use crate::instances::Instances;
use crate::place::Place;
use crate::placement::WeightsChoice;
use crate::plan::Plan;
use crate::sensitivity::{PlannedSensitivity, SensitivitySettings, SketchText};
use crate::speed::{self, Measurement, generation};
use crate::windows::{Calibration, WindowSource};
use crate::{Observer, RunError};

/// Tokens of a segment.
const SEGMENT: usize = 40;
/// Of every so many segments' length one segment is of each behaviour: two fifths of the tokens stand in segments, as in the published traces.
const PERIOD: usize = 10 * SEGMENT;
/// Formats of the sketch.
const MENU: &str = "rtn-3-g64,rtn-4-g64,rtn-5-g64,rtn-6-g64,rtn-7-g64,rtn-8-g64";

/// An interpretation of one trace of random tokens.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InterpretationRate {
    /// What was measured.
    #[serde(flatten)]
    pub measured: Measurement,
    /// Floating-point operations.
    pub operations: f64,
    /// Bytes of memory that the plan expected on the device, or of the machine where the device has none of its own.
    pub planned_memory: u64,
    /// The length of the trace that was measured, where there was no time for this one: seconds are those of its operations at that rate.
    pub carried_from: Option<usize>,
}

/// A trace of random tokens with segments of each behaviour in turn.
fn trace(tokens: usize, vocabulary: usize) -> Instance {
    let mut random = SplitMix::new(tokens as u64);
    let mut segments = Vec::new();
    for (turn, first) in (SEGMENT..tokens).step_by(PERIOD).enumerate() {
        for (place, behaviour) in Behaviour::ALL.into_iter().enumerate() {
            let start = first + (place + turn % 2) * 2 * SEGMENT;
            if start + SEGMENT < tokens {
                segments.push(Segment {
                    behaviour,
                    start,
                    last: start + SEGMENT - 1,
                });
            }
        }
    }
    Instance {
        id: format!("{tokens} tokens"),
        ids: (0..tokens).map(|_| random.below(vocabulary) as u32).collect(),
        segments,
    }
}

/// Plans an interpretation of `tokens` random tokens.
///
/// # Errors
/// When it would not fit.
pub fn plan(checkpoint: &Checkpoint, tokens: usize, place: &Place) -> Result<(Instances, Plan), RunError> {
    let instances = Instances {
        items: vec![trace(tokens, checkpoint.config().vocabulary)],
        ..Instances::default()
    };
    let plan = Plan::new(checkpoint.config(), &instances, Definition::Paper, WeightsChoice::Automatic, place)?;
    Ok((instances, plan))
}

/// Interprets what was planned, `runs` times.
///
/// # Errors
/// When the device failed.
pub fn interpretation(
    checkpoint: &Arc<Checkpoint>,
    device: &ChosenDevice,
    place: &Place,
    (instances, plan): &(Instances, Plan),
    runs: usize,
) -> Result<InterpretationRate, RunError> {
    let (items, weights) = (instances.items.as_slice(), plan.placement.weights);
    let measured = with_kernels!(device.clone(), |kernels| speed::interpret(
        checkpoint.clone(),
        kernels,
        weights,
        place.weight_bytes,
        items,
        Definition::Paper,
        plan.operations,
        runs
    ))?;
    let memory = plan.memory();
    Ok(InterpretationRate {
        measured,
        operations: plan.operations,
        planned_memory: if memory.device > 0 { memory.device } else { memory.machine },
        carried_from: None,
    })
}

impl InterpretationRate {
    /// What a trace of another length would take at this rate.
    pub fn carried_to(&self, tokens: usize, plan: &Plan) -> Self {
        let seconds = self.measured.seconds * plan.operations / self.operations;
        let memory = plan.memory();
        Self {
            measured: Measurement {
                tokens,
                seconds,
                tokens_per_second: tokens as f64 / seconds,
                peak_memory: None,
                device_memory: None,
                ..self.measured.clone()
            },
            operations: plan.operations,
            planned_memory: if memory.device > 0 { memory.device } else { memory.machine },
            carried_from: Some(self.carried_from.unwrap_or(self.measured.tokens)),
        }
    }
}

/// Work that is done once as a whole.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Whole {
    /// What it is, in words.
    pub what: String,
    /// Tokens that went through.
    pub tokens: usize,
    /// Floating-point operations.
    pub operations: f64,
    /// Seconds by the clock, reading included.
    pub seconds: f64,
    /// Bytes of memory that the plan expected where the model runs.
    pub planned_memory: u64,
    /// Seconds that the whole of it would take by its operations, where this is a smaller form of it.
    pub at_full_size: Option<f64>,
}

/// Windows of random tokens in a file, for work that reads them.
///
/// # Errors
/// When the disk refuses.
fn write_windows(path: &Path, windows: usize, length: usize, vocabulary: usize) -> Result<(), RunError> {
    let mut random = SplitMix::new(7);
    let bytes: Vec<u8> = (0..windows * length).flat_map(|_| (random.below(vocabulary) as i32).to_le_bytes()).collect();
    let refuse = |source: std::io::Error| RunError::Io {
        attempt: "write",
        path: path.to_owned(),
        source,
    };
    let view = TensorView::new(Dtype::I32, vec![windows, length], &bytes).map_err(|error| refuse(std::io::Error::other(error)))?;
    safetensors::serialize_to_file([("tokens", view)], None, path).map_err(|error| refuse(std::io::Error::other(error)))
}

fn windows_of(path: &Path) -> Calibration {
    Calibration {
        source: WindowSource::Tokens {
            path: path.to_owned(),
            array: None,
        },
        windows: None,
        seed: None,
    }
}

/// What windows go through.
#[derive(Clone, Copy)]
pub struct Material<'a> {
    /// The checkpoint.
    pub model: &'a Path,
    /// The device, by name.
    pub device: &'a str,
    /// Windows of random tokens, and their length.
    pub windows: (usize, usize),
    /// Tokens to draw from.
    pub vocabulary: usize,
    /// Where to write.
    pub folder: &'a Path,
}

impl Material<'_> {
    /// The same with so many windows of such a length.
    pub fn with_windows(&self, windows: (usize, usize)) -> Self {
        Self { windows, ..*self }
    }

    fn write_windows(&self) -> Result<Calibration, RunError> {
        let path = self.folder.join("windows.safetensors");
        write_windows(&path, self.windows.0, self.windows.1, self.vocabulary)?;
        Ok(windows_of(&path))
    }
}

/// Whether there is time for so many operations.
pub type Fits<'a> = &'a dyn Fn(f64) -> bool;

/// Sketches the sensitivity of six formats, if there is time for it.
///
/// # Errors
/// When it cannot be planned, or the device failed.
pub fn sketch(material: &Material<'_>, draws: usize, fits: Fits<'_>, observer: &mut dyn Observer) -> Result<Option<Whole>, RunError> {
    let settings = SensitivitySettings {
        model: material.model.to_owned(),
        text: SketchText::Windows(material.write_windows()?),
        calibration: None,
        menu: read_menu(MENU)?,
        candidates: Vec::new(),
        out: material.folder.join("sketch"),
        draws,
        seed: 1,
        device: material.device.into(),
        weights: WeightsChoice::Automatic,
        device_memory: None,
        measure: false,
        gradient_score: false,
        changes: None,
    };
    let planned = PlannedSensitivity::new(settings, observer)?;
    let plan = planned.plan.clone();
    if !fits(plan.operations) {
        return Ok(None);
    }
    let began = Instant::now();
    planned.run(observer)?;
    Ok(Some(Whole {
        what: format!("sketch of {} formats, {draws} draws", plan.formats),
        tokens: plan.tokens,
        operations: plan.operations,
        seconds: began.elapsed().as_secs_f64(),
        planned_memory: plan.memory,
        at_full_size: None,
    }))
}

/// Calibrates and quantizes the matrices that `only` names by GPTQ, if there is time for it.
///
/// # Errors
/// As [`sketch`].
pub fn gptq(material: &Material<'_>, only: &str, fits: Fits<'_>, observer: &mut dyn Observer) -> Result<Option<Whole>, RunError> {
    let treatment = read_format("gptq-4-g32")?.treatment;
    let settings = CompressSettings {
        model: material.model.to_owned(),
        out: material.folder.join("quantized"),
        recipe: Recipe::of(treatment, Some(only), None),
        calibration: Some(material.write_windows()?),
        stored_as: StoredAs::BFloat16,
        packed: None,
        basis: Basis::Original,
    };
    let compression = Compression::prepare_on(&settings, material.device)?;
    let plan = compression.plan().clone();
    if !fits(plan.operations) {
        return Ok(None);
    }
    let began = Instant::now();
    compression.run(observer)?;
    Ok(Some(Whole {
        what: format!("calibration and GPTQ, 4 bits, of {only}"),
        tokens: plan.tokens,
        operations: plan.operations,
        seconds: began.elapsed().as_secs_f64(),
        planned_memory: if plan.device_memory > 0 { plan.device_memory } else { plan.memory },
        at_full_size: None,
    }))
}

/// New tokens a second for several numbers of sequences, each with its number of new tokens.
///
/// # Errors
/// When the device failed.
pub fn generate(checkpoint: &Arc<Checkpoint>, device: &ChosenDevice, sequences: &[(usize, usize)]) -> Result<Vec<generation::GenerationMeasurement>, RunError> {
    let prompt = trace(16, checkpoint.config().vocabulary).ids;
    with_kernels!(device.clone(), |kernels| generation::generation(
        checkpoint.clone(),
        kernels,
        &prompt,
        sequences
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_of_random_tokens_has_segments_of_each_behaviour_that_do_not_meet() {
        for tokens in [400, 1200, 8000] {
            let instance = trace(tokens, 100);
            let mut last = 0;
            let mut sorted = instance.segments.clone();
            sorted.sort_by_key(|segment| segment.start);
            for segment in &sorted {
                assert!(segment.start > last && segment.last < tokens, "{segment:?} after {last}");
                last = segment.last;
            }
            for behaviour in Behaviour::ALL {
                assert!(tokens < 1000 || sorted.iter().any(|segment| segment.behaviour == behaviour));
            }
            let share = (sorted.len() * SEGMENT) as f64 / tokens as f64;
            assert!((0.25..0.45).contains(&share), "{share}");
            assert!(instance.ids.iter().all(|id| *id < 100));
        }
    }
}
