//! Sums over the tokens of calibration text: on the processors in float64 as they come, on other devices in float32 over some
//! thousand tokens at a time, which then go on in float64.

use cruxscope_compress::evidence::Statistics;
use cruxscope_compress::linear_algebra::{accumulate_cross_gram, accumulate_gram_lower, mirror_lower};
use cruxscope_model::ModelError;
use cruxscope_model::kernels::Kernels;
use cruxscope_model::kernels::calibration::CalibrationKernels;
use cruxscope_model::wide::wide;
use rayon::prelude::*;

/// Tokens that a device sums in float32 before the sums go on in float64: bringing them over costs as much as some hundred tokens.
const DEVICE_TOKENS: usize = 16_384;

/// Running sums over the tokens of one input: in float64 where the values lie in the machine's memory, otherwise on the device.
pub struct Tally<K: Kernels> {
    pending: Option<Pending<K::Matrix>>,
    sums: Sums,
}

/// Sums of the last tokens, on the device.
struct Pending<M> {
    tokens: usize,
    gram: M,
    cross: Option<M>,
    columns: M,
}

impl<K: CalibrationKernels> Tally<K> {
    /// Empty sums for an input of `width` features; `with_cross` if a method needs the difference from the uncompressed model's.
    pub fn new(width: usize, with_cross: bool) -> Self {
        Self {
            pending: None,
            sums: Sums::new(width, with_cross),
        }
    }

    /// Adds a tile of tokens, `[tokens, width]`; `before` holds the inputs of the same tokens in the model as it was.
    ///
    /// # Errors
    /// When the device failed.
    pub fn add(&mut self, kernels: &K, x: &K::Matrix, before: Option<&K::Matrix>) -> Result<(), ModelError> {
        if let Some(values) = kernels.host_values(x) {
            self.sums.add(&values, before.and_then(|before| kernels.host_values(before)).as_deref());
            return Ok(());
        }
        let (tokens, gram, cross, columns) = match self.pending.take() {
            Some(Pending { tokens, gram, cross, columns }) => (tokens, Some(gram), cross, Some(columns)),
            None => (0, None, None, None),
        };
        let pending = Pending {
            tokens: tokens + kernels.rows(x),
            gram: kernels.column_products(x, x, gram),
            cross: before.map(|before| kernels.column_products(&kernels.difference(before, x), x, cross)),
            columns: kernels.column_sums(x, columns),
        };
        if pending.tokens >= DEVICE_TOKENS {
            self.sums.add_pending(kernels, &pending)?;
        } else {
            self.pending = Some(pending);
        }
        Ok(())
    }

    /// The sums over all tokens.
    ///
    /// # Errors
    /// When the device failed.
    pub fn sums(mut self, kernels: &K) -> Result<Sums, ModelError> {
        if let Some(pending) = &self.pending {
            self.sums.add_pending(kernels, pending)?;
        }
        Ok(self.sums)
    }
}

fn sum_up(sums: &mut [f64], more: &[f32]) {
    const PART: usize = 1 << 16;
    sums.par_chunks_mut(PART).zip(more.par_chunks(PART)).for_each(|(sums, more)| {
        for (sum, more) in sums.iter_mut().zip(more) {
            *sum += f64::from(*more);
        }
    });
}

/// Running sums over the tokens of one input, in float64 in the machine's memory.
pub struct Sums {
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
        let (sum, magnitude, width) = (&mut self.sum, &mut self.magnitude, self.width);
        wide(
            #[inline(always)]
            || {
                for token in x.chunks_exact(width) {
                    for ((sum, magnitude), x) in sum.iter_mut().zip(magnitude.iter_mut()).zip(token) {
                        *sum += f64::from(*x);
                        *magnitude += f64::from(x.abs());
                    }
                }
            },
        );
        self.tokens += x.len() / width.max(1);
    }

    /// Adds sums that were taken on a device.
    fn add_pending<K: Kernels>(&mut self, kernels: &K, pending: &Pending<K::Matrix>) -> Result<(), ModelError> {
        sum_up(&mut self.gram, &kernels.download(&pending.gram)?);
        if let (Some(cross), Some(pending)) = (&mut self.cross, &pending.cross) {
            sum_up(cross, &kernels.download(pending)?);
        }
        let columns = kernels.download(&pending.columns)?;
        let (sum, magnitude) = columns.split_at(self.width);
        sum_up(&mut self.sum, sum);
        sum_up(&mut self.magnitude, magnitude);
        self.tokens += pending.tokens;
        Ok(())
    }

    /// What methods draw on.
    pub fn finish(mut self, sequences: usize) -> Statistics {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)] // flex is always there

    use cruxscope_model::device::{self, ChosenDevice};
    use cruxscope_model::kernels::cpu::CpuKernels;
    use cruxscope_model::kernels::reference::ReferenceKernels;

    use super::*;

    const WIDTH: usize = 6;
    const TILE: usize = 1000;

    /// More tiles than a device sums in float32 at a time.
    fn sums<K: CalibrationKernels>(kernels: &K, with_cross: bool) -> Sums {
        let mut tally = Tally::new(WIDTH, with_cross);
        let mut state = 7u64;
        let mut tile = || {
            let mut value = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 40) as f32 / 8_388_608.0 - 0.9
            };
            kernels.upload(TILE, WIDTH, (0..TILE * WIDTH).map(|_| value()).collect())
        };
        for _ in 0..DEVICE_TOKENS / TILE + 3 {
            let (x, before) = (tile(), tile());
            tally.add(kernels, &x, with_cross.then_some(&before)).unwrap();
        }
        tally.sums(kernels).unwrap()
    }

    #[test]
    fn devices_sum_up_as_the_processors_do() {
        let Ok(ChosenDevice::Tensors(tensors)) = device::find("flex") else {
            panic!("flex is always there")
        };
        for with_cross in [false, true] {
            let expected = sums(&CpuKernels, with_cross).finish(4);
            for found in [sums(&tensors, with_cross).finish(4), sums(&ReferenceKernels, with_cross).finish(4)] {
                assert_eq!((found.tokens, found.cross.is_some()), (expected.tokens, with_cross));
                let near = |found: f64, expected: f64, scale: f64| assert!((found - expected).abs() < 2e-6 * scale, "{found} {expected}");
                let scale = expected.hessian[0];
                let squares = [Some(&found.hessian), found.cross.as_ref()].into_iter().flatten();
                let expected_squares = [Some(&expected.hessian), expected.cross.as_ref()].into_iter().flatten();
                for (found, expected) in squares.flatten().zip(expected_squares.flatten()) {
                    near(*found, *expected, scale);
                }
                let columns = found.means.iter().chain(&found.mean_magnitudes);
                for (found, expected) in columns.zip(expected.means.iter().chain(&expected.mean_magnitudes)) {
                    near(f64::from(*found), f64::from(*expected), 1.0);
                }
            }
        }
    }
}
