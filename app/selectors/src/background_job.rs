//! Work that must not hold up a frame: on a thread of its own, or step by step where there are no threads.

use std::sync::Arc;

use cruxscope_study::StudyError;

/// A result that is computed in steps, each short enough for a page to stay awake.
pub trait BackgroundJob: Default + Send + 'static {
    /// What it is computed of.
    type Subject: Send + Sync + 'static;
    /// Number of steps.
    const STEPS: usize;

    /// Computes one step.
    ///
    /// # Errors
    /// When the subject contradicts itself.
    fn step(&mut self, subject: &Self::Subject, step: usize) -> Result<(), StudyError>;

    /// Computes all of them.
    ///
    /// # Errors
    /// As [`Self::step`].
    fn all(subject: &Self::Subject) -> Result<Self, StudyError> {
        let mut result = Self::default();
        for step in 0..Self::STEPS {
            result.step(subject, step)?;
        }
        Ok(result)
    }
}

/// Such a computation, and its result once it is there.
pub enum Job<T> {
    /// Not begun.
    Waiting,
    /// On its thread.
    #[cfg(not(target_arch = "wasm32"))]
    Running(std::sync::mpsc::Receiver<Result<T, StudyError>>),
    /// Between two steps.
    #[cfg(target_arch = "wasm32")]
    Stepping(T, usize),
    /// Finished.
    Done(T),
    /// Given up.
    Failed(StudyError),
}

impl<T: BackgroundJob> Job<T> {
    /// The result, once it is there.
    pub fn result(&self) -> Option<&T> {
        match self {
            Self::Done(result) => Some(result),
            _ => None,
        }
    }

    /// Why there will be none.
    pub fn error(&self) -> Option<&StudyError> {
        match self {
            Self::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// Gets a step further; `wake` is called when another step is due.
    pub fn advance(&mut self, subject: &Arc<T::Subject>, wake: impl FnOnce() + Send + 'static) {
        let job = std::mem::replace(self, Self::Waiting);
        *self = job.advanced(subject, wake);
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn advanced(self, subject: &Arc<T::Subject>, wake: impl FnOnce() + Send + 'static) -> Self {
        match self {
            Self::Waiting => {
                let (sender, receiver) = std::sync::mpsc::channel();
                let subject = Arc::clone(subject);
                std::thread::spawn(move || {
                    // The study may have been closed meanwhile; then nobody listens, and that is fine.
                    sender.send(T::all(&subject)).ok();
                    wake();
                });
                Self::Running(receiver)
            }
            Self::Running(receiver) => match receiver.try_recv() {
                Ok(Ok(result)) => Self::Done(result),
                Ok(Err(error)) => Self::Failed(error),
                Err(_) => Self::Running(receiver),
            },
            finished => finished,
        }
    }

    #[cfg(target_arch = "wasm32")]
    fn advanced(self, subject: &Arc<T::Subject>, wake: impl FnOnce() + Send + 'static) -> Self {
        let (mut result, step) = match self {
            // The first frame shows the figure; the work begins with the second.
            Self::Waiting => {
                wake();
                return Self::Stepping(T::default(), 0);
            }
            Self::Stepping(result, step) => (result, step),
            finished => return finished,
        };
        match result.step(subject, step) {
            Err(error) => Self::Failed(error),
            Ok(()) if step + 1 == T::STEPS => {
                wake();
                Self::Done(result)
            }
            Ok(()) => {
                wake();
                Self::Stepping(result, step + 1)
            }
        }
    }
}
