//! What one choice of an answer says: thoughts, text, and what stands there instead of text.
//!
//! Servers write the same thing in many ways. Text is a string, or a list of parts that belong together; thoughts are a field
//! of their own under several names, or parts among the others.

use serde_json::Value;

/// What a message, or a piece of one, adds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// Thoughts.
    pub(super) thoughts: String,
    /// Text.
    pub(super) text: String,
    /// Words of a refusal, where the server sends them apart.
    pub(super) refusal: String,
    /// The name of a tool that is called, empty where it has none.
    pub(super) tool: Option<String>,
}

/// Reads a message, or a piece of one.
///
/// # Errors
///
/// If what should be text is something else.
pub(super) fn read(message: &Value) -> Result<Said, String> {
    let mut said = Said::default();
    if let Value::String(text) = message {
        said.text.push_str(text);
        return Ok(said);
    }
    for name in ["content", "text"] {
        if let Some(content) = filled(message, name) {
            add_content(&mut said, content, name)?;
            break;
        }
    }
    // Some servers send the thoughts under two names.
    if said.thoughts.is_empty()
        && let Some(thoughts) = ["reasoning_content", "reasoning", "thinking", "reasoning_details"]
            .iter()
            .find_map(|name| filled(message, name))
    {
        said.thoughts = thoughts_of(thoughts);
    }
    if let Some(refusal) = message.get("refusal") {
        said.refusal.push_str(&thoughts_of(refusal));
    }
    let called = message.get("tool_calls").and_then(Value::as_array).and_then(|calls| calls.first());
    if let Some(call) = called.or_else(|| message.get("function_call").filter(|call| call.is_object())) {
        said.tool = Some(name_of(call));
    }
    Ok(said)
}

/// A field that is there and holds something.
fn filled<'a>(message: &'a Value, name: &str) -> Option<&'a Value> {
    message.get(name).filter(|value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(parts) => !parts.is_empty(),
        _ => true,
    })
}

/// Text, or a list of parts; a part is text, thoughts, a refusal or a call.
fn add_content(said: &mut Said, content: &Value, name: &str) -> Result<(), String> {
    let parts = match content {
        Value::String(text) => {
            said.text.push_str(text);
            return Ok(());
        }
        Value::Array(parts) => parts.as_slice(),
        Value::Object(_) => std::slice::from_ref(content),
        other => return Err(format!("its \"{name}\" is {other}, not text")),
    };
    for part in parts {
        if let Value::String(text) = part {
            said.text.push_str(text);
            continue;
        }
        let kind = part.get("type").and_then(Value::as_str).unwrap_or("text");
        match kind {
            "thinking" | "reasoning" | "redacted_thinking" => said.thoughts.push_str(&thoughts_of(part)),
            "refusal" => said.refusal.push_str(&thoughts_of(part.get("refusal").unwrap_or(part))),
            "tool_use" | "tool_call" | "function_call" => said.tool = Some(name_of(part)),
            _ => match part.get("text") {
                Some(Value::String(text)) => said.text.push_str(text),
                // As some servers nest it, with annotations beside.
                Some(Value::Object(text)) => said.text.push_str(text.get("value").and_then(Value::as_str).unwrap_or_default()),
                Some(Value::Null) | None if part.is_object() => {}
                Some(other) => return Err(format!("a part of its \"{name}\" is {other}, not text")),
                None => return Err(format!("a part of its \"{name}\" is {part}, not text")),
            },
        }
    }
    Ok(())
}

/// The text in thoughts, however deep: a string, a list, or an object that keeps it under one of several names.
fn thoughts_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(thoughts_of).collect(),
        Value::Object(fields) => ["thinking", "text", "reasoning", "content", "summary", "refusal"]
            .iter()
            .find_map(|name| fields.get(*name).filter(|inner| !inner.is_null()))
            .map_or_else(String::new, thoughts_of),
        _ => String::new(),
    }
}

/// The name of the tool in a call.
fn name_of(call: &Value) -> String {
    let function = call.get("function").unwrap_or(call);
    function.get("name").and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(message: Value) -> (String, String) {
        let said = read(&message).unwrap();
        (said.thoughts, said.text)
    }

    #[test]
    fn text_and_thoughts_in_every_form() {
        for message in [
            json!({"content": "42", "reasoning": "hm"}),
            json!({"content": "42", "reasoning_content": "hm", "reasoning": "hm"}),
            json!({"content": "42", "reasoning_content": "", "thinking": "hm"}),
            json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "42"}]}),
            json!({"content": [{"type": "thinking", "thinking": "hm"}, {"type": "output_text", "text": "4"}, {"text": "2"}]}),
            json!({"content": ["4", {"type": "text", "text": {"value": "2"}}], "reasoning": ["h", {"text": "m"}]}),
            json!({"content": "42", "reasoning_details": [{"type": "reasoning.text", "text": "h"}, {"type": "reasoning.summary", "summary": "m"},
                {"type": "reasoning.encrypted", "data": "x"}]}),
            json!({"text": "42", "reasoning": {"content": "hm"}}),
        ] {
            assert_eq!(said(message.clone()), ("hm".into(), "42".into()), "{message}");
        }
        assert_eq!(said(json!("42")).1, "42");
        for empty in [
            json!({}),
            json!({"content": null}),
            json!({"content": []}),
            json!({"content": [{"type": "image_url"}]}),
        ] {
            assert_eq!(read(&empty).unwrap(), Said::default(), "{empty}");
        }
        for wrong in [json!({"content": 5}), json!({"content": [5]}), json!({"content": [{"text": 5}]})] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_stands_there_instead_of_text() {
        let refusal = read(&json!({"content": null, "refusal": "no"})).unwrap();
        assert_eq!(refusal.refusal, "no");
        assert_eq!(read(&json!({"content": [{"type": "refusal", "refusal": "no"}]})).unwrap().refusal, "no");
        let call = json!({"content": null, "tool_calls": [{"function": {"name": "f"}}]});
        assert_eq!(read(&call).unwrap().tool.as_deref(), Some("f"));
        assert_eq!(read(&json!({"function_call": {"name": "f"}})).unwrap().tool.as_deref(), Some("f"));
        // As many servers write it where nothing is called.
        let none = json!({"content": "x", "tool_calls": [], "function_call": null, "refusal": null});
        assert_eq!((read(&none).unwrap().tool, read(&none).unwrap().refusal), (None, String::new()));
    }
}
