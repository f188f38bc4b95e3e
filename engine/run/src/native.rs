//! The program's own model as a generator of samples: many threads ask, one runs the model, and whatever they ask goes through it
//! side by side.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::time::Duration;

use cruxscope_benchmark::generator::{
    Engine, FailureKind, Finish, GenerateError, Generation, Generator as TextGenerator, Heard, Interruption, ModelIdentity, Request as TextRequest, Watch,
};
use cruxscope_checkpoint::{Checkpoint, CheckpointError, TraceTokenizer};
use cruxscope_model::device::{self, ChosenDevice};
use cruxscope_model::generation::{Completion, Finish as TokenFinish, Queue, Request, Sampling, TextStream, TokenSink, serve};
use cruxscope_model::with_kernels;
use cruxscope_study::DigestBuilder;

use crate::generate::load;
use crate::guard::catch_panic;
use crate::{Event, Observer, RunError};

/// How often a thread that waits for text looks whether it is still wanted.
const PATIENCE: Duration = Duration::from_millis(100);

/// Which model writes, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeSettings {
    /// A Hugging Face folder or a GGUF file.
    pub checkpoint: PathBuf,
    /// The device, by name.
    pub device: String,
}

/// A request on its way to the thread that runs the model.
struct Job {
    request: Request,
    answers: Sender<Answer>,
    cancelled: Arc<AtomicBool>,
}

/// What comes back.
enum Answer {
    /// The prompt has been read.
    Began,
    /// One more token.
    Token(u32),
    /// The end.
    Finished(TokenFinish),
}

/// How prompts begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Beginning {
    /// As the model's tokenizer begins a text.
    #[default]
    Tokenizer,
    /// As a chat template wrote it, which left nothing to be added: with this text of a special token, or without any.
    Template(Option<String>),
}

/// A model that several threads can ask.
pub struct NativeGenerator {
    jobs: Sender<Job>,
    tokenizer: TraceTokenizer,
    beginning: Beginning,
    prompt_begin: Option<String>,
    checkpoint: Arc<Checkpoint>,
    stop: BTreeSet<u32>,
    identity: ModelIdentity,
    engine: Engine,
}

/// The other end of a [`NativeGenerator`]: what the thread that runs the model needs.
pub struct NativeModel {
    jobs: Receiver<Job>,
    checkpoint: Arc<Checkpoint>,
    device: ChosenDevice,
}

impl std::fmt::Debug for NativeGenerator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NativeGenerator")
            .field("identity", &self.identity)
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for NativeModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NativeModel").field("device", &self.device).finish_non_exhaustive()
    }
}

/// Opens a model; its weights are read when it is run.
///
/// # Errors
/// When the checkpoint or the device cannot be used.
pub fn open(settings: &NativeSettings, observer: &mut dyn Observer) -> Result<(NativeGenerator, NativeModel), RunError> {
    let device = device::find(&settings.device)?;
    let checkpoint = Arc::new(Checkpoint::open(&settings.checkpoint)?);
    for note in checkpoint.notes() {
        observer.event(Event::Note { text: note.clone() });
    }
    let mut digest = DigestBuilder::default();
    for path in checkpoint.files() {
        let file = crate::digests::of(&path, observer)?;
        digest.update(format!("{} {}\n", file.name, file.sha256).as_bytes());
    }
    let (sender, receiver) = mpsc::channel();
    let generator = NativeGenerator {
        jobs: sender,
        tokenizer: checkpoint.tokenizer()?,
        beginning: Beginning::default(),
        prompt_begin: None,
        stop: checkpoint.stop_tokens()?,
        identity: ModelIdentity {
            name: checkpoint.name(),
            digest: Some(digest.finish().0),
        },
        engine: Engine {
            name: "cruxscope".into(),
            version: format!("{} on {}", env!("CARGO_PKG_VERSION"), device.describe()),
        },
        checkpoint: Arc::clone(&checkpoint),
    };
    let model = NativeModel {
        jobs: receiver,
        checkpoint,
        device,
    };
    Ok((generator, model))
}

impl NativeModel {
    /// Runs the model until every [`NativeGenerator`] that leads here is gone, at most `at_once` sequences side by side.
    ///
    /// # Errors
    /// When the weights cannot be read, or the model gives numbers that are none.
    pub fn run(self, at_once: usize) -> Result<(), RunError> {
        let Self { jobs, checkpoint, device } = self;
        let asked = std::cell::RefCell::new(Vec::new());
        let mut queue = Jobs { jobs: &jobs, asked: &asked };
        let mut sink = AnswerSink { asked: &asked };
        with_kernels!(device, |kernels| {
            let generator = load(checkpoint, kernels)?;
            catch_panic("tokens", || serve(&generator, &mut queue, at_once, &mut sink))
        })
    }
}

/// Those who asked, by the number of their request; nothing once they were answered.
type Asked = std::cell::RefCell<Vec<Option<(Sender<Answer>, Arc<AtomicBool>)>>>;

struct Jobs<'a> {
    jobs: &'a Receiver<Job>,
    asked: &'a Asked,
}

impl Queue for Jobs<'_> {
    fn next(&mut self, idle: bool) -> Option<Request> {
        loop {
            let job = if idle {
                self.jobs.recv().ok()?
            } else {
                match self.jobs.try_recv() {
                    Ok(job) => job,
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => return None,
                }
            };
            // Whoever has gone meanwhile wants no answer.
            if !job.cancelled.load(Ordering::SeqCst) {
                self.asked.borrow_mut().push(Some((job.answers, job.cancelled)));
                return Some(job.request);
            }
        }
    }
}

struct AnswerSink<'a> {
    asked: &'a Asked,
}

impl AnswerSink<'_> {
    fn tell(&self, request: usize, answer: Answer) {
        if let Some(Some((answers, cancelled))) = self.asked.borrow().get(request)
            && answers.send(answer).is_err()
        {
            cancelled.store(true, Ordering::SeqCst);
        }
    }
}

impl TokenSink for AnswerSink<'_> {
    fn began(&mut self, request: usize, _: usize) {
        self.tell(request, Answer::Began);
    }

    fn token(&mut self, request: usize, token: u32) {
        self.tell(request, Answer::Token(token));
    }

    fn finished(&mut self, request: usize, completion: &Completion) {
        self.tell(request, Answer::Finished(completion.finish));
        if let Some(place) = self.asked.borrow_mut().get_mut(request) {
            *place = None;
        }
    }

    fn cancelled(&mut self, request: usize) -> bool {
        let asked = self.asked.borrow();
        asked
            .get(request)
            .and_then(Option::as_ref)
            .is_some_and(|(_, cancelled)| cancelled.load(Ordering::SeqCst))
    }
}

impl NativeGenerator {
    /// The same, for prompts that begin so. Where a template begins them otherwise than the tokenizer does, the engine's version says
    /// how, since the numbers hang on it and the prompt's text does not tell.
    ///
    /// # Errors
    /// When the tokenizer has no way to write what the template begins with.
    pub fn beginning(self, beginning: Beginning) -> Result<Self, CheckpointError> {
        let mut made = Self { beginning, ..self };
        if let Beginning::Template(token) = &made.beginning {
            let text = token.clone().unwrap_or_default();
            let (written, own) = (made.tokenizer.encode(&text)?.ids, made.tokenizer.encode_sequence("")?.ids);
            if written != own {
                made.engine.version += &format!(", prompts begin with \"{text}\"");
                made.prompt_begin = token.clone().filter(|_| own.is_empty());
            }
        }
        Ok(made)
    }

    /// The tokens of a prompt. Behind a chat template they are those of transformers' `apply_chat_template(tokenize=True)`.
    fn tokens(&self, prompt: &str) -> Result<Vec<u32>, CheckpointError> {
        Ok(match &self.beginning {
            Beginning::Tokenizer => self.tokenizer.encode_sequence(prompt)?,
            Beginning::Template(None) => self.tokenizer.encode(prompt)?,
            Beginning::Template(Some(token)) => self.tokenizer.encode(&format!("{token}{prompt}"))?,
        }
        .ids)
    }

    fn request(&self, asked: &TextRequest<'_>) -> Result<Request, GenerateError> {
        let refuse = |message: String| GenerateError {
            kind: FailureKind::Refused,
            message,
            attempts: 1,
        };
        let ids = self.tokens(&asked.prompt.text()).map_err(|error| refuse(error.to_string()))?;
        let sampling = Sampling::new(asked.settings.temperature, asked.settings.top_p).map_err(|error| refuse(error.to_string()))?;
        let request = Request {
            prompt: ids,
            sampling,
            seed: asked.seed,
            most_tokens: asked.settings.max_new_tokens,
            stop: self.stop.clone(),
        };
        request.check(self.checkpoint.config()).map_err(|error| refuse(error.to_string()))?;
        Ok(request)
    }
}

impl TextGenerator for NativeGenerator {
    fn engine(&self) -> Engine {
        self.engine.clone()
    }

    fn model(&self) -> ModelIdentity {
        self.identity.clone()
    }

    fn prompt_begin(&self) -> Option<String> {
        self.prompt_begin.clone()
    }

    fn generate(&self, asked: &TextRequest<'_>, watch: &mut Watch<'_>) -> Result<Generation, GenerateError> {
        let request = self.request(asked)?;
        let failed = |kind: FailureKind, message: &str| GenerateError {
            kind,
            message: message.to_owned(),
            attempts: 1,
        };
        let gone = || failed(FailureKind::Stopped, "the model has stopped");
        let (prompt_tokens, prompt) = (request.prompt.len() as u64, request.prompt.clone());
        let (sender, answers) = mpsc::channel();
        let cancelled = Arc::new(AtomicBool::new(false));
        let job = Job {
            request,
            answers: sender,
            cancelled: Arc::clone(&cancelled),
        };
        self.jobs.send(job).map_err(|_| gone())?;
        let mut stream = TextStream::after(&self.tokenizer, &prompt);
        let mut text = String::new();
        let mut new_tokens = 0;
        let finish = loop {
            let heard = match answers.recv_timeout(PATIENCE) {
                Err(RecvTimeoutError::Timeout) => Ok(String::new()),
                Err(RecvTimeoutError::Disconnected) => return Err(gone()),
                Ok(Answer::Began) => {
                    if watch(Heard::Beginning).is_break() {
                        cancelled.store(true, Ordering::SeqCst);
                        return Err(failed(FailureKind::Stopped, "stopped"));
                    }
                    continue;
                }
                Ok(Answer::Token(token)) => {
                    new_tokens += 1;
                    stream.push(token)
                }
                Ok(Answer::Finished(finish)) => {
                    let rest = stream.finish().map_err(|error| failed(FailureKind::Garbled, &error.to_string()))?;
                    text.push_str(&rest);
                    break match finish {
                        TokenFinish::Stop(_) => Finish::Stop,
                        TokenFinish::Length => Finish::Length,
                        TokenFinish::Context => Finish::Other("context".into()),
                        TokenFinish::Cancelled => return Err(gone()),
                    };
                }
            };
            let piece = heard.map_err(|error| failed(FailureKind::Garbled, &error.to_string()))?;
            text.push_str(&piece);
            if let Some(end) = stop_text(&text, &piece, &asked.settings.stop) {
                text.truncate(end);
                cancelled.store(true, Ordering::SeqCst);
                break Finish::Stop;
            }
            let event = if piece.is_empty() { Heard::Waiting } else { Heard::Text(&piece) };
            match watch(event) {
                ControlFlow::Continue(()) => {}
                ControlFlow::Break(Interruption::Collapse) => {
                    cancelled.store(true, Ordering::SeqCst);
                    break Finish::Collapse;
                }
                ControlFlow::Break(Interruption::Stop) => {
                    cancelled.store(true, Ordering::SeqCst);
                    return Err(failed(FailureKind::Stopped, "stopped"));
                }
            }
        };
        // A model that ends at once has answered with nothing; one that writes what is no text has not answered.
        if new_tokens > 0 && text.trim().is_empty() {
            return Err(failed(FailureKind::NoText, &format!("{new_tokens} tokens were made, and they are no text")));
        }
        Ok(Generation {
            text,
            reasoning_bytes: 0,
            finish,
            prompt_tokens: Some(prompt_tokens),
            new_tokens: Some(new_tokens),
            attempts: 1,
            answered_by: None,
        })
    }
}

/// Where the first stop text begins, if one has come with the last piece.
fn stop_text(text: &str, piece: &str, stops: &[String]) -> Option<usize> {
    stops
        .iter()
        .filter(|stop| !stop.is_empty())
        .filter_map(|stop| {
            // It may have begun in an earlier piece.
            let mut from = text.len().saturating_sub(piece.len() + stop.len());
            while !text.is_char_boundary(from) {
                from -= 1;
            }
            text[from..].find(stop.as_str()).map(|at| from + at)
        })
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_texts_are_found_across_pieces() {
        let stops = ["END".to_owned(), "é!".to_owned(), String::new()];
        assert_eq!(stop_text("abcEND", "D", &stops), Some(3));
        assert_eq!(stop_text("aé!b", "é!b", &stops), Some(1));
        assert_eq!(stop_text("abc", "c", &stops), None);
    }
}
