//! The kernels in burn tensors: one implementation for every device that burn knows.
//!
//! Attention goes in tiles of queries, so nothing of size tokens x tokens is ever held; the tile shrinks as the keys grow.
//! Activations and sums are float32. Weights that bfloat16 holds exactly are kept in it where the device knows it, which halves
//! the memory they take, and become float32 one matrix at a time for the product that needs them: the numbers are the same.
//! Under [`Precision::BFloat16`] the products of modules are taken in bfloat16 themselves, as matrix units of cards do them
//! fastest; the stream between the modules, norms, attention, losses and sums stay float32.

mod attention;
mod calibration;
mod generation;

use burn::tensor::activation::sigmoid;
use burn::tensor::{DType, Device, IndexingUpdateOp, Int, Tensor, TensorData};
use half::bf16;

use super::{Heads, Kernels, RopeDirection, SequenceSpan};
use crate::ModelError;
use crate::precision::Precision;

/// Rows that are summed in float32 before float64 takes over.
const SUMMED_ROWS: usize = 512;

/// Kernels over burn tensors on one device.
#[derive(Clone, Debug)]
pub struct TensorKernels {
    device: Device,
    name: String,
    precision: Precision,
}

impl TensorKernels {
    /// Kernels on a device that has been found to be there (see [`crate::device`]); `name` is for manifests.
    pub fn new(device: Device, name: impl Into<String>) -> Self {
        Self {
            device,
            name: name.into(),
            precision: Precision::Float32,
        }
    }

    /// The same with another precision; nothing where the device does not know its numbers.
    pub fn with_precision(self, precision: Precision) -> Option<Self> {
        let known = precision == Precision::Float32 || self.device.supports_dtype(DType::BF16);
        known.then_some(Self { precision, ..self })
    }

    fn floats<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }

    fn indices<const D: usize>(&self, values: impl IntoIterator<Item = usize>, shape: [usize; D]) -> Tensor<D, Int> {
        let values: Vec<i32> = values.into_iter().map(|value| value as i32).collect();
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }

    fn host(&self, what: &str, tensor: Tensor<2>) -> Result<Vec<f32>, ModelError> {
        let failed = |why: String| ModelError::DeviceFailed { what: what.into(), why };
        let data = tensor.try_into_data().map_err(|error| failed(format!("{error:?}")))?;
        data.try_into_vec::<f32>().map_err(|error| failed(format!("{error:?}")))
    }

    /// x times a weight, or its transpose, in the precision of products.
    fn product(&self, x: &Tensor<2>, weight: &Tensor<2>, orient: fn(Tensor<2>) -> Tensor<2>) -> Tensor<2> {
        match self.precision {
            Precision::Float32 => x.clone().matmul(orient(Self::whole(weight))),
            Precision::BFloat16 => {
                let weight = match weight.dtype() {
                    DType::BF16 => weight.clone(),
                    _ => weight.clone().cast(DType::BF16),
                };
                x.clone().cast(DType::BF16).matmul(orient(weight)).cast(DType::F32)
            }
        }
    }

    /// A weight in float32.
    fn whole(weight: &Tensor<2>) -> Tensor<2> {
        match weight.dtype() {
            DType::F32 => weight.clone(),
            _ => weight.clone().cast(DType::F32),
        }
    }

    fn reciprocal_root(x: Tensor<2>, epsilon: f64) -> Tensor<2> {
        x.square().mean_dim(1).add_scalar(epsilon).sqrt().recip()
    }
}

impl Kernels for TensorKernels {
    type Matrix = Tensor<2>;

    fn describe(&self) -> String {
        match self.precision {
            Precision::Float32 => format!("{}, float32", self.name),
            Precision::BFloat16 => format!("{}, products in bfloat16, else float32", self.name),
        }
    }

    fn upload(&self, rows: usize, columns: usize, values: Vec<f32>) -> Tensor<2> {
        self.floats(values, [rows, columns])
    }

    fn keep(&self, rows: usize, columns: usize, values: Vec<f32>) -> Tensor<2> {
        if self.weight_bytes(values.iter().all(|value| value.to_bits() & 0xFFFF == 0)) == 4 {
            return self.upload(rows, columns, values);
        }
        let short: Vec<bf16> = values.into_iter().map(bf16::from_f32).collect();
        Tensor::from_data(TensorData::new(short, [rows, columns]), (&self.device, DType::BF16))
    }

    fn weight_bytes(&self, exact: bool) -> u64 {
        let short = exact || self.precision == Precision::BFloat16;
        if short && self.device.supports_dtype(DType::BF16) { 2 } else { 4 }
    }

    fn held(&self) -> Option<u64> {
        self.device.memory_pool_usage().map(|usage| usage.bytes_reserved)
    }

    fn download(&self, matrix: &Tensor<2>) -> Result<Vec<f32>, ModelError> {
        self.host("a matrix", matrix.clone())
    }

    fn rows(&self, matrix: &Tensor<2>) -> usize {
        matrix.dims()[0]
    }

    fn gather(&self, matrix: &Tensor<2>, indices: &[usize]) -> Tensor<2> {
        matrix.clone().select(0, self.indices(indices.iter().copied(), [indices.len()]))
    }

    fn slice(&self, matrix: &Tensor<2>, first: usize, count: usize) -> Tensor<2> {
        matrix.clone().narrow(0, first, count)
    }

    fn stack(&self, parts: Vec<Tensor<2>>) -> Tensor<2> {
        Tensor::cat(parts, 0)
    }

    fn add(&self, x: Tensor<2>, y: &Tensor<2>) -> Tensor<2> {
        x + y.clone()
    }

    fn norm(&self, x: &Tensor<2>, weight: &Tensor<2>, width: usize, epsilon: f64) -> Tensor<2> {
        let [rows, columns] = x.dims();
        let groups = x.clone().reshape([rows * (columns / width), width]);
        let r = Self::reciprocal_root(groups.clone(), epsilon);
        (groups * r * weight.clone()).reshape([rows, columns])
    }

    fn norm_backward(&self, x: &Tensor<2>, weight: &Tensor<2>, width: usize, epsilon: f64, gradient: &Tensor<2>) -> Tensor<2> {
        let [rows, columns] = x.dims();
        let shape = [rows * (columns / width), width];
        let groups = x.clone().reshape(shape);
        let r = Self::reciprocal_root(groups.clone(), epsilon);
        let weighted = gradient.clone().reshape(shape) * weight.clone();
        let mean = (weighted.clone() * groups.clone()).mean_dim(1);
        let correction = r.clone().powi_scalar(3) * mean;
        (weighted * r - groups * correction).reshape([rows, columns])
    }

    fn linear(&self, x: &Tensor<2>, weight: &Tensor<2>, bias: Option<&Tensor<2>>, onto: Option<Tensor<2>>) -> Tensor<2> {
        let mut y = self.product(x, weight, Tensor::transpose);
        if let Some(bias) = bias {
            y = y + bias.clone();
        }
        match onto {
            Some(onto) => onto + y,
            None => y,
        }
    }

    fn linear_backward(&self, gradient: &Tensor<2>, weight: &Tensor<2>, onto: Option<Tensor<2>>) -> Tensor<2> {
        let dx = self.product(gradient, weight, |weight| weight);
        match onto {
            Some(onto) => onto + dx,
            None => dx,
        }
    }

    fn rotate(&self, x: Tensor<2>, width: usize, cosine: &Tensor<2>, sine: &Tensor<2>, turn: RopeDirection) -> Tensor<2> {
        let [rows, columns] = x.dims();
        let (heads, half) = (columns / width, width / 2);
        let halves = x.reshape([rows, heads, 2, half]);
        let a = halves.clone().slice([0..rows, 0..heads, 0..1, 0..half]);
        let b = halves.slice([0..rows, 0..heads, 1..2, 0..half]);
        let cosine = cosine.clone().reshape([rows, 1, 1, half]);
        let mut sine = sine.clone().reshape([rows, 1, 1, half]);
        if turn == RopeDirection::Inverse {
            sine = sine.neg();
        }
        let first = a.clone() * cosine.clone() - b.clone() * sine.clone();
        let second = b * cosine + a * sine;
        Tensor::cat(vec![first, second], 2).reshape([rows, columns])
    }

    fn attention(&self, heads: Heads, queries: &Tensor<2>, keys: &Tensor<2>, values: &Tensor<2>, runs: &[SequenceSpan]) -> Tensor<2> {
        self.attended(heads, queries, keys, values, runs)
    }

    fn attention_backward(
        &self,
        heads: Heads,
        queries: &Tensor<2>,
        keys: &Tensor<2>,
        values: &Tensor<2>,
        runs: &[SequenceSpan],
        output: &Tensor<2>,
        gradient: &Tensor<2>,
    ) -> (Tensor<2>, Tensor<2>, Tensor<2>) {
        self.attended_backward(heads, queries, keys, values, runs, output, gradient)
    }

    fn gated(&self, gate: &Tensor<2>, up: &Tensor<2>) -> Tensor<2> {
        gate.clone() * sigmoid(gate.clone()) * up.clone()
    }

    fn gated_backward(&self, gate: &Tensor<2>, up: &Tensor<2>, gradient: &Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let s = sigmoid(gate.clone());
        let dup = gradient.clone() * gate.clone() * s.clone();
        let slope = s.clone() * (gate.clone() * (s.neg().add_scalar(1.0))).add_scalar(1.0);
        (gradient.clone() * up.clone() * slope, dup)
    }

    fn cross_entropy(&self, logits: Vec<Tensor<2>>, targets: &[u32], weights: &[f32]) -> Result<(Vec<f64>, Vec<Tensor<2>>), ModelError> {
        let widths: Vec<usize> = logits.iter().map(|part| part.dims()[1]).collect();
        let n = targets.len();
        let logits = Tensor::cat(logits, 1);
        let targets = self.indices(targets.iter().map(|target| *target as usize), [n, 1]);
        let largest = logits.clone().max_dim(1);
        let exponentials = (logits.clone() - largest.clone()).exp();
        let total = exponentials.clone().sum_dim(1);
        let loss = total.clone().log() + largest - logits.gather(1, targets.clone());
        let loss = self.host("losses", loss)?;
        let weight = self.floats(weights.to_vec(), [n, 1]);
        let gradient = exponentials / total * weight.clone();
        let gradient = gradient.scatter(1, targets, weight.neg(), IndexingUpdateOp::Add);
        let mut parts = Vec::new();
        let mut first = 0;
        for width in widths {
            parts.push(gradient.clone().slice([0..n, first..first + width]));
            first += width;
        }
        Ok((
            loss.into_iter()
                .zip(weights)
                .map(|(loss, weight)| f64::from(loss) * f64::from(*weight))
                .collect(),
            parts,
        ))
    }

    fn row_sums(&self, x: &Tensor<2>, weights: &[&[f32]], sums: &mut [Vec<f64>]) -> Result<(), ModelError> {
        let [rows, columns] = x.dims();
        let k = weights.len();
        if k == 0 {
            return Ok(());
        }
        let mut tiles = Vec::new();
        for first in (0..rows).step_by(SUMMED_ROWS) {
            let n = SUMMED_ROWS.min(rows - first);
            let values = weights.iter().flat_map(|weights| weights[first..first + n].iter().copied()).collect();
            tiles.push(self.floats(values, [k, n]).matmul(x.clone().narrow(0, first, n)));
        }
        let values = self.host("sums of rows", Tensor::cat(tiles, 0))?;
        for (row, values) in values.chunks_exact(columns).enumerate() {
            for (sum, value) in sums[row % k].iter_mut().zip(values) {
                *sum += f64::from(*value);
            }
        }
        Ok(())
    }

    fn linear_vectors(&self, vectors: &[Vec<f64>], weight: &Tensor<2>, bias: Option<&Tensor<2>>) -> Result<Vec<Vec<f64>>, ModelError> {
        // float64 is rare on accelerators; what rounding the vectors loses goes through as a second term.
        let (k, inputs, outputs) = (vectors.len(), weight.dims()[1], weight.dims()[0]);
        let high: Vec<f32> = vectors.iter().flatten().map(|value| *value as f32).collect();
        let low: Vec<f32> = vectors
            .iter()
            .flatten()
            .zip(&high)
            .map(|(value, high)| (value - f64::from(*high)) as f32)
            .collect();
        // Differences of means are small beside the means, so these few products are float32 under either precision.
        let exact = Self {
            precision: Precision::Float32,
            ..self.clone()
        };
        let main = self.host("means", exact.linear(&self.floats(high, [k, inputs]), weight, bias, None))?;
        let rest = self.host("means", exact.linear(&self.floats(low, [k, inputs]), weight, None, None))?;
        let sums: Vec<f64> = main.into_iter().zip(rest).map(|(main, rest)| f64::from(main) + f64::from(rest)).collect();
        Ok(sums.chunks_exact(outputs).map(<[f64]>::to_vec).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bfloat16_products_are_as_near_as_their_rounding() {
        let exact = TensorKernels::new(Device::flex(), "flex");
        let short = exact.clone().with_precision(Precision::BFloat16).unwrap();
        assert_ne!(exact.describe(), short.describe());
        let (rows, inputs, outputs) = (5, 96, 64);
        let values = |count: usize, step: f32| (0..count).map(|place| (place as f32 * step).sin()).collect::<Vec<f32>>();
        let run = |kernels: &TensorKernels| {
            let weight = kernels.keep(outputs, inputs, values(outputs * inputs, 0.37));
            let onto = kernels.upload(rows, outputs, vec![1000.0; rows * outputs]);
            let y = kernels.linear(&kernels.upload(rows, inputs, values(rows * inputs, 0.73)), &weight, None, Some(onto));
            let x = kernels.linear_backward(&kernels.upload(rows, outputs, values(rows * outputs, 0.51)), &weight, None);
            (weight.dtype(), kernels.download(&y).unwrap(), kernels.download(&x).unwrap())
        };
        let ((long, y, x), (kept, short_y, short_x)) = (run(&exact), run(&short));
        assert_eq!((long, kept), (DType::F32, DType::BF16));
        // Both operands are off by 2^-9 at most, each product of theirs is at most 1, so a sum of n of them is off by n / 256. What
        // it is added to is not rounded: bfloat16 knows only every fourth number near 1000.
        for (exact, short, terms) in [(&y, &short_y, inputs), (&x, &short_x, outputs)] {
            let distance = exact.iter().zip(short).map(|(exact, short)| (exact - short).abs()).fold(0.0, f32::max);
            assert!(distance > 0.0 && distance < terms as f32 / 256.0, "{distance}");
        }
    }

    #[test]
    fn a_weight_is_kept_short_only_where_nothing_is_lost() {
        let kernels = TensorKernels::new(Device::flex(), "flex");
        let x = kernels.upload(2, 4, vec![0.1, -0.7, 1.3, 2.0, 0.3, 0.9, -1.1, 0.01]);
        let short = [0.5, -1.25, 3.0, 0.0078125, -0.75, 2.5, 1.0, -96.0, 0.25, 0.125, 7.0, -2.0];
        let long = short.map(|value: f32| value + 1e-4);
        for (values, expected) in [(short, DType::BF16), (long, DType::F32)] {
            let (kept, whole) = (kernels.keep(3, 4, values.to_vec()), kernels.upload(3, 4, values.to_vec()));
            assert_eq!(kept.dtype(), expected);
            let product = |weight: &Tensor<2>| kernels.download(&kernels.linear(&x, weight, None, None)).unwrap();
            assert_eq!(product(&kept), product(&whole));
            let gradient = kernels.upload(2, 3, vec![1.0, -0.5, 0.3, 0.2, 0.7, -0.9]);
            let back = |weight: &Tensor<2>| kernels.download(&kernels.linear_backward(&gradient, weight, None)).unwrap();
            assert_eq!(back(&kept), back(&whole));
        }
    }
}
