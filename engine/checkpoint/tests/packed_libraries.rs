//! HQQ and torchao against a plain decoding in float64, number by number, rounded as the libraries round; and what is wrong refused by name.
//! Files that the libraries wrote are among `tests/fixtures/formats`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may stop the test")]

mod common;
mod packed_support;

use cruxscope_checkpoint::Checkpoint;
use packed_support::*;
use safetensors::Dtype;
use serde_json::{Value, json};

fn hqq() -> Value {
    json!({"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4}}, "skip_modules": ["lm_head"]})
}

fn setting(part: &'static str, value: i32) -> Array {
    (part, Dtype::I32, vec![], value.to_le_bytes().to_vec())
}

/// The arrays of a module: codes of the layout `[rows, columns]`, bit by bit into bytes or words, the first part in the highest bits.
fn hqq_arrays(packing: &str, bits: usize, axis: i32, group: usize, kind: Dtype) -> (Vec<Array>, Vec<u8>, Vec<f32>, Vec<f32>) {
    let numbers = ROWS * COLUMNS;
    let groups = numbers / group;
    let [down, across] = if axis == 1 { [groups, group] } else { [group, groups] };
    let values = codes(numbers, bits as u32, 7 + bits as u64);
    let (together, bytes) = if bits == 3 { (10, 4) } else { (8 / bits, 1) };
    let part = down.div_ceil(together);
    let mut packed = vec![0u8; part * across * bytes];
    for (place, code) in values.iter().enumerate() {
        let (row, column) = (place / across, place % across);
        let shift = bits * (together - 1 - row / part);
        let first = (row % part * across + column) * bytes;
        for bit in (0..bits).filter(|bit| code >> bit & 1 == 1) {
            packed[first + (shift + bit) / 8] |= 1 << ((shift + bit) % 8);
        }
    }
    let zeros: Vec<f32> = (0..groups).map(|group| (group * 5 % 11) as f32 * 0.375 + 0.25).collect();
    let scales = scales(groups);
    let of_groups = if axis == 1 { vec![groups, 1] } else { vec![1, groups] };
    let arrays = vec![
        ("W_q", if bytes == 4 { Dtype::I32 } else { Dtype::U8 }, vec![part, across], packed),
        ("scale", kind, of_groups.clone(), stored(&scales, kind)),
        ("zero", kind, of_groups, stored(&zeros, kind)),
        (
            "shape",
            Dtype::I64,
            vec![2],
            [ROWS as i64, COLUMNS as i64].iter().flat_map(|size| size.to_le_bytes()).collect(),
        ),
        ("packing", Dtype::U8, vec![packing.len()], packing.as_bytes().to_vec()),
        setting("axis", axis),
        setting("group_size", group as i32),
        ("channel_wise", Dtype::U8, vec![], vec![1]),
        ("quant_scale", Dtype::U8, vec![], vec![0]),
        ("quant_zero", Dtype::U8, vec![], vec![0]),
    ];
    (arrays, values, zeros, scales)
}

#[test]
fn groups_of_hqq_along_rows_and_columns() {
    for (packing, bits, axis, group, kind) in [
        ("4bit_u8", 4, 1, 8, Dtype::F16),
        ("4bit_u8", 4, 0, 32, Dtype::F32),
        ("8bit_u8", 8, 1, 16, Dtype::BF16),
        ("3bit_32", 3, 1, 8, Dtype::F32),
        ("3bit_32", 3, 0, 16, Dtype::F16),
        ("2bit_u8", 2, 0, 64, Dtype::BF16),
        ("1bit_u8", 1, 1, 4, Dtype::F32),
    ] {
        let (arrays, values, zeros, scales) = hqq_arrays(packing, bits, axis, group, kind);
        let groups = zeros.len();
        check(packing, &hqq(), &arrays, 0.0, |row, column| {
            let place = row * COLUMNS + column;
            let group = if axis == 1 { place / group } else { place % groups };
            let difference = rounded(f64::from(values[place]) - f64::from(zeros[group]), kind);
            rounded(difference * f64::from(scales[group]), kind)
        });
    }
}

#[test]
fn what_hqq_says_otherwise_is_refused_by_name() {
    let with = |change: &dyn Fn(&mut Vec<Array>)| {
        let (mut arrays, ..) = hqq_arrays("4bit_u8", 4, 1, 8, Dtype::F32);
        change(&mut arrays);
        refusal(&hqq(), &arrays)
    };
    let set = |arrays: &mut Vec<Array>, part: &str, bytes: Vec<u8>| arrays.iter_mut().find(|array| array.0 == part).unwrap().3 = bytes;
    assert!(with(&|arrays| set(arrays, "quant_zero", vec![1])).contains("quant_zero"));
    assert!(with(&|arrays| set(arrays, "channel_wise", vec![0])).contains("channel_wise"));
    assert!(with(&|arrays| set(arrays, "packing", b"9bit_u8".to_vec())).contains("9bit_u8"));
    assert!(with(&|arrays| set(arrays, "axis", 2i32.to_le_bytes().to_vec())).contains("axis"));
    assert!(with(&|arrays| set(arrays, "group_size", 7i32.to_le_bytes().to_vec())).contains("group_size"));
    assert!(with(&|arrays| set(arrays, "shape", [1i64, 2].iter().flat_map(|size| size.to_le_bytes()).collect())).contains("shape"));
    assert!(with(&|arrays| arrays.retain(|array| array.0 != "group_size")).contains("group_size"));
    assert!(with(&|arrays| arrays.retain(|array| array.0 != "zero")).contains("zero"));
    assert!(with(&|arrays| (arrays[0].2, arrays[0].3) = (vec![1], vec![0])).contains("W_q"));
}

fn torchao(kind: &str) -> Value {
    json!({"quant_method": "torchao", "quant_type": {"default": {"_type": kind, "_data": {}, "_version": 2}}, "modules_to_not_convert": null})
}

fn class(name: &str, block: [usize; 2], dtype: &str) -> Value {
    json!({"_type": name, "_data": {"block_size": block, "dtype": {"_type": "torch.dtype", "_data": dtype}}, "_tensor_data_names": []})
}

#[test]
fn classes_of_torchao() {
    let values = bytes(ROWS * COLUMNS, 3);
    let code = |row: usize, column: usize| f64::from(values[row * COLUMNS + column].cast_signed());
    let group = 8;
    let across = COLUMNS / group;
    let of_groups = scales(ROWS * across);
    let zeros = bytes(ROWS * across, 5).into_iter().map(|byte| byte >> 5).collect::<Vec<_>>();
    for (name, dtype, kind) in [("Int8Tensor", "bfloat16", Dtype::BF16), ("IntxUnpackedToInt8Tensor", "float16", Dtype::F16)] {
        let arrays: Vec<Array> = vec![
            ("_weight_qdata", Dtype::I8, vec![ROWS, COLUMNS], values.clone()),
            ("_weight_scale", kind, vec![ROWS, across], stored(&of_groups, kind)),
            ("_weight_zero_point", Dtype::I8, vec![ROWS, across], zeros.clone()),
        ];
        check_saying(
            name,
            &torchao("IntxWeightOnlyConfig"),
            &arrays,
            Some(&class(name, [1, group], dtype)),
            0.0,
            |row, column| {
                let place = row * across + column / group;
                rounded((code(row, column) - f64::from(zeros[place])) * f64::from(of_groups[place]), kind)
            },
        );
    }
    let of_rows = scales(ROWS);
    let arrays: Vec<Array> = vec![
        ("_weight_qdata", Dtype::I8, vec![ROWS, COLUMNS], values.clone()),
        ("_weight_scale", Dtype::F32, vec![ROWS, 1], stored(&of_rows, Dtype::F32)),
    ];
    check_saying(
        "rows",
        &torchao("Int8WeightOnlyConfig"),
        &arrays,
        Some(&class("Int8Tensor", [1, COLUMNS], "float32")),
        0.0,
        |row, column| rounded(code(row, column) * f64::from(of_rows[row]), Dtype::F32),
    );
    let small = float8(ROWS * COLUMNS, 9);
    let arrays: Vec<Array> = vec![
        ("_weight_qdata", Dtype::F8_E4M3, vec![ROWS, COLUMNS], small.clone()),
        ("_weight_scale", Dtype::F32, vec![ROWS, 1], stored(&of_rows, Dtype::F32)),
    ];
    check_saying(
        "float8",
        &torchao("Float8WeightOnlyConfig"),
        &arrays,
        Some(&class("Float8Tensor", [1, COLUMNS], "bfloat16")),
        0.0,
        |row, column| rounded(e4m3(small[row * COLUMNS + column]) * f64::from(of_rows[row]), Dtype::BF16),
    );
    let pairs = bytes(ROWS * COLUMNS / 2, 11);
    let floats: Vec<f32> = (0..ROWS * across).map(|place| (place % 9) as f32 / 8.0 - 0.5).collect();
    let arrays: Vec<Array> = vec![
        ("_weight_qdata", Dtype::I8, vec![ROWS, COLUMNS / 2], pairs.clone()),
        ("_weight_scale", Dtype::BF16, vec![across, ROWS], stored(&of_groups, Dtype::BF16)),
        ("_weight_zero_point", Dtype::BF16, vec![across, ROWS], stored(&floats, Dtype::BF16)),
    ];
    let int4 = json!({"_type": "Int4Tensor", "_data": {"block_size": [1, group], "shape": [ROWS, COLUMNS]}});
    check_saying("int4", &torchao("Int4WeightOnlyConfig"), &arrays, Some(&int4), 1e-7, |row, column| {
        let byte = pairs[(row * COLUMNS + column) / 2];
        let nibble = i32::from(if column.is_multiple_of(2) { byte & 15 } else { byte >> 4 });
        let place = column / group * ROWS + row;
        f64::from(if nibble > 7 { nibble - 16 } else { nibble }) * f64::from(of_groups[place]) + f64::from(floats[place])
    });
}

#[test]
fn what_torchao_says_otherwise_is_refused_by_name() {
    let arrays = || -> Vec<Array> {
        vec![
            ("_weight_qdata", Dtype::I8, vec![ROWS, COLUMNS], bytes(ROWS * COLUMNS, 3)),
            ("_weight_scale", Dtype::F32, vec![ROWS, 1], stored(&scales(ROWS), Dtype::F32)),
        ]
    };
    let refused = |arrays: &[Array], facts: Option<&Value>| {
        let folder = folder_saying(&torchao("Int8WeightOnlyConfig"), UP, arrays, facts);
        let error = Checkpoint::open(folder.path())
            .and_then(|checkpoint| checkpoint.layer(0).map(|_| ()))
            .unwrap_err();
        assert!(error.is_user_error(), "{error}");
        error.to_string()
    };
    assert!(refused(&arrays(), None).contains("header of its file"));
    let other = json!({"_type": "Int4TilePackedTo4dTensor", "_data": {"block_size": [1, 8]}});
    assert!(refused(&arrays(), Some(&other)).contains("Int4TilePackedTo4dTensor"));
    assert!(refused(&arrays(), Some(&class("Int8Tensor", [1, 0], "float32"))).contains("block_size"));
    assert!(refused(&arrays(), Some(&class("Int8Tensor", [1, 5], "float32"))).contains("do not divide"));
    assert!(refused(&arrays(), Some(&class("Int8Tensor", [1, COLUMNS], "float64"))).contains("float64"));
    let mut scaled = arrays();
    scaled.push(("_weight_act_pre_scale", Dtype::F32, vec![COLUMNS], stored(&scales(COLUMNS), Dtype::F32)));
    assert!(refused(&scaled, Some(&class("Int8Tensor", [1, COLUMNS], "float32"))).contains("act_pre_scale"));
    let folder = folder_saying(
        &torchao("Int8DynamicActivationInt8WeightConfig"),
        UP,
        &arrays(),
        Some(&class("Int8Tensor", [1, COLUMNS], "float32")),
    );
    assert!(Checkpoint::open(folder.path()).unwrap().notes()[0].contains("Int8DynamicActivationInt8WeightConfig"));
}

#[test]
fn pickled_files_are_refused_with_the_way_to_convert_them() {
    for (name, part) in [("qmodel.pt", "AutoHQQHFModel"), ("pytorch_model.bin", "save_pretrained")] {
        let folder = folder(&hqq(), UP, &[]);
        std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
        std::fs::write(folder.path().join(name), b"pickled").unwrap();
        let error = Checkpoint::open(folder.path()).err().unwrap();
        assert!(
            error.is_user_error() && error.to_string().contains(part) && error.to_string().contains(name),
            "{error}"
        );
    }
}
