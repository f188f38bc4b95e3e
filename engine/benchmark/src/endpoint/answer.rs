//! An answer, put together from one message or from many pieces, and the one check that decides whether it is a sample.

use serde_json::Value;

use super::body::{kind_of_status, message_of};
use super::finish::meaning;
use super::message::{self, Said};
use super::secrets::Secrets;
use crate::generator::{FailureKind, Finish, Generation, Request};

/// What stands between thoughts that came apart and the answer.
const AFTER_THOUGHTS: &str = "\n</think>\n\n";
/// Bytes of text that one token may have on average before a text counts as endless: no tokenizer's does.
const BYTES_A_TOKEN: usize = 256;
/// Pieces without text that may come for every token that was asked for: signs of life while a server computes.
const QUIET_PIECES_A_TOKEN: usize = 64;

/// Why an answer is no sample.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoSample {
    pub(super) kind: FailureKind,
    pub(super) why: String,
}

impl NoSample {
    pub(super) fn new(kind: FailureKind, why: impl Into<String>) -> Self {
        Self { kind, why: why.into() }
    }

    fn garbled(why: impl Into<String>) -> Self {
        Self::new(FailureKind::Garbled, why)
    }
}

/// Bytes of text that an answer to a request may have.
pub(super) fn largest_text(request: &Request<'_>) -> usize {
    request.settings.max_new_tokens.saturating_mul(BYTES_A_TOKEN)
}

/// One output, put together from one answer or from many pieces.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    said: Said,
    finish: Option<String>,
    /// Whether any choice came at all.
    chose: bool,
    pieces: usize,
    quiet_pieces: usize,
    prompt_tokens: Option<u64>,
    new_tokens: Option<u64>,
    model: Option<String>,
}

impl Assembly {
    /// Takes an answer, or a piece of one, and returns the text that it added. A piece without a choice, such as a count of tokens or
    /// a sign of life, adds nothing.
    pub(super) fn take(&mut self, value: &Value) -> Result<String, NoSample> {
        if value.is_null() {
            self.quiet_pieces += 1;
            return Ok(String::new());
        }
        if !value.is_object() {
            return Err(NoSample::garbled("it is no object"));
        }
        if let Some(error) = error_in(value) {
            return Err(error);
        }
        let usage = |name: &str| value.get("usage").and_then(|usage| usage.get(name)).and_then(Value::as_u64);
        self.prompt_tokens = usage("prompt_tokens").or(self.prompt_tokens);
        self.new_tokens = usage("completion_tokens").or(self.new_tokens);
        if let Some(model) = value.get("model").and_then(Value::as_str).filter(|model| !model.is_empty()) {
            self.model = Some(model.to_owned());
        }
        let choices = match value.get("choices") {
            None | Some(Value::Null) => &[],
            Some(Value::Array(choices)) => choices.as_slice(),
            Some(other) => return Err(NoSample::garbled(format!("its \"choices\" are {other}, not a list"))),
        };
        // One choice was asked for; of several, the first is the one.
        let first = |choice: &&Value| choice.get("index").and_then(Value::as_u64).is_none_or(|index| index == 0);
        let Some(choice) = choices.iter().find(first) else {
            self.quiet_pieces += 1;
            return Ok(String::new());
        };
        self.chose = true;
        if let Some(finish) = choice.get("finish_reason").and_then(Value::as_str) {
            self.finish = Some(finish.to_owned());
        }
        let message = ["delta", "message"]
            .iter()
            .find_map(|name| choice.get(*name).filter(|message| !message.is_null()));
        let new = message::read(message.unwrap_or(choice)).map_err(NoSample::garbled)?;
        let mut added = new.thoughts.clone();
        if !new.text.is_empty() && self.said.text.is_empty() && !(self.said.thoughts.is_empty() && new.thoughts.is_empty()) {
            added.push_str(AFTER_THOUGHTS);
        }
        added.push_str(&new.text);
        if added.is_empty() {
            self.quiet_pieces += 1;
        } else {
            self.pieces += 1;
        }
        self.said.thoughts.push_str(&new.thoughts);
        self.said.text.push_str(&new.text);
        self.said.refusal.push_str(&new.refusal);
        self.said.tool = new.tool.or(self.said.tool.take());
        Ok(added)
    }

    /// Whether the server said why the output ended.
    pub(super) fn is_finished(&self) -> bool {
        self.finish.is_some()
    }

    /// Whether nothing was taken yet.
    pub(super) fn is_untouched(&self) -> bool {
        self.pieces + self.quiet_pieces == 0
    }

    /// How much came, in words.
    pub(super) fn amount(&self) -> String {
        format!("{} pieces and {} bytes", self.pieces, self.bytes())
    }

    fn bytes(&self) -> usize {
        self.said.thoughts.len() + self.said.text.len()
    }

    /// Refuses an answer that has more text, or more pieces, than the tokens that were asked for can make.
    pub(super) fn within(&self, request: &Request<'_>) -> Result<(), NoSample> {
        let asked = request.settings.max_new_tokens;
        let pieces = asked.saturating_mul(2).saturating_add(1024);
        let quiet = asked.saturating_mul(QUIET_PIECES_A_TOKEN).saturating_add(1 << 16);
        if self.pieces > pieces || self.quiet_pieces > quiet || self.bytes() > largest_text(request) {
            return Err(NoSample::new(
                FailureKind::Endless,
                format!("{asked} tokens were asked for, and {} came", self.amount()),
            ));
        }
        Ok(())
    }

    /// The output, if the answer is one. Streams and whole answers both end here.
    pub(super) fn sample(self, asked: &str, secrets: &Secrets) -> Result<Generation, NoSample> {
        let finish = self.finish.as_deref().map_or(Ok(Finish::Unknown), meaning);
        let word = self.finish.as_deref().unwrap_or("nothing");
        if !self.said.refusal.is_empty() {
            return Err(NoSample::new(FailureKind::Declined, self.said.refusal));
        }
        if let Some(tool) = &self.said.tool {
            let named = if tool.is_empty() { String::new() } else { format!(" \"{tool}\"") };
            return Err(NoSample::new(FailureKind::ToolCall, format!("it calls a tool{named}, and no tool was offered")));
        }
        let finish = finish.map_err(|kind| NoSample::new(kind, format!("it ended with \"{word}\" after {}", self.amount())))?;
        if !self.chose {
            return Err(NoSample::new(FailureKind::NoChoice, "it holds no choice, and so no text"));
        }
        self.generation(finish, asked, secrets)
    }

    /// The output as it is, ended for a reason of one's own.
    pub(super) fn generation(self, finish: Finish, asked: &str, secrets: &Secrets) -> Result<Generation, NoSample> {
        if self.said.thoughts.trim().is_empty() && self.said.text.trim().is_empty() {
            let counted = self
                .new_tokens
                .map_or_else(String::new, |tokens| format!(", although the server counted {tokens} tokens"));
            let word = self.finish.as_deref().unwrap_or("nothing");
            return Err(NoSample::new(FailureKind::NoText, format!("no text came{counted}; it ended with \"{word}\"")));
        }
        let (thoughts, text) = (secrets.hide_in_text(&self.said.thoughts), secrets.hide_in_text(&self.said.text));
        let between = if thoughts.is_empty() || text.is_empty() { "" } else { AFTER_THOUGHTS };
        Ok(Generation {
            reasoning_bytes: thoughts.len(),
            text: [thoughts.as_str(), between, text.as_str()].concat(),
            finish: match finish {
                Finish::Other(word) => Finish::Other(secrets.hide_in_text(&word)),
                known => known,
            },
            prompt_tokens: self.prompt_tokens,
            new_tokens: self.new_tokens,
            attempts: 1,
            answered_by: self.model.filter(|model| model != asked).map(|model| secrets.hide(&model)),
        })
    }
}

/// The error that an answer is, if it is one: with the field `error`, or in the older form that says so in `object`.
fn error_in(value: &Value) -> Option<NoSample> {
    let filled = value.get("error").filter(|error| !matches!(error, Value::Null | Value::Bool(false)));
    let older = value.get("object").and_then(Value::as_str) == Some("error");
    let error = filled.or_else(|| older.then_some(value))?;
    // The code is a number, a number in quotes, or a word.
    let code = error.get("code").or_else(|| error.get("status")).or_else(|| value.get("code"));
    let number = code.and_then(|code| code.as_u64().or_else(|| code.as_str()?.parse().ok()));
    let word = code.and_then(Value::as_str).unwrap_or_default();
    let kind = match number {
        _ if word == "content_filter" => FailureKind::ContentFilter,
        Some(status @ 400..=599) => kind_of_status(status as u16),
        _ => FailureKind::ServerError,
    };
    Some(NoSample::new(kind, message_of(error)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample(pieces: &[Value]) -> Result<(String, Finish, usize), FailureKind> {
        let mut assembly = Assembly::default();
        let mut heard = String::new();
        for piece in pieces {
            heard.push_str(&assembly.take(piece).map_err(|no| no.kind)?);
        }
        let found = assembly.sample("m", &Secrets::default()).map_err(|no| no.kind)?;
        assert_eq!(found.text, heard, "what was heard is what is kept");
        Ok((found.text, found.finish, found.reasoning_bytes))
    }

    #[test]
    fn thoughts_stand_first_and_pieces_add_up() {
        let whole = json!({"choices": [{"message": {"content": "42", "reasoning": "hm"}, "finish_reason": "stop"}], "usage": {"completion_tokens": 5}});
        let expected = ("hm\n</think>\n\n42".to_owned(), Finish::Stop, 2);
        assert_eq!(sample(&[whole]), Ok(expected.clone()));
        let pieces = [
            json!({"choices": [{"delta": {"role": "assistant", "content": ""}, "finish_reason": null}]}),
            json!({"choices": [{"delta": {"reasoning": "h", "reasoning_content": "h"}}]}),
            json!({"choices": null, "usage": null}),
            json!({"choices": [{"delta": {"reasoning": "m"}}, {"index": 1, "delta": {"content": "another choice"}}]}),
            Value::Null,
            json!({"choices": [{"delta": {"content": "4"}, "finish_reason": "stop"}]}),
            json!({"choices": [{"delta": {"content": "2"}}]}),
            json!({"object": "chat.completion.chunk", "usage": {"completion_tokens": 4}}),
            json!({"choices": []}),
        ];
        assert_eq!(sample(&pieces), Ok(expected));
        let cut = json!({"choices": [{"message": {"content": null, "reasoning": "hm"}, "finish_reason": "length"}]});
        assert_eq!(sample(&[cut]), Ok(("hm".into(), Finish::Length, 2)));
    }

    #[test]
    fn an_answer_without_usable_text_is_no_sample() {
        let choice = |message: Value, finish: &str| json!({"choices": [{"message": message, "finish_reason": finish}], "usage": {"completion_tokens": 4}});
        for (answer, kind) in [
            (choice(json!({"content": ""}), "stop"), FailureKind::NoText),
            (choice(json!({"content": " \n"}), "length"), FailureKind::NoText),
            (choice(json!({"content": null, "refusal": "no"}), "stop"), FailureKind::Declined),
            (choice(json!({"content": "I ", "refusal": "no"}), "stop"), FailureKind::Declined),
            (
                choice(json!({"content": null, "tool_calls": [{"function": {"name": "f"}}]}), "stop"),
                FailureKind::ToolCall,
            ),
            (choice(json!({"content": "I call"}), "tool_calls"), FailureKind::ToolCall),
            (choice(json!({"content": "The ans"}), "abort"), FailureKind::Aborted),
            (choice(json!({"content": "The ans"}), "content_filter"), FailureKind::ContentFilter),
            (json!({"choices": []}), FailureKind::NoChoice),
            (json!({"choices": null, "usage": {"completion_tokens": 4}}), FailureKind::NoChoice),
            (json!({"error": {"message": "out of memory"}}), FailureKind::ServerError),
            (json!({"error": {"message": "too long", "code": 400}}), FailureKind::Refused),
            (json!({"error": {"message": "no", "code": "content_filter"}}), FailureKind::ContentFilter),
            (json!({"object": "error", "message": "engine died", "code": 500}), FailureKind::ServerError),
            (json!({"error": "slow down", "code": "429"}), FailureKind::RateLimited),
            (json!(3), FailureKind::Garbled),
            (json!({"choices": 3}), FailureKind::Garbled),
            (json!({"choices": [{"text": 5}]}), FailureKind::Garbled),
        ] {
            assert_eq!(sample(std::slice::from_ref(&answer)), Err(kind), "{answer}");
        }
    }

    #[test]
    fn another_models_name_is_kept_and_echoed_keys_are_not() {
        let mut settings = super::super::EndpointSettings::new("http://h/v1", super::super::Interface::Completions, "m");
        settings.key = Some(super::super::Secret::new("sk-0123456789"));
        let secrets = Secrets::of(&settings, None);
        let take = |model: &str| {
            let mut assembly = Assembly::default();
            let answer = json!({"model": model, "choices": [{"text": "key sk-0123456789", "finish_reason": "stop"}]});
            assembly.take(&answer).unwrap();
            assembly.sample("m", &secrets).unwrap()
        };
        assert_eq!(take("n").answered_by.as_deref(), Some("n"));
        assert_eq!((take("m").answered_by, take("m").text.as_str()), (None, "key [redacted]"));
    }
}
