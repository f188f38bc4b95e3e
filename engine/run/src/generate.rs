//! Texts out of a model: prompts in words, samples by seed, text as it comes, and how fast it went.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cruxscope_checkpoint::{Checkpoint, TraceTokenizer};
use cruxscope_model::generation::{Completion, Generator, Request, Sampling, TextStream, TokenSink, generate};
use cruxscope_model::kernels::generation::GenerationKernels;

use crate::RunError;
use crate::guard::catch_panic;

/// What is to be generated, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateSettings {
    /// The texts to continue.
    pub prompts: Vec<String>,
    /// Texts for each prompt; the first is drawn from the seed, each further one from the next number.
    pub samples: usize,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// The seed of every prompt's first sample.
    pub seed: u64,
    /// So many new tokens at most.
    pub most_tokens: usize,
    /// Tokens that end a text besides the model's own: special tokens in words, or numbers.
    pub stop: Vec<String>,
    /// Whether a text goes on past the tokens by which the model ends it.
    pub past_the_end: bool,
    /// Sequences that are generated side by side.
    pub at_once: usize,
}

/// One text that was generated.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Output {
    /// Which prompt it continues, from 0.
    pub prompt: usize,
    /// Which of the prompt's samples it is, from 0.
    pub sample: usize,
    /// The seed that it was drawn from.
    pub seed: u64,
    /// The new text, without the token that ended it.
    pub text: String,
    /// Why it ended: stop, length, context or cancelled.
    pub finish: &'static str,
    /// The new tokens.
    pub tokens: Vec<u32>,
}

/// How fast it went.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Speed {
    /// Tokens of prompts that were read; a prompt of several samples counts for each.
    pub prompt_tokens: usize,
    /// Seconds that reading them took.
    pub prompt_seconds: f64,
    /// New tokens, of all sequences together.
    pub new_tokens: usize,
    /// Seconds that they took.
    pub new_seconds: f64,
}

impl Speed {
    /// Prompt tokens a second; nothing where none was read.
    pub fn prompt_rate(self) -> Option<f64> {
        (self.prompt_seconds > 0.0).then(|| self.prompt_tokens as f64 / self.prompt_seconds)
    }

    /// New tokens a second, of all sequences together; nothing where none was made.
    pub fn new_rate(self) -> Option<f64> {
        (self.new_seconds > 0.0).then(|| self.new_tokens as f64 / self.new_seconds)
    }
}

/// Whoever listens while texts come.
pub trait TextSink {
    /// An output, by its place, has a piece more; always whole characters.
    fn text(&mut self, output: usize, piece: &str);
    /// A step was made.
    fn advanced(&mut self, _speed: Speed) {}
    /// Whether to stop.
    fn stop(&mut self) -> bool {
        false
    }
}

/// Reads all weights of a model onto a device.
///
/// # Errors
/// When the checkpoint cannot be read, or the device failed, as where its memory is too small.
pub fn load<K: GenerationKernels>(checkpoint: Arc<Checkpoint>, kernels: K) -> Result<Generator<K>, RunError> {
    catch_panic("the places of its weights", || Generator::new(checkpoint, kernels))
}

/// Prompts as tokens, with everything checked that can be checked before the weights are read.
pub struct PlannedGeneration {
    tokenizer: TraceTokenizer,
    requests: Vec<Request>,
    samples: usize,
    at_once: usize,
}

impl PlannedGeneration {
    /// Tokenizes the prompts; the token that begins a sequence is put in front where the model's files ask for one.
    ///
    /// # Errors
    /// When the checkpoint has no tokenizer, a stop token is not one, or a prompt does not fit.
    pub fn new(checkpoint: &Checkpoint, settings: &GenerateSettings) -> Result<Self, RunError> {
        let tokenizer = checkpoint.tokenizer()?;
        let mut stop = if settings.past_the_end { BTreeSet::new() } else { checkpoint.stop_tokens()? };
        for wanted in &settings.stop {
            stop.insert(stop_token(&tokenizer, wanted)?);
        }
        let mut requests = Vec::new();
        for prompt in &settings.prompts {
            let ids = tokenizer.encode_sequence(prompt)?.ids;
            for sample in 0..settings.samples as u64 {
                requests.push(Request {
                    prompt: ids.clone(),
                    sampling: settings.sampling,
                    seed: settings.seed.wrapping_add(sample),
                    most_tokens: settings.most_tokens,
                    stop: stop.clone(),
                });
            }
        }
        for request in &requests {
            request.check(checkpoint.config())?;
        }
        Ok(Self {
            tokenizer,
            requests,
            samples: settings.samples.max(1),
            at_once: settings.at_once,
        })
    }

    /// The requests, prompt by prompt and sample by sample.
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// Generates all outputs.
    ///
    /// # Errors
    /// When the model cannot be run. Being stopped is no error: outputs say how far they came.
    pub fn run<K: GenerationKernels>(&self, generator: &Generator<K>, sink: &mut dyn TextSink) -> Result<(Vec<Output>, Speed), RunError> {
        let mut collector = TextCollector {
            sink,
            streams: (self.requests.iter())
                .map(|request| Some(TextStream::after(&self.tokenizer, &request.prompt)))
                .collect(),
            texts: vec![String::new(); self.requests.len()],
            failed: None,
            speed: Speed::default(),
            mark: Instant::now(),
        };
        let completions = catch_panic("tokens", || generate(generator, &self.requests, self.at_once, &mut collector))?;
        let TextCollector { texts, failed, speed, .. } = collector;
        if let Some(error) = failed {
            return Err(error.into());
        }
        let outputs = (completions.into_iter().zip(texts).zip(&self.requests).enumerate())
            .map(|(place, ((completion, text), request))| Output {
                prompt: place / self.samples,
                sample: place % self.samples,
                seed: request.seed,
                text,
                finish: completion.finish.name(),
                tokens: completion.tokens,
            })
            .collect();
        Ok((outputs, speed))
    }
}

/// A stop token: a number, or text that is exactly one token.
fn stop_token(tokenizer: &TraceTokenizer, wanted: &str) -> Result<u32, RunError> {
    let ids = tokenizer.encode(wanted)?.ids;
    match (ids.as_slice(), wanted.parse::<u32>()) {
        (_, Ok(id)) if (id as usize) < tokenizer.vocabulary() => Ok(id),
        ([id], Err(_)) => Ok(*id),
        _ => Err(RunError::StopToken {
            wanted: wanted.to_owned(),
            tokens: ids.len(),
        }),
    }
}

/// Turns tokens into text for a sink, and keeps the time.
struct TextCollector<'a> {
    sink: &'a mut dyn TextSink,
    streams: Vec<Option<TextStream<'a>>>,
    texts: Vec<String>,
    failed: Option<cruxscope_checkpoint::CheckpointError>,
    speed: Speed,
    mark: Instant,
}

impl TextCollector<'_> {
    fn lap(&mut self) -> f64 {
        let now = Instant::now();
        let lap: Duration = now - self.mark;
        self.mark = now;
        lap.as_secs_f64()
    }

    fn give(&mut self, output: usize, piece: Result<String, cruxscope_checkpoint::CheckpointError>) {
        match piece {
            Ok(piece) if !piece.is_empty() => {
                self.texts[output].push_str(&piece);
                self.sink.text(output, &piece);
            }
            Ok(_) => {}
            Err(error) => self.failed = Some(error),
        }
    }
}

impl TokenSink for TextCollector<'_> {
    fn began(&mut self, _: usize, prompt_tokens: usize) {
        self.speed.prompt_seconds += self.lap();
        self.speed.prompt_tokens += prompt_tokens;
    }

    fn token(&mut self, request: usize, token: u32) {
        self.speed.new_seconds += self.lap();
        self.speed.new_tokens += 1;
        if let Some(stream) = &mut self.streams[request] {
            let piece = stream.push(token);
            self.give(request, piece);
        }
        self.sink.advanced(self.speed);
    }

    fn finished(&mut self, request: usize, _: &Completion) {
        if let Some(stream) = self.streams[request].take() {
            self.give(request, stream.finish());
        }
    }

    fn stop(&mut self) -> bool {
        self.failed.is_some() || self.sink.stop()
    }
}
