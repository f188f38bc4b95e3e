//! What servers send in the place of an answer, and which kind of failure each is. None of it becomes a sample.

#![expect(clippy::unwrap_used, reason = "the helpers of these tests are tests too")]

#[allow(dead_code, reason = "other tests use the rest of it")]
mod support;

use std::io::Write;
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
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use support::{Answer, Server};

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

fn http(status: &str, headers: &str, body: &[u8]) -> Answer {
    let mut bytes = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    Answer::Raw(bytes)
}

fn whole(value: &Value) -> Answer {
    http("200 OK", "Content-Type: application/json\r\n", value.to_string().as_bytes())
}

/// A stream of these pieces; `[DONE]` is written where it is among them.
fn stream(pieces: &[Value]) -> Answer {
    let lines: String = pieces
        .iter()
        .map(|piece| match piece {
            Value::String(text) => format!("data: {text}\n\n"),
            piece => format!("data: {piece}\n\n"),
        })
        .collect();
    http("200 OK", "Content-Type: text/event-stream\r\n", lines.as_bytes())
}

fn message(message: Value, finish: &str) -> Value {
    json!({"model": "tiny", "choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": {"prompt_tokens": 5, "completion_tokens": 4}})
}

fn delta(delta: Value, finish: Option<&str>) -> Value {
    json!({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
}

fn done() -> Value {
    json!("[DONE]")
}

fn gzipped(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// What is sent, and what it is.
fn rows() -> Vec<(&'static str, Answer, FailureKind)> {
    use FailureKind as Kind;
    let good = message(json!({"content": "The answer is (B)."}), "stop").to_string();
    let text = |text: &str| delta(json!({"content": text}), None);
    vec![
        ("429 without Retry-After", http("429 Too Many Requests", "", b"slow down"), Kind::RateLimited),
        (
            "429 with Retry-After",
            http("429 Too Many Requests", "Retry-After: 0.02\r\n", b"{}"),
            Kind::RateLimited,
        ),
        (
            "429 with a Retry-After that never ends",
            http("429 X", "Retry-After: 1e300\r\n", b""),
            Kind::RateLimited,
        ),
        (
            "429 with a Retry-After that is none",
            http("429 X", "Retry-After: soon\r\n", b""),
            Kind::RateLimited,
        ),
        ("500", http("500 Oops", "", b"oops"), Kind::ServerError),
        (
            "503 with a page",
            http("503 X", "Content-Type: text/html\r\n", b"<html>no backend</html>"),
            Kind::ServerError,
        ),
        ("504", http("504 X", "", b""), Kind::TimedOut),
        ("400", http("400 X", "", br#"{"error": {"message": "too long"}}"#), Kind::Refused),
        (
            "400 of a filter",
            http("400 X", "", br#"{"error": {"message": "filtered", "code": "content_filter"}}"#),
            Kind::ContentFilter,
        ),
        ("401", http("401 X", "", b"who are you?"), Kind::Unauthorised),
        ("404", http("404 X", "", b"no such model"), Kind::NotFound),
        (
            "a redirect",
            http("302 Found", "Location: http://127.0.0.1:9/elsewhere\r\n", b""),
            Kind::Redirected,
        ),
        (
            "a redirect that keeps the method",
            http("307 X", "Location: /v2/chat/completions\r\n", b""),
            Kind::Redirected,
        ),
        ("a redirect to nowhere", http("301 X", "", b""), Kind::Redirected),
        ("nothing", Answer::Raw(Vec::new()), Kind::Cut),
        ("no HTTP", Answer::Raw(b"hello there\r\n\r\n".to_vec()), Kind::Garbled),
        ("half a head", Answer::Raw(b"HTTP/1.1 200 OK\r\nContent-Le".to_vec()), Kind::Cut),
        ("an empty body", http("200 OK", "", b""), Kind::Garbled),
        ("204", http("204 No Content", "", b""), Kind::Garbled),
        ("garbage", http("200 OK", "", b"\x00\xff\xfe garbage"), Kind::Garbled),
        ("a page", http("200 OK", "Content-Type: text/html\r\n", b"<html>log in</html>"), Kind::Garbled),
        ("packed, unasked", http("200 OK", "Content-Encoding: gzip\r\n", &gzipped(&good)), Kind::Garbled),
        (
            "half of its JSON",
            http("200 OK", "Content-Type: application/json\r\n", &good.as_bytes()[..40]),
            Kind::Garbled,
        ),
        (
            "less than its length",
            Answer::Raw(format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{good}").into_bytes()),
            Kind::Cut,
        ),
        ("JSON of another kind", whole(&json!([1, 2])), Kind::Garbled),
        ("an error with 200", whole(&json!({"error": {"message": "out of memory"}})), Kind::ServerError),
        ("an error in words", whole(&json!({"error": "overloaded"})), Kind::ServerError),
        ("no choice", whole(&json!({"choices": []})), Kind::NoChoice),
        (
            "choices that are null",
            whole(&json!({"choices": null, "usage": {"completion_tokens": 4}})),
            Kind::NoChoice,
        ),
        ("choices of another kind", whole(&json!({"choices": "none"})), Kind::Garbled),
        ("no message", whole(&json!({"choices": [{}]})), Kind::NoText),
        ("empty text", whole(&message(json!({"content": ""}), "stop")), Kind::NoText),
        ("null for text", whole(&message(json!({"content": null}), "length")), Kind::NoText),
        ("blank text", whole(&message(json!({"content": " \n\t"}), "stop")), Kind::NoText),
        ("an empty list for text", whole(&message(json!({"content": []}), "stop")), Kind::NoText),
        ("a number for text", whole(&message(json!({"content": 5}), "stop")), Kind::Garbled),
        (
            "a refusal",
            whole(&message(json!({"content": null, "refusal": "I cannot."}), "stop")),
            Kind::Declined,
        ),
        (
            "a part that refuses",
            whole(&message(json!({"content": [{"type": "refusal", "refusal": "I cannot."}]}), "stop")),
            Kind::Declined,
        ),
        (
            "a tool call",
            whole(&message(
                json!({"content": null, "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]}),
                "tool_calls",
            )),
            Kind::ToolCall,
        ),
        (
            "an older call",
            whole(&message(json!({"content": "", "function_call": {"name": "f"}}), "function_call")),
            Kind::ToolCall,
        ),
        ("an abort", whole(&message(json!({"content": "The ans"}), "abort")), Kind::Aborted),
        (
            "a filter",
            whole(&message(json!({"content": "The ans"}), "content_filter")),
            Kind::ContentFilter,
        ),
        ("a huge answer", whole(&message(json!({"content": "x".repeat(3 << 20)}), "stop")), Kind::Endless),
        ("a stream of nothing", stream(&[]), Kind::Garbled),
        ("a stream that only ends", stream(&[done()]), Kind::NoChoice),
        (
            "a stream of empty choices",
            stream(&[json!({"choices": []}), json!({"choices": null}), done()]),
            Kind::NoChoice,
        ),
        ("a stream cut short", stream(&[text("The ans")]), Kind::Cut),
        (
            "a stream with half a piece",
            stream(&[text("The ans"), json!("{\"choices\": [")]),
            Kind::Garbled,
        ),
        (
            "a stream with an error",
            stream(&[text("The ans"), json!({"error": {"message": "died", "code": 500}})]),
            Kind::ServerError,
        ),
        (
            "a stream with an older error",
            stream(&[text("The ans"), json!({"object": "error", "message": "died", "code": 400})]),
            Kind::Refused,
        ),
        (
            "a stream of empty text",
            stream(&[text(""), delta(json!({}), Some("stop")), done()]),
            Kind::NoText,
        ),
        (
            "a stream that refuses",
            stream(&[delta(json!({"refusal": "I cannot."}), None), delta(json!({}), Some("stop")), done()]),
            Kind::Declined,
        ),
        (
            "a stream that calls",
            stream(&[
                delta(json!({"tool_calls": [{"index": 0, "function": {"name": "f"}}]}), None),
                delta(json!({}), Some("tool_calls")),
                done(),
            ]),
            Kind::ToolCall,
        ),
        (
            "a stream that aborts",
            stream(&[text("The ans"), delta(json!({}), Some("abort")), done()]),
            Kind::Aborted,
        ),
        (
            "a stream that is filtered",
            stream(&[text("The ans"), delta(json!({}), Some("content_filter")), done()]),
            Kind::ContentFilter,
        ),
        (
            "a stream with too many pieces",
            stream(&(0..1200).map(|_| text("and on ")).collect::<Vec<_>>()),
            Kind::Endless,
        ),
        ("silence", Answer::Hang(Duration::from_secs(3)), Kind::TimedOut),
        (
            "one byte now and then",
            Answer::Drip(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: and on\n\n".repeat(9),
                Duration::from_millis(60),
            ),
            Kind::TimedOut,
        ),
    ]
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
