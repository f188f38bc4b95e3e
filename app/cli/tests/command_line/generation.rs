//! Texts out of a model: the same by the same seed, as they come or as JSON; and what is refused.

use std::process::Output;

use serde_json::{Value, json};

use crate::inputs::{Inputs, cruxscope, stderr};

/// The tiny model with a tokenizer whose tokens are single bytes.
fn inputs() -> Inputs {
    let inputs = Inputs::new();
    let mut next = 256;
    let letters = (0u32..256).map(|byte| {
        let printable = matches!(byte, 33..=126 | 161..=172 | 174..=255);
        let letter = if printable { byte } else { next };
        next += u32::from(!printable);
        char::from_u32(letter).unwrap().to_string()
    });
    // The model has 512 tokens, so half of them need words.
    let mut vocabulary: serde_json::Map<String, Value> = letters.enumerate().map(|(id, letter)| (letter, id.into())).collect();
    vocabulary.extend((256..512).map(|id| (format!("w{id}"), id.into())));
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    let tokenizer = json!({
        "version": "1.0", "model": {"type": "BPE", "vocab": vocabulary, "merges": []}, "pre_tokenizer": byte_level, "decoder": byte_level
    });
    inputs.write("model/tokenizer.json", tokenizer.to_string());
    inputs
}

fn generate(inputs: &Inputs, arguments: &[&str]) -> Output {
    cruxscope()
        .arg("generate")
        .arg("--model")
        .arg(inputs.path("model"))
        .args(arguments)
        .output()
        .unwrap()
}

fn as_json(inputs: &Inputs, arguments: &[&str]) -> Value {
    let output = generate(inputs, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

const SHORT: [&str; 6] = ["--prompt", "Once", "--max-new-tokens", "12", "--temperature", "2"];

#[test]
fn the_same_seed_gives_the_same_text_in_any_company() {
    let inputs = inputs();
    let several = as_json(&inputs, &[&SHORT[..], &["--seed", "5", "--samples", "3", "--batch-size", "2"]].concat());
    let outputs = several["outputs"].as_array().unwrap();
    assert_eq!(outputs.len(), 3);
    for (sample, output) in outputs.iter().enumerate() {
        let seed = (5 + sample).to_string();
        let alone = as_json(&inputs, &[&SHORT[..], &["--seed", &seed, "--threads", "1"]].concat());
        assert_eq!(alone["outputs"][0]["tokens"], output["tokens"]);
        assert_eq!(alone["outputs"][0]["text"], output["text"]);
        assert_eq!(
            (&output["prompt"], &output["sample"], &output["seed"]),
            (&json!(0), &json!(sample), &json!(5 + sample))
        );
        assert!(output["finish"] == "length" && output["tokens"].as_array().unwrap().len() == 12 || output["finish"] == "stop");
    }
    assert_ne!(outputs[0]["tokens"], outputs[1]["tokens"]);
}

#[test]
fn text_on_stdout_is_the_text_alone() {
    let inputs = inputs();
    let greedy = ["--prompt", "Once", "--max-new-tokens", "9", "--temperature", "0", "--ignore-eos"];
    let shown = as_json(&inputs, &greedy);
    let output = generate(&inputs, &greedy);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = shown["outputs"][0]["text"].as_str().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{text}\n"));
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(talk.contains("new 9 tokens") && talk.contains("tokens/s"), "{talk}");

    // From a file, and with a stop that comes.
    let first = shown["outputs"][0]["tokens"][0].as_u64().unwrap().to_string();
    inputs.write("prompt.txt", "Once");
    let path = inputs.path("prompt.txt");
    let arguments = [
        "--prompt-file",
        path.to_str().unwrap(),
        "--max-new-tokens",
        "9",
        "--temperature",
        "0",
        "--stop",
        &first,
    ];
    let stopped = as_json(&inputs, &arguments);
    assert_eq!((&stopped["outputs"][0]["finish"], &stopped["outputs"][0]["text"]), (&json!("stop"), &json!("")));
}

#[test]
fn what_cannot_be_generated_is_refused() {
    let inputs = inputs();
    let refused = |arguments: &[&str], words: &[&str]| {
        let output = generate(&inputs, arguments);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(output.stdout.is_empty(), "stdout is for results");
        for word in words {
            assert!(stderr(&output).contains(word), "\"{word}\" is not in: {}", stderr(&output));
        }
    };
    refused(&[], &["--prompt"]);
    refused(&["--prompt", ""], &["no token"]);
    refused(&["--prompt", "a", "--temperature=-1"], &["temperature", "-1"]);
    refused(&["--prompt", "a", "--top-p", "1.5"], &["top-p"]);
    refused(&["--prompt", "a", "--samples", "0"], &["--samples"]);
    refused(&["--prompt", "a", "--stop", "two"], &["two", "3 tokens"]);
    refused(&["--prompt", "a", "--stop", "512"], &["512"]);
    refused(&["--prompt", "a", "--device", "abacus"], &["abacus"]);
    refused(&["--prompt", &"a".repeat(256)], &["256 tokens", "context"]);
    let missing = inputs.path("no-such-prompt");
    refused(&["--prompt-file", missing.to_str().unwrap()], &["no-such-prompt"]);
    std::fs::remove_file(inputs.path("model/tokenizer.json")).unwrap();
    refused(&["--prompt", "a"], &["tokenizer.json"]);
}

#[test]
fn the_bench_measures_every_number_of_sequences_and_says_what_is_missing() {
    let inputs = inputs();
    let bench = |extra: &[&str]| {
        let mut command = cruxscope();
        command.args(["bench", "generate", "--model"]).arg(inputs.path("model"));
        command.args(["--prompt", "Once", "--new-tokens", "4", "--sequences", "1,3", "--runs", "1", "--threads", "1"]);
        command.args(extra).output().unwrap()
    };
    let output = bench(&["--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    let of = |name: &str| rows.as_array().unwrap().iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    assert_eq!(
        (of("sequences"), of("new_tokens"), of("threads")),
        (vec![json!(1), json!(3)], vec![json!(4), json!(12)], vec![json!(1), json!(1)])
    );
    assert_eq!(of("tokens")[0], of("tokens")[1], "greedy tokens are the same in company");
    let output = bench(&["--compare-python", "no-such-python"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no-such-python"), "{}", stderr(&output));
}

/// A sample says what stood before its prompt where only the template put it there, and whoever reads the sample later gets the same
/// tokens.
#[test]
fn what_a_template_alone_begins_with_stands_in_the_sample() {
    let inputs = inputs();
    let mut tokenizer: Value = serde_json::from_slice(&inputs.read("model/tokenizer.json")).unwrap();
    tokenizer["model"]["vocab"].as_object_mut().unwrap().remove("w511");
    tokenizer["model"]["vocab"]["<s>"] = 511.into();
    tokenizer["added_tokens"] =
        json!([{"id": 511, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}]);
    inputs.write("model/tokenizer.json", tokenizer.to_string());
    inputs.write("data.jsonl", "{\"input\": \"When?\", \"target\": \"(A)\"}\n");
    let sample = |name: &str, template: &str, adds: bool| -> Value {
        let configuration = json!({"bos_token": "<s>", "add_bos_token": adds, "chat_template": template});
        inputs.write("model/tokenizer_config.json", configuration.to_string());
        let output = cruxscope()
            .args(["benchmark", "run", "--prompt", "chat-template", "--temperature", "0", "--max-new-tokens", "1"])
            .arg("--data")
            .arg(inputs.path("data.jsonl"))
            .arg("--checkpoint")
            .arg(inputs.path("model"))
            .arg("--template")
            .arg(inputs.path("model"))
            .arg("--out")
            .arg(inputs.path(name))
            .output()
            .unwrap();
        assert!(inputs.path(name).is_file(), "{}", stderr(&output));
        serde_json::from_slice(&inputs.read(name)).unwrap()
    };
    let template = "{{ bos_token }}{{ messages[0].content }}";
    let alone = sample("alone.jsonl", template, false);
    assert_eq!(alone["prompt_begin"], "<s>");
    assert!(!alone["prompt"].as_str().unwrap().starts_with("<s>"));
    let both = sample("both.jsonl", template, true);
    assert_eq!(both["prompt_begin"], Value::Null, "the tokenizer puts it there itself");
    let neither = sample("neither.jsonl", "{{ messages[0].content }}", false);
    assert_eq!(neither["prompt_begin"], Value::Null);
    let tokens = |sample: &Value| sample["prompt_tokens"].as_u64().unwrap();
    assert_eq!((tokens(&alone), tokens(&both)), (tokens(&neither) + 1, tokens(&neither) + 1));
    // The prompt's text is the same; what was read is not, so the samples have other keys.
    assert_eq!(alone["prompt"], neither["prompt"]);
    assert_ne!(alone["key"], neither["key"]);
}
