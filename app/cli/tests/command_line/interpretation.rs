//! What an interpretation prints and writes, and how it goes on after it was stopped.

use std::path::Path;
use std::time::{Duration, Instant};

use cruxscope_study::OutputLock;
use serde_json::Value;

use crate::inputs::{BEHAVIOURS, Inputs, bytes, cruxscope, stderr};

#[test]
fn interpretation_gives_the_numbers_of_an_independent_program() {
    let inputs = Inputs::new();
    let shown = inputs.study();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny_llama31_rope_tied/expected.json");
    let golden: Value = serde_json::from_slice(&std::fs::read(golden).unwrap()).unwrap();
    assert_eq!(shown["definition"], "paper");
    assert_eq!(shown["layers"], 3);
    let mut worst = 0.0f64;
    for behaviour in BEHAVIOURS {
        let expected = golden["definitions"]["paper"]["I"][behaviour].as_object().unwrap();
        let total: f64 = expected.values().map(|value| value.as_f64().unwrap()).sum();
        for layer in 0..3 {
            for (index, module) in shown["modules"].as_array().unwrap().iter().enumerate() {
                let wanted = expected[&format!("layer_{layer}_{}", module.as_str().unwrap())].as_f64().unwrap() / total;
                let found = shown["relative_importance"][behaviour][layer][index].as_f64().unwrap();
                worst = worst.max((found - wanted).abs());
            }
        }
    }
    assert!(worst < 5e-5, "relative importance differs by {worst:.2e}");
    assert_eq!(shown["top"]["backtracking"][0]["rank"], 1);
    assert!(!inputs.path("study/.parts").exists(), "parts are gone once the study is whole");
}

#[test]
fn the_same_command_twice_computes_once() {
    let inputs = Inputs::new();
    inputs.study();
    let before = bytes(&inputs.path("study"));
    let output = inputs.command().output().unwrap();
    assert!(output.status.success() && stderr(&output).contains("complete already"), "{}", stderr(&output));
    assert_eq!(bytes(&inputs.path("study")), before);
}

#[test]
fn another_run_does_not_overwrite_a_study() {
    let inputs = Inputs::new();
    inputs.study();
    let before = bytes(&inputs.path("study"));
    let output = inputs.command().args(["--definition", "released"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("another study"), "{}", stderr(&output));
    assert_eq!(bytes(&inputs.path("study")), before);
}

/// Killed as soon as a part is there, and run again: the bytes are those of a run that was never stopped.
#[test]
fn one_run_has_the_folder_at_a_time() {
    let inputs = Inputs::new();
    let held = OutputLock::take_in(&inputs.path("study"), Duration::ZERO).unwrap();
    let output = inputs.command().output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("is being written by another run"), "{}", stderr(&output));
    drop(held);
    inputs.study();
    assert!(!inputs.path("study/.lock").exists());
    let _held = OutputLock::take_in(&inputs.path("study"), Duration::ZERO).unwrap();
    let output = inputs.command().output().unwrap();
    assert!(output.status.success(), "what is finished needs no lock: {}", stderr(&output));
}

#[test]
fn what_somebody_else_put_there_is_not_written_over() {
    let inputs = Inputs::new();
    for name in ["importance.safetensors", "trace-0002.json", "compression.json"] {
        std::fs::create_dir(inputs.path("study")).unwrap();
        inputs.write(&format!("study/{name}"), "years of work");
        let output = inputs.command().output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(name), "{}", stderr(&output));
        assert_eq!(bytes(&inputs.path("study")), [(name.to_owned(), b"years of work".to_vec())]);
        std::fs::remove_dir_all(inputs.path("study")).unwrap();
    }
}

#[test]
fn a_killed_run_goes_on_and_gives_the_same_bytes() {
    let whole = Inputs::new();
    // The slow reference leaves time to be killed in.
    let output = whole.command().args(["--device", "reference"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));

    let killed = Inputs::new();
    let mut child = killed
        .command()
        .args(["--device", "reference"])
        .stderr(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    let parts = killed.path("study/.parts");
    let finished_parts = || {
        std::fs::read_dir(&parts).map_or(0, |entries| {
            entries
                .filter(|entry| {
                    entry
                        .as_ref()
                        .is_ok_and(|entry| entry.path().extension().is_some_and(|kind| kind == "safetensors"))
                })
                .count()
        })
    };
    while finished_parts() == 0 && child.try_wait().unwrap().is_none() && began.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_micros(200));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let kept = finished_parts();
    let output = killed.command().args(["--device", "reference"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    if kept > 0 {
        assert!(
            stderr(&output).contains(&format!("{kept} finished by an earlier run are kept")),
            "{}",
            stderr(&output)
        );
    }
    assert_eq!(bytes(&killed.path("study")), bytes(&whole.path("study")));
}

#[test]
fn streamed_weights_and_one_thread_give_the_same_bytes() {
    let plain = Inputs::new();
    plain.study();
    let other = Inputs::new();
    let output = other.command().args(["--weights", "streamed", "--threads", "1"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(bytes(&other.path("study")), bytes(&plain.path("study")));
}

#[test]
fn a_chosen_instance_is_the_only_one() {
    let inputs = Inputs::new();
    let output = inputs.command().args(["--instances", "tiny/1", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["instances"].as_array().unwrap().len(), 1);
    assert_eq!(shown["instances"][0]["id"], "tiny/1");
}

#[test]
fn a_cap_on_tokens_drops_what_lies_beyond_and_says_so() {
    let inputs = Inputs::new();
    let output = inputs.command().args(["--max-length", "20", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        shown["dropped"].as_array().unwrap().iter().any(|drop| drop["reason"] == "beyond-cap"),
        "{}",
        shown["dropped"]
    );
    assert!(shown["tokens"].as_u64().unwrap() <= 60);
}

#[test]
fn devices_are_listed_with_reasons() {
    let output = cruxscope().args(["devices", "--json"]).output().unwrap();
    let devices: Value = serde_json::from_slice(&output.stdout).unwrap();
    let entry = |name: &str| {
        devices
            .as_array()
            .unwrap()
            .iter()
            .find(|entry| entry["name"].as_str().unwrap().starts_with(name))
            .cloned()
    };
    assert_eq!(entry("cpu").unwrap()["available"], true);
    let cuda = entry("cuda").unwrap();
    assert!(cuda["available"] == true || !cuda["missing"].as_str().unwrap().is_empty());
}

#[test]
fn the_demo_runs_without_a_window() {
    let folder = tempfile::tempdir().unwrap();
    let demo = |more: &[&str]| {
        let few = ["demo", "--no-window", "--puzzles", "6", "--instances", "3", "--controls", "1", "--out"];
        cruxscope().args(few).arg(folder.path()).args(more).output().unwrap()
    };
    let output = demo(&["--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    let recipes = summary["recipes"].as_array().unwrap().len();
    assert!(recipes >= 8, "{recipes}");
    assert_eq!(summary["rows"].as_array().unwrap().len(), 24 + recipes);
    // Killed while a model was taken away: what is left goes, and nothing is made again.
    let left = folder.path().join("models/.removed-protected");
    std::fs::create_dir(&left).unwrap();
    std::fs::write(left.join("config.json"), "{}").unwrap();
    let held = OutputLock::take_in(folder.path(), Duration::ZERO).unwrap();
    let output = demo(&[]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("another run") && left.exists(), "{}", stderr(&output));
    drop(held);
    // Once more, everything is there already, and the table is for people.
    let output = demo(&[]);
    assert!(stderr(&output).contains("an earlier run finished this demonstration"), "{}", stderr(&output));
    assert!(!left.exists());
    let table = String::from_utf8(output.stdout).unwrap();
    for words in [
        "Distilled",
        "RTN, 3 bits",
        "as Table 3",
        "kept the most shifted",
        "rank correlation",
        "allocate",
        "random permutation",
    ] {
        assert!(table.contains(words), "{words} in {table}");
    }
    let output = cruxscope().args(["show"]).arg(folder.path().join("studies/rtn-3")).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("Backtracking"));
}

#[test]
fn a_demo_that_cannot_be_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let demo = |more: &[&str]| {
        cruxscope()
            .args(["demo", "--no-window", "--out"])
            .arg(folder.path().join("demo"))
            .args(more)
            .output()
            .unwrap()
    };
    assert_eq!(demo(&["--puzzles", "1"]).status.code(), Some(2));
    std::fs::create_dir_all(folder.path().join("demo/data")).unwrap();
    std::fs::write(folder.path().join("demo/data/traces.jsonl"), "years of work").unwrap();
    let output = demo(&[]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("no demonstration put there"), "{}", stderr(&output));
    assert_eq!(std::fs::read(folder.path().join("demo/data/traces.jsonl")).unwrap(), b"years of work");
    std::fs::remove_dir_all(folder.path().join("demo")).unwrap();
    let output = demo(&["--device", "nothing"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    std::fs::write(folder.path().join("demo"), "a file").unwrap();
    let output = demo(&[]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("could not create"), "{}", stderr(&output));
}
