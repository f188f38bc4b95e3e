//! Requests through a generator, so many in flight at once: where one ends, the next begins beside the others.

use std::collections::VecDeque;

use super::{Completion, Finish, Generator, Request, Sequence, pick, uniform};
use crate::ModelError;
use crate::kernels::generation::GenerationKernels;

/// Whoever looks on.
pub trait Watch {
    /// The prompt of a request, of so many tokens, has been read.
    fn began(&mut self, _request: usize, _prompt_tokens: usize) {}
    /// A request has one more token.
    fn token(&mut self, _request: usize, _token: u32) {}
    /// A request has ended.
    fn finished(&mut self, _request: usize, _completion: &Completion) {}
    /// Whether to stop; asked before every step.
    fn stop(&mut self) -> bool {
        false
    }
}

/// Nobody looks on.
pub struct Unwatched;

impl Watch for Unwatched {}

/// A request that is being generated.
struct Active {
    request: usize,
    tokens: Vec<u32>,
}

/// A prompt that has been read: its caches, and the logits after it.
struct Read<K: GenerationKernels> {
    request: usize,
    sequence: Sequence<K>,
    logits: Vec<f32>,
}

impl<K: GenerationKernels> Clone for Read<K> {
    fn clone(&self) -> Self {
        Self {
            request: self.request,
            sequence: self.sequence.clone(),
            logits: self.logits.clone(),
        }
    }
}

/// Generates what is asked, at most `at_once` sequences side by side, in the order of the requests; gives a completion for
/// each. Everything is checked before anything is computed.
///
/// # Errors
/// When a prompt is empty, leaves no room in the context for a new token, or holds a token beyond the vocabulary; when the
/// model gives a logit that is not finite; when the device failed.
pub fn generate<K: GenerationKernels>(
    generator: &Generator<K>,
    requests: &[Request],
    at_once: usize,
    watch: &mut dyn Watch,
) -> Result<Vec<Completion>, ModelError> {
    for request in requests {
        request.check(generator.config())?;
    }
    let mut done: Vec<Option<Completion>> = vec![None; requests.len()];
    let mut waiting: VecDeque<usize> = (0..requests.len()).collect();
    let (mut active, mut sequences): (Vec<Active>, Vec<Sequence<K>>) = (Vec::new(), Vec::new());
    let mut shared: Option<Read<K>> = None;
    let mut stopped = false;
    while !stopped && (!waiting.is_empty() || !active.is_empty()) {
        while active.len() < at_once.max(1)
            && let Some(request) = waiting.front().copied()
        {
            let Some(read) = read_prompt(generator, requests, request, &mut shared, watch)? else {
                stopped = true;
                break;
            };
            waiting.pop_front();
            watch.began(request, requests[request].prompt.len());
            let mut begun = Active { request, tokens: Vec::new() };
            match advance(generator, requests, &mut begun, &read.logits, watch)? {
                None => {
                    active.push(begun);
                    sequences.push(read.sequence);
                }
                Some(finish) => end(&mut done, begun, finish, watch),
            }
        }
        stopped |= watch.stop();
        if stopped || active.is_empty() {
            continue;
        }
        let ids: Vec<u32> = active.iter().filter_map(|active| active.tokens.last().copied()).collect();
        let logits = generator.step(&mut sequences, &ids)?;
        let mut going = Vec::new();
        let mut kept = Vec::new();
        for ((mut one, sequence), logits) in active.into_iter().zip(sequences).zip(&logits) {
            match advance(generator, requests, &mut one, logits, watch)? {
                None => {
                    going.push(one);
                    kept.push(sequence);
                }
                Some(finish) => end(&mut done, one, finish, watch),
            }
        }
        (active, sequences) = (going, kept);
    }
    for one in active {
        end(&mut done, one, Finish::Cancelled, watch);
    }
    let cancelled = || Completion {
        tokens: Vec::new(),
        finish: Finish::Cancelled,
    };
    Ok(done.into_iter().map(|completion| completion.unwrap_or_else(cancelled)).collect())
}

/// Reads a request's prompt; nothing where the watch said stop. It is kept in `shared` where the next request has the same
/// one, as several samples of one question do.
fn read_prompt<K: GenerationKernels>(
    generator: &Generator<K>,
    requests: &[Request],
    request: usize,
    shared: &mut Option<Read<K>>,
    watch: &mut dyn Watch,
) -> Result<Option<Read<K>>, ModelError> {
    let prompt = &requests[request].prompt;
    let read = match shared.take() {
        Some(known) if requests[known.request].prompt == *prompt => known,
        _ => {
            let mut sequence = generator.begin();
            let Some(logits) = generator.prompt(&mut sequence, prompt, &mut || !watch.stop())? else {
                return Ok(None);
            };
            Read { request, sequence, logits }
        }
    };
    if requests.get(request + 1).is_some_and(|next| next.prompt == *prompt) {
        *shared = Some(read.clone());
    }
    Ok(Some(read))
}

/// Draws the next token of a sequence; gives why it ended, if it did.
fn advance<K: GenerationKernels>(
    generator: &Generator<K>,
    requests: &[Request],
    one: &mut Active,
    logits: &[f32],
    watch: &mut dyn Watch,
) -> Result<Option<Finish>, ModelError> {
    let request = &requests[one.request];
    if one.tokens.len() >= request.most_tokens {
        return Ok(Some(Finish::Length));
    }
    let draw = uniform(request.seed, one.tokens.len() as u64);
    let token = pick(logits, request.sampling, draw).ok_or(ModelError::NotFinite {
        what: "a logit".into(),
        layer: generator.config().layers,
    })?;
    if request.stop.contains(&token) {
        return Ok(Some(Finish::Stop(token)));
    }
    one.tokens.push(token);
    watch.token(one.request, token);
    if one.tokens.len() >= request.most_tokens {
        return Ok(Some(Finish::Length));
    }
    let full = request.prompt.len() + one.tokens.len() >= generator.config().context;
    Ok(full.then_some(Finish::Context))
}

fn end(done: &mut [Option<Completion>], one: Active, finish: Finish, watch: &mut dyn Watch) {
    let completion = Completion { tokens: one.tokens, finish };
    watch.finished(one.request, &completion);
    done[one.request] = Some(completion);
}
