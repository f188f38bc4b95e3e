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

/// Time left of work that tells only which share of it is done. A share that falls begins other work.
#[derive(Debug, Default)]
pub struct Pace {
    /// When the first share was told, that share, and the last one.
    since: Option<(Instant, f64, f64)>,
}

impl Pace {
    /// Time left, once a fiftieth is done and a second has passed.
    pub fn left(&mut self, share: f64) -> Option<Duration> {
        self.left_at(share, Instant::now())
    }

    fn left_at(&mut self, share: f64, now: Instant) -> Option<Duration> {
        let (began, first) = match self.since {
            Some((began, first, last)) if share >= last => (began, first),
            _ => (now, share),
        };
        self.since = Some((began, first, share));
        let (elapsed, done) = (now.duration_since(began).as_secs_f64(), share - first);
        (elapsed >= 1.0 && done > 0.02).then(|| Duration::from_secs_f64(elapsed * (1.0 - share).max(0.0) / done))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_goes_by_the_share_since_the_work_began() {
        let mut pace = Pace::default();
        let began = Instant::now();
        let at = |seconds: u64| began + Duration::from_secs(seconds);
        assert_eq!(pace.left_at(0.2, at(0)), None);
        assert_eq!(pace.left_at(0.6, at(8)), Some(Duration::from_secs(8)));
        assert_eq!(pace.left_at(1.0, at(16)), Some(Duration::ZERO));
        // Other work: it has its own beginning.
        assert_eq!(pace.left_at(0.0, at(20)), None);
        assert_eq!(pace.left_at(0.01, at(30)), None);
        assert_eq!(pace.left_at(0.5, at(40)), Some(Duration::from_secs(20)));
    }
}
