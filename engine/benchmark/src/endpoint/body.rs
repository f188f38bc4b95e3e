//! What is sent, and the small forms of what comes back: vectors, errors, statuses.

use serde_json::{Map, Value, json};

use super::{EndpointSettings, Interface};
use crate::generator::{FailureKind, Request};
use crate::prompts::{Message, Prompt};

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

/// What a status that is no success means.
pub(super) fn kind_of_status(status: u16) -> FailureKind {
    match status {
        300..=399 => FailureKind::Redirected,
        401 | 403 => FailureKind::Unauthorised,
        404 => FailureKind::NotFound,
        408 | 504 => FailureKind::TimedOut,
        429 => FailureKind::RateLimited,
        500..=599 => FailureKind::ServerError,
        _ => FailureKind::Refused,
    }
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
        other => ["message", "detail"]
            .iter()
            .find_map(|name| other.get(*name).and_then(Value::as_str))
            .map_or_else(|| other.to_string(), str::to_owned),
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
    fn vectors_in_the_order_of_the_texts() {
        let answer = json!({"data": [{"index": 1, "embedding": [3, 4.5]}, {"index": 0, "embedding": [1, 2]}]});
        assert_eq!(embeddings(&answer, 2).unwrap(), [vec![1.0, 2.0], vec![3.0, 4.5]]);
        assert!(embeddings(&answer, 3).is_err());
        assert!(embeddings(&json!({"data": [{"embedding": ["x"]}]}), 1).is_err());
    }
}
