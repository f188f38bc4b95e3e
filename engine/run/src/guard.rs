//! Panics of a device's libraries, caught at the edge: they say "out of memory" or "driver lost" by panicking, and a run that
//! has finished half of its work must be able to say so in order.

use cruxscope_model::ModelError;

use crate::RunError;

/// Runs work on a device whose libraries may panic, and turns a panic into an error that says what was being computed.
///
/// # Errors
/// What `work` returns, and [`ModelError::DeviceFailed`] where it panicked.
pub(crate) fn catch_panic<T, E: Into<RunError>>(what: &str, work: impl FnOnce() -> Result<T, E>) -> Result<T, RunError> {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(Into::into),
        Err(payload) => {
            let why = payload
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(ModelError::DeviceFailed {
                what: what.into(),
                why: why.unwrap_or_else(|| "it gave no reason".into()),
            }
            .into())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)] // what is caught

    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_its_words_and_everything_else_passes_through() {
        assert_eq!(catch_panic("a probe", || Ok::<_, RunError>(3)).ok(), Some(3));
        let lost = catch_panic("a window", || -> Result<(), RunError> { panic!("the card is {}", "gone") });
        let said = lost.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(said.contains("a window") && said.contains("the card is gone"), "{said}");
        let plain = catch_panic("a window", || -> Result<(), RunError> { panic!("lost") });
        assert!(plain.is_err_and(|error| error.to_string().contains("lost")));
        let refused = catch_panic("a probe", || Err::<(), _>(cruxscope_interpret::InterpretError::Cancelled));
        assert!(refused.is_err_and(|error| !error.to_string().contains("device failed")));
    }
}
