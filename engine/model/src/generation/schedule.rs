//! Requests through a generator, a bounded number in flight at once: where one ends, the next begins beside the others.

use super::{Completion, Finish, Generator, Request, Sequence, pick, uniform};
use crate::ModelError;
use crate::kernels::generation::GenerationKernels;

/// Whoever looks on.
pub trait TokenSink {
    /// The prompt of a request has been read; it has `prompt_tokens` tokens.
    fn began(&mut self, _request: usize, _prompt_tokens: usize) {}
    /// A request has one more token.
    fn token(&mut self, _request: usize, _token: u32) {}
    /// A request has ended.
    fn finished(&mut self, _request: usize, _completion: &Completion) {}
    /// Whether a request is not wanted any more; asked after each of its tokens.
    fn cancelled(&mut self, _request: usize) -> bool {
        false
    }
    /// Whether to stop; asked before every step.
    fn stop(&mut self) -> bool {
        false
    }
}

/// Nobody looks on.
pub struct NoSink;

impl TokenSink for NoSink {}

/// Where requests come from, while others are being generated.
pub trait Queue {
    /// The next request. Where there is none now, nothing; a queue may wait for one where nothing else is being generated.
    fn next(&mut self, idle: bool) -> Option<Request>;
    /// Whether the next request has this prompt, as several samples of one question do: then it is read only once.
    fn repeats(&self, _prompt: &[u32]) -> bool {
        false
    }
}

/// Requests that are all there from the start.
struct Known<'a> {
    requests: &'a [Request],
    next: usize,
}

impl Queue for Known<'_> {
    fn next(&mut self, _: bool) -> Option<Request> {
        let request = self.requests.get(self.next)?;
        self.next += 1;
        Some(request.clone())
    }

    fn repeats(&self, prompt: &[u32]) -> bool {
        self.requests.get(self.next).is_some_and(|next| next.prompt == prompt)
    }
}

/// Keeps what came of each request, and passes everything on.
struct Collector<'a> {
    sink: &'a mut dyn TokenSink,
    done: Vec<Option<Completion>>,
}

impl TokenSink for Collector<'_> {
    fn began(&mut self, request: usize, prompt_tokens: usize) {
        self.sink.began(request, prompt_tokens);
    }

    fn token(&mut self, request: usize, token: u32) {
        self.sink.token(request, token);
    }

    fn finished(&mut self, request: usize, completion: &Completion) {
        self.sink.finished(request, completion);
        self.done[request] = Some(completion.clone());
    }

    fn cancelled(&mut self, request: usize) -> bool {
        self.sink.cancelled(request)
    }

    fn stop(&mut self) -> bool {
        self.sink.stop()
    }
}

/// A request that is being generated.
struct Active {
    number: usize,
    request: Request,
    tokens: Vec<u32>,
}

/// A prompt that has been read: its caches, and the logits after it.
struct Read<K: GenerationKernels> {
    prompt: Vec<u32>,
    sequence: Sequence<K>,
    logits: Vec<f32>,
}

impl<K: GenerationKernels> Clone for Read<K> {
    fn clone(&self) -> Self {
        Self {
            prompt: self.prompt.clone(),
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
    sink: &mut dyn TokenSink,
) -> Result<Vec<Completion>, ModelError> {
    for request in requests {
        request.check(generator.config())?;
    }
    let mut collector = Collector {
        sink,
        done: vec![None; requests.len()],
    };
    serve(generator, &mut Known { requests, next: 0 }, at_once, &mut collector)?;
    let cancelled = || Completion {
        tokens: Vec::new(),
        finish: Finish::Cancelled,
    };
    Ok(collector.done.into_iter().map(|completion| completion.unwrap_or_else(cancelled)).collect())
}

/// Generates what comes out of a queue, at most `at_once` sequences side by side, until it has no more while none is being
/// generated. Requests are numbered from 0 as they come; what came of each, the sink is told.
///
/// # Errors
/// As [`generate`], of a request when it comes.
pub fn serve<K: GenerationKernels>(generator: &Generator<K>, queue: &mut dyn Queue, at_once: usize, sink: &mut dyn TokenSink) -> Result<(), ModelError> {
    let (mut active, mut sequences): (Vec<Active>, Vec<Sequence<K>>) = (Vec::new(), Vec::new());
    let mut shared: Option<Read<K>> = None;
    let (mut stopped, mut number) = (false, 0);
    while !stopped {
        while active.len() < at_once.max(1)
            && let Some(request) = queue.next(active.is_empty())
        {
            request.check(generator.config())?;
            let Some(read) = read_prompt(generator, queue, &request.prompt, &mut shared, sink)? else {
                stopped = true;
                break;
            };
            sink.began(number, request.prompt.len());
            let mut begun = Active {
                number,
                request,
                tokens: Vec::new(),
            };
            number += 1;
            match advance(generator, &mut begun, &read.logits, sink)? {
                None => {
                    active.push(begun);
                    sequences.push(read.sequence);
                }
                Some(finish) => end(begun, finish, sink),
            }
        }
        stopped |= sink.stop();
        // With nothing under way the queue was asked to wait, so it has no more.
        if stopped || active.is_empty() {
            break;
        }
        let ids: Vec<u32> = active.iter().filter_map(|active| active.tokens.last().copied()).collect();
        let logits = generator.step(&mut sequences, &ids)?;
        let mut going = Vec::new();
        let mut kept = Vec::new();
        for ((mut one, sequence), logits) in active.into_iter().zip(sequences).zip(&logits) {
            match advance(generator, &mut one, logits, sink)? {
                None => {
                    going.push(one);
                    kept.push(sequence);
                }
                Some(finish) => end(one, finish, sink),
            }
        }
        (active, sequences) = (going, kept);
    }
    for one in active {
        end(one, Finish::Cancelled, sink);
    }
    Ok(())
}

/// Reads a request's prompt; nothing where the sink said stop. It is kept in `shared` where the next request has the same
/// one, as several samples of one question do.
fn read_prompt<K: GenerationKernels>(
    generator: &Generator<K>,
    queue: &dyn Queue,
    prompt: &[u32],
    shared: &mut Option<Read<K>>,
    sink: &mut dyn TokenSink,
) -> Result<Option<Read<K>>, ModelError> {
    let read = match shared.take() {
        Some(known) if known.prompt == prompt => known,
        _ => {
            let mut sequence = generator.begin();
            let Some(logits) = generator.prompt(&mut sequence, prompt, &mut || !sink.stop())? else {
                return Ok(None);
            };
            let prompt = prompt.to_vec();
            Read { prompt, sequence, logits }
        }
    };
    if queue.repeats(prompt) {
        *shared = Some(read.clone());
    }
    Ok(Some(read))
}

/// Draws the next token of a sequence; gives why it ended, if it did.
fn advance<K: GenerationKernels>(generator: &Generator<K>, one: &mut Active, logits: &[f32], sink: &mut dyn TokenSink) -> Result<Option<Finish>, ModelError> {
    let request = &one.request;
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
    sink.token(one.number, token);
    if sink.cancelled(one.number) {
        return Ok(Some(Finish::Cancelled));
    }
    if one.tokens.len() >= request.most_tokens {
        return Ok(Some(Finish::Length));
    }
    let full = request.prompt.len() + one.tokens.len() >= generator.config().context;
    Ok(full.then_some(Finish::Context))
}

fn end(one: Active, finish: Finish, sink: &mut dyn TokenSink) {
    let completion = Completion { tokens: one.tokens, finish };
    sink.finished(one.number, &completion);
}
