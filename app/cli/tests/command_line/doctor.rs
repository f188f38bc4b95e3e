//! `cruxscope doctor`: one paste for a report of a fault.

use serde_json::Value;

use crate::inputs::{cruxscope, stderr};

#[test]
fn doctor_tells_what_is_here_as_text_and_as_json() {
    let output = cruxscope().arg("doctor").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    for word in ["cruxscope", "system", "processor", "memory", "device", "page", "Python"] {
        assert!(text.lines().any(|line| line.starts_with(word)), "{word} is not in\n{text}");
    }
    let output = cruxscope().args(["doctor", "--json"]).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let devices = report["devices"].as_array().unwrap();
    assert!(devices.iter().any(|device| device["name"] == "cpu" && device["missing"].is_null()));
    assert!(report["system"]["threads"].as_u64().unwrap() > 0);
    assert_eq!(report["version"], env!("CARGO_PKG_VERSION"));
}

/// A Python that is named and does not answer is passed over for another; a report is made all the same.
#[test]
fn a_python_that_does_not_answer_is_no_failure() {
    let output = cruxscope()
        .args(["doctor", "--json"])
        .env("CRUXSCOPE_INTERPRETER", "/nowhere/python")
        .env("PATH", "/nowhere")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["python"].is_null());
    assert!(report["gpus"].as_array().unwrap().is_empty());
}
