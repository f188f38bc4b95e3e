//! Between the window and whoever computes: the window hands a filled form to a [`JobRunner`] and knows nothing of the engine.

use super::{Form, RunState, Status};

/// What a job will take, label and value.
pub type Facts = Vec<(String, String)>;

/// Plans jobs. The program that opens the window brings one.
pub trait JobRunner: Send + Sync {
    /// Reads the inputs of a form.
    ///
    /// # Errors
    /// A message for people when the inputs cannot be read, or the form contradicts itself.
    fn plan(&self, form: &Form, observer: &mut dyn JobObserver) -> Result<(Box<dyn PlannedJob>, Facts), String>;
}

/// A job whose inputs were read.
pub trait PlannedJob: Send {
    /// Computes it to its end, or until it is cancelled; gives how it ended.
    fn run(self: Box<Self>, observer: &mut dyn JobObserver) -> RunState;
}

/// Takes a job's progress, and knows whether it was cancelled.
pub trait JobObserver {
    /// Takes what the job is at.
    fn report(&mut self, status: Status);

    /// Whether somebody asked it to stop.
    fn cancelled(&self) -> bool;
}
