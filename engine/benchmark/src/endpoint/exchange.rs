//! One request and its answer, whole or streamed, and what can go wrong on the way.

use std::io::Read;
use std::ops::ControlFlow;
use std::time::Duration;

use serde_json::Value;
use ureq::http::Response;
use ureq::{Body, Error};

use super::Endpoint;
use super::backoff::retry_after;
use super::body::{Assembly, message_of};
use super::stream::{Event, Events};
use crate::generator::{FailureKind, Finish, Generation, Heard, Interruption, Request, Watch};

/// Bytes of text that one token may have on average before a text counts as endless: no tokenizer's does.
const BYTES_A_TOKEN: usize = 256;
/// Bytes of an answer beside its text, and of an error that is read.
const ENVELOPE: usize = 1 << 20;

/// A try that failed.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) kind: FailureKind,
    pub(super) message: String,
    /// What the server asked for.
    pub(super) retry_after: Option<Duration>,
}

impl Attempt {
    pub(super) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            retry_after: None,
        }
    }

    /// An answer that is none, with its beginning for the person to see.
    pub(super) fn garbled(why: impl std::fmt::Display, answer: &str) -> Self {
        Self::new(FailureKind::Garbled, format!("{why}; it begins {}", beginning(answer)))
    }
}

/// Bytes of the largest answer to a request.
pub(super) fn largest_answer(request: &Request<'_>) -> u64 {
    (request.settings.max_new_tokens.saturating_mul(BYTES_A_TOKEN) + ENVELOPE) as u64
}

/// Asks, and checks that the answer is a good one.
fn ask(endpoint: &Endpoint, path: &str, body: &Value) -> Result<Response<Body>, Attempt> {
    let address = format!("{}/{path}", endpoint.settings.address);
    let mut request = endpoint.agent.post(&address).header("Content-Type", "application/json");
    if let Some(key) = &endpoint.settings.key {
        request = request.header("Authorization", format!("Bearer {}", key.0));
    }
    let mut response = request.send(body.to_string().as_bytes()).map_err(|error| failed(&error))?;
    let status = response.status().as_u16();
    let kind = match status {
        200..=299 => return Ok(response),
        401 | 403 => FailureKind::Unauthorised,
        404 => FailureKind::NotFound,
        408 | 504 => FailureKind::TimedOut,
        429 => FailureKind::RateLimited,
        500..=599 => FailureKind::ServerError,
        _ => FailureKind::Refused,
    };
    let wish = response
        .headers()
        .get("retry-after")
        .and_then(|value| value.to_str().ok())
        .and_then(retry_after);
    let said = response.body_mut().with_config().limit(ENVELOPE as u64).read_to_string().unwrap_or_default();
    // Errors are JSON mostly, sometimes a page of a proxy.
    let said = match serde_json::from_str::<Value>(&said) {
        Ok(value) => message_of(value.get("error").unwrap_or(&value)),
        Err(_) => said,
    };
    Err(Attempt {
        kind,
        message: format!("{address} said {status}: {}", beginning(&said)),
        retry_after: wish,
    })
}

/// The JSON of an answer that comes whole.
pub(super) fn whole(endpoint: &Endpoint, path: &str, body: &Value, largest: u64) -> Result<Value, Attempt> {
    let mut response = ask(endpoint, path, body)?;
    let text = match response.body_mut().with_config().limit(largest).read_to_vec() {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(Error::BodyExceedsLimit(limit)) => return Err(Attempt::new(FailureKind::Endless, format!("the answer is longer than {limit} bytes"))),
        Err(error) => return Err(broken(&error)),
    };
    serde_json::from_str(&text).map_err(|error| Attempt::garbled(format!("it is no JSON: {error}"), &text))
}

/// An output that comes in pieces, each told to `watch`.
pub(super) fn streamed(endpoint: &Endpoint, path: &str, body: &Value, request: &Request<'_>, watch: &mut Watch<'_>) -> Result<Generation, Attempt> {
    let mut reader = ask(endpoint, path, body)?.into_body().into_reader();
    // A break here is heard at the first piece.
    let _ = watch(Heard::Beginning);
    let mut events = Events::default();
    let mut assembly = Assembly::default();
    let (mut done, mut count, mut begun) = (false, 0usize, Vec::new());
    let limit = request.settings.max_new_tokens.saturating_mul(2).saturating_add(1024);
    let mut buffer = [0; 1 << 13];
    while !done {
        let read = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) => return Err(broken(&Error::from(error))),
        };
        if begun.len() < ENVELOPE.min(1 << 12) {
            begun.extend_from_slice(&buffer[..read]);
        }
        for event in events.take(&buffer[..read]).map_err(|why| Attempt::new(FailureKind::Garbled, why))? {
            let data = match event {
                Event::Done => {
                    done = true;
                    break;
                }
                Event::Data(data) => data,
            };
            let value: Value = serde_json::from_str(&data).map_err(|error| Attempt::garbled(format!("a piece of it is no JSON: {error}"), &data))?;
            let added = assembly.take(&value).map_err(|why| Attempt::garbled(why, &data))?;
            count += 1;
            if count > limit || assembly.bytes() > request.settings.max_new_tokens.saturating_mul(BYTES_A_TOKEN) {
                let asked = request.settings.max_new_tokens;
                return Err(Attempt::new(
                    FailureKind::Endless,
                    format!("{asked} tokens were asked for, and {count} pieces with {} bytes came", assembly.bytes()),
                ));
            }
            match watch(Heard::Text(&added)) {
                ControlFlow::Continue(()) => {}
                ControlFlow::Break(Interruption::Collapse) => return Ok(assembly.generation(Some(Finish::Collapse))),
                ControlFlow::Break(Interruption::Stop) => return Err(Attempt::new(FailureKind::Stopped, "the work was stopped")),
            }
        }
    }
    if !done && !assembly.is_finished() {
        return Err(if count == 0 {
            Attempt::garbled("it holds no event", &String::from_utf8_lossy(&begun))
        } else {
            Attempt::new(FailureKind::Cut, format!("after {count} pieces and {} bytes", assembly.bytes()))
        });
    }
    if count == 0 {
        return Err(Attempt::new(FailureKind::Garbled, "it ends before it begins"));
    }
    Ok(assembly.generation(None))
}

/// A request that got no answer.
fn failed(error: &Error) -> Attempt {
    let kind = match error {
        Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) | Error::HostNotFound | Error::ConnectionFailed | Error::Tls(_) | Error::Rustls(_) => {
            FailureKind::Unreachable
        }
        Error::Timeout(_) => FailureKind::TimedOut,
        Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => FailureKind::Unreachable,
        Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => FailureKind::TimedOut,
        Error::Io(_) => FailureKind::Cut,
        Error::BadUri(_) | Error::Http(_) => FailureKind::NotFound,
        _ => FailureKind::Garbled,
    };
    Attempt::new(kind, error.to_string())
}

/// An answer that broke off.
fn broken(error: &Error) -> Attempt {
    let kind = match error {
        Error::Timeout(_) => FailureKind::TimedOut,
        Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => FailureKind::TimedOut,
        _ => FailureKind::Cut,
    };
    Attempt::new(kind, error.to_string())
}

/// The beginning of a text, on one line.
fn beginning(text: &str) -> String {
    const SHOWN: usize = 160;
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("\"{}…\"", &line[..at]),
        None => format!("\"{line}\""),
    }
}
