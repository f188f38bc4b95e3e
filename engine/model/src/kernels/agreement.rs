//! How far a device's kernels are from the float64 reference, each on inputs drawn from one seed.
//!
//! Tests draw shapes at random and hold bounds; this is for a device that nobody has tested on yet (`cruxscope bench device`).

use cruxscope_checkpoint::{Activation, RopePairs};
use cruxscope_statistics::SplitMix;

use super::calibration::CalibrationKernels;
use super::generation::GenerationKernels;
use super::reference::ReferenceKernels;
use super::{Heads, RopeDirection, SequenceSpan};
use crate::ModelError;

/// Tokens, and the columns of a matrix that is not one of heads. Neither is a multiple of the tiles that kernels like.
const ROWS: usize = 173;
const COLUMNS: usize = 330;
/// What float32 may differ by, as a share of the largest value: sums of hundreds of products in another order.
const FLOAT32_BOUND: f64 = 5e-5;
/// Products whose factors are rounded to bfloat16, 2^-9 of each at most, and not all in one direction.
const BFLOAT16_BOUND: f64 = 1e-2;

/// One kernel on a device, beside the reference.
#[derive(Clone, Debug, PartialEq)]
pub struct Agreement {
    /// The kernel.
    pub kernel: &'static str,
    /// The largest difference over all outputs, as a share of the largest value of the output that it stands in.
    pub difference: f64,
    /// What it may be.
    pub bound: f64,
}

impl Agreement {
    /// Whether the difference is within its bound; one that is no number is not.
    pub fn holds(&self) -> bool {
        self.difference <= self.bound
    }
}

/// Runs every kernel on a device and on the reference. `narrow` says that the modules' products take their factors in bfloat16.
///
/// # Errors
/// When the device failed.
pub fn agreement<K: GenerationKernels + CalibrationKernels>(kernels: &K, narrow: bool) -> Result<Vec<Agreement>, ModelError> {
    let inputs = Inputs::draw(1);
    let found = outputs(kernels, &inputs)?;
    let wanted = outputs(&ReferenceKernels, &inputs)?;
    let compared = found.into_iter().zip(wanted).map(|(found, wanted)| Agreement {
        kernel: wanted.kernel,
        difference: (found.values.iter().zip(&wanted.values))
            .map(|(found, wanted)| difference(found, wanted))
            .fold(0.0, f64::max),
        bound: if narrow && wanted.is_product { BFLOAT16_BOUND } else { FLOAT32_BOUND },
    });
    Ok(compared.collect())
}

/// The largest difference as a share of the largest value; infinite where shapes differ or a number is none.
fn difference(found: &[f64], wanted: &[f64]) -> f64 {
    if found.len() != wanted.len() {
        return f64::INFINITY;
    }
    let size = wanted.iter().fold(1e-3f64, |size, value| size.max(value.abs()));
    let each = found.iter().zip(wanted).map(|(found, wanted)| (found - wanted).abs() / size);
    each.fold(0.0, |worst, next| if next.is_nan() { f64::INFINITY } else { worst.max(next) })
}

/// A matrix in the machine's memory: rows, columns, values.
struct Host(usize, usize, Vec<f32>);

/// What kernels are run on.
struct Inputs {
    heads: Heads,
    runs: Vec<SequenceSpan>,
    x: Host,
    y: Host,
    gradient: Host,
    weight: Host,
    wide: Host,
    vector: Host,
    queries: Host,
    keys: Host,
    values: Host,
    sinks: Host,
    at_output: Host,
    cosine: Host,
    sine: Host,
    factors: Host,
    targets: Vec<u32>,
    weights: Vec<f32>,
}

impl Inputs {
    fn draw(seed: u64) -> Self {
        let mut random = SplitMix::new(seed);
        let mut matrix = |rows: usize, columns: usize, size: f64| {
            let values = (0..rows * columns).map(|_| (size * (2.0 * random.share() - 1.0)) as f32).collect();
            Host(rows, columns, values)
        };
        // Two runs of one sequence, the second after a gap, and a cap and a window that both of them meet.
        let runs = vec![
            SequenceSpan { position: 0, rows: 100 },
            SequenceSpan {
                position: 140,
                rows: ROWS - 100,
            },
        ];
        let tokens = 140 + ROWS - 100;
        let heads = Heads {
            cap: Some(20.0),
            window: Some(96),
            ..Heads::plain(6, 2, 40)
        };
        let angles = matrix(ROWS, 12, 3.0);
        let turned = |of: fn(f32) -> f32| Host(angles.0, angles.1, angles.2.iter().map(|angle| of(*angle)).collect());
        let (cosine, sine) = (turned(f32::cos), turned(f32::sin));
        Self {
            x: matrix(ROWS, COLUMNS, 2.0),
            y: matrix(ROWS, COLUMNS, 2.0),
            gradient: matrix(ROWS, COLUMNS, 2.0),
            weight: matrix(207, COLUMNS, 1.0),
            wide: matrix(ROWS, 207, 2.0),
            vector: matrix(1, COLUMNS, 2.0),
            queries: matrix(ROWS, heads.queries * heads.width, 2.0),
            keys: matrix(tokens, heads.keys * heads.width, 2.0),
            values: matrix(tokens, heads.keys * heads.width, 2.0),
            sinks: matrix(1, heads.queries, 3.0),
            at_output: matrix(ROWS, heads.queries * heads.width, 2.0),
            factors: matrix(ROWS, 1, 2.0),
            targets: (0..ROWS as u32).map(|row| row * 37 % (COLUMNS as u32 + 207)).collect(),
            weights: (0..ROWS).map(|row| [0.0, 0.25, 1.0][row % 3]).collect(),
            cosine,
            sine,
            heads,
            runs,
        }
    }
}

/// What one kernel gave.
struct Output {
    kernel: &'static str,
    is_product: bool,
    values: Vec<Vec<f64>>,
}

/// Every kernel on the inputs, in a fixed order.
fn outputs<K: GenerationKernels + CalibrationKernels>(k: &K, inputs: &Inputs) -> Result<Vec<Output>, ModelError> {
    let bring = |host: &Host| k.upload(host.0, host.1, host.2.clone());
    let down = |matrices: &[&K::Matrix]| matrices.iter().map(|matrix| k.wide(matrix)).collect::<Result<Vec<_>, _>>();
    let mut found = Vec::new();
    let mut add = |kernel, is_product, values| {
        found.push(Output { kernel, is_product, values });
    };
    let [x, y, gradient, weight] = [&inputs.x, &inputs.y, &inputs.gradient, &inputs.weight].map(bring);
    let [wide, vector, factors] = [&inputs.wide, &inputs.vector, &inputs.factors].map(bring);

    let mapped = k.linear(&x, &weight, None, None);
    add("linear", true, down(&[&mapped, &k.linear(&x, &weight, None, Some(wide.clone()))])?);
    add("linear, backward", true, down(&[&k.linear_backward(&wide, &weight, Some(x.clone()))])?);
    // Beside the gradient, since the two terms of a norm's backward pass cancel.
    let back = k.add(k.norm_backward(&x, &vector, COLUMNS, 1e-5, &gradient), &gradient);
    add("norm", false, down(&[&k.norm(&x, &vector, COLUMNS, 1e-5), &back])?);
    let back = k.add(k.layer_norm_backward(&x, &vector, 1e-2, &gradient), &gradient);
    add("layer norm", false, down(&[&k.layer_norm(&x, &vector, 1e-2), &back])?);
    add(
        "caps",
        false,
        down(&[&k.capped(x.clone(), 1.5), &k.capped_backward(&x, 1.5, gradient.clone())])?,
    );
    for activation in [Activation::Silu, Activation::GeluTanh, Activation::ClampedSwish, Activation::SquaredRelu] {
        let (at_gate, at_up) = k.gated_backward(activation, &x, &y, &gradient);
        add(name_of(activation), false, down(&[&k.gated(activation, &x, &y), &at_gate, &at_up])?);
    }
    let (heads, runs) = (inputs.heads, inputs.runs.as_slice());
    let [queries, keys, values, at_output] = [&inputs.queries, &inputs.keys, &inputs.values, &inputs.at_output].map(bring);
    let [cosine, sine, sinks] = [&inputs.cosine, &inputs.sine, &inputs.sinks].map(bring);
    let turned = k.rotate(queries.clone(), heads.width, RopePairs::Halves, &cosine, &sine, RopeDirection::Forward);
    let turned_back = k.rotate(turned.clone(), heads.width, RopePairs::Neighbours, &cosine, &sine, RopeDirection::Inverse);
    add("rotary embedding", false, down(&[&turned, &turned_back])?);
    let plain = Heads::plain(heads.queries, heads.keys, heads.width);
    for (kernel, heads, sinks) in [
        ("attention", plain, None),
        ("attention, capped, windowed, with sinks", heads, Some(&sinks)),
        ("attention in chunks", Heads { chunk: Some(64), ..plain }, None),
    ] {
        let output = k.attention(heads, &queries, &keys, &values, sinks, runs);
        let (at_queries, at_keys, at_values) = k.attention_backward(heads, &queries, &keys, &values, sinks, runs, &output, &at_output);
        add(kernel, false, down(&[&output, &at_queries, &at_keys, &at_values])?);
    }
    let (losses, gradients) = k.cross_entropy(vec![x.clone(), wide.clone()], &inputs.targets, &inputs.weights)?;
    let mut of_loss = down(&gradients.iter().collect::<Vec<_>>())?;
    of_loss.push(losses);
    add("cross-entropy", false, of_loss);
    let mut sums = vec![vec![0.0; COLUMNS]; 1];
    k.row_sums(&x, &[&inputs.weights], &mut sums)?;
    let products = k.row_products(&x, &y)?;
    sums.extend([products.sums, products.squares]);
    add("sums over rows and columns", false, sums);
    let columns = k.column_products(&x, &y, None);
    add(
        "sums of calibration",
        false,
        down(&[&columns, &k.column_sums(&x, None), &k.difference(&x, &y)])?,
    );
    let rows: Vec<usize> = (0..ROWS).rev().step_by(2).collect();
    let picked = k.gather(&x, &rows);
    let onto = k.add_rows(y.clone(), &rows, &picked);
    add(
        "rows of experts",
        false,
        down(&[&onto, &k.scaled_rows(x.clone(), &factors), &k.row_dots(&x, &y)])?,
    );
    add(
        "means",
        false,
        k.linear_vectors(&[inputs.vector.2.iter().map(|value| f64::from(*value)).collect()], &weight, None)?,
    );

    let held = k.hold(inputs.weight.0, COLUMNS, inputs.weight.2.clone());
    let few = k.slice(&x, 0, 5);
    let step = k.project_step(&few, &[(&held, None)]);
    let mut all: Vec<&K::Matrix> = step.iter().collect();
    let prompt = k.project_prompt(&x, (&held, None));
    all.push(&prompt);
    add("products of generation", true, down(&all)?);
    let plain = Heads::plain(heads.queries, heads.keys, heads.width);
    let (mut of_keys, mut of_values) = (k.cache(plain), k.cache(plain));
    let tokens = inputs.keys.0;
    for (first, count) in [(0, tokens - 1), (tokens - 1, 1)] {
        k.extend(&mut of_keys, &keys, first, count);
        k.extend(&mut of_values, &values, first, count);
    }
    let last = SequenceSpan { position: tokens - 1, rows: 1 };
    let attended = k.attend(plain, &k.slice(&queries, 0, 1), None, &[(last, &of_keys, &of_values)]);
    add("attention over caches", false, down(&[&attended])?);
    Ok(found)
}

const fn name_of(activation: Activation) -> &'static str {
    match activation {
        Activation::Silu => "gate, SiLU",
        Activation::GeluTanh => "gate, GELU",
        Activation::ClampedSwish => "gate, clamped swish",
        Activation::SquaredRelu => "squared ReLU",
        _ => "gate",
    }
}

#[cfg(test)]
mod tests {
    use super::super::cpu::CpuKernels;
    use super::*;

    #[test]
    fn the_processors_agree_and_the_reference_is_itself() {
        for row in agreement(&CpuKernels, false).unwrap() {
            assert!(row.holds(), "{row:?}");
        }
        for row in agreement(&ReferenceKernels, false).unwrap() {
            assert!(row.difference == 0.0, "{row:?}");
        }
    }

    #[test]
    fn a_difference_is_seen() {
        assert!(difference(&[1.0, 2.0], &[1.0, 2.1]) > 0.04);
        assert_eq!(difference(&[1.0], &[1.0, 2.0]), f64::INFINITY);
        assert_eq!(difference(&[f64::NAN], &[1.0]), f64::INFINITY);
        let row = Agreement {
            kernel: "",
            difference: f64::NAN,
            bound: 1.0,
        };
        assert!(!row.holds());
    }
}
