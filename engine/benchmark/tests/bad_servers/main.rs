//! What servers send in the place of an answer, and which kind of failure each is. None of it becomes a sample.

#![expect(clippy::unwrap_used, reason = "the helpers of these tests are tests too")]

#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "../support/mod.rs"]
mod support;

mod rows;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cruxscope_benchmark::datasets::Dataset;
use cruxscope_benchmark::endpoint::{Endpoint, EndpointSettings, Interface, RetryPolicy, Secret};
use cruxscope_benchmark::generator::{FailureKind, Finish, Generator, Heard, Interruption, Request, SamplingSettings};
use cruxscope_benchmark::prompts::{Prompt, PromptStyle};
use cruxscope_benchmark::samples::{Outputs, SampleLog};
use cruxscope_benchmark::sampling::{SamplingPlan, SamplingReport};
use serde_json::{Value, json};
use support::{Answer, Server};

use rows::*;

fn settings(address: &str, stream: bool) -> EndpointSettings {
    EndpointSettings {
        stream,
        silence: Duration::from_millis(500),
        longest: Duration::from_millis(1500),
        retry: RetryPolicy {
            attempts: 2,
            first_pause: Duration::from_millis(5),
            longest_pause: Duration::from_millis(50),
        },
        ..EndpointSettings::new(address, Interface::ChatCompletions, "tiny")
    }
}

fn sampling() -> SamplingSettings {
    SamplingSettings {
        max_new_tokens: 16,
        ..SamplingSettings::default()
    }
}

/// Asks one question, and keeps what comes in a file.
fn ask(folder: &Path, settings: EndpointSettings) -> (SamplingReport, Outputs) {
    let data = folder.join("data.jsonl");
    std::fs::write(&data, json!({"input": "Which?\n(A) 1\n(B) 2", "target": "(B)"}).to_string()).unwrap();
    let dataset = Dataset::read(&data).unwrap();
    let endpoint = Endpoint::new(settings).unwrap();
    let plan = SamplingPlan::new(&endpoint, &[dataset], &PromptStyle::Messages, &sampling(), 1, 1).unwrap();
    let path = folder.join("samples.jsonl");
    let (log, opened) = SampleLog::open(&path).unwrap();
    let report = plan.collect(&endpoint, &log, &opened, 1, &|| false, &mut |_| {}).unwrap();
    drop(log);
    (report, Outputs::read(&path).unwrap_or_default())
}

#[test]
fn nothing_that_is_no_answer_becomes_a_sample() {
    let mut wrong = Vec::new();
    let mut count = 0;
    let begun = Instant::now();
    // Answers are read off themselves, whatever was asked for.
    std::thread::scope(|scope| {
        let mut running = Vec::new();
        for streamed in [true, false] {
            for (name, answer, kind) in rows() {
                count += 1;
                running.push(scope.spawn(move || {
                    let folder = tempfile::tempdir().unwrap();
                    let answer = std::sync::Mutex::new(Some(answer));
                    let server = Server::start(move |_| {
                        // The same again for the second try.
                        let mut answer = answer.lock().unwrap();
                        let now = answer.take().unwrap();
                        *answer = Some(match &now {
                            Answer::Raw(bytes) => Answer::Raw(bytes.clone()),
                            Answer::Drip(bytes, pause) => Answer::Drip(bytes.clone(), *pause),
                            _ => Answer::Hang(Duration::from_secs(3)),
                        });
                        now
                    });
                    let (report, outputs) = ask(folder.path(), settings(&server.address, streamed));
                    let found: Vec<FailureKind> = report.failures.iter().map(|failure| failure.kind).collect();
                    let bytes = std::fs::read(folder.path().join("samples.jsonl")).unwrap();
                    let kept: Vec<FailureKind> = outputs.failures.iter().map(|failure| failure.kind).collect();
                    let expected_kept = if kind.is_kept() { vec![kind] } else { Vec::new() };
                    let right = found == [kind] && bytes.is_empty() && kept == expected_kept;
                    (!right).then(|| {
                        format!(
                            "{name}, streamed {streamed}: {found:?} for {kind:?}, {} bytes, kept {kept:?}: {:?}",
                            bytes.len(),
                            report.failures
                        )
                    })
                }));
            }
        }
        for run in running {
            wrong.extend(run.join().unwrap());
        }
    });
    println!("{count} bad answers in {:.1} s", begun.elapsed().as_secs_f64());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_an_answer_in_another_form_becomes_a_sample() {
    let think = json!({"type": "thinking", "thinking": [{"type": "text", "text": "maybe (A)"}]});
    let part = json!({"type": "text", "text": "The answer is (B)."});
    let text = |text: &str| delta(json!({"content": text}), None);
    let thought = "maybe (A)\n</think>\n\nThe answer is (B).";
    let plain = "The answer is (B).";
    let usage = json!({"id": "x", "choices": null, "usage": {"prompt_tokens": 5, "completion_tokens": 4}});
    for (name, answer, expected, finish) in [
        (
            "parts",
            whole(&message(json!({"content": [think.clone(), part.clone()]}), "stop")),
            thought,
            Finish::Stop,
        ),
        ("a part", whole(&message(json!({"content": [part.clone()]}), "stop")), plain, Finish::Stop),
        (
            "details",
            whole(&message(
                json!({"content": plain, "reasoning_details": [{"type": "reasoning.text", "text": "maybe (A)"}]}),
                "stop",
            )),
            thought,
            Finish::Stop,
        ),
        (
            "empty calls beside text",
            whole(&message(
                json!({"content": plain, "tool_calls": [], "refusal": null, "function_call": null}),
                "stop",
            )),
            plain,
            Finish::Stop,
        ),
        (
            "a stream of parts",
            stream(&[
                delta(json!({"role": "assistant", "content": ""}), None),
                delta(json!({"content": [think]}), None),
                delta(json!({"content": [part]}), None),
                delta(json!({}), Some("stop")),
                done(),
            ]),
            thought,
            Finish::Stop,
        ),
        (
            "signs of life between",
            stream(&[
                text("The answer "),
                json!({"id": "x", "choices": null, "usage": null}),
                Value::Null,
                json!({"choices": []}),
                json!({"object": "chat.completion.chunk"}),
                text("is (B)."),
                delta(json!({}), Some("stop")),
                usage,
                done(),
            ]),
            plain,
            Finish::Stop,
        ),
        (
            "an early end",
            stream(&[delta(json!({"content": "The answer "}), Some("stop")), text("is (B)."), done()]),
            plain,
            Finish::Stop,
        ),
        ("an end without a reason", stream(&[text(plain), done()]), plain, Finish::Unknown),
        (
            "a reason without [DONE]",
            stream(&[text(plain), delta(json!({}), Some("length"))]),
            plain,
            Finish::Length,
        ),
    ] {
        let kept = std::sync::Mutex::new(Some(answer));
        let server = Server::start(move |_| kept.lock().unwrap().take().unwrap_or(Answer::Close));
        let folder = tempfile::tempdir().unwrap();
        let (report, outputs) = ask(folder.path(), settings(&server.address, true));
        assert_eq!((report.made, report.failures.len()), (1, 0), "{name}: {:?}", report.failures);
        let output = &outputs.outputs[0];
        assert_eq!((output.output.as_str(), output.finish.clone()), (expected, Some(finish)), "{name}");
    }
}

#[test]
fn a_failure_is_asked_again_and_forgotten_once_the_sample_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let asked = AtomicUsize::new(0);
    let server = Server::start(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => whole(&message(json!({"content": null, "refusal": "I cannot."}), "stop")),
        1 => whole(&message(json!({"content": ""}), "stop")),
        _ => Answer::Good,
    });
    for expected in [vec![FailureKind::Declined], vec![FailureKind::NoText], vec![]] {
        let (report, outputs) = ask(folder.path(), settings(&server.address, true));
        assert_eq!(report.made, usize::from(expected.is_empty()));
        assert_eq!(outputs.failures.iter().map(|failure| failure.kind).collect::<Vec<_>>(), expected);
    }
    assert_eq!(server.requests(), 3);
}

#[test]
fn keys_echoed_by_a_server_are_neither_told_nor_kept() {
    const KEY: &str = "sk-not-for-any-file";
    let echo = "you sent Bearer sk-not-for-any-file\u{1b}[31m to me";
    for (status, answer) in [
        (200, message(json!({"content": echo}), "stop")),
        (200, message(json!({"content": null, "refusal": echo}), "stop")),
        (200, json!({"error": {"message": echo}})),
        (400, json!({"error": {"message": echo}})),
        (200, json!([echo])),
        (302, json!(null)),
    ] {
        let body = answer.to_string();
        let server = Server::start(move |_| http(&format!("{status} X"), &format!("Location: http://{KEY}@h/\r\n"), body.as_bytes()));
        let folder = tempfile::tempdir().unwrap();
        let mut settings = settings(&server.address, false);
        settings.key = Some(Secret::new(KEY));
        let (report, _) = ask(folder.path(), settings);
        let mut told = format!("{report:?}");
        for file in std::fs::read_dir(folder.path()).unwrap() {
            told.push_str(&std::fs::read_to_string(file.unwrap().path()).unwrap());
        }
        assert!(!told.contains(KEY), "{status}: {told}");
        let messages: String = report.failures.iter().map(|failure| failure.message.clone()).collect();
        assert!(!messages.contains('\u{1b}'), "{messages}");
    }
}

#[test]
fn a_redirect_is_not_followed_and_the_key_goes_nowhere_else() {
    let other = Server::start(|_| Answer::Good);
    let address = other.address.clone();
    let server = Server::start(move |_| http("302 Found", &format!("Location: {address}/chat/completions\r\n"), b""));
    let folder = tempfile::tempdir().unwrap();
    let (report, _) = ask(folder.path(), settings(&server.address, true));
    assert_eq!(report.failures[0].kind, FailureKind::Redirected);
    assert!(report.failures[0].message.contains(&other.address), "{}", report.failures[0].message);
    assert_eq!((server.requests(), other.requests()), (1, 0));
}

#[test]
fn another_models_name_is_said() {
    let server = Server::start(|_| whole(&json!({"model": "other", "choices": [{"message": {"content": "(B)"}, "finish_reason": "stop"}]})));
    let folder = tempfile::tempdir().unwrap();
    let (report, _) = ask(folder.path(), settings(&server.address, true));
    assert_eq!((report.made, report.other_models.get("other")), (1, Some(&1)));
    let text = std::fs::read_to_string(folder.path().join("samples.jsonl")).unwrap();
    assert!(text.contains("\"answered_by\":\"other\""), "{text}");
}

#[test]
fn a_stop_is_heard_within_a_second_while_a_server_is_silent() {
    // Before its head, and after it.
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n".to_vec();
    for slow in [false, true] {
        for streamed in [true, false] {
            let head = head.clone();
            let server = Server::start(move |_| {
                if slow {
                    Answer::Drip(head.iter().copied().chain(b": life\n".repeat(999)).collect(), Duration::from_millis(5))
                } else {
                    Answer::Hang(Duration::from_secs(30))
                }
            });
            let mut settings = settings(&server.address, streamed);
            (settings.silence, settings.longest) = (Duration::from_secs(60), Duration::from_secs(60));
            let endpoint = Endpoint::new(settings).unwrap();
            let begun = Instant::now();
            let mut watch = |_: Heard<'_>| {
                if begun.elapsed() > Duration::from_millis(300) {
                    ControlFlow::Break(Interruption::Stop)
                } else {
                    ControlFlow::Continue(())
                }
            };
            let prompt = Prompt::Text("p".into());
            let sampling = sampling();
            let request = Request {
                prompt: &prompt,
                settings: &sampling,
                seed: 1,
            };
            let error = endpoint.generate(&request, &mut watch).unwrap_err();
            assert_eq!(error.kind, FailureKind::Stopped);
            assert!(begun.elapsed() < Duration::from_millis(1300), "{:?}", begun.elapsed());
        }
    }
}

#[test]
fn a_panic_of_a_generator_ends_the_run_with_an_error() {
    struct Panics;
    impl Generator for Panics {
        fn engine(&self) -> cruxscope_benchmark::generator::Engine {
            cruxscope_benchmark::generator::Engine {
                name: "e".into(),
                version: "1".into(),
            }
        }
        fn model(&self) -> cruxscope_benchmark::generator::ModelIdentity {
            cruxscope_benchmark::generator::ModelIdentity {
                name: "m".into(),
                digest: None,
            }
        }
        fn generate(
            &self,
            _: &Request<'_>,
            _: &mut cruxscope_benchmark::generator::Watch<'_>,
        ) -> Result<cruxscope_benchmark::generator::Generation, cruxscope_benchmark::generator::GenerateError> {
            panic!("the card is gone")
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data.jsonl");
    let lines: Vec<String> = (0..9).map(|n| json!({"input": format!("{n}?"), "target": "(B)"}).to_string()).collect();
    std::fs::write(&data, lines.join("\n")).unwrap();
    let plan = SamplingPlan::new(&Panics, &[Dataset::read(&data).unwrap()], &PromptStyle::Raw, &sampling(), 1, 1).unwrap();
    let (log, opened) = SampleLog::open(&folder.path().join("samples.jsonl")).unwrap();
    let error = plan.collect(&Panics, &log, &opened, 3, &|| false, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("the card is gone"), "{error}");
}
