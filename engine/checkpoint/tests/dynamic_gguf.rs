//! Dynamic GGUF files: every matrix in a type of its own, as mixes from 1.58 to 2.51 bits are made of.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may stop the test")]

mod common;

use std::collections::BTreeMap;

use anamnesis::{GgufMetadataArray, GgufMetadataValue, GgufType};
use cruxscope_checkpoint::{Checkpoint, PROJECTIONS};
use safetensors::SafeTensors;

const HIDDEN: usize = 256;
const INTERMEDIATE: usize = 512;
const HEAD: usize = 64;

/// Types of q, k, v, o, gate, up and down in two layers.
const KINDS: [[GgufType; 7]; 2] = [
    [
        GgufType::IQ2_XXS,
        GgufType::Q2_K,
        GgufType::Q4_K,
        GgufType::IQ2_XS,
        GgufType::IQ1_S,
        GgufType::IQ1_M,
        GgufType::Q6_K,
    ],
    [
        GgufType::Q3_K,
        GgufType::IQ4_NL,
        GgufType::Q5_K,
        GgufType::IQ3_XXS,
        GgufType::IQ2_S,
        GgufType::IQ3_S,
        GgufType::IQ4_XS,
    ],
];

/// 512 numbers of a type as they are stored and as gguf-py reads them; `fixtures/make_block_types.py` made them.
fn sample(kind: GgufType) -> (Vec<u8>, Vec<f32>) {
    let stored = SafeTensors::deserialize(include_bytes!("fixtures/block_types.safetensors")).unwrap();
    let values = stored.tensor(&format!("{kind}.values")).unwrap();
    let values = values.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    (stored.tensor(&format!("{kind}.bytes")).unwrap().data().to_vec(), values)
}

/// A tensor to write: GGUF's name, its shape from the fastest axis on, its type and its bytes.
type Stored = (String, Vec<usize>, GgufType, Vec<u8>);

/// A GGUF file, version 3: the crate that reads them writes no block types.
fn write_gguf(metadata: &BTreeMap<String, GgufMetadataValue>, tensors: &[Stored]) -> Vec<u8> {
    let text = |file: &mut Vec<u8>, text: &str| {
        file.extend((text.len() as u64).to_le_bytes());
        file.extend(text.as_bytes());
    };
    let mut file = b"GGUF".to_vec();
    file.extend(3u32.to_le_bytes());
    file.extend((tensors.len() as u64).to_le_bytes());
    file.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        text(&mut file, key);
        match value {
            GgufMetadataValue::U32(number) => file.extend([4, *number].into_iter().flat_map(u32::to_le_bytes)),
            GgufMetadataValue::F32(number) => file.extend([6, number.to_bits()].into_iter().flat_map(u32::to_le_bytes)),
            GgufMetadataValue::String(words) => {
                file.extend(8u32.to_le_bytes());
                text(&mut file, words);
            }
            GgufMetadataValue::Array(array) => {
                let GgufMetadataArray::String(all) = &**array else {
                    panic!("an array of texts")
                };
                file.extend([9u32, 8].into_iter().flat_map(u32::to_le_bytes));
                file.extend((all.len() as u64).to_le_bytes());
                all.iter().for_each(|words| text(&mut file, words));
            }
            other => panic!("{other:?}"),
        }
    }
    let mut offset = 0u64;
    for (name, shape, kind, bytes) in tensors {
        text(&mut file, name);
        file.extend((shape.len() as u32).to_le_bytes());
        shape.iter().for_each(|size| file.extend((*size as u64).to_le_bytes()));
        file.extend(number(*kind).to_le_bytes());
        file.extend(offset.to_le_bytes());
        offset += bytes.len().next_multiple_of(32) as u64;
    }
    file.resize(file.len().next_multiple_of(32), 0);
    for (_, _, _, bytes) in tensors {
        let end = file.len() + bytes.len().next_multiple_of(32);
        file.extend(bytes);
        file.resize(end, 0);
    }
    file
}

/// The number of a type in files.
fn number(kind: GgufType) -> u32 {
    match kind {
        GgufType::F32 => 0,
        GgufType::Q2_K => 10,
        GgufType::Q3_K => 11,
        GgufType::Q4_K => 12,
        GgufType::Q5_K => 13,
        GgufType::Q6_K => 14,
        GgufType::IQ2_XXS => 16,
        GgufType::IQ2_XS => 17,
        GgufType::IQ3_XXS => 18,
        GgufType::IQ1_S => 19,
        GgufType::IQ4_NL => 20,
        GgufType::IQ3_S => 21,
        GgufType::IQ2_S => 22,
        GgufType::IQ4_XS => 23,
        GgufType::IQ1_M => 29,
        other => panic!("{other}"),
    }
}

#[test]
fn every_matrix_may_have_a_type_of_its_own() {
    let dimensions = [
        (HIDDEN, HIDDEN),
        (HIDDEN / 2, HIDDEN),
        (HIDDEN / 2, HIDDEN),
        (HIDDEN, HIDDEN),
        (INTERMEDIATE, HIDDEN),
        (INTERMEDIATE, HIDDEN),
        (HIDDEN, INTERMEDIATE),
    ];
    let mut data: Vec<Stored> = Vec::new();
    let mut plain = |name: &str, shape: Vec<usize>| {
        let count: usize = shape.iter().product();
        let bytes = (0..count).flat_map(|i| ((i % 7) as f32 - 3.0).to_le_bytes()).collect();
        data.push((common::gguf_name(name), shape.into_iter().rev().collect(), GgufType::F32, bytes));
    };
    plain("model.embed_tokens.weight", vec![12, HIDDEN]);
    plain("model.norm.weight", vec![HIDDEN]);
    for layer in 0..2 {
        plain(&format!("model.layers.{layer}.input_layernorm.weight"), vec![HIDDEN]);
        plain(&format!("model.layers.{layer}.post_attention_layernorm.weight"), vec![HIDDEN]);
    }
    for (layer, kinds) in KINDS.iter().enumerate() {
        for (index, kind) in kinds.iter().enumerate() {
            let (rows, columns) = dimensions[index];
            let bytes = sample(*kind).0.repeat(rows * columns / 512);
            let name = common::gguf_name(&format!("model.layers.{layer}.{}.weight", PROJECTIONS[index]));
            data.push((name, vec![columns, rows], *kind, bytes));
        }
    }
    let mut metadata = common::metadata();
    for (field, value) in [
        ("embedding_length", HIDDEN),
        ("feed_forward_length", INTERMEDIATE),
        ("rope.dimension_count", HEAD),
    ] {
        metadata.insert(format!("llama.{field}"), GgufMetadataValue::U32(value as u32));
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dynamic.gguf");
    std::fs::write(&file, write_gguf(&metadata.into_iter().collect(), &data)).unwrap();

    let checkpoint = Checkpoint::open(&file).unwrap();
    let types = checkpoint.tensor_types();
    for (layer, kinds) in KINDS.iter().enumerate() {
        let weights = checkpoint.layer(layer).unwrap();
        for (index, kind) in kinds.iter().enumerate() {
            assert_eq!(types[&format!("model.layers.{layer}.{}.weight", PROJECTIONS[index])], kind.to_string());
            let (rows, columns) = dimensions[index];
            let values = sample(*kind).1;
            let weight = &weights.projections[index].weight;
            assert_eq!((weight.rows, weight.columns), (rows, columns));
            for row in 0..rows {
                // Rows of query and key are stored with the two halves of a head side by side.
                let stored = if index < 2 {
                    row / HEAD * HEAD + 2 * (row % (HEAD / 2)) + row % HEAD / (HEAD / 2)
                } else {
                    row
                };
                let first = stored * columns % 512;
                assert_eq!(
                    weight.row(row),
                    &values[first..first + columns],
                    "layer {layer} {} row {row}",
                    PROJECTIONS[index]
                );
            }
        }
    }
}
