//! A checkpoint's layers brought to a device: all kept there, or one at a time.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;

use cruxscope_checkpoint::{Checkpoint, CheckpointError, LayerWeights, Matrix, ModelConfig, Rope};

use crate::ModelError;
use crate::kernels::{Heads, Kernels};
use crate::module::ModuleInput;

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
    /// ε of the RMS norms.
    pub norm_epsilon: f64,
}

/// The weights of one decoder layer on the device.
pub struct Layer<K: Kernels> {
    /// Weight of the norm before attention, `[1, hidden]`.
    pub attention_norm: K::Matrix,
    /// Weight of the norm before the feed-forward block, `[1, hidden]`.
    pub feed_forward_norm: K::Matrix,
    /// Weight of the norm of each query head, `[1, head_dim]`, where the architecture has one.
    pub query_norm: Option<K::Matrix>,
    /// Likewise for key heads.
    pub key_norm: Option<K::Matrix>,
    /// q, k, v, o, gate, up, down; each `[out, in]`.
    pub weights: [K::Matrix; 7],
    /// Their biases, `[1, out]`.
    pub biases: [Option<K::Matrix>; 7],
}

impl<K: Kernels> Layer<K> {
    /// Brings weights to the device.
    pub fn new(kernels: &K, weights: LayerWeights) -> Self {
        let row = |values: Vec<f32>| kernels.upload(1, values.len(), values);
        let mut biases: [Option<K::Matrix>; 7] = [const { None }; 7];
        let mut index = 0;
        let weights_on_device = weights.projections.map(|projection| {
            biases[index] = projection.bias.map(row);
            index += 1;
            let Matrix { rows, columns, values } = projection.weight;
            kernels.keep(rows, columns, values)
        });
        Self {
            attention_norm: row(weights.attention_norm),
            feed_forward_norm: row(weights.feed_forward_norm),
            query_norm: weights.query_norm.map(row),
            key_norm: weights.key_norm.map(row),
            weights: weights_on_device,
            biases,
        }
    }
}

/// Rotary tables on the device, `[positions, head_dim / 2]` each.
pub struct Rotation<K: Kernels> {
    /// Cosines.
    pub cosine: K::Matrix,
    /// Sines.
    pub sine: K::Matrix,
}

impl<K: Kernels> Rotation<K> {
    /// The tables for some positions.
    pub fn new(kernels: &K, rope: &Rope, head_dim: usize, positions: &[usize]) -> Self {
        let tables = rope.tables(head_dim, positions.iter().copied());
        Self {
            cosine: kernels.upload(positions.len(), head_dim / 2, tables.cos),
            sine: kernels.upload(positions.len(), head_dim / 2, tables.sin),
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
        let final_norm = kernels.upload(1, norm.len(), norm);
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

    /// The shape of its attention.
    pub fn heads(&self) -> Heads {
        let config = self.config();
        Heads {
            queries: config.heads,
            keys: config.key_value_heads,
            width: config.head_dim,
        }
    }

    /// What it takes to run one of its layers beside the weights.
    pub fn shape(&self) -> LayerShape {
        let config = self.config();
        LayerShape {
            heads: self.heads(),
            hidden: config.hidden,
            norm_epsilon: config.norm_epsilon,
        }
    }

    /// Features of an input of linear modules.
    pub fn width(&self, input: ModuleInput) -> usize {
        self.config().dimensions(input.reader()).1
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
        Ok(self.upload(self.checkpoint.embedding_rows(ids)?))
    }

    /// Rotary tables for some positions.
    pub fn rotation(&self, positions: &[usize]) -> Rotation<K> {
        let config = self.config();
        Rotation::new(&self.kernels, &config.rope, config.head_dim, positions)
    }

    fn upload(&self, matrix: Matrix) -> K::Matrix {
        self.kernels.upload(matrix.rows, matrix.columns, matrix.values)
    }

    fn keep(&self, matrix: Matrix) -> K::Matrix {
        self.kernels.keep(matrix.rows, matrix.columns, matrix.values)
    }

    /// Brings given weights to the device as a layer, in the place of the checkpoint's own.
    pub fn bring(&self, weights: LayerWeights) -> Layer<K> {
        Layer::new(&self.kernels, weights)
    }
}

/// A layer out of the checkpoint, in float32; the pages of the file need not be held as well.
fn read(checkpoint: &Checkpoint, layer: usize) -> Result<LayerWeights, CheckpointError> {
    let weights = checkpoint.layer(layer);
    checkpoint.release();
    weights
}
