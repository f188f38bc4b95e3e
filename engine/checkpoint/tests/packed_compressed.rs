//! Every form of compressed-tensors against a plain decoding in float64, number by number, and what is wrong with one refused by name.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may stop the test")]

mod common;
mod packed_support;

use half::bf16;
use packed_support::*;
use safetensors::Dtype;
use serde_json::{Value, json};

#[test]
fn words_of_compressed_tensors_of_all_bits() {
    for bits in 2..=8u32 {
        for (group, symmetric, kind, stream) in [
            (8, true, Dtype::BF16, true),
            (16, false, Dtype::F16, true),
            (COLUMNS, false, Dtype::F32, true),
            (COLUMNS, true, Dtype::BF16, false),
            (16, false, Dtype::BF16, false),
        ] {
            let (arrays, values, zeros) = packed_words(bits, group, symmetric, kind, stream);
            let mut weights = json!({"num_bits": bits, "type": "int", "symmetric": symmetric, "strategy": "group", "group_size": group});
            if group == COLUMNS {
                weights["strategy"] = json!("channel");
                weights["group_size"] = Value::Null;
            }
            let groups = COLUMNS / group;
            let scales = scales(ROWS * groups);
            let what = format!("{bits} bits, groups of {group}, symmetric {symmetric}, {kind:?}, stream {stream}");
            check(&what, &compressed("pack-quantized", weights), &arrays, 0.0, |row, column| {
                let place = row * groups + column / group;
                let code = f64::from(values[row * COLUMNS + column]) - f64::from(zeros[place]);
                rounded(code * f64::from(scales[place]), kind)
            });
        }
    }
}

#[test]
fn groups_of_compressed_tensors_in_another_order() {
    let group = 8;
    let groups = COLUMNS / group;
    let (mut arrays, values, zeros) = packed_words(4, group, false, Dtype::BF16, true);
    let index: Vec<i32> = (0..COLUMNS).map(|column| ((column * 5 + 3) % groups) as i32).collect();
    arrays.push((
        "weight_g_idx",
        Dtype::I32,
        vec![COLUMNS],
        index.iter().flat_map(|group| group.to_le_bytes()).collect(),
    ));
    let said = |order: Value| json!({"num_bits": 4, "symmetric": false, "strategy": "group", "group_size": group, "actorder": order});
    let scales = scales(ROWS * groups);
    check(
        "another order",
        &compressed("pack-quantized", said(json!("group"))),
        &arrays,
        0.0,
        |row, column| {
            let place = row * groups + index[column] as usize;
            let code = f64::from(values[row * COLUMNS + column]) - f64::from(zeros[place]);
            rounded(code * f64::from(scales[place]), Dtype::BF16)
        },
    );
    let error = refusal(&compressed("pack-quantized", said(Value::Null)), &arrays);
    assert!(error.contains("weight_g_idx") && error.contains(UP), "{error}");
    arrays.last_mut().unwrap().3[0] = 77;
    assert!(refusal(&compressed("pack-quantized", said(json!("group"))), &arrays).contains("weight_g_idx"));
    arrays.pop();
    assert!(refusal(&compressed("pack-quantized", said(json!("group"))), &arrays).contains("weight_g_idx"));
}

#[test]
fn single_numbers_of_compressed_tensors() {
    let whole = vec![ROWS, COLUMNS];
    let values = bytes(ROWS * COLUMNS, 5);
    let row_scales = scales(ROWS);
    let zeros = bytes(ROWS, 8);
    let arrays: Vec<Array> = vec![
        ("weight", Dtype::I8, whole.clone(), values.clone()),
        ("weight_scale", Dtype::BF16, vec![ROWS, 1], stored(&row_scales, Dtype::BF16)),
        ("weight_zero_point", Dtype::I8, vec![ROWS, 1], zeros.clone()),
        ("input_scale", Dtype::BF16, vec![1], vec![0; 2]),
    ];
    let said = json!({"num_bits": 8, "type": "int", "symmetric": false, "strategy": "channel"});
    check("int8 rows", &compressed("int-quantized", said), &arrays, 0.0, |row, column| {
        let code = f64::from(values[row * COLUMNS + column].cast_signed()) - f64::from(zeros[row].cast_signed());
        rounded(code * f64::from(row_scales[row]), Dtype::BF16)
    });
    let values = float8(ROWS * COLUMNS, 6);
    for (strategy, shape) in [("tensor", vec![1]), ("tensor", vec![]), ("channel", vec![ROWS, 1])] {
        let scales = scales(shape.iter().product());
        let arrays: Vec<Array> = vec![
            ("weight", Dtype::F8_E4M3, whole.clone(), values.clone()),
            ("weight_scale", Dtype::F32, shape.clone(), stored(&scales, Dtype::F32)),
        ];
        let said = json!({"num_bits": 8, "type": "float", "strategy": strategy});
        check(
            &format!("float8, {strategy} {shape:?}"),
            &compressed("float-quantized", said),
            &arrays,
            0.0,
            |row, column| e4m3(values[row * COLUMNS + column]) * f64::from(scales[row % scales.len()]),
        );
    }
    // Blocks that are cut off at the ends.
    let (tall, wide) = (24, 12);
    let across = COLUMNS.div_ceil(wide);
    let scales = scales(ROWS.div_ceil(tall) * across);
    let arrays: Vec<Array> = vec![
        ("weight", Dtype::F8_E4M3, whole, values.clone()),
        ("weight_scale", Dtype::BF16, vec![ROWS.div_ceil(tall), across], stored(&scales, Dtype::BF16)),
    ];
    let said = json!({"num_bits": 8, "type": "float", "strategy": "block", "block_structure": [tall, wide]});
    check("float8, blocks", &compressed("naive-quantized", said), &arrays, 0.0, |row, column| {
        let scale = f64::from(scales[row / tall * across + column / wide]);
        rounded(e4m3(values[row * COLUMNS + column]) * scale, Dtype::BF16)
    });
}

#[test]
fn four_bit_floats_of_compressed_tensors() {
    let pairs = bytes(ROWS * COLUMNS / 2, 12);
    let code = |row: usize, column: usize| {
        let byte = pairs[(row * COLUMNS + column) / 2];
        e2m1(if column.is_multiple_of(2) { byte } else { byte >> 4 })
    };
    let packed = || ("weight_packed", Dtype::U8, vec![ROWS, COLUMNS / 2], pairs.clone());
    let groups = COLUMNS / 16;
    let small: Vec<u8> = float8(ROWS * groups, 3).into_iter().map(|byte| byte & 0x7f).collect();
    let global = 3.7f32;
    let arrays: Vec<Array> = vec![
        packed(),
        ("weight_scale", Dtype::F8_E4M3, vec![ROWS, groups], small.clone()),
        ("weight_global_scale", Dtype::F32, vec![1], global.to_le_bytes().to_vec()),
        ("input_global_scale", Dtype::F32, vec![1], vec![0; 4]),
    ];
    let said = json!({"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16, "scale_dtype": "torch.float8_e4m3fn"});
    // The quotient is rounded to float32 before it is multiplied, so that bfloat16's last bit may fall otherwise.
    check("NVFP4", &compressed("nvfp4-pack-quantized", said), &arrays, 2f64.powi(-7), |row, column| {
        rounded(code(row, column) * (e4m3(small[row * groups + column / 16]) / f64::from(global)), Dtype::BF16)
    });
    let exponents: Vec<u8> = bytes(ROWS, 4).into_iter().map(|byte| byte.clamp(8, 240)).collect();
    let said = json!({"num_bits": 4, "type": "float", "strategy": "group", "group_size": 32, "scale_dtype": "torch.uint8"});
    let arrays: Vec<Array> = vec![packed(), ("weight_scale", Dtype::U8, vec![ROWS, 1], exponents.clone())];
    check("MXFP4", &compressed("mxfp4-pack-quantized", said.clone()), &arrays, 0.0, |row, column| {
        code(row, column) * 2f64.powi(i32::from(exponents[row]) - 127)
    });
    let mut bad = arrays.clone();
    bad[1].3[3] = 255;
    assert!(refusal(&compressed("mxfp4-pack-quantized", said), &bad).contains(UP), "255 is no number");
    let values = float8(ROWS * COLUMNS, 6);
    let arrays: Vec<Array> = vec![
        ("weight", Dtype::F8_E4M3, vec![ROWS, COLUMNS], values.clone()),
        ("weight_scale", Dtype::U8, vec![ROWS, 1], exponents.clone()),
    ];
    let said = json!({"num_bits": 8, "type": "float", "strategy": "group", "group_size": 32, "scale_dtype": "torch.uint8"});
    check("MXFP8", &compressed("mxfp8-quantized", said), &arrays, 0.0, |row, column| {
        e4m3(values[row * COLUMNS + column]) * 2f64.powi(i32::from(exponents[row]) - 127)
    });
}

#[test]
fn what_is_wrong_with_compressed_tensors_is_named() {
    let said = |changes: Value| {
        let mut weights = json!({"num_bits": 4, "symmetric": false, "strategy": "group", "group_size": 8});
        weights.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        compressed("pack-quantized", weights)
    };
    let (arrays, ..) = packed_words(4, 8, false, Dtype::BF16, true);
    let wrong = |said: Value, change: &dyn Fn(&mut Vec<Array>), part: &str| {
        let mut arrays = arrays.clone();
        change(&mut arrays);
        let error = refusal(&said, &arrays);
        assert!(error.contains(part) && error.contains(UP), "{part}: {error}");
    };
    let same: &dyn Fn(&mut Vec<Array>) = &|_| {};
    wrong(said(json!({"group_size": 16})), same, "weight_scale");
    wrong(said(json!({"group_size": 12})), same, "groups of 12");
    wrong(said(json!({"num_bits": 8})), same, "weight_packed");
    wrong(said(json!({"symmetric": true})), same, "weight_zero_point");
    wrong(said(json!({})), &|arrays| drop(arrays.pop()), "weight_zero_point");
    wrong(said(json!({})), &|arrays| arrays[2].3[0] = 1, "weight_shape");
    wrong(said(json!({})), &|arrays| arrays[1].1 = Dtype::I16, "I16");
    wrong(said(json!({})), &|arrays| arrays[1].3[..2].copy_from_slice(&bf16::NAN.to_le_bytes()), "NaN");
    wrong(
        said(json!({})),
        &|arrays| arrays[1].3[..2].copy_from_slice(&bf16::INFINITY.to_le_bytes()),
        "row 0",
    );
    wrong(said(json!({})), &|arrays| drop(arrays.remove(1)), "weight_scale");
    let mut ignored = said(json!({}));
    ignored["ignore"] = json!(["re:.*up_proj$"]);
    wrong(ignored, same, "ignore");
    let mut elsewhere = said(json!({}));
    elsewhere["config_groups"]["group_0"]["targets"] = json!(["re:.*down_proj"]);
    wrong(elsewhere, same, "no target");
    let mut dense = said(json!({}));
    dense["format"] = json!("dense");
    wrong(dense, same, "dense");
    // What no group means and has no scales is a plain weight.
    let mut other = said(json!({}));
    other["kv_cache_scheme"] = json!({"num_bits": 8, "type": "float"});
    let checkpoint = open(&other, UP, &arrays).unwrap();
    assert!(checkpoint.notes()[0].contains("kv_cache_scheme"), "{:?}", checkpoint.notes());
}
