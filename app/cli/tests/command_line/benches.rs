//! What benchmarks print: medians of rounds, and the range of what was measured. How fast anything is, no test says.

use serde_json::Value;

use crate::inputs::{Inputs, cruxscope, stderr};

/// A safetensors file of token ids, two windows of sixteen in each of two arrays.
fn tokens(inputs: &Inputs) {
    let header = r#"{"calib":{"dtype":"I64","shape":[2,16],"data_offsets":[0,256]},"eval_other":{"dtype":"I64","shape":[2,16],"data_offsets":[256,512]}}"#;
    let ids = (0..64i64).flat_map(|index| (index * 7 % 500).to_le_bytes());
    let bytes: Vec<u8> = (header.len() as u64).to_le_bytes().into_iter().chain(header.bytes()).chain(ids).collect();
    inputs.write("tokens.safetensors", bytes);
}

/// The median and what it lies between.
fn assert_inside(median: &Value, low: &Value, high: &Value) {
    let [median, low, high] = [median, low, high].map(|value| value.as_f64().unwrap());
    assert!(low <= median && median <= high, "{low} {median} {high}");
}

#[test]
fn rows_of_compression_take_turns_with_another_build() {
    let inputs = Inputs::new();
    tokens(&inputs);
    let bench = |extra: &[&str]| {
        let mut command = cruxscope();
        command.args(["bench", "compress", "--json", "--rows", "rtn4_row_asym", "--runs", "3", "--model"]);
        command
            .arg(inputs.path("model"))
            .arg("--tokens")
            .arg(inputs.path("tokens.safetensors"))
            .args(extra)
            .output()
            .unwrap()
    };
    let output = bench(&["--beside", env!("CARGO_BIN_EXE_cruxscope")]);
    assert!(output.status.success(), "{}", stderr(&output));
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    let timing = &rows[0]["timing"];
    for which in ["own", "beside"] {
        assert_inside(&timing[which]["median"], &timing[which]["lowest"], &timing[which]["highest"]);
    }
    assert!(timing["faster"]["median"].is_number());
    assert!(rows[0]["perplexity"]["eval_other"].as_f64().unwrap() > 1.0, "{rows}");
    let alone: Value = serde_json::from_slice(&bench(&[]).stdout).unwrap();
    assert_eq!((&alone[0]["timing"]["beside"], &alone[0]["perplexity"]), (&Value::Null, &rows[0]["perplexity"]));
    let missing = bench(&["--beside", "no-such-build"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(stderr(&missing).contains("no-such-build"), "{}", stderr(&missing));
}

#[test]
fn an_interpretation_is_measured_in_rounds() {
    let inputs = Inputs::new();
    let mut command = cruxscope();
    command
        .args(["bench", "interpret", "--runs", "2", "--threads", "1", "--json", "--model"])
        .arg(inputs.path("model"));
    command.arg("--traces").arg(inputs.path("traces.jsonl"));
    let output = command.arg("--annotations").arg(inputs.path("annotations.jsonl")).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((rows.as_array().unwrap().len(), &rows[0]["runs"]), (1, &2.into()));
    let range = &rows[0]["range"]["seconds"];
    assert_inside(&rows[0]["seconds"], &range[0], &range[1]);
}
