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
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
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

/// What the mean loss of a checkpoint should be: as its `expected.json` says, but for GPTQ's with scales in bfloat16. Theirs was
/// computed before the scales were rounded; what the file says is decoded here, in float64, and computed with as plain numbers.
fn expected_loss(folder: &Path, tokens: &Path) -> f64 {
    let said = json_of(&folder.join("expected.json"))["mean_loss"].as_f64().unwrap();
    let Some(plain) = plain_copy_of_rounded_scales(folder) else { return said };
    let found = mean_loss(plain.path(), tokens).unwrap();
    println!(
        "{}: its scales are bfloat16; decoded in float64 its loss is {found}, and {said} before they were rounded",
        folder.display()
    );
    found
}

/// A copy in plain float32, decoded by the definition of GPTQ's layout, of a checkpoint whose scales are bfloat16.
fn plain_copy_of_rounded_scales(folder: &Path) -> Option<tempfile::TempDir> {
    let mut config = json_of(&folder.join("config.json"));
    let quantization = config["quantization_config"].clone();
    let bytes = std::fs::read(folder.join("model.safetensors"))
        .ok()
        .filter(|_| quantization["quant_method"] == "gptq")?;
    let file = SafeTensors::deserialize(&bytes).unwrap();
    if !file
        .tensors()
        .iter()
        .any(|(name, view)| name.ends_with(".scales") && view.dtype() == Dtype::BF16)
    {
        return None;
    }
    let less_one = quantization["checkpoint_format"] != "gptq_v2" && quantization["format"] != "gptq_v2";
    let mut plain = std::collections::BTreeMap::new();
    for (name, view) in file.tensors() {
        if let Some(stem) = name.strip_suffix(".qweight") {
            let array = |part: &str| file.tensor(&format!("{stem}.{part}"));
            let words = |bytes: &[u8]| bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect::<Vec<_>>();
            let (scales, zeros) = (array("scales").unwrap(), array("qzeros").unwrap());
            let (groups, outputs) = (scales.shape()[0], scales.shape()[1]);
            let bits = zeros.shape()[1] * 32 / outputs;
            let inputs = view.shape()[0] * 32 / bits;
            let index: Vec<usize> = match array("g_idx") {
                Ok(view) => words(view.data()).into_iter().map(|group| group as usize).collect(),
                Err(_) => (0..inputs).map(|input| input / inputs.div_ceil(groups)).collect(),
            };
            let (codes, zeros) = (words(view.data()), words(zeros.data()));
            // Field `place` of the words that `word` gives, bit by bit.
            let field = |place: usize, word: &dyn Fn(usize) -> u32| {
                let bit = |bit: usize| u64::from(word(bit / 32) >> (bit % 32) & 1);
                (0..bits).map(|of| bit(place * bits + of) << of).sum::<u64>()
            };
            let mut values = Vec::new();
            for output in 0..outputs {
                for input in 0..inputs {
                    let group = index[input];
                    let code = field(input, &|word| codes[word * outputs + output]);
                    let zero = field(output, &|word| zeros[group * (zeros.len() / groups) + word]);
                    let zero = if less_one { (zero + 1) % (1 << bits) } else { zero };
                    let place = 2 * (group * outputs + output);
                    let scale = f64::from(f32::from_le_bytes([0, 0, scales.data()[place], scales.data()[place + 1]]));
                    values.extend((((code as f64 - zero as f64) * scale) as f32).to_le_bytes());
                }
            }
            plain.insert(format!("{stem}.weight"), (Dtype::F32, vec![outputs, inputs], values));
        } else if ![".qzeros", ".scales", ".g_idx"].iter().any(|part| name.ends_with(part)) {
            plain.insert(name, (view.dtype(), view.shape().to_vec(), view.data().to_vec()));
        }
    }
    let copy = tempfile::tempdir().unwrap();
    config.as_object_mut().unwrap().remove("quantization_config");
    std::fs::write(copy.path().join("config.json"), config.to_string()).unwrap();
    let views = plain
        .iter()
        .map(|(name, (kind, shape, bytes))| (name, TensorView::new(*kind, shape.clone(), bytes).unwrap()));
    safetensors::serialize_to_file(views, None, &copy.path().join("model.safetensors")).unwrap();
    Some(copy)
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
            let expected = expected_loss(&folder, &tokens);
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

/// Families whose files hold the tensors and keys of Llama's: their name alone tells them apart.
const LIKE_LLAMA: [&str; 2] = ["gemma", "helium"];

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
                let is_like = family == "llama" && LIKE_LLAMA.iter().any(|like| config["model_type"] == *like);
                if config["model_type"] == family || is_like {
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
