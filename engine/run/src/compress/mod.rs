//! A checkpoint into a compressed one, layer by layer.
//!
//! Methods that have to know the inputs see those that the compressed layers before give, as in the original programs: the
//! calibration text runs through a layer for its statistics, the layer is treated, and the text runs through what came out.
//! Others see what the original layers give. Memory holds one layer, its statistics and the text's hidden states. A finished layer is a file; a run that was
//! stopped goes on after the last one.

mod alpha;
mod awq;
mod compressed_layer;
pub mod gguf;
mod layer;
mod packing;
mod plan;
mod report;
mod statistics;
mod storage;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cruxscope_checkpoint::Checkpoint;
use cruxscope_checkpoint::packed::Layout;
use cruxscope_checkpoint::writer::{FolderWriter, StoredAs};
use cruxscope_compress::method::MethodConfig;
use cruxscope_compress::recipe::Recipe;
use cruxscope_interpret::InterpretError;
use cruxscope_model::decoder::{Decoder, Residence};
use cruxscope_model::device::{self, ChosenDevice};
use cruxscope_model::kernels::calibration::CalibrationKernels;
use cruxscope_model::with_kernels;
use cruxscope_study::{DigestBuilder, FileDigest, folder};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use self::layer::treat;
pub use self::plan::CompressPlan;
use self::plan::{Needs, Rates};
pub(crate) use self::plan::{Planned, of_layer, planned, refuse_crossed, untreated};
pub use self::report::{CalibrationReport, ComponentReport, CompressionReport, REPORT_FILE, ScaleReport, report_of};
pub(crate) use self::statistics::Streams;
pub(crate) use self::storage::Storage;
use crate::guard::catch_panic;
use crate::machine::{available_memory, format_bytes};
use crate::place::{Place, measure_products};
use crate::windows::Calibration;
use crate::{Event, Observer, RunError};

/// What is to be compressed, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct CompressSettings {
    /// A Hugging Face folder or a GGUF file.
    pub model: PathBuf,
    /// The folder to write.
    pub out: PathBuf,
    /// Which treatment each component gets.
    pub recipe: Recipe,
    /// Calibration text, for methods that need it.
    pub calibration: Option<Calibration>,
    /// How numbers are stored.
    pub stored_as: StoredAs,
    /// The layout in which codes are packed; none writes every weight as a number.
    pub packed: Option<Layout>,
    /// Whether scales that a method folds into other weights are folded back, so that activations keep the original's basis.
    pub basis: Basis,
}

/// The basis in which the activations of a compressed model stand (METHOD: "One basis, or say so").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// As in the source: W' = Q(W s) / s, norms untouched.
    #[default]
    Original,
    /// Scales stay folded into the norms and matrices before, as engines load them.
    Folded,
}

impl Basis {
    /// The name in manifests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Original => "original",
            Self::Folded => "folded",
        }
    }
}

/// A compression that has been checked and planned, and is ready to run.
pub struct Compression<'a> {
    settings: &'a CompressSettings,
    checkpoint: Arc<Checkpoint>,
    windows: Vec<Vec<u32>>,
    planned: Vec<Planned>,
    /// What the configuration will say of packed weights.
    packed: Option<Value>,
    device: ChosenDevice,
    arithmetic: String,
    plan: CompressPlan,
}

impl<'a> Compression<'a> {
    /// Reads the model's headers and the calibration text, and plans a run on the processors.
    ///
    /// # Errors
    /// When an input cannot be used, the recipe cannot be followed, no engine could load what it makes, or memory is too small.
    pub fn prepare(settings: &'a CompressSettings) -> Result<Self, RunError> {
        Self::prepare_on(settings, "cpu")
    }

    /// Likewise for another device, which runs the calibration text through the layers, sums up what methods draw on, and computes
    /// the outputs that AWQ compares. Factors of Hessians and the columns that are rounded one after the other stay with the
    /// processors: they are float64 and do not grow with the text. A run that was stopped goes on on a device of the same kind and
    /// precision; on another one it begins anew.
    ///
    /// # Errors
    /// Likewise, and when there is no such device here.
    pub fn prepare_on(settings: &'a CompressSettings, device: &str) -> Result<Self, RunError> {
        let name = device;
        let device = device::find(name)?;
        let checkpoint = Arc::new(Checkpoint::open(&settings.model)?);
        let planned = planned(&settings.recipe, checkpoint.config())?;
        awq::check(&planned, checkpoint.config(), settings.basis)?;
        let needs = Needs::of(&planned);
        let windows = match (&settings.calibration, needs.any()) {
            (Some(calibration), true) => calibration.read(&checkpoint)?,
            (None, true) => {
                return Err(RunError::Recipe {
                    why: "this recipe has to know the inputs of a matrix: give calibration text, traces or tokens".into(),
                });
            }
            (_, false) => Vec::new(),
        };
        let packed = match settings.packed {
            Some(layout) => Some(packing::plan(&planned, layout, settings.basis, checkpoint.config())?),
            None => None,
        };
        let lengths: Vec<usize> = windows.iter().map(Vec::len).collect();
        let rates = match &device {
            _ if !needs.any() => None,
            ChosenDevice::Reference => None,
            device => {
                let rate = |device: &ChosenDevice| {
                    catch_panic("a probe of its speed", || {
                        with_kernels!(device.clone(), |kernels| measure_products(&kernels, checkpoint.config(), 4))
                    })
                };
                let processors = rate(&ChosenDevice::Cpu)?;
                let device = match device {
                    ChosenDevice::Cpu => processors,
                    device => rate(device)?,
                };
                Some(Rates { device, processors })
            }
        };
        let mut plan = CompressPlan::new(checkpoint.config(), &planned, &lengths, settings.stored_as, rates);
        if !needs.any() || matches!(device, ChosenDevice::Cpu | ChosenDevice::Reference) {
            plan.device_memory = 0;
        }
        let free = Place::of(Some(&device), name, &checkpoint, None)?.device_memory;
        if let Some(free) = free.filter(|free| plan.device_memory > *free) {
            return Err(RunError::Memory {
                needed: format_bytes(plan.device_memory),
                available: format_bytes(free),
                hint: "of the device's memory; fewer or shorter calibration windows need less".into(),
            });
        }
        if let Some(available) = available_memory().filter(|available| plan.memory > *available) {
            return Err(RunError::Memory {
                needed: format_bytes(plan.memory),
                available: format_bytes(available),
                hint: "fewer or shorter calibration windows need less; so does AWQ with --objective grams".into(),
            });
        }
        Ok(Self {
            settings,
            checkpoint,
            windows,
            planned,
            packed,
            device,
            arithmetic: device::arithmetic(name),
            plan,
        })
    }

    /// What it will take.
    pub fn plan(&self) -> &CompressPlan {
        &self.plan
    }

    /// The key of the run: it covers everything that the written numbers hang on.
    ///
    /// # Errors
    /// When a file of the model cannot be read.
    pub fn key(&self) -> Result<String, RunError> {
        key_of(self.settings, &self.source_files(&mut crate::Silent)?, &self.windows, &self.arithmetic)
    }

    fn source_files(&self, observer: &mut dyn Observer) -> Result<Vec<FileDigest>, RunError> {
        let files = self.checkpoint.files();
        crate::digests::all(&files, observer)
    }

    /// Compresses, or gives what an earlier run said that wrote the same.
    ///
    /// # Errors
    /// When a method refuses a matrix, the observer says stop, or the disk refuses. Finished layers stay.
    pub fn run(self, observer: &mut dyn Observer) -> Result<CompressionReport, RunError> {
        with_kernels!(self.device.clone(), |kernels| self.run_on(kernels, observer))
    }

    fn run_on<K: CalibrationKernels>(mut self, kernels: K, observer: &mut dyn Observer) -> Result<CompressionReport, RunError> {
        let (settings, checkpoint) = (self.settings, &self.checkpoint);
        for note in checkpoint.notes() {
            observer.event(Event::Note { text: note.clone() });
        }
        let layers = checkpoint.config().layers;
        let source_files = self.source_files(observer)?;
        let key = key_of(settings, &source_files, &self.windows, &self.arithmetic)?;
        if let Some(report) = finished(&settings.out, &key) {
            observer.event(Event::Note {
                text: "an earlier run of the same settings finished this model; it is left as it is".into(),
            });
            return Ok(report);
        }
        let writer = FolderWriter::begin(checkpoint, &settings.out, settings.stored_as, self.packed.take(), &key)?;
        alpha::resolve(checkpoint, &writer, &key, &mut self.planned, observer)?;

        let backend = kernels.describe();
        let decoder = Decoder::new(checkpoint.clone(), kernels, Residence::Streamed)?;
        let needs = Needs::of(&self.planned);
        let storage = Storage {
            stored_as: settings.stored_as,
            layout: settings.packed,
        };
        let mut streams = Streams::begin(&decoder, &self.windows, &needs)?;
        let mut components = Vec::new();
        let mut progress = LayerProgress::new(layers, self.plan.tokens);
        for layer in 0..layers {
            if observer.stop() {
                return Err(InterpretError::Cancelled.into());
            }
            let layer_key = format!("{key} {layer}");
            let reports = match finished_reports(&writer, layer, &layer_key) {
                Some(reports) => {
                    progress.kept();
                    reports
                }
                None => {
                    let planned = of_layer(&self.planned, layer);
                    let is_untouched = planned.iter().all(|planned| planned.treatment.is_none());
                    let note = |components| LayerNote { key: layer_key, components };
                    // What nothing is done to goes from file to file.
                    if let Some(unchanged) = is_untouched.then(|| writer.unchanged_layer(layer)).flatten() {
                        let reports = planned
                            .iter()
                            .map(|planned| ComponentReport::unchanged(planned, unchanged.zeros(planned.module)));
                        let note = note(reports.collect());
                        writer.write_unchanged(layer, &unchanged, &to_json(&note)?)?;
                        note.components
                    } else {
                        let original = checkpoint.layer(layer)?;
                        let treat = || treat(&decoder, original, planned, &streams, settings.basis, storage);
                        let treated = catch_panic("a layer", || decoder.kernels().together(treat))?;
                        let note = note(treated.reports);
                        writer.write_layer(layer, &treated.weights, &treated.packed, &to_json(&note)?)?;
                        note.components
                    }
                }
            };
            components.extend(reports);
            if needs.last_original.is_some_and(|last| layer < last) {
                let weights = checkpoint.layer(layer)?;
                let advance = || statistics::advance(&decoder, weights, &mut streams.original);
                catch_panic("the calibration text", || decoder.kernels().together(advance))?;
            }
            // Compressed layers go on as they were written, so that a run which goes on sees the same numbers as one that was
            // never stopped.
            if needs.last_compressed.is_some_and(|last| layer < last) {
                let weights = writer.finished_layer(layer)?;
                let advance = || statistics::advance(&decoder, weights, &mut streams.compressed);
                catch_panic("the calibration text", || decoder.kernels().together(advance))?;
            }
            checkpoint.release();
            progress.report(observer, layer);
        }
        let calibration = match &settings.calibration {
            Some(calibration) if needs.any() => Some(CalibrationReport {
                file: folder::digest_of_file(calibration.source.path())?,
                windows: self.windows.len(),
                tokens: self.plan.tokens,
                seed: calibration.seed,
                backend: Some(backend),
            }),
            _ => None,
        };
        let awq = self.planned.iter().any(|planned| matches!(planned.treatment, Some(MethodConfig::Awq(_))));
        let report = CompressionReport {
            program: concat!("cruxscope ", env!("CARGO_PKG_VERSION")).into(),
            source: checkpoint.name(),
            source_files,
            recipe: settings.recipe.clone(),
            calibration,
            basis: if awq { settings.basis } else { Basis::Original },
            packed: settings.packed.map(|layout| layout.name().to_owned()),
            run: Some(key),
            components,
        };
        writer.finish(&[(REPORT_FILE, to_json(&report)?)])?;
        Ok(report)
    }
}

/// Compresses a checkpoint: [`Compression::prepare`], then [`Compression::run`].
///
/// # Errors
/// Theirs.
pub fn compress(settings: &CompressSettings, observer: &mut dyn Observer) -> Result<CompressionReport, RunError> {
    Compression::prepare(settings)?.run(observer)
}

/// What an earlier run said of the model that it wrote into a folder, if it was the same run and the model can still be opened.
fn finished(out: &Path, key: &str) -> Option<CompressionReport> {
    let report = report_of(out).filter(|report| report.run.as_deref() == Some(key))?;
    Checkpoint::open(out).ok().map(|_| report)
}

/// What stands beside a finished layer: from what it was made, and what was said of it.
#[derive(Serialize, Deserialize)]
struct LayerNote {
    key: String,
    components: Vec<ComponentReport>,
}

/// What an earlier run said of a layer, if it finished it from the same input.
fn finished_reports(writer: &FolderWriter<'_>, layer: usize, key: &str) -> Option<Vec<ComponentReport>> {
    let note: LayerNote = serde_json::from_slice(&writer.layer_note(layer)?).ok()?;
    (note.key == key).then_some(note.components)
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>, RunError> {
    serde_json::to_vec_pretty(value).map_err(|error| RunError::Recipe { why: error.to_string() })
}

/// How far a run is; layers that an earlier run finished say nothing about this one's speed.
struct LayerProgress {
    began: Instant,
    layers: usize,
    kept: usize,
    tokens: usize,
}

impl LayerProgress {
    fn new(layers: usize, tokens: usize) -> Self {
        Self {
            began: Instant::now(),
            layers,
            kept: 0,
            tokens,
        }
    }

    fn kept(&mut self) {
        self.kept += 1;
    }

    fn report(&self, observer: &mut dyn Observer, layer: usize) {
        let (done, elapsed) = (layer + 1 - self.kept, self.began.elapsed().as_secs_f64());
        observer.event(Event::Advanced {
            share: (layer + 1) as f64 / self.layers as f64,
            tokens_per_second: (done * self.tokens) as f64 / self.layers as f64 / elapsed.max(1e-9),
            left: (done > 0).then(|| Duration::from_secs_f64(elapsed * (self.layers - layer - 1) as f64 / done as f64)),
        });
    }
}

/// Changes whenever a method's numbers would: layers of an earlier value are made again.
pub(crate) const METHODS_VERSION: u32 = 3;

/// Covers everything that the written numbers hang on: recipe, form, source, text with its division into windows, and, where text is
/// run, the arithmetic of the device.
fn key_of(settings: &CompressSettings, files: &[FileDigest], windows: &[Vec<u32>], arithmetic: &str) -> Result<String, RunError> {
    let mut builder = DigestBuilder::default();
    builder.update(format!("compress {METHODS_VERSION}\n").as_bytes());
    builder.update(&to_json(&settings.recipe)?);
    builder.update(settings.stored_as.name().as_bytes());
    builder.update(&[settings.basis as u8]);
    builder.update(&to_json(&settings.packed)?);
    for file in files {
        builder.update(format!("\n{} {}", file.name, file.sha256).as_bytes());
    }
    if !windows.is_empty() {
        builder.update(format!("\n{arithmetic}\n").as_bytes());
    }
    digest_windows(&mut builder, windows);
    Ok(builder.finish().0)
}

/// Adds windows with their number and lengths: the same ids in other windows are another text.
pub(crate) fn digest_windows(builder: &mut DigestBuilder, windows: &[Vec<u32>]) {
    builder.update(&(windows.len() as u64).to_le_bytes());
    for window in windows {
        builder.update(&(window.len() as u64).to_le_bytes());
        window.iter().for_each(|id| builder.update(&id.to_le_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_another_length_are_another_text() {
        let digest = |length: usize| {
            let ids: Vec<u32> = (0..64).collect();
            let windows: Vec<Vec<u32>> = ids.chunks(length).map(<[u32]>::to_vec).collect();
            let mut builder = DigestBuilder::default();
            digest_windows(&mut builder, &windows);
            builder.finish()
        };
        assert_eq!(digest(16), digest(16));
        assert_ne!(digest(16), digest(32));
    }
}
