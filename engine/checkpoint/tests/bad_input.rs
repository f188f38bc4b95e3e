//! Every kind of damage a folder or file can have: a clear error that names the culprit, never a panic.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may stop the test")]

mod common;

use common::{config, folder, gguf, metadata, tensors};
use cruxscope_checkpoint::{Checkpoint, CheckpointError};
use safetensors::Dtype;
use serde_json::json;
use std::path::Path;

fn refusal(path: &Path) -> CheckpointError {
    match Checkpoint::open(path) {
        Ok(_) => panic!("{} was accepted", path.display()),
        Err(error) => error,
    }
}

#[test]
fn nothing_there() {
    let error = refusal(Path::new("/nowhere/at/all"));
    assert!(matches!(error, CheckpointError::NotFound { .. }) && error.is_user_error(), "{error}");
}

#[test]
fn folder_without_config() {
    let folder = folder(&config(), &tensors(), Dtype::F32);
    std::fs::remove_file(folder.path().join("config.json")).unwrap();
    let error = refusal(folder.path());
    assert!(
        matches!(error, CheckpointError::NotAModel { .. }) && error.to_string().contains("config.json"),
        "{error}"
    );
    assert!(error.is_user_error());
    std::fs::write(folder.path().join("x.gguf"), b"").unwrap();
    assert!(refusal(folder.path()).to_string().contains("x.gguf"));
}

#[test]
fn folder_without_weights() {
    let folder = folder(&config(), &tensors(), Dtype::F32);
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    assert!(refusal(folder.path()).to_string().contains("no *.safetensors"));
}

#[test]
fn one_file_of_a_folder() {
    let folder = folder(&config(), &tensors(), Dtype::F32);
    assert!(refusal(&folder.path().join("model.safetensors")).to_string().contains("give the folder"));
    assert!(refusal(&folder.path().join("config.json")).to_string().contains("give the folder"));
}

#[test]
fn unknown_architecture() {
    let mut config = config();
    config["model_type"] = json!("mamba2");
    let error = refusal(folder(&config, &tensors(), Dtype::F32).path());
    assert!(matches!(error, CheckpointError::UnknownArchitecture { .. }), "{error}");
    assert!(error.to_string().contains("mamba2") && error.to_string().contains("qwen3"));
}

#[test]
fn truncated_safetensors() {
    let folder = folder(&config(), &tensors(), Dtype::F32);
    let file = folder.path().join("model.safetensors");
    let bytes = std::fs::read(&file).unwrap();
    for keep in [0, 4, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&file, &bytes[..keep]).unwrap();
        let error = refusal(folder.path());
        assert!(matches!(error, CheckpointError::Damaged { .. }), "{keep}: {error}");
        assert!(error.to_string().contains("model.safetensors") && error.is_user_error());
    }
}

#[test]
fn header_longer_than_the_file() {
    let folder = folder(&config(), &tensors(), Dtype::F32);
    let file = folder.path().join("model.safetensors");
    for length in [1_000_000u64, u64::MAX, 1 << 40] {
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        std::fs::write(&file, &bytes).unwrap();
        let error = refusal(folder.path());
        assert!(matches!(error, CheckpointError::Damaged { .. }), "{length}: {error}");
    }
}

#[test]
fn shape_against_the_config() {
    let mut config = config();
    config["intermediate_size"] = json!(128);
    let error = refusal(folder(&config, &tensors(), Dtype::F32).path());
    let CheckpointError::Shape { tensor, found, expected, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(
        (tensor.as_str(), found, expected),
        ("model.layers.0.mlp.gate_proj.weight", vec![64, 32], vec![128, 32])
    );
}

#[test]
fn missing_tensor() {
    let mut tensors = tensors();
    tensors.remove("model.layers.1.self_attn.v_proj.weight");
    let error = refusal(folder(&config(), &tensors, Dtype::F32).path());
    assert!(matches!(error, CheckpointError::MissingTensor { .. }), "{error}");
    assert!(error.to_string().contains("model.layers.1.self_attn.v_proj.weight"));
    let (_folder, file) = gguf(&metadata(), &tensors);
    assert!(matches!(refusal(&file), CheckpointError::MissingTensor { .. }));
}

#[test]
fn more_layers_than_weights() {
    let mut config = config();
    config["num_hidden_layers"] = json!(1_000_000);
    assert!(matches!(
        refusal(folder(&config, &tensors(), Dtype::F32).path()),
        CheckpointError::MissingTensor { .. }
    ));
}

#[test]
fn not_a_number_in_a_weight() {
    for (bad, kind) in [(f32::NAN, Dtype::F32), (f32::INFINITY, Dtype::BF16), (f32::NEG_INFINITY, Dtype::F16)] {
        let mut tensors = tensors();
        let name = "model.layers.1.mlp.up_proj.weight";
        tensors.get_mut(name).unwrap().1[3 * 32 + 5] = bad;
        let folder = folder(&config(), &tensors, kind);
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        assert!(checkpoint.layer(0).is_ok());
        let error = checkpoint.layer(1).unwrap_err();
        let CheckpointError::NotFinite {
            tensor, row, column, value, ..
        } = error
        else {
            panic!("{error}")
        };
        assert_eq!((tensor.as_str(), row, column), (name, 3, 5));
        assert!(value.is_nan() == bad.is_nan() && (bad.is_nan() || value == bad));
    }
}

#[test]
fn not_a_number_in_the_embedding() {
    let mut tensors = tensors();
    tensors.get_mut("model.embed_tokens.weight").unwrap().1[7 * 32 + 1] = f32::NAN;
    let folder = folder(&config(), &tensors, Dtype::F32);
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert!(checkpoint.embedding_rows(&[1, 2]).is_ok(), "rows that are not asked for are not read");
    let error = checkpoint.embedding_rows(&[2, 7]).unwrap_err();
    assert!(matches!(error, CheckpointError::NotFinite { row: 7, column: 1, .. }), "{error}");
}

#[test]
fn integers_for_weights() {
    let folder = folder(&config(), &tensors(), Dtype::F32);
    common::write_safetensors(&folder.path().join("model.safetensors"), tensors().iter(), Dtype::I32);
    let error = refusal(folder.path());
    assert!(
        matches!(error, CheckpointError::Unsupported { .. }) && error.to_string().contains("I32"),
        "{error}"
    );
}

#[test]
fn shards_outside_or_missing() {
    let folder = folder(&config(), &tensors(), Dtype::F32);
    std::fs::rename(folder.path().join("model.safetensors"), folder.path().join("model-1.safetensors")).unwrap();
    assert!(Checkpoint::open(folder.path()).is_ok(), "any name will do without an index");
    for (name, said) in [("../model.safetensors", "outside"), ("model-2.safetensors", "not in the folder")] {
        let index = json!({"weight_map": {"model.norm.weight": name}});
        std::fs::write(folder.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
        assert!(refusal(folder.path()).to_string().contains(said));
    }
    std::fs::remove_file(folder.path().join("model.safetensors.index.json")).unwrap();
    std::fs::copy(folder.path().join("model-1.safetensors"), folder.path().join("model-2.safetensors")).unwrap();
    assert!(refusal(folder.path()).to_string().contains("in another file"));
}

#[test]
fn tokens_and_layers_beyond_the_model() {
    let folder = folder(&config(), &tensors(), Dtype::F32);
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert!(matches!(
        checkpoint.embedding_rows(&[0, 12]),
        Err(CheckpointError::NoSuchToken { token: 12, vocabulary: 12 })
    ));
    assert!(matches!(checkpoint.head_rows(5..13), Err(CheckpointError::NoSuchToken { token: 13, .. })));
    assert!(matches!(checkpoint.layer(2), Err(CheckpointError::NoSuchLayer { layer: 2, layers: 2 })));
    assert_eq!(checkpoint.head_rows(12..12).unwrap().rows, 0);
}

#[test]
fn missing_and_oversized_tokenizer() {
    let folder = folder(&config(), &tensors(), Dtype::F32);
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert!(matches!(checkpoint.tokenizer(), Err(CheckpointError::MissingTokenizer { .. })));
    std::fs::write(folder.path().join("tokenizer.json"), "{\"version\": 1}").unwrap();
    assert!(matches!(checkpoint.tokenizer(), Err(CheckpointError::Tokenizer { .. })));
    let vocabulary: serde_json::Map<_, _> = (0..13).map(|id| (format!("w{id}"), json!(id))).collect();
    let tokenizer = json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null, "pre_tokenizer": null,
        "post_processor": null, "decoder": null, "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "w0"}});
    std::fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let error = checkpoint.tokenizer().err().unwrap();
    assert!(
        matches!(error, CheckpointError::TokenizerBeyondModel { token: 12, vocabulary: 12, .. }),
        "{error}"
    );
}

/// The library that reads them panics on some of these.
#[test]
fn broken_tokenizers() {
    let folder = folder(&config(), &tensors(), Dtype::F32);
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let whole = json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null, "pre_tokenizer": null,
        "post_processor": null, "decoder": null, "model": {"type": "WordLevel", "vocab": {"w0": 0}, "unk_token": "w0"}})
    .to_string();
    let with = |part: &str, value: &str| whole.replace(&format!("\"{part}\":null"), &format!("\"{part}\":{value}"));
    for broken in [
        with("decoder", r#"{"type":"Replace","pattern":{"String":"\ud800"},"content":" "}"#),
        with("decoder", "\"fast\""),
        with("decoder", r#"{"type":"Unheard"}"#),
        with("normalizer", r#"{"type":"Precompiled","precompiled_charsmap":"AAAA"}"#),
        with("pre_tokenizer", "[1]"),
        whole[..whole.len() - 1].to_owned(),
    ] {
        assert_ne!(broken, whole);
        std::fs::write(folder.path().join("tokenizer.json"), &broken).unwrap();
        let error = checkpoint.tokenizer().err().unwrap();
        assert!(matches!(error, CheckpointError::Tokenizer { .. }) && error.is_user_error(), "{broken}: {error}");
    }
}

#[test]
fn truncated_gguf() {
    let (_folder, file) = gguf(&metadata(), &tensors());
    let bytes = std::fs::read(&file).unwrap();
    for keep in [0, 3, 4, 8, 23, 24, 60, 500, bytes.len() / 2, bytes.len() - 40] {
        std::fs::write(&file, &bytes[..keep]).unwrap();
        let error = refusal(&file);
        assert!(matches!(error, CheckpointError::Damaged { .. }), "{keep}: {error}");
        assert!(error.is_user_error() && error.to_string().contains("tiny.gguf"));
    }
}

#[test]
fn garbage_and_hostile_gguf() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.gguf");
    let header = |version: u32, tensors: u64, keys: u64| [b"GGUF".as_slice(), &version.to_le_bytes(), &tensors.to_le_bytes(), &keys.to_le_bytes()].concat();
    let long_key = [header(3, 0, 1), u64::MAX.to_le_bytes().to_vec()].concat();
    let long_array = [
        header(3, 0, 1),
        1u64.to_le_bytes().to_vec(),
        b"k".to_vec(),
        9u32.to_le_bytes().to_vec(),
        8u32.to_le_bytes().to_vec(),
        (1u64 << 60).to_le_bytes().to_vec(),
    ]
    .concat();
    let cases = [
        b"not a model at all".to_vec(),
        vec![0; 64],
        header(3, u64::MAX, 0),
        header(3, 0, u64::MAX),
        header(3, 1 << 19, 0),
        long_key,
        long_array,
    ];
    for bytes in cases {
        std::fs::write(&file, &bytes).unwrap();
        let error = refusal(&file);
        assert!(matches!(error, CheckpointError::Damaged { .. }), "{error}");
    }
    std::fs::write(&file, header(1, 0, 0)).unwrap();
    assert!(matches!(refusal(&file), CheckpointError::Unsupported { .. }));
    std::fs::write(&file, header(3, 0, 0)).unwrap();
    assert!(refusal(&file).to_string().contains("general.architecture is missing"));
}

#[test]
fn gguf_of_another_family_or_in_parts() {
    let mut values = metadata();
    values.insert("general.architecture".to_string(), anamnesis::GgufMetadataValue::String("rwkv7".to_string()));
    let (_folder, file) = gguf(&values, &tensors());
    assert!(matches!(refusal(&file), CheckpointError::UnknownArchitecture { .. }));
    let mut values = metadata();
    values.insert("split.count".to_string(), anamnesis::GgufMetadataValue::U16(3));
    let (_folder, file) = gguf(&values, &tensors());
    assert!(refusal(&file).to_string().contains("split"));
}

#[test]
fn tokenizer_of_a_gguf_beyond_its_embedding() {
    let mut values = metadata();
    let tokens = (0..13).map(|id| format!("w{id}")).collect();
    values.insert(
        "tokenizer.ggml.tokens".to_string(),
        anamnesis::GgufMetadataValue::Array(Box::new(anamnesis::GgufMetadataArray::String(tokens))),
    );
    values.insert(
        "tokenizer.ggml.merges".to_string(),
        anamnesis::GgufMetadataValue::Array(Box::new(anamnesis::GgufMetadataArray::String(vec![]))),
    );
    let (_folder, file) = gguf(&values, &tensors());
    let error = Checkpoint::open(&file).unwrap().tokenizer().err().unwrap();
    assert!(matches!(error, CheckpointError::TokenizerBeyondModel { token: 12, .. }), "{error}");
}
