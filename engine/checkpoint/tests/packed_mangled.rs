//! Packed checkpoints with mangled headers and configurations: an error or a model, never a panic, never a large allocation.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may stop the test")]

mod common;
mod packed_support;

use std::sync::LazyLock;

use cruxscope_checkpoint::Checkpoint;
use packed_support::*;
use proptest::prelude::*;
use safetensors::Dtype;
use serde_json::json;

/// Configuration and weights of a checkpoint of every format.
static SAMPLES: LazyLock<Vec<(Vec<u8>, Vec<u8>)>> = LazyLock::new(|| {
    let pairs = || ("weight_packed", Dtype::U8, vec![ROWS, COLUMNS / 2], bytes(ROWS * COLUMNS / 2, 1));
    let eight = |kind| ("weight", kind, vec![ROWS, COLUMNS], float8(ROWS * COLUMNS, 2));
    let floats = |part, shape: Vec<usize>| (part, Dtype::F32, shape.clone(), stored(&scales(shape.iter().product()), Dtype::F32));
    let words = |part, shape: Vec<usize>| (part, Dtype::I32, shape.clone(), bytes(4 * shape.iter().product::<usize>(), 3));
    let state = json!({"quant_type": "nf4", "blocksize": 64, "shape": [ROWS, COLUMNS], "nested_blocksize": 16, "nested_offset": 0.5});
    let state = state.to_string().into_bytes();
    let nvfp4 = json!({"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16});
    let block = json!({"num_bits": 8, "type": "float", "strategy": "block", "block_structure": [16, 16]});
    let samples = [
        (
            compressed(
                "pack-quantized",
                json!({"num_bits": 3, "symmetric": false, "strategy": "group", "group_size": 8}),
            ),
            packed_words(3, 8, false, Dtype::BF16, true).0,
        ),
        (
            compressed("nvfp4-pack-quantized", nvfp4),
            vec![
                pairs(),
                ("weight_scale", Dtype::F8_E4M3, vec![ROWS, 2], float8(2 * ROWS, 4)),
                floats("weight_global_scale", vec![1]),
            ],
        ),
        (
            compressed("float-quantized", block),
            vec![eight(Dtype::F8_E4M3), floats("weight_scale", vec![ROWS / 16, COLUMNS / 16])],
        ),
        (
            json!({"quant_method": "fp8", "weight_block_size": [16, 16]}),
            vec![eight(Dtype::F8_E4M3), floats("weight_scale_inv", vec![ROWS / 16, COLUMNS / 16])],
        ),
        (
            json!({"quant_method": "bitsandbytes", "load_in_4bit": true}),
            vec![
                ("weight", Dtype::U8, vec![ROWS * COLUMNS / 2, 1], bytes(ROWS * COLUMNS / 2, 5)),
                ("weight.absmax", Dtype::U8, vec![ROWS * COLUMNS / 64], bytes(ROWS * COLUMNS / 64, 6)),
                floats("weight.nested_absmax", vec![2]),
                floats("weight.nested_quant_map", vec![256]),
                floats("weight.quant_map", vec![16]),
                ("weight.quant_state.bitsandbytes__nf4", Dtype::U8, vec![state.len()], state),
            ],
        ),
        (
            json!({"quant_method": "bitsandbytes", "load_in_8bit": true}),
            vec![eight(Dtype::I8), floats("SCB", vec![ROWS])],
        ),
        (
            json!({"quant_method": "awq", "version": "gemv", "bits": 4, "group_size": 32}),
            vec![
                words("qweight", vec![ROWS, 4]),
                words("qzeros", vec![ROWS, 4]),
                floats("scales", vec![ROWS, 32]),
            ],
        ),
        (
            json!({"quant_method": "hqq", "quant_config": {}}),
            vec![
                ("W_q", Dtype::U8, vec![ROWS * COLUMNS / 16, 8], bytes(ROWS * COLUMNS / 2, 7)),
                floats("scale", vec![ROWS * COLUMNS / 8, 1]),
                floats("zero", vec![ROWS * COLUMNS / 8, 1]),
                (
                    "shape",
                    Dtype::I64,
                    vec![2],
                    [ROWS as i64, COLUMNS as i64].iter().flat_map(|size| size.to_le_bytes()).collect(),
                ),
                ("packing", Dtype::U8, vec![7], b"4bit_u8".to_vec()),
                ("axis", Dtype::I32, vec![], vec![1, 0, 0, 0]),
                ("group_size", Dtype::I32, vec![], vec![8, 0, 0, 0]),
            ],
        ),
        (
            json!({"quant_method": "gptq", "bits": 4, "group_size": 16, "checkpoint_format": "gptq_v2"}),
            vec![words("qweight", vec![4, ROWS]), words("qzeros", vec![2, 8]), floats("scales", vec![2, ROWS])],
        ),
    ];
    let read = |(said, arrays): &(serde_json::Value, Vec<Array>)| {
        let folder = folder(said, UP, arrays);
        Checkpoint::open(folder.path())
            .and_then(|checkpoint| checkpoint.layer(0))
            .unwrap_or_else(|error| panic!("{said}: {error}"));
        let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        (read("config.json"), read("model.safetensors"))
    };
    samples.iter().map(read).collect()
});

/// Opens, and if that works uses everything.
fn exercise(config: &[u8], weights: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), config).unwrap();
    std::fs::write(folder.path().join("model.safetensors"), weights).unwrap();
    let Ok(checkpoint) = Checkpoint::open(folder.path()) else { return };
    let _ = (
        checkpoint.layer(0),
        checkpoint.embedding_rows(&[0]),
        checkpoint.tensor_types(),
        checkpoint.projection_bits(0),
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mangled_headers_and_configurations(
        which in any::<prop::sample::Index>(),
        of_weights in prop::collection::vec((any::<prop::sample::Index>(), "[0-9A-Z_\\[\\],]"), 0..3),
        of_config in prop::collection::vec((any::<prop::sample::Index>(), "[0-9a-z_\\[\\],]"), 0..2),
        of_numbers in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let (mut config, mut weights) = SAMPLES[which.index(SAMPLES.len())].clone();
        let header = 8 + u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
        for (place, text) in of_weights {
            weights[8 + place.index(header - 8)] = text.as_bytes()[0];
        }
        for (place, text) in of_config {
            let place = place.index(config.len());
            config[place] = text.as_bytes()[0];
        }
        for (place, value) in of_numbers {
            let place = header + place.index(weights.len() - header);
            weights[place] = value;
        }
        exercise(&config, &weights);
    }
}
