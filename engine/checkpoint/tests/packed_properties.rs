//! Packing loses nothing but the scales' precision, and refuses what no engine loads.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

use cruxscope_checkpoint::packed::{Codes, Layout, ScaleType, ZeroFormat};
use proptest::prelude::*;

/// Groups as wide as the row.
const ROW: usize = usize::MAX;

/// A matrix of codes without pattern; scales are powers of two, which float16 holds.
fn quantized(rows: usize, columns: usize, bits: u8, group: usize, seed: u64) -> Codes {
    let group = group.min(columns);
    let groups = columns.div_ceil(group);
    let mut state = seed * 2 + 1;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8 & (u8::MAX >> (8 - bits))
    };
    Codes {
        rows,
        columns,
        bits,
        group,
        codes: (0..rows * columns).map(|_| next()).collect(),
        scales: (0..rows * groups).map(|i| 0.5f32.powi((i % 9) as i32)).collect(),
        zeros: (0..rows * groups).map(|_| next()).collect(),
        group_index: None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn awq_and_back(rows in 1usize..6, groups in 1usize..5, group in 1usize..40, seed in 0u64..1000) {
        let original = quantized(rows * 8, groups * group, 4, group, seed);
        prop_assert_eq!(original.pack(Layout::Awq).unwrap().unpack().unwrap(), original);
    }

    #[test]
    fn gptq_and_back(
        rows in 1usize..4, columns in 1usize..6, bits in prop_oneof![Just(2u8), Just(3), Just(4), Just(8)],
        group in prop_oneof![Just(ROW), 1usize..80], v1 in any::<bool>(), shuffled in any::<bool>(), seed in 0u64..1000,
    ) {
        let unit = if bits == 3 { 32 } else { 32 / usize::from(bits) };
        let mut original = quantized(rows * unit, columns * unit, bits, group, seed);
        if shuffled && original.groups() > 1 {
            let groups = original.groups() as u32;
            original.group_index = Some((0..original.columns as u32).map(|column| (column * 7 + 1) % groups).collect());
        }
        let format = if v1 { ZeroFormat::V1 } else { ZeroFormat::V2 };
        if v1 {
            original.zeros.iter_mut().for_each(|zero| *zero = (*zero).max(1));
        }
        prop_assert_eq!(original.pack(Layout::Gptq(format)).unwrap().unpack().unwrap(), original);
    }
}

proptest! {
    #[test]
    fn compressed_tensors_and_back(rows in 1usize..70, groups in 1usize..5, group in 1usize..40, bits in 2u8..=8, kind in 0usize..3, seed in 0u64..1000) {
        let kind = [ScaleType::Float32, ScaleType::Float16, ScaleType::BFloat16][kind];
        let mut original = quantized(rows, groups * group, bits, group, seed);
        let packed = original.pack(Layout::CompressedTensors(kind)).unwrap();
        prop_assert_eq!(packed.unpack().unwrap(), original.clone());
        let middle = 1 << (bits - 1);
        if original.zeros.iter().any(|zero| *zero != middle) {
            prop_assert!(original.pack_symmetric(kind).is_err());
        }
        original.zeros.fill(middle);
        let packed = original.pack_symmetric(kind).unwrap();
        prop_assert!(packed.qzeros.is_empty());
        prop_assert_eq!(packed.unpack().unwrap(), original);
    }
}

proptest! {
    /// Words of zeros from which one was taken away at once are read as they were meant, borrowed or not.
    #[test]
    fn words_that_borrowed_give_the_zeros_back(bits in prop_oneof![Just(2u8), Just(3), Just(4), Just(8)], seed in 0u64..1000) {
        let mut original = quantized(64, 64, bits, 16, seed);
        // Many zeros of 0 beside others.
        original.zeros.iter_mut().step_by(3).for_each(|zero| *zero = 0);
        let mut packed = original.pack(Layout::Gptq(ZeroFormat::V2)).unwrap();
        // GPTQModel's constants, `convert_gptq_v2_to_v1_format_module`.
        let constant = |word: usize| match bits {
            2 => 0x5555_5555u32,
            3 => [0x2492_4924, 0x9249_2492, 0x4924_9249][word % 3],
            4 => 0x1111_1111,
            _ => 0x0101_0101,
        };
        let width = 64 * usize::from(bits) / 32;
        for (place, word) in packed.qzeros.iter_mut().enumerate() {
            *word = word.wrapping_sub(constant(place % width).cast_signed());
        }
        packed.layout = Layout::Gptq(ZeroFormat::V1Words);
        prop_assert_eq!(packed.unpack().unwrap(), original);
    }

    /// Codes without zeros of 0 stand for the same weights, to half a step of the group.
    #[test]
    fn zeros_become_positive_and_weights_hardly_move(bits in prop_oneof![Just(2u8), Just(3), Just(4), Just(8)], seed in 0u64..1000) {
        let mut original = quantized(32, 64, bits, 16, seed);
        original.zeros.iter_mut().step_by(2).for_each(|zero| *zero = 0);
        let positive = original.clone().with_positive_zeros();
        prop_assert!(positive.zeros.iter().all(|zero| *zero > 0));
        let groups = original.groups();
        for (place, (before, after)) in original.dequantize().iter().zip(positive.dequantize()).enumerate() {
            let step = positive.scales[place / 64 * groups + place % 64 / 16];
            prop_assert!((before - after).abs() <= 0.5001 * step, "{before} {after} {step}");
        }
    }
}

#[test]
fn layouts_by_hand() {
    let mut matrix = quantized(8, 8, 4, ROW, 1);
    matrix.codes = (0..64).map(|i| if i % 8 == 0 { (i / 8) as u8 } else { 0 }).collect();
    matrix.zeros = vec![0, 1, 2, 3, 4, 5, 6, 7];
    let packed = matrix.pack(Layout::Awq).unwrap();
    assert_eq!(packed.qweight, [0x7531_6420, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(packed.qzeros, [0x7531_6420]);
    let packed = matrix.pack(Layout::Gptq(ZeroFormat::V2)).unwrap();
    assert_eq!(packed.qweight, [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(packed.qzeros, [0x7654_3210]);
    // One less in every field; a zero of 0, which engines read back as 16, is not written.
    let v1 = matrix.pack(Layout::Gptq(ZeroFormat::V1)).unwrap();
    assert_eq!(v1.qzeros, [0x6543_2100]);
    assert_eq!(v1.unpack().unwrap().dequantize(), matrix.dequantize(), "a row of zeros stays one");
    assert_eq!(packed.group_index, [0; 8]);
}

#[test]
fn what_no_engine_loads_is_refused() {
    let refused = |result: Result<(), String>, part: &str| assert!(result.as_ref().unwrap_err().contains(part), "{result:?}");
    let awq = |matrix: &Codes| matrix.pack(Layout::Awq).map(drop).map_err(|error| error.to_string());
    let gptq = |matrix: &Codes| matrix.pack(Layout::Gptq(ZeroFormat::V1)).map(drop).map_err(|error| error.to_string());
    refused(awq(&quantized(8, 8, 3, ROW, 1)), "of 3 bits");
    refused(
        awq(&quantized(7, 8, 4, ROW, 1)),
        "the number of outputs is 7, but this layout holds multiples of 8",
    );
    refused(
        awq(&quantized(8, 12, 4, 8, 1)),
        "the number of inputs is 12, but this layout holds multiples of 8",
    );
    refused(gptq(&quantized(32, 32, 5, ROW, 1)), "bits is 5");
    refused(gptq(&quantized(32, 33, 3, ROW, 1)), "multiples of 32");
    refused(gptq(&quantized(9, 8, 4, ROW, 1)), "multiples of 8");
    let mut matrix = quantized(8, 8, 4, ROW, 1);
    matrix.scales[3] = 1e9;
    refused(awq(&matrix), "not finite");
    let mut packed = quantized(8, 8, 4, ROW, 1).pack(Layout::Gptq(ZeroFormat::V1)).unwrap();
    packed.group_index[2] = 9;
    assert!(packed.unpack().unwrap_err().to_string().contains("g_idx is 9"));
    packed.group_index[2] = -1;
    assert!(packed.unpack().is_err());
    packed.qzeros.push(0);
    assert!(packed.unpack().unwrap_err().to_string().contains("qzeros"));
}
