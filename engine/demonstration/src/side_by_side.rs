//! Jobs side by side, each on one thread: small models keep one processor busy, but not two.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use cruxscope_run::{Observer, RunError};

use crate::files;

/// How often it is looked whether the work is still wanted.
const PATIENCE: Duration = Duration::from_millis(50);

/// What a job tells.
pub enum Message {
    /// It turns to something.
    Began(String),
    /// Something is done; how much, of the whole work.
    Done(f64),
}

/// What a job has at hand: who listens, and whether to stop.
pub struct Desk<'a> {
    messages: mpsc::Sender<Message>,
    stop: &'a AtomicBool,
}

impl Desk<'_> {
    /// Turns to something, unless it is no longer wanted.
    pub fn begin(&self, words: &str) -> Result<(), RunError> {
        if self.stopped() {
            return Err(files::cancelled());
        }
        // Whoever listened may be gone; the work goes on.
        self.messages.send(Message::Began(words.to_owned())).ok();
        Ok(())
    }

    /// Something is done.
    pub fn done(&self, weight: f64) {
        self.messages.send(Message::Done(weight)).ok();
    }

    /// Whether to stop.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}

/// Does `jobs` jobs on `threads` threads, in order of their numbers as threads become free; results come in the jobs' order. The
/// first error stops the others.
///
/// # Errors
/// The error of the job with the smallest number that failed for itself, or that the observer said stop.
pub fn side_by_side<T: Send>(
    jobs: usize,
    threads: usize,
    observer: &mut dyn Observer,
    tell: &mut dyn FnMut(&mut dyn Observer, Message),
    work: impl Fn(usize, &Desk<'_>) -> Result<T, RunError> + Sync,
) -> Result<Vec<T>, RunError> {
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let results: Vec<Mutex<Option<Result<T, RunError>>>> = (0..jobs).map(|_| Mutex::new(None)).collect();
    let (messages, heard) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, jobs.max(1)) {
            let desk = Desk {
                messages: messages.clone(),
                stop: &stop,
            };
            let (next, results, work) = (&next, &results, &work);
            scope.spawn(move || {
                // Without a pool of its own a job would use all processors, which helps no small model.
                let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
                loop {
                    let job = next.fetch_add(1, Ordering::SeqCst);
                    if job >= jobs || desk.stopped() {
                        return;
                    }
                    let result = match &pool {
                        Ok(pool) => pool.install(|| work(job, &desk)),
                        Err(_) => work(job, &desk),
                    };
                    if result.is_err() {
                        desk.stop.store(true, Ordering::SeqCst);
                    }
                    if let Ok(mut place) = results[job].lock() {
                        *place = Some(result);
                    }
                }
            });
        }
        drop(messages);
        loop {
            match heard.recv_timeout(PATIENCE) {
                Ok(message) => tell(observer, message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if observer.stop() {
                stop.store(true, Ordering::SeqCst);
            }
        }
    });
    let mut finished = Vec::new();
    let mut failed = None;
    for result in results {
        match result.into_inner().ok().flatten() {
            Some(Ok(value)) => finished.push(value),
            Some(Err(error)) if !cruxscope_run::shards::is_stop(&error) => failed = failed.or(Some(error)),
            _ => {}
        }
    }
    match failed {
        Some(error) => Err(error),
        None if finished.len() < jobs => Err(files::cancelled()),
        None => Ok(finished),
    }
}
