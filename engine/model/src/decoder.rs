//! A checkpoint's layers brought to a device: all kept there, or one at a time.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;

use cruxscope_checkpoint::{BlockDescription, Checkpoint, CheckpointError, DeltaWeights, InputRounding, LayerKind, LayerWeights, Matrix, ModelConfig};

use crate::ModelError;
use crate::kernels::{Heads, Kernels};
use crate::module::ModuleInput;
use crate::rotation::{Ropes, Rotation};

/// Rows of the vocabulary head that are brought to the device as one matrix, so that no single array grows past what
/// devices allow (128,256 rows of 4,096 would be 2.1 GB).
const HEAD_PART: usize = 16_384;

/// Whether weights stay on the device once they have been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residence {
    /// Every layer is read once and kept.
    Resident,
    /// A layer is dropped once it is used, and the next one read and converted meanwhile; the head is read when it is needed.
    Streamed,
}

/// What it takes to run a layer beside its weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerShape {
    /// The heads of its attention.
    pub heads: Heads,
    /// Width of the hidden states.
    pub hidden: usize,
    /// Width inside of a dense feed-forward block.
    pub intermediate: usize,
    /// ε of the norms.
    pub norm_epsilon: f64,
    /// What is computed beside the linear maps.
    pub block: BlockDescription,
}

/// The weights of one decoder layer on the device. Norms hold the factors themselves, however the file stores them.
pub struct Layer<K: Kernels> {
    /// Norms around the blocks, and of queries and keys.
    pub norms: LayerNorms<K>,
    /// What it has of its own beside weights.
    pub kind: LayerKind,
    /// What else belongs to no linear map.
    pub beside: LayerVectors<K>,
    /// Its linear maps, each `[out, in]`, in the order of [`ModelConfig::modules`]: q, k, v, o, gate, up, down where there are no experts.
    pub weights: Vec<K::Matrix>,
    /// Their biases, `[1, out]`.
    pub biases: Vec<Option<K::Matrix>>,
    /// How what they read is rounded, where that is simulated.
    pub inputs: Vec<Option<InputRounding>>,
}

/// Vectors of a layer that are neither norms nor biases.
pub struct LayerVectors<K: Kernels> {
    /// Scores of heads that belong to no token, `[1, heads]`.
    pub sinks: Option<K::Matrix>,
    /// What is added to a router's scores before experts are chosen, `[experts]`; on the host.
    pub choice_bias: Option<Vec<f32>>,
    /// What a delta rule has beside its linear maps; on the host.
    pub delta: Option<DeltaWeights>,
}

impl<K: Kernels> LayerVectors<K> {
    /// Takes a layer's vectors to the device.
    pub fn take(kernels: &K, weights: &mut LayerWeights) -> Self {
        Self {
            sinks: weights.sinks.take().map(|values| kernels.upload(1, values.len(), values)),
            choice_bias: weights.choice_bias.take(),
            delta: weights.delta.take(),
        }
    }
}

/// Weights of the norms of one layer on the device, each where the model has one.
pub struct LayerNorms<K: Kernels> {
    /// Before attention, `[1, hidden]`.
    pub before_attention: Option<K::Matrix>,
    /// Of what attention gives.
    pub after_attention: Option<K::Matrix>,
    /// Before the feed-forward block.
    pub before_feed_forward: Option<K::Matrix>,
    /// Of what the feed-forward block gives.
    pub after_feed_forward: Option<K::Matrix>,
    /// Of queries: of each head, `[1, head_dim]`, or of all, `[1, heads * head_dim]`.
    pub query: Option<K::Matrix>,
    /// Likewise of keys.
    pub key: Option<K::Matrix>,
    /// Of the vector that queries come out of, `[1, rank]`, where attention is latent.
    pub query_latent: Option<K::Matrix>,
    /// Of that of keys and values.
    pub key_value_latent: Option<K::Matrix>,
}

impl<K: Kernels> LayerNorms<K> {
    /// Takes a layer's norms to the device.
    pub fn take(kernels: &K, block: &BlockDescription, weights: &mut LayerWeights) -> Self {
        let with_bias = |values: Option<Vec<f32>>, bias: Option<Vec<f32>>| {
            let values = values.filter(|values| !values.is_empty());
            values.map(|values| norm_weight(kernels, block, values, bias))
        };
        let row = |values: Option<Vec<f32>>| with_bias(values, None);
        let [attention_bias, feed_forward_bias] = weights.norm_biases.take().map_or([None, None], |biases| biases.map(Some));
        Self {
            before_attention: with_bias(Some(std::mem::take(&mut weights.attention_norm)), attention_bias),
            after_attention: row(weights.after_attention_norm.take()),
            before_feed_forward: with_bias(Some(std::mem::take(&mut weights.feed_forward_norm)), feed_forward_bias),
            after_feed_forward: row(weights.after_feed_forward_norm.take()),
            query: row(weights.query_norm.take()),
            key: row(weights.key_norm.take()),
            query_latent: row(weights.query_latent_norm.take()),
            key_value_latent: row(weights.key_value_latent_norm.take()),
        }
    }
}

/// A norm's factors on the device, `[1, n]`, and below them its bias where it has one; where factors are stored less one, the sum is
/// taken in the device's own arithmetic.
fn norm_weight<K: Kernels>(kernels: &K, block: &BlockDescription, values: Vec<f32>, bias: Option<Vec<f32>>) -> K::Matrix {
    let count = values.len();
    let weight = kernels.upload(1, count, values);
    let weight = if block.norms.less_one {
        kernels.add(weight, &kernels.upload(1, count, vec![1.0; count]))
    } else {
        weight
    };
    match bias {
        Some(bias) => kernels.stack(vec![weight, kernels.upload(1, count, bias)]),
        None => weight,
    }
}

impl<K: Kernels> Layer<K> {
    /// Brings weights to the device.
    pub fn new(kernels: &K, block: &BlockDescription, mut weights: LayerWeights) -> Self {
        let norms = LayerNorms::take(kernels, block, &mut weights);
        let beside = LayerVectors::take(kernels, &mut weights);
        let (mut matrices, mut biases, mut inputs) = (Vec::new(), Vec::new(), Vec::new());
        for projection in weights.projections {
            biases.push(projection.bias.map(|values| kernels.upload(1, values.len(), values)));
            inputs.push(projection.inputs);
            // A map that is not there, such as the gate of a block without one, has its place all the same.
            let Matrix { rows, columns, values } = match projection.weight.rows {
                0 => Matrix {
                    rows: 1,
                    columns: 1,
                    values: vec![0.0],
                },
                _ => projection.weight,
            };
            matrices.push(kernels.keep(rows, columns, values));
        }
        Self {
            norms,
            kind: weights.kind,
            beside,
            weights: matrices,
            biases,
            inputs,
        }
    }
}

/// A model whose layers can be run on a device.
pub struct Decoder<K: Kernels> {
    checkpoint: Arc<Checkpoint>,
    kernels: K,
    residence: Residence,
    layers: Mutex<Vec<Option<Arc<Layer<K>>>>>,
    head: Mutex<Head<K>>,
    final_norm: K::Matrix,
    stream: Mutex<Stream<K>>,
}

/// The vocabulary head in parts of rows.
struct Head<K: Kernels> {
    /// Kept where weights stay on the device.
    kept: Option<Arc<Vec<K::Matrix>>>,
    /// In use somewhere: as long as one holds it, others get the same.
    lent: Weak<Vec<K::Matrix>>,
}

/// Layers on their way from the disk.
struct Stream<K: Kernels> {
    /// The layer that was asked for last, and whether the model was gone through from below then.
    before: Option<(usize, bool)>,
    /// The layer that is likely to be asked for next, and the thread that reads it.
    coming: Option<(usize, JoinHandle<Result<LayerWeights, CheckpointError>>)>,
    /// The last layer, at which a pass turns back: it is asked for twice running.
    turning: Option<Arc<Layer<K>>>,
}

impl<K: Kernels> Decoder<K> {
    /// Puts a checkpoint on a device. Layers are read when they are first needed.
    ///
    /// # Errors
    /// When the final norm cannot be read.
    pub fn new(checkpoint: Arc<Checkpoint>, kernels: K, residence: Residence) -> Result<Self, ModelError> {
        let norm = checkpoint.final_norm()?;
        let final_norm = norm_weight(&kernels, &checkpoint.config().block, norm, checkpoint.final_norm_bias()?);
        let layers = Mutex::new((0..checkpoint.config().layers).map(|_| None).collect());
        Ok(Self {
            checkpoint,
            kernels,
            residence,
            layers,
            head: Mutex::new(Head { kept: None, lent: Weak::new() }),
            final_norm,
            stream: Mutex::new(Stream {
                before: None,
                coming: None,
                turning: None,
            }),
        })
    }

    /// The model's configuration.
    pub fn config(&self) -> &ModelConfig {
        self.checkpoint.config()
    }

    /// The kernels of its device.
    pub fn kernels(&self) -> &K {
        &self.kernels
    }

    /// The shape of its attention, windows of single layers not counted.
    pub fn heads(&self) -> Heads {
        let config = self.config();
        Heads {
            scale: config.block.attention_scale,
            cap: config.block.attention_cap,
            ..Heads::plain(config.heads, config.key_value_heads, config.head_dim)
        }
    }

    /// What it takes to run one of its layers beside the weights.
    pub fn shape(&self) -> LayerShape {
        let config = self.config();
        LayerShape {
            heads: self.heads(),
            hidden: config.hidden,
            intermediate: config.intermediate,
            norm_epsilon: config.norm_epsilon,
            block: config.block,
        }
    }

    /// Features of an input of linear modules of a layer of this kind.
    pub fn width(&self, kind: LayerKind, input: ModuleInput) -> usize {
        let (experts, latent) = (self.config().block.experts, self.config().block.latent);
        match (input, experts) {
            // What a delta rule gives is as wide as its values, and not as the heads of attention.
            (ModuleInput::Output, _) if kind.delta => self.config().block.delta.map_or(0, |rule| rule.values()),
            (ModuleInput::QueryLatent, _) => latent.and_then(|latent| latent.query_rank).unwrap_or(0),
            (ModuleInput::KeyValueLatent, _) => latent.map_or(0, |latent| latent.key_value_rank),
            (ModuleInput::Output, _) if latent.is_some() => latent.map_or(0, |latent| self.config().heads * latent.value),
            (ModuleInput::Place(_), _) => self.config().hidden,
            (ModuleInput::PlaceDown(place), Some(experts)) => match experts.shared {
                Some(shared) if experts.shared_place() == Some(place) => shared.width,
                _ => experts.width,
            },
            _ => self.config().dimensions(input.reader()).1,
        }
    }

    /// The weight of the norm before the head, `[1, hidden]`.
    pub fn final_norm(&self) -> &K::Matrix {
        &self.final_norm
    }

    /// A layer's weights on the device.
    ///
    /// # Errors
    /// When the checkpoint cannot be read.
    pub fn layer(&self, layer: usize) -> Result<Arc<Layer<K>>, ModelError> {
        if self.residence == Residence::Streamed {
            return self.streamed(layer);
        }
        let mut kept = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Some(layer)) = kept.get(layer) {
            return Ok(layer.clone());
        }
        let brought = Arc::new(self.bring(read(&self.checkpoint, layer)?));
        if let Some(place) = kept.get_mut(layer) {
            *place = Some(brought.clone());
        }
        Ok(brought)
    }

    /// A layer that is not kept. The one after it, in the direction the model is gone through, is read by another thread.
    fn streamed(&self, layer: usize) -> Result<Arc<Layer<K>>, ModelError> {
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let last = layer + 1 == self.config().layers;
        let turning = stream.turning.take().filter(|_| last);
        let rising = turning.is_none()
            && match stream.before {
                Some((before, rising)) if before == layer => rising,
                Some((before, _)) => layer > before || layer == 0,
                None => true,
            };
        let coming = stream.coming.take();
        let brought = match turning {
            Some(turning) => turning,
            None => {
                // What a reader that broke off was to read is read here instead.
                let ready = coming.filter(|(index, _)| *index == layer).and_then(|(_, reader)| reader.join().ok());
                Arc::new(self.bring(match ready {
                    Some(weights) => weights?,
                    None => read(&self.checkpoint, layer)?,
                }))
            }
        };
        let next = if rising { Some(layer + 1).filter(|_| !last) } else { layer.checked_sub(1) };
        stream.coming = next.and_then(|next| self.read_ahead(next));
        if last && rising {
            stream.turning = Some(brought.clone());
        }
        stream.before = Some((layer, rising));
        Ok(brought)
    }

    /// Begins to read a layer; nothing where no thread can be had.
    fn read_ahead(&self, layer: usize) -> Option<(usize, JoinHandle<Result<LayerWeights, CheckpointError>>)> {
        let checkpoint = self.checkpoint.clone();
        let read = move || {
            checkpoint.expect(layer);
            read(&checkpoint, layer)
        };
        let reader = std::thread::Builder::new().name(format!("reads layer {layer}")).spawn(read).ok()?;
        Some((layer, reader))
    }

    /// The vocabulary head in parts of rows, each `[part, hidden]`. Streamed, it is read again once nobody holds it.
    ///
    /// # Errors
    /// When the checkpoint cannot be read.
    pub fn head(&self) -> Result<Arc<Vec<K::Matrix>>, ModelError> {
        let mut place = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(head) = place.lent.upgrade() {
            return Ok(head);
        }
        let vocabulary = self.config().vocabulary;
        let mut parts = Vec::new();
        for first in (0..vocabulary).step_by(HEAD_PART) {
            parts.push(self.keep(self.checkpoint.head_rows(first..vocabulary.min(first + HEAD_PART))?));
            self.checkpoint.release();
        }
        let head = Arc::new(parts);
        place.lent = Arc::downgrade(&head);
        if self.residence == Residence::Resident {
            place.kept = Some(head.clone());
        }
        Ok(head)
    }

    /// The embeddings of some tokens, `[ids, hidden]`.
    ///
    /// # Errors
    /// When a token is beyond the vocabulary, or the checkpoint cannot be read.
    pub fn embed(&self, ids: &[u32]) -> Result<K::Matrix, ModelError> {
        let vocabulary = self.config().vocabulary;
        if let Some((position, token)) = ids.iter().enumerate().find(|(_, id)| **id as usize >= vocabulary) {
            return Err(ModelError::Token {
                token: *token,
                position,
                vocabulary,
            });
        }
        let embedded = self.upload(self.checkpoint.embedding_rows(ids)?);
        Ok(match self.config().ends.embedding_factor {
            1.0 => embedded,
            factor => self.kernels.scaled(embedded, factor),
        })
    }

    /// Rotary tables for some positions of a text that ends with the last of them.
    pub fn rotation(&self, positions: &[usize]) -> Rotation<K> {
        let tokens = positions.iter().max().map_or(0, |last| last + 1);
        self.rotation_within(positions.iter().map(|position| (*position, tokens)))
    }

    /// Rotary tables for some places: positions, each with the number of tokens of its text.
    pub fn rotation_within(&self, places: impl Iterator<Item = (usize, usize)> + Clone) -> Rotation<K> {
        Rotation::new(&self.kernels, &Ropes::of(self.config()), places)
    }

    fn upload(&self, matrix: Matrix) -> K::Matrix {
        self.kernels.upload(matrix.rows, matrix.columns, matrix.values)
    }

    fn keep(&self, matrix: Matrix) -> K::Matrix {
        self.kernels.keep(matrix.rows, matrix.columns, matrix.values)
    }

    /// Brings given weights to the device as a layer, in the place of the checkpoint's own.
    pub fn bring(&self, weights: LayerWeights) -> Layer<K> {
        Layer::new(&self.kernels, &self.config().block, weights)
    }
}

/// A layer out of the checkpoint, in float32; the pages of the file need not be held as well.
fn read(checkpoint: &Checkpoint, layer: usize) -> Result<LayerWeights, CheckpointError> {
    let weights = checkpoint.layer(layer);
    checkpoint.release();
    weights
}
