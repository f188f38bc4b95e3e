//! Calibration text on its way through the layers, and the statistics that methods draw from it.

mod tally;

use cruxscope_checkpoint::LayerWeights;
use cruxscope_compress::evidence::Statistics;
use cruxscope_model::block;
use cruxscope_model::decoder::{Decoder, Layer};
use cruxscope_model::kernels::Kernels;
use cruxscope_model::kernels::calibration::CalibrationKernels;
use cruxscope_model::module::{ModuleInput, place_modules};
use cruxscope_model::rotation::Rotation;

use self::tally::Tally;
use super::plan::Needs;
use crate::RunError;

/// Hidden states of the calibration text at the input of a layer, one matrix a window: in the model as it was, and in the model as
/// it is compressed. Each is there only as long as a layer ahead asks for it.
pub struct Streams<K: Kernels> {
    /// Through the layers as they were.
    pub original: Vec<K::Matrix>,
    /// Through the layers as they are written.
    pub compressed: Vec<K::Matrix>,
}

impl<K: Kernels> Streams<K> {
    /// The text's embeddings.
    pub fn begin(decoder: &Decoder<K>, windows: &[Vec<u32>], needs: &Needs) -> Result<Self, RunError> {
        let embed = |last: Option<usize>| match last {
            Some(_) => windows.iter().map(|window| decoder.embed(window)).collect::<Result<Vec<_>, _>>(),
            None => Ok(Vec::new()),
        };
        Ok(Self {
            original: embed(needs.last_original)?,
            compressed: embed(needs.last_compressed)?,
        })
    }
}

/// Runs hidden states through a layer.
pub fn advance<K: Kernels>(decoder: &Decoder<K>, weights: LayerWeights, hidden: &mut [K::Matrix]) -> Result<(), RunError> {
    let layer = decoder.bring(weights);
    for hidden in hidden {
        let rotation = rotation(decoder, hidden);
        *hidden = block::forward(decoder.kernels(), &decoder.shape(), &layer, hidden, &rotation, |_, _, _| Ok(()))?.0;
    }
    Ok(())
}

fn rotation<K: Kernels>(decoder: &Decoder<K>, hidden: &K::Matrix) -> Rotation<K> {
    decoder.rotation(&(0..decoder.kernels().rows(hidden)).collect::<Vec<_>>())
}

/// Shows the inputs of a layer, as far as it has to be computed for those that are asked for.
fn run<K: Kernels>(
    decoder: &Decoder<K>,
    layer: &Layer<K>,
    hidden: &K::Matrix,
    inputs: &[ModuleInput],
    mut observe: impl FnMut(ModuleInput, &K::Matrix) -> Result<(), cruxscope_model::ModelError>,
) -> Result<(), RunError> {
    let (shape, rotation) = (decoder.shape(), rotation(decoder, hidden));
    block::observe_inputs(decoder.kernels(), &shape, layer, hidden, &rotation, inputs, |input, _, x| observe(input, x))?;
    Ok(())
}

/// Statistics of an input, and of an expert's how many tokens were routed to it.
pub struct Known {
    /// The statistics.
    pub statistics: Statistics,
    /// Tokens that were routed to the expert that reads the input. Where they are fewer than its features, which a Hessian of them could
    /// not tell apart, the statistics are those of all tokens.
    pub routed: Option<usize>,
}

/// Statistics of some of a layer's inputs over the calibration text, in the order of `inputs`. With `original`, a layer and the
/// hidden states of the same text at its input, also of how far those inputs are from the layer's own.
pub fn statistics<K: CalibrationKernels>(
    decoder: &Decoder<K>,
    weights: &LayerWeights,
    hidden: &[K::Matrix],
    inputs: &[ModuleInput],
    original: Option<(&LayerWeights, &[K::Matrix])>,
) -> Result<Vec<Known>, RunError> {
    let kernels = decoder.kernels();
    let layer = decoder.bring(weights.clone());
    let other = original.map(|(weights, hidden)| (decoder.bring(weights.clone()), hidden));
    let shape = decoder.shape();
    let width = |input: ModuleInput| decoder.width(weights.kind, input);
    let tally = |input: ModuleInput| Tally::new(width(input), other.is_some());
    let mut tallies: Vec<Tally<K>> = inputs.iter().map(|input| tally(*input)).collect();
    let mut tokens = vec![0; inputs.len()];
    let place = |input: ModuleInput| inputs.iter().position(|wanted| *wanted == input);
    for (window, hidden) in hidden.iter().enumerate() {
        // Tiles of each input, in the order in which they come by again.
        let mut before: Vec<Vec<K::Matrix>> = vec![Vec::new(); inputs.len()];
        if let Some((layer, hidden)) = &other {
            run(decoder, layer, &hidden[window], inputs, |input, x| {
                if let Some(place) = place(input) {
                    before[place].push(x.clone());
                }
                Ok(())
            })?;
        }
        let mut seen = vec![0; inputs.len()];
        run(decoder, &layer, hidden, inputs, |input, x| match place(input) {
            Some(place) => {
                seen[place] += 1;
                tokens[place] += kernels.rows(x);
                tallies[place].add(kernels, x, before[place].get(seen[place] - 1))
            }
            None => Ok(()),
        })?;
    }
    let routed = shape.block.experts.map_or(0, |experts| experts.router.experts);
    let expert_of = |input: ModuleInput| match input {
        ModuleInput::Place(place) | ModuleInput::PlaceDown(place) if place < routed => Some(place),
        _ => None,
    };
    // Experts that too few tokens reached take in all of them.
    let starved: Vec<usize> = (0..inputs.len())
        .filter(|index| expert_of(inputs[*index]).is_some() && tokens[*index] < width(inputs[*index]))
        .collect();
    if !starved.is_empty() {
        starved.iter().for_each(|index| tallies[*index] = tally(inputs[*index]));
        for hidden in hidden {
            run(decoder, &layer, hidden, &[ModuleInput::FeedForward], |input, x| {
                if input != ModuleInput::FeedForward {
                    return Ok(());
                }
                for index in starved.iter().copied() {
                    match inputs[index] {
                        ModuleInput::PlaceDown(expert) => {
                            let [gate, up, _] = place_modules(shape.block.attention_maps(layer.kind), expert);
                            let [gate, up] = [gate, up].map(|map| block::linear(kernels, &layer, map, x, None));
                            tallies[index].add(kernels, &kernels.gated(shape.block.activation, &gate, &up), None)?;
                        }
                        _ => tallies[index].add(kernels, x, None)?,
                    }
                }
                Ok(())
            })?;
        }
    }
    let finished = tallies.into_iter().enumerate().map(|(index, tally)| {
        Ok(Known {
            statistics: tally.sums(kernels)?.finish(hidden.len()),
            routed: expert_of(inputs[index]).map(|_| tokens[index]),
        })
    });
    finished.collect()
}
