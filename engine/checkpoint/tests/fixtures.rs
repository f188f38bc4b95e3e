//! The real SmolLM2-135M, as GGUF, against tokens and weights that other programs found. Runs where the environment has
//! `CRUXSCOPE_SMOLLM2` (the `.gguf`) and the shared data (`CRUXSCOPE_FIXTURES`, `CRUXSCOPE_DATA`).

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may stop the test")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use cruxscope_checkpoint::{Architecture, Checkpoint};
use serde_json::Value;

fn model() -> Option<Checkpoint> {
    Some(Checkpoint::open(&cruxscope_needs::smollm2()?).unwrap())
}

/// The text `field` by `id`, out of JSON lines.
fn lines(path: &Path, field: &str) -> HashMap<String, String> {
    let file = std::fs::File::open(path).unwrap();
    let reader: Box<dyn Read> = if path.extension().is_some_and(|e| e == "gz") {
        Box::new(flate2::read::GzDecoder::new(file))
    } else {
        Box::new(file)
    };
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_string();
    BufReader::new(reader)
        .lines()
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap())
        .map(|value| (text(&value, "id"), text(&value, field)))
        .collect()
}

#[test]
fn tokens_of_real_traces() {
    let (Some(checkpoint), Some(data), Some(fixtures)) = (model(), cruxscope_needs::data(), cruxscope_needs::fixtures()) else {
        return;
    };
    let mut texts = HashMap::new();
    for name in ["aime_2024", "folio_validation", "temporal_sequences", "musique_100"] {
        texts.extend(lines(&data.join(format!("{name}.jsonl")), "prompt"));
    }
    let outputs = lines(&data.join("released_outputs.jsonl.gz"), "output");
    let tokenizer = checkpoint.tokenizer().unwrap();
    assert_eq!((tokenizer.vocabulary(), tokenizer.beginning_of_sequence()), (49152, None));
    let expected: Value = serde_json::from_slice(&std::fs::read(fixtures.join("interpret/real_smollm2/expected.json")).unwrap()).unwrap();
    let mut count = 0;
    for instance in expected["instances"].as_array().unwrap() {
        let id = instance["id"].as_str().unwrap();
        let text = format!("{}{}", texts[id], outputs[id]);
        let encoding = tokenizer.encode(&text).unwrap();
        let ids: Vec<u32> = instance["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
        assert_eq!(encoding.ids, ids, "{id}");
        assert_eq!(tokenizer.decode(&encoding.ids).unwrap(), text, "{id}");
        assert!(encoding.offsets.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1));
        assert_eq!(encoding.offsets.last().unwrap().1, text.chars().count());
        count += ids.len();
    }
    println!("{count} tokens are equal");
    assert_eq!(count, 3587);
}

#[test]
fn weights_of_the_real_model() {
    let Some(checkpoint) = model() else { return };
    let config = checkpoint.config();
    assert_eq!(
        (config.architecture, config.layers, config.hidden, config.intermediate),
        (Architecture::LLAMA, 30, 576, 1536)
    );
    assert_eq!((config.heads, config.key_value_heads, config.head_dim, config.vocabulary), (9, 3, 64, 49152));
    assert_eq!(
        (config.norm_epsilon, config.rope.theta, config.tied_head, config.context),
        (1e-5, 100_000.0, true, 8192)
    );
    assert_eq!(config.parameters(), 134_515_008);
    // Sums weighted by place, so that a row in the wrong order shows: transformers' reading of the same file in float64.
    let digest = |values: &[f32]| {
        values
            .iter()
            .enumerate()
            .map(|(i, v)| f64::from(*v) * (1.0 + (i % 9973) as f64 / 9973.0))
            .sum::<f64>()
    };
    let (first, last) = (checkpoint.layer(0).unwrap(), checkpoint.layer(29).unwrap());
    let found = [
        digest(&first.projections[0].weight.values),
        digest(&first.projections[1].weight.values),
        digest(&last.projections[0].weight.values),
        digest(&last.projections[2].weight.values),
        digest(&last.projections[6].weight.values),
        digest(&first.attention_norm),
        digest(&checkpoint.final_norm().unwrap()),
        digest(&checkpoint.embedding_rows(&[0, 5000, 49151]).unwrap().values),
        digest(&checkpoint.head_rows(1000..1100).unwrap().values),
    ];
    for (index, (found, expected)) in found.iter().zip(EXPECTED).enumerate() {
        assert!((found - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{index}: {found} {expected}");
    }
}

const EXPECTED: [f64; 9] = [
    56.787716221,
    3.698201284,
    280.602770665,
    -47.639148742,
    -6.459642686,
    0.632081295,
    1068.286721022,
    -2.915209188,
    -91.256709772,
];
