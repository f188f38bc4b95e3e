//! A model back to disk, as a Hugging Face folder: one file a layer, written as layers come.
//!
//! Everything goes into a folder beside the target and becomes the target by one rename at the end, so a reader never sees
//! half a model. Beside each finished layer stands a note; a run that was stopped finds the layers that are done and keeps them.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::{Value, json};

use crate::checkpoint::layer_of;
use crate::config::{ATTENTION_NORM, Architecture, EMBEDDING, FEED_FORWARD_NORM, FINAL_NORM, HEAD, KEY_NORM, ModelConfig, QUERY_NORM, layer_tensor};
use crate::packed::{PackedWeight, Scheme};
use crate::rope::RopeScaling;
use crate::store::{Store, StoreFile};
use crate::{Checkpoint, CheckpointError, LayerWeights, PROJECTIONS, folder};

/// Rows of the embedding that are converted at a time.
const ROWS: usize = 8192;

/// How numbers are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoredAs {
    /// 32 bits.
    #[default]
    Float32,
    /// 16 bits, half precision.
    Float16,
    /// 16 bits, with float32's range.
    BFloat16,
}

impl StoredAs {
    /// The name in `config.json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::BFloat16 => "bfloat16",
        }
    }

    fn dtype(self) -> Dtype {
        match self {
            Self::Float32 => Dtype::F32,
            Self::Float16 => Dtype::F16,
            Self::BFloat16 => Dtype::BF16,
        }
    }

    fn bytes(self, values: &[f32]) -> Vec<u8> {
        // Filled in place: collecting byte by byte is many times slower.
        let fill = |bytes: &mut [u8], put: fn(f32) -> [u8; 2]| {
            bytes
                .as_chunks_mut::<2>()
                .0
                .iter_mut()
                .zip(values)
                .for_each(|(bytes, value)| *bytes = put(*value));
        };
        match self {
            Self::Float32 => {
                let mut bytes = vec![0; 4 * values.len()];
                let places = bytes.as_chunks_mut::<4>().0.iter_mut();
                places.zip(values).for_each(|(bytes, value)| *bytes = value.to_le_bytes());
                bytes
            }
            Self::Float16 => {
                let mut bytes = vec![0; 2 * values.len()];
                fill(&mut bytes, |value| f16::from_f32(value).to_le_bytes());
                bytes
            }
            Self::BFloat16 => {
                let mut bytes = vec![0; 2 * values.len()];
                fill(&mut bytes, |value| bf16::from_f32(value).to_le_bytes());
                bytes
            }
        }
    }
}

/// Writes a model as a folder, layer by layer.
pub struct FolderWriter<'a> {
    source: &'a Checkpoint,
    target: PathBuf,
    partial: PathBuf,
    stored_as: StoredAs,
    packed: Option<Scheme>,
}

/// A layer's packed weights, in the place of its projections' own.
pub type PackedLayer = [Option<PackedWeight>; 7];

impl<'a> FolderWriter<'a> {
    /// Begins, or goes on with, a copy of `source` at `target`, which must not exist yet. Some of its weights may be packed.
    ///
    /// # Errors
    /// When the target exists, or the disk refuses.
    pub fn begin(source: &'a Checkpoint, target: &Path, stored_as: StoredAs, packed: Option<Scheme>) -> Result<Self, CheckpointError> {
        if target.exists() {
            return Err(CheckpointError::Occupied { path: target.to_owned() });
        }
        if matches!(source.config().rope.scaling, RopeScaling::Divided { .. }) && !source.path().is_dir() {
            let reason = "its rotary frequencies are divided one by one, which a Hugging Face configuration cannot say; start from the model's folder".into();
            return Err(CheckpointError::Unsupported {
                file: source.path().to_owned(),
                reason,
            });
        }
        let name = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let partial = target.with_file_name(format!(".{name}.partial"));
        fs::create_dir_all(&partial).map_err(io(&partial))?;
        Ok(Self {
            source,
            target: target.to_owned(),
            partial,
            stored_as,
            packed,
        })
    }

    /// What was noted under a name, such as beside a layer when it was finished.
    pub fn note(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.partial.join(format!("{name}.note"))).ok()
    }

    /// Notes something that a run which goes on will want to know. Notes are not part of the finished folder.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write_note(&self, name: &str, bytes: &[u8]) -> Result<(), CheckpointError> {
        self.write(&format!("{name}.note"), bytes)
    }

    /// What was noted beside a layer when it was finished; none if it is not.
    pub fn layer_note(&self, layer: usize) -> Option<Vec<u8>> {
        self.note(&layer_name(layer))
    }

    /// The weights of a finished layer, as they will be read from the written model.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn finished_layer(&self, layer: usize) -> Result<LayerWeights, CheckpointError> {
        let mut store = Store::empty(&self.partial, self.packed);
        folder::add_file(&mut store, &self.partial.join(layer_file(layer)))?;
        layer_of(&store, self.source.config(), layer)
    }

    /// Writes a layer, whole or not at all, with a note of the caller's, such as from what it was made.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write_layer(&self, layer: usize, weights: &LayerWeights, packed: &PackedLayer, note: &[u8]) -> Result<(), CheckpointError> {
        // The note comes last: where it is, the layer is whole.
        self.write_arrays(&layer_file(layer), &self.arrays_of(layer, weights, packed))?;
        self.write_note(&layer_name(layer), note)
    }

    /// Writes what stands outside the layers, the configuration, the tokenizer and `extra` files, and makes the folder the
    /// target. `quantization` is what the configuration says of packed weights.
    ///
    /// # Errors
    /// When a layer is missing, or the disk refuses.
    pub fn finish(self, extra: &[(&str, Vec<u8>)], quantization: Option<&Value>) -> Result<(), CheckpointError> {
        let config = self.source.config();
        // One file each: what stands outside the layers is many times larger than a layer of a small model.
        let mut files: Vec<String> = (0..config.layers).map(layer_file).collect();
        let embedding = self.table(config, |rows| self.source.embedding_rows(&rows.map(|row| row as u32).collect::<Vec<_>>()))?;
        self.write_arrays(EMBEDDING_FILE, &Arrays::from([(EMBEDDING.to_owned(), embedding)]))?;
        files.push(EMBEDDING_FILE.to_owned());
        if !config.tied_head {
            let head = self.table(config, |rows| self.source.head_rows(rows))?;
            self.write_arrays(HEAD_FILE, &Arrays::from([(HEAD.to_owned(), head)]))?;
            files.push(HEAD_FILE.to_owned());
        }
        let norm = self.source.final_norm()?;
        self.write_arrays(NORM_FILE, &Arrays::from([(FINAL_NORM.to_owned(), self.array(vec![norm.len()], &norm))]))?;
        files.push(NORM_FILE.to_owned());

        let mut index = serde_json::Map::new();
        let mut total = 0u64;
        for file in files {
            let path = self.partial.join(&file);
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
        let index = json!({"metadata": {"total_size": total}, "weight_map": index});
        self.write("model.safetensors.index.json", index.to_string().as_bytes())?;
        self.write("config.json", &self.configuration(quantization)?)?;
        self.copy_tokenizer()?;
        for (name, bytes) in extra {
            self.write(name, bytes)?;
        }
        for entry in fs::read_dir(&self.partial).map_err(io(&self.partial))? {
            let path = entry.map_err(io(&self.partial))?.path();
            if path.extension().is_some_and(|extension| extension == "note" || extension == "tmp") {
                fs::remove_file(&path).map_err(io(&path))?;
            }
        }
        fs::rename(&self.partial, &self.target).map_err(io(&self.target))
    }

    fn table(
        &self,
        config: &ModelConfig,
        rows_of: impl Fn(std::ops::Range<usize>) -> Result<crate::Matrix, CheckpointError>,
    ) -> Result<Array, CheckpointError> {
        let mut bytes = Vec::new();
        for first in (0..config.vocabulary).step_by(ROWS) {
            bytes.extend(self.stored_as.bytes(&rows_of(first..config.vocabulary.min(first + ROWS))?.values));
        }
        Ok(Array {
            dtype: self.stored_as.dtype(),
            shape: vec![config.vocabulary, config.hidden],
            bytes,
        })
    }

    fn array(&self, shape: Vec<usize>, values: &[f32]) -> Array {
        Array {
            dtype: self.stored_as.dtype(),
            shape,
            bytes: self.stored_as.bytes(values),
        }
    }

    /// The arrays of a layer by their Hugging Face names.
    fn arrays_of(&self, layer: usize, weights: &LayerWeights, packed: &PackedLayer) -> Arrays {
        let mut arrays = Arrays::new();
        let norms = [
            (ATTENTION_NORM, Some(&weights.attention_norm)),
            (FEED_FORWARD_NORM, Some(&weights.feed_forward_norm)),
            (QUERY_NORM, weights.query_norm.as_ref()),
            (KEY_NORM, weights.key_norm.as_ref()),
        ];
        for (name, values) in norms {
            if let Some(values) = values {
                arrays.insert(layer_tensor(layer, name), self.array(vec![values.len()], values));
            }
        }
        for ((name, projection), packed) in PROJECTIONS.iter().zip(&weights.projections).zip(packed) {
            match packed {
                Some(packed) => arrays.extend(packed_arrays(&layer_tensor(layer, name), packed)),
                None => {
                    let shape = vec![projection.weight.rows, projection.weight.columns];
                    arrays.insert(layer_tensor(layer, &format!("{name}.weight")), self.array(shape, &projection.weight.values));
                }
            }
            if let Some(bias) = &projection.bias {
                arrays.insert(layer_tensor(layer, &format!("{name}.bias")), self.array(vec![bias.len()], bias));
            }
        }
        arrays
    }

    fn write_arrays(&self, file: &str, arrays: &Arrays) -> Result<(), CheckpointError> {
        let path = self.partial.join(file);
        let refused = |error: safetensors::SafeTensorError| CheckpointError::Damaged {
            file: path.clone(),
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
        let temporary = self.partial.join(format!(".{file}.tmp"));
        safetensors::serialize_to_file(views, Some(metadata), &temporary).map_err(|error| match error {
            safetensors::SafeTensorError::IoError(source) => io(&path)(source),
            other => refused(other),
        })?;
        File::open(&temporary).and_then(|file| file.sync_all()).map_err(io(&path))?;
        fs::rename(&temporary, &path).map_err(io(&path))
    }

    /// A file under a temporary name, synced and renamed.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), CheckpointError> {
        let (path, temporary) = (self.partial.join(name), self.partial.join(format!(".{name}.tmp")));
        let mut file = File::create(&temporary).map_err(io(&temporary))?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io(&path))?;
        fs::rename(&temporary, &path).map_err(io(&path))
    }

    /// `config.json`: the source's own with the number format changed, or one made from a GGUF file's configuration.
    fn configuration(&self, quantization: Option<&Value>) -> Result<Vec<u8>, CheckpointError> {
        let own = self.source.path().join("config.json");
        let mut config = if own.is_file() {
            let text = fs::read(&own).map_err(io(&own))?;
            serde_json::from_slice(&text).map_err(|error| CheckpointError::Configuration {
                file: own.clone(),
                reason: error.to_string(),
            })?
        } else {
            made_configuration(self.source.config())
        };
        config["torch_dtype"] = self.stored_as.name().into();
        config["tie_word_embeddings"] = self.source.config().tied_head.into();
        if let (Some(fields), None) = (config.as_object_mut(), quantization) {
            // The source may have been packed itself; what is written is not.
            fields.remove("quantization_config");
        }
        if let Some(quantization) = quantization {
            config["quantization_config"] = quantization.clone();
        }
        Ok(format!("{config:#}\n").into_bytes())
    }

    fn copy_tokenizer(&self) -> Result<(), CheckpointError> {
        let folder = self.source.path();
        for name in [
            "tokenizer.json",
            "tokenizer_config.json",
            "special_tokens_map.json",
            "generation_config.json",
            "vocab.json",
            "merges.txt",
            "chat_template.jinja",
        ] {
            let path = folder.join(name);
            if folder.is_dir() && path.is_file() {
                self.write(name, &fs::read(&path).map_err(io(&path))?)?;
            }
        }
        if !folder.is_dir() {
            self.write("tokenizer.json", self.source.tokenizer()?.to_json()?.as_bytes())?;
        }
        Ok(())
    }
}

const EMBEDDING_FILE: &str = "model-embedding.safetensors";
const HEAD_FILE: &str = "model-head.safetensors";
const NORM_FILE: &str = "model-norm.safetensors";

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

/// An array to write.
struct Array {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

type Arrays = BTreeMap<String, Array>;

/// The arrays of a packed weight.
fn packed_arrays(stem: &str, packed: &PackedWeight) -> Vec<(String, Array)> {
    let integers = |values: &[i32]| values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let array = |(part, shape): (&str, Vec<usize>)| {
        let (dtype, bytes) = match part {
            "qweight" => (Dtype::I32, integers(&packed.qweight)),
            "qzeros" => (Dtype::I32, integers(&packed.qzeros)),
            "g_idx" => (Dtype::I32, integers(&packed.group_index)),
            _ => (Dtype::F16, packed.scales.iter().flat_map(|value| value.to_le_bytes()).collect()),
        };
        (format!("{stem}.{part}"), Array { dtype, shape, bytes })
    };
    packed.shapes().into_iter().map(array).collect()
}

fn made_configuration(config: &ModelConfig) -> Value {
    let (kind, class) = match config.architecture {
        Architecture::Llama => ("llama", "LlamaForCausalLM"),
        Architecture::Qwen2 => ("qwen2", "Qwen2ForCausalLM"),
        Architecture::Qwen3 => ("qwen3", "Qwen3ForCausalLM"),
    };
    let scaling = match &config.rope.scaling {
        RopeScaling::Linear { factor } => json!({"rope_type": "linear", "factor": factor}),
        RopeScaling::Llama3 {
            factor,
            low_frequency_factor,
            high_frequency_factor,
            original_context,
        } => json!({
            "rope_type": "llama3", "factor": factor, "low_freq_factor": low_frequency_factor, "high_freq_factor": high_frequency_factor,
            "original_max_position_embeddings": original_context,
        }),
        RopeScaling::Yarn {
            factor,
            original_context,
            beta_fast,
            beta_slow,
            attention_factor,
            truncate,
        } => json!({
            "rope_type": "yarn", "factor": factor, "original_max_position_embeddings": original_context, "beta_fast": beta_fast,
            "beta_slow": beta_slow, "attention_factor": attention_factor, "truncate": truncate,
        }),
        _ => Value::Null,
    };
    json!({
        "architectures": [class], "model_type": kind, "hidden_act": "silu", "vocab_size": config.vocabulary, "hidden_size": config.hidden,
        "intermediate_size": config.intermediate, "num_hidden_layers": config.layers, "num_attention_heads": config.heads,
        "num_key_value_heads": config.key_value_heads, "head_dim": config.head_dim, "rms_norm_eps": config.norm_epsilon,
        "max_position_embeddings": config.context, "rope_theta": config.rope.theta, "rope_scaling": scaling, "attention_bias": config.output_bias,
    })
}
