//! Packed layouts against what AutoAWQ and GPTQModel wrote.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod quantize_support;

use cruxscope_checkpoint::packed::{Codes, Layout, PackedWeight, ZeroFormat};
use cruxscope_compress::quantize::{Bits, ScaleZero};
use quantize_support::*;

#[test]
fn fixtures_packing() {
    let Some(root) = fixtures() else { return };
    for (case, description) in cases(&root.join("packing")) {
        let file = tensors(&root.join("packing").join(description["file"].as_str().unwrap()));
        for format in description["formats"].as_array().unwrap() {
            let name = format["format"].as_str().unwrap();
            let group = format["group"].as_i64().unwrap();
            if name.starts_with("AutoAWQ") {
                check_awq(&case, &file, group);
            } else {
                let bits = Bits::new(name.trim_start_matches("GPTQ int").parse().unwrap()).unwrap();
                check_gptq(&case, &file, group, bits);
            }
            println!("{case} {name}: every word agrees");
        }
    }
}

/// Columns of a group; -1 is the whole row.
fn columns_of(group: i64, columns: usize) -> usize {
    usize::try_from(group).unwrap_or(columns)
}

fn check_awq(case: &str, file: &std::collections::BTreeMap<String, Tensor>, group: i64) {
    let weights = &file["awq_gemm.w_half_pseudo"];
    let (rows, columns) = (weights.shape[0], weights.shape[1]);
    let group = columns_of(group, columns);
    let packed = PackedWeight {
        layout: Layout::Awq,
        rows,
        columns,
        bits: 4,
        group,
        qweight: file["awq_gemm.qweight"].i32(),
        qzeros: file["awq_gemm.qzeros"].i32(),
        scales: file["awq_gemm.scales"]
            .values
            .iter()
            .map(|&value| half::f16::from_f64(value).to_f32())
            .collect(),
        group_index: Vec::new(),
    };
    let unpacked = packed.unpack().unwrap();
    assert_eq!(unpacked.pack(Layout::Awq).unwrap(), packed, "{case}");
    // The original dequantizes in float16, transposed.
    let dequantized = &file["awq_gemm.dequant_in_out"].values;
    let half: Vec<f64> = unpacked.dequantize().iter().map(|&value| half::f16::from_f32(value).to_f64()).collect();
    assert!((0..rows * columns).all(|i| half[i] == dequantized[i % columns * rows + i / columns]), "{case}");
    // Codes of the weights that the original packed, on the grid that it stored.
    let codes: Vec<u8> = (0..rows * columns)
        .map(|i| {
            let place = i / columns * unpacked.groups() + i % columns / group;
            let fitted = ScaleZero {
                scale: unpacked.scales[place],
                zero: unpacked.zeros[place],
            };
            fitted.code(weights.values[i] as f32, Bits::new(4).unwrap())
        })
        .collect();
    assert_eq!(codes, unpacked.codes, "{case}");
}

fn check_gptq(case: &str, file: &std::collections::BTreeMap<String, Tensor>, group: i64, bits: Bits) {
    let key = |what: &str| format!("gptq{bits}.{what}");
    let (codes, zeros, scales) = (&file[&key("codes")], &file[&key("zero")], &file[&key("scales")]);
    let (rows, columns) = (codes.shape[0], codes.shape[1]);
    let groups = zeros.shape[1];
    let quantized = Codes {
        rows,
        columns,
        bits: bits.get(),
        group: columns_of(group, columns),
        codes: codes.u8(),
        zeros: zeros.u8(),
        scales: (0..rows * groups).map(|i| scales.values[i % groups * rows + i / groups] as f32).collect(),
        group_index: None,
    };
    for (format, name) in [(ZeroFormat::V2, "qzeros_v2"), (ZeroFormat::V1, "qzeros_v1")] {
        let packed = quantized.pack(Layout::Gptq(format)).unwrap();
        assert_eq!(packed.qweight, file[&key("qweight")].i32(), "{case} {bits} bits");
        match file.get(&key(name)) {
            Some(expected) => assert_eq!(
                packed.qzeros,
                expected.i32(),
                "{case} {bits} bits {name}; zeros of 0: {}",
                quantized.zeros.contains(&0)
            ),
            None => println!("{case} {bits} bits: no {name} in the fixture"),
        }
        assert_eq!(packed.scales.iter().map(|scale| f64::from(*scale)).collect::<Vec<_>>(), scales.values, "{case}");
        assert_eq!(packed.unpack().unwrap(), quantized, "{case} {bits} bits");
    }
}
