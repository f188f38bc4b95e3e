//! How fast texts come: greedy tokens after one prompt, for one sequence or several side by side.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cruxscope_checkpoint::Checkpoint;
use cruxscope_model::generation::{Completion, Request, Sampling, TokenSink, generate};
use cruxscope_model::kernels::generation::GenerationKernels;

use crate::RunError;
use crate::generate::load;
use crate::guard::catch_panic;
use crate::machine::{peak_memory, processor_time};

/// What one number of sequences measured.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct GenerationMeasurement {
    /// Threads that were used.
    pub threads: usize,
    /// Backend and precision.
    pub backend: String,
    /// Forms in which weights are held, and bytes of all of them.
    pub weights: String,
    /// Bytes of all weights as they are held.
    pub weight_bytes: usize,
    /// Seconds that reading the weights took.
    pub load_seconds: f64,
    /// Sequences side by side.
    pub sequences: usize,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Prompt tokens a second.
    pub prompt_rate: f64,
    /// New tokens of all sequences together.
    pub new_tokens: usize,
    /// Seconds by the clock for all steps.
    pub seconds: f64,
    /// Processor seconds, prompt included.
    pub processor_seconds: Option<f64>,
    /// Tokens a second that steps made, of all sequences together.
    pub tokens_per_second: f64,
    /// Tokens of all sequences that steps made in a second of all processors' time. On a machine with other work it says more than the clock
    /// does.
    pub tokens_per_processor_second: Option<f64>,
    /// The most memory that the process has held, in bytes.
    pub peak_memory: Option<u64>,
    /// The new tokens of a sequence; greedy, so they are the same for each.
    pub tokens: Vec<u32>,
}

/// Notes when the prompt was read and when the last token came.
#[derive(Default)]
struct Times {
    prompt: Option<Instant>,
    last: Option<Instant>,
    prompt_processor: Option<Duration>,
    last_processor: Option<Duration>,
}

impl TokenSink for Times {
    fn began(&mut self, _: usize, _: usize) {
        // Requests share one prompt, which is read once.
        self.prompt = self.prompt.or_else(|| Some(Instant::now()));
        self.prompt_processor = self.prompt_processor.or_else(processor_time);
    }

    fn token(&mut self, _: usize, _: u32) {
        self.last = Some(Instant::now());
        self.last_processor = processor_time();
    }
}

/// New tokens that warm a device up, which compiles its kernels with the first ones.
const WARMING: usize = 2;

/// Generates greedy tokens after a prompt, for each number of sequences in `counts` as many as stand beside it, after a few that do not
/// count.
///
/// # Errors
/// When the model cannot be run.
pub fn generation<K: GenerationKernels>(
    checkpoint: Arc<Checkpoint>,
    kernels: K,
    prompt: &[u32],
    counts: &[(usize, usize)],
) -> Result<Vec<GenerationMeasurement>, RunError> {
    let backend = kernels.describe();
    let began = Instant::now();
    let generator = load(checkpoint, kernels)?;
    let load_seconds = began.elapsed().as_secs_f64();
    let forms: Vec<String> = (generator.held().matrices.iter())
        .map(|(form, matrices)| format!("{matrices} matrices in {form}"))
        .collect();
    let mut found = Vec::new();
    for (count, new_tokens) in counts {
        let requests = |most_tokens: usize| {
            let request = Request {
                prompt: prompt.to_vec(),
                sampling: Sampling::GREEDY,
                seed: 0,
                most_tokens,
                stop: BTreeSet::new(),
            };
            vec![request; *count]
        };
        catch_panic("tokens", || {
            generate(&generator, &requests(WARMING.min(*new_tokens)), *count, &mut Times::default())
        })?;
        let (began, began_processor, mut times) = (Instant::now(), processor_time(), Times::default());
        let completions: Vec<Completion> = catch_panic("tokens", || generate(&generator, &requests(*new_tokens), *count, &mut times))?;
        let since = |before: Option<Duration>, after: Option<Duration>| Some(after?.saturating_sub(before?).as_secs_f64());
        let processor_seconds = since(began_processor, processor_time());
        let prompt_seconds = times.prompt.map_or(f64::INFINITY, |prompt| (prompt - began).as_secs_f64());
        let steps = times.prompt.zip(times.last);
        let seconds = steps.map_or(f64::INFINITY, |(prompt, last)| (last - prompt).as_secs_f64());
        let of_steps = since(times.prompt_processor, times.last_processor);
        let tokens = completions.into_iter().next().map(|completion| completion.tokens).unwrap_or_default();
        // The first token of each sequence comes of the prompt, the others of steps.
        let stepped = tokens.len().saturating_sub(1) * count;
        found.push(GenerationMeasurement {
            threads: rayon::current_num_threads(),
            backend: backend.clone(),
            weights: forms.join(", "),
            weight_bytes: generator.held().bytes,
            load_seconds,
            sequences: *count,
            prompt_tokens: prompt.len(),
            prompt_rate: prompt.len() as f64 / prompt_seconds,
            new_tokens: tokens.len() * count,
            seconds,
            processor_seconds,
            tokens_per_second: stepped as f64 / seconds,
            tokens_per_processor_second: of_steps.map(|took| stepped as f64 / took.max(1e-9)),
            peak_memory: peak_memory(),
            tokens,
        });
    }
    Ok(found)
}
