//! A checkpoint into a compressed one, layer by layer.
//!
//! Methods that have to know the inputs see those that the compressed layers before give, as in the original programs: the
//! calibration text runs through a layer once for its statistics, the layer is treated, and the text runs through what came
//! out. Memory holds one layer, its statistics and the text's hidden states. A finished layer is a file; a run that was
//! stopped goes on after the last one.

mod layer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cruxscope_checkpoint::Checkpoint;
use cruxscope_checkpoint::writer::{FolderWriter, StoredAs};
use cruxscope_compress::recipe::Recipe;
use cruxscope_compress::treatment::Treatment;
use cruxscope_interpret::InterpretError;
use cruxscope_model::decoder::{Decoder, Residence};
use cruxscope_model::kernels::cpu::CpuKernels;
use cruxscope_study::{DigestBuilder, FileDigest, Module, folder};
use serde::{Deserialize, Serialize};

use crate::windows::WindowSource;
use crate::{Event, Observer, RunError};

/// The file that says how a folder was compressed.
pub const REPORT_FILE: &str = "cruxscope_compression.json";

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
    pub calibration: Option<WindowSource>,
    /// At most so many windows of it.
    pub windows: Option<usize>,
    /// How numbers are stored.
    pub stored_as: StoredAs,
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

/// What was done to a component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComponentReport {
    /// Its short name, such as `30_gate`.
    pub component: String,
    /// The method's name; none where it was left as it is.
    pub method: Option<String>,
    /// Bits of a weight's code.
    pub bits: Option<u8>,
    /// Share of weights that are zero.
    pub sparsity: f64,
    /// Squared error of the outputs on the calibration text, as a share of the outputs' own square.
    pub output_error: Option<f64>,
    /// Squared error of the weights, as a share of their own square.
    pub weight_error: f64,
}

/// How a folder was compressed; saved in it as [`REPORT_FILE`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompressionReport {
    /// The program and its version.
    pub program: String,
    /// The source's name.
    pub source: String,
    /// The source's files.
    pub source_files: Vec<FileDigest>,
    /// The recipe.
    pub recipe: Recipe,
    /// The calibration file and the windows taken from it.
    pub calibration: Option<(FileDigest, usize)>,
    /// The basis of activations; only AWQ makes another.
    pub basis: Basis,
    /// Every component, layer by layer.
    pub components: Vec<ComponentReport>,
}

/// Compresses a checkpoint.
///
/// # Errors
/// When an input cannot be used, a method refuses a matrix, the observer says stop, or the disk refuses. Finished layers stay.
pub fn compress(settings: &CompressSettings, observer: &mut dyn Observer) -> Result<CompressionReport, RunError> {
    let checkpoint = Arc::new(Checkpoint::open(&settings.model)?);
    let layers = checkpoint.config().layers;
    let plan = settings.recipe.plan(layers).map_err(|why| RunError::Recipe { why })?;
    let first_with_statistics = plan.iter().position(|(_, treatment)| treatment.is_some_and(Treatment::needs_statistics));
    let (windows, calibration) = match (&settings.calibration, first_with_statistics) {
        (Some(source), Some(_)) => {
            let windows: Vec<Vec<u32>> = source.read(&checkpoint, settings.windows)?.into_values().flatten().collect();
            let count = windows.len();
            (windows, Some((folder::digest_of_file(source.path())?, count)))
        }
        (None, Some(_)) => {
            return Err(RunError::Recipe {
                why: "this recipe has to know the inputs of a matrix: give calibration tokens or text".into(),
            });
        }
        (_, None) => (Vec::new(), None),
    };
    let mut source_files = Vec::new();
    for path in checkpoint.files() {
        source_files.push(folder::digest_of_file(&path)?);
    }
    let key = key_of(settings, &source_files, &windows)?;
    let awq = plan.iter().any(|(_, treatment)| matches!(treatment, Some(Treatment::Awq(_))));
    let writer = FolderWriter::begin(&checkpoint, &settings.out, settings.stored_as)?;

    let decoder = Decoder::new(checkpoint.clone(), CpuKernels, Residence::Streamed)?;
    let last_with_statistics = plan
        .iter()
        .rposition(|(_, treatment)| treatment.is_some_and(Treatment::needs_statistics))
        .map(|index| index / Module::ALL.len());
    let mut hidden = windows.iter().map(|window| decoder.embed(window)).collect::<Result<Vec<_>, _>>()?;
    let mut components = Vec::new();
    let began = Instant::now();
    for layer in 0..layers {
        if observer.stop() {
            return Err(InterpretError::Cancelled.into());
        }
        let treatments = &plan[layer * Module::ALL.len()..][..Module::ALL.len()];
        let layer_key = format!("{key} {layer}");
        let reports = match finished_reports(&writer, layer, &layer_key) {
            Some(reports) => reports,
            None => {
                let original = checkpoint.layer(layer)?;
                let (mut treated, reports) = layer::treat(&decoder, original, treatments, &hidden, settings.basis)?;
                let note = LayerNote {
                    key: layer_key,
                    components: reports,
                };
                writer.write_layer(layer, &mut treated, &to_json(&note)?)?;
                note.components
            }
        };
        components.extend(reports);
        if last_with_statistics.is_some_and(|last| layer < last) {
            // AWQ's statistics are those of the original model, every other method's those of the layers before as they were
            // written, so that a run that goes on sees the same numbers as one that was never stopped.
            let weights = if awq { checkpoint.layer(layer)? } else { writer.finished_layer(layer)? };
            layer::advance(&decoder, weights, &mut hidden)?;
        }
        report_progress(observer, began, layer + 1, layers, &windows);
    }
    let report = CompressionReport {
        program: concat!("cruxscope ", env!("CARGO_PKG_VERSION")).into(),
        source: checkpoint.name(),
        source_files,
        recipe: settings.recipe.clone(),
        calibration,
        basis: if awq { settings.basis } else { Basis::Original },
        components,
    };
    writer.finish(&[(REPORT_FILE, to_json(&report)?)])?;
    Ok(report)
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

fn report_progress(observer: &mut dyn Observer, began: Instant, done: usize, of: usize, windows: &[Vec<u32>]) {
    let share = done as f64 / of as f64;
    let elapsed = began.elapsed().as_secs_f64();
    let tokens: usize = windows.iter().map(Vec::len).sum();
    let left = Duration::from_secs_f64(elapsed * (1.0 - share) / share);
    observer.event(Event::Advanced {
        share,
        tokens_per_second: share * tokens as f64 / elapsed.max(1e-9),
        left: Some(left),
    });
}

/// How a folder was compressed, if it says so.
pub fn report_of(model: &Path) -> Option<CompressionReport> {
    serde_json::from_slice(&std::fs::read(model.join(REPORT_FILE)).ok()?).ok()
}

fn key_of(settings: &CompressSettings, files: &[FileDigest], windows: &[Vec<u32>]) -> Result<String, RunError> {
    let mut builder = DigestBuilder::default();
    builder.update(&to_json(&settings.recipe)?);
    builder.update(settings.stored_as.name().as_bytes());
    builder.update(&[settings.basis as u8]);
    for file in files {
        builder.update(file.sha256.0.as_bytes());
    }
    for id in windows.iter().flatten() {
        builder.update(&id.to_le_bytes());
    }
    Ok(builder.finish().0)
}
