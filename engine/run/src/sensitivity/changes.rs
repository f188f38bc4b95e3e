//! What every format of a menu changes in a layer.
//!
//! Methods that look at weights alone are applied whenever a layer comes by. Methods that have to know the inputs are applied once, in
//! a pass of their own over the calibration text through the original layers, and what they change waits on the disk; each matrix is
//! treated as if it were the only one (no recipe is known yet, so inputs behind compressed layers are not either). Candidates are read
//! from their checkpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cruxscope_checkpoint::{Checkpoint, LayerWeights, Matrix, ModelConfig, ModuleShape};
use cruxscope_compress::method::{Inputs, MethodConfig};
use cruxscope_interpret::InterpretError;
use cruxscope_model::block;
use cruxscope_model::decoder::Decoder;
use cruxscope_model::kernels::calibration::CalibrationKernels;
use cruxscope_sensitivity::SensitivityError;
use cruxscope_sensitivity::candidate::{changes_of, same_model};
use cruxscope_sensitivity::menu::{MenuFormat, stored_bits};
use cruxscope_sensitivity::outputs::{LayerChanges, MapChanges};
use cruxscope_sensitivity::sketch::SketchWindow;
use cruxscope_study::{CandidateEntry, Component, DigestBuilder, FileDigest, SketchedFormat, folder};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use crate::compress::{Basis, METHODS_VERSION, Storage, Streams, of_layer, refuse_crossed, treat, untreated};
use crate::guard::catch_panic;
use crate::windows::Calibration;
use crate::{Event, Observer, RunError};

/// Bytes that the header of a file of changes can have.
const LONGEST_HEADER: usize = 1 << 20;

/// Checks that a candidate can be compared with the model and that some matrix of it is another; a compressed one shows that in its first
/// layer, so that no other has to be read.
fn something_changes(name: &str, checkpoint: &Checkpoint, candidate: &Checkpoint) -> Result<(), RunError> {
    for layer in 0..checkpoint.config().layers {
        let (own, other) = (checkpoint.layer(layer)?, candidate.layer(layer)?);
        if changes_of(name, &checkpoint.config().modules(layer), layer, (&own, &other))?
            .iter()
            .any(Option::is_some)
        {
            return Ok(());
        }
    }
    Err(SensitivityError::Candidate {
        name: name.into(),
        why: "every matrix of its layers is the model's own, so there is nothing to compare; give a compressed version of the model".into(),
    }
    .into())
}

/// A menu, opened.
pub(crate) struct Menu {
    formats: Vec<Format>,
    calibration: Vec<Vec<u32>>,
    key: String,
}

struct Format {
    name: String,
    source: Source,
    /// Covers what it changes, where that has to be computed from inputs.
    key: String,
}

enum Source {
    Method(MethodConfig),
    Candidate { checkpoint: Arc<Checkpoint>, files: Vec<FileDigest> },
}

impl Menu {
    /// Opens candidates, and reads calibration text where a method asks for it; where none is given, `windows` calibrate. `origin` is the
    /// model's files and the name of the device.
    pub fn open(
        own: &[MenuFormat],
        candidates: &[PathBuf],
        calibration: Option<&Calibration>,
        windows: Option<&[SketchWindow]>,
        checkpoint: &Checkpoint,
        origin: (&[FileDigest], &str),
        observer: &mut dyn Observer,
    ) -> Result<Self, RunError> {
        let mut formats: Vec<Format> = Vec::new();
        for format in own {
            formats.push(Format {
                name: format.name.clone(),
                source: Source::Method(format.treatment.clone()),
                key: String::new(),
            });
        }
        for path in candidates {
            let candidate = Arc::new(Checkpoint::open(path)?);
            let name = name_of(path, &formats);
            same_model(&name, checkpoint.config(), candidate.config())?;
            let files = crate::digests::all(&candidate.files(), observer)?;
            formats.push(Format {
                name,
                source: Source::Candidate { checkpoint: candidate, files },
                key: String::new(),
            });
        }
        if formats.is_empty() {
            let why = "there is nothing to compare: give --formats, such as rtn-3-g64,rtn-4-g64, or --candidate".into();
            return Err(RunError::Recipe { why });
        }
        let mut menu = Self {
            formats,
            calibration: Vec::new(),
            key: String::new(),
        };
        if menu.calibrated().next().is_some() {
            menu.calibration = match (calibration, windows) {
                (Some(calibration), _) => calibration.read(checkpoint)?,
                (None, Some(windows)) => windows.iter().map(|window| window.ids.clone()).collect(),
                (None, None) => {
                    let why = "a method of the menu has to know the inputs of a matrix: give the text that calibrated it for the sketch (--calibration-tokens, --calibration-text)";
                    return Err(RunError::Recipe { why: why.into() });
                }
            };
        }
        menu.key = menu.digest()?;
        let (model_files, device) = origin;
        for place in 0..menu.formats.len() {
            menu.formats[place].key = menu.format_key(place, model_files, device)?;
        }
        for (_, treatment) in menu.calibrated() {
            let mut all = untreated(checkpoint.config());
            all.iter_mut()
                .for_each(|planned| (planned.treatment, planned.method) = (Some(treatment.clone()), Some(treatment.name())));
            refuse_crossed(&all)?;
        }
        // A candidate in another basis, or one that is no other model, is refused before anything is computed.
        for format in &menu.formats {
            if let Source::Candidate { checkpoint: candidate, .. } = &format.source {
                something_changes(&format.name, checkpoint, candidate)?;
            }
        }
        Ok(menu)
    }

    /// Covers the menu: names, settings, files, and the calibration text.
    pub fn key(&self) -> &str {
        &self.key
    }

    fn digest(&self) -> Result<String, RunError> {
        let mut builder = DigestBuilder::default();
        builder.update(&METHODS_VERSION.to_le_bytes());
        for format in &self.formats {
            builder.update(format.name.as_bytes());
            match &format.source {
                Source::Method(treatment) => {
                    builder.update(&serde_json::to_vec(treatment).map_err(|error| RunError::Recipe { why: error.to_string() })?);
                }
                Source::Candidate { files, .. } => files.iter().for_each(|file| builder.update(file.sha256.0.as_bytes())),
            }
        }
        self.calibration.iter().flatten().for_each(|id| builder.update(&id.to_le_bytes()));
        Ok(builder.finish().0)
    }

    /// Covers what a calibrated format changes: the model, the method, the calibration text and the arithmetic; none of the rest of the
    /// menu, so that menus can share what was computed.
    fn format_key(&self, format: usize, model_files: &[FileDigest], device: &str) -> Result<String, RunError> {
        let Source::Method(treatment) = &self.formats[format].source else {
            return Ok(String::new());
        };
        let mut builder = DigestBuilder::default();
        let treatment = serde_json::to_string(treatment).map_err(|error| RunError::Recipe { why: error.to_string() })?;
        builder.update(format!("changes of maps {METHODS_VERSION} {} {treatment}", cruxscope_model::device::arithmetic(device)).as_bytes());
        model_files.iter().for_each(|file| builder.update(file.sha256.0.as_bytes()));
        for window in &self.calibration {
            builder.update(b"\n");
            window.iter().for_each(|id| builder.update(&id.to_le_bytes()));
        }
        Ok(builder.finish().0)
    }

    /// How many formats there are.
    pub fn formats(&self) -> usize {
        self.formats.len()
    }

    /// Which of them are candidates.
    pub fn is_candidate(&self, format: usize) -> bool {
        matches!(self.formats[format].source, Source::Candidate { .. })
    }

    /// Formats that have to know inputs.
    pub(super) fn calibrated(&self) -> impl Iterator<Item = (usize, &MethodConfig)> {
        self.formats.iter().enumerate().filter_map(|(index, format)| match &format.source {
            Source::Method(treatment) if treatment.inputs() != Inputs::None => Some((index, treatment)),
            _ => None,
        })
    }

    /// Bytes on disk for what calibrated methods change.
    pub fn disk(&self, config: &ModelConfig) -> u64 {
        (self.calibrated().count() * config.weights_of_layers() * 4) as u64
    }

    /// What a sketch says of the formats, and the bits of every component in each, `[components, formats]`.
    pub fn describe(&self, config: &ModelConfig) -> Result<(Vec<SketchedFormat>, Vec<f64>), RunError> {
        let json = |error: serde_json::Error| RunError::Recipe { why: error.to_string() };
        let mut formats = Vec::new();
        for format in &self.formats {
            let (treatment, candidate) = match &format.source {
                Source::Method(treatment) => (Some(serde_json::to_value(treatment).map_err(json)?), None),
                Source::Candidate { checkpoint, files } => {
                    let types = checkpoint.tensor_types();
                    let kind = |component: Component| kind_of(&types, config, component);
                    let entry = CandidateEntry {
                        files: files.clone(),
                        types: Component::all(config.layers).map(kind).collect(),
                    };
                    (None, Some(entry))
                }
            };
            formats.push(SketchedFormat {
                name: format.name.clone(),
                treatment,
                candidate,
                measured: Vec::new(),
            });
        }
        let mut bits = Vec::new();
        for component in Component::all(config.layers) {
            let maps = maps_of(config, component);
            for format in &self.formats {
                bits.push(match &format.source {
                    Source::Method(treatment) => maps.iter().map(|(_, map)| stored_bits(treatment, map.rows, map.columns)).sum(),
                    Source::Candidate { checkpoint, .. } => {
                        let all = checkpoint.projection_bits(component.layer.0);
                        maps.iter().map(|(place, _)| all[*place] as f64).sum()
                    }
                });
            }
        }
        Ok((formats, bits))
    }

    /// What every format changes in a layer.
    pub fn changes(&self, checkpoint: &Checkpoint, layer: usize, folder: &Path) -> Result<LayerChanges, RunError> {
        let original = checkpoint.layer(layer)?;
        let changes = (0..self.formats.len())
            .map(|format| self.change_of(checkpoint.config(), &original, layer, folder, format))
            .collect::<Result<_, _>>();
        checkpoint.release();
        changes
    }

    /// What one format changes in a layer.
    pub fn change(&self, checkpoint: &Checkpoint, layer: usize, folder: &Path, format: usize) -> Result<MapChanges, RunError> {
        self.change_of(checkpoint.config(), &checkpoint.layer(layer)?, layer, folder, format)
    }

    fn change_of(&self, config: &ModelConfig, original: &LayerWeights, layer: usize, folder: &Path, format: usize) -> Result<MapChanges, RunError> {
        let Format { name, source, key } = &self.formats[format];
        match source {
            Source::Candidate { checkpoint, .. } => {
                let changes = changes_of(name, &config.modules(layer), layer, (original, &checkpoint.layer(layer)?))?;
                checkpoint.release();
                Ok(changes)
            }
            Source::Method(treatment) if treatment.inputs() != Inputs::None => {
                let path = self.file(folder, format, layer);
                let found = read_changes(&path, key, &config.modules(layer))?;
                let missing = || SensitivityError::Part {
                    path,
                    why: "it has disappeared".into(),
                };
                Ok(found.ok_or_else(missing)?)
            }
            Source::Method(treatment) => by_weights(treatment, config, layer, original),
        }
    }

    /// Applies the methods that have to know inputs, layer by layer, and leaves what they change in the folder; what is there is kept.
    pub fn calibrate<K: CalibrationKernels>(
        &self,
        decoder: &Decoder<K>,
        checkpoint: &Checkpoint,
        folder: &Path,
        observer: &mut dyn Observer,
    ) -> Result<(), RunError> {
        let layers = decoder.config().layers;
        let mut missing: Vec<(usize, usize)> = Vec::new();
        for layer in 0..layers {
            for (index, _) in self.calibrated() {
                if key_of(&self.file(folder, index, layer)).as_ref() != Some(&self.formats[index].key) {
                    missing.push((layer, index));
                }
            }
        }
        let Some((last, _)) = missing.last().copied() else { return Ok(()) };
        let mut hidden = self.calibration.iter().map(|window| decoder.embed(window)).collect::<Result<Vec<_>, _>>()?;
        for layer in 0..=last {
            if observer.stop() {
                return Err(InterpretError::Cancelled.into());
            }
            observer.event(Event::Preparing {
                what: "what calibrated methods change".into(),
                share: layer as f64 / (last + 1) as f64,
            });
            let original = checkpoint.layer(layer)?;
            for (index, treatment) in self.calibrated().filter(|(index, _)| missing.contains(&(layer, *index))) {
                let mut planned = of_layer(&untreated(checkpoint.config()), layer).to_vec();
                for planned in &mut planned {
                    (planned.treatment, planned.method) = (Some(treatment.clone()), Some(treatment.name()));
                }
                let streams = Streams {
                    original: hidden.clone(),
                    compressed: hidden.clone(),
                };
                let treated = catch_panic("a layer", || {
                    treat(decoder, original.clone(), &planned, &streams, Basis::Original, Storage::default())
                })?;
                let changes = difference(&original, &treated.weights);
                let names = checkpoint.config().modules(layer);
                write_changes(&self.file(folder, index, layer), &self.formats[index].key, &names, &changes)?;
            }
            if layer < last {
                let own = decoder.layer(layer)?;
                hidden = catch_panic("the calibration text", || through(decoder, &own, &hidden))?;
            }
            checkpoint.release();
        }
        Ok(())
    }

    fn file(&self, folder: &Path, format: usize, layer: usize) -> PathBuf {
        folder.join(format!("change-{}-{layer:05}.safetensors", self.formats[format].name))
    }
}

/// A candidate's name: its file's or folder's, with a number behind it where that is taken.
fn name_of(path: &Path, taken: &[Format]) -> String {
    let stem = if path.is_dir() { path.file_name() } else { path.file_stem() };
    let stem = stem.map_or_else(|| path.display().to_string(), |stem| stem.to_string_lossy().into_owned());
    let is_free = |name: &str| taken.iter().all(|format| format.name != name);
    if is_free(&stem) {
        return stem;
    }
    let mut number = 2;
    while !is_free(&format!("{stem}-{number}")) {
        number += 1;
    }
    format!("{stem}-{number}")
}

/// The linear maps that a component is made of, with their positions among the layer's.
pub(crate) fn maps_of(config: &ModelConfig, component: Component) -> Vec<(usize, ModuleShape)> {
    let all = config.modules(component.layer.0).into_iter().enumerate();
    all.filter(|(_, map)| map.slot == Some(component.module.index()) && map.rows > 0).collect()
}

/// How a component's maps are stored; several types stand side by side.
fn kind_of(types: &BTreeMap<String, String>, config: &ModelConfig, component: Component) -> String {
    let name = |map: &ModuleShape| format!("model.layers.{}.{}.weight", component.layer.0, map.name);
    let kinds: BTreeSet<String> = maps_of(config, component)
        .iter()
        .filter_map(|(_, map)| types.get(&name(map)).cloned())
        .collect();
    kinds.into_iter().collect::<Vec<_>>().join(", ")
}

/// What a method that looks at weights alone changes.
fn by_weights(treatment: &MethodConfig, config: &ModelConfig, layer: usize, original: &LayerWeights) -> Result<MapChanges, RunError> {
    let mut weights = original.clone();
    for planned in of_layer(&untreated(config), layer) {
        let projection = &mut weights.projections[planned.module];
        let treated = treatment.apply(&projection.weight, None, 0).map_err(|source| RunError::Compress {
            component: planned.name(),
            source,
        })?;
        projection.weight = treated.weight;
    }
    Ok(difference(original, &weights))
}

/// Compressed minus original; nothing where a matrix is the same.
fn difference(original: &LayerWeights, compressed: &LayerWeights) -> MapChanges {
    let pairs = original.projections.iter().zip(&compressed.projections);
    pairs
        .map(|(own, other)| {
            let (own, other) = (&own.weight, &other.weight);
            let values: Vec<f32> = other.values.iter().zip(&own.values).map(|(new, old)| new - old).collect();
            values.iter().any(|value| *value != 0.0).then_some(Matrix {
                rows: own.rows,
                columns: own.columns,
                values,
            })
        })
        .collect()
}

/// The text behind a layer.
pub(crate) fn through<K: CalibrationKernels>(
    decoder: &Decoder<K>,
    layer: &cruxscope_model::decoder::Layer<K>,
    hidden: &[K::Matrix],
) -> Result<Vec<K::Matrix>, RunError> {
    let mut next = Vec::with_capacity(hidden.len());
    for hidden in hidden {
        let rotation = decoder.rotation(&(0..decoder.kernels().rows(hidden)).collect::<Vec<_>>());
        next.push(block::forward(decoder.kernels(), &decoder.shape(), layer, hidden, &rotation, |_, _, _| Ok(()))?.0);
    }
    Ok(next)
}

fn write_changes(path: &Path, key: &str, maps: &[ModuleShape], changes: &MapChanges) -> Result<(), RunError> {
    let refuse = |error: safetensors::SafeTensorError| SensitivityError::Part {
        path: path.to_owned(),
        why: error.to_string(),
    };
    let mut arrays = Vec::new();
    for (map, change) in maps.iter().zip(changes) {
        if let Some(change) = change {
            let bytes: Vec<u8> = change.values.iter().flat_map(|value| value.to_le_bytes()).collect();
            arrays.push((map.name.as_str(), vec![change.rows, change.columns], bytes));
        }
    }
    let views = arrays
        .iter()
        .map(|(name, shape, bytes)| Ok((*name, TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(refuse)?)))
        .collect::<Result<Vec<_>, SensitivityError>>()?;
    let metadata = std::collections::HashMap::from([("key".to_owned(), key.to_owned())]);
    let file = safetensors::serialize(views, Some(metadata)).map_err(refuse)?;
    Ok(folder::write_atomically(path, &file)?)
}

/// The key of a file of changes, out of its header alone: the files are as large as the model.
fn key_of(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let mut length = [0; 8];
    file.read_exact(&mut length).ok()?;
    let mut header = vec![0; usize::try_from(u64::from_le_bytes(length)).ok().filter(|length| *length < LONGEST_HEADER)?];
    file.read_exact(&mut header).ok()?;
    let header: serde_json::Value = serde_json::from_slice(&header).ok()?;
    header["__metadata__"]["key"].as_str().map(str::to_owned)
}

/// What was written under this key; nothing where there is no such file, or it is of another menu.
fn read_changes(path: &Path, key: &str, maps: &[ModuleShape]) -> Result<Option<MapChanges>, RunError> {
    let damaged = |why: String| SensitivityError::Part { path: path.to_owned(), why };
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(damaged(error.to_string()).into()),
    };
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|error| damaged(error.to_string()))?;
    let own = metadata.metadata().as_ref().and_then(|metadata| metadata.get("key"));
    if own.map(String::as_str) != Some(key) {
        return Ok(None);
    }
    let arrays = SafeTensors::deserialize(&bytes).map_err(|error| damaged(error.to_string()))?;
    let mut changes: MapChanges = Vec::with_capacity(maps.len());
    for map in maps {
        let Ok(view) = arrays.tensor(&map.name) else {
            changes.push(None);
            continue;
        };
        if view.shape() != [map.rows, map.columns] || view.dtype() != Dtype::F32 {
            return Err(damaged(format!("{} has shape {:?}", map.name, view.shape())).into());
        }
        changes.push(Some(Matrix {
            rows: map.rows,
            columns: map.columns,
            values: view.data().as_chunks::<4>().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect(),
        }));
    }
    Ok(Some(changes))
}
