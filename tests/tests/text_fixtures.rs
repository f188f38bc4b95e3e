//! Token spans of released annotations against an independent program: `interpret/text/segments.json` of the fixtures.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, outside their functions

use std::collections::BTreeMap;
use std::path::Path;

use cruxscope_checkpoint::Checkpoint;
use cruxscope_needs::{data, fixtures, smollm2};
use cruxscope_trace::{Alignment, Annotation, AnnotationContent, ParsedAnnotation, Reading, align};
use serde_json::Value;

/// Records of a JSON-lines file by id, gzip or plain, as the readers of traces do not care for what else they hold.
fn records(path: &Path) -> BTreeMap<String, Value> {
    let bytes = std::fs::read(path).unwrap();
    let text = if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(bytes.as_slice()), &mut text).unwrap();
        text
    } else {
        String::from_utf8(bytes).unwrap()
    };
    text.lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|record| (record["id"].as_str().unwrap().to_owned(), record))
        .collect()
}

#[test]
fn token_spans_of_the_text_fixtures() {
    let (Some(fixtures), Some(data), Some(model)) = (fixtures(), data(), smollm2()) else {
        return;
    };
    let tokenizer = Checkpoint::open(&model).unwrap().tokenizer().unwrap();
    let mut prompts = BTreeMap::new();
    for name in ["aime_2024", "folio_validation", "temporal_sequences", "musique_100"] {
        prompts.extend(records(&data.join(format!("{name}.jsonl"))));
    }
    let outputs = records(&data.join("released_outputs.jsonl.gz"));
    let annotations = Annotation::read_all(&data.join("released_annotations.jsonl.gz")).unwrap();
    let cases: Value = serde_json::from_slice(&std::fs::read(fixtures.join("interpret/text/segments.json")).unwrap()).unwrap();

    let (mut compared, mut differing) = (0, 0);
    for case in cases.as_array().unwrap() {
        let id = case["id"].as_str().unwrap();
        let (prompt, output) = (prompts[id]["prompt"].as_str().unwrap(), outputs[id]["output"].as_str().unwrap());
        let encoding = tokenizer.encode(&format!("{prompt}{output}")).unwrap();
        assert_eq!(encoding.ids.len() as u64, case["T_smollm2"].as_u64().unwrap(), "{id}: number of tokens");
        let AnnotationContent::Text(text) = &annotations.iter().find(|annotation| annotation.id == id).unwrap().content else {
            panic!("{id} is text")
        };
        let parsed = ParsedAnnotation::read(text, Reading::Strict);
        let aligned = align(prompt, output, &parsed.sections, Alignment::Published, &encoding.offsets);
        for segment in case["segments"].as_array().unwrap().iter().filter(|segment| segment["kept"] == true) {
            let number = |name: &str| segment[name].as_u64().unwrap() as usize;
            let found = aligned
                .segments
                .iter()
                .find(|found| found.section == number("k"))
                .unwrap_or_else(|| panic!("{id}: section {} was dropped", number("k")));
            compared += 1;
            if (found.start, found.last) != (number("tok_start"), number("tok_last")) {
                differing += 1;
                println!(
                    "{id} section {}: tokens {} to {}, expected {} to {}",
                    number("k"),
                    found.start,
                    found.last,
                    number("tok_start"),
                    number("tok_last")
                );
            }
        }
    }
    println!("{compared} token spans compared, {differing} differ");
    assert!(compared > 0 && differing == 0);
}
