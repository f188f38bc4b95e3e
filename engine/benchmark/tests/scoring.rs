//! Scoring of the published outputs: every figure of one pass of 4-bit AWQ R1-Distill-Llama-8B, to the item.
//!
//! Needs the folder of published data: `CRUXSCOPE_DATA`, or `../shared/data` beside the checkout.

#![expect(clippy::unwrap_used, reason = "the helpers of these tests are tests too")]

use std::path::Path;

use cruxscope_benchmark::analyses::{Collapse, Ending, endings};
use cruxscope_benchmark::annotation::{AnnotatedOutput, Repairs, Subject, agreement, summarise};
use cruxscope_benchmark::datasets::{Benchmark, Dataset};
use cruxscope_benchmark::prompts::{Prompt, PromptStyle};
use cruxscope_benchmark::samples::Outputs;
use cruxscope_benchmark::scoring::{Rule, ScoreSettings, score};
use cruxscope_needs::data;
use cruxscope_study::{Behaviour, Bootstrap, Label};
use cruxscope_trace::{Alignment, Annotation, AnnotationContent, Reading};
use serde_json::Value;

fn dataset(data: &Path, benchmark: Benchmark) -> Dataset {
    let file = match benchmark {
        Benchmark::Aime => "aime_2024.jsonl",
        Benchmark::Folio => "folio_validation.jsonl",
        Benchmark::Temporal => "temporal_sequences.jsonl",
        Benchmark::Musique => "musique_100.jsonl",
    };
    let dataset = Dataset::read(&data.join(file)).unwrap();
    assert_eq!(dataset.benchmark, benchmark);
    dataset
}

fn outputs(data: &Path) -> Outputs {
    Outputs::read(&data.join("released_outputs.jsonl.gz")).unwrap()
}

/// Right answers and unparsed outputs by rule.
const ACCURACIES: [(Rule, usize, usize, usize); 13] = [
    (Rule::AimeLastBoxed, 30, 16, 0),
    (Rule::AimeLastBoxedOfTail, 30, 16, 0),
    (Rule::AimeFirstBoxed, 30, 16, 0),
    (Rule::FolioFirstOfTail, 203, 138, 0),
    (Rule::FolioLastOfTail, 203, 141, 0),
    (Rule::FolioLast, 203, 142, 0),
    (Rule::FolioBoxedBoldLast, 203, 140, 0),
    (Rule::TemporalCascade, 250, 208, 3),
    (Rule::TemporalLastLetter, 250, 207, 3),
    (Rule::TemporalLastBracketed, 250, 196, 18),
    (Rule::TemporalAnswerIs, 250, 136, 89),
    (Rule::TemporalClosedThoughts, 250, 147, 87),
    (Rule::TemporalLastAnywhere, 250, 200, 12),
];

#[test]
fn scoring_accuracies_of_every_rule() {
    let Some(data) = data() else { return };
    let outputs = outputs(&data);
    let mut wrong = Vec::new();
    for (rule, n, correct, unparsed) in ACCURACIES {
        let found = score(&dataset(&data, rule.benchmark()), &outputs, rule, &ScoreSettings::default());
        let (low, high) = found.accuracy.unwrap().interval.unwrap();
        println!(
            "{rule:<28} {}/{} right ({:.1} %, {:.1} to {:.1}), {} unparsed",
            found.correct,
            found.outputs,
            100.0 * found.accuracy.unwrap().value,
            100.0 * low,
            100.0 * high,
            found.unparsed
        );
        assert_eq!((found.outputs, found.passes, found.missing), (n, 1, 0));
        // Only the table of Temporal states what was unparsed.
        let stated = rule.benchmark() != Benchmark::Temporal || found.unparsed == unparsed;
        if found.correct != correct || !stated {
            wrong.push(format!("{rule}: {} right, {} unparsed", found.correct, found.unparsed));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// The strict rules beside the published ones of the same name: they read less, and what they read alone is not often something else.
#[test]
fn scoring_strict_rules_beside_the_published_ones() {
    let Some(data) = data() else { return };
    let outputs = outputs(&data);
    for (published, strict) in [
        (Rule::AimeLastBoxed, Rule::AimeStrict),
        (Rule::FolioLastOfTail, Rule::FolioStrict),
        (Rule::TemporalCascade, Rule::TemporalStrict),
        (Rule::MusiqueLastLine, Rule::MusiqueStrict),
    ] {
        let dataset = dataset(&data, strict.benchmark());
        let [old, new] = [published, strict].map(|rule| score(&dataset, &outputs, rule, &ScoreSettings::default()));
        let (mut gained, mut lost, mut unread) = (0, 0, 0);
        for (old, new) in old.verdicts.iter().zip(&new.verdicts) {
            let said = |verdict: &cruxscope_benchmark::scoring::Verdict| verdict.extracted.as_ref().map(|extracted| extracted.text.clone());
            unread += usize::from(new.verdict.extracted.is_none());
            gained += usize::from(new.verdict.correct && !old.verdict.correct);
            lost += usize::from(old.verdict.correct && !new.verdict.correct);
            if old.verdict.correct != new.verdict.correct {
                let output = outputs.outputs.iter().find(|output| output.id == new.id).unwrap();
                let tail: Vec<char> = output.output.chars().rev().take(200).collect();
                let tail: String = tail.into_iter().rev().collect();
                println!(
                    "{strict} {}: {:?} was {:?}, right {}; … {tail:?}",
                    new.id,
                    said(&new.verdict),
                    said(&old.verdict),
                    new.verdict.correct
                );
            }
        }
        println!(
            "{strict:<22} {} right of {} ({} by {published}): {gained} gained, {lost} lost, {unread} unparsed, {} unclosed",
            new.correct, new.outputs, old.correct, new.unclosed
        );
        assert!(unread * 4 < new.outputs && lost * 10 < new.outputs, "{strict} reads too little");
    }
}

#[test]
fn scoring_musique_exact_match_and_f1() {
    let Some(data) = data() else { return };
    let outputs = outputs(&data);
    let dataset = dataset(&data, Benchmark::Musique);
    for (rule, exact, with_aliases, alone) in [
        (Rule::MusiqueLastLine, 0, 4.45, Some(4.42)),
        (Rule::MusiqueLastBold, 2, 5.06, None),
        (Rule::MusiqueTail, 0, 3.25, Some(3.08)),
        (Rule::MusiqueOutput, 0, 2.42, Some(2.27)),
    ] {
        for (aliases, f1) in [(true, Some(with_aliases)), (false, alone)] {
            let settings = ScoreSettings {
                aliases,
                ..ScoreSettings::default()
            };
            let found = score(&dataset, &outputs, rule, &settings);
            let value = 100.0 * found.f1.unwrap().value;
            println!(
                "{rule:<22} aliases {aliases:<5} EM {} F1 {value:.2}, {} unparsed",
                found.correct, found.unparsed
            );
            assert_eq!((found.outputs, found.missing), (100, 0));
            if let Some(f1) = f1 {
                assert_eq!(format!("{value:.2}"), format!("{f1:.2}"), "{rule}, aliases {aliases}");
                assert_eq!(found.correct, exact, "{rule}");
            }
        }
    }
}

#[test]
fn scoring_places_point_at_what_was_read() {
    let Some(data) = data() else { return };
    let outputs = outputs(&data);
    let mut checked = 0;
    for rule in Rule::ALL {
        let found = score(&dataset(&data, rule.benchmark()), &outputs, rule, &ScoreSettings::default());
        for (judged, output) in found
            .verdicts
            .iter()
            .zip(outputs.outputs.iter().filter(|output| Benchmark::of_id(&output.id) == Some(rule.benchmark())))
        {
            assert_eq!(judged.id, output.id);
            if let Some(extracted) = &judged.verdict.extracted {
                let there: String = output.output.chars().skip(extracted.start).take(extracted.end - extracted.start).collect();
                assert_eq!(there, extracted.text, "{rule} {}", judged.id);
                checked += 1;
            }
        }
    }
    println!("{checked} places checked");
    assert!(checked > 2000);
}

#[test]
fn scoring_prompts_are_those_of_the_published_outputs() {
    let Some(data) = data() else { return };
    let mut checked = 0;
    for (benchmark, file) in Benchmark::ALL
        .into_iter()
        .zip(["aime_2024.jsonl", "folio_validation.jsonl", "temporal_sequences.jsonl", "musique_100.jsonl"])
    {
        let dataset = dataset(&data, benchmark);
        let text = std::fs::read_to_string(data.join(file)).unwrap();
        for (question, line) in dataset.questions.iter().zip(text.lines()) {
            let record: Value = serde_json::from_str(line).unwrap();
            assert_eq!(question.id, record["id"]);
            let Prompt::Text(prompt) = PromptStyle::Raw.prompt(question).unwrap() else {
                unreachable!("raw prompts are text")
            };
            assert_eq!(prompt, record["prompt"].as_str().unwrap(), "{}", question.id);
            checked += 1;
        }
    }
    assert_eq!(checked, 583);
}

#[test]
fn scoring_collapse_and_skipped_thinking() {
    let Some(data) = data() else { return };
    let outputs = outputs(&data);
    let (mut collapsed_bytes, mut bytes) = (0, 0);
    for (benchmark, collapsed, open) in [
        (Benchmark::Aime, 1, 3),
        (Benchmark::Folio, 0, 0),
        (Benchmark::Temporal, 18, 73),
        (Benchmark::Musique, 9, 55),
    ] {
        let of: Vec<_> = outputs
            .outputs
            .iter()
            .filter(|output| Benchmark::of_id(&output.id) == Some(benchmark))
            .collect();
        let flagged: Vec<_> = of.iter().filter(|output| Collapse::of(&output.output).is_collapsed()).collect();
        assert_eq!(flagged.len(), collapsed, "{benchmark}");
        assert!(flagged.iter().all(|output| !output.output.contains("</think>")));
        let counts = endings(of.iter().copied());
        println!(
            "{benchmark}: {}",
            counts
                .map(|(ending, count, bytes)| format!("{count} {} ({bytes} bytes)", ending.words()))
                .join(", ")
        );
        let without: usize = counts.iter().filter(|(ending, ..)| *ending != Ending::Closed).map(|(_, count, _)| count).sum();
        assert_eq!(without, open, "{benchmark}: every output without </think> is of another class");
        collapsed_bytes += flagged.iter().map(|output| output.output.len()).sum::<usize>();
        bytes += of.iter().map(|output| output.output.len()).sum::<usize>();
    }
    let share = 100.0 * collapsed_bytes as f64 / bytes as f64;
    println!("collapsed outputs are {share:.1} % of all bytes");
    assert_eq!(format!("{share:.1}"), "56.5");
}

/// The annotated instances and their annotations.
fn annotated(data: &Path) -> (Vec<Subject>, Vec<AnnotatedOutput>) {
    let annotations: Vec<AnnotatedOutput> = Annotation::read_all(&data.join("released_annotations.jsonl.gz"))
        .unwrap()
        .into_iter()
        .map(|annotation| match annotation.content {
            AnnotationContent::Text(annotated) => AnnotatedOutput {
                id: annotation.id,
                annotated,
                windows_cut: 0,
            },
            AnnotationContent::Segments(_) => unreachable!("they are text"),
        })
        .collect();
    let outputs = outputs(data);
    let prompts = Benchmark::ALL.into_iter().flat_map(|benchmark| {
        dataset(data, benchmark)
            .questions
            .into_iter()
            .map(|question| (question.id.clone(), question.raw_prompt()))
    });
    let prompts: std::collections::BTreeMap<String, String> = prompts.collect();
    let subjects = annotations
        .iter()
        .map(|annotation| Subject {
            id: annotation.id.clone(),
            prompt: prompts[&annotation.id].clone(),
            output: outputs.outputs.iter().find(|output| output.id == annotation.id).unwrap().output.clone(),
        })
        .collect();
    (subjects, annotations)
}

#[test]
fn scoring_annotations_parse_and_align_as_published() {
    let Some(data) = data() else { return };
    let (subjects, annotations) = annotated(&data);
    assert_eq!(annotations.len(), 120);
    let strict = summarise(&subjects, &annotations, Reading::Strict, Alignment::Published);
    let expected = [
        (Label::Deduction, 3503),
        (Label::AddingKnowledge, 962),
        (Label::UncertaintyEstimation, 822),
        (Label::Backtracking, 754),
        (Label::ExampleTesting, 490),
        (Label::Initializing, 253),
    ];
    for (label, sections) in expected {
        assert_eq!(strict.sections[label.name()], sections, "{label:?}");
    }
    assert_eq!(strict.sections.values().sum::<usize>(), 6784);
    let mut aligned = 0;
    for (behaviour, expected) in [
        (Behaviour::AddingKnowledge, 845),
        (Behaviour::UncertaintyEstimation, 729),
        (Behaviour::Backtracking, 613),
        (Behaviour::ExampleTesting, 402),
    ] {
        assert_eq!(strict.aligned[behaviour.name()], expected, "{behaviour}");
        aligned += expected;
    }
    assert_eq!(aligned, 2589);
    println!(
        "strict: {} sections, {aligned} of the four behaviours align",
        strict.sections.values().sum::<usize>()
    );
}

#[test]
fn scoring_tolerant_reading_lists_its_repairs() {
    let Some(data) = data() else { return };
    let (subjects, annotations) = annotated(&data);
    let tolerant = summarise(&subjects, &annotations, Reading::Tolerant, Alignment::ForwardSearch);
    let repairs = &tolerant.repairs;
    println!(
        "tolerant: {} sections; {} labels respelled in {} annotations, {} sections tolerated, {} closed early, {} unclosed, {} unknown labels",
        tolerant.sections.values().sum::<usize>(),
        Repairs::total(&repairs.respelled),
        repairs.respelled.len(),
        Repairs::total(&repairs.tolerated),
        Repairs::total(&repairs.closed_early),
        Repairs::total(&repairs.unclosed),
        repairs.unknown_labels.len()
    );
    assert_eq!(Repairs::total(&repairs.respelled), 763);
    assert!(Repairs::total(&repairs.closed_early) > 0);
    // The numbered spellings, label by label, as the annotations have them.
    for (written, expected) in [
        ("1. deduction", 290),
        ("5. backtracking", 142),
        ("4. uncertainty-estimation", 127),
        ("2. adding-knowledge", 105),
        ("3. example-testing", 56),
        ("0. initializing", 28),
    ] {
        let tag = format!("[\"{written}\"]");
        let found: usize = annotations.iter().map(|annotation| annotation.annotated.matches(&tag).count()).sum();
        assert_eq!(found, expected, "{written}");
        assert!(repairs.respelled_labels[written] >= expected);
    }
    let strict = summarise(&subjects, &annotations, Reading::Strict, Alignment::ForwardSearch);
    assert!(tolerant.sections.values().sum::<usize>() > strict.sections.values().sum());
}

#[test]
fn scoring_annotations_agree_with_themselves() {
    let Some(data) = data() else { return };
    let (subjects, annotations) = annotated(&data);
    let few = &subjects[..10];
    let found = agreement(
        few,
        &annotations,
        &annotations,
        Reading::Tolerant,
        Alignment::ForwardSearch,
        &Bootstrap::default(),
    )
    .unwrap();
    assert_eq!((found.traces, found.same, found.kappa), (10, 1.0, Some(1.0)));
    // The two readings of one annotation are two annotators that agree mostly.
    let strict: Vec<AnnotatedOutput> = annotations
        .iter()
        .map(|annotation| AnnotatedOutput {
            annotated: annotation.annotated.replace("[\"5. ", "[\"no-"),
            ..annotation.clone()
        })
        .collect();
    let found = agreement(
        &subjects,
        &annotations,
        &strict,
        Reading::Tolerant,
        Alignment::ForwardSearch,
        &Bootstrap::default(),
    )
    .unwrap();
    println!(
        "without numbered backtracking: {:.4} of the characters the same, kappa {:.4}",
        found.same,
        found.kappa.unwrap()
    );
    assert!(found.same > 0.9 && found.same < 1.0);
}
