//! The token that begins a sequence is there once, wherever text is read: windows of text and traces, instances, prompts.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, outside their functions

use std::path::Path;

use cruxscope_checkpoint::Checkpoint;
use cruxscope_model::generation::Sampling;
use cruxscope_run::generate::{GenerateSettings, PlannedGeneration};
use cruxscope_run::instances::{Instances, TraceSettings};
use cruxscope_run::windows::WindowSource;
use cruxscope_study::Definition;
use serde_json::{Value, json};

const BEGIN: u32 = 7;

/// The tiny model with a tokenizer of a few words.
fn model(folder: &Path, adds: bool) -> Checkpoint {
    let source = cruxscope_needs::root().join("tests/fixtures/tiny/model");
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(source.join(name), folder.join(name)).unwrap();
    }
    let words = ["a", "b", "c", "d", ".", "?"];
    let mut vocabulary: serde_json::Map<String, Value> = words.iter().enumerate().map(|(id, word)| ((*word).to_owned(), json!(id))).collect();
    vocabulary.insert("<s>".into(), json!(BEGIN));
    let post = json!({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [BEGIN], "tokens": ["<s>"]}}});
    let tokenizer = json!({"version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [{"id": BEGIN, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
        "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": if adds { post } else { Value::Null }, "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "?"}});
    std::fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    std::fs::write(folder.join("tokenizer_config.json"), json!({"bos_token": "<s>"}).to_string()).unwrap();
    Checkpoint::open(folder).unwrap()
}

/// All ways in which a text comes to a model, as the ids that it begins with.
fn beginnings(folder: &Path, checkpoint: &Checkpoint, prefix: &str) -> Vec<(&'static str, Vec<u32>)> {
    let text = folder.join("text.txt");
    std::fs::write(&text, format!("{prefix}a b c d . a b c d .")).unwrap();
    let traces = folder.join("traces.jsonl");
    let output = "a b c d . b a d c . a b c d .";
    std::fs::write(&traces, format!("{}\n", json!({"id": "x", "prompt": format!("{prefix}a b"), "output": output}))).unwrap();
    let annotations = folder.join("annotations.jsonl");
    let annotated = r#"["backtracking"]b a d c .["end-section"]"#;
    std::fs::write(&annotations, format!("{}\n", json!({"id": "x", "annotated": annotated}))).unwrap();

    let window = |source: WindowSource| source.read(checkpoint, None).unwrap().into_values().next().unwrap().remove(0);
    let settings = TraceSettings {
        traces: traces.clone(),
        annotations,
        definition: Definition::Paper,
        reading: None,
        alignment: None,
        only: Vec::new(),
        first: None,
        max_tokens: None,
    };
    let instances = Instances::read(checkpoint, &settings).unwrap();
    // The section stands where it is in the text, behind whatever begins it.
    let segment = &instances.items[0].segments[0];
    assert_eq!(instances.items[0].ids[segment.start..=segment.last], [1, 0, 3, 2, 4]);
    let generation = GenerateSettings {
        prompts: vec![format!("{prefix}a b")],
        samples: 1,
        sampling: Sampling::new(0.0, 1.0).unwrap(),
        seed: 0,
        most_tokens: 1,
        stop: Vec::new(),
        past_the_end: true,
        at_once: 1,
    };
    let planned = PlannedGeneration::new(checkpoint, &generation).unwrap();
    let all = [
        ("text", window(WindowSource::Text { path: text, length: 4 })),
        ("traces", window(WindowSource::Traces { path: traces, length: 4 })),
        ("instances", instances.items[0].ids.clone()),
        ("prompts", planned.requests()[0].prompt.clone()),
    ];
    all.map(|(name, ids)| (name, ids[..3].to_vec())).into()
}

#[test]
fn a_sequence_begins_once_everywhere() {
    for (adds, prefix, expected) in [
        (true, "", [BEGIN, 0, 1]),
        (true, "<s>", [BEGIN, 0, 1]),
        (false, "<s>", [BEGIN, 0, 1]),
        (false, "", [0, 1, 2]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = model(folder.path(), adds);
        for (what, ids) in beginnings(folder.path(), &checkpoint, prefix) {
            let shown = if expected[0] == BEGIN || what == "text" { 3 } else { 2 };
            assert_eq!(
                ids[..shown],
                expected[..shown],
                "{what}, the tokenizer adds it: {adds}, the text has it: {}",
                !prefix.is_empty()
            );
        }
    }
}

/// Every trace begins anew among those that calibrate.
#[test]
fn every_trace_of_a_calibration_begins() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = model(folder.path(), true);
    let traces = folder.path().join("traces.jsonl");
    let line = |id: &str| format!("{}\n", json!({"id": id, "prompt": "a b", "output": "c"}));
    std::fs::write(&traces, line("x") + &line("y")).unwrap();
    let windows = WindowSource::Traces { path: traces, length: 8 }.read(&checkpoint, None).unwrap();
    let ids = windows.into_values().next().unwrap().remove(0);
    assert_eq!(ids, [BEGIN, 0, 1, 2, BEGIN, 0, 1, 2]);
}
