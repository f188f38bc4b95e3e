//! Shifts between two studies: what is printed, and what cannot be compared.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::inputs::{BEHAVIOURS, Inputs, cruxscope, stderr, text};

/// Runs `cruxscope shift` between two studies.
fn shift(from: &Path, to: &Path, extra: &[&str]) -> Output {
    cruxscope()
        .arg("shift")
        .arg("--from")
        .arg(from)
        .arg("--to")
        .arg(to)
        .args(extra)
        .output()
        .unwrap()
}

#[test]
fn a_study_does_not_shift_from_itself() {
    let inputs = Inputs::new();
    inputs.study();
    let study = inputs.path("study");
    let output = shift(&study, &study, &["--view", "net", "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    for behaviour in BEHAVIOURS.into_iter().chain(["mean"]) {
        let layers = shown["shift"][behaviour].as_array().unwrap();
        assert_eq!(layers.len(), 3);
        let values = layers.iter().flat_map(|layer| layer.as_array().unwrap());
        assert!(values.into_iter().all(|value| value == 0.0));
    }
    assert_eq!(shown["warnings"], json!([]));
    let output = shift(&study, &study, &[]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("nothing shifts"));
}

#[test]
fn a_shift_is_the_difference_of_what_show_prints() {
    let (a, b) = (Inputs::new(), Inputs::new());
    // Twice as strong a norm is another model of the same architecture.
    b.edit_config(|config| config["rms_norm_eps"] = json!(0.5));
    let (first, second) = (a.study(), b.study());
    let output = shift(&a.path("study"), &b.path("study"), &["--json", "--top", "3"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["view"], "decreases");
    let relative = |study: &Value, layer: usize, module: usize| study["relative_importance"]["backtracking"][layer][module].as_f64().unwrap();
    for (layer, module) in [(0, 0), (1, 4), (2, 6)] {
        let expected = (relative(&first, layer, module) - relative(&second, layer, module)).max(0.0);
        let found = shown["shift"]["backtracking"][layer][module].as_f64().unwrap();
        assert!((found - expected).abs() < 1e-12, "{found} for {expected}");
    }
    let top = shown["top"]["backtracking"].as_array().unwrap();
    assert_eq!(top.len(), 3);
    assert!(top[0]["shift"].as_f64() >= top[1]["shift"].as_f64());
    assert!(top[0]["low"].as_f64() <= top[0]["high"].as_f64());
}

#[test]
fn a_shift_between_definitions_is_refused() {
    let (a, b) = (Inputs::new(), Inputs::new());
    a.study();
    assert!(b.command().args(["--definition", "released"]).output().unwrap().status.success());
    for extra in [&[][..], &["--allow-different", "all"]] {
        let output = shift(&a.path("study"), &b.path("study"), extra);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(
            stderr(&output).contains("definition") && stderr(&output).contains("released"),
            "{}",
            stderr(&output)
        );
        assert!(output.stdout.is_empty(), "stdout is for results");
    }
}

#[test]
fn other_data_are_refused_unless_allowed_and_then_said() {
    let (a, b) = (Inputs::new(), Inputs::new());
    a.study();
    b.write("traces.jsonl", format!("{}\n", text("traces.jsonl").trim_end()) + "\n");
    b.study();
    let (first, second) = (a.path("study"), b.path("study"));
    let output = shift(&first, &second, &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--allow-different data"), "{}", stderr(&output));
    let output = shift(&first, &second, &["--allow-different", "data", "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("data differ"), "{}", stderr(&output));
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["warnings"][0]["kind"], "data");
    let output = shift(&first, &second, &["--allow-different", "weather"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("weather") && stderr(&output).contains("settings"),
        "{}",
        stderr(&output)
    );
}
