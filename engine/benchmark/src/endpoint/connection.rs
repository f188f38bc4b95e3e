//! One request on a thread of its own.
//!
//! A server may be silent for minutes, and a read cannot be broken off from outside. So the thread that reads is not the one that
//! asked: whoever asked waits for what arrives in short steps, hears a stop between them, and leaves the reader behind.

use std::cell::Cell;
use std::io::Read;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use ureq::http::HeaderMap;
use ureq::{Agent, Error};

use super::attempt::Attempt;
use super::backoff::retry_after;
use crate::generator::{FailureKind, Heard, Interruption, Watch};

/// How often whoever waits looks whether the answer is still wanted.
const STEP: Duration = Duration::from_millis(100);
/// Pieces that may wait for the one who asked.
const WAITING: usize = 16;

/// What is sent, and where.
pub(super) struct Post {
    pub(super) agent: Agent,
    pub(super) address: String,
    pub(super) key: Option<String>,
    pub(super) body: String,
}

/// The head of an answer.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) encoding: String,
    pub(super) location: String,
    pub(super) retry_after: Option<Duration>,
}

/// What arrives, in this order.
enum Arrival {
    Head(Head),
    Bytes(Vec<u8>),
    End,
    Failed(Attempt),
}

/// An answer on its way.
pub(super) struct Connection {
    arrivals: Receiver<Arrival>,
    /// Whether its end has arrived.
    ended: Cell<bool>,
}

impl Connection {
    /// Sends a request.
    pub(super) fn open(post: Post) -> Result<Self, Attempt> {
        let (sender, arrivals) = sync_channel(WAITING);
        std::thread::Builder::new()
            .name("request".into())
            .spawn(move || {
                // Where nobody listens any more, nothing is left to say.
                let last = carry(&post, &sender).map_or_else(Arrival::Failed, |()| Arrival::End);
                sender.send(last).ok();
            })
            .map_err(|error| Attempt::new(FailureKind::Internal, format!("no thread could be started: {error}")))?;
        Ok(Self {
            arrivals,
            ended: Cell::new(false),
        })
    }

    /// The head of the answer.
    pub(super) fn head(&self, watch: &mut Watch<'_>) -> Result<Head, Attempt> {
        match self.next(watch, None)? {
            Some(Arrival::Head(head)) => Ok(head),
            Some(Arrival::Failed(attempt)) => Err(attempt),
            _ => Err(Attempt::new(FailureKind::Cut, "no answer came")),
        }
    }

    /// The next bytes, or nothing at the end.
    pub(super) fn bytes(&self, watch: &mut Watch<'_>) -> Result<Option<Vec<u8>>, Attempt> {
        match self.next(watch, None)? {
            Some(Arrival::Bytes(bytes)) => Ok(Some(bytes)),
            Some(Arrival::Failed(attempt)) => Err(attempt),
            _ => Ok(None),
        }
    }

    /// At most so many of the bytes that come until a moment, whatever happens then: for what an error says.
    pub(super) fn bytes_until(&self, watch: &mut Watch<'_>, until: Instant, most: usize) -> Result<Vec<u8>, Attempt> {
        let mut found = Vec::new();
        while found.len() < most {
            match self.next(watch, Some(until))? {
                Some(Arrival::Bytes(bytes)) => found.extend(bytes),
                _ => break,
            }
        }
        found.truncate(most);
        Ok(found)
    }

    fn next(&self, watch: &mut Watch<'_>, until: Option<Instant>) -> Result<Option<Arrival>, Attempt> {
        loop {
            // Also where something comes all the time, such as signs of life that say nothing.
            if watch(Heard::Waiting) == ControlFlow::Break(Interruption::Stop) {
                return Err(Attempt::new(FailureKind::Stopped, "the work was stopped"));
            }
            match self.arrivals.recv_timeout(STEP) {
                Ok(arrival) => {
                    self.ended.set(matches!(arrival, Arrival::End));
                    return Ok(Some(arrival));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) if self.ended.get() => return Ok(Some(Arrival::End)),
                // The reader failed without a word.
                Err(RecvTimeoutError::Disconnected) => return Err(Attempt::new(FailureKind::Internal, "the thread that reads the answer failed")),
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                return Ok(None);
            }
        }
    }
}

/// Sends, and passes on what comes, until the end or until nobody listens.
fn carry(post: &Post, sender: &SyncSender<Arrival>) -> Result<(), Attempt> {
    let mut request = post.agent.post(&post.address).header("Content-Type", "application/json");
    if let Some(key) = &post.key {
        request = request.header("Authorization", format!("Bearer {key}"));
    }
    let response = request.send(post.body.as_bytes()).map_err(|error| unanswered(&error))?;
    let headers = response.headers();
    let head = Head {
        status: response.status().as_u16(),
        content_type: header(headers, "content-type").to_lowercase(),
        encoding: header(headers, "content-encoding").to_lowercase(),
        location: header(headers, "location"),
        retry_after: retry_after(&header(headers, "retry-after")),
    };
    if sender.send(Arrival::Head(head)).is_err() {
        return Ok(());
    }
    let mut reader = response.into_body().into_reader();
    let mut buffer = [0; 1 << 14];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => {
                if sender.send(Arrival::Bytes(buffer[..read].to_vec())).is_err() {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(broken(&Error::from(error))),
        }
    }
}

fn header(headers: &HeaderMap, name: &str) -> String {
    let value = headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    value.unwrap_or_default()
}

/// A request that got no answer.
fn unanswered(error: &Error) -> Attempt {
    let kind = match error {
        Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve)
        | Error::HostNotFound
        | Error::ConnectionFailed
        | Error::ConnectProxyFailed(_)
        | Error::Tls(_)
        | Error::Rustls(_) => FailureKind::Unreachable,
        Error::Timeout(_) => FailureKind::TimedOut,
        Error::Io(error) => match error.kind() {
            std::io::ErrorKind::TimedOut => FailureKind::TimedOut,
            std::io::ErrorKind::ConnectionReset
            | std::io::ErrorKind::ConnectionAborted
            | std::io::ErrorKind::BrokenPipe
            | std::io::ErrorKind::UnexpectedEof => FailureKind::Cut,
            _ => FailureKind::Unreachable,
        },
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
