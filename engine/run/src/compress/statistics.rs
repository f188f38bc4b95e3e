//! Calibration text on its way through the layers, and the statistics that methods draw from it.

use cruxscope_checkpoint::LayerWeights;
use cruxscope_compress::evidence::Statistics;
use cruxscope_compress::linear_algebra::{accumulate_cross_gram, accumulate_gram_lower, mirror_lower};
use cruxscope_model::block::{self, Site};
use cruxscope_model::decoder::{Decoder, Layer};
use cruxscope_model::kernels::Kernels as _;
use cruxscope_model::kernels::cpu::{CpuKernels, CpuMatrix};

use super::plan::Needs;
use crate::RunError;

/// Hidden states of the calibration text at the input of a layer, one matrix a window: in the model as it was, and in the model as
/// it is compressed. Each is there only as long as a layer ahead asks for it.
pub struct Streams {
    /// Through the layers as they were.
    pub original: Vec<CpuMatrix>,
    /// Through the layers as they are written.
    pub compressed: Vec<CpuMatrix>,
}

impl Streams {
    /// The text's embeddings.
    pub fn begin(decoder: &Decoder<CpuKernels>, windows: &[Vec<u32>], needs: &Needs) -> Result<Self, RunError> {
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
pub fn advance(decoder: &Decoder<CpuKernels>, weights: LayerWeights, hidden: &mut [CpuMatrix]) -> Result<(), RunError> {
    let layer = decoder.bring(weights);
    for hidden in hidden {
        *hidden = run(decoder, &layer, hidden, |_, _, _| ())?;
    }
    Ok(())
}

fn run(
    decoder: &Decoder<CpuKernels>,
    layer: &Layer<CpuKernels>,
    hidden: &CpuMatrix,
    mut see: impl FnMut(Site, usize, &CpuMatrix),
) -> Result<CpuMatrix, RunError> {
    let rotation = decoder.rotation(&(0..decoder.kernels().rows(hidden)).collect::<Vec<_>>());
    let seen = |site, first, x: &CpuMatrix| {
        see(site, first, x);
        Ok(())
    };
    Ok(block::forward(decoder, layer, hidden, &rotation, seen)?.0)
}

/// Statistics of some of a layer's inputs over the calibration text, in the order of `sites`. With `original`, a layer and the
/// hidden states of the same text at its input, also of how far those inputs are from the layer's own.
pub fn statistics(
    decoder: &Decoder<CpuKernels>,
    weights: &LayerWeights,
    hidden: &[CpuMatrix],
    sites: &[Site],
    original: Option<(&LayerWeights, &[CpuMatrix])>,
) -> Result<Vec<Statistics>, RunError> {
    let layer = decoder.bring(weights.clone());
    let other = original.map(|(weights, hidden)| (decoder.bring(weights.clone()), hidden));
    let mut sums: Vec<Sums> = sites.iter().map(|site| Sums::new(decoder.width(*site), other.is_some())).collect();
    let place = |site: Site| sites.iter().position(|wanted| *wanted == site);
    for (window, hidden) in hidden.iter().enumerate() {
        let mut before: Vec<Vec<f32>> = vec![Vec::new(); sites.len()];
        if let Some((layer, hidden)) = &other {
            run(decoder, layer, &hidden[window], |site, _, x| {
                if let Some(place) = place(site) {
                    before[place].extend_from_slice(x.values());
                }
            })?;
        }
        run(decoder, &layer, hidden, |site, first, x| {
            if let Some(place) = place(site) {
                let sums = &mut sums[place];
                let before = before[place].get(first * sums.width..).filter(|_| other.is_some());
                sums.add(x.values(), before);
            }
        })?;
    }
    Ok(sums.into_iter().map(|sums| sums.finish(hidden.len())).collect())
}

/// Running sums over the tokens of one input.
struct Sums {
    width: usize,
    gram: Vec<f64>,
    cross: Option<Vec<f64>>,
    sum: Vec<f64>,
    magnitude: Vec<f64>,
    tokens: usize,
}

impl Sums {
    fn new(width: usize, with_cross: bool) -> Self {
        Self {
            width,
            gram: vec![0.0; width * width],
            cross: with_cross.then(|| vec![0.0; width * width]),
            sum: vec![0.0; width],
            magnitude: vec![0.0; width],
            tokens: 0,
        }
    }

    /// Adds a tile of tokens; `before` begins with the inputs of the same tokens in the model as it was.
    fn add(&mut self, x: &[f32], before: Option<&[f32]>) {
        accumulate_gram_lower(&mut self.gram, x, self.width);
        if let (Some(cross), Some(before)) = (&mut self.cross, before) {
            let difference: Vec<f32> = before.iter().zip(x).map(|(before, x)| before - x).collect();
            accumulate_cross_gram(cross, &difference, x, self.width);
        }
        for token in x.chunks_exact(self.width) {
            for ((sum, magnitude), x) in self.sum.iter_mut().zip(&mut self.magnitude).zip(token) {
                *sum += f64::from(*x);
                *magnitude += f64::from(x.abs());
            }
            self.tokens += 1;
        }
    }

    fn finish(mut self, sequences: usize) -> Statistics {
        mirror_lower(&mut self.gram, self.width);
        let scale = 2.0 / sequences.max(1) as f64;
        self.gram.iter_mut().chain(self.cross.iter_mut().flatten()).for_each(|value| *value *= scale);
        let tokens = self.tokens.max(1) as f64;
        let mean = |sums: &[f64]| sums.iter().map(|sum| (sum / tokens) as f32).collect();
        Statistics {
            hessian: self.gram,
            cross: self.cross,
            means: mean(&self.sum),
            mean_magnitudes: mean(&self.magnitude),
            sequences,
            tokens: self.tokens,
        }
    }
}
