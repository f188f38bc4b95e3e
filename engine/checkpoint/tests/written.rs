//! What is written: one writer, nothing of another run, the same special tokens, and no note that vouches for other bytes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may stop the test")]

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use anamnesis::{GgufMetadataArray, GgufMetadataValue};
use common::{HIDDEN, LAYERS, config, folder, gguf, metadata, tensors};
use cruxscope_checkpoint::writer::{FolderWriter, PackedLayer, StoredAs};
use cruxscope_checkpoint::{Checkpoint, CheckpointError};
use safetensors::Dtype;
use serde_json::{Value, json};

const PLAIN: PackedLayer = Vec::new();

fn begin<'a>(source: &'a Checkpoint, out: &Path, key: &str) -> Result<FolderWriter<'a>, CheckpointError> {
    FolderWriter::begin(source, out, StoredAs::Float32, None, key)
}

fn write_all(source: &Checkpoint, out: &Path, stored_as: StoredAs) -> Result<(), CheckpointError> {
    let writer = FolderWriter::begin(source, out, stored_as, None, "key")?;
    for layer in 0..LAYERS {
        writer.write_layer(layer, &source.layer(layer)?, &PLAIN, b"note")?;
    }
    writer.finish(&[])
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn one_writer_at_a_time() {
    let dir = folder(&config(), &tensors(), Dtype::F32);
    let source = Checkpoint::open(dir.path()).unwrap();
    let out = dir.path().join("out");
    let first = begin(&source, &out, "a").unwrap();
    for key in ["a", "b"] {
        let error = begin(&source, &out, key).err().unwrap();
        assert!(
            matches!(error, CheckpointError::Busy { .. }) && error.to_string().contains("another run"),
            "{error}"
        );
    }
    drop(first);
    assert!(begin(&source, &out, "b").is_ok());
}

#[test]
fn layers_of_another_run_are_removed_and_those_of_the_same_are_kept() {
    let dir = folder(&config(), &tensors(), Dtype::F32);
    let source = Checkpoint::open(dir.path()).unwrap();
    let out = dir.path().join("out");
    let partial = dir.path().join(".out.partial");
    let layer = source.layer(0).unwrap();
    let writer = begin(&source, &out, "a").unwrap();
    writer.write_layer(0, &layer, &PLAIN, b"made by a").unwrap();
    drop(writer);
    std::fs::write(partial.join(".model-layer-00002.safetensors.x7.tmp"), "half").unwrap();
    let again = begin(&source, &out, "a").unwrap();
    assert_eq!(again.layer_note(0).unwrap(), b"made by a");
    assert!(!names(&partial).iter().any(|name| name.ends_with(".tmp")), "leftovers are collected");
    drop(again);
    // Another run's bytes under the note: it vouches for them no more.
    let file = partial.join("model-layer-00001.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    assert!(begin(&source, &out, "a").unwrap().layer_note(0).is_none());
    let other = begin(&source, &out, "b").unwrap();
    assert!(other.layer_note(0).is_none());
    assert_eq!(names(&partial), BTreeSet::from([".lock".to_string(), "run.note".to_string()]));
    drop(other);
    assert_eq!(names(&partial), BTreeSet::from(["run.note".to_string()]), "a lock goes with its holder");
}

#[test]
fn foreign_files_are_not_touched() {
    let dir = folder(&config(), &tensors(), Dtype::F32);
    let source = Checkpoint::open(dir.path()).unwrap();
    let partial = dir.path().join(".out.partial");
    std::fs::create_dir(&partial).unwrap();
    std::fs::write(partial.join("thesis.tex"), "years of work").unwrap();
    let error = begin(&source, &dir.path().join("out"), "a").err().unwrap();
    assert!(error.to_string().contains("thesis.tex") && error.is_user_error(), "{error}");
    assert_eq!(std::fs::read_to_string(partial.join("thesis.tex")).unwrap(), "years of work");
    #[cfg(unix)]
    {
        let elsewhere = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), dir.path().join(".linked.partial")).unwrap();
        assert!(begin(&source, &dir.path().join("linked"), "a").is_err());
        assert!(names(elsewhere.path()).is_empty());
    }
}

#[test]
fn dtypes_are_said_for_both_versions_and_nothing_else_is_left() {
    let mut config = config();
    config["dtype"] = json!("bfloat16");
    let dir = folder(&config, &tensors(), Dtype::BF16);
    let source = Checkpoint::open(dir.path()).unwrap();
    for (stored_as, name) in [(StoredAs::Float32, "float32"), (StoredAs::Float16, "float16"), (StoredAs::BFloat16, "bfloat16")] {
        let out = dir.path().join(name);
        write_all(&source, &out, stored_as).unwrap();
        let written: Value = serde_json::from_slice(&std::fs::read(out.join("config.json")).unwrap()).unwrap();
        assert_eq!((&written["dtype"], &written["torch_dtype"]), (&json!(name), &json!(name)));
        assert!(
            !names(&out).iter().any(|name| name.starts_with('.') || name.ends_with(".note")),
            "{:?}",
            names(&out)
        );
    }
}

#[test]
fn numbers_that_a_dtype_cannot_hold_stop_the_run_before_its_first_layer() {
    for (name, value) in [
        ("model.embed_tokens.weight", 1e6),
        ("model.embed_tokens.weight", 1e-9),
        ("model.norm.weight", 1e6),
    ] {
        let mut tensors = tensors();
        tensors.get_mut(name).unwrap().1.fill(value);
        let dir = folder(&config(), &tensors, Dtype::F32);
        let source = Checkpoint::open(dir.path()).unwrap();
        let error = FolderWriter::begin(&source, &dir.path().join("out"), StoredAs::Float16, None, "key")
            .err()
            .unwrap();
        assert!(error.to_string().contains(name) && error.is_user_error(), "{error}");
        assert!(write_all(&source, &dir.path().join("wide"), StoredAs::BFloat16).is_ok());
    }
}

#[test]
fn a_gguf_file_keeps_its_special_tokens_template_and_biases() {
    let mut tensors = tensors();
    for layer in 0..LAYERS {
        for (name, width) in [("q_proj", 32), ("k_proj", 16), ("v_proj", 16)] {
            tensors.insert(format!("model.layers.{layer}.self_attn.{name}.bias"), (vec![width], vec![0.25; width]));
        }
    }
    let mut metadata = metadata();
    let strings = |values: &[&str]| GgufMetadataValue::Array(Box::new(GgufMetadataArray::String(values.iter().map(|v| v.to_string()).collect())));
    metadata.insert("tokenizer.ggml.tokens".into(), strings(&["a", "b", "Ġ", "ab", "<s>", "</s>"]));
    metadata.insert(
        "tokenizer.ggml.token_type".into(),
        GgufMetadataValue::Array(Box::new(GgufMetadataArray::I32(vec![1, 1, 1, 1, 3, 3]))),
    );
    metadata.insert("tokenizer.ggml.bos_token_id".into(), GgufMetadataValue::U32(4));
    metadata.insert("tokenizer.ggml.eos_token_id".into(), GgufMetadataValue::U32(5));
    metadata.insert("tokenizer.ggml.add_bos_token".into(), GgufMetadataValue::Bool(true));
    metadata.insert("tokenizer.chat_template".into(), GgufMetadataValue::String("{{ bos_token }}x".into()));
    let (dir, file) = gguf(&metadata, &tensors);
    let source = Checkpoint::open(&file).unwrap();
    let out = dir.path().join("out");
    write_all(&source, &out, StoredAs::Float32).unwrap();
    let written = Checkpoint::open(&out).unwrap();
    assert_eq!(written.tokenizer().unwrap().encode_sequence("ab").unwrap().ids, [4, 3]);
    assert_eq!(written.stop_tokens().unwrap(), BTreeSet::from([5]));
    let read = |name: &str| -> Value { serde_json::from_slice(&std::fs::read(out.join(name)).unwrap()).unwrap() };
    assert_eq!(read("tokenizer_config.json")["chat_template"], "{{ bos_token }}x");
    assert_eq!(read("tokenizer_config.json")["bos_token"], "<s>");
    assert_eq!(read("tokenizer.json")["post_processor"]["single"][0]["SpecialToken"]["id"], "<s>");
    let layer = written.layer(1).unwrap();
    assert_eq!(layer.projections[1].bias.as_deref().unwrap(), [0.25; 16]);
    assert_eq!(
        layer.projections[3].bias.as_deref().unwrap(),
        [0.0; HIDDEN],
        "Hugging Face's Llama has all four or none"
    );
}

#[cfg(unix)]
#[test]
fn every_file_has_the_permissions_of_any_new_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let source = folder(&config(), &tensors(), Dtype::F32);
    let source = Checkpoint::open(source.path()).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let (out, any) = (scratch.path().join("small"), scratch.path().join("any"));
    write_all(&source, &out, StoredAs::Float32).unwrap();
    std::fs::write(&any, b"").unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
    for entry in std::fs::read_dir(&out).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), mode(&any), "{}", path.display());
    }
}

/// The arrays of a layer's file, one run reading the layer and the other taking it as it stands; none where it has to be read.
fn read_and_as_it_stands(source: &Checkpoint, dir: &Path, stored_as: StoredAs, layer: usize) -> (Vec<u8>, Option<Vec<u8>>) {
    let (out, file) = (dir.join("out"), format!(".out.partial/model-layer-{:05}.safetensors", layer + 1));
    let writer = FolderWriter::begin(source, &out, stored_as, None, "key").unwrap();
    writer.write_layer(layer, &source.layer(layer).unwrap(), &PLAIN, b"read").unwrap();
    let read = std::fs::read(dir.join(&file)).unwrap();
    let unchanged = writer.unchanged_layer(layer);
    let as_it_stands = unchanged.map(|unchanged| {
        writer.write_unchanged(layer, &unchanged, b"as it stands").unwrap();
        assert_eq!(writer.layer_note(layer).unwrap(), b"as it stands");
        let of_query = source.layer(layer).unwrap().projections[0]
            .weight
            .values
            .iter()
            .filter(|value| **value == 0.0)
            .count();
        assert_eq!(unchanged.zeros(0), of_query);
        std::fs::read(dir.join(&file)).unwrap()
    });
    (read, as_it_stands)
}

#[test]
fn a_layer_as_it_stands_has_the_bytes_of_one_that_was_read() {
    for dtype in [Dtype::F32, Dtype::F16, Dtype::BF16] {
        let dir = folder(&config(), &tensors(), dtype);
        let source = Checkpoint::open(dir.path()).unwrap();
        for (stored_as, same) in [
            (StoredAs::Float32, dtype == Dtype::F32),
            (StoredAs::Float16, dtype == Dtype::F16),
            (StoredAs::BFloat16, dtype == Dtype::BF16),
        ] {
            for layer in 0..LAYERS {
                let (read, as_it_stands) = read_and_as_it_stands(&source, dir.path(), stored_as, layer);
                assert_eq!(as_it_stands.is_some(), same, "{dtype:?} {stored_as:?}");
                assert!(as_it_stands.is_none_or(|bytes| bytes == read), "{dtype:?} {stored_as:?}");
            }
        }
    }
}

#[test]
fn a_layer_with_a_number_that_is_none_does_not_pass_unread() {
    let mut tensors = tensors();
    tensors.get_mut("model.layers.1.mlp.up_proj.weight").unwrap().1[5] = f32::NAN;
    let dir = folder(&config(), &tensors, Dtype::F32);
    let source = Checkpoint::open(dir.path()).unwrap();
    let writer = begin(&source, &dir.path().join("out"), "key").unwrap();
    assert!(writer.unchanged_layer(0).is_some() && writer.unchanged_layer(1).is_none());
}
