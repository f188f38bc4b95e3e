//! Samples: what a model wrote, one JSON line each, appended and synced, each under a key of its own.
//!
//! A key is the digest of everything that shapes a sample: model, engine and its version, prompt, settings, pass and seed.
//! A run that is repeated finds what is there and makes only what is missing.

mod failures;
mod log;
mod read;

use serde::{Deserialize, Serialize};

pub use failures::{FailureRecord, failures_path};
pub use log::{Opened, SampleLog};
pub use read::{Output, Outputs};

use cruxscope_study::{Digest, DigestBuilder};

use crate::generator::{Engine, Finish, Generation, ModelIdentity, SamplingSettings};
use crate::prompts::Prompt;

/// The key of a sample: a SHA-256 in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SampleKey(pub String);

/// What shapes a sample.
#[derive(Clone, Copy, Debug)]
pub struct SampleOrigin<'a> {
    /// The model.
    pub model: &'a ModelIdentity,
    /// What makes its text.
    pub engine: &'a Engine,
    /// The question's id: two questions may have the same prompt.
    pub id: &'a str,
    /// The prompt.
    pub prompt: &'a Prompt,
    /// How text is sampled.
    pub settings: &'a SamplingSettings,
    /// Which pass over the questions, from 1.
    pub pass: u32,
    /// The seed.
    pub seed: u64,
}

impl SampleOrigin<'_> {
    /// The key: the digest of each part with its length before it, so that no two origins run into each other.
    pub fn key(&self) -> SampleKey {
        let mut builder = DigestBuilder::default();
        let mut part = |bytes: &[u8]| {
            builder.update(&(bytes.len() as u64).to_le_bytes());
            builder.update(bytes);
        };
        part(b"cruxscope sample 1");
        // A model is named by its digest where there is one: a renamed file is the same model.
        part(self.model.digest.as_ref().unwrap_or(&self.model.name).as_bytes());
        part(self.engine.name.as_bytes());
        part(self.engine.version.as_bytes());
        part(self.id.as_bytes());
        part(&self.prompt.bytes());
        let settings = self.settings;
        part(&settings.temperature.to_bits().to_le_bytes());
        part(&settings.top_p.to_bits().to_le_bytes());
        part(&(settings.max_new_tokens as u64).to_le_bytes());
        part(&(settings.stop.len() as u64).to_le_bytes());
        for stop in &settings.stop {
            part(stop.as_bytes());
        }
        part(&[u8::from(settings.stop_on_collapse)]);
        part(&self.pass.to_le_bytes());
        part(&self.seed.to_le_bytes());
        let Digest(key) = builder.finish();
        SampleKey(key)
    }
}

/// One sample, as it stands on its line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Its key.
    pub key: SampleKey,
    /// The question, such as `FOLIO/7`.
    pub id: String,
    /// Which pass over the questions, from 1.
    pub pass: u32,
    /// The seed it was drawn with.
    pub seed: u64,
    /// The model.
    pub model: ModelIdentity,
    /// What made the text.
    pub engine: Engine,
    /// How text was sampled.
    pub settings: SamplingSettings,
    /// What the model was given.
    pub prompt: Prompt,
    /// Text of a special token that stood before the prompt, where the model's tokenizer does not put it there by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_begin: Option<String>,
    /// What it wrote.
    pub output: String,
    /// How many of the output's bytes came apart, as thoughts.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reasoning_bytes: usize,
    /// Why the output ended.
    pub finish: Finish,
    /// Tokens of the prompt, if the generator counted them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<u64>,
    /// Tokens of the output, if the generator counted them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_tokens: Option<u64>,
    /// The model that the answer names, where that is not the one that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<String>,
    /// How many times the generator had to be asked.
    pub attempts: u32,
    /// Seconds by the clock, pauses included.
    pub seconds: f64,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Sample {
    /// The sample of what was generated.
    pub fn new(origin: SampleOrigin<'_>, generation: Generation, seconds: f64) -> Self {
        Self {
            key: origin.key(),
            id: origin.id.to_owned(),
            pass: origin.pass,
            seed: origin.seed,
            model: origin.model.clone(),
            engine: origin.engine.clone(),
            settings: origin.settings.clone(),
            prompt: origin.prompt.clone(),
            prompt_begin: None,
            output: generation.text,
            reasoning_bytes: generation.reasoning_bytes,
            finish: generation.finish,
            prompt_tokens: generation.prompt_tokens,
            new_tokens: generation.new_tokens,
            answered_by: generation.answered_by,
            attempts: generation.attempts,
            seconds,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// A sample to be written and read.
    pub(crate) fn sample(id: &str, pass: u32, output: &str) -> Sample {
        let (model, engine, settings) = identity();
        let prompt = Prompt::Text(format!("{id}?"));
        let origin = SampleOrigin {
            model: &model,
            engine: &engine,
            id,
            prompt: &prompt,
            settings: &settings,
            pass,
            seed: u64::from(pass),
        };
        let generation = Generation {
            text: output.into(),
            reasoning_bytes: 0,
            finish: Finish::Stop,
            prompt_tokens: None,
            new_tokens: Some(3),
            attempts: 1,
            answered_by: None,
        };
        Sample::new(origin, generation, 0.5)
    }

    fn identity() -> (ModelIdentity, Engine, SamplingSettings) {
        let model = ModelIdentity {
            name: "m".into(),
            digest: None,
        };
        let engine = Engine {
            name: "e".into(),
            version: "1".into(),
        };
        (model, engine, SamplingSettings::default())
    }

    #[test]
    fn everything_that_shapes_a_sample_is_in_its_key() {
        let (model, engine, settings) = identity();
        let prompt = Prompt::Text("p".into());
        let origin = SampleOrigin {
            model: &model,
            engine: &engine,
            id: "FOLIO/1",
            prompt: &prompt,
            settings: &settings,
            pass: 1,
            seed: 1,
        };
        let mut keys = BTreeSet::from([origin.key()]);
        let mut another = |origin: SampleOrigin<'_>| assert!(keys.insert(origin.key()), "{origin:?}");
        another(SampleOrigin { pass: 2, ..origin });
        another(SampleOrigin { seed: 2, ..origin });
        another(SampleOrigin { id: "FOLIO/2", ..origin });
        let other = ModelIdentity {
            name: "n".into(),
            digest: None,
        };
        another(SampleOrigin { model: &other, ..origin });
        let other = ModelIdentity {
            name: "m".into(),
            digest: Some("d".into()),
        };
        another(SampleOrigin { model: &other, ..origin });
        for (name, version) in [("e", "2"), ("e1", ""), ("f", "1")] {
            let other = Engine {
                name: name.into(),
                version: version.into(),
            };
            another(SampleOrigin { engine: &other, ..origin });
        }
        let other = Prompt::Messages(vec![crate::prompts::Message::user("p")]);
        another(SampleOrigin { prompt: &other, ..origin });
        for other in [
            SamplingSettings {
                temperature: 0.7,
                ..settings.clone()
            },
            SamplingSettings {
                top_p: 1.0,
                ..settings.clone()
            },
            SamplingSettings {
                max_new_tokens: 5,
                ..settings.clone()
            },
            SamplingSettings {
                stop: vec!["x".into()],
                ..settings.clone()
            },
            SamplingSettings {
                stop_on_collapse: true,
                ..settings.clone()
            },
        ] {
            another(SampleOrigin { settings: &other, ..origin });
        }
        assert_eq!(origin.key(), origin.key());
    }
}
