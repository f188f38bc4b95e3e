//! What must hold for any matrix that is pruned.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests

mod noise;

use cruxscope_compress::CompressError;
use cruxscope_compress::linear_algebra::gram;
use cruxscope_compress::prune::alpha::{TailStart, fit_tail, spectrum};
use cruxscope_compress::prune::{Mapping, Pattern, SparseGptSettings, Sparsity, Window, magnitude, pruning_ratios, sparse_gpt, sparse_gpt_reference, wanda};
use cruxscope_compress::quantize::Bits;
use noise::noise;
use proptest::prelude::*;

fn unstructured(share: f64) -> Pattern {
    Pattern::Unstructured(Sparsity::new(share).unwrap())
}

fn windows(pruned: usize, columns: usize) -> Pattern {
    Pattern::Windows(Window::new(pruned, columns).unwrap())
}

fn identity(columns: usize) -> Vec<f64> {
    (0..columns * columns).map(|place| f64::from(u8::from(place % (columns + 1) == 0))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn shares_are_exact(rows in 1usize..9, columns in 1usize..40, share in 0.01f64..0.99, seed in 1u64..1000) {
        let weights = noise(rows * columns, seed);
        let expected = ((rows * columns) as f64 * share) as usize;
        prop_assert_eq!(magnitude(&weights, rows, columns, unstructured(share)).unwrap().count(), expected);
        let original = Pattern::AtThreshold(Sparsity::new(share).unwrap());
        prop_assert_eq!(magnitude(&weights, rows, columns, original).unwrap().count(), expected + 1);
        let norms: Vec<f32> = noise(columns, seed + 1).iter().map(|value| value.abs() + 0.1).collect();
        let mask = wanda(&weights, rows, columns, &norms, unstructured(share)).unwrap();
        for row in mask.pruned.chunks(columns) {
            prop_assert_eq!(row.iter().filter(|pruned| **pruned).count(), (columns as f64 * share) as usize);
        }
        let mut pruned = weights.clone();
        let settings = SparseGptSettings { block: 16, ..SparseGptSettings::new(unstructured(share)) };
        let inputs = noise(4 * columns * columns, seed + 2);
        let report = sparse_gpt(&mut pruned, rows, columns, &gram(&inputs, columns), &settings).unwrap();
        let expected: usize = (0..columns).step_by(16).map(|start| (rows * 16.min(columns - start)) as f64 * share).map(|count| count as usize + 1).sum();
        prop_assert_eq!(report.zeros, expected);
    }

    #[test]
    fn windows_hold(rows in 1usize..9, blocks in 1usize..6, seed in 1u64..1000, (n, m) in prop::sample::select(vec![(2, 4), (4, 8), (1, 4), (3, 4), (1, 2)])) {
        let columns = 8 * blocks;
        let weights = noise(rows * columns, seed);
        let inputs = noise(4 * columns * columns, seed + 2);
        let mut pruned = weights.clone();
        let settings = SparseGptSettings { block: 16, ..SparseGptSettings::new(windows(n, m)) };
        sparse_gpt(&mut pruned, rows, columns, &gram(&inputs, columns), &settings).unwrap();
        for window in pruned.chunks(m) {
            prop_assert_eq!(window.iter().filter(|weight| **weight == 0.0).count(), n);
        }
        for mask in [magnitude(&weights, rows, columns, windows(n, m)).unwrap(), wanda(&weights, rows, columns, &vec![2.0; columns], windows(n, m)).unwrap()] {
            for (mask, weights) in mask.pruned.chunks(m).zip(weights.chunks(m)) {
                prop_assert_eq!(mask.iter().filter(|pruned| **pruned).count(), n);
                let largest = mask.iter().zip(weights).filter(|(pruned, _)| **pruned).map(|(_, weight)| weight.abs()).fold(0.0, f32::max);
                let kept = mask.iter().zip(weights).filter(|(pruned, _)| !**pruned).map(|(_, weight)| weight.abs()).fold(f32::INFINITY, f32::min);
                prop_assert!(largest <= kept);
            }
        }
    }

    #[test]
    fn independent_inputs_make_it_magnitude(rows in 1usize..9, columns in 1usize..64, share in 0.01f64..0.99, seed in 1u64..1000) {
        let weights = noise(rows * columns, seed);
        let mut expected = weights.clone();
        let original = Pattern::AtThreshold(Sparsity::new(share).unwrap());
        magnitude(&weights, rows, columns, original).unwrap().apply(&mut expected);
        let mut ours = weights;
        sparse_gpt(&mut ours, rows, columns, &identity(columns), &SparseGptSettings::new(unstructured(share))).unwrap();
        prop_assert_eq!(ours, expected);
    }

    #[test]
    fn blocks_and_products_agree_with_plain_loops(rows in 1usize..70, columns in 1usize..50, block in 1usize..40, share in 0.0f64..0.9, quantized: bool, seed in 1u64..1000) {
        let weights = noise(rows * columns, seed);
        let hessian = gram(&noise(4 * columns * columns, seed + 2), columns);
        let bits = quantized.then(|| Bits::new(4).unwrap());
        let settings = SparseGptSettings { block, bits, ..SparseGptSettings::new(unstructured(share)) };
        let (mut fast, mut plain) = (weights.clone(), weights);
        let a = sparse_gpt(&mut fast, rows, columns, &hessian, &settings).unwrap();
        let b = sparse_gpt_reference(&mut plain, rows, columns, &hessian, &settings).unwrap();
        // A score at the limit can fall on the other side of it by rounding, and a weight on the other side of a step.
        let off = fast.iter().zip(&plain).filter(|(a, b)| (**a - **b).abs() > 1e-4).count();
        prop_assert!(off * 20 <= fast.len() || off <= columns, "{} of {}", off, fast.len());
        prop_assert!((a.loss - b.loss).abs() <= 0.05 * b.loss + 1e-6, "{} {}", a.loss, b.loss);
    }
}

#[test]
fn moving_what_stays_beats_only_choosing() {
    let (rows, columns) = (32, 96);
    // Correlated inputs: each is partly its neighbour.
    let mut inputs = noise(400 * columns, 5);
    (1..inputs.len()).for_each(|place| inputs[place] = 0.7 * inputs[place - 1] + 0.5 * inputs[place]);
    let (weights, hessian) = (noise(rows * columns, 9), gram(&inputs, columns));
    let cost = |changed: &[f32]| -> f64 {
        (0..rows)
            .map(|row| {
                let off: Vec<f64> = (0..columns)
                    .map(|column| f64::from(changed[row * columns + column] - weights[row * columns + column]))
                    .collect();
                (0..columns)
                    .map(|i| (0..columns).map(|j| off[i] * hessian[i * columns + j] * off[j]).sum::<f64>())
                    .sum::<f64>()
            })
            .sum()
    };
    for pattern in [unstructured(0.5), windows(2, 4)] {
        let mut moved = weights.clone();
        let report = sparse_gpt(&mut moved, rows, columns, &hessian, &SparseGptSettings::new(pattern)).unwrap();
        let norms: Vec<f32> = (0..columns).map(|column| hessian[column * (columns + 1)] as f32).collect();
        let mut chosen = weights.clone();
        wanda(&weights, rows, columns, &norms, pattern).unwrap().apply(&mut chosen);
        assert!(cost(&moved) < 0.8 * cost(&chosen), "{} {}", cost(&moved), cost(&chosen));
        assert!(
            (report.loss / (0.5 * cost(&moved)) - 1.0).abs() < 0.05,
            "{} {}",
            report.loss,
            0.5 * cost(&moved)
        );
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let (rows, columns) = (200, 300);
    let hessian = gram(&noise(2 * columns * columns, 3), columns);
    let with = |threads| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let mut weights = noise(rows * columns, 4);
            let report = sparse_gpt(&mut weights, rows, columns, &hessian, &SparseGptSettings::new(unstructured(0.5))).unwrap();
            (weights, report)
        })
    };
    assert_eq!(with(1), with(5));
}

#[test]
fn a_share_of_zero_prunes_nothing() {
    let weights = noise(64, 7);
    assert_eq!(magnitude(&weights, 8, 8, unstructured(0.0)).unwrap().count(), 0);
    let mut same = weights.clone();
    sparse_gpt(&mut same, 8, 8, &identity(8), &SparseGptSettings::new(unstructured(0.0))).unwrap();
    assert_eq!(same, weights);
}

#[test]
fn dead_columns_become_zero_and_empty_matrices_stay_empty() {
    let mut weights = noise(16, 7);
    let mut hessian = identity(4);
    hessian[5] = 0.0;
    let report = sparse_gpt(&mut weights, 4, 4, &hessian, &SparseGptSettings::new(unstructured(0.0))).unwrap();
    assert_eq!(report.dead_columns, 1);
    assert!(weights.chunks(4).all(|row| row[1] == 0.0 && row[0] != 0.0));
    assert!(sparse_gpt(&mut [], 0, 4, &identity(4), &SparseGptSettings::new(unstructured(0.5))).is_ok());
    assert!(sparse_gpt(&mut [], 0, 0, &[], &SparseGptSettings::new(unstructured(0.5))).is_ok());
    assert_eq!(wanda(&[], 3, 0, &[], unstructured(0.5)).unwrap().count(), 0);
    assert_eq!(
        magnitude(&[0.0; 6], 2, 3, unstructured(0.5)).unwrap().count(),
        3,
        "of equals no more than the share"
    );
    let original = Pattern::AtThreshold(Sparsity::new(0.5).unwrap());
    assert_eq!(magnitude(&[0.0; 6], 2, 3, original).unwrap().count(), 6, "all equal, all at the limit");
}

#[test]
fn each_mistake_has_its_error() {
    let settings = SparseGptSettings::new(unstructured(0.5));
    let run = |weights: &mut [f32], hessian: &[f64], settings: &SparseGptSettings| sparse_gpt(weights, 2, 2, hessian, settings).unwrap_err();
    let ones = [1.0f32; 4];
    assert!(matches!(
        run(&mut [1.0; 3], &identity(2), &settings),
        CompressError::Shape { what: "the weight matrix", .. }
    ));
    assert!(matches!(
        run(&mut ones.clone(), &identity(3), &settings),
        CompressError::Shape { what: "the Hessian", .. }
    ));
    assert!(matches!(
        run(&mut [1.0, f32::NAN, 1.0, 1.0], &identity(2), &settings),
        CompressError::NotFinite { .. }
    ));
    assert!(matches!(
        run(&mut ones.clone(), &[1.0, 0.0, 0.0, f64::INFINITY], &settings),
        CompressError::NotFinite { .. }
    ));
    let no_damping = SparseGptSettings { damping: 0.0, ..settings };
    let mut kept = ones;
    assert!(matches!(run(&mut kept, &[1.0, 100.0, 100.0, 1.0], &no_damping), CompressError::Singular { .. }));
    assert_eq!(kept, ones);
    // A Hessian that is not positive: more damping than asked for helps, and is reported.
    let mut weights = ones;
    let report = sparse_gpt(&mut weights, 2, 2, &[1.0, 1.045, 1.045, 1.0], &settings).unwrap();
    assert!((report.damping - 0.05).abs() < 1e-12, "{}", report.damping);
    assert!(matches!(
        run(&mut ones.clone(), &identity(2), &SparseGptSettings { block: 0, ..settings }),
        CompressError::Setting { setting: "block", .. }
    ));
    assert!(matches!(
        run(&mut ones.clone(), &identity(2), &SparseGptSettings { damping: -1.0, ..settings }),
        CompressError::Setting { setting: "damping", .. }
    ));
    let ragged = SparseGptSettings::new(windows(2, 4));
    assert!(matches!(
        run(&mut ones.clone(), &identity(2), &ragged),
        CompressError::Setting { setting: "window", .. }
    ));
    assert!(matches!(magnitude(&ones, 2, 2, windows(2, 4)), Err(CompressError::Setting { .. })));
    assert!(matches!(wanda(&ones, 2, 2, &[1.0], unstructured(0.5)), Err(CompressError::Shape { .. })));
    assert!(matches!(
        wanda(&ones, 2, 2, &[1.0, -1.0], unstructured(0.5)),
        Err(CompressError::NotFinite { .. })
    ));
    assert!(Sparsity::new(1.0).is_err() && Sparsity::new(-0.1).is_err() && Sparsity::new(f64::NAN).is_err());
    assert!(Window::new(0, 4).is_err() && Window::new(4, 4).is_err());
}

#[test]
fn settings_survive_json_and_refuse_nonsense() {
    let settings = SparseGptSettings {
        bits: Some(Bits::new(4).unwrap()),
        ..SparseGptSettings::new(windows(2, 4))
    };
    let text = serde_json::to_string(&settings).unwrap();
    assert_eq!(serde_json::from_str::<SparseGptSettings>(&text).unwrap(), settings);
    assert!(serde_json::from_str::<Sparsity>("1.5").is_err() && serde_json::from_str::<Window>("[4,4]").is_err());
}

#[test]
fn a_known_power_law_is_found() {
    // Quantiles of p(λ) ~ λ^−α above 1.
    for alpha in [2.0, 3.5] {
        let count = 2000;
        let spectrum: Vec<f64> = (0..count).map(|k| (1.0 - (k as f64 + 0.5) / count as f64).powf(-1.0 / (alpha - 1.0))).collect();
        for start in [TailStart::Peak, TailStart::Middle] {
            let tail = fit_tail(&spectrum, start).unwrap();
            assert!((tail.alpha - alpha).abs() < 0.02 && tail.distance < 0.01, "{start:?} {tail:?}");
        }
    }
    // Noughts are left out; too little is an error.
    assert!(fit_tail(&[0.0, 0.0, 1.0, 2.0, 3.0], TailStart::Middle).is_ok());
    assert!(matches!(fit_tail(&[0.0, 1.0], TailStart::Peak), Err(CompressError::Setting { .. })));
    assert!(fit_tail(&[1.0, 1.0, 1.0], TailStart::Peak).is_err() && fit_tail(&[], TailStart::Middle).is_err());
    assert!(fit_tail(&spectrum(&[0.0; 12], 3, 4).unwrap(), TailStart::Peak).is_err());
}

#[test]
fn ratios_meet_the_share_of_the_whole() {
    let alphas = vec![vec![2.0, 4.0], vec![3.0, 6.0], vec![2.5, 2.6]];
    let sizes = vec![vec![100, 300], vec![100, 300], vec![50, 50]];
    let share = Sparsity::new(0.5).unwrap();
    for mapping in [Mapping::BlockWise, Mapping::LayerWise] {
        let ratios = pruning_ratios(&alphas, &sizes, share, 0.3, mapping).unwrap();
        let pruned: f64 = ratios
            .iter()
            .flatten()
            .zip(sizes.iter().flatten())
            .map(|(ratio, size)| ratio.get() * *size as f64)
            .sum();
        assert!((pruned - 450.0).abs() < 1e-9);
        assert!(ratios[1][1] > ratios[0][0], "a heavy tail is pruned less");
        assert_eq!(ratios[1][0] == ratios[1][1], mapping == Mapping::BlockWise);
    }
    let even = pruning_ratios(&[vec![2.0], vec![2.0]], &[vec![7], vec![9]], share, 0.3, Mapping::LayerWise).unwrap();
    assert!(even.iter().flatten().all(|ratio| (ratio.get() - 0.5).abs() < 1e-12));
    let greedy = pruning_ratios(&alphas, &sizes, Sparsity::new(0.9).unwrap(), 0.5, Mapping::BlockWise);
    assert!(matches!(greedy, Err(CompressError::Setting { setting: "epsilon", .. })));
    assert!(matches!(
        pruning_ratios(&alphas, &sizes[..2], share, 0.3, Mapping::BlockWise),
        Err(CompressError::Shape { .. })
    ));
    assert!(matches!(
        pruning_ratios(&[vec![f64::NAN]], &[vec![1]], share, 0.3, Mapping::BlockWise),
        Err(CompressError::NotFinite { .. })
    ));
    assert!(pruning_ratios(&alphas, &sizes, share, 2.0, Mapping::BlockWise).is_err());
}
