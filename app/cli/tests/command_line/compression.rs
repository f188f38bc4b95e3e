//! Compressed models: what changes, what stays, what is refused.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::inputs::{Inputs, bytes, cruxscope, stderr};

pub fn compress(inputs: &Inputs, out: &str, arguments: &[&str]) -> Output {
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

/// Where the bytes of a tensor are: the file, and the range in it.
fn place(model: &Path, name: &str) -> (PathBuf, Range<usize>) {
    for entry in std::fs::read_dir(model)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "safetensors"))
    {
        let bytes = std::fs::read(&entry).unwrap();
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let index: Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
        if let Some(offsets) = index[name]["data_offsets"].as_array() {
            let at = |end: usize| 8 + header + offsets[end].as_u64().unwrap() as usize;
            return (entry, at(0)..at(1));
        }
    }
    panic!("{name} is not in {}", model.display());
}

/// Values of one float32 tensor, wherever in the folder it is.
fn tensor(model: &Path, name: &str) -> Vec<u8> {
    let (path, range) = place(model, name);
    std::fs::read(path).unwrap()[range].to_vec()
}

/// Sets some of a float32 tensor's values to zero.
fn zero(model: &Path, name: &str, values: Range<usize>) {
    let (path, range) = place(model, name);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[range][4 * values.start..4 * values.end].fill(0);
    std::fs::write(path, bytes).unwrap();
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect()
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

/// One trace of so many tokens, all the same: its Hessians have rank one.
fn monotonous(inputs: &Inputs, tokens: usize) -> String {
    let ids = vec!["7"; tokens].join(",");
    inputs.write("same.jsonl", format!("{{\"id\": \"same\", \"input_ids\": [{ids}]}}\n"));
    inputs.path("same.jsonl").display().to_string()
}

#[test]
fn singular_statistics_dead_inputs_and_empty_rows_are_survived_and_told() {
    let inputs = Inputs::new();
    let model = inputs.path("model");
    // Two inputs of gate and up are always zero, and up has a row without weights.
    zero(&model, "model.layers.1.post_attention_layernorm.weight", 3..5);
    zero(&model, "model.layers.1.mlp.up_proj.weight", 64..128);
    let text = monotonous(&inputs, 40);
    let methods: [&[&str]; 8] = [
        &["gptq", "--bits", "3", "--group-size", "16"],
        &["gptq", "--act-order", "descending", "--group-size", "-1"],
        &[
            "gptaq",
            "--bits",
            "4",
            "--group-size",
            "16",
            "--compatibility",
            "original",
            "--act-order",
            "none",
        ],
        &["awq", "--bits", "3", "--group-size", "16"],
        &["any", "--bits", "3", "--group-size", "16"],
        &["wanda"],
        &["sparsegpt", "--window", "2:4"],
        &["alphapruning", "--sparsity", "0.4"],
    ];
    for (index, method) in methods.into_iter().enumerate() {
        let out = format!("out{index}");
        let mut arguments = vec!["--calibration-traces", &text, "--sequence-length", "40", "--json", "--method"];
        arguments.extend(method);
        let output = compress(&inputs, &out, &arguments);
        assert!(output.status.success(), "{method:?}: {}", stderr(&output));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let components = report["components"].as_array().unwrap();
        assert_eq!(components.len(), 21);
        for component in components {
            let error = component["weight_error"].as_f64().unwrap();
            assert!((0.0..1.5).contains(&error), "{method:?} {component}");
        }
        let dead = |name: &str| components.iter().find(|component| component["component"] == name).unwrap()["dead_inputs"].as_u64();
        if matches!(method[0], "gptq" | "gptaq" | "sparsegpt" | "alphapruning") {
            assert!(dead("2_up") >= Some(2), "{method:?}: {}", components[12]);
        }
        for layer in 0..3 {
            for module in ["self_attn.q_proj", "mlp.up_proj", "mlp.down_proj"] {
                let values = floats(&tensor(&inputs.path(&out), &format!("model.layers.{layer}.{module}.weight")));
                assert!(values.iter().all(|value| value.is_finite()), "{method:?} {layer} {module}");
            }
        }
        let row = floats(&tensor(&inputs.path(&out), "model.layers.1.mlp.up_proj.weight"))[64..128].to_vec();
        assert!(row.iter().all(|value| *value == 0.0), "{method:?}: a row of zeros stays one");
    }
}

#[test]
fn calibration_text_that_is_too_short_or_no_text_is_refused() {
    let inputs = Inputs::new();
    let text = monotonous(&inputs, 40);
    inputs.write("nonsense.jsonl", "{\"id\": 1");
    inputs.write("nonsense.safetensors", "nonsense");
    let nonsense = |kind: &str| inputs.path(&format!("nonsense.{kind}")).display().to_string();
    let refused = |arguments: &[&str], word: &str| {
        let mut all = vec!["--method", "gptq", "--group-size", "16"];
        all.extend(arguments);
        let output = compress(&inputs, "out", &all);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(
            stderr(&output).contains(word) && !stderr(&output).contains("panicked"),
            "\"{word}\" is not in: {}",
            stderr(&output)
        );
        assert!(!inputs.path("out").exists() && !inputs.path(".out.partial").exists(), "nothing is written");
    };
    refused(&["--calibration-traces", &text, "--sequence-length", "41"], "fewer than one window of 41");
    refused(&["--calibration-traces", &text, "--sequence-length", "1"], "from 2 to");
    refused(&["--calibration-traces", &nonsense("jsonl")], "nonsense.jsonl");
    refused(&["--calibration-tokens", &nonsense("safetensors")], "no safetensors file");
    refused(&["--calibration-text", "/nowhere/at/all.txt"], "/nowhere/at/all.txt");
}

#[test]
fn a_full_disk_leaves_nothing_half_written_and_the_run_goes_on_later() {
    if !Path::new("/bin/sh").exists() {
        cruxscope_needs::skip(cruxscope_needs::Need::System, "no /bin/sh, whose ulimit stands in for a full disk");
        return;
    }
    let inputs = Inputs::new();
    let arguments = ["--method", "rtn", "--bits", "3", "--group-size", "16"];
    let whole = compress(&inputs, "whole", &arguments);
    assert!(whole.status.success(), "{}", stderr(&whole));
    // Layers are about 200 KiB each, what stands outside them less: files may not grow beyond 64 KiB.
    let output = Command::new("/bin/sh")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 128; exec \"$@\"",
            "sh",
            env!("CARGO_BIN_EXE_cruxscope"),
            "compress",
            "--model",
        ])
        .arg(inputs.path("model"))
        .arg("--out")
        .arg(inputs.path("out"))
        .args(arguments)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("could not") && stderr(&output).contains("model-layer-00001"),
        "{}",
        stderr(&output)
    );
    assert!(!inputs.path("out").exists());
    let output = compress(&inputs, "out", &arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(bytes(&inputs.path("whole")), bytes(&inputs.path("out")));
}

#[test]
fn a_plan_is_printed_and_nothing_is_done() {
    let inputs = Inputs::new();
    let text = monotonous(&inputs, 40);
    let arguments = [
        "--method",
        "gptaq",
        "--group-size",
        "16",
        "--calibration-traces",
        &text,
        "--sequence-length",
        "20",
        "--dry-run",
        "--json",
    ];
    let output = compress(&inputs, "out", &arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (plan["treated"].as_u64(), plan["windows"].as_u64(), plan["tokens"].as_u64()),
        (Some(21), Some(2), Some(40))
    );
    assert!(plan["memory"].as_u64() > Some(0) && plan["operations"].as_f64() > Some(0.0));
    assert!(!inputs.path("out").exists() && !inputs.path(".out.partial").exists());
}

#[test]
fn the_papers_rows_are_made_once_and_their_scales_are_told() {
    let inputs = Inputs::new();
    let text = monotonous(&inputs, 40);
    let reproduce = |experiment: &str, out: &str| {
        let output = cruxscope()
            .args([
                "reproduce",
                experiment,
                "--group-size",
                "16",
                "--sequence-length",
                "40",
                "--calibration-traces",
                &text,
                "--json",
                "--model",
            ])
            .arg(inputs.path("model"))
            .arg("--out")
            .arg(inputs.path(out))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let rows = reproduce("table-3", "three");
    let names: Vec<&String> = rows.as_object().unwrap().keys().collect();
    assert_eq!(names, ["1_up", "2_up", "3_gate", "3_up", "3_v"]);
    let written = std::fs::metadata(inputs.path("three/3_up/config.json")).unwrap().modified().unwrap();
    assert_eq!(reproduce("table-3", "three"), rows);
    assert_eq!(
        std::fs::metadata(inputs.path("three/3_up/config.json")).unwrap().modified().unwrap(),
        written,
        "kept"
    );
    reproduce("appendix-m", "m");
    let report = |arguments: &[&str]| cruxscope().arg("report").args(arguments).output().unwrap();
    let folder = inputs.path("m/awq4").display().to_string();
    let output = report(&[&folder, "--scales"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("3_up") && said.contains("geometric"), "{said}");
    let folder = inputs.path("three/3_up").display().to_string();
    assert_eq!(report(&[&folder, "--scales"]).status.code(), Some(2));
    assert_eq!(report(&[&inputs.path("model").display().to_string()]).status.code(), Some(2));
}

#[test]
fn validation_measures_every_component_and_goes_on_where_it_was() {
    let inputs = Inputs::new();
    inputs.study();
    let traces = inputs.path("traces.jsonl").display().to_string();
    let validate = |extra: &[&str]| {
        cruxscope()
            .args([
                "validate",
                "--method",
                "rtn",
                "--bits",
                "3",
                "--group-size",
                "16",
                "--sequence-length",
                "48",
                "--calibration-samples",
                "2",
            ])
            .args(["--traces", &traces, "--json", "--study"])
            .arg(inputs.path("study"))
            .arg("--model")
            .arg(inputs.path("model"))
            .args(extra)
            .output()
            .unwrap()
    };
    let output = validate(&[]);
    assert!(output.status.success(), "{}", stderr(&output));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let components = found["validation"]["components"].as_array().unwrap();
    assert_eq!(components.len(), 21);
    assert!(
        components.iter().all(|component| component["divergence"].as_f64().unwrap() > 0.0),
        "3 bits change every matrix"
    );
    let rho = found["rank_correlation"]["all together"]["rho"].as_f64().unwrap();
    assert!((-1.0..=1.0).contains(&rho));

    let again = validate(&[]);
    assert!(stderr(&again).contains("an earlier run"), "{}", stderr(&again));
    assert_eq!(again.stdout, output.stdout, "what is finished is not measured again");

    // Killed after the first layer, with a line cut off: the same bytes come out, and only the rest is measured.
    let saved = inputs.read("study/validation.json");
    let first: Vec<String> = components[..7].iter().map(Value::to_string).collect();
    std::fs::remove_file(inputs.path("study/validation.json")).unwrap();
    let output = validate(&["--streamed"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(inputs.read("study/validation.json"), saved, "streamed weights give the same");
    let key = "0".repeat(64);
    inputs.write(
        "study/validation.partial.jsonl",
        format!("{{\"key\": \"{key}\"}}\n{}\n{{\"compon", first.join("\n")),
    );
    std::fs::remove_file(inputs.path("study/validation.json")).unwrap();
    let output = validate(&[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(inputs.read("study/validation.json"), saved, "what another run left is not taken");
    assert!(!inputs.path("study/validation.partial.jsonl").exists());

    // The study still shows, and another model's is refused.
    assert_eq!(crate::inputs::show(&inputs.path("study"))["layers"], 3);
    inputs.edit_config(|config| config["num_hidden_layers"] = 2.into());
    let output = validate(&[]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("another model"), "{}", stderr(&output));
}

#[test]
fn a_model_that_is_finished_is_left_as_it_is_and_says_so() {
    let inputs = Inputs::new();
    let prune = |sparsity: &str| compress(&inputs, "small", &["--method", "magnitude", "--sparsity", sparsity]);
    let output = prune("0.5");
    assert!(output.status.success(), "{}", stderr(&output));
    let (made, table) = (bytes(&inputs.path("small")), output.stdout);
    let output = prune("0.5");
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("an earlier run of the same settings"), "{}", stderr(&output));
    assert_eq!((bytes(&inputs.path("small")), output.stdout), (made.clone(), table));
    // Other settings are another model; and one that lost a file is none.
    assert_eq!(prune("0.6").status.code(), Some(2));
    std::fs::remove_file(inputs.path("small/model-norm.safetensors")).unwrap();
    let output = prune("0.5");
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("exist"), "{}", stderr(&output));
}

#[test]
fn a_tokenizer_that_is_no_file_of_one_is_refused_by_whatever_reads_the_model() {
    let inputs = Inputs::new();
    inputs.write("model/tokenizer.json", "{\"version\": \"1.0\", \"added_tok");
    let output = compress(&inputs, "small", &["--method", "magnitude"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("tokenizer.json"), "{}", stderr(&output));
    assert!(!inputs.path("small").exists());
    inputs.is_refused(&[], &["tokenizer.json"]);
    // JSON, and no tokenizer: numbers do not need it, but a copy would carry it on.
    inputs.write("model/tokenizer.json", "{\"version\": \"1.0\"}");
    let output = compress(&inputs, "small", &["--method", "magnitude"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("tokenizer.json"), "{}", stderr(&output));
}
