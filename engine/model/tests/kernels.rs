//! Every kernel against the float64 reference, over shapes and values drawn at random: the CPU's, and the tensors' on flex.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, outside their functions

use cruxscope_checkpoint::{Activation, GroupScales, InputRounding, InputScales, RopePairs, RoundedNumbers};
use cruxscope_model::device::{self, ChosenDevice};
use cruxscope_model::kernels::calibration::CalibrationKernels as _;
use cruxscope_model::kernels::cpu::CpuKernels;
use cruxscope_model::kernels::reference::ReferenceKernels;
use cruxscope_model::kernels::tensors::TensorKernels;
use cruxscope_model::kernels::{Heads, Kernels, RopeDirection, SequenceSpan};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// A host matrix: rows, columns, values.
#[derive(Clone, Debug)]
struct Host(usize, usize, Vec<f32>);

fn host(rows: usize, columns: usize) -> impl Strategy<Value = Host> {
    prop::collection::vec(-2.0f32..2.0, rows * columns).prop_map(move |values| Host(rows, columns, values))
}

fn bring<K: Kernels>(kernels: &K, matrix: &Host) -> K::Matrix {
    kernels.upload(matrix.0, matrix.1, matrix.2.clone())
}

fn flex() -> TensorKernels {
    match device::find("flex") {
        Ok(ChosenDevice::Tensors(kernels)) => kernels,
        _ => panic!("flex is always there"),
    }
}

/// Runs an operation on all three kernels and compares; `$kernels` is the name by which the operation calls them.
macro_rules! agree {
    ($tolerance:expr, |$kernels:ident| $operation:expr) => {{
        let wanted: Vec<Vec<f32>> = {
            let $kernels = &ReferenceKernels;
            $operation
        };
        let found = [
            ("cpu", {
                let $kernels = &CpuKernels;
                $operation
            }),
            ("tensors", {
                let $kernels = &flex();
                $operation
            }),
        ];
        for (name, found) in found {
            for (output, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
                prop_assert_eq!(found.len(), wanted.len(), "{} output {}", name, output);
                let size = wanted.iter().fold(1e-3f32, |size, value| size.max(value.abs()));
                let worst = found
                    .iter()
                    .zip(wanted)
                    .map(|(a, b)| (a - b).abs() / size)
                    .fold(0.0f32, |worst, next| if next.is_nan() { f32::INFINITY } else { worst.max(next) });
                prop_assert!(
                    worst < $tolerance,
                    "{} output {}: largest difference {:.2e} of the largest value",
                    name,
                    output,
                    worst
                );
            }
        }
    }};
}

fn down<K: Kernels>(kernels: &K, matrices: &[&K::Matrix]) -> Vec<Vec<f32>> {
    matrices.iter().map(|matrix| kernels.download(matrix).unwrap()).collect()
}

/// How scores come about: scaled, capped and within a window or a chunk, or not.
fn rules() -> impl Strategy<Value = (Option<f64>, Option<f64>, Option<usize>, Option<usize>)> {
    // Not of one token: then all gradients of queries and keys are zero, and what is compared is rounding.
    let window = prop::option::of(prop::sample::select(vec![3usize, 16, 64, 200]));
    let chunk = prop::option::of(prop::sample::select(vec![7usize, 32, 80]));
    (prop::option::of(0.05f64..0.5), prop::option::of(0.5f64..8.0), window, chunk)
}

/// Heads, runs that may overlap, and the queries, keys, values and gradients that fit them.
fn attention_case() -> impl Strategy<Value = (Heads, Vec<SequenceSpan>, [Host; 4])> {
    (
        1usize..3,
        1usize..4,
        prop::sample::select(vec![4usize, 8, 10]),
        prop::collection::vec((0usize..40, 1usize..90), 1..4),
        rules(),
    )
        .prop_flat_map(|(keys, group, width, runs, (scale, cap, window, chunk))| {
            let heads = Heads {
                scale,
                cap,
                window,
                chunk,
                ..Heads::plain(keys * group, keys, width)
            };
            let runs: Vec<SequenceSpan> = runs.into_iter().map(|(position, rows)| SequenceSpan { position, rows }).collect();
            let rows: usize = runs.iter().map(|run| run.rows).sum();
            let tokens = runs.iter().map(|run| run.position + run.rows).max().unwrap_or(1) + 3;
            let (wide, narrow) = (heads.queries * width, keys * width);
            (
                Just(heads),
                Just(runs),
                [
                    host(rows, wide).boxed(),
                    host(tokens, narrow).boxed(),
                    host(tokens, narrow).boxed(),
                    host(rows, wide).boxed(),
                ],
            )
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn products_of_rows_agree((x, y) in (1usize..40, 1usize..2100).prop_flat_map(|(n, d)| (host(n, d), host(n, d)))) {
        agree!(2e-5, |k| {
            let products = k.row_products(&bring(k, &x), &bring(k, &y)).unwrap();
            let single = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect::<Vec<f32>>();
            vec![single(products.sums), single(products.squares)]
        });
    }

    #[test]
    fn linear_maps_agree((x, weight, bias, onto) in (1usize..40, 1usize..70, 1usize..50).prop_flat_map(|(n, inputs, outputs)| (host(n, inputs), host(outputs, inputs), host(1, outputs), host(n, outputs)))) {
        agree!(1e-5, |k| {
            let (x, weight, bias, onto) = (bring(k, &x), bring(k, &weight), bring(k, &bias), bring(k, &onto));
            let plain = k.linear(&x, &weight, None, None);
            let full = k.linear(&x, &weight, Some(&bias), Some(onto.clone()));
            let back = k.linear_backward(&onto, &weight, None);
            let back_onto = k.linear_backward(&onto, &weight, Some(x.clone()));
            down(k, &[&plain, &full, &back, &back_onto])
        });
    }

    #[test]
    fn norms_agree((x, weight, gradient) in (1usize..30, 1usize..4, 1usize..60).prop_flat_map(|(n, groups, width)| (host(n, groups * width), host(1, width), host(n, groups * width)))) {
        let width = weight.1;
        agree!(1e-5, |k| {
            let (x, weight, gradient) = (bring(k, &x), bring(k, &weight), bring(k, &gradient));
            // The two terms of the backward pass cancel where a row is short: they are compared in the size of the gradient.
            let back = k.norm_backward(&x, &weight, width, 1e-5, &gradient);
            down(k, &[&k.norm(&x, &weight, width, 1e-5), &k.add(back, &gradient)])
        });
    }

    #[test]
    fn norms_about_the_mean_agree((x, weight, gradient) in (1usize..30, 2usize..60).prop_flat_map(|(n, width)| (host(n, width), host(1, width), host(n, width)))) {
        // A mean that is large beside what varies.
        let x = Host(x.0, x.1, x.2.iter().map(|value| value + 3.0).collect());
        agree!(2e-5, |k| {
            let (x, weight, gradient) = (bring(k, &x), bring(k, &weight), bring(k, &gradient));
            let back = k.layer_norm_backward(&x, &weight, 1e-2, &gradient);
            down(k, &[&k.layer_norm(&x, &weight, 1e-2), &k.add(back, &gradient)])
        });
    }

    #[test]
    fn caps_and_factors_agree((x, gradient, cap) in (1usize..20, 1usize..50, 0.5f64..40.0).prop_flat_map(|(n, width, cap)| (host(n, width), host(n, width), Just(cap)))) {
        let x = Host(x.0, x.1, x.2.iter().map(|value| value * 30.0).collect());
        agree!(1e-5, |k| {
            let (x, gradient) = (bring(k, &x), bring(k, &gradient));
            let back = k.capped_backward(&x, cap, gradient.clone());
            down(k, &[&k.capped(x, cap), &k.scaled(gradient, 0.3), &back])
        });
    }

    #[test]
    fn rotations_agree_and_turn_back((x, angles, rest, pairs) in (1usize..20, 1usize..4, 1usize..9, 0usize..4, prop::sample::select(vec![RopePairs::Halves, RopePairs::Neighbours])).prop_flat_map(|(n, heads, half, rest, pairs)| (host(n, heads * (half * 2 + rest)), host(n, half), Just(rest), Just(pairs)))) {
        let width = 2 * angles.1 + rest;
        let cosine = Host(angles.0, angles.1, angles.2.iter().map(|angle| angle.cos()).collect());
        let sine = Host(angles.0, angles.1, angles.2.iter().map(|angle| angle.sin()).collect());
        agree!(1e-5, |k| {
            let (cosine, sine) = (bring(k, &cosine), bring(k, &sine));
            let turned = k.rotate(bring(k, &x), width, pairs, &cosine, &sine, RopeDirection::Forward);
            let back = k.rotate(turned.clone(), width, pairs, &cosine, &sine, RopeDirection::Inverse);
            down(k, &[&turned, &back])
        });
    }

    #[test]
    fn gated_activations_agree((gate, up, gradient, activation) in (1usize..20, 1usize..50, prop::sample::select(vec![Activation::Silu, Activation::GeluTanh, Activation::ClampedSwish, Activation::Sigmoid, Activation::SquaredRelu])).prop_flat_map(|(n, width, activation)| (host(n, width), host(n, width), host(n, width), Just(activation)))) {
        // Wide arguments too, where the functions are flat.
        let gate = Host(gate.0, gate.1, gate.2.iter().map(|value| value * 20.0).collect());
        agree!(2e-5, |k| {
            let (gate, up, gradient) = (bring(k, &gate), bring(k, &up), bring(k, &gradient));
            let (at_gate, at_up) = k.gated_backward(activation, &gate, &up, &gradient);
            down(k, &[&k.gated(activation, &gate, &up), &at_gate, &at_up])
        });
    }

    #[test]
    fn attention_agrees((heads, runs, [queries, keys, values, gradient]) in attention_case(), sinks in prop::option::of(prop::collection::vec(-2f32..4.0, 16))) {
        agree!(5e-5, |k| {
            let sinks = sinks.as_ref().map(|sinks| k.upload(1, heads.queries, sinks[..heads.queries].to_vec()));
            let (queries, keys, values, gradient) = (bring(k, &queries), bring(k, &keys), bring(k, &values), bring(k, &gradient));
            let output = k.attention(heads, &queries, &keys, &values, sinks.as_ref(), &runs);
            let (dq, dk, dv) = k.attention_backward(heads, &queries, &keys, &values, sinks.as_ref(), &runs, &output, &gradient);
            down(k, &[&output, &dq, &dk, &dv])
        });
    }

    #[test]
    fn rows_of_experts_agree((x, y, factors, onto) in (1usize..20, 1usize..40).prop_flat_map(|(n, d)| (host(n, d), host(n, d), host(n, 1), host(n + 3, d)))) {
        let rows: Vec<usize> = (0..x.0).map(|row| (row * 7) % x.0 + 3 * usize::from(x.0 % 7 == 0)).collect();
        let mut seen = rows.clone();
        seen.sort_unstable();
        seen.dedup();
        // Every row once, as tokens reach an expert.
        let rows = if seen.len() == rows.len() { rows } else { (0..x.0).collect() };
        agree!(1e-5, |k| {
            let (x, y, factors) = (bring(k, &x), bring(k, &y), bring(k, &factors));
            let scaled = k.scaled_rows(x.clone(), &factors);
            down(k, &[&k.add_rows(bring(k, &onto), &rows, &x), &scaled, &k.row_dots(&x, &y)])
        });
    }

    #[test]
    fn cross_entropy_agrees((logits, rest, targets, weights) in (1usize..12, 1usize..40, 1usize..40).prop_flat_map(|(n, a, b)| (host(n, a), host(n, b), prop::collection::vec(0..(a + b) as u32, n), prop::collection::vec(prop::sample::select(vec![0.0f32, 0.25, 1.0]), n)))) {
        agree!(1e-5, |k| {
            let parts = vec![bring(k, &logits), bring(k, &rest)];
            let (losses, gradients) = k.cross_entropy(parts, &targets, &weights).unwrap();
            let mut all = down(k, &[&gradients[0], &gradients[1]]);
            all.push(losses.iter().map(|loss| *loss as f32).collect());
            all
        });
    }

    #[test]
    fn sums_of_calibration_agree((x, y, other) in (1usize..90, 1usize..9, 1usize..7).prop_flat_map(|(n, a, b)| (host(n, a), host(n, b), host(n, a)))) {
        agree!(1e-5, |k| {
            let (x, y, other) = (bring(k, &x), bring(k, &y), bring(k, &other));
            let products = k.column_products(&x, &y, None);
            let more = k.column_products(&x, &y, Some(products.clone()));
            let sums = k.column_sums(&x, None);
            let more_sums = k.column_sums(&other, Some(sums.clone()));
            if let Some(values) = k.host_values(&x) {
                prop_assert_eq!(values.to_vec(), k.download(&x).unwrap());
            }
            down(k, &[&products, &more, &sums, &more_sums, &k.difference(&x, &other)])
        });
    }

    #[test]
    fn sums_and_rows_agree((x, first, second) in (1usize..700, 1usize..9).prop_flat_map(|(n, width)| (host(n, width), prop::collection::vec(0.0f32..1.0, n), prop::collection::vec(0.0f32..1.0, n)))) {
        let rows = x.0;
        agree!(1e-5, |k| {
            let matrix = bring(k, &x);
            let mut sums = vec![vec![1.0; x.1]; 2];
            k.row_sums(&matrix, &[&first, &second], &mut sums).unwrap();
            let picked = k.gather(&matrix, &[rows - 1, 0, rows / 2, rows / 2]);
            let sliced = k.slice(&matrix, rows / 2, rows - rows / 2);
            let stacked = k.stack(vec![picked.clone(), sliced.clone()]);
            let added = k.add(matrix.clone(), &matrix);
            let mut all = down(k, &[&picked, &sliced, &stacked, &added]);
            all.extend(sums.iter().map(|sums| sums.iter().map(|sum| *sum as f32).collect()));
            let mapped = k.linear_vectors(&sums, &matrix, None).unwrap();
            all.extend(mapped.iter().map(|vector| vector.iter().map(|value| *value as f32).collect::<Vec<f32>>()));
            all
        });
    }
}

/// The gradients are those of the forward pass: central differences in float64, over a whole attention.
#[test]
fn attention_gradients_are_slopes() {
    slopes_of(Heads::plain(4, 2, 4), false);
    slopes_of(Heads::plain(4, 2, 4), true);
    slopes_of(
        Heads {
            scale: Some(0.7),
            cap: Some(1.5),
            window: Some(4),
            ..Heads::plain(4, 2, 4)
        },
        true,
    );
    slopes_of(
        Heads {
            chunk: Some(5),
            ..Heads::plain(4, 2, 4)
        },
        false,
    );
}

fn slopes_of(heads: Heads, with_sinks: bool) {
    let runs = [SequenceSpan { position: 3, rows: 5 }];
    let k = ReferenceKernels;
    let sinks = k.upload(1, 4, vec![0.5, -1.0, 2.0, 0.0]);
    let sinks = with_sinks.then_some(&sinks);
    let noise =
        |rows: usize, columns: usize, seed: usize| -> Vec<f32> { (0..rows * columns).map(|i| ((i * 37 + seed * 101) % 29) as f32 / 14.5 - 1.0).collect() };
    let (q, keys, values, g) = (noise(5, 16, 1), noise(8, 8, 2), noise(8, 8, 3), noise(5, 16, 4));
    let value = |q: &[f32], keys: &[f32], values: &[f32]| -> f64 {
        let o = k.attention(
            heads,
            &k.upload(5, 16, q.to_vec()),
            &k.upload(8, 8, keys.to_vec()),
            &k.upload(8, 8, values.to_vec()),
            sinks,
            &runs,
        );
        o.values().iter().zip(&g).map(|(o, g)| o * f64::from(*g)).sum()
    };
    let up = |v: &[f32], columns: usize| k.upload(v.len() / columns, columns, v.to_vec());
    let o = k.attention(heads, &up(&q, 16), &up(&keys, 8), &up(&values, 8), sinks, &runs);
    let (dq, dk, dv) = k.attention_backward(heads, &up(&q, 16), &up(&keys, 8), &up(&values, 8), sinks, &runs, &o, &up(&g, 16));
    let step = 1.0f32 / 64.0;
    let slope = |which: usize, at: usize| {
        let moved = |by: f32| {
            let (mut q, mut keys, mut values) = (q.clone(), keys.clone(), values.clone());
            [&mut q, &mut keys, &mut values][which][at] += by;
            value(&q, &keys, &values)
        };
        (moved(step) - moved(-step)) / f64::from(2.0 * step)
    };
    for at in [0, 7, 21, 63] {
        assert!((slope(0, at) - dq.values()[at]).abs() < 2e-4, "query {at}");
    }
    // Rows of the run itself stand from position 3 on.
    for at in [0, 9, 30, 39] {
        assert!((slope(1, at + 3 * 8) - dk.values()[at]).abs() < 2e-4, "key {at}");
        assert!((slope(2, at + 3 * 8) - dv.values()[at]).abs() < 2e-4, "value {at}");
    }
}

/// Rounded inputs are discontinuous: where float32 and float64 fall on two sides of a middle, they part by a step, which no case here does.
#[test]
fn rounded_inputs_agree() -> Result<(), TestCaseError> {
    let groups = |columns, scales| InputScales::Groups { columns, scales };
    let integers = |bits, symmetric| RoundedNumbers::Integers { bits, symmetric };
    let fixed = |scale, zero| InputScales::Fixed { scale, zero };
    let all = [
        (integers(8, true), InputScales::Rows),
        (integers(8, false), InputScales::Rows),
        (integers(4, false), groups(8, GroupScales::Plain)),
        (integers(8, false), fixed(0.013, -3.0)),
        (RoundedNumbers::E4M3, InputScales::Rows),
        (RoundedNumbers::E4M3, fixed(0.0037, 0.0)),
        (RoundedNumbers::E4M3, groups(16, GroupScales::Plain)),
        (RoundedNumbers::E4M3, groups(16, GroupScales::PowersOfTwo)),
        (RoundedNumbers::E2M1, groups(16, GroupScales::E4M3 { of_all: 900.0 })),
    ];
    for (place, (numbers, scales)) in all.into_iter().enumerate() {
        let rounding = InputRounding { numbers, scales };
        // Sizes over many powers of two, a row of zeros, and one that is positive alone.
        let mut values: Vec<f32> = (0..24 * 64)
            .map(|i| ((i * 37 + 11 * place) as f32 * 0.71).sin() * (0.3f32).powi(i as i32 % 7))
            .collect();
        values[64..128].fill(0.0);
        values[128..192].iter_mut().for_each(|value| *value = value.abs());
        // By compressed-tensors' formula the largest number of a row, where it is negative, falls on the middle between −128 and −127.
        (0..24).filter(|row| *row != 1).for_each(|row| values[row * 64 + 5] = 1.7);
        let x = Host(24, 64, values.clone());
        agree!(1e-6, |k| vec![k.download(&k.rounded(&bring(k, &x), &rounding)).unwrap()]);
        let k = &CpuKernels;
        let rounded = k.download(&k.rounded(&bring(k, &x), &rounding)).unwrap();
        assert!(rounded[64..128].iter().all(|value| value.abs() < 0.05), "zeros stay near zero");
        assert_ne!(rounded, values, "{rounding:?} rounds");
        // What is rounded stays: but of scales that are rounded themselves, and of zero points.
        if !numbers.is_asymmetric() && scales != InputScales::Rows {
            let again = k.download(&k.rounded(&k.upload(24, 64, rounded.clone()), &rounding)).unwrap();
            let moved = again.iter().zip(&rounded).filter(|(a, b)| (*a - *b).abs() > 1e-6 * b.abs()).count();
            assert!(moved * 10 < rounded.len(), "{rounding:?}: {moved} of {} move when rounded again", rounded.len());
        }
    }
    Ok(())
}
