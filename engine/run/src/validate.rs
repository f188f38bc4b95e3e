//! Importance compared with degradation: one component at a time is compressed, and the next-token distributions are compared.
//!
//! The hidden states before a layer do not depend on what is done to it, so only the layers from it on are run again; the variants of
//! a layer's components go through them together, so that weights are read once for all of them. What is finished is kept line by
//! line, and a run that was stopped goes on there.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cruxscope_checkpoint::Checkpoint;
use cruxscope_compress::method::{Inputs, MethodConfig};
use cruxscope_compress::recipe::Recipe;
use cruxscope_interpret::InterpretError;
use cruxscope_model::block;
use cruxscope_model::decoder::{Decoder, Layer, Residence};
use cruxscope_model::device;
use cruxscope_model::head;
use cruxscope_model::kernels::Kernels;
use cruxscope_model::kernels::calibration::CalibrationKernels;
use cruxscope_model::with_kernels;
use cruxscope_study::{Component, Degradation, DigestBuilder, Module, OutputLock, Study, VALIDATION_FILE, Validation, folder};
use serde::{Deserialize, Serialize};

use crate::compress::{Basis, METHODS_VERSION, Storage, Streams, digest_windows, of_layer, planned, treat};
use crate::distribution::Distribution;
use crate::guard::catch_panic;
use crate::manifest::{modules_of, parts_of};
use crate::windows::Calibration;
use crate::{Event, Observer, RunError};

/// Rows whose logits exist at the same time, for the model and for every variant in turn.
const ROWS: usize = 256;
/// The file that keeps what is finished.
const PARTIAL: &str = "validation.partial.jsonl";

/// What is to be validated, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidateSettings {
    /// The study whose importance is compared with the degradation; the result is saved in it.
    pub study: PathBuf,
    /// Its model.
    pub model: PathBuf,
    /// What is done to each component.
    pub treatment: MethodConfig,
    /// The text that damage is measured on.
    pub text: Calibration,
    /// The text that calibrates a treatment that looks at inputs; without it the measured one does, on which its errors are small by construction.
    pub calibration: Option<Calibration>,
    /// Whether weights stay in memory.
    pub residence: Residence,
    /// Where the model runs, by name.
    pub device: String,
}

/// Validates a study.
///
/// # Errors
/// When the study and the model do not belong together, a treatment works on whole models only, the model cannot be run, the
/// observer says stop, or the disk refuses. Finished components stay.
pub fn validate(settings: &ValidateSettings, observer: &mut dyn Observer) -> Result<Validation, RunError> {
    let device = device::find(&settings.device)?;
    with_kernels!(device, |kernels| validate_with(kernels, settings, observer))
}

fn validate_with<K: CalibrationKernels>(kernels: K, settings: &ValidateSettings, observer: &mut dyn Observer) -> Result<Validation, RunError> {
    let study = folder::load(&settings.study)?;
    let study_folder = if settings.study.is_file() {
        settings.study.parent().unwrap_or(Path::new("."))
    } else {
        &settings.study
    };
    let checkpoint = Arc::new(Checkpoint::open(&settings.model)?);
    for note in checkpoint.notes() {
        observer.event(Event::Note { text: note.clone() });
    }
    let layers = checkpoint.config().layers;
    check(&study, &checkpoint, &settings.treatment)?;
    let windows = settings.text.read(&checkpoint)?;
    let looks = settings.treatment.inputs() != Inputs::None;
    let calibrating = match &settings.calibration {
        Some(calibration) if looks => Some(calibration.read(&checkpoint)?),
        _ => None,
    };
    if looks && calibrating.is_none() {
        observer.event(Event::Note {
            text: "the method is calibrated on the text that damage is measured on, where its errors are small by construction; other text tells more".into(),
        });
    }
    let model_files = crate::digests::all(&checkpoint.files(), observer)?;
    let data = folder::digest_of_file(settings.text.source.path())?;
    let mut key = DigestBuilder::default();
    key.update(&serde_json::to_vec(&settings.treatment).map_err(|error| RunError::Recipe { why: error.to_string() })?);
    key.update(format!("\nvalidate {METHODS_VERSION} {}", device::arithmetic(&settings.device)).as_bytes());
    for file in &model_files {
        key.update(format!("\n{} {}", file.name, file.sha256).as_bytes());
    }
    digest_windows(&mut key, &windows);
    if let Some(calibrating) = &calibrating {
        key.update(b"\ncalibrated on");
        digest_windows(&mut key, calibrating);
    }
    let key = key.finish().0;
    let result = study_folder.join(VALIDATION_FILE);
    if let Some(validation) = finished(&result, layers, &key) {
        observer.event(Event::Note {
            text: "an earlier run of the same settings finished this validation; it is left as it is".into(),
        });
        // Whoever finished it may have been killed before this went.
        std::fs::remove_file(study_folder.join(PARTIAL)).ok();
        return Ok(validation);
    }
    // An earlier validation of this study gives way; a file of somebody else does not.
    if let Ok(bytes) = std::fs::read(&result)
        && Validation::from_json(&bytes, layers).is_err()
    {
        return Err(RunError::Foreign {
            path: result,
            why: "it is no validation of this model",
        });
    }
    let _lock = OutputLock::take(&result, Duration::ZERO)?;
    let mut kept = FinishedComponents::open(study_folder, &key)?;

    let recipe = Recipe::of(settings.treatment.clone(), None, None);
    let everything = planned(&recipe, checkpoint.config())?;
    let decoder = Decoder::new(checkpoint.clone(), kernels, settings.residence)?;
    let embedded = |windows: &[Vec<u32>]| windows.iter().map(|window| decoder.embed(window)).collect::<Result<Vec<_>, _>>();
    let mut hidden = embedded(&windows)?;
    let mut learned = calibrating.as_deref().map(embedded).transpose()?;
    let (own, perplexity) = catch_panic("the text", || {
        let own = windows.iter().map(|window| block::run(&decoder, window)).collect::<Result<Vec<_>, _>>()?;
        let perplexity = Comparison::of(&decoder, &windows, &own, &[])?.perplexity;
        Ok::<_, RunError>((own, perplexity))
    })?;
    let predictions = windows.iter().map(|window| window.len().saturating_sub(1)).sum();
    let tokens: usize = windows.iter().map(Vec::len).sum();
    let (began, resumed) = (Instant::now(), kept.damage.len());
    // A layer's variants run through all layers after it and the head.
    let work = |layer: usize| (layers - layer) as f64 + 1.0;
    let all: f64 = (0..layers).map(work).sum();
    let skipped: f64 = (0..layers).filter(|layer| resumed >= (layer + 1) * Module::ALL.len()).map(work).sum();
    let mut done = 0.0;
    for layer in 0..layers {
        if kept.damage.len() < (layer + 1) * Module::ALL.len() {
            if observer.stop() {
                return Err(InterpretError::Cancelled.into());
            }
            let planned = of_layer(&everything, layer);
            observer.event(Event::Began {
                id: planned[0].component.to_string(),
                count: modules_in(planned).count(),
            });
            let comparisons = catch_panic("variants of a layer", || {
                let variants = variants(&decoder, &checkpoint, layer, planned, &hidden, learned.as_ref().unwrap_or(&hidden))?;
                Comparison::of(&decoder, &windows, &own, &variants)
            })?;
            kept.damage.truncate(layer * Module::ALL.len());
            let mut found = comparisons.variants.into_iter();
            kept.add(Module::ALL.into_iter().map(|module| {
                // A component that the layer does not have cannot be compressed, and nothing changes.
                let is_there = planned.iter().any(|planned| planned.component.module == module);
                let (divergence, perplexity) = is_there.then(|| found.next()).flatten().unwrap_or((0.0, perplexity));
                Degradation {
                    component: Component::new(layer, module).to_string(),
                    divergence,
                    perplexity,
                }
            }))?;
        }
        let original = decoder.layer(layer)?;
        hidden = through(&decoder, &*original, &hidden)?;
        learned = learned.map(|learned| through(&decoder, &*original, &learned)).transpose()?;
        done += work(layer);
        let fresh = (done - skipped).max(0.0);
        let elapsed = began.elapsed().as_secs_f64();
        observer.event(Event::Advanced {
            share: done / all,
            tokens_per_second: fresh * (Module::ALL.len() * tokens) as f64 / layers as f64 / elapsed.max(1e-9),
            left: (fresh > 0.0).then(|| Duration::from_secs_f64(elapsed * (all - done) / fresh)),
        });
    }
    let validation = Validation {
        program: concat!("cruxscope ", env!("CARGO_PKG_VERSION")).into(),
        treatment: serde_json::to_value(&settings.treatment).unwrap_or_default(),
        data,
        model_files,
        predictions,
        perplexity,
        run: Some(key),
        components: std::mem::take(&mut kept.damage),
    };
    let text = serde_json::to_vec_pretty(&validation).map_err(|error| RunError::Recipe { why: error.to_string() })?;
    // A number that JSON cannot hold would be found by whoever opens the file; it is found here.
    Validation::from_json(&text, layers)?;
    folder::write_atomically(&result, &text)?;
    kept.remove();
    Ok(validation)
}

/// What an earlier run saved, if it was the same run.
fn finished(file: &Path, layers: usize, key: &str) -> Option<Validation> {
    let found = Validation::from_json(&std::fs::read(file).ok()?, layers).ok()?;
    (found.run.as_deref() == Some(key)).then_some(found)
}

fn check(study: &Study, checkpoint: &Checkpoint, treatment: &MethodConfig) -> Result<(), RunError> {
    let (model, config) = (&study.manifest.model, checkpoint.config());
    if model.layers != config.layers || model.modules != modules_of(config) || model.parts != parts_of(config) {
        let why = format!(
            "the study is of {} with {} layers, and {} is another model",
            model.name,
            model.layers,
            checkpoint.name()
        );
        return Err(RunError::Recipe { why });
    }
    if matches!(treatment, MethodConfig::AlphaPruning(_)) {
        let why = "AlphaPruning decides about whole models, and here one component is treated at a time: take SparseGPT".into();
        return Err(RunError::Recipe { why });
    }
    Ok(())
}

/// The components that a layer has, in their order.
fn modules_in(planned: &[crate::compress::Planned]) -> impl Iterator<Item = Module> {
    Module::ALL
        .into_iter()
        .filter(|module| planned.iter().any(|planned| planned.component.module == *module))
}

/// The text behind a layer in which one component, all its linear maps, is compressed: for each component in turn, the final hidden states of all
/// windows. What enters the layer of the text that calibrates is `learned`.
fn variants<K: CalibrationKernels>(
    decoder: &Decoder<K>,
    checkpoint: &Checkpoint,
    layer: usize,
    planned: &[crate::compress::Planned],
    hidden: &[K::Matrix],
    learned: &[K::Matrix],
) -> Result<Vec<Vec<K::Matrix>>, RunError> {
    let original = checkpoint.layer(layer)?;
    // Nothing before this layer is compressed, so both kinds of inputs are the same.
    let asks = planned[0].treatment.as_ref().is_some_and(|treatment| treatment.inputs() != Inputs::None);
    let streams: Streams<K> = Streams {
        original: if asks { learned.to_vec() } else { Vec::new() },
        compressed: if asks { learned.to_vec() } else { Vec::new() },
    };
    let mut states = Vec::new();
    for module in modules_in(planned) {
        let mut alone = planned.to_vec();
        alone
            .iter_mut()
            .filter(|planned| planned.component.module != module)
            .for_each(|planned| planned.treatment = None);
        let treated = treat(decoder, original.clone(), &alone, &streams, Basis::Original, Storage::default())?;
        states.push(through(decoder, &decoder.bring(treated.weights), hidden)?);
    }
    for next in layer + 1..decoder.config().layers {
        let layer = decoder.layer(next)?;
        for state in &mut states {
            *state = through(decoder, &layer, state)?;
        }
    }
    Ok(states)
}

fn through<K: Kernels>(decoder: &Decoder<K>, layer: &Layer<K>, hidden: &[K::Matrix]) -> Result<Vec<K::Matrix>, RunError> {
    let mut next = Vec::with_capacity(hidden.len());
    for hidden in hidden {
        let rotation = decoder.rotation(&(0..decoder.kernels().rows(hidden)).collect::<Vec<_>>());
        next.push(block::forward(decoder.kernels(), &decoder.shape(), layer, hidden, &rotation, |_, _, _| Ok(()))?.0);
    }
    Ok(next)
}

/// Next-token distributions of a model, and of variants beside it.
struct Comparison {
    /// The model's own perplexity.
    perplexity: f64,
    /// Divergence and perplexity of each variant.
    variants: Vec<(f64, f64)>,
}

impl Comparison {
    /// With p the model's and q a variant's distribution: the mean of Σ p (log p − log q), and exp of the mean of −log q(next).
    ///
    /// # Shapes
    /// Final hidden states of each window, `[tokens, hidden]`; `variants` holds such a list for each variant.
    fn of<K: Kernels>(decoder: &Decoder<K>, windows: &[Vec<u32>], own: &[K::Matrix], variants: &[Vec<K::Matrix>]) -> Result<Self, RunError> {
        let kernels = decoder.kernels();
        let mut own_loss = 0.0;
        let mut sums = vec![(0.0, 0.0); variants.len()];
        let mut predictions = 0usize;
        for (index, window) in windows.iter().enumerate() {
            let rows = window.len().saturating_sub(1);
            predictions += rows;
            for first in (0..rows).step_by(ROWS) {
                let count = ROWS.min(rows - first);
                let targets = &window[first + 1..first + 1 + count];
                let logits = head::logits(decoder, &kernels.slice(&own[index], first, count))?;
                let original = Distribution::of(kernels, logits, targets)?;
                own_loss += original.loss();
                for (sums, variant) in sums.iter_mut().zip(variants) {
                    let logits = head::logits(decoder, &kernels.slice(&variant[index], first, count))?;
                    let other = Distribution::of(kernels, logits, targets)?;
                    sums.0 += original.divergence(&other);
                    sums.1 += other.loss();
                }
            }
        }
        let mean = |sum: f64| sum / predictions.max(1) as f64;
        Ok(Self {
            perplexity: mean(own_loss).exp(),
            variants: sums.into_iter().map(|(divergence, loss)| (mean(divergence), mean(loss).exp())).collect(),
        })
    }
}

/// What an earlier run finished, and what this one adds.
struct FinishedComponents {
    path: PathBuf,
    file: File,
    damage: Vec<Degradation>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    key: String,
}

impl FinishedComponents {
    fn open(folder: &Path, key: &str) -> Result<Self, RunError> {
        let path = folder.join(PARTIAL);
        let io = |source| RunError::Io {
            attempt: "write",
            path: path.clone(),
            source,
        };
        let mut damage = Vec::new();
        if let Ok(file) = File::open(&path) {
            let mut lines = BufReader::new(file).lines().map_while(Result::ok);
            let same = lines
                .next()
                .and_then(|line| serde_json::from_str::<Head>(&line).ok())
                .is_some_and(|head| head.key == key);
            if same {
                // A line that was cut off by a kill, and whatever follows it, is done again.
                damage.extend(lines.map_while(|line| serde_json::from_str::<Degradation>(&line).ok()));
            }
        }
        let whole_layers = damage.len() / Module::ALL.len() * Module::ALL.len();
        damage.truncate(whole_layers);
        let mut text = line(&Head { key: key.to_owned() })?;
        for damage in &damage {
            text += &line(damage)?;
        }
        folder::write_atomically(&path, text.as_bytes())?;
        let file = OpenOptions::new().append(true).open(&path).map_err(io)?;
        Ok(Self { path, file, damage })
    }

    fn add(&mut self, found: impl Iterator<Item = Degradation>) -> Result<(), RunError> {
        let mut text = String::new();
        for damage in found {
            text += &line(&damage)?;
            self.damage.push(damage);
        }
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(|source| RunError::Io {
            attempt: "write",
            path: self.path.clone(),
            source,
        })
    }

    fn remove(self) {
        // The result is saved; what is left over is only untidy.
        std::fs::remove_file(&self.path).ok();
    }
}

fn line(value: &impl Serialize) -> Result<String, RunError> {
    let text = serde_json::to_string(value).map_err(|error| RunError::Recipe { why: error.to_string() })?;
    Ok(text + "\n")
}
