//! What generation asks of kernels, against the float64 reference: products with weights in every form, and caches.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, outside their functions

use cruxscope_model::device::{self, ChosenDevice};
use cruxscope_model::kernels::cpu::CpuKernels;
use cruxscope_model::kernels::generation::GenerationKernels;
use cruxscope_model::kernels::reference::ReferenceKernels;
use cruxscope_model::kernels::tensors::TensorKernels;
use cruxscope_model::kernels::{Heads, SequenceSpan};
use half::{bf16, f16};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn flex() -> TensorKernels {
    match device::find("flex") {
        Ok(ChosenDevice::Tensors(kernels)) => kernels,
        _ => panic!("flex is always there"),
    }
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 48,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    }
}

fn values(count: usize) -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(-2.0f32..2.0, count)
}

/// A weight's values as a checkpoint of some kind stores them, and the form in which the CPU should hold them.
fn stored(kind: usize, columns: usize, values: &[f32]) -> (Vec<f32>, &'static str) {
    let grid = |levels: f32| {
        (values.iter().enumerate())
            .map(|(place, value)| {
                // A float16 of many digits, as block types have them; a short one would make weights that fit half precision.
                let step = f16::from_f32(1.1 * 2f32.powi((place / 32 % 5) as i32 - 9)).to_f32();
                // Both ends of the grid are there, so that the step can be seen.
                let code = match place % 32 {
                    0 => 0.0,
                    1 => 1.0,
                    2 => levels,
                    _ => ((value + 2.0) / 4.0 * levels).round(),
                };
                step * code + 0.1 * (place / 32 % 7) as f32
            })
            .collect()
    };
    match kind {
        0 => (values.to_vec(), "float32"),
        1 => (values.iter().map(|value| bf16::from_f32(*value).to_f32()).collect(), "bfloat16"),
        2 => (values.iter().map(|value| f16::from_f32(*value).to_f32()).collect(), "float16"),
        _ if !columns.is_multiple_of(32) => (values.to_vec(), "float32"),
        3 => (grid(15.0), "16 levels"),
        _ => (grid(200.0), "256 levels"),
    }
}

/// The largest difference as a share of the largest value.
fn worst(found: &[f32], wanted: &[f32]) -> f32 {
    let size = wanted.iter().fold(1e-3f32, |size, value| size.max(value.abs()));
    assert_eq!(found.len(), wanted.len());
    (found.iter().zip(wanted))
        .map(|(a, b)| (a - b).abs() / size)
        .fold(0.0, |worst, next| if next.is_nan() { f32::INFINITY } else { f32::max(worst, next) })
}

/// Outputs of a step and of a prompt with two weights that read the same rows.
fn products<K: GenerationKernels>(kernels: &K, n: usize, columns: usize, x: &[f32], weights: [&[f32]; 2], bias: &[f32]) -> Vec<Vec<f32>> {
    let x = kernels.upload(n, columns, x.to_vec());
    let held = weights.map(|weight| kernels.hold(weight.len() / columns, columns, weight.to_vec()));
    let bias = kernels.upload(1, bias.len(), bias.to_vec());
    let step = kernels.project_step(&x, &[(&held[0], Some(&bias)), (&held[1], None)]);
    let prompt = kernels.project_prompt(&x, (&held[0], Some(&bias)));
    (step.iter().chain([&prompt])).map(|matrix| kernels.download(matrix).unwrap()).collect()
}

#[derive(Debug)]
struct Products {
    n: usize,
    columns: usize,
    x: Vec<f32>,
    weights: [Vec<f32>; 2],
    bias: Vec<f32>,
    kind: usize,
}

fn products_case() -> impl Strategy<Value = Products> {
    let sizes = (1usize..8, prop::sample::select(vec![3usize, 16, 32, 50, 96]), 1usize..40, 1usize..10, 0usize..5);
    sizes.prop_flat_map(|(n, columns, first, second, kind)| {
        (values(n * columns), values(first * columns), values(second * columns), values(first)).prop_map(move |(x, a, b, bias)| Products {
            n,
            columns,
            x,
            weights: [a, b],
            bias,
            kind,
        })
    })
}

/// Keys, values and queries of several sequences of lengths of their own, and how many rows each has now.
fn attention_case() -> impl Strategy<Value = (Heads, Vec<(usize, usize)>, u64)> {
    let heads = (1usize..3, 1usize..4, prop::sample::select(vec![4usize, 16, 20]));
    let lengths = prop::collection::vec((0usize..40, 1usize..6), 1..4);
    let rules = (
        prop::option::of(0.05f64..0.5),
        prop::option::of(0.5f64..8.0),
        prop::option::of(prop::sample::select(vec![1usize, 3, 16])),
        prop::option::of(prop::sample::select(vec![1usize, 4, 16])),
    );
    (heads, lengths, any::<bool>(), any::<u64>(), rules).prop_map(|((keys, group, width), mut lengths, step, seed, (scale, cap, window, chunk))| {
        if step {
            lengths.iter_mut().for_each(|(_, rows)| *rows = 1);
        }
        let heads = Heads {
            scale,
            cap,
            window,
            chunk,
            ..Heads::plain(keys * group, keys, width)
        };
        (heads, lengths, seed)
    })
}

fn noise(count: usize, seed: &mut u64) -> Vec<f32> {
    (0..count)
        .map(|_| {
            *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*seed >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// Attention over caches that were filled in two pieces.
fn attended<K: GenerationKernels>(kernels: &K, heads: Heads, lengths: &[(usize, usize)], mut seed: u64) -> Vec<f32> {
    let width = heads.keys * heads.width;
    let mut filled = Vec::new();
    for (before, rows) in lengths {
        let mut caches = [kernels.cache(heads), kernels.cache(heads)];
        for cache in &mut caches {
            let all = kernels.upload(before + rows, width, noise((before + rows) * width, &mut seed));
            kernels.extend(cache, &all, 0, *before);
            kernels.extend(cache, &all, *before, *rows);
        }
        filled.push(caches);
    }
    let n: usize = lengths.iter().map(|(_, rows)| rows).sum();
    let queries = kernels.upload(n, heads.queries * heads.width, noise(n * heads.queries * heads.width, &mut seed));
    let runs: Vec<_> = (lengths.iter().zip(&filled))
        .map(|((before, rows), [keys, values])| {
            (
                SequenceSpan {
                    position: *before,
                    rows: *rows,
                },
                keys,
                values,
            )
        })
        .collect();
    kernels.download(&kernels.attend(heads, &queries, None, &runs)).unwrap()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn products_with_held_weights_agree(case in products_case()) {
        let Products { n, columns, x, weights, bias, kind } = &case;
        let stored: Vec<(Vec<f32>, &str)> = weights.iter().map(|weight| stored(*kind, *columns, weight)).collect();
        let weights = [stored[0].0.as_slice(), stored[1].0.as_slice()];
        for (weight, form) in &stored {
            let held = CpuKernels.hold(weight.len() / columns, *columns, weight.clone());
            prop_assert_eq!(CpuKernels.held_as(&held).0, *form);
        }
        let wanted = products(&ReferenceKernels, *n, *columns, x, weights, bias);
        for (name, found) in [
            ("cpu", products(&CpuKernels, *n, *columns, x, weights, bias)),
            ("tensors", products(&flex(), *n, *columns, x, weights, bias)),
        ] {
            for (output, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
                let worst = worst(found, wanted);
                prop_assert!(worst < 5e-6, "{} output {}: largest difference {:.2e} of the largest value", name, output, worst);
            }
        }
        // A row alone has the bits that it has in company.
        let company = products(&CpuKernels, *n, *columns, x, weights, bias);
        for row in 0..*n {
            let alone = products(&CpuKernels, 1, *columns, &x[row * columns..][..*columns], weights, bias);
            for output in 0..2 {
                let width = alone[output].len();
                prop_assert_eq!(&alone[output], &company[output][row * width..][..width]);
            }
        }
    }

    #[test]
    fn attention_over_caches_agrees((heads, lengths, seed) in attention_case()) {
        let wanted = attended(&ReferenceKernels, heads, &lengths, seed);
        for (name, found) in [("cpu", attended(&CpuKernels, heads, &lengths, seed)), ("tensors", attended(&flex(), heads, &lengths, seed))] {
            let worst = worst(&found, &wanted);
            prop_assert!(worst < 5e-6, "{}: largest difference {:.2e} of the largest value", name, worst);
        }
    }
}
