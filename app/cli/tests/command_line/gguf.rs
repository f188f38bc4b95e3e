//! A GGUF file that is written: the same model, in the numbers that were asked for.

use std::path::Path;

use serde_json::Value;

use crate::compression::compress;
use crate::inputs::{Inputs, cruxscope, stderr};

/// The mean loss of a model on ids that are in the repository.
fn loss(model: &Path) -> f64 {
    let tokens = cruxscope_needs::root().join("tests/fixtures/formats/tokens.safetensors");
    let output = cruxscope()
        .args(["perplexity", "--json", "--tokens"])
        .arg(tokens)
        .arg("--model")
        .arg(model)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    found.as_object().unwrap().values().next().unwrap()["mean_loss"].as_f64().unwrap()
}

#[test]
fn a_gguf_file_is_the_model_in_the_numbers_that_were_asked_for() {
    let inputs = Inputs::new();
    let whole = loss(&inputs.path("model"));
    for (kind, within) in [
        ("q4_0", 0.3),
        ("q4_1", 0.3),
        ("q5_0", 0.2),
        ("q5_1", 0.2),
        ("q8_0", 0.02),
        ("f16", 0.002),
        ("bf16", 0.02),
    ] {
        let file = format!("{kind}.gguf");
        let output = compress(&inputs, &file, &["--format", "gguf", "--gguf-type", kind, "--json"]);
        assert!(output.status.success(), "{kind}: {}", stderr(&output));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["bytes"].as_u64().unwrap(), std::fs::metadata(inputs.path(&file)).unwrap().len());
        // The embedding, and seven maps of three layers, three of which have rows that fill no whole blocks.
        let count = |name: &str| report["matrices"][name].as_u64().unwrap_or(0);
        let own = count(&kind.to_uppercase());
        assert_eq!(
            (own, own + count("F16")),
            if kind.starts_with('q') {
                (19, 22)
            } else {
                (22, if kind == "f16" { 44 } else { 22 })
            },
            "{report}"
        );
        let found = loss(&inputs.path(&file));
        assert!((found - whole).abs() < within && found != whole, "{kind}: {found} instead of {whole}");
    }
    let again = compress(&inputs, "q4_0.gguf", &["--format", "gguf", "--gguf-type", "q4_0"]);
    assert_eq!(again.status.code(), Some(2), "{}", stderr(&again));
    let treated = ["--method", "rtn", "--bits", "2", "--group-size", "16", "--format", "gguf", "--gguf-type", "f16"];
    let output = compress(&inputs, "treated.gguf", &treated);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(!inputs.path(".treated.gguf.folder").exists(), "what was made on the way is gone");
    let folder = compress(&inputs, "treated", &["--method", "rtn", "--bits", "2", "--group-size", "16"]);
    assert!(folder.status.success(), "{}", stderr(&folder));
    let (file, folder) = (loss(&inputs.path("treated.gguf")), loss(&inputs.path("treated")));
    assert!((file - folder).abs() < 0.002 && (folder - whole).abs() > 0.01, "{file} {folder} {whole}");
    for arguments in [["--gguf-type", "q8_0", "--method", "rtn"], ["--format", "gguf", "--method", "rtn"]] {
        let output = compress(&inputs, "refused.gguf", &arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

/// As programs print the epsilon of a model that was loaded in float32.
#[test]
fn an_epsilon_in_float32_is_written_and_read_back() {
    let inputs = Inputs::new();
    let file = inputs.path("model").join("config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    config["rms_norm_eps"] = serde_json::from_str("9.999999747378752e-06").unwrap();
    std::fs::write(&file, config.to_string()).unwrap();
    let output = compress(&inputs, "e.gguf", &["--format", "gguf", "--gguf-type", "f16"]);
    assert!(output.status.success(), "{}", stderr(&output));
}
