//! A model back to disk, as a Hugging Face folder: one file a layer, written as layers come.
//!
//! Everything goes into a folder beside the target, which one process at a time writes, and becomes the target by one rename at the
//! end, after it was opened and compared with its source: a reader never sees half a model. Beside each finished layer stands a note
//! with the digest of its file; a run that was stopped finds the layers that are done and keeps them.

mod configuration;
mod partial;
mod stored;
mod verify;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::{SafeTensors, TensorView};
use serde_json::{Value, json};

use self::partial::Partial;
use self::stored::{Array, Arrays, Losses, packed_arrays};
pub use self::stored::{StoredAs, TRACE};
use crate::checkpoint::layer_of;
use crate::config::{ATTENTION_NORM, EMBEDDING, FEED_FORWARD_NORM, FINAL_NORM, HEAD, KEY_NORM, QUERY_NORM, layer_tensor};
use crate::packed::{PackedWeight, Scheme};
use crate::rope::RopeScaling;
use crate::store::{Store, StoreFile};
use crate::{Checkpoint, CheckpointError, LayerWeights, PROJECTIONS, folder};

/// Rows of the embedding that are converted at a time.
const ROWS: usize = 8192;

/// Writes a model as a folder, layer by layer.
pub struct FolderWriter<'a> {
    source: &'a Checkpoint,
    target: PathBuf,
    partial: Partial,
    stored_as: StoredAs,
    packed: Option<Scheme>,
}

/// A layer's packed weights, in the place of its projections' own.
pub type PackedLayer = [Option<PackedWeight>; 7];

impl<'a> FolderWriter<'a> {
    /// Begins, or goes on with, a copy of `source` at `target`, which must not exist yet. Some of its weights may be packed. `key` names
    /// everything that what is written hangs on: what a run with another key left unfinished is removed.
    ///
    /// # Errors
    /// When the target exists, another run writes it, what stands outside the layers cannot be stored so, or the disk refuses.
    pub fn begin(source: &'a Checkpoint, target: &Path, stored_as: StoredAs, packed: Option<Scheme>, key: &str) -> Result<Self, CheckpointError> {
        if target.exists() {
            return Err(CheckpointError::Occupied { path: target.to_owned() });
        }
        if !source.path().is_dir() {
            if matches!(source.config().rope.scaling, RopeScaling::Divided { .. }) {
                let reason =
                    "its rotary frequencies are divided one by one, which a Hugging Face configuration cannot say; start from the model's folder".into();
                return Err(CheckpointError::Unsupported {
                    file: source.path().to_owned(),
                    reason,
                });
            }
            configuration::check_biases(source.path(), source.config())?;
        }
        let writer = Self {
            source,
            target: target.to_owned(),
            partial: Partial::take(target, key)?,
            stored_as,
            packed,
        };
        if stored_as == StoredAs::Float16 {
            // What stands outside the layers is written last; hours later is too late to find that it cannot be.
            writer.embedding()?;
            writer.head()?;
            writer.final_norm()?;
        }
        Ok(writer)
    }

    /// What was noted under a name, such as beside a layer when it was finished.
    pub fn note(&self, name: &str) -> Option<Vec<u8>> {
        self.partial.note(name)
    }

    /// Notes something that a run which goes on will want to know. Notes are not part of the finished folder.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write_note(&self, name: &str, bytes: &[u8]) -> Result<(), CheckpointError> {
        self.partial.write_note(name, bytes)
    }

    /// What was noted beside a layer when it was finished, if the layer is still what it was then.
    pub fn layer_note(&self, layer: usize) -> Option<Vec<u8>> {
        self.partial.vouched(&layer_name(layer), &layer_file(layer))
    }

    /// The weights of a finished layer, as they will be read from the written model.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn finished_layer(&self, layer: usize) -> Result<LayerWeights, CheckpointError> {
        let mut store = Store::empty(self.partial.folder(), self.packed);
        folder::add_file(&mut store, &self.partial.folder().join(layer_file(layer)))?;
        layer_of(&store, self.source.config(), layer)
    }

    /// Writes a layer, whole or not at all, with a note of the caller's, such as from what it was made.
    ///
    /// # Errors
    /// When a tensor does not survive being stored, or the disk refuses.
    pub fn write_layer(&self, layer: usize, weights: &LayerWeights, packed: &PackedLayer, note: &[u8]) -> Result<(), CheckpointError> {
        let arrays = self.arrays_of(layer, weights, packed)?;
        // The note goes before the file is touched and comes back after it, with the file's digest: where it is, the layer is whole.
        self.partial.forget(&layer_name(layer))?;
        self.write_arrays(&layer_file(layer), &arrays)?;
        self.partial.vouch(&layer_name(layer), &layer_file(layer), note)
    }

    /// Writes what stands outside the layers, the configuration, the tokenizer and `extra` files, opens the whole, compares it with its
    /// source, and makes the folder the target. `quantization` is what the configuration says of packed weights.
    ///
    /// # Errors
    /// When a layer is missing, a tensor does not survive being stored, what was written does not read back, or the disk refuses.
    pub fn finish(self, extra: &[(&str, Vec<u8>)], quantization: Option<&Value>) -> Result<(), CheckpointError> {
        let config = self.source.config();
        // One file each: what stands outside the layers is many times larger than a layer of a small model.
        let mut files: Vec<String> = (0..config.layers).map(layer_file).collect();
        self.write_arrays(EMBEDDING_FILE, &Arrays::from([(EMBEDDING.to_owned(), self.embedding()?)]))?;
        files.push(EMBEDDING_FILE.to_owned());
        if let Some(head) = self.head()? {
            self.write_arrays(HEAD_FILE, &Arrays::from([(HEAD.to_owned(), head)]))?;
            files.push(HEAD_FILE.to_owned());
        }
        self.write_arrays(NORM_FILE, &Arrays::from([(FINAL_NORM.to_owned(), self.final_norm()?)]))?;
        files.push(NORM_FILE.to_owned());
        self.partial.write(INDEX_FILE, self.index(&files)?.to_string().as_bytes())?;
        self.partial
            .write("config.json", &configuration::configuration(self.source, self.stored_as, quantization)?)?;
        for (name, bytes) in configuration::tokenizer_files(self.source)? {
            self.partial.write(name, &bytes)?;
        }
        for (name, bytes) in extra {
            self.partial.write(name, bytes)?;
        }
        verify::compare(self.source, self.partial.folder(), self.stored_as)?;
        self.partial.put_in_place(&self.target)
    }

    /// Which file holds which tensor.
    fn index(&self, files: &[String]) -> Result<Value, CheckpointError> {
        let mut index = serde_json::Map::new();
        let mut total = 0u64;
        for file in files {
            let path = self.partial.folder().join(file);
            let map = StoreFile::map(&path)?.map;
            let (_, metadata) = SafeTensors::read_metadata(&map).map_err(|error| CheckpointError::Damaged {
                file: path.clone(),
                format: "safetensors",
                reason: error.to_string(),
            })?;
            for (name, info) in metadata.tensors() {
                total += (info.data_offsets.1 - info.data_offsets.0) as u64;
                index.insert(name, Value::from(file.clone()));
            }
        }
        Ok(json!({"metadata": {"total_size": total}, "weight_map": index}))
    }

    fn embedding(&self) -> Result<Array, CheckpointError> {
        self.table(EMBEDDING, |rows| self.source.embedding_rows(&rows.map(|row| row as u32).collect::<Vec<_>>()))
    }

    /// The head, if it has one of its own.
    fn head(&self) -> Result<Option<Array>, CheckpointError> {
        (!self.source.config().tied_head)
            .then(|| self.table(HEAD, |rows| self.source.head_rows(rows)))
            .transpose()
    }

    fn final_norm(&self) -> Result<Array, CheckpointError> {
        let norm = self.source.final_norm()?;
        self.array(FINAL_NORM, vec![norm.len()], &norm)
    }

    fn table(&self, name: &str, rows_of: impl Fn(std::ops::Range<usize>) -> Result<crate::Matrix, CheckpointError>) -> Result<Array, CheckpointError> {
        let config = self.source.config();
        let (mut bytes, mut losses) = (Vec::new(), Losses::default());
        for first in (0..config.vocabulary).step_by(ROWS) {
            let rows = rows_of(first..config.vocabulary.min(first + ROWS))?;
            losses.add(self.stored_as, &rows.values);
            bytes.extend(self.stored_as.bytes(&rows.values));
        }
        losses.verdict(self.stored_as, name)?;
        Ok(Array {
            dtype: self.stored_as.dtype(),
            shape: vec![config.vocabulary, config.hidden],
            bytes,
        })
    }

    fn array(&self, name: &str, shape: Vec<usize>, values: &[f32]) -> Result<Array, CheckpointError> {
        self.stored_as.check(name, values)?;
        Ok(Array {
            dtype: self.stored_as.dtype(),
            shape,
            bytes: self.stored_as.bytes(values),
        })
    }

    /// The arrays of a layer by their Hugging Face names.
    fn arrays_of(&self, layer: usize, weights: &LayerWeights, packed: &PackedLayer) -> Result<Arrays, CheckpointError> {
        let mut arrays = Arrays::new();
        let mut add = |name: String, shape: Vec<usize>, values: &[f32]| -> Result<(), CheckpointError> {
            let array = self.array(&name, shape, values)?;
            arrays.insert(name, array);
            Ok(())
        };
        let norms = [
            (ATTENTION_NORM, Some(&weights.attention_norm)),
            (FEED_FORWARD_NORM, Some(&weights.feed_forward_norm)),
            (QUERY_NORM, weights.query_norm.as_ref()),
            (KEY_NORM, weights.key_norm.as_ref()),
        ];
        for (name, values) in norms {
            if let Some(values) = values {
                add(layer_tensor(layer, name), vec![values.len()], values)?;
            }
        }
        for (index, (name, projection)) in PROJECTIONS.iter().zip(&weights.projections).enumerate() {
            let bias = match &projection.bias {
                None if configuration::has_bias(self.source.config(), index) => Some(vec![0.0; projection.weight.rows]),
                bias => bias.clone(),
            };
            if let Some(bias) = bias {
                add(layer_tensor(layer, &format!("{name}.bias")), vec![bias.len()], &bias)?;
            }
            if packed[index].is_none() {
                let shape = vec![projection.weight.rows, projection.weight.columns];
                add(layer_tensor(layer, &format!("{name}.weight")), shape, &projection.weight.values)?;
            }
        }
        for (name, packed) in PROJECTIONS.iter().zip(packed) {
            if let Some(packed) = packed {
                arrays.extend(packed_arrays(&layer_tensor(layer, name), packed));
            }
        }
        Ok(arrays)
    }

    fn write_arrays(&self, file: &str, arrays: &Arrays) -> Result<(), CheckpointError> {
        let refused = |error: safetensors::SafeTensorError| CheckpointError::Damaged {
            file: self.partial.folder().join(file),
            format: "safetensors",
            reason: error.to_string(),
        };
        let views: Vec<(&String, TensorView<'_>)> = arrays
            .iter()
            .map(|(name, array)| {
                let view = TensorView::new(array.dtype, array.shape.clone(), &array.bytes);
                Ok((name, view.map_err(refused)?))
            })
            .collect::<Result<_, CheckpointError>>()?;
        // One entry only: a map of several would be written in any order.
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        // Straight into the file: a layer of a large model is held in memory once, not twice.
        self.partial
            .write_with(file, |path| match safetensors::serialize_to_file(views, Some(metadata), path) {
                Err(safetensors::SafeTensorError::IoError(source)) => Err(source),
                other => other.map_err(std::io::Error::other),
            })
    }
}

const EMBEDDING_FILE: &str = "model-embedding.safetensors";
const HEAD_FILE: &str = "model-head.safetensors";
const NORM_FILE: &str = "model-norm.safetensors";
const INDEX_FILE: &str = "model.safetensors.index.json";

fn layer_file(layer: usize) -> String {
    format!("{}.safetensors", layer_name(layer))
}

fn layer_name(layer: usize) -> String {
    format!("model-layer-{:05}", layer + 1)
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> CheckpointError {
    let path = path.to_owned();
    move |source| CheckpointError::Io { path: path.clone(), source }
}
