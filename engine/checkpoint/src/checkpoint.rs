//! The model at rest: one door to its configuration, weights and tokenizer, whatever it is stored as.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::config::{
    DELTA_CONVOLUTION, DELTA_DECAY, DELTA_NORM, DELTA_SHIFT, EMBEDDING, FINAL_NORM, FINAL_NORM_BIAS, HEAD, KEY_VALUE_LATENT_NORM, ModelConfig,
    QUERY_LATENT_NORM, SINKS, layer_tensor,
};
use crate::description::QueryKeyNorm;
use crate::error::CheckpointError;
use crate::gguf::MetadataValues;
use crate::gguf_tokenizer::SpecialTokens;
use crate::input_rounding::InputScales;
use crate::packed::Packing;
use crate::store::Store;
use crate::tokenizer::TraceTokenizer;
use crate::weights::{DeltaWeights, LayerWeights, Matrix, Projection};
use crate::{accounting, folder, gguf, gguf_tokenizer, stop_tokens};

/// A model's files, opened. Weights stay on disk until asked for; asking twice reads twice.
pub struct Checkpoint {
    path: PathBuf,
    config: ModelConfig,
    store: Store,
    /// Only of a GGUF file.
    metadata: Option<MetadataValues>,
    notes: Vec<String>,
}

impl Checkpoint {
    /// Opens a folder with `config.json` and `*.safetensors`, or a GGUF file. Reads headers (and what tells how packed zeros are stored),
    /// and confirms by [`Checkpoint::check`] that the weights are those of the configuration, and no more than those.
    ///
    /// # Errors
    /// Whatever is wrong with the path, the configuration or the files' headers.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let kind = std::fs::metadata(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => CheckpointError::NotFound { path: path.to_path_buf() },
            _ => CheckpointError::Io {
                path: path.to_path_buf(),
                source,
            },
        })?;
        let (config, store, metadata, notes) = if kind.is_dir() {
            let (config, store, notes) = folder::open(path)?;
            (config, store, None, notes)
        } else if path.extension().is_some_and(|extension| extension == "safetensors" || extension == "json") {
            let reason = "it is one file of a folder; give the folder".to_string();
            return Err(CheckpointError::NotAModel {
                path: path.to_path_buf(),
                reason,
            });
        } else {
            let (config, store, metadata, notes) = gguf::open(path)?;
            (config, store, Some(metadata), notes)
        };
        let mut checkpoint = Self {
            path: path.to_path_buf(),
            config,
            store,
            metadata,
            notes,
        };
        checkpoint.check()?;
        checkpoint.notes.extend(accounting::account(&checkpoint.config, &checkpoint.store)?);
        Ok(checkpoint)
    }

    /// What a person should know of how the model was read: a head of its own where a tied one was announced, tensors that nothing
    /// uses, an adapter that lies beside the weights. A sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Has what linear maps read rounded from now on, as the checkpoint asks for; tells whether it asks for any such thing. The maps say how
    /// ([`Projection::inputs`]).
    ///
    /// # Errors
    /// `Unsupported` where that is asked for and not simulated, naming the first map; `MissingTensor` or `Shape` for stored scales.
    pub fn simulate_activations(&mut self) -> Result<bool, CheckpointError> {
        let Some(asked) = self.store.packed.as_ref().map(Packing::asked) else {
            return Ok(false);
        };
        let mut any = false;
        for layer in 0..self.config.layers {
            for module in self.config.modules(layer).into_iter().filter(|module| module.rows > 0) {
                let name = layer_tensor(layer, &module.name);
                let Some(rounding) = self.store.input_rounding(&name)? else { continue };
                any = true;
                if let InputScales::Groups { columns, .. } = rounding.scales
                    && !module.columns.is_multiple_of(columns)
                {
                    return Err(self
                        .store
                        .refuse_rounding(&name, format!("groups of {columns} do not divide its {} inputs", module.columns)));
                }
            }
        }
        let head = if self.config.tied_head { EMBEDDING } else { HEAD };
        let head = head.trim_end_matches(".weight");
        if any && self.store.packed_module(HEAD).is_some() && self.store.input_rounding(head)?.is_some() {
            return Err(self.store.refuse_rounding(head, "the head's are not simulated".to_string()));
        }
        if any {
            let before = asked.note(false);
            self.notes.retain(|note| Some(note) != before.as_ref());
            self.notes.extend(asked.note(true));
            self.store.simulates = true;
        }
        Ok(any)
    }

    /// Whether what linear maps read is rounded; see [`Checkpoint::simulate_activations`].
    pub fn simulates_activations(&self) -> bool {
        self.store.simulates
    }

    /// Confirms that every tensor the configuration implies is there with its shape, in a type that can be read. Headers only.
    ///
    /// # Errors
    /// `MissingTensor`, `Shape`, `Unsupported` or `Damaged`, naming the first tensor at fault in the order of computing.
    pub fn check(&self) -> Result<(), CheckpointError> {
        self.config.tensors().try_for_each(|(name, shape)| self.store.check(&name, &shape))
    }

    /// Sizes and constants.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// A name for people: GGUF's `general.name`, the repository's name inside of a Hugging Face cache, else the file's or folder's.
    pub fn name(&self) -> String {
        let said = self
            .metadata
            .as_ref()
            .and_then(|values| values.get("general.name"))
            .and_then(|value| value.as_string());
        if let Some(name) = said.map(str::trim).filter(|name| !name.is_empty()) {
            return name.to_string();
        }
        let path = std::fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let cached = path
            .ancestors()
            .filter_map(Path::file_name)
            .find_map(|part| part.to_str()?.strip_prefix("models--"));
        if let (None, Some(repository)) = (&self.metadata, cached) {
            return repository.replacen("--", "/", 1);
        }
        let name = if self.metadata.is_some() { path.file_stem() } else { path.file_name() };
        name.unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Size of all weight files.
    pub fn bytes(&self) -> u64 {
        self.store.files.iter().map(|file| file.map.len() as u64).sum()
    }

    /// Weight files, and `config.json` and `tokenizer.json` where there are such, sorted.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files: BTreeSet<PathBuf> = self.store.files.iter().map(|file| file.path.clone()).collect();
        if self.metadata.is_none() {
            files.extend(
                ["config.json", "tokenizer.json"]
                    .map(|name| self.path.join(name))
                    .into_iter()
                    .filter(|file| file.is_file()),
            );
        }
        files.into_iter().collect()
    }

    /// How each tensor is stored, by Hugging Face's name: "BF16", "Q4_1"; a packed weight by its layout, "AWQ 4 bits".
    pub fn tensor_types(&self) -> BTreeMap<String, String> {
        self.store.types()
    }

    /// Bits that each linear map of a layer takes on disk, what belongs to its packing included, in the order of
    /// [`ModelConfig::modules`].
    pub fn projection_bits(&self, layer: usize) -> Vec<u64> {
        let modules = self.config.modules(layer).into_iter();
        modules.map(|module| self.store.stored_bits(&layer_tensor(layer, &module.name))).collect()
    }

    /// One layer's weights, converted to float32 now and not kept.
    ///
    /// # Errors
    /// `NoSuchLayer`; `NotFinite` if a weight is NaN or infinite; `Damaged` if a block cannot be decoded.
    pub fn layer(&self, layer: usize) -> Result<LayerWeights, CheckpointError> {
        if layer >= self.config.layers {
            return Err(CheckpointError::NoSuchLayer {
                layer,
                layers: self.config.layers,
            });
        }
        layer_of(&self.store, &self.config, layer)
    }

    /// The files and what lies where in them.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Says that a layer will be read soon; the system fetches it from the disk meanwhile. A layer that is not there is no matter.
    pub fn expect(&self, layer: usize) {
        let prefix = layer_tensor(layer, "");
        self.store.expect(|name| name.starts_with(&prefix));
    }

    /// Lets go of the memory that reading has filled so far, where a model is read once and layer by layer; nothing else changes.
    pub fn release(&self) {
        self.store.release();
    }

    /// Embeddings of these tokens, `[ids, hidden]`. Only their rows are read.
    ///
    /// # Errors
    /// `NoSuchToken` for a token beyond the vocabulary; `NotFinite`; `Damaged`.
    pub fn embedding_rows(&self, ids: &[u32]) -> Result<Matrix, CheckpointError> {
        let vocabulary = self.config.vocabulary;
        if let Some(beyond) = ids.iter().map(|id| *id as usize).find(|id| *id >= vocabulary) {
            return Err(CheckpointError::NoSuchToken { token: beyond, vocabulary });
        }
        let values = self
            .store
            .weight_rows(EMBEDDING, vocabulary, self.config.hidden, ids.len(), |index| ids[index] as usize)?;
        Ok(Matrix {
            rows: ids.len(),
            columns: self.config.hidden,
            values,
        })
    }

    /// These rows of the head (of the embedding, when tied), `[rows, hidden]`. Only they are read.
    ///
    /// # Errors
    /// `NoSuchToken` for a range that runs backwards or beyond the vocabulary; `NotFinite`; `Damaged`.
    pub fn head_rows(&self, rows: Range<usize>) -> Result<Matrix, CheckpointError> {
        let vocabulary = self.config.vocabulary;
        if rows.end > vocabulary || rows.start > rows.end {
            return Err(CheckpointError::NoSuchToken {
                token: rows.end.max(rows.start),
                vocabulary,
            });
        }
        let name = if self.config.tied_head { EMBEDDING } else { HEAD };
        let values = self
            .store
            .weight_rows(name, vocabulary, self.config.hidden, rows.len(), |index| rows.start + index)?;
        Ok(Matrix {
            rows: rows.len(),
            columns: self.config.hidden,
            values,
        })
    }

    /// Weight of the last norm, `[hidden]`, as the file holds it; ones where it has none.
    ///
    /// # Errors
    /// `NotFinite`.
    pub fn final_norm(&self) -> Result<Vec<f32>, CheckpointError> {
        if self.config.block.norms.unweighted {
            return Ok(vec![1.0; self.config.hidden]);
        }
        self.store.whole(FINAL_NORM)
    }

    /// Bias of the last norm, `[hidden]`, where the model has one.
    ///
    /// # Errors
    /// `NotFinite`.
    pub fn final_norm_bias(&self) -> Result<Option<Vec<f32>>, CheckpointError> {
        self.config.block.norms.biases.then(|| self.store.whole(FINAL_NORM_BIAS)).transpose()
    }

    /// The tokens that end a text: of a folder, those of `generation_config.json` or, where it names none, of `config.json`; of a
    /// GGUF file, those of its metadata. There may be none.
    ///
    /// # Errors
    /// When a file is there and cannot be read, or names something that is no token of the model.
    pub fn stop_tokens(&self) -> Result<BTreeSet<u32>, CheckpointError> {
        stop_tokens::of(&self.path, self.metadata.as_ref(), self.config.vocabulary)
    }

    /// The metadata of a GGUF file; nothing of a folder.
    pub(crate) fn gguf_values(&self) -> Option<&MetadataValues> {
        self.metadata.as_ref()
    }

    /// The special tokens and the chat template of a GGUF file; nothing of a folder, which has files that say them.
    ///
    /// # Errors
    /// As [`Checkpoint::tokenizer`].
    pub(crate) fn special_tokens(&self) -> Result<Option<SpecialTokens>, CheckpointError> {
        let Some(values) = &self.metadata else { return Ok(None) };
        if !values.contains_key("tokenizer.ggml.tokens") {
            return Ok(None);
        }
        let begins = self.tokenizer()?.beginning_of_sequence().is_some();
        gguf_tokenizer::special_tokens(&self.path, values, begins)
    }

    /// The tokenizer: `tokenizer.json` of a folder, or rebuilt from a GGUF file's metadata.
    ///
    /// # Errors
    /// `MissingTokenizer`, `Tokenizer`, or `TokenizerBeyondModel` if it has tokens the model has no embedding for.
    pub fn tokenizer(&self) -> Result<TraceTokenizer, CheckpointError> {
        match &self.metadata {
            Some(values) => gguf_tokenizer::build(&self.path, values, self.config.vocabulary),
            None => TraceTokenizer::from_folder(&self.path, self.config.vocabulary),
        }
    }
}

/// One layer's weights out of a store.
pub(crate) fn layer_of(store: &Store, config: &ModelConfig, layer: usize) -> Result<LayerWeights, CheckpointError> {
    let vector = |name: &str| store.whole(&layer_tensor(layer, name));
    let optional = |name: Option<&str>| name.map(vector).transpose();
    let norms = &config.block.norms;
    let norm = |name: Option<&str>| match name {
        Some(_) if norms.unweighted => Ok(Some(vec![1.0; config.hidden])),
        name => optional(name),
    };
    let attends = config.delta(layer).is_none();
    let [query_norm, key_norm] = config.query_key_norms().filter(|_| attends).map_or([None; 2], |names| names.map(Some));
    let projections = config.modules(layer).into_iter().map(|module| {
        let name = layer_tensor(layer, &module.name);
        let (rows, columns) = (module.rows, module.columns);
        let values = match rows {
            0 => Vec::new(),
            _ => store.weight(&format!("{name}.weight"), rows, columns)?,
        };
        let bias = module.bias.then(|| store.vector(&format!("{name}.bias"))).transpose()?;
        Ok(Projection {
            weight: Matrix { rows, columns, values },
            bias,
            inputs: if store.simulates { store.input_rounding(&name)? } else { None },
        })
    });
    let is_unweighted = config.block.query_key_norm == QueryKeyNorm::UnweightedAfterRotation && config.kind(layer).rotation.turns();
    let unweighted = || is_unweighted.then(|| vec![1.0; config.head_dim]);
    let choice_bias = config.experts(layer).and_then(|experts| experts.choice_bias);
    Ok(LayerWeights {
        attention_norm: norm(norms.before_attention)?.unwrap_or_default(),
        feed_forward_norm: norm(norms.before_feed_forward)?.unwrap_or_default(),
        after_attention_norm: norm(norms.after_attention)?,
        after_feed_forward_norm: norm(norms.after_feed_forward)?,
        norm_biases: match config.norm_biases() {
            [attention, feed_forward] if norms.biases => Some([vector(attention)?, vector(feed_forward)?]),
            _ => None,
        },
        query_norm: optional(query_norm)?.or_else(unweighted),
        key_norm: optional(key_norm)?.or_else(unweighted),
        query_latent_norm: optional(config.block.latent.and_then(|latent| latent.query_rank).map(|_| QUERY_LATENT_NORM))?,
        key_value_latent_norm: optional(config.block.latent.map(|_| KEY_VALUE_LATENT_NORM))?,
        delta: match config.delta(layer) {
            Some(_) => Some(DeltaWeights {
                convolution: vector(DELTA_CONVOLUTION)?,
                shift: vector(DELTA_SHIFT)?,
                decay: vector(DELTA_DECAY)?,
                norm: vector(DELTA_NORM)?,
            }),
            None => None,
        },
        sinks: optional(config.block.sinks.then_some(SINKS))?,
        choice_bias: optional(choice_bias)?,
        kind: config.kind(layer),
        projections: projections.collect::<Result<_, CheckpointError>>()?,
    })
}
