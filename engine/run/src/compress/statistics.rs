//! Calibration text on its way through the layers, and the statistics that methods draw from it.

mod tally;

use cruxscope_checkpoint::LayerWeights;
use cruxscope_compress::evidence::Statistics;
use cruxscope_model::block;
use cruxscope_model::decoder::{Decoder, Layer};
use cruxscope_model::kernels::Kernels;
use cruxscope_model::kernels::calibration::CalibrationKernels;
use cruxscope_model::module::ModuleInput;

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
        *hidden = run(decoder, &layer, hidden, |_, _| Ok(()))?;
    }
    Ok(())
}

fn run<K: Kernels>(
    decoder: &Decoder<K>,
    layer: &Layer<K>,
    hidden: &K::Matrix,
    mut observe: impl FnMut(ModuleInput, &K::Matrix) -> Result<(), cruxscope_model::ModelError>,
) -> Result<K::Matrix, RunError> {
    let rotation = decoder.rotation(&(0..decoder.kernels().rows(hidden)).collect::<Vec<_>>());
    Ok(block::forward(decoder.kernels(), &decoder.shape(), layer, hidden, &rotation, |input, _, x| observe(input, x))?.0)
}

/// Statistics of some of a layer's inputs over the calibration text, in the order of `inputs`. With `original`, a layer and the
/// hidden states of the same text at its input, also of how far those inputs are from the layer's own.
pub fn statistics<K: CalibrationKernels>(
    decoder: &Decoder<K>,
    weights: &LayerWeights,
    hidden: &[K::Matrix],
    inputs: &[ModuleInput],
    original: Option<(&LayerWeights, &[K::Matrix])>,
) -> Result<Vec<Statistics>, RunError> {
    let kernels = decoder.kernels();
    let layer = decoder.bring(weights.clone());
    let other = original.map(|(weights, hidden)| (decoder.bring(weights.clone()), hidden));
    let mut tallies: Vec<Tally<K>> = inputs.iter().map(|input| Tally::new(decoder.width(*input), other.is_some())).collect();
    let place = |input: ModuleInput| inputs.iter().position(|wanted| *wanted == input);
    for (window, hidden) in hidden.iter().enumerate() {
        // Tiles of each input, in the order in which they come by again.
        let mut before: Vec<Vec<K::Matrix>> = vec![Vec::new(); inputs.len()];
        if let Some((layer, hidden)) = &other {
            run(decoder, layer, &hidden[window], |input, x| {
                if let Some(place) = place(input) {
                    before[place].push(x.clone());
                }
                Ok(())
            })?;
        }
        let mut seen = vec![0; inputs.len()];
        run(decoder, &layer, hidden, |input, x| match place(input) {
            Some(place) => {
                seen[place] += 1;
                tallies[place].add(kernels, x, before[place].get(seen[place] - 1))
            }
            None => Ok(()),
        })?;
    }
    let finished = tallies.into_iter().map(|tally| Ok(tally.sums(kernels)?.finish(hidden.len())));
    finished.collect()
}
