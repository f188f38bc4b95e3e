//! Compressed models: what changes, what stays, what is refused.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::inputs::{Inputs, bytes, cruxscope, stderr};

fn compress(inputs: &Inputs, out: &str, arguments: &[&str]) -> Output {
    cruxscope()
        .arg("compress")
        .arg("--model")
        .arg(inputs.path("model"))
        .arg("--out")
        .arg(inputs.path(out))
        .args(arguments)
        .output()
        .unwrap()
}

/// Values of one float32 tensor, wherever in the folder it is.
fn tensor(model: &Path, name: &str) -> Vec<u8> {
    for entry in std::fs::read_dir(model)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "safetensors"))
    {
        let bytes = std::fs::read(entry).unwrap();
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let index: Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
        if let Some(offsets) = index[name]["data_offsets"].as_array() {
            let at = |end: usize| 8 + header + offsets[end].as_u64().unwrap() as usize;
            return bytes[at(0)..at(1)].to_vec();
        }
    }
    panic!("{name} is not in {}", model.display());
}

#[test]
fn a_compressed_model_changes_what_was_chosen_and_nothing_else() {
    let inputs = Inputs::new();
    let output = compress(
        &inputs,
        "small",
        &["--method", "rtn", "--bits", "3", "--group-size", "16", "--only", "2_up", "--json"],
    );
    assert!(output.status.success(), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let touched: Vec<&Value> = report["components"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|component| !component["method"].is_null())
        .collect();
    assert_eq!(touched.len(), 1);
    assert_eq!(touched[0]["component"], "2_up");
    assert!(touched[0]["weight_error"].as_f64().unwrap() > 0.0);
    let same = |name: &str| tensor(&inputs.path("model"), name) == tensor(&inputs.path("small"), name);
    assert!(!same("model.layers.1.mlp.up_proj.weight"));
    for name in [
        "model.embed_tokens.weight",
        "model.norm.weight",
        "model.layers.1.mlp.gate_proj.weight",
        "model.layers.2.mlp.up_proj.weight",
        "model.layers.0.input_layernorm.weight",
    ] {
        assert!(same(name), "{name}");
    }
    assert_eq!(
        std::fs::read_dir(inputs.folder.path())
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("partial"))
            .count(),
        0
    );

    // What was written can be read back.
    std::fs::rename(inputs.path("model"), inputs.path("original")).unwrap();
    std::fs::rename(inputs.path("small"), inputs.path("model")).unwrap();
    inputs.study();
}

#[test]
fn a_saved_recipe_gives_the_same_model() {
    let inputs = Inputs::new();
    let recipe = inputs.path("recipe.json");
    let output = compress(
        &inputs,
        "a",
        &[
            "--method",
            "magnitude",
            "--sparsity",
            "0.3",
            "--protect",
            "final-mlp",
            "--save-recipe",
            recipe.to_str().unwrap(),
        ],
    );
    assert!(output.status.success(), "{}", stderr(&output));
    let output = compress(&inputs, "b", &["--recipe", recipe.to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(bytes(&inputs.path("a")), bytes(&inputs.path("b")));
}

#[test]
fn compression_that_makes_no_sense_is_refused() {
    let inputs = Inputs::new();
    let refused = |arguments: &[&str], word: &str| {
        let output = compress(&inputs, "out", arguments);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(word), "\"{word}\" is not in: {}", stderr(&output));
        assert!(!inputs.path("out").exists());
    };
    refused(&["--method", "rtn", "--bits", "9"], "bits");
    refused(&["--method", "rtn", "--only", "9_up"], "layers 1 to 3");
    refused(&["--method", "rtn", "--only", "1_up", "--protect", "up"], "every component");
    refused(&["--method", "gptq"], "calibration");
    refused(&["--method", "magnitude", "--sparsity", "1.5"], "sparsity");
    std::fs::create_dir(inputs.path("taken")).unwrap();
    let output = compress(&inputs, "taken", &["--method", "rtn"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("exists already"), "{}", stderr(&output));
}
