//! A try at a request that failed.

use std::time::Duration;

use crate::generator::FailureKind;

/// A try that failed.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) kind: FailureKind,
    pub(super) message: String,
    /// What the server asked for.
    pub(super) retry_after: Option<Duration>,
}

impl Attempt {
    pub(super) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            retry_after: None,
        }
    }

    pub(super) fn stopped() -> Self {
        Self::new(FailureKind::Stopped, "the work was stopped")
    }
}
