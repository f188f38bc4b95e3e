//! Servers that speak OpenAI's language: vLLM, llama.cpp's server, hosted APIs.
//!
//! One request is one sample. What may pass (429, 5xx, silence, a broken connection, garbage) is tried again after a pause;
//! a text that does not end is not. What came whole and has text is handed on, and nothing else: a refusal, a call of a tool,
//! a text that a filter took or that is empty is a failure of a kind of its own.

mod answer;
mod attempt;
mod backoff;
mod body;
mod connection;
mod exchange;
mod finish;
mod message;
mod secrets;
mod stream;

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use cruxscope_study::printable;
use serde_json::Value;

pub use backoff::RetryPolicy;

use crate::error::BenchmarkError;
use crate::generator::{Engine, FailureKind, GenerateError, Generation, Generator, Heard, Interruption, ModelIdentity, Request, Watch};
use answer::NoSample;
use attempt::Attempt;
use secrets::Secrets;

/// Which of the two interfaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interface {
    /// `/v1/completions`: text is continued as it is.
    #[default]
    Completions,
    /// `/v1/chat/completions`: the server puts messages into its own template.
    ChatCompletions,
}

impl Interface {
    const fn path(self) -> &'static str {
        match self {
            Self::Completions => "completions",
            Self::ChatCompletions => "chat/completions",
        }
    }

    /// The name under which samples are filed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Completions => "openai-completions",
            Self::ChatCompletions => "openai-chat-completions",
        }
    }
}

/// A key to an endpoint. It is sent, and shown nowhere.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// A key; white space around it is dropped.
    pub fn new(key: &str) -> Self {
        Self(key.trim().to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// How to reach an endpoint.
#[derive(Clone)]
pub struct EndpointSettings {
    /// Its address up to and with `/v1`, such as `http://127.0.0.1:8000/v1`.
    pub address: String,
    /// Which interface.
    pub interface: Interface,
    /// The model's name there.
    pub model: String,
    /// The digest of the model's files, where the person knows it.
    pub model_digest: Option<String>,
    /// The server's version, as far as the person knows it; part of a sample's key.
    pub version: String,
    /// Whether text is asked for as it comes.
    pub stream: bool,
    /// The key, if one is needed.
    pub key: Option<Secret>,
    /// How long the server may be silent while it streams.
    pub silence: Duration,
    /// How long one answer may take altogether.
    pub longest: Duration,
    /// When and how often to try again.
    pub retry: RetryPolicy,
}

impl EndpointSettings {
    /// Settings with the usual patience.
    pub fn new(address: &str, interface: Interface, model: &str) -> Self {
        Self {
            address: address.trim_end_matches('/').to_owned(),
            interface,
            model: model.to_owned(),
            model_digest: None,
            version: "unknown".into(),
            stream: true,
            key: None,
            silence: Duration::from_secs(300),
            longest: Duration::from_secs(4 * 3600),
            retry: RetryPolicy::default(),
        }
    }

    /// The address as it may be printed: what stands before its `@` is left out.
    pub fn shown_address(&self) -> String {
        secrets::shown(&self.address)
    }
}

impl fmt::Debug for EndpointSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointSettings")
            .field("address", &self.shown_address())
            .field("interface", &self.interface)
            .field("model", &self.model)
            .field("stream", &self.stream)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// An endpoint, ready to be asked by many threads.
#[derive(Debug)]
pub struct Endpoint {
    settings: EndpointSettings,
    agent: ureq::Agent,
    secrets: Secrets,
    /// Nobody asks before this moment: one 429 is told to one thread but meant for all.
    not_before: Mutex<Option<Instant>>,
}

impl Endpoint {
    /// Checks the settings; nothing is asked yet.
    ///
    /// # Errors
    ///
    /// If the address is none, no model is named, or the key cannot be sent.
    pub fn new(settings: EndpointSettings) -> Result<Self, BenchmarkError> {
        let shown = settings.shown_address();
        // What follows a question mark is often a key.
        let (shown, rest) = shown
            .split_once(['?', '#'])
            .map_or((shown.as_str(), None), |(before, rest)| (before, Some(rest)));
        if !settings.address.starts_with("http://") && !settings.address.starts_with("https://") || rest.is_some() {
            return Err(BenchmarkError::Setting {
                setting: "the endpoint",
                value: format!("\"{}\"", printable(shown)),
                rule: match rest {
                    Some(_) => "it must end before any ? or #; a key is sent from an environment variable".into(),
                    None => "it must be an address such as http://127.0.0.1:8000/v1".into(),
                },
            });
        }
        if settings.key.as_ref().is_some_and(|key| !key.0.bytes().all(|byte| (0x20..0x7f).contains(&byte))) {
            return Err(BenchmarkError::Setting {
                setting: "the endpoint's key",
                value: "not sent".into(),
                rule: "a key must be printable ASCII on one line, and this one is not".into(),
            });
        }
        if settings.model.is_empty() {
            return Err(BenchmarkError::Setting {
                setting: "the endpoint's model",
                value: "empty".into(),
                rule: "a server wants to know which model is meant".into(),
            });
        }
        // Without streaming nothing comes until everything does.
        let silence = if settings.stream { settings.silence } else { settings.longest };
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // A request that is sent on is repeated without its body, and its key goes to an address that nobody named.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(Duration::from_secs(30)))
            .timeout_per_read(Some(silence))
            .timeout_global(Some(settings.longest))
            .max_idle_connections_per_host(64)
            .max_idle_connections(64)
            .user_agent(concat!("cruxscope/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        Ok(Self {
            secrets: Secrets::of(&settings, agent.config().proxy()),
            settings,
            agent,
            not_before: Mutex::new(None),
        })
    }

    /// The vectors of some texts, from `/v1/embeddings`, in the texts' order. `stop` is asked now and then whether to stop.
    ///
    /// # Errors
    ///
    /// When the endpoint gives none, however often it is tried, or the work is stopped.
    pub fn embeddings(&self, texts: &[&str], stop: &dyn Fn() -> bool) -> Result<Vec<Vec<f32>>, GenerateError> {
        let request = serde_json::json!({"model": self.settings.model, "input": texts});
        let mut watch = |_: Heard<'_>| {
            if stop() {
                ControlFlow::Break(Interruption::Stop)
            } else {
                ControlFlow::Continue(())
            }
        };
        self.persist(0, &mut watch, |watch| {
            let answer = self.whole("embeddings", &request, 64 << 20, watch)?;
            let garbled = |why: String| self.refuse(NoSample::new(FailureKind::Garbled, why), answer.to_string().as_bytes());
            body::embeddings(&answer, texts.len()).map_err(garbled)
        })
        .map(|(vectors, _)| vectors)
    }

    /// Tries again and again while there is hope.
    fn persist<Result_>(
        &self,
        seed: u64,
        watch: &mut Watch<'_>,
        mut attempt: impl FnMut(&mut Watch<'_>) -> Result<Result_, Attempt>,
    ) -> Result<(Result_, u32), GenerateError> {
        let policy = &self.settings.retry;
        let mut attempts = 0;
        loop {
            self.wait_for_all(watch).map_err(|()| stopped(attempts))?;
            attempts += 1;
            let Attempt { kind, message, retry_after } = match attempt(watch) {
                Ok(result) => return Ok((result, attempts)),
                Err(failed) => failed,
            };
            if !kind.is_transient() || attempts >= policy.attempts {
                // Whatever a library says of an address may name what stands before its `@`.
                let message = printable(&self.secrets.hide(&message)).into_owned();
                return Err(GenerateError { kind, message, attempts });
            }
            let pause = policy.pause(attempts, retry_after, seed);
            if kind == FailureKind::RateLimited
                && let Ok(mut not_before) = self.not_before.lock()
            {
                *not_before = (*not_before).max(Some(Instant::now() + pause));
            }
            wait(Instant::now() + pause, watch).map_err(|()| stopped(attempts))?;
        }
    }

    /// Waits until anyone may ask.
    fn wait_for_all(&self, watch: &mut Watch<'_>) -> Result<(), ()> {
        let until = self.not_before.lock().ok().and_then(|not_before| *not_before);
        wait(until.unwrap_or_else(Instant::now), watch)
    }
}

impl Generator for Endpoint {
    fn engine(&self) -> Engine {
        Engine {
            name: self.settings.interface.name().into(),
            version: self.settings.version.clone(),
        }
    }

    fn model(&self) -> ModelIdentity {
        ModelIdentity {
            name: self.settings.model.clone(),
            digest: self.settings.model_digest.clone(),
        }
    }

    fn generate(&self, request: &Request<'_>, watch: &mut Watch<'_>) -> Result<Generation, GenerateError> {
        let body: Value = body::request(&self.settings, request);
        let path = self.settings.interface.path();
        // Prompts share seeds, so the text takes part in spreading the pauses.
        let spread = request.seed ^ request.prompt.bytes().iter().fold(0, |sum: u64, byte| sum.rotate_left(5) ^ u64::from(*byte));
        let (generation, attempts) = self.persist(spread, watch, |watch| self.output(path, &body, request, watch))?;
        Ok(Generation { attempts, ..generation })
    }
}

fn stopped(attempts: u32) -> GenerateError {
    GenerateError {
        kind: FailureKind::Stopped,
        message: "the work was stopped".into(),
        attempts,
    }
}

/// Sleeps until a moment, in short steps, so that a stop is soon heard.
fn wait(until: Instant, watch: &mut Watch<'_>) -> Result<(), ()> {
    loop {
        if watch(Heard::Waiting) == ControlFlow::Break(Interruption::Stop) {
            return Err(());
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(Duration::from_millis(100)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_nowhere() {
        let mut settings = EndpointSettings::new("http://localhost/v1/", Interface::Completions, "m");
        settings.key = Some(Secret::new("sk-very-secret\n"));
        let endpoint = Endpoint::new(settings).unwrap();
        assert!(!format!("{endpoint:?}").contains("very-secret"));
    }

    #[test]
    fn credentials_of_an_address_are_shown_nowhere() {
        let settings = EndpointSettings::new("http://ann:very-secret@localhost/v1", Interface::Completions, "m");
        assert!(!format!("{settings:?} {:?}", Endpoint::new(settings.clone()).unwrap()).contains("very-secret"));
        assert_eq!(settings.shown_address(), "http://[redacted]@localhost/v1");
        for address in ["ftp://ann:very-secret@localhost", "http://localhost/v1?api-key=very-secret"] {
            let error = Endpoint::new(EndpointSettings::new(address, Interface::Completions, "m")).unwrap_err();
            assert!(!error.to_string().contains("very-secret"), "{error}");
        }
        let mut settings = EndpointSettings::new("http://localhost/v1", Interface::Completions, "m");
        settings.key = Some(Secret::new("very\nsecret"));
        assert!(!Endpoint::new(settings).unwrap_err().to_string().contains("secret"));
    }

    #[test]
    fn addresses_and_models_are_checked() {
        assert!(
            Endpoint::new(EndpointSettings::new("localhost:8000", Interface::Completions, "m"))
                .unwrap_err()
                .is_user_error()
        );
        assert!(Endpoint::new(EndpointSettings::new("http://localhost", Interface::Completions, "")).is_err());
    }
}
