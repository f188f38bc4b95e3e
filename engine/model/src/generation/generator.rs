//! The two passes of generation: a prompt into caches, and one more token for each of several sequences.

use std::sync::Arc;

use cruxscope_checkpoint::{Checkpoint, ModelConfig};

use super::weights::{Held, HeldLayer, Weights};
use crate::ModelError;
use crate::decoder::{Decoder, Residence, Rotation};
use crate::kernels::generation::GenerationKernels;
use crate::kernels::{RopeDirection, SequenceSpan};
use crate::module::projection_index;

/// Tokens of a prompt that go through the layers at a time.
const PROMPT_TILE: usize = 512;

/// A model that is ready to generate.
pub struct Generator<K: GenerationKernels> {
    decoder: Decoder<K>,
    weights: Weights<K>,
}

/// What is kept of a sequence: the keys and values of its tokens in every layer.
pub struct Sequence<K: GenerationKernels> {
    tokens: usize,
    keys: Vec<K::Cache>,
    values: Vec<K::Cache>,
}

impl<K: GenerationKernels> Clone for Sequence<K> {
    fn clone(&self) -> Self {
        Self {
            tokens: self.tokens,
            keys: self.keys.clone(),
            values: self.values.clone(),
        }
    }
}

impl<K: GenerationKernels> Sequence<K> {
    /// How many tokens it has.
    pub fn tokens(&self) -> usize {
        self.tokens
    }
}

/// How many rows are computed together, and so how their products are made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rows {
    /// Many, of one sequence.
    Prompt,
    /// One of each sequence.
    Step,
}

impl<K: GenerationKernels> Generator<K> {
    /// Reads all weights of a model onto a device.
    ///
    /// # Errors
    /// When the checkpoint cannot be read.
    pub fn new(checkpoint: Arc<Checkpoint>, kernels: K) -> Result<Self, ModelError> {
        let weights = Weights::read(&checkpoint, &kernels)?;
        let decoder = Decoder::new(checkpoint, kernels, Residence::Streamed)?;
        Ok(Self { decoder, weights })
    }

    /// The model's configuration.
    pub fn config(&self) -> &ModelConfig {
        self.decoder.config()
    }

    /// The kernels of its device.
    pub fn kernels(&self) -> &K {
        self.decoder.kernels()
    }

    /// How its weights are held.
    pub fn held(&self) -> &Held {
        &self.weights.held
    }

    /// A sequence without a token.
    pub fn begin(&self) -> Sequence<K> {
        let heads = self.decoder.heads();
        let caches = || (0..self.config().layers).map(|_| self.kernels().cache(heads)).collect();
        Sequence {
            tokens: 0,
            keys: caches(),
            values: caches(),
        }
    }

    /// Adds the tokens of a prompt to a sequence, and gives the logits after the last of them, `[vocabulary]`; nothing where
    /// `go_on` said no, which is asked before each tile of tokens.
    ///
    /// # Errors
    /// When a token is beyond the vocabulary, the prompt is empty or leaves no room in the context, or the device failed.
    pub fn prompt(&self, sequence: &mut Sequence<K>, ids: &[u32], go_on: &mut dyn FnMut() -> bool) -> Result<Option<Vec<f32>>, ModelError> {
        self.has_room(sequence.tokens + ids.len())?;
        let mut last = None;
        for tile in ids.chunks(PROMPT_TILE) {
            if !go_on() {
                return Ok(None);
            }
            let hidden = self.layers(std::slice::from_mut(sequence), tile, Rows::Prompt)?;
            last = Some(self.kernels().slice(&hidden, tile.len() - 1, 1));
        }
        let Some(last) = last else { return Err(ModelError::EmptyPrompt) };
        Ok(self.logits(&last)?.pop())
    }

    /// Adds one token to each sequence, and gives the logits after it, `[sequences][vocabulary]`.
    ///
    /// # Errors
    /// When a token is beyond the vocabulary, a sequence has filled its context, or the device failed.
    pub fn step(&self, sequences: &mut [Sequence<K>], ids: &[u32]) -> Result<Vec<Vec<f32>>, ModelError> {
        for sequence in sequences.iter() {
            self.has_room(sequence.tokens + 1)?;
        }
        self.kernels().together(|| {
            let hidden = self.layers(sequences, ids, Rows::Step)?;
            self.logits(&hidden)
        })
    }

    fn has_room(&self, tokens: usize) -> Result<(), ModelError> {
        let context = self.config().context;
        if tokens > context {
            return Err(ModelError::BeyondContext { tokens, context });
        }
        Ok(())
    }

    /// The layers over new tokens: `ids` all of the one sequence, or one of each.
    fn layers(&self, sequences: &mut [Sequence<K>], ids: &[u32], rows: Rows) -> Result<K::Matrix, ModelError> {
        let runs: Vec<SequenceSpan> = (sequences.iter())
            .map(|sequence| SequenceSpan {
                position: sequence.tokens,
                rows: if rows == Rows::Prompt { ids.len() } else { 1 },
            })
            .collect();
        let positions: Vec<usize> = runs.iter().flat_map(|run| run.position..run.position + run.rows).collect();
        let rotation = self.decoder.rotation(&positions);
        let mut hidden = self.decoder.embed(ids)?;
        for (index, layer) in self.weights.layers.iter().enumerate() {
            hidden = self.layer(index, layer, hidden, &rotation, sequences, &runs, rows);
        }
        for (sequence, run) in sequences.iter_mut().zip(&runs) {
            sequence.tokens += run.rows;
        }
        Ok(hidden)
    }

    /// One layer over the rows of some runs, `[rows, hidden]`; keys and values are added to the sequences.
    fn layer(
        &self,
        index: usize,
        layer: &HeldLayer<K>,
        hidden: K::Matrix,
        rotation: &Rotation<K>,
        sequences: &mut [Sequence<K>],
        runs: &[SequenceSpan],
        rows: Rows,
    ) -> K::Matrix {
        let (kernels, heads) = (self.kernels(), self.decoder.heads());
        let (width, epsilon) = (self.config().hidden, self.config().norm_epsilon);
        let placed = |x: K::Matrix, norm: &Option<K::Matrix>| {
            let x = match norm {
                Some(weight) => kernels.norm(&x, weight, heads.width, epsilon),
                None => x,
            };
            kernels.rotate(x, heads.width, &rotation.cosine, &rotation.sine, RopeDirection::Forward)
        };

        let normed = kernels.norm(&hidden, &layer.attention_norm, width, epsilon);
        let [queries, keys, values] = self.project(layer, &normed, [projection_index::QUERY, projection_index::KEY, projection_index::VALUE], rows);
        let (queries, keys) = (placed(queries, &layer.head_norms[0]), placed(keys, &layer.head_norms[1]));
        for (sequence, (first, run)) in sequences.iter_mut().zip(SequenceSpan::placed(runs)) {
            kernels.extend(&mut sequence.keys[index], &keys, first, run.rows);
            kernels.extend(&mut sequence.values[index], &values, first, run.rows);
        }
        let cached: Vec<(SequenceSpan, &K::Cache, &K::Cache)> = (sequences.iter().zip(runs))
            .map(|(sequence, run)| (*run, &sequence.keys[index], &sequence.values[index]))
            .collect();
        let attended = kernels.attend(heads, &queries, &cached);
        let [output] = self.project(layer, &attended, [projection_index::OUTPUT], rows);
        let hidden = kernels.add(output, &hidden);
        let normed = kernels.norm(&hidden, &layer.feed_forward_norm, width, epsilon);
        let [gate, up] = self.project(layer, &normed, [projection_index::GATE, projection_index::UP], rows);
        let [down] = self.project(layer, &kernels.gated(&gate, &up), [projection_index::DOWN], rows);
        kernels.add(down, &hidden)
    }

    /// Outputs of several modules that read the same rows.
    fn project<const N: usize>(&self, layer: &HeldLayer<K>, x: &K::Matrix, places: [usize; N], rows: Rows) -> [K::Matrix; N] {
        let kernels = self.kernels();
        match rows {
            Rows::Prompt => places.map(|place| kernels.project_prompt(x, layer.projection(place))),
            Rows::Step => {
                let mut outputs = kernels.project_step(x, &places.map(|place| layer.projection(place))).into_iter();
                places.map(|place| outputs.next().unwrap_or_else(|| kernels.project_prompt(x, layer.projection(place))))
            }
        }
    }

    /// Logits of some final hidden rows, `[rows][vocabulary]`.
    fn logits(&self, hidden: &K::Matrix) -> Result<Vec<Vec<f32>>, ModelError> {
        let (kernels, config) = (self.kernels(), self.config());
        let normed = kernels.norm(hidden, self.decoder.final_norm(), config.hidden, config.norm_epsilon);
        let head: Vec<_> = self.weights.head.iter().map(|part| (part, None)).collect();
        let mut logits = vec![Vec::with_capacity(config.vocabulary); kernels.rows(hidden)];
        for part in kernels.project_step(&normed, &head) {
            let values = kernels.download(&part)?;
            let columns = values.len() / logits.len();
            for (logits, values) in logits.iter_mut().zip(values.chunks_exact(columns)) {
                logits.extend_from_slice(values);
            }
        }
        Ok(logits)
    }
}
