//! What bad servers send, byte by byte, and the kind of failure that each is.

use std::io::Write;
use std::time::Duration;

use cruxscope_benchmark::generator::FailureKind;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::support::Answer;

pub fn http(status: &str, headers: &str, body: &[u8]) -> Answer {
    let mut bytes = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    Answer::Raw(bytes)
}

pub fn whole(value: &Value) -> Answer {
    http("200 OK", "Content-Type: application/json\r\n", value.to_string().as_bytes())
}

/// A stream of these pieces; `[DONE]` is written where it is among them.
pub fn stream(pieces: &[Value]) -> Answer {
    let lines: String = pieces
        .iter()
        .map(|piece| match piece {
            Value::String(text) => format!("data: {text}\n\n"),
            piece => format!("data: {piece}\n\n"),
        })
        .collect();
    http("200 OK", "Content-Type: text/event-stream\r\n", lines.as_bytes())
}

pub fn message(message: Value, finish: &str) -> Value {
    json!({"model": "tiny", "choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": {"prompt_tokens": 5, "completion_tokens": 4}})
}

pub fn delta(delta: Value, finish: Option<&str>) -> Value {
    json!({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
}

pub fn done() -> Value {
    json!("[DONE]")
}

pub fn gzipped(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// What is sent, and what it is.
pub fn rows() -> Vec<(&'static str, Answer, FailureKind)> {
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
        (
            "half of a packed body",
            http("200 OK", "Content-Encoding: gzip\r\n", &gzipped(&good)[..20]),
            Kind::Cut,
        ),
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
