//! What is sent and what comes back, as JSON.

use serde_json::{Map, Value, json};

use super::{EndpointSettings, Interface};
use crate::generator::{Finish, Generation, Request};
use crate::prompts::{Message, Prompt};

/// What stands between thoughts that came apart and the answer.
const AFTER_THOUGHTS: &str = "\n</think>\n\n";

/// The body of a request.
pub(super) fn request(settings: &EndpointSettings, request: &Request<'_>) -> Value {
    let mut body = Map::new();
    body.insert("model".into(), json!(settings.model));
    match (settings.interface, request.prompt) {
        (Interface::Completions, prompt) => body.insert("prompt".into(), json!(prompt.text())),
        (Interface::ChatCompletions, Prompt::Messages(messages)) => body.insert("messages".into(), json!(messages)),
        (Interface::ChatCompletions, Prompt::Text(text)) => body.insert("messages".into(), json!([Message::user(text)])),
    };
    body.insert("temperature".into(), json!(request.settings.temperature));
    body.insert("top_p".into(), json!(request.settings.top_p));
    body.insert("max_tokens".into(), json!(request.settings.max_new_tokens));
    body.insert("seed".into(), json!(request.seed));
    if !request.settings.stop.is_empty() {
        body.insert("stop".into(), json!(request.settings.stop));
    }
    body.insert("stream".into(), json!(settings.stream));
    if settings.stream {
        body.insert("stream_options".into(), json!({"include_usage": true}));
    }
    Value::Object(body)
}

/// One output, put together from one answer or from many pieces.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    reasoning: String,
    content: String,
    finish: Option<String>,
    prompt_tokens: Option<u64>,
    new_tokens: Option<u64>,
}

impl Assembly {
    /// Takes an answer, or a piece of one, and returns the text that it added.
    pub(super) fn take(&mut self, value: &Value) -> Result<String, String> {
        if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
            return Err(format!("it is an error: {}", message_of(error)));
        }
        let Some(choices) = value.get("choices").and_then(Value::as_array) else {
            return Err("it has no \"choices\"".into());
        };
        let mut added = String::new();
        // The last piece may carry the count of tokens and no choice at all.
        if let Some(choice) = choices.first() {
            let message = choice.get("delta").or_else(|| choice.get("message")).unwrap_or(choice);
            let text = |names: [&str; 2]| {
                let found = names
                    .iter()
                    .find_map(|name| message.get(*name).and_then(Value::as_str).filter(|text| !text.is_empty()));
                found.unwrap_or_default()
            };
            // Servers name the thoughts differently, and some send them under both names.
            let reasoning = text(["reasoning_content", "reasoning"]);
            let content = text(["content", "text"]);
            if !reasoning.is_empty() {
                self.reasoning.push_str(reasoning);
                added.push_str(reasoning);
            }
            if !content.is_empty() {
                if self.content.is_empty() && !self.reasoning.is_empty() {
                    added.push_str(AFTER_THOUGHTS);
                }
                self.content.push_str(content);
                added.push_str(content);
            }
            if let Some(finish) = choice.get("finish_reason").and_then(Value::as_str) {
                self.finish = Some(finish.to_owned());
            }
        }
        let usage = |name: &str| value.get("usage").and_then(|usage| usage.get(name)).and_then(Value::as_u64);
        self.prompt_tokens = usage("prompt_tokens").or(self.prompt_tokens);
        self.new_tokens = usage("completion_tokens").or(self.new_tokens);
        Ok(added)
    }

    /// Whether the server said why the output ended.
    pub(super) fn is_finished(&self) -> bool {
        self.finish.is_some()
    }

    /// Bytes of text so far.
    pub(super) fn bytes(&self) -> usize {
        self.reasoning.len() + self.content.len()
    }

    /// The output.
    pub(super) fn generation(self, finish: Option<Finish>) -> Generation {
        let between = if self.reasoning.is_empty() || self.content.is_empty() {
            ""
        } else {
            AFTER_THOUGHTS
        };
        let said = match self.finish.as_deref() {
            None => Finish::Unknown,
            Some("stop" | "eos" | "end_turn") => Finish::Stop,
            Some("length" | "max_tokens") => Finish::Length,
            Some(other) => Finish::Other(other.to_owned()),
        };
        Generation {
            reasoning_bytes: self.reasoning.len(),
            text: [self.reasoning.as_str(), between, self.content.as_str()].concat(),
            finish: finish.unwrap_or(said),
            prompt_tokens: self.prompt_tokens,
            new_tokens: self.new_tokens,
            attempts: 1,
        }
    }
}

/// The output of an answer that came whole.
pub(super) fn generation(answer: &Value) -> Result<Generation, String> {
    let mut assembly = Assembly::default();
    assembly.take(answer)?;
    if answer["choices"].as_array().is_none_or(Vec::is_empty) {
        return Err("its \"choices\" are empty".into());
    }
    if !assembly.is_finished() && assembly.bytes() == 0 {
        return Err("it has neither text nor a reason for its end".into());
    }
    Ok(assembly.generation(None))
}

/// The vectors of an answer, in the order of the texts.
pub(super) fn embeddings(answer: &Value, expected: usize) -> Result<Vec<Vec<f32>>, String> {
    let data = answer.get("data").and_then(Value::as_array).ok_or("it has no \"data\"")?;
    let mut vectors = vec![Vec::new(); expected];
    for (position, entry) in data.iter().enumerate() {
        let index = entry.get("index").and_then(Value::as_u64).map_or(position, |index| index as usize);
        let vector = entry.get("embedding").and_then(Value::as_array).ok_or("an entry has no \"embedding\"")?;
        let vector = vector
            .iter()
            .map(|value| value.as_f64().map(|value| value as f32))
            .collect::<Option<Vec<f32>>>();
        *vectors.get_mut(index).ok_or("it has more vectors than texts")? = vector.ok_or("a vector holds what is no number")?;
    }
    let width = vectors.first().map_or(0, Vec::len);
    if width == 0 || vectors.iter().any(|vector| vector.len() != width) {
        return Err(format!("it does not have {expected} vectors of one width"));
    }
    Ok(vectors)
}

/// What an error in JSON says.
pub(super) fn message_of(error: &Value) -> String {
    match error {
        Value::String(text) => text.clone(),
        other => other.get("message").and_then(Value::as_str).map_or_else(|| other.to_string(), str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::SamplingSettings;

    #[test]
    fn bodies_of_both_interfaces() {
        let mut settings = EndpointSettings::new("http://x/v1", Interface::Completions, "m");
        let sampling = SamplingSettings {
            stop: vec!["END".into()],
            ..SamplingSettings::default()
        };
        let prompt = Prompt::Text("p".into());
        let asked = Request {
            prompt: &prompt,
            settings: &sampling,
            seed: 7,
        };
        let body = request(&settings, &asked);
        assert_eq!(
            body,
            json!({"model": "m", "prompt": "p", "temperature": 0.6, "top_p": 0.95, "max_tokens": 32768, "seed": 7, "stop": ["END"], "stream": true,
                "stream_options": {"include_usage": true}})
        );
        settings.interface = Interface::ChatCompletions;
        settings.stream = false;
        let body = request(&settings, &asked);
        assert_eq!(body["messages"], json!([{"role": "user", "content": "p"}]));
        assert!(body.get("prompt").is_none() && body.get("stream_options").is_none());
    }

    #[test]
    fn thoughts_that_come_apart_stand_first_under_either_name() {
        for name in ["reasoning", "reasoning_content"] {
            let answer = json!({"choices": [{"message": {"content": "42", name: "hm"}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 5}});
            let found = generation(&answer).unwrap();
            assert_eq!(
                (found.text.as_str(), found.reasoning_bytes, found.finish),
                ("hm\n</think>\n\n42", 2, Finish::Stop)
            );
            assert_eq!((found.prompt_tokens, found.new_tokens), (Some(3), Some(5)));
        }
        let cut = json!({"choices": [{"message": {"content": null, "reasoning": "hm"}, "finish_reason": "length"}]});
        let found = generation(&cut).unwrap();
        assert_eq!((found.text.as_str(), found.finish), ("hm", Finish::Length));
    }

    #[test]
    fn pieces_add_up() {
        let mut assembly = Assembly::default();
        let mut heard = String::new();
        for piece in [
            json!({"choices": [{"delta": {"role": "assistant", "content": ""}, "finish_reason": null}]}),
            json!({"choices": [{"delta": {"reasoning": "h", "reasoning_content": "h"}}]}),
            json!({"choices": [{"delta": {"content": "4"}}]}),
            json!({"choices": [{"delta": {"content": "2"}, "finish_reason": "stop"}]}),
            json!({"choices": [], "usage": {"completion_tokens": 4}}),
        ] {
            heard.push_str(&assembly.take(&piece).unwrap());
        }
        let found = assembly.generation(None);
        assert_eq!(found.text, heard);
        assert_eq!((found.text.as_str(), found.new_tokens), ("h\n</think>\n\n42", Some(4)));
    }

    #[test]
    fn what_is_no_answer_is_told() {
        assert!(
            generation(&json!({"error": {"message": "out of memory"}}))
                .unwrap_err()
                .contains("out of memory")
        );
        for wrong in [
            json!({}),
            json!(3),
            json!({"choices": []}),
            json!({"choices": [{}]}),
            json!({"choices": [{"text": 5}]}),
        ] {
            assert!(generation(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn vectors_in_the_order_of_the_texts() {
        let answer = json!({"data": [{"index": 1, "embedding": [3, 4.5]}, {"index": 0, "embedding": [1, 2]}]});
        assert_eq!(embeddings(&answer, 2).unwrap(), [vec![1.0, 2.0], vec![3.0, 4.5]]);
        assert!(embeddings(&answer, 3).is_err());
        assert!(embeddings(&json!({"data": [{"embedding": ["x"]}]}), 1).is_err());
    }
}
