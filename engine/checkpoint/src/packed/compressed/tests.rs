use serde_json::json;

use super::*;

fn with(changes: Value) -> Value {
    let mut config = json!({
        "quant_method": "compressed-tensors", "format": "pack-quantized", "quantization_status": "compressed", "ignore": ["lm_head"],
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 32}}},
    });
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn weights(changes: Value) -> Value {
    let mut group = json!({"num_bits": 4, "type": "int", "symmetric": true, "strategy": "group", "group_size": 32});
    for (key, value) in changes.as_object().unwrap() {
        group[key] = value.clone();
    }
    with(json!({"config_groups": {"group_0": {"targets": ["Linear"], "weights": group}}}))
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    for (config, part) in [
        (with(json!({"format": "marlin-24"})), "`marlin-24`"),
        (with(json!({"format": "sparse-24-bitmask"})), "`sparse-24-bitmask`"),
        (with(json!({"format": "fakequant"})), "`fakequant`"),
        (with(json!({"format": "float-quantized"})), "`float-quantized`"),
        (with(json!({"sparsity_config": {"format": "sparse-24-bitmask"}})), "`sparse-24-bitmask`"),
        (with(json!({"transform_config": {"config_groups": {"u": {}}}})), "transform_config"),
        (with(json!({"moe_sparsity_config": {"method": "prune"}})), "moe_sparsity_config"),
        (with(json!({"config_groups": {"W4A16": ["Linear"]}})), "config_groups.W4A16"),
        (with(json!({"ignore": [3]})), "ignore"),
        (with(json!({"ignore": ["re:("]})), "re:("),
        (weights(json!({"num_bits": 1})), "1 bits"),
        (weights(json!({"num_bits": 40})), "40 bits"),
        (weights(json!({"type": "fp"})), "type"),
        (weights(json!({"type": "float"})), "type float"),
        (weights(json!({"group_size": 0})), "group_size"),
        (weights(json!({"strategy": "token"})), "strategy"),
        (weights(json!({"strategy": "block", "block_structure": [64, 64]})), "blocks"),
        (weights(json!({"dynamic": true})), "dynamic"),
        (weights(json!({"actorder": "sideways"})), "actorder"),
        (weights(json!({"strategy": "channel", "group_size": null, "actorder": "group"})), "actorder"),
        (weights(json!({"codebook": "x"})), "codebook"),
    ] {
        let error = CompressedTensors::parse(&config).unwrap_err();
        assert!(error.contains(part), "{config}: {error}");
    }
    let twice = json!({"config_groups": {
        "a": {"targets": ["Linear"], "weights": {"num_bits": 4, "strategy": "channel"}},
        "b": {"targets": ["Linear"], "weights": {"num_bits": 8, "strategy": "channel"}},
    }});
    assert!(CompressedTensors::parse(&with(twice)).unwrap_err().contains("`Linear`"));
}

#[test]
fn groups_are_found_by_name_pattern_and_class() {
    let config = with(json!({
        "format": "mixed-precision", "ignore": ["lm_head", "re:.*o_proj"],
        "config_groups": {
            "a": {"targets": ["Linear"], "format": "pack-quantized", "weights": {"num_bits": 4, "group_size": 32}},
            "b": {"targets": ["re:.*down_proj"], "format": "float-quantized", "weights": {"num_bits": 8, "type": "float", "strategy": "block", "block_structure": "128x64"}},
            "c": {"targets": ["model.layers.0.mlp.down_proj"], "format": "dense", "weights": {"num_bits": 8}},
        },
        "kv_cache_scheme": {"num_bits": 8},
    }));
    let parsed = CompressedTensors::parse(&config).unwrap();
    let found = |module: &str| parsed.weights_of(module);
    let four = found("model.layers.0.self_attn.q_proj").unwrap();
    assert_eq!((four.bits, four.grain, four.symmetric), (4, weights::Grain::Group(32), true));
    assert_eq!(found("model.layers.1.mlp.down_proj").unwrap().grain, weights::Grain::Block(128, 64));
    assert!(found("model.layers.0.mlp.down_proj").unwrap_err().contains("dense"));
    assert!(found("model.layers.0.self_attn.o_proj").unwrap_err().contains("re:.*o_proj"));
    assert!(found("model.embed_tokens").unwrap_err().contains("no target"));
    assert!(parsed.asked().note(false).unwrap().contains("kv_cache_scheme"));
    assert_eq!(parsed.kind("model.layers.1.mlp.down_proj"), "compressed-tensors FP8");
}

#[test]
fn what_is_written_is_read() {
    let group = |bits, group, symmetric| WrittenGroup { bits, group, symmetric };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_string()).collect::<Vec<_>>();
    let (up, down) = ("model.layers.0.mlp.up_proj", "model.layers.0.mlp.down_proj");
    let config = configuration(
        &[(group(4, Some(32), true), names(&[up])), (group(8, None, false), names(&[down]))],
        &names(&["model.layers.1.mlp.up_proj"]),
    );
    let parsed = CompressedTensors::parse(&config).unwrap();
    let of_up = parsed.weights_of(up).unwrap();
    assert_eq!(
        (of_up.form, of_up.bits, of_up.grain, of_up.symmetric),
        (Form::Words, 4, weights::Grain::Group(32), true)
    );
    let of_down = parsed.weights_of(down).unwrap();
    assert_eq!((of_down.bits, of_down.grain, of_down.symmetric), (8, weights::Grain::Channel, false));
    assert!(parsed.weights_of("model.layers.1.mlp.up_proj").is_err() && parsed.weights_of("lm_head").is_err());
    let one = configuration(&[(group(4, None, true), names(&[up]))], &[]);
    assert_eq!(one["config_groups"]["group_0"]["targets"], json!(["Linear"]));
    assert!(parsed.asked().note(false).is_none());
}
