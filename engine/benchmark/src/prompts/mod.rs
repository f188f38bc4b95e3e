//! From a question to what a model is given: the published raw form, a checkpoint's own chat template, or one's own.

mod python_json;
mod template;

use serde::{Deserialize, Serialize};

pub use template::{ChatTemplate, PromptTemplate};

use crate::datasets::Question;
use crate::error::BenchmarkError;

/// What a model is given: text to be continued, or messages that the server puts into its own template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Prompt {
    /// Text, to be continued.
    Text(String),
    /// Messages of a conversation, to be answered.
    Messages(Vec<Message>),
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `user`, `assistant` or `system`.
    pub role: String,
    /// What it says.
    pub content: String,
}

impl Message {
    /// What a person says.
    pub fn user(content: impl Into<String>) -> Self {
        Self {
            role: "user".into(),
            content: content.into(),
        }
    }
}

impl Prompt {
    /// The bytes that name this prompt in the key of a sample.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.clone().into_bytes(),
            // A separator that no text holds, so that no two conversations have the same bytes.
            Self::Messages(messages) => messages
                .iter()
                .flat_map(|message| format!("{}\0{}\0", message.role, message.content).into_bytes())
                .collect(),
        }
    }

    /// The prompt as one text: a conversation is its messages, one after the other.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Messages(messages) => messages.iter().map(|message| message.content.as_str()).collect::<Vec<_>>().join("\n\n"),
        }
    }
}

/// How prompts are made of questions.
#[derive(Debug)]
pub enum PromptStyle {
    /// As in the published outputs: the task, then `<think>`.
    Raw,
    /// The task as a person's message, for a server with a template of its own.
    Messages,
    /// The task through the checkpoint's chat template, as text.
    Chat(ChatTemplate),
    /// One's own template.
    Custom(PromptTemplate),
}

impl PromptStyle {
    /// The prompt of a question.
    ///
    /// # Errors
    ///
    /// If the template cannot be filled.
    pub fn prompt(&self, question: &Question) -> Result<Prompt, BenchmarkError> {
        Ok(match self {
            Self::Raw => Prompt::Text(question.raw_prompt()),
            Self::Messages => Prompt::Messages(vec![Message::user(&question.text)]),
            Self::Chat(template) => Prompt::Text(template.render(&[Message::user(&question.text)])?),
            Self::Custom(template) => Prompt::Text(template.render(question)?),
        })
    }
}
