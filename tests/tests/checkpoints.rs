//! Every checkpoint of a folder of fixtures is read right or refused by name: its mean loss is what its `expected.json` says, or opening
//! it is the person's mistake to mend, and says what is not known. No fixture is known by name here: another set in the same layout is
//! walked likewise. A few are in this repository, so that something is compared where the fixtures are not.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, outside their functions

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cruxscope_checkpoint::Checkpoint;
use cruxscope_model::decoder::{Decoder, Residence};
use cruxscope_model::kernels::cpu::CpuKernels;
use cruxscope_run::perplexity::perplexity;
use cruxscope_run::windows::WindowSource;
use cruxscope_run::{RunError, Silent};
use serde_json::{Value, json};

/// How far a mean loss in float32 may be from the one that transformers computed.
const TOLERANCE: f64 = 2e-5;
/// Folders of checkpoints, with the ids that they are measured on beside them.
const GROUPS: [&str; 2] = ["formats", "architectures"];

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The checkpoints of a group, sorted.
fn checkpoints(group: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(group) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("expected.json").is_file())
        .collect();
    found.sort();
    found
}

/// The roots that are walked: this repository's own, and the fixtures where they are.
fn groups() -> Vec<PathBuf> {
    let own = cruxscope_needs::root().join("tests/fixtures");
    let roots = [Some(own), cruxscope_needs::fixtures()];
    let all = roots.into_iter().flatten().flat_map(|root| GROUPS.map(|group| root.join(group)));
    all.filter(|group| group.is_dir()).collect()
}

fn mean_loss(folder: &Path, tokens: &Path) -> Result<f64, RunError> {
    let checkpoint = Arc::new(Checkpoint::open(folder)?);
    let source = WindowSource::Tokens {
        path: tokens.to_owned(),
        array: None,
    };
    let windows: Vec<Vec<u32>> = source.read(&checkpoint, None)?.into_values().flatten().collect();
    let decoder = Decoder::new(checkpoint, CpuKernels, Residence::Resident)?;
    Ok(perplexity(&decoder, &windows, &mut Silent)?.mean_loss)
}

/// The names in a refusal that a person can find in the checkpoint: keys and texts of its configuration, names of its tensors.
fn names_something(refusal: &str, folder: &Path) -> bool {
    fn words(json: &Value, found: &mut Vec<String>) {
        match json {
            Value::String(text) => found.push(text.clone()),
            Value::Array(items) => items.iter().for_each(|item| words(item, found)),
            Value::Object(fields) => fields.iter().for_each(|(key, value)| {
                found.push(key.clone());
                words(value, found);
            }),
            _ => {}
        }
    }
    let mut found = Vec::new();
    words(&json_of(&folder.join("config.json")), &mut found);
    let of_tensors = refusal.contains("model.layers.") || refusal.contains("lm_head");
    // The path of the folder says nothing of what is in it.
    let said = refusal.replace(&folder.display().to_string(), "");
    of_tensors || found.iter().any(|word| word.len() > 2 && said.contains(word.as_str()))
}

#[test]
fn every_checkpoint_is_read_right_or_refused_by_name() {
    let (mut right, mut refused, mut wrong) = (0, Vec::new(), Vec::new());
    for group in groups() {
        let tokens = group.join("tokens.safetensors");
        for folder in checkpoints(&group) {
            let name = format!(
                "{}/{}",
                group.file_name().unwrap().to_string_lossy(),
                folder.file_name().unwrap().to_string_lossy()
            );
            let expected = json_of(&folder.join("expected.json"))["mean_loss"].as_f64().unwrap();
            match mean_loss(&folder, &tokens) {
                Ok(found) if (found - expected).abs() <= TOLERANCE => right += 1,
                Ok(found) => wrong.push(format!("{name}: {found} instead of {expected}")),
                Err(error) if !error.is_user_error() => wrong.push(format!("{name}: a failure, not a refusal: {error}")),
                Err(error) if !names_something(&error.to_string(), &folder) => wrong.push(format!("{name}: refused without a name: {error}")),
                Err(error) => refused.push(format!("{name}: {error}")),
            }
        }
    }
    println!("{right} checkpoints are read right, {} are refused:", refused.len());
    refused.iter().for_each(|line| println!("  {line}"));
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(right > 0);
}

/// Whoever writes another family into `config.json` gets the right numbers or a refusal: keys and tensors give the model away.
#[test]
fn a_family_written_by_hand_gives_no_wrong_number() {
    let (mut right, mut refused, mut wrong) = (0, 0, Vec::new());
    for group in groups() {
        let tokens = group.join("tokens.safetensors");
        for folder in checkpoints(&group) {
            let expected = json_of(&folder.join("expected.json"))["mean_loss"].as_f64().unwrap();
            let config = json_of(&folder.join("config.json"));
            for (family, class) in [("llama", "LlamaForCausalLM"), ("qwen2", "Qwen2ForCausalLM"), ("qwen3", "Qwen3ForCausalLM")] {
                if config["model_type"] == family {
                    continue;
                }
                // The class as it was, written by hand too, and left out.
                for architectures in [config["architectures"].clone(), json!([class]), Value::Null] {
                    let copy = tempfile::tempdir().unwrap();
                    for entry in std::fs::read_dir(&folder).unwrap() {
                        let path = entry.unwrap().path();
                        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
                    }
                    let mut renamed = config.clone();
                    renamed["model_type"] = json!(family);
                    renamed["architectures"] = architectures;
                    let file = copy.path().join("config.json");
                    std::fs::remove_file(&file).unwrap();
                    std::fs::write(&file, renamed.to_string()).unwrap();
                    match mean_loss(copy.path(), &tokens) {
                        Ok(found) if (found - expected).abs() <= TOLERANCE => right += 1,
                        Ok(found) => wrong.push(format!("{} as {family}: {found} instead of {expected}", folder.display())),
                        Err(error) if error.is_user_error() => refused += 1,
                        Err(error) => wrong.push(format!("{} as {family}: a failure, not a refusal: {error}", folder.display())),
                    }
                }
            }
        }
    }
    println!("{refused} renamed checkpoints are refused, {right} are the same model under the other name");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
