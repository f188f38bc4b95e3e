//! A model back to disk, as a Hugging Face folder: one file a layer, written as layers come.
//!
//! Everything goes into a folder beside the target, which one process at a time writes, and becomes the target by one rename at the
//! end, after it was opened and compared with its source: a reader never sees half a model. Beside each finished layer stands a note
//! with the digest of its file; a run that was stopped finds the layers that are done and keeps them.

mod arrays_file;
mod configuration;
mod experts;
mod partial;
mod stored;
mod unchanged;
mod verify;

use std::path::{Path, PathBuf};

use safetensors::tensor::SafeTensors;
use serde_json::{Value, json};

use self::experts::join_experts;
use self::partial::Partial;
use self::stored::{Array, Arrays, Losses, packed_arrays};
pub use self::stored::{StoredAs, TRACE};
pub use self::unchanged::UnchangedLayer;
use crate::checkpoint::layer_of;
use crate::config::{
    DELTA_CONVOLUTION, DELTA_DECAY, DELTA_NORM, DELTA_SHIFT, EMBEDDING, FINAL_NORM, FINAL_NORM_BIAS, HEAD, KEY_VALUE_LATENT_NORM, QUERY_LATENT_NORM, SINKS,
    layer_tensor, vector_shape,
};
use crate::packed::{PackedWeight, Packing};
use crate::rope::RopeScaling;
use crate::store::{Store, StoreFile};
use crate::{Checkpoint, CheckpointError, LayerWeights, ModuleRole, PROJECTIONS, folder, fused, stacked};

/// Rows of the embedding that are converted at a time.
const ROWS: usize = 8192;

/// Writes a model as a folder, layer by layer.
pub struct FolderWriter<'a> {
    source: &'a Checkpoint,
    target: PathBuf,
    partial: Partial,
    stored_as: StoredAs,
    quantization: Option<Value>,
    packed: Option<Packing>,
}

/// A layer's packed weights, in the place of its projections' own.
pub type PackedLayer = Vec<Option<PackedWeight>>;

impl<'a> FolderWriter<'a> {
    /// Begins, or goes on with, a copy of `source` at `target`, which must not exist yet. Some of its weights may be packed, as
    /// `quantization` says, which the configuration will hold. `key` names everything that what is written hangs on: what a run with
    /// another key left unfinished is removed.
    ///
    /// # Errors
    /// When the target exists, another run writes it, what stands outside the layers cannot be stored so, what is said of packed weights
    /// could not be read back, or the disk refuses.
    pub fn begin(source: &'a Checkpoint, target: &Path, stored_as: StoredAs, quantization: Option<Value>, key: &str) -> Result<Self, CheckpointError> {
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
        } else if let Err(error @ CheckpointError::Tokenizer { .. }) = source.tokenizer() {
            // Numbers do not need it, but whatever is made of the model carries it on.
            return Err(error);
        }
        let packed = quantization.as_ref().map(Packing::parse).transpose();
        let packed = packed.map_err(|reason| CheckpointError::Configuration {
            file: target.join("config.json"),
            reason,
        })?;
        let writer = Self {
            source,
            target: target.to_owned(),
            partial: Partial::take(target, key)?,
            stored_as,
            quantization,
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
        let mut store = Store::empty(self.partial.folder(), self.packed.clone());
        folder::add_file(&mut store, &self.partial.folder().join(layer_file(layer)))?;
        fused::split(self.source.config(), &mut store)?;
        stacked::place(self.source.config(), &mut store);
        layer_of(&store, self.source.config(), layer)
    }

    /// Writes a layer, whole or not at all, with a note of the caller's, such as from what it was made.
    ///
    /// # Errors
    /// When a tensor does not survive being stored, or the disk refuses.
    pub fn write_layer(&self, layer: usize, weights: &LayerWeights, packed: &PackedLayer, note: &[u8]) -> Result<(), CheckpointError> {
        let arrays = self.arrays_of(layer, weights, packed)?;
        self.write_with_note(&layer_name(layer), &layer_file(layer), &arrays, note)
    }

    /// The note goes before the file is touched and comes back after it, with the file's digest: where it is, the file is whole.
    fn write_with_note(&self, name: &str, file: &str, arrays: &Arrays<'_>, note: &[u8]) -> Result<(), CheckpointError> {
        self.partial.forget(name)?;
        self.write_arrays(file, arrays)?;
        self.partial.vouch(name, file, note)
    }

    /// Writes what stands outside the layers, the configuration, the tokenizer and `extra` files, opens the whole, compares it with its
    /// source, and makes the folder the target.
    ///
    /// # Errors
    /// When a layer is missing, a tensor does not survive being stored, what was written does not read back, or the disk refuses.
    pub fn finish(self, extra: &[(&str, Vec<u8>)]) -> Result<(), CheckpointError> {
        let config = self.source.config();
        // One file each: what stands outside the layers is many times larger than a layer of a small model.
        let mut files: Vec<String> = (0..config.layers).map(layer_file).collect();
        self.write_arrays(EMBEDDING_FILE, &Arrays::from([(EMBEDDING.to_owned(), self.embedding()?)]))?;
        files.push(EMBEDDING_FILE.to_owned());
        if let Some(head) = self.head()? {
            self.write_arrays(HEAD_FILE, &Arrays::from([(HEAD.to_owned(), head)]))?;
            files.push(HEAD_FILE.to_owned());
        }
        let mut norm = Arrays::new();
        if !config.block.norms.unweighted {
            norm.insert(FINAL_NORM.to_owned(), self.final_norm()?);
        }
        if let Some(bias) = self.source.final_norm_bias()? {
            norm.insert(FINAL_NORM_BIAS.to_owned(), self.array(FINAL_NORM_BIAS, vec![bias.len()], &bias)?.into_owned());
        }
        self.write_arrays(NORM_FILE, &norm)?;
        files.push(NORM_FILE.to_owned());
        self.partial.write(INDEX_FILE, self.index(&files)?.to_string().as_bytes())?;
        self.partial.write(
            "config.json",
            &configuration::configuration(self.source, self.stored_as, self.quantization.as_ref())?,
        )?;
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

    fn embedding(&self) -> Result<Array<'_>, CheckpointError> {
        self.table(EMBEDDING, |rows| self.source.embedding_rows(&rows.map(|row| row as u32).collect::<Vec<_>>()))
    }

    /// The head, if it has one of its own.
    fn head(&self) -> Result<Option<Array<'_>>, CheckpointError> {
        (!self.source.config().tied_head)
            .then(|| self.table(HEAD, |rows| self.source.head_rows(rows)))
            .transpose()
    }

    fn final_norm(&self) -> Result<Array<'static>, CheckpointError> {
        let norm = self.source.final_norm()?;
        Ok(self.array(FINAL_NORM, vec![norm.len()], &norm)?.into_owned())
    }

    fn table(&self, name: &str, rows_of: impl Fn(std::ops::Range<usize>) -> Result<crate::Matrix, CheckpointError>) -> Result<Array<'_>, CheckpointError> {
        let config = self.source.config();
        let shape = vec![config.vocabulary, config.hidden];
        if let Some(array) = unchanged::as_stored(self.source, name, &shape, self.stored_as) {
            return Ok(array);
        }
        let size = config.vocabulary * config.hidden * self.stored_as.dtype().bitsize() / 8;
        let (mut bytes, mut losses) = (Vec::with_capacity(size), Losses::default());
        for first in (0..config.vocabulary).step_by(ROWS) {
            let rows = rows_of(first..config.vocabulary.min(first + ROWS))?;
            losses.add(self.stored_as, &rows.values);
            bytes.extend_from_slice(&self.stored_as.bytes(&rows.values));
        }
        losses.verdict(self.stored_as, name)?;
        Ok(Array {
            dtype: self.stored_as.dtype(),
            shape,
            bytes: bytes.into(),
        })
    }

    fn array<'v>(&self, name: &str, shape: Vec<usize>, values: &'v [f32]) -> Result<Array<'v>, CheckpointError> {
        self.stored_as.check(name, values)?;
        Ok(Array {
            dtype: self.stored_as.dtype(),
            shape,
            bytes: self.stored_as.bytes(values),
        })
    }

    /// The arrays of a layer by their Hugging Face names.
    fn arrays_of<'v>(&self, layer: usize, weights: &'v LayerWeights, packed: &'v PackedLayer) -> Result<Arrays<'v>, CheckpointError> {
        let mut arrays = Arrays::new();
        let mut add = |name: String, shape: Vec<usize>, values: &'v [f32]| -> Result<(), CheckpointError> {
            let array = self.array(&name, shape, values)?;
            arrays.insert(name, array);
            Ok(())
        };
        let config = self.source.config();
        let names = &config.block.norms;
        let [query_norm, key_norm] = config.query_key_norms().map_or([None; 2], |names| names.map(Some));
        let own = |name: Option<&'static str>| name.filter(|_| !names.unweighted);
        let norms = [
            (own(names.before_attention), Some(&weights.attention_norm)),
            (own(names.before_feed_forward), Some(&weights.feed_forward_norm)),
            (own(names.after_attention), weights.after_attention_norm.as_ref()),
            (own(names.after_feed_forward), weights.after_feed_forward_norm.as_ref()),
            (query_norm, weights.query_norm.as_ref()),
            (key_norm, weights.key_norm.as_ref()),
        ];
        for (name, values) in norms {
            if let (Some(name), Some(values)) = (name, values) {
                add(layer_tensor(layer, name), vec![values.len()], values)?;
            }
        }
        let [attention_bias, feed_forward_bias] = config.norm_biases();
        let vectors = [
            (Some(attention_bias), weights.norm_biases.as_ref().map(|biases| &biases[0])),
            (Some(feed_forward_bias), weights.norm_biases.as_ref().map(|biases| &biases[1])),
            (Some(QUERY_LATENT_NORM), weights.query_latent_norm.as_ref()),
            (Some(KEY_VALUE_LATENT_NORM), weights.key_value_latent_norm.as_ref()),
            (config.block.sinks.then_some(SINKS), weights.sinks.as_ref()),
            (config.experts(layer).and_then(|experts| experts.choice_bias), weights.choice_bias.as_ref()),
        ];
        if let (Some(rule), Some(delta)) = (config.delta(layer), &weights.delta) {
            let shape = vec![rule.channels(), 1, rule.kernel];
            add(layer_tensor(layer, DELTA_CONVOLUTION), shape, &delta.convolution)?;
            for (name, values) in [(DELTA_SHIFT, &delta.shift), (DELTA_DECAY, &delta.decay), (DELTA_NORM, &delta.norm)] {
                add(layer_tensor(layer, name), vec![values.len()], values)?;
            }
        }
        for (name, values) in vectors {
            if let (Some(name), Some(values)) = (name, values) {
                add(layer_tensor(layer, name), vector_shape(name, values.len()), values)?;
            }
        }
        let modules = config.modules(layer);
        for (index, (module, projection)) in modules.iter().zip(&weights.projections).enumerate() {
            let name = layer_tensor(layer, &module.name);
            if let Some(bias) = &projection.bias {
                add(format!("{name}.bias"), vec![bias.len()], bias)?;
            }
            if packed.get(index).is_none_or(Option::is_none) && projection.weight.rows > 0 {
                let shape = vec![projection.weight.rows, projection.weight.columns];
                add(format!("{name}.weight"), shape, &projection.weight.values)?;
            }
        }
        self.as_its_family_stores(layer, &mut arrays)?;
        let mut apart: Vec<usize> = (0..modules.len()).collect();
        for fused in fused::matrices(config) {
            let parts: Vec<&PackedWeight> = fused.parts.iter().filter_map(|part| packed.get(*part)?.as_ref()).collect();
            if parts.is_empty() {
                continue;
            }
            let stem = layer_tensor(layer, fused.name.trim_end_matches(".weight"));
            let refused = |reason: String| CheckpointError::Unsupported {
                file: self.source.path().to_path_buf(),
                reason: format!("{stem} cannot be packed: {reason}"),
            };
            if parts.len() != fused.parts.len() {
                return Err(refused("some of the matrices that it holds are codes, and others are not".to_string()));
            }
            let whole = PackedWeight::joined(&parts).map_err(|error| refused(error.to_string()))?;
            arrays.extend(packed_arrays(&stem, &whole).into_iter().map(|(name, array)| (name, array.into_owned())));
            apart.retain(|index| !fused.parts.contains(index));
        }
        for index in apart {
            if let Some(packed) = packed.get(index).and_then(Option::as_ref) {
                arrays.extend(packed_arrays(&layer_tensor(layer, &modules[index].name), packed));
            }
        }
        Ok(arrays)
    }

    /// Puts a layer's arrays into the form of its family's files: a bias wherever its class has one, even if the model has none there,
    /// and as one array what is one there.
    fn as_its_family_stores(&self, layer: usize, arrays: &mut Arrays<'_>) -> Result<(), CheckpointError> {
        let config = self.source.config();
        for (index, module) in config.modules(layer).into_iter().enumerate() {
            let name = format!("{}.bias", layer_tensor(layer, &module.name));
            if matches!(module.role, ModuleRole::Attention(_)) && configuration::has_bias(config, index) && !arrays.contains_key(&name) {
                let zeros = self.array(&name, vec![module.rows], &vec![0.0; module.rows])?.into_owned();
                arrays.insert(name, zeros);
            }
        }
        for fused in fused::matrices(config) {
            if let Some(whole) = fused_whole(arrays, layer, fused.parts) {
                arrays.insert(layer_tensor(layer, fused.name), whole);
            }
        }
        join_experts(config, layer, arrays);
        Ok(())
    }

    fn write_arrays(&self, file: &str, arrays: &Arrays<'_>) -> Result<(), CheckpointError> {
        self.partial.write_with(file, |path| arrays_file::write(path, arrays))
    }
}

/// Takes the weights of some projections out of a layer's arrays, and gives them one below the other; nothing where one is not there.
fn fused_whole<'v>(arrays: &mut Arrays<'v>, layer: usize, parts: &[usize]) -> Option<Array<'v>> {
    let names: Vec<String> = parts
        .iter()
        .map(|part| layer_tensor(layer, &format!("{}.weight", PROJECTIONS[*part])))
        .collect();
    if !names.iter().all(|name| arrays.contains_key(name)) {
        return None;
    }
    let mut parts = names.iter().filter_map(|name| arrays.remove(name));
    let mut whole = parts.next()?;
    for part in parts {
        whole.shape[0] += part.shape[0];
        whole.bytes.to_mut().extend_from_slice(&part.bytes);
    }
    Some(whole)
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
