//! One request and its answer, whole or streamed, and what can go wrong on the way.
//!
//! Whether an answer is a stream is read off the answer, not off what was asked for: some servers stream unasked, others never do.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use cruxscope_study::printable;
use serde_json::Value;

use super::Endpoint;
use super::answer::{Assembly, NoSample, largest_text};
use super::attempt::Attempt;
use super::body::{kind_of_status, message_of};
use super::connection::{Connection, Head, Post};
use super::stream::{Event, Events};
use crate::generator::{FailureKind, Finish, Generation, Heard, Interruption, Request, Watch};

/// Bytes of an answer beside its text, and of an error that is read.
const ENVELOPE: usize = 1 << 20;
/// How long the words of an error may take to come.
const ERROR_PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of an answer's beginning that are kept for the person to see.
const BEGINNING: usize = 1 << 12;

impl Endpoint {
    /// A failure that shows how the answer began.
    pub(super) fn refuse(&self, no: NoSample, answer: &[u8]) -> Attempt {
        let NoSample { kind, why } = no;
        let why = self.one_line(&why);
        let shown = matches!(kind, FailureKind::Garbled) && !answer.is_empty();
        let begins = if shown {
            format!("; it begins \"{}\"", self.one_line(&String::from_utf8_lossy(answer)))
        } else {
            String::new()
        };
        Attempt::new(kind, format!("{why}{begins}"))
    }

    /// The beginning of a server's text on one line, without secrets and without what a terminal would obey.
    fn one_line(&self, text: &str) -> String {
        const SHOWN: usize = 160;
        // Secrets first: a cut through one would leave half of it.
        let line = self.secrets.hide(text).split_whitespace().collect::<Vec<_>>().join(" ");
        let line = printable(&line);
        match line.char_indices().nth(SHOWN) {
            Some((at, _)) => format!("{}…", &line[..at]),
            None => line.into_owned(),
        }
    }

    /// Asks, and checks that the answer is a good one.
    fn ask(&self, path: &str, body: &Value, watch: &mut Watch<'_>) -> Result<(Connection, Head), Attempt> {
        let address = format!("{}/{path}", self.settings.address);
        let connection = Connection::open(Post {
            agent: self.agent.clone(),
            address,
            key: self.settings.key.as_ref().map(|key| key.0.clone()),
            body: body.to_string(),
        })?;
        let head = connection.head(watch)?;
        let shown = format!("{}/{path}", self.settings.shown_address());
        if (200..300).contains(&head.status) {
            return match head.encoding.as_str() {
                "" | "identity" => Ok((connection, head)),
                other => Err(Attempt::new(
                    FailureKind::Garbled,
                    format!("{shown} sent it packed as \"{}\", which was not asked for", self.one_line(other)),
                )),
            };
        }
        let kind = kind_of_status(head.status);
        let message = if kind == FailureKind::Redirected {
            let place = self.one_line(&head.location);
            format!(
                "{shown} said {}: ask at \"{place}\"; give that address as the endpoint if it is the right one",
                head.status
            )
        } else {
            let said = connection.bytes_until(watch, Instant::now() + ERROR_PATIENCE, ENVELOPE)?;
            let said = String::from_utf8_lossy(&said);
            // Errors are JSON mostly, sometimes a page of a proxy.
            let (said, filtered) = match serde_json::from_str::<Value>(&said) {
                Ok(value) => {
                    let error = value.get("error").unwrap_or(&value);
                    (message_of(error), error.get("code").is_some_and(|code| code == "content_filter"))
                }
                Err(_) => (said.into_owned(), false),
            };
            if filtered {
                return Err(Attempt::new(FailureKind::ContentFilter, self.one_line(&said)));
            }
            format!("{shown} said {}: \"{}\"", head.status, self.one_line(&said))
        };
        Err(Attempt {
            kind,
            message,
            retry_after: head.retry_after,
        })
    }

    /// The JSON of an answer that comes whole.
    pub(super) fn whole(&self, path: &str, body: &Value, largest: usize, watch: &mut Watch<'_>) -> Result<Value, Attempt> {
        let (connection, _) = self.ask(path, body, watch)?;
        let mut bytes = Vec::new();
        while let Some(more) = connection.bytes(watch)? {
            bytes.extend(more);
            too_long(bytes.len(), largest)?;
        }
        self.json(&bytes)
    }

    fn json(&self, bytes: &[u8]) -> Result<Value, Attempt> {
        serde_json::from_slice(bytes).map_err(|error| {
            let why = if bytes.iter().all(u8::is_ascii_whitespace) {
                "it is empty".to_owned()
            } else {
                format!("it is no JSON: {error}")
            };
            self.refuse(NoSample::new(FailureKind::Garbled, why), bytes)
        })
    }

    /// An output, each piece of it told to `watch` as it comes.
    pub(super) fn output(&self, path: &str, body: &Value, request: &Request<'_>, watch: &mut Watch<'_>) -> Result<Generation, Attempt> {
        let (connection, head) = self.ask(path, body, watch)?;
        // A break here is heard at the first piece.
        let _ = watch(Heard::Beginning);
        let mut bytes = Vec::new();
        // What stands first tells a stream where the head does not.
        let is_stream = loop {
            if head.content_type.contains("event-stream") {
                break true;
            }
            if let Some(first) = bytes.iter().find(|byte: &&u8| !byte.is_ascii_whitespace()) {
                break b"deir:".contains(first);
            }
            match connection.bytes(watch)? {
                Some(more) => bytes.extend(more),
                None => break false,
            }
            too_long(bytes.len(), ENVELOPE)?;
        };
        if is_stream {
            return self.streamed(&connection, bytes, request, watch);
        }
        let largest = largest_text(request).saturating_add(ENVELOPE);
        while let Some(more) = connection.bytes(watch)? {
            bytes.extend(more);
            too_long(bytes.len(), largest)?;
        }
        self.sample_of_whole(&bytes, watch)
    }

    fn sample_of_whole(&self, bytes: &[u8], watch: &mut Watch<'_>) -> Result<Generation, Attempt> {
        let mut assembly = Assembly::default();
        let taken = assembly.take(&self.json(bytes)?).map_err(|no| self.refuse(no, bytes))?;
        if watch(Heard::Text(&taken)) == ControlFlow::Break(Interruption::Stop) {
            return Err(Attempt::stopped());
        }
        assembly.sample(&self.settings.model, &self.secrets).map_err(|no| self.refuse(no, bytes))
    }

    fn streamed(&self, connection: &Connection, first: Vec<u8>, request: &Request<'_>, watch: &mut Watch<'_>) -> Result<Generation, Attempt> {
        let mut events = Events::default();
        let mut assembly = Assembly::default();
        let (mut done, mut begun, mut waiting) = (false, Vec::new(), Some(first));
        while !done {
            let arrived = match waiting.take() {
                Some(bytes) => Some(bytes),
                None => connection.bytes(watch)?,
            };
            let found = match &arrived {
                Some(bytes) => {
                    let room = BEGINNING.saturating_sub(begun.len());
                    begun.extend(bytes.iter().take(room));
                    events.take(bytes)
                }
                None => events.finish(),
            };
            for event in found.map_err(|why| self.refuse(NoSample::new(FailureKind::Garbled, why), &begun))? {
                let data = match event {
                    Event::Done => {
                        done = true;
                        break;
                    }
                    Event::Data(data) => data,
                };
                let value: Value = serde_json::from_str(&data).map_err(|error| {
                    let why = format!("a piece of it is no JSON: {error}");
                    self.refuse(NoSample::new(FailureKind::Garbled, why), data.as_bytes())
                })?;
                let added = assembly.take(&value).map_err(|no| self.refuse(no, data.as_bytes()))?;
                assembly.within(request).map_err(|no| self.refuse(no, data.as_bytes()))?;
                let heard = if added.is_empty() { Heard::Waiting } else { Heard::Text(&added) };
                match watch(heard) {
                    ControlFlow::Continue(()) => {}
                    ControlFlow::Break(Interruption::Stop) => return Err(Attempt::stopped()),
                    ControlFlow::Break(Interruption::Collapse) => {
                        let kept = assembly.generation(Finish::Collapse, &self.settings.model, &self.secrets);
                        return kept.map_err(|no| self.refuse(no, &begun));
                    }
                }
            }
            if arrived.is_none() {
                break;
            }
        }
        if !done && assembly.is_untouched() {
            // An error that calls itself a stream, or a page of something else.
            return match serde_json::from_slice::<Value>(&begun) {
                Ok(_) => self.sample_of_whole(&begun, watch),
                Err(_) => Err(self.refuse(NoSample::new(FailureKind::Garbled, "it holds no event"), &begun)),
            };
        }
        if !done && !assembly.is_finished() {
            return Err(Attempt::new(FailureKind::Cut, format!("after {}", assembly.amount())));
        }
        assembly.sample(&self.settings.model, &self.secrets).map_err(|no| self.refuse(no, &begun))
    }
}

fn too_long(bytes: usize, largest: usize) -> Result<(), Attempt> {
    if bytes > largest {
        return Err(Attempt::new(FailureKind::Endless, format!("the answer is longer than {largest} bytes")));
    }
    Ok(())
}
