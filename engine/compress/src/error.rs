//! Why a matrix could not be compressed.

/// What is wrong with a request or its statistics.
#[derive(Debug, thiserror::Error)]
pub enum CompressError {
    /// A setting makes no sense for this matrix.
    #[error("{method}: {setting} is {value}, but {rule}")]
    Setting {
        /// The method.
        method: &'static str,
        /// The setting.
        setting: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        rule: String,
    },
    /// Two arrays do not belong together.
    #[error("{method}: {what} has {found}, where {expected} was expected")]
    Shape {
        /// The method.
        method: &'static str,
        /// The array.
        what: &'static str,
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// The Hessian could not be inverted.
    #[error("{method}: the Hessian is singular even with damping {damping}: use more calibration text, or more damping")]
    Singular {
        /// The method.
        method: &'static str,
        /// The largest damping that was tried, as a share of the mean diagonal.
        damping: f64,
    },
    /// The device on which outputs are compared failed.
    #[error(transparent)]
    Device(#[from] cruxscope_model::ModelError),
    /// A weight or statistic is not a finite number.
    #[error("{method}: {what} holds a value that is not finite")]
    NotFinite {
        /// The method.
        method: &'static str,
        /// The array.
        what: &'static str,
    },
}
