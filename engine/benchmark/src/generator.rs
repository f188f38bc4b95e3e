//! Whoever turns a prompt into text: an endpoint, or later the program's own model.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use crate::prompts::Prompt;

/// How text is sampled. The defaults are the paper's (appendix D).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SamplingSettings {
    /// Temperature; 0 is greedy.
    pub temperature: f64,
    /// Nucleus sampling: the share of probability that tokens are drawn from.
    pub top_p: f64,
    /// At most so many new tokens.
    pub max_new_tokens: usize,
    /// Texts that end the output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// Whether an output that only repeats itself is ended early (appendix P). Off unless asked for, and part of the key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stop_on_collapse: bool,
}

impl Default for SamplingSettings {
    fn default() -> Self {
        Self {
            temperature: 0.6,
            top_p: 0.95,
            max_new_tokens: 32_768,
            stop: Vec::new(),
            stop_on_collapse: false,
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The prompt.
    pub prompt: &'a Prompt,
    /// How to sample.
    pub settings: &'a SamplingSettings,
    /// Seed of this sample.
    pub seed: u64,
}

/// Why an output ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finish {
    /// The model ended it, or a stop text did.
    Stop,
    /// It reached the limit of new tokens.
    Length,
    /// It only repeated itself and was ended early.
    Collapse,
    /// The generator did not say.
    Unknown,
    /// The generator's own word.
    Other(String),
}

/// What was generated.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// The output. Thoughts that came apart from the answer stand first, closed by `</think>`.
    pub text: String,
    /// How many of its bytes came apart, as thoughts.
    pub reasoning_bytes: usize,
    /// Why it ended.
    pub finish: Finish,
    /// Tokens of the prompt, if the generator said so.
    pub prompt_tokens: Option<u64>,
    /// Tokens of the output, if the generator said so.
    pub new_tokens: Option<u64>,
    /// How many times it had to be asked.
    pub attempts: u32,
    /// The model that the answer names, where that is not the one that was asked.
    pub answered_by: Option<String>,
}

/// What kind of thing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// Nobody answers at that address.
    Unreachable,
    /// It wants fewer requests (429).
    RateLimited,
    /// It failed itself (5xx).
    ServerError,
    /// It went silent, or took too long.
    TimedOut,
    /// The answer broke off.
    Cut,
    /// The answer is not what it should be.
    Garbled,
    /// The answer does not end.
    Endless,
    /// It does not take this request (4xx).
    Refused,
    /// It does not take this key (401, 403).
    Unauthorised,
    /// It has no such model or address (404).
    NotFound,
    /// It sends the request on to another address (3xx). A key is sent to no address that nobody named.
    Redirected,
    /// The model declines to answer, and the server says so apart from any text.
    Declined,
    /// The model calls a tool rather than answer.
    ToolCall,
    /// The server broke the text off and says so, such as `abort`.
    Aborted,
    /// A filter took the text away.
    ContentFilter,
    /// The text is empty, although the answer has an end.
    NoText,
    /// The answer holds no choice at all.
    NoChoice,
    /// The program itself failed, not the server.
    Internal,
    /// The person stopped the work.
    Stopped,
}

impl FailureKind {
    /// The name in files.
    pub fn name(self) -> String {
        let name = serde_json::to_value(self).ok();
        name.as_ref().and_then(serde_json::Value::as_str).unwrap_or(self.words()).to_owned()
    }

    /// In a few words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Unreachable => "nobody answers",
            Self::RateLimited => "too many requests",
            Self::ServerError => "the server failed",
            Self::TimedOut => "timed out",
            Self::Cut => "the answer broke off",
            Self::Garbled => "the answer is garbled",
            Self::Endless => "the answer does not end",
            Self::Refused => "the request was refused",
            Self::Unauthorised => "the key was refused",
            Self::NotFound => "no such model or address",
            Self::Redirected => "the address leads to another",
            Self::Declined => "the model declined to answer",
            Self::ToolCall => "a tool call instead of an answer",
            Self::Aborted => "the server aborted the text",
            Self::ContentFilter => "a content filter took the text",
            Self::NoText => "the text is empty",
            Self::NoChoice => "the answer holds no choice",
            Self::Internal => "this program failed",
            Self::Stopped => "stopped",
        }
    }

    /// Whether asking again may help.
    pub const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Unreachable | Self::RateLimited | Self::ServerError | Self::TimedOut | Self::Cut | Self::Garbled | Self::Aborted | Self::NoChoice
        )
    }

    /// Whether every other request will fail alike, so that there is no point in going on.
    pub const fn ends_the_run(self) -> bool {
        matches!(self, Self::Unauthorised | Self::NotFound | Self::Redirected | Self::Internal | Self::Stopped)
    }

    /// Whether it says something of the model and the question, rather than of the way to the server: such failures are written
    /// down beside the samples and counted wherever these are.
    pub const fn is_kept(self) -> bool {
        matches!(
            self,
            Self::Endless | Self::Refused | Self::Declined | Self::ToolCall | Self::Aborted | Self::ContentFilter | Self::NoText | Self::NoChoice
        )
    }
}

/// Why nothing was generated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", kind.words())]
pub struct GenerateError {
    /// What kind of thing.
    pub kind: FailureKind,
    /// What the generator said.
    pub message: String,
    /// How many times it was asked.
    pub attempts: u32,
}

/// What makes text, under a name that samples are filed by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Engine {
    /// Such as `openai-completions`.
    pub name: String,
    /// Its version, as far as it is known.
    pub version: String,
}

/// The model behind a generator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelIdentity {
    /// Its name.
    pub name: String,
    /// The digest of its files, where they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// Whoever turns a prompt into text. Several threads ask at once.
pub trait Generator: Sync {
    /// What makes the text.
    fn engine(&self) -> Engine;

    /// The model.
    fn model(&self) -> ModelIdentity;

    /// Text of a special token that it puts before every prompt, where the model's tokenizer would not: whoever reads prompt and output
    /// later must put it there.
    fn prompt_begin(&self) -> Option<String> {
        None
    }

    /// Generates one output and tells `watch` how it goes; `watch` can break it off.
    ///
    /// # Errors
    ///
    /// When nothing whole could be generated, however often it was tried.
    fn generate(&self, request: &Request<'_>, watch: &mut Watch<'_>) -> Result<Generation, GenerateError>;
}

/// Who is told how an output goes, and can break it off.
pub type Watch<'a> = dyn FnMut(Heard<'_>) -> ControlFlow<Interruption> + 'a;

/// What a watcher is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    /// The output begins, perhaps once more: what was heard before does not count.
    Beginning,
    /// So much more text.
    Text(&'a str),
    /// Nothing yet.
    Waiting,
}

/// Why a watcher breaks an output off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// The output is enough: it is kept, with this reason.
    Collapse,
    /// The work stops: nothing is kept.
    Stop,
}
