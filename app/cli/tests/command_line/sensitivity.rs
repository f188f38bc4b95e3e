//! From a sketch to a recipe to its proof; and what is refused on the way.

use std::collections::BTreeMap;
use std::process::{Command, Output};

use serde_json::Value;

use crate::inputs::{Inputs, cruxscope, stderr};

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

fn refused(inputs: &Inputs, words: &str, said: &str) {
    let output = command(inputs, words).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{words}: {}", stderr(&output));
    assert!(stderr(&output).contains(said), "{words}: \"{said}\" is not in: {}", stderr(&output));
    assert!(output.stdout.is_empty(), "{words}");
}

/// The files of weights of a folder, by their names.
fn weights(inputs: &Inputs, folder: &str) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(inputs.path(folder)).unwrap().map(|entry| entry.unwrap());
    let files: BTreeMap<String, Vec<u8>> = entries
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .filter(|(name, _)| name.ends_with(".safetensors"))
        .map(|(name, path)| (name, std::fs::read(path).unwrap()))
        .collect();
    assert!(!files.is_empty());
    files
}

const SKETCH: &str = "sensitivity --model model --traces traces.jsonl --annotations annotations.jsonl --out study --draws 6 --gradient-score";

#[test]
fn arrays_of_others_are_not_written_over() {
    let inputs = Inputs::new();
    std::fs::create_dir(inputs.path("study")).unwrap();
    std::fs::write(inputs.path("study/importance.safetensors"), "years of work").unwrap();
    refused(&inputs, &format!("{SKETCH} --formats rtn-3-g16"), "it is not written over");
    assert_eq!(std::fs::read(inputs.path("study/importance.safetensors")).unwrap(), b"years of work");
    assert!(!inputs.path("study/.sensitivity").exists() && !inputs.path("study/study.json").exists());
}

#[test]
fn a_sketch_becomes_a_recipe_that_compresses_and_is_put_to_the_proof() {
    let inputs = Inputs::new();
    let sketch = run(&inputs, &format!("{SKETCH} --formats rtn-3-g16,rtn-4-g16,rtn-6-g16 --json"));
    let sketch: Value = serde_json::from_slice(&sketch.stdout).unwrap();
    let all = &sketch["formats"][0]["scopes"]["all"];
    let shares: f64 = all["shares"].as_array().unwrap().iter().map(|share| share.as_f64().unwrap()).sum();
    assert!(
        (shares / all["predicted_kl"].as_f64().unwrap() - 1.0).abs() < 1e-9,
        "shares add up to the whole"
    );
    assert!(sketch["formats"][0]["scopes"].as_object().unwrap().len() > 1, "behaviours are told apart");

    let exported = "llm-compressor,gptqmodel,auto-round,modelopt,cruxscope";
    // GPTQModel packs no 6 bits, and nothing is written where a tool cannot follow.
    refused(
        &inputs,
        &format!("allocate --study study --target-bits 6.4 --out recipe.json --export {exported}"),
        "packs 2, 3, 4 or 8",
    );
    assert!(!inputs.path("recipe.json").exists());
    let exported = "llm-compressor,auto-round,modelopt,cruxscope";
    let chosen = run(
        &inputs,
        &format!("allocate --study study --target-bits 6.4 --out recipe.json --export {exported} --json"),
    );
    let chosen: Value = serde_json::from_slice(&chosen.stdout).unwrap();
    assert!(chosen["recipe"]["bits_per_weight"].as_f64().unwrap() <= 6.4);
    for ending in ["json", "llm-compressor.yaml", "auto-round.json", "modelopt.yaml", "cruxscope.json"] {
        assert!(inputs.path(&format!("recipe.{ending}")).is_file(), "{ending}");
    }

    run(&inputs, "compress --model model --recipe recipe.json --out small --dtype f32");
    run(&inputs, "compress --model model --recipe recipe.cruxscope.json --out same --dtype f32");
    assert!(weights(&inputs, "small") == weights(&inputs, "same"), "both files say the same");
    let words =
        "trial --model model --study study --recipe recipe.json --checkpoint small --held-out traces.jsonl --sequence-length 24 --windows 4 --controls 2";
    let table = String::from_utf8(run(&inputs, words).stdout).unwrap();
    for said in ["gradient score", "weight error", "uniform rtn-4-g16", "random permutation 2", "small", "best: "] {
        assert!(table.contains(said), "\"{said}\" is not in: {table}");
    }
    let trial: Value = serde_json::from_slice(&run(&inputs, &format!("{words} --json")).stdout).unwrap();
    let rows = trial["groups"][0]["rows"].as_array().unwrap();
    let kl = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap()["kl"]["value"].as_f64().unwrap();
    assert!((kl("recipe") / kl("small") - 1.0).abs() < 1e-3, "the file is what was measured");
}

#[test]
fn a_budget_is_drawn_as_allocate_chooses() {
    let inputs = Inputs::new();
    run(
        &inputs,
        "interpret --model model --traces traces.jsonl --annotations annotations.jsonl --out study",
    );
    run(&inputs, &format!("{SKETCH} --formats rtn-3-g16,rtn-4-g16,rtn-6-g16"));
    let chosen = run(&inputs, "allocate --study study --target-bits 6.4 --out recipe.json --json");
    let chosen: Value = serde_json::from_slice(&chosen.stdout).unwrap();
    run(&inputs, "export study --view budget --target-bits 6.4 --format csv,svg --out figures");
    let mut files: Vec<String> = std::fs::read_dir(inputs.path("figures"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files.len(), 4, "{files:?}");
    let curve = files.iter().find(|name| name.starts_with("budget-curve") && name.ends_with(".csv")).unwrap();
    let text = std::fs::read_to_string(inputs.path("figures").join(curve)).unwrap();
    let own = text.lines().find(|line| line.starts_with("the recipe of the map")).unwrap();
    let kl: f64 = own.split(',').nth(3).unwrap().parse().unwrap();
    assert_eq!(Some(kl), chosen["recipe"]["predicted"]["kl"].as_f64(), "{own}");
    let map = files.iter().find(|name| name.starts_with("budget-map") && name.ends_with(".csv")).unwrap();
    let text = std::fs::read_to_string(inputs.path("figures").join(map)).unwrap();
    for entry in chosen["recipe"]["components"].as_array().unwrap() {
        let beginning = format!("{},{},", entry["component"].as_str().unwrap(), entry["format"].as_str().unwrap());
        assert!(text.lines().any(|line| line.starts_with(&beginning)), "{beginning}");
    }
    refused(
        &inputs,
        "export study --view budget --target-bits 60 --out figures",
        "bits a weight, scales included",
    );
}

#[test]
fn what_a_sketch_cannot_be_made_of_is_said() {
    let inputs = Inputs::new();
    for (more, said) in [
        ("--formats rtn-3-g16,foo-4", "\"foo-4\" is no format"),
        ("--formats rtn-9", "2 to 8"),
        ("--formats rtn-4,rtn-4-g128", "twice"),
        ("--candidate nowhere", "does not exist"),
        ("--formats rtn-3-g16 --windows 1", "two or more"),
        ("--formats rtn-3-g16 --draws 0", "--draws"),
        ("--formats rtn-3-g16 --device warp", "warp"),
    ] {
        let words = SKETCH.replace(" --draws 6", if more.contains("--draws") { "" } else { " --draws 6" });
        refused(&inputs, &format!("{words} {more}"), said);
        assert!(!inputs.path("study").exists(), "{more}: something was written");
    }
    // Annotations that name no behaviour of these traces.
    inputs.write("annotations.jsonl", "");
    refused(&inputs, &format!("{SKETCH} --formats rtn-3-g16"), "annotat");
}

#[test]
fn what_a_recipe_cannot_be_chosen_from_is_said() {
    let inputs = Inputs::new();
    refused(&inputs, "allocate --study study --target-bits 4 --out r.json", "study");
    run(&inputs, &format!("{SKETCH} --formats rtn-3-g16,rtn-4-g16"));
    for (target, said) in [
        ("--target-bits 2", "less than the smallest"),
        ("--target-bits 12", "more than the largest"),
        ("--target-size 1kB", "less than the smallest"),
        ("--max-kl 1e-12", "add formats with more bits"),
        ("--target-bits 0", "positive"),
        ("--target-bits 5.5 --min-bits 9", "no format of the menu"),
        ("--target-bits 5.5 --export llama.cpp", "--candidate"),
        ("--target-bits 5.5 --scope nonsense", "is no scope"),
        ("--target-bits nan", "number"),
    ] {
        refused(&inputs, &format!("allocate --study study --out r.json {target}"), said);
        assert!(!inputs.path("r.json").exists(), "{target}");
    }
    run(&inputs, "allocate --study study --target-bits 5.5 --out r.json");
    refused(
        &inputs,
        "trial --model model --study nowhere --recipe r.json --held-out traces.jsonl",
        "nowhere",
    );
    refused(
        &inputs,
        "trial --model model --study study --recipe traces.jsonl --held-out traces.jsonl --sequence-length 24",
        "no recipe",
    );
    refused(
        &inputs,
        "trial --model model --study study --recipe r.json --held-out missing.txt",
        "missing.txt",
    );
}

/// Token ids of the tiny model in a file: `calib` and `eval_reasoning`, four windows of 24 each.
fn write_tokens(inputs: &Inputs) {
    let array = |factor: usize| (0..4 * 24).flat_map(move |place| ((place * factor + place / 24) as i32 % 500).to_le_bytes());
    let header = r#"{"calib":{"dtype":"I32","shape":[4,24],"data_offsets":[0,384]},"eval_reasoning":{"dtype":"I32","shape":[4,24],"data_offsets":[384,768]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes().chain(array(37)).chain(array(53)));
    inputs.write("tokens.safetensors", bytes);
}

#[test]
fn the_bench_measures_what_is_new_and_keeps_the_rest() {
    let inputs = Inputs::new();
    write_tokens(&inputs);
    let words = "bench sensitivity --model model --tokens tokens.safetensors --formats rtn-3-g16,rtn-4-g16,rtn-6-g16,gptq-3-g16,gptq-4-g16 --draws 3 \
                 --precise-windows 3 --precise 6.2 --sizes 6.2,7 --protected 10 --each-method --alone-windows 1 --out bench";
    let table = String::from_utf8(run(&inputs, &format!("{words} --seeds 1")).stdout).unwrap();
    assert_eq!(table.as_bytes(), inputs.read("bench/bench.txt"));
    for said in [
        "uniform gptq-4-g16",
        "first order of the loss",
        "allocate's estimate",
        "random",
        "absent",
        "3 windows, 69 predictions",
    ] {
        assert!(table.contains(said), "\"{said}\" is not in: {table}");
    }
    let sketch = inputs.read("bench/seed-0/sensitivity.safetensors");
    let found: Value = serde_json::from_slice(&run(&inputs, &format!("{words} --seeds 2 --json")).stdout).unwrap();
    assert!(
        inputs.read("bench/seed-0/sensitivity.safetensors") == sketch,
        "a finished sketch was made again"
    );
    assert_eq!(found["uniform"].as_array().unwrap().len(), 5);
    assert_eq!(found["uniform"][0]["predicted_by_seed"]["n"], 2);
    let groups: Vec<&str> = found["contests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|contest| contest["group"].as_str().unwrap())
        .collect();
    assert_eq!(
        groups,
        [
            "6.2 bits a weight",
            "6.2 bits a weight, gptq alone",
            "6.2 bits a weight, rtn alone",
            "7 bits a weight",
            "7 bits a weight, gptq alone",
            "7 bits a weight, rtn alone",
            "10 % protected"
        ]
    );
    for contest in found["contests"].as_array().unwrap() {
        let rules = contest["rules"].as_array().unwrap();
        let own = rules.iter().find(|rule| rule["rule"] == "allocate's estimate").unwrap();
        assert!(own["kl"]["value"].as_f64().unwrap() > 0.0 && own["kl_by_seed"]["n"] == 2, "{own}");
        let gradient = rules.iter().find(|rule| rule["rule"] == "gradient score").unwrap();
        assert_eq!(gradient["over_gradient_score"]["value"], 1.0);
        assert!(rules.iter().any(|rule| rule["rule"] == contest["best_uniform"]), "{contest}");
    }
    let json = inputs.read("bench/bench.json");
    run(&inputs, &format!("{words} --seeds 2"));
    assert!(inputs.read("bench/bench.json") == json, "nothing was new, and the numbers differ");

    // Fewer of everything, and nothing but uniform formats.
    run(
        &inputs,
        "bench sensitivity --model model --tokens tokens.safetensors --formats rtn-3-g16 --draws 1 --seeds 1 --sizes --protected --alone-windows 0 --precise-windows 2 --out least",
    );
    for (more, said) in [
        ("--formats rtn-3-g16 --rules nonsense", "is no rule"),
        ("--formats foo-3", "is no format"),
        ("--formats rtn-3-g16 --calibration-array nowhere", "no array"),
        ("--formats rtn-3-g16 --importance nowhere --seeds 1 --draws 1", "nowhere"),
    ] {
        refused(
            &inputs,
            &format!("bench sensitivity --model model --tokens tokens.safetensors --out bad {more}"),
            said,
        );
    }
}
