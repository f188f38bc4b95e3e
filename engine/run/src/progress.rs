//! How a run tells what it is doing.

use std::time::{Duration, Instant};

/// Progress of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Files are being digested, so that the study can name them.
    Digesting {
        /// The file.
        file: String,
        /// Its size in bytes.
        bytes: u64,
    },
    /// Something is worked out before the work itself.
    Preparing {
        /// What, such as "spectra of weights".
        what: String,
        /// Share that is done, 0 to 1.
        share: f64,
    },
    /// So many instances were finished by an earlier run and are kept.
    Resumed {
        /// Instances.
        instances: usize,
    },
    /// An instance, or a batch of them, begins.
    Began {
        /// Its id; the first one's of a batch.
        id: String,
        /// Instances in the batch.
        count: usize,
    },
    /// Work went on.
    Advanced {
        /// Share of the whole work that is done, 0 to 1.
        share: f64,
        /// Tokens a second since this run began.
        tokens_per_second: f64,
        /// Time left, once it can be told.
        left: Option<Duration>,
    },
    /// Something did not work; the work goes on.
    Note {
        /// The message.
        text: String,
    },
    /// Instances were finished and saved.
    Finished {
        /// Finished instances of all.
        done: usize,
        /// All instances.
        of: usize,
    },
    /// Finished instances are being put together.
    Merging,
}

impl Event {
    /// That a share of the work is done, which began then and has so many tokens in all. Time left is told once a hundredth is done.
    pub fn advanced(share: f64, tokens: f64, began: Instant) -> Self {
        let elapsed = began.elapsed().as_secs_f64();
        Self::Advanced {
            share,
            tokens_per_second: share * tokens / elapsed.max(1e-9),
            left: (share > 0.01).then(|| Duration::from_secs_f64(elapsed * (1.0 - share) / share)),
        }
    }
}

/// Who is told, and who can stop the work.
pub trait Observer {
    /// Something happened.
    fn event(&mut self, event: Event);

    /// Whether to stop; asked between layers.
    fn stop(&self) -> bool {
        false
    }
}

/// Nobody.
pub struct Silent;

impl Observer for Silent {
    fn event(&mut self, _: Event) {}
}
