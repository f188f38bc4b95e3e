//! The released annotations, and what an independent program made of them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of these tests are tests too")]

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

use cruxscope_needs::Need;
use cruxscope_trace::{
    Alignment, Annotation, AnnotationContent, Block, CharacterAlignment, DropCause, ParsedAnnotation, Reading, align_characters, longest_block,
};
use serde::Deserialize;

/// A file of the fixtures, or nothing with a word on why.
fn fixture(path: &str) -> Option<PathBuf> {
    let path = cruxscope_needs::fixtures()?.join(path);
    if path.exists() {
        return Some(path);
    }
    cruxscope_needs::skip(
        Need::Fixtures,
        format_args!("{} is not there; CRUXSCOPE_FIXTURES names the folder of fixtures", path.display()),
    );
    None
}

fn text_of(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap();
    let mut text = String::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
    } else {
        text = String::from_utf8(bytes).unwrap();
    }
    text
}

/// The string field `field` of each line, by id.
fn column(path: &Path, field: &str) -> BTreeMap<String, String> {
    let string = |value: &serde_json::Value, key: &str| value[key].as_str().unwrap().to_owned();
    text_of(path)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .map(|line: serde_json::Value| (string(&line, "id"), string(&line, field)))
        .collect()
}

/// A released instance that was annotated.
struct Instance {
    id: String,
    prompt: String,
    output: String,
    annotated: String,
}

/// All of them, in the order of the annotations' file.
fn released() -> Option<Vec<Instance>> {
    let data = fixture("../data")?;
    let mut prompts = BTreeMap::new();
    for file in ["aime_2024.jsonl", "folio_validation.jsonl", "temporal_sequences.jsonl", "musique_100.jsonl"] {
        prompts.extend(column(&data.join(file), "prompt"));
    }
    let mut outputs = column(&data.join("released_outputs.jsonl.gz"), "output");
    let annotations = Annotation::read_all(&data.join("released_annotations.jsonl.gz")).unwrap();
    let instance = |Annotation { id, content }| {
        let AnnotationContent::Text(annotated) = content else {
            panic!("{id} is annotated as text")
        };
        Instance {
            prompt: prompts[&id].clone(),
            output: outputs.remove(&id).unwrap(),
            annotated,
            id,
        }
    };
    Some(annotations.into_iter().map(instance).collect())
}

#[derive(Deserialize)]
struct DifflibCase {
    a: String,
    b: String,
    autojunk: bool,
    start: usize,
    start_b: usize,
    size: usize,
}

#[test]
fn fixtures_difflib_cases() {
    let Some(path) = fixture("interpret/text/difflib_cases.json") else { return };
    let cases: Vec<DifflibCase> = serde_json::from_str(&text_of(&path)).unwrap();
    let mut wrong = vec![];
    for (number, case) in cases.iter().enumerate() {
        let (a, b): (Vec<char>, Vec<char>) = (case.a.chars().collect(), case.b.chars().collect());
        let found = longest_block(&a, &b, case.autojunk);
        let expected = Block {
            start: case.start,
            snippet_start: case.start_b,
            size: case.size,
        };
        if found != expected {
            wrong.push(format!("case {number} (autojunk {}): expected {expected:?}, found {found:?}", case.autojunk));
        }
    }
    println!("{} cases, {} wrong", cases.len(), wrong.len());
    assert!(wrong.is_empty(), "{} of {} wrong; first: {}", wrong.len(), cases.len(), wrong[0]);
}

#[derive(Deserialize)]
struct ExpectedInstance {
    id: String,
    n_parsed: usize,
    labels: Vec<String>,
    segments: Vec<ExpectedSegment>,
}

#[derive(Deserialize)]
struct ExpectedSegment {
    k: usize,
    label: String,
    snippet_len: usize,
    kept: bool,
    c0: Option<usize>,
    c1: Option<usize>,
    in_prompt: Option<bool>,
    coverage: Option<f64>,
    coverage_noautojunk: Option<f64>,
}

#[test]
fn fixtures_segments_as_published() {
    let (Some(path), Some(instances)) = (fixture("interpret/text/segments.json"), released()) else {
        return;
    };
    let instances: BTreeMap<_, _> = instances.into_iter().map(|instance| (instance.id.clone(), instance)).collect();
    let expected: Vec<ExpectedInstance> = serde_json::from_str(&text_of(&path)).unwrap();
    let (mut sections, mut kept, mut largest_difference) = (0, 0, 0.0f64);
    for ExpectedInstance {
        id,
        n_parsed,
        labels,
        segments,
    } in &expected
    {
        let instance = &instances[id];
        let parsed = ParsedAnnotation::read(&instance.annotated, Reading::Strict);
        assert_eq!(parsed.sections.len(), *n_parsed, "{id}: number of sections");
        assert_eq!(
            parsed.sections.iter().map(|section| section.label.name()).collect::<Vec<_>>(),
            *labels,
            "{id}: labels"
        );
        let CharacterAlignment { segments: found, dropped } = align_characters(&instance.prompt, &instance.output, &parsed.sections, Alignment::Published);
        let original: Vec<char> = instance.prompt.chars().chain(instance.output.chars()).collect();
        for segment in segments {
            let at = format!("{id}, section {}", segment.k);
            let section = &parsed.sections[segment.k];
            assert_eq!(section.label.name(), segment.label, "{at}: label");
            assert_eq!(section.text.chars().count(), segment.snippet_len, "{at}: length");
            sections += 1;
            let found = found.iter().find(|found| found.section == segment.k);
            assert_eq!(
                found.is_some(),
                segment.kept,
                "{at}: kept; {:?}",
                dropped.iter().find(|drop| drop.section == segment.k)
            );
            if let Some(found) = found {
                kept += 1;
                assert_eq!(
                    (Some(found.characters.0), Some(found.characters.1)),
                    (segment.c0, segment.c1),
                    "{at}: characters"
                );
                assert_eq!(Some(found.in_prompt), segment.in_prompt, "{at}: in the prompt");
            } else {
                let drop = dropped.iter().find(|drop| drop.section == segment.k).unwrap();
                let snippet: Vec<char> = section.text.chars().collect();
                let whole = longest_block(&original, &snippet, false).size as f64 / snippet.len() as f64;
                largest_difference = largest_difference.max((drop.coverage - segment.coverage.unwrap()).abs());
                largest_difference = largest_difference.max((whole - segment.coverage_noautojunk.unwrap()).abs());
            }
        }
    }
    println!(
        "{} instances, {sections} sections of scored behaviours, {kept} kept; largest difference of coverage {largest_difference:e}",
        expected.len()
    );
    assert!(largest_difference < 1e-12, "coverage differs by {largest_difference:e}");
}

/// What the method's description says of the 120 released annotations, and how long they take.
#[test]
fn fixtures_released_counts() {
    let Some(instances) = released() else { return };
    let mut numbers = BTreeMap::new();
    for reading in Reading::ALL {
        let parsed: Vec<_> = instances.iter().map(|instance| ParsedAnnotation::read(&instance.annotated, reading)).collect();
        let total = |count: fn(&ParsedAnnotation) -> usize| parsed.iter().map(count).sum::<usize>();
        println!(
            "{reading}: {} sections, {} tolerated, {} respelled labels, {} repaired, {} unclosed, {} unknown labels",
            total(|p| p.sections.len()),
            total(|p| p.tolerated),
            total(|p| p.respelled),
            total(|p| p.repaired),
            total(|p| p.unclosed),
            total(|p| p.unknown_labels.values().sum())
        );
        for alignment in Alignment::ALL {
            let begun = Instant::now();
            let aligned: Vec<_> = instances
                .iter()
                .zip(&parsed)
                .map(|(instance, parsed)| align_characters(&instance.prompt, &instance.output, &parsed.sections, alignment))
                .collect();
            let seconds = begun.elapsed().as_secs_f64();
            let scored = |all: bool| {
                let kept: Vec<_> = aligned
                    .iter()
                    .flat_map(|aligned| &aligned.segments)
                    .filter(|segment| all || segment.label.behaviour().is_some())
                    .collect();
                let dropped: Vec<_> = aligned
                    .iter()
                    .flat_map(|aligned| &aligned.dropped)
                    .filter(|drop| all || drop.label.behaviour().is_some())
                    .collect();
                let in_prompt = kept.iter().filter(|segment| segment.in_prompt).count();
                let empty = dropped.iter().filter(|drop| drop.reason == DropCause::Empty).count();
                (kept.len(), in_prompt, dropped.len(), empty)
            };
            let behind = |aligned: &CharacterAlignment| aligned.segments.windows(2).filter(|pair| pair[1].characters.0 < pair[0].characters.1).count();
            println!(
                "  {alignment}: {} sections begin before the one before them ends",
                aligned.iter().map(behind).sum::<usize>()
            );
            let autojunk_alone = instances
                .iter()
                .zip(&parsed)
                .zip(&aligned)
                .filter(|_| alignment == Alignment::Published)
                .map(|((instance, parsed), aligned)| {
                    let original: Vec<char> = instance.prompt.chars().chain(instance.output.chars()).collect();
                    aligned
                        .dropped
                        .iter()
                        .filter(|drop| drop.label.behaviour().is_some())
                        .filter(|drop| {
                            let snippet: Vec<char> = parsed.sections[drop.section].text.chars().collect();
                            longest_block(&original, &snippet, false).size as f64 / snippet.len() as f64 >= 0.9
                        })
                        .count()
                })
                .sum::<usize>();
            for (of, (kept, in_prompt, dropped, empty)) in [("scored behaviours", scored(false)), ("all labels", scored(true))] {
                println!("  {alignment}, {of}: {kept} kept ({in_prompt} in the prompt), {dropped} dropped ({empty} empty)");
            }
            println!("  {alignment}: {autojunk_alone} scored sections dropped for autojunk alone; {seconds:.2} s");
            numbers.insert((reading.name(), alignment.name()), (scored(false), autojunk_alone));
        }
    }
    let ((_, in_prompt, dropped, _), autojunk_alone) = numbers[&("strict", "published")];
    assert_eq!((dropped, autojunk_alone, in_prompt), (439, 87, 40));
    let respelled = instances
        .iter()
        .map(|instance| ParsedAnnotation::read(&instance.annotated, Reading::Strict).respelled)
        .sum::<usize>();
    // 748 of the form `["5. backtracking"]`, 12 capitalised, 2 in curly quotes, and one `["1.deduction"]`.
    assert_eq!(respelled, 763);
}
