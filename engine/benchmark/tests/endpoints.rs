//! Sampling from endpoints that behave, and from those that do not: nothing is lost, nothing comes twice, and what failed is
//! told.

#![expect(clippy::unwrap_used, reason = "the helpers of these tests are tests too")]

#[allow(dead_code, reason = "other tests use the rest of it")]
mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cruxscope_benchmark::analyses::knowledge::{Corpus, Retriever};
use cruxscope_benchmark::datasets::{Benchmark, Dataset};
use cruxscope_benchmark::endpoint::{Endpoint, EndpointSettings, Interface, RetryPolicy, Secret};
use cruxscope_benchmark::generator::{FailureKind, Finish, SamplingSettings};
use cruxscope_benchmark::prompts::PromptStyle;
use cruxscope_benchmark::samples::{Output, Outputs, SampleLog};
use cruxscope_benchmark::sampling::{SamplingEvent, SamplingPlan, SamplingReport};
use serde_json::json;
use support::{Answer, Asked, Server};

/// Questions of our own.
fn dataset(folder: &Path, questions: usize) -> Dataset {
    let lines: Vec<String> = (0..questions)
        .map(|number| json!({"input": format!("Question {}?\nOptions:\n(A) 1\n(B) 2", "x".repeat(number)), "target": "(B)"}).to_string())
        .collect();
    let path = folder.join("temporal.jsonl");
    std::fs::write(&path, lines.join("\n")).unwrap();
    Dataset::read(&path).unwrap()
}

fn settings(address: &str, interface: Interface, stream: bool) -> EndpointSettings {
    EndpointSettings {
        stream,
        silence: Duration::from_millis(400),
        longest: Duration::from_secs(if stream { 20 } else { 1 }),
        retry: RetryPolicy {
            attempts: 8,
            first_pause: Duration::from_millis(5),
            longest_pause: Duration::from_millis(200),
        },
        ..EndpointSettings::new(address, interface, "tiny")
    }
}

/// Makes what is missing in a file.
fn collect(path: &Path, settings: EndpointSettings, dataset: &Dataset, passes: u32, sampling: &SamplingSettings) -> SamplingReport {
    collect_until(path, settings, dataset, passes, sampling, usize::MAX)
}

fn collect_until(path: &Path, settings: EndpointSettings, dataset: &Dataset, passes: u32, sampling: &SamplingSettings, enough: usize) -> SamplingReport {
    let endpoint = Endpoint::new(settings).unwrap();
    let plan = SamplingPlan::new(&endpoint, std::slice::from_ref(dataset), &PromptStyle::Raw, sampling, passes, 1).unwrap();
    let (log, opened) = SampleLog::open(path).unwrap();
    let made = AtomicUsize::new(0);
    let stop = || made.load(Ordering::SeqCst) >= enough;
    let mut observe = |event: SamplingEvent<'_>| {
        if matches!(event, SamplingEvent::Made { .. }) {
            made.fetch_add(1, Ordering::SeqCst);
        }
    };
    plan.collect(&endpoint, &log, &opened, 4, &stop, &mut observe).unwrap()
}

fn few_tokens() -> SamplingSettings {
    SamplingSettings {
        max_new_tokens: 48,
        ..SamplingSettings::default()
    }
}

/// Checks that a file holds each question and pass exactly once, and returns the outputs.
fn exactly_once(path: &Path, questions: usize, passes: u32) -> Vec<Output> {
    let found = Outputs::read(path).unwrap();
    assert!(found.damaged_lines.is_empty() && found.repeated_lines.is_empty(), "{found:?}");
    let distinct: BTreeSet<(String, u32)> = found.outputs.iter().map(|output| (output.id.clone(), output.pass)).collect();
    assert_eq!(
        (found.outputs.len(), distinct.len()),
        (questions * passes as usize, questions * passes as usize)
    );
    found.outputs
}

/// Each request is answered badly several times, each time in another way, before it is answered well.
fn bad_at_first(asked: &Asked) -> Answer {
    let offset = asked.prompt().len() + asked.body["seed"].as_u64().unwrap() as usize;
    let ways = 8;
    if asked.before >= 4 {
        return Answer::Good;
    }
    match (offset + asked.before) % ways {
        0 => Answer::Status(429, "Retry-After: 0.05\r\n", r#"{"error": {"message": "slow down"}}"#.into()),
        1 => Answer::Status(500, "", "oops".into()),
        2 => Answer::Hang(Duration::from_millis(1500)),
        3 => Answer::Cut,
        4 => Answer::HalfJson,
        5 => Answer::Close,
        6 => Answer::Page,
        _ => Answer::CutCleanly,
    }
}

#[test]
fn a_bad_server_loses_and_doubles_nothing() {
    for interface in [Interface::Completions, Interface::ChatCompletions] {
        for stream in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("samples.jsonl");
            let dataset = dataset(folder.path(), 12);
            let server = Server::start(bad_at_first);
            let report = collect(&path, settings(&server.address, interface, stream), &dataset, 2, &few_tokens());
            assert_eq!(
                (report.wanted, report.made, report.failures.len(), report.missing()),
                (24, 24, 0, 0),
                "{report:?}"
            );
            assert_eq!(report.retried, 24);
            let outputs = exactly_once(&path, 12, 2);
            println!("{interface:?}, streamed {stream}: {} requests for 24 samples", server.requests());
            for output in outputs {
                assert!(
                    output.output.ends_with(&format!("with seed {}: the answer is (B)", output.pass)),
                    "a piece of an earlier try is in it: {}",
                    output.output
                );
                assert_eq!(output.output.matches('é').count(), 1);
                assert_eq!(output.output.starts_with("hm\n</think>\n\né"), interface == Interface::ChatCompletions);
                assert_eq!((output.finish, output.new_tokens), (Some(Finish::Stop), Some(5)));
            }
        }
    }
}

#[test]
fn a_dead_server_ends_the_run_with_a_summary_and_the_next_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("samples.jsonl");
    let dataset = dataset(folder.path(), 20);
    let dead = Server::start(|_| Answer::Status(503, "", "<html>no backend</html>".into()));
    let mut impatient = settings(&dead.address, Interface::Completions, true);
    impatient.retry.attempts = 3;
    let report = collect(&path, impatient, &dataset, 1, &few_tokens());
    assert_eq!((report.made, report.missing()), (0, 20));
    assert!(report.failures.len() >= 8 && report.failures.len() < 20, "{report:?}");
    let kinds = report.failures_by_kind();
    let (count, message) = kinds[&FailureKind::ServerError];
    assert_eq!(count, report.failures.len());
    assert!(message.contains("503") && message.contains("no backend"), "{message}");
    assert!(report.failures.iter().all(|failure| failure.attempts == 3));
    assert!(report.ended_early.unwrap().contains("in a row failed"));
    // Nobody at all.
    let nobody = collect(
        &path,
        settings("http://127.0.0.1:9/v1", Interface::Completions, true),
        &dataset,
        1,
        &few_tokens(),
    );
    assert_eq!(nobody.failures_by_kind().keys().collect::<Vec<_>>(), [&FailureKind::Unreachable]);
    // The same file, once the server is well.
    let well = Server::start(|_| Answer::Good);
    let report = collect(&path, settings(&well.address, Interface::Completions, true), &dataset, 1, &few_tokens());
    assert_eq!((report.kept, report.made), (0, 20));
    exactly_once(&path, 20, 1);
    // And once more: nothing is asked.
    let asked = well.requests();
    let report = collect(&path, settings(&well.address, Interface::Completions, true), &dataset, 1, &few_tokens());
    assert_eq!((report.kept, report.made, well.requests()), (20, 0, asked));
    // Another pass uses what is there.
    let report = collect(&path, settings(&well.address, Interface::Completions, true), &dataset, 3, &few_tokens());
    assert_eq!((report.kept, report.made), (20, 40));
    exactly_once(&path, 20, 3);
}

#[test]
fn a_server_that_dies_on_the_way_ends_the_run_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("samples.jsonl");
    let dataset = dataset(folder.path(), 60);
    let answered = AtomicUsize::new(0);
    let server = Server::start(move |_| {
        if answered.fetch_add(1, Ordering::SeqCst) < 10 {
            Answer::Good
        } else {
            Answer::Status(502, "", "gone".into())
        }
    });
    let mut settings = settings(&server.address, Interface::Completions, true);
    settings.retry.attempts = 2;
    let report = collect(&path, settings, &dataset, 1, &few_tokens());
    assert_eq!(report.made, 10);
    assert!(report.failures.len() >= 8 && report.failures.len() <= 12, "{report:?}");
    assert!(report.ended_early.unwrap().contains("gone"));
    exactly_once(&path, 10, 1);
}

#[test]
fn a_wrong_model_or_key_ends_the_run_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("samples.jsonl");
    let dataset = dataset(folder.path(), 30);
    for (status, kind) in [(404, FailureKind::NotFound), (401, FailureKind::Unauthorised)] {
        let server = Server::start(move |_| Answer::Status(status, "", r#"{"error": {"message": "The model `tiny` does not exist."}}"#.into()));
        let report = collect(&path, settings(&server.address, Interface::Completions, true), &dataset, 1, &few_tokens());
        assert!(server.requests() <= 4, "{} requests", server.requests());
        let kinds = report.failures_by_kind();
        assert!(kinds[&kind].1.contains("The model `tiny` does not exist."));
        assert!(report.ended_early.unwrap().contains("does not exist"));
        assert_eq!(std::fs::read(&path).unwrap(), b"");
    }
}

#[test]
fn endless_hanging_and_refused_samples_fail_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("samples.jsonl");
    let dataset = dataset(folder.path(), 20);
    let shortest = dataset.questions[0].raw_prompt().len();
    let server = Server::start(move |asked| match asked.prompt().len() - shortest {
        3 => Answer::Endless,
        5 => Answer::Hang(Duration::from_secs(3)),
        7 => Answer::Status(400, "", r#"{"message": "the prompt is too long"}"#.into()),
        _ => Answer::Good,
    });
    let mut settings = settings(&server.address, Interface::Completions, true);
    settings.retry.attempts = 2;
    let report = collect(&path, settings.clone(), &dataset, 1, &few_tokens());
    assert_eq!((report.made, report.missing(), report.ended_early.clone()), (17, 3, None));
    let found: Vec<(&str, FailureKind, u32)> = report
        .failures
        .iter()
        .map(|failure| (failure.id.as_str(), failure.kind, failure.attempts))
        .collect();
    assert_eq!(
        found,
        [
            ("temporal_sequences/3", FailureKind::Endless, 1),
            ("temporal_sequences/5", FailureKind::TimedOut, 2),
            ("temporal_sequences/7", FailureKind::Refused, 1)
        ]
    );
    assert!(report.failures[2].message.contains("the prompt is too long"));
    exactly_once(&path, 17, 1);
}

#[test]
fn an_endless_answer_that_should_come_whole_is_no_sample() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("samples.jsonl");
    let dataset = dataset(folder.path(), 1);
    let server = Server::start(|_| Answer::Endless);
    let report = collect(&path, settings(&server.address, Interface::Completions, false), &dataset, 1, &few_tokens());
    assert_eq!(report.failures.len(), 1);
    assert!(matches!(report.failures[0].kind, FailureKind::Endless | FailureKind::TimedOut), "{report:?}");
}

#[test]
fn a_key_is_sent_and_written_nowhere() {
    const KEY: &str = "sk-not-for-any-file";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("samples.jsonl");
    let dataset = dataset(folder.path(), 9);
    let server = Server::start(|asked| match asked.authorization.as_deref() {
        Some("Bearer sk-not-for-any-file") if asked.prompt().contains("xxxxx") => Answer::Status(400, "", "no".into()),
        Some("Bearer sk-not-for-any-file") => Answer::Good,
        _ => Answer::Status(401, "", "who are you?".into()),
    });
    let settings = EndpointSettings {
        key: Some(Secret::new(KEY)),
        ..settings(&server.address, Interface::Completions, true)
    };
    let report = collect(&path, settings, &dataset, 1, &few_tokens());
    assert_eq!((report.made, report.failures.len()), (5, 4));
    assert!(!std::fs::read_to_string(&path).unwrap().contains(KEY));
    assert!(!format!("{report:?}").contains(KEY));
}

#[test]
fn a_stop_is_heard_and_the_rest_is_made_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("samples.jsonl");
    let dataset = dataset(folder.path(), 30);
    let server = Server::start(|_| {
        std::thread::sleep(Duration::from_millis(60));
        Answer::Good
    });
    let endpoint = settings(&server.address, Interface::Completions, true);
    let report = collect_until(&path, endpoint.clone(), &dataset, 1, &few_tokens(), 5);
    assert!(report.made >= 5 && report.made < 20, "{report:?}");
    assert_eq!(report.ended_early.as_deref(), Some("stopped"));
    assert!(report.failures.is_empty());
    let next = collect(&path, endpoint, &dataset, 1, &few_tokens());
    assert_eq!((next.kept, next.made), (report.made, 30 - report.made));
    exactly_once(&path, 30, 1);
}

#[test]
fn a_loop_is_ended_early_only_where_that_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = dataset(folder.path(), 1);
    let server = Server::start(|_| Answer::Text("Wait, so it is true. ".repeat(1000)));
    for stop_on_collapse in [true, false] {
        let path = folder.path().join(format!("{stop_on_collapse}.jsonl"));
        let sampling = SamplingSettings {
            max_new_tokens: 32_768,
            stop_on_collapse,
            ..SamplingSettings::default()
        };
        let report = collect(&path, settings(&server.address, Interface::Completions, true), &dataset, 1, &sampling);
        assert_eq!(report.made, 1);
        let output = &exactly_once(&path, 1, 1)[0];
        if stop_on_collapse {
            assert_eq!(output.finish, Some(Finish::Collapse));
            assert!(output.output.len() < 9000, "{}", output.output.len());
        } else {
            assert_eq!((output.finish.clone(), output.output.len()), (Some(Finish::Stop), 21_000));
        }
        assert_eq!(output.settings.as_ref().unwrap().stop_on_collapse, stop_on_collapse);
    }
}

#[test]
fn passages_by_vectors_of_an_endpoint() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = folder.path().join("corpus.jsonl");
    std::fs::write(
        &corpus,
        "{\"title\": \"Fruit\", \"text\": \"apples\"}\n{\"title\": \"Water\", \"text\": \"rivers\"}\n",
    )
    .unwrap();
    let corpus = Corpus::read(&corpus).unwrap();
    let server = Server::start(|asked| {
        assert_eq!(asked.path, "/v1/embeddings");
        let vector = |text: &str| if text.contains("rivers") { [0.0, 1.0] } else { [1.0, 0.1] };
        let texts = asked.body["input"].as_array().unwrap();
        let data: Vec<_> = texts
            .iter()
            .enumerate()
            .map(|(index, text)| json!({"index": index, "embedding": vector(text.as_str().unwrap())}))
            .collect();
        if asked.before == 0 {
            Answer::Status(429, "", String::new())
        } else {
            Answer::Json(json!({"data": data}))
        }
    });
    let endpoint = Endpoint::new(settings(&server.address, Interface::Completions, false)).unwrap();
    let retriever = Retriever::by_vectors(&corpus, &endpoint, &|| false).unwrap();
    assert_eq!(retriever.nearest("which rivers?", 1).unwrap()[0].title, "Water");
}

const CHILD: &str = "CRUXSCOPE_TEST_CHILD";
const KILLED_QUESTIONS: usize = 40;

/// Not a test of its own: what the next one starts and kills.
#[test]
fn child_that_samples() {
    let Ok(task) = std::env::var(CHILD) else { return };
    let (address, folder) = task.split_once(' ').unwrap();
    let folder = Path::new(folder);
    let dataset = Dataset::read(&folder.join("temporal.jsonl")).unwrap();
    let report = collect(
        &folder.join("samples.jsonl"),
        settings(address, Interface::Completions, true),
        &dataset,
        2,
        &few_tokens(),
    );
    assert_eq!((report.wanted, report.missing()), (2 * KILLED_QUESTIONS, 0));
}

#[test]
fn killed_anywhere_and_resumed() {
    let folder = tempfile::tempdir().unwrap();
    dataset(folder.path(), KILLED_QUESTIONS);
    assert_eq!(Benchmark::of_id("temporal_sequences/0"), Some(Benchmark::Temporal));
    let path = folder.path().join("samples.jsonl");
    let server = Server::start(|asked| {
        std::thread::sleep(Duration::from_millis(10 + asked.prompt().len() as u64 % 7));
        Answer::Good
    });
    let start = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_samples"])
            .env(CHILD, format!("{} {}", server.address, folder.path().display()))
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    let lines = || std::fs::read(&path).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count());
    let mut kills = Vec::new();
    for until in [7, 23, 24, 51, 66] {
        let mut child = start();
        let begun = Instant::now();
        while lines() < until {
            assert!(begun.elapsed() < Duration::from_secs(60), "the child makes no samples");
            std::thread::sleep(Duration::from_millis(1));
        }
        // SIGKILL, in the middle of whatever it does.
        child.kill().unwrap();
        child.wait().unwrap();
        kills.push(lines());
    }
    assert!(start().wait().unwrap().success());
    exactly_once(&path, KILLED_QUESTIONS, 2);
    // At most what was under way is asked for again: four requests a kill, and the sample that was being written.
    let requests = server.requests();
    println!("killed with {kills:?} samples made; {requests} requests for {} samples", 2 * KILLED_QUESTIONS);
    assert!(requests <= 2 * KILLED_QUESTIONS + 5 * (4 + 1), "{requests}");
    // A file that was cut in the middle of a line, as a disk may leave it.
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 100]).unwrap();
    assert!(start().wait().unwrap().success());
    exactly_once(&path, KILLED_QUESTIONS, 2);
}
