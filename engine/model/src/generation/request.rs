//! What is asked of a model, and what came of it.

use std::collections::BTreeSet;

use cruxscope_checkpoint::ModelConfig;

use crate::ModelError;

/// How the next token is drawn from the model's probabilities.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    temperature: f64,
    top_p: f64,
}

impl Sampling {
    /// Always the token of the highest probability; of several, the one with the lowest id.
    pub const GREEDY: Self = Self { temperature: 0.0, top_p: 1.0 };

    /// Probabilities softmax(logits / temperature), of which the most probable tokens are kept that together reach `top_p`.
    /// A temperature of zero is [`Self::GREEDY`].
    ///
    /// # Errors
    /// When the temperature is negative or not finite, or `top_p` is not above 0 and at most 1.
    pub fn new(temperature: f64, top_p: f64) -> Result<Self, ModelError> {
        let refuse = |what: &'static str, value: f64, range: &'static str| Err(ModelError::Sampling { what, value, range });
        if !(temperature.is_finite() && temperature >= 0.0) {
            return refuse("temperature", temperature, "a number from 0 (greedy) on");
        }
        if !(top_p > 0.0 && top_p <= 1.0) {
            return refuse("top-p", top_p, "above 0 and at most 1");
        }
        Ok(Self { temperature, top_p })
    }

    /// By what logits are divided; 0 for greedy.
    pub fn temperature(self) -> f64 {
        self.temperature
    }

    /// Probability that the kept tokens reach together.
    pub fn top_p(self) -> f64 {
        self.top_p
    }
}

/// One text to be continued.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The tokens to continue, at least one.
    pub prompt: Vec<u32>,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// From which every draw of this request follows.
    pub seed: u64,
    /// So many new tokens at most.
    pub most_tokens: usize,
    /// Tokens that end the text; the one that does is not part of it.
    pub stop: BTreeSet<u32>,
}

impl Request {
    /// Confirms that a model of this configuration can continue the prompt.
    ///
    /// # Errors
    /// When the prompt is empty, leaves no room in the context for a new token, or holds a token beyond the vocabulary.
    pub fn check(&self, config: &ModelConfig) -> Result<(), ModelError> {
        if self.prompt.is_empty() {
            return Err(ModelError::EmptyPrompt);
        }
        // The last token of a full context is read by nobody, so a prompt may fill it but for one.
        if self.prompt.len() >= config.context {
            return Err(ModelError::PromptTooLong {
                tokens: self.prompt.len(),
                context: config.context,
            });
        }
        let vocabulary = config.vocabulary;
        match self.prompt.iter().position(|id| *id as usize >= vocabulary) {
            None => Ok(()),
            Some(position) => Err(ModelError::Token {
                token: self.prompt[position],
                position,
                vocabulary,
            }),
        }
    }
}

/// Why a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model gave this stop token.
    Stop(u32),
    /// It has as many tokens as were asked for.
    Length,
    /// The model's context is full.
    Context,
    /// Whoever watched said stop.
    Cancelled,
}

impl Finish {
    /// The reason in a word, as it stands in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stop(_) => "stop",
            Self::Length => "length",
            Self::Context => "context",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The new tokens, without the one that stopped it.
    pub tokens: Vec<u32>,
    /// Why it ended.
    pub finish: Finish,
}
