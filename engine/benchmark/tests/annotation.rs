//! Annotation through an endpoint: long outputs in windows, failures, resume, and what comes of it.

#![expect(clippy::unwrap_used, reason = "the helpers of these tests are tests too")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::path::Path;
use std::time::Duration;

use cruxscope_benchmark::annotation::{Subject, annotator_settings, assemble, plan, summarise};
use cruxscope_benchmark::endpoint::{Endpoint, EndpointSettings, Interface};
use cruxscope_benchmark::generator::Finish;
use cruxscope_benchmark::samples::{Sample, SampleLog};
use cruxscope_benchmark::sampling::SamplingReport;
use cruxscope_trace::{Alignment, Reading};
use support::{Answer, Asked, Server};

/// An annotator that calls every sentence with "Wait" backtracking and all else deduction, with thoughts before and one label
/// spelled its own way.
fn annotate(asked: &Asked) -> Answer {
    let prompt = asked.prompt();
    let window = prompt.rsplit_once("BEGIN\n").unwrap().1.strip_suffix("\nEND").unwrap();
    let sections = window.split_inclusive(". ").filter(|sentence| !sentence.trim().is_empty()).map(|sentence| {
        let label = if sentence.contains("Wait") { "5. backtracking" } else { "deduction" };
        format!("[\"{label}\"] {} [\"end-section\"]", sentence.trim())
    });
    Answer::Text(sections.collect::<Vec<_>>().join("\n"))
}

fn subjects() -> Vec<Subject> {
    (0..3)
        .map(|number| Subject {
            id: format!("FOLIO/{number}"),
            prompt: "Is it so?\n<think>\n".into(),
            output: (0..60)
                .map(|i| {
                    format!(
                        "Sentence é {number} {i} says {}. {}",
                        i * 7,
                        if i % 5 == 0 { "Wait, that is not it. " } else { "" }
                    )
                })
                .collect(),
        })
        .collect()
}

fn run(address: &str, path: &Path, subjects: &[Subject]) -> (SamplingReport, Vec<Sample>) {
    let mut settings = EndpointSettings::new(address, Interface::ChatCompletions, "annotator");
    settings.retry.attempts = 2;
    settings.retry.first_pause = Duration::from_millis(5);
    let endpoint = Endpoint::new(settings).unwrap();
    let plan = plan(&endpoint, subjects, &annotator_settings(1.0), 1000, 1);
    let (log, opened) = SampleLog::open(path).unwrap();
    let report = plan.collect(&endpoint, &log, &opened, 3, &|| false, &mut |_| {}).unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    (report, text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn windows_are_annotated_put_together_and_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("windows.jsonl");
    let subjects = subjects();
    // The second trace cannot be annotated at first.
    let stubborn = Server::start(|asked| {
        if asked.prompt().contains("Sentence é 1 ") {
            Answer::Status(500, "", "no".into())
        } else {
            annotate(asked)
        }
    });
    let endpoint = Endpoint::new(EndpointSettings::new(&stubborn.address, Interface::ChatCompletions, "annotator")).unwrap();
    let plan = plan(&endpoint, &subjects, &annotator_settings(1.0), 1000, 1);
    assert!(plan.wanted.len() >= 6, "long outputs are cut into windows");
    let (report, samples) = run(&stubborn.address, &path, &subjects);
    let (annotated, missing) = assemble(&plan, &subjects, samples);
    assert_eq!((annotated.len(), missing), (2, vec!["FOLIO/1".to_owned()]));
    assert_eq!(report.missing(), plan.wanted.len() / 3);
    // The same again, with an annotator that is well: only what is missing is asked for.
    let well = Server::start(annotate);
    let (report, samples) = run(&well.address, &path, &subjects);
    assert_eq!((report.missing(), well.requests()), (0, plan.wanted.len() / 3));
    assert!(samples.iter().all(|sample| sample.finish == Finish::Stop));
    let (annotated, missing) = assemble(&plan, &subjects, samples);
    assert!(missing.is_empty());
    assert!(
        annotated.iter().all(|annotation| !annotation.annotated.contains("hm")),
        "thoughts are no annotation"
    );
    let summary = summarise(&subjects, &annotated, Reading::Tolerant, Alignment::ForwardSearch);
    assert_eq!(summary.sections["backtracking"], 36);
    // Every section stands in its output word for word, wherever windows were cut.
    assert_eq!(summary.sections, summary.aligned);
    assert_eq!(summary.repairs.respelled_labels["5. backtracking"], 36);
    assert!(summary.repairs.unknown_labels.is_empty());
    let strict = summarise(&subjects, &annotated, Reading::Strict, Alignment::ForwardSearch);
    assert_eq!(strict.sections.get("backtracking"), None);
}
