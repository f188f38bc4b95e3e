//! Float8, bitsandbytes and AutoAWQ's GEMV against a plain decoding in float64, number by number, and what is wrong refused by name.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may stop the test")]

mod common;
mod packed_support;

use common::{HIDDEN, LAYERS, VOCABULARY, config, tensors};
use cruxscope_checkpoint::Checkpoint;
use packed_support::*;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

#[test]
fn float8_with_blocks_rows_and_one_scale() {
    let values = float8(ROWS * COLUMNS, 6);
    let weight = || ("weight", Dtype::F8_E4M3, vec![ROWS, COLUMNS], values.clone());
    let value = |row: usize, column: usize| e4m3(values[row * COLUMNS + column]);
    let (tall, wide) = (24, 12);
    let across = COLUMNS.div_ceil(wide);
    let block_scales = scales(ROWS.div_ceil(tall) * across);
    let said = json!({"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [tall, wide], "activation_scheme": "dynamic"});
    for kind in [Dtype::F32, Dtype::BF16] {
        let arrays = [
            weight(),
            ("weight_scale_inv", kind, vec![ROWS.div_ceil(tall), across], stored(&block_scales, kind)),
        ];
        check("fp8, blocks", &said, &arrays, 0.0, |row, column| {
            value(row, column) * f64::from(block_scales[row / tall * across + column / wide])
        });
    }
    assert!(
        open(
            &said,
            UP,
            &[weight(), ("weight_scale_inv", Dtype::F32, vec![3, 3], stored(&block_scales, Dtype::F32))]
        )
        .unwrap()
        .notes()[0]
            .contains("dynamic")
    );
    for (method, part, shape) in [
        ("fp8", "weight_scale", vec![]),
        ("fp8", "weight_scale", vec![1]),
        ("fp8", "weight_scale_inv", vec![]),
        ("fbgemm_fp8", "weight_scale", vec![ROWS, 1]),
    ] {
        let scales = scales(shape.iter().product());
        let arrays = [
            weight(),
            (part, Dtype::F32, shape, stored(&scales, Dtype::F32)),
            ("input_scale", Dtype::F32, vec![], vec![0; 4]),
        ];
        check(method, &json!({"quant_method": method}), &arrays, 0.0, |row, column| {
            value(row, column) * f64::from(scales[row % scales.len()])
        });
    }
    let wrong = |arrays: &[Array], part: &str| {
        let error = refusal(&said, arrays);
        assert!(error.contains(part), "{error}");
    };
    wrong(&[weight(), ("weight_scale_inv", Dtype::F32, vec![2, 3], vec![0; 24])], "weight_scale_inv");
    wrong(&[weight(), ("weight_scale", Dtype::F32, vec![1], vec![0; 4])], "weight_block_size");
    wrong(&[weight()], "F8_E4M3");
    let not = stored(&[f32::NAN; 9], Dtype::F32);
    wrong(&[weight(), ("weight_scale_inv", Dtype::F32, vec![3, 3], not)], UP);
    let plain = ("weight", Dtype::BF16, vec![ROWS, COLUMNS], vec![0; 2 * ROWS * COLUMNS]);
    wrong(&[plain, ("weight_scale_inv", Dtype::F32, vec![3, 3], vec![0; 36])], "BF16");
}

#[test]
fn tables_and_rows_of_bitsandbytes() {
    let count = ROWS * COLUMNS;
    let pairs = bytes(count / 2, 21);
    let code = |place: usize| {
        usize::from(if place.is_multiple_of(2) {
            pairs[place / 2] >> 4
        } else {
            pairs[place / 2] & 15
        })
    };
    let map: Vec<f32> = (0..16).map(|code| code as f32 / 8.0 - 1.0).collect();
    let said = json!({"quant_method": "bitsandbytes", "load_in_4bit": true, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": true});
    let block = 64;
    let blocks = count / block;
    let state = |name: &'static str, kind: &str, more: Value| {
        let mut state = json!({"quant_type": kind, "blocksize": block, "dtype": "bfloat16", "shape": [ROWS, COLUMNS]});
        for (key, value) in more.as_object().unwrap() {
            state[key] = value.clone();
        }
        let text = state.to_string().into_bytes();
        (name, Dtype::U8, vec![text.len()], text)
    };
    const NF4: &str = "weight.quant_state.bitsandbytes__nf4";
    let weight = || ("weight", Dtype::U8, vec![count / 2, 1], pairs.clone());
    let quant_map = || ("weight.quant_map", Dtype::F32, vec![16], stored(&map, Dtype::F32));
    let absmax = scales(blocks);
    for (name, kind) in [(NF4, "nf4"), ("weight.quant_state.bitsandbytes__fp4", "fp4")] {
        let arrays = [
            weight(),
            quant_map(),
            ("weight.absmax", Dtype::F32, vec![blocks], stored(&absmax, Dtype::F32)),
            state(name, kind, json!({})),
        ];
        check(kind, &said, &arrays, 1e-7, |row, column| {
            let place = row * COLUMNS + column;
            f64::from(map[code(place)]) * f64::from(absmax[place / block])
        });
    }
    let (absmax, nested_map, nested) = (
        bytes(blocks, 2),
        (0..256).map(|code| code as f32 / 128.0 - 1.0).collect::<Vec<_>>(),
        scales(blocks.div_ceil(16)),
    );
    let more = json!({"nested_blocksize": 16, "nested_dtype": "float32", "nested_offset": 0.25});
    let doubled = |more: Value| -> Vec<Array> {
        vec![
            weight(),
            quant_map(),
            ("weight.absmax", Dtype::U8, vec![blocks], absmax.clone()),
            ("weight.nested_absmax", Dtype::F32, vec![nested.len()], stored(&nested, Dtype::F32)),
            ("weight.nested_quant_map", Dtype::F32, vec![256], stored(&nested_map, Dtype::F32)),
            state(NF4, "nf4", more),
        ]
    };
    check("nf4, double quantization", &said, &doubled(more.clone()), 1e-6, |row, column| {
        let place = row * COLUMNS + column;
        let block = place / block;
        let absmax = f64::from(nested_map[usize::from(absmax[block])]) * f64::from(nested[block / 16]) + 0.25;
        f64::from(map[code(place)]) * absmax
    });
    for (change, part) in [
        (json!({"nested_blocksize": 0}), "nested_blocksize"),
        (json!({"blocksize": null}), "blocksize"),
        (json!({"blocksize": 128}), "absmax"),
        (json!({"quant_type": "af4"}), "`af4`"),
        (json!({"shape": [COLUMNS, ROWS]}), "shape"),
        (json!({"nested_offset": null}), "nested_offset"),
    ] {
        let mut more = more.clone();
        more.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let error = refusal(&said, &doubled(more));
        assert!(error.contains(part), "{part}: {error}");
    }
    let values = bytes(count, 30);
    let scb = scales(ROWS);
    let said = json!({"quant_method": "bitsandbytes", "load_in_8bit": true, "llm_int8_threshold": 6.0});
    let mut arrays = vec![
        ("weight", Dtype::I8, vec![ROWS, COLUMNS], values.clone()),
        ("SCB", Dtype::F32, vec![ROWS], stored(&scb, Dtype::F32)),
        ("weight_format", Dtype::U8, vec![], vec![0]),
    ];
    check("LLM.int8", &said, &arrays, 2e-7, |row, column| {
        f64::from(values[row * COLUMNS + column].cast_signed()) * f64::from(scb[row]) / 127.0
    });
    arrays[2].3[0] = 2;
    assert!(refusal(&said, &arrays).contains("weight_format"));
}

#[test]
fn the_gemv_layout_of_awq() {
    let said = json!({"quant_method": "awq", "version": "gemv", "bits": 4, "group_size": 32, "zero_point": true});
    let values = codes(ROWS * COLUMNS, 4, 41);
    let zeros = codes(ROWS, 4, 42);
    let scales = scales(ROWS);
    // One group, and room for 32.
    let padded: Vec<f32> = scales.iter().flat_map(|scale| std::iter::once(*scale).chain([9.0; 31])).collect();
    let arrays: Vec<Array> = vec![
        (
            "qweight",
            Dtype::I32,
            vec![ROWS, COLUMNS / 8],
            values.chunks(COLUMNS).flat_map(|row| words(row, 4, true)).collect(),
        ),
        (
            "qzeros",
            Dtype::I32,
            vec![ROWS, 4],
            zeros.iter().flat_map(|zero| [[*zero, 0, 0, 0], [7; 4], [7; 4], [7; 4]].concat()).collect(),
        ),
        ("scales", Dtype::F16, vec![ROWS, 32], stored(&padded, Dtype::F16)),
    ];
    check("awq, gemv", &said, &arrays, 0.0, |row, column| {
        (f64::from(values[row * COLUMNS + column]) - f64::from(zeros[row])) * f64::from(scales[row])
    });
    // The other layout under this name.
    let mut gemm = arrays;
    gemm[0].2 = vec![COLUMNS, ROWS / 8];
    let error = refusal(&said, &gemm);
    assert!(error.contains("qweight") && error.contains(UP), "{error}");
    gemm[1].2 = vec![1, ROWS / 8];
    gemm[1].3.truncate(4 * ROWS / 8);
    let error = refusal(&said, &gemm);
    assert!(error.contains("`gemm`") && error.contains(UP), "{error}");
}

#[test]
fn embeddings_may_be_packed_and_rows_are_picked() {
    const TABLE: &str = "model.embed_tokens";
    let values = bytes(VOCABULARY * HIDDEN, 50);
    let scales = scales(VOCABULARY);
    let mut said = compressed("naive-quantized", json!({"num_bits": 8, "type": "int", "strategy": "channel"}));
    said["config_groups"]["group_0"]["targets"] = json!(["Embedding"]);
    let arrays: Vec<Array> = vec![
        ("weight", Dtype::I8, vec![VOCABULARY, HIDDEN], values.clone()),
        ("weight_scale", Dtype::F32, vec![VOCABULARY, 1], stored(&scales, Dtype::F32)),
    ];
    let checkpoint = open(&said, TABLE, &arrays).unwrap();
    let ids = [11u32, 0, 5, 5, 10];
    let rows = checkpoint.embedding_rows(&ids).unwrap();
    for (place, id) in ids.iter().enumerate() {
        for (column, value) in rows.row(place).iter().enumerate() {
            let expected = f64::from(values[*id as usize * HIDDEN + column].cast_signed()) * f64::from(scales[*id as usize]);
            assert_eq!(f64::from(*value), expected, "{id} {column}");
        }
    }
    assert_eq!(checkpoint.head_rows(5..6).unwrap().values, rows.row(2), "the head is tied");
}

/// A family that holds query, key and value as one, and gate and up: rows of packed ones are read, also where other layers are plain.
#[test]
fn matrices_that_are_one_in_the_file_may_be_packed() {
    let mut all = tensors();
    let mut fuse = |layer: usize, parts: &[&str], whole: &str| {
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        let parts: Vec<(Vec<usize>, Vec<f32>)> = parts.iter().map(|part| all.remove(&name(part)).unwrap()).collect();
        let rows = parts.iter().map(|(shape, _)| shape[0]).sum();
        all.insert(name(whole), (vec![rows, HIDDEN], parts.into_iter().flat_map(|(_, values)| values).collect()));
    };
    for layer in 0..LAYERS {
        fuse(layer, &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"], "self_attn.qkv_proj");
        fuse(layer, &["mlp.gate_proj", "mlp.up_proj"], "mlp.gate_up_proj");
    }
    let whole = "model.layers.0.self_attn.qkv_proj";
    let (shape, plain) = all.remove(&format!("{whole}.weight")).unwrap();
    let rows = shape[0];
    let (values, scales) = (bytes(rows * HIDDEN, 60), scales(rows));
    let mut arrays: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = vec![
        (format!("{whole}.weight"), Dtype::I8, shape, values.clone()),
        (format!("{whole}.weight_scale"), Dtype::F32, vec![rows, 1], stored(&scales, Dtype::F32)),
    ];
    assert_eq!(plain.len(), values.len());
    arrays.extend(
        all.into_iter()
            .map(|(name, (shape, values))| (name, Dtype::F32, shape, stored(&values, Dtype::F32))),
    );
    let folder = tempfile::tempdir().unwrap();
    let mut said = config();
    said["model_type"] = json!("phi3");
    said["original_max_position_embeddings"] = said["max_position_embeddings"].clone();
    said["quantization_config"] = compressed("int-quantized", json!({"num_bits": 8, "type": "int", "strategy": "channel"}));
    said["quantization_config"]["config_groups"]["group_0"]["targets"] = json!(["re:.*layers\\.0\\..*qkv_proj"]);
    std::fs::write(folder.path().join("config.json"), said.to_string()).unwrap();
    let views = arrays
        .iter()
        .map(|(name, kind, shape, bytes)| (name, TensorView::new(*kind, shape.clone(), bytes).unwrap()));
    safetensors::serialize_to_file(views, None, &folder.path().join("model.safetensors")).unwrap();
    let checkpoint = Checkpoint::open(folder.path()).unwrap_or_else(|error| panic!("{error}"));
    let mut first = 0;
    for projection in &checkpoint.layer(0).unwrap().projections[..3] {
        let weight = &projection.weight;
        for (place, value) in weight.values.iter().enumerate() {
            let (row, column) = (first + place / HIDDEN, place % HIDDEN);
            let expected = f64::from(values[row * HIDDEN + column].cast_signed()) * f64::from(scales[row]);
            assert_eq!(f64::from(*value), expected, "{row} {column}");
        }
        first += weight.rows;
    }
    assert_eq!(first, rows);
    let up = checkpoint.layer(1).unwrap().projections[5].weight.values.clone();
    assert_eq!(up, tensors()["model.layers.1.mlp.up_proj.weight"].1, "plain ones as before");
    let types = checkpoint.tensor_types();
    assert!(
        types["model.layers.0.self_attn.k_proj.weight"].contains("INT8") && !types.keys().any(|name| name.contains("qkv_proj")),
        "{types:?}"
    );
    let bits = checkpoint.projection_bits(0);
    assert_eq!(bits[..3].iter().sum::<u64>() as usize, 8 * (values.len() + 4 * rows));
}
