//! Input that cannot be used: refused with exit code 2, by name, with nothing written.

use serde_json::{Value, json};

use crate::inputs::{Inputs, cruxscope, stderr, text};

#[test]
fn truncated_weights_are_refused() {
    let inputs = Inputs::new();
    let weights = inputs.read("model/model.safetensors");
    inputs.write("model/model.safetensors", &weights[..weights.len() / 2]);
    inputs.is_refused(&[], &["model.safetensors"]);
}

#[test]
fn a_header_longer_than_its_file_is_refused() {
    let inputs = Inputs::new();
    let mut weights = inputs.read("model/model.safetensors");
    weights[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    inputs.write("model/model.safetensors", weights);
    inputs.is_refused(&[], &["model.safetensors"]);
}

#[test]
fn a_shape_that_contradicts_the_configuration_is_refused() {
    let inputs = Inputs::new();
    inputs.edit_config(|config| config["intermediate_size"] = json!(160));
    inputs.is_refused(&[], &["gate_proj", "160"]);
}

#[test]
fn a_weight_that_is_not_a_number_is_refused_by_name() {
    for value in [f32::NAN, f32::INFINITY] {
        let inputs = Inputs::new();
        let mut weights = inputs.read("model/model.safetensors");
        let header = u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
        let index: Value = serde_json::from_slice(&weights[8..8 + header]).unwrap();
        let name = "model.layers.1.mlp.up_proj.weight";
        let at = 8 + header + index[name]["data_offsets"][0].as_u64().unwrap() as usize;
        weights[at..at + 4].copy_from_slice(&value.to_le_bytes());
        inputs.write("model/model.safetensors", weights);
        inputs.is_refused(&[], &[name]);
    }
}

#[test]
fn an_unknown_architecture_is_refused_with_the_known_ones() {
    let inputs = Inputs::new();
    inputs.edit_config(|config| config["model_type"] = json!("mamba"));
    inputs.is_refused(&[], &["mamba", "llama", "qwen2", "qwen3"]);
}

#[test]
fn text_without_a_tokenizer_is_refused() {
    let inputs = Inputs::new();
    inputs.write("traces.jsonl", "{\"id\":\"a\",\"prompt\":\"p\",\"output\":\"one two\"}\n");
    inputs.write(
        "annotations.jsonl",
        "{\"id\":\"a\",\"annotated\":\"[\\\"backtracking\\\"]one[\\\"end-section\\\"]\"}\n",
    );
    inputs.is_refused(&[], &["tokenizer.json"]);
}

#[test]
fn a_tokenizer_beyond_the_vocabulary_is_refused() {
    let inputs = Inputs::new();
    let vocabulary: serde_json::Map<String, Value> = (0..600).map(|id| (format!("w{id}"), json!(id))).collect();
    let tokenizer = json!({"version": "1.0", "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "w0"}, "pre_tokenizer": {"type": "Whitespace"}});
    inputs.write("model/tokenizer.json", tokenizer.to_string());
    inputs.write("traces.jsonl", "{\"id\":\"a\",\"prompt\":\"w1\",\"output\":\" w599\"}\n");
    inputs.write(
        "annotations.jsonl",
        "{\"id\":\"a\",\"annotated\":\"[\\\"backtracking\\\"]w599[\\\"end-section\\\"]\"}\n",
    );
    inputs.is_refused(&[], &["tokenizer", "512"]);
}

#[test]
fn a_token_beyond_the_vocabulary_is_refused() {
    let inputs = Inputs::new();
    inputs.write("traces.jsonl", text("traces.jsonl").replacen("\"input_ids\": [", "\"input_ids\": [70000, ", 1));
    inputs.is_refused(&[], &["70000", "512"]);
}

#[test]
fn annotations_of_other_traces_are_refused() {
    let inputs = Inputs::new();
    inputs.write("annotations.jsonl", text("annotations.jsonl").replace("tiny/", "other/"));
    inputs.is_refused(&[], &["annotations.jsonl"]);
}

#[test]
fn a_token_range_out_of_bounds_is_refused_by_instance() {
    let inputs = Inputs::new();
    inputs.write(
        "annotations.jsonl",
        "{\"id\":\"tiny/0\",\"segments\":[{\"label\":\"backtracking\",\"start\":3,\"last\":5000}]}\n",
    );
    inputs.is_refused(&[], &["tiny/0", "5000"]);
}

#[test]
fn only_unscored_labels_are_nothing_to_interpret() {
    let inputs = Inputs::new();
    inputs.write(
        "annotations.jsonl",
        "{\"id\":\"tiny/0\",\"segments\":[{\"label\":\"deduction\",\"start\":3,\"last\":5}]}\n",
    );
    inputs.is_refused(&[], &["not scored"]);
}

#[test]
fn garbage_traces_are_refused_by_line() {
    let inputs = Inputs::new();
    inputs.write("traces.jsonl", format!("{}not json\n", text("traces.jsonl")));
    inputs.is_refused(&[], &["traces.jsonl", "4"]);
}

#[test]
fn a_missing_device_is_refused_with_what_to_do() {
    Inputs::new().is_refused(&["--device", "abacus"], &["abacus", "cruxscope devices"]);
    Inputs::new().is_refused(&["--device", "cuda:9"], &["cuda:9"]);
}

#[test]
fn a_missing_model_and_a_missing_instance_are_refused_by_name() {
    let inputs = Inputs::new();
    inputs.is_refused(&["--instances", "tiny/7"], &["tiny/7", "tiny/0"]);
    std::fs::remove_dir_all(inputs.path("model")).unwrap();
    inputs.is_refused(&[], &["model"]);
}

#[test]
fn a_truncated_gguf_is_refused() {
    let inputs = Inputs::new();
    inputs.write("model.gguf", b"GGUF\x03\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\x7f");
    let output = inputs.command().arg("--model").arg(inputs.path("model.gguf")).output().unwrap();
    // The flag stands twice: clap refuses that, so the file is given alone.
    assert_eq!(output.status.code(), Some(2));
    let mut command = cruxscope();
    command
        .arg("interpret")
        .arg("--model")
        .arg(inputs.path("model.gguf"))
        .arg("--traces")
        .arg(inputs.path("traces.jsonl"));
    let output = command
        .arg("--annotations")
        .arg(inputs.path("annotations.jsonl"))
        .arg("--out")
        .arg(inputs.path("study"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("model.gguf"), "{}", stderr(&output));
}

#[test]
fn a_study_of_a_newer_schema_is_refused() {
    let inputs = Inputs::new();
    inputs.study();
    let mut manifest: Value = serde_json::from_slice(&inputs.read("study/study.json")).unwrap();
    manifest["schema"] = json!(999);
    inputs.write("study/study.json", manifest.to_string());
    let output = cruxscope().arg("show").arg(inputs.path("study")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("999") && stderr(&output).contains("newer"), "{}", stderr(&output));
}

#[test]
fn arrays_that_do_not_match_their_manifest_are_refused() {
    let inputs = Inputs::new();
    inputs.study();
    let whole = inputs.read("study/importance.safetensors");
    let mut changed = whole.clone();
    *changed.last_mut().unwrap() ^= 1;
    inputs.write("study/importance.safetensors", &changed);
    let output = cruxscope().arg("show").arg(inputs.path("study")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("importance.safetensors"), "{}", stderr(&output));

    // The bytes are right, but the manifest speaks of another model.
    inputs.write("study/importance.safetensors", &whole);
    let mut manifest: Value = serde_json::from_slice(&inputs.read("study/study.json")).unwrap();
    manifest["model"]["layers"] = json!(4);
    inputs.write("study/study.json", manifest.to_string());
    let output = cruxscope().arg("show").arg(inputs.path("study")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("shape"), "{}", stderr(&output));
}
