//! The two passes of generation: a prompt into caches, and one more token for each of several sequences.

use std::sync::Arc;

use cruxscope_checkpoint::{Activation, Checkpoint, ModelConfig};

use super::weights::{Held, HeldLayer, Weights};
use crate::ModelError;
use crate::block;
use crate::decoder::{Decoder, Residence};
use crate::delta::{self, DeltaState};
use crate::experts::Mixture;
use crate::head;
use crate::kernels::generation::GenerationKernels;
use crate::kernels::{Heads, SequenceSpan};
use crate::latent::LatentAttention;
use crate::module::{place_modules, projection_index};
use crate::output_gate;
use crate::rotation::Rotation;

/// Tokens of a prompt that go through the layers at a time.
const PROMPT_TILE: usize = 512;

/// A model that is ready to generate.
pub struct Generator<K: GenerationKernels> {
    decoder: Decoder<K>,
    weights: Weights<K>,
}

/// What is kept of a sequence: its tokens, and their keys and values in every layer.
pub struct Sequence<K: GenerationKernels> {
    tokens: usize,
    /// Only where a longer text is computed anew; see [`Generator::renew`].
    ids: Vec<u32>,
    keys: Vec<K::Cache>,
    values: Vec<K::Cache>,
    /// Of layers with a delta rule.
    states: Vec<Option<DeltaState>>,
}

impl<K: GenerationKernels> Clone for Sequence<K> {
    fn clone(&self) -> Self {
        Self {
            tokens: self.tokens,
            ids: self.ids.clone(),
            keys: self.keys.clone(),
            values: self.values.clone(),
            states: self.states.clone(),
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
            ids: Vec::new(),
            keys: caches(),
            values: caches(),
            states: (0..self.config().layers).map(|layer| self.config().delta(layer).map(DeltaState::new)).collect(),
        }
    }

    /// Adds the tokens of a prompt to a sequence, and gives the logits after the last of them, `[vocabulary]`; nothing where
    /// `go_on` said no, which is asked before each tile of tokens.
    ///
    /// # Errors
    /// When a token is beyond the vocabulary, the prompt is empty or leaves no room in the context, or the device failed.
    pub fn prompt(&self, sequence: &mut Sequence<K>, ids: &[u32], go_on: &mut dyn FnMut() -> bool) -> Result<Option<Vec<f32>>, ModelError> {
        let whole = sequence.tokens + ids.len();
        self.has_room(whole)?;
        self.renew(sequence, whole)?;
        let mut last = None;
        for tile in ids.chunks(PROMPT_TILE) {
            if !go_on() {
                return Ok(None);
            }
            let hidden = self.layers(std::slice::from_mut(sequence), tile, Rows::Prompt, whole)?;
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
        for sequence in sequences.iter_mut() {
            let tokens = sequence.tokens + 1;
            self.renew(sequence, tokens)?;
        }
        self.kernels().together(|| {
            let hidden = self.layers(sequences, ids, Rows::Step, 0)?;
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

    /// Whether a rotary embedding of the model depends on the length of a text.
    fn depends_on_length(&self) -> bool {
        let config = self.config();
        std::iter::once(&config.rope)
            .chain(&config.local_rope)
            .any(|rope| rope.changes_between(0, usize::MAX))
    }

    /// Computes what is kept of a sequence anew where a text of `tokens` has other rotary frequencies than the sequence had so far.
    fn renew(&self, sequence: &mut Sequence<K>, tokens: usize) -> Result<(), ModelError> {
        let config = self.config();
        let mut ropes = std::iter::once(&config.rope).chain(&config.local_rope);
        if sequence.tokens == 0 || !ropes.any(|rope| rope.changes_between(sequence.tokens, tokens)) {
            return Ok(());
        }
        let ids = std::mem::take(&mut sequence.ids);
        *sequence = self.begin();
        for tile in ids.chunks(PROMPT_TILE) {
            self.layers(std::slice::from_mut(sequence), tile, Rows::Prompt, tokens)?;
        }
        Ok(())
    }

    /// The layers over new tokens: `ids` all of the one sequence, or one of each. `whole` is the number of tokens of the text that a
    /// prompt is a part of; a step's texts end with its tokens.
    fn layers(&self, sequences: &mut [Sequence<K>], ids: &[u32], rows: Rows, whole: usize) -> Result<K::Matrix, ModelError> {
        let runs: Vec<SequenceSpan> = (sequences.iter())
            .map(|sequence| SequenceSpan {
                position: sequence.tokens,
                rows: if rows == Rows::Prompt { ids.len() } else { 1 },
            })
            .collect();
        let places = (runs.iter()).flat_map(move |run| (run.position..run.position + run.rows).map(move |position| (position, whole.max(position + 1))));
        let rotation = self.decoder.rotation_within(places);
        let mut hidden = self.decoder.embed(ids)?;
        for (index, layer) in self.weights.layers.iter().enumerate() {
            hidden = self.layer(index, layer, hidden, &rotation, sequences, &runs, rows)?;
        }
        for (sequence, run) in sequences.iter_mut().zip(&runs) {
            sequence.tokens += run.rows;
        }
        if self.depends_on_length() {
            for (sequence, (first, run)) in sequences.iter_mut().zip(SequenceSpan::placed(&runs)) {
                sequence.ids.extend_from_slice(&ids[first..first + run.rows]);
            }
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
    ) -> Result<K::Matrix, ModelError> {
        let (kernels, shape) = (self.kernels(), self.decoder.shape());
        let (norms, rotary) = (&layer.norms, layer.kind.rotation);
        let heads = Heads {
            window: layer.kind.window,
            chunk: layer.kind.chunk,
            ..shape.heads
        };

        let read = block::normed(kernels, &shape, &hidden, norms.before_attention.as_ref());
        let maps = |places: &[usize], x: &K::Matrix| self.apply(layer, x, places, rows);
        let first_map = shape.block.attention_maps(layer.kind);
        let latent = shape.block.latent.map(|latent| LatentAttention {
            kernels,
            shape: &shape,
            latent,
            norms,
        });
        let attended = match (&shape.block.delta, &layer.beside.delta) {
            (Some(rule), Some(weights)) => {
                let counts: Vec<usize> = runs.iter().map(|run| run.rows).collect();
                let mut states: Vec<&mut DeltaState> = sequences.iter_mut().filter_map(|sequence| sequence.states[index].as_mut()).collect();
                delta::forward(kernels, rule, weights, shape.norm_epsilon, &read, &maps, &counts, &mut states)?
            }
            _ => {
                let mut gate = None;
                let (queries, keys, values) = match &latent {
                    Some(latent) => {
                        let (keys, values) = latent.keys_values(&read, rotation.keys(rotary), &maps, &mut |_, _| Ok(()))?;
                        let queries = latent.queries(&read, rotation.queries(rotary), &maps, &mut |_, _| Ok(()))?.queries;
                        (queries, keys, values)
                    }
                    None => {
                        let [mut queries, keys, values] =
                            self.project(layer, &read, [projection_index::QUERY, projection_index::KEY, projection_index::VALUE], rows);
                        if let Some((own, of_output)) = output_gate::split(kernels, &shape, &queries) {
                            (queries, gate) = (own, Some(of_output));
                        }
                        let queries = block::placed(kernels, &shape, queries, heads.queries, norms.query.as_ref(), rotation.queries(rotary));
                        let keys = block::placed(kernels, &shape, keys, heads.keys, norms.key.as_ref(), rotation.keys(rotary));
                        (queries, keys, values)
                    }
                };
                for (sequence, (first, run)) in sequences.iter_mut().zip(SequenceSpan::placed(runs)) {
                    kernels.extend(&mut sequence.keys[index], &keys, first, run.rows);
                    kernels.extend(&mut sequence.values[index], &values, first, run.rows);
                }
                let cached: Vec<(SequenceSpan, &K::Cache, &K::Cache)> = (sequences.iter().zip(runs))
                    .map(|(sequence, run)| (*run, &sequence.keys[index], &sequence.values[index]))
                    .collect();
                let attended = kernels.attend(heads, &queries, layer.beside.sinks.as_ref(), &cached);
                match (&latent, gate) {
                    (Some(latent), _) => latent.output(&attended),
                    (None, Some(gate)) => kernels.gated(Activation::Sigmoid, &gate, &attended),
                    (None, None) => attended,
                }
            }
        };
        let [output] = self.project(layer, &attended, [first_map - 1], rows);
        let hidden = kernels.add(block::given_to_stream(kernels, &shape, output, norms.after_attention.as_ref()), &hidden);
        let read = if shape.block.parallel {
            read
        } else {
            block::normed(kernels, &shape, &hidden, norms.before_feed_forward.as_ref())
        };
        let given = match shape.block.experts.as_ref().filter(|_| layer.kind.experts) {
            Some(experts) => {
                let mixture = Mixture {
                    kernels,
                    shape: &shape,
                    experts,
                    choice_bias: layer.beside.choice_bias.as_deref(),
                    first: first_map,
                };
                mixture.forward(&read, &mixture.route(&read, None, &maps)?, &maps, &mut |_, _, _| Ok(()))?
            }
            None => {
                let [gate_map, up_map, down_map] = place_modules(first_map, 0);
                let [gate, up] = if shape.block.ungated {
                    let [up] = self.project(layer, &read, [up_map], rows);
                    let ones = block::ones_like(kernels, &up, shape.intermediate);
                    [up, ones]
                } else {
                    self.project(layer, &read, [gate_map, up_map], rows)
                };
                let [down] = self.project(layer, &kernels.gated(shape.block.activation, &gate, &up), [down_map], rows);
                down
            }
        };
        Ok(kernels.add(block::given_to_stream(kernels, &shape, given, norms.after_feed_forward.as_ref()), &hidden))
    }

    /// Outputs of several modules that read the same rows.
    fn project<const N: usize>(&self, layer: &HeldLayer<K>, x: &K::Matrix, places: [usize; N], rows: Rows) -> [K::Matrix; N] {
        let mut outputs = self.apply(layer, x, &places, rows).into_iter();
        places.map(|place| outputs.next().unwrap_or_else(|| self.kernels().project_prompt(x, layer.projection(place))))
    }

    /// Likewise; what they read is rounded before where that is simulated, once where it is for all of them alike.
    fn apply(&self, layer: &HeldLayer<K>, x: &K::Matrix, places: &[usize], rows: Rows) -> Vec<K::Matrix> {
        let kernels = self.kernels();
        let rounding = places.first().and_then(|place| layer.rounding(*place));
        if places.iter().any(|place| layer.rounding(*place) != rounding) {
            return places.iter().flat_map(|place| self.apply(layer, x, &[*place], rows)).collect();
        }
        let rounded = rounding.map(|rounding| kernels.rounded(x, rounding));
        let x = rounded.as_ref().unwrap_or(x);
        match rows {
            Rows::Prompt => places.iter().map(|place| kernels.project_prompt(x, layer.projection(*place))).collect(),
            Rows::Step => kernels.project_step(x, &places.iter().map(|place| layer.projection(*place)).collect::<Vec<_>>()),
        }
    }

    /// Logits of some final hidden rows, `[rows][vocabulary]`.
    fn logits(&self, hidden: &K::Matrix) -> Result<Vec<Vec<f32>>, ModelError> {
        let (kernels, config) = (self.kernels(), self.config());
        let read = head::head_input(&self.decoder, hidden);
        let head: Vec<_> = self.weights.head.iter().map(|part| (part, None)).collect();
        let mut logits = vec![Vec::with_capacity(config.vocabulary); kernels.rows(hidden)];
        for part in kernels.project_step(&read, &head) {
            let part = match config.ends.logit_cap {
                None => part,
                Some(cap) => kernels.capped(part, cap),
            };
            let values = kernels.download(&part)?;
            let columns = values.len() / logits.len();
            for (logits, values) in logits.iter_mut().zip(values.chunks_exact(columns)) {
                logits.extend_from_slice(values);
            }
        }
        Ok(logits)
    }
}
