//! Where two models part, what studies say of the paper's claims, how stable a map is, and the paper's whole chain.

use std::process::{Command, Output};

use serde_json::Value;

use crate::inputs::{Inputs, bytes, cruxscope, stderr};

/// Commands in the folder of the inputs.
fn command(inputs: &Inputs, words: &str) -> Command {
    let mut command = cruxscope();
    command.current_dir(inputs.folder.path()).args(words.split_whitespace());
    command
}

fn run(inputs: &Inputs, words: &str) -> Output {
    let output = command(inputs, words).output().unwrap();
    assert!(output.status.success(), "{words}: {}", stderr(&output));
    output
}

fn json(inputs: &Inputs, words: &str) -> Value {
    serde_json::from_slice(&run(inputs, &format!("{words} --json")).stdout).unwrap()
}

fn refused(inputs: &Inputs, words: &str, said: &str) {
    let output = command(inputs, words).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{words}: {}", stderr(&output));
    assert!(stderr(&output).contains(said), "{words}: \"{said}\" is not in: {}", stderr(&output));
    assert!(output.stdout.is_empty(), "{words}");
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

const COMPARE: &str = "compare --model model --model rounded --traces traces.jsonl --annotations annotations.jsonl --out parted";

fn with_rounded(bits: u8) -> Inputs {
    let inputs = Inputs::new();
    run(
        &inputs,
        &format!("compress --model model --out rounded --method rtn --bits {bits} --group-size 16"),
    );
    inputs
}

#[test]
fn the_parts_of_a_comparison_add_up_to_the_whole() {
    let inputs = with_rounded(3);
    let dry = run(&inputs, &format!("{COMPARE} --dry-run"));
    assert!(stderr(&dry).contains("forward passes") && !inputs.path("parted").exists());
    let found = json(&inputs, &format!("{COMPARE} --attribute"));
    let whole = &found["positions"]["all"];
    let kl = number(&whole["kl"]["value"]);
    assert!(kl > 0.0);
    let parts = found["parts"].as_array().unwrap();
    assert!(parts.len() > 1, "behaviours are told apart");
    let sum = |of: &str| parts.iter().map(|part| number(&part[of]["value"])).sum::<f64>();
    assert!((sum("adds") - kl).abs() < 1e-9 * kl && (sum("share") - 1.0).abs() < 1e-9);
    let predictions: f64 = parts.iter().map(|part| number(&part["predictions"])).sum();
    assert!((predictions - number(&found["predictions"])).abs() < 1e-6);
    let places: f64 = ["prompt", "thought-start", "thought-middle", "thought-end", "answer"]
        .iter()
        .map(|place| found["positions"][place]["predictions"].as_f64().unwrap_or(0.0))
        .sum();
    assert_eq!(places, number(&found["predictions"]));
    let same = number(&whole["same_choice"]["value"]);
    let parted = found["positions"]["parted"]["predictions"].as_f64().unwrap_or(0.0);
    assert!((1.0 - same - parted / number(&found["predictions"])).abs() < 1e-12);
    for positions in ["all", "parted"] {
        let causes = &found["causes"][positions];
        let components = causes["components"].as_array().unwrap();
        assert_eq!(components.len(), 3 * 7);
        let listed: f64 = components.iter().map(|cause| number(&cause["adds"]["value"])).sum();
        assert!((listed - number(&causes["explained"])).abs() < 1e-12);
    }
    // The same again is there already; another menu of causes is another run.
    let again = run(&inputs, &format!("{COMPARE} --attribute"));
    assert!(stderr(&again).contains("complete already"));
    assert!(!inputs.path("parted/.divergence").exists());
    let figure = run(&inputs, "export parted --view divergence --format csv --out figures");
    assert!(figure.status.success());
}

#[test]
fn a_model_does_not_part_from_itself() {
    let inputs = Inputs::new();
    let found = json(
        &inputs,
        "compare --model model --model model --traces traces.jsonl --annotations annotations.jsonl --out own --attribute all --generate 4",
    );
    assert_eq!(number(&found["positions"]["all"]["kl"]["value"]), 0.0);
    assert_eq!(number(&found["positions"]["all"]["same_choice"]["value"]), 1.0);
    assert!(found["positions"]["parted"].is_null() && found["median_parting"].is_null());
    let components = found["causes"]["all"]["components"].as_array().unwrap();
    assert!(components.iter().all(|cause| number(&cause["adds"]["value"]) == 0.0));
}

#[test]
fn the_divergence_is_that_of_validate_and_of_trial() {
    let inputs = Inputs::new();
    let only = "1_down";
    let method = "--method rtn --bits 3 --group-size 16";
    run(&inputs, &format!("compress --model model --out alone {method} --only {only}"));
    run(
        &inputs,
        "interpret --model model --traces traces.jsonl --annotations annotations.jsonl --out study",
    );
    run(
        &inputs,
        &format!("validate --study study --model model --traces traces.jsonl --sequence-length 24 {method}"),
    );
    let validation: Value = serde_json::from_slice(&inputs.read("study/validation.json")).unwrap();
    let components = validation["components"].as_array().unwrap();
    let alone = components.iter().find(|entry| entry["component"] == only).unwrap();
    let windows = "--traces traces.jsonl --sequence-length 24";
    let found = json(&inputs, &format!("compare --model model --model alone {windows} --out alone-study"));
    let kl = number(&found["positions"]["all"]["kl"]["value"]);
    assert!(kl > 0.0 && (kl - number(&alone["divergence"])).abs() < 1e-6, "{kl} {alone}");
    assert_eq!(number(&found["predictions"]), number(&validation["predictions"]));

    run(
        &inputs,
        "sensitivity --model model --traces traces.jsonl --annotations annotations.jsonl --out study --formats rtn-3-g16 --draws 1",
    );
    let trial = json(
        &inputs,
        "trial --model model --study study --checkpoint alone --held-out traces.jsonl --sequence-length 24 --alone",
    );
    let row = &trial["groups"][0]["rows"][0];
    assert!((kl - number(&row["kl"]["value"])).abs() < 1e-6, "{kl} {row}");
}

#[test]
fn what_cannot_be_compared_is_refused_by_name() {
    let inputs = with_rounded(4);
    refused(&inputs, "compare --model model --traces traces.jsonl --out parted", "two models are compared");
    refused(&inputs, &format!("{COMPARE} --attribute weather"), "no set of positions");
    refused(&inputs, "compare --model model --model nowhere --traces traces.jsonl --out parted", "nowhere");
    refused(
        &inputs,
        "compare --model model --model rounded --traces traces.jsonl --instances nobody --out parted",
        "nobody",
    );
    inputs.edit_config(|config| config["vocab_size"] = 12.into());
    let output = command(&inputs, COMPARE).output().unwrap();
    assert_ne!(output.status.code(), Some(0));
    assert!(!inputs.path("parted").exists(), "nothing half-written");
}

#[test]
fn a_ledger_tells_every_claim_and_what_would_tell_it() {
    let inputs = with_rounded(4);
    let interpret = "--traces traces.jsonl --annotations annotations.jsonl";
    run(&inputs, &format!("interpret --model model {interpret} --out study"));
    run(&inputs, &format!("interpret --model rounded {interpret} --out rounded-study"));
    let published = json(&inputs, "ledger");
    let claims = published["claims"].as_array().unwrap();
    let entries = published["entries"].as_array().unwrap();
    for claim in claims {
        assert!(entries.iter().any(|entry| entry["claim"] == claim["id"]), "{claim}");
    }
    let headline = entries
        .iter()
        .find(|entry| entry["subject"].as_str().unwrap().contains("protection raises the average"))
        .unwrap();
    assert_eq!(headline["verdict"], "cannot-be-told", "{headline}");
    assert!(headline["why"].as_str().unwrap().contains("z about 1.8") && headline["why"].as_str().unwrap().contains("one pass"));
    // Whatever cannot be told says which command would tell it.
    let told = |entry: &&Value| entry["verdict"] != "cannot-be-told" || !entry["command"].as_str().unwrap().is_empty();
    assert!(entries.iter().all(|entry| told(&entry)));

    let own = json(&inputs, "ledger study rounded-study --without-published");
    let own = own["entries"].as_array().unwrap();
    let rank = own
        .iter()
        .find(|entry| entry["claim"] == "finding-2" && entry["definition"] == "paper")
        .unwrap();
    // Fewer traces than an interval can be trusted with.
    assert!(
        rank["number"].is_number() && rank["verdict"] == "cannot-be-told" && rank["why"].as_str().unwrap().contains("needed"),
        "{rank}"
    );
    assert!(own.iter().any(|entry| entry["claim"] == "finding-3-gate" && entry["number"].is_number()));
    let text = String::from_utf8(run(&inputs, "ledger study").stdout).unwrap();
    assert!(text.contains("cannot be told") && text.contains("to tell: cruxscope"));
    let latex = String::from_utf8(run(&inputs, "ledger study --format latex").stdout).unwrap();
    assert!(latex.contains("\\begin{longtable}") && latex.contains("\\bottomrule"));
    refused(&inputs, "ledger nowhere", "nowhere");
    refused(&inputs, "ledger study --base elsewhere", "none of the studies");
}

#[test]
fn stability_is_told_of_a_study_and_of_what_sets_two_apart() {
    let inputs = Inputs::new();
    let interpret = "interpret --model model --traces traces.jsonl --annotations annotations.jsonl";
    run(&inputs, &format!("{interpret} --out study"));
    run(&inputs, &format!("{interpret} --out other --definition reference"));
    let found = json(&inputs, "stability study --against other --against study --draws 20");
    assert!(found["samples"]["mean"]["traces"].as_u64().unwrap() > 1);
    let [other, own] = [0, 1].map(|place| &found["against"][place]);
    assert!(
        other["differences"]
            .as_array()
            .unwrap()
            .iter()
            .any(|sentence| sentence.as_str().unwrap().contains("definition"))
    );
    assert!((number(&own["parts"]["mean"]["rank_correlation"]["value"]) - 1.0).abs() < 1e-12);
    assert_eq!(number(&own["parts"]["mean"]["top_in_common"]["value"]), 1.0);
    assert!(run(&inputs, "stability study").status.success());
}

/// Every byte of every file below a folder, by its path.
fn everything(inputs: &Inputs, folder: &str) -> Vec<(String, Vec<u8>)> {
    let mut all = bytes_of_files(inputs, folder);
    let collection: Value = serde_json::from_slice(&inputs.read(&format!("{folder}/collection.json"))).unwrap();
    for study in collection["studies"].as_array().unwrap() {
        let study = study.as_str().unwrap();
        all.extend(
            bytes(&inputs.path(&format!("{folder}/{study}")))
                .into_iter()
                .map(|(name, bytes)| (format!("{study}/{name}"), bytes)),
        );
    }
    all
}

fn bytes_of_files(inputs: &Inputs, folder: &str) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(inputs.path(folder)).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            files.push((path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

#[test]
fn the_papers_chain_is_planned_killed_and_gone_on_with() {
    let inputs = Inputs::new();
    run(&inputs, "compress --model model --out base --method rtn --bits 6 --group-size 16");
    let chain = |out: &str| {
        format!(
            "reproduce paper --model model --base base --traces traces.jsonl --annotations annotations.jsonl --calibration traces.jsonl \
             --sequence-length 24 --calibration-samples 4 --group-size 16 --out {out}"
        )
    };
    let plan = json(&inputs, &format!("{} --dry-run", chain("whole")));
    assert!(plan["steps"].as_array().unwrap().len() > 30 && plan["settings"].as_array().unwrap().len() == 4);
    assert!(!inputs.path("whole").exists());
    run(&inputs, &chain("whole"));
    for moment in [1500, 4000] {
        let mut child = command(&inputs, &chain("killed")).stderr(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(moment));
        child.kill().ok();
        child.wait().unwrap();
    }
    run(&inputs, &chain("killed"));
    // Steps side by side, stopped once on the way.
    let together = format!("{} --devices cpu,cpu --threads 1", chain("together"));
    let mut child = command(&inputs, &together).stderr(std::process::Stdio::null()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1500));
    child.kill().ok();
    child.wait().unwrap();
    // Whoever it had started ends on its own.
    let is_busy = || stderr(&command(&inputs, &format!("{} --step collection", chain("together"))).output().unwrap()).contains("another");
    while is_busy() {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    run(&inputs, &together);
    let whole = everything(&inputs, "whole");
    let names = |all: &[(String, Vec<u8>)]| all.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    for other in ["killed", "together"] {
        let found = everything(&inputs, other);
        assert_eq!(names(&whole), names(&found));
        for ((name, whole), (_, found)) in whole.iter().zip(&found) {
            assert!(whole == found, "{name} of {other} differs");
        }
    }
    assert!(!inputs.path("whole/models").exists(), "models that nothing needs are let go of");
    let collection: Value = serde_json::from_slice(&inputs.read("whole/collection.json")).unwrap();
    assert!(collection["tour"].as_array().unwrap().len() > 3);
    let ledger: Value = serde_json::from_slice(&inputs.read("whole/studies/original/ledger.json")).unwrap();
    let has = |claim: &str| {
        ledger["entries"]
            .as_array()
            .unwrap()
            .iter()
            .any(|entry| entry["claim"] == claim && entry["number"].is_number())
    };
    for claim in [
        "takeaway-4.3",
        "appendix-K",
        "finding-3-gate",
        "appendix-I",
        "table-3",
        "table-4",
        "table-9",
        "appendix-M",
    ] {
        assert!(has(claim), "{claim}");
    }
    // Other settings do not go into the same folder.
    refused(&inputs, &format!("{} --limit 2", chain("whole")), "already holds another study");
    // One step alone: only what it does not wait for, and only one that there is.
    refused(
        &inputs,
        &format!("{} --step compare-awq-4", chain("single")),
        "waits for compress-awq-4, interpret-awq-4",
    );
    refused(&inputs, &format!("{} --step collection", chain("single")), "waits for");
    refused(&inputs, &format!("{} --step other", chain("single")), "there is no step other");
    run(&inputs, &format!("{} --step compress-awq-4", chain("single")));
    run(&inputs, &format!("{} --step interpret-awq-4", chain("single")));
    assert!(inputs.path("single/studies/awq-4/study.json").exists() && inputs.path("single/models/awq-4").exists());
    // Jobs for what is left, each with what it waits for.
    let jobs = String::from_utf8(run(&inputs, &format!("{} --slurm --device cuda --gpus 1", chain("jobs"))).stdout).unwrap();
    assert_eq!(jobs.matches("=$(send ").count(), plan["steps"].as_array().unwrap().len());
    assert!(jobs.contains("#SBATCH --gpus-per-task=1") && jobs.contains("--device 'cuda' "), "{jobs}");
    assert!(!inputs.path("jobs").exists());
    let left = String::from_utf8(run(&inputs, &format!("{} --slurm", chain("whole"))).stdout).unwrap();
    assert!(left.contains("send collection") && !left.contains("=$(send "), "{left}");
}
