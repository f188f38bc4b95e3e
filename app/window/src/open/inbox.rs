//! Where openings put what they found, for the app to take once a frame.

use std::sync::{Arc, Mutex};

use cruxscope_study::{Collection, Results, Study};
use egui::Context;

use super::problem::Problem;
use super::source::{Part, PartState, Source};

/// What was opened.
#[derive(Debug)]
pub enum Opened {
    /// A study, and where its other files lie.
    Study(Box<Study>, Source),
    /// Results of benchmarks.
    Results(Results),
    /// A collection; its studies and results are opened next.
    Collection(Collection),
}

/// What arrived.
pub enum Delivery {
    /// Something that was being opened.
    Opened {
        /// What was being opened, as it was named when the opening began.
        name: String,
        /// What it is, or why there is nothing; nothing when a dialog was left without a choice.
        outcome: Option<Result<Opened, Problem>>,
    },
    /// A part of a study that is open.
    Part {
        /// The study's number.
        study: usize,
        /// Which part.
        part: Part,
        /// How far it is now.
        state: PartState,
    },
    /// Something that was saved.
    Saved(Saved),
}

/// What came of saving something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The file.
    pub name: String,
    /// Nothing, or why it could not be saved.
    pub outcome: Result<(), String>,
}

/// Where openings put what they found. Cheap to clone; every clone is the same box.
#[derive(Clone)]
pub struct Inbox {
    context: Context,
    deliveries: Arc<Mutex<Vec<Delivery>>>,
}

impl Inbox {
    /// An empty one, which wakes the interface when something arrives.
    pub fn new(context: Context) -> Self {
        Self {
            context,
            deliveries: Arc::default(),
        }
    }

    /// Puts something in.
    pub fn deliver(&self, name: &str, outcome: Option<Result<Opened, Problem>>) {
        self.put(Delivery::Opened {
            name: name.to_owned(),
            outcome,
        });
    }

    /// Puts a part of a study in.
    pub fn deliver_part(&self, study: usize, part: Part, state: PartState) {
        self.put(Delivery::Part { study, part, state });
    }

    /// Puts in what came of saving something.
    pub fn deliver_saved(&self, saved: Saved) {
        self.put(Delivery::Saved(saved));
    }

    fn put(&self, delivery: Delivery) {
        self.lock().push(delivery);
        self.context.request_repaint();
    }

    /// Takes everything out.
    pub fn take(&self) -> Vec<Delivery> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Delivery>> {
        // A thread that panicked while it pushed leaves a list that is still a list.
        self.deliveries.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
