//! Flags that reach an endpoint, and the settings of what it samples.

use std::time::Duration;

use clap::{Args, ValueEnum};
use cruxscope_benchmark::endpoint::{EndpointSettings, Interface, Secret};

use crate::failure::Failure;
use crate::numbers::whole;

/// An OpenAI-compatible endpoint.
#[derive(Clone, Debug, Args)]
pub struct EndpointFlags {
    /// The endpoint, up to and with /v1, such as http://127.0.0.1:8000/v1
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// The model's name there
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Digest of the model's files, where it is known: samples are then filed by it rather than by the name
    #[arg(long, value_name = "SHA256")]
    model_digest: Option<String>,
    /// Version of the server, such as vllm-0.9.1; part of every sample's key
    #[arg(long, value_name = "TEXT", default_value = "unknown")]
    server_version: String,
    /// Ask for whole answers rather than streams
    #[arg(long)]
    no_stream: bool,
    /// The environment variable that holds the API key; the key is sent to the endpoint and written nowhere
    #[arg(long = "api-key-env", alias = "key-from", value_name = "VAR")]
    key_from: Option<String>,
    /// Concurrent requests
    #[arg(long = "concurrency", alias = "parallel", value_name = "N", default_value_t = 8, value_parser = whole::<usize>(1, 4096))]
    pub parallel: usize,
    /// Seconds without a byte of an answer after which a request is given up
    #[arg(long = "idle-timeout", alias = "silence", value_name = "SECONDS", default_value_t = 300, value_parser = whole::<u64>(1, 604_800))]
    silence: u64,
    /// Maximum seconds of one answer
    #[arg(long = "timeout", alias = "longest", value_name = "SECONDS", default_value_t = 14_400, value_parser = whole::<u64>(1, 2_592_000))]
    longest: u64,
    /// Maximum number of attempts of each request
    #[arg(long = "max-attempts", alias = "tries", value_name = "N", default_value_t = 8, value_parser = whole::<u32>(1, 1000))]
    tries: u32,
}

/// See [`Interface`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum InterfaceChoice {
    /// /v1/completions: the prompt is continued as it is
    #[default]
    Completions,
    /// /v1/chat/completions: the server puts messages into its own template
    Chat,
}

/// The API key that an environment variable holds.
pub fn secret_in(variable: &str) -> Result<Secret, Failure> {
    let key = std::env::var(variable).map_err(|_| Failure::mistake(format!("the environment variable {variable} holds no key")))?;
    Ok(Secret::new(&key))
}

impl EndpointFlags {
    /// The endpoint's address as it may be printed, if one is given.
    pub fn shown_address(&self) -> Option<String> {
        let address = self.endpoint.as_deref()?;
        Some(EndpointSettings::new(address, Interface::default(), "").shown_address())
    }

    /// The settings of the engine.
    pub fn settings(&self, interface: InterfaceChoice) -> Result<EndpointSettings, Failure> {
        let interface = match interface {
            InterfaceChoice::Completions => Interface::Completions,
            InterfaceChoice::Chat => Interface::ChatCompletions,
        };
        let (Some(endpoint), Some(model)) = (&self.endpoint, &self.model) else {
            return Err(Failure::mistake("an endpoint needs --endpoint URL and --model NAME"));
        };
        let mut settings = EndpointSettings::new(endpoint, interface, model);
        settings.model_digest.clone_from(&self.model_digest);
        settings.version.clone_from(&self.server_version);
        settings.stream = !self.no_stream;
        settings.silence = Duration::from_secs(self.silence);
        settings.longest = Duration::from_secs(self.longest);
        settings.retry.attempts = self.tries.max(1);
        if let Some(variable) = &self.key_from {
            settings.key = Some(secret_in(variable)?);
        }
        Ok(settings)
    }
}
