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
mod rounding;
#[cfg(test)]
mod tests;

use burn::tensor::activation::sigmoid;
use burn::tensor::{DType, Device, IndexingUpdateOp, Int, Tensor, TensorData};
use cruxscope_checkpoint::{Activation, InputRounding, RopePairs};
use half::bf16;

use super::{ColumnRun, Heads, Kernels, RopeDirection, RowProducts, SequenceSpan};
use crate::ModelError;
use crate::precision::Precision;

/// Rows that are summed in float32 before float64 takes over.
const SUMMED_ROWS: usize = 512;

/// Where gpt-oss's activation clamps, and the steepness of its sigmoid.
const CLAMP: f64 = 7.0;
const STEEPNESS: f64 = 1.702;

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

    /// sigmoid(v) and the slope of v, for an activation x sigmoid(v).
    fn gate(activation: Activation, x: &Tensor<2>) -> (Tensor<2>, Option<Tensor<2>>) {
        match activation {
            Activation::Silu | Activation::Sigmoid | Activation::SquaredRelu => (sigmoid(x.clone()), None),
            Activation::ClampedSwish => (sigmoid(x.clone().mul_scalar(STEEPNESS)), None),
            Activation::GeluTanh => {
                let root = 2.0 * (2.0 / std::f64::consts::PI).sqrt();
                let square = x.clone().square().mul_scalar(0.044715);
                let v = x.clone() * square.clone().add_scalar(1.0).mul_scalar(root);
                (sigmoid(v), Some(square.mul_scalar(3.0).add_scalar(1.0).mul_scalar(root)))
            }
        }
    }

    /// 1 - tanh(y)^2 = 4 e / (1 + e)^2 with e = exp(-2 |y|).
    fn slope_of_tanh<const D: usize>(y: Tensor<D>) -> Tensor<D> {
        let e = y.abs().mul_scalar(-2.0).exp();
        e.clone().mul_scalar(4.0) / e.add_scalar(1.0).square()
    }

    /// Rows less their means, times one over their deviation; and that.
    fn standardised(x: &Tensor<2>, epsilon: f64) -> (Tensor<2>, Tensor<2>) {
        let centred = x.clone() - x.clone().mean_dim(1);
        let r = Self::reciprocal_root(centred.clone(), epsilon);
        (centred * r.clone(), r)
    }

    fn reciprocal_root(x: Tensor<2>, epsilon: f64) -> Tensor<2> {
        x.square().mean_dim(1).add_scalar(epsilon).sqrt().recip()
    }
}

impl TensorKernels {
    /// [`Kernels::rotate`] of neighbours, or of a part of each head.
    fn rotate_pairs(x: Tensor<2>, width: usize, pairs: RopePairs, cosine: &Tensor<2>, sine: &Tensor<2>, turn: RopeDirection) -> Tensor<2> {
        let [rows, columns] = x.dims();
        let (heads, half) = (columns / width, cosine.dims()[1]);
        let x = x.reshape([rows, heads, width]);
        let turned = x.clone().narrow(2, 0, 2 * half);
        // The dimension in which the two of a pair lie.
        let (shape, pair) = match pairs {
            RopePairs::Halves => ([rows, heads, 2, half], 2),
            RopePairs::Neighbours => ([rows, heads, half, 2], 3),
        };
        let turned = turned.reshape(shape);
        let (a, b) = (turned.clone().narrow(pair, 0, 1), turned.narrow(pair, 1, 1));
        let mut table = shape;
        (table[1], table[pair]) = (1, 1);
        let cosine = cosine.clone().reshape(table);
        let mut sine = sine.clone().reshape(table);
        if turn == RopeDirection::Inverse {
            sine = sine.neg();
        }
        let first = a.clone() * cosine.clone() - b.clone() * sine.clone();
        let second = b * cosine + a * sine;
        let mut parts = vec![Tensor::cat(vec![first, second], pair).reshape([rows, heads, 2 * half])];
        if 2 * half < width {
            parts.push(x.narrow(2, 2 * half, width - 2 * half));
        }
        Tensor::cat(parts, 2).reshape([rows, columns])
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

    fn scaled(&self, x: Tensor<2>, factor: f64) -> Tensor<2> {
        x.mul_scalar(factor)
    }

    fn rounded(&self, x: &Tensor<2>, rounding: &InputRounding) -> Tensor<2> {
        rounding::rounded(x, rounding)
    }

    fn capped(&self, x: Tensor<2>, cap: f64) -> Tensor<2> {
        x.div_scalar(cap).tanh().mul_scalar(cap)
    }

    fn capped_backward(&self, x: &Tensor<2>, cap: f64, gradient: Tensor<2>) -> Tensor<2> {
        gradient * Self::slope_of_tanh(x.clone().div_scalar(cap))
    }

    fn layer_norm(&self, x: &Tensor<2>, weight: &Tensor<2>, epsilon: f64) -> Tensor<2> {
        let y = Self::standardised(x, epsilon).0 * weight.clone().narrow(0, 0, 1);
        if weight.dims()[0] > 1 { y + weight.clone().narrow(0, 1, 1) } else { y }
    }

    fn layer_norm_backward(&self, x: &Tensor<2>, weight: &Tensor<2>, epsilon: f64, gradient: &Tensor<2>) -> Tensor<2> {
        let (z, r) = Self::standardised(x, epsilon);
        let weighted = gradient.clone() * weight.clone().narrow(0, 0, 1);
        let along = (weighted.clone() * z.clone()).mean_dim(1);
        (weighted.clone() - weighted.mean_dim(1) - z * along) * r
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

    fn rotate(&self, x: Tensor<2>, width: usize, pairs: RopePairs, cosine: &Tensor<2>, sine: &Tensor<2>, turn: RopeDirection) -> Tensor<2> {
        let [rows, columns] = x.dims();
        let (heads, half) = (columns / width, cosine.dims()[1]);
        if pairs == RopePairs::Neighbours || 2 * half < width {
            return Self::rotate_pairs(x, width, pairs, cosine, sine, turn);
        }
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

    fn attention(
        &self,
        heads: Heads,
        queries: &Tensor<2>,
        keys: &Tensor<2>,
        values: &Tensor<2>,
        sinks: Option<&Tensor<2>>,
        runs: &[SequenceSpan],
    ) -> Tensor<2> {
        self.attended(heads, queries, keys, values, sinks, runs)
    }

    fn attention_backward(
        &self,
        heads: Heads,
        queries: &Tensor<2>,
        keys: &Tensor<2>,
        values: &Tensor<2>,
        sinks: Option<&Tensor<2>>,
        runs: &[SequenceSpan],
        output: &Tensor<2>,
        gradient: &Tensor<2>,
    ) -> (Tensor<2>, Tensor<2>, Tensor<2>) {
        self.attended_backward(heads, queries, keys, values, sinks, runs, output, gradient)
    }

    fn arrange(&self, parts: &[&Tensor<2>], runs: &[ColumnRun]) -> Tensor<2> {
        let rows = parts.first().map_or(0, |part| part.dims()[0]);
        let pieces = runs.iter().filter(|run| run.count > 0).map(|run| match run.part {
            Some(part) => parts[part].clone().narrow(1, run.first, run.count),
            None => Tensor::zeros([rows, run.count], &self.device),
        });
        Tensor::cat(pieces.collect(), 1)
    }

    fn arrange_backward(&self, gradient: &Tensor<2>, widths: &[usize], runs: &[ColumnRun]) -> Vec<Tensor<2>> {
        let rows = gradient.dims()[0];
        let mut back: Vec<Tensor<2>> = widths.iter().map(|width| Tensor::zeros([rows, *width], &self.device)).collect();
        let mut at = 0;
        for run in runs {
            if let (Some(part), true) = (run.part, run.count > 0) {
                let place = [0..rows, run.first..run.first + run.count];
                let sum = back[part].clone().slice(place.clone()) + gradient.clone().narrow(1, at, run.count);
                back[part] = back[part].clone().slice_assign(place, sum);
            }
            at += run.count;
        }
        back
    }

    fn add_rows(&self, onto: Tensor<2>, rows: &[usize], x: &Tensor<2>) -> Tensor<2> {
        let rows = self.indices(rows.iter().copied(), [rows.len()]);
        onto.select_assign(0, rows, x.clone(), IndexingUpdateOp::Add)
    }

    fn scaled_rows(&self, x: Tensor<2>, factors: &Tensor<2>) -> Tensor<2> {
        x * factors.clone()
    }

    fn row_dots(&self, x: &Tensor<2>, y: &Tensor<2>) -> Tensor<2> {
        (x.clone() * y.clone()).sum_dim(1)
    }

    fn gated(&self, activation: Activation, gate: &Tensor<2>, up: &Tensor<2>) -> Tensor<2> {
        if activation == Activation::Sigmoid {
            return sigmoid(gate.clone()) * up.clone();
        }
        if activation == Activation::SquaredRelu {
            return gate.clone().clamp_min(0.0).square() * up.clone();
        }
        if activation == Activation::ClampedSwish {
            let (x, up) = (gate.clone().clamp_max(CLAMP), up.clone().clamp(-CLAMP, CLAMP).add_scalar(1.0));
            return x.clone() * Self::gate(activation, &x).0 * up;
        }
        gate.clone() * Self::gate(activation, gate).0 * up.clone()
    }

    fn gated_backward(&self, activation: Activation, gate: &Tensor<2>, up: &Tensor<2>, gradient: &Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        if activation == Activation::SquaredRelu {
            let x = gate.clone().clamp_min(0.0);
            return (gradient.clone() * up.clone() * x.clone().mul_scalar(2.0), gradient.clone() * x.square());
        }
        if activation == Activation::Sigmoid {
            let s = sigmoid(gate.clone());
            let slope = s.clone() * s.clone().neg().add_scalar(1.0);
            return (gradient.clone() * up.clone() * slope, gradient.clone() * s);
        }
        if activation == Activation::ClampedSwish {
            let (x, u) = (gate.clone().clamp_max(CLAMP), up.clone().clamp(-CLAMP, CLAMP).add_scalar(1.0));
            let s = Self::gate(activation, &x).0;
            let bend = (x.clone() * s.clone().neg().add_scalar(1.0)).mul_scalar(STEEPNESS).add_scalar(1.0);
            let at_gate = (gradient.clone() * u * s.clone() * bend).mask_fill(gate.clone().greater_elem(CLAMP), 0.0);
            let at_up = (gradient.clone() * x * s).mask_fill(up.clone().abs().greater_elem(CLAMP), 0.0);
            return (at_gate, at_up);
        }
        let (s, inner) = Self::gate(activation, gate);
        let dup = gradient.clone() * gate.clone() * s.clone();
        let mut bend = gate.clone() * (s.clone().neg().add_scalar(1.0));
        if let Some(inner) = inner {
            bend = bend * inner;
        }
        let slope = s * bend.add_scalar(1.0);
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

    fn row_products(&self, x: &Tensor<2>, y: &Tensor<2>) -> Result<RowProducts, ModelError> {
        let products = x.clone() * y.clone();
        let squares = (products.clone() * products.clone()).sum_dim(1);
        let both = self.host("products of rows", Tensor::cat(vec![products.sum_dim(1), squares], 1))?;
        let (sums, squares) = both
            .as_chunks::<2>()
            .0
            .iter()
            .map(|[sum, square]| (f64::from(*sum), f64::from(*square)))
            .unzip();
        Ok(RowProducts { sums, squares })
    }
}
