//! A model's weights as steps of generation read them: every layer on the device, in the form that the kernels hold.

use std::collections::BTreeMap;

use cruxscope_checkpoint::{Checkpoint, InputRounding, LayerKind, Matrix};

use crate::ModelError;
use crate::decoder::{LayerNorms, LayerVectors};
use crate::kernels::generation::{GenerationKernels, Projection};

/// Rows of the head that are held as one weight: devices limit the size of an array.
const HEAD_PART: usize = 16_384;

/// One decoder layer.
pub struct HeldLayer<K: GenerationKernels> {
    /// Norms around the blocks, and of queries and keys.
    pub norms: LayerNorms<K>,
    /// What it has of its own beside weights.
    pub kind: LayerKind,
    /// What else belongs to no linear map.
    pub beside: LayerVectors<K>,
    /// The linear maps, in the order of [`ModelConfig::modules`](cruxscope_checkpoint::ModelConfig::modules).
    weights: Vec<K::Weight>,
    biases: Vec<Option<K::Matrix>>,
    inputs: Vec<Option<InputRounding>>,
}

impl<K: GenerationKernels> HeldLayer<K> {
    /// A weight with its bias.
    pub fn projection(&self, place: usize) -> Projection<'_, K> {
        (&self.weights[place], self.biases[place].as_ref())
    }

    /// How what a weight reads is rounded, where that is simulated.
    pub fn rounding(&self, place: usize) -> Option<&InputRounding> {
        self.inputs[place].as_ref()
    }
}

/// How many weights are held in which form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Bytes of all weights.
    pub bytes: usize,
    /// Matrices by the name of their form.
    pub matrices: BTreeMap<&'static str, usize>,
}

/// All weights of a model.
pub struct Weights<K: GenerationKernels> {
    /// The layers.
    pub layers: Vec<HeldLayer<K>>,
    /// The vocabulary head in parts of rows.
    pub head: Vec<K::Weight>,
    /// How they are held.
    pub held: Held,
}

impl<K: GenerationKernels> Weights<K> {
    /// Reads a model layer by layer; no two layers are ever in memory as float32.
    ///
    /// # Errors
    /// When the checkpoint cannot be read.
    pub fn read(checkpoint: &Checkpoint, kernels: &K) -> Result<Self, ModelError> {
        let mut held = Held::default();
        let mut hold = |matrix: Matrix| {
            let weight = kernels.hold(matrix.rows, matrix.columns, matrix.values);
            let (form, bytes) = kernels.held_as(&weight);
            *held.matrices.entry(form).or_default() += 1;
            held.bytes += bytes;
            weight
        };
        let row = |values: Vec<f32>| kernels.upload(1, values.len(), values);
        let mut layers = Vec::new();
        for index in 0..checkpoint.config().layers {
            let mut read = checkpoint.layer(index)?;
            let norms = LayerNorms::take(kernels, &checkpoint.config().block, &mut read);
            let beside = LayerVectors::take(kernels, &mut read);
            let (mut weights, mut biases, mut inputs) = (Vec::new(), Vec::new(), Vec::new());
            for projection in read.projections {
                let weight = match projection.weight.rows {
                    // Of a block without a gate: its place is kept.
                    0 => kernels.hold(1, 1, vec![0.0]),
                    _ => hold(projection.weight),
                };
                weights.push(weight);
                biases.push(projection.bias.map(row));
                inputs.push(projection.inputs);
            }
            layers.push(HeldLayer {
                norms,
                kind: read.kind,
                beside,
                weights,
                biases,
                inputs,
            });
        }
        let vocabulary = checkpoint.config().vocabulary;
        let mut head = Vec::new();
        for first in (0..vocabulary).step_by(HEAD_PART) {
            head.push(hold(checkpoint.head_rows(first..vocabulary.min(first + HEAD_PART))?));
        }
        Ok(Self { layers, head, held })
    }
}
