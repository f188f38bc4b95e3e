//! The same tiny model in every form gives the same numbers: float32, float16, bfloat16, one file or shards, tied or not, GGUF.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may stop the test")]

mod common;

use std::collections::BTreeSet;

use common::{HIDDEN, LAYERS, Tensors, VOCABULARY, config, folder, gguf, metadata, tensors};
use cruxscope_checkpoint::{Checkpoint, PROJECTIONS, RopeScaling};
use safetensors::Dtype;
use serde_json::json;

fn assert_same(checkpoint: &Checkpoint, tensors: &Tensors) {
    for layer in 0..LAYERS {
        let weights = checkpoint.layer(layer).unwrap();
        let expected = |name: &str| &tensors[&format!("model.layers.{layer}.{name}.weight")];
        assert_eq!(weights.attention_norm, expected("input_layernorm").1);
        assert_eq!(weights.feed_forward_norm, expected("post_attention_layernorm").1);
        for (index, projection) in weights.projections.iter().enumerate() {
            let (shape, values) = expected(PROJECTIONS[index]);
            assert_eq!(vec![projection.weight.rows, projection.weight.columns], *shape);
            assert_eq!((shape[0], shape[1]), checkpoint.config().dimensions(index));
            assert_eq!(&projection.weight.values, values, "layer {layer} {}", PROJECTIONS[index]);
            assert_eq!(projection.bias, None);
        }
    }
    assert_eq!(checkpoint.final_norm().unwrap(), tensors["model.norm.weight"].1);
    let table = &tensors["model.embed_tokens.weight"].1;
    let rows = checkpoint.embedding_rows(&[3, 0, 3]).unwrap();
    assert_eq!((rows.rows, rows.columns), (3, HIDDEN));
    assert_eq!(
        (rows.row(0), rows.row(1), rows.row(2)),
        (&table[3 * HIDDEN..4 * HIDDEN], &table[..HIDDEN], &table[3 * HIDDEN..4 * HIDDEN])
    );
    let head = tensors.get("lm_head.weight").map_or(table, |head| &head.1);
    assert_eq!(checkpoint.head_rows(2..VOCABULARY).unwrap().values, head[2 * HIDDEN..]);
}

#[test]
fn folder_in_every_float() {
    for (kind, name) in [(Dtype::F32, "F32"), (Dtype::F16, "F16"), (Dtype::BF16, "BF16")] {
        let tensors = tensors();
        let folder = folder(&config(), &tensors, kind);
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        assert_same(&checkpoint, &tensors);
        assert!(checkpoint.config().tied_head);
        assert_eq!(checkpoint.tensor_types().values().collect::<BTreeSet<_>>(), BTreeSet::from([&name.to_string()]));
        assert_eq!(checkpoint.bytes(), std::fs::metadata(folder.path().join("model.safetensors")).unwrap().len());
        let names: Vec<_> = checkpoint
            .files()
            .iter()
            .map(|file| file.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(names, ["config.json", "model.safetensors"]);
    }
}

#[test]
fn shards_with_an_index_and_an_untied_head() {
    let mut tensors = tensors();
    let head: Vec<f32> = (0..VOCABULARY * HIDDEN).map(|i| i as f32).collect();
    tensors.insert("lm_head.weight".to_string(), (vec![VOCABULARY, HIDDEN], head));
    let mut config = config();
    config["tie_word_embeddings"] = json!(false);
    let folder = folder(&config, &tensors, Dtype::F32);
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    let (first, second): (Vec<_>, Vec<_>) = tensors.iter().partition(|(name, _)| name.contains("layers.0"));
    common::write_safetensors(&folder.path().join("a.safetensors"), first.iter().copied(), Dtype::F32);
    common::write_safetensors(&folder.path().join("b.safetensors"), second.iter().copied(), Dtype::F32);
    // Not in the index, so it is not looked at.
    std::fs::write(folder.path().join("stray.safetensors"), b"?").unwrap();
    let map: serde_json::Map<_, _> = tensors
        .keys()
        .map(|name| (name.clone(), json!(if name.contains("layers.0") { "a.safetensors" } else { "b.safetensors" })))
        .collect();
    std::fs::write(folder.path().join("model.safetensors.index.json"), json!({"weight_map": map}).to_string()).unwrap();
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert!(!checkpoint.config().tied_head);
    assert_same(&checkpoint, &tensors);
    let parameters: usize = tensors.values().map(|(_, values)| values.len()).sum();
    assert_eq!(checkpoint.config().parameters(), parameters);
}

#[test]
fn names_without_prefix_and_a_missing_head() {
    let tensors = tensors();
    let bare: Tensors = tensors
        .iter()
        .map(|(name, tensor)| (name.trim_start_matches("model.").to_string(), tensor.clone()))
        .collect();
    let mut config = config();
    let folder1 = folder(&config, &bare, Dtype::F32);
    let checkpoint = Checkpoint::open(folder1.path()).unwrap();
    assert!(checkpoint.config().tied_head, "there is no head, and the embedding is said to be it");
    assert_same(&checkpoint, &tensors);
    for tied in [json!(false), json!(null)] {
        config["tie_word_embeddings"] = tied;
        let folder = folder(&config, &bare, Dtype::F32);
        let error = Checkpoint::open(folder.path()).err().unwrap();
        assert!(error.to_string().contains("no lm_head") && error.is_user_error(), "{error}");
    }
}

#[test]
fn biases_and_norms_of_queries_and_keys() {
    let mut tensors = tensors();
    for layer in 0..LAYERS {
        for (name, width) in [("self_attn.q_proj.bias", 32), ("self_attn.k_proj.bias", 16), ("self_attn.v_proj.bias", 16)] {
            tensors.insert(format!("model.layers.{layer}.{name}"), (vec![width], (0..width).map(|i| i as f32).collect()));
        }
    }
    let mut config = config();
    config["model_type"] = json!("qwen2");
    let folder2 = folder(&config, &tensors, Dtype::F32);
    let layer = Checkpoint::open(folder2.path()).unwrap().layer(1).unwrap();
    assert_eq!(layer.projections[1].bias.as_deref().unwrap(), (0..16).map(|i| i as f32).collect::<Vec<_>>());
    assert!(layer.projections[3].bias.is_none() && layer.query_norm.is_none());
    for layer in 0..LAYERS {
        for name in ["self_attn.q_norm.weight", "self_attn.k_norm.weight"] {
            tensors.insert(format!("model.layers.{layer}.{name}"), (vec![8], vec![0.5; 8]));
        }
    }
    config["model_type"] = json!("qwen3");
    config["head_dim"] = json!(8);
    let folder3 = folder(&config, &tensors, Dtype::F32);
    let layer = Checkpoint::open(folder3.path()).unwrap().layer(0).unwrap();
    assert_eq!((layer.query_norm, layer.key_norm), (Some(vec![0.5; 8]), Some(vec![0.5; 8])));
    assert!(layer.projections[0].bias.is_none(), "Qwen3 has none unless attention_bias says so");
}

#[test]
fn gguf_of_the_same_model() {
    let tensors = tensors();
    let (_folder, file) = gguf(&metadata(), &tensors);
    let checkpoint = Checkpoint::open(&file).unwrap();
    assert_same(&checkpoint, &tensors);
    let folder = folder(&config(), &tensors, Dtype::F32);
    assert_eq!(checkpoint.config(), Checkpoint::open(folder.path()).unwrap().config());
    assert_eq!(checkpoint.name(), "tiny");
    assert_eq!(checkpoint.files(), [file]);
    assert_eq!(checkpoint.tokenizer().unwrap().encode("ab").unwrap().ids, [3]);
}

#[test]
fn gguf_with_rotary_divisors() {
    let mut tensors = tensors();
    tensors.insert("rope_freqs.weight".to_string(), (vec![4], vec![1.0, 1.0, 2.0, 8.0]));
    let (_folder, file) = gguf(&metadata(), &tensors);
    let checkpoint = Checkpoint::open(&file).unwrap();
    assert_eq!(
        checkpoint.config().rope.scaling,
        RopeScaling::Divided {
            divisors: vec![1.0, 1.0, 2.0, 8.0]
        }
    );
}
