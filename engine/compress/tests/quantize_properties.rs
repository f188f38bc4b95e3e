//! What must hold of every grid and every matrix, and a few results by hand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

use cruxscope_compress::CompressError;
use cruxscope_compress::linear_algebra::gram;
use cruxscope_compress::quantize::*;
use proptest::prelude::*;

const GRIDS: [Grid; 8] = [
    Grid::AwqAsym,
    Grid::AwqAsymOriginal,
    Grid::AwqSym,
    Grid::GptqAsym,
    Grid::GptqSym,
    Grid::GptqSymOriginal,
    Grid::GptaqAsym,
    Grid::GptaqSym,
];

fn settings(grid: Grid, bits: u8, group: i64) -> GridSettings {
    GridSettings {
        grid,
        bits: Bits::new(bits).unwrap(),
        group_size: GroupSize::new(group).unwrap(),
        clipping: Clipping::None,
    }
}

fn gptq_settings(grid: GridSettings) -> GptqSettings {
    GptqSettings {
        grid,
        order: ColumnOrder::Stored,
        static_groups: false,
        damping: Damping::ORIGINAL,
        compatibility: Compatibility::Original,
        true_sequential: false,
    }
}

fn identity(n: usize) -> Vec<f64> {
    (0..n * n).map(|i| f64::from(u8::from(i % n == i / n))).collect()
}

/// Numbers without pattern, the same on every run.
fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed * 2 + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn orders() -> impl Strategy<Value = ColumnOrder> {
    prop_oneof![Just(ColumnOrder::Stored), Just(ColumnOrder::Activation), Just(ColumnOrder::GroupAware)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn weights_inside_the_range_move_by_half_a_step_at_most(
        weights in prop::collection::vec(-8.0f32..8.0, 1..80), grid in 0usize..6, bits in 2u8..=8,
    ) {
        let bits = Bits::new(bits).unwrap();
        let (fitted, codes) = quantize_group(&weights, GRIDS[grid], bits, Clipping::None);
        prop_assert!(fitted.scale > 0.0 && codes.iter().all(|&code| code <= bits.largest_code()));
        for (&weight, &code) in weights.iter().zip(&codes) {
            prop_assert_eq!(fitted.weight(code), fitted.nearest(weight, bits));
            if code > 0 && code < bits.largest_code() {
                prop_assert!((fitted.weight(code) - weight).abs() <= fitted.scale * 0.5001);
            }
        }
    }

    /// The grid of a group that holds both ends of its grid is that grid again.
    #[test]
    fn rounding_twice_is_rounding_once(weights in prop::collection::vec(-8.0f32..8.0, 1..80), bits in 2u8..=8) {
        let bits = Bits::new(bits).unwrap();
        let fitted = Grid::AwqSym.fit(&weights, bits, Clipping::None);
        let once: Vec<f32> = weights.iter().map(|&weight| fitted.nearest(weight, bits)).collect();
        let twice: Vec<f32> = once.iter().map(|&weight| fitted.nearest(weight, bits)).collect();
        prop_assert_eq!(&once, &twice);
        let mut again = once.clone();
        fake_quantize_group(&mut again, Grid::AwqSym, bits);
        // The refitted scale may differ in its last bit.
        prop_assert!(once.iter().zip(&again).all(|(a, b)| (a - b).abs() <= 1e-5 * fitted.scale * f32::from(bits.largest_code())));
    }

    #[test]
    fn clipping_never_hurts(weights in prop::collection::vec(-8.0f32..8.0, 4..80), grid in 2usize..6, bits in 2u8..=8) {
        let bits = Bits::new(bits).unwrap();
        let error = |clipping| {
            let fitted = GRIDS[grid].fit(&weights, bits, clipping);
            weights.iter().map(|&weight| f64::from((fitted.nearest(weight, bits) - weight).abs().powf(2.4))).sum::<f64>()
        };
        prop_assert!(error(Clipping::ORIGINAL) <= error(Clipping::None) * 1.000_001);
    }

    /// With an identity Hessian no column can make up for another.
    #[test]
    fn gptq_without_correlation_is_round_to_nearest(
        rows in 1usize..40, columns in 1usize..200, seed in 0u64..1000, grid in 0usize..6, bits in 2u8..=8,
        group in prop_oneof![Just(-1i64), 1i64..150], order in orders(), fixed in any::<bool>(),
    ) {
        let weight = noise(rows * columns, seed);
        let grid = settings(GRIDS[grid], bits, group);
        let plain = round_to_nearest(&weight, rows, columns, &grid).unwrap();
        let settings = GptqSettings { order, static_groups: fixed, ..gptq_settings(grid) };
        let found = gptq(&weight, rows, columns, &identity(columns), &settings).unwrap();
        prop_assert_eq!(found.quantized, Quantized { group_index: found_index(order, fixed, &grid, columns), ..plain });
    }

    /// The fast loop agrees with the plain one in every order, with ragged groups and rows that fill no vector.
    #[test]
    fn the_column_loop_agrees_with_the_plain_one(
        rows in 1usize..24, columns in 2usize..180, seed in 0u64..1000, group in prop_oneof![Just(-1i64), 16i64..150],
        order in orders(), fixed in any::<bool>(), alpha in prop_oneof![Just(None), Just(Some(0.25))],
    ) {
        let weight = noise(rows * columns, seed);
        let mut inputs = noise(3 * columns * columns, seed + 1);
        // Uneven columns, one of them dead.
        for (index, value) in inputs.iter_mut().enumerate() {
            *value *= [1.0, 0.3, 5.0, 2.0, 0.7][index % columns % 5] * if index % columns == 1 { 0.0 } else { 1.0 };
        }
        let hessian = gram(&inputs, columns);
        let cross: Vec<f64> = noise(columns * columns, seed + 2).into_iter().map(f64::from).collect();
        let settings = GptqSettings { order, static_groups: fixed, ..gptq_settings(settings(Grid::GptqAsym, 4, group)) };
        let plain = reference::compensated_plain(&weight, columns, &hessian, alpha.map(|alpha| (&cross[..], alpha)), &settings).unwrap();
        let found = match alpha {
            None => gptq(&weight, rows, columns, &hessian, &settings).unwrap(),
            Some(alpha) => gptaq(&weight, rows, columns, &hessian, &cross, &GptaqSettings { gptq: settings, alpha }).unwrap(),
        };
        prop_assert_eq!(found.dead, 1);
        prop_assert_eq!(&found.quantized.group_index, &plain.group_index);
        let differing = found.quantized.codes.iter().zip(&plain.codes).filter(|(a, b)| a != b).count();
        // A tie that falls the other way takes the rest of its row along.
        prop_assert!(differing <= columns, "{} of {}", differing, plain.codes.len());
        let scales = found.quantized.scales.iter().zip(&plain.scales).filter(|(a, b)| (*a - *b).abs() > 1e-3 * b.abs()).count();
        prop_assert!(scales <= plain.groups());
    }
}

/// Groups in activation order are listed even where all are alike: equal diagonals keep their order, so groups are neighbours.
fn found_index(order: ColumnOrder, fixed: bool, grid: &GridSettings, columns: usize) -> Option<Vec<u32>> {
    let size = grid.group_size.of_row(columns);
    let moving = order == ColumnOrder::Activation && !fixed && grid.group_size.groups(columns) > 1;
    moving.then(|| (0..columns).map(|column| (column / size) as u32).collect())
}

#[test]
fn edges_of_the_grids() {
    let bits = Bits::new(4).unwrap();
    let fit = |grid: Grid, weights: &[f32]| {
        let fitted = grid.fit(weights, bits, Clipping::None);
        (fitted.scale, fitted.zero)
    };
    // Zeros.
    assert_eq!(fit(Grid::AwqAsym, &[0.0; 4]), (1e-5 / 15.0, 0));
    assert_eq!(fit(Grid::AwqSym, &[0.0; 4]), (1e-5 / 7.0, 8));
    // 7.5 in exact arithmetic; 2/15 in float32 is a little more, so 7.
    assert_eq!(fit(Grid::GptqAsym, &[0.0; 4]), (2.0 / 15.0, 7));
    assert_eq!(fit(Grid::GptqSym, &[0.0; 4]), (2.0 / 15.0, 8));
    assert_eq!(fit(Grid::GptaqSym, &[0.0; 4]), (1e-5 / 7.0, 8));
    // No negative weight: the range is widened to hold zero, and the largest stays.
    assert_eq!(fit(Grid::AwqAsym, &[3.0, 15.0]), (1.0, 0));
    assert_eq!(fit(Grid::AwqAsym, &[-15.0, -3.0]), (1.0, 15));
    assert_eq!(fit(Grid::GptqAsym, &[3.0, 15.0]), (1.0, 0));
    assert_eq!(fit(Grid::GptqSym, &[3.0, 15.0]), (2.0, 8));
    // In the originals AWQ's range leaves out zero, and GPTQ's symmetric one cuts the upper half off.
    assert_eq!(fit(Grid::AwqAsymOriginal, &[3.0, 18.0]), (1.0, 0));
    assert_eq!(fit(Grid::GptqSymOriginal, &[3.0, 15.0]), (1.0, 8));
    assert_eq!(quantize_group(&[3.0, 15.0], Grid::GptqSymOriginal, bits, Clipping::None).1, [11, 15]);
    assert_eq!(quantize_group(&[3.0, 18.0], Grid::AwqAsymOriginal, bits, Clipping::None).1, [3, 15]);
    // Ties to even.
    assert_eq!(
        quantize_group(&[0.0, 0.5, 1.5, 2.5, 15.0], Grid::GptqAsym, bits, Clipping::None).1,
        [0, 0, 2, 2, 15]
    );
    // GPTAQ's floor.
    assert_eq!(fit(Grid::GptaqAsym, &[1e-7, 0.0]), (1e-5 / 15.0, 0));
}

#[test]
fn rows_of_zeros_stay_zeros() {
    for grid in GRIDS {
        let found = round_to_nearest(&[0.0; 12], 2, 6, &settings(grid, 3, 4)).unwrap();
        assert!(found.dequantize().iter().all(|&weight| weight == 0.0), "{}", grid.name());
        let found = gptq(&[0.0; 12], 2, 6, &identity(6), &gptq_settings(settings(grid, 3, 4))).unwrap();
        assert!(
            found.quantized.dequantize().iter().all(|&weight| weight == 0.0) && found.error == 0.0,
            "{}",
            grid.name()
        );
    }
}

#[test]
fn nothing_gives_nothing() {
    let grid = settings(Grid::GptqAsym, 4, 128);
    assert!(round_to_nearest(&[], 0, 8, &grid).unwrap().dequantize().is_empty());
    assert!(round_to_nearest(&[], 8, 0, &grid).unwrap().dequantize().is_empty());
    assert!(gptq(&[], 0, 2, &identity(2), &gptq_settings(grid)).unwrap().quantized.codes.is_empty());
    assert!(gptq(&[], 3, 0, &[], &gptq_settings(grid)).unwrap().quantized.codes.is_empty());
}

#[test]
fn bad_input_is_refused_by_name() {
    let grid = settings(Grid::GptqAsym, 4, 128);
    let gptq_settings = gptq_settings(grid);
    let refused = |result: Result<Compensated, CompressError>| result.unwrap_err().to_string();
    assert!(matches!(round_to_nearest(&[1.0; 5], 2, 3, &grid), Err(CompressError::Shape { .. })));
    assert!(matches!(round_to_nearest(&[f32::NAN], 1, 1, &grid), Err(CompressError::NotFinite { .. })));
    assert_eq!(
        refused(gptq(&[1.0; 4], 2, 2, &[1.0; 3], &gptq_settings)),
        "factoring: the Hessian has 3 values, where 2 x 2 was expected"
    );
    assert_eq!(
        refused(gptq(&[1.0; 4], 2, 2, &[f64::INFINITY; 4], &gptq_settings)),
        "factoring: the Hessian holds a value that is not finite"
    );
    let indefinite = [1.0, 100.0, 100.0, 1.0];
    let strict = GptqSettings {
        damping: Damping {
            ladder: false,
            ..Damping::ORIGINAL
        },
        ..gptq_settings
    };
    assert!(refused(gptq(&[1.0; 4], 2, 2, &indefinite, &strict)).contains("singular even with damping 0.01"));
    assert!(refused(gptq(&[1.0; 4], 2, 2, &indefinite, &gptq_settings)).contains("singular even with damping 0.99"));
    let factor = HessianFactor::new(&identity(2), 2, ColumnOrder::Stored, grid.group_size, Damping::ORIGINAL).unwrap();
    let other = GptqSettings {
        order: ColumnOrder::Activation,
        ..gptq_settings
    };
    assert!(refused(gptq_with_factor(&[1.0; 4], 2, &factor, &other)).contains("the Hessian was factored for"));
    let negative = Damping {
        share: -1.0,
        ..Damping::ORIGINAL
    };
    assert!(HessianFactor::new(&identity(2), 2, ColumnOrder::Stored, grid.group_size, negative).is_err());
}

/// A Hessian of rank one factors only with damping; one slightly indefinite climbs the ladder.
#[test]
fn the_ladder_takes_the_first_damping_that_works() {
    let factor = |hessian: &[f64], damping| HessianFactor::new(hessian, 2, ColumnOrder::Stored, GroupSize::Row, damping);
    assert_eq!(factor(&[1.0; 4], Damping::ORIGINAL).unwrap().damping(), 0.01);
    let found = factor(&[1.0, 1.035, 1.035, 1.0], Damping::ORIGINAL).unwrap().damping();
    assert!((found - 0.04).abs() < 1e-12, "{found}");
    // The damping that GPTAQ's third projection of a shared Hessian sees.
    let third = Damping {
        additions: 3,
        ..Damping::ORIGINAL
    };
    let pivot = factor(&[1.0, 0.0, 0.0, 1.0], third).unwrap().upper()[0];
    assert!((f64::from(pivot) - 1.030_301f64.powf(-0.5)).abs() < 1e-6);
}

#[test]
fn without_the_quirk_later_groups_see_every_error() {
    let (rows, columns) = (48, 128);
    let weight = noise(rows * columns, 7);
    let base = noise(600 * columns, 8);
    // Neighbours that are nearly alike, so that there is much to make up for.
    let inputs: Vec<f32> = base.iter().enumerate().map(|(i, &value)| value * 0.2 + base[i / columns * columns]).collect();
    let hessian = gram(&inputs, columns);
    let run = |compatibility, group| {
        let settings = GptqSettings {
            compatibility,
            ..gptq_settings(settings(Grid::GptqAsym, 3, group))
        };
        gptq(&weight, rows, columns, &hessian, &settings).unwrap()
    };
    assert_ne!(run(Compatibility::Original, 32).quantized, run(Compatibility::Improved, 32).quantized);
    assert_eq!(run(Compatibility::Original, -1), run(Compatibility::Improved, -1));
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let (rows, columns) = (150, 300);
    let weight = noise(rows * columns, 3);
    let inputs = noise(1000 * columns, 4);
    let cross: Vec<f64> = noise(columns * columns, 5).into_iter().map(f64::from).collect();
    let settings = GptaqSettings {
        gptq: gptq_settings(settings(Grid::GptaqAsym, 4, 64)),
        alpha: 0.25,
    };
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| gptaq(&weight, rows, columns, &gram(&inputs, columns), &cross, &settings).unwrap())
    };
    assert_eq!(with(1), with(7));
}

proptest! {
    /// Groups of one sign too: no weight is further from its point than half a step, but for the two ends, whose code may be one
    /// beyond the last; they are at most a step away where the zero was rounded (half a step from the code that would be theirs).
    #[test]
    fn every_grid_reaches_the_whole_range(weights in proptest::collection::vec(0.0f32..1.0, 1..80), shift in prop_oneof![Just(0.0f32), 0.3f32..2.0], negative in any::<bool>(), bits in 2u8..=8) {
        let sign = if negative { -1.0 } else { 1.0 };
        let weights: Vec<f32> = weights.iter().map(|weight| sign * (weight + shift)).collect();
        let bits = Bits::new(bits).unwrap();
        for grid in [Grid::AwqAsym, Grid::AwqSym, Grid::GptqAsym, Grid::GptqSym, Grid::GptaqAsym, Grid::GptaqSym] {
            let (fitted, codes) = quantize_group(&weights, grid, bits, Clipping::None);
            for (weight, code) in weights.iter().zip(codes) {
                let error = (fitted.weight(code) - weight).abs();
                prop_assert!(error <= 0.5001 * fitted.scale + 1e-6, "{grid:?}: {weight} becomes {}, a step is {}", fitted.weight(code), fitted.scale);
            }
        }
    }

    /// Where both signs occur the grids are the originals', to the bit.
    #[test]
    fn widening_changes_nothing_where_both_signs_occur(mut weights in proptest::collection::vec(-1.0f32..1.0, 2..80), bits in 2u8..=8) {
        weights[0] = weights[0].abs() + 0.01;
        weights[1] = -weights[1].abs() - 0.01;
        let bits = Bits::new(bits).unwrap();
        for grid in [Grid::AwqAsym, Grid::GptqSym] {
            prop_assert_eq!(grid.fit(&weights, bits, Clipping::None), grid.original().fit(&weights, bits, Clipping::None));
        }
    }
}
