//! What a device does, in one go: kernels against the reference, rates of single operations, and the program's own work on a
//! checkpoint of a real shape. `cruxscope bench device` prints it.
//!
//! Nothing is needed but a folder for a checkpoint of random weights. Every part of the work gets a share of the time, so that there is a number
//! for each: what would take longer is done on less (fewer rows, a shorter trace, fewer windows or new tokens), from which its number is
//! carried over by its operations, and that is said. What would not end in time even so is left out, and said too. Until the work itself
//! has been measured, its time is taken to be four times that of its operations at the best rate of products.

mod clock;
mod rates;
mod report;
mod small;
mod work;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cruxscope_checkpoint::Checkpoint;
use cruxscope_interpret::InterpretError;
use cruxscope_model::device::{self, ChosenDevice};
use cruxscope_model::kernels::agreement::agreement;
use cruxscope_model::with_kernels;

use self::clock::Timing;
pub use self::rates::{AttentionRate, Copies, ProductRate, Products};
pub use self::report::{DeviceReport, Job, KernelRow, SameMap};
pub use self::work::{InterpretationRate, Whole};
use crate::guard::catch_panic;
use crate::interpret::InterpretSettings;
use crate::place::Place;
use crate::synthetic::{self, Shape};
use crate::{Event, Observer, RunError};

/// How much longer work takes than its operations at the best rate of products, until it has been measured.
const SLOWER: f64 = 4.0;
/// Runs of an interpretation; the fastest counts. One where there is no time for more.
const RUNS: usize = 2;
/// A trace that stands for a longer one has at least so many tokens.
const SHORTEST_TRACE: usize = 128;
/// New tokens of a sequence at least: one that comes of the prompt, and one of a step.
const FEWEST_TOKENS: usize = 2;

/// Shares of the time: of all products together; of attention, interpretation and generation, each for one length or number of sequences; of
/// a sketch; of GPTQ.
mod share {
    pub const PRODUCTS: f64 = 0.12;
    pub const ATTENTION: f64 = 0.04;
    pub const INTERPRETATION: f64 = 0.12;
    pub const SKETCH: f64 = 0.14;
    pub const GPTQ: f64 = 0.14;
    pub const GENERATION: f64 = 0.05;
    /// What is kept for all that comes after interpretation, after the sketch, and after GPTQ.
    pub const AFTER: [f64; 3] = [0.4, 0.28, 0.14];
}

/// Timings of a single operation take no more than this share of the time, and no more than so many seconds.
const OF_TIMINGS: f64 = 1.0 / 800.0;
const MOST_TIMINGS: f64 = 12.0;

/// What is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceSettings {
    /// The device, by name.
    pub device: String,
    /// The shape of the checkpoint, with the layers that it has.
    pub shape: Shape,
    /// Layers of the whole model, to which times are carried over.
    pub whole_layers: usize,
    /// Lengths of traces.
    pub tokens: Vec<usize>,
    /// Numbers of sequences that are generated side by side.
    pub sequences: Vec<usize>,
    /// New tokens of each.
    pub new_tokens: usize,
    /// Windows and their length, for the sketch and for calibration.
    pub windows: (usize, usize),
    /// Draws of the sketch.
    pub draws: usize,
    /// Rows of the largest matrices that products are measured with.
    pub largest: usize,
    /// How long what is timed together takes at least.
    pub timing: Duration,
    /// Time for all of it.
    pub time: Duration,
    /// A small model with traces, to interpret on the device and on the processors.
    pub small: Option<InterpretSettings>,
    /// What is to be projected onto the whole model.
    pub job: Job,
    /// An empty folder for what is written meanwhile.
    pub folder: PathBuf,
}

/// A measurement that is under way.
struct Bench<'a> {
    settings: &'a DeviceSettings,
    observer: &'a mut dyn Observer,
    device: ChosenDevice,
    began: Instant,
    scaled: Vec<String>,
    left_out: Vec<String>,
}

/// Measures a device.
///
/// # Errors
/// When there is no such device, the disk refuses, the observer says stop, or kernels or products fail. A later part that fails, for want
/// of memory say, is left out and said.
pub fn measure(settings: &DeviceSettings, observer: &mut dyn Observer) -> Result<DeviceReport, RunError> {
    let mut bench = Bench {
        device: device::find(&settings.device)?,
        settings,
        observer,
        began: Instant::now(),
        scaled: Vec::new(),
        left_out: Vec::new(),
    };
    let (device, shape) = (bench.device.clone(), &settings.shape);
    bench.next("kernels against the reference")?;
    let narrow = settings.device.ends_with("@bfloat16");
    let kernels = catch_panic("the kernels", || with_kernels!(device.clone(), |kernels| agreement(&kernels, narrow)))?;
    let small = match &settings.small {
        Some(small) => {
            let name = "a small model here and on the processors";
            bench.next(name)?;
            let found = small::same_map(small, &settings.device, &settings.folder, bench.observer);
            bench.kept(name, found)?
        }
        None => None,
    };
    bench.next("matrix products")?;
    let timing = bench.timing();
    // Few of them take long; each is done forwards and backwards, twice or more.
    let most = (settings.time.as_secs_f64() * share::PRODUCTS / 30.0).max(timing.least.as_secs_f64());
    let (products, slow_products) = catch_panic("products", || {
        with_kernels!(device.clone(), |kernels| rates::products(&kernels, timing, shape, settings.largest, most))
    })?;
    bench.left_out.extend(slow_products);
    bench.next("copies")?;
    let copies = catch_panic("copies", || {
        with_kernels!(device.clone(), |kernels| rates::copies(&kernels, timing, settings.largest.min(2048)))
    })?;
    let slow = products.best / SLOWER;
    let attention = bench.attention(slow)?;

    bench.next("a checkpoint of random weights")?;
    let model = settings.folder.join("model");
    synthetic::write(shape, &model, 1, bench.observer)?;
    let checkpoint = Arc::new(Checkpoint::open(&model)?);
    let interpretation = bench.interpretation(&checkpoint, slow)?;
    let rate = interpretation.last().map_or(slow, |last| last.operations / last.measured.seconds);
    let material = work::Material {
        model: &model,
        device: &settings.device,
        windows: settings.windows,
        vocabulary: shape.config().vocabulary,
        folder: &settings.folder,
    };
    let (windows, length) = settings.windows;
    let shorter = |by: usize| (length / by).max(SHORTEST_WINDOW.min(length));
    let smaller = [(windows, 1, 1), (windows, 4, 1), (windows, 8, 1), (1, 4, 1), (1, 8, 2), (1, 8, 4)];
    let forms = smaller.map(|(windows, by, fewer)| (windows, shorter(by), (settings.draws / fewer).max(1)));
    let allowed = bench.allowed(share::SKETCH, share::AFTER[1]);
    let sketch = bench.whole(
        "a sketch of sensitivities",
        &forms,
        (allowed, rate),
        |(windows, length, draws), fits, observer| work::sketch(&material.with_windows((*windows, *length)), *draws, fits, observer),
    )?;
    let last = shape.config().layers;
    let matrices = |names: &[&str]| names.iter().map(|name| format!("{last}_{name}")).collect::<Vec<_>>().join(",");
    let forms = [
        ((windows, length), format!("layers:{last}-{last}")),
        ((windows, shorter(4)), format!("layers:{last}-{last}")),
        ((windows, shorter(4)), matrices(&["q", "k", "v", "o", "gate", "up"])),
        ((1, shorter(4)), matrices(&["q", "k", "v", "o"])),
        ((1, shorter(8)), matrices(&["q"])),
    ];
    let allowed = bench.allowed(share::GPTQ, share::AFTER[2]);
    let gptq = bench.whole("GPTQ of a layer", &forms, (allowed, rate), |(windows, only), fits, observer| {
        work::gptq(&material.with_windows(*windows), only, fits, observer)
    })?;
    bench.next("generation")?;
    let sequences = bench.sequences(&products);
    let found = catch_panic("generation", || work::generate(&checkpoint, &device, &sequences));
    let generation = bench.kept("generation", found)?.unwrap_or_default();
    let whole = shape.with_layers(settings.whole_layers)?;
    let scale = shape.bytes() as f64 / whole.bytes() as f64;
    Ok(DeviceReport {
        device: device.describe(),
        layers: shape.config().layers,
        whole_layers: settings.whole_layers,
        kernels: kernels.into_iter().map(KernelRow::from).collect(),
        small,
        products,
        copies,
        attention,
        job_seconds: settings.job.seconds(&whole, &interpretation),
        interpretation,
        sketch,
        gptq,
        generation_whole: generation.iter().map(|row| row.tokens_per_second * scale).collect(),
        generation,
        scaled: bench.scaled,
        left_out: bench.left_out,
        seconds: bench.began.elapsed().as_secs_f64(),
    })
}

impl Bench<'_> {
    /// Seconds of the given time that are left.
    fn left(&self) -> f64 {
        self.settings.time.saturating_sub(self.began.elapsed()).as_secs_f64()
    }

    /// Tells what comes next, and ends once somebody wants to stop.
    fn next(&mut self, what: &str) -> Result<(), RunError> {
        if self.observer.stop() {
            return Err(InterpretError::Cancelled.into());
        }
        let spent = self.began.elapsed().as_secs_f64() / self.settings.time.as_secs_f64().max(1.0);
        self.observer.event(Event::Preparing {
            what: what.into(),
            share: spent.min(1.0),
        });
        Ok(())
    }

    /// How long single operations are timed.
    fn timing(&self) -> Timing {
        Timing {
            least: self.settings.timing,
            most: Duration::from_secs_f64((self.settings.time.as_secs_f64() * OF_TIMINGS).min(MOST_TIMINGS)),
        }
    }

    /// Seconds for a piece of work that may take a share of the time, of which another is kept for what comes after it.
    fn allowed(&self, share: f64, after: f64) -> f64 {
        let all = self.settings.time.as_secs_f64();
        (self.left() - after * all).min(share * all)
    }

    fn leave_out(&mut self, what: &str, needed: f64, allowed: f64) {
        self.left_out
            .push(format!("{what}: about {needed:.0} s, and {:.0} s are left for it", allowed.max(0.0)));
    }

    /// What came of a part; one that failed is left out with its reason.
    fn kept<T>(&mut self, what: &str, found: Result<T, RunError>) -> Result<Option<T>, RunError> {
        match found {
            Ok(found) => Ok(Some(found)),
            Err(error @ RunError::Interpret(InterpretError::Cancelled)) => Err(error),
            Err(error) => {
                self.left_out.push(format!("{what}: {error}"));
                Ok(None)
            }
        }
    }

    /// The numbers of sequences that there is time for, at least the first, each with its number of new tokens.
    fn sequences(&mut self, products: &Products) -> Vec<(usize, usize)> {
        let settings = self.settings;
        let mut kept = Vec::new();
        for count in settings.sequences.iter().copied() {
            // Two operations a weight, which has two bytes.
            let step = settings.shape.bytes() as f64 * count as f64 / products.rate_of_rows(count);
            let allowed = self.allowed(share::GENERATION, 0.0);
            let tokens = ((allowed / step) as usize).min(settings.new_tokens);
            let what = format!("generation of {count} side by side");
            if tokens < FEWEST_TOKENS && !kept.is_empty() {
                self.leave_out(&what, FEWEST_TOKENS as f64 * step, allowed);
                continue;
            }
            let tokens = tokens.max(FEWEST_TOKENS);
            if tokens < settings.new_tokens {
                self.scaled
                    .push(format!("{what}: {tokens} new tokens of each instead of {}", settings.new_tokens));
            }
            kept.push((count, tokens));
        }
        kept
    }

    fn attention(&mut self, slow: f64) -> Result<Vec<AttentionRate>, RunError> {
        let (shape, timing) = (&self.settings.shape, self.timing());
        let mut found = Vec::new();
        for tokens in self.settings.tokens.iter().copied() {
            let what = format!("attention over {tokens} tokens");
            self.next(&what)?;
            let allowed = self.allowed(share::ATTENTION, share::AFTER[0]);
            let Some(rows) = rates::rows_in(shape, tokens, allowed, slow) else {
                self.leave_out(&what, 12.0 * shape.config().hidden as f64 * (tokens as f64).powi(2) / slow, allowed);
                continue;
            };
            if rows[0] < tokens {
                self.scaled.push(format!(
                    "{what}: forwards its last {} rows, carried over by the keys that each row sees",
                    rows[0]
                ));
            }
            let rate = catch_panic(&what, || {
                with_kernels!(self.device.clone(), |kernels| rates::attention(&kernels, timing, shape, tokens, rows))
            });
            found.extend(self.kept(&what, rate)?);
        }
        Ok(found)
    }

    /// Of every length a trace of it, or a shorter one that there is time for, unless a longer one than that was measured already.
    fn interpretation(&mut self, checkpoint: &Arc<Checkpoint>, slow: f64) -> Result<Vec<InterpretationRate>, RunError> {
        let place = Place::of(Some(&self.device), &self.settings.device, checkpoint, None)?;
        let mut found: Vec<InterpretationRate> = Vec::new();
        let mut longest: Option<InterpretationRate> = None;
        for tokens in self.settings.tokens.iter().copied() {
            let what = format!("interpretation of {tokens} tokens");
            self.next(&what)?;
            let whole = work::plan(checkpoint, tokens, &place);
            let Some(whole) = self.kept(&what, whole)? else { continue };
            let rate = longest.as_ref().map_or(slow, |last| last.operations / last.measured.seconds);
            let allowed = self.allowed(share::INTERPRETATION, share::AFTER[0]);
            let known = longest.as_ref().map_or(SHORTEST_TRACE.min(tokens) - 1, |last| last.measured.tokens);
            let mut length = tokens;
            while length > known {
                let planned = work::plan(checkpoint, length, &place);
                let Some(planned) = self.kept(&what, planned)? else { break };
                if planned.1.operations / rate <= allowed {
                    let runs = if RUNS as f64 * planned.1.operations / rate <= allowed { RUNS } else { 1 };
                    let measured = catch_panic(&what, || work::interpretation(checkpoint, &self.device, &place, &planned, runs));
                    longest = self.kept(&what, measured)?.or(longest);
                    break;
                }
                length = if length > SHORTEST_TRACE { (length / 2).max(SHORTEST_TRACE) } else { 0 };
            }
            match &longest {
                Some(last) if last.measured.tokens == tokens => found.push(last.clone()),
                Some(last) => {
                    self.scaled
                        .push(format!("{what}: by its operations, at the rate of {} tokens", last.measured.tokens));
                    found.push(last.carried_to(tokens, &whole.1));
                }
                None => self.leave_out(&what, whole.1.operations / rate, allowed),
            }
        }
        Ok(found)
    }

    /// A part that says its operations once it is planned, and is done in the first of some forms that there is time for.
    fn whole<C>(
        &mut self,
        what: &str,
        forms: &[C],
        (allowed, rate): (f64, f64),
        mut work: impl FnMut(&C, &dyn Fn(f64) -> bool, &mut dyn Observer) -> Result<Option<Whole>, RunError>,
    ) -> Result<Option<Whole>, RunError> {
        self.next(what)?;
        let (mut all, mut fewest) = (None, f64::INFINITY);
        for form in forms {
            let needed = std::cell::Cell::new(0.0);
            let fits = |operations: f64| {
                needed.set(operations);
                operations / rate <= allowed
            };
            let found = work(form, &fits, self.observer);
            let all = *all.get_or_insert(needed.get());
            match self.kept(what, found)? {
                Some(None) => fewest = fewest.min(needed.get() / rate),
                Some(Some(mut whole)) => {
                    if whole.operations < all {
                        whole.at_full_size = Some(whole.seconds * all / whole.operations);
                        self.scaled
                            .push(format!("{what}: {} on {} tokens, carried over by its operations", whole.what, whole.tokens));
                    }
                    return Ok(Some(whole));
                }
                None => return Ok(None),
            }
        }
        self.leave_out(what, fewest, allowed);
        Ok(None)
    }
}

/// A window that stands for a longer one has at least so many tokens.
const SHORTEST_WINDOW: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Silent;

    fn settings(device: &str, folder: &std::path::Path, time: u64) -> DeviceSettings {
        DeviceSettings {
            device: device.into(),
            shape: Shape::from_json(serde_json::json!({
                "model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
                "num_key_value_heads": 2, "vocab_size": 100
            }))
            .unwrap(),
            whole_layers: 4,
            tokens: vec![100, 500],
            sequences: vec![1, 2],
            new_tokens: 4,
            windows: (2, 32),
            draws: 1,
            largest: 256,
            timing: Duration::from_millis(2),
            time: Duration::from_secs(time),
            small: None,
            job: Job::PUBLISHED,
            folder: folder.to_owned(),
        }
    }

    #[test]
    fn every_part_is_measured_on_the_processors_and_on_tensors() {
        for device in ["cpu", "flex"] {
            let folder = tempfile::tempdir().unwrap();
            let report = measure(&settings(device, folder.path(), 600), &mut Silent).unwrap();
            assert!(report.agrees(), "{:?}", report.kernels);
            assert_eq!(report.left_out, Vec::<String>::new());
            assert_eq!((report.attention.len(), report.interpretation.len(), report.generation.len()), (2, 2, 2));
            assert!(report.sketch.is_some() && report.gptq.is_some());
            let rates = report.products.products.iter().flat_map(|product| [product.forward, product.backward]);
            assert!(rates.clone().all(|rate| rate > 0.0 && rate <= report.products.best));
            // Twice the layers, and a head that is there once.
            assert!(report.generation_whole.iter().zip(&report.generation).all(|(whole, row)| {
                let share = whole / row.tokens_per_second;
                (0.5..1.0).contains(&share)
            }));
            assert!(report.job_seconds.is_some_and(|seconds| seconds > 0.0));
        }
    }

    #[test]
    fn what_there_is_no_time_for_is_left_out_and_said() {
        let folder = tempfile::tempdir().unwrap();
        let report = measure(&settings("cpu", folder.path(), 0), &mut Silent).unwrap();
        assert!(report.agrees() && report.attention.is_empty() && report.interpretation.is_empty() && report.gptq.is_none());
        for part in ["attention over 100", "interpretation of 500", "sketch", "GPTQ"] {
            assert!(report.left_out.iter().any(|said| said.contains(part)), "{part}: {:?}", report.left_out);
        }
        assert_eq!(report.job_seconds, None);
    }
}
