//! The tiny model with one module in a packed form, and what its numbers should be.

#![allow(dead_code)] // every test file uses its own part

use cruxscope_checkpoint::{Checkpoint, CheckpointError};
use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

use super::common::{HIDDEN, INTERMEDIATE, config, tensors};

pub const UP: &str = "model.layers.0.mlp.up_proj";
/// Its outputs and inputs.
pub const ROWS: usize = INTERMEDIATE;
pub const COLUMNS: usize = HIDDEN;

/// An array of a module: the last part of its name, its type, shape and bytes.
pub type Array = (&'static str, Dtype, Vec<usize>, Vec<u8>);

/// Bytes without pattern.
pub fn bytes(count: usize, seed: u64) -> Vec<u8> {
    let mut state = seed * 2 + 1;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..count).map(|_| next()).collect()
}

/// Codes of some bits.
pub fn codes(count: usize, bits: u32, seed: u64) -> Vec<u8> {
    bytes(count, seed).into_iter().map(|byte| byte >> (8 - bits)).collect()
}

/// Positive scales that every type holds exactly.
pub fn scales(count: usize) -> Vec<f32> {
    (0..count).map(|place| (1.0 + (place * 7 % 13) as f32 / 16.0) / 64.0).collect()
}

pub fn stored(values: &[f32], kind: Dtype) -> Vec<u8> {
    match kind {
        Dtype::F16 => values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect(),
        Dtype::BF16 => values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect(),
        _ => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
    }
}

/// Fields in 32-bit words, bit by bit; over the ends of words, or as many as a word has room for.
pub fn words(fields: &[u8], bits: usize, stream: bool) -> Vec<u8> {
    let place = |index: usize| {
        if stream {
            index * bits
        } else {
            index / (32 / bits) * 32 + index % (32 / bits) * bits
        }
    };
    let count = (place(fields.len().max(1) - 1) + bits).div_ceil(32);
    let mut out = vec![0; 4 * count];
    for (index, field) in fields.iter().enumerate() {
        for bit in (0..bits).filter(|bit| field >> bit & 1 == 1) {
            out[(place(index) + bit) / 8] |= 1 << ((place(index) + bit) % 8);
        }
    }
    out
}

/// Words that run down the rows: `[words, groups]` of fields `[rows, groups]`.
pub fn words_down(fields: &[u8], groups: usize, bits: usize, stream: bool) -> Vec<u8> {
    let rows = fields.len() / groups;
    let columns: Vec<Vec<u8>> = (0..groups)
        .map(|group| words(&(0..rows).map(|row| fields[row * groups + group]).collect::<Vec<_>>(), bits, stream))
        .collect();
    (0..columns[0].len() / 4)
        .flat_map(|word| columns.iter().flat_map(move |column| column[4 * word..][..4].to_vec()))
        .collect()
}

/// A folder of the tiny model in which a module is packed.
pub fn folder(quantization: &Value, stem: &str, arrays: &[Array]) -> tempfile::TempDir {
    folder_saying(quantization, stem, arrays, None)
}

/// The same, whose header says something of the weight.
pub fn folder_saying(quantization: &Value, stem: &str, arrays: &[Array], facts: Option<&Value>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config();
    config["quantization_config"] = quantization.clone();
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let weight = format!("{stem}.weight");
    let plain: Vec<_> = tensors()
        .into_iter()
        .filter(|(name, _)| *name != weight)
        .map(|(name, (shape, values))| (name, Dtype::F32, shape, stored(&values, Dtype::F32)))
        .collect();
    let packed = arrays
        .iter()
        .map(|(part, kind, shape, bytes)| (format!("{stem}.{part}"), *kind, shape.clone(), bytes.clone()));
    let all: Vec<_> = plain.into_iter().chain(packed).collect();
    let views = all
        .iter()
        .map(|(name, kind, shape, bytes)| (name, TensorView::new(*kind, shape.clone(), bytes).unwrap()));
    let facts = facts.map(|facts| std::collections::HashMap::from([(weight.clone(), facts.to_string())]));
    safetensors::serialize_to_file(views, facts, &folder.path().join("model.safetensors")).unwrap();
    folder
}

pub fn open(quantization: &Value, stem: &str, arrays: &[Array]) -> Result<Checkpoint, CheckpointError> {
    Checkpoint::open(folder(quantization, stem, arrays).path())
}

/// Opens a checkpoint whose `UP` has these arrays, and compares it with what it should be; `within` is relative.
pub fn check(what: &str, quantization: &Value, arrays: &[Array], within: f64, expected: impl Fn(usize, usize) -> f64) {
    check_saying(what, quantization, arrays, None, within, expected);
}

/// The same of a file whose header says something of the weight.
pub fn check_saying(what: &str, quantization: &Value, arrays: &[Array], facts: Option<&Value>, within: f64, expected: impl Fn(usize, usize) -> f64) {
    let folder = folder_saying(quantization, UP, arrays, facts);
    let checkpoint = Checkpoint::open(folder.path()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let up = &checkpoint.layer(0).unwrap_or_else(|error| panic!("{what}: {error}")).projections[5].weight;
    let mut largest = 0f64;
    for row in 0..ROWS {
        for column in 0..COLUMNS {
            let (found, expected) = (f64::from(up.row(row)[column]), expected(row, column));
            let difference = (found - expected).abs() / expected.abs().max(1e-30);
            assert!(
                found == expected || difference <= within,
                "{what} {row} {column}: {found} instead of {expected}"
            );
            largest = largest.max(if found == expected { 0.0 } else { difference });
        }
    }
    println!("{what}: largest relative difference {largest:e}");
    let kinds = checkpoint.tensor_types();
    assert!(
        !kinds.keys().any(|name| name.starts_with(UP) && *name != format!("{UP}.weight")),
        "{what}: {kinds:?}"
    );
    let lengths: usize = arrays
        .iter()
        .filter(|(part, ..)| !part.starts_with("input"))
        .map(|(.., bytes)| 8 * bytes.len())
        .sum();
    assert_eq!(checkpoint.projection_bits(0)[5], lengths as u64, "{what}");
}

pub fn refusal(quantization: &Value, arrays: &[Array]) -> String {
    let error = match open(quantization, UP, arrays) {
        Err(error) => error,
        Ok(checkpoint) => checkpoint.layer(0).map(|_| ()).unwrap_err(),
    };
    assert!(error.is_user_error(), "{error}");
    error.to_string()
}

/// To a number type and back, in the way that the library stores results.
pub fn rounded(value: f64, kind: Dtype) -> f64 {
    match kind {
        Dtype::F16 => f16::from_f64(value).to_f64(),
        Dtype::BF16 => bf16::from_f64(value).to_f64(),
        _ => f64::from(value as f32),
    }
}

pub fn e4m3(byte: u8) -> f64 {
    let (exponent, mantissa) = (i32::from(byte >> 3 & 15), f64::from(byte & 7) / 8.0);
    let sign = if byte < 128 { 1.0 } else { -1.0 };
    sign * if exponent == 0 {
        mantissa * 2f64.powi(-6)
    } else {
        (1.0 + mantissa) * 2f64.powi(exponent - 7)
    }
}

pub fn e2m1(nibble: u8) -> f64 {
    let magnitude = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0][usize::from(nibble & 7)];
    if nibble & 8 == 0 { magnitude } else { -magnitude }
}

/// Bytes of E4M3 that are numbers.
pub fn float8(count: usize, seed: u64) -> Vec<u8> {
    bytes(count, seed)
        .into_iter()
        .map(|byte| if byte & 0x7f == 0x7f { byte & 0xf0 } else { byte })
        .collect()
}

pub fn compressed(format: &str, weights: Value) -> Value {
    json!({"quant_method": "compressed-tensors", "format": format, "quantization_status": "compressed", "ignore": ["lm_head"],
           "config_groups": {"group_0": {"targets": ["re:.*layers\\.0\\..*up_proj"], "weights": weights}}})
}

/// The arrays of `pack-quantized` with the codes and zeros that they hold.
pub fn packed_words(bits: u32, group: usize, symmetric: bool, kind: Dtype, stream: bool) -> (Vec<Array>, Vec<u8>, Vec<u8>) {
    let groups = COLUMNS / group;
    let (values, zeros) = (codes(ROWS * COLUMNS, bits, u64::from(bits)), codes(ROWS * groups, bits, 99));
    let lines: Vec<u8> = values.chunks(COLUMNS).flat_map(|row| words(row, bits as usize, stream)).collect();
    let mut arrays: Vec<Array> = vec![
        ("weight_packed", Dtype::I32, vec![ROWS, lines.len() / 4 / ROWS], lines),
        ("weight_scale", kind, vec![ROWS, groups], stored(&scales(ROWS * groups), kind)),
        (
            "weight_shape",
            Dtype::I64,
            vec![2],
            [ROWS as i64, COLUMNS as i64].iter().flat_map(|size| size.to_le_bytes()).collect(),
        ),
    ];
    if !symmetric {
        let down = words_down(&zeros, groups, bits as usize, stream);
        arrays.push(("weight_zero_point", Dtype::I32, vec![down.len() / 4 / groups, groups], down));
    }
    let zeros = if symmetric { vec![1 << (bits - 1); ROWS * groups] } else { zeros };
    (arrays, values, zeros)
}
